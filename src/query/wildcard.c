/* query/wildcard.c - patterns of LIKE and GLOB.
 *
 * Both become the same parts: literal bytes, one character, one byte of a set,
 * any run.  Only the last run can need to take more, so one remembered place
 * is enough to go back to; behind a run a literal is searched for with
 * memmem().  That is quick but for patterns made to be slow, some thousands of
 * steps a byte: for them work is counted, and given up. */
#include "query/wildcard.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#define WORK_PER_BYTE 16u
#define WORK_AT_LEAST 100000u

enum part_kind { PART_LITERAL, PART_CHARACTER, PART_BYTE, PART_SET, PART_RUN };

struct part {
    enum part_kind kind;
    uint32_t at, len; /* LITERAL: in bytes; SET: its 32 bytes in bytes */
};

struct wildcard {
    struct part *parts;
    uint32_t count;
    struct buf bytes;
};

/* --- compiling ----------------------------------------------------------- */

static void
put_part(struct wildcard *w, enum part_kind kind, uint32_t len)
{
    struct part *last = w->count == 0 ? NULL : &w->parts[w->count - 1];

    if (kind == PART_RUN && last != NULL && last->kind == PART_RUN)
        return;
    w->parts[w->count++] =
        (struct part){.kind = kind, .at = (uint32_t)w->bytes.len, .len = len};
}

static void
put_literal(struct wildcard *w, uint8_t c)
{
    if (w->count == 0 || w->parts[w->count - 1].kind != PART_LITERAL)
        put_part(w, PART_LITERAL, 0);
    w->parts[w->count - 1].len++;
    buf_put_u8(&w->bytes, c);
}

static void
put_range(uint8_t *set, uint8_t lo, uint8_t hi)
{
    for (unsigned c = nq_min(lo, hi); c <= nq_max(lo, hi); c++)
        set[c / 8] |= (uint8_t)(1 << c % 8);
}

/* Reads the set at p.p[*i], behind its bracket, as slice_glob() does. */
static void
put_set(struct wildcard *w, struct slice p, size_t *i)
{
    uint8_t set[32] = {0};
    bool negate = *i < p.len && p.p[*i] == '^';

    *i += negate;
    for (; *i < p.len && p.p[*i] != ']'; ++*i) {
        if (p.p[*i] == '\\' && *i + 1 < p.len) {
            ++*i;
            put_range(set, p.p[*i], p.p[*i]);
        } else if (*i + 2 < p.len && p.p[*i + 1] == '-') {
            put_range(set, p.p[*i], p.p[*i + 2]);
            *i += 2;
        } else {
            put_range(set, p.p[*i], p.p[*i]);
        }
    }
    *i += *i < p.len;
    for (unsigned k = 0; negate && k < sizeof set; k++)
        set[k] = (uint8_t)~set[k];
    put_part(w, PART_SET, sizeof set);
    buf_put(&w->bytes, set, sizeof set);
}

static struct wildcard *
wildcard_new(struct slice pattern)
{
    struct wildcard *w = nq_calloc(1, sizeof *w);

    w->parts = nq_calloc(pattern.len + 1, sizeof *w->parts);
    return w;
}

static struct wildcard *
shrink(struct wildcard *w)
{
    w->parts = nq_realloc(w->parts, (w->count + 1) * sizeof *w->parts);
    return w;
}

struct wildcard *
wildcard_new_like(struct slice p)
{
    struct wildcard *w = wildcard_new(p);

    for (size_t i = 0; i < p.len; i++) {
        if (p.p[i] == '%') {
            put_part(w, PART_RUN, 0);
        } else if (p.p[i] == '_') {
            put_part(w, PART_CHARACTER, 0);
        } else {
            if (p.p[i] == '\\' && i + 1 < p.len)
                i++;
            put_literal(w, p.p[i]);
        }
    }
    return shrink(w);
}

struct wildcard *
wildcard_new_glob(struct slice p)
{
    struct wildcard *w = wildcard_new(p);
    size_t i = 0;

    while (i < p.len) {
        uint8_t c = p.p[i++];

        if (c == '*') {
            put_part(w, PART_RUN, 0);
        } else if (c == '?') {
            put_part(w, PART_BYTE, 0);
        } else if (c == '[') {
            put_set(w, p, &i);
        } else {
            if (c == '\\' && i < p.len)
                c = p.p[i++];
            put_literal(w, c);
        }
    }
    return shrink(w);
}

void
wildcard_free(struct wildcard *w)
{
    if (w == NULL)
        return;
    nq_free(w->parts);
    buf_fini(&w->bytes);
    nq_free(w);
}

size_t
wildcard_bytes(const struct wildcard *w)
{
    return sizeof *w + w->count * sizeof *w->parts + w->bytes.cap;
}

struct slice
wildcard_prefix(const struct wildcard *w, bool *is_rest)
{
    bool has = w->count > 0 && w->parts[0].kind == PART_LITERAL;

    *is_rest = w->count == 1U + has && w->parts[has].kind == PART_RUN;
    return has ? slice_of(w->bytes.p, w->parts[0].len) : slice_lit("");
}

/* --- matching ------------------------------------------------------------ */

/* Behind the character at `i`. */
static size_t
behind_character(struct slice s, size_t i)
{
    bool is_lead = s.p[i] >= 0xC0;

    for (i++; is_lead && i < s.len && (s.p[i] & 0xC0) == 0x80; i++)
        ;
    return i;
}

/* Moves *i behind what the part matches there; false: it does not. */
static bool
match_part(const struct wildcard *w, const struct part *part, struct slice s,
           size_t *i)
{
    const uint8_t *bytes = w->bytes.p + part->at;

    if (part->kind == PART_LITERAL) {
        if (s.len - *i < part->len || memcmp(s.p + *i, bytes, part->len) != 0)
            return false;
        *i += part->len;
        return true;
    }
    if (*i == s.len)
        return false;
    if (part->kind == PART_SET && (bytes[s.p[*i] / 8] & 1 << s.p[*i] % 8) == 0)
        return false;
    *i = part->kind == PART_CHARACTER ? behind_character(s, *i) : *i + 1;
    return true;
}

/* The first place from `i` on where the parts from `k` on could match: where
 * the literal there begins; SIZE_MAX: nowhere. */
static size_t
find_start(const struct wildcard *w, uint32_t k, struct slice s, size_t i)
{
    const struct part *part = &w->parts[k];
    const uint8_t *p;

    if (part->kind != PART_LITERAL)
        return i;
    p = memmem(s.p + i, s.len - i, w->bytes.p + part->at, part->len);
    return p == NULL ? SIZE_MAX : (size_t)(p - s.p);
}

/* What is left of a budget of work after looking at part `k`, and skipping
 * `skipped` bytes. */
static size_t
spend(const struct wildcard *w, size_t budget, uint32_t k, size_t skipped)
{
    size_t n = 1 + skipped / 64;

    if (k < w->count && w->parts[k].kind == PART_LITERAL)
        n += w->parts[k].len / 16;
    return budget > n ? budget - n : 0;
}

enum wildcard_result
wildcard_match(const struct wildcard *w, struct slice s)
{
    size_t budget = s.len * WORK_PER_BYTE + WORK_AT_LEAST;
    size_t i = 0, mark = 0; /* where the parts behind the last run began */
    uint32_t k = 0, run = UINT32_MAX;

    while (budget > 0) {
        size_t from = i;

        budget = spend(w, budget, k, 0);
        if (k < w->count && w->parts[k].kind == PART_RUN) {
            run = ++k;
            if (k == w->count)
                return WILDCARD_YES;
        } else if (k == w->count && i == s.len) {
            return WILDCARD_YES;
        } else if (k < w->count && match_part(w, &w->parts[k], s, &i)) {
            k++;
            continue;
        } else if (run == UINT32_MAX || mark == s.len) {
            return WILDCARD_NO;
        } else {
            k = run;
            from = mark + 1;
        }
        mark = i = find_start(w, k, s, from);
        if (i == SIZE_MAX)
            return WILDCARD_NO;
        budget = spend(w, budget, k, i - from);
    }
    return WILDCARD_TOO_LONG;
}
