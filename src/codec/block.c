/* codec/block.c - the table of codecs.
 *
 * raw      the bytes themselves
 * zstd     one zstd frame (zpack.c)
 * dna      nucleotide text at two bits a base (dna.c)
 * numeric  numbers by their differences (numeric.c)
 * pieces   parts, each with one of the codecs above (pieces.c) */
#include "codec/block.h"

#include "base/check.h"
#include "codec/dna.h"
#include "codec/numeric.h"
#include "codec/pieces.h"
#include "codec/zpack.h"

static size_t
raw_encode(const struct block_effort *effort, void *dst, size_t cap,
           const void *src, size_t len)
{
    nq_unused(effort);
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

static size_t
zstd_encode(const struct block_effort *effort, void *dst, size_t cap,
            const void *src, size_t len)
{
    return zpack_encode(effort->level, NULL, dst, cap, src, len);
}

static nq_rc
zstd_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    return zpack_decode(NULL, dst, raw_len, src, len);
}

static size_t
nucleotides_encode(const struct block_effort *effort, void *dst, size_t cap,
                   const void *src, size_t len)
{
    struct dna_opts opts = {
        .patterns = effort->patterns,
        .level = effort->level,
        .chunk = effort->chunk,
    };

    return dna_encode(&opts, dst, cap, src, len);
}

static size_t
numbers_encode(const struct block_effort *effort, void *dst, size_t cap,
               const void *src, size_t len)
{
    return numeric_encode(dst, cap, src, len, effort->level);
}

static const struct {
    const char *name;
    size_t (*encode)(const struct block_effort *effort, void *dst, size_t cap,
                     const void *src, size_t len);
    nq_rc (*decode)(void *dst, size_t raw_len, const void *src, size_t len);
} codecs[BLOCK_CODECS] = {
    [BLOCK_RAW] = {"raw", raw_encode, raw_decode},
    [BLOCK_ZSTD] = {"zstd", zstd_encode, zstd_decode},
    [BLOCK_DNA] = {"dna", nucleotides_encode, dna_decode},
    [BLOCK_NUMERIC] = {"numeric", numbers_encode, numeric_decode},
    [BLOCK_PIECES] = {"pieces", NULL, pieces_decode},
};

size_t
block_encode(enum block_codec codec, const struct block_effort *effort,
             void *dst, size_t cap, const void *src, size_t len)
{
    nq_assert((unsigned)codec < BLOCK_CODECS);
    if (codecs[codec].encode == NULL)
        return 0;
    return codecs[codec].encode(effort, dst, cap, src, len);
}

nq_rc
block_decode(enum block_codec codec, void *dst, size_t raw_len, const void *src,
             size_t len)
{
    if ((unsigned)codec >= BLOCK_CODECS || codecs[codec].decode == NULL)
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
