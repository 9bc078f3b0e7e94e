/* cmd/grover_gather.c - the rows that a quantum search is about.
 *
 * What is collected depends on what is planned:
 *
 *   simulation of FIND, SPECTRUM   a bit a row, and the keys of matches (BITS)
 *   classical FIND                 the first keys and the number of matches
 *   LEAST, GREATEST                keys and numbers of rows that have one, and
 *                                  the best of them; classical: only that
 *
 * Rows of LEAST and GREATEST are those whose path is a number. */
#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "cmd/grover_run_int.h"
#include "os/clock.h"
#include "store/store.h"

#define ROWS_PER_LOOK 128u /* between two looks at the clock */
#define NUMBERS_LEAST 1024u
#define REST_NUMBERS 32768u /* more of them are freed by a worker */

/* --- the path --------------------------------------------------------------
 */

/* Appends the number of the path, if the row has one. */
static void
tell_number(const void *arg, const struct row *row, struct row_scratch *s,
            struct buf *out)
{
    const struct grover_path *p = arg;
    struct value v = path_value(p->path, row, s);
    double number = v.number;

    if (v.kind != VALUE_NUMBER &&
        (v.kind != VALUE_BYTES || !value_number_of(v.text, &number)))
        return;
    if (isfinite(number))
        buf_put(out, &number, sizeof number);
}

static void
drop_path(void *arg)
{
    struct grover_path *p = arg;

    if (--p->refs > 0)
        return;
    path_free(p->path);
    nq_free(p);
}

/* --- matchings -------------------------------------------------------------
 */

static struct matching *
open_range(struct grover_run *r, const struct range *range,
           enum matching_what what, uint64_t memory)
{
    struct select sel = {.range = *range,
                         .want_keys = true,
                         .count = -1,
                         .where =
                             r->where == NULL ? NULL : program_ref(r->where)};
    struct matching_opts opts = {
        .what = what, .memory = memory, .has_no_plan = true};
    struct matching *m;

    if (r->path != NULL) {
        r->path->refs++;
        opts.how = (struct matching_how){.arg = r->path,
                                         .needs = path_needs(r->path->path),
                                         .tell = tell_number,
                                         .free = drop_path};
    }
    opts.wake = grover_run_wake;
    opts.wake_arg = r;
    m = matching_open(r->engine, r->dbi, &sel, &opts);
    return m;
}

struct matching *
grover_gather_one(struct grover_run *r, struct slice key)
{
    struct buf behind = BUF_INIT;
    struct matching *m;
    struct range range;

    buf_put_slice(&behind, key);
    buf_put_u8(&behind, 0);
    range = (struct range){.lo = key, .hi = buf_slice(&behind), .has_hi = true};
    m = open_range(r, &range, MATCHING_ROWS, 0);
    buf_fini(&behind);
    return m;
}

void
grover_gather_begin(struct grover_run *r)
{
    struct range range = {
        .lo = buf_slice(&r->lo), .hi = buf_slice(&r->hi), .has_hi = r->has_hi};

    range.is_empty = r->has_hi && slice_cmp(range.lo, range.hi) >= 0;
    matching_close(r->rows);
    r->what =
        r->path == NULL && r->plan.simulates ? MATCHING_BITS : MATCHING_ROWS;
    r->scan_began = clock_mono_us();
    r->result.rows = r->result.matches = 0;
    r->rows = open_range(
        r, &range, r->what,
        r->what == MATCHING_BITS
            ? nq_max(r->engine->grover->limits.state_bytes, (uint64_t)1)
            : 0);
}

/* --- rows one by one -------------------------------------------------------
 */

static void
put_key(struct buf *out, struct slice key)
{
    buf_put_varint(out, key.len);
    buf_put_slice(out, key);
}

/* Memory on its way out. */
struct rest {
    struct job job;
    struct buf keys;
    double *numbers;
};

static void
free_rest(struct job *j)
{
    struct rest *rest = nq_container(j, struct rest, job);

    buf_fini(&rest->keys);
    nq_free(rest->numbers);
}

static void
rest_done(struct job *j)
{
    nq_free(nq_container(j, struct rest, job));
}

/* Much of it is freed by a worker: giving a million numbers and keys back to
 * the system takes milliseconds. */
static void
forget_numbers(struct grover_run *r)
{
    struct rest *rest = nq_calloc(1, sizeof *rest);
    struct store *st = r->engine->store;

    *rest = (struct rest){.job = {.run = free_rest, .done = rest_done},
                          .keys = r->keys,
                          .numbers = r->numbers};
    r->keys = BUF_INIT;
    r->numbers = NULL;
    if (st != NULL && r->room > REST_NUMBERS) {
        pool_submit(store_workers(st), &rest->job, POOL_LONG);
    } else {
        free_rest(&rest->job);
        rest_done(&rest->job);
    }
    r->room = 0;
}

static void
keep_number(struct grover_run *r, struct slice key, double number)
{
    const struct grover_limits *l = &r->engine->grover->limits;
    uint64_t n = r->result.rows;

    if (!r->plan.simulates || r->is_crowded)
        return;
    if (r->keys.len + key.len + (n + 1) * sizeof number > l->state_bytes ||
        n >> nq_min(l->max_qubits, 63u) != 0) {
        r->is_crowded = true;
        forget_numbers(r);
        return;
    }
    if (n == r->room) {
        r->room = nq_max(2 * r->room, (uint64_t)NUMBERS_LEAST);
        r->numbers = nq_realloc(r->numbers, r->room * sizeof *r->numbers);
    }
    r->numbers[n] = number;
    put_key(&r->keys, key);
}

static void
take_number(struct grover_run *r, const struct matched *row)
{
    bool is_greatest = r->query.kind == GROVER_GREATEST;
    double number;

    if (row->told.len != sizeof number)
        return;
    memcpy(&number, row->told.p, sizeof number);
    keep_number(r, row->key, number);
    if (r->result.rows++ > 0 &&
        (is_greatest ? number <= r->best_number : number >= r->best_number))
        return;
    r->best_number = number;
    buf_clear(&r->best);
    put_key(&r->best, row->key);
}

static void
take_key(struct grover_run *r, const struct matched *row)
{
    r->result.matches++;
    if (r->result.key_count >= r->query.count)
        return;
    r->result.key_count++;
    put_key(&r->result.keys, row->key);
}

static nq_rc
gather_rows(struct grover_run *r)
{
    uint64_t until = clock_mono_ns() + REQ_SLICE_NS;
    struct matched row;
    nq_rc rc;

    for (unsigned n = 1; (rc = matching_next(r->rows, &row)) == NQ_OK; n++) {
        if (r->path != NULL)
            take_number(r, &row);
        else
            take_key(r, &row);
        if (n % ROWS_PER_LOOK == 0 && clock_mono_ns() > until)
            return NQ_EHELD;
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* --- rows as bits ----------------------------------------------------------
 */

static nq_rc
gather_bits(struct grover_run *r)
{
    nq_rc rc = matching_finish(r->rows);
    const uint64_t *words;
    uint64_t rows;

    if (rc != NQ_OK)
        return rc;
    words = matching_bits(r->rows, &rows);
    oracle_copy(&r->all, words, rows);
    r->result.rows = rows;
    r->result.matches = r->all.marked;
    return NQ_OK;
}

/* The keys of the matches are too many to be kept: a scan needs none. */
static nq_rc
begin_again(struct grover_run *r)
{
    r->is_crowded = true;
    r->plan.simulates = false;
    r->plan.is_limit = true;
    grover_gather_begin(r);
    return NQ_EHELD;
}

nq_rc
grover_gather(struct grover_run *r)
{
    bool has_bits = r->what == MATCHING_BITS;
    nq_rc rc = has_bits ? gather_bits(r) : gather_rows(r);
    struct matching_stats st;

    if (rc == NQ_ETOOMUCH && has_bits)
        return begin_again(r);
    if (rc != NQ_OK)
        return rc;
    matching_get_stats(r->rows, &st);
    r->result.looked_at = st.rows;
    r->result.scan_us = clock_mono_us() - r->scan_began;
    if (!has_bits && r->path == NULL)
        r->result.rows = st.rows;
    if (r->path != NULL)
        r->result.matches = r->result.rows > 0;
    return NQ_OK;
}

void
grover_gather_end(struct grover_run *r)
{
    matching_close(r->rows);
    matching_close(r->check);
    r->rows = r->check = NULL;
    if (r->path != NULL)
        drop_path(r->path);
    r->path = NULL;
    forget_numbers(r);
    buf_fini(&r->best);
    buf_fini(&r->checked);
    buf_fini(&r->lo);
    buf_fini(&r->hi);
    program_unref(r->where);
    r->where = NULL;
}
