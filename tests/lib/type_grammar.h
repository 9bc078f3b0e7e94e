/* tests/lib/type_grammar.h - random commands on lists, sets, sorted sets,
 * hashes, streams, HyperLogLogs, places and the keys that hold them: good ones,
 * wrong ones, on keys of the wrong type too.
 *
 * What they do depends on nothing but what was there before: ids are given,
 * members are popped all or by rule.  So two servers can be compared. */
#ifndef NQ_TESTS_TYPE_GRAMMAR_H
#define NQ_TESTS_TYPE_GRAMMAR_H

#include "base/buf.h"
#include "base/rng.h"

struct type_grammar {
    struct rng rng;
    uint64_t next_id; /* of stream entries; 1 at first */
    unsigned keys;    /* by each letter; 0: TYPE_KEYS */
};

/* Keys are "l:0" to "l:4" (lists), and so on by these letters. */
#define TYPE_LETTERS "lszhqpoy"
#define TYPE_KEYS 5

/* Appends a command, terminated. */
void type_command(struct type_grammar *g, struct buf *out);

/* The command that reads all of a key whose TYPE is that, with "%s" for its
 * name; NULL: no key. */
const char *type_whole_read(const char *type);

#endif
