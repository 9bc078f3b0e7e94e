/* store/dict_samples.h - what leaf pages of one prefix look like: a fair
 * sample of those that were flushed, to train dictionaries from.
 *
 * Loop thread only, but for the first function.  Memory is bounded:
 * SAMPLES_PREFIXES prefixes at a time with SAMPLES_BYTES each; those that are
 * seen rarely make room for others. */
#ifndef NQ_STORE_DICT_SAMPLES_H
#define NQ_STORE_DICT_SAMPLES_H

#include <stdbool.h>

#include "base/slice.h"
#include "codec/dict.h"

#define SAMPLES_PREFIXES 8u
#define SAMPLES_BYTES (512u << 10)

/* The prefix of the keys of a leaf page (those in its middle speak for all),
 * copied to buf.  False: it has no keys, or is no page.  Any thread. */
bool dict_samples_prefix(struct slice raw, uint8_t buf[DICT_PREFIX_MAX],
                         struct slice *prefix);

struct dict_samples;

/* Pages of one prefix. */
struct dict_batch {
    uint8_t prefix[DICT_PREFIX_MAX];
    size_t prefix_len;
    uint64_t seen;   /* pages offered */
    uint64_t due;    /* enough when so many were seen */
    uint8_t **pages; /* owned */
    unsigned count;
    uint32_t page_size;
};

struct dict_samples *dict_samples_new(uint64_t seed);
void dict_samples_free(struct dict_samples *s); /* of NULL: does nothing */
/* A leaf page was flushed. */
void dict_samples_offer(struct dict_samples *s, struct slice prefix,
                        struct slice raw);
/* A batch that is worth training from now, or NULL. */
struct dict_batch *dict_samples_due(struct dict_samples *s);
/* Moves the batch's pages to *out, which is the caller's then; the prefix is
 * due again when four times as many pages were seen. */
void dict_samples_take(struct dict_samples *s, struct dict_batch *batch,
                       struct dict_batch *out);
/* The prefix has its dictionary: no more samples. */
void dict_samples_forget(struct dict_samples *s, struct slice prefix);
void dict_batch_fini(struct dict_batch *batch);
/* Bytes that the samples take. */
size_t dict_samples_memory(const struct dict_samples *s);

#endif
