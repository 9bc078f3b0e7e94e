/* codec/pack.c - choosing a codec for a block. */
#include "codec/pack.h"

#include "base/check.h"
#include "codec/block.h"

size_t
pack_block(const struct pack_opts *o, const struct dict *dict, const void *src,
           size_t len, void *dst, size_t cap, uint8_t *codec)
{
    nq_unused(dict);
    if (!o->enabled || len < 2 || len < o->min_size)
        return 0;
    *codec = BLOCK_ZSTD;
    return block_encode(BLOCK_ZSTD, o->level, dst, nq_min(cap, len - 1), src,
                        len);
}

nq_rc
unpack_block(uint8_t codec, const struct dicts *dicts, void *dst,
             size_t raw_len, const void *src, size_t len)
{
    nq_unused(dicts);
    return block_decode((enum block_codec)codec, dst, raw_len, src, len);
}

const char *
pack_codec_name(uint8_t codec)
{
    const char *name = block_codec_name((enum block_codec)codec);

    return name != NULL ? name : "unknown";
}
