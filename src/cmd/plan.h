/* cmd/plan.h - how a query gets at its rows: which keys are looked at, and
 * why.
 *
 *   PLAN_EMPTY  none: the range is empty, or the WHERE allows no key
 *   PLAN_SEEK   one key
 *   PLAN_RANGE  the keys of [lo, hi)
 *   PLAN_SCAN   all keys of the database
 *   PLAN_INDEX  the keys of [lo, hi) that an index tells
 *
 * Whatever the plan, each row is tested with the whole program, and the answer
 * is the same.  Loop thread only. */
#ifndef NQ_CMD_PLAN_H
#define NQ_CMD_PLAN_H

#include "base/arena.h"
#include "db/index.h"
#include "query/program.h"

#define PLAN_BOUNDS_MAX 32u

enum plan_kind { PLAN_EMPTY, PLAN_SEEK, PLAN_RANGE, PLAN_SCAN, PLAN_INDEX };
const char *plan_kind_name(enum plan_kind kind); /* "seek", "range" ... */

/* What is to be read; as `struct range` and `struct select` have it. */
struct plan_query {
    struct slice lo;
    const struct slice *hi;      /* NULL: no upper end */
    const struct program *where; /* NULL: none */
    uint64_t wanted;   /* matches after which it stops; UINT64_MAX: all */
    bool no_index;     /* for comparison: as if there were none */
    bool needs_counts; /* rows_in_range is to be exact: EXPLAIN */
};

struct plan {
    enum plan_kind kind;
    /* What keys are looked at, narrowed by what the WHERE says of $key; the
     * key itself for a seek.  In the arena, or of the query. */
    struct slice lo, hi;
    bool has_hi;
    /* PLAN_INDEX: for index_reader_new(). */
    struct index *index; /* valid until the next create or drop: in this turn */
    struct slice index_name; /* in the arena */
    const struct index_bounds *bounds;
    unsigned bounds_count;
    /* Estimates.  Rows of the range are counted (they include expired ones),
     * as are those of an index. */
    uint64_t rows_in_range; /* UINT64_MAX: not counted */
    uint64_t rows;          /* that will be looked at */
    uint64_t matches;       /* that will be told, about */
    uint64_t pages;         /* that will be looked at, about */
    double cost;            /* in rows of a scan */
    /* For plan_reason(). */
    enum plan_why {
        WHY_NO_WHERE,      /* all of the range is wanted */
        WHY_ONE_KEY,       /* the range, or what the WHERE says of $key */
        WHY_EMPTY,         /* no key is in the range */
        WHY_CONTRADICTION, /* no value is as the WHERE wants it */
        WHY_NO_INDEX,      /* none on what the WHERE compares */
        WHY_NOT_ASKED,     /* no_index */
        WHY_NOT_USABLE,    /* there is one, but it is being built, damaged, or
                              has rows with long keys */
        WHY_RANGE_CHEAPER, /* index_rows are too many of them */
        WHY_INDEX_CHEAPER
    } why;
    uint64_t index_rows; /* that the best index tells */
};

#define PLAN_REASON_MAX 320u
/* Why, in words: "index temp tells 120 of 1000000 rows". */
const char *plan_reason(const struct plan *p, char dst[PLAN_REASON_MAX]);

/* Chooses the cheapest.  NQ_MISS: pages that it has to see were noted. */
NQ_MUST_USE nq_rc plan_choose(struct db *db, uint32_t dbi,
                              const struct plan_query *q, struct arena *arena,
                              struct plan *out);
/* A reader of the candidates of a PLAN_INDEX; to be made in the turn in which
 * the plan was chosen, lives as long as its owner wants. */
struct index_reader *plan_reader(struct db *db, const struct plan *p,
                                 bool reverse);

#endif
