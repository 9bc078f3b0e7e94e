/* tests/lib/fleet.c - sockets, epoll, and a parser that keeps what is not
 * whole yet. */
#include "fleet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#define EVENTS 256
#define READ_BYTES 65536u

struct ship {
    int fd; /* -1: none */
    bool is_connected, is_paused, wants_write;
    struct buf in, out;
    size_t in_at, out_at;
};

struct fleet {
    struct fleet_opts o;
    int epoll;
    struct ship *ships;
    unsigned open;
    unsigned long long received;
};

static void
die(const char *what)
{
    fprintf(stderr, "fleet: %s: %s\n", what, strerror(errno));
    exit(2);
}

struct fleet *
fleet_new(const struct fleet_opts *opts)
{
    struct fleet *f = nq_calloc(1, sizeof *f);

    f->o = *opts;
    f->ships = nq_calloc(opts->count, sizeof *f->ships);
    for (unsigned i = 0; i < opts->count; i++)
        f->ships[i].fd = -1;
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll < 0)
        die("epoll");
    return f;
}

void
fleet_close(struct fleet *f, unsigned i)
{
    const struct linger now = {1, 0};
    struct ship *s = &f->ships[i];

    if (s->fd < 0)
        return;
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(s->fd);
    s->fd = -1;
    f->open--;
    s->is_connected = s->wants_write = false;
    buf_clear(&s->in);
    buf_clear(&s->out);
    s->in_at = s->out_at = 0;
}

void
fleet_free(struct fleet *f)
{
    for (unsigned i = 0; i < f->o.count; i++) {
        fleet_close(f, i);
        buf_fini(&f->ships[i].in);
        buf_fini(&f->ships[i].out);
    }
    close(f->epoll);
    nq_free(f->ships);
    nq_free(f);
}

static void
watch(struct fleet *f, unsigned i, int op)
{
    struct ship *s = &f->ships[i];
    struct epoll_event ev = {.data.u32 = i};

    if (!s->is_paused)
        ev.events |= EPOLLIN;
    if (s->wants_write)
        ev.events |= EPOLLOUT;
    if (epoll_ctl(f->epoll, op, s->fd, &ev) != 0)
        die("epoll_ctl");
}

void
fleet_open(struct fleet *f, unsigned i)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)f->o.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct ship *s = &f->ships[i];
    int on = 1;

    nq_assert(s->fd < 0);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        die("socket");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (f->o.receive_buffer > 0)
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &f->o.receive_buffer,
                   sizeof f->o.receive_buffer);
    if (connect(s->fd, (void *)&sa, sizeof sa) != 0 && errno != EINPROGRESS) {
        close(s->fd);
        s->fd = -1;
        return;
    }
    s->wants_write = true;
    f->open++;
    watch(f, i, EPOLL_CTL_ADD);
}

bool
fleet_is_open(const struct fleet *f, unsigned i)
{
    return f->ships[i].fd >= 0;
}

/* --- writing ---------------------------------------------------------------
 */

static void
on_lost(struct fleet *f, unsigned i)
{
    fleet_close(f, i);
    f->o.on_close(f->o.arg, i);
}

static void
flush(struct fleet *f, unsigned i)
{
    struct ship *s = &f->ships[i];
    bool wants = false;

    while (s->out_at < s->out.len) {
        ssize_t n = send(s->fd, s->out.p + s->out_at, s->out.len - s->out_at,
                         MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) {
            on_lost(f, i);
            return;
        }
        if (n < 0) {
            wants = true;
            break;
        }
        s->out_at += (size_t)n;
    }
    if (!wants) {
        buf_clear(&s->out);
        s->out_at = 0;
    }
    if (wants != s->wants_write) {
        s->wants_write = wants;
        watch(f, i, EPOLL_CTL_MOD);
    }
}

void
fleet_send(struct fleet *f, unsigned i, const char *line)
{
    struct ship *s = &f->ships[i];
    struct buf words = BUF_INIT;
    unsigned n = 0;

    while (*line != '\0') {
        size_t len = strcspn(line, " ");

        buf_printf(&words, "$%zu\r\n%.*s\r\n", len, (int)len, line);
        line += len;
        line += strspn(line, " ");
        n++;
    }
    buf_printf(&s->out, "*%u\r\n", n);
    buf_put_slice(&s->out, buf_slice(&words));
    buf_fini(&words);
    if (s->fd >= 0 && !s->wants_write) {
        s->wants_write = true;
        watch(f, i, EPOLL_CTL_MOD);
    }
}

/* --- reading ---------------------------------------------------------------
 */

/* One line "<type><text>\r\n" at *at; false: it is not whole. */
static bool
take_line(const struct ship *s, size_t *at, char *type, struct slice *text)
{
    const uint8_t *p = s->in.p + *at;
    const uint8_t *end = memchr(p, '\r', s->in.len - *at);

    if (end == NULL || end + 1 == s->in.p + s->in.len)
        return false;
    *type = (char)*p;
    *text = slice_of(p + 1, (size_t)(end - p - 1));
    *at += (size_t)(end - p) + 2;
    return true;
}

static long long
number(struct slice text)
{
    int64_t v;

    if (!slice_to_i64(text, &v)) {
        fprintf(stderr, "fleet: no number where one should be\n");
        exit(2);
    }
    return v;
}

/* A bulk or anything of one line. */
static bool
take_item(const struct ship *s, size_t *at, char *type, struct slice *item)
{
    long long len;

    if (!take_line(s, at, type, item))
        return false;
    if (*type != '$')
        return true;
    len = number(*item);
    if (len < 0) {
        *item = slice_of("", 0);
        return true;
    }
    if (s->in.len - *at < (size_t)len + 2)
        return false;
    *item = slice_of(s->in.p + *at, (size_t)len);
    *at += (size_t)len + 2;
    return true;
}

static bool
take_reply(const struct ship *s, size_t *at, struct fleet_reply *r)
{
    char type;

    if (*at == s->in.len || !take_item(s, at, &r->type, &r->items[0]))
        return false;
    r->n = 1;
    if (r->type != '*')
        return true;
    r->n = (unsigned)number(r->items[0]);
    if (r->n > nq_countof(r->items)) {
        fprintf(stderr, "fleet: an array of %u\n", r->n);
        exit(2);
    }
    for (unsigned i = 0; i < r->n; i++)
        if (!take_item(s, at, &type, &r->items[i]))
            return false;
    return true;
}

static void
take_all(struct fleet *f, unsigned i)
{
    struct ship *s = &f->ships[i];
    struct fleet_reply r;
    size_t at = s->in_at;

    while (s->fd >= 0 && !s->is_paused && take_reply(s, &at, &r)) {
        s->in_at = at;
        f->o.on_reply(f->o.arg, i, &r);
    }
    if (s->in_at == s->in.len || s->in_at > READ_BYTES) {
        memmove(s->in.p, s->in.p + s->in_at, s->in.len - s->in_at);
        s->in.len -= s->in_at;
        s->in_at = 0;
    }
}

static void
on_readable(struct fleet *f, unsigned i)
{
    struct ship *s = &f->ships[i];
    uint8_t *to = buf_reserve(&s->in, READ_BYTES);
    ssize_t n = recv(s->fd, to, READ_BYTES, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        on_lost(f, i);
        return;
    }
    s->in.len += (size_t)n;
    f->received += (unsigned long long)n;
    take_all(f, i);
}

static void
on_writable(struct fleet *f, unsigned i)
{
    struct ship *s = &f->ships[i];

    if (!s->is_connected) {
        int error = 0;
        socklen_t len = sizeof error;

        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            on_lost(f, i);
            return;
        }
        s->is_connected = true;
        f->o.on_open(f->o.arg, i);
    }
    flush(f, i);
}

void
fleet_pause(struct fleet *f, unsigned i, bool is_paused)
{
    f->ships[i].is_paused = is_paused;
    if (f->ships[i].fd < 0)
        return;
    watch(f, i, EPOLL_CTL_MOD);
    if (!is_paused)
        take_all(f, i);
}

void
fleet_poll(struct fleet *f, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(f->epoll, events, EVENTS, timeout_ms);

    for (int k = 0; k < n; k++) {
        unsigned i = events[k].data.u32;
        struct ship *s = &f->ships[i];
        uint32_t what = events[k].events;

        if (s->fd >= 0 && (what & EPOLLOUT || !s->is_connected))
            on_writable(f, i);
        if (s->fd >= 0 && what & EPOLLIN && !s->is_paused)
            on_readable(f, i);
        else if (s->fd >= 0 && what & (EPOLLERR | EPOLLHUP))
            on_lost(f, i);
    }
}

unsigned
fleet_count_open(const struct fleet *f)
{
    return f->open;
}

unsigned long long
fleet_received(const struct fleet *f)
{
    return f->received;
}
