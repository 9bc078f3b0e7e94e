/* cmd/pressure.c - states by session and source, and the list of those who
 * wait for room.
 *
 * I1 engine->pressured[state] is the number of pairs of session and source in
 *    that state, but for the normal one, which is not counted. */
#include "cmd/pressure.h"

#include "cmd/engine.h"
#include "cmd/session.h"

static const char *const policies[PRESSURE_POLICIES] = {
    [PRESSURE_NONE] = "none",          [PRESSURE_OLDEST] = "drop-oldest",
    [PRESSURE_NEWEST] = "drop-newest", [PRESSURE_DISCONNECT] = "disconnect",
    [PRESSURE_PAUSE] = "pause",
};

static const char *const states[PRESSURE_STATES] = {
    [PRESSURE_NORMAL] = "normal",
    [PRESSURE_THROTTLED] = "throttled",
    [PRESSURE_PAUSED] = "paused",
    [PRESSURE_DROPPING] = "dropping",
};

const char *
pressure_policy_name(enum pressure_policy policy)
{
    nq_assert(policy < PRESSURE_POLICIES);
    return policies[policy];
}

bool
pressure_policy_find(struct slice name, enum pressure_policy *policy)
{
    for (unsigned i = 0; i < PRESSURE_POLICIES; i++) {
        if (slice_is(name, policies[i])) {
            *policy = (enum pressure_policy)i;
            return true;
        }
    }
    return false;
}

const char *
pressure_state_name(enum pressure_state state)
{
    nq_assert(state < PRESSURE_STATES);
    return states[state];
}

bool
pressure_is_full(const struct engine *e, uint64_t messages, uint64_t bytes)
{
    const struct queue_limits *q = &e->limits.queue;

    return q->is_on && (messages >= q->messages || bytes >= q->bytes);
}

void
pressure_set_state(struct session *s, enum pressure_source source,
                   enum pressure_state state)
{
    uint32_t *counts = s->engine->pressured;
    uint8_t *now = &s->pressure[source];

    nq_assert(state < PRESSURE_STATES);
    if (*now == state)
        return;
    if (*now != PRESSURE_NORMAL) {
        nq_assert(counts[*now] > 0);
        counts[*now]--;
    }
    if (state != PRESSURE_NORMAL)
        counts[state]++;
    *now = (uint8_t)state;
}

enum pressure_state
pressure_state_of(const struct session *s)
{
    uint8_t worst = PRESSURE_NORMAL;

    for (unsigned i = 0; i < PRESSURE_SOURCES; i++)
        worst = nq_max(worst, s->pressure[i]);
    return (enum pressure_state)worst;
}

/* --- room ------------------------------------------------------------------
 */

bool
pressure_has_room(const struct session *s)
{
    return s->out.put - s->out.sent < PRESSURE_WINDOW &&
           s != s->engine->running &&
           (s->flags & (SESSION_IN_REPLY | SESSION_CLOSE_ASAP |
                        SESSION_CLOSE_AFTER_REPLY)) == 0;
}

void
pressure_wait_init(struct pressure_wait *w, void (*fn)(struct pressure_wait *w))
{
    list_init(&w->link);
    w->fn = fn;
}

void
pressure_wait_room(struct session *s, struct pressure_wait *w)
{
    if (!list_empty(&w->link))
        return;
    list_push_back(&s->room, &w->link);
    if (pressure_has_room(s))
        s->ops->wake(s); /* else a flush comes anyway */
}

void
pressure_wait_end(struct pressure_wait *w)
{
    list_remove(&w->link);
}

void
pressure_room(struct session *s)
{
    struct list *last = s->room.prev; /* who asks again waits behind it */

    while (!list_empty(&s->room) && pressure_has_room(s)) {
        struct pressure_wait *w =
            nq_container(s->room.next, struct pressure_wait, link);
        bool is_last = &w->link == last;

        list_remove(&w->link);
        w->fn(w);
        if (is_last)
            return;
    }
}
