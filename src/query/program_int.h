/* query/program_int.h - what the files of the query language share: how a
 * program and a path look inside.
 *
 * A program is a list of steps.  Those that test push a truth, NOT changes the
 * one on top, AND and OR make one of two; the jumps before the right side of
 * an AND (OR) leave it out when the left side, which stays, is false (true).
 *
 *   temp > 25 AND NOT (site = "n" OR ok)
 *
 *   0  CMP  temp > 25      4  JUMP_TRUE to 7
 *   1  JUMP_FALSE to 9     5  IS_TRUE ok
 *   2  (from here on what  6  OR
 *   3  CMP  site = "n"     7  NOT
 *                          8  AND */
#ifndef NQ_QUERY_PROGRAM_INT_H
#define NQ_QUERY_PROGRAM_INT_H

#include <stdatomic.h>

#include "base/hash.h"
#include "base/list.h"
#include "query/choices.h"
#include "query/json.h"
#include "query/program.h"
#include "query/wildcard.h"

#define PATH_STEPS_MAX 32u

enum path_kind {
    PATH_FIELD, /* of a hash, or in JSON */
    PATH_KEY,
    PATH_VALUE,
    PATH_LEN,
    PATH_TTL,
    PATH_TYPE
};

struct path {
    enum path_kind kind;
    uint32_t count; /* steps, of PATH_FIELD */
    struct slice text;
    size_t bytes;             /* of memory, all of it in this block */
    struct path_step steps[]; /* each name stands between two quotes */
};

/* What is left or right in a test. */
struct operand {
    bool is_path;
    uint32_t path;         /* number of it, valid only if is_path */
    struct value constant; /* else; texts in program.texts */
};

enum step_kind {
    STEP_CMP,     /* left against operands[first] */
    STEP_IN,      /* operands[first .. first + count) */
    STEP_CHOICE,  /* the same, constants only; and choices[choices] */
    STEP_BETWEEN, /* two of them */
    STEP_LIKE,    /* wildcards[first]; GLOB too */
    STEP_IS_NULL,
    STEP_EXISTS,
    STEP_IS_TRUE,
    STEP_NOT,
    STEP_AND,
    STEP_OR,
    STEP_JUMP_FALSE, /* to step first */
    STEP_JUMP_TRUE
};

enum step_cmp { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

struct step {
    uint8_t kind; /* enum step_kind */
    uint8_t cmp;  /* enum step_cmp */
    uint32_t left;
    uint32_t first, count;
    uint32_t choices; /* of STEP_CHOICE */
};

struct program {
    atomic_uint refs;
    unsigned needs;
    struct step *steps;
    struct operand *operands;
    struct path **paths; /* each text once */
    struct wildcard **wildcards;
    struct choices **choices;
    struct term *terms;
    uint32_t *term_steps; /* which step tests it */
    bool can_sift;
    uint32_t nsteps, noperands, npaths, nwildcards, nchoices, nterms;
    uint8_t *texts;  /* of constants */
    struct buf text; /* canonical */
    size_t bytes;    /* of memory, about */
    /* Of the cache. */
    struct hash_node node;
    struct list lru;
    struct buf source;
};

/* --- compiling ----------------------------------------------------------- */

void query_fail(struct query_error *err, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* grammar.c: the joined arguments, each ending where `ends` says. */
NQ_MUST_USE nq_rc grammar_compile(struct slice text, const uint32_t *ends,
                                  uint32_t count, struct program **out,
                                  struct query_error *err);
void program_free(struct program *p);

/* Of a text at `at` of the query. */
NQ_MUST_USE nq_rc path_parse(struct slice text, size_t at, struct path **out,
                             struct query_error *err);

/* program_terms.c: what a step that is a part of the AND at the top says. */
bool term_of_step(const struct program *p, const struct step *s,
                  struct term *out);
void term_fini(struct term *t);

/* --- running ------------------------------------------------------------- */

/* What was read of the row. */
struct row_slot {
    bool is_read;
    struct value value;
};

struct row_scratch {
    struct arena texts;     /* of values, until the next row */
    struct arena work;      /* of the reader of JSON, until the next document */
    struct row_slot *slots; /* of the paths of the program that runs */
    struct json_want *wants;
    uint32_t *want_paths; /* wants[i] is of path want_paths[i] */
    uint32_t cap;
};

/* row.c: room for the paths of `p`, none of them read. */
void row_scratch_begin(struct row_scratch *s, const struct program *p);
/* The value of a path of the program that began. */
const struct value *row_value(struct row_scratch *s, const struct program *p,
                              const struct row *r, uint32_t path);

/* program.c: a test, its left side being `v`, its others constants. */
enum truth step_test_constant(const struct program *p, const struct step *s,
                              const struct value *v);
/* sift.c: whether a look at rows is worth it; and false: the program is
 * certainly not true of this row. */
bool sift_is_of_use(const struct program *p);
bool sift_may_match(const struct program *p, const struct row *r);

#endif
