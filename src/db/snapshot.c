/* db/snapshot.c - snapshots, and queries on them in batches.
 *
 *   snapshot_take -> pin_ask ... a checkpoint -> on_pin -> ready
 *
 *   snapshot_scan_more -> run_scan (a worker: from the last key on, until
 *   there is enough) -> scan_done (the loop) -> done
 *
 *   S1  a scan that is running belongs to its worker, but for is_orphan
 *   S2  between batches a scan keeps the last key that it looked at, and
 *       finds its place again from there: some reads of pages that the kernel
 *       has in memory
 *
 * What is read, and how, is in snapshot_rows.c and store/pin_tree.c. */
#include "db/snapshot.h"

#include "base/check.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/snapshot_int.h"
#include "os/clock.h"
#include "os/pool.h"

#define SNAPSHOT_MAGIC 0x50414e53u
#define SCAN_MAGIC 0x4e414353u
#define BATCH_NS 10000000u
#define LOOK_EACH 64u /* keys between two looks at the clock */

struct snapshot {
    uint32_t magic;
    uint32_t refs;
    struct pin *pin;
    struct store *st;
    uint64_t now_ms;
};

struct snapshot_scan {
    uint32_t magic;
    struct snapshot *snap;
    struct snapshot_scan_opts o; /* lo and hi stand in `bounds` */
    struct buf bounds;
    struct buf at; /* the last key looked at, valid if has_at */
    bool has_at, has_total;
    uint64_t to_skip, to_give; /* matching rows */
    struct snapshot_batch batch;
    struct buf out;
    /* of the batch under way */
    uint64_t rows_max;
    size_t bytes_max;
    snapshot_batch_fn *done;
    void *done_arg;
    struct job job;
    bool is_running, is_orphan, is_inside; /* inside: done() runs */
};

/* --- taking ----------------------------------------------------------------
 */

static void
on_pin(struct pin_wait *pw, struct pin *p, nq_rc rc)
{
    struct snapshot_wait *w = nq_container(pw, struct snapshot_wait, pin);
    struct snapshot *s = NULL;

    if (rc == NQ_OK) {
        s = nq_calloc(1, sizeof *s);
        *s = (struct snapshot){.magic = SNAPSHOT_MAGIC,
                               .refs = 1,
                               .pin = p,
                               .st = db_store(w->db),
                               .now_ms = nq_max(w->now_ms, pin_wall_ms(p))};
    }
    w->ready(w, s, rc);
}

void
snapshot_take(struct db *db, struct snapshot_wait *w)
{
    w->db = db;
    w->now_ms = db_now(db);
    w->pin = (struct pin_wait){.ready = on_pin};
    pin_ask(db_store(db), &w->pin);
}

void
snapshot_take_end(struct snapshot_wait *w)
{
    pin_ask_end(&w->pin);
}

struct snapshot *
snapshot_ref(struct snapshot *s)
{
    nq_assert(s->magic == SNAPSHOT_MAGIC && s->refs > 0);
    s->refs++;
    return s;
}

void
snapshot_unref(struct snapshot *s)
{
    if (s == NULL)
        return;
    nq_assert(s->magic == SNAPSHOT_MAGIC && s->refs > 0);
    if (--s->refs > 0)
        return;
    pin_unref(s->pin);
    s->magic = 0;
    nq_free(s);
}

lsn
snapshot_lsn(const struct snapshot *s)
{
    return pin_lsn(s->pin);
}

uint64_t
snapshot_now(const struct snapshot *s)
{
    return s->now_ms;
}

const char *
snapshot_broken(const struct snapshot *s)
{
    return pin_broken(s->pin);
}

/* --- a batch, on a worker ---------------------------------------------------
 */

static nq_rc
find_root(const struct snapshot_scan *sc, pgno *out)
{
    struct slice val;
    struct cursor c;
    char name[16];
    nq_rc rc = pin_catalog(sc->snap->pin, db_space_name(sc->o.dbi, name), &val);

    *out = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    c = cursor_of(val);
    return cursor_get_u32(&c, out) ? NQ_OK : NQ_ECORRUPT;
}

static nq_rc
find_total(struct snapshot_scan *sc, struct pin_tree *t)
{
    uint64_t lo, hi;
    nq_rc rc = pin_tree_rank(t, sc->o.lo, &lo);

    if (rc == NQ_OK)
        rc = sc->o.has_hi ? pin_tree_rank(t, sc->o.hi, &hi)
                          : pin_tree_count(t, &hi);
    if (rc != NQ_OK)
        return rc;
    sc->batch.total = hi > lo ? hi - lo : 0;
    sc->has_total = true;
    return NQ_OK;
}

static nq_rc
seek(struct snapshot_scan *sc, struct pin_tree *t)
{
    struct slice at = buf_slice(&sc->at);

    if (!sc->o.reverse)
        return pin_tree_seek(t, sc->has_at ? at : sc->o.lo, sc->has_at);
    if (sc->has_at)
        return pin_tree_seek_back(t, at, true);
    return sc->o.has_hi ? pin_tree_seek_back(t, sc->o.hi, true)
                        : pin_tree_last(t);
}

static bool
is_outside(const struct snapshot_scan *sc, struct slice key)
{
    if (sc->o.reverse)
        return slice_cmp(key, sc->o.lo) < 0;
    return sc->o.has_hi && slice_cmp(key, sc->o.hi) >= 0;
}

struct work {
    struct snapshot_scan *sc;
    struct pin_tree *keys;
    struct row_scratch *scratch;
    struct snapshot_reader reader;
};

/* The row that was read: tells it if it matches. */
static void
take_row(struct work *w, const struct row *row)
{
    struct snapshot_scan *sc = w->sc;

    if (sc->to_skip > 0) {
        sc->to_skip--;
        return;
    }
    sc->o.tell(sc->o.arg, row, w->scratch, &sc->out);
    sc->batch.rows++;
    sc->to_give -= sc->to_give != UINT64_MAX;
}

static nq_rc
look_at_record(struct work *w, struct slice key, const struct record *rec)
{
    struct snapshot_scan *sc = w->sc;
    unsigned needs = sc->o.needs;
    size_t mark = sc->out.len;
    struct row row;
    nq_rc rc;

    if (sc->o.where != NULL)
        needs |= program_needs(sc->o.where);
    rc = snapshot_row(&w->reader, key, rec, needs, &row);
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    row_scratch_next(w->scratch);
    if (sc->o.where == NULL ||
        program_run(sc->o.where, &row, w->scratch) == TRUTH_TRUE)
        take_row(w, &row);
    if (w->reader.rc != NQ_OK)
        sc->out.len = mark;
    return w->reader.rc;
}

static void
keep_place(struct snapshot_scan *sc, struct slice key)
{
    buf_clear(&sc->at);
    buf_put_slice(&sc->at, key);
    sc->has_at = true;
}

static bool
is_enough(const struct snapshot_scan *sc, unsigned n, uint64_t end_ns)
{
    return sc->batch.rows >= sc->rows_max || sc->out.len >= sc->bytes_max ||
           sc->to_give == 0 || (n % LOOK_EACH == 0 && clock_mono_ns() > end_ns);
}

/* NQ_NOTFOUND: the range is at its end. */
static nq_rc
walk(struct work *w, uint64_t end_ns)
{
    struct snapshot_scan *sc = w->sc;
    nq_rc rc = seek(sc, w->keys);

    for (unsigned n = 1; rc == NQ_OK; n++) {
        struct record rec;
        struct slice key;

        if ((rc = pin_tree_record(w->keys, &key, &rec)) != NQ_OK)
            return rc;
        if (is_outside(sc, key))
            return NQ_NOTFOUND;
        if ((rc = look_at_record(w, key, &rec)) != NQ_OK)
            return rc;
        sc->batch.visited++;
        if (is_enough(sc, n, end_ns)) {
            keep_place(sc, key);
            return sc->to_give == 0 ? NQ_NOTFOUND : NQ_OK;
        }
        rc = sc->o.reverse ? pin_tree_prev(w->keys) : pin_tree_next(w->keys);
    }
    return rc;
}

static void
run_scan(struct job *job)
{
    struct snapshot_scan *sc = nq_container(job, struct snapshot_scan, job);
    uint64_t end_ns = clock_mono_ns() + BATCH_NS;
    struct work w = {.sc = sc};
    pgno root;
    nq_rc rc = find_root(sc, &root);

    w.keys = pin_tree_new(sc->snap->pin, root);
    w.scratch = row_scratch_new();
    snapshot_reader_init(&w.reader, sc->snap->pin, sc->snap->now_ms,
                         sc->o.value_max);
    if (rc == NQ_OK && !sc->has_total)
        rc = find_total(sc, w.keys);
    if (rc == NQ_OK)
        rc = sc->to_give == 0 ? NQ_NOTFOUND : walk(&w, end_ns);
    sc->batch.is_over = rc != NQ_OK;
    sc->batch.rc = rc == NQ_NOTFOUND ? NQ_OK : rc;
    snapshot_reader_fini(&w.reader);
    row_scratch_free(w.scratch);
    pin_tree_free(w.keys);
}

/* --- scans on the loop ------------------------------------------------------
 */

static void
free_scan(struct snapshot_scan *sc)
{
    if (sc->o.free != NULL)
        sc->o.free(sc->o.arg);
    program_unref(sc->o.where);
    snapshot_unref(sc->snap);
    buf_fini(&sc->bounds);
    buf_fini(&sc->at);
    buf_fini(&sc->out);
    sc->magic = 0;
    nq_free(sc);
}

static void
scan_done(struct job *job)
{
    struct snapshot_scan *sc = nq_container(job, struct snapshot_scan, job);

    nq_assert(sc->magic == SCAN_MAGIC);
    pin_leave(sc->snap->pin);
    sc->is_running = false;
    sc->batch.out = &sc->out;
    sc->batch.rows_sum += sc->batch.rows;
    if (!sc->is_orphan) {
        sc->is_inside = true;
        sc->done(sc->done_arg, &sc->batch);
        sc->is_inside = false;
    }
    if (sc->is_orphan && !sc->is_running)
        free_scan(sc);
}

/* The snapshot is broken: a worker has nothing to do but come back. */
static void
run_broken(struct job *job)
{
    struct snapshot_scan *sc = nq_container(job, struct snapshot_scan, job);

    sc->batch.is_over = true;
    sc->batch.rc = NQ_ECLOSED;
}

struct snapshot_scan *
snapshot_scan_new(struct snapshot *s, const struct snapshot_scan_opts *o)
{
    struct snapshot_scan *sc = nq_calloc(1, sizeof *sc);

    sc->magic = SCAN_MAGIC;
    sc->snap = snapshot_ref(s);
    sc->o = *o;
    if (o->where != NULL)
        sc->o.where = program_ref(o->where);
    buf_put_slice(&sc->bounds, o->lo);
    if (o->has_hi)
        buf_put_slice(&sc->bounds, o->hi);
    sc->o.lo = slice_of(sc->bounds.p, o->lo.len);
    if (o->has_hi)
        sc->o.hi = slice_of(sc->bounds.p + o->lo.len, o->hi.len);
    sc->to_skip = o->offset;
    sc->to_give = o->limit;
    return sc;
}

void
snapshot_scan_more(struct snapshot_scan *sc, uint64_t rows, size_t bytes,
                   snapshot_batch_fn *done, void *arg)
{
    nq_assert(sc->magic == SCAN_MAGIC && !sc->is_running && !sc->is_orphan);
    sc->rows_max = nq_max(rows, 1u);
    sc->bytes_max = bytes;
    sc->done = done;
    sc->done_arg = arg;
    sc->batch.rows = 0;
    buf_clear(&sc->out);
    sc->is_running = true;
    sc->job =
        (struct job){.run = pin_enter(sc->snap->pin) ? run_scan : run_broken,
                     .done = scan_done};
    pool_submit(store_workers(sc->snap->st), &sc->job, POOL_LONG);
}

void
snapshot_scan_free(struct snapshot_scan *sc)
{
    if (sc == NULL)
        return;
    nq_assert(sc->magic == SCAN_MAGIC && !sc->is_orphan);
    if (sc->is_running || sc->is_inside)
        sc->is_orphan = true;
    else
        free_scan(sc);
}
