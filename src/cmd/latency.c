/* cmd/latency.c - a ring of samples for each event.  Called by dispatch for
 * slow commands, and by the server for what it measures. */
#include "cmd/latency.h"

#include "base/check.h"
#include "base/mem.h"
#include "os/clock.h"

#define EVENTS_MAX 32

struct latency {
    unsigned n;
    struct latency_event *events[EVENTS_MAX];
};

struct latency *
latency_new(void)
{
    return nq_calloc(1, sizeof(struct latency));
}

void
latency_free(struct latency *l)
{
    if (l == NULL)
        return;
    for (unsigned i = 0; i < l->n; i++)
        nq_free(l->events[i]);
    nq_free(l);
}

unsigned
latency_count(const struct latency *l)
{
    return l->n;
}

const struct latency_event *
latency_at(const struct latency *l, unsigned i)
{
    nq_assert(i < l->n);
    return l->events[i];
}

static unsigned
find(const struct latency *l, struct slice event)
{
    unsigned i = 0;

    while (i < l->n && !slice_is(event, l->events[i]->name))
        i++;
    return i;
}

const struct latency_event *
latency_find(const struct latency *l, struct slice event)
{
    unsigned i = find(l, event);

    return i < l->n ? l->events[i] : NULL;
}

void
latency_add(struct latency *l, const char *event, uint64_t ms)
{
    unsigned i = find(l, slice_str(event));
    uint32_t now = (uint32_t)(clock_wall_us() / 1000000);
    uint32_t value = (uint32_t)nq_min(ms, (uint64_t)UINT32_MAX);
    struct latency_event *ev;
    struct latency_sample *last;

    if (i == EVENTS_MAX)
        return;
    if (i == l->n) {
        l->events[l->n++] = nq_calloc(1, sizeof *ev);
        l->events[i]->name = event;
    }
    ev = l->events[i];
    ev->count++;
    ev->max_ms = nq_max(ev->max_ms, value);
    last = &ev->ring[(ev->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
    if (last->wall_s == now) {
        last->ms = nq_max(last->ms, value);
        return;
    }
    ev->ring[ev->next] = (struct latency_sample){now, value};
    ev->next = (ev->next + 1) % LATENCY_SAMPLES;
}

const struct latency_sample *
latency_sample_at(const struct latency_event *ev, unsigned i)
{
    uint32_t oldest = ev->ring[ev->next].wall_s != 0 ? ev->next : 0;
    const struct latency_sample *s = &ev->ring[(oldest + i) % LATENCY_SAMPLES];

    return i < LATENCY_SAMPLES && s->wall_s != 0 ? s : NULL;
}

bool
latency_reset(struct latency *l, struct slice event)
{
    unsigned i = find(l, event);

    if (i == l->n)
        return false;
    nq_free(l->events[i]);
    l->events[i] = l->events[--l->n];
    return true;
}
