/* bench/ranges.c - how fast queries read ranges, and how long they keep others
 * waiting.
 *
 *   ranges -p PORT [-h HOST] [-n ROWS]
 *
 * For a server with nothing on it that matters.  Fills ROWS hashes h:<i> with
 * fields v, site and pad, as many JSON strings j:<i> of the same, and 10,000
 * strings t:<i> of 100 bytes; then runs each query three times, while a second
 * client sends one PING after the other.  One line each:
 *
 *   ranges QUERY   best ms   rows a second   longest PING ms
 *
 * and first the longest PING of a second on the idle server.  The first query
 * is answered by ranks alone. */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIPELINE 200
#define TEXTS 10000
#define TIMES 3

struct pinger {
    redisContext *c;
    atomic_bool stops;
    double longest_ms;
};

struct query {
    const char *line;
    bool is_of_texts;
};

static const struct query queries[] = {
    {"NQ.COUNT h: h;", false},
    {"NQ.COUNT h: h; WHERE v>500000", false},
    {"NQ.COUNT j: j; WHERE v>500000", false},
    {"NQ.COUNT h: h; WHERE site=s3", false},
    {"NQ.COUNT h: h; WHERE $key%20LIKE%20%7%", false},
    {"NQ.AGG PREFIX h: SUM v MAX v", false},
    {"NQ.AGG PREFIX h: COUNT AVG v GROUP BY site", false},
    {"NQ.AGG PREFIX j: COUNT AVG v GROUP BY site", false},
    {"NQ.AGG PREFIX h: COUNT GROUP BY pad", false},
    {"NQ.RANGE h: h; WHERE v<10000 RETURN v", false},
    {"NQ.RANGE h: h; WHERE v<10000 RETURN v REV", false},
    {"NQ.RANGE h: h; WHERE v<10000 RETURN v LIMIT 0 10", false},
    {"NQ.RANGE t: t;", true},
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
    fprintf(stderr, "ranges: %s: %s\n", what, why);
    exit(1);
}

static redisContext *
connect_to(const char *host, int port)
{
    redisContext *c = redisConnect(host, port);

    if (c == NULL || c->err)
        die("cannot connect", c == NULL ? "no memory" : c->errstr);
    return c;
}

static void
read_reply(redisContext *c, const char *what)
{
    redisReply *r = NULL;

    if (redisGetReply(c, (void **)&r) != REDIS_OK)
        die(what, c->errstr);
    if (r->type == REDIS_REPLY_ERROR)
        die(what, r->str);
    freeReplyObject(r);
}

/* --- filling -------------------------------------------------------------- */

static void
append_row(redisContext *c, unsigned long i)
{
    unsigned v = (unsigned)(i * 2654435761u % 1000000);

    redisAppendCommand(c, "HSET h:%09lu v %u site s%u pad %u", i, v, v % 7,
                       v % 5000);
    redisAppendCommand(c, "SET j:%09lu {\"v\":%u,\"site\":\"s%u\",\"pad\":%u}",
                       i, v, v % 7, v % 5000);
}

static void
fill(redisContext *c, unsigned long rows)
{
    char text[101];

    memset(text, 'x', 100);
    text[100] = 0;
    for (unsigned long i = 0; i < rows; i++) {
        append_row(c, i);
        if (i % PIPELINE == PIPELINE - 1 || i + 1 == rows)
            for (unsigned long n = 0; n <= i % PIPELINE; n++) {
                read_reply(c, "HSET");
                read_reply(c, "SET");
            }
    }
    for (unsigned i = 0; i < TEXTS; i++)
        redisAppendCommand(c, "SET t:%05u %s", i, text);
    for (unsigned i = 0; i < TEXTS; i++)
        read_reply(c, "SET");
}

/* --- asking --------------------------------------------------------------- */

static void *
ping(void *arg)
{
    struct pinger *p = arg;

    while (!atomic_load(&p->stops)) {
        double began = now_ms(), took;

        redisAppendCommand(p->c, "PING");
        read_reply(p->c, "PING");
        took = now_ms() - began;
        if (took > p->longest_ms)
            p->longest_ms = took;
        usleep(200);
    }
    return NULL;
}

/* Words are separated by blanks; %20 is one. */
static void
append_line(redisContext *c, const char *line)
{
    const char *argv[32];
    char *copy = strdup(line), *save = NULL;
    int argc = 0;

    for (char *w = strtok_r(copy, " ", &save); w != NULL;
         w = strtok_r(NULL, " ", &save)) {
        char *blank;

        while ((blank = strstr(w, "%20")) != NULL) {
            *blank = ' ';
            memmove(blank + 1, blank + 3, strlen(blank + 3) + 1);
        }
        argv[argc++] = w;
    }
    redisAppendCommandArgv(c, argc, argv, NULL);
    free(copy);
}

static double
run_once(redisContext *c, const char *line)
{
    double began = now_ms();

    append_line(c, line);
    read_reply(c, line);
    return now_ms() - began;
}

/* What the machine makes a PING wait by itself. */
static void
run_idle(struct pinger *p)
{
    pthread_t thread;

    p->longest_ms = 0;
    atomic_store(&p->stops, false);
    pthread_create(&thread, NULL, ping, p);
    sleep(1);
    atomic_store(&p->stops, true);
    pthread_join(thread, NULL);
    printf("ranges %-50s %12s %19s %7.3f ms\n", "(idle)", "", "",
           p->longest_ms);
}

static void
run(redisContext *c, struct pinger *p, const struct query *q,
    unsigned long rows)
{
    double best = 1e9;
    pthread_t thread;

    p->longest_ms = 0;
    atomic_store(&p->stops, false);
    pthread_create(&thread, NULL, ping, p);
    for (int i = 0; i < TIMES; i++) {
        double took;

        redisAppendCommand(c, "SET h:changed x"); /* nothing is remembered */
        redisAppendCommand(c, "SET j:changed x");
        read_reply(c, "SET");
        read_reply(c, "SET");
        took = run_once(c, q->line);
        best = took < best ? took : best;
    }
    atomic_store(&p->stops, true);
    pthread_join(thread, NULL);
    printf("ranges %-50s %9.3f ms %12.0f rows/s %7.3f ms\n", q->line, best,
           (double)rows / best * 1e3, p->longest_ms);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    const char *host = "127.0.0.1";
    unsigned long rows = 1000000;
    struct pinger p = {.c = NULL};
    int port = 0, opt;
    redisContext *c;

    while ((opt = getopt(argc, argv, "p:h:n:")) != -1) {
        if (opt == 'p')
            port = (int)strtol(optarg, NULL, 10);
        else if (opt == 'h')
            host = optarg;
        else if (opt == 'n')
            rows = strtoul(optarg, NULL, 10);
    }
    c = connect_to(host, port);
    p.c = connect_to(host, port);
    fill(c, rows);
    run_idle(&p);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        run(c, &p, &queries[i], queries[i].is_of_texts ? TEXTS : rows);
    redisFree(c);
    redisFree(p.c);
    return 0;
}
