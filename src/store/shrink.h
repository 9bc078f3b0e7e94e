/* store/shrink.h - the data file made as small as what it holds: pages at its
 * end move into free space before them, then the end is cut off.
 *
 * Loop thread only, in slices, beside everything else.  With `full`, every
 * page is written once more first, in the codec settings of now.  A crash
 * loses nothing: what was not part of a checkpoint is still where it was. */
#ifndef NQ_STORE_SHRINK_H
#define NQ_STORE_SHRINK_H

#include "base/rc.h"
#include "store/pgno.h"

#include <stdbool.h>

struct shrink;
struct store;

struct shrink_opts {
    bool full;
    pgno from;            /* of the rewriting: where an earlier one stood */
    uint64_t bytes_per_s; /* 0: as fast as it goes */
};

struct shrink_progress {
    const char *phase;     /* "rewriting"; static */
    uint64_t done, total;  /* of the phase, in pages */
    uint64_t pages, bytes; /* written again so far */
    uint64_t damaged;      /* that cannot be read, and stay */
    uint64_t file_before, file_now;
    pgno next; /* of the rewriting; UINT32_MAX: it is over */
};

struct shrink *shrink_new(struct store *st, const struct shrink_opts *opts);
/* At any time; what was moved stays moved.  Of NULL: does nothing. */
void shrink_free(struct shrink *s);
/* One slice; never waits.  NQ_AGAIN: there is more, see shrink_wait_ms().
 * NQ_ENOSPC, NQ_EFULL, NQ_EIO ...: it cannot go on. */
NQ_MUST_USE nq_rc shrink_turn(struct shrink *s);
/* After NQ_AGAIN, as rewrite_wait_ms(). */
int shrink_wait_ms(const struct shrink *s);
void shrink_set_rate(struct shrink *s, uint64_t bytes_per_s);
void shrink_get_progress(const struct shrink *s, struct shrink_progress *out);

#endif
