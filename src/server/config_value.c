/* server/config_value.c - one setting's text to its value and back.
 *
 *   kind     accepted                              printed
 *   int      decimal; auto where that is default   decimal
 *   size     number [b k kb m mb g gb t tb]        512mb | bytes (Redis' name)
 *   time     number [us ms s m h d]                5m    | bare (Redis' name)
 *   bool     yes no true false                     yes no
 *   enum     our word or Redis'                    the one of the name asked
 *   ratio    decimal fraction                      shortest
 *   octal    octal digits                          octal
 *   text     any bytes but NUL and line ends       as it is
 *
 * kb is 1024 and k is 1000, as in Redis.  Sizes are kept in bytes and times
 * in microseconds. */
#include "server/config_int.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct suffix {
    const char *name;
    int64_t factor;
};

/* Printed forms are taken from the back: the greatest that divides. */
static const struct suffix sizes[] = {
    {"b", 1},
    {"kb", 1024},
    {"mb", 1024 * 1024},
    {"gb", 1024LL * 1024 * 1024},
    {"tb", 1024LL * 1024 * 1024 * 1024},
    {"k", 1000},
    {"m", 1000 * 1000},
    {"g", 1000LL * 1000 * 1000},
    {"t", 1000LL * 1000 * 1000 * 1000},
};
#define SIZES_PRINTED 5

static const struct suffix times[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000 * 1000},
    {"m", 60LL * 1000 * 1000},
    {"h", 3600LL * 1000 * 1000},
    {"d", 24LL * 3600 * 1000 * 1000},
};

static const int64_t unit_factor[] = {
    [UNIT_1] = 1,     [UNIT_MB] = 1024 * 1024, [UNIT_US] = 1,
    [UNIT_MS] = 1000, [UNIT_S] = 1000 * 1000,
};

static const char *const unit_name[] = {
    [UNIT_1] = "bytes",         [UNIT_MB] = "megabytes",
    [UNIT_US] = "microseconds", [UNIT_MS] = "milliseconds",
    [UNIT_S] = "seconds",
};

static bool fail(char err[CONFIG_ERR], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool
fail(char err[CONFIG_ERR], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err, CONFIG_ERR, fmt, ap);
    va_end(ap);
    return false;
}

/* A number with a suffix of `table`, or bare in `unit`; what is negative has
 * no unit. */
static bool
parse_measure(struct slice text, const struct suffix *table, size_t n,
              int64_t unit, int64_t *out)
{
    struct slice digits = text, tail;
    int64_t v, factor = unit;

    digits.len = 0;
    while (digits.len < text.len &&
           (text.p[digits.len] == '-' ||
            (text.p[digits.len] >= '0' && text.p[digits.len] <= '9')))
        digits.len++;
    if (!slice_to_i64(digits, &v))
        return false;
    tail = slice_of(text.p + digits.len, text.len - digits.len);
    while (tail.len > 0 && tail.p[0] == ' ')
        tail = slice_of(tail.p + 1, tail.len - 1);
    if (tail.len > 0) {
        factor = 0;
        for (size_t i = 0; i < n; i++) {
            if (slice_is(tail, table[i].name))
                factor = table[i].factor;
        }
        if (factor == 0)
            return false;
    }
    if (v > 0 && v > INT64_MAX / factor)
        return false;
    *out = v < 0 ? v : v * factor;
    return true;
}

bool
config_size_text(struct slice text, int64_t unit, int64_t *out)
{
    return parse_measure(text, sizes, nq_countof(sizes), unit, out) &&
           *out >= 0;
}

static bool
parse_bool(struct slice text, int64_t *out)
{
    *out = slice_is(text, "yes") || slice_is(text, "true");
    return *out || slice_is(text, "no") || slice_is(text, "false");
}

/* The `i`th choice: our word and Redis' word; false behind the last. */
static bool
choice_at(const char *choices, unsigned i, struct slice *ours,
          struct slice *theirs)
{
    const char *p = choices, *end, *colon;

    while (i-- > 0) {
        p = strchr(p, '|');
        if (p == NULL)
            return false;
        p++;
    }
    end = strchr(p, '|');
    if (end == NULL)
        end = p + strlen(p);
    colon = memchr(p, ':', (size_t)(end - p));
    *ours = slice_of(p, (size_t)((colon != NULL ? colon : end) - p));
    *theirs =
        colon == NULL ? *ours : slice_of(colon + 1, (size_t)(end - colon - 1));
    return true;
}

static bool
slice_is_slice(struct slice a, struct slice word)
{
    char copy[64];

    if (word.len >= sizeof copy)
        return false;
    memcpy(copy, word.p, word.len);
    copy[word.len] = '\0';
    return slice_is(a, copy);
}

static bool
refuse_choice(const struct config_row *row, bool is_alias, char err[CONFIG_ERR])
{
    struct slice ours, theirs;
    struct buf list = BUF_INIT;

    for (unsigned i = 0; choice_at(row->choices, i, &ours, &theirs); i++) {
        buf_put_str(&list, i == 0 ? "" : ", ");
        buf_put_slice(&list, is_alias ? theirs : ours);
    }
    fail(err, "argument(s) must be one of the following: %.*s", (int)list.len,
         (const char *)list.p);
    buf_fini(&list);
    return false;
}

static bool
parse_enum(const struct config_row *row, bool is_alias, struct slice text,
           int64_t *out, char err[CONFIG_ERR])
{
    struct slice ours, theirs;

    for (unsigned i = 0; choice_at(row->choices, i, &ours, &theirs); i++) {
        if (slice_is_slice(text, ours) || slice_is_slice(text, theirs)) {
            *out = i;
            return true;
        }
    }
    return refuse_choice(row, is_alias, err);
}

static bool
parse_real(const struct config_row *row, struct slice text, double *out,
           char err[CONFIG_ERR])
{
    char copy[64], *end = copy;

    if (text.len > 0 && text.len < sizeof copy) {
        memcpy(copy, text.p, text.len);
        copy[text.len] = '\0';
        *out = strtod(copy, &end);
    }
    if (end == copy || *end != '\0' || !isfinite(*out))
        return fail(err, "argument couldn't be parsed into a number");
    if (*out < row->real_min || *out > row->real_max)
        return fail(err, "argument must be between %g and %g inclusive",
                    row->real_min, row->real_max);
    return true;
}

static bool
parse_octal(const struct config_row *row, struct slice text, int64_t *out,
            char err[CONFIG_ERR])
{
    int64_t v = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '7' || v > row->max)
            return fail(err, "argument couldn't be parsed as an octal number");
        v = v * 8 + (text.p[i] - '0');
    }
    if (text.len == 0 || v > row->max)
        return fail(err, "argument must be between 0 and %llo inclusive",
                    (unsigned long long)row->max);
    *out = v;
    return true;
}

static bool
parse_text(const struct config_row *row, struct slice text,
           struct config_value *out, char err[CONFIG_ERR])
{
    struct buf canonical = BUF_INIT;

    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\0' || text.p[i] == '\n' || text.p[i] == '\r')
            return fail(err, "argument must be one line");
    }
    if (row->check != NULL && !row->check(text, &canonical, err)) {
        buf_fini(&canonical);
        return false;
    }
    if (canonical.len > 0)
        text = buf_slice(&canonical);
    out->s = nq_malloc(text.len + 1);
    if (text.len > 0)
        memcpy(out->s, text.p, text.len);
    out->s[text.len] = '\0';
    buf_fini(&canonical);
    if (row->kind == KIND_REFUSE && strcmp(out->s, row->def) != 0) {
        nq_free(out->s);
        out->s = NULL;
        return fail(err, "%s", row->doc);
    }
    return true;
}

static bool
parse_whole(const struct config_row *row, bool is_alias, struct slice text,
            int64_t *out, char err[CONFIG_ERR])
{
    enum config_unit unit = is_alias ? row->alias_unit : row->unit;

    if (slice_is(text, "auto") && strcmp(row->def, "auto") == 0) {
        *out = 0;
        return true;
    }
    if (row->type == TYPE_INT) {
        if (!slice_to_i64(text, out))
            return fail(err, "argument couldn't be parsed into an integer");
    } else if (row->type == TYPE_SIZE) {
        if (!config_size_text(text, unit_factor[unit], out))
            return fail(err, "argument must be a memory value%s%s",
                        is_alias ? "" : ", such as 512mb; bare numbers are ",
                        is_alias ? "" : unit_name[unit]);
    } else if (!parse_measure(text, times, nq_countof(times), unit_factor[unit],
                              out)) {
        if (is_alias)
            return fail(err, "argument couldn't be parsed into an integer");
        return fail(err,
                    "argument must be a time, such as 500ms or 5m; bare "
                    "numbers are %s",
                    unit_name[unit]);
    }
    if (*out < row->min || *out > row->max) {
        int64_t f = *out < 0 || row->type == TYPE_INT ? 1 : unit_factor[unit];

        return fail(err, "argument must be between %lld and %lld inclusive",
                    (long long)(row->min < 0 ? row->min : row->min / f),
                    (long long)(row->max / f));
    }
    return true;
}

bool
config_parse(const struct config_row *row, bool is_alias, struct slice text,
             struct config_value *out, char err[CONFIG_ERR])
{
    *out = (struct config_value){0};
    switch (row->type) {
    case TYPE_INT:
    case TYPE_SIZE:
    case TYPE_TIME:
        return parse_whole(row, is_alias, text, &out->i, err);
    case TYPE_BOOL:
        return parse_bool(text, &out->i) ||
               fail(err, "argument must be 'yes' or 'no'");
    case TYPE_ENUM:
        return parse_enum(row, is_alias, text, &out->i, err);
    case TYPE_RATIO:
        return parse_real(row, text, &out->d, err);
    case TYPE_OCTAL:
        return parse_octal(row, text, &out->i, err);
    case TYPE_TEXT:
    case TYPE_LIST:
    case TYPE_SECRET:
        break;
    }
    return parse_text(row, text, out, err);
}

/* The greatest suffix that divides `v`, so that nothing is rounded. */
static void
format_measure(const struct suffix *table, size_t n, int64_t v, struct buf *out)
{
    size_t best = 0;

    if (v <= 0) {
        buf_printf(out, "%lld", (long long)v);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (v % table[i].factor == 0)
            best = i;
    }
    buf_printf(out, "%lld%s", (long long)(v / table[best].factor),
               table[best].name);
}

void
config_format(const struct config_row *row, bool is_alias,
              const struct config_value *v, struct buf *out)
{
    struct slice ours, theirs;
    int64_t factor = unit_factor[is_alias ? row->alias_unit : row->unit];

    switch (row->type) {
    case TYPE_INT:
        if (v->i == 0 && !is_alias && strcmp(row->def, "auto") == 0)
            buf_put_str(out, "auto");
        else
            buf_printf(out, "%lld", (long long)v->i);
        break;
    case TYPE_SIZE:
    case TYPE_TIME:
        if (is_alias)
            buf_printf(out, "%lld",
                       (long long)(v->i < 0 ? v->i : v->i / factor));
        else if (v->i == 0 && strcmp(row->def, "auto") == 0)
            buf_put_str(out, "auto");
        else if (row->type == TYPE_SIZE)
            format_measure(sizes, SIZES_PRINTED, v->i, out);
        else
            format_measure(times, nq_countof(times), v->i, out);
        break;
    case TYPE_BOOL:
        buf_put_str(out, v->i ? "yes" : "no");
        break;
    case TYPE_ENUM:
        if (choice_at(row->choices, (unsigned)v->i, &ours, &theirs))
            buf_put_slice(out, is_alias ? theirs : ours);
        break;
    case TYPE_RATIO:
        buf_printf(out, "%.10g", v->d);
        break;
    case TYPE_OCTAL:
        buf_printf(out, "%llo", (unsigned long long)v->i);
        break;
    case TYPE_TEXT:
    case TYPE_LIST:
    case TYPE_SECRET:
        buf_put_str(out, v->s);
        break;
    }
}

static void
put_quoted(struct slice s, struct buf *out)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\u%04x", c);
        else
            buf_put_u8(out, c);
    }
    buf_put_u8(out, '"');
}

void
config_format_toml(const struct config_row *row, const struct config_value *v,
                   struct buf *out)
{
    struct buf text = BUF_INIT;
    struct slice left, word;
    bool first = true;
    int64_t number;

    config_format(row, false, v, &text);
    left = buf_slice(&text);
    if (row->type == TYPE_BOOL) {
        buf_put_str(out, v->i ? "true" : "false");
    } else if (row->type == TYPE_RATIO || slice_to_i64(left, &number)) {
        buf_put_slice(out, left);
    } else if (row->type == TYPE_LIST) {
        buf_put_str(out, "[");
        while ((word = config_word(&left)).len > 0) {
            buf_put_str(out, first ? "" : ", ");
            put_quoted(word, out);
            first = false;
        }
        buf_put_str(out, "]");
    } else {
        put_quoted(left, out);
    }
    buf_fini(&text);
}
