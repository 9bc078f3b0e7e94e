/* server/toml.c - a reader of the TOML subset that toml.h states.
 *
 * One pass over bytes that came from outside: every look at a byte goes
 * through peek(), which answers 0 behind the end.  The text holds no NUL
 * itself (tested first), so 0 always means the end.
 *
 *   I1  p->at never passes text.len
 *   I2  key and value never grow past their bounds: put() fails instead
 *   I3  after a failure nothing more is reported */
#include "server/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

struct parser {
    struct slice text;
    size_t at;
    unsigned line;
    char key[TOML_MAX_KEY + 1];
    size_t table_len, key_len; /* key: the table's name, then the key's */
    char value[TOML_MAX_VALUE + 1];
    size_t value_len;
    struct toml_error *err;
};

static uint8_t
peek(const struct parser *p)
{
    return p->at < p->text.len ? p->text.p[p->at] : 0;
}

static bool fail(struct parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool
fail(struct parser *p, const char *fmt, ...)
{
    va_list ap;

    p->err->line = p->line;
    va_start(ap, fmt);
    vsnprintf(p->err->text, sizeof p->err->text, fmt, ap);
    va_end(ap);
    return false;
}

static void
skip_blanks(struct parser *p)
{
    while (peek(p) == ' ' || peek(p) == '\t')
        p->at++;
}

static void
skip_comment(struct parser *p)
{
    skip_blanks(p);
    if (peek(p) == '#') {
        while (peek(p) != 0 && peek(p) != '\n')
            p->at++;
    }
}

/* The rest of a line: blanks and a comment. */
static bool
end_line(struct parser *p)
{
    skip_comment(p);
    if (peek(p) == '\r')
        p->at++;
    if (peek(p) == '\n') {
        p->at++;
        p->line++;
        return true;
    }
    return p->at == p->text.len ||
           fail(p, "unexpected '%c' behind the end of the value", peek(p));
}

static bool
put(struct parser *p, uint8_t c)
{
    if (p->value_len >= TOML_MAX_VALUE)
        return fail(p, "value is longer than %d bytes", TOML_MAX_VALUE);
    p->value[p->value_len++] = (char)c;
    return true;
}

static bool
put_rune(struct parser *p, uint32_t rune)
{
    if (rune == 0 || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
        return fail(p, "\\u names no character");
    if (rune < 0x80)
        return put(p, (uint8_t)rune);
    if (rune < 0x800)
        return put(p, (uint8_t)(0xc0 | rune >> 6)) &&
               put(p, (uint8_t)(0x80 | (rune & 0x3f)));
    if (rune < 0x10000)
        return put(p, (uint8_t)(0xe0 | rune >> 12)) &&
               put(p, (uint8_t)(0x80 | (rune >> 6 & 0x3f))) &&
               put(p, (uint8_t)(0x80 | (rune & 0x3f)));
    return put(p, (uint8_t)(0xf0 | rune >> 18)) &&
           put(p, (uint8_t)(0x80 | (rune >> 12 & 0x3f))) &&
           put(p, (uint8_t)(0x80 | (rune >> 6 & 0x3f))) &&
           put(p, (uint8_t)(0x80 | (rune & 0x3f)));
}

static bool
hex_rune(struct parser *p, unsigned digits)
{
    uint32_t rune = 0;

    while (digits-- > 0) {
        uint8_t c = peek(p);
        unsigned v;

        if (c >= '0' && c <= '9')
            v = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = (c | 0x20u) - 'a' + 10;
        else
            return fail(p, "bad digit behind \\u");
        rune = rune << 4 | v;
        p->at++;
    }
    return put_rune(p, rune);
}

static bool
escape(struct parser *p)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    uint8_t c = peek(p);
    const char *found = c == 0 ? NULL : strchr(from, c);

    p->at++;
    if (c == 'u' || c == 'U')
        return hex_rune(p, c == 'u' ? 4 : 8);
    if (found == NULL) {
        p->at--;
        return fail(p, "unknown escape in a string");
    }
    return put(p, (uint8_t)to[found - from]);
}

/* A string in either kind of quotes, decoded behind value_len. */
static bool
string(struct parser *p)
{
    uint8_t quote = peek(p);

    p->at++;
    if (peek(p) == quote && p->at + 1 < p->text.len &&
        p->text.p[p->at + 1] == quote)
        return fail(p, "strings over several lines are not read");
    while (peek(p) != quote) {
        uint8_t c = peek(p);

        if (c == 0 || c == '\n')
            return fail(p, "string does not end on its line");
        p->at++;
        if (c == '\\' && quote == '"') {
            if (!escape(p))
                return false;
        } else if (!put(p, c)) {
            return false;
        }
    }
    p->at++;
    return true;
}

static bool
is_bare(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           c == '_' || c == '-';
}

/* true, false or a number: the characters as they stand, without _. */
static bool
word(struct parser *p)
{
    size_t from = p->value_len;
    char *end;

    while (is_bare(peek(p)) || peek(p) == '+' || peek(p) == '.') {
        uint8_t c = peek(p);

        p->at++;
        if (c != '_' && !put(p, c))
            return false;
    }
    p->value[p->value_len] = '\0';
    if (strcmp(p->value + from, "true") == 0 ||
        strcmp(p->value + from, "false") == 0)
        return true;
    if (p->value_len == from ||
        strspn(p->value + from, "+-.0123456789eE") != p->value_len - from)
        return fail(p,
                    "'%.40s' is no value: strings need quotes, numbers are "
                    "decimal",
                    p->value + from);
    (void)strtod(p->value + from, &end);
    return *end == '\0' || fail(p, "'%.40s' is not a number", p->value + from);
}

static bool
scalar(struct parser *p)
{
    if (peek(p) == '"' || peek(p) == '\'')
        return string(p);
    if (peek(p) == '{')
        return fail(p, "inline tables are not read; use [section] lines");
    if (peek(p) == 0 || peek(p) == '\n')
        return fail(p, "value is missing");
    return word(p);
}

/* Blanks, comments and line ends inside an array. */
static void
skip_lines(struct parser *p)
{
    skip_comment(p);
    while (peek(p) == '\n' || peek(p) == '\r') {
        p->line += peek(p) == '\n';
        p->at++;
        skip_comment(p);
    }
}

static bool
array(struct parser *p)
{
    p->at++;
    skip_lines(p);
    while (peek(p) != ']') {
        if (peek(p) == '[')
            return fail(p, "arrays inside arrays are not read");
        if (p->value_len > 0 && !put(p, ' '))
            return false;
        if (!scalar(p))
            return false;
        skip_lines(p);
        if (peek(p) == ',') {
            p->at++;
            skip_lines(p);
        } else if (peek(p) != ']') {
            return fail(p, "array needs ',' or ']'");
        }
    }
    p->at++;
    return true;
}

static bool
put_key(struct parser *p, uint8_t c)
{
    if (p->key_len >= TOML_MAX_KEY)
        return fail(p, "name is longer than %d bytes", TOML_MAX_KEY);
    p->key[p->key_len++] = (char)c;
    return true;
}

/* One part of a dotted name, bare or quoted, behind key_len. */
static bool
key_part(struct parser *p)
{
    size_t from = p->key_len;

    if (peek(p) == '"' || peek(p) == '\'') {
        p->value_len = 0;
        if (!string(p))
            return false;
        for (size_t i = 0; i < p->value_len; i++) {
            if (!put_key(p, (uint8_t)p->value[i]))
                return false;
        }
        return true;
    }
    for (; is_bare(peek(p)); p->at++) {
        if (!put_key(p, peek(p)))
            return false;
    }
    return p->key_len > from || fail(p, "name is missing");
}

static bool
dotted_key(struct parser *p)
{
    for (;;) {
        if (p->key_len > 0 && !put_key(p, '.'))
            return false;
        skip_blanks(p);
        if (!key_part(p))
            return false;
        skip_blanks(p);
        if (peek(p) != '.')
            break;
        p->at++;
    }
    p->key[p->key_len] = '\0';
    return true;
}

static bool
table(struct parser *p, struct toml_item *item)
{
    item->at = p->at++;
    if (peek(p) == '[')
        return fail(p, "arrays of tables are not read");
    skip_blanks(p);
    p->key_len = 0;
    if (!dotted_key(p))
        return false;
    if (peek(p) != ']')
        return fail(p, "table name needs ']'");
    p->at++;
    item->len = p->at - item->at;
    p->table_len = p->key_len;
    item->value = slice_of(NULL, 0);
    return true;
}

static bool
pair(struct parser *p, struct toml_item *item)
{
    p->key_len = p->table_len;
    if (!dotted_key(p))
        return false;
    if (peek(p) != '=')
        return fail(p, "'=' is missing behind %.80s", p->key);
    p->at++;
    skip_blanks(p);
    item->at = p->at;
    p->value_len = 0;
    if (!(peek(p) == '[' ? array(p) : scalar(p)))
        return false;
    item->len = p->at - item->at;
    item->value = slice_of(p->value, p->value_len);
    return true;
}

nq_rc
toml_parse(struct slice text,
           nq_rc (*fn)(void *arg, const struct toml_item *item), void *arg,
           struct toml_error *err)
{
    struct parser p = {.text = text, .line = 1, .err = err};
    nq_rc rc;

    *err = (struct toml_error){0};
    if (text.len > TOML_MAX_FILE) {
        fail(&p, "file is longer than %d bytes", TOML_MAX_FILE);
        return NQ_EINVAL;
    }
    if (text.len > 0 && memchr(text.p, 0, text.len) != NULL) {
        fail(&p, "file has a zero byte: it is no text");
        return NQ_EINVAL;
    }
    if (slice_has_prefix(text, slice_lit("\xef\xbb\xbf")))
        p.at = 3;
    while (p.at < p.text.len) {
        struct toml_item item = {.key = p.key};

        skip_lines(&p);
        if (p.at == p.text.len)
            break;
        item.line = p.line;
        if (!(peek(&p) == '[' ? table(&p, &item) : pair(&p, &item)) ||
            !end_line(&p))
            return NQ_EINVAL;
        if ((rc = fn(arg, &item)) != NQ_OK)
            return rc;
        nq_assert(p.at <= p.text.len);
    }
    return NQ_OK;
}
