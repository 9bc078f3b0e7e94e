/* codec/dna_residue.c - the letters of sequences to bits, odd runs and case,
 * and back; the format of those streams is told in codec/dna_int.h.
 *
 * Residues come in pieces of any length.  They are collected to chunks that
 * stay in the nearest cache; of each chunk the kernel (codec/bases.h) makes
 * bits, and two bitmaps that say what the bits cannot.
 *
 * Invariants: R1 count = stored + what was cut out; R2 odd_end and case_at
 * are at most count; R3 while is_lower, the residues from case_at to
 * lower_end are lower case, and those from there to `count` are not. */
#include "codec/dna_int.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "codec/bases.h"

#define STRIDE 64u   /* residues; packing is fastest from whole ones on */
#define ODD_LONG 15u /* in the upper half of a code: the length follows */

/* codes[letter - 'A']: the set of bases it stands for; 0: no such code. */
static const uint8_t codes[26] = {
    ['R' - 'A'] = 5,  ['Y' - 'A'] = 10, ['S' - 'A'] = 6,  ['W' - 'A'] = 9,
    ['K' - 'A'] = 12, ['M' - 'A'] = 3,  ['B' - 'A'] = 14, ['D' - 'A'] = 13,
    ['H' - 'A'] = 11, ['V' - 'A'] = 7,  ['N' - 'A'] = 15, ['U' - 'A'] = ODD_U,
};

/* The other way round; 0: no such code, or ODD_LITERAL. */
static const char symbols[17] = "-\0\0M\0RSVUWYHKDBN";

/* --- packing
 * ------------------------------------------------------------------------ */

void
dna_residues_init(struct dna_residues *r, size_t most, size_t chunk,
                  bool is_rna)
{
    size_t room = chunk + STRIDE; /* see store_pending */

    *r = (struct dna_residues){.chunk = chunk, .is_rna = is_rna};
    r->pending = nq_malloc(room);
    r->packed = nq_calloc(BASES_BYTES(room) + 1, 1);
    r->other = nq_malloc(BASES_WORDS(room) * sizeof *r->other);
    r->lower = nq_malloc(BASES_WORDS(room) * sizeof *r->lower);
    r->bases = nq_malloc(BASES_BYTES(most) + 2);
}

void
dna_residues_fini(struct dna_residues *r)
{
    nq_free(r->pending);
    nq_free(r->packed);
    nq_free(r->other);
    nq_free(r->lower);
    nq_free(r->bases);
    buf_fini(&r->odd);
    buf_fini(&r->cases);
}

/* Four bases of the packed chunk from any place on. */
static uint8_t
four_from(const uint8_t *packed, size_t first)
{
    unsigned two = packed[first / 4] | (unsigned)packed[first / 4 + 1] << 8;

    return (uint8_t)(two >> 2 * (first % 4));
}

/* Appends `n` bases from `first` on of the packed chunk. */
static void
store_bases(struct dna_residues *r, size_t first, size_t n)
{
    unsigned shift = 2 * (unsigned)(r->stored % 4);
    uint8_t *to = r->bases + r->stored / 4;

    if (shift == 0 && first % 4 == 0 && n > 0) {
        memcpy(to, r->packed + first / 4, BASES_BYTES(n));
    } else {
        for (size_t i = 0; i < n; i += 4) {
            uint8_t four = four_from(r->packed, first + i);

            *to = (uint8_t)((shift == 0 ? 0 : *to) | four << shift);
            *++to = (uint8_t)(four >> (8 - shift));
        }
    }
    r->stored += n;
    /* The last byte may have got more than it should. */
    if (r->stored % 4 != 0)
        r->bases[r->stored / 4] &= (uint8_t)((1u << 2 * (r->stored % 4)) - 1);
}

static void
put_odd(struct dna_residues *r, size_t at, size_t n, uint8_t symbol)
{
    uint8_t code = ODD_LITERAL;
    uint8_t half = (uint8_t)(n - 1 < ODD_LONG ? n - 1 : ODD_LONG);

    if (symbol >= 'A' && symbol <= 'Z' && codes[symbol - 'A'] != 0)
        code = codes[symbol - 'A'];
    else if (symbol == '-')
        code = 0;
    buf_put_varint(&r->odd, at - r->odd_end);
    buf_put_u8(&r->odd, (uint8_t)(half << 4 | code));
    if (half == ODD_LONG)
        buf_put_varint(&r->odd, n - 1 - ODD_LONG);
    if (code == ODD_LITERAL)
        buf_put_u8(&r->odd, symbol);
    r->odd_end = at + n;
}

static uint8_t
upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? c & 0xdf : c;
}

/* The odd runs among `n` residues at `p`, whose bits are in `packed`; stores
 * the bases between the long ones. */
static void
store_odd(struct dna_residues *r, const uint8_t *p, size_t n)
{
    size_t at = 0, end, kept = 0;

    while (bases_run(r->other, n, &at, &end)) {
        while (at < end) {
            size_t from = at;
            uint8_t symbol = upper(p[at]);

            while (at < end && upper(p[at]) == symbol)
                at++;
            put_odd(r, r->count + from, at - from, symbol);
            if (at - from >= DNA_CUT) {
                store_bases(r, kept, from - kept);
                kept = at;
            }
        }
    }
    store_bases(r, kept, n - kept);
}

/* The case changes at residue `at`. */
static void
turn_case(struct dna_residues *r, size_t at)
{
    buf_put_varint(&r->cases, at - r->case_at);
    r->case_at = at;
    r->is_lower = !r->is_lower;
}

static void
store_case(struct dna_residues *r, size_t n)
{
    size_t at = 0, end;

    while (bases_run(r->lower, n, &at, &end)) {
        if (r->is_lower && r->lower_end != r->count + at)
            turn_case(r, r->lower_end);
        if (!r->is_lower)
            turn_case(r, r->count + at);
        r->lower_end = r->count + end;
        at = end;
    }
}

static void
store(struct dna_residues *r, const uint8_t *p, size_t n)
{
    uint8_t *to = r->bases + r->stored / 4;
    bool is_even = r->stored % 4 == 0;
    unsigned has =
        bases_pack(is_even ? to : r->packed, r->other, r->lower, p, n);

    if ((has & BASES_OTHER) == 0 && is_even) {
        r->stored += n;
    } else if ((has & BASES_OTHER) == 0) {
        store_bases(r, 0, n);
    } else {
        if (is_even)
            memcpy(r->packed, to, BASES_BYTES(n));
        store_odd(r, p, n);
    }
    if ((has & BASES_LOWER) != 0)
        store_case(r, n);
    r->count += n;
}

/* Packs the first `n` of those that wait. */
static void
store_pending(struct dna_residues *r, size_t n)
{
    if (r->is_rna)
        dna_swap_rna(r->pending, n);
    store(r, r->pending, n);
    r->held -= n;
    memmove(r->pending, r->pending + n, r->held);
}

uint8_t *
dna_residues_room(struct dna_residues *r, size_t n, size_t *room)
{
    if (n > r->chunk)
        return NULL;
    if (r->held + n > r->chunk)
        store_pending(r, r->held & ~(size_t)(STRIDE - 1));
    *room = nq_max(n, r->chunk - nq_min(r->held, r->chunk));
    return r->pending + r->held;
}

void
dna_residues_fill(struct dna_residues *r, size_t n)
{
    r->held += n;
    nq_dassert(r->held < r->chunk + STRIDE);
}

void
dna_residues_add(struct dna_residues *r, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t part = nq_min(n, r->chunk), room;

        if (r->held == 0 && part == r->chunk && !r->is_rna) {
            store(r, p, part);
        } else {
            memcpy(dna_residues_room(r, part, &room), p, part);
            dna_residues_fill(r, part);
        }
        p += part;
        n -= part;
    }
}

void
dna_residues_end(struct dna_residues *r)
{
    if (r->held > 0)
        store_pending(r, r->held);
    if (r->is_lower)
        turn_case(r, r->lower_end);
    nq_dassert(r->stored <= r->count && r->odd_end <= r->count);
}

/* --- unpacking
 * ------------------------------------------------------------------------ */

struct odd {
    size_t at, n; /* residues */
    uint8_t symbol;
};

/* The run behind the one in *o, all within `count` residues. */
static bool
next_odd(struct cursor *c, size_t count, struct odd *o)
{
    uint64_t gap, more = 0;
    uint8_t code;
    size_t left = count - (o->at + o->n);

    if (!cursor_get_varint(c, &gap) || !cursor_get_u8(c, &code))
        return false;
    if (code >> 4 == ODD_LONG && !cursor_get_varint(c, &more))
        return false;
    if (gap > left || more > left || gap + (code >> 4) + 1 + more > left)
        return false;
    o->at += o->n + (size_t)gap;
    o->n = (code >> 4) + 1u + (size_t)more;
    o->symbol = (uint8_t)symbols[code & 15];
    if ((code & 15) == ODD_LITERAL)
        return cursor_get_u8(c, &o->symbol);
    return o->symbol != 0;
}

bool
dna_residues_stored(struct slice odd, size_t count, size_t *stored)
{
    struct cursor c = cursor_of(odd);
    struct odd o = {0};

    *stored = count;
    while (cursor_left(&c) > 0) {
        if (!next_odd(&c, count, &o))
            return false;
        if (o.n >= DNA_CUT)
            *stored -= o.n;
    }
    return true;
}

static void
get_bases(uint8_t *dst, const struct dna_source *from, size_t first, size_t n)
{
    if (n == 0)
        return;
    if (from->text != NULL)
        memcpy(dst, from->text + first, n);
    else
        bases_unpack((char *)dst, from->packed, first, n);
}

/* Lower case where `cases` says so. */
static bool
restore_case(uint8_t *dst, size_t count, struct slice cases)
{
    struct cursor c = cursor_of(cases);
    size_t at = 0;

    for (bool is_lower = false; cursor_left(&c) > 0; is_lower = !is_lower) {
        uint64_t n;

        if (!cursor_get_varint(&c, &n) || n > count - at)
            return false;
        if (is_lower)
            bases_lower((char *)dst + at, (size_t)n);
        at += (size_t)n;
    }
    return true;
}

bool
dna_residues_restore(uint8_t *dst, size_t count, const struct dna_source *from,
                     struct slice odd, struct slice cases)
{
    struct cursor c = cursor_of(odd);
    struct odd o = {0};
    size_t at = 0, base = 0;

    /* Between two cuts all bases come at once, odd ones go on top. */
    while (cursor_left(&c) > 0) {
        if (!next_odd(&c, count, &o))
            return false;
        if (o.n < DNA_CUT)
            continue;
        get_bases(dst + at, from, base, o.at - at);
        base += o.at - at;
        at = o.at + o.n;
    }
    get_bases(dst + at, from, base, count - at);
    c = cursor_of(odd);
    o = (struct odd){0};
    while (cursor_left(&c) > 0 && next_odd(&c, count, &o))
        memset(dst + o.at, o.symbol, o.n);
    return restore_case(dst, count, cases);
}
