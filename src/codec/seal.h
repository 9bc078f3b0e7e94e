/* codec/seal.h - bytes made unreadable and unchangeable: AES-256-GCM.
 *
 * A key must never see the same nonce twice: that gives the key away.  Who
 * calls counts them (store/keyring.h).  Any thread, one key by many at once.
 * No failure leaves plaintext behind where sealed bytes were wanted, nor
 * forged bytes where opened ones were. */
#ifndef NQ_CODEC_SEAL_H
#define NQ_CODEC_SEAL_H

#include "base/rc.h"
#include "base/slice.h"

#define SEAL_KEY 32u
#define SEAL_NONCE 12u
#define SEAL_TAG 16u

struct seal_key;

/* Copies the key; never NULL. */
struct seal_key *seal_key_new(const uint8_t key[SEAL_KEY]);
/* Wipes and frees it; of NULL: does nothing. */
void seal_key_delete(struct seal_key *k);

/* Seals bytes[0..len) where they are.  `about` stays in the clear and is
 * vouched for by the tag too.  NQ_EIO: libcrypto failed, which is logged; the
 * bytes are zeros then. */
NQ_MUST_USE nq_rc seal_bytes(struct seal_key *k,
                             const uint8_t nonce[SEAL_NONCE],
                             struct slice about, void *bytes, size_t len,
                             uint8_t tag[SEAL_TAG]);
/* Opens src[0..len) into dst, which may be src.  NQ_ECORRUPT: not sealed with
 * this key, nonce and `about`, or changed since; dst is zeros then.  NQ_EIO:
 * as above. */
NQ_MUST_USE nq_rc unseal_bytes(struct seal_key *k,
                               const uint8_t nonce[SEAL_NONCE],
                               struct slice about, void *dst, const void *src,
                               size_t len, const uint8_t tag[SEAL_TAG]);

/* From the system's generator; NQ_EIO if that fails. */
NQ_MUST_USE nq_rc seal_random(void *dst, size_t n);

/* A key as people write it: 32 bytes as they are, 64 hexadecimal digits, or
 * 44 characters of base64 (43 without the '='); blanks and line ends around
 * the last two are skipped.  False: none of these. */
NQ_MUST_USE bool seal_key_parse(struct slice text, uint8_t key[SEAL_KEY]);
#define SEAL_KEY_FORMS                                                         \
    "32 bytes as they are, 64 hexadecimal digits, or 44 characters of base64"

/* Memory for secrets: zeros, kept out of core dumps and swap where the system
 * allows that, wiped when freed. */
void *seal_secret_new(size_t n);
void seal_secret_free(void *p, size_t n); /* of NULL: does nothing */
void seal_wipe(void *p, size_t n);

#endif
