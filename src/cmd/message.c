/* cmd/message.c - making messages, and putting them: a short body is copied,
 * a long one shared by reference.
 *
 * I1 A gate of a session's queue never rises behind a later mark
 *    (session->gated). */
#include "cmd/message.h"

#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/session.h"
#include "resp/write.h"

#define SHARE_BYTES 2048 /* a body this long is shared, not copied */
#define HEADER_BYTES 4   /* "*3\r\n" */

struct message *
message_new(const char *word, const struct slice *pattern, struct slice channel,
            struct slice text, lsn gate)
{
    struct slice first = slice_str(word);
    size_t room = first.len + channel.len + text.len +
                  4 * (RESP_HEADER_MAX + 2) +
                  (pattern == NULL ? 0 : pattern->len);
    struct message *m = nq_malloc(sizeof *m + room);

    *m = (struct message){.refs = 1,
                          .count = pattern == NULL ? '3' : '4',
                          .gate = gate,
                          .text_len = text.len};
    m->len = resp_put_bulk(m->body, first);
    if (pattern != NULL)
        m->len += resp_put_bulk(m->body + m->len, *pattern);
    m->len += resp_put_bulk(m->body + m->len, channel);
    m->len += resp_put_bulk(m->body + m->len, text);
    m->text_at = m->len - 2 - text.len;
    nq_assert(m->len <= room);
    return m;
}

void
message_release(struct message *m)
{
    if (--m->refs == 0)
        nq_free(m);
}

static void
on_left(void *arg, size_t n)
{
    nq_unused(n);
    message_release(arg);
}

static void
gate_from(struct session *s, uint64_t mark, lsn gate)
{
    if (gate == 0 || gate < s->engine->settled ||
        (gate <= s->gated && mark != s->out.sent))
        return;
    outq_gate(&s->out, mark, gate);
    s->gated = gate;
}

void
message_put(struct session *s, struct message *m)
{
    uint64_t mark = s->out.put;
    uint8_t *head;

    head = outq_reserve(&s->out, HEADER_BYTES);
    head[0] = s->resp >= 3 ? '>' : '*';
    head[1] = (uint8_t)m->count;
    head[2] = '\r';
    head[3] = '\n';
    outq_commit(&s->out, HEADER_BYTES);
    if (m->len < SHARE_BYTES) {
        outq_put(&s->out, m->body, m->len);
    } else {
        m->refs++;
        outq_ref(&s->out, m->body, m->len, on_left, m);
    }
    gate_from(s, mark, m->gate);
    s->ops->wake(s);
    session_check_output(s);
}
