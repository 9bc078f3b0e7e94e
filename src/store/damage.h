/* store/damage.h - which pages are known to be damaged, and how.
 *
 * Loop thread only.  A page stands here from the moment a read, the
 * scrubber or a rewriting finds it until it is freed, written anew or found to
 * be good. */
#ifndef NQ_STORE_DAMAGE_H
#define NQ_STORE_DAMAGE_H

#include "base/hash.h"
#include "store/extent.h"

struct damage {
    struct hash_node node; /* private; first */
    pgno id;
    struct entry entry; /* where the damaged bytes are */
    struct extent_fault fault;
};

struct damages {
    struct hash by_id;
    pgno last; /* the one that the running command met; 0: none */
};

#define DAMAGES_INIT ((struct damages){HASH_INIT, 0})

void damages_fini(struct damages *ds);
/* Known from now on; `what` of the fault is a constant text. */
void damages_note(struct damages *ds, pgno id, struct entry e,
                  const struct extent_fault *fault);
/* NULL: not that we knew. */
const struct damage *damages_find(const struct damages *ds, pgno id);
void damages_forget(struct damages *ds, pgno id);
uint64_t damages_count(const struct damages *ds);
/* fn must not change the set. */
void damages_each(struct damages *ds,
                  void (*fn)(void *arg, const struct damage *d), void *arg);

/* "page 7 at offset 16896: checksum computed: expected 1, found 2" */
#define DAMAGE_TEXT 200
void damage_text(const struct damage *d, char dst[DAMAGE_TEXT]);

#endif
