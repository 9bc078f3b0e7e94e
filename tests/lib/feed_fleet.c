/* tests/lib/feed_fleet.c - the connections 0 .. subscribers - 1 of a fleet are
 * the subscribers, those behind them the writers.  Writer w has the keys k
 * with k % writers == w, and at most one change of each under way. */
#include "feed_fleet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fleet.h"
#include "os/clock.h"

#define RETRY_MS 50
#define ARRIVE_MS 1000 /* subscribers come one after the other within it */
#define RECEIVE_BUFFER 32768 /* so that a stuck one soon takes no more */
#define WINDOW 64u           /* changes of a writer under way */
#define WHY_MAX 400

/* What somebody knows of one key. */
struct version {
    uint64_t n; /* 0: unknown */
    bool is_there;
};

struct subscriber {
    struct version *copy;
    uint64_t last; /* position of the last change or row */
    bool is_ready; /* the snapshot is complete */
    bool is_subscribed;
};

struct change_sent {
    unsigned key;
    bool is_set;
};

struct writer {
    struct change_sent sent[WINDOW]; /* a ring: sent, not answered */
    unsigned head, count;
    unsigned reading; /* answers of GET that are to come */
    unsigned next;    /* the key whose GET is answered next */
    bool is_ready;
};

struct feed_fleet {
    struct feed_fleet_opts o;
    struct fleet *fleet;
    struct subscriber *subs;
    struct writer *writers;
    struct version *keys; /* as acknowledged */
    bool *is_under_way;   /* by key */
    uint64_t *retry_ms;   /* by connection; 0: not */
    struct rng rng;
    uint64_t began_ms, ran_ms, kill_ms;
    unsigned long long sent;
    bool is_ending;
    struct feed_fleet_stats stats;
    char why[WHY_MAX]; /* "" or the first thing that went wrong */
};

static void __attribute__((format(printf, 2, 3)))
blame(struct feed_fleet *ff, const char *fmt, ...)
{
    va_list ap;

    if (ff->why[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(ff->why, sizeof ff->why, fmt, ap);
    va_end(ap);
}

static bool
is_writer(const struct feed_fleet *ff, unsigned i)
{
    return i >= ff->o.subscribers;
}

/* --- what subscribers are told ---------------------------------------------
 */

/* What follows `name` in a message, or NULL. */
static const char *
field(struct slice text, const char *name)
{
    const char *at = memmem(text.p, text.len, name, strlen(name));

    return at == NULL ? NULL : at + strlen(name);
}

static void
forget_copy(struct feed_fleet *ff, struct subscriber *s)
{
    memset(s->copy, 0, ff->o.keys * sizeof *s->copy);
    s->is_ready = false;
    s->last = 0;
}

static void
take_change(struct feed_fleet *ff, unsigned i, struct slice text, bool is_set)
{
    struct subscriber *s = &ff->subs[i];
    const char *key = field(text, "\"key\":\"demo:");
    const char *value = field(text, "\"value\":");
    struct version *v;
    uint64_t n;

    if (key == NULL || (is_set && value == NULL) ||
        strtoull(key, NULL, 10) >= ff->o.keys) {
        blame(ff, "subscriber %u: message %.*s", i, (int)text.len,
              (const char *)text.p);
        return;
    }
    v = &s->copy[strtoull(key, NULL, 10)];
    n = is_set ? strtoull(value + (*value == '"'), NULL, 10) : v->n + 1;
    if (s->is_ready && v->n != 0 &&
        (n != v->n + 1 || (!is_set && !v->is_there)))
        blame(ff, "subscriber %u: version %llu of key %.5s came behind %llu%s",
              i, (unsigned long long)n, key, (unsigned long long)v->n,
              v->is_there ? "" : ", a DEL");
    *v = (struct version){n, is_set};
}

static void
take_message(struct feed_fleet *ff, unsigned i, struct slice text)
{
    struct subscriber *s = &ff->subs[i];
    const char *event = field(text, "\"event\":\"");
    const char *at = field(text, "\"lsn\":\"");
    uint64_t lsn = at == NULL ? 0 : strtoull(at, NULL, 10);

    if (event == NULL)
        blame(ff, "subscriber %u: message without event", i);
    else if (strncmp(event, "row\"", 4) == 0) {
        ff->stats.rows++;
        take_change(ff, i, text, true);
    } else if (strncmp(event, "ready\"", 6) == 0) {
        s->is_ready = true;
        s->last = nq_max(s->last, lsn);
    } else if (strncmp(event, "set\"", 4) == 0 ||
               strncmp(event, "del\"", 4) == 0) {
        if (s->is_ready && lsn <= s->last)
            blame(ff, "subscriber %u: position %llu came behind %llu", i,
                  (unsigned long long)lsn, (unsigned long long)s->last);
        s->last = nq_max(s->last, lsn);
        ff->stats.messages++;
        take_change(ff, i, text, event[0] == 's');
    } else {
        blame(ff, "subscriber %u: %.*s", i, (int)nq_min(text.len, 200ul),
              (const char *)text.p);
    }
}

static void
retry(struct feed_fleet *ff, unsigned i)
{
    fleet_close(ff->fleet, i);
    ff->retry_ms[i] = clock_mono_ms() + RETRY_MS;
    if (is_writer(ff, i)) {
        ff->writers[i - ff->o.subscribers].is_ready = false;
    } else {
        struct subscriber *s = &ff->subs[i];

        if (!s->is_ready)
            forget_copy(ff, s);
        s->is_subscribed = false;
    }
}

static void
on_subscriber_reply(struct feed_fleet *ff, unsigned i,
                    const struct fleet_reply *r)
{
    struct subscriber *s = &ff->subs[i];

    if (r->type == '-') {
        if (field(r->items[0], "LOADING") == NULL)
            blame(ff, "subscriber %u: %.*s", i, (int)r->items[0].len,
                  (const char *)r->items[0].p);
        retry(ff, i);
        return;
    }
    if (r->type != '*' || r->n != 3) {
        blame(ff, "subscriber %u: an odd reply", i);
        return;
    }
    if (slice_eq(r->items[0], slice_lit("message"))) {
        if (r->items[1].len > 2 && memcmp(r->items[1].p, "__", 2) == 0)
            return; /* a heartbeat */
        take_message(ff, i, r->items[2]);
        return;
    }
    s->is_subscribed = true;
    ff->stats.resumed += s->is_ready;
    if (i == 0 && ff->o.has_stuck && !ff->is_ending)
        fleet_pause(ff->fleet, 0, true);
}

static void
subscribe(struct feed_fleet *ff, unsigned i)
{
    const struct subscriber *s = &ff->subs[i];
    char line[80];

    if (s->is_ready)
        snprintf(line, sizeof line, "NQ.SUBSCRIBE PREFIX demo: FROM %llu",
                 (unsigned long long)s->last);
    else
        snprintf(line, sizeof line, "NQ.SUBSCRIBE PREFIX demo: SNAPSHOT");
    fleet_send(ff->fleet, i, line);
}

/* --- writers ---------------------------------------------------------------
 */

static unsigned
first_key(const struct feed_fleet *ff, const struct writer *w)
{
    return (unsigned)(w - ff->writers);
}

/* Asks for all keys of the writer. */
static void
read_keys(struct feed_fleet *ff, struct writer *w)
{
    unsigned i = ff->o.subscribers + first_key(ff, w);
    char line[40];

    w->is_ready = false;
    w->reading = 0;
    w->next = first_key(ff, w);
    for (unsigned k = w->next; k < ff->o.keys; k += ff->o.writers) {
        snprintf(line, sizeof line, "GET demo:%05u", k);
        fleet_send(ff->fleet, i, line);
        w->reading++;
    }
}

/* What the server has of a key; a change of it may have been under way. */
static void
learn(struct feed_fleet *ff, unsigned key, struct slice value)
{
    struct version *v = &ff->keys[key];
    int64_t n;

    ff->is_under_way[key] = false;
    if (value.len == 0) {
        if (v->is_there) /* then it was DEL that was under way */
            *v = (struct version){v->n + 1, false};
        return;
    }
    if (v->n == 0 && slice_to_i64(value, &n)) /* of an earlier fleet */
        *v = (struct version){(uint64_t)n, true};
    else if (!slice_to_i64(value, &n) || (uint64_t)n < v->n ||
             (uint64_t)n > v->n + 1 || ((uint64_t)n == v->n && !v->is_there))
        blame(ff, "key %u holds '%.*s' instead of version %llu or the next",
              key, (int)value.len, (const char *)value.p,
              (unsigned long long)v->n);
    else
        *v = (struct version){(uint64_t)n, true};
}

static void
on_read(struct feed_fleet *ff, struct writer *w, const struct fleet_reply *r)
{
    learn(ff, w->next, r->items[0]);
    w->next += ff->o.writers;
    if (--w->reading > 0)
        return;
    w->head = w->count = 0;
    w->is_ready = true;
}

static void
on_written(struct feed_fleet *ff, struct writer *w)
{
    const struct change_sent *c = &w->sent[w->head];
    struct version *v = &ff->keys[c->key];

    nq_assert(w->count > 0);
    w->head = (w->head + 1) % WINDOW;
    w->count--;
    ff->is_under_way[c->key] = false;
    *v = (struct version){v->n + 1, c->is_set};
    ff->stats.changes++;
}

static void
on_writer_reply(struct feed_fleet *ff, unsigned i, const struct fleet_reply *r)
{
    struct writer *w = &ff->writers[i - ff->o.subscribers];

    if (r->type == '-') {
        if (field(r->items[0], "LOADING") == NULL)
            blame(ff, "writer: %.*s", (int)r->items[0].len,
                  (const char *)r->items[0].p);
        retry(ff, i);
    } else if (w->reading > 0) {
        on_read(ff, w, r);
    } else {
        on_written(ff, w);
    }
}

static void
write_one(struct feed_fleet *ff, struct writer *w)
{
    unsigned mine =
        (ff->o.keys - first_key(ff, w) + ff->o.writers - 1) / ff->o.writers;
    unsigned key = first_key(ff, w) +
                   (unsigned)(rng_next(&ff->rng) % mine) * ff->o.writers;
    const struct version *v = &ff->keys[key];
    bool is_set = !v->is_there || rng_next(&ff->rng) % 8 != 0;
    char line[64];

    if (ff->is_under_way[key])
        return;
    if (is_set)
        snprintf(line, sizeof line, "SET demo:%05u %llu", key,
                 (unsigned long long)v->n + 1);
    else
        snprintf(line, sizeof line, "DEL demo:%05u", key);
    fleet_send(ff->fleet, ff->o.subscribers + first_key(ff, w), line);
    ff->is_under_way[key] = true;
    w->sent[(w->head + w->count++) % WINDOW] =
        (struct change_sent){key, is_set};
    ff->sent++;
}

static void
write_some(struct feed_fleet *ff)
{
    uint64_t allowed = UINT64_MAX;

    if (ff->o.rate > 0)
        allowed =
            (ff->ran_ms + clock_mono_ms() - ff->began_ms) * ff->o.rate / 1000;
    for (unsigned n = 0; n < ff->o.writers; n++) {
        struct writer *w = &ff->writers[n];

        if (!w->is_ready)
            continue;
        for (unsigned tries = 0;
             tries < WINDOW && w->count < WINDOW && ff->sent < allowed; tries++)
            write_one(ff, w);
    }
}

/* --- connections -----------------------------------------------------------
 */

static void
on_open(void *arg, unsigned i)
{
    struct feed_fleet *ff = arg;

    if (is_writer(ff, i))
        read_keys(ff, &ff->writers[i - ff->o.subscribers]);
    else
        subscribe(ff, i);
}

static void
on_reply(void *arg, unsigned i, const struct fleet_reply *r)
{
    struct feed_fleet *ff = arg;

    if (is_writer(ff, i))
        on_writer_reply(ff, i, r);
    else
        on_subscriber_reply(ff, i, r);
}

static void
on_close(void *arg, unsigned i)
{
    retry(arg, i);
}

static void
open_due(struct feed_fleet *ff)
{
    uint64_t now_ms = clock_mono_ms();

    for (unsigned i = 0; i < ff->o.subscribers + ff->o.writers; i++) {
        if (ff->retry_ms[i] == 0 || ff->retry_ms[i] > now_ms)
            continue;
        ff->retry_ms[i] = 0;
        fleet_open(ff->fleet, i);
        if (!fleet_is_open(ff->fleet, i))
            ff->retry_ms[i] = now_ms + RETRY_MS;
    }
}

static void
kill_some(struct feed_fleet *ff)
{
    uint64_t now_ms = clock_mono_ms();
    unsigned i = (unsigned)(rng_next(&ff->rng) % ff->o.subscribers);

    if (ff->o.kills == 0 || now_ms < ff->kill_ms)
        return;
    ff->kill_ms = now_ms + 1000 / ff->o.kills;
    if ((i == 0 && ff->o.has_stuck) || !ff->subs[i].is_subscribed)
        return;
    ff->stats.killed++;
    retry(ff, i);
}

void
feed_fleet_run(struct feed_fleet *ff, unsigned ms)
{
    uint64_t end_ms = clock_mono_ms() + ms;

    ff->began_ms = clock_mono_ms();
    while (clock_mono_ms() < end_ms) {
        open_due(ff);
        kill_some(ff);
        write_some(ff);
        fleet_poll(ff->fleet, 1);
    }
    ff->ran_ms += clock_mono_ms() - ff->began_ms;
}

/* --- the end ---------------------------------------------------------------
 */

/* Until all writers know what the server has. */
static bool
settle_writers(struct feed_fleet *ff, uint64_t end_ms)
{
    for (;;) {
        unsigned busy = 0;

        for (unsigned n = 0; n < ff->o.writers; n++)
            busy += !ff->writers[n].is_ready || ff->writers[n].count > 0;
        if (busy == 0)
            return true;
        if (clock_mono_ms() >= end_ms) {
            blame(ff, "%u writers still wait for answers", busy);
            return false;
        }
        open_due(ff);
        fleet_poll(ff->fleet, 10);
    }
}

/* The first key of which the subscriber has another idea; `keys`: none. */
static unsigned
first_difference(const struct feed_fleet *ff, const struct subscriber *s)
{
    unsigned k = 0;

    while (k < ff->o.keys && s->copy[k].is_there == ff->keys[k].is_there &&
           (!s->copy[k].is_there || s->copy[k].n == ff->keys[k].n))
        k++;
    return k;
}

static bool
is_exact(struct feed_fleet *ff, bool is_last)
{
    for (unsigned i = 0; i < ff->o.subscribers; i++) {
        const struct subscriber *s = &ff->subs[i];
        unsigned k = first_difference(ff, s);

        if (s->is_ready && k == ff->o.keys)
            continue;
        if (is_last && !s->is_ready)
            blame(ff, "subscriber %u has no snapshot", i);
        else if (is_last)
            blame(ff,
                  "subscriber %u has version %llu%s of key %u, the store has "
                  "%llu%s; its position is %llu",
                  i, (unsigned long long)s->copy[k].n,
                  s->copy[k].is_there ? "" : " (deleted)", k,
                  (unsigned long long)ff->keys[k].n,
                  ff->keys[k].is_there ? "" : " (deleted)",
                  (unsigned long long)s->last);
        return false;
    }
    return true;
}

bool
feed_fleet_finish(struct feed_fleet *ff, unsigned timeout_ms)
{
    uint64_t end_ms = clock_mono_ms() + timeout_ms;

    ff->is_ending = true;
    if (!settle_writers(ff, end_ms))
        return false;
    for (unsigned n = 0; n < ff->o.writers; n++)
        read_keys(ff, &ff->writers[n]); /* the store has the last word */
    if (!settle_writers(ff, end_ms))
        return false;
    if (ff->o.has_stuck)
        fleet_pause(ff->fleet, 0, false);
    while (!is_exact(ff, clock_mono_ms() >= end_ms) && ff->why[0] == '\0') {
        open_due(ff);
        fleet_poll(ff->fleet, 10);
    }
    for (unsigned k = 0; k < ff->o.keys; k++)
        ff->stats.keys += ff->keys[k].is_there;
    for (unsigned i = 0; i < 20; i++)
        fleet_poll(ff->fleet, 10); /* nothing may come any more */
    return is_exact(ff, true) && ff->why[0] == '\0';
}

const char *
feed_fleet_why(const struct feed_fleet *ff)
{
    return ff->why;
}

void
feed_fleet_get_stats(const struct feed_fleet *ff, struct feed_fleet_stats *out)
{
    *out = ff->stats;
    for (unsigned i = 0; i < ff->o.subscribers; i++)
        out->ready += ff->subs[i].is_subscribed && ff->subs[i].is_ready;
}

/* --- life ------------------------------------------------------------------
 */

struct feed_fleet *
feed_fleet_new(const struct feed_fleet_opts *opts)
{
    struct feed_fleet *ff = nq_calloc(1, sizeof *ff);
    unsigned n = opts->subscribers + opts->writers;
    struct fleet_opts fo = {.port = opts->port,
                            .count = n,
                            .receive_buffer = RECEIVE_BUFFER,
                            .on_open = on_open,
                            .on_reply = on_reply,
                            .on_close = on_close,
                            .arg = ff};

    ff->o = *opts;
    ff->fleet = fleet_new(&fo);
    ff->subs = nq_calloc(opts->subscribers, sizeof *ff->subs);
    for (unsigned i = 0; i < opts->subscribers; i++)
        ff->subs[i].copy = nq_calloc(opts->keys, sizeof *ff->subs[i].copy);
    ff->writers = nq_calloc(opts->writers, sizeof *ff->writers);
    ff->keys = nq_calloc(opts->keys, sizeof *ff->keys);
    ff->is_under_way = nq_calloc(opts->keys, sizeof *ff->is_under_way);
    ff->retry_ms = nq_calloc(n, sizeof *ff->retry_ms);
    for (unsigned i = 0; i < n; i++)
        ff->retry_ms[i] =
            is_writer(ff, i)
                ? 1
                : clock_mono_ms() + ARRIVE_MS * i / opts->subscribers;
    rng_seed(&ff->rng, opts->seed);
    return ff;
}

void
feed_fleet_free(struct feed_fleet *ff)
{
    fleet_free(ff->fleet);
    for (unsigned i = 0; i < ff->o.subscribers; i++)
        nq_free(ff->subs[i].copy);
    nq_free(ff->subs);
    nq_free(ff->writers);
    nq_free(ff->keys);
    nq_free(ff->is_under_way);
    nq_free(ff->retry_ms);
    nq_free(ff);
}
