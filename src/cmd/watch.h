/* cmd/watch.h - WATCH: which sessions want to know that a key changed.
 *
 * Loop thread only. */
#ifndef NQ_CMD_WATCH_H
#define NQ_CMD_WATCH_H

#include "base/rc.h"
#include "base/slice.h"

struct engine;
struct session;
struct watches;
struct db;

/* What a key was when WATCH saw it. */
enum watch_was { WATCH_ABSENT, WATCH_LIVE, WATCH_EXPIRED };

struct watches *watches_new(void);
void watches_free(struct watches *w); /* nobody watches any more */

/* What the key is now; *expire_ms: of a live one, 0 if none.  NQ_MISS and
 * what else may happen to a read. */
NQ_MUST_USE nq_rc watch_look(struct db *db, uint32_t dbi, struct slice key,
                             enum watch_was *was, uint64_t *expire_ms);
/* The session has a struct multi.  A key watched already stays as it was. */
void watch_add(struct session *s, uint32_t dbi, struct slice key,
               enum watch_was was, uint64_t expire_ms);
void watch_drop_all(struct session *s);

/* A key changed, or with key.p NULL all of the database did. */
void watches_touch(struct watches *w, uint32_t dbi, struct slice key);
/* Whether EXEC must answer null: *conflict. */
NQ_MUST_USE nq_rc watch_check(struct session *s, struct db *db, bool *conflict);

#endif
