/* codec/bases_search.c - packed bases against a pattern, each other, and
 * their own reverse.
 *
 * A search asks many places at once: shifted by j bases, the packed words
 * have at place i the base i + j, and whether that is in the set of probe j is
 * a boolean function of its two bits.  With t0..t3 all ones where the set has
 * the base 0..3,
 *
 *   (high ? (low ? t3 : t2) : (low ? t1 : t0))
 *
 * so a probe's table holds t0, t0 ^ t1, t2, t2 ^ t3: five operations decide
 * 32 places a word.  Probes are tried until no place is left, which with
 * plain letters is after four or five of them; what is behind the probes of a
 * long pattern is compared base by base. */
#include "codec/bases.h"

#include "base/check.h"
#include "codec/bases_int.h"

#define STEP_PLACES (4 * BASES_STEP)

/* --- patterns
 * ----------------------------------------------------------------------- */

enum { A = 1, C = 2, G = 4, T = 8 };

/* By letter, from A; 0: no code. */
static const uint8_t letter_sets[26] = {
    ['A' - 'A'] = A,         ['C' - 'A'] = C,
    ['G' - 'A'] = G,         ['T' - 'A'] = T,
    ['U' - 'A'] = T,         ['R' - 'A'] = A | G,
    ['Y' - 'A'] = C | T,     ['S' - 'A'] = G | C,
    ['W' - 'A'] = A | T,     ['K' - 'A'] = G | T,
    ['M' - 'A'] = A | C,     ['B' - 'A'] = C | G | T,
    ['D' - 'A'] = A | G | T, ['H' - 'A'] = A | C | T,
    ['V' - 'A'] = A | C | G, ['N' - 'A'] = A | C | G | T,
};

static void
fill_probe(uint64_t table[4], unsigned set)
{
    uint64_t t[4];

    for (unsigned b = 0; b < 4; b++)
        t[b] = (set >> b & 1) != 0 ? UINT64_MAX : 0;
    table[0] = t[0];
    table[1] = t[0] ^ t[1];
    table[2] = t[2];
    table[3] = t[2] ^ t[3];
}

bool
bases_pattern_parse(struct bases_pattern *p, struct slice text)
{
    if (text.len == 0 || text.len > BASES_PATTERN_MAX)
        return false;
    p->length = (unsigned)text.len;
    p->probes = nq_min(p->length, BASES_PROBES);
    for (unsigned i = 0; i < p->length; i++) {
        unsigned letter = (text.p[i] & 0xdfu) - 'A';

        p->sets[i] = letter < 26 ? letter_sets[letter] : 0;
        if (p->sets[i] == 0)
            return false;
        if (i < p->probes)
            fill_probe(p->table[i], p->sets[i]);
    }
    return true;
}

/* --- searching
 * ----------------------------------------------------------------------- */

/* What is behind the probes. */
static bool
rest_matches(const uint8_t *packed, const struct bases_pattern *p, size_t at)
{
    for (unsigned j = p->probes; j < p->length; j++) {
        if ((p->sets[j] >> bases_get(packed, at + j) & 1) == 0)
            return false;
    }
    return true;
}

/* The first match in from..last among the candidates of the step that begins
 * at place `base`; BASES_NONE: none. */
static size_t
first_of(const struct bases_matches *m, size_t base, const uint8_t *packed,
         const struct bases_pattern *p, size_t from, size_t last)
{
    for (unsigned w = 0; w < 4; w++) {
        for (uint64_t bits = m->words[w]; bits != 0; bits &= bits - 1) {
            size_t at = base + 32 * w + (unsigned)__builtin_ctzll(bits) / 2;

            if (at >= from && at <= last && rest_matches(packed, p, at))
                return at;
        }
    }
    return BASES_NONE;
}

/* Whole steps from byte *at on, as many as can be read; *at becomes the byte
 * behind them. */
static size_t
find_in_bulk(const uint8_t *packed, size_t bytes, size_t *at,
             const struct bases_pattern *p, size_t from, size_t last)
{
    const struct bases_kernels *k = bases_now();
    struct bases_matches m;

    while (*at + BASES_STEP_READ <= bytes) {
        size_t steps = (bytes - *at - BASES_STEP_READ) / BASES_STEP + 1;
        size_t step = k->find(packed + *at, steps, p, &m), found;

        *at += step * BASES_STEP;
        if (step == steps)
            continue;
        found = first_of(&m, 4 * *at, packed, p, from, last);
        if (found != BASES_NONE)
            return found;
        *at += BASES_STEP;
    }
    return BASES_NONE;
}

size_t
bases_find(const uint8_t *packed, size_t n, const struct bases_pattern *p,
           size_t from)
{
    uint8_t end[BASES_STEP + BASES_STEP_READ] = {0};
    size_t at = from / 4, bytes = BASES_BYTES(n), last, found;
    struct bases_matches m;

    if (n < p->length || from > n - p->length)
        return BASES_NONE;
    last = n - p->length;
    found = find_in_bulk(packed, bytes, &at, p, from, last);
    if (found != BASES_NONE)
        return found;
    /* Less than a step can be read: the rest goes on from a copy. */
    memcpy(end, packed + at, bytes - at);
    for (const uint8_t *e = end; at < bytes; e += BASES_STEP) {
        if (bases_now()->find(e, 1, p, &m) == 0)
            found = first_of(&m, 4 * at, packed, p, from, last);
        if (found != BASES_NONE)
            return found;
        at += BASES_STEP;
    }
    return BASES_NONE;
}

/* --- comparing and turning round
 * ----------------------------------------------------------------------- */

/* The 32 bases at `p`, of which only `bytes` bytes can be read. */
static uint64_t
word_of(const uint8_t *p, size_t bytes)
{
    uint64_t w = 0;

    memcpy(&w, p, nq_min(bytes, 8));
    return w;
}

static unsigned
differing(uint64_t a, uint64_t b)
{
    uint64_t x = a ^ b;

    /* One bit for each place, then sums of two, four and all fields. */
    x = (x | x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)(x * 0x0101010101010101u >> 56);
}

size_t
bases_hamming(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t count = 0, i = 0;
    uint64_t mask;

    for (; n - 4 * i >= 32; i += 8)
        count += differing(word_of(a + i, 8), word_of(b + i, 8));
    n -= 4 * i;
    if (n == 0)
        return count;
    mask = ~(UINT64_MAX << 2 * n);
    return count + differing(word_of(a + i, BASES_BYTES(n)) & mask,
                             word_of(b + i, BASES_BYTES(n)) & mask);
}

static uint64_t
revcomp_word(uint64_t w)
{
    w = ~__builtin_bswap64(w);
    w = (w & 0x0f0f0f0f0f0f0f0fu) << 4 | (w >> 4 & 0x0f0f0f0f0f0f0f0fu);
    return (w & 0x3333333333333333u) << 2 | (w >> 2 & 0x3333333333333333u);
}

/* The last 32 of the first `n` bases; n is at least 32. */
static uint64_t
word_before(const uint8_t *p, size_t n)
{
    size_t bytes = BASES_BYTES(n), spare = 4 * bytes - n;
    uint64_t w;

    memcpy(&w, p + bytes - 8, 8);
    /* The word ends with bases behind n; as many came before it. */
    if (spare == 0)
        return w;
    return w << 2 * spare | (uint64_t)p[bytes - 9] >> (8 - 2 * spare);
}

void
bases_revcomp(uint8_t *dst, const uint8_t *src, size_t n)
{
    uint64_t w;

    for (; n >= 32; n -= 32, dst += 8) {
        w = revcomp_word(word_before(src, n));
        memcpy(dst, &w, 8);
    }
    if (n == 0)
        return;
    w = revcomp_word(word_of(src, BASES_BYTES(n)));
    w >>= 64 - 2 * n;
    memcpy(dst, &w, BASES_BYTES(n));
}
