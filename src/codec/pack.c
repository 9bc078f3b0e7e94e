/* codec/pack.c - choosing a codec for a block.
 *
 *   dense     none
 *   text      zstd, with the dictionary if there is one
 *   binary    the same
 *   numbers   numeric, and the same
 *   bases     dna, and zstd from 16 KiB on, where it sees repeats that two
 *             bits a base do not; and zstd if dna saved less than half
 *
 * A block longer than a chunk whose chunks differ in kind is tried in pieces
 * as well.
 *
 * The first candidate packs right into the caller's room; each further one
 * into room of its own, no more than the best so far, so a loser ends early.
 * Without competition the first that packs at all is taken. */
#include "codec/pack.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/block.h"
#include "codec/pieces.h"
#include "codec/zpack.h"

#define BASES_ZSTD_MIN 16384u

/* A block and the best that was found for it. */
struct attempt {
    const struct pack_opts *o;
    const struct dict *dict;
    enum data_class class;
    struct slice src;
    uint8_t *dst; /* the best stands here */
    size_t best;  /* bytes, 0: none yet; the next must be shorter */
    size_t cap;
    uint8_t codec;
    uint8_t *spare; /* `src.len` bytes; NULL: not needed yet */
};

unsigned
pack_level(const struct pack_opts *o, enum data_class class)
{
    unsigned level = class == DATA_TEXT      ? o->text_level
                     : class == DATA_NUMBERS ? o->integer_level
                     : class == DATA_BINARY  ? o->blob_level
                                             : 0;

    return level == 0 ? o->level : level;
}

static size_t pack_pieces(const struct pack_opts *o, struct slice src,
                          void *dst, size_t cap);

static size_t
encode(const struct attempt *a, uint8_t codec, void *dst, size_t cap)
{
    struct block_effort effort = {
        .level = (uint8_t)pack_level(a->o, a->class),
        .patterns = a->o->patterns,
        .chunk = a->o->chunk,
    };

    if (codec == BLOCK_PIECES)
        return pack_pieces(a->o, a->src, dst, cap);
    if (codec >= BLOCK_DICT0)
        return zpack_encode(effort.level, dict_packer(a->dict, effort.level),
                            dst, cap, a->src.p, a->src.len);
    return block_encode((enum block_codec)codec, &effort, dst, cap, a->src.p,
                        a->src.len);
}

static void
try_codec(struct attempt *a, uint8_t codec)
{
    size_t n, cap = a->best == 0 ? a->cap : a->best - 1;
    uint8_t *dst = a->dst;

    if (a->best > 0) {
        if (a->spare == NULL)
            a->spare = nq_malloc(a->src.len);
        dst = a->spare;
    }
    if (a->o->stats != NULL)
        pack_stats_add(&a->o->stats->tried[pack_stats_index(codec)], 1);
    if ((n = encode(a, codec, dst, cap)) == 0)
        return;
    if (dst != a->dst)
        memcpy(a->dst, dst, n);
    a->best = n;
    a->codec = codec;
}

/* Do chunks of the block differ in kind, so that one codec for all of them
 * is not the best? */
static bool
is_mixed(const struct attempt *a)
{
    size_t piece = nq_max(a->o->chunk, PIECES_MIN);
    enum data_class first;

    if (a->src.len <= piece)
        return false;
    first = detect_class(a->src.p, piece);
    for (size_t at = piece; at < a->src.len; at += piece) {
        size_t some = nq_min(piece, a->src.len - at);

        if (detect_class(a->src.p + at, some) != first)
            return true;
    }
    return false;
}

static uint8_t
zstd_of(const struct attempt *a)
{
    return a->dict != NULL ? (uint8_t)(BLOCK_DICT0 + dict_slot(a->dict))
                           : BLOCK_ZSTD;
}

static void
try_bases(struct attempt *a)
{
    try_codec(a, BLOCK_DNA);
    if (a->best == 0 || a->best > a->src.len / 2 ||
        (a->o->competes && a->src.len >= BASES_ZSTD_MIN))
        try_codec(a, zstd_of(a));
}

static void
try_numbers(struct attempt *a)
{
    try_codec(a, BLOCK_NUMERIC);
    if (a->best == 0 || a->o->competes)
        try_codec(a, zstd_of(a));
}

static void
try_class(struct attempt *a)
{
    switch (a->class) {
    case DATA_BASES:
        try_bases(a);
        break;
    case DATA_NUMBERS:
        try_numbers(a);
        break;
    case DATA_TEXT:
    case DATA_BINARY:
        try_codec(a, zstd_of(a));
        break;
    case DATA_DENSE:
    case DATA_CLASSES:
        break;
    }
}

static size_t
pack_piece(void *arg, const void *src, size_t len, void *dst, size_t cap,
           uint8_t *codec)
{
    struct attempt a = {
        .o = arg,
        .class = detect_class(src, len),
        .src = slice_of(src, len),
        .dst = dst,
        .cap = cap,
    };

    try_class(&a);
    nq_free(a.spare);
    *codec = a.codec;
    return a.best;
}

static size_t
pack_pieces(const struct pack_opts *o, struct slice src, void *dst, size_t cap)
{
    struct pack_opts copy = *o;

    copy.stats = NULL; /* blocks are counted, not their pieces */
    return pieces_encode(o->chunk, pack_piece, &copy, dst, cap, src.p, src.len);
}

size_t
pack_block(const struct pack_opts *o, const struct dict *dict, const void *src,
           size_t len, void *dst, size_t cap, uint8_t *codec)
{
    struct attempt a = {
        .o = o,
        .dict = dict,
        .src = slice_of(src, len),
        .dst = dst,
        .cap = nq_min(cap, nq_max(len, 1u) - 1),
        .codec = BLOCK_RAW,
    };

    if (!o->enabled || len < 2 || len < o->min_size)
        return 0;
    a.class = detect_class(src, len);
    try_class(&a);
    if (o->competes && is_mixed(&a))
        try_codec(&a, BLOCK_PIECES);
    nq_free(a.spare);
    if (o->stats != NULL)
        pack_stats_block(o->stats, a.codec, a.class, len,
                         a.best == 0 ? len : a.best);
    if (a.codec >= BLOCK_DICT0)
        dict_packed(dict, len, a.best);
    *codec = a.codec;
    return a.best;
}

nq_rc
unpack_block(uint8_t codec, const struct dicts *dicts, void *dst,
             size_t raw_len, const void *src, size_t len)
{
    const struct dict *dict;

    if (codec < BLOCK_DICT0)
        return block_decode((enum block_codec)codec, dst, raw_len, src, len);
    if ((dict = dicts_get(dicts, codec - BLOCK_DICT0)) == NULL)
        return NQ_EFORMAT;
    dict_unpacked(dict);
    return zpack_decode(dict_unpacker(dict), dst, raw_len, src, len);
}

const char *
pack_codec_name(uint8_t codec)
{
    const char *name = codec > BLOCK_DICT0
                           ? "dict"
                           : block_codec_name((enum block_codec)codec);

    return name != NULL ? name : "unknown";
}
