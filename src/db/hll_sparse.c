/* db/hll_sparse.c - registers as runs of equal values:
 *
 *   00llllll            l + 1 registers of 0
 *   01llllll llllllll   the same, up to 16384; high bits first
 *   1vvvvvll            l + 1 registers of v + 1
 *
 * One after the other they make all 16384 registers.  A change splits a run in
 * up to three and then joins runs of values with their neighbours, in just the
 * way in which Redis does it, so that the bytes are the same. */
#include "db/hll_int.h"

#include "base/check.h"

#define SHORT_MAX 64 /* registers of a one-byte run of 0 */
#define VALUES_MAX 4 /* registers of a run of a value */
#define JOINED_MAX 5 /* runs looked at when joining */

struct run {
    uint8_t value;
    unsigned len;  /* registers */
    unsigned size; /* bytes */
};

static bool
is_values(uint8_t first)
{
    return (first & 0x80) != 0;
}

/* The run at `at`, which lies inside; false: it is cut off. */
static bool
run_at(struct slice v, size_t at, struct run *out)
{
    uint8_t first = v.p[at];

    *out = (struct run){.len = (first & 0x3fu) + 1, .size = 1};
    if (is_values(first)) {
        out->value = (uint8_t)((first >> 2 & 0x1f) + 1);
        out->len = (first & 3u) + 1;
    } else if ((first & 0x40) != 0) {
        out->size = 2;
        if (at + 1 == v.len)
            return false;
        out->len = ((first & 0x3fu) << 8 | (unsigned)v.p[at + 1]) + 1;
    }
    return true;
}

static unsigned
put_zeroes(uint8_t *p, unsigned len)
{
    if (len == 0)
        return 0;
    if (len <= SHORT_MAX) {
        p[0] = (uint8_t)(len - 1);
        return 1;
    }
    p[0] = (uint8_t)(0x40 | (len - 1) >> 8);
    p[1] = (uint8_t)(len - 1);
    return 2;
}

static unsigned
put_values(uint8_t *p, uint8_t value, unsigned len)
{
    if (len == 0)
        return 0;
    p[0] = (uint8_t)(0x80 | (value - 1u) << 2 | (len - 1));
    return 1;
}

static unsigned
put_run(uint8_t *p, uint8_t value, unsigned len)
{
    return value == 0 ? put_zeroes(p, len) : put_values(p, value, len);
}

void
hll_sparse_init(struct buf *h)
{
    h->len += put_zeroes(buf_reserve(h, 2), HLL_REGISTERS);
}

nq_rc
hll_sparse_merge(struct slice v, uint8_t *max)
{
    unsigned i = 0;
    struct run r;

    for (size_t at = HLL_HEADER; at < v.len; at += r.size) {
        if (!run_at(v, at, &r) || r.len > HLL_REGISTERS - i)
            return NQ_EBADHLL;
        if (r.value == 0)
            i += r.len;
        else
            for (unsigned end = i + r.len; i < end; i++)
                max[i] = nq_max(max[i], r.value);
    }
    return i == HLL_REGISTERS ? NQ_OK : NQ_EBADHLL;
}

/* --- changing ------------------------------------------------------------ */

/* The run that holds a register. */
struct found {
    struct run run;
    size_t at, before; /* offsets of it and of the run before, or of it */
    unsigned first;    /* its first register */
};

static nq_rc
find_run(struct slice v, unsigned i, struct found *f)
{
    f->at = f->before = HLL_HEADER;
    f->first = 0;
    while (f->at < v.len) {
        if (!run_at(v, f->at, &f->run))
            return NQ_EBADHLL;
        if (i - f->first < f->run.len)
            return NQ_OK;
        f->first += f->run.len;
        f->before = f->at;
        f->at += f->run.size;
    }
    return NQ_EBADHLL;
}

/* Joins runs of the same value from offset `at` on. */
static void
join(struct buf *h, size_t at)
{
    struct run a, b;

    for (unsigned n = 0; n < JOINED_MAX && at < h->len; n++) {
        if (!run_at(buf_slice(h), at, &a))
            return;
        if (a.value == 0 || at + 1 == h->len ||
            !run_at(buf_slice(h), at + 1, &b) || b.value != a.value ||
            a.len + b.len > VALUES_MAX) {
            at += a.size;
            continue;
        }
        (void)put_values(h->p + at, a.value, a.len + b.len);
        memmove(h->p + at + 1, h->p + at + 2, h->len - at - 2);
        h->len--;
    }
}

nq_rc
hll_sparse_raise(struct buf *h, unsigned i, uint8_t value, uint64_t size_max,
                 bool *changed)
{
    uint8_t parts[6];
    unsigned n, before;
    struct found f;
    nq_rc rc;

    *changed = false;
    if (h->len > HLL_SIZE_MAX)
        return NQ_EBADHLL;
    if (value > HLL_SPARSE_VALUE_MAX)
        return NQ_AGAIN;
    if ((rc = find_run(buf_slice(h), i, &f)) != NQ_OK)
        return rc;
    if (f.run.value >= value)
        return NQ_OK;
    before = i - f.first;
    n = put_run(parts, f.run.value, before);
    n += put_values(parts + n, value, 1);
    n += put_run(parts + n, f.run.value, f.run.len - before - 1);
    if (n > f.run.size && h->len + n - f.run.size > size_max)
        return NQ_AGAIN;
    (void)buf_reserve(h, sizeof parts);
    memmove(h->p + f.at + n, h->p + f.at + f.run.size,
            h->len - f.at - f.run.size);
    memcpy(h->p + f.at, parts, n);
    h->len = h->len + n - f.run.size;
    join(h, f.before);
    *changed = true;
    return NQ_OK;
}

/* --- for people ---------------------------------------------------------- */

nq_rc
hll_decode(struct slice v, struct buf *out)
{
    struct run r;

    for (size_t at = HLL_HEADER; at < v.len; at += r.size) {
        if (!run_at(v, at, &r) || v.len > HLL_SIZE_MAX)
            return NQ_EBADHLL;
        if (at > HLL_HEADER)
            buf_put_u8(out, ' ');
        if (r.value != 0)
            buf_printf(out, "v:%u,%u", (unsigned)r.value, r.len);
        else
            buf_printf(out, "%c:%u", r.size == 2 ? 'Z' : 'z', r.len);
    }
    return NQ_OK;
}
