/* codec/dna_repeat.c - bases that are copies of earlier ones, forward or as
 * the reverse complement: genes and repeats lie on both strands.
 *
 * The stream of repeats is a row of copies; numbers are varints:
 *
 *   bases before it that are no copy | length - LENGTH_MIN | from << 1 | kind
 *
 *   forward   `from` bases back; it may reach into itself, which is how short
 *             tandem repeats are told
 *   reverse   complements, read backwards from the one that lies `from` bases
 *             before the copy
 *
 * `from` 0 goes on along the line of the last copy of that kind, past a base
 * that differs: forward the same distance; reverse the same sum of the places
 * in both.
 *
 * Finding: a table has places where SEED bases in a row were seen, noted at
 * every STEP-th base, the last one for each; with some bits of their hash, so
 * that few are looked at in vain.  At each base it is asked for those that
 * follow and for their reverse complement; what is found is extended to both
 * sides.  The longer one is
 * taken if it saves bytes.  For the reverse kind there is a second text, the
 * whole reverse complement, in which such a copy runs forward too.
 *
 * Invariants: P1 done <= at, all copies so far end at or before `done`; P2 a
 * copy is made of bases before its first, or by itself as it grows. */
#include "codec/dna_int.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "codec/bases.h"

#define SEED 16u
#define STEP 4u
#define PLACE_BITS 20u /* of an entry; the others are of the hash */
_Static_assert(DNA_BLOCK_MAX <= (size_t)1 << PLACE_BITS, "places fit");
#define LENGTH_MIN 12u
#define TABLE_BITS_MIN 10u
#define TABLE_BITS_MAX 18u
#define GAIN_MIN 8u /* bits */
#define SKIP_MAX 3u /* bases that may differ on one line */

enum { FORWARD, REVERSE };

static uint8_t
complement(uint8_t base)
{
    return base ^ ((base & 2) != 0 ? 'C' ^ 'G' : 'A' ^ 'T');
}

/* --- finding
 * ------------------------------------------------------------------------ */

struct copy {
    size_t at, n;
    size_t from; /* the first base of the source, in the text of its kind */
    unsigned kind;
};

struct finder {
    uint8_t *text[2]; /* the bases as text; their reverse complement */
    size_t n;
    uint32_t *table; /* bits of the hash, place + 1; 0: none */
    unsigned shift;
    size_t done;
    size_t line[2]; /* see `from` 0; 0: no copy of that kind yet */
    struct buf *out;
};

static size_t
same_length(const uint8_t *a, const uint8_t *b, size_t most)
{
    size_t n = 0;

    while (most - n >= 8) {
        uint64_t x, y;

        memcpy(&x, a + n, 8);
        memcpy(&y, b + n, 8);
        if (x != y)
            return n + (size_t)__builtin_ctzll(x ^ y) / 8;
        n += 8;
    }
    while (n < most && a[n] == b[n])
        n++;
    return n;
}

/* The longest copy through base `at` whose source has it at `from`. */
static struct copy
extend(const struct finder *f, size_t at, size_t from, unsigned kind)
{
    const uint8_t *to = f->text[FORWARD], *source = f->text[kind];
    struct copy c = {at, 0, from, kind};

    c.n = same_length(to + at, source + from, f->n - nq_max(at, from));
    /* Backwards a reverse source comes nearer, by one base each. */
    while (c.at > f->done && c.from > 0 && to[c.at - 1] == source[c.from - 1] &&
           (kind == FORWARD || f->n - c.from < c.at - 1)) {
        c.at--;
        c.from--;
        c.n++;
    }
    return c;
}

/* Where the source of a copy at `at` is on the line of the last one. */
static bool
on_line(const struct finder *f, size_t at, unsigned kind, size_t *from)
{
    size_t line = f->line[kind];

    if (line == 0)
        return false;
    if (kind == FORWARD) {
        *from = at - line;
        return at >= line;
    }
    /* line = at + top, from = n - 1 - top, and top < at. */
    if (line < at || line - at >= at || line - at >= f->n)
        return false;
    *from = f->n - 1 - (line - at);
    return true;
}

/* What tells a copy where it is from, as the stream has it. */
static uint64_t
distance(const struct finder *f, const struct copy *c)
{
    size_t from;

    if (on_line(f, c->at, c->kind, &from) && from == c->from)
        return 0;
    if (c->kind == FORWARD)
        return c->at - c->from;
    return c->at - (f->n - 1 - c->from);
}

/* Bits that it saves; not above 0: none. */
static int64_t
gain(const struct finder *f, const struct copy *c)
{
    size_t bytes;

    if (c->n < LENGTH_MIN)
        return 0;
    bytes = varint_size(c->at - f->done) + varint_size(c->n - LENGTH_MIN) +
            varint_size(distance(f, c) << 1);
    return 2 * (int64_t)c->n - 8 * (int64_t)bytes;
}

static void
take(struct finder *f, const struct copy *c)
{
    buf_put_varint(f->out, c->at - f->done);
    buf_put_varint(f->out, c->n - LENGTH_MIN);
    buf_put_varint(f->out, distance(f, c) << 1 | c->kind);
    f->line[c->kind] =
        c->kind == FORWARD ? c->at - c->from : c->at + (f->n - 1 - c->from);
    f->done = c->at + c->n;
}

static uint32_t
hash(uint32_t seed)
{
    seed *= 0x9e3779b1u;
    return seed ^ seed >> 15;
}

static void
note(struct finder *f, uint32_t seed, size_t at)
{
    uint32_t h = hash(seed);

    f->table[h >> f->shift] = h << PLACE_BITS | (uint32_t)(at + 1);
}

/* Where that seed was noted, and 1; 0: nowhere. */
static size_t
find_seed(const struct finder *f, uint32_t seed)
{
    uint32_t h = hash(seed), entry = f->table[h >> f->shift];

    return ((entry ^ h << PLACE_BITS) >> PLACE_BITS) != 0
               ? 0
               : entry & ((1u << PLACE_BITS) - 1);
}

/* The seeds that begin at a base: forward, and of the other strand. */
struct seeds {
    uint32_t forward, reverse;
};

/* Lets the base at the end of the seed in. */
static void
roll(struct seeds *s, uint8_t base)
{
    uint32_t code = base >> 1 & 3; /* A 0, C 1, T 2, G 3; complement ^ 2 */

    s->forward = s->forward << 2 | code;
    s->reverse = s->reverse >> 2 | (code ^ 2) << 30;
}

static void
better(const struct finder *f, struct copy *best, struct copy c)
{
    if (gain(f, &c) > gain(f, best))
        *best = c;
}

/* The copy through the seed that begins at `at` that saves most. */
static struct copy
look_up(const struct finder *f, size_t at, const struct seeds *s)
{
    struct copy best = {0};
    size_t place = find_seed(f, s->forward);

    if (place != 0)
        better(f, &best, extend(f, at, place - 1, FORWARD));
    place = find_seed(f, s->reverse);
    /* The source ends at place - 1 + SEED - 1, and that is read first. */
    if (place != 0 && place - 1 + SEED <= at)
        better(f, &best, extend(f, at, f->n - SEED - (place - 1), REVERSE));
    return best;
}

/* After a copy: past some bases that differ, does its line go on? */
static bool
take_on_line(struct finder *f, unsigned kind)
{
    size_t from, at = f->done;
    struct copy best = {0};

    for (unsigned i = 1; i <= SKIP_MAX && at + i + LENGTH_MIN < f->n; i++) {
        if (on_line(f, at + i, kind, &from))
            better(f, &best, extend(f, at + i, from, kind));
    }
    if (gain(f, &best) < (int64_t)GAIN_MIN)
        return false;
    take(f, &best);
    return true;
}

/* Goes from the seed that begins at `at` to the one at `to`, or the last. */
static size_t
go_on(struct finder *f, struct seeds *s, size_t at, size_t to)
{
    while (at < to && at + SEED < f->n) {
        if (at % STEP == 0)
            note(f, s->forward, at);
        roll(s, f->text[FORWARD][at + SEED]);
        at++;
    }
    return at;
}

static void
find(struct finder *f)
{
    struct seeds s = {0};
    size_t at = 0;

    for (size_t i = 0; i < SEED; i++)
        roll(&s, f->text[FORWARD][i]);
    while (at + SEED < f->n) {
        struct copy c = look_up(f, at, &s);

        if (c.n > 0 && gain(f, &c) >= (int64_t)GAIN_MIN) {
            take(f, &c);
            while (take_on_line(f, c.kind))
                ;
            at = go_on(f, &s, at, f->done);
        } else {
            at = go_on(f, &s, at, at + 1);
        }
    }
}

/* Packs again what no copy brings; `n` bases before. */
static size_t
keep_rest(uint8_t *bases, size_t n, const uint8_t *text, struct slice repeats)
{
    struct cursor c = cursor_of(repeats);
    uint8_t *rest = nq_malloc(n);
    uint64_t *maps = nq_malloc(2 * BASES_WORDS(n) * sizeof *maps);
    size_t at = 0, left = 0;
    uint64_t before, length, from;

    while (cursor_get_varint(&c, &before) && cursor_get_varint(&c, &length) &&
           cursor_get_varint(&c, &from)) {
        memcpy(rest + left, text + at, (size_t)before);
        left += (size_t)before;
        at += (size_t)(before + length + LENGTH_MIN);
    }
    memcpy(rest + left, text + at, n - at);
    left += n - at;
    bases_pack(bases, maps, maps + BASES_WORDS(n), rest, left);
    nq_free(rest);
    nq_free(maps);
    return left;
}

static unsigned
table_bits(size_t n)
{
    unsigned bits = TABLE_BITS_MIN;

    while (bits < TABLE_BITS_MAX && (size_t)1 << bits < n)
        bits++;
    return bits;
}

size_t
dna_repeat_find(uint8_t *bases, size_t n, struct buf *repeats)
{
    struct finder f = {.n = n, .out = repeats};
    unsigned bits = table_bits(n);
    size_t left = n;

    if (n < 2 * SEED)
        return n;
    f.text[FORWARD] = nq_malloc(n);
    f.text[REVERSE] = nq_malloc(n);
    f.table = nq_calloc((size_t)1 << bits, sizeof *f.table);
    f.shift = 32 - bits;
    bases_unpack((char *)f.text[FORWARD], bases, 0, n);
    for (size_t i = 0; i < n; i++)
        f.text[REVERSE][n - 1 - i] = complement(f.text[FORWARD][i]);
    find(&f);
    if (repeats->len > 0)
        left = keep_rest(bases, n, f.text[FORWARD], buf_slice(repeats));
    nq_free(f.text[FORWARD]);
    nq_free(f.text[REVERSE]);
    nq_free(f.table);
    return left;
}

/* --- restoring
 * ------------------------------------------------------------------------ */

/* One copy as the stream has it. */
struct told {
    size_t before, n, from;
    unsigned kind;
};

static bool
get_copy(struct cursor *c, size_t left, struct told *t)
{
    uint64_t before, length, from;

    if (!cursor_get_varint(c, &before) || !cursor_get_varint(c, &length) ||
        !cursor_get_varint(c, &from) || before > left || length > left ||
        before + length + LENGTH_MIN > left || from >> 1 > DNA_BLOCK_MAX)
        return false;
    *t = (struct told){(size_t)before, (size_t)length + LENGTH_MIN,
                       (size_t)(from >> 1), (unsigned)(from & 1)};
    return true;
}

bool
dna_repeat_left(struct slice repeats, size_t n, size_t *left)
{
    struct cursor c = cursor_of(repeats);
    size_t at = 0;

    *left = n;
    while (cursor_left(&c) > 0) {
        struct told t;

        if (!get_copy(&c, n - at, &t))
            return false;
        at += t.before + t.n;
        *left -= t.n;
    }
    return true;
}

/* Makes the copy at `at` of what is before it. */
static bool
copy(uint8_t *dst, size_t at, const struct told *t, size_t line[2])
{
    size_t top;

    if (t->kind == FORWARD) {
        size_t back = t->from != 0 ? t->from : line[FORWARD];

        if (back == 0 || back > at)
            return false;
        line[FORWARD] = back;
        if (back >= t->n) {
            memcpy(dst + at, dst + at - back, t->n);
            return true;
        }
        for (size_t i = 0; i < t->n; i++)
            dst[at + i] = dst[at + i - back];
        return true;
    }
    if (t->from > at || (t->from == 0 && line[REVERSE] < at))
        return false;
    top = t->from != 0 ? at - t->from : line[REVERSE] - at;
    if (top >= at || t->n > top + 1)
        return false;
    line[REVERSE] = at + top;
    for (size_t i = 0; i < t->n; i++)
        dst[at + i] = complement(dst[top - i]);
    return true;
}

bool
dna_repeat_restore(uint8_t *dst, size_t n, struct slice repeats,
                   const uint8_t *packed)
{
    struct cursor c = cursor_of(repeats);
    size_t at = 0, from = 0, line[2] = {0, 0};

    while (cursor_left(&c) > 0) {
        struct told t;

        if (!get_copy(&c, n - at, &t))
            return false;
        bases_unpack((char *)dst + at, packed, from, t.before);
        at += t.before;
        from += t.before;
        if (!copy(dst, at, &t, line))
            return false;
        at += t.n;
    }
    bases_unpack((char *)dst + at, packed, from, n - at);
    return true;
}
