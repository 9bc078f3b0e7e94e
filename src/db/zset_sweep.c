/* db/zset_sweep.c - stale items of sorted sets: what is left of members that
 * were removed in a long range.
 *
 * Every change of such a set sweeps a few more of its 'm' items, and whoever
 * removed the range goes on sweeping in slices (zset_sweep).  The place where
 * that goes on is a rank among the 'm' items, so what comes and goes before
 * it shifts it a little; that only means that some items are looked at again
 * or in the next round.  It ends when none is stale.
 *
 * Nobody sees the difference, but the log tells it all the same (ZSWEEP), so
 * that replay leaves behind what was there. */
#include "base/mem.h"
#include "db/zset_int.h"
#include "store/corrupt.h"

#define SWEEP_STEP 32 /* items looked at beside another change */

static const struct slice stale_key = {(const uint8_t *)ZSET_STALE_KEY, 1};

nq_rc
zset_stale_read(struct zset *z)
{
    struct item it;
    struct cursor c;
    nq_rc rc = coll_get(&z->coll, stale_key, &it);

    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_CORRUPT("no count of stale items") : rc;
    c = cursor_of(it.val);
    cursor_get_u64(&c, &z->stale);
    cursor_get_u64(&c, &z->sweep_at);
    if (!cursor_ok(&c) || z->stale >= z->coll.count)
        return NQ_CORRUPT("the count of stale items is damaged");
    return NQ_OK;
}

static nq_rc
stale_write(struct zset *z)
{
    struct buf val = BUF_INIT;
    nq_rc rc;

    if (z->stale == 0) {
        z->coll.head[0] &= (uint8_t)~ZSET_STALE;
        return coll_del(&z->coll, stale_key);
    }
    buf_put_u64(&val, z->stale);
    buf_put_u64(&val, z->sweep_at);
    rc = coll_put(&z->coll, stale_key, buf_slice(&val), 0, NULL);
    if (rc == NQ_OK)
        z->coll.head[0] |= ZSET_STALE;
    buf_fini(&val);
    return rc;
}

/* Looks at up to `n` 'm' items and puts the stale ones' keys into `found`;
 * *kept: how many of them stay, *at_end: it was the last of them. */
static nq_rc
collect_stale(struct zset *z, uint64_t n, struct buf *found, uint64_t *kept,
              bool *at_end)
{
    struct coll_cursor cu;
    enum standing st;
    struct item it;
    struct member m;
    nq_rc rc;

    *kept = 0;
    coll_cursor_init(&cu, &z->coll);
    rc = coll_nth(&cu, 1 + z->sweep_at);
    for (; rc == NQ_OK && cu.valid && cu.key.p[0] == 'm' && n > 0; n--) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        if (!zset_member_of(&it, &m))
            rc = NQ_ECORRUPT;
        else
            rc = zset_find(z, m.name, &st, &m.score);
        if (rc != NQ_OK)
            break;
        if (st == STALE) {
            buf_put_varint(found, cu.key.len);
            buf_put_slice(found, cu.key);
        } else {
            ++*kept;
        }
        rc = coll_next(&cu);
    }
    *at_end = rc == NQ_OK && (!cu.valid || cu.key.p[0] != 'm');
    coll_cursor_fini(&cu);
    return rc;
}

static nq_rc
sweep(struct zset *z, uint64_t n)
{
    struct buf found = BUF_INIT;
    struct cursor c;
    struct slice key;
    uint64_t kept;
    bool at_end;
    nq_rc rc = collect_stale(z, n, &found, &kept, &at_end);

    c = cursor_of(buf_slice(&found));
    while (rc == NQ_OK && cursor_get_slice(&c, &key)) {
        rc = coll_del(&z->coll, key);
        z->stale -= rc == NQ_OK;
    }
    z->sweep_at = at_end ? 0 : z->sweep_at + kept;
    buf_fini(&found);
    return rc;
}

nq_rc
zset_sweep_some(struct zset *z)
{
    nq_rc rc = NQ_OK;

    if (z->stale > 0 && (z->coll.head[0] & ZSET_STALE) != 0)
        rc = sweep(z, SWEEP_STEP);
    if (rc == NQ_OK && (z->stale > 0 || (z->coll.head[0] & ZSET_STALE) != 0))
        rc = stale_write(z);
    zset_recount(z);
    return rc;
}

nq_rc
zset_sweep(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
           uint64_t n, uint64_t *left)
{
    uint8_t text[10];
    struct slice args[1] = {{text, varint_encode(text, n)}};
    struct zset z;
    nq_rc rc, done;

    *left = 0;
    if ((rc = zset_open(db, dbi, key, old, true, &z)) != NQ_OK)
        return rc;
    if (z.stale > 0 && (rc = coll_begin(&z.coll)) == NQ_OK) {
        rc = sweep(&z, n);
        if (rc == NQ_OK)
            rc = stale_write(&z);
        done = coll_commit(&z.coll, EFFECT_ZSWEEP, args, 1, NULL);
        rc = rc != NQ_OK ? rc : done;
        *left = z.stale;
    }
    zset_close(&z);
    return rc;
}

nq_rc
zset_apply_zsweep(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    uint64_t n, left;
    nq_rc rc;

    cursor_get_varint(&c, &n);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    if ((rc = db_find_write(db, r->db, r->key, &e)) != NQ_OK)
        return rc;
    return zset_sweep(db, r->db, r->key, &e, n, &left);
}
