/* bench/stall.c - how long a command on a big value keeps others waiting.
 *
 *   stall -p PORT [-h HOST] [-t TYPE] [-n ELEMENTS] [-s BYTES] COMMAND ...
 *
 * For a server with nothing on it that matters.  Fills its key "big" with
 * ELEMENTS elements of TYPE (string hash set zset list stream; a string has
 * BYTES bytes times that), then runs each COMMAND ("DEL big") in turn, filling
 * again where the key is gone, while a second client sends one PING after the
 * other, until a second after the answer.  One line each:
 *
 *   stall TYPE COMMAND   longest PING ms   the command's own ms
 *
 * and first the longest of a second on the idle server. */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 500 /* elements in one command */
#define PIPELINE 20

struct options {
    const char *host, *type;
    int port;
    unsigned long elements, bytes;
};

struct pinger {
    redisContext *c;
    atomic_bool stops;
    double longest_ms;
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
    fprintf(stderr, "stall: %s: %s\n", what, why);
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

/* The reply is looked at for errors and dropped; its integer. */
static long long
take_reply(redisContext *c)
{
    redisReply *r = NULL;
    long long v;

    if (redisGetReply(c, (void **)&r) != REDIS_OK)
        die("reply", c->errstr);
    if (r->type == REDIS_REPLY_ERROR)
        die("reply", r->str);
    v = r->integer;
    freeReplyObject(r);
    return v;
}

static long long
ask(redisContext *c, const char *command)
{
    redisAppendCommand(c, command);
    return take_reply(c);
}

/* --- filling -------------------------------------------------------------- */

/* "ADD big element ..." from element `from` on; returns how many. */
static unsigned
append_elements(redisContext *c, const struct options *o, unsigned long from)
{
    static char text[3 * AT_ONCE][40];
    const char *argv[3 * AT_ONCE + 2];
    const char *name = strcmp(o->type, "hash") == 0   ? "HSET"
                       : strcmp(o->type, "set") == 0  ? "SADD"
                       : strcmp(o->type, "zset") == 0 ? "ZADD"
                                                      : "RPUSH";
    bool has_value = strcmp(name, "HSET") == 0 || strcmp(name, "ZADD") == 0;
    int argc = 2;
    unsigned n = 0;

    argv[0] = name;
    argv[1] = "big";
    for (; n < AT_ONCE && from + n < o->elements; n++) {
        /* Scattered, as members are: neighbours come at different times. */
        unsigned long i = (from + n) * 7919 % o->elements;

        if (has_value) {
            snprintf(text[argc], sizeof text[0], "%lu", i);
            argv[argc] = text[argc];
            argc++;
        }
        snprintf(text[argc], sizeof text[0], "element:%08lu", i);
        argv[argc] = text[argc];
        argc++;
    }
    redisAppendCommandArgv(c, argc, argv, NULL);
    return n;
}

static unsigned
append_one(redisContext *c, const struct options *o, unsigned long from)
{
    static char *bytes;

    if (strcmp(o->type, "stream") == 0) {
        redisAppendCommand(c, "XADD big * field %lu", from);
        return 1;
    }
    if (bytes == NULL)
        bytes = calloc(1, o->bytes);
    redisAppendCommand(c, "APPEND big %b", bytes, (size_t)o->bytes);
    return 1;
}

static void
fill(redisContext *c, const struct options *o)
{
    bool is_single =
        strcmp(o->type, "stream") == 0 || strcmp(o->type, "string") == 0;
    unsigned long done = 0;

    if (ask(c, "EXISTS big") == 1)
        return;
    while (done < o->elements) {
        unsigned sent = 0;

        for (; sent < PIPELINE && done < o->elements; sent++)
            done += is_single ? append_one(c, o, done)
                              : append_elements(c, o, done);
        while (sent-- > 0)
            (void)take_reply(c);
    }
}

/* --- measuring ------------------------------------------------------------ */

/* Ahead of the thread that takes the long answer, if we may: it is the server
 * that is measured. */
static void
go_first(void)
{
    struct sched_param param = {.sched_priority = 1};

    (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
}

static void *
ping(void *arg)
{
    struct pinger *p = arg;

    go_first();
    while (!atomic_load(&p->stops)) {
        double begin = now_ms(), took;

        (void)ask(p->c, "PING");
        took = now_ms() - begin;
        if (took > p->longest_ms)
            p->longest_ms = took;
        usleep(50);
    }
    return NULL;
}

/* Runs `command` (NULL: nothing) and a second more beside the pings. */
static void
measure(const struct options *o, redisContext *c, struct pinger *p,
        const char *command)
{
    pthread_t thread;
    double begin, took;

    p->longest_ms = 0;
    atomic_store(&p->stops, false);
    pthread_create(&thread, NULL, ping, p);
    usleep(20000);
    begin = now_ms();
    if (command != NULL)
        (void)ask(c, command);
    took = now_ms() - begin;
    sleep(1);
    atomic_store(&p->stops, true);
    pthread_join(thread, NULL);
    printf("stall %-6s %-30s %8.2f ms %10.2f ms\n", o->type,
           command == NULL ? "(idle)" : command, p->longest_ms, took);
    fflush(stdout);
}

static void
read_options(int argc, char **argv, struct options *o)
{
    int option;

    *o = (struct options){.host = "127.0.0.1",
                          .type = "set",
                          .elements = 10000000,
                          .bytes = 1 << 20};
    while ((option = getopt(argc, argv, "h:p:t:n:s:")) != -1) {
        if (option == 'h')
            o->host = optarg;
        else if (option == 'p')
            o->port = (int)strtoll(optarg, NULL, 10);
        else if (option == 't')
            o->type = optarg;
        else if (option == 'n')
            o->elements = strtoull(optarg, NULL, 10);
        else if (option == 's')
            o->bytes = strtoull(optarg, NULL, 10);
        else
            die("usage",
                "-p PORT [-h HOST] [-t TYPE] [-n N] [-s BYTES] COMMAND ...");
    }
    if (o->port == 0)
        die("usage", "-p PORT of a server whose data does not matter");
}

int
main(int argc, char **argv)
{
    struct options o;
    struct pinger p = {.longest_ms = 0};
    redisContext *c;

    read_options(argc, argv, &o);
    c = connect_to(&o);
    p.c = connect_to(&o);
    fill(c, &o);
    measure(&o, c, &p, NULL);
    for (int i = optind; i < argc; i++) {
        fill(c, &o);
        measure(&o, c, &p, argv[i]);
    }
    redisFree(c);
    redisFree(p.c);
    return 0;
}
