/* codec/seal.c - AES-256-GCM through libcrypto.
 *
 * A context with the key set up costs about as much as sealing a page, so
 * each key keeps some: whoever needs one takes it out of a slot by an atomic
 * exchange and puts it back after use, as block.c does with those of zstd.
 * A context knows its direction, so there are slots for both.
 *
 * Secrets are in libcrypto's secure heap while there is room: locked in
 * memory, left out of core dumps.  (The key schedules inside of contexts are
 * not: those are wiped when they are freed.) */
#include "codec/seal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#define SLOTS 8
#define PIECE ((size_t)1 << 30) /* libcrypto counts in ints */
#define SECURE_HEAP ((size_t)256 << 10)
#define SECURE_LEAST 64

struct seal_key {
    uint8_t key[SEAL_KEY];
    EVP_CIPHER_CTX *sealers[SLOTS]; /* atomic; NULL: empty */
    EVP_CIPHER_CTX *openers[SLOTS];
};

static nq_rc
failed(const char *what)
{
    char why[160];

    ERR_error_string_n(ERR_get_error(), why, sizeof why);
    log_error("libcrypto: %s: %s", what, why);
    ERR_clear_error();
    return NQ_EIO;
}

/* --- secrets -------------------------------------------------------------- */

void *
seal_secret_new(size_t n)
{
    static bool is_begun; /* atomic */
    void *p;

    /* A process without the right to lock memory goes on without. */
    if (!__atomic_exchange_n(&is_begun, true, __ATOMIC_ACQ_REL))
        (void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST);
    p = OPENSSL_secure_zalloc(n);
    if (p == NULL)
        p = OPENSSL_zalloc(n);
    nq_assert(p != NULL);
    return p;
}

void
seal_secret_free(void *p, size_t n)
{
    if (p != NULL)
        OPENSSL_secure_clear_free(p, n);
}

void
seal_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

nq_rc
seal_random(void *dst, size_t n)
{
    nq_assert(n <= PIECE);
    return RAND_bytes(dst, (int)n) == 1 ? NQ_OK : failed("random bytes");
}

/* --- keys ----------------------------------------------------------------- */

struct seal_key *
seal_key_new(const uint8_t key[SEAL_KEY])
{
    struct seal_key *k = seal_secret_new(sizeof *k);

    memcpy(k->key, key, SEAL_KEY);
    return k;
}

void
seal_key_delete(struct seal_key *k)
{
    for (unsigned i = 0; k != NULL && i < SLOTS; i++) {
        EVP_CIPHER_CTX_free(k->sealers[i]);
        EVP_CIPHER_CTX_free(k->openers[i]);
    }
    seal_secret_free(k, sizeof *k);
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_hex(struct slice text, uint8_t key[SEAL_KEY])
{
    for (size_t i = 0; i < SEAL_KEY; i++) {
        int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int
base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

static bool
parse_base64(struct slice text, uint8_t key[SEAL_KEY])
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.p[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (n == SEAL_KEY)
                return false;
            key[n++] = (uint8_t)(bits >> count);
        }
    }
    /* The bits left over are none of the key's, and zero. */
    return n == SEAL_KEY && (bits & ((1u << count) - 1)) == 0;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool
seal_key_parse(struct slice text, uint8_t key[SEAL_KEY])
{
    if (text.len == SEAL_KEY) {
        memcpy(key, text.p, SEAL_KEY);
        return true;
    }
    while (text.len > 0 && is_blank(text.p[0]))
        text = slice_of(text.p + 1, text.len - 1);
    while (text.len > 0 && is_blank(text.p[text.len - 1]))
        text.len--;
    if (text.len == 2 * SEAL_KEY)
        return parse_hex(text, key);
    if (text.len == 44 && text.p[43] == '=')
        text.len--;
    return text.len == 43 && parse_base64(text, key);
}

/* --- sealing -------------------------------------------------------------- */

static EVP_CIPHER_CTX *
take_context(struct seal_key *k, bool seals)
{
    EVP_CIPHER_CTX **slots = seals ? k->sealers : k->openers, *c = NULL;

    for (unsigned i = 0; i < SLOTS && c == NULL; i++)
        c = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
    if (c != NULL)
        return c;
    c = EVP_CIPHER_CTX_new();
    if (c != NULL && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, k->key, NULL,
                                       seals) != 1) {
        EVP_CIPHER_CTX_free(c);
        c = NULL;
    }
    return c;
}

static void
put_context(struct seal_key *k, bool seals, EVP_CIPHER_CTX *c)
{
    EVP_CIPHER_CTX **slots = seals ? k->sealers : k->openers;

    for (unsigned i = 0; i < SLOTS && c != NULL; i++)
        c = __atomic_exchange_n(&slots[i], c, __ATOMIC_ACQ_REL);
    EVP_CIPHER_CTX_free(c);
}

/* Nonce, what the tag vouches for, then the bytes; the tag is the caller's. */
static bool
run(EVP_CIPHER_CTX *c, const uint8_t nonce[SEAL_NONCE], struct slice about,
    uint8_t *dst, const uint8_t *src, size_t len)
{
    int n = 0;

    if (EVP_CipherInit_ex(c, NULL, NULL, NULL, nonce, -1) != 1)
        return false;
    nq_assert(about.len <= PIECE);
    if (about.len > 0 &&
        EVP_CipherUpdate(c, NULL, &n, about.p, (int)about.len) != 1)
        return false;
    for (size_t at = 0; at < len; at += (size_t)n) {
        if (EVP_CipherUpdate(c, dst + at, &n, src + at,
                             (int)nq_min(len - at, PIECE)) != 1 ||
            n <= 0)
            return false;
    }
    return true;
}

nq_rc
seal_bytes(struct seal_key *k, const uint8_t nonce[SEAL_NONCE],
           struct slice about, void *bytes, size_t len, uint8_t tag[SEAL_TAG])
{
    EVP_CIPHER_CTX *c = take_context(k, true);
    uint8_t rest[SEAL_TAG];
    int n;

    if (c != NULL && run(c, nonce, about, bytes, bytes, len) &&
        EVP_CipherFinal_ex(c, rest, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, tag) == 1) {
        put_context(k, true, c);
        return NQ_OK;
    }
    EVP_CIPHER_CTX_free(c);
    if (len > 0)
        memset(bytes, 0, len);
    memset(tag, 0, SEAL_TAG);
    return failed("sealing");
}

nq_rc
unseal_bytes(struct seal_key *k, const uint8_t nonce[SEAL_NONCE],
             struct slice about, void *dst, const void *src, size_t len,
             const uint8_t tag[SEAL_TAG])
{
    EVP_CIPHER_CTX *c = take_context(k, false);
    uint8_t rest[SEAL_TAG], expected[SEAL_TAG];
    bool is_run, is_good;
    int n;

    memcpy(expected, tag, SEAL_TAG);
    is_run =
        c != NULL && run(c, nonce, about, dst, src, len) &&
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, expected) == 1;
    is_good = is_run && EVP_CipherFinal_ex(c, rest, &n) == 1;
    if (!is_good && len > 0)
        seal_wipe(dst, len);
    if (!is_run) {
        EVP_CIPHER_CTX_free(c);
        return failed("opening what is sealed");
    }
    ERR_clear_error();
    put_context(k, false, c);
    return is_good ? NQ_OK : NQ_ECORRUPT;
}
