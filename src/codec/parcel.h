/* codec/parcel.h - bytes packed into a parcel: they come back, and only they,
 * wherever the parcel has been meanwhile.  The format is told in parcel.c.
 * Any thread. */
#ifndef NQ_CODEC_PARCEL_H
#define NQ_CODEC_PARCEL_H

#include "base/buf.h"
#include "codec/pack.h"

#define PARCEL_BLOCK ((size_t)1 << 20) /* bytes packed at once */

/* Begins a parcel of `len` bytes at the end of *out, which is empty. */
void parcel_begin(struct buf *out, uint64_t len);
/* Adds the next PARCEL_BLOCK bytes, or what is left; as nucleotides if `o` is
 * told so, else with the codec that is best. */
void parcel_add(struct buf *out, const struct pack_opts *o, bool as_bases,
                struct slice block);

/* Where an unpacking stands. */
struct parcel_place {
    uint64_t len; /* of the whole, unpacked */
    uint64_t left;
    size_t at; /* in the parcel */
    uint32_t crc, crc_want;
};

/* One block in the parcel: `stored` is borrowed from it. */
struct parcel_block {
    uint8_t codec;
    size_t len; /* unpacked */
    struct slice stored;
};

/* NQ_EFORMAT: that is no parcel, or of a newer version. */
NQ_MUST_USE nq_rc parcel_open(struct slice parcel, struct parcel_place *p);
/* NQ_NOTFOUND: that was all, and all is there.  NQ_ECORRUPT. */
NQ_MUST_USE nq_rc parcel_next(struct slice parcel, struct parcel_place *p,
                              struct parcel_block *b);
/* Unpacks the block that parcel_next() told to b->len bytes at `dst`; in that
 * order, for the checksum of all.  NQ_ECORRUPT. */
NQ_MUST_USE nq_rc parcel_unpack(struct parcel_place *p,
                                const struct parcel_block *b, uint8_t *dst);

#endif
