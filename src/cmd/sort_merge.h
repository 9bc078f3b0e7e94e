/* cmd/sort_merge.h - sorting many items, some comparisons at a time.
 *
 * A merge sort: stable, n log n in any case, and it can stop after every
 * comparison.  Any thread. */
#ifndef NQ_CMD_SORT_MERGE_H
#define NQ_CMD_SORT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What SORT knows of an element; texts are offsets into one buffer. */
struct sort_item {
    uint64_t text;
    union {
        double score;
        uint64_t by_text;
    };
    uint32_t len, by_len;
};

typedef int sort_compare(const void *arg, const struct sort_item *a,
                         const struct sort_item *b);

struct sorter {
    struct sort_item *items; /* the caller's; sorted in the end */
    /* private */
    struct sort_item *from, *to; /* this pass goes from one to the other */
    struct sort_item *other;     /* owned */
    size_t n, width;             /* runs of that many are sorted */
    size_t left, left_end, right, right_end, put;
    sort_compare *compare;
    const void *arg;
};

void sorter_init(struct sorter *s, struct sort_item *items, size_t n,
                 sort_compare *compare, const void *arg);
/* At least one step, and about so many; false: all is sorted. */
bool sorter_run(struct sorter *s, size_t steps);
void sorter_fini(struct sorter *s); /* zeroed storage will do */

#endif
