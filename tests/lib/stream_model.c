/* tests/lib/stream_model.c - a stream as sorted arrays. */
#include "stream_model.h"

#include <string.h>

#include "base/check.h"

void
model_drop_front(struct stream_model *m, unsigned n)
{
    m->count -= n;
    memmove(m->entries, m->entries + n, m->count * sizeof m->entries[0]);
}

unsigned
model_find(const struct stream_model *m, struct stream_id id)
{
    unsigned i = 0;

    while (i < m->count && stream_id_cmp(m->entries[i].id, id) < 0)
        i++;
    return i;
}

static bool
has_entry(const struct stream_model *m, struct stream_id id)
{
    unsigned i = model_find(m, id);

    return i < m->count && stream_id_cmp(m->entries[i].id, id) == 0;
}

/* Whole nodes of 100, as the settings are by default. */
static unsigned
whole_nodes(const struct stream_model *m, unsigned n, uint64_t limit)
{
    uint64_t gone = m->added - nq_min(m->added, m->count);
    unsigned taken = 0;

    for (;;) {
        uint64_t node = nq_min(100 - gone % 100, m->count - taken);

        if (node == 0 || taken + node > n ||
            (limit != 0 && taken + node > limit))
            return taken;
        taken += (unsigned)node;
        gone += node;
    }
}

unsigned
model_trim(struct stream_model *m, const struct stream_trim *t)
{
    unsigned n = 0;

    if (t->by == TRIM_MAXLEN && m->count > t->maxlen)
        n = m->count - (unsigned)t->maxlen;
    if (t->by == TRIM_MINID)
        n = model_find(m, t->minid);
    if (t->is_approximate)
        n = whole_nodes(m, n, t->limit);
    model_drop_front(m, n);
    return n;
}

unsigned
model_del(struct stream_model *m, struct stream_id id)
{
    unsigned i = model_find(m, id);

    if (!has_entry(m, id))
        return 0;
    memmove(m->entries + i, m->entries + i + 1,
            (--m->count - i) * sizeof m->entries[0]);
    if (stream_id_cmp(id, m->max_deleted) > 0)
        m->max_deleted = id;
    return 1;
}

static struct m_pending *
find_pending(struct m_group *g, struct stream_id id)
{
    for (unsigned i = 0; i < g->pending_count; i++)
        if (stream_id_cmp(g->pending[i].id, id) == 0)
            return &g->pending[i];
    return NULL;
}

static void
drop_pending(struct m_group *g, struct m_pending *p)
{
    size_t i = (size_t)(p - g->pending);

    memmove(p, p + 1, (--g->pending_count - i) * sizeof *p);
}

unsigned
model_ack(struct m_group *g, struct stream_id id)
{
    struct m_pending *p = find_pending(g, id);

    if (p != NULL)
        drop_pending(g, p);
    return p != NULL;
}

uint64_t
model_delete_consumer(struct m_group *g, unsigned c)
{
    uint64_t n = 0;

    g->consumers[c].is_there = false;
    for (unsigned i = 0; i < g->pending_count;) {
        if (g->pending[i].consumer != c) {
            i++;
            continue;
        }
        drop_pending(g, &g->pending[i]);
        n++;
    }
    return n;
}

void
model_see(struct m_consumer *c, uint64_t now, bool is_active)
{
    if (!c->is_there)
        *c = (struct m_consumer){true, now, STREAM_NEVER};
    c->seen_ms = now;
    if (is_active)
        c->active_ms = (int64_t)now;
}

void
model_claim(struct m_group *g, unsigned c, const struct stream_claim *claim)
{
    struct m_pending *p = find_pending(g, claim->id);
    unsigned i = 0;

    if (p != NULL)
        drop_pending(g, p);
    if (claim->is_dropped)
        return;
    while (i < g->pending_count &&
           stream_id_cmp(g->pending[i].id, claim->id) < 0)
        i++;
    memmove(g->pending + i + 1, g->pending + i,
            (g->pending_count++ - i) * sizeof *p);
    g->pending[i] = (struct m_pending){claim->id, c, claim->delivered_ms,
                                       claim->deliveries};
}
