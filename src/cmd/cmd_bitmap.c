/* cmd/cmd_bitmap.c - SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.
 *
 * Bit 0 is the most significant bit of byte 0.  Commands that read whole
 * values hold them still (cmd/bits) and work in slices of a turn. */
#include "cmd/cmd_bitmap.h"

#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/bits.h"
#include "cmd/cmd_string.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/string.h"

#define STEP (64 * 1024) /* bytes of BITOP between looks at the clock */

bool
bit_offset(struct req *rq, struct slice s, unsigned width, uint64_t *out)
{
    bool counts_fields = width > 0 && s.len > 0 && s.p[0] == '#';
    int64_t off;

    if (counts_fields)
        s = slice_of(s.p + 1, s.len - 1);
    if (!slice_to_i64(s, &off) || off < 0 ||
        (counts_fields && __builtin_mul_overflow(off, (int64_t)width, &off)) ||
        (uint64_t)off >> 3 >= rq->engine->limits.proto_max_bulk) {
        reply_error(rq, "bit offset is not an integer or out of range");
        return false;
    }
    *out = (uint64_t)off;
    return true;
}

void
cmd_setbit(struct req *rq)
{
    uint64_t off, len;
    int64_t bit;
    struct slice old = slice_lit("");
    struct entry e;
    uint8_t byte, mask;
    nq_rc rc;
    bool found;

    if (!bit_offset(rq, rq->argv[2], 0, &off) ||
        !arg_int_within(rq, 3, 0, 1, "bit is not an integer or out of range",
                        &bit))
        return;
    rc = req_find_type(rq, 1, DB_STRING, true, &e);
    found = rc == NQ_OK;
    if (found)
        rc = string_range(rq->db, &e, off >> 3, 1, rq->arena, &old);
    if (rc != NQ_OK && rc != NQ_NOTFOUND) {
        reply_rc(rq, rc);
        return;
    }
    mask = (uint8_t)(0x80 >> (off & 7));
    byte = old.len > 0 ? old.p[0] : 0;
    reply_int(rq, (byte & mask) != 0);
    if (old.len > 0 && ((byte & mask) != 0) == (bit == 1))
        return; /* nothing changes: nothing is logged, no watcher is told */
    byte = (uint8_t)((byte & ~mask) | (bit ? mask : 0));
    rc = string_write(rq->db, rq->dbi, rq->argv[1], &e, found, off >> 3,
                      slice_of(&byte, 1), "setbit", &len);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
}

void
cmd_getbit(struct req *rq)
{
    struct slice byte = slice_lit("");
    uint64_t off;
    struct entry e;
    nq_rc rc;

    if (!bit_offset(rq, rq->argv[2], 0, &off))
        return;
    rc = req_find_type(rq, 1, DB_STRING, false, &e);
    if (rc == NQ_OK)
        rc = string_range(rq->db, &e, off >> 3, 1, rq->arena, &byte);
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        reply_rc(rq, rc);
    else
        reply_int(rq, byte.len > 0 && (byte.p[0] & (0x80 >> (off & 7))) != 0);
}

/* --- BITCOUNT and BITPOS -----------------------------------------------------
 */

/* Where their ranges begin in argv. */
#define BITCOUNT_RANGE 2
#define BITPOS_RANGE 3

/* Both look at the bits [at, end) of a value held still. */
struct scan {
    struct bits bits;
    uint64_t at, end; /* bits */
    uint64_t count;   /* BITCOUNT */
    bool bit;         /* BITPOS: looked for */
    bool end_given;
};

static void
scan_free(void *state)
{
    struct scan *sc = state;

    bits_close(&sc->bits);
    nq_free(sc);
}

/* Reads `start end [BYTE|BIT]` from argv[i] on; absent ones are 0 and -1. */
static bool
parse_range(struct req *rq, uint32_t i, int64_t *start, int64_t *end,
            bool *in_bits)
{
    *start = 0;
    *end = -1;
    *in_bits = false;
    if (i < rq->argc && !arg_int(rq, i, start))
        return false;
    if (i + 1 < rq->argc && !arg_int(rq, i + 1, end))
        return false;
    if (i + 2 < rq->argc) {
        *in_bits = slice_is(rq->argv[i + 2], "BIT");
        if (!*in_bits && !slice_is(rq->argv[i + 2], "BYTE")) {
            reply_syntax(rq);
            return false;
        }
    }
    if (i + 3 < rq->argc) {
        reply_syntax(rq);
        return false;
    }
    return true;
}

/* The first run of either: a scan over the bits asked for; NULL: answered. */
static struct scan *
scan_begin(struct req *rq, uint32_t range_arg)
{
    struct scan *sc, first = {0};
    int64_t start, end, len;
    uint64_t off, n;
    bool in_bits;

    if (!parse_range(rq, range_arg, &start, &end, &in_bits) ||
        !bits_open(rq, 1, &first.bits))
        return NULL;
    len = (int64_t)first.bits.len * (in_bits ? 8 : 1);
    if (range_arg == BITPOS_RANGE) { /* clips before it looks for start > end */
        start = nq_max(start, -len);
        end = nq_max(end, -len);
    }
    if (clip_range(start, end, (uint64_t)len, &off, &n)) {
        first.at = off * (in_bits ? 1 : 8);
        first.end = (off + n) * (in_bits ? 1 : 8);
    }
    first.end_given = rq->argc > range_arg + 1;
    sc = nq_malloc(sizeof *sc);
    *sc = first;
    rq->state = sc;
    rq->free_state = scan_free;
    return sc;
}

static bool
bit_at(const struct bits *b, uint64_t bit)
{
    return (bits_at(b, bit >> 3).p[0] & (0x80 >> (bit & 7))) != 0;
}

/* The whole bytes at sc->at, up to the end; empty unless it is at one. */
static struct slice
whole_bytes(const struct scan *sc)
{
    struct slice s = bits_at(&sc->bits, sc->at >> 3);
    uint64_t left = (sc->end - sc->at) >> 3;

    if ((sc->at & 7) != 0)
        return slice_lit("");
    return slice_of(s.p, s.len < left ? s.len : left);
}

void
cmd_bitcount(struct req *rq)
{
    struct scan *sc = rq->state;

    if (sc == NULL && rq->argc == 3) {
        reply_syntax(rq);
        return;
    }
    if (sc == NULL && (sc = scan_begin(rq, BITCOUNT_RANGE)) == NULL)
        return;
    while (sc->at < sc->end) {
        struct slice s = whole_bytes(sc);

        if (s.len == 0) {
            sc->count += bit_at(&sc->bits, sc->at++);
            continue;
        }
        sc->count += bits_popcount(s);
        sc->at += (uint64_t)s.len << 3;
        if (req_should_yield(rq)) {
            req_yield(rq);
            return;
        }
    }
    reply_int(rq, (int64_t)sc->count);
}

/* Bytes of `s` in front of the first that is not all `fill`. */
static size_t
skip_fill(struct slice s, uint8_t fill)
{
    uint64_t want = fill * UINT64_C(0x0101010101010101), word;
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        memcpy(&word, s.p + i, 8);
        if (word != want)
            break;
    }
    while (i < s.len && s.p[i] == fill)
        i++;
    return i;
}

/* Moves on to the bit looked for: false at the end of the range, or with
 * *again set when the turn is used up. */
static bool
scan_to_bit(struct req *rq, struct scan *sc, bool *again)
{
    *again = false;
    while (sc->at < sc->end) {
        struct slice s = whole_bytes(sc);
        size_t skip = skip_fill(s, sc->bit ? 0x00 : 0xff);

        sc->at += (uint64_t)skip << 3;
        if (skip > 0 && skip == s.len) {
            if (req_should_yield(rq)) {
                *again = true;
                return false;
            }
            continue;
        }
        if (bit_at(&sc->bits, sc->at) == sc->bit)
            return true;
        sc->at++;
    }
    return false;
}

void
cmd_bitpos(struct req *rq)
{
    struct scan *sc = rq->state;
    bool again;

    if (sc == NULL) {
        int64_t bit;

        if (!arg_int(rq, 2, &bit))
            return;
        if (bit != 0 && bit != 1) {
            reply_error(rq, "The bit argument must be 1 or 0.");
            return;
        }
        if ((sc = scan_begin(rq, BITPOS_RANGE)) == NULL)
            return;
        sc->bit = bit == 1;
    }
    if (sc->bits.n == 0) { /* no such key */
        reply_int(rq, sc->bit ? -1 : 0);
        return;
    }
    if (sc->at == sc->end)
        reply_int(rq, -1);
    else if (scan_to_bit(rq, sc, &again))
        reply_int(rq, (int64_t)sc->at);
    else if (again)
        req_yield(rq);
    else if (sc->bit || sc->end_given)
        reply_int(rq, -1);
    else /* zeroes follow a value without end */
        reply_int(rq, (int64_t)(sc->bits.len << 3));
}

/* --- BITOP -------------------------------------------------------------------
 */

enum bitop { OP_AND, OP_OR, OP_XOR, OP_NOT };

struct combine {
    enum bitop op;
    uint32_t n;
    struct bits *in; /* owned */
    uint8_t *out;    /* owned, `len` bytes */
    uint64_t len, at;
};

static void
combine_free(void *state)
{
    struct combine *c = state;

    for (uint32_t i = 0; i < c->n; i++)
        bits_close(&c->in[i]);
    nq_free(c->in);
    nq_free(c->out);
    nq_free(c);
}

static bool
parse_op(struct req *rq, enum bitop *op)
{
    static const char *const names[] = {"AND", "OR", "XOR", "NOT"};

    for (unsigned i = 0; i < nq_countof(names); i++) {
        if (slice_is(rq->argv[1], names[i])) {
            *op = (enum bitop)i;
            if (*op == OP_NOT && rq->argc != 4) {
                reply_error(rq, "BITOP NOT must be called with a single "
                                "source key.");
                return false;
            }
            return true;
        }
    }
    reply_syntax(rq);
    return false;
}

static struct combine *
combine_begin(struct req *rq)
{
    struct combine *c;
    enum bitop op;

    if (!parse_op(rq, &op))
        return NULL;
    c = nq_calloc(1, sizeof *c);
    c->op = op;
    c->in = nq_calloc(rq->argc - 3, sizeof *c->in);
    for (uint32_t i = 3; i < rq->argc; i++) {
        if (!bits_open(rq, i, &c->in[c->n])) {
            combine_free(c);
            return NULL;
        }
        c->len = nq_max(c->len, c->in[c->n].len);
        c->n++;
    }
    c->out = nq_malloc(c->len);
    rq->state = c;
    rq->free_state = combine_free;
    return c;
}

static void
apply(enum bitop op, uint8_t *dst, struct slice src, size_t n)
{
    /* Beyond its end a source is zeroes. */
    for (size_t i = 0; i < n; i++) {
        uint8_t b = i < src.len ? src.p[i] : 0;

        if (op == OP_AND)
            dst[i] &= b;
        else if (op == OP_OR)
            dst[i] |= b;
        else
            dst[i] ^= b;
    }
}

/* Combines the next STEP bytes; parts end at multiples of STEP. */
static void
combine_step(struct combine *c)
{
    size_t n = (size_t)nq_min(c->len - c->at, (uint64_t)STEP);
    uint8_t *dst = c->out + c->at;
    struct slice first = bits_at(&c->in[0], c->at);
    size_t have = nq_min(first.len, n);

    if (have > 0)
        memcpy(dst, first.p, have);
    memset(dst + have, 0, n - have);
    if (c->op == OP_NOT)
        for (size_t i = 0; i < n; i++)
            dst[i] = (uint8_t)~dst[i];
    for (uint32_t i = 1; i < c->n; i++)
        apply(c->op, dst, bits_at(&c->in[i], c->at), n);
    c->at += n;
}

static void
combine_store(struct req *rq, const struct combine *c)
{
    struct entry e;
    nq_rc rc = req_find_write(rq, 2, &e);
    bool found = rc == NQ_OK;

    if (rc == NQ_NOTFOUND)
        rc = NQ_OK;
    if (rc == NQ_OK && c->len > 0)
        rc = string_set(rq->db, rq->dbi, rq->argv[2], &e, found,
                        slice_of(c->out, c->len), 0, "set");
    else if (rc == NQ_OK && found)
        rc = db_del(rq->db, rq->dbi, rq->argv[2]);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)c->len);
    else
        reply_rc(rq, rc);
}

void
cmd_bitop(struct req *rq)
{
    struct combine *c = rq->state;

    if (c == NULL && (c = combine_begin(rq)) == NULL)
        return;
    while (c->at < c->len) {
        combine_step(c);
        if (req_should_yield(rq)) {
            req_yield(rq);
            return;
        }
    }
    combine_store(rq, c);
}
