/* cmd/explain.h - what is told about how a command runs, as a tree: groups
 * with names, and in them names with values.
 *
 * Loop thread only.  Names are static. */
#ifndef NQ_CMD_EXPLAIN_H
#define NQ_CMD_EXPLAIN_H

#include "base/buf.h"
#include "cmd/command.h"
#include "db/residency.h"
#include "query/program.h"

#define EXPLAIN_NODES_MAX 96u

struct explain_node {
    const char *name;
    unsigned depth;
    enum explain_kind {
        EXPLAIN_GROUP,
        EXPLAIN_TEXT,
        EXPLAIN_INT,
        EXPLAIN_REAL
    } kind;
    int64_t integer;
    double real;
    size_t at, len; /* of a text, in texts */
};

struct explain_tree {
    struct explain_node nodes[EXPLAIN_NODES_MAX];
    unsigned count, depth;
    struct buf texts;
};

void explain_clear(struct explain_tree *t); /* of zeroes too */
void explain_fini(struct explain_tree *t);

/* What is put up to explain_close() is in the group. */
void explain_open(struct explain_tree *t, const char *name);
void explain_close(struct explain_tree *t);
void explain_text(struct explain_tree *t, const char *name, struct slice s);
void explain_printf(struct explain_tree *t, const char *name, const char *fmt,
                    ...) __attribute__((format(printf, 3, 4)));
void explain_int(struct explain_tree *t, const char *name, uint64_t v);
void explain_real(struct explain_tree *t, const char *name, double v);

/* RESP3: a map of maps.  RESP2: an array of lines (simple strings), one a
 * node, with branches drawn before them; the first line is `title`. */
void explain_reply(struct req *rq, const struct explain_tree *t,
                   struct slice title);

/* --- explain_plan.c ------------------------------------------------------- */

#define EXPLAIN_KEYS_MAX 64u

/* What the plan of a command is about. */
struct explain_plan {
    bool has_range; /* the keys of [lo, hi) */
    struct buf lo, hi;
    bool has_hi, reverse;
    bool reads_in_order;   /* its leaves one after the other, from one end */
    bool uses_ranks;       /* two ways down the tree, and no rows */
    struct program *where; /* NULL: none */
    uint32_t keys[EXPLAIN_KEYS_MAX]; /* or these arguments: the first keys */
    unsigned nkeys;
    unsigned
        reply_per_row; /* elements of the reply; 0: it does not tell rows */
    /* Estimates. */
    bool has_matches; /* matches is better known than by a guess */
    uint64_t rows_in_range, rows, matches, pages, wanted;
};

/* Tells what rq->cmd, which is known and has the right number of arguments,
 * will do, all but the estimates: the group of the plan is left open.  False:
 * an error is answered, or the request parked. */
bool explain_plan(struct req *rq, struct explain_tree *t,
                  struct explain_plan *out);
void explain_plan_fini(struct explain_plan *p);

/* --- explain_look.c ------------------------------------------------------- */

/* What was seen so far; zeroed at first. */
struct explain_look {
    unsigned next_key;
    bool has_begun, is_estimated;
    struct residency all;   /* of the range */
    struct residency front; /* of the part of it that is looked at, or keys */
    struct row_scratch *scratch;
    uint64_t next_place, sampled, sample_matches;
};
/* Puts estimates into the plan of rq->cmd.  NQ_AGAIN: there is more to look
 * at; NQ_MISS. */
NQ_MUST_USE nq_rc explain_look(struct req *rq, struct explain_plan *p,
                               struct explain_look *l);
void explain_look_fini(struct explain_look *l);
void explain_tell_estimates(struct explain_tree *t,
                            const struct explain_plan *p,
                            const struct explain_look *l, uint32_t page_size);

#endif
