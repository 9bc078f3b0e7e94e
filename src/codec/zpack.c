/* codec/zpack.c - zstd frames without content size, checksum and dictionary
 * id: all of that is in the extent's header.
 *
 * Contexts are costly to make (some 100 KB each, megabytes at high levels),
 * so they are kept: whoever needs one takes it out of a slot by an atomic
 * exchange and puts it back after use.  There are never more than threads
 * that once packed or unpacked at the same time. */
#include "codec/zpack.h"

#include <zstd.h>

#include "base/check.h"

#define SLOTS 32

static ZSTD_CCtx *packers[SLOTS]; /* atomic; NULL: empty */
static ZSTD_DCtx *unpackers[SLOTS];
static size_t memory; /* atomic: of what is in the slots */

/* Chosen so that on text, at 8 KiB as at 1 MiB, each takes more time and
 * saves bytes; zstd's levels in between do not always. */
static const int8_t levels[ZPACK_LEVEL_MAX + 1] = {-7, -7, -5, -3, -1,
                                                   1,  3,  5,  7,  15};

int
zpack_level(unsigned level)
{
    return levels[nq_min(level, ZPACK_LEVEL_MAX)];
}

static ZSTD_CCtx *
take_packer(void)
{
    ZSTD_CCtx *c = NULL;

    for (unsigned i = 0; i < SLOTS && c == NULL; i++)
        c = __atomic_exchange_n(&packers[i], NULL, __ATOMIC_ACQ_REL);
    if (c == NULL)
        c = ZSTD_createCCtx();
    else
        __atomic_fetch_sub(&memory, ZSTD_sizeof_CCtx(c), __ATOMIC_RELAXED);
    nq_assert(c != NULL);
    return c;
}

static void
put_packer(ZSTD_CCtx *c)
{
    size_t bytes = ZSTD_sizeof_CCtx(c);

    __atomic_fetch_add(&memory, bytes, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < SLOTS; i++) {
        ZSTD_CCtx *empty = NULL;

        if (__atomic_compare_exchange_n(&packers[i], &empty, c, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return;
    }
    __atomic_fetch_sub(&memory, bytes, __ATOMIC_RELAXED);
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
    else
        __atomic_fetch_sub(&memory, ZSTD_sizeof_DCtx(d), __ATOMIC_RELAXED);
    nq_assert(d != NULL);
    return d;
}

static void
put_unpacker(ZSTD_DCtx *d)
{
    size_t bytes = ZSTD_sizeof_DCtx(d);

    __atomic_fetch_add(&memory, bytes, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < SLOTS; i++) {
        ZSTD_DCtx *empty = NULL;

        if (__atomic_compare_exchange_n(&unpackers[i], &empty, d, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return;
    }
    __atomic_fetch_sub(&memory, bytes, __ATOMIC_RELAXED);
    ZSTD_freeDCtx(d);
}

size_t
zpack_encode(unsigned level, const ZSTD_CDict *dict, void *dst, size_t cap,
             const void *src, size_t len)
{
    ZSTD_CCtx *c = take_packer();
    size_t n;

    ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, zpack_level(level));
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(c, ZSTD_c_dictIDFlag, 0);
    ZSTD_CCtx_refCDict(c, dict);
    n = ZSTD_compress2(c, dst, cap, src, len);
    put_packer(c);
    return ZSTD_isError(n) ? 0 : n;
}

nq_rc
zpack_decode(const ZSTD_DDict *dict, void *dst, size_t raw_len, const void *src,
             size_t len)
{
    ZSTD_DCtx *d = take_unpacker();
    size_t n = ZSTD_decompress_usingDDict(d, dst, raw_len, src, len, dict);

    put_unpacker(d);
    return n == raw_len ? NQ_OK : NQ_ECORRUPT; /* errors are huge numbers */
}

size_t
zpack_memory(void)
{
    return __atomic_load_n(&memory, __ATOMIC_RELAXED);
}
