/* resp/parse.h - requests out of bytes: RESP multibulk and inline.
 *
 * Nothing is copied: arguments point into the input.  The input must hold the
 * bytes of a request from its first one on, in one piece; between calls it
 * may move and grow.  One thread a parser. */
#ifndef NQ_RESP_PARSE_H
#define NQ_RESP_PARSE_H

#include "base/slice.h"

/* Longest inline request and longest line with a length. */
#define RESP_LINE_MAX (64 * 1024)
/* Requests of up to this many arguments are parsed from their start again
 * when they came in parts; longer ones go on where they were. */
#define RESP_SHORT_ARGS 64

enum resp_result {
    RESP_REQUEST, /* one request; argc 0: an empty one, to be skipped */
    RESP_MORE,    /* bytes are missing */
    RESP_BAD      /* not RESP: answer `error` and close */
};

struct resp_limits {
    uint64_t max_bulk;     /* longest argument, in bytes */
    bool is_authenticated; /* false: 10 arguments, 16 KiB each */
};

struct resp_progress;

/* Zero at the start of a connection. */
struct resp_parser {
    struct resp_progress *progress; /* NULL unless a long request is under way
                                       or was given out last */
};

struct resp_request {
    struct slice *argv;
    uint32_t argc;
    size_t len;     /* RESP_REQUEST: bytes of the input it took */
    size_t want;    /* RESP_MORE: length of the request is at least this */
    char error[64]; /* RESP_BAD: "Protocol error: ..." */
};

/* Parses the request at the start of `in`.  Short ones get their arguments
 * in `room` (RESP_SHORT_ARGS slices), others in memory of the parser, which
 * lives until the next call or resp_forget(). */
enum resp_result resp_parse(struct resp_parser *p, struct slice in,
                            const struct resp_limits *limits,
                            struct slice *room, struct resp_request *out);

/* Whether the request given out last lives in memory of the parser. */
static inline bool
resp_holds(const struct resp_parser *p)
{
    return p->progress != NULL;
}

/* Back to the start of a request; frees what the parser holds. */
void resp_forget(struct resp_parser *p);

#endif
