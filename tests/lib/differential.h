/* tests/lib/differential.h - the same random commands to redis-server and to
 * ours: every reply must be the same, text for text (client.h tells how a
 * reply looks as text).
 *
 * SEED repeats a run, DIFF_COMMANDS sets its length, DIFF_WITHOUT="LPOS GEO"
 * leaves out what begins with one of these.  Commands go out in
 * batches; what one connection is in the middle of (MULTI, WATCH) is followed
 * from the texts alone. */
#ifndef NQ_TESTS_DIFFERENTIAL_H
#define NQ_TESTS_DIFFERENTIAL_H

#include "base/rng.h"
#include "client.h"

struct diff_mode {
    bool in_multi, is_watching;
};

struct diff_grammar {
    /* Puts a command, terminated, into the empty `out`. */
    void (*make)(struct buf *out);
    /* Whether it may be sent now. */
    bool (*is_allowed)(const struct diff_mode *m, const char *command);
    /* Whether the order of the reply's parts means nothing. */
    bool (*is_unordered)(const char *command);
    /* Whether two replies that differ are the same all the same. */
    bool (*is_near)(const char *command, const char *ours, const char *theirs);
};

struct diff {
    struct live_server ours, redis;
    struct rng rng;
    uint64_t seed;
};
extern struct diff diff;

/* For cmocka's group: starts and stops both servers. */
int diff_start(void **state);
int diff_stop(void **state);
/* False, said aloud: there is no redis-server here. */
bool diff_is_possible(const char *test);

/* A random stream, from empty databases. */
void diff_run(const struct diff_grammar *g, unsigned resp);
/* One command to both: whether they agree; if not, both are printed. */
bool diff_ask(const struct diff_grammar *g, struct client *ours,
              struct client *redis, const char *command);

/* One of a list of texts. */
void diff_put_choice(struct buf *out, const char *const *list, size_t n);
#define DIFF_PUT_CHOICE(out, list) diff_put_choice(out, list, nq_countof(list))

#endif
