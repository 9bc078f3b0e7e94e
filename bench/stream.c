/* bench/stream.c - how fast a query is streamed, and what others notice of it.
 *
 *   stream -p PORT [-h HOST] [-n ROWS] [-c STREAMS] [-s] [-b BATCH]
 *
 * For a server with nothing on it that matters.  Fills "bench:<number>" with
 * ROWS strings of 60 bytes, then streams them all to STREAMS clients at once
 * (NQ.STREAM, with -s of a SNAPSHOT), each of which gives a credit for each
 * batch, while another client sends one PING after the other.  Prints
 *
 *   rows/s             of all streams together
 *   first batch ms     the longest wait from NQ.STREAM to the first rows
 *   cancel ms          NQ.CANCEL in the middle, to its reply
 *   longest PING ms    idle, and meanwhile
 *   memory             of the server, before and at its most meanwhile */
#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 500
#define BUFFER (1u << 20)
#define CREDITS 20 /* to begin with */

struct options {
    const char *host;
    int port;
    unsigned long rows, streams, batch;
    bool is_snapshot;
};

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "stream: %s: %s\n", what, why);
    exit(1);
}

static redisContext *
connect_to(const struct options *o)
{
    redisContext *c = redisConnect(o->host, o->port);

    if (c == NULL || c->err)
        die("connect", c == NULL ? "no memory" : c->errstr);
    return c;
}

static redisReply *
ask(redisContext *c, const char *command)
{
    redisReply *r = redisCommand(c, command);

    if (r == NULL || r->type == REDIS_REPLY_ERROR)
        die(command, r == NULL ? c->errstr : r->str);
    return r;
}

/* --- what goes on beside it -------------------------------------------------
 */

struct watch {
    const struct options *o;
    atomic_bool stops;
    double longest_ms;
    long long memory; /* at its most */
};

static long long
memory_of(redisContext *c)
{
    redisReply *r = ask(c, "INFO memory");
    const char *at = strstr(r->str, "used_memory_rss:");
    long long n = at == NULL ? 0 : strtoll(at + 16, NULL, 10);

    freeReplyObject(r);
    return n;
}

static void *
run_watch(void *arg)
{
    struct watch *w = arg;
    redisContext *c = connect_to(w->o);

    for (unsigned n = 0; !atomic_load(&w->stops); n++) {
        double began = now_ms(), took;

        freeReplyObject(ask(c, "PING"));
        took = now_ms() - began;
        if (took > w->longest_ms)
            w->longest_ms = took;
        if (n % 200 == 0) {
            long long memory = memory_of(c);

            if (memory > w->memory)
                w->memory = memory;
        }
        usleep(200);
    }
    redisFree(c);
    return NULL;
}

/* --- one stream --------------------------------------------------------------
 */

struct stream {
    redisContext *c;
    char *buf;
    size_t len, at;
    long long id;
    double began_ms, first_ms;
    unsigned long values;
    bool is_over;
};

/* The number in a header line at *at; false: it is not all there. */
static bool
header(const struct stream *s, size_t *at, char *type, long long *n)
{
    const char *p = s->buf + *at;
    const char *end = memchr(p, '\n', s->len - *at);

    if (end == NULL)
        return false;
    *type = p[0];
    *n = strtoll(p + 1, NULL, 10);
    *at = (size_t)(end + 1 - s->buf);
    return true;
}

/* Moves behind one value, bulks and integers counted in *values. */
static bool
skip(const struct stream *s, size_t *at, unsigned long *values)
{
    long long n, todo = 1;
    char type;

    for (; todo > 0; todo--) {
        if (!header(s, at, &type, &n))
            return false;
        if (type == '*' || type == '>')
            todo += n;
        else if (type == '%')
            todo += 2 * n;
        else
            ++*values;
        if (type == '$' && n >= 0)
            *at += (size_t)n + 2;
        if (*at > s->len)
            return false;
    }
    return true;
}

/* What is whole in the buffer; how many credits it is worth. */
static unsigned
take(struct stream *s)
{
    unsigned batches = 0;

    for (;;) {
        size_t at = s->at;
        unsigned long values = 0;
        const char *begin = s->buf + s->at;

        if (!skip(s, &at, &values))
            break;
        if (begin[0] == ':') {
            if (s->id == 0)
                s->id = strtoll(begin + 1, NULL, 10);
        } else if (begin[0] == '-') {
            die("server", "an error was answered");
        } else if (begin[0] == '>') {
            bool is_rows = memmem(begin, 64, "\r\nrows\r\n*", 9) != NULL;

            if (memmem(begin, 64, "\r\nend\r\n%", 8) != NULL)
                s->is_over = true;
            if (memmem(begin, 64, "\r\nerror\r\n$", 10) != NULL)
                die("server", "the stream failed");
            if (is_rows && s->first_ms == 0)
                s->first_ms = now_ms() - s->began_ms;
            batches += is_rows;
            s->values += is_rows ? values - 3 : 0;
        }
        s->at = at;
    }
    memmove(s->buf, s->buf + s->at, s->len - s->at);
    s->len -= s->at;
    s->at = 0;
    return batches;
}

static void
send_text(struct stream *s, const char *text)
{
    size_t n = strlen(text);

    if (write(s->c->fd, text, n) != (ssize_t)n)
        die("write", "short");
}

static void
start(struct stream *s, const struct options *o)
{
    char text[160];

    s->c = connect_to(o);
    s->buf = malloc(BUFFER + 64);
    send_text(s, "HELLO 3\r\n"); /* older hiredis cannot read the answer */
    s->began_ms = now_ms();
    snprintf(text, sizeof text,
             "NQ.STREAM PREFIX bench: %sBATCH %lu CREDITS "
             "%u\r\n",
             o->is_snapshot ? "SNAPSHOT " : "", o->batch, CREDITS);
    send_text(s, text);
}

static void
give(struct stream *s, unsigned credits)
{
    char text[80];

    if (credits == 0 || s->is_over)
        return;
    snprintf(text, sizeof text, "NQ.CREDIT %lld %u\r\n", s->id, credits);
    send_text(s, text);
}

static void
read_some(struct stream *s)
{
    ssize_t n = read(s->c->fd, s->buf + s->len, BUFFER - s->len);

    if (n <= 0)
        die("read", "closed");
    s->len += (size_t)n;
    memset(s->buf + s->len, 0, 64);
    give(s, take(s));
}

static void
stop(struct stream *s)
{
    redisFree(s->c);
    free(s->buf);
}

/* --- measuring ---------------------------------------------------------------
 */

static void
fill(const struct options *o)
{
    redisContext *c = connect_to(o);

    freeReplyObject(ask(c, "FLUSHDB"));
    for (unsigned long n = 0; n < o->rows;) {
        unsigned sent = 0;

        for (; sent < AT_ONCE && n < o->rows; sent++, n++)
            redisAppendCommand(c,
                               "SET bench:%09lu "
                               "%060lu",
                               n, n * 7919);
        for (; sent > 0; sent--) {
            void *r;

            if (redisGetReply(c, &r) != REDIS_OK)
                die("fill", c->errstr);
            freeReplyObject(r);
        }
    }
    redisFree(c);
}

static void
stream_all(const struct options *o)
{
    struct stream *s = calloc(o->streams, sizeof *s);
    struct pollfd *p = calloc(o->streams, sizeof *p);
    unsigned long over = 0, rows = 0;
    double began = now_ms(), longest = 0;

    for (unsigned long i = 0; i < o->streams; i++) {
        start(&s[i], o);
        p[i] = (struct pollfd){.fd = s[i].c->fd, .events = POLLIN};
    }
    while (over < o->streams) {
        poll(p, (nfds_t)o->streams, 1000);
        for (unsigned long i = 0; i < o->streams; i++) {
            if ((p[i].revents & POLLIN) == 0)
                continue;
            read_some(&s[i]);
            if (s[i].is_over) {
                p[i].fd = -1;
                over++;
            }
        }
    }
    began = now_ms() - began;
    for (unsigned long i = 0; i < o->streams; i++) {
        rows += s[i].values / 2;
        longest = s[i].first_ms > longest ? s[i].first_ms : longest;
        stop(&s[i]);
    }
    printf("stream rows %lu\nstream rows/s %.0f\nstream first batch ms %.2f\n",
           rows, (double)rows / began * 1e3, longest);
    free(s);
    free(p);
}

static void
cancel_one(const struct options *o)
{
    struct stream s = {0};
    char text[64];
    double began;

    start(&s, o);
    while (s.values < o->rows / 4)
        read_some(&s);
    snprintf(text, sizeof text, "NQ.CANCEL %lld\r\n", s.id);
    began = now_ms();
    send_text(&s, text);
    for (unsigned long before = 0; before != s.values || s.len > 0;) {
        struct pollfd p = {.fd = s.c->fd, .events = POLLIN};

        before = s.values;
        if (poll(&p, 1, 50) == 0)
            break;
        read_some(&s);
        text[0] = '\0';
        if (s.values == before)
            break; /* only the reply came */
    }
    printf("stream cancel ms %.2f\n", now_ms() - began);
    stop(&s);
}

static void
measure(const struct options *o)
{
    struct watch w = {.o = o};
    pthread_t thread;

    pthread_create(&thread, NULL, run_watch, &w);
    sleep(1);
    printf("stream longest PING ms, idle %.2f\nstream memory before %lld\n",
           w.longest_ms, w.memory);
    w.longest_ms = 0;
    stream_all(o);
    printf("stream longest PING ms, meanwhile %.2f\n"
           "stream memory, at most %lld\n",
           w.longest_ms, w.memory);
    cancel_one(o);
    atomic_store(&w.stops, true);
    pthread_join(thread, NULL);
}

int
main(int argc, char **argv)
{
    struct options o = {"127.0.0.1", 6379, 1000000, 1, 1000, false};
    int opt;

    while ((opt = getopt(argc, argv, "h:p:n:c:b:s")) != -1) {
        switch (opt) {
        case 'h':
            o.host = optarg;
            break;
        case 'p':
            o.port = (int)strtol(optarg, NULL, 10);
            break;
        case 'n':
            o.rows = strtoul(optarg, NULL, 10);
            break;
        case 'c':
            o.streams = strtoul(optarg, NULL, 10);
            break;
        case 'b':
            o.batch = strtoul(optarg, NULL, 10);
            break;
        case 's':
            o.is_snapshot = true;
            break;
        default:
            return 2;
        }
    }
    fill(&o);
    measure(&o);
    return 0;
}
