/* codec/block.c - the table of codecs, and the two plainest of them.
 *
 * raw    the bytes themselves
 * zstd   one zstd frame without content size or checksum (both are in the
 *        extent's header); level 1 unless told
 *
 * zstd's contexts are costly to make (some 100 KB each), so they are kept:
 * whoever needs one takes it out of a slot by an atomic exchange and puts it
 * back after use.  There are never more than threads that once packed or
 * unpacked at the same time. */
#include "codec/block.h"

#include <zstd.h>

#include "base/check.h"

#define ZSTD_LEVEL 1
#define SLOTS 32

static ZSTD_CCtx *packers[SLOTS]; /* atomic; NULL: empty */
static ZSTD_DCtx *unpackers[SLOTS];

static size_t
raw_encode(int level, void *dst, size_t cap, const void *src, size_t len)
{
    nq_unused(level);
    if (len > cap)
        return 0;
    if (len > 0)
        memcpy(dst, src, len);
    return len;
}

static nq_rc
raw_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    if (raw_len != len)
        return NQ_ECORRUPT;
    if (len > 0)
        memcpy(dst, src, len);
    return NQ_OK;
}

static ZSTD_CCtx *
take_packer(void)
{
    ZSTD_CCtx *c = NULL;

    for (unsigned i = 0; i < SLOTS && c == NULL; i++)
        c = __atomic_exchange_n(&packers[i], NULL, __ATOMIC_ACQ_REL);
    if (c == NULL)
        c = ZSTD_createCCtx();
    nq_assert(c != NULL);
    return c;
}

static void
put_packer(ZSTD_CCtx *c)
{
    for (unsigned i = 0; i < SLOTS && c != NULL; i++)
        c = __atomic_exchange_n(&packers[i], c, __ATOMIC_ACQ_REL);
    ZSTD_freeCCtx(c);
}

static ZSTD_DCtx *
take_unpacker(void)
{
    ZSTD_DCtx *d = NULL;

    for (unsigned i = 0; i < SLOTS && d == NULL; i++)
        d = __atomic_exchange_n(&unpackers[i], NULL, __ATOMIC_ACQ_REL);
    if (d == NULL)
        d = ZSTD_createDCtx();
    nq_assert(d != NULL);
    return d;
}

static void
put_unpacker(ZSTD_DCtx *d)
{
    for (unsigned i = 0; i < SLOTS && d != NULL; i++)
        d = __atomic_exchange_n(&unpackers[i], d, __ATOMIC_ACQ_REL);
    ZSTD_freeDCtx(d);
}

static size_t
zstd_encode(int level, void *dst, size_t cap, const void *src, size_t len)
{
    ZSTD_CCtx *c = take_packer();
    size_t n;

    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel,
                           level != 0 ? level : ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    n = ZSTD_compress2(c, dst, cap, src, len);
    put_packer(c);
    return ZSTD_isError(n) ? 0 : n;
}

static nq_rc
zstd_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    ZSTD_DCtx *d = take_unpacker();
    size_t n = ZSTD_decompressDCtx(d, dst, raw_len, src, len);

    put_unpacker(d);
    return n == raw_len ? NQ_OK : NQ_ECORRUPT; /* errors are huge numbers */
}

static const struct {
    const char *name;
    size_t (*encode)(int level, void *dst, size_t cap, const void *src,
                     size_t len);
    nq_rc (*decode)(void *dst, size_t raw_len, const void *src, size_t len);
} codecs[BLOCK_CODECS] = {
    [BLOCK_RAW] = {"raw", raw_encode, raw_decode},
    [BLOCK_ZSTD] = {"zstd", zstd_encode, zstd_decode},
};

size_t
block_encode(enum block_codec codec, int level, void *dst, size_t cap,
             const void *src, size_t len)
{
    nq_assert((unsigned)codec < BLOCK_CODECS);
    return codecs[codec].encode(level, dst, cap, src, len);
}

nq_rc
block_decode(enum block_codec codec, void *dst, size_t raw_len, const void *src,
             size_t len)
{
    if ((unsigned)codec >= BLOCK_CODECS)
        return NQ_EFORMAT;
    return codecs[codec].decode(dst, raw_len, src, len);
}

const char *
block_codec_name(enum block_codec codec)
{
    return (unsigned)codec < BLOCK_CODECS ? codecs[codec].name : NULL;
}

bool
block_codec_find(struct slice name, enum block_codec *out)
{
    for (unsigned i = 0; i < BLOCK_CODECS; i++) {
        if (slice_is(name, codecs[i].name)) {
            *out = (enum block_codec)i;
            return true;
        }
    }
    return false;
}
