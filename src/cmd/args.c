/* cmd/args.c - shared argument readers. */
#include "cmd/args.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "cmd/float_text.h"
#include "cmd/reply.h"
#include "os/clock.h"

#define EXPIRE_MAX ((INT64_C(1) << 48) - 1) /* what a record can hold */
#define PLAIN_DIGITS 15                     /* below 2^53 */
#define DOUBLE_TEXT_MAX 4096                /* longer ones are no numbers */

bool
arg_int(struct req *rq, uint32_t i, int64_t *out)
{
    if (slice_to_i64(rq->argv[i], out))
        return true;
    reply_rc(rq, NQ_ENOTINT);
    return false;
}

bool
arg_int_within(struct req *rq, uint32_t i, int64_t lo, int64_t hi,
               const char *error, int64_t *out)
{
    if (slice_to_i64(rq->argv[i], out) && *out >= lo && *out <= hi)
        return true;
    reply_error(rq, "%s", error);
    return false;
}

/* What is usual: digits with at most one point among them, few enough to be
 * exact both as an integer and as a power of ten; then one division rounds as
 * strtod() would. */
static bool
plain_double(struct slice s, double *out)
{
    static const double tens[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = s.len > 0 && s.p[0] == '-';
    size_t point = s.len, digits = 0;
    uint64_t v = 0;

    if (s.len > PLAIN_DIGITS + 2)
        return false;
    for (size_t i = negative; i < s.len; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';

        if (digit <= 9) {
            v = v * 10 + digit;
            digits++;
        } else if (s.p[i] == '.' && point == s.len) {
            point = i;
        } else {
            return false;
        }
    }
    if (digits == 0 || digits > PLAIN_DIGITS)
        return false;
    *out = (double)v / tens[point < s.len ? s.len - point - 1 : 0];
    *out = negative ? -*out : *out;
    return true;
}

bool
slice_to_double(struct slice s, double *out)
{
    char text[DOUBLE_TEXT_MAX], *end;

    if (plain_double(s, out))
        return true;
    if (s.len == 0 || s.len >= sizeof text || isspace(s.p[0]))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    errno = 0;
    *out = strtod(text, &end);
    return end == text + s.len && !isnan(*out) &&
           !(errno == ERANGE && (isinf(*out) || *out == 0));
}

bool
arg_double(struct req *rq, uint32_t i, const char *error, double *out)
{
    if (slice_to_double(rq->argv[i], out))
        return true;
    if (error != NULL)
        reply_error(rq, "%s", error);
    else
        reply_rc(rq, NQ_ENOTFLOAT);
    return false;
}

bool
arg_scan_cursor(struct req *rq, uint32_t i, uint64_t *out)
{
    struct slice s = rq->argv[i];
    uint64_t v = 0;
    bool is_good = s.len > 0;

    for (size_t at = 0; at < s.len && is_good; at++) {
        unsigned digit = (unsigned)s.p[at] - '0';

        is_good = digit <= 9 && v <= (UINT64_MAX - digit) / 10;
        v = v * 10 + digit;
    }
    *out = v;
    if (!is_good)
        reply_error(rq, "invalid cursor");
    return is_good;
}

bool
arg_scan_count(struct req *rq, uint32_t i, uint64_t *out)
{
    int64_t v;

    if (!arg_int(rq, i, &v))
        return false;
    if (v < 1) {
        reply_syntax(rq);
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

bool
expire_time(int64_t v, enum expire_unit unit, uint64_t base, int64_t *out)
{
    if (__builtin_mul_overflow(v, (int64_t)unit, out) ||
        __builtin_add_overflow(*out, (int64_t)base, out))
        return false;
    *out = nq_min(*out, EXPIRE_MAX);
    return true;
}

bool
arg_expire(struct req *rq, uint32_t i, enum expire_unit unit, bool is_absolute,
           uint64_t *out)
{
    int64_t v, at;

    if (!arg_int(rq, i, &v))
        return false;
    if (v <= 0 ||
        !expire_time(v, unit, is_absolute ? 0 : db_now(rq->db), &at)) {
        reply_error(rq, "invalid expire time in '%s' command", rq->cmd->name);
        return false;
    }
    *out = (uint64_t)at;
    return true;
}

/* The clock after `ms`; false: the error is put. */
static bool
deadline_after(struct req *rq, int64_t ms, uint64_t *deadline_ms)
{
    int64_t now = (int64_t)clock_mono_ms();

    if (ms < 0)
        reply_error(rq, "timeout is negative");
    else if (ms > INT64_MAX - now)
        reply_error(rq, "timeout is out of range");
    else
        *deadline_ms = ms == 0 ? 0 : (uint64_t)(now + ms);
    return ms >= 0 && ms <= INT64_MAX - now;
}

bool
arg_timeout_s(struct req *rq, uint32_t i, uint64_t *deadline_ms)
{
    long double s;

    if (!float_parse(rq->argv[i], &s)) {
        reply_error(rq, "timeout is not a float or out of range");
        return false;
    }
    if (s * 1000 >= (long double)INT64_MAX) {
        reply_error(rq, "timeout is out of range");
        return false;
    }
    return deadline_after(rq, s <= -1 ? -1 : (int64_t)ceill(s * 1000),
                          deadline_ms);
}

bool
arg_timeout_ms(struct req *rq, uint32_t i, uint64_t *deadline_ms)
{
    int64_t ms;

    if (!slice_to_i64(rq->argv[i], &ms)) {
        reply_error(rq, "timeout is not an integer or out of range");
        return false;
    }
    return deadline_after(rq, ms, deadline_ms);
}

static bool
parse_mpop_count(struct req *rq, uint32_t i, struct arg_mpop *out)
{
    out->count = 1;
    if (i == rq->argc)
        return true;
    if (i + 1 == rq->argc || !slice_is(rq->argv[i], "count")) {
        reply_syntax(rq);
        return false;
    }
    if (!arg_int_within(rq, i + 1, 1, INT64_MAX,
                        "count should be greater than 0", &out->count))
        return false;
    if (i + 2 == rq->argc)
        return true;
    reply_syntax(rq);
    return false;
}

bool
arg_mpop(struct req *rq, uint32_t i, const char *first_word,
         const char *second_word, struct arg_mpop *out)
{
    int64_t n;
    uint32_t word;

    if (!arg_int_within(rq, i, 1, INT64_MAX, "numkeys should be greater than 0",
                        &n))
        return false;
    if (n >= (int64_t)rq->argc - i - 1) {
        reply_syntax(rq);
        return false;
    }
    out->first = i + 1;
    out->n = (uint32_t)n;
    word = out->first + out->n;
    out->is_second = slice_is(rq->argv[word], second_word);
    if (!out->is_second && !slice_is(rq->argv[word], first_word)) {
        reply_syntax(rq);
        return false;
    }
    return parse_mpop_count(rq, word + 1, out);
}

bool
arg_is_expire(const struct req *rq, uint32_t i, enum expire_unit *unit,
              bool *is_absolute)
{
    static const struct {
        const char *word;
        enum expire_unit unit;
        bool is_absolute;
    } words[] = {{"EX", UNIT_S, false},
                 {"PX", UNIT_MS, false},
                 {"EXAT", UNIT_S, true},
                 {"PXAT", UNIT_MS, true}};

    for (size_t w = 0; w < nq_countof(words); w++) {
        if (slice_is(rq->argv[i], words[w].word)) {
            *unit = words[w].unit;
            *is_absolute = words[w].is_absolute;
            return true;
        }
    }
    return false;
}
