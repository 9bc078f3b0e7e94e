/* store/extent_io.h - reading pages from the data file: bytes, checks,
 * rebuilding, unpacking, and whether they are a page at all.
 *
 * Any thread.  Whoever needs a page of the data file gets it here, so nothing
 * is used that was not checked (I12). */
#ifndef NQ_STORE_EXTENT_IO_H
#define NQ_STORE_EXTENT_IO_H

#include "store/extent.h"

struct file;

/* Whether the bytes of a tree page are sound; NULL: any are. */
typedef bool extent_page_fn(const uint8_t *bytes, size_t size);

struct extent_from {
    struct file *file;
    const struct extent_env *env;
    uint32_t page_size;
    extent_page_fn *is_page;
};

/* Where the bytes of reads go, one after the other; zeroed at first. */
struct extent_into {
    uint8_t *page;   /* page_size bytes for a tree page, if it is one; NULL:
                        it is allocated */
    bool is_at_hand; /* only what the kernel has in memory: NQ_AGAIN else */
    uint8_t *buf;    /* private: what has to be unpacked, kept between reads */
    size_t cap;
};

struct extent_got {
    struct extent x;
    uint8_t *raw;     /* x.raw_len bytes: into->page, or the caller's (nq_free);
                         valid only after NQ_OK */
    unsigned rebuilt; /* sectors, from parity: the page is to be rewritten */
    struct extent_fault fault; /* after NQ_ECORRUPT, or of what was rebuilt */
};

/* NQ_ECORRUPT, NQ_EIO.  What was not good is in into->page too. */
NQ_MUST_USE nq_rc extent_get_into(const struct extent_from *from, pgno id,
                                  struct entry e, struct extent_into *into,
                                  struct extent_got *out);
/* Whether the kernel has all of it in memory. */
bool extent_is_at_hand(struct file *f, struct entry e,
                       struct extent_into *into);
void extent_into_fini(struct extent_into *into);
/* Into memory of its own. */
NQ_MUST_USE nq_rc extent_get(const struct extent_from *from, pgno id,
                             struct entry e, struct extent_got *out);
/* Whether the extent may be that of a tree page, by its length. */
bool extent_may_be_page(struct entry e, uint32_t page_size);
/* What is left to check when the extent verified and was decoded: the size
 * and the structure of a tree page. */
NQ_MUST_USE nq_rc extent_check_page(const struct extent_from *from,
                                    const struct extent *x, const uint8_t *raw,
                                    struct extent_fault *fault);
/* The size alone, before there is room for it. */
NQ_MUST_USE nq_rc extent_check_size(const struct extent_from *from,
                                    const struct extent *x,
                                    struct extent_fault *fault);

#endif
