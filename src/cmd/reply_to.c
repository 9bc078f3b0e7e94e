/* cmd/reply_to.c - messages to a session from outside of its commands:
 * pub/sub.  Nothing here runs in a request; the session is woken so that the
 * connection writes. */
#include "cmd/reply.h"

#include "cmd/session.h"
#include "resp/write.h"

#define SMALL 1024

static void
put_header(struct session *s, char type, uint64_t n)
{
    outq_commit(&s->out, resp_put_header(outq_reserve(&s->out, RESP_HEADER_MAX),
                                         type, n));
}

static void
woken(struct session *s)
{
    s->ops->wake(s);
    session_check_output(s);
}

void
reply_to_array(struct session *s, uint64_t n, bool push)
{
    put_header(s, push && s->resp >= 3 ? '>' : '*', n);
    woken(s);
}

void
reply_to_bulk(struct session *s, struct slice v)
{
    if (v.len <= SMALL - RESP_HEADER_MAX - 2) {
        uint8_t *at = outq_reserve(&s->out, RESP_HEADER_MAX + v.len + 2);

        outq_commit(&s->out, resp_put_bulk(at, v));
    } else {
        put_header(s, '$', v.len);
        outq_put(&s->out, v.p, v.len);
        outq_put(&s->out, "\r\n", 2);
    }
    woken(s);
}

void
reply_to_int(struct session *s, int64_t v)
{
    outq_commit(&s->out,
                resp_put_int(outq_reserve(&s->out, RESP_HEADER_MAX), v));
    woken(s);
}

void
reply_to_null(struct session *s)
{
    outq_commit(&s->out,
                resp_put_null(outq_reserve(&s->out, RESP_HEADER_MAX), s->resp));
    woken(s);
}
