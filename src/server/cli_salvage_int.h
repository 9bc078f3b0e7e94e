/* server/cli_salvage_int.h - what cli_salvage.c (trees as they are) and
 * cli_salvage_orphans.c (what was below lost pages) share. */
#ifndef NQ_SERVER_CLI_SALVAGE_INT_H
#define NQ_SERVER_CLI_SALVAGE_INT_H

#include "base/mem.h"
#include "server/cli_salvage.h"
#include "store/page.h"

#define GROW(array, count, cap)                                                \
    do {                                                                       \
        if ((count) == (cap)) {                                                \
            (cap) = nq_max(8u, 2 * (cap));                                     \
            (array) = nq_realloc((array), (cap) * sizeof *(array));            \
        }                                                                      \
    } while (0)

/* A copy on the heap, and its end. */
struct slice salvage_own(struct slice s);
void salvage_disown(struct slice *s);
/* The whole key of the slot, in the arena; false: its end is lost. */
bool salvage_key(struct salvage *v, const struct page *pg, unsigned slot,
                 struct arena *arena, struct slice *out);
bool salvage_is_inside(const struct salvage_range *r, struct slice first,
                       struct slice last);
uint32_t salvage_add_tree(struct salvage *v, const struct salvage_tree *t);
struct salvage_gap *salvage_add_gap(struct salvage *v, uint32_t ti, pgno id,
                                    const struct salvage_range *r);
/* Labels the page and all below it; what cannot be had is a gap. */
void salvage_visit(struct salvage *v, uint32_t ti, pgno id,
                   const struct salvage_range *r);
void salvage_visit_root(struct salvage *v, const struct salvage_tree *t);

/* cli_salvage_orphans.c: steps 2 and 3. */
void salvage_attach_orphans(struct salvage *v);

#endif
