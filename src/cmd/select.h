/* cmd/select.h - what the queries have in common: which keys, which of them,
 * what of those.
 *
 *   selector := start end              NQ.RANGE, NQ.COUNT and NQ.AGG only
 *             | PREFIX p | RANGE start end
 *   clauses  := [WHERE expression ...] [RETURN field ...] [LIMIT offset count]
 *               [REV] [KEYSONLY | VALUESONLY]
 *
 * WHERE takes the arguments up to the next word of a clause (SELECT_WORDS, or
 * one that the command adds); a text of that spelling is given in quotes that
 * arrive, or in one argument with the whole expression.  RETURN takes
 * "$key", "$value", "$len", "$ttl", "$type" and paths; "*" is all fields of a
 * hash, or the string.
 *
 * Loop thread only. */
#ifndef NQ_CMD_SELECT_H
#define NQ_CMD_SELECT_H

#include "cmd/cmd_range.h"
#include "query/program.h"

#define SELECT_RETURN_MAX 64u

/* Zeroed at first; the first parsing sets what is meant without a clause. */
struct select {
    struct range range; /* slices of argv or of the arena of the batch: parsed
                         * again in each run of the command */
    bool is_prefix;
    struct program *where;       /* NULL: all of them */
    bool has_return, return_all; /* all: "*" is among them */
    uint32_t return_count;
    struct path *returns[SELECT_RETURN_MAX];
    bool reverse, want_keys, want_values;
    int64_t offset, count; /* count < 0: all */
    unsigned seen;         /* enum select_clause: those that were given */
};

enum select_clause {
    SELECT_WHERE = 1 << 0,
    SELECT_RETURN = 1 << 1,
    SELECT_LIMIT = 1 << 2,
    SELECT_ORDER = 1 << 3, /* REV */
    SELECT_WHAT = 1 << 4,  /* KEYSONLY, VALUESONLY */
};

/* Reads a selector at argv[*i] (PREFIX or RANGE) and moves *i behind it.
 * False: an error is answered. */
bool select_parse_selector(struct req *rq, uint32_t *i, struct select *out);
/* Reads the clauses of `which` from argv[*i] on, in any order, each at most
 * once, and stops at the first word that is none of them: one of `own` (words
 * of the command, ends with NULL, may be NULL), or a syntax error of the
 * caller's.  May be called again to go on behind such a word.  False: an error
 * is answered, "ERR query: expected a value, found ')' at 17". */
bool select_parse_clauses(struct req *rq, uint32_t *i, unsigned which,
                          const char *const *own, struct select *out);
/* Drops what parsing made; of zeroes: does nothing. */
void select_fini(struct select *sel);

/* Parts of a row that the answer or the test looks at. */
unsigned select_needs(const struct select *sel);

#endif
