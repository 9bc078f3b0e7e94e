/* cmd/matching_far.c - rows that no worker could decide: the loop reads them,
 * slice by slice, and gives long values to a worker.
 *
 * A batch that a worker is done with has gaps, the keys of such rows; a batch
 * of a leaf with long keys (db/scan.h) has nothing but a range of keys.  Both
 * are looked up in the tree as it is now: what a pinned leaf refers to may be
 * gone meanwhile.  So a row is missing if its key was deleted since, and is as
 * of a later moment than its neighbours.
 *
 *   G1  `filled` is what `found` was up to found_at, with the rows of all gaps
 *       before gap_at, less what the consumer had; it takes the place of
 *       `found` when the last gap is filled
 *   G2  a gap is filled as a whole, or nothing of it is in `filled`
 *
 * Called by matching_take.c. */
#include "base/check.h"
#include "base/cursor.h"
#include "cmd/changes.h"
#include "cmd/engine.h"
#include "cmd/matching_int.h"
#include "os/clock.h"
#include "store/store.h"

#define CARRY_LEAST 1024u            /* bytes of a value */
#define CARRY_BYTES (256u << 10)     /* of all that are carried at once */
#define TELL_MAX (UINT64_C(8) << 20) /* the longest value that is told */

/* --- one row -------------------------------------------------------------- */

static nq_rc
read_row(struct batch *b, struct slice key, unsigned needs, size_t limit,
         struct row *out)
{
    struct matching *m = b->m;

    return db_row_far(m->engine->db, m->dbi, key, needs, limit, &m->arena,
                      &b->fields, out);
}

/* It matches, but not all that is to be told was read. */
static nq_rc
read_more(struct batch *b, struct slice key, struct row *r)
{
    const struct matching *m = b->m;
    nq_rc rc;

    db_row_end(&b->fields);
    rc = read_row(b, key, m->where_needs | m->tell_needs, TELL_MAX, r);
    row_scratch_next(b->scratch);
    return rc;
}

/* Looking into a long value takes longer than waking a worker for it; and once
 * one is carried, what follows it is, too. */
static bool
is_to_be_carried(const struct batch *b, const struct row *r)
{
    return r->has & ROW_VALUE && b->m->where_needs & ROW_VALUE &&
           (b->carried_count > 0 || r->value.len >= CARRY_LEAST) &&
           !b->m->opts.is_now;
}

static void
carry(struct batch *b, const struct row *r, lsn as_of)
{
    b->carried_as_of[b->carried_count] = as_of;
    b->carried[b->carried_count++] = *r;
    buf_put_slice(&b->carried_bytes, r->key);
    buf_put_slice(&b->carried_bytes, r->value);
}

void
batch_run_carried(struct batch *b)
{
    const uint8_t *p = b->carried_bytes.p;

    for (unsigned i = 0; i < b->carried_count && b->rc == NQ_OK; i++) {
        struct row *r = &b->carried[i];
        bool matches = false;

        r->key.p = p;
        r->value.p = p + r->key.len;
        p = r->value.p + r->value.len;
        b->rc = batch_match(b, r, &matches);
        if (b->rc == NQ_OK)
            b->rc = batch_count(b, r, matches, b->carried_as_of[i]);
    }
}

static bool
is_carriage_full(const struct batch *b)
{
    return b->carried_count == CARRY_MAX || b->carried_bytes.len >= CARRY_BYTES;
}

/* A value that is too long to be looked into is as if it were none.  NQ_AGAIN:
 * those that are carried come before it. */
static nq_rc
test_row(struct batch *b, struct slice key)
{
    struct matching *m = b->m;
    lsn now = changes_head(m->engine->changes);
    bool matches = false;
    struct row row;
    nq_rc rc = read_row(b, key, m->where_needs, MATCHING_VALUE_MAX, &row);

    if (rc == NQ_ETOOLONG)
        rc = NQ_OK;
    if (rc == NQ_OK && is_to_be_carried(b, &row)) {
        carry(b, &row, now);
        return NQ_OK;
    }
    if (rc == NQ_OK && b->carried_count > 0)
        return NQ_AGAIN;
    if (rc == NQ_OK)
        rc = batch_match(b, &row, &matches);
    if (rc == NQ_OK && matches && !row_has(&row, m->tell_needs))
        rc = read_more(b, key, &row);
    if (rc == NQ_OK)
        rc = batch_count(b, &row, matches, now);
    return rc;
}

static nq_rc
test_key(struct batch *b, struct slice key)
{
    nq_rc rc;

    b->fields.far = NULL;
    rc = test_row(b, key);
    db_row_end(&b->fields);
    arena_reset(&b->m->arena);
    b->m->stats.far++;
    if (rc == NQ_NOTFOUND)
        return NQ_OK;
    return rc == NQ_ETOOLONG ? NQ_ETOOMUCH : rc;
}

/* --- gaps ----------------------------------------------------------------- */

/* What the worker found up to there. */
static void
copy_found(struct batch *b, size_t found_to, uint64_t bits_to)
{
    nq_assert(found_to >= b->found_at && found_to <= b->found.len);
    buf_put(&b->filled, b->found.p + b->found_at, found_to - b->found_at);
    bits_copy(&b->filled_bits, &b->bits, b->bits_at, bits_to);
    b->found_at = found_to;
    b->bits_at = bits_to;
}

static nq_rc
fill_gap(struct batch *b)
{
    struct cursor c =
        cursor_of(slice_of(b->gaps.p + b->gap_at, b->gaps.len - b->gap_at));
    uint64_t found = 0, bits = 0;
    struct slice key;
    bool ok = cursor_get_slice(&c, &key) && cursor_get_varint(&c, &found) &&
              cursor_get_varint(&c, &bits);
    nq_rc rc;

    nq_assert(ok);
    if (b->carried_count > 0 && (found != b->found_at || bits != b->bits_at))
        return NQ_AGAIN;
    copy_found(b, found, bits);
    rc = test_key(b, key);
    if (rc == NQ_OK)
        b->gap_at = b->gaps.len - cursor_left(&c);
    return rc;
}

/* The consumer, or a worker, is to take some of it before there is more. */
static bool
is_enough(const struct batch *b)
{
    return is_carriage_full(b) ||
           (b->m->opts.what == MATCHING_ROWS && b->filled.len >= b->m->memory);
}

/* Those that are carried go first, then the next row is looked at again. */
static nq_rc
stop_at(struct batch *b, nq_rc rc)
{
    if (b->carried_count == 0)
        return rc;
    if (rc == NQ_MISS)
        frames_forget_wanted(store_frames(b->m->engine->store));
    return rc == NQ_MISS || rc == NQ_AGAIN ? NQ_OK : rc;
}

static nq_rc
fill_gaps(struct batch *b)
{
    while (b->gap_at < b->gaps.len && b->rc == NQ_OK) {
        nq_rc rc = fill_gap(b);

        if (rc != NQ_OK)
            return stop_at(b, rc);
        if (is_enough(b))
            return NQ_OK;
        if (b->gap_at < b->gaps.len && matching_is_late(b->m))
            return stop_at(b, NQ_AGAIN);
    }
    b->is_filled = b->carried_count == 0;
    return NQ_OK;
}

/* --- a range of keys ------------------------------------------------------ */

static nq_rc
seek(struct batch *b, struct btree_cursor *c)
{
    const struct scan_batch *sb = &b->scan;

    if (!sb->reverse)
        return btree_seek(c, buf_slice(b->has_at ? &b->at : &sb->lo),
                          b->has_at);
    if (b->has_at)
        return btree_seek_back(c, buf_slice(&b->at), true);
    return sb->has_hi ? btree_seek_back(c, buf_slice(&sb->hi), true)
                      : btree_last(c);
}

static bool
is_inside(const struct scan_batch *sb, struct slice key)
{
    return slice_cmp(key, buf_slice(&sb->lo)) >= 0 &&
           (!sb->has_hi || slice_cmp(key, buf_slice(&sb->hi)) < 0);
}

static nq_rc
walk(struct batch *b, struct btree_cursor *c)
{
    nq_rc rc = seek(b, c);

    while (rc == NQ_OK && c->valid && is_inside(&b->scan, c->key) &&
           b->rc == NQ_OK) {
        if ((rc = test_key(b, c->key)) != NQ_OK)
            return stop_at(b, rc);
        buf_clear(&b->at);
        buf_put_slice(&b->at, c->key);
        b->has_at = true;
        if (is_enough(b))
            return NQ_OK;
        if (matching_is_late(b->m))
            return stop_at(b, NQ_AGAIN);
        rc = b->scan.reverse ? btree_prev(c) : btree_next(c);
    }
    if (rc == NQ_OK)
        b->is_filled = b->carried_count == 0;
    return stop_at(b, rc);
}

static nq_rc
fill_range(struct batch *b)
{
    struct matching *m = b->m;
    struct btree_cursor c;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(m->engine->db, m->dbi));
    rc = walk(b, &c);
    btree_cursor_fini(&c);
    return rc;
}

/* --- the batch ------------------------------------------------------------ */

static void
swap_filled(struct batch *b)
{
    struct buf found = b->found;
    struct bits bits = b->bits;

    copy_found(b, b->found.len, b->bits.count);
    b->found = b->filled;
    b->bits = b->filled_bits;
    b->filled = found;
    b->filled_bits = bits;
}

nq_rc
batch_fill(struct batch *b)
{
    const struct frames *fr = store_frames(b->m->engine->store);
    uint64_t began = clock_mono_ns(), hits = fr->hits;
    nq_rc rc;

    nq_assert(b->state == BATCH_RAN);
    if (b->scratch == NULL)
        b->scratch = row_scratch_new();
    b->into = &b->filled;
    b->into_bits = &b->filled_bits;
    rc = b->scan.is_far ? fill_range(b) : fill_gaps(b);
    b->m->stats.far_ns += clock_mono_ns() - began;
    b->m->stats.far_hits += fr->hits - hits;
    if (rc == NQ_AGAIN || rc == NQ_MISS)
        return rc;
    if (b->rc == NQ_OK)
        b->rc = rc;
    if (b->carried_count > 0) {
        batch_carry(b);
        return NQ_OK;
    }
    if (!b->is_filled && b->rc == NQ_OK)
        return NQ_OK;
    swap_filled(b);
    b->state = BATCH_READY;
    return NQ_OK;
}
