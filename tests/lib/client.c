/* tests/lib/client.c - a small client of RESP2 and RESP3 for tests. */
#include "client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 64

/* What went wrong while a reply was read. */
enum trouble { FINE, CLOSED, TIMEOUT, GARBAGE };

static void
init(struct client *c, int fd)
{
    *c = (struct client){.fd = fd, .timeout_ms = 5000};
    signal(SIGPIPE, SIG_IGN);
}

bool
client_try_open(struct client *c, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    init(c, fd);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return true;
    close(fd);
    c->fd = -1;
    return false;
}

void
client_open(struct client *c, const struct live_server *s)
{
    assert_true(client_try_open(c, s->port));
}

void
client_open_unix(struct client *c, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    init(c, fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
}

void
client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
    buf_fini(&c->out);
    buf_fini(&c->text);
}

void
client_send_raw(struct client *c, const void *p, size_t n)
{
    const char *from = p;

    while (n > 0) {
        ssize_t done = send(c->fd, from, n, MSG_NOSIGNAL);

        if (done <= 0)
            return; /* reading will tell */
        from += done;
        n -= (size_t)done;
    }
}

void
client_send_argv(struct client *c, const struct slice *argv, unsigned n)
{
    buf_clear(&c->out);
    buf_printf(&c->out, "*%u\r\n", n);
    for (unsigned i = 0; i < n; i++) {
        buf_printf(&c->out, "$%zu\r\n", argv[i].len);
        buf_put_slice(&c->out, argv[i]);
        buf_put_str(&c->out, "\r\n");
    }
    client_send_raw(c, c->out.p, c->out.len);
}

/* One character of a quoted word; returns where the next one is. */
static const char *
unescape(const char *p, char *out)
{
    if (*p != '\\') {
        *out = *p;
        return p + 1;
    }
    p++;
    if (*p == 'x') {
        char hex[3] = {p[1], p[2], 0};

        *out = (char)strtoul(hex, NULL, 16);
        return p + 3;
    }
    *out = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p;
    return p + 1;
}

void
client_send(struct client *c, const char *line)
{
    struct slice words[WORDS_MAX];
    size_t len = strlen(line);
    char *copy = malloc(len + 1), *to = copy;
    unsigned n = 0;

    while (*line != '\0' && n < WORDS_MAX) {
        bool is_quoted = *line == '"';
        char *from = to;

        if (*line == ' ') {
            line++;
            continue;
        }
        line += is_quoted;
        while (*line != '\0' && *line != (is_quoted ? '"' : ' ')) {
            if (is_quoted)
                line = unescape(line, to++);
            else
                *to++ = *line++;
        }
        line += is_quoted && *line == '"';
        words[n++] = slice_of(from, (size_t)(to - from));
    }
    client_send_argv(c, words, n);
    free(copy);
}

static enum trouble
receive(struct client *c)
{
    struct pollfd p = {c->fd, POLLIN, 0};
    ssize_t n;

    if (poll(&p, 1, c->timeout_ms) == 0)
        return TIMEOUT;
    n = recv(c->fd, buf_reserve(&c->in, 65536), 65536, 0);
    if (n <= 0)
        return CLOSED;
    c->in.len += (size_t)n;
    return FINE;
}

/* A line without its end, borrowed until more is received. */
static enum trouble
read_line(struct client *c, struct slice *line)
{
    size_t looked = c->at;

    for (;;) {
        const uint8_t *end = c->in.len > looked ? memchr(c->in.p + looked, '\n',
                                                         c->in.len - looked)
                                                : NULL;
        enum trouble t;

        if (end != NULL) {
            *line = slice_of(c->in.p + c->at, (size_t)(end - c->in.p) - c->at);
            c->at += line->len + 1;
            if (line->len < 2 || line->p[line->len - 1] != '\r')
                return GARBAGE;
            line->len--;
            return FINE;
        }
        looked = c->in.len;
        if ((t = receive(c)) != FINE)
            return t;
    }
}

static void
put_quoted(struct buf *out, const uint8_t *p, size_t n)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\')
            buf_printf(out, "\\%c", p[i]);
        else if (p[i] == '\r' || p[i] == '\n')
            buf_put_str(out, p[i] == '\r' ? "\\r" : "\\n");
        else if (isprint(p[i]))
            buf_put_u8(out, p[i]);
        else
            buf_printf(out, "\\x%02x", p[i]);
    }
    buf_put_u8(out, '"');
}

static enum trouble
read_bulk(struct client *c, long long n)
{
    size_t want = (size_t)n + 2;
    enum trouble t;

    while (c->in.len - c->at < want) {
        if ((t = receive(c)) != FINE)
            return t;
    }
    put_quoted(&c->text, c->in.p + c->at, (size_t)n);
    c->at += want;
    return memcmp(c->in.p + c->at - 2, "\r\n", 2) == 0 ? FINE : GARBAGE;
}

static enum trouble read_value(struct client *c, unsigned depth);

static enum trouble
read_many(struct client *c, long long n, char kind, unsigned depth)
{
    bool is_map = kind == '%';
    enum trouble t;

    buf_put_str(&c->text, kind == '~'   ? "~["
                          : kind == '>' ? ">["
                          : is_map      ? "{"
                                        : "[");
    for (long long i = 0; i < (is_map ? 2 * n : n); i++) {
        if (i > 0)
            buf_put_str(&c->text, is_map && i % 2 == 1 ? ": " : ", ");
        if ((t = read_value(c, depth + 1)) != FINE)
            return t;
    }
    buf_put_str(&c->text, is_map ? "}" : "]");
    return FINE;
}

static enum trouble
read_value(struct client *c, unsigned depth)
{
    struct slice line;
    char kind, number[24] = "";
    enum trouble t = read_line(c, &line);
    long long n;

    if (t != FINE)
        return t;
    kind = (char)line.p[0];
    if (depth > 16)
        return GARBAGE;
    if (strchr("+-:,#(", kind) != NULL) {
        buf_put_slice(&c->text, line);
        return FINE;
    }
    if (kind == '_') {
        buf_put_str(&c->text, "(nil)");
        return FINE;
    }
    if (strchr("$=*%~>", kind) == NULL || line.len - 1 >= sizeof number)
        return GARBAGE;
    memcpy(number, line.p + 1, line.len - 1);
    n = strtoll(number, NULL, 10);
    if (n == -1 && (kind == '$' || kind == '*')) {
        buf_put_str(&c->text, kind == '$' ? "(nil)" : "(nil array)");
        return FINE;
    }
    if (n < 0)
        return GARBAGE;
    if (kind == '=')
        buf_put_str(&c->text, "=");
    return kind == '$' || kind == '=' ? read_bulk(c, n)
                                      : read_many(c, n, kind, depth);
}

const char *
client_read(struct client *c)
{
    static const char *const troubles[] = {"", "(closed)", "(timeout)",
                                           "(garbage)"};
    enum trouble t;

    if (c->at == c->in.len) {
        buf_clear(&c->in);
        c->at = 0;
    }
    buf_clear(&c->text);
    t = read_value(c, 0);
    buf_put_str(&c->text, troubles[t]);
    buf_put_u8(&c->text, 0);
    return (const char *)c->text.p;
}

const char *
client_ask(struct client *c, const char *line)
{
    client_send(c, line);
    return client_read(c);
}

static void
expect(const char *line, const char *got, const char *want)
{
    size_t n = strlen(want);
    bool is_start = n > 3 && strcmp(want + n - 3, "...") == 0;

    if (is_start ? strncmp(got, want, n - 3) != 0 : strcmp(got, want) != 0)
        fail_msg("%s\n  answered %s\n  wanted   %s", line, got, want);
}

void
client_expect(struct client *c, const char *line, const char *want)
{
    expect(line, client_ask(c, line), want);
}

void
client_expect_read(struct client *c, const char *want)
{
    expect("(next reply)", client_read(c), want);
}

long long
client_info(struct client *c, const char *section, const char *field)
{
    char line[64], key[80];
    const char *at;

    snprintf(line, sizeof line, "INFO %s", section);
    snprintf(key, sizeof key, "\\n%s:", field);
    at = strstr(client_ask(c, line), key);
    return at == NULL ? -1 : strtoll(at + strlen(key), NULL, 10);
}
