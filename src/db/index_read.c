/* db/index_read.c - the keys that an index tells for some values, in their
 * order.
 *
 * Entries stand in the order of values, so keys are collected first, in slices,
 * into runs of RUN_KEYS that are sorted as they fill up, and merged when they
 * are asked for.
 *
 * So that no row is lost that matches all the time, candidates are besides:
 *
 *   R1  keys that wait to be entered when it begins: their entries are old
 *   R2  keys whose entry changes while it collects: one may move from before
 *       the cursor to behind it
 *   R3  rows whose value is too long to be looked at
 *
 * A key may be collected more than once and is told once.  Called by the
 * engine of queries. */
#include <stdlib.h>

#include "base/mem.h"
#include "db/index_int.h"
#include "os/clock.h"

#define RUN_KEYS 4096u
#define KEYS_PER_LOOK 128u /* between two looks at the clock */
#define KEY_COST 16u       /* bytes of memory besides the key's */

struct run_key {
    uint64_t head; /* bytes behind the prefix, big-endian */
    uint32_t off, len;
};

struct index_run {
    struct buf bytes;
    struct run_key *keys;
    unsigned count, at; /* at: told so far */
};

struct index_reader {
    struct list link;    /* in index.readers, while it collects */
    struct index *index; /* NULL: collected, or gone */
    struct index_bounds *bounds;
    unsigned count, at; /* at: the one that is read */
    bool has_sought, is_taken, is_gone, reverse;
    struct buf lo, hi;
    bool has_hi;
    size_t prefix_len, limit, bytes, keys;
    struct btree_cursor cursor;
    struct index_run *runs;
    unsigned run_count, run_cap;
    unsigned *heap; /* runs that have more, the next one first; NULL: not yet */
    unsigned heap_count;
    struct slice last; /* told last */
    bool has_last;
};

/* --- runs ----------------------------------------------------------------- */

static struct slice
key_of(const struct index_run *run, const struct run_key *k)
{
    return slice_of(run->bytes.p + k->off, k->len);
}

static int
compare_keys(const struct index_run *a, const struct run_key *x,
             const struct index_run *b, const struct run_key *y)
{
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    return slice_cmp(key_of(a, x), key_of(b, y));
}

static int
compare_in_run(const void *a, const void *b, void *run)
{
    return compare_keys(run, a, run, b);
}

static void
sort_run(struct index_run *run)
{
    qsort_r(run->keys, run->count, sizeof *run->keys, compare_in_run, run);
}

static struct index_run *
open_run(struct index_reader *r)
{
    struct index_run *run;

    if (r->run_count > 0) {
        run = &r->runs[r->run_count - 1];
        if (run->count < RUN_KEYS)
            return run;
        sort_run(run);
    }
    if (r->run_count == r->run_cap) {
        r->run_cap = nq_max(4u, 2 * r->run_cap);
        r->runs = nq_realloc(r->runs, r->run_cap * sizeof *r->runs);
    }
    run = &r->runs[r->run_count++];
    *run = (struct index_run){.count = 0};
    return run;
}

/* The bytes that tell keys of one prefix apart. */
static uint64_t
head_of(struct slice key, size_t skip)
{
    uint8_t bytes[8] = {0};

    memcpy(bytes, key.p + skip, nq_min(key.len - skip, sizeof bytes));
    return (uint64_t)bytes[0] << 56 | (uint64_t)bytes[1] << 48 |
           (uint64_t)bytes[2] << 40 | (uint64_t)bytes[3] << 32 |
           (uint64_t)bytes[4] << 24 | (uint64_t)bytes[5] << 16 |
           (uint64_t)bytes[6] << 8 | (uint64_t)bytes[7];
}

static bool
is_wanted(const struct index_reader *r, struct slice key)
{
    return slice_cmp(key, buf_slice(&r->lo)) >= 0 &&
           (!r->has_hi || slice_cmp(key, buf_slice(&r->hi)) < 0);
}

static void
take(struct index_reader *r, struct slice key)
{
    struct index_run *run;
    unsigned cap;

    if (!is_wanted(r, key))
        return;
    run = open_run(r);
    /* Powers of two: it is full whenever it has one less than it had room. */
    if (run->count == 0 ||
        (run->count >= 8 && (run->count & (run->count - 1)) == 0)) {
        cap = nq_max(8u, 2 * run->count);
        run->keys = nq_realloc(run->keys, cap * sizeof *run->keys);
    }
    run->keys[run->count++] =
        (struct run_key){head_of(key, r->prefix_len), (uint32_t)run->bytes.len,
                         (uint32_t)key.len};
    buf_put_slice(&run->bytes, key);
    r->keys++;
    r->bytes += key.len + KEY_COST;
}

/* --- collecting ----------------------------------------------------------- */

static void
detach(struct index_reader *r)
{
    list_remove(&r->link);
    r->index = NULL;
}

void
index_tell_readers(struct index *ix, struct slice key)
{
    list_each(it, &ix->readers)
        take(nq_container(it, struct index_reader, link), key);
}

void
index_close_readers(struct index *ix)
{
    list_each(it, &ix->readers)
    {
        struct index_reader *r = nq_container(it, struct index_reader, link);

        r->is_gone = true;
        detach(r);
    }
}

/* R1 */
static void
take_waiting(struct index_reader *r)
{
    struct index *ix = r->index;

    list_each(it, &ix->all->waiting)
    {
        const struct index_key *k = nq_container(it, struct index_key, link);
        struct slice key = slice_of(k->bytes, k->len);

        if (k->dbi == ix->dbi && index_has_prefix(ix, key))
            take(r, key);
    }
}

static nq_rc
take_entry(struct index_reader *r, struct slice entry)
{
    size_t skip = index_spelling_len(r->index->kind, entry);
    struct slice key = slice_of(entry.p + skip, entry.len - skip);

    if (skip == 0 || !index_has_prefix(r->index, key))
        return NQ_ECORRUPT;
    take(r, key);
    return NQ_OK;
}

/* One range of values; NQ_OK: all of it. */
static nq_rc
collect_bounds(struct index_reader *r, uint64_t until_us)
{
    const struct index_bounds *b = &r->bounds[r->at];
    struct slice hi = slice_of(b->hi, b->hi_len);
    struct btree_cursor *c = &r->cursor;
    nq_rc rc = NQ_OK;

    if (!r->has_sought)
        rc = btree_seek(c, slice_of(b->lo, b->lo_len), false);
    for (unsigned n = 1; rc == NQ_OK; n++) {
        r->has_sought = true;
        if (r->is_taken && (rc = btree_next(c)) != NQ_OK)
            return rc;
        r->is_taken = false;
        if (!c->valid || slice_cmp(c->key, hi) >= 0)
            return NQ_OK;
        rc = take_entry(r, c->key);
        r->is_taken = true;
        if (r->bytes > r->limit)
            return NQ_ETOOLONG;
        if (rc == NQ_OK && n % KEYS_PER_LOOK == 0 &&
            clock_mono_us() >= until_us)
            return NQ_AGAIN;
    }
    return rc;
}

/* R3 stands behind all values. */
static bool
is_needed(const struct index_reader *r)
{
    return r->at + 1 < r->count || r->index->classes[CLASS_LONG] > 0;
}

nq_rc
index_reader_collect(struct index_reader *r, uint64_t budget_us)
{
    uint64_t until_us = clock_mono_us() + budget_us;
    struct index *ix = r->index;
    nq_rc rc = NQ_OK;

    if (r->is_gone)
        return NQ_ECLOSED;
    if (ix == NULL)
        return NQ_OK;
    while (r->at < r->count && rc == NQ_OK) {
        if (is_needed(r))
            rc = collect_bounds(r, until_us);
        if (rc == NQ_OK) {
            r->at++;
            r->has_sought = r->is_taken = false;
        }
    }
    if (rc == NQ_ECORRUPT || rc == NQ_EIO)
        index_damaged(ix, rc);
    if (rc != NQ_OK)
        return rc;
    ix->seeks++;
    ix->found += r->keys;
    detach(r);
    return NQ_OK;
}

/* --- telling -------------------------------------------------------------- */

/* Whether run `a` comes before run `b`. */
static bool
is_before(const struct index_reader *r, unsigned a, unsigned b)
{
    const struct index_run *x = &r->runs[a], *y = &r->runs[b];
    int cmp = compare_keys(x, &x->keys[x->at], y, &y->keys[y->at]);

    return r->reverse ? cmp > 0 : cmp < 0;
}

static void
sift_down(struct index_reader *r, unsigned i)
{
    for (;;) {
        unsigned child = 2 * i + 1, top = r->heap[i];

        if (child >= r->heap_count)
            return;
        if (child + 1 < r->heap_count &&
            is_before(r, r->heap[child + 1], r->heap[child]))
            child++;
        if (!is_before(r, r->heap[child], top))
            return;
        r->heap[i] = r->heap[child];
        r->heap[child] = top;
        i = child;
    }
}

/* `at` of a run that is told backwards counts down, and is beyond its end when
 * there are no more. */
static void
begin_telling(struct index_reader *r)
{
    r->heap = nq_malloc(nq_max(1u, r->run_count) * sizeof *r->heap);
    if (r->run_count > 0)
        sort_run(&r->runs[r->run_count - 1]);
    for (unsigned i = 0; i < r->run_count; i++) {
        r->runs[i].at = r->reverse ? r->runs[i].count - 1 : 0;
        r->heap[r->heap_count++] = i;
    }
    for (unsigned i = r->heap_count / 2; i-- > 0;)
        sift_down(r, i);
}

static struct slice
tell_next(struct index_reader *r)
{
    struct index_run *run = &r->runs[r->heap[0]];
    struct slice key = key_of(run, &run->keys[run->at]);

    run->at = r->reverse ? run->at - 1 : run->at + 1;
    if (run->at >= run->count)
        r->heap[0] = r->heap[--r->heap_count];
    sift_down(r, 0);
    return key;
}

bool
index_reader_next(struct index_reader *r, struct slice *key)
{
    nq_assert(r->index == NULL && !r->is_gone);
    if (r->heap == NULL)
        begin_telling(r);
    while (r->heap_count > 0) {
        *key = tell_next(r);
        if (r->has_last && slice_eq(*key, r->last))
            continue;
        r->last = *key; /* runs stay until the end */
        r->has_last = true;
        return true;
    }
    return false;
}

/* --- life ----------------------------------------------------------------- */

struct index_reader *
index_reader_new(struct db *db, const struct index_read *what)
{
    struct index_reader *r = nq_calloc(1, sizeof *r);
    struct index *ix = what->index;

    nq_assert(ix->state == INDEX_READY);
    index_settle(db->indexes); /* before it is told of that */
    r->index = ix;
    list_push_back(&ix->readers, &r->link);
    r->count = what->count + 1;
    r->bounds = nq_calloc(r->count, sizeof *r->bounds);
    memcpy(r->bounds, what->bounds, what->count * sizeof *r->bounds);
    r->bounds[what->count] = (struct index_bounds){
        .lo = {CLASS_LONG}, .hi = {CLASS_LONG + 1}, .lo_len = 1, .hi_len = 1};
    buf_put_slice(&r->lo, what->lo);
    r->has_hi = what->hi != NULL;
    if (r->has_hi)
        buf_put_slice(&r->hi, *what->hi);
    r->reverse = what->reverse;
    r->prefix_len = ix->prefix.len;
    r->limit = what->limit > 0 ? what->limit : INDEX_READ_MAX;
    btree_cursor_init(&r->cursor, &ix->values);
    take_waiting(r);
    return r;
}

size_t
index_reader_count(const struct index_reader *r)
{
    return r->keys;
}

void
index_reader_free(struct index_reader *r)
{
    if (r == NULL)
        return;
    if (r->index != NULL)
        detach(r);
    btree_cursor_fini(&r->cursor);
    for (unsigned i = 0; i < r->run_count; i++) {
        buf_fini(&r->runs[i].bytes);
        nq_free(r->runs[i].keys);
    }
    nq_free(r->runs);
    nq_free(r->heap);
    nq_free(r->bounds);
    buf_fini(&r->lo);
    buf_fini(&r->hi);
    nq_free(r);
}

/* --- counting ------------------------------------------------------------- */

nq_rc
index_count(struct index *ix, const struct index_bounds *b, uint64_t *out)
{
    uint64_t below = 0, all = 0;
    nq_rc rc = btree_rank(&ix->values, slice_of(b->lo, b->lo_len), &below);

    if (rc == NQ_OK)
        rc = btree_rank(&ix->values, slice_of(b->hi, b->hi_len), &all);
    *out = all > below ? all - below : 0;
    return rc;
}
