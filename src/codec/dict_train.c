/* codec/dict_train.c - training dictionaries.
 *
 * A dictionary is a header with the statistics of the samples, and content
 * that blocks can refer to.  The content is what zstd's trainer selects
 * (segments whose parts occur in many samples), or plainly the newest
 * samples, whichever gains more; and where samples are few, a small dictionary
 * often beats a big one, so smaller sizes are tried too. */
#include "codec/dict_train.h"

#include <zdict.h>
#include <zstd.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/dict.h"
#include "codec/zpack.h"

#define HEADER_ROOM 1024u /* of what zstd puts before the content */
#define SMALLEST 16u      /* of the largest size: one so many times smaller */

static uint64_t
packed_bytes(const struct dict_corpus *c, const ZSTD_CDict *dict)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < c->blocks_count; i++) {
        struct slice b = c->blocks[i];
        uint8_t *dst = nq_malloc(b.len);
        size_t n = zpack_encode(c->level, dict, dst, b.len, b.p, b.len);

        sum += n == 0 ? b.len : n;
        nq_free(dst);
    }
    return sum;
}

static size_t
select_content(const struct dict_corpus *c, uint8_t *dst, size_t cap)
{
    return ZDICT_trainFromBuffer(dst, cap, c->samples, c->lens, c->count);
}

static size_t
newest_content(const struct dict_corpus *c, uint8_t *dst, size_t cap)
{
    ZDICT_params_t params = {.compressionLevel = zpack_level(c->level)};
    size_t all = 0, some;

    for (unsigned i = 0; i < c->count; i++)
        all += c->lens[i];
    some = nq_min(all, cap - HEADER_ROOM);
    return ZDICT_finalizeDictionary(dst, cap, c->samples + all - some, some,
                                    c->samples, c->lens, c->count, params);
}

/* Keeps the result if it is the best so far. */
static void
judge(const struct dict_corpus *c, uint8_t *bytes, size_t len,
      struct dict_trained *out)
{
    ZSTD_CDict *dict;
    uint64_t after;
    int64_t gain;

    if (ZDICT_isError(len) || len < DICT_BYTES_MIN)
        return;
    dict = ZSTD_createCDict(bytes, len, zpack_level(c->level));
    if (dict == NULL)
        return;
    after = packed_bytes(c, dict);
    ZSTD_freeCDict(dict);
    gain = ((int64_t)out->before - (int64_t)after) * (int64_t)c->stand_for /
               (int64_t)c->blocks_count -
           (int64_t)len;
    if (out->bytes != NULL && gain <= out->gain)
        return;
    nq_free(out->bytes);
    out->bytes = nq_memdup(bytes, len);
    out->len = len;
    out->after = after;
    out->gain = gain;
}

void
dict_train(const struct dict_corpus *c, struct dict_trained *out)
{
    size_t cap = nq_min(c->max_bytes, DICT_BYTES_MAX);
    uint8_t *bytes;

    *out = (struct dict_trained){0};
    if (c->count == 0 || c->blocks_count == 0 || cap < 2 * HEADER_ROOM)
        return;
    for (unsigned i = 0; i < c->blocks_count; i++)
        out->raw += c->blocks[i].len;
    out->before =
        packed_bytes(c, c->old == NULL ? NULL : dict_packer(c->old, c->level));
    bytes = nq_malloc(cap);
    for (size_t size = cap; size >= cap / SMALLEST && size >= 2 * HEADER_ROOM;
         size /= 4) {
        judge(c, bytes, select_content(c, bytes, size), out);
        judge(c, bytes, newest_content(c, bytes, size), out);
    }
    nq_free(bytes);
}
