/* bench/feed_story.c - the clients of utils/demo-feeds: writers and
 * subscribers of a server that somebody else starts, kills and starts again.
 *
 *   feed_story -p PORT [-n SUBSCRIBERS] [-w WRITERS] [-k KEYS] [-r RATE]
 *              [-c KILLS] [-t SECONDS] [-s SEED] [-u]
 *
 * RATE changes a second for SECONDS, KILLS subscribers a second that lose
 * their connection, with -u one that is stuck to the end.  A line of progress
 * each second; at the end the verdict, and exit status 0 only if the copy of
 * every subscriber is what the store holds, and none saw a gap or anything
 * twice. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tests/lib/feed_fleet.h"
#include "base/rng.h"

#define CATCH_UP_MS 30000

static void
read_options(int argc, char **argv, struct feed_fleet_opts *o,
             unsigned *seconds)
{
    int option;

    *o = (struct feed_fleet_opts){.subscribers = 1000,
                                  .writers = 4,
                                  .keys = 500,
                                  .rate = 400,
                                  .kills = 5,
                                  .seed = rng_seed_from_os()};
    *seconds = 20;
    while ((option = getopt(argc, argv, "p:n:w:k:r:c:t:s:u")) != -1) {
        unsigned long long v = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);

        switch (option) {
        case 'p':
            o->port = (int)v;
            break;
        case 'n':
            o->subscribers = (unsigned)v;
            break;
        case 'w':
            o->writers = (unsigned)v;
            break;
        case 'k':
            o->keys = (unsigned)v;
            break;
        case 'r':
            o->rate = (unsigned)v;
            break;
        case 'c':
            o->kills = (unsigned)v;
            break;
        case 't':
            *seconds = (unsigned)v;
            break;
        case 's':
            o->seed = v;
            break;
        case 'u':
            o->has_stuck = true;
            break;
        default:
            exit(2);
        }
    }
    if (o->port == 0 || o->subscribers == 0 || o->writers == 0 ||
        o->keys < o->writers) {
        fprintf(stderr, "feed_story: -p PORT, and at least one of each\n");
        exit(2);
    }
}

static void
say(const char *when, const struct feed_fleet *ff)
{
    struct feed_fleet_stats s;

    feed_fleet_get_stats(ff, &s);
    printf("  %s: %u subscribers follow; %llu changes written, %llu messages, "
           "%llu rows of snapshots, %llu went on FROM a position\n",
           when, s.ready, s.changes, s.messages, s.rows, s.resumed);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    struct feed_fleet_opts o;
    struct feed_fleet *ff;
    struct feed_fleet_stats s;
    unsigned seconds;
    char when[32];
    bool is_exact;

    read_options(argc, argv, &o, &seconds);
    ff = feed_fleet_new(&o);
    for (unsigned i = 1; i <= seconds; i++) {
        feed_fleet_run(ff, 1000);
        snprintf(when, sizeof when, "%3u s", i);
        say(when, ff);
    }
    is_exact = feed_fleet_finish(ff, CATCH_UP_MS);
    say("end", ff);
    feed_fleet_get_stats(ff, &s);
    if (is_exact)
        printf("EXACT: %u copies of %u keys are what the store holds; no gap, "
               "nothing twice\n",
               o.subscribers, s.keys);
    else
        printf("FAILED: %s (seed %llu)\n", feed_fleet_why(ff),
               (unsigned long long)o.seed);
    feed_fleet_free(ff);
    return is_exact ? 0 : 1;
}
