/* Any bytes as a parcel: with all codecs that a parcel may name. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((uint64_t)8 << 20)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice parcel = slice_of(data, size);
    struct parcel_place p;
    struct parcel_block b;

    if (parcel_open(parcel, &p) != NQ_OK || p.len > OUT_MAX)
        return 0;
    while (parcel_next(parcel, &p, &b) == NQ_OK) {
        uint8_t *stored = nq_memdup(b.stored.p, b.stored.len);
        uint8_t *dst = nq_malloc(b.len);
        nq_rc rc;

        b.stored.p = stored;
        rc = parcel_unpack(&p, &b, dst);
        nq_free(stored);
        nq_free(dst);
        if (rc != NQ_OK)
            break;
    }
    return 0;
}
