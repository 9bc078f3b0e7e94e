/* base/slice.c - comparisons, numbers and globs over borrowed bytes. */
#include "base/slice.h"

#include <ctype.h>

bool
slice_is(struct slice s, const char *word)
{
    for (size_t i = 0; i < s.len; i++) {
        if (word[i] == '\0' ||
            tolower(s.p[i]) != tolower((unsigned char)word[i]))
            return false;
    }
    return word[s.len] == '\0';
}

bool
slice_to_i64(struct slice s, int64_t *out)
{
    bool negative = false;
    size_t i = 0;
    uint64_t v = 0;

    if (s.len == 0 || s.len > 20)
        return false;
    if (s.len == 1 && s.p[0] == '0') {
        *out = 0;
        return true;
    }
    if (s.p[0] == '-') {
        negative = true;
        i = 1;
    }
    if (i == s.len || s.p[i] < '1' || s.p[i] > '9')
        return false;
    for (; i < s.len; i++) {
        uint64_t digit = (uint64_t)s.p[i] - '0';

        if (s.p[i] < '0' || s.p[i] > '9' || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

size_t
u64_to_text(char *dst, uint64_t v)
{
    char tmp[20];
    size_t n = 0;

    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    for (size_t i = 0; i < n; i++)
        dst[i] = tmp[n - 1 - i];
    dst[n] = '\0';
    return n;
}

size_t
i64_to_text(char *dst, int64_t v)
{
    if (v >= 0)
        return u64_to_text(dst, (uint64_t)v);
    dst[0] = '-';
    return 1 + u64_to_text(dst + 1, 0 - (uint64_t)v);
}

static int
fold(uint8_t c, bool nocase)
{
    return nocase ? tolower(c) : c;
}

/* Matches one class `[...]` at pat.p[*pi] (just behind the bracket) against
 * `c`; leaves *pi behind the closing bracket. */
static bool
match_class(struct slice pat, size_t *pi, uint8_t c, bool nocase)
{
    size_t i = *pi;
    bool negate = i < pat.len && pat.p[i] == '^', found = false;

    if (negate)
        i++;
    for (; i < pat.len && pat.p[i] != ']'; i++) {
        if (pat.p[i] == '\\' && i + 1 < pat.len) {
            i++;
            found |= pat.p[i] == c;
        } else if (i + 2 < pat.len && pat.p[i + 1] == '-') {
            int lo = fold(pat.p[i], nocase), hi = fold(pat.p[i + 2], nocase);
            int x = fold(c, nocase);

            found |= lo <= hi ? x >= lo && x <= hi : x >= hi && x <= lo;
            i += 2;
        } else {
            found |= fold(pat.p[i], nocase) == fold(c, nocase);
        }
    }
    *pi = i < pat.len ? i + 1 : i;
    return found != negate;
}

bool
slice_glob(struct slice pat, struct slice s, bool nocase)
{
    /* Only the last star can need to take more: going back further never
     * helps, so one remembered place makes this O(pattern * string). */
    size_t pi = 0, si = 0, star = SIZE_MAX, mark = 0;

    while (si < s.len) {
        if (pi < pat.len && pat.p[pi] == '*') {
            star = ++pi;
            mark = si;
            continue;
        }
        if (pi < pat.len) {
            size_t next = pi + 1;
            bool ok;

            if (pat.p[pi] == '?') {
                ok = true;
            } else if (pat.p[pi] == '[') {
                ok = match_class(pat, &next, s.p[si], nocase);
            } else {
                if (pat.p[pi] == '\\' && next < pat.len)
                    next = ++pi + 1;
                ok = fold(pat.p[pi], nocase) == fold(s.p[si], nocase);
            }
            if (ok) {
                pi = next;
                si++;
                continue;
            }
        }
        if (star == SIZE_MAX)
            return false;
        pi = star;
        si = ++mark;
    }
    while (pi < pat.len && pat.p[pi] == '*')
        pi++;
    return pi == pat.len;
}
