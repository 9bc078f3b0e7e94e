/* db/coll_packed.c - the packed form of a collection.
 *
 * Items in bytewise order of their keys, no key twice, one behind the other:
 *
 *   varint key length | key
 *   varint 2 * value length + has_expiry | u48 expiry, if it has one | value
 *
 * Nothing says where the n-th item is: all lookups are scans, made short by
 * comparing lengths before bytes.  The run is a few hundred items at most.
 * Called by coll.c and coll_cursor.c. */
#include "db/coll_packed.h"

#include "base/buf.h"
#include "base/check.h"
#include "store/corrupt.h"

#define EXPIRY_SIZE 6
#define MAX_LEN_BYTES 4 /* of a varint: lengths are below 2^28 */

/* --- reading ------------------------------------------------------------- */

static nq_rc
damaged(struct slice run, size_t off)
{
    return NQ_CORRUPT("packed items: byte %zu of %zu makes no sense", off,
                      run.len);
}

static __attribute__((noinline)) const uint8_t *
get_long(const uint8_t *p, const uint8_t *end, size_t *v)
{
    size_t x = 0;

    for (unsigned i = 0; i < MAX_LEN_BYTES && p < end; i++) {
        x |= (size_t)(*p & 127) << (7 * i);
        if (*p++ < 128) {
            *v = x;
            return p;
        }
    }
    return NULL;
}

/* A varint; NULL: there is none before `end`. */
static inline const uint8_t *
get_len(const uint8_t *p, const uint8_t *end, size_t *v)
{
    if (nq_likely(p < end && *p < 128)) {
        *v = *p;
        return p + 1;
    }
    return get_long(p, end, v);
}

/* Begins at `p`; the key, and what is said of the value. */
struct raw_item {
    struct slice key;
    const uint8_t *val; /* its expiry, if it has one, then its bytes */
    size_t len_flag;    /* 2 * value length + has_expiry */
    const uint8_t *end;
};

static inline __attribute__((always_inline)) bool
read_item(const uint8_t *p, const uint8_t *end, struct raw_item *r)
{
    size_t need;

    if ((p = get_len(p, end, &r->key.len)) == NULL ||
        (size_t)(end - p) < r->key.len)
        return false;
    r->key.p = p;
    if ((p = get_len(p + r->key.len, end, &r->len_flag)) == NULL)
        return false;
    need = (r->len_flag >> 1) + (r->len_flag & 1) * EXPIRY_SIZE;
    r->val = p;
    if ((size_t)(end - p) < need)
        return false;
    r->end = p + need;
    return true;
}

static void
decode(struct slice run, const uint8_t *at, const struct raw_item *r,
       struct packed_item *out)
{
    const uint8_t *p = r->val;

    out->key = r->key;
    out->expire_ms = 0;
    out->off = (size_t)(at - run.p);
    out->end = (size_t)(r->end - run.p);
    if (r->len_flag & 1)
        for (unsigned i = 0; i < EXPIRY_SIZE; i++)
            out->expire_ms |= (uint64_t)*p++ << (8 * i);
    out->val = slice_of(p, r->len_flag >> 1);
}

nq_rc
packed_at(struct slice run, size_t off, struct packed_item *out)
{
    struct raw_item r;

    nq_assert(off < run.len);
    if (nq_unlikely(!read_item(run.p + off, run.p + run.len, &r)))
        return damaged(run, off);
    decode(run, run.p + off, &r, out);
    return NQ_OK;
}

/* --- searching ----------------------------------------------------------- */

static inline uint64_t
load_big(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline uint64_t
load_half(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

/* Up to 7 bytes as a number that orders as they do, among those of the same
 * length.  Some count twice, which changes nothing. */
static inline uint64_t
load_few(const uint8_t *p, size_t n)
{
    if (n >= 4)
        return load_half(p) << 32 | load_half(p + n - 4);
    return n == 0 ? 0
                  : (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
}

/* As memcmp(), but mostly short and without a call. */
static inline __attribute__((always_inline)) int
compare_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t x, y;

    if (n < 8) {
        x = load_few(a, n);
        y = load_few(b, n);
        return x < y ? -1 : x > y;
    }
    for (size_t i = 0; i + 8 < n; i += 8) {
        x = load_big(a + i);
        y = load_big(b + i);
        if (x != y)
            return x < y ? -1 : 1;
    }
    x = load_big(a + n - 8);
    y = load_big(b + n - 8);
    return x < y ? -1 : x > y;
}

/* As slice_cmp(). */
static inline __attribute__((always_inline)) int
compare(struct slice a, struct slice b)
{
    int cmp = compare_bytes(a.p, b.p, nq_min(a.len, b.len));

    return cmp != 0 ? cmp : a.len < b.len ? -1 : a.len > b.len;
}

static inline __attribute__((always_inline)) nq_rc
get(struct slice run, size_t skip, struct slice tail, struct packed_item *out)
{
    const uint8_t *p = run.p, *end = run.p + run.len;
    struct raw_item r;

    for (; p < end; p = r.end) {
        if (nq_unlikely(!read_item(p, end, &r)))
            return damaged(run, (size_t)(p - run.p));
        if (r.key.len == skip + tail.len &&
            compare_bytes(r.key.p + skip, tail.p, tail.len) == 0) {
            decode(run, p, &r, out);
            return NQ_OK;
        }
    }
    return NQ_NOTFOUND;
}

nq_rc
packed_get(struct slice run, struct slice key, struct packed_item *out)
{
    return get(run, 0, key, out);
}

nq_rc
packed_get_tail(struct slice run, size_t skip, struct slice tail,
                struct packed_item *out)
{
    return get(run, skip, tail, out);
}

nq_rc
packed_find(struct slice run, struct slice key, struct packed_place *out)
{
    const uint8_t *p = run.p, *end = run.p + run.len;
    struct packed_place at = {.before = PACKED_NONE};
    struct raw_item r;
    int cmp = 1;

    for (; p < end; p = r.end) {
        if (nq_unlikely(!read_item(p, end, &r)))
            return damaged(run, (size_t)(p - run.p));
        if ((cmp = compare(r.key, key)) >= 0)
            break;
        at.before = (size_t)(p - run.p);
        at.rank++;
    }
    at.off = (size_t)(p - run.p);
    at.found = p < end && cmp == 0;
    at.end = at.found ? (size_t)(r.end - run.p) : at.off;
    *out = at;
    return NQ_OK;
}

/* To the n-th item or the end; how many were passed, and the last of them. */
static nq_rc
skip(struct slice run, uint64_t n, size_t *off, size_t *last, uint64_t *passed)
{
    const uint8_t *p = run.p, *end = run.p + run.len;
    struct raw_item r;

    *passed = 0;
    *last = PACKED_NONE;
    for (; p < end && *passed < n; p = r.end, ++*passed) {
        if (nq_unlikely(!read_item(p, end, &r)))
            return damaged(run, (size_t)(p - run.p));
        *last = (size_t)(p - run.p);
    }
    *off = (size_t)(p - run.p);
    return NQ_OK;
}

nq_rc
packed_last(struct slice run, size_t *off)
{
    uint64_t passed;
    size_t end;

    return skip(run, UINT64_MAX, &end, off, &passed);
}

nq_rc
packed_nth(struct slice run, uint64_t n, size_t *off)
{
    uint64_t passed;
    size_t last;
    nq_rc rc = skip(run, n, off, &last, &passed);

    if (rc != NQ_OK)
        return rc;
    return *off < run.len ? NQ_OK : NQ_NOTFOUND;
}

/* --- writing ------------------------------------------------------------- */

size_t
packed_size(struct slice key, struct slice val, uint64_t expire_ms)
{
    size_t len_flag = val.len * 2 + (expire_ms != 0);

    return varint_size(key.len) + key.len + varint_size(len_flag) + val.len +
           (expire_ms != 0 ? EXPIRY_SIZE : 0);
}

size_t
packed_info(uint8_t *dst, size_t val_len, uint64_t expire_ms)
{
    uint8_t *p = dst + varint_encode(dst, val_len * 2 + (expire_ms != 0));

    nq_assert(expire_ms <= PACKED_MAX_EXPIRY);
    if (expire_ms != 0)
        for (unsigned i = 0; i < EXPIRY_SIZE; i++)
            *p++ = (uint8_t)(expire_ms >> (8 * i));
    return (size_t)(p - dst);
}

void
packed_write(uint8_t *dst, struct slice key, struct slice val,
             uint64_t expire_ms)
{
    dst += varint_encode(dst, key.len);
    if (key.len > 0)
        memcpy(dst, key.p, key.len);
    dst += key.len;
    dst += packed_info(dst, val.len, expire_ms);
    if (val.len > 0)
        memcpy(dst, val.p, val.len);
}

/* --- checking ------------------------------------------------------------ */

/* Whether the item at `off` is the first one with its key. */
static nq_rc
check_first(struct slice run, size_t off, struct slice key)
{
    struct packed_item it;
    nq_rc rc = packed_get(run, key, &it);

    if (rc == NQ_OK && it.off != off)
        return NQ_CORRUPT("packed items: the key at %zu stands twice", off);
    return rc;
}

nq_rc
packed_check(struct slice run, bool by_arrival, uint64_t *items)
{
    struct packed_item it, before = {.end = 0};
    nq_rc rc;

    *items = 0;
    for (size_t off = 0; off < run.len; off = it.end, before = it, ++*items) {
        if ((rc = packed_at(run, off, &it)) != NQ_OK)
            return rc;
        if (by_arrival && (rc = check_first(run, off, it.key)) != NQ_OK)
            return rc;
        if (!by_arrival && *items > 0 && slice_cmp(before.key, it.key) >= 0)
            return NQ_CORRUPT("packed items: the key at %zu is out of order",
                              off);
    }
    return NQ_OK;
}
