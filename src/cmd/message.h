/* cmd/message.h - one message of a channel, made once for all who get it.
 *
 * Loop thread only.  Counted references: the first is its maker's. */
#ifndef NQ_CMD_MESSAGE_H
#define NQ_CMD_MESSAGE_H

#include "base/slice.h"
#include "store/pgno.h"

struct session;

/* [ '*' or '>', count, \r\n ] [ body ]: only the first four bytes differ
 * between RESP2 and RESP3. */
struct message {
    uint32_t refs;
    char count;      /* '3' or '4' elements */
    bool is_notice;  /* of ours about messages: never dropped itself */
    lsn gate;        /* leaves when the log is settled past it; 0: at once */
    uint64_t number; /* of the publication, rising; 0: a notice */
    uint64_t id;     /* in the history of its channel; 0: in none */
    size_t text_at, text_len; /* what was published, in the body */
    size_t len;               /* of the body */
    uint8_t body[];
};

/* "message" and "smessage" have a channel, "pmessage" a pattern before it. */
struct message *message_new(const char *word, const struct slice *pattern,
                            struct slice channel, struct slice text, lsn gate);
void message_release(struct message *m);
/* Into the session's output; the client is woken, and ended if it has too
 * much output. */
void message_put(struct session *s, struct message *m);

static inline struct slice
message_text(const struct message *m)
{
    return slice_of(m->body + m->text_at, m->text_len);
}

#endif
