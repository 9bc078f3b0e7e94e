/* query/tokens.c - the text of a query, cut into tokens.
 *
 * No token reaches over the end of an argument.  Of several arguments, one
 * with blanks in it was quoted by whoever typed it, and the quotes are gone: it
 * is a text, unless it begins with a quote of its own or is a word all the
 * same, $["any name"].  An empty one is an empty text.
 *
 * A word goes on up to a blank or one of ( ) , = < > " ' or "!=".  In brackets
 * it may have a name in quotes, and behind a leading '$' a name with blanks. */
#include "query/tokens.h"

#include "base/check.h"

static bool
is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_quote(uint8_t c)
{
    return c == '"' || c == '\'';
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at raw.p[*i], the backslash, stands for, and *i
 * behind it; -1: it is none. */
static int
take_escape(struct slice raw, size_t *i)
{
    static const char from[] = "\"'\\nrt", to[] = "\"'\\\n\r\t";
    uint8_t c = *i + 1 < raw.len ? raw.p[*i + 1] : 0;
    const char *found = c == 0 ? NULL : strchr(from, c);
    int high, low;

    if (found != NULL) {
        *i += 2;
        return to[found - from];
    }
    if (c != 'x' || *i + 3 >= raw.len)
        return -1;
    high = hex_digit(raw.p[*i + 2]);
    low = hex_digit(raw.p[*i + 3]);
    if (high < 0 || low < 0)
        return -1;
    *i += 4;
    return high * 16 + low;
}

size_t
tokens_unescape(struct slice raw, uint8_t *dst)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.len;) {
        int c = raw.p[i] == '\\' ? take_escape(raw, &i) : -1;

        dst[n++] = c < 0 ? raw.p[i++] : (uint8_t)c;
    }
    return n;
}

void
tokens_put_quoted(struct slice s, struct buf *out)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 127)
            buf_printf(out, "\\x%02x", c);
        else
            buf_put_u8(out, c);
    }
    buf_put_u8(out, '"');
}

/* Behind the quote that closes the one at `i`; 0: there is none. */
static size_t
find_quote_end(struct slice s, size_t i)
{
    uint8_t quote = s.p[i];

    for (i++; i < s.len; i++) {
        if (s.p[i] == quote)
            return i + 1;
        if (s.p[i] == '\\')
            i++;
    }
    return 0;
}

/* Behind the bracket at `i` of a word, as far as it is a name that may have
 * anything in it; 0: quotes in it do not end. */
static size_t
find_bracket_end(struct slice s, size_t i, bool may_blank)
{
    const uint8_t *close;

    if (i + 1 < s.len && is_quote(s.p[i + 1]))
        return find_quote_end(s, i + 1);
    close = may_blank ? memchr(s.p + i, ']', s.len - i) : NULL;
    return close == NULL ? i + 1 : (size_t)(close - s.p);
}

static bool
ends_word(struct slice s, size_t i)
{
    uint8_t c = s.p[i];

    if (is_blank(c) || (c != 0 && strchr("(),=<>\"'", c) != NULL))
        return true;
    return c == '!' && i + 1 < s.len && s.p[i + 1] == '=';
}

/* Behind the word at `i`; 0: see above. */
static size_t
find_word_end(struct slice s, size_t i)
{
    bool may_blank = s.p[i] == '$';

    while (i < s.len && !ends_word(s, i)) {
        i = s.p[i] == '[' ? find_bracket_end(s, i, may_blank) : i + 1;
        if (i == 0)
            return 0;
    }
    return i;
}

/* The argument that the place is in, and what is left of it. */
static struct slice
rest_of_argument(struct tokens *t)
{
    while (t->arg + 1 < t->count && t->at > t->ends[t->arg])
        t->arg++;
    return slice_of(t->text.p, t->ends[t->arg]);
}

/* Whether an argument that begins at `at` is one text. */
static bool
is_whole_text(const struct tokens *t, struct slice s)
{
    size_t begin = t->arg == 0 ? 0 : t->ends[t->arg - 1] + 1;

    if (t->count < 2 || t->at != begin)
        return false;
    if (s.len == begin)
        return true;
    if (is_quote(s.p[begin]) || find_word_end(s, begin) == s.len)
        return false;
    for (size_t i = begin; i < s.len; i++)
        if (is_blank(s.p[i]))
            return true;
    return false;
}

static struct token
take(struct tokens *t, enum token_kind kind, size_t len)
{
    struct token k = {.kind = kind, .at = t->at};

    k.source = k.text = slice_of(t->text.p + t->at, len);
    t->at += len;
    return k;
}

static struct token
take_quoted(struct tokens *t, struct slice s)
{
    size_t end = find_quote_end(s, t->at);
    struct token k;
    uint8_t *dst = t->memory + t->at;

    if (end == 0)
        return take(t, TOKEN_UNCLOSED, s.len - t->at);
    k = take(t, TOKEN_TEXT, end - t->at);
    k.text = slice_of(k.source.p + 1, k.source.len - 2);
    if (memchr(k.text.p, '\\', k.text.len) != NULL)
        k.text = slice_of(dst, tokens_unescape(k.text, dst));
    return k;
}

static struct token
take_operator(struct tokens *t, struct slice s)
{
    static const struct {
        char text[3];
        enum token_kind kind;
    } table[] = {{"==", TOKEN_EQ},   {"!=", TOKEN_NE},  {"<>", TOKEN_NE},
                 {"<=", TOKEN_LE},   {">=", TOKEN_GE},  {"=", TOKEN_EQ},
                 {"<", TOKEN_LT},    {">", TOKEN_GT},   {"(", TOKEN_OPEN},
                 {")", TOKEN_CLOSE}, {",", TOKEN_COMMA}};
    struct slice rest = slice_of(s.p + t->at, s.len - t->at);

    for (size_t i = 0; i < nq_countof(table); i++)
        if (slice_has_prefix(rest, slice_str(table[i].text)))
            return take(t, table[i].kind, strlen(table[i].text));
    return take(t, TOKEN_END, 0);
}

struct token
tokens_next(struct tokens *t)
{
    struct slice s;
    struct token k;
    size_t end;

    for (;;) {
        s = rest_of_argument(t);
        if (is_whole_text(t, s)) {
            k = take(t, TOKEN_TEXT, s.len - t->at);
            t->at++; /* the space between arguments, even if it is empty */
            return k;
        }
        if (t->at >= t->text.len) {
            t->at = t->text.len;
            return take(t, TOKEN_END, 0);
        }
        if (t->at < s.len && !is_blank(s.p[t->at]))
            break;
        t->at++;
    }
    if (is_quote(s.p[t->at]))
        return take_quoted(t, s);
    k = take_operator(t, s);
    if (k.kind != TOKEN_END)
        return k;
    end = find_word_end(s, t->at);
    if (end == 0)
        return take(t, TOKEN_UNCLOSED, s.len - t->at);
    return take(t, TOKEN_WORD, end - t->at);
}
