/* store/page_int.h - how a page is laid out; private to page*.c and to the
 * hot paths of btree*.c.  The format table is at the top of page.c. */
#ifndef NQ_STORE_PAGE_INT_H
#define NQ_STORE_PAGE_INT_H

#include "base/check.h"
#include "store/page.h"

#define LEAF_SLOT 6   /* head, offset */
#define INNER_SLOT 26 /* head, child, count, earliest, offset */
#define PAGE_GROW 8   /* slots added when the arrays are full */
#define TAIL_REF 8    /* chunk id and length of the whole key */
#define REC_EXPIRES 1 /* bit of the meta byte */
#define COUNT_OWNS ((uint64_t)1 << 63)

static inline size_t
page_slot_size(const struct page *pg)
{
    return pg->kind == PAGE_LEAF ? LEAF_SLOT : INNER_SLOT;
}

static inline uint8_t *
page_at(struct page *pg, size_t off)
{
    return (uint8_t *)pg + off;
}

static inline const uint8_t *
page_at_const(const struct page *pg, size_t off)
{
    return (const uint8_t *)pg + off;
}

/* --- the arrays behind the heads ----------------------------------------- */

static inline const uint16_t *
page_offs(const struct page *pg)
{
    size_t skip = (page_slot_size(pg) - 2) * pg->capacity;

    return (const uint16_t *)(const void *)page_at_const(pg,
                                                         PAGE_HEADER + skip);
}

static inline uint16_t *
page_offs_mut(struct page *pg)
{
    size_t skip = (page_slot_size(pg) - 2) * pg->capacity;

    return (uint16_t *)(void *)page_at(pg, PAGE_HEADER + skip);
}

static inline const pgno *
page_children(const struct page *pg)
{
    return pg->head + pg->capacity;
}

static inline pgno *
page_children_mut(struct page *pg)
{
    return pg->head + pg->capacity;
}

static inline const uint64_t *
page_counts(const struct page *pg)
{
    return (const uint64_t *)(const void *)page_at_const(
        pg, PAGE_HEADER + (size_t)8 * pg->capacity);
}

static inline uint64_t *
page_counts_mut(struct page *pg)
{
    return (uint64_t *)(void *)page_at(pg,
                                       PAGE_HEADER + (size_t)8 * pg->capacity);
}

static inline const uint64_t *
page_expiries(const struct page *pg)
{
    return page_counts(pg) + pg->capacity;
}

static inline uint64_t *
page_expiries_mut(struct page *pg)
{
    return page_counts_mut(pg) + pg->capacity;
}

/* --- records ------------------------------------------------------------- */

static inline const uint8_t *
get_varint(const uint8_t *p, uint32_t *v)
{
    uint32_t x = *p++;

    if (nq_unlikely(x >= 128)) {
        x = (x & 127) | (uint32_t)*p++ << 7;
        if (x >= 1u << 14)
            x = (x & 0x3fff) | (uint32_t)*p++ << 14;
    }
    *v = x;
    return p;
}

static inline size_t
short_varint_size(size_t v)
{
    return v < 1u << 7 ? 1 : v < 1u << 14 ? 2 : 3;
}

static inline uint8_t *
put_varint(uint8_t *p, size_t v)
{
    if (nq_unlikely(v >= 1u << 14)) {
        *p++ = (uint8_t)(v | 128);
        *p++ = (uint8_t)(v >> 7 | 128);
        *p++ = (uint8_t)(v >> 14);
        return p;
    }
    if (v >= 1u << 7) {
        *p++ = (uint8_t)(v | 128);
        *p++ = (uint8_t)(v >> 7);
        return p;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* True if a key whose in-page part is `in` bytes long has a tail. */
static inline bool
page_is_long(const struct page *pg, size_t in)
{
    return nq_unlikely(pg->flags & PAGE_LONG) && in > page_max_key(pg->shift);
}

static inline uint32_t
load_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t
load_u48(const uint8_t *p)
{
    uint16_t high;

    memcpy(&high, p + 4, 2);
    return load_u32(p) | (uint64_t)high << 32;
}

/* The tail reference behind a suffix. */
static inline void
get_tail_ref(const uint8_t *p, pgno *tail, uint32_t *key_len)
{
    *tail = load_u32(p);
    *key_len = load_u32(p + 4);
}

/* No pointer into *out is ever passed on from here: a caller's local record
 * stays in registers, where stores followed by wider loads would stall. */

static inline void
record_decode(const struct page *pg, uint32_t off, struct page_record *out)
{
    const uint8_t *p = page_at_const(pg, off);
    uint32_t suffix, val;

    p = get_varint(p, &suffix);
    p = get_varint(p, &val);
    out->v.meta = *p++;
    out->v.expire_ms = 0;
    if (out->v.meta & REC_EXPIRES) {
        out->v.expire_ms = load_u48(p);
        p += 6;
    }
    out->suffix = slice_of(p, suffix);
    p += suffix;
    out->key_len = pg->prefix_len + suffix;
    out->tail = 0;
    if (nq_unlikely(page_is_long(pg, out->key_len))) {
        get_tail_ref(p, &out->tail, &out->key_len);
        p += TAIL_REF;
    }
    out->v.val = slice_of(p, val);
}

/* The key of an inner entry; slot 0 has none. */
static inline void
entry_decode(const struct page *pg, uint32_t off, struct page_key *out)
{
    const uint8_t *p = page_at_const(pg, off);
    uint32_t suffix;

    p = get_varint(p, &suffix);
    out->in = slice_of(p, suffix); /* behind the prefix */
    out->len = pg->prefix_len + suffix;
    out->tail = 0;
    if (nq_unlikely(page_is_long(pg, out->len)))
        get_tail_ref(p + suffix, &out->tail, &out->len);
}

/* --- shared by page.c, page_inner.c and page_mix.c ----------------------- */

/* Bytes of a record whose key's in-page part is `in` long, in a page with a
 * prefix of `prefix` bytes. */
static inline size_t
leaf_record_size(unsigned shift, size_t in, size_t prefix,
                 const struct page_value *v)
{
    size_t suffix = in - prefix;

    return short_varint_size(suffix) + short_varint_size(v->val.len) + 1 +
           (v->expire_ms != 0 ? 6 : 0) + suffix +
           (page_key_is_long(shift, in) ? TAIL_REF : 0) + v->val.len;
}

static inline size_t
entry_key_size(unsigned shift, size_t in, size_t prefix)
{
    return short_varint_size(in - prefix) + in - prefix +
           (page_key_is_long(shift, in) ? TAIL_REF : 0);
}

/* Bytes outside the header that a prefix takes. */
static inline size_t
prefix_room(size_t len)
{
    return len > PAGE_INLINE_PREFIX ? len : 0;
}

/* Makes sure of `bytes` of free space in one piece and of one more slot; what
 * is garbage is not used.  False: not so. */
bool page_reserve(struct page *pg, size_t bytes);
/* Writes the page anew with another prefix length, without garbage, with
 * `capacity` slots; flags and earliest expiry become exact.  The caller knows
 * that it fits. */
void page_rebuild(struct page *pg, size_t prefix_len, unsigned capacity);
/* The bytes a rebuild would need in all, header included. */
size_t page_size_with(const struct page *pg, size_t prefix_len);
/* Opens the arrays at `slot`, page_reserve() has been asked. */
void page_open_slot(struct page *pg, unsigned slot);
void page_close_slot(struct page *pg, unsigned slot);
/* Records or entries [lo, hi) of `src` become the last of `pg`, which has the
 * slots and the space. */
void page_append_range(struct page *pg, const struct page *src, unsigned lo,
                       unsigned hi);
void page_entries_append(struct page *pg, const struct page *src, unsigned lo,
                         unsigned hi);
/* sums[i] is `sum` and the sizes of records 0 to i with their slots; returns
 * the last. */
uint32_t page_record_sizes(const struct page *pg, uint32_t sum, uint32_t *sums);
/* The key part must have the page's prefix.  Fits. */
void page_append(struct page *pg, const struct page_key *key,
                 const struct page_value *v);
void page_entry_append(struct page *pg, const struct page_key *sep,
                       const struct page_entry *e);
/* Takes the record's bytes at `off` as garbage. */
void page_discard(struct page *pg, uint32_t off, size_t size);

#endif
