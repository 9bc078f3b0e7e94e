/* db/zset_remove.c - ZREM, the removal of ranges, pops, and their replay.
 *
 * A long range of a tree is dropped as whole pages and its other half left to
 * be swept (zset_sweep.c); all members at once are the key's removal, logged
 * as DEL.  The effects are told in zset_change.c. */
#include "db/zset.h"

#include "base/mem.h"
#include "db/zset_int.h"
#include "store/corrupt.h"

/* --- ZREM ---------------------------------------------------------------- */

static nq_rc
look_for(struct zset *z, const struct slice *members, uint32_t n, bool *any)
{
    enum standing st;
    double score;
    nq_rc rc = NQ_OK, one;

    *any = false;
    for (uint32_t i = 0; i < n; i++) {
        one = zset_find(z, members[i], &st, &score);
        if (one == NQ_OK && st == PRESENT) {
            *any = true;
            one = zset_want(z, members[i], st, score, NULL);
        }
        if (one != NQ_OK && one != NQ_MISS)
            return one;
        rc = one != NQ_OK ? one : rc;
    }
    return rc;
}

static nq_rc
remove_all(struct zset *z, const struct slice *members, uint32_t n,
           const char *event, uint64_t *removed)
{
    struct buf log = BUF_INIT;
    struct slice args[1];
    enum standing st;
    double score;
    nq_rc rc = NQ_OK;

    for (uint32_t i = 0; i < n && rc == NQ_OK; i++) {
        rc = zset_find(z, members[i], &st, &score);
        if (rc != NQ_OK || st != PRESENT)
            continue;
        rc = zset_remove_member(z, members[i], score);
        *removed += 1;
        buf_put_varint(&log, members[i].len);
        buf_put_slice(&log, members[i]);
    }
    args[0] = buf_slice(&log);
    rc = zset_finish(z, rc, EFFECT_ZREM, args, 1, event);
    buf_fini(&log);
    return rc;
}

nq_rc
zset_rem(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
         const struct slice *members, uint32_t n, const char *event,
         uint64_t *removed)
{
    struct zset z;
    bool any;
    nq_rc rc;

    *removed = 0;
    if ((rc = zset_open(db, dbi, key, old, true, &z)) != NQ_OK)
        return rc;
    rc = look_for(&z, members, n, &any);
    if (rc == NQ_OK && any && (rc = coll_begin(&z.coll)) == NQ_OK)
        rc = remove_all(&z, members, n, event, removed);
    zset_close(&z);
    return rc;
}

/* --- ranges -------------------------------------------------------------- */

/* A run of members to be removed: keys of 's' items, in memory of its own. */
struct removal {
    struct buf lo, hi;
    bool has_hi;
    uint64_t n;
    struct buf names; /* varint length and bytes, each; unless there are too
                         many */
};

static void
removal_fini(struct removal *r)
{
    buf_fini(&r->lo);
    buf_fini(&r->hi);
    buf_fini(&r->names);
}

/* Fills the removal in; `fn` (may be NULL) sees the members in order. */
static nq_rc
removal_scan(struct zset *z, struct span span, struct removal *r)
{
    struct zset_cursor cu;
    uint64_t i = 0;
    nq_rc rc;

    r->n = span.n;
    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, span.from);
    if (rc == NQ_OK && cu.valid)
        buf_put_slice(&r->lo, cu.items.key);
    if (rc == NQ_OK && span.n > ZSET_REMOVED_WHOLE)
        rc = zset_nth(&cu, span.from + span.n);
    for (;
         rc == NQ_OK && span.n <= ZSET_REMOVED_WHOLE && cu.valid && i < span.n;
         i++) {
        buf_put_varint(&r->names, cu.at.name.len);
        buf_put_slice(&r->names, cu.at.name);
        rc = zset_next(&cu);
    }
    r->has_hi = rc == NQ_OK && cu.valid;
    if (r->has_hi)
        buf_put_slice(&r->hi, cu.items.key);
    zset_cursor_fini(&cu);
    return rc;
}

/* Notes what it takes: both ends of the range, and the names. */
static nq_rc
removal_want(struct zset *z, const struct removal *r)
{
    struct slice ends[2] = {buf_slice(&r->lo), buf_slice(&r->hi)};
    struct cursor c = cursor_of(buf_slice(&r->names));
    struct slice name;
    nq_rc rc, one;

    if (!z->coll.is_tree)
        return NQ_OK;
    rc = coll_want(&z->coll, ends, r->has_hi ? 2 : 1);
    while ((rc == NQ_OK || rc == NQ_MISS) && cursor_get_slice(&c, &name)) {
        one = zset_want(z, name, STALE, 0, NULL);
        rc = one != NQ_OK ? one : rc;
    }
    return rc;
}

static nq_rc
removal_do(struct zset *z, const struct removal *r)
{
    struct cursor c = cursor_of(buf_slice(&r->names));
    struct slice name, hi = buf_slice(&r->hi);
    uint64_t removed = 0;
    nq_rc rc = coll_del_range(&z->coll, buf_slice(&r->lo),
                              r->has_hi ? &hi : NULL, &removed);

    if (!z->coll.is_tree || rc != NQ_OK)
        return rc;
    if (r->names.len == 0)
        z->stale += removed;
    while (rc == NQ_OK && cursor_get_slice(&c, &name))
        rc = zset_del_name(z, name);
    return rc;
}

static nq_rc
removal_run(struct zset *z, const struct removal *r, const char *event)
{
    uint8_t lo_len[10], hi_len[11];
    struct slice args[4];
    unsigned nargs = 3;
    nq_rc rc;

    if ((rc = removal_want(z, r)) != NQ_OK ||
        (rc = coll_begin(&z->coll)) != NQ_OK)
        return rc;
    rc = removal_do(z, r);
    args[0] = slice_of(lo_len, varint_encode(lo_len, r->lo.len - 1));
    args[1] = slice_of(r->lo.p + 1, r->lo.len - 1);
    hi_len[0] = r->has_hi;
    args[2] = slice_of(hi_len, 1);
    if (r->has_hi) {
        args[2].len += varint_encode(hi_len + 1, r->hi.len - 1);
        args[nargs++] = slice_of(r->hi.p + 1, r->hi.len - 1);
    }
    return zset_finish(z, rc, EFFECT_ZREMRANGE, args, nargs, event);
}

static nq_rc
remove_some(struct zset *z, struct span span, const char *event)
{
    struct removal r = {.n = 0};
    nq_rc rc = removal_scan(z, span, &r);

    if (rc == NQ_OK)
        rc = removal_run(z, &r, event);
    removal_fini(&r);
    return rc;
}

/* All of them: the key goes as a whole. */
static nq_rc
remove_key(struct zset *z, struct entry *old, const char *event)
{
    struct coll *c = &z->coll;
    nq_rc rc = db_remove(c->db, c->dbi, c->key, old);

    if (rc == NQ_OK)
        zset_raise(z, event, true);
    return rc;
}

nq_rc
zset_rem_span(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
              struct span span, const char *event)
{
    struct zset z;
    nq_rc rc;

    if ((rc = zset_open(db, dbi, key, old, true, &z)) != NQ_OK)
        return rc;
    nq_dassert(span.n > 0 && span.from + span.n <= z.card);
    if (span.n == z.card)
        rc = remove_key(&z, old, event);
    else
        rc = remove_some(&z, span, event);
    zset_close(&z);
    return rc;
}

/* --- pops ---------------------------------------------------------------- */

static nq_rc
show(struct zset *z, bool from_max, uint64_t n, zset_each_fn *fn, void *arg)
{
    struct zset_cursor cu;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, from_max ? z->card - 1 : 0);
    while (rc == NQ_OK && cu.valid) {
        fn(arg, &cu.at);
        if (--n == 0)
            break;
        rc = from_max ? zset_prev(&cu) : zset_next(&cu);
    }
    zset_cursor_fini(&cu);
    return rc;
}

/* The usual case, without heap memory: one of several. */
static nq_rc
pop_one(struct zset *z, bool from_max, const char *event, zset_each_fn *fn,
        void *arg)
{
    uint8_t room[ZSET_KEY_ROOM], len[10];
    struct slice name, args[2];
    struct zset_cursor cu;
    double score = 0;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, from_max ? z->card - 1 : 0);
    if (rc == NQ_OK && !cu.valid)
        rc = NQ_CORRUPT("a sorted set has fewer members than counted");
    if (rc == NQ_OK && cu.at.name.len > sizeof room)
        rc = NQ_AGAIN;
    if (rc == NQ_OK) {
        fn(arg, &cu.at);
        score = cu.at.score;
        name = slice_of(room, cu.at.name.len);
        memcpy(room, cu.at.name.p, name.len);
        coll_remember(&cu.items);
    }
    zset_cursor_fini(&cu);
    if (rc != NQ_OK || (rc = zset_want(z, name, ABSENT, 0, NULL)) != NQ_OK ||
        (rc = coll_begin(&z->coll)) != NQ_OK)
        return rc;
    rc = zset_remove_member(z, name, score);
    args[0] = slice_of(len, varint_encode(len, name.len));
    args[1] = name;
    return zset_finish(z, rc, EFFECT_ZREM, args, 2, event);
}

static nq_rc
pop(struct zset *z, struct entry *old, bool from_max, uint64_t n,
    zset_each_fn *fn, void *arg)
{
    const char *event = from_max ? "zpopmax" : "zpopmin";
    struct span span = {from_max ? z->card - n : 0, n};
    nq_rc rc = NQ_AGAIN;

    if (n == 1 && z->card > 1)
        rc = pop_one(z, from_max, event, fn, arg);
    if (rc != NQ_AGAIN)
        return rc;
    if ((rc = show(z, from_max, n, fn, arg)) != NQ_OK)
        return rc;
    if (n == z->card)
        return remove_key(z, old, event);
    return remove_some(z, span, event);
}

nq_rc
zset_pop(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
         bool from_max, uint64_t n, zset_each_fn *fn, void *arg)
{
    struct zset z;
    nq_rc rc;

    if ((rc = zset_open(db, dbi, key, old, true, &z)) != NQ_OK)
        return rc;
    n = nq_min(n, z.card);
    if (n > 0)
        rc = pop(&z, old, from_max, n, fn, arg);
    zset_close(&z);
    return rc;
}

/* --- replay -------------------------------------------------------------- */

nq_rc
zset_apply_zrem(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct slice name;
    uint64_t removed;
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && cursor_left(&c) > 0) {
        struct entry e = {0};
        bool found;

        if (!cursor_get_slice(&c, &name))
            return NQ_EFORMAT;
        if ((rc = zset_find_for_replay(db, r, &e, &found)) == NQ_OK && found)
            rc = zset_rem(db, r->db, r->key, &e, &name, 1, NULL, &removed);
    }
    return rc;
}

/* The rank of an end as the log tells it. */
static nq_rc
rank_of_logged(struct zset *z, struct slice end, uint64_t *rank)
{
    struct buf key = BUF_INIT;
    nq_rc rc;

    buf_put_u8(&key, 's');
    buf_put_slice(&key, end);
    rc = coll_rank(&z->coll, buf_slice(&key), rank);
    *rank -= nq_min(*rank, z->first);
    buf_fini(&key);
    return rc;
}

static nq_rc
span_of_logged(struct zset *z, struct slice args, struct span *out)
{
    struct cursor c = cursor_of(args);
    uint64_t to = z->card;
    struct slice lo, hi;
    uint8_t has_hi;
    nq_rc rc;

    cursor_get_slice(&c, &lo);
    cursor_get_u8(&c, &has_hi);
    if (has_hi)
        cursor_get_slice(&c, &hi);
    if (!cursor_ok(&c) || cursor_left(&c) != 0)
        return NQ_EFORMAT;
    rc = rank_of_logged(z, lo, &out->from);
    if (rc == NQ_OK && has_hi)
        rc = rank_of_logged(z, hi, &to);
    out->n = to > out->from ? to - out->from : 0;
    return rc;
}

nq_rc
zset_apply_zremrange(struct db *db, const struct wal_record *r)
{
    struct entry e = {0};
    struct span span;
    struct zset z;
    bool found;
    nq_rc rc;

    if ((rc = zset_find_for_replay(db, r, &e, &found)) != NQ_OK || !found)
        return rc;
    if ((rc = zset_open(db, r->db, r->key, &e, true, &z)) != NQ_OK)
        return rc;
    rc = span_of_logged(&z, r->args, &span);
    if (rc == NQ_OK && span.n > 0)
        rc = span.n == z.card ? remove_key(&z, &e, NULL)
                              : remove_some(&z, span, NULL);
    zset_close(&z);
    return rc;
}
