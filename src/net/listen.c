/* net/listen.c - listening sockets: binding, accepting, and whom to turn away.
 *
 * A new connection is refused, with Redis' texts, beyond maxclients and, in
 * protected mode without a password, unless it comes from this machine.  Out
 * of descriptors, the listeners rest for a second instead of spinning on a
 * socket that stays ready. */
#include "net/loop_int.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#define ACCEPTS_A_TURN 200
#define ADDRESS_MAX 128

static const char text_maxclients[] = "-ERR max number of clients reached\r\n";

static const char text_protected[] =
    "-DENIED Redis is running in protected mode because protected mode is "
    "enabled and no password is set for the default user. In this mode "
    "connections are only accepted from the loopback interface. To connect "
    "from elsewhere, do one of these: 1) set a password (requirepass); 2) "
    "send 'CONFIG SET protected-mode no' from the machine the server runs "
    "on, and CONFIG REWRITE to keep it; 3) set protected-mode to no in the "
    "configuration file and restart the server; 4) if it runs for a test "
    "only, restart it with '--protected-mode no'. Make sure that the server "
    "cannot be reached from the internet.\r\n";

/* --- accepting -------------------------------------------------------------
 */

static void
put_address(char *dst, const struct sockaddr_storage *sa, const char *path)
{
    char host[INET6_ADDRSTRLEN] = "?", port[8] = "0";

    if (sa->ss_family == AF_UNIX) {
        snprintf(dst, ADDRESS_MAX, "%s:0", path);
        return;
    }
    if (getnameinfo((const void *)sa, sizeof *sa, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        log_debug("the address of a new connection cannot be told");
    snprintf(dst, ADDRESS_MAX, sa->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
             host, port);
}

/* "addr\0laddr\0" of a new connection, for conn_open(). */
static char *
make_addresses(struct loop *l, int fd, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof local;
    char both[2 * ADDRESS_MAX];
    size_t n;

    if (getsockname(fd, (void *)&local, &len) != 0)
        local = *peer;
    put_address(both, peer, l->unix_path);
    n = strlen(both) + 1;
    put_address(both + n, &local, l->unix_path);
    return nq_memdup(both, n + strlen(both + n) + 1);
}

static bool
is_local(const struct sockaddr_storage *sa)
{
    if (sa->ss_family == AF_UNIX)
        return true;
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;

        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)sa;
        const uint8_t *a = in->sin6_addr.s6_addr;

        return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr) && a[12] == 127);
    }
    return false;
}

/* The text that refuses the client; NULL: it is welcome. */
static const char *
why_refused(struct loop *l, const struct sockaddr_storage *peer)
{
    const struct engine_limits *limits = &l->engine->limits;

    if (limits->maxclients != 0 && l->nconns >= limits->maxclients)
        return text_maxclients;
    if (limits->protected_mode && limits->requirepass == NULL &&
        !is_local(peer))
        return text_protected;
    return NULL;
}

static void
set_option(int fd, int level, int name, int value, const char *what)
{
    if (setsockopt(fd, level, name, &value, sizeof value) != 0)
        log_debug("a socket does not take %s: %s", what, strerror(errno));
}

static void
tune_tcp(const struct loop *l, int fd)
{
    int keepalive_s = (int)l->listen.keepalive_s;

    if (l->listen.nodelay)
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (keepalive_s > 0) {
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_s, "KEEPIDLE");
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, nq_max(keepalive_s / 3, 1),
                   "KEEPINTVL");
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3, "KEEPCNT");
    }
}

void
listen_tune_push(const struct conn *c)
{
    const struct push_limits *l = &c->loop->engine->limits.push;

    if ((c->session.flags & SESSION_UNIX) == 0)
        set_option(c->fd, IPPROTO_TCP, TCP_NODELAY, l->nodelay, "TCP_NODELAY");
    if (l->send_buffer > 0)
        set_option(c->fd, SOL_SOCKET, SO_SNDBUF, (int)l->send_buffer,
                   "SO_SNDBUF");
    if (l->recv_buffer > 0)
        set_option(c->fd, SOL_SOCKET, SO_RCVBUF, (int)l->recv_buffer,
                   "SO_RCVBUF");
}

static void
take_client(struct loop *l, int fd, const struct sockaddr_storage *peer)
{
    const char *refusal = why_refused(l, peer);

    if (refusal != NULL) {
        l->engine->stats.connections_rejected++;
        if (send(fd, refusal, strlen(refusal), MSG_DONTWAIT) < 0)
            log_debug("a refused client was gone already");
        close(fd);
        return;
    }
    if (peer->ss_family != AF_UNIX)
        tune_tcp(l, fd);
    l->engine->stats.connections_received++;
    l->stats.accepts++;
    conn_open(l, fd, make_addresses(l, fd, peer), peer->ss_family == AF_UNIX);
}

static void
pause_accepting(struct loop *l)
{
    for (unsigned i = 0; i < l->nlisteners; i++)
        ev_io_stop(l->ev, &l->listeners[i].io);
    l->is_accept_paused = true;
}

static void
on_acceptable(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct listener *lr = w->data;
    struct loop *l;

    nq_unused(ev);
    nq_unused(events);
    NQ_CAST(l, lr->loop, LOOP_MAGIC);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer = {.ss_family = AF_UNIX};
        socklen_t len = sizeof peer;
        int fd =
            accept4(lr->fd, (void *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            take_client(l, fd, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
            errno == ENOMEM) {
            log_warn("new clients wait for a second: %s", strerror(errno));
            pause_accepting(l);
        }
        return; /* none left, or one that went again */
    }
}

void
listen_resume(struct loop *l)
{
    if (!l->is_accept_paused)
        return;
    l->is_accept_paused = false;
    for (unsigned i = 0; i < l->nlisteners; i++)
        ev_io_start(l->ev, &l->listeners[i].io);
}

/* --- binding ---------------------------------------------------------------
 */

static nq_rc
add_listener(struct loop *l, int fd, bool is_unix)
{
    struct listener *lr = &l->listeners[l->nlisteners];

    if (l->nlisteners == LISTENER_MAX) {
        log_error("more than %d addresses to listen on", LISTENER_MAX);
        close(fd);
        return NQ_ELIMIT;
    }
    l->nlisteners++;
    *lr = (struct listener){.loop = l, .fd = fd, .is_unix = is_unix};
    ev_io_init(&lr->io, on_acceptable, fd, EV_READ);
    lr->io.data = lr;
    ev_io_start(l->ev, &lr->io);
    return NQ_OK;
}

/* A bound and listening socket, or -1 with errno. */
static int
bind_address(const struct addrinfo *ai, int backlog)
{
    int saved, one = 1;
    int fd =
        socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
        log_debug("SO_REUSEADDR: %s", strerror(errno));
    if (ai->ai_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, backlog) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static uint16_t
port_of(int fd)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof sa;

    if (getsockname(fd, (void *)&sa, &len) != 0)
        return 0;
    if (sa.ss_family == AF_INET6)
        return ntohs(
            ((const struct sockaddr_in6 *)(const void *)&sa)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)&sa)->sin_port);
}

/* Listens on one address; with *port 0 on a free port, which it becomes. */
static nq_rc
listen_tcp(struct loop *l, const char *bind_to, uint16_t *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    bool may_fail = bind_to[0] == '-';
    const char *host = may_fail ? bind_to + 1 : bind_to;
    struct addrinfo *ai;
    char service[8];
    int rc, fd = -1;

    snprintf(service, sizeof service, "%u", *port);
    if (strcmp(host, "*") == 0)
        host = "0.0.0.0";
    rc = getaddrinfo(host, service, &hints, &ai);
    if (rc == 0) {
        fd = bind_address(ai, l->listen.backlog);
        freeaddrinfo(ai);
    }
    if (fd < 0) {
        const char *why = rc == 0 ? strerror(errno) : gai_strerror(rc);

        if (may_fail) {
            log_notice("not listening on %s:%u: %s", host, *port, why);
            return NQ_OK;
        }
        log_error("cannot listen on %s:%u: %s", host, *port, why);
        return NQ_EIO;
    }
    *port = port_of(fd);
    log_info("listening on %s:%u", host, *port);
    return add_listener(l, fd, false);
}

static nq_rc
listen_unix(struct loop *l, const char *path, unsigned perm)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = -1;

    if (strlen(path) >= sizeof sa.sun_path) {
        log_error("the path of the unix socket is too long: %s", path);
        return NQ_EINVAL;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    unlink(path); /* of a server that did not end in order */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const void *)&sa, sizeof sa) != 0 ||
        listen(fd, l->listen.backlog) != 0 ||
        (perm != 0 && chmod(path, (mode_t)perm) != 0)) {
        log_error("cannot listen on %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NQ_EIO;
    }
    l->unix_path = nq_strdup(path);
    log_info("listening on %s", path);
    return add_listener(l, fd, true);
}

nq_rc
loop_listen(struct loop *l, const struct listen_opts *opts, uint16_t *port)
{
    nq_rc rc = NQ_OK;

    l->listen = *opts;
    l->listen.binds = NULL;
    l->listen.unix_path = NULL;
    *port = opts->port_any ? 0 : opts->port;
    if (*port != 0 || opts->port_any)
        for (unsigned i = 0; i < opts->nbinds && rc == NQ_OK; i++)
            rc = listen_tcp(l, opts->binds[i], port);
    if (rc == NQ_OK && opts->unix_path != NULL)
        rc = listen_unix(l, opts->unix_path, opts->unix_perm);
    if (rc == NQ_OK && l->nlisteners == 0) {
        log_error("no address to listen on");
        rc = NQ_EINVAL;
    }
    return rc;
}

void
loop_stop_accepting(struct loop *l)
{
    pause_accepting(l);
    l->is_accept_paused = false; /* for good */
    for (unsigned i = 0; i < l->nlisteners; i++)
        close(l->listeners[i].fd);
    l->nlisteners = 0;
    if (l->unix_path != NULL)
        unlink(l->unix_path);
}

void
listen_close(struct loop *l)
{
    nq_free(l->unix_path);
    l->unix_path = NULL;
}
