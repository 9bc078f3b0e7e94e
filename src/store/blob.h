/* store/blob.h - values too big for a leaf: chunks of at most 1 MiB.
 *
 * Loop thread only.  A blob of one chunk is that chunk; a longer one has an
 * index chunk that lists the ids of its chunks.  All chunks but the last are
 * exactly BLOB_CHUNK long.  Calls that touch chunks may return NQ_MISS before
 * any effect. */
#ifndef NQ_STORE_BLOB_H
#define NQ_STORE_BLOB_H

#include "base/rc.h"
#include "base/slice.h"
#include "store/pgno.h"

struct frames;

#define BLOB_REF_SIZE 24 /* encoded */

struct blob_ref {
    uint64_t len;
    pgno root;       /* the chunk, or the index */
    uint32_t chunks; /* 1: root is the chunk itself */
};

void blob_ref_encode(uint8_t dst[BLOB_REF_SIZE], const struct blob_ref *ref);
NQ_MUST_USE nq_rc blob_ref_decode(struct slice src, struct blob_ref *ref);

/* Copies `bytes` (at least 1) into new chunks.  Never misses. */
void blob_new(struct frames *fr, struct slice bytes, struct blob_ref *out);
void blob_free(struct frames *fr, const struct blob_ref *ref); /* may read the
                                                 index: needs it resident */
NQ_MUST_USE nq_rc blob_can_free(struct frames *fr, const struct blob_ref *ref);

/* Frees it if it has at most `max` chunks and its index is in memory. */
bool blob_free_small(struct frames *fr, const struct blob_ref *ref,
                     uint32_t max);
/* Frees up to `n` of its last chunks, *ref tells what is left; false: that is
 * something.  Like blob_free(), needs the index resident. */
bool blob_free_some(struct frames *fr, struct blob_ref *ref, uint32_t n);

/* Notes all chunks of [off, off+n) that are not resident; NQ_OK if none. */
NQ_MUST_USE nq_rc blob_want(struct frames *fr, const struct blob_ref *ref,
                            uint64_t off, uint64_t n);
/* Copies [off, off+n), which lies inside, to dst. */
NQ_MUST_USE nq_rc blob_read(struct frames *fr, const struct blob_ref *ref,
                            uint64_t off, uint64_t n, void *dst);
/* Chunk `i`: borrowed bytes and a pin (frames_unpin ends it) for sending it
 * by reference. */
NQ_MUST_USE nq_rc blob_chunk(struct frames *fr, const struct blob_ref *ref,
                             uint32_t i, struct slice *out, uint32_t *pin);
/* Writes bytes at off, growing the blob (zero-filled) if needed; only the
 * chunks touched are copied. *ref changes. */
NQ_MUST_USE nq_rc blob_write(struct frames *fr, struct blob_ref *ref,
                             uint64_t off, struct slice bytes);
/* Copies the next chunk of `from` behind those that `to` has, at the beginning
 * two, so that to->root stays what it is.  to->len is 0 at the beginning,
 * from->len at the end. */
NQ_MUST_USE nq_rc blob_copy_some(struct frames *fr, const struct blob_ref *from,
                                 struct blob_ref *to);
/* Each page id of the blob, for checks. */
NQ_MUST_USE nq_rc blob_each_page(struct frames *fr, const struct blob_ref *ref,
                                 void (*fn)(void *arg, pgno id), void *arg);

#endif
