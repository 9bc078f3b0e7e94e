/* db/index_walk.c - what of an index takes long: ranges of keys that were
 * deleted at once, and building.
 *
 * A range says that the keys of the index in there are to be held against
 * their rows; so a wider one does no harm, and ranges beyond INDEX_RANGES are
 * put together.  Until then the index tells keys that are gone, which costs
 * its readers a look.
 *
 * Building enters each key of the prefix in order, beside all commands, which
 * enter what they change wherever that is.  Where it stands is in the catalog
 * (cut down to STAND_MAX bytes: then some are entered twice).  Keys whose
 * place in the index is not in memory go to those that wait, so it need not
 * stop for each of them.
 *
 * Called by index_work.c, db_bulk.c and the job that builds. */
#include "base/log.h"
#include "db/index_int.h"
#include "os/clock.h"

#define GROUP 32u          /* keys of a range that are entered together */
#define STAND_MAX 1024u    /* bytes of where building stands */
#define BOUND_MAX 256u     /* bytes of a bound of a range */
#define KEYS_PER_LOOK 16u  /* between two looks at the clock */
#define WAITING_SOME 1024u /* then building rests */

/* --- ranges --------------------------------------------------------------- */

static int
compare_hi(const struct index_range *a, const struct index_range *b)
{
    if (a->has_hi && b->has_hi)
        return slice_cmp(buf_slice(&a->hi), buf_slice(&b->hi));
    return (int)b->has_hi - (int)a->has_hi;
}

static void
fini_range(struct index_range *r)
{
    buf_fini(&r->lo);
    buf_fini(&r->hi);
    *r = (struct index_range){.has_hi = false};
}

/* At least [lo, hi), with short bounds. */
static struct index_range
range_of(struct slice lo, const struct slice *hi)
{
    struct index_range r = {.has_hi = hi != NULL};

    buf_put(&r.lo, lo.p, nq_min(lo.len, (size_t)BOUND_MAX));
    if (hi == NULL)
        return r;
    buf_put(&r.hi, hi->p, nq_min(hi->len, (size_t)BOUND_MAX));
    if (hi->len > BOUND_MAX)
        r.has_hi = index_successor(&r.hi);
    return r;
}

/* `b` goes into `a`, with all that is in between. */
static void
join(struct index_range *a, struct index_range *b)
{
    struct buf swap;

    if (slice_cmp(buf_slice(&b->lo), buf_slice(&a->lo)) < 0) {
        swap = a->lo;
        a->lo = b->lo;
        b->lo = swap;
    }
    if (compare_hi(b, a) > 0) {
        swap = a->hi;
        a->hi = b->hi;
        b->hi = swap;
        a->has_hi = b->has_hi;
    }
    fini_range(b);
}

static bool
touches(const struct index_range *a, const struct index_range *b)
{
    return (!a->has_hi ||
            slice_cmp(buf_slice(&b->lo), buf_slice(&a->hi)) <= 0) &&
           (!b->has_hi || slice_cmp(buf_slice(&a->lo), buf_slice(&b->hi)) <= 0);
}

void
index_add_range(struct index *ix, struct slice lo, const struct slice *hi)
{
    struct index_range r = range_of(lo, hi);

    for (unsigned i = 0; i < ix->range_count; i++) {
        if (touches(&ix->ranges[i], &r)) {
            join(&ix->ranges[i], &r);
            return;
        }
    }
    if (ix->range_count == INDEX_RANGES)
        join(&ix->ranges[INDEX_RANGES - 1], &r);
    else
        ix->ranges[ix->range_count++] = r;
}

static void
drop_range(struct index *ix)
{
    fini_range(&ix->ranges[0]);
    ix->range_count--;
    memmove(ix->ranges, ix->ranges + 1, ix->range_count * sizeof ix->ranges[0]);
    ix->ranges[ix->range_count] = (struct index_range){.has_hi = false};
}

/* The next keys of the first range, into `out`: varint length and bytes. */
static nq_rc
take_group(struct index *ix, struct buf *out, unsigned *n)
{
    const struct index_range *r = &ix->ranges[0];
    struct btree_cursor c;
    nq_rc rc;

    *n = 0;
    btree_cursor_init(&c, &ix->keys);
    rc = btree_seek(&c, buf_slice(&r->lo), false);
    while (rc == NQ_OK && c.valid && *n < GROUP &&
           (!r->has_hi || slice_cmp(c.key, buf_slice(&r->hi)) < 0)) {
        buf_put_varint(out, c.key.len);
        buf_put_slice(out, c.key);
        ++*n;
        rc = btree_next(&c);
    }
    btree_cursor_fini(&c);
    return rc;
}

static nq_rc
enter_group(struct index *ix, const struct buf *group)
{
    struct cursor c = cursor_of(buf_slice(group));
    struct index_range *r = &ix->ranges[0];
    struct slice key = slice_lit("");
    nq_rc all = NQ_OK;

    while (cursor_left(&c) > 0) {
        nq_rc rc;

        cursor_get_slice(&c, &key);
        nq_assert(cursor_ok(&c));
        rc = index_enter(ix, key);
        if (rc != NQ_OK)
            all = rc;
    }
    if (all != NQ_OK)
        return all;
    buf_clear(&r->lo);
    buf_put_slice(&r->lo, key);
    buf_put_u8(&r->lo, 0);
    return NQ_AGAIN;
}

nq_rc
index_work_range(struct index *ix)
{
    struct buf group = BUF_INIT;
    unsigned n;
    nq_rc rc;

    if (ix->range_count == 0 || !index_is_kept(ix))
        return NQ_OK;
    rc = take_group(ix, &group, &n);
    if (rc == NQ_OK && n > 0) {
        rc = enter_group(ix, &group);
    } else if (rc == NQ_OK) {
        drop_range(ix);
        rc = NQ_AGAIN;
    } else if (rc != NQ_MISS && rc != NQ_EPOOL) {
        index_damaged(ix, rc);
        rc = NQ_OK;
    }
    buf_fini(&group);
    return rc;
}

/* --- building ------------------------------------------------------------- */

static void
on_ready(struct frames_wait *w)
{
    nq_container(w, struct index, wait)->waiting = WAIT_PINNED;
}

void
index_end_wait(struct index *ix)
{
    if (ix->waiting != WAIT_NONE)
        frames_fetch_end(ix->all->db->fr, &ix->wait);
    ix->waiting = WAIT_NONE;
}

static void
fetch(struct index *ix)
{
    ix->wait.ready = on_ready;
    ix->waiting = WAIT_READING;
    frames_fetch(ix->all->db->fr, &ix->wait);
}

/* About how many keys there are to look at. */
static nq_rc
count_keys(struct index *ix)
{
    struct btree *t = db_tree(ix->all->db, ix->dbi);
    struct buf end = BUF_INIT;
    uint64_t below = 0, all = 0;
    nq_rc rc = btree_rank(t, buf_slice(&ix->prefix), &below);

    buf_put_slice(&end, buf_slice(&ix->prefix));
    if (rc == NQ_OK && index_successor(&end))
        rc = btree_rank(t, buf_slice(&end), &all);
    else if (rc == NQ_OK)
        rc = btree_count(t, &all);
    buf_fini(&end);
    ix->total = all > below ? all - below : 0;
    return rc;
}

static nq_rc
enter_next(struct index *ix, struct slice key)
{
    nq_rc rc = index_enter(ix, key);

    if (rc == NQ_EPOOL)
        return rc;
    if (ix->state != INDEX_BUILDING)
        return NQ_ECORRUPT;
    if (rc == NQ_MISS)
        index_add_waiting(ix->all, ix->dbi, key);
    buf_clear(&ix->built_to);
    buf_put_slice(&ix->built_to, key);
    ix->has_built_to = true;
    ix->built++;
    return NQ_OK;
}

/* NQ_OK: all of them; NQ_AGAIN: the time is up. */
static nq_rc
build_some(struct index *ix, struct btree_cursor *c, uint64_t until_us)
{
    nq_rc rc;

    if (ix->total == 0 && (rc = count_keys(ix)) != NQ_OK)
        return rc;
    rc = ix->has_built_to ? btree_seek(c, buf_slice(&ix->built_to), true)
                          : btree_seek(c, buf_slice(&ix->prefix), false);
    for (unsigned n = 1; rc == NQ_OK && c->valid; n++) {
        if (!index_has_prefix(ix, c->key))
            return NQ_OK;
        if ((rc = enter_next(ix, c->key)) != NQ_OK)
            return rc;
        if (n % KEYS_PER_LOOK == 0 && clock_mono_us() >= until_us)
            return NQ_AGAIN;
        rc = btree_next(c);
    }
    return rc;
}

static void
complete(struct index *ix)
{
    ix->state = INDEX_READY;
    buf_clear(&ix->built_to);
    ix->has_built_to = false;
    log_notice("index \"%.*s\" is complete: %llu keys looked at",
               (int)ix->name.len, (const char *)ix->name.p,
               (unsigned long long)ix->built);
}

static nq_rc
build(struct index *ix, uint64_t budget_us, bool *is_waiting)
{
    struct frames *fr = ix->all->db->fr;
    struct btree_cursor c;
    nq_rc rc;

    frames_forget_wanted(fr);
    btree_cursor_init(&c, db_tree(ix->all->db, ix->dbi));
    rc = build_some(ix, &c, clock_mono_us() + budget_us);
    btree_cursor_fini(&c);
    index_end_wait(ix);
    if (rc == NQ_MISS) {
        fetch(ix);
        *is_waiting = true;
        return NQ_AGAIN;
    }
    frames_forget_wanted(fr);
    *is_waiting = rc == NQ_EPOOL;
    if (rc == NQ_OK)
        complete(ix);
    return rc == NQ_EPOOL ? NQ_AGAIN : rc;
}

nq_rc
db_index_build(struct db *db, struct slice name, uint64_t budget_us,
               bool *is_waiting)
{
    struct index *ix = db_index_find(db, name);

    *is_waiting = false;
    if (ix == NULL)
        return NQ_NOTFOUND;
    if (ix->state != INDEX_BUILDING)
        return ix->state == INDEX_READY ? NQ_OK : NQ_ECORRUPT;
    if (ix->waiting == WAIT_READING || ix->all->waiting_count > WAITING_SOME ||
        wal_is_full(db->wal)) {
        *is_waiting = true;
        return NQ_AGAIN;
    }
    return build(ix, budget_us, is_waiting);
}

struct slice
index_stand(const struct index *ix)
{
    return slice_of(ix->built_to.p,
                    nq_min(ix->built_to.len, (size_t)STAND_MAX));
}
