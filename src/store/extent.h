/* store/extent.h - a page on disk: one header, one payload, one checksum; and
 * the table entry that says where it is and what it must look like.
 *
 * Pure functions of bytes; any thread. */
#ifndef NQ_STORE_EXTENT_H
#define NQ_STORE_EXTENT_H

#include "base/rc.h"
#include "base/slice.h"
#include "codec/pack.h"
#include "codec/parity.h"
#include "store/pgno.h"

struct keyring;

#define EXTENT_HEADER 40u
#define EXTENT_UNIT 64u   /* of places and lengths in entries */
#define EXTENT_ALIGN 512u /* extents begin at sectors */
#define EXTENT_RAW_MAX (1u << 20)
#define EXTENT_GENERATION_MAX 0xffffffu

/* Page table entry, as in memory so on disk (little-endian). */
struct entry {
    uint64_t place; /* u47 location | parity << 47 | u16 length << 48, in
                       units; 0: none */
    uint32_t crc;   /* of the extent */
    uint32_t codec_generation; /* u8 codec | u24 generation << 8 */
};

#define ENTRY_PARITY (UINT64_C(1) << 47)

_Static_assert(sizeof(struct entry) == 16, "entries are packed");

static inline bool
entry_is_none(struct entry e)
{
    return e.place == 0;
}

/* The same extent, as far as a table can tell. */
static inline bool
entry_is_same(struct entry a, struct entry b)
{
    return a.place == b.place && a.codec_generation == b.codec_generation;
}

static inline uint64_t
entry_off(struct entry e)
{
    return (e.place & (ENTRY_PARITY - 1)) * EXTENT_UNIT;
}

static inline bool
entry_has_parity(struct entry e)
{
    return (e.place & ENTRY_PARITY) != 0;
}

static inline uint32_t
entry_len(struct entry e)
{
    return (uint32_t)(e.place >> 48) * EXTENT_UNIT;
}

static inline uint32_t
extent_sectors(uint32_t len) /* in bytes */
{
    return (len + EXTENT_ALIGN - 1) / EXTENT_ALIGN * EXTENT_ALIGN;
}

/* Bytes of the file that it takes: whole sectors, parity included. */
static inline uint32_t
entry_space(struct entry e)
{
    uint32_t n = extent_sectors(entry_len(e));

    return n + (entry_has_parity(e) ? (uint32_t)parity_size(n) : 0);
}

static inline uint32_t
entry_generation(struct entry e)
{
    return e.codec_generation >> 8;
}

static inline uint8_t
entry_codec(struct entry e)
{
    return (uint8_t)e.codec_generation;
}

struct extent {
    pgno id;
    uint32_t generation;
    uint8_t codec; /* of the payload: codec/block.h */
    uint8_t kind;  /* enum page_kind */
    uint32_t raw_len;
    uint32_t len; /* of header and payload */
    bool has_parity;
    uint32_t key; /* number of the data key that it is sealed with; 0: none */
    lsn lsn;
    uint32_t crc;
};

/* What the extents of one database need to be written and read.  It stands
 * still while the database is open, and its parts may be asked by any
 * thread. */
struct extent_env {
    struct dicts *dicts;  /* NULL: no dictionaries */
    struct keyring *keys; /* NULL: not encrypted */
};

/* How much time there is for packing: a flush is waited for, and its pages may
 * change again soon; what is rewritten in the background stays. */
enum extent_care { EXTENT_USUAL, EXTENT_HURRIED, EXTENT_AT_REST };

/* How an extent is to be written: settings of the moment, plain data. */
struct extent_style {
    struct pack_opts pack;
    const struct dict *dict; /* for this block; NULL: none fits */
    bool has_trees;          /* what is no chunk is a page as page.h has it */
    enum extent_care care;
    bool parity; /* sectors to rebuild damaged ones from */
};

/* What did not fit, for the log. */
struct extent_fault {
    const char *what;
    uint64_t expected, found;
};

/* Room that extent_encode() needs for `raw_len` bytes. */
size_t extent_bound(size_t raw_len);
/* Encodes `raw` (1 byte to EXTENT_RAW_MAX) as `style` says, or as it is if
 * that saves nothing; seals it if `env` has keys; fills in codec, raw_len,
 * len, key, has_parity and crc of *x.  Writes extent_space(x) bytes.
 * NQ_EIO: it could not be sealed. */
NQ_MUST_USE nq_rc extent_encode(struct extent *x, struct slice raw,
                                const struct extent_env *env,
                                const struct extent_style *style, uint8_t *dst,
                                size_t cap);
/* Bytes of the file that it takes: whole sectors, parity included. */
uint32_t extent_space(const struct extent *x);
/* Its entry, once a place is found. */
struct entry extent_entry(const struct extent *x, uint64_t off);

/* What the header at `bytes` (EXTENT_HEADER of them) says of itself, for who
 * looks for extents: nothing is checked but that it may be one. */
bool extent_peek(struct slice bytes, struct extent *out);
/* Checks every field of the extent in `bytes` (entry_len() of them) against
 * what the table says of page `id`.  NQ_ECORRUPT fills in *fault. */
NQ_MUST_USE nq_rc extent_verify(struct slice bytes, pgno id, struct entry e,
                                struct extent *out, struct extent_fault *fault);
/* The same, where what follows the header stands elsewhere. */
NQ_MUST_USE nq_rc extent_verify_parts(struct slice header, struct slice rest,
                                      pgno id, struct entry e,
                                      struct extent *out,
                                      struct extent_fault *fault);
/* `bytes` are entry_space() of an extent that has parity and does not verify:
 * rebuilds sectors until it does.  How many; 0: it cannot be. */
unsigned extent_repair(uint8_t *bytes, pgno id, struct entry e);
/* The page of a verified extent: dst has room for x->raw_len bytes.
 * NQ_ECORRUPT fills in *fault. */
NQ_MUST_USE nq_rc extent_decode(struct slice bytes, const struct extent *x,
                                const struct extent_env *env, uint8_t *dst,
                                struct extent_fault *fault);

#endif
