/* tests/lib/change_copy.h - a copy of some ranges of keys, kept by nothing but
 * the changes that a reader gives, and whether it is what the database is.
 *
 * Also a list of all changes as they came, so that what another reader gives
 * can be compared with what this one gave. */
#ifndef NQ_TESTS_CHANGE_COPY_H
#define NQ_TESTS_CHANGE_COPY_H

#include "base/buf.h"
#include "cmd/changes.h"
#include "engine_env.h"

#define COPY_KEYS 4096
#define COPY_RANGES 4

struct copy_item {
    uint32_t db;
    struct slice key, image; /* owned; image as the log has it */
};

struct change_copy {
    struct engine_env *env;
    struct key_range ranges[COPY_RANGES];
    unsigned nranges;
    struct copy_item items[COPY_KEYS]; /* in no order */
    unsigned count;
    lsn at;           /* of the last change */
    uint64_t changes; /* applied */
    bool is_reset;    /* since then keys are not known: copy_read() */
};

/* The ranges stay the caller's. */
void copy_init(struct change_copy *c, struct engine_env *env,
               const struct key_range *ranges, unsigned n);
void copy_fini(struct change_copy *c);
/* Reads all of it from the database, as it is now. */
void copy_read(struct change_copy *c);
/* Applies one; checks that its LSN is above the last one's and that it tells
 * of the key before what the copy has. */
void copy_apply(struct change_copy *c, const struct change *ch);
/* Fails the test, and names the key, if the database is something else. */
void copy_assert_same(struct change_copy *c);

/* Turns until nothing is due, so that nothing changes by itself any more. */
void copy_let_expire(struct engine_env *env);

/* A change as bytes, to be compared. */
void change_to_bytes(const struct change *c, struct buf *out);

#endif
