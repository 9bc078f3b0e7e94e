/* resp/parse.c - the request parser.
 *
 *   multibulk   *<count>\r\n, then count times $<length>\r\n<bytes>\r\n
 *   inline      words up to \n, separated by blanks; "..." with \n \r \t \b
 *               \a \xHH and \<any>, '...' with \' only, a closing quote must
 *               be followed by a blank or the end
 *
 * What clients rely on is as in Redis: numbers are canonical decimals; the
 * two bytes behind a number's \r and behind an argument are skipped, not
 * looked at; counts of zero and below, and empty lines, are no request.
 *
 * I1 A request of at most RESP_SHORT_ARGS arguments has no state between
 *    calls: its few headers are read again, its bytes are skipped by length.
 * I2 A longer one keeps its place in struct resp_progress: each byte is
 *    looked at once.  Until it is whole, argv[i].p holds an offset in the
 *    input instead of an address, so that the input may move.
 * I3 Memory is in proportion to bytes that arrived, never to announced ones.
 *
 * Called by net/conn. */
#include "resp/parse.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

#define UNAUTHENTICATED_ARGS 10
#define UNAUTHENTICATED_BULK 16384

struct resp_progress {
    size_t pos;    /* bytes of the request understood */
    uint32_t argc; /* announced */
    uint32_t done; /* arguments in argv */
    uint32_t cap;  /* of argv */
    bool is_whole; /* was given out; argv holds addresses */
    struct slice *argv;
    uint8_t *text; /* arguments of an inline request, unquoted; or NULL */
};

void
resp_forget(struct resp_parser *p)
{
    if (p->progress == NULL)
        return;
    nq_free(p->progress->argv);
    nq_free(p->progress->text);
    nq_free(p->progress);
    p->progress = NULL;
}

static enum resp_result
bad(struct resp_request *out, const char *what)
{
    snprintf(out->error, sizeof out->error, "Protocol error: %s", what);
    return RESP_BAD;
}

static struct resp_progress *
progress_of(struct resp_parser *p)
{
    if (p->progress == NULL)
        p->progress = nq_calloc(1, sizeof *p->progress);
    return p->progress;
}

static void
progress_push(struct resp_progress *g, const void *p, size_t len)
{
    if (g->done == g->cap) {
        g->cap = g->cap == 0 ? 2 * RESP_SHORT_ARGS : 2 * g->cap;
        g->argv = nq_realloc(g->argv, g->cap * sizeof *g->argv);
    }
    g->argv[g->done++] = slice_of(p, len);
}

/* --- lines with a number ---------------------------------------------------
 */

enum number { NUMBER_OK, NUMBER_MORE, NUMBER_LONG, NUMBER_BAD };

static enum number
take_long_number(const uint8_t **at, const uint8_t *end, int64_t *v)
{
    size_t left = (size_t)(end - *at);
    size_t look = nq_min(left, (size_t)RESP_LINE_MAX);
    const uint8_t *cr = look == 0 ? NULL : memchr(*at, '\r', look);

    if (cr == NULL)
        return left >= RESP_LINE_MAX ? NUMBER_LONG : NUMBER_MORE;
    if (end - cr < 2)
        return NUMBER_MORE;
    if (!slice_to_i64(slice_of(*at, (size_t)(cr - *at)), v))
        return NUMBER_BAD;
    *at = cr + 2;
    return NUMBER_OK;
}

/* A number and what ends its line.  One to three digits are nearly all. */
static inline enum number
take_number(const uint8_t **at, const uint8_t *end, int64_t *v)
{
    const uint8_t *p = *at;
    unsigned a, b, c;

    if (nq_unlikely(end - p < 5))
        return take_long_number(at, end, v);
    a = (unsigned)p[0] - '0';
    if (p[1] == '\r' && a <= 9) {
        *v = a;
        *at = p + 3;
        return NUMBER_OK;
    }
    b = (unsigned)p[1] - '0';
    if (a - 1 > 8 || b > 9)
        return take_long_number(at, end, v);
    if (p[2] == '\r') {
        *v = a * 10 + b;
        *at = p + 4;
        return NUMBER_OK;
    }
    c = (unsigned)p[2] - '0';
    if (c > 9 || p[3] != '\r')
        return take_long_number(at, end, v);
    *v = a * 100 + b * 10 + c;
    *at = p + 5;
    return NUMBER_OK;
}

/* --- multibulk -------------------------------------------------------------
 */

/* The argument at *at.  RESP_MORE: *want is how many bytes behind *at it
 * needs at least. */
static inline enum resp_result
take_bulk(const uint8_t **at, const uint8_t *end,
          const struct resp_limits *limits, struct slice *arg, size_t *want,
          struct resp_request *out)
{
    const uint8_t *p = *at;
    int64_t len;
    enum number n;

    if (nq_unlikely(p == end)) {
        *want = 1;
        return RESP_MORE;
    }
    if (nq_unlikely(*p != '$')) {
        snprintf(out->error, sizeof out->error,
                 "Protocol error: expected '$', got '%c'", *p);
        return RESP_BAD;
    }
    p++;
    n = take_number(&p, end, &len);
    if (nq_unlikely(n != NUMBER_OK)) {
        *want = (size_t)(end - *at) + 1;
        if (n == NUMBER_MORE)
            return RESP_MORE;
        return bad(out, n == NUMBER_LONG ? "too big bulk count string"
                                         : "invalid bulk length");
    }
    if (nq_unlikely(len < 0 || (uint64_t)len > limits->max_bulk))
        return bad(out, "invalid bulk length");
    if (nq_unlikely(len > UNAUTHENTICATED_BULK && !limits->is_authenticated))
        return bad(out, "unauthenticated bulk length");
    if (nq_unlikely((size_t)(end - p) < (size_t)len + 2)) {
        *want = (size_t)(p - *at) + (size_t)len + 2;
        return RESP_MORE;
    }
    *arg = slice_of(p, (size_t)len);
    *at = p + len + 2;
    return RESP_REQUEST;
}

static enum resp_result
parse_short(struct slice in, const uint8_t *at, uint32_t argc,
            const struct resp_limits *limits, struct slice *room,
            struct resp_request *out)
{
    const uint8_t *end = in.p + in.len;
    size_t want = 0;

    for (uint32_t i = 0; i < argc; i++) {
        enum resp_result r = take_bulk(&at, end, limits, &room[i], &want, out);

        if (nq_unlikely(r != RESP_REQUEST)) {
            out->want = (size_t)(at - in.p) + want;
            return r;
        }
    }
    out->argv = room;
    out->argc = argc;
    out->len = (size_t)(at - in.p);
    return RESP_REQUEST;
}

/* Goes on with a request that has struct resp_progress (I2). */
static enum resp_result
parse_long(struct resp_progress *g, struct slice in,
           const struct resp_limits *limits, struct resp_request *out)
{
    const uint8_t *at = in.p + g->pos, *end = in.p + in.len;
    struct slice arg = {NULL, 0};
    size_t want = 0;

    while (g->done < g->argc) {
        enum resp_result r = take_bulk(&at, end, limits, &arg, &want, out);

        if (r != RESP_REQUEST) {
            out->want = g->pos + want;
            return r;
        }
        progress_push(g, (const void *)(uintptr_t)(arg.p - in.p), arg.len);
        g->pos = (size_t)(at - in.p);
    }
    for (uint32_t i = 0; i < g->argc; i++)
        g->argv[i].p = in.p + (uintptr_t)g->argv[i].p;
    g->is_whole = true;
    out->argv = g->argv;
    out->argc = g->argc;
    out->len = g->pos;
    return RESP_REQUEST;
}

static enum resp_result
parse_multibulk(struct resp_parser *p, struct slice in,
                const struct resp_limits *limits, struct slice *room,
                struct resp_request *out)
{
    const uint8_t *at = in.p + 1, *end = in.p + in.len;
    struct resp_progress *g;
    int64_t argc;
    enum number n = take_number(&at, end, &argc);

    if (nq_unlikely(n == NUMBER_MORE)) {
        out->want = in.len + 1;
        return RESP_MORE;
    }
    if (nq_unlikely(n == NUMBER_LONG))
        return bad(out, "too big mbulk count string");
    if (nq_unlikely(n == NUMBER_BAD || argc > INT_MAX))
        return bad(out, "invalid multibulk length");
    if (nq_unlikely(argc > UNAUTHENTICATED_ARGS && !limits->is_authenticated))
        return bad(out, "unauthenticated multibulk length");
    if (nq_unlikely(argc <= 0)) {
        out->argv = room;
        out->argc = 0;
        out->len = (size_t)(at - in.p);
        return RESP_REQUEST;
    }
    if (nq_likely(argc <= RESP_SHORT_ARGS))
        return parse_short(in, at, (uint32_t)argc, limits, room, out);
    g = progress_of(p);
    g->argc = (uint32_t)argc;
    g->pos = (size_t)(at - in.p);
    return parse_long(g, in, limits, out);
}

/* --- inline ----------------------------------------------------------------
 */

/* Where the words of an inline request go: into `room`, and from there into
 * memory of the parser when they become too many. */
struct words {
    struct resp_parser *parser;
    struct slice *room;
    uint32_t n;
};

static void
words_push(struct words *w, const uint8_t *p, size_t len)
{
    struct resp_progress *g = w->parser->progress;

    if (w->n < RESP_SHORT_ARGS) {
        w->room[w->n++] = slice_of(p, len);
        return;
    }
    if (w->n == RESP_SHORT_ARGS) {
        g = progress_of(w->parser);
        for (uint32_t i = 0; i < w->n; i++)
            progress_push(g, w->room[i].p, w->room[i].len);
    }
    progress_push(g, p, len);
    w->n++;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int
hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape behind a backslash stands for. */
static uint8_t
unescape(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;

    if (*p == 'x' && end - p >= 3 && hex_value(p[1]) >= 0 &&
        hex_value(p[2]) >= 0) {
        *at = p + 3;
        return (uint8_t)(hex_value(p[1]) * 16 + hex_value(p[2]));
    }
    *at = p + 1;
    switch (*p) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return *p;
    }
}

/* The quoted part that opens at *at, to *dst; false if it is not closed as it
 * should be. */
static bool
take_quoted(const uint8_t **at, const uint8_t *end, uint8_t **dst)
{
    const uint8_t *p = *at;
    uint8_t quote = *p++;

    while (p < end && *p != quote) {
        if (*p == '\\' && quote == '"' && p + 1 < end) {
            p++;
            *(*dst)++ = unescape(&p, end);
        } else if (*p == '\\' && quote == '\'' && p + 1 < end && p[1] == '\'') {
            *(*dst)++ = '\'';
            p += 2;
        } else {
            *(*dst)++ = *p++;
        }
    }
    if (p == end || (p + 1 < end && !isspace(p[1])))
        return false;
    *at = p + 1;
    return true;
}

/* A word with a quote in it, unquoted into *dst. */
static bool
take_quoted_word(const uint8_t **at, const uint8_t *end, uint8_t **dst)
{
    const uint8_t *p = *at;

    while (p < end && !is_blank(*p)) {
        if (*p != '"' && *p != '\'') {
            *(*dst)++ = *p++;
            continue;
        }
        if (!take_quoted(&p, end, dst))
            return false;
        break;
    }
    *at = p;
    return true;
}

/* Splits the line [p, end); false if a quote is not closed. */
static bool
split_line(struct words *w, const uint8_t *p, const uint8_t *end)
{
    uint8_t *dst = NULL;

    for (;;) {
        const uint8_t *start;

        while (p < end && isspace(*p))
            p++;
        if (p == end)
            return true;
        start = p;
        while (p < end && !is_blank(*p) && *p != '"' && *p != '\'')
            p++;
        if (p == end || is_blank(*p)) {
            words_push(w, start, (size_t)(p - start));
            continue;
        }
        if (dst == NULL) /* what is unquoted is never longer than the rest */
            dst = progress_of(w->parser)->text =
                nq_malloc((size_t)(end - start));
        p = start;
        start = dst;
        if (!take_quoted_word(&p, end, &dst))
            return false;
        words_push(w, start, (size_t)(dst - start));
    }
}

static enum resp_result
parse_inline(struct resp_parser *p, struct slice in, struct slice *room,
             struct resp_request *out)
{
    size_t look = nq_min(in.len, (size_t)RESP_LINE_MAX);
    const uint8_t *nl = memchr(in.p, '\n', look), *end, *nul;
    struct words w = {p, room, 0};

    if (nl == NULL && in.len >= RESP_LINE_MAX)
        return bad(out, "too big inline request");
    if (nl == NULL) {
        out->want = in.len + 1;
        return RESP_MORE;
    }
    end = nl > in.p && nl[-1] == '\r' ? nl - 1 : nl;
    nul = end == in.p ? NULL : memchr(in.p, '\0', (size_t)(end - in.p));
    if (nul != NULL) /* as in Redis, whose lines are C strings */
        end = nul;
    if (!split_line(&w, in.p, end)) {
        resp_forget(p);
        return bad(out, "unbalanced quotes in request");
    }
    if (p->progress != NULL)
        p->progress->is_whole = true;
    out->argv = w.n > RESP_SHORT_ARGS ? p->progress->argv : room;
    out->argc = w.n;
    out->len = (size_t)(nl + 1 - in.p);
    return RESP_REQUEST;
}

enum resp_result
resp_parse(struct resp_parser *p, struct slice in,
           const struct resp_limits *limits, struct slice *room,
           struct resp_request *out)
{
    if (nq_unlikely(p->progress != NULL)) {
        if (!p->progress->is_whole) {
            nq_assert(in.len >= p->progress->pos);
            return parse_long(p->progress, in, limits, out);
        }
        resp_forget(p);
    }
    if (nq_unlikely(in.len == 0)) {
        out->want = 1;
        return RESP_MORE;
    }
    if (nq_likely(in.p[0] == '*'))
        return parse_multibulk(p, in, limits, room, out);
    return parse_inline(p, in, room, out);
}
