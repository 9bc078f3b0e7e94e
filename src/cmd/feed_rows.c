/* cmd/feed_rows.c - the first answer of a feed.
 *
 * A short range is read at once, by the command that subscribes: its rows are
 * what they are at the position of the command.  A long one is read by workers
 * from a snapshot (db/snapshot.h), in batches, each when the one before it has
 * room in the client's output; what changes meanwhile is read from the log
 * behind the snapshot's position.  Either way a row is told as of one position,
 * and every change behind it follows.
 *
 * I1 At most one batch is on its way, and none while there is no room.
 * I2 A worker sees a struct encoding, which outlives the scan.
 *
 * Called by cmd/cmd_feed, cmd/feed_sub. */
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/feed_int.h"
#include "cmd/reply.h"
#include "db/snapshot.h"

#define SHORT_KEYS 500u          /* of a range that is read at once */
#define SHORT_BYTES (512u << 10) /* of its values and of its messages */
#define BATCH_ROWS 500u
#define BATCH_BYTES (32u << 10)
#define VALUE_MAX (64u << 20)

/* What a worker needs to tell a row. */
struct encoding {
    struct feed *feed; /* a reference; its paths and channel are read */
    lsn at;
    uint8_t resp;
};

struct feed_rows {
    /* Of a short range: messages, each behind its length; `done` bytes of
     * them are put. */
    struct buf bodies;
    size_t done;
    /* Of a long one. */
    struct feed_sub *sub; /* NULL: it is short */
    struct snapshot_wait wait;
    struct snapshot *snapshot;
    struct snapshot_scan *scan;
    struct encoding *encoding; /* of the scan */
    struct feed_chunk *batch;  /* read, not put yet; NULL: none */
    uint64_t batch_rows;
    nq_rc rc;
    bool is_reading, is_over;
};

/* --- a short range ---------------------------------------------------------
 */

struct reading {
    struct req *rq;
    const struct select *sel;
    struct row_scratch *scratch;
    struct buf body, bodies;
    unsigned needs;
    uint64_t keys;
};

static void
put_row(struct reading *rd, const struct row *row)
{
    const struct select *sel = rd->sel;
    struct feed_returns ret = {sel->return_count, sel->returns, rd->scratch};

    row_scratch_next(rd->scratch);
    if (sel->where != NULL &&
        program_run(sel->where, row, rd->scratch) != TRUTH_TRUE)
        return;
    feed_message_row(&rd->body, changes_head(rd->rq->engine->changes), row,
                     &ret);
    buf_put_varint(&rd->bodies, rd->body.len);
    buf_put_slice(&rd->bodies, buf_slice(&rd->body));
}

static nq_rc
read_far(struct reading *rd, struct slice key)
{
    struct req *rq = rd->rq;
    struct row_fields fields;
    struct row row;
    nq_rc rc = db_row_far(rq->db, rq->dbi, key, rd->needs, SHORT_BYTES,
                          rq->arena, &fields, &row);

    if (rc == NQ_OK) {
        put_row(rd, &row);
        rc = db_row_check(&fields);
    }
    db_row_end(&fields);
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

static nq_rc
read_row(struct reading *rd, struct slice key, const struct record *rec)
{
    struct row_fields fields;
    struct row row;

    switch (
        db_row_near(key, rec, rd->needs, db_now(rd->rq->db), &fields, &row)) {
    case ROW_OVER:
        break;
    case ROW_NEAR:
        put_row(rd, &row);
        break;
    case ROW_FAR:
        return read_far(rd, key);
    }
    return NQ_OK;
}

/* NQ_AGAIN: it is too long for this. */
static nq_rc
read_range(struct reading *rd)
{
    const struct range *r = &rd->sel->range;
    struct btree_cursor c;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(rd->rq->db, rd->rq->dbi));
    rc = btree_seek(&c, r->lo, false);
    while (rc == NQ_OK && c.valid && range_has(r, c.key)) {
        struct record rec;

        if (rd->keys++ == SHORT_KEYS || rd->bodies.len > SHORT_BYTES)
            rc = NQ_AGAIN;
        else if ((rc = btree_record(&c, &rec)) == NQ_OK &&
                 (rc = read_row(rd, c.key, &rec)) == NQ_OK)
            rc = btree_next(&c);
    }
    btree_cursor_fini(&c);
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
feed_rows_read(struct req *rq, const struct select *sel, struct feed_rows **out)
{
    struct reading rd = {.rq = rq,
                         .sel = sel,
                         .scratch = rq->engine->feeds->scratch,
                         .needs = select_needs(sel)};
    nq_rc rc;

    if (sel->return_count == 0)
        rd.needs |= ROW_VALUE | ROW_FIELDS;
    rc = read_range(&rd);
    *out = NULL;
    if (rc == NQ_OK) {
        *out = nq_calloc(1, sizeof **out);
        (*out)->bodies = rd.bodies;
        rd.bodies = BUF_INIT;
    }
    buf_fini(&rd.bodies);
    buf_fini(&rd.body);
    return rc == NQ_AGAIN || rc == NQ_ETOOLONG ? NQ_OK : rc;
}

static nq_rc
send_short(struct feed_sub *sub, struct feed_rows *r)
{
    struct buf *body = &sub->feed->all->body;

    while (r->done < r->bodies.len) {
        struct cursor c =
            cursor_of(slice_of(r->bodies.p + r->done, r->bodies.len - r->done));
        struct slice text;
        bool is_whole;

        if (!feed_sub_has_room(sub)) {
            pressure_wait_room(sub->s, &sub->room);
            return NQ_AGAIN;
        }
        is_whole = cursor_get_slice(&c, &text);
        nq_assert(is_whole);
        buf_clear(body);
        buf_put_slice(body, text);
        feed_sub_put_body(sub);
        r->done = r->bodies.len - cursor_left(&c);
    }
    return NQ_OK;
}

/* --- a long range ----------------------------------------------------------
 */

/* snapshot_tell_fn: the whole message. */
static void
tell_row(const void *arg, const struct row *row, struct row_scratch *scratch,
         struct buf *out)
{
    const struct encoding *en = arg;
    const struct feed *f = en->feed;
    struct feed_returns ret = {f->return_count, f->returns, scratch};
    struct buf body = BUF_INIT;

    feed_message_row(&body, en->at, row, &ret);
    out->len += feed_head(f->channel, en->resp, body.len,
                          buf_reserve(out, FEED_HEAD_MAX));
    buf_put_slice(out, buf_slice(&body));
    buf_put_str(out, "\r\n");
    buf_fini(&body);
}

static void
free_encoding(void *arg)
{
    struct encoding *en = arg;

    feed_unref(en->feed);
    nq_free(en);
}

static void
on_snapshot(struct snapshot_wait *w, struct snapshot *snap, nq_rc rc)
{
    struct feed_rows *r = nq_container(w, struct feed_rows, wait);
    struct feed_sub *sub = r->sub;

    r->rc = rc;
    if (rc == NQ_OK) {
        r->snapshot = snap;
        sub->at = sub->ready_at = snapshot_lsn(snap) - 1;
    }
    feed_sub_wake(sub);
}

static void
begin_scan(struct feed_sub *sub, struct feed_rows *r)
{
    const struct feed *f = sub->feed;
    struct encoding *en = nq_calloc(1, sizeof *en);
    struct snapshot_scan_opts o = {
        .dbi = f->db,
        .lo = f->range.lo,
        .hi = f->range.hi,
        .has_hi = f->range.has_hi,
        .where = f->where,
        .needs = f->needs,
        .limit = UINT64_MAX,
        .value_max = VALUE_MAX,
        .tell = tell_row,
        .arg = en,
        .free = free_encoding,
    };

    *en = (struct encoding){feed_ref(sub->feed), sub->at, sub->s->resp};
    r->encoding = en;
    r->scan = snapshot_scan_new(r->snapshot, &o);
}

static void
on_batch(void *arg, struct snapshot_batch *b)
{
    struct feed_rows *r = arg;
    size_t len = b->out->len;

    r->is_reading = false;
    r->rc = b->rc;
    r->is_over = b->is_over;
    if (b->rc == NQ_OK && len > 0) {
        r->batch = feed_chunk_new(len);
        r->batch_rows = b->rows;
        memcpy(r->batch->bytes, b->out->p, len);
        r->batch->len = len;
    }
    feed_sub_wake(r->sub);
}

struct feed_rows *
feed_rows_ask(struct feed_sub *sub)
{
    struct feed_rows *r = nq_calloc(1, sizeof *r);

    r->sub = sub;
    r->wait.ready = on_snapshot;
    snapshot_take(sub->s->engine->db, &r->wait);
    return r;
}

static void
put_batch(struct feed_sub *sub, struct feed_rows *r)
{
    if (r->batch == NULL)
        return;
    feed_sub_put(sub, r->batch, 0, r->batch->len, r->batch_rows);
    feed_chunk_unref(r->batch);
    r->batch = NULL;
}

static nq_rc
send_long(struct feed_sub *sub, struct feed_rows *r)
{
    if (r->rc != NQ_OK)
        return r->rc;
    if (r->snapshot == NULL || r->is_reading)
        return NQ_AGAIN;
    if (r->encoding != NULL && r->encoding->resp != sub->s->resp)
        return NQ_ECLOSED; /* HELLO: rows are written in the old protocol */
    if (!feed_sub_has_room(sub)) {
        pressure_wait_room(sub->s, &sub->room);
        return NQ_AGAIN;
    }
    put_batch(sub, r);
    if (r->is_over)
        return NQ_OK;
    if (r->scan == NULL)
        begin_scan(sub, r);
    r->is_reading = true;
    snapshot_scan_more(r->scan, BATCH_ROWS, BATCH_BYTES, on_batch, r);
    return NQ_AGAIN;
}

/* --- both ------------------------------------------------------------------
 */

nq_rc
feed_rows_send(struct feed_sub *sub)
{
    struct feed_rows *r = sub->rows;

    return r->sub == NULL ? send_short(sub, r) : send_long(sub, r);
}

void
feed_rows_free(struct feed_rows *r)
{
    if (r == NULL)
        return;
    if (r->sub != NULL)
        snapshot_take_end(&r->wait);
    snapshot_scan_free(r->scan);
    snapshot_unref(r->snapshot);
    feed_chunk_unref(r->batch);
    buf_fini(&r->bodies);
    nq_free(r);
}
