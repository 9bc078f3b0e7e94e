/* store/dict_samples.c - reservoirs of leaf pages by prefix.
 *
 * Each reservoir is a uniform sample of all pages that were offered for its
 * prefix (algorithm R: the n-th page replaces a random one with chance
 * size/n).  When all places are taken, a new prefix wears the one that was
 * seen least down by one, and gets its place when nothing is left of it, so
 * that the common ones stay. */
#include "store/dict_samples.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/page.h"

#define FIRST_DUE 48u /* pages; 384 KiB at the usual size */
#define DUE_AGAIN 4u

struct dict_samples {
    struct rng rng;
    struct dict_batch at[SAMPLES_PREFIXES]; /* seen 0: free */
    uint64_t worth[SAMPLES_PREFIXES]; /* `seen`, less what others wore off */
};

bool
dict_samples_prefix(struct slice raw, uint8_t buf[DICT_PREFIX_MAX],
                    struct slice *prefix)
{
    const struct page *pg = (const struct page *)(const void *)raw.p;
    uint8_t key[FRAMES_PAGE_MAX / 4];
    struct page_key k;

    if (raw.len < FRAMES_PAGE_MIN || pg->kind != PAGE_LEAF ||
        pg->shift > PAGE_MAX_SHIFT || page_size(pg) != raw.len ||
        pg->count == 0)
        return false;
    page_key_at(pg, pg->count / 2u, key, &k);
    *prefix = dict_prefix_of(k.in);
    if (prefix->len > 0)
        memcpy(buf, prefix->p, prefix->len);
    prefix->p = buf;
    return true;
}

struct dict_samples *
dict_samples_new(uint64_t seed)
{
    struct dict_samples *s = nq_calloc(1, sizeof *s);

    rng_seed(&s->rng, seed);
    return s;
}

void
dict_samples_free(struct dict_samples *s)
{
    for (unsigned i = 0; s != NULL && i < SAMPLES_PREFIXES; i++)
        dict_batch_fini(&s->at[i]);
    nq_free(s);
}

static struct dict_batch *
find(struct dict_samples *s, struct slice prefix)
{
    for (unsigned i = 0; i < SAMPLES_PREFIXES; i++) {
        struct dict_batch *b = &s->at[i];

        if (b->seen > 0 && slice_eq(slice_of(b->prefix, b->prefix_len), prefix))
            return b;
    }
    return NULL;
}

/* A place for a new prefix, or NULL. */
static struct dict_batch *
place(struct dict_samples *s, struct slice prefix)
{
    unsigned least = 0;
    struct dict_batch *b;

    for (unsigned i = 1; i < SAMPLES_PREFIXES; i++)
        least = s->worth[i] < s->worth[least] ? i : least;
    if (s->worth[least] > 0) {
        s->worth[least]--;
        return NULL;
    }
    b = &s->at[least];
    dict_batch_fini(b);
    if (prefix.len > 0)
        memcpy(b->prefix, prefix.p, prefix.len);
    b->prefix_len = prefix.len;
    b->due = FIRST_DUE;
    return b;
}

static void
keep(struct dict_samples *s, struct dict_batch *b, struct slice raw)
{
    unsigned most = SAMPLES_BYTES / (unsigned)raw.len;

    if (b->pages == NULL) {
        b->page_size = (uint32_t)raw.len;
        b->pages = nq_calloc(most, sizeof *b->pages);
    }
    if (b->page_size != raw.len)
        return;
    if (b->count < most) {
        b->pages[b->count++] = nq_memdup(raw.p, raw.len);
    } else {
        uint64_t i = rng_below(&s->rng, b->seen);

        if (i < most)
            memcpy(b->pages[i], raw.p, raw.len);
    }
}

void
dict_samples_offer(struct dict_samples *s, struct slice prefix,
                   struct slice raw)
{
    struct dict_batch *b = find(s, prefix);

    nq_assert(prefix.len <= DICT_PREFIX_MAX && raw.len <= FRAMES_PAGE_MAX);
    if (b == NULL && (b = place(s, prefix)) == NULL)
        return;
    b->seen++;
    s->worth[b - s->at]++;
    keep(s, b, raw);
}

struct dict_batch *
dict_samples_due(struct dict_samples *s)
{
    for (unsigned i = 0; i < SAMPLES_PREFIXES; i++) {
        struct dict_batch *b = &s->at[i];

        if (b->seen > 0 && b->seen >= b->due && b->count > 0)
            return b;
    }
    return NULL;
}

void
dict_samples_take(struct dict_samples *s, struct dict_batch *b,
                  struct dict_batch *out)
{
    nq_assert(b >= s->at && b < s->at + SAMPLES_PREFIXES);
    *out = *b;
    b->pages = NULL;
    b->count = 0;
    b->due = b->seen * DUE_AGAIN;
}

void
dict_samples_forget(struct dict_samples *s, struct slice prefix)
{
    struct dict_batch *b = find(s, prefix);

    if (b == NULL)
        return;
    dict_batch_fini(b);
    s->worth[b - s->at] = 0;
}

void
dict_batch_fini(struct dict_batch *b)
{
    for (unsigned i = 0; i < b->count; i++)
        nq_free(b->pages[i]);
    nq_free(b->pages);
    *b = (struct dict_batch){.seen = 0};
}

size_t
dict_samples_memory(const struct dict_samples *s)
{
    size_t n = sizeof *s;

    for (unsigned i = 0; i < SAMPLES_PREFIXES; i++)
        n += (size_t)s->at[i].count * s->at[i].page_size;
    return n;
}
