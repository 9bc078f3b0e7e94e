/* store/wal_seal.c - encrypted frames of the log; wal_frame.c tells the
 * format.
 *
 * Frames are sealed by the log thread, right before they are written, in the
 * buffer where they were built: the loop pays nothing but 32 bytes a frame.
 * A frame is sealed once, since a write is never tried again.  What the tag
 * vouches for includes the header and the salt of the segment, so a frame is
 * good in one place only. */
#include "store/wal_int.h"

#include <string.h>

#include "base/check.h"
#include "store/keyring.h"

#define KEY_AT 40u
#define NONCE_AT 44u
#define TAG_AT 56u
#define ABOUT_AT 4u /* behind the crc */
#define ABOUT_LEN (sizeof(uint64_t) + TAG_AT - ABOUT_AT)

_Static_assert(NONCE_AT + SEAL_NONCE == TAG_AT &&
                   TAG_AT + SEAL_TAG == WAL_SEALED_HEADER,
               "on disk");

/* What the tag vouches for besides the records. */
static struct slice
about(uint8_t dst[ABOUT_LEN], const uint8_t *p, uint64_t salt)
{
    memcpy(dst, &salt, sizeof salt);
    memcpy(dst + sizeof salt, p + ABOUT_AT, TAG_AT - ABOUT_AT);
    return slice_of(dst, ABOUT_LEN);
}

nq_rc
wal_seal(struct keyring *keys, uint8_t *p, uint64_t length, uint64_t salt)
{
    uint8_t head[ABOUT_LEN];
    struct keyring_use use;

    keyring_next(keys, KEYRING_LOG, &use);
    memcpy(p + KEY_AT, &use.number, sizeof use.number);
    memcpy(p + NONCE_AT, use.nonce, SEAL_NONCE);
    return seal_bytes(use.key, use.nonce, about(head, p, salt),
                      p + WAL_SEALED_HEADER, length - WAL_SEALED_HEADER,
                      p + TAG_AT);
}

uint32_t
wal_seal_key(struct slice frame)
{
    uint32_t number;

    nq_assert(frame.len > WAL_SEALED_HEADER);
    memcpy(&number, frame.p + KEY_AT, sizeof number);
    return number;
}

nq_rc
wal_unseal(const struct keyring *keys, struct slice frame, uint64_t salt,
           struct buf *plain, struct slice *records)
{
    uint8_t head[ABOUT_LEN];
    struct seal_key *key;
    struct wal_frame h;
    size_t n;

    memcpy(&h, frame.p, sizeof h);
    if (!wal_frame_is_sealed(&h)) {
        *records =
            slice_of(frame.p + WAL_FRAME_HEADER, frame.len - WAL_FRAME_HEADER);
        return NQ_OK;
    }
    key = keys == NULL ? NULL : keyring_find(keys, wal_seal_key(frame));
    if (key == NULL)
        return NQ_EKEY;
    n = frame.len - WAL_SEALED_HEADER;
    buf_clear(plain);
    *records = slice_of(buf_reserve(plain, n), n);
    return unseal_bytes(key, frame.p + NONCE_AT, about(head, frame.p, salt),
                        plain->p, frame.p + WAL_SEALED_HEADER, n,
                        frame.p + TAG_AT);
}
