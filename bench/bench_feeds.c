/* bench/bench_feeds.c - feeds and channels: how fast what one writes reaches
 * many, and what feeds cost those who write elsewhere.
 *
 *   bench_feeds -p PORT [-n SUBSCRIBERS] [-r RATE] [-t SECONDS] [-c]
 *   bench_feeds -p PORT -i FEEDS [-t SECONDS]
 *
 * For a server with nothing on it that matters.  The first: RATE changes a
 * second of one key (with -c: messages to one channel), each with the time of
 * its sending in it, and SUBSCRIBERS who follow.  Prints how many messages came
 * in a second, and the median, 99th percentile and longest time from sending a
 * change to having its message, the work of this program included (one thread
 * takes all messages); and how many messages are missing or came out of order.
 *
 * The second: SETs in a pipeline, one second without feeds and one with FEEDS
 * feeds on other ranges, in turn for SECONDS; prints the nanoseconds that a SET
 * takes with and without. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tests/lib/fleet.h"
#include "base/check.h"
#include "base/histogram.h"
#include "base/mem.h"
#include "os/clock.h"

#define PIPELINE 256u
#define FEEDS_OF_ONE 500u /* feeds of one connection, in the second */

struct options {
    int port;
    unsigned subscribers, rate, seconds, idle;
    bool is_channel;
};

static struct {
    struct options o;
    struct fleet *fleet;
    unsigned writer; /* its connection: the last */
    unsigned subscribed;
    unsigned long long sent, answered, received, disorder;
    uint64_t *last; /* time in the last message, by subscriber */
    struct histogram *latency;
} b;

static void
die(const char *what)
{
    fprintf(stderr, "bench_feeds: %s\n", what);
    exit(1);
}

/* --- fan-out ---------------------------------------------------------------
 */

static void
on_open(void *arg, unsigned i)
{
    (void)arg;
    if (i == b.writer)
        b.subscribed++;
    else if (b.o.is_channel)
        fleet_send(b.fleet, i, "SUBSCRIBE bench");
    else
        fleet_send(b.fleet, i, "NQ.SUBSCRIBE PREFIX bench:");
}

static void
take_message(unsigned i, struct slice text)
{
    const char *at = (const char *)text.p;
    uint64_t us, now_us = clock_mono_us();

    if (b.last == NULL)
        return; /* of an idle feed: ready */
    if (!b.o.is_channel) {
        at = memmem(text.p, text.len, "\"value\":", 8);
        if (at == NULL)
            return; /* ready */
        at += 8;
        at += *at == '"';
    }
    us = strtoull(at, NULL, 10);
    b.received++;
    b.disorder += us <= b.last[i];
    b.last[i] = us;
    histogram_add(b.latency, now_us > us ? now_us - us : 0);
}

static void
on_reply(void *arg, unsigned i, const struct fleet_reply *r)
{
    (void)arg;
    if (r->type == '-') {
        fprintf(stderr, "%.*s\n", (int)r->items[0].len,
                (const char *)r->items[0].p);
        die("an error");
    }
    if (i == b.writer)
        b.answered++;
    else if (r->n == 3 && slice_eq(r->items[0], slice_lit("message")))
        take_message(i, r->items[2]);
    else
        b.subscribed++;
}

static void
on_close(void *arg, unsigned i)
{
    (void)arg;
    (void)i;
    die("a connection was closed");
}

static void
open_fleet(unsigned clients)
{
    struct fleet_opts fo = {.port = b.o.port,
                            .count = clients + 1,
                            .on_open = on_open,
                            .on_reply = on_reply,
                            .on_close = on_close};

    b.writer = clients;
    b.fleet = fleet_new(&fo);
    for (unsigned i = 0; i <= clients; i++)
        fleet_open(b.fleet, i);
}

static void
send_change(void)
{
    static uint64_t last_us;
    char line[64];

    last_us = nq_max(clock_mono_us(), last_us + 1);
    snprintf(line, sizeof line, "%s %llu",
             b.o.is_channel ? "PUBLISH bench" : "SET bench:key",
             (unsigned long long)last_us);
    fleet_send(b.fleet, b.writer, line);
    b.sent++;
}

static void
fan_out(void)
{
    uint64_t began_us, end_us, us;

    b.last = nq_calloc(b.o.subscribers, sizeof *b.last);
    b.latency = nq_calloc(1, sizeof *b.latency);
    open_fleet(b.o.subscribers);
    while (b.subscribed < b.o.subscribers + 1)
        fleet_poll(b.fleet, 10);
    began_us = clock_mono_us();
    end_us = began_us + b.o.seconds * 1000000ull;
    while ((us = clock_mono_us()) < end_us) {
        while (b.sent < (us - began_us) * b.o.rate / 1000000)
            send_change();
        fleet_poll(b.fleet, 1);
    }
    us = clock_mono_us();
    while (b.received < b.sent * b.o.subscribers &&
           clock_mono_us() < us + 5000000)
        fleet_poll(b.fleet, 1);
    us = clock_mono_us() - began_us;
    printf("%s to %u: %llu changes/s %llu messages/s  p50 %llu us  p99 %llu "
           "us  max %llu us  missing %llu  out of order %llu\n",
           b.o.is_channel ? "channel" : "feed", b.o.subscribers,
           b.sent * 1000000 / us, b.received * 1000000 / us,
           (unsigned long long)histogram_quantile(b.latency, 0.5),
           (unsigned long long)histogram_quantile(b.latency, 0.99),
           (unsigned long long)histogram_quantile(b.latency, 1),
           b.sent * b.o.subscribers - b.received, b.disorder);
    nq_free(b.latency);
    nq_free(b.last);
}

/* --- feeds elsewhere -------------------------------------------------------
 */

/* Nanoseconds of a SET, of those of a second. */
static double
set_ns(void)
{
    uint64_t began_us = clock_mono_us(), us;
    unsigned long long before = b.answered;
    char line[48];

    do {
        while (b.sent - b.answered < PIPELINE) {
            snprintf(line, sizeof line, "SET other:%05llu value",
                     b.sent * 7919 % 100000);
            fleet_send(b.fleet, b.writer, line);
            b.sent++;
        }
        fleet_poll(b.fleet, 10);
        us = clock_mono_us() - began_us;
    } while (us < 1000000);
    while (b.answered < b.sent)
        fleet_poll(b.fleet, 10);
    return (double)us * 1000.0 / (double)(b.answered - before);
}

static void
follow_all(unsigned clients, const char *command)
{
    char line[64];

    b.subscribed = 0;
    for (unsigned i = 0; i < b.o.idle; i++) {
        snprintf(line, sizeof line, "%s PREFIX idle:%06u:", command, i);
        fleet_send(b.fleet, i % clients, line);
        if (i % 100 == 0)
            fleet_poll(b.fleet, 0);
    }
    while (b.subscribed < b.o.idle)
        fleet_poll(b.fleet, 10);
}

static void
idle_feeds(void)
{
    unsigned clients = (b.o.idle + FEEDS_OF_ONE - 1) / FEEDS_OF_ONE;
    double without, with;

    b.o.subscribers = clients;
    b.o.is_channel = true; /* opens with one subscription each */
    open_fleet(clients);
    while (b.subscribed < clients + 1)
        fleet_poll(b.fleet, 10);
    without = set_ns();
    for (unsigned i = 0; i < b.o.seconds / 2; i++)
        without = nq_min(without, set_ns());
    follow_all(clients, "NQ.SUBSCRIBE");
    with = set_ns();
    for (unsigned i = 0; i < b.o.seconds / 2; i++)
        with = nq_min(with, set_ns());
    printf("SET beside %u idle feeds: %.0f ns, without %.0f ns, %+.1f %%\n",
           b.o.idle, with, without, 100.0 * (with / without - 1.0));
}

static void
read_options(int argc, char **argv, struct options *o)
{
    int option;

    *o = (struct options){.subscribers = 1000, .rate = 10, .seconds = 5};
    while ((option = getopt(argc, argv, "p:n:r:t:i:c")) != -1) {
        unsigned long long v = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);

        if (option == 'p')
            o->port = (int)v;
        else if (option == 'n')
            o->subscribers = (unsigned)v;
        else if (option == 'r')
            o->rate = (unsigned)v;
        else if (option == 't')
            o->seconds = (unsigned)v;
        else if (option == 'i')
            o->idle = (unsigned)v;
        else if (option == 'c')
            o->is_channel = true;
        else
            exit(2);
    }
    if (o->port == 0)
        die("-p PORT of a server whose data does not matter");
}

int
main(int argc, char **argv)
{
    read_options(argc, argv, &b.o);
    if (b.o.idle > 0)
        idle_feeds();
    else
        fan_out();
    fleet_free(b.fleet);
    return 0;
}
