/* store/sweep.h - all extents of the data file read and checked, in the order
 * of the file: for NQ.CHECK EXTENTS, the scrubber and tools.
 *
 * Loop thread only.  Workers read and check in batches, past the pool, and
 * others write meanwhile: what moved between reading and looking at the
 * result is left out, since whoever wrote it wrote it whole.  At the end both
 * superblocks, the catalog and the parts of the page table are read. */
#ifndef NQ_STORE_SWEEP_H
#define NQ_STORE_SWEEP_H

#include "base/rc.h"
#include "store/pgno.h"

#include <stdbool.h>

struct store;
struct sweep;

/* What became of damage. */
enum sweep_outcome {
    SWEEP_DAMAGED,    /* the page is lost, unless from a backup */
    SWEEP_REPAIRABLE, /* from its parity, or from memory; not asked to */
    SWEEP_REBUILT,    /* from its parity, and will be written anew */
    SWEEP_REWRITTEN,  /* the page in memory was good, the same */
};

struct sweep_finding {
    const char *part; /* "catalog"; NULL: the extent of page `id` */
    pgno id;
    uint64_t off;     /* in the data file */
    uint8_t kind;     /* enum page_kind, as its header tells; 0: not known */
    const char *what; /* is wrong */
    uint64_t expected, found;
    enum sweep_outcome outcome;
};

struct sweep_opts {
    uint64_t from; /* offset where to begin: earlier ones come last */
    bool repair;
    uint64_t bytes_per_s; /* 0: as fast as it goes */
    void (*on_finding)(void *arg, const struct sweep_finding *f);
    /* A batch has come back: sweep_turn() has something to do.  NULL: not. */
    void (*on_progress)(void *arg);
    void *arg;
};

struct sweep_progress {
    uint64_t at;          /* offset, everything before it is read */
    uint64_t done, total; /* bytes of the file */
    uint64_t extents, damaged, repaired;
};

struct sweep *sweep_new(struct store *st, const struct sweep_opts *opts);
/* What is under way goes on without it. */
void sweep_free(struct sweep *s); /* of NULL: does nothing */
/* A slice of less than half a millisecond.  NQ_AGAIN: there is more, see
 * sweep_wait_ms().  NQ_OK: all is read. */
NQ_MUST_USE nq_rc sweep_turn(struct sweep *s);
/* After NQ_AGAIN: when to call again.  0: at once; -1: a worker is busy;
 * else in so many milliseconds. */
int sweep_wait_ms(const struct sweep *s);
/* The same rate again changes nothing. */
void sweep_set_rate(struct sweep *s, uint64_t bytes_per_s);
void sweep_get_progress(const struct sweep *s, struct sweep_progress *out);

#endif
