/* store/page.h - one page of a tree: pure functions on its bytes.
 *
 * No frames, no other pages, no allocation.  Any thread, as long as nobody
 * writes the page.  A `pg` to be written came from frames_mut() or is private.
 *
 * Keys are bytewise ordered.  A key longer than page_max_key() has only its
 * first page_max_key() + 1 bytes in the page (that length is how it is
 * told); what is behind those stands in a chunk of its own, the tail.  The
 * functions that compare whole keys get a page_tail_fn that finds a tail's
 * bytes, and return what that returned if it fails. */
#ifndef NQ_STORE_PAGE_H
#define NQ_STORE_PAGE_H

#include "base/rc.h"
#include "base/slice.h"
#include "store/frames.h"
#include "store/pgno.h"

#define PAGE_HEADER 64
#define PAGE_INLINE_PREFIX 24
#define PAGE_MIN_SHIFT 9 /* 512 bytes; products use 4 KiB and more */
#define PAGE_MAX_SHIFT 16
#define PAGE_NEVER UINT64_MAX /* an expiry that never comes */

enum page_flags {
    PAGE_OWNS = 1, /* a record here may own pages: REC_OWNS or a tail */
    PAGE_LONG = 2, /* a key here may be longer than page_max_key() */
};

struct page {
    uint8_t kind;  /* enum page_kind */
    uint8_t flags; /* enum page_flags */
    uint8_t shift; /* log2 of the page's size */
    uint8_t level; /* 0 for a leaf */
    uint16_t count, capacity;
    uint32_t data_off; /* the lowest byte in use by records */
    uint32_t garbage;  /* bytes above data_off that nothing uses */
    uint64_t earliest; /* leaf: lower bound of expiries, or PAGE_NEVER */
    uint16_t prefix_len, prefix_off;
    uint16_t run_slot, run_len; /* the last insert; how many led up to it */
    uint64_t lsn;               /* at PAGE_LSN_OFFSET */
    uint8_t prefix[PAGE_INLINE_PREFIX];
    uint32_t head[];
};

/* A key as a page sees it. */
struct page_key {
    struct slice in; /* the part in the page */
    uint32_t len;    /* of the whole key */
    pgno tail;       /* 0: all of it is `in` */
};

/* What a leaf keeps beside the key. */
struct page_value {
    struct slice val;
    uint64_t expire_ms; /* 0: never; below 2^48 */
    uint8_t meta;       /* PAGE_META() */
};
#define PAGE_META(type, flags) ((uint8_t)((type) << 4 | (flags) << 1))
#define PAGE_META_TYPE(meta) ((uint8_t)((meta) >> 4))
#define PAGE_META_FLAGS(meta) ((uint8_t)((meta) >> 1 & 7))

/* A decoded leaf record; slices point into the page. */
struct page_record {
    struct slice suffix; /* of the key's part in the page, behind the prefix */
    uint32_t key_len;
    pgno tail;
    struct page_value v;
};

/* One child of an inner page. */
struct page_entry {
    pgno child;
    uint64_t count;    /* records below */
    uint64_t earliest; /* lower bound of expiries, or PAGE_NEVER */
    bool owns;         /* a record below may own pages */
};

typedef nq_rc page_tail_fn(void *arg, pgno tail, struct slice *out);

/* --- sizes --------------------------------------------------------------- */

static inline size_t
page_size(const struct page *pg)
{
    return (size_t)1 << pg->shift;
}

/* The longest key that is wholly in the page: six inner entries always fit. */
static inline uint32_t
page_max_key(unsigned shift)
{
    return ((1u << shift) - PAGE_HEADER) / 6 - 40;
}

/* Is a key with `in` bytes in the page longer than that? */
static inline bool
page_key_is_long(unsigned shift, size_t in)
{
    return in > page_max_key(PAGE_MIN_SHIFT) && in > page_max_key(shift);
}

static inline struct page_key
page_key_of(unsigned shift, struct slice key)
{
    bool is_long = page_key_is_long(shift, key.len);
    size_t in = is_long ? page_max_key(shift) + 1 : key.len;

    return (struct page_key){{key.p, in}, (uint32_t)key.len, 0};
}

/* Bytes in use beside the header; bytes free, garbage included. */
size_t page_used(const struct page *pg);
size_t page_free(const struct page *pg);

static inline struct slice
page_prefix(const struct page *pg)
{
    return (struct slice){(const uint8_t *)pg + pg->prefix_off, pg->prefix_len};
}

/* --- leaves and inner pages ---------------------------------------------- */

/* Empty, with `prefix` shared by all keys to come (a later key that does not
 * share it shortens it).  Keeps the LSN. */
void page_init(struct page *pg, enum page_kind kind, unsigned shift,
               unsigned level, struct slice prefix);

/* The in-page part of the key of `slot` into dst, which has room for it.
 * Slot 0 of an inner page has none: length 0. */
void page_key_at(const struct page *pg, unsigned slot, uint8_t *dst,
                 struct page_key *out);

/* Structure: every offset and length lies inside, slots are in order as far
 * as their heads tell.  For bytes that came from disk; never asserts. */
bool page_verify(const uint8_t *bytes, size_t size);

/* A copy of a page that is good, with zeros where nothing is, for packing.
 * False, and nothing copied: it looks like no page. */
bool page_tidy(const uint8_t *bytes, size_t size, uint8_t *dst);

/* --- leaves -------------------------------------------------------------- */

/* The slot of `key`, or the one where it would be inserted. */
NQ_MUST_USE nq_rc page_find(const struct page *pg, struct slice key,
                            page_tail_fn *tail, void *arg, unsigned *slot,
                            bool *found);
/* page_find() in two steps, for lookups that overlap: the first reads heads
 * only, the second reads records, beginning with that of `slot`. */
struct page_guess {
    unsigned slot;
    bool is_tied; /* heads equal: records decide */
};
void page_find_heads(const struct page *pg, struct slice key,
                     struct page_guess *guess);
NQ_MUST_USE nq_rc page_find_record(const struct page *pg, struct slice key,
                                   const struct page_guess *guess,
                                   page_tail_fn *tail, void *arg,
                                   unsigned *slot, bool *found);
/* The key of `slot` against `key`: <0, 0, >0 in *cmp as memcmp(slot, key). */
NQ_MUST_USE nq_rc page_compare(const struct page *pg, unsigned slot,
                               struct slice key, page_tail_fn *tail, void *arg,
                               int *cmp);
void page_record_at(const struct page *pg, unsigned slot,
                    struct page_record *out);
/* False, and nothing changed: there is no room.  `v->val` may point into the
 * page. */
bool page_insert(struct page *pg, unsigned slot, const struct page_key *key,
                 const struct page_value *v);
bool page_replace(struct page *pg, unsigned slot, const struct page_value *v);
void page_remove(struct page *pg, unsigned slot);
/* The earliest expiry, from each record or each entry. */
uint64_t page_find_earliest(const struct page *pg);

/* --- for who copies a page piece by piece -------------------------------- */

/* Only the first `n` slots count; what the others refer to stays where it is,
 * as garbage. */
void page_hide(struct page *pg, unsigned n);
/* The first hidden slot counts again: nothing else was done to the page. */
void page_show(struct page *pg);
/* Of a key that has a tail: another chunk. */
void page_set_tail(struct page *pg, unsigned slot, pgno tail);

/* --- inner pages: slot 0 stands for all keys below the key of slot 1 ----- */

NQ_MUST_USE nq_rc page_find_child(const struct page *pg, struct slice key,
                                  page_tail_fn *tail, void *arg,
                                  unsigned *slot);
pgno page_child(const struct page *pg, unsigned slot);
void page_entry_at(const struct page *pg, unsigned slot,
                   struct page_entry *out);
void page_entry_set(struct page *pg, unsigned slot, const struct page_entry *e);
void page_entry_add(struct page *pg, unsigned slot, int64_t count);
/* `sep` is ignored for slot 0 of an empty page.  False: no room. */
bool page_entry_insert(struct page *pg, unsigned slot,
                       const struct page_key *sep, const struct page_entry *e);
/* Removing slot 0 makes slot 1 the first, which loses its key. */
void page_entry_remove(struct page *pg, unsigned slot);
/* Writes entries [lo, hi) of `src` as a page; the key of `lo` is left out. */
void page_entries_write(struct page *dst, const struct page *src, unsigned lo,
                        unsigned hi);
/* Both pages' entries as one, `sep` between them.  False: they do not fit. */
bool page_entries_join(struct page *dst, const struct page *a,
                       const struct page_key *sep, const struct page *b);
bool page_entry_rekey(struct page *pg, unsigned slot,
                      const struct page_key *sep);
/* Would `n` more entries with these keys fit? */
bool page_entries_fit(const struct page *pg, const struct page_key *seps,
                      unsigned n);
/* Sums over all entries: count, minimum, any. */
void page_entry_total(const struct page *pg, struct page_entry *out);

#endif
