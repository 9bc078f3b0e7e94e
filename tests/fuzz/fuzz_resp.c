/* Any bytes, parsed at once and in parts: no crash, the same requests and
 * the same error, every argument within the input. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "resp/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(x)                                                              \
    do {                                                                       \
        if (!(x)) {                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);  \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* What the parser said, as bytes that can be compared. */
static void
note(struct buf *log, enum resp_result r, const struct resp_request *rq)
{
    buf_put_u8(log, (uint8_t)r);
    if (r == RESP_BAD)
        buf_put_str(log, rq->error);
    if (r != RESP_REQUEST)
        return;
    buf_put_varint(log, rq->len);
    buf_put_varint(log, rq->argc);
    for (uint32_t i = 0; i < rq->argc; i++) {
        buf_put_varint(log, rq->argv[i].len);
        buf_put_slice(log, rq->argv[i]);
    }
}

/* Parses all of [data, data+size), given in steps of `step` bytes, each time
 * in memory of its own. */
static void
parse_all(struct buf *log, const uint8_t *data, size_t size, size_t step,
          const struct resp_limits *limits)
{
    struct resp_parser p = {0};
    struct slice room[RESP_SHORT_ARGS];
    size_t at = 0, have = 0;
    enum resp_result r = RESP_MORE;

    while (r != RESP_BAD && have < size) {
        have = step < size - have ? have + step : size;
        do {
            struct resp_request rq;
            uint8_t *copy = nq_memdup(data + at, have - at);

            r = resp_parse(&p, slice_of(copy, have - at), limits, room, &rq);
            if (r != RESP_MORE)
                note(log, r, &rq);
            else
                EXPECT(rq.want > have - at);
            if (r == RESP_REQUEST)
                at += rq.len;
            EXPECT(at <= have);
            nq_free(copy);
        } while (r == RESP_REQUEST && at < have);
    }
    resp_forget(&p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resp_limits limits = {1 << 20, true};
    struct buf whole = BUF_INIT, parts = BUF_INIT;

    if (size < 2 || size > 1 << 16)
        return 0;
    limits.is_authenticated = (data[0] & 1) != 0;
    parse_all(&whole, data + 2, size - 2, size, &limits);
    parse_all(&parts, data + 2, size - 2, 1u + data[1] % 64u, &limits);
    EXPECT(slice_eq(buf_slice(&whole), buf_slice(&parts)));
    buf_fini(&whole);
    buf_fini(&parts);
    return 0;
}
