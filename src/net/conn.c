/* net/conn.c - one connection: reading, writing, and the news from its
 * session.
 *
 * I1 `ready_link` is on loop->ready while the input may hold a whole request
 *    that may run now; on loop->held while the log is behind and the client
 *    wrote last; else on neither.
 * I2 `out_link` is on loop->dirty, loop->pushed or loop->gated while output
 *    waits for this turn's end, for its turn, or for the log; else output that
 * is left waits for the socket (`writer` is active). I3 The reader is stopped
 * only when an event came that could not be used, so the usual request costs no
 * epoll_ctl.
 *
 * Called by net/loop (events), net/turn (batches) and, through session_ops,
 * by commands. */
#include "net/loop_int.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#define WRITE_VECTORS 64
#define WRITE_MAX (64u * 1024) /* to one connection in one turn */

static const struct sm_def conn_life[] = {
    [CONN_OPEN] = {"open", SM(CONN_DRAINING) | SM(CONN_CLOSING)},
    [CONN_DRAINING] = {"draining", SM(CONN_CLOSING)},
    [CONN_CLOSING] = {"closing", 0},
};

static struct conn *
conn_of(const struct session *s)
{
    struct conn *c;

    NQ_CAST(c, s->conn, CONN_MAGIC);
    return c;
}

/* --- lists -----------------------------------------------------------------
 */

void
conn_mark_ready(struct conn *c)
{
    if (c->life.state != CONN_OPEN)
        return;
    list_remove(&c->ready_link);
    list_push_back(&c->loop->ready, &c->ready_link);
    c->is_aside = false;
}

void
conn_put_aside(struct conn *c, struct list *where)
{
    list_remove(&c->ready_link);
    list_push_back(where, &c->ready_link);
    c->is_aside = true;
    c->is_overdue = false;
}

void
conn_mark_dirty(struct conn *c)
{
    if (c->life.state == CONN_CLOSING ||
        (!list_empty(&c->out_link) && !c->is_pushed))
        return;
    list_remove(&c->out_link);
    list_push_back(&c->loop->dirty, &c->out_link);
    c->is_pushed = false;
}

void
conn_close(struct conn *c)
{
    struct loop *l = c->loop;

    if (c->life.state == CONN_CLOSING)
        return;
    sm_move(&c->life, CONN_CLOSING);
    c->session.flags |= SESSION_CLOSE_ASAP; /* serve it nothing any more */
    list_remove(&c->ready_link);
    list_remove(&c->out_link);
    ev_io_stop(l->ev, &c->reader);
    ev_io_stop(l->ev, &c->writer);
    list_remove(&c->link);
    list_push_back(&l->closing, &c->link);
}

void
conn_drop_input(struct conn *c)
{
    resp_forget(&c->parser);
    input_drop(c->loop->inputs, &c->in);
}

void
conn_drain(struct conn *c)
{
    if (c->life.state != CONN_OPEN)
        return;
    sm_move(&c->life, CONN_DRAINING);
    list_remove(&c->ready_link);
    if (c->calls == 0) /* else calls of the batch point there */
        conn_drop_input(c);
    ev_io_stop(c->loop->ev, &c->reader);
    conn_mark_dirty(c); /* conn_flush() closes what has nothing to write */
}

/* --- reading ---------------------------------------------------------------
 */

/* Whether bytes that come now could be used, or may at least be kept. */
static bool
wants_input(const struct conn *c)
{
    if (c->life.state != CONN_OPEN || c->is_at_end || c->is_aside ||
        c->input == INPUT_BAD || c->loop->is_draining)
        return false;
    if ((c->session.flags & SESSION_BLOCKED) != 0)
        return c->in.len < INPUT_READ;
    return c->session.out.bytes < CONN_OUTPUT_PAUSE;
}

void
conn_update_reader(struct conn *c)
{
    if (c->life.state == CONN_CLOSING)
        return;
    if (!ev_is_active(&c->reader) && wants_input(c))
        ev_io_start(c->loop->ev, &c->reader);
}

void
conn_end_blocked(struct conn *c)
{
    session_lost(&c->session);
    if (c->life.state != CONN_OPEN)
        return;
    if ((c->session.flags & SESSION_BLOCKED) != 0)
        conn_put_aside(c, &c->loop->ended);
    else
        conn_drain(c);
}

/* The client ended its side.  What it sent before is still answered, unless
 * it waits for a key, or for an event: on_cron closes those. */
static void
on_end(struct conn *c)
{
    c->is_at_end = true;
    ev_io_stop(c->loop->ev, &c->reader);
    if ((c->session.flags & SESSION_BLOCKED) != 0)
        conn_end_blocked(c);
    else if (list_empty(&c->ready_link))
        conn_drain(c);
}

static void
take_input(struct conn *c, size_t n)
{
    struct engine *e = c->loop->engine;

    input_filled(c->loop->inputs, &c->in, n);
    e->stats.net_input_bytes += n;
    c->session.active_ms = (uint64_t)(ev_now(c->loop->ev) * 1000);
    if (c->in.len > e->limits.query_buffer_limit) {
        e->stats.query_limit_closes++;
        log_warn("client id=%llu addr=%s is closed: its request is longer "
                 "than client-query-buffer-limit",
                 (unsigned long long)c->session.id, c->session.addr);
        conn_close(c);
        return;
    }
    if ((c->session.flags & SESSION_BLOCKED) != 0) {
        input_keep(c->loop->inputs, &c->in);
        return;
    }
    if (c->in.len >= c->want) {
        /* libev calls back in the opposite order of arrival. */
        list_remove(&c->ready_link);
        list_push_front(&c->loop->arrived, &c->ready_link);
        c->is_aside = false;
    }
}

static void
on_readable(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct conn *c;
    uint8_t *to;
    size_t room;
    ssize_t n;

    nq_unused(events);
    NQ_CAST(c, w->data, CONN_MAGIC);
    if (!wants_input(c)) {
        ev_io_stop(ev, w);
        return;
    }
    if (nq_unlikely(c->in.len > 0 && !list_empty(&c->ready_link)))
        return; /* has requests to run; the socket will tell again */
    to = input_room(c->loop->inputs, &c->in, c->want, &room);
    n = recv(c->fd, to, room, 0);
    c->loop->stats.reads++;
    if (nq_likely(n > 0))
        take_input(c, (size_t)n);
    else if (n == 0)
        on_end(c);
    else if (errno != EAGAIN && errno != EINTR)
        conn_close(c);
    if (nq_unlikely(n <= 0 && c->in.len == 0))
        input_drop(c->loop->inputs, &c->in);
}

/* --- writing ---------------------------------------------------------------
 */

static ssize_t
send_vectors(int fd, struct iovec *iov, int n)
{
#ifdef NQ_HARSH
    nq_unused(n);
    return write(fd, iov[0].iov_base, nq_min(iov[0].iov_len, (size_t)61));
#else
    return n == 1 ? write(fd, iov[0].iov_base, iov[0].iov_len)
                  : writev(fd, iov, n);
#endif
}

/* Leaves of the `n` vectors only what fits `room`; returns how many. */
static int
cut_vectors(struct iovec *iov, int n, size_t room)
{
    int used = 0;

    while (used < n && room > 0) {
        iov[used].iov_len = nq_min(iov[used].iov_len, room);
        room -= iov[used++].iov_len;
    }
    return used;
}

enum flush { FLUSH_DONE, FLUSH_GATED, FLUSH_SOCKET, FLUSH_MORE, FLUSH_FAILED };

/* Hands to the kernel what may leave. */
static enum flush
flush_queue(struct conn *c)
{
    struct loop *l = c->loop;
    struct outq *q = &c->session.out;
    struct iovec iov[WRITE_VECTORS];
    size_t total = 0;

    while (!outq_is_empty(q)) {
        int n = outq_peek(q, l->settled, iov, WRITE_VECTORS);
        ssize_t sent;

        if (n == 0)
            return FLUSH_GATED;
        if (total >= WRITE_MAX)
            return FLUSH_MORE;
        n = cut_vectors(iov, n, WRITE_MAX - total);
        sent = send_vectors(c->fd, iov, n);
        l->stats.writes++;
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? FLUSH_SOCKET : FLUSH_FAILED;
        outq_consume(q, (size_t)sent);
        total += (size_t)sent;
        l->engine->stats.net_output_bytes += (uint64_t)sent;
    }
    return FLUSH_DONE;
}

bool
conn_is_behind(const struct conn *c)
{
    return c->session.out.bytes >= CONN_OUTPUT_PAUSE &&
           (c->session.flags & SESSION_OWN_PACE) == 0;
}

/* Requests that were put off because of unsent output may run again. */
static void
take_up(struct conn *c)
{
    conn_update_reader(c);
    if (nq_unlikely(c->in.len > 0 && c->input != INPUT_PARTIAL &&
                    list_empty(&c->ready_link) &&
                    (c->session.flags & SESSION_BLOCKED) == 0 &&
                    !conn_is_behind(c)))
        conn_mark_ready(c);
}

static void
wait_for_log(struct conn *c)
{
    struct loop *l = c->loop;
    lsn at = l->settled;

    if (outq_shut_at(&c->session.out, &at) && at < l->gate_min)
        l->gate_min = at;
    list_push_back(&l->gated, &c->out_link);
}

void
conn_flush(struct conn *c)
{
    struct loop *l = c->loop;
    enum flush f = FLUSH_SOCKET;

    list_remove(&c->out_link);
    c->is_pushed = false;
    if (nq_likely(!ev_is_active(&c->writer) || c->is_writable))
        f = flush_queue(c);
    c->is_writable = false;
    if (f == FLUSH_FAILED) {
        conn_close(c);
        return;
    }
    if (f == FLUSH_SOCKET)
        ev_io_start(l->ev, &c->writer);
    else if (nq_unlikely(ev_is_active(&c->writer)))
        ev_io_stop(l->ev, &c->writer);
    if (f == FLUSH_GATED)
        wait_for_log(c);
    else if (f == FLUSH_MORE)
        list_push_back(&l->dirty, &c->out_link);
    if (nq_unlikely(f == FLUSH_DONE && c->life.state == CONN_DRAINING))
        conn_close(c);
    else
        take_up(c);
    if (nq_unlikely(!list_empty(&c->session.room)))
        pressure_room(&c->session);
}

static void
on_writable(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct conn *c;

    nq_unused(ev);
    nq_unused(events);
    NQ_CAST(c, w->data, CONN_MAGIC);
    c->is_writable = true;
    conn_mark_dirty(c);
}

/* --- news from commands ----------------------------------------------------
 */

static void
on_session_wake(struct session *s)
{
    struct conn *c = conn_of(s);

    if (c->life.state == CONN_CLOSING || !list_empty(&c->out_link))
        return;
    list_push_back(&c->loop->pushed, &c->out_link);
    c->is_pushed = true;
}

static void
on_session_resume(struct session *s)
{
    struct conn *c = conn_of(s);

    conn_mark_ready(c);
    conn_update_reader(c);
}

static void
on_session_close(struct session *s)
{
    struct conn *c = conn_of(s);

    if ((s->flags & SESSION_CLOSE_AFTER_REPLY) != 0)
        conn_drain(c);
    else
        conn_close(c);
}

static void
on_session_input_info(const struct session *s, size_t *used, size_t *alloc,
                      int *fd)
{
    const struct conn *c = conn_of(s);

    *used = c->in.len;
    *alloc = c->in.cap;
    *fd = c->fd;
}

static void
on_session_tune(struct session *s)
{
    listen_tune_push(conn_of(s));
}

static uint64_t
on_session_untaken(const struct session *s)
{
    int n = 0;

    return ioctl(conn_of(s)->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

static const struct session_ops conn_session_ops = {
    .wake = on_session_wake,
    .resume = on_session_resume,
    .close = on_session_close,
    .input_info = on_session_input_info,
    .tune = on_session_tune,
    .untaken = on_session_untaken,
};

/* --- life ------------------------------------------------------------------
 */

void
conn_open(struct loop *l, int fd, char *addresses, bool is_unix)
{
    struct conn *c = nq_calloc(1, sizeof *c);

    c->magic = CONN_MAGIC;
    sm_init(&c->life, "connection", conn_life, CONN_OPEN);
    c->fd = fd;
    c->loop = l;
    c->addresses = addresses;
    list_init(&c->ready_link);
    list_init(&c->out_link);
    list_push_back(&l->conns, &c->link);
    l->nconns++;
    ev_io_init(&c->reader, on_readable, fd, EV_READ);
    ev_io_init(&c->writer, on_writable, fd, EV_WRITE);
    c->reader.data = c->writer.data = c;
    c->session.conn = c;
    c->session.ops = &conn_session_ops;
    c->session.addr = addresses;
    c->session.laddr = addresses + strlen(addresses) + 1;
    session_open(l->engine, &c->session);
    if (is_unix)
        c->session.flags |= SESSION_UNIX;
    ev_io_start(l->ev, &c->reader);
}

void
conn_free(struct conn *c)
{
    struct loop *l = c->loop;

    nq_assert(c->life.state == CONN_CLOSING);
    list_remove(&c->link);
    l->nconns--;
    session_close(&c->session);
    outq_fini(&c->session.out);
    resp_forget(&c->parser);
    input_drop(l->inputs, &c->in);
    close(c->fd);
    c->magic = 0;
    nq_free(c->addresses);
    nq_free(c);
}

void
conn_check(struct conn *c)
{
    bool is_open = c->life.state == CONN_OPEN;

    nq_assert(c->magic == CONN_MAGIC && c->session.magic == SESSION_MAGIC);
    nq_assert(c->calls == 0 && c->parsed == 0 && c->done == 0);
    nq_assert(c->in.len == 0 || c->in.own != NULL);
    nq_assert(is_open ||
              (c->in.len == 0 && c->ready_link.next == &c->ready_link));
    nq_assert(is_open || !ev_is_active(&c->reader));
    nq_assert(outq_is_empty(&c->session.out) || !list_empty(&c->out_link) ||
              ev_is_active(&c->writer));
}
