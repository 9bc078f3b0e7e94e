/* query/tokens.h - the text of a query, cut into tokens.
 *
 * One thread.  Tokens borrow from the text, or from memory that is given. */
#ifndef NQ_QUERY_TOKENS_H
#define NQ_QUERY_TOKENS_H

#include "base/buf.h"
#include "base/slice.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,     /* a path, a number, a keyword or a bare text: as written */
    TOKEN_TEXT,     /* it stood in quotes, or was an argument with blanks */
    TOKEN_OPEN,     /* ( */
    TOKEN_CLOSE,    /* ) */
    TOKEN_COMMA,    /* , */
    TOKEN_EQ,       /* =, == */
    TOKEN_NE,       /* !=, <> */
    TOKEN_LT,       /* < */
    TOKEN_LE,       /* <= */
    TOKEN_GT,       /* > */
    TOKEN_GE,       /* >= */
    TOKEN_UNCLOSED, /* a quote that does not end */
};

struct token {
    enum token_kind kind;
    size_t at;
    struct slice source; /* as written */
    struct slice text;   /* of WORD and TEXT: what it says */
};

/* The arguments joined with one space each; `ends` has the place behind each
 * of them. */
struct tokens {
    struct slice text;
    const uint32_t *ends;
    uint32_t count, arg; /* arguments; the one that `at` is in */
    size_t at;
    uint8_t *memory; /* for texts without escapes: as many bytes as text has */
};

struct token tokens_next(struct tokens *t);

/* What the bytes between two quotes say: \" \' \\ \n \r \t \xHH; before
 * anything else the backslash stays.  `dst` has room for `raw`; the length. */
size_t tokens_unescape(struct slice raw, uint8_t *dst);
/* `s` in double quotes, so that it is read back as it is. */
void tokens_put_quoted(struct slice s, struct buf *out);

#endif
