/* cmd/cmd_cursor.c - NQ.CURSOR: a query whose rows its client fetches some at
 * a time.
 *
 *   OPEN selector [WHERE ...] [RETURN ...] [LIMIT ...] [REV] [SNAPSHOT]
 *        -> id, lsn (of the snapshot, else null), percent
 *   READ id n
 *        -> id, rows (given so far), percent, done, data: up to n rows, fewer
 *           only at the end or when they take READ_BYTES
 *   CLOSE id, LIST
 *
 * A cursor that says done = 1 is closed by that.  READ waits until it has its
 * rows; what it collected is the state of its request. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/cursors.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"

#define READ_MAGIC 0x44524351u
#define READ_BYTES (1u << 20)
#define ROWS_PER_LOOK 64u /* between two looks at the clock */

/* --- OPEN -------------------------------------------------------------------
 */

/* The request waits for its cursor, which goes if the client does. */
struct waiting {
    uint32_t magic;
    struct engine *engine;
    uint64_t id, session_id;
    struct buf rows;
    uint64_t count;
};

static void
free_waiting(void *state)
{
    struct waiting *w;

    NQ_CAST(w, state, READ_MAGIC);
    buf_fini(&w->rows);
    nq_free(w);
}

static struct waiting *
waiting_of(struct req *rq, uint64_t id)
{
    struct waiting *w = rq->state;

    if (w == NULL) {
        w = nq_calloc(1, sizeof *w);
        w->magic = READ_MAGIC;
        w->id = id;
        rq->state = w;
        rq->free_state = free_waiting;
    }
    NQ_CAST(w, rq->state, READ_MAGIC);
    return w;
}

static struct cursor *
find(struct req *rq, struct slice id)
{
    struct cursor *c = cursor_find(rq, id, CURSOR_PULL);

    if (c == NULL)
        reply_error(rq, "-NOCURSOR this connection has no cursor of that id: "
                        "it is at its end, was closed, or was idle for too "
                        "long");
    return c;
}

static struct slice
id_text(uint64_t id, char dst[24])
{
    return slice_of(dst, i64_to_text(dst, (int64_t)id));
}

static void
put_percent(struct req *rq, double percent)
{
    reply_bulk_str(rq, "percent");
    reply_bulk_printf(rq, "%.1f", percent);
}

static void
put_lsn(struct req *rq, lsn at)
{
    reply_bulk_str(rq, "lsn");
    if (at == 0)
        reply_null(rq);
    else
        reply_bulk_printf(rq, "%llu", (unsigned long long)at);
}

static void
fail(struct req *rq, struct cursor *c, nq_rc rc)
{
    reply_error(rq, "%s", source_error(c->source, rc));
    cursor_close(c);
}

static void
reply_opened(struct req *rq, struct cursor *c)
{
    struct source_progress p;

    source_get_progress(c->source, &p);
    reply_map(rq, 3);
    reply_bulk_str(rq, "id");
    reply_int(rq, (int64_t)c->id);
    put_lsn(rq, p.at);
    put_percent(rq, p.percent);
}

void
cmd_nq_cursor_open(struct req *rq)
{
    static const char *const own[] = {"SNAPSHOT", NULL};
    struct cursor *c;
    char text[24];
    uint32_t i = 2;

    if (rq->state == NULL) {
        c = cursor_open(rq, &i, own, CURSOR_PULL);
        if (c == NULL)
            return;
        if (i < rq->argc) {
            cursor_close(c);
            reply_syntax(rq);
            return;
        }
        waiting_of(rq, c->id);
    } else {
        c = find(rq, id_text(waiting_of(rq, 0)->id, text));
        if (c == NULL)
            return;
    }
    c->is_blocking = !source_is_open(c->source);
    if (c->is_blocking)
        req_block(rq);
    else if (source_failure(c->source) != NQ_OK)
        fail(rq, c, source_failure(c->source));
    else
        reply_opened(rq, c);
}

/* --- READ -------------------------------------------------------------------
 */

static void
reply_rows(struct req *rq, struct cursor *c, struct waiting *w, bool is_over)
{
    struct cursors_stats *st = cursors_stats(rq->engine);
    struct source_progress p;

    db_gate_all(rq->db, c->dbi);
    source_get_progress(c->source, &p);
    reply_map(rq, 5);
    reply_bulk_str(rq, "id");
    reply_int(rq, (int64_t)c->id);
    reply_bulk_str(rq, "rows");
    c->given += w->count;
    reply_int(rq, (int64_t)c->given);
    put_percent(rq, p.percent);
    reply_bulk_str(rq, "done");
    reply_int(rq, is_over);
    reply_bulk_str(rq, "data");
    reply_array(rq, w->count * source_values(c->source));
    reply_raw(rq, buf_slice(&w->rows));
    st->rows += w->count;
    st->bytes += w->rows.len;
    cursor_touch(c);
    if (is_over)
        cursor_close(c);
}

/* NQ_OK: there are as many as wanted.  NQ_AGAIN: the request waits, or has
 * yielded. */
static nq_rc
collect(struct req *rq, struct cursor *c, struct waiting *w, uint64_t n)
{
    struct slice row;
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && w->count < n && w->rows.len < READ_BYTES) {
        if ((rc = source_next(c->source, &row)) != NQ_OK)
            break;
        buf_put_slice(&w->rows, row);
        w->count++;
        if (w->count % ROWS_PER_LOOK == 0 && req_should_yield(rq)) {
            req_yield(rq);
            return NQ_AGAIN;
        }
    }
    return rc;
}

static bool
parse_rows(struct req *rq, int64_t *n)
{
    if (slice_to_i64(rq->argv[3], n) && *n > 0)
        return true;
    reply_error(rq, "the number of rows to read is a positive number");
    return false;
}

void
cmd_nq_cursor_read(struct req *rq)
{
    struct cursor *c = find(rq, rq->argv[2]);
    struct waiting *w;
    int64_t n;
    nq_rc rc;

    if (c == NULL || !parse_rows(rq, &n))
        return;
    if (c->resp != rq->s->resp) {
        reply_error(rq,
                    "the protocol was switched since the cursor was opened");
        return;
    }
    w = waiting_of(rq, c->id);
    rc = collect(rq, c, w, (uint64_t)n);
    c->is_blocking = rc == NQ_AGAIN && rq->outcome != REQ_YIELD;
    if (c->is_blocking)
        req_block(rq);
    else if (rc == NQ_OK)
        reply_rows(rq, c, w, source_is_over(c->source));
    else if (rc == NQ_NOTFOUND)
        reply_rows(rq, c, w, true);
    else if (rc != NQ_AGAIN)
        fail(rq, c, rc);
}

/* --- CLOSE and LIST ----------------------------------------------------------
 */

void
cmd_nq_cursor_close(struct req *rq)
{
    struct cursor *c = find(rq, rq->argv[2]);

    if (c == NULL)
        return;
    cursor_close(c);
    reply_ok(rq);
}

struct listing_of_cursors {
    struct req *rq;
    uint64_t count, now_ms;
};

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static void
put_cursor(void *arg, struct cursor *c)
{
    struct listing_of_cursors *l = arg;
    struct req *rq = l->rq;
    struct source_progress p;

    source_get_progress(c->source, &p);
    l->count++;
    reply_map(rq, 9);
    put_number(rq, "id", c->id);
    reply_bulk_str(rq, "kind");
    reply_bulk_str(rq, c->kind == CURSOR_PULL ? "cursor" : "stream");
    put_number(rq, "client", c->s->id);
    put_number(rq, "db", c->dbi);
    put_lsn(rq, p.at);
    put_number(rq, "rows", c->given);
    put_percent(rq, p.percent);
    put_number(rq, "age-ms", l->now_ms - c->opened_ms);
    put_number(rq, "idle-ms", l->now_ms - nq_min(c->used_ms, l->now_ms));
}

void
cmd_nq_cursor_list(struct req *rq)
{
    struct reply_deferred d = reply_array_begin(rq);
    struct listing_of_cursors l = {.rq = rq, .now_ms = clock_mono_ms()};

    cursors_each(rq->engine, NULL, put_cursor, &l);
    reply_array_end(rq, d, l.count);
}

void
cmd_nq_cursor_help(struct req *rq)
{
    static const char *const lines[] = {
        "OPEN PREFIX <p> | RANGE <start> <end> [WHERE ...] [RETURN ...]",
        "        [LIMIT <offset> <count>] [REV] [KEYSONLY | VALUESONLY] "
        "[SNAPSHOT]",
        "    Open a query; with SNAPSHOT all its rows are as of one moment.",
        "READ <id> <n>",
        "    The next n rows; done = 1: that was all, and it is closed.",
        "CLOSE <id>",
        "    End it.",
        "LIST",
        "    What is open, of all clients, streams included.",
        NULL,
    };

    reply_help(rq, lines);
}
