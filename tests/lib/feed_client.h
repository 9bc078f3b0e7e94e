/* tests/lib/feed_client.h - a client that follows a query and keeps a copy of
 * its keys, as the messages tell it.
 *
 * It checks what the contract of feeds says of any sequence of messages:
 * positions never fall, those of changes rise, and `was` is what the copy
 * says.  For string values and keys without characters that JSON escapes. */
#ifndef NQ_TESTS_FEED_CLIENT_H
#define NQ_TESTS_FEED_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"

#define FEED_KEYS 4096 /* of a copy at most */
#define FEED_TEXT 128

struct feed_message {
    uint64_t lsn, from, to, count, oldest, newest; /* 0: not told */
    bool was, is, has_to;
    char event[16], key[FEED_TEXT], value[FEED_TEXT];
    char first[FEED_TEXT], last[FEED_TEXT]; /* of gone: "from", "to" */
};

struct feed_client {
    struct client c;
    bool is_open;
    char channel[FEED_TEXT];
    uint64_t lsn; /* of the last message */
    uint64_t messages, rows, changes, gaps, lost;
    bool is_ready;
    bool is_lossy; /* gaps may come: `was` is not checked */
    unsigned keys;
    char key[FEED_KEYS][FEED_TEXT], value[FEED_KEYS][FEED_TEXT];
};

/* Connects; `resp` 2 or 3. */
void feed_open(struct feed_client *f, const struct live_server *s, int resp);
/* Forgets the connection, not the copy. */
void feed_close(struct feed_client *f);
/* Sends a command (words at blanks), which must be answered as a subscription.
 */
void feed_subscribe(struct feed_client *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The next message; false: none came in `ms`, or the connection ended. */
bool feed_next(struct feed_client *f, int ms, struct feed_message *out);
/* Takes messages until one of this position or behind came; false: nothing
 * came for `ms`. */
bool feed_until(struct feed_client *f, uint64_t lsn, int ms);
/* Takes messages until nothing comes for `ms`; how many. */
uint64_t feed_drain(struct feed_client *f, int ms);
/* The copy is what the server has in keys with this prefix. */
void feed_check_copy(struct feed_client *f, const struct live_server *s,
                     const char *prefix);
/* NULL: the copy has no such key. */
const char *feed_value(const struct feed_client *f, const char *key);

#endif
