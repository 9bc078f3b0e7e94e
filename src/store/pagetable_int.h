/* store/pagetable_int.h - what pagetable.c, pagetable_io.c and
 * pagetable_view.c share. */
#ifndef NQ_STORE_PAGETABLE_INT_H
#define NQ_STORE_PAGETABLE_INT_H

#include "store/pagetable.h"

#define NODE_IDS 65536u
#define NODES 65536u
#define BLOCK_IDS 512u /* copied in less than a microsecond */
#define NODE_BLOCKS (NODE_IDS / BLOCK_IDS)

enum { TABLE_UNDO = 4 }; /* flags 1 and 2: changed, by parity */

/* Kept entries of BLOCK_IDS pages.  One that more than the table refers to
 * (pagetable_view.c) is never written: the table gets a copy. */
struct table_block {
    uint32_t refs;
    struct entry kept[BLOCK_IDS];
};

/* Fresh pages of the kernel, touched only where ids are in use. */
struct table_node {
    struct entry live[NODE_IDS];
    struct table_block *kept[NODE_BLOCKS]; /* NULL: no entries */
    uint8_t flags[NODE_IDS];
};

struct table_ids {
    pgno *ids;
    uint32_t count, cap;
};

struct table_undo {
    struct entry old; /* of the published checkpoint */
    pgno id;
};

struct pagetable {
    struct space *space;
    struct table_node **nodes;           /* NODES of them, NULL while unused */
    uint64_t count, bytes;               /* of live entries */
    uint64_t version;                    /* moves with each entry,
                                            live or kept */
    uint32_t live_of[256], kept_of[256]; /* entries by codec */
    struct table_ids changed[2];
    unsigned parity;  /* changed[parity] is that of now */
    bool cut_running; /* from the cut until release or give_up */
    uint32_t settled; /* of changed[parity ^ 1] */
    struct table_undo *undo;
    uint32_t undo_count, undo_cap;
    pgno next_id;              /* at the cut */
    bool wants_base, has_base; /* the next plan's; the last plan's */
    uint32_t copies;           /* of blocks, as somebody else has the old one */
    struct table_view *views;  /* the youngest one */
    uint64_t viewed_bytes;     /* of extents that only views name */
    uint32_t viewed_of[256];   /* of these, by codec */
};

/* The block of an id; NULL: it has none. */
static inline struct table_block *
table_block_of(const struct pagetable *pt, pgno id)
{
    const struct table_node *n = pt->nodes[id / NODE_IDS];

    return n == NULL ? NULL : n->kept[id % NODE_IDS / BLOCK_IDS];
}

struct table_node *pagetable_node(struct pagetable *pt, pgno id);
/* The kept entry, to be written. */
struct entry *pagetable_kept_mut(struct pagetable *pt, pgno id);
void table_block_unref(struct table_block *b); /* of NULL: does nothing */
/* The published entry of `id` gives way to another: whether a view needs it,
 * which has it from now on. */
bool pagetable_view_keeps(struct pagetable *pt, pgno id, struct entry e);
/* Their memory; what they needed stays marked as used. */
void pagetable_views_free(struct pagetable *pt);
/* Its extent is needed no more. */
void pagetable_free_extent(struct pagetable *pt, struct entry e);
/* The kept entry was read: it is the live one too. */
void pagetable_loaded(struct pagetable *pt, pgno id);

#endif
