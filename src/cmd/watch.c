/* cmd/watch.c - a table of watched keys, each with its watchers.
 *
 * A watch is a node of two lists: of its key and of its session.  A change
 * of the key sets is_touched of the session; EXEC looks at that.  Three
 * things are decided only at EXEC, as Redis has it:
 *
 *   - a key that was live and has expired since: a conflict, even if nobody
 *     noticed its end
 *   - a key that had expired when it was watched and is deleted now: none
 *   - a key that was absent when the whole database was flushed (none) or
 *     exchanged with another (a conflict if it is there now)
 *
 * Called by db through engine_on_touch() for each change, so the empty table
 * costs one test. */
#include "cmd/watch.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/multi.h"
#include "db/db.h"

struct watches {
    struct hash keys; /* of struct watched_key */
};

struct watched_key {
    struct hash_node node;
    struct list watchers; /* watch.of_key */
    uint32_t dbi;
    size_t len;
    uint8_t bytes[];
};

struct watch {
    struct list of_key;
    struct list of_session; /* in multi.watched */
    struct watched_key *key;
    struct session *s;
    enum watch_was was;
    uint64_t expire_ms; /* WATCH_LIVE; 0: never */
    bool is_doubtful;   /* see whether it is there, at EXEC */
};

struct key_name {
    uint32_t dbi;
    struct slice bytes;
};

struct watches *
watches_new(void)
{
    return nq_calloc(1, sizeof(struct watches));
}

void
watches_free(struct watches *w)
{
    if (w == NULL)
        return;
    nq_assert(w->keys.count == 0);
    hash_fini(&w->keys);
    nq_free(w);
}

static uint64_t
name_hash(struct key_name name)
{
    return hash_bytes(name.bytes) + name.dbi * 0x9e3779b97f4a7c15u;
}

static bool
is_key(const struct hash_node *n, const void *arg)
{
    const struct watched_key *k = (const struct watched_key *)n;
    const struct key_name *name = arg;

    return k->dbi == name->dbi &&
           slice_eq(slice_of(k->bytes, k->len), name->bytes);
}

static struct watched_key *
find_key(struct watches *w, struct key_name name)
{
    return (struct watched_key *)hash_find(&w->keys, name_hash(name), is_key,
                                           &name);
}

static struct watched_key *
add_key(struct watches *w, struct key_name name)
{
    struct watched_key *k = nq_malloc(sizeof *k + name.bytes.len);

    list_init(&k->watchers);
    k->dbi = name.dbi;
    k->len = name.bytes.len;
    if (k->len > 0)
        memcpy(k->bytes, name.bytes.p, k->len);
    hash_insert(&w->keys, &k->node, name_hash(name));
    return k;
}

nq_rc
watch_look(struct db *db, uint32_t dbi, struct slice key, enum watch_was *was,
           uint64_t *expire_ms)
{
    struct entry e = {0};
    struct record raw;
    nq_rc rc = db_find(db, dbi, key, &e);

    *expire_ms = 0;
    *was = WATCH_LIVE;
    if (rc == NQ_OK)
        *expire_ms = db_expire_of(&e.rec);
    if (rc != NQ_NOTFOUND)
        return rc;
    rc = btree_get(db_tree(db, dbi), key, &raw, NULL);
    *was = rc == NQ_OK && raw.expire_ms != 0 && raw.expire_ms <= db_now(db)
               ? WATCH_EXPIRED
               : WATCH_ABSENT;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

void
watch_add(struct session *s, uint32_t dbi, struct slice key, enum watch_was was,
          uint64_t expire_ms)
{
    struct watches *all = s->engine->watches;
    struct key_name name = {dbi, key};
    struct watched_key *k = find_key(all, name);
    struct watch *w;

    if (k == NULL)
        k = add_key(all, name);
    list_each(it, &k->watchers)
    {
        if (nq_container(it, struct watch, of_key)->s == s)
            return;
    }
    w = nq_calloc(1, sizeof *w);
    w->key = k;
    w->s = s;
    w->was = was;
    w->expire_ms = expire_ms;
    list_push_back(&k->watchers, &w->of_key);
    list_push_back(&s->multi->watched, &w->of_session);
}

void
watch_drop_all(struct session *s)
{
    struct watches *all = s->engine->watches;

    list_each(it, &s->multi->watched)
    {
        struct watch *w = nq_container(it, struct watch, of_session);

        list_remove(&w->of_session);
        list_remove(&w->of_key);
        if (list_empty(&w->key->watchers)) {
            hash_remove(&all->keys, &w->key->node);
            nq_free(w->key);
        }
        nq_free(w);
    }
    s->multi->is_touched = false;
}

static void
touch_database(struct hash_node *n, void *arg)
{
    struct watched_key *k = (struct watched_key *)n;

    if (k->dbi != *(uint32_t *)arg)
        return;
    list_each(it, &k->watchers)
    {
        struct watch *w = nq_container(it, struct watch, of_key);

        if (w->was == WATCH_LIVE)
            w->s->multi->is_touched = true;
        else
            w->is_doubtful = true;
    }
}

void
watches_touch(struct watches *w, uint32_t dbi, struct slice key)
{
    struct watched_key *k;

    if (nq_likely(w->keys.count == 0))
        return;
    if (key.p == NULL) {
        hash_each(&w->keys, touch_database, &dbi);
        return;
    }
    k = find_key(w, (struct key_name){dbi, key});
    if (k == NULL)
        return;
    list_each(it, &k->watchers)
    {
        struct watch *one = nq_container(it, struct watch, of_key);

        if (one->was == WATCH_EXPIRED)
            one->is_doubtful = true;
        else
            one->s->multi->is_touched = true;
    }
}

nq_rc
watch_check(struct session *s, struct db *db, bool *conflict)
{
    *conflict = s->multi->is_touched;
    list_each(it, &s->multi->watched)
    {
        struct watch *w = nq_container(it, struct watch, of_session);
        struct entry e = {0};
        nq_rc rc;

        if (*conflict)
            break;
        if (w->was == WATCH_LIVE)
            *conflict = w->expire_ms != 0 && w->expire_ms <= db_now(db);
        if (!w->is_doubtful)
            continue;
        rc = db_find(db, w->key->dbi, slice_of(w->key->bytes, w->key->len), &e);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        *conflict = rc == NQ_OK;
    }
    return NQ_OK;
}
