/* store/page_mix.h - the records of one or two neighbouring leaves and one
 * change, seen as one sequence, and written out again as other leaves.
 *
 * The sources are not written; the results go elsewhere.  Loop thread. */
#ifndef NQ_STORE_PAGE_MIX_H
#define NQ_STORE_PAGE_MIX_H

#include "store/page.h"

#define PAGE_MIX_SOURCES 2
#define PAGE_MIX_PARTS 3 /* at most */
/* A record takes 3 bytes and a slot of 6 at least. */
#define PAGE_MIX_RECORDS (PAGE_MIX_SOURCES * ((1 << PAGE_MAX_SHIFT) / 9) + 1)

struct page_mix {
    unsigned shift, sources;
    const struct page *source[PAGE_MIX_SOURCES];
    unsigned records; /* of the sources */
    /* The change: `key` with `value` comes before the record of index `at`,
     * or replaces it. */
    bool changes, replaces;
    unsigned at;
    struct page_key key;
    struct page_value value;
    /* sum[i]: bytes of the records before i, as long as they are now */
    uint32_t sum[PAGE_MIX_RECORDS + 1];
};

/* Without a change; the caller sets those fields. */
void page_mix_init(struct page_mix *m, unsigned shift);
/* b may be NULL.  `m->at` must be set. */
void page_mix_sources(struct page_mix *m, const struct page *a,
                      const struct page *b);
unsigned page_mix_count(const struct page_mix *m);
/* The in-page part of key `i` into dst (see page_key_at). */
void page_mix_key(const struct page_mix *m, unsigned i, uint8_t *dst,
                  struct page_key *out);
/* Do the records [lo, hi) surely fit one page? */
bool page_mix_fits(const struct page_mix *m, unsigned lo, unsigned hi);
/* Cuts the sequence into `parts` pieces of about the same size, piece i being
 * [cut[i], cut[i + 1]).  False: that does not fit. */
bool page_mix_cut(const struct page_mix *m, unsigned parts,
                  unsigned cut[PAGE_MIX_PARTS + 1]);
/* For two parts: cut before record `at`, or anywhere.  With one source,
 * `anywhere` always fits. */
bool page_mix_cut_at(const struct page_mix *m, unsigned at,
                     unsigned cut[PAGE_MIX_PARTS + 1]);
bool page_mix_cut_any(const struct page_mix *m,
                      unsigned cut[PAGE_MIX_PARTS + 1]);
/* Writes [lo, hi), which fits.  The change alone gets as much of the first
 * source's prefix as it has: the keys to come will be of that kind. */
void page_mix_write(const struct page_mix *m, unsigned lo, unsigned hi,
                    struct page *dst);

#endif
