/* cmd/source.c - rows from a matching or from a snapshot, told apart nowhere
 * else.
 *
 * Of a snapshot: one batch is being taken while a worker makes the next one.
 *
 *   take snapshot -> on_snapshot -> [ ask -> on_batch ] ... -> over
 *
 * The first batches are small, so that the first rows are there soon.
 *
 *   R1  `now` is the batch being taken, `next` the one behind it; a worker is
 *       at work only while `next` is empty and there may be more
 *   R2  wake() is called if somebody was told NQ_AGAIN, once
 *
 * In a batch of a snapshot a row is  u32 length, bytes. */
#include "cmd/source.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/matching.h"
#include "db/snapshot.h"
#include "store/frames.h"
#include "store/store.h"

#define SOURCE_MAGIC 0x43525553u
#define ROWS_MAX 4096u /* of one batch */
#define BATCH_FIRST (8u << 10)
#define VALUE_MAX (64u << 20)

struct rows {
    struct buf bytes;
    size_t at;
    uint64_t count, taken;
    uint64_t passed; /* keys, when it is taken to its end */
};

struct source {
    uint32_t magic;
    struct engine *engine;
    struct source_opts o;
    struct row_reply *shape; /* owned by what tells the rows */
    unsigned values;
    bool is_waiting; /* R2 */
    double percent;
    bool is_over;
    /* of what is there */
    struct matching *matching;
    uint64_t to_skip, to_give;
    /* of a snapshot */
    struct snapshot_wait wait;
    struct snapshot *snap; /* NULL: not there yet */
    struct snapshot_scan *scan;
    struct select sel; /* until it is there */
    struct buf bounds; /* of its range */
    struct rows now, next;
    size_t batch;           /* bytes of the one to be asked for */
    uint64_t passed, keys;  /* before `now`; of the range */
    bool is_asked, is_last; /* a worker is at it; `next` is the last */
    nq_rc rc;               /* behind `next` */
    char error[256];
};

static void
wake(struct source *s)
{
    bool was = s->is_waiting;

    s->is_waiting = false;
    if (was)
        s->o.wake(s->o.arg);
}

/* --- snapshots -------------------------------------------------------------
 */

static void
tell_with_length(const void *arg, const struct row *r, struct row_scratch *s,
                 struct buf *out)
{
    size_t at = out->len;
    uint32_t len;

    buf_put_u32(out, 0);
    row_reply_tell(arg, r, s, out);
    len = (uint32_t)(out->len - at - sizeof len);
    memcpy(out->p + at, &len, sizeof len);
}

static void on_batch(void *arg, struct snapshot_batch *b);

static void
ask(struct source *s)
{
    if (s->is_asked || s->is_last || s->next.count > 0 || s->scan == NULL)
        return;
    s->is_asked = true;
    snapshot_scan_more(s->scan, ROWS_MAX, s->batch, on_batch, s);
    s->batch = nq_min(2 * s->batch, SOURCE_BATCH);
}

static void
on_batch(void *arg, struct snapshot_batch *b)
{
    struct source *s;
    struct buf spare;

    NQ_CAST(s, arg, SOURCE_MAGIC);
    s->is_asked = false;
    s->is_last = b->is_over;
    s->rc = b->rc;
    s->keys = b->total;
    spare = s->next.bytes;
    s->next =
        (struct rows){.bytes = *b->out, .count = b->rows, .passed = b->visited};
    *b->out = spare;
    if (b->rows == 0 && !b->is_over) {
        s->passed = nq_max(s->passed, b->visited);
        ask(s);
        return;
    }
    wake(s);
}

static void
on_snapshot(struct snapshot_wait *w, struct snapshot *snap, nq_rc rc)
{
    struct source *s = nq_container(w, struct source, wait);
    const struct select *sel = &s->sel;
    struct snapshot_scan_opts o = {
        .dbi = s->o.dbi,
        .lo = sel->range.lo,
        .hi = sel->range.hi,
        .has_hi = sel->range.has_hi,
        .reverse = sel->reverse,
        .where = sel->where,
        .offset = s->to_skip,
        .limit = sel->range.is_empty ? 0 : s->to_give,
        .value_max = VALUE_MAX,
        .needs = row_reply_needs(s->shape),
        .tell = tell_with_length,
        .arg = s->shape,
        .free = row_reply_free,
    };

    s->rc = rc;
    if (rc == NQ_OK) {
        s->snap = snap;
        s->scan = snapshot_scan_new(snap, &o);
        ask(s);
    } else {
        row_reply_free(s->shape);
        s->is_last = true;
    }
    select_fini(&s->sel);
    wake(s);
}

static void
open_snapshot(struct source *s, struct select *sel)
{
    s->sel = *sel;
    *sel = (struct select){0};
    buf_put_slice(&s->bounds, s->sel.range.lo);
    buf_put_slice(&s->bounds, s->sel.range.hi);
    s->sel.range.hi =
        slice_of(s->bounds.p + s->sel.range.lo.len, s->sel.range.hi.len);
    s->sel.range.lo = slice_of(s->bounds.p, s->sel.range.lo.len);
    s->batch = BATCH_FIRST;
    s->wait.ready = on_snapshot;
    snapshot_take(s->engine->db, &s->wait);
}

/* The batch that was taken gives way to the next one. */
static void
turn_over(struct source *s)
{
    struct rows empty = s->now;

    if (s->now.count > 0)
        s->passed = s->now.passed;
    s->now = s->next;
    s->next = (struct rows){.bytes = empty.bytes};
    ask(s);
}

static nq_rc
next_of_snapshot(struct source *s, struct slice *row)
{
    uint32_t len;

    if (s->now.taken == s->now.count)
        turn_over(s);
    if (s->now.taken == s->now.count) {
        s->is_waiting = !s->is_last;
        if (!s->is_last)
            return NQ_AGAIN;
        s->is_over = s->rc == NQ_OK;
        return s->is_over ? NQ_NOTFOUND : s->rc;
    }
    memcpy(&len, s->now.bytes.p + s->now.at, sizeof len);
    *row = slice_of(s->now.bytes.p + s->now.at + sizeof len, len);
    s->now.at += sizeof len + len;
    s->now.taken++;
    return NQ_OK;
}

/* --- what is there ---------------------------------------------------------
 */

static void
on_matching(void *arg)
{
    struct source *s;

    NQ_CAST(s, arg, SOURCE_MAGIC);
    wake(s);
}

static void
open_matching(struct source *s, struct select *sel)
{
    struct matching_opts o = {
        .what = MATCHING_ROWS,
        .how = {.arg = s->shape,
                .needs = row_reply_needs(s->shape),
                .tell = row_reply_tell,
                .free = row_reply_free},
        .memory = 2 * SOURCE_BATCH,
        .wake = on_matching,
        .wake_arg = s,
    };

    if (s->to_give != UINT64_MAX)
        o.limit = s->to_skip + s->to_give;
    s->matching = matching_open(s->engine, s->o.dbi, sel, &o);
}

static nq_rc
next_of_matching(struct source *s, struct slice *row)
{
    struct matched m;
    nq_rc rc = s->to_give == 0 ? NQ_NOTFOUND : NQ_OK;

    while (rc == NQ_OK && (rc = matching_next(s->matching, &m)) == NQ_OK) {
        if (s->to_skip > 0) {
            s->to_skip--;
            continue;
        }
        s->to_give -= s->to_give != UINT64_MAX;
        *row = m.told;
        return NQ_OK;
    }
    s->is_waiting = rc == NQ_AGAIN;
    s->is_over = rc == NQ_NOTFOUND;
    return rc;
}

/* --- both -------------------------------------------------------------------
 */

struct source *
source_open(struct engine *e, struct select *sel, const struct source_opts *o)
{
    struct source *s = nq_calloc(1, sizeof *s);

    s->magic = SOURCE_MAGIC;
    s->engine = e;
    s->o = *o;
    s->shape = row_reply_new(sel, o->resp);
    s->values = row_reply_values(s->shape);
    s->to_skip = (uint64_t)nq_max(sel->offset, (int64_t)0);
    s->to_give = sel->count < 0 ? UINT64_MAX : (uint64_t)sel->count;
    if (o->is_snapshot)
        open_snapshot(s, sel);
    else
        open_matching(s, sel);
    s->is_waiting = !source_is_open(s);
    return s;
}

void
source_close(struct source *s)
{
    if (s == NULL)
        return;
    nq_assert(s->magic == SOURCE_MAGIC);
    if (s->o.is_snapshot && s->snap == NULL && !s->is_last) {
        snapshot_take_end(&s->wait);
        row_reply_free(s->shape);
    }
    matching_close(s->matching);
    snapshot_scan_free(s->scan);
    snapshot_unref(s->snap);
    select_fini(&s->sel);
    buf_fini(&s->bounds);
    buf_fini(&s->now.bytes);
    buf_fini(&s->next.bytes);
    s->magic = 0;
    nq_free(s);
}

bool
source_is_open(const struct source *s)
{
    return !s->o.is_snapshot || s->snap != NULL || s->is_last;
}

nq_rc
source_failure(const struct source *s)
{
    return s->o.is_snapshot && s->snap == NULL ? s->rc : NQ_OK;
}

bool
source_is_over(struct source *s)
{
    if (s->o.is_snapshot)
        s->is_over =
            s->is_over || (s->is_last && s->rc == NQ_OK && s->next.count == 0 &&
                           s->now.taken == s->now.count);
    else
        s->is_over = s->is_over || s->to_give == 0;
    return s->is_over;
}

nq_rc
source_next(struct source *s, struct slice *row)
{
    nq_assert(s->magic == SOURCE_MAGIC);
    return s->o.is_snapshot ? next_of_snapshot(s, row)
                            : next_of_matching(s, row);
}

unsigned
source_values(const struct source *s)
{
    return s->values;
}

const char *
source_error(struct source *s, nq_rc rc)
{
    const char *why = s->snap == NULL ? NULL : snapshot_broken(s->snap);

    if (why != NULL)
        snprintf(s->error, sizeof s->error,
                 "-SNAPSHOTGONE the snapshot of LSN %llu was given up: %s",
                 (unsigned long long)snapshot_lsn(s->snap), why);
    else
        snprintf(s->error, sizeof s->error, "-%s %s",
                 rc_prefix(rc)[0] == '\0' ? "ERR" : rc_prefix(rc), rc_text(rc));
    return s->error;
}

/* Keys of a snapshot that were passed: of the batch being taken, its share. */
static uint64_t
passed(const struct source *s)
{
    const struct rows *b = &s->now;

    if (b->count == 0 || b->passed <= s->passed)
        return s->passed;
    return s->passed + (b->passed - s->passed) * b->taken / b->count;
}

void
source_get_progress(struct source *s, struct source_progress *out)
{
    uint64_t done = 0, total = 0;
    double percent;

    if (s->o.is_snapshot) {
        done = passed(s);
        total = s->keys;
    } else if (matching_progress(s->matching, &done, &total) != NQ_OK) {
        frames_forget_wanted(store_frames(s->engine->store));
        done = total = 0; /* a page is missing: no news */
    }
    percent = total == 0 ? 0 : 100 * (double)done / (double)total;
    if (!s->is_over)
        percent = nq_min(percent, 99.9);
    s->percent = s->is_over ? 100 : nq_max(s->percent, percent);
    *out = (struct source_progress){
        .keys = total,
        .done = done,
        .percent = s->percent,
        .at = s->snap == NULL ? 0 : snapshot_lsn(s->snap),
    };
}
