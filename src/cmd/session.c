/* cmd/session.c - the life of a session and its limits on output.
 *
 * Called by net/conn (open, close) and by everybody who ends a client. */
#include "cmd/session.h"

#include "base/mem.h"
#include "cmd/cursors.h"
#include "cmd/engine.h"
#include "cmd/feeds.h"
#include "cmd/multi.h"
#include "cmd/park.h"
#include "cmd/push.h"
#include "cmd/wait_key.h"
#include "os/clock.h"

void
session_open(struct engine *e, struct session *s)
{
    s->magic = SESSION_MAGIC;
    s->engine = e;
    s->out = OUTQ_INIT;
    list_init(&s->room);
    list_init(&s->cursors);
    s->id = e->next_session_id++;
    s->resp = 2;
    if (e->limits.requirepass == NULL)
        s->flags |= SESSION_AUTHENTICATED; /* and stays it, as in Redis */
    s->created_ms = s->active_ms = clock_wall_ms();
    list_push_back(&e->sessions, &s->link);
    e->session_count++;
}

void
session_close(struct session *s)
{
    nq_assert(s->magic == SESSION_MAGIC && !s->engine->is_dispatching);
    wait_drop(s);
    park_done(s);
    multi_discard(s);
    if (s->engine->drop_subs != NULL)
        s->engine->drop_subs(s);
    feeds_drop(s);
    push_drop(s);
    cursors_drop(s);
    nq_assert(list_empty(&s->room) && pressure_state_of(s) == PRESSURE_NORMAL);
    outq_fini(&s->out);
    nq_free(s->name);
    nq_free(s->lib_name);
    nq_free(s->lib_ver);
    list_remove(&s->link);
    s->engine->session_count--;
    s->magic = 0;
}

enum session_class
session_class(const struct session *s)
{
    return s->subs != NULL || push_is_client(s) ? CLASS_PUBSUB : CLASS_NORMAL;
}

bool
session_is_authenticated(const struct session *s)
{
    return s->engine->limits.requirepass == NULL ||
           s->flags & (SESSION_AUTHENTICATED | SESSION_INTERNAL);
}

void
session_end(struct session *s, bool after_reply)
{
    s->flags |= after_reply ? SESSION_CLOSE_AFTER_REPLY : SESSION_CLOSE_ASAP;
    s->ops->close(s);
}

void
session_check_output(struct session *s)
{
    uint64_t hard = s->engine->limits.output[session_class(s)].hard;

    if (nq_likely(hard == 0 || s->out.bytes <= hard) ||
        s->flags & SESSION_CLOSE_ASAP)
        return;
    s->engine->stats.output_limit_closes++;
    session_end(s, false);
}

void
session_lost(struct session *s)
{
    if (wait_is_waiting(s))
        wait_drop(s);
    if (park_ends_with_client(s))
        session_end(s, false);
}

struct session *
session_by_id(struct engine *e, uint64_t id)
{
    list_each(it, &e->sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (s->id == id)
            return s;
    }
    return NULL;
}

void
session_set_text(char **field, struct slice text)
{
    nq_free(*field);
    *field = NULL;
    if (text.len == 0)
        return;
    *field = nq_malloc(text.len + 1);
    memcpy(*field, text.p, text.len);
    (*field)[text.len] = '\0';
}
