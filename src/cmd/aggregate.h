/* cmd/aggregate.h - COUNT, SUM, MIN, MAX and AVG of rows, by groups.
 *
 * A spec says what is wanted and is not changed while rows are added; any
 * thread then adds rows to parts of its own, and parts are merged.  The result
 * does not depend on how the rows were dealt out.
 *
 *   COUNT  rows
 *   SUM    numbers: values that are one, and fields of hashes that are; others
 *          are left out.  Integers are added exactly, other numbers too, and
 *          rounded once
 *   AVG    that sum by how many numbers there were
 *   MIN    the least number, and only if there is none, the first text
 *   MAX    likewise */
#ifndef NQ_CMD_AGGREGATE_H
#define NQ_CMD_AGGREGATE_H

#include "base/arena.h"
#include "base/hash.h"
#include "cmd/exact_sum.h"
#include "query/program.h"

#define AGGREGATE_ITEMS_MAX 16u
#define AGGREGATE_GROUPS_MAX 65536u
#define AGGREGATE_BYTES_MAX (64u << 20) /* of a part */

enum aggregate_op {
    AGGREGATE_COUNT,
    AGGREGATE_SUM,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_AVG
};
const char *aggregate_op_name(enum aggregate_op op); /* "count" ... */

struct aggregate_item {
    enum aggregate_op op;
    uint32_t path; /* of spec.paths; not valid for COUNT */
};

enum aggregate_by { AGGREGATE_ALL, AGGREGATE_BY_PATH, AGGREGATE_BY_KEY };

struct aggregate_spec {
    uint32_t count, path_count;
    struct aggregate_item items[AGGREGATE_ITEMS_MAX];
    struct path *paths[AGGREGATE_ITEMS_MAX]; /* owned; no two are the same */
    enum aggregate_by by;
    struct path *group;   /* BY_PATH; owned */
    struct buf separator; /* BY_KEY: of parts of the key */
    uint64_t nth;         /* which of them, from 1 */
};
void aggregate_spec_fini(struct aggregate_spec *spec);
/* Takes the path over; false: there are too many items. */
bool aggregate_spec_add(struct aggregate_spec *spec, enum aggregate_op op,
                        struct path *path);
/* Parts of a row that it looks at, enum row_part. */
unsigned aggregate_needs(const struct aggregate_spec *spec);

#define AGGREGATE_SHORT 20 /* bytes of a text that need no memory */

/* What is least, or greatest, so far. */
struct aggregate_best {
    bool has, is_number;
    uint32_t len;
    double number;
    uint8_t *more; /* NULL: the text is in `bytes` */
    uint8_t bytes[AGGREGATE_SHORT];
};
/* As it was spelled. */
struct slice aggregate_best_text(const struct aggregate_best *best);

struct aggregate_cell {
    uint64_t numbers;           /* SUM, AVG */
    struct exact_sum sum;       /* likewise */
    struct aggregate_best best; /* MIN, MAX */
};

struct aggregate_group {
    struct hash_node node;
    bool is_null; /* of rows without a value to group by */
    uint64_t rows;
    struct slice name;
    struct aggregate_cell cells[]; /* one an item */
};

/* Groups of one thread. */
struct aggregate_part;
struct aggregate_part *aggregate_part_new(const struct aggregate_spec *spec);
void aggregate_part_free(struct aggregate_part *p); /* of NULL: nothing */
/* NQ_ELIMIT: too many groups; NQ_ETOOMUCH: too many bytes of them.  p NULL:
 * reads what it would read, and adds nothing. */
NQ_MUST_USE nq_rc aggregate_add(const struct aggregate_spec *spec,
                                struct aggregate_part *p, const struct row *r,
                                struct row_scratch *s);
/* What is in `from` goes into `into`; `from` is freed. */
NQ_MUST_USE nq_rc aggregate_merge(struct aggregate_part *into,
                                  struct aggregate_part *from);
/* Puts the groups in the order of their names, null first; nothing is added
 * any more. */
void aggregate_sort(struct aggregate_part *p);
/* NULL: there are not so many.  Without GROUP BY there is one, if a row was
 * added. */
const struct aggregate_group *aggregate_group_at(const struct aggregate_part *p,
                                                 size_t i);
size_t aggregate_group_count(const struct aggregate_part *p);
/* Bytes that it takes, about. */
size_t aggregate_bytes(const struct aggregate_part *p);

#endif
