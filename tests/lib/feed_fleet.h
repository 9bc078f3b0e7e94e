/* tests/lib/feed_fleet.h - writers, and subscribers who each keep a copy of
 * what they write by nothing but a feed (NQ.SUBSCRIBE PREFIX demo:).
 *
 * Every key has versions that rise by one with each change, DEL included; a
 * SET writes the version.  So a subscriber sees at once what it missed or got
 * twice: after its snapshot each change of a key must be the next version, and
 * positions must rise.  Who loses its connection, or the server, comes back
 * FROM the last position that it saw.  Writers come back by reading what the
 * server has, of what they had not heard of yet. */
#ifndef NQ_TESTS_FEED_FLEET_H
#define NQ_TESTS_FEED_FLEET_H

#include <stdbool.h>
#include <stdint.h>

struct feed_fleet;

struct feed_fleet_opts {
    int port;
    unsigned subscribers, writers, keys;
    unsigned rate;  /* changes a second, of all writers; 0: what goes */
    unsigned kills; /* subscribers that die a second, and come again */
    bool has_stuck; /* subscriber 0 reads nothing before the end */
    uint64_t seed;
};

struct feed_fleet *feed_fleet_new(const struct feed_fleet_opts *opts);
void feed_fleet_free(struct feed_fleet *ff);

/* Everybody does what they do, for so long; the server may come and go. */
void feed_fleet_run(struct feed_fleet *ff, unsigned ms);
/* Writing ends, the stuck one reads, and all copies are compared with the
 * store until they are the same, for at most so long.  False: they are not,
 * or somebody saw a gap or a duplicate before; feed_fleet_why() tells. */
bool feed_fleet_finish(struct feed_fleet *ff, unsigned timeout_ms);
const char *feed_fleet_why(const struct feed_fleet *ff);

struct feed_fleet_stats {
    unsigned long long changes;  /* acknowledged to writers */
    unsigned long long messages; /* of changes, that subscribers took */
    unsigned long long rows;     /* of snapshots */
    unsigned long long resumed;  /* subscriptions FROM a position */
    unsigned long long killed;   /* subscribers */
    unsigned ready;              /* subscribers that get changes now */
    unsigned keys;               /* there at the end */
};
void feed_fleet_get_stats(const struct feed_fleet *ff,
                          struct feed_fleet_stats *out);

#endif
