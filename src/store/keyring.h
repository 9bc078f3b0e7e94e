/* store/keyring.h - the data keys of an encrypted database, in keys.nq.
 *
 * Data keys seal what is on disk; the master key, which is nowhere on disk,
 * seals them.  Each opening for writing begins a new data key, durable in
 * keys.nq before its first use, and numbers what it seals from 0 on: so no
 * key ever sees a nonce twice, whatever crashes, and in copies of the
 * directory too.
 *
 * Asking (next, find, current) is for any thread; what was found stays good
 * until keyring_close().  Changing (add, rewrap, drop, note) writes keys.nq:
 * any thread, one after the other, never the loop. */
#ifndef NQ_STORE_KEYRING_H
#define NQ_STORE_KEYRING_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"
#include "codec/seal.h"

struct keyring;

#define KEYRING_FILE "keys.nq"

struct keyring_opts {
    const char *dir;       /* where keys.nq is */
    const uint8_t *uuid;   /* 16 bytes: of the database; NULL: any (tools) */
    const uint8_t *master; /* SEAL_KEY bytes; copied */
    /* Number of the newest key that the database was written with: a ring
     * without it is older than the database.  0: it was not encrypted, so a
     * missing keys.nq is made, and `is_empty` says whether all is sealed. */
    uint32_t least;
    bool is_empty;  /* nothing of the database was ever written in the clear */
    bool read_only; /* no new key; nothing can be sealed */
};

/* NQ_EKEY: wrong master key, or no, damaged, foreign or older keys.nq; which
 * of these is logged.  NQ_EIO, NQ_ENOSPC. */
NQ_MUST_USE nq_rc keyring_open(const struct keyring_opts *opts,
                               struct keyring **out);
void keyring_close(struct keyring *r); /* of NULL: does nothing */

/* What is sealed, by whom: the first byte of its nonces.  On disk. */
enum keyring_domain {
    KEYRING_EXTENT = 1,
    KEYRING_LOG,
    KEYRING_CATALOG,
    KEYRING_SPILL,
    KEYRING_DOMAINS
};

/* The key to seal with now, and a nonce that it never saw. */
struct keyring_use {
    struct seal_key *key;
    uint32_t number; /* of the key: goes with what is sealed, never 0 */
    uint8_t nonce[SEAL_NONCE];
};
void keyring_next(struct keyring *r, enum keyring_domain domain,
                  struct keyring_use *out);
/* NULL: there is no such key. */
struct seal_key *keyring_find(const struct keyring *r, uint32_t number);
/* Number of the key that is sealed with now; 0: opened read-only. */
uint32_t keyring_current(const struct keyring *r);
/* Nothing in the clear is part of the database any more: what is not sealed
 * was put there by somebody else. */
bool keyring_is_complete(const struct keyring *r);

/* --- whole blocks of bytes ------------------------------------------------ */

#define KEYRING_BLOCK_MORE 36u /* bytes that a sealed block is longer */

/* Makes room for, and seals, the `len` bytes at `p` + KEYRING_BLOCK_HEAD; the
 * block says by itself which key it wants. */
#define KEYRING_BLOCK_HEAD 20u
NQ_MUST_USE nq_rc keyring_seal_block(struct keyring *r, enum keyring_domain d,
                                     uint8_t *p, size_t len);
bool keyring_is_block(struct slice bytes);
/* Opens a block where it is: *out is a part of `bytes`.  NQ_ECORRUPT: changed
 * since it was sealed; NQ_EKEY: its key is not here (r may be NULL). */
NQ_MUST_USE nq_rc keyring_open_block(const struct keyring *r, uint8_t *bytes,
                                     size_t len, struct slice *out);

/* --- changing ------------------------------------------------------------- */

/* Begins a new data key. */
NQ_MUST_USE nq_rc keyring_add(struct keyring *r);
/* Seals the data keys with another master key.  NQ_EINVAL: it is the same.
 * When this fails with NQ_EIO either key may be the right one after a crash:
 * keep both. */
NQ_MUST_USE nq_rc keyring_rewrap(struct keyring *r,
                                 const uint8_t master[SEAL_KEY]);
/* Forgets the keys below `number`, which nothing names any more, and notes
 * that all is sealed.  They can be asked for until keyring_close(). */
NQ_MUST_USE nq_rc keyring_drop_below(struct keyring *r, uint32_t number);

struct keyring_stats {
    uint32_t keys, oldest, current;
    uint64_t oldest_ms, current_ms; /* when they were made, wall clock */
    uint64_t extents, frames;       /* sealed since the database was opened */
    bool is_complete;
};
void keyring_get_stats(const struct keyring *r, struct keyring_stats *out);

#endif
