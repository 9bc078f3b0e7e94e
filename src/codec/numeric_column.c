/* codec/numeric_column.c - a column of integers in as few bits as it needs.
 *
 * The column is told by itself, by the differences of neighbours, or by the
 * differences of those (order 0, 1, 2: what rises evenly becomes one value),
 * whichever takes least; arithmetic is modulo 2^64, so nothing overflows.
 *
 *   u8      order | layout << 2
 *   zigzag varint, `order` of them: what the differences begin with
 *   then, of the values that are left,
 *   layout 0   zigzag varint: all of them are this one
 *   layout 1   groups of up to 128:
 *                u8 width | u8 exceptions | zigzag varint base
 *                values less the base, `width` bits each, lowest first
 *                each exception: u8 which | zigzag varint value less base
 *   layout 2   u8 bytes | varint length | zstd frame of the zigzagged values:
 *                all lowest bytes, then the next, up to `bytes`
 *
 * The base and the width of a group are chosen so that the bits and the
 * exceptions, which cost about five bytes each, are least; as exceptions only
 * the few smallest and largest values come into question. */
#include "codec/numeric_int.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/zpack.h"

#define GROUP 128u
#define EXCEPTIONS 9u /* to each side, less one */
#define EXCEPTION_BITS 40u
#define ORDERS 3u
#define LEVEL_ZSTD 2u     /* from here on */
#define LEVEL_THOROUGH 6u /* zstd with all orders */
#define ZSTD_PAYS 48u     /* bytes that are not worth a try */

enum { LAYOUT_CONSTANT, LAYOUT_GROUPS, LAYOUT_PLANES, LAYOUTS };

/* --- orders
 * ----------------------------------------------------------------------- */

/* Differences in place; the first value stays. */
static void
differ(int64_t *v, size_t n)
{
    for (size_t i = n; i-- > 1;)
        v[i] = (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]);
}

static void
add_up(int64_t *v, size_t n)
{
    for (size_t i = 1; i < n; i++)
        v[i] = (int64_t)((uint64_t)v[i] + (uint64_t)v[i - 1]);
}

/* --- bits
 * ----------------------------------------------------------------------- */

static uint64_t
load_word(const uint8_t *p, size_t bytes)
{
    uint64_t w = 0;

    memcpy(&w, p, nq_min(bytes, 8));
    return w;
}

static size_t
bits_size(size_t n, unsigned width)
{
    return (n * width + 7) / 8;
}

static void
bits_put(struct buf *out, const uint64_t *v, size_t n, unsigned width)
{
    uint8_t *p = buf_reserve(out, bits_size(n, width) + 8);
    uint64_t word = 0;
    unsigned used = 0;

    if (width == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        word |= v[i] << used;
        used += width;
        if (used < 64)
            continue;
        memcpy(p, &word, 8);
        p += 8;
        used -= 64;
        word = used == 0 ? 0 : v[i] >> (width - used);
    }
    memcpy(p, &word, 8);
    out->len += bits_size(n, width);
}

/* `bytes` is bits_size(n, width). */
static void
bits_get(const uint8_t *p, size_t bytes, unsigned width, uint64_t *v, size_t n)
{
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    uint64_t word = 0, next;
    unsigned have = 0;

    for (size_t i = 0; i < n; i++) {
        v[i] = word;
        if (have >= width) {
            word >>= width;
            have -= width;
        } else {
            next = load_word(p, bytes);
            p += nq_min(bytes, 8);
            bytes -= nq_min(bytes, 8);
            v[i] |= next << have;
            word = width - have == 64 ? 0 : next >> (width - have);
            have += 64 - width;
        }
        v[i] &= mask;
    }
}

/* --- groups
 * ----------------------------------------------------------------------- */

struct plan {
    int64_t base;
    unsigned width;
    size_t bits; /* with exceptions */
};

/* The smallest and largest values of a group, in order. */
struct extremes {
    int64_t low[EXCEPTIONS], high[EXCEPTIONS];
};

static void
note_low(struct extremes *e, int64_t v)
{
    unsigned i = EXCEPTIONS - 1;

    for (; i > 0 && e->low[i - 1] > v; i--)
        e->low[i] = e->low[i - 1];
    e->low[i] = v;
}

static void
note_high(struct extremes *e, int64_t v)
{
    unsigned i = EXCEPTIONS - 1;

    for (; i > 0 && e->high[i - 1] < v; i--)
        e->high[i] = e->high[i - 1];
    e->high[i] = v;
}

static unsigned
bit_width(uint64_t v)
{
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

static struct plan
plan_group(const int64_t *v, size_t n)
{
    struct plan best = {0, 64, SIZE_MAX};
    struct extremes e;

    for (unsigned i = 0; i < EXCEPTIONS; i++) {
        e.low[i] = INT64_MAX;
        e.high[i] = INT64_MIN;
    }
    for (size_t i = 0; i < n; i++) {
        if (v[i] < e.low[EXCEPTIONS - 1])
            note_low(&e, v[i]);
        if (v[i] > e.high[EXCEPTIONS - 1])
            note_high(&e, v[i]);
    }
    for (unsigned a = 0; a < EXCEPTIONS && a < n; a++) {
        for (unsigned b = 0; b < EXCEPTIONS && a + b < n; b++) {
            uint64_t range = (uint64_t)e.high[b] - (uint64_t)e.low[a];
            unsigned width = bit_width(range);
            size_t bits = n * width + (size_t)(a + b) * EXCEPTION_BITS;

            if (bits < best.bits)
                best = (struct plan){e.low[a], width, bits};
        }
    }
    return best;
}

static bool
fits(uint64_t v, unsigned width)
{
    return width == 64 || v >> width == 0;
}

static void
put_group(struct buf *out, const int64_t *v, size_t n)
{
    struct plan plan = plan_group(v, n);
    uint64_t bits[GROUP];
    uint8_t which[GROUP], exceptions = 0;

    for (size_t i = 0; i < n; i++) {
        bits[i] = (uint64_t)v[i] - (uint64_t)plan.base;
        if (fits(bits[i], plan.width))
            continue;
        bits[i] = 0;
        which[exceptions++] = (uint8_t)i;
    }
    buf_put_u8(out, (uint8_t)plan.width);
    buf_put_u8(out, exceptions);
    buf_put_varint(out, zigzag(plan.base));
    bits_put(out, bits, n, plan.width);
    for (unsigned i = 0; i < exceptions; i++) {
        uint64_t away = (uint64_t)v[which[i]] - (uint64_t)plan.base;

        buf_put_u8(out, which[i]);
        buf_put_varint(out, zigzag((int64_t)away));
    }
}

static bool
get_group(struct cursor *in, int64_t *v, size_t n)
{
    uint64_t bits[GROUP], base, away;
    uint8_t width, exceptions, which;
    struct slice packed;

    cursor_get_u8(in, &width);
    cursor_get_u8(in, &exceptions);
    cursor_get_varint(in, &base);
    base = (uint64_t)unzigzag(base);
    if (width > 64 || !cursor_get_bytes(in, bits_size(n, width), &packed))
        return false;
    bits_get(packed.p, packed.len, width, bits, n);
    for (; exceptions > 0; exceptions--) {
        cursor_get_u8(in, &which);
        if (!cursor_get_varint(in, &away) || which >= n)
            return false;
        bits[which] = (uint64_t)unzigzag(away);
    }
    for (size_t i = 0; i < n; i++)
        v[i] = (int64_t)(bits[i] + base);
    return true;
}

static size_t
groups_cost(const int64_t *v, size_t n)
{
    size_t bits = 0;

    for (size_t i = 0; i < n; i += GROUP)
        bits += 32 + plan_group(v + i, nq_min(n - i, GROUP)).bits;
    return bits;
}

/* --- planes
 * ----------------------------------------------------------------------- */

/* Appends layout 2 if it takes less than `cap` bytes. */
static bool
put_planes(struct buf *out, const int64_t *v, size_t n, size_t cap,
           unsigned level)
{
    uint64_t all = 0;
    unsigned bytes;
    uint8_t *planes, *frame;
    size_t len;

    for (size_t i = 0; i < n; i++)
        all |= zigzag(v[i]);
    bytes = nq_max(1, (bit_width(all) + 7) / 8);
    planes = nq_malloc(n * bytes);
    for (size_t i = 0; i < n; i++) {
        uint64_t w = zigzag(v[i]);

        for (unsigned k = 0; k < bytes; k++)
            planes[k * n + i] = (uint8_t)(w >> 8 * k);
    }
    frame = nq_malloc(cap);
    len = zpack_encode(level, NULL, frame, cap, planes, n * bytes);
    nq_free(planes);
    if (len != 0) {
        buf_put_u8(out, (uint8_t)bytes);
        buf_put_varint(out, len);
        buf_put(out, frame, len);
    }
    nq_free(frame);
    return len != 0;
}

static bool
get_planes(struct cursor *in, int64_t *v, size_t n)
{
    struct slice frame;
    uint8_t bytes, *planes;
    bool ok;

    cursor_get_u8(in, &bytes);
    if (!cursor_get_slice(in, &frame) || bytes == 0 || bytes > 8)
        return false;
    planes = nq_malloc(n * bytes);
    ok = zpack_decode(NULL, planes, n * bytes, frame.p, frame.len) == NQ_OK;
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t w = 0;

        for (unsigned k = 0; k < bytes; k++)
            w |= (uint64_t)planes[k * n + i] << 8 * k;
        v[i] = unzigzag(w);
    }
    nq_free(planes);
    return ok;
}

/* --- columns
 * ----------------------------------------------------------------------- */

static bool
is_constant(const int64_t *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (v[i] != v[0])
            return false;
    }
    return true;
}

static void
put_head(struct buf *out, unsigned order, unsigned layout, const int64_t *v)
{
    buf_put_u8(out, (uint8_t)(order | layout << 2));
    for (unsigned i = 0; i < order; i++)
        buf_put_varint(out, zigzag(v[i]));
}

/* The column told by differences of that order; what is at *out from `begin`
 * on is replaced if this is shorter. */
static void
try_planes(struct buf *out, size_t begin, const int64_t *v, size_t n,
           unsigned order, unsigned level)
{
    struct buf other = BUF_INIT;
    size_t now = out->len - begin;

    put_head(&other, order, LAYOUT_PLANES, v);
    if (now > other.len + ZSTD_PAYS &&
        put_planes(&other, v + order, n - order, now - other.len, level) &&
        other.len < now) {
        out->len = begin;
        buf_put_slice(out, buf_slice(&other));
    }
    buf_fini(&other);
}

/* Appends layout 0 or 1, whichever of them it has to be. */
static void
put_plain(struct buf *out, const int64_t *v, size_t n, unsigned order)
{
    bool constant = is_constant(v + order, n - order);

    put_head(out, order, constant ? LAYOUT_CONSTANT : LAYOUT_GROUPS, v);
    if (constant) {
        buf_put_varint(out, zigzag(v[order]));
        return;
    }
    for (size_t i = order; i < n; i += GROUP)
        put_group(out, v + i, nq_min(n - i, GROUP));
}

void
numeric_column_put(struct buf *out, const int64_t *v, size_t n, unsigned level)
{
    int64_t *told[ORDERS];
    size_t begin = out->len, least = SIZE_MAX;
    unsigned best = 0, orders = (unsigned)nq_min(n, ORDERS);

    if (n == 0)
        return;
    /* Order k leaves n - k values, and they must be some. */
    for (unsigned k = 0; k < orders; k++) {
        size_t cost;

        told[k] = nq_memdup(k == 0 ? v : told[k - 1], n * sizeof *v);
        if (k > 0)
            differ(told[k] + k - 1, n - k + 1);
        cost = groups_cost(told[k] + k, n - k);
        if (cost < least) {
            least = cost;
            best = k;
        }
    }
    put_plain(out, told[best], n, best);
    for (unsigned k = 0; k < orders && level >= LEVEL_ZSTD; k++) {
        if (k == best || level >= LEVEL_THOROUGH)
            try_planes(out, begin, told[k], n, k, level);
    }
    for (unsigned k = 0; k < orders; k++)
        nq_free(told[k]);
}

static bool
get_values(struct cursor *in, int64_t *v, size_t n, unsigned layout)
{
    uint64_t w;

    if (layout == LAYOUT_PLANES)
        return get_planes(in, v, n);
    if (layout == LAYOUT_CONSTANT) {
        if (!cursor_get_varint(in, &w))
            return false;
        for (size_t i = 0; i < n; i++)
            v[i] = unzigzag(w);
        return true;
    }
    for (size_t i = 0; i < n; i += GROUP) {
        if (!get_group(in, v + i, nq_min(n - i, GROUP)))
            return false;
    }
    return true;
}

bool
numeric_column_get(struct cursor *in, int64_t *v, size_t n)
{
    unsigned order, layout;
    uint64_t first;
    uint8_t head;

    if (n == 0)
        return true;
    cursor_get_u8(in, &head);
    order = head & 3;
    layout = head >> 2;
    if (!cursor_ok(in) || order >= ORDERS || order >= n || layout >= LAYOUTS)
        return false;
    for (unsigned i = 0; i < order; i++) {
        if (!cursor_get_varint(in, &first))
            return false;
        v[i] = unzigzag(first);
    }
    if (!get_values(in, v + order, n - order, layout))
        return false;
    for (unsigned k = order; k > 0; k--)
        add_up(v + k - 1, n - k + 1);
    return true;
}
