/* cmd/wait_key.c - who waits for which key: the beginning and the end of a
 * wait, and the marking of keys that changed.  Serving is in wait_serve.c.
 *
 * A wait is one piece of heap memory: its entries, its argv, the bytes of its
 * arguments.  Nothing is done for it until one of its keys changes or its
 * deadline comes, so any number of them costs their memory alone.
 *
 *   I1 session->wait is set from req_wait_keys() until wait_turn() lets the
 *      answered session go on (or the session ends); so long it is
 *      SESSION_BLOCKED, even while its woken command is parked
 *   I2 a waited_key exists while it has waiters (or is being served)
 *   I3 engine->keys_ready is the length of the list of marked keys
 *
 * Changes come from db through engine_on_touch() and engine_on_event(); while
 * nobody waits they cost one test. */
#include "cmd/wait_key.h"

#include "base/mem.h"
#include "cmd/dispatch.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "cmd/wait_int.h"
#include "os/clock.h"

struct wait_keys *
wait_keys_new(void)
{
    struct wait_keys *all = nq_calloc(1, sizeof *all);

    list_init(&all->ready);
    list_init(&all->served);
    return all;
}

void
wait_keys_free(struct wait_keys *all)
{
    if (all == NULL)
        return;
    nq_assert(all->keys.count == 0 && all->count == 0);
    hash_fini(&all->keys);
    heap_fini(&all->deadlines);
    arena_fini(&all->arena);
    nq_free(all);
}

struct wait *
wait_of(const struct session *s)
{
    struct wait *w;

    if (s->wait == NULL)
        return NULL;
    NQ_CAST(w, s->wait, WAIT_MAGIC);
    return w;
}

/* --- keys ---------------------------------------------------------------- */

struct key_name {
    uint32_t dbi;
    struct slice bytes;
};

static uint64_t
name_hash(struct key_name name)
{
    return hash_bytes(name.bytes) + name.dbi * 0x9e3779b97f4a7c15u;
}

static bool
is_key(const struct hash_node *n, const void *arg)
{
    const struct waited_key *k = (const struct waited_key *)n;
    const struct key_name *name = arg;

    return k->dbi == name->dbi &&
           slice_eq(slice_of(k->bytes, k->len), name->bytes);
}

static struct waited_key *
key_find(struct wait_keys *all, struct key_name name)
{
    return (struct waited_key *)hash_find(&all->keys, name_hash(name), is_key,
                                          &name);
}

static struct waited_key *
key_get(struct wait_keys *all, struct key_name name)
{
    struct waited_key *k = key_find(all, name);

    if (k != NULL)
        return k;
    k = nq_malloc(sizeof *k + name.bytes.len);
    list_init(&k->ready);
    for (int i = 0; i < WAIT_KINDS; i++)
        list_init(&k->waiters[i]);
    k->dbi = name.dbi;
    k->len = (uint32_t)name.bytes.len;
    if (k->len > 0)
        memcpy(k->bytes, name.bytes.p, k->len);
    hash_insert(&all->keys, &k->node, name_hash(name));
    return k;
}

static bool
has_waiters(const struct waited_key *k)
{
    for (int i = 0; i < WAIT_KINDS; i++)
        if (!list_empty(&k->waiters[i]))
            return true;
    return false;
}

void
wait_key_release(struct engine *e, struct waited_key *k)
{
    if (has_waiters(k) || k == e->waits->now)
        return;
    if (!list_empty(&k->ready))
        e->keys_ready--;
    list_remove(&k->ready);
    hash_remove(&e->waits->keys, &k->node);
    nq_free(k);
}

/* --- the beginning ------------------------------------------------------- */

/* Room for entries, argv and its bytes; argv is copied. */
static struct wait *
wait_new(const struct req *rq, uint32_t n)
{
    size_t bytes = sizeof(struct wait) + n * sizeof(struct wait_entry) +
                   rq->argc * sizeof(struct slice);
    struct wait *w;
    uint8_t *at;

    for (uint32_t i = 0; i < rq->argc; i++)
        bytes += rq->argv[i].len;
    w = nq_malloc(bytes);
    *w = (struct wait){.magic = WAIT_MAGIC, .s = rq->s};
    list_init(&w->served);
    w->cmd = rq->cmd;
    w->dbi = rq->dbi;
    w->argc = rq->argc;
    w->argv = (struct slice *)(void *)(w->entries + n);
    at = (uint8_t *)(w->argv + rq->argc);
    for (uint32_t i = 0; i < rq->argc; i++) {
        w->argv[i] = slice_of(at, rq->argv[i].len);
        if (rq->argv[i].len > 0)
            memcpy(at, rq->argv[i].p, rq->argv[i].len);
        at += rq->argv[i].len;
    }
    return w;
}

/* A key that was named twice is waited for once: its last waiter is this
 * one, for nobody else can have come between. */
static void
enter_key(struct wait_keys *all, struct wait *w, uint32_t arg)
{
    struct waited_key *k =
        key_get(all, (struct key_name){w->dbi, w->argv[arg]});
    struct list *waiters = &k->waiters[w->kind];
    struct wait_entry *at = &w->entries[w->n];

    if (!list_empty(waiters) &&
        nq_container(waiters->prev, struct wait_entry, of_key)->wait == w)
        return;
    *at = (struct wait_entry){.key = k, .wait = w, .arg = arg};
    list_push_back(waiters, &at->of_key);
    all->streams += w->kind == WAIT_STREAM;
    w->n++;
}

static enum wait_kind
kind_of(enum db_type type)
{
    nq_assert(type == DB_LIST || type == DB_ZSET || type == DB_STREAM);
    if (type == DB_LIST)
        return WAIT_LIST;
    return type == DB_ZSET ? WAIT_ZSET : WAIT_STREAM;
}

void
wait_enter_keys(struct wait *w)
{
    struct wait_keys *all = w->s->engine->waits;

    nq_assert(w->n == 0);
    for (uint32_t i = 0; i < w->keys; i++)
        enter_key(all, w, w->first + i);
    if (w->deadline.key != 0)
        heap_insert(&all->deadlines, &w->deadline, w->deadline.key);
    all->count++;
}

void
req_wait_keys(struct req *rq, const struct wait_for *what)
{
    struct wait *w;

    nq_assert(!rq->in_multi && what->first + what->n <= rq->argc);
    rq->outcome = REQ_WAIT;
    if (rq->woken_by != 0)
        return;
    nq_assert(rq->s->wait == NULL);
    w = wait_new(rq, what->n);
    w->kind = kind_of(what->type);
    w->same = what->same;
    w->first = what->first;
    w->keys = what->n;
    w->deadline.key = what->deadline_ms;
    w->memory = rq->state;
    w->free_memory = rq->free_state;
    rq->state = NULL;
    rq->s->wait = w;
    wait_enter_keys(w);
}

nq_rc
wait_find(struct req *rq, uint32_t i, enum db_type type, struct entry *e)
{
    nq_rc rc;

    if (!wait_looks_at(rq, i))
        return NQ_NOTFOUND;
    rc = req_find_type(rq, i, type, true, e);
    return rc == NQ_EWRONGTYPE && rq->woken_by != 0 ? NQ_NOTFOUND : rc;
}

/* --- the end ------------------------------------------------------------- */

void
wait_leave_keys(struct wait *w)
{
    struct engine *e = w->s->engine;
    struct wait_keys *all = e->waits;

    if (w->n == 0)
        return;
    for (uint32_t i = 0; i < w->n; i++) {
        struct wait_entry *at = &w->entries[i];

        list_remove(&at->of_key);
        all->streams -= w->kind == WAIT_STREAM;
        if (w->state == WAIT_PARKED && has_waiters(at->key))
            wait_mark(e, at->key); /* they waited for this one */
        wait_key_release(e, at->key);
    }
    w->n = 0;
    heap_remove(&all->deadlines, &w->deadline);
    all->count--;
}

void
wait_served(struct wait *w)
{
    wait_leave_keys(w);
    w->state = WAIT_SERVED;
    list_push_back(&w->s->engine->waits->served, &w->served);
}

static void
wait_free(struct wait *w)
{
    nq_assert(w->n == 0);
    if (w->memory != NULL && w->free_memory != NULL)
        w->free_memory(w->memory);
    list_remove(&w->served);
    w->s->wait = NULL;
    w->magic = 0;
    nq_free(w);
}

void
wait_drop(struct session *s)
{
    struct wait *w = wait_of(s);

    if (w == NULL)
        return;
    wait_leave_keys(w);
    wait_free(w);
    park_done(s);
    s->flags &= ~(uint32_t)SESSION_BLOCKED;
}

/* Answers as after a timeout, or with an error.  It may be the turn of
 * others that waited for its pages. */
static void
cut(struct wait *w, nq_rc rc)
{
    struct req rq = {.s = w->s,
                     .engine = w->s->engine,
                     .cmd = w->cmd,
                     .argv = w->argv,
                     .argc = w->argc,
                     .dbi = w->dbi};

    wait_leave_keys(w);
    park_done(w->s);
    w->s->flags |= SESSION_BLOCKED;
    dispatch_end_wait(&rq, rc);
    wait_served(w);
}

bool
wait_cut(struct session *s, bool with_error)
{
    struct wait *w = wait_of(s);

    if (!wait_is_waiting(s))
        return false;
    cut(w, with_error ? NQ_EUNBLOCKED : NQ_OK);
    return true;
}

bool
wait_is_waiting(const struct session *s)
{
    const struct wait *w = wait_of(s);

    return w != NULL && (w->state == WAIT_IDLE || w->state == WAIT_PARKED);
}

/* --- changes ------------------------------------------------------------- */

void
wait_mark(struct engine *e, struct waited_key *k)
{
    if (!list_empty(&k->ready) || k == e->waits->now)
        return;
    list_push_back(&e->waits->ready, &k->ready);
    e->keys_ready++;
}

struct database {
    struct engine *e;
    uint32_t dbi;
};

static void
mark_of_database(struct hash_node *n, void *arg)
{
    struct waited_key *k = (struct waited_key *)n;
    const struct database *d = arg;

    if (k->dbi == d->dbi)
        wait_mark(d->e, k);
}

void
wait_on_touch(struct engine *e, uint32_t dbi, struct slice key)
{
    struct wait_keys *all = e->waits;
    struct waited_key *k;

    if (nq_likely(all->keys.count == 0))
        return;
    if (key.p == NULL) {
        hash_each(&all->keys, mark_of_database, &(struct database){e, dbi});
        return;
    }
    k = key_find(all, (struct key_name){dbi, key});
    if (k != NULL && (!list_empty(&k->waiters[WAIT_LIST]) ||
                      !list_empty(&k->waiters[WAIT_ZSET])))
        wait_mark(e, k);
}

/* What takes place inside a stream and is nothing to read. */
static bool
is_inside_stream(enum db_event_class class, const char *event)
{
    return class == EVENT_STREAM && strcmp(event, "xadd") != 0 &&
           strcmp(event, "xgroup-destroy") != 0;
}

void
wait_on_event(struct engine *e, uint32_t dbi, enum db_event_class class,
              const char *event, struct slice key)
{
    struct wait_keys *all = e->waits;
    struct waited_key *k;

    if (nq_likely(all->streams == 0) || is_inside_stream(class, event))
        return;
    k = key_find(all, (struct key_name){dbi, key});
    if (k != NULL && !list_empty(&k->waiters[WAIT_STREAM]))
        wait_mark(e, k);
}

/* --- the turn ------------------------------------------------------------ */

bool
wait_turn(struct engine *e)
{
    struct wait_keys *all = e->waits;
    uint64_t now = all->deadlines.count == 0 ? 0 : clock_mono_ms();
    struct heap_node *first;
    struct list *it;

    while ((first = heap_first(&all->deadlines)) != NULL && first->key <= now)
        cut(nq_container(first, struct wait, deadline), NQ_OK);
    while ((it = list_pop_front(&all->served)) != NULL) {
        struct wait *w = nq_container(it, struct wait, served);
        struct session *s = w->s;

        wait_free(w);
        s->flags &= ~(uint32_t)SESSION_BLOCKED;
        s->ops->resume(s);
    }
    return e->keys_ready > 0 && e->pause_until_ms == 0;
}

uint64_t
wait_next_due(const struct engine *e)
{
    const struct heap_node *first = heap_first(&e->waits->deadlines);

    if (e->keys_ready > 0 && e->pause_until_ms == 0)
        return 1;
    return first == NULL ? 0 : first->key;
}

uint64_t
wait_count_keys(const struct engine *e)
{
    return e->waits->keys.count;
}

/* Only a consumer of a group is told when its key goes. */
static void
count_on_nokey(struct hash_node *node, void *arg)
{
    const struct waited_key *k = nq_container(node, struct waited_key, node);

    list_each(it, &k->waiters[WAIT_STREAM])
    {
        const struct wait_entry *en =
            nq_container(it, struct wait_entry, of_key);

        if (en->wait->cmd->fn == cmd_xreadgroup) {
            ++*(uint64_t *)arg;
            return;
        }
    }
}

uint64_t
wait_count_keys_on_nokey(const struct engine *e)
{
    uint64_t count = 0;

    hash_each(&e->waits->keys, count_on_nokey, &count);
    return count;
}
