/* store/page_mix.h - the records of up to three neighbouring leaves and one
 * change, seen as one sequence, and written out again as other leaves.
 *
 * The sources are not written; the results go elsewhere.  Loop thread. */
#ifndef NQ_STORE_PAGE_MIX_H
#define NQ_STORE_PAGE_MIX_H

#include "store/page.h"

#define PAGE_MIX_MAX 4

struct page_mix {
    unsigned shift, sources;
    const struct page *source[PAGE_MIX_MAX - 1];
    unsigned start[PAGE_MIX_MAX]; /* index of each source's first record */
    unsigned records;             /* of the sources */
    /* The change: `key` with `value` comes before the record of index `at`,
     * or replaces it. */
    bool changes, replaces;
    unsigned at;
    struct page_key key;
    struct page_value value;
};

/* Forgets the sources, not the change. */
void page_mix_clear(struct page_mix *m);
void page_mix_add(struct page_mix *m, const struct page *source);
unsigned page_mix_count(const struct page_mix *m);
/* The in-page part of key `i` into dst (see page_key_at). */
void page_mix_key(const struct page_mix *m, unsigned i, uint8_t *dst,
                  struct page_key *out);
/* Would the records [lo, hi) fit one page? */
bool page_mix_fits(const struct page_mix *m, unsigned lo, unsigned hi);
/* Cuts the sequence into `parts` pieces of about the same size, piece i being
 * [cut[i], cut[i + 1]).  False: no such cut fits. */
bool page_mix_cut(const struct page_mix *m, unsigned parts,
                  unsigned cut[PAGE_MIX_MAX + 1]);
/* For two parts: cut before record `at`, or anywhere.  False: none fits. */
bool page_mix_cut_at(const struct page_mix *m, unsigned at,
                     unsigned cut[PAGE_MIX_MAX + 1]);
bool page_mix_cut_any(const struct page_mix *m, unsigned cut[PAGE_MIX_MAX + 1]);
/* Writes [lo, hi), which fits. */
void page_mix_write(const struct page_mix *m, unsigned lo, unsigned hi,
                    struct page *dst);

#endif
