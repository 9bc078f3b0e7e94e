/* store/pin_int.h - what pin.c and pin_tree.c share. */
#ifndef NQ_STORE_PIN_INT_H
#define NQ_STORE_PIN_INT_H

#include "base/list.h"
#include "store/catalog.h"
#include "store/pagetable.h"
#include "store/pin.h"
#include "store/store.h"

#define PIN_MAGIC 0x4e495021u

struct pin {
    uint32_t magic;
    struct list link; /* of pins.all */
    struct pins *owner;
    unsigned refs, readers;
    lsn at;
    uint64_t number; /* of its checkpoint: of several at one LSN, too */
    uint64_t cut_ms;
    struct table_view *view; /* NULL: let go */
    struct catalog catalog;
    bool is_broken;
    char why[160]; /* valid only if is_broken */
};

#endif
