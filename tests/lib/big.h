/* tests/lib/big.h - hashes with trees of their own, for tests of what happens
 * to a value as a whole: held, copied, let go. */
#ifndef NQ_TESTS_BIG_H
#define NQ_TESTS_BIG_H

#include "db_env.h"

/* HSET of fields [from, to), values of about `len` bytes; every 50th is long
 * enough for a blob. */
nq_rc big_set(struct env *e, uint32_t dbi, struct slice key, unsigned from,
              unsigned to, size_t len);
/* The key has just these fields and values. */
void big_check(struct env *e, uint32_t dbi, struct slice key, unsigned n,
               size_t len);
/* A sum over all fields and values; 0: the key is not there. */
uint64_t big_sum(struct env *e, uint32_t dbi, struct slice key);
/* The root of its tree; 0: it has none, or is not there. */
pgno big_root(struct env *e, uint32_t dbi, struct slice key);
/* Pages in use, those of the catalog of what is to be freed included. */
uint64_t big_pages(struct env *e);

#endif
