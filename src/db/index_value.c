/* db/index_value.c - values in a spelling whose bytewise order is theirs.
 *
 *   01 | number   the 8 bytes of the double, big-endian, all bits turned if it
 *                 is negative, else the first one; -0 is 0
 *   01 | text     its first TEXT_CUT bytes, 00 as 00 ff; then 00 00 if that is
 *                 all of it, 00 01 if there is more
 *   02            a value that is too long to be looked at
 *   03, 04        of another kind, of a key that is too long: in `keys` only
 *
 *   V1  a < b as values implies spelling(a) <= spelling(b), and the other way
 *       round; texts that are equal up to the cut are one spelling
 *   V2  no spelling is the beginning of another, so keys may follow
 *
 * So texts that are cut are found by a wider net; whoever reads tests rows
 * again.  Called by index_row.c and by planners. */
#include "db/index_int.h"

#include <math.h>

#define TEXT_CUT 64u
#define NUMBER_LEN 9u /* with its class */
#define TEXT_ALL 0x00u
#define TEXT_MORE 0x01u
#define ESCAPE 0xffu
#define SIGN (UINT64_C(1) << 63)

_Static_assert(INDEX_VALUE_MAX >= 1 + 2 * TEXT_CUT + 2, "a spelling");

static void
put(struct index_value *v, unsigned byte)
{
    nq_assert(v->len < sizeof v->bytes);
    v->bytes[v->len++] = (uint8_t)byte;
}

/* --- spelling ------------------------------------------------------------- */

static void
spell_number(double d, struct index_value *out)
{
    uint64_t bits;

    d = d == 0 ? 0 : d;
    memcpy(&bits, &d, sizeof bits);
    bits = (bits & SIGN) != 0 ? ~bits : bits | SIGN;
    out->len = 0;
    put(out, CLASS_VALUE);
    for (int shift = 56; shift >= 0; shift -= 8)
        put(out, (unsigned)(bits >> shift) & 0xff);
}

/* The text without its end; true: it was cut. */
static bool
spell_start(struct slice text, struct index_value *out)
{
    size_t n = nq_min(text.len, (size_t)TEXT_CUT);

    out->len = 0;
    put(out, CLASS_VALUE);
    for (size_t i = 0; i < n; i++) {
        put(out, text.p[i]);
        if (text.p[i] == 0)
            put(out, ESCAPE);
    }
    return n < text.len;
}

static void
spell_text(struct slice text, struct index_value *out)
{
    bool is_cut = spell_start(text, out);

    put(out, 0);
    put(out, is_cut ? TEXT_MORE : TEXT_ALL);
}

static bool
spell(enum index_kind kind, const struct value *v, struct index_value *out)
{
    double d = v->number;
    bool is_text = v->kind == VALUE_TEXT || v->kind == VALUE_BYTES;

    if (kind == INDEX_TEXT && is_text) {
        spell_text(v->text, out);
        return true;
    }
    if (kind == INDEX_NUMERIC &&
        (v->kind == VALUE_NUMBER ||
         (v->kind == VALUE_BYTES && value_number_of(v->text, &d)))) {
        spell_number(d, out);
        return true;
    }
    return false;
}

void
index_spell(enum index_kind kind, const struct value *v,
            struct index_value *out)
{
    out->len = 0;
    if (v->kind == VALUE_MISSING || v->kind == VALUE_NULL ||
        spell(kind, v, out))
        return;
    out->len = 0;
    put(out, CLASS_MISMATCH);
}

/* Behind the 00 that is no part of the text, and the byte that follows it. */
static size_t
text_end(struct slice e)
{
    for (size_t i = 1; i + 1 < e.len; i++) {
        if (e.p[i] != 0)
            continue;
        if (e.p[i + 1] != ESCAPE)
            return i + 2;
        i++;
    }
    return 0;
}

size_t
index_spelling_len(enum index_kind kind, struct slice e)
{
    if (e.len == 0 || e.p[0] != CLASS_VALUE)
        return e.len > 0 && e.p[0] == CLASS_LONG ? 1 : 0;
    if (kind == INDEX_TEXT)
        return text_end(e);
    return e.len >= NUMBER_LEN ? NUMBER_LEN : 0;
}

/* --- bounds --------------------------------------------------------------- */

static bool
step_up(uint8_t *p, size_t *len)
{
    while (*len > 0 && p[*len - 1] == 0xff)
        --*len;
    if (*len == 0)
        return false;
    p[*len - 1]++;
    return true;
}

bool
index_successor(struct buf *b)
{
    return step_up(b->p, &b->len);
}

/* The beginning of all that have at least that spelling, or, if `behind`, of
 * what comes after all of them. */
static void
set_bound(const struct index_value *v, bool behind, uint8_t *dst,
          uint8_t *dst_len)
{
    size_t len = v->len;

    memcpy(dst, v->bytes, len);
    if (behind)
        nq_assert(step_up(dst, &len)); /* the class is far from ff */
    *dst_len = (uint8_t)len;
}

/* Whether rows that are not the value may have its spelling. */
static bool
is_cut(enum index_kind kind, const struct value *v)
{
    return kind == INDEX_TEXT && v->text.len > TEXT_CUT;
}

bool
index_bounds_between(enum index_kind kind, const struct index_end *lo,
                     const struct index_end *hi, struct index_bounds *out)
{
    struct index_value v = {.bytes = {CLASS_VALUE}, .len = 1};

    if (lo->value != NULL && !spell(kind, lo->value, &v))
        return false;
    set_bound(&v, lo->value != NULL && lo->is_open && !is_cut(kind, lo->value),
              out->lo, &out->lo_len);
    v = (struct index_value){.bytes = {CLASS_VALUE}, .len = 1};
    if (hi->value != NULL && !spell(kind, hi->value, &v))
        return false;
    set_bound(&v, hi->value == NULL || !hi->is_open || is_cut(kind, hi->value),
              out->hi, &out->hi_len);
    return slice_cmp(slice_of(out->lo, out->lo_len),
                     slice_of(out->hi, out->hi_len)) < 0;
}

bool
index_bounds_prefix(enum index_kind kind, const struct value *prefix,
                    struct index_bounds *out)
{
    struct index_value v;

    if (kind != INDEX_TEXT || prefix->kind != VALUE_TEXT)
        return false;
    (void)spell_start(prefix->text, &v);
    set_bound(&v, false, out->lo, &out->lo_len);
    set_bound(&v, true, out->hi, &out->hi_len);
    return true;
}
