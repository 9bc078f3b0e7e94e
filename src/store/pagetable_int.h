/* store/pagetable_int.h - what pagetable.c and pagetable_io.c share. */
#ifndef NQ_STORE_PAGETABLE_INT_H
#define NQ_STORE_PAGETABLE_INT_H

#include "store/pagetable.h"

#define NODE_IDS 65536u
#define NODES 65536u

enum { TABLE_UNDO = 4 }; /* flags 1 and 2: changed, by parity */

/* Fresh pages of the kernel, touched only where ids are in use. */
struct table_node {
    struct entry live[NODE_IDS], kept[NODE_IDS];
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
};

struct table_node *pagetable_node(struct pagetable *pt, pgno id);
/* The kept entry was read: it is the live one too. */
void pagetable_loaded(struct pagetable *pt, pgno id);

#endif
