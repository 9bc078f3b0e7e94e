/* cmd/matching_run.c - testing rows and taking those that match: on workers,
 * and of far rows on the loop.
 *
 * What ROWS takes, one row behind the other:
 *
 *   varint as_of, less that of the batch | varint length, key
 *   varint length, what tell() made
 *
 * What BITS takes: varint length, key, of rows that match; and a bit of each.
 *
 * A row is tested with the parts that the WHERE looks at; only if it matches
 * are those wanted that are to be told.  A worker that does not have them notes
 * the key as a gap, which goes through both again on the loop.
 *
 * Called by matching_take.c (jobs) and matching_far.c. */
#include "cmd/matching_int.h"

#include "base/check.h"
#include "os/clock.h"

/* --- bits ----------------------------------------------------------------- */

void
bits_put(struct bits *b, bool bit)
{
    uint64_t word, at = b->count / 64 * 8;

    if (b->count % 64 == 0)
        buf_put_u64(&b->words, 0);
    memcpy(&word, b->words.p + at, 8);
    word |= (uint64_t)bit << b->count % 64;
    memcpy(b->words.p + at, &word, 8);
    b->count++;
}

bool
bits_get(const struct bits *b, uint64_t i)
{
    uint64_t word;

    nq_dassert(i < b->count);
    memcpy(&word, b->words.p + i / 64 * 8, 8);
    return (word >> i % 64 & 1) != 0;
}

void
bits_copy(struct bits *to, const struct bits *from, uint64_t lo, uint64_t hi)
{
    for (; lo < hi; lo++)
        bits_put(to, bits_get(from, lo));
}

/* --- rows ----------------------------------------------------------------- */

/* What a row of its type may have at all. */
bool
row_has(const struct row *r, unsigned needs)
{
    if (!r->is_hash)
        needs &= ~(unsigned)ROW_FIELDS;
    if (r->type != db_type_name(DB_STRING))
        needs &= ~(unsigned)ROW_VALUE;
    return (needs & ~(unsigned)r->has) == 0;
}

static nq_rc
tell(struct batch *b, const struct row *r, lsn as_of)
{
    const struct matching *m = b->m;
    nq_rc rc;

    buf_clear(&b->told);
    m->opts.how.tell(m->opts.how.arg, r, b->scratch, &b->told);
    if ((rc = db_row_check(&b->fields)) != NQ_OK)
        return rc;
    buf_put_varint(b->into, as_of - b->as_of);
    buf_put_varint(b->into, r->key.len);
    buf_put_slice(b->into, r->key);
    buf_put_varint(b->into, b->told.len);
    buf_put_slice(b->into, buf_slice(&b->told));
    return NQ_OK;
}

static nq_rc
fold(struct batch *b, const struct row *r)
{
    const struct matching_how *how = &b->m->opts.how;
    nq_rc rc = NQ_OK;

    if (b->fields.far != NULL) {
        (void)how->fold(how->arg, NULL, r, b->scratch);
        rc = db_row_check(&b->fields);
    }
    if (rc != NQ_OK)
        return rc;
    if (b->part == NULL)
        b->part = how->part_new(how->arg);
    b->rc = how->fold(how->arg, b->part, r, b->scratch);
    return NQ_OK;
}

static nq_rc
take(struct batch *b, const struct row *r, lsn as_of)
{
    switch (b->m->opts.what) {
    case MATCHING_ROWS:
        return tell(b, r, as_of);
    case MATCHING_FOLD:
        return fold(b, r);
    case MATCHING_BITS:
        buf_put_varint(b->into, r->key.len);
        buf_put_slice(b->into, r->key);
        break;
    case MATCHING_COUNT:
        break;
    }
    return NQ_OK;
}

nq_rc
batch_match(struct batch *b, const struct row *r, bool *matches)
{
    const struct matching *m = b->m;

    row_scratch_next(b->scratch);
    *matches = m->sel.where == NULL ||
               program_run(m->sel.where, r, b->scratch) == TRUTH_TRUE;
    return db_row_check(&b->fields);
}

nq_rc
batch_count(struct batch *b, const struct row *r, bool matches, lsn as_of)
{
    nq_rc rc;

    if (matches && (rc = take(b, r, as_of)) != NQ_OK)
        return rc;
    if (b->m->opts.what == MATCHING_BITS)
        bits_put(b->into_bits, matches);
    b->matched += matches;
    b->rows++;
    return NQ_OK;
}

/* --- leaves --------------------------------------------------------------- */

void
batch_put_gap(struct batch *b, struct slice key)
{
    buf_put_varint(&b->gaps, key.len);
    buf_put_slice(&b->gaps, key);
    buf_put_varint(&b->gaps, b->found.len);
    buf_put_varint(&b->gaps, b->bits.count);
    b->gap_count++;
}

/* A scan_fn. */
static bool
see(void *arg, struct slice key, bool is_whole, const struct record *rec)
{
    struct batch *b = arg;
    const struct matching *m = b->m;
    struct row row;
    bool matches = false;
    enum row_near near =
        db_row_near(key, rec, m->where_needs, b->scan.now_ms, &b->fields, &row);

    nq_dassert(is_whole);
    (void)is_whole;
    b->bytes += key.len + rec->val.len;
    if (near == ROW_OVER)
        return true;
    if (near == ROW_FAR || batch_match(b, &row, &matches) != NQ_OK ||
        (matches && !row_has(&row, m->tell_needs)) ||
        batch_count(b, &row, matches, b->as_of) != NQ_OK)
        batch_put_gap(b, key);
    return b->rc == NQ_OK;
}

void
batch_run(struct batch *b)
{
    const struct scan_batch *sb = &b->scan;
    uint64_t began = clock_mono_ns();

    if (b->scratch == NULL)
        b->scratch = row_scratch_new();
    for (unsigned i = 0; i < sb->count && b->rc == NQ_OK; i++) {
        const struct scan_leaf *leaf = &sb->leaves[i];

        if (__atomic_load_n(&b->m->is_cancelled, __ATOMIC_RELAXED))
            break;
        (void)scan_page(leaf->page, leaf->from, leaf->to, sb->reverse, see, b);
    }
    b->run_ns += clock_mono_ns() - began;
}
