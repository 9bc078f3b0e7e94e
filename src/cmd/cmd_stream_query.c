/* cmd/cmd_stream_query.c - NQ.STREAM, NQ.CREDIT, NQ.CANCEL: a query whose rows
 * are pushed to the client as long as it has credits.
 *
 *   NQ.STREAM selector [clauses] [SNAPSHOT] [BATCH n] [CREDITS c]  -> id
 *   NQ.CREDIT id n  -> credits that there are now; 0: it is over
 *   NQ.CANCEL id    -> rows that were pushed, null: it was over; in any case
 *                      nothing follows that reply
 *
 * Pushes (RESP3), each an array of four: "nq.stream", id, what, and
 *
 *   "rows"      the values of up to BATCH rows, for one credit; fewer at the
 *               end, if they take PUSH_BYTES, or if they are old
 *   "progress"  a map: rows, percent, lsn of the snapshot (or null); about each
 *               PROGRESS_MS, for nothing
 *   "end"       a map: the same, batches, ms; the stream is closed
 *   "error"     the text of an error; the stream is closed
 *
 * RESP2 has no pushes that a client could tell from replies, so there a stream
 * is refused; NQ.CURSOR does the same by asking.
 *
 *   due <- the source has rows | the session has room | credits came
 *   cursors_turn -> stream_pump: fill, push, and again
 *
 *   S1  a push is put only where pressure_has_room() says so: no command of
 *       the session is running, and little is unsent; so memory is the batch,
 *       what the source holds, and that window
 *   S2  a batch is made before its credit is there, so the end is told with no
 *       credit of its own */
#include "cmd/cmd_stream_query.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/pressure.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "resp/write.h"

#define PUSH_BYTES (128u << 10)
#define PROGRESS_MS 500u
#define OLD_MS 100u /* a batch that is not full waits so long at most */
#define BATCH_MAX 10000u
#define BATCH_USUAL 100u
#define CREDITS_MAX UINT32_MAX
#define CREDITS_USUAL 10u
#define PUMP_BYTES (16u << 10) /* then others have their turn */

struct cursor_stream {
    struct cursor *cursor;
    struct pressure_wait room;
    uint64_t credits, batch; /* rows */
    struct buf rows;         /* of the batch that is being made */
    uint64_t count;
    uint64_t batches;   /* pushes of rows */
    uint64_t pushed_ms; /* the last push of rows */
    uint64_t told_ms;   /* the last progress, and what it said */
    double told_percent;
    nq_rc last; /* what the source said behind the rows of the batch */
};

/* --- pushes ------------------------------------------------------------------
 */

/* Bytes behind `mark` depend on what the rows depend on. */
static void
gate_from(struct cursor *c, uint64_t mark)
{
    struct session *s = c->s;
    struct engine *e = c->engine;
    lsn gate;

    db_gate_reset(e->db);
    db_gate_all(e->db, c->dbi);
    gate = db_gate(e->db);
    if (gate == 0 || gate < e->settled ||
        (gate <= s->gated && mark != s->out.sent))
        return;
    outq_gate(&s->out, mark, gate);
    s->gated = gate;
}

static void
put_header(struct cursor *c, const char *what)
{
    reply_to_array(c->s, 4, true);
    reply_to_bulk(c->s, slice_lit("nq.stream"));
    reply_to_int(c->s, (int64_t)c->id);
    reply_to_bulk(c->s, slice_str(what));
}

static void
put_percent(struct cursor *c, double percent)
{
    char text[16];

    snprintf(text, sizeof text, "%.1f", percent);
    reply_to_bulk(c->s, slice_lit("percent"));
    reply_to_bulk(c->s, slice_str(text));
}

static void
put_number(struct cursor *c, const char *name, uint64_t v)
{
    reply_to_bulk(c->s, slice_str(name));
    reply_to_int(c->s, (int64_t)v);
}

static void
put_map(struct cursor *c, uint64_t pairs)
{
    uint8_t *p = outq_reserve(&c->s->out, RESP_HEADER_MAX);

    outq_commit(&c->s->out, resp_put_header(p, '%', pairs));
}

static void
was_put(struct cursor *c)
{
    c->s->ops->wake(c->s);
    cursor_touch(c);
}

static void
push_rows(struct cursor *c)
{
    struct cursor_stream *st = c->stream;
    struct cursors_stats *stats = cursors_stats(c->engine);
    uint64_t mark = c->s->out.put;

    put_header(c, "rows");
    reply_to_array(c->s, st->count * source_values(c->source), false);
    outq_put(&c->s->out, st->rows.p, st->rows.len);
    gate_from(c, mark);
    stats->rows += st->count;
    stats->bytes += st->rows.len;
    c->given += st->count;
    st->batches++;
    st->credits--;
    st->count = 0;
    buf_clear(&st->rows);
    st->pushed_ms = clock_mono_ms();
    was_put(c);
}

/* Three pairs. */
static void
put_progress(struct cursor *c, const struct source_progress *p)
{
    char text[24];

    put_number(c, "rows", c->given);
    put_percent(c, p->percent);
    reply_to_bulk(c->s, slice_lit("lsn"));
    if (p->at == 0)
        reply_to_null(c->s);
    else
        reply_to_bulk(c->s, slice_of(text, i64_to_text(text, (int64_t)p->at)));
}

static void
push_end(struct cursor *c)
{
    struct source_progress p;

    source_get_progress(c->source, &p);
    put_header(c, "end");
    put_map(c, 5);
    put_progress(c, &p);
    put_number(c, "batches", c->stream->batches);
    put_number(c, "ms", clock_mono_ms() - c->opened_ms);
    was_put(c);
    cursor_close(c);
}

static void
push_error(struct cursor *c, const char *text)
{
    put_header(c, "error");
    reply_to_bulk(c->s, slice_str(text[0] == '-' ? text + 1 : text));
    was_put(c);
    cursor_close(c);
}

/* --- the pump ----------------------------------------------------------------
 */

/* Rows of the batch, until it is full; st->last tells what is behind it. */
static void
fill(struct cursor *c)
{
    struct cursor_stream *st = c->stream;
    struct slice row;

    if (st->last != NQ_OK && st->last != NQ_AGAIN)
        return;
    st->last = NQ_OK;
    while (st->count < st->batch && st->rows.len < PUSH_BYTES) {
        if ((st->last = source_next(c->source, &row)) != NQ_OK)
            return;
        buf_put_slice(&st->rows, row);
        st->count++;
    }
}

static void
finish(struct cursor *c)
{
    if (c->stream->last == NQ_NOTFOUND)
        push_end(c);
    else
        push_error(c, source_error(c->source, c->stream->last));
}

enum pumped { PUMP_ON, PUMP_WAIT, PUMP_CLOSED };

/* At most one push. */
static enum pumped
pump_once(struct cursor *c)
{
    struct cursor_stream *st = c->stream;

    if (c->s->resp < 3) {
        cursor_close(c); /* HELLO 2: it asked for no pushes */
        return PUMP_CLOSED;
    }
    if (!pressure_has_room(c->s)) {
        pressure_wait_room(c->s, &st->room);
        return PUMP_WAIT;
    }
    fill(c);
    if (st->last == NQ_AGAIN)
        return PUMP_WAIT;
    if (st->count == 0) {
        finish(c);
        return PUMP_CLOSED;
    }
    if (st->credits == 0)
        return PUMP_WAIT;
    push_rows(c);
    return PUMP_ON;
}

void
stream_pump(struct cursor *c)
{
    uint64_t enough = c->s->out.put + PUMP_BYTES;
    enum pumped how = PUMP_ON;

    if (!source_is_open(c->source))
        return;
    while (how == PUMP_ON && c->s->out.put < enough)
        how = pump_once(c);
    if (how == PUMP_ON)
        cursor_make_due(c);
}

static void
on_room(struct pressure_wait *w)
{
    cursor_make_due(nq_container(w, struct cursor_stream, room)->cursor);
}

/* --- time --------------------------------------------------------------------
 */

static void
tell_progress(struct cursor *c, uint64_t now_ms)
{
    struct cursor_stream *st = c->stream;
    struct source_progress p;

    if (now_ms - st->told_ms < PROGRESS_MS)
        return;
    source_get_progress(c->source, &p);
    st->told_ms = now_ms;
    if (p.percent <= st->told_percent)
        return;
    st->told_percent = p.percent;
    put_header(c, "progress");
    put_map(c, 3);
    put_progress(c, &p);
    c->s->ops->wake(c->s);
}

void
stream_cron(struct cursor *c, uint64_t now_ms)
{
    struct cursor_stream *st = c->stream;

    if (!source_is_open(c->source) || c->s->resp < 3 ||
        !pressure_has_room(c->s))
        return;
    if (st->count > 0 && st->credits > 0 && now_ms - st->pushed_ms >= OLD_MS)
        push_rows(c);
    tell_progress(c, now_ms);
}

void
stream_expire(struct cursor *c)
{
    if (c->s->resp >= 3 && pressure_has_room(c->s))
        push_error(c, "ERR the stream was idle for longer than "
                      "query.cursor_timeout");
    else
        cursor_close(c);
}

void
stream_fini(struct cursor *c)
{
    struct cursor_stream *st = c->stream;

    if (st == NULL)
        return;
    pressure_wait_end(&st->room);
    buf_fini(&st->rows);
    nq_free(st);
    c->stream = NULL;
}

/* --- commands ----------------------------------------------------------------
 */

static bool
parse_count(struct req *rq, struct slice text, const char *what, uint64_t max,
            uint64_t *out)
{
    int64_t n;

    if (slice_to_i64(text, &n) && n > 0 && (uint64_t)n <= max) {
        *out = (uint64_t)n;
        return true;
    }
    reply_error(rq, "%s takes a number from 1 to %llu", what,
                (unsigned long long)max);
    return false;
}

struct stream_words {
    uint64_t batch, credits;
};

/* BATCH and CREDITS, from argv[i] to the end. */
static bool
parse_words(struct req *rq, uint32_t i, struct stream_words *out)
{
    for (; i + 1 < rq->argc; i += 2) {
        if (slice_is(rq->argv[i], "BATCH")) {
            if (!parse_count(rq, rq->argv[i + 1], "BATCH", BATCH_MAX,
                             &out->batch))
                return false;
        } else if (slice_is(rq->argv[i], "CREDITS")) {
            if (!parse_count(rq, rq->argv[i + 1], "CREDITS", CREDITS_MAX,
                             &out->credits))
                return false;
        } else {
            break;
        }
    }
    if (i == rq->argc)
        return true;
    reply_syntax(rq);
    return false;
}

void
cmd_nq_stream(struct req *rq)
{
    static const char *const own[] = {"SNAPSHOT", "BATCH", "CREDITS", NULL};
    struct stream_words words = {BATCH_USUAL, CREDITS_USUAL};
    struct cursor_stream *st;
    struct cursor *c;
    uint32_t i = 1;

    if (rq->s->resp < 3) {
        reply_error(rq, "NQ.STREAM pushes rows, which takes RESP3: send HELLO "
                        "3 first, or fetch them with NQ.CURSOR");
        return;
    }
    if ((c = cursor_open(rq, &i, own, CURSOR_STREAM)) == NULL)
        return;
    if (!parse_words(rq, i, &words)) {
        cursor_close(c);
        return;
    }
    st = nq_calloc(1, sizeof *st);
    *st = (struct cursor_stream){.cursor = c,
                                 .credits = words.credits,
                                 .batch = words.batch,
                                 .pushed_ms = c->opened_ms,
                                 .told_ms = c->opened_ms};
    pressure_wait_init(&st->room, on_room);
    c->stream = st;
    reply_int(rq, (int64_t)c->id);
    cursor_make_due(c);
}

void
cmd_nq_credit(struct req *rq)
{
    struct cursor *c = cursor_find(rq, rq->argv[1], CURSOR_STREAM);
    uint64_t n;

    if (!parse_count(rq, rq->argv[2], "NQ.CREDIT", CREDITS_MAX, &n))
        return;
    if (c == NULL) {
        reply_int(rq, 0);
        return;
    }
    c->stream->credits = nq_min(c->stream->credits + n, (uint64_t)CREDITS_MAX);
    cursor_touch(c);
    reply_int(rq, (int64_t)c->stream->credits);
    cursor_make_due(c);
}

void
cmd_nq_cancel(struct req *rq)
{
    struct cursor *c = cursor_find(rq, rq->argv[1], CURSOR_STREAM);

    if (c == NULL) {
        reply_null(rq);
        return;
    }
    reply_int(rq, (int64_t)c->given);
    cursor_close(c);
}
