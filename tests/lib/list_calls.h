/* tests/lib/list_calls.h - the calls of db/lists.h as commands would make
 * them: the key is found, then the call follows.  To be run by env_run(). */
#ifndef NQ_TESTS_LIST_CALLS_H
#define NQ_TESTS_LIST_CALLS_H

#include "db/lists.h"
#include "db_env.h"

/* The key of the ith list. */
struct slice list_name(unsigned i, char dst[16]);

nq_rc list_call_check(struct env *env, struct slice key);
nq_rc list_call_push(struct env *env, struct slice key, enum list_end end,
                     const struct slice *elems, unsigned n, uint64_t *len);
/* `out` NULL: the values are not wanted. */
nq_rc list_call_pop(struct env *env, struct slice key, enum list_end end,
                    unsigned n, struct slice *out);
nq_rc list_call_set(struct env *env, struct slice key, unsigned at,
                    struct slice elem);
nq_rc list_call_insert(struct env *env, struct slice key, unsigned at,
                       struct slice elem, uint64_t *len);
nq_rc list_call_trim(struct env *env, struct slice key, unsigned start,
                     unsigned n);
/* LREM: marks up to `count` equal elements, and removes them. */
nq_rc list_call_remove(struct env *env, struct slice key, struct slice elem,
                       unsigned count, bool last, uint64_t *removed);
nq_rc list_call_move(struct env *env, struct slice from_key,
                     enum list_end from_end, struct slice to_key,
                     enum list_end to_end, struct slice *elem);
/* The element, in the env's arena. */
nq_rc list_call_at(struct env *env, struct slice key, unsigned i,
                   struct slice *out);

#endif
