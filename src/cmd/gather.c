/* cmd/gather.c - keeping parts of an answer between slices.
 *
 * Called by handlers whose answers begin with a length that is known at their
 * end only. */
#include "cmd/gather.h"

#include "base/check.h"
#include "cmd/engine.h"

#define GATHER_MAX (UINT64_C(1) << 30)
#define CHUNK (64u << 10) /* bytes put between two looks at the clock */

void
gather_fini(struct gather *g)
{
    buf_fini(&g->text);
}

void
gather_keep(struct req *rq, struct gather *g, struct reply_deferred d,
            uint64_t n)
{
    reply_part_save(rq, d, &g->text);
    g->n += n;
}

void
gather_gate(struct req *rq)
{
    db_gate_all(rq->db, rq->dbi);
}

void
gather_end_array(struct req *rq, struct gather *g, struct reply_deferred d,
                 uint64_t n)
{
    if (nq_likely(g->text.len == 0)) {
        reply_array_end(rq, d, n);
        return;
    }
    gather_keep(rq, g, d, n);
    gather_gate(rq);
    reply_array(rq, g->n);
    reply_raw(rq, buf_slice(&g->text));
    buf_clear(&g->text);
    g->n = 0;
}

void
gather_tell(struct req *rq, struct gather *g)
{
    nq_assert(rq->part == NULL);
    if (!g->is_telling)
        gather_gate(rq);
    g->is_telling = true;
    while (g->told < g->text.len) {
        size_t n = nq_min(g->text.len - g->told, CHUNK);

        reply_raw(rq, slice_of(g->text.p + g->told, n));
        g->told += n;
        if (g->told < g->text.len && req_should_yield(rq)) {
            rq->keep_output = true;
            req_yield(rq);
            return;
        }
    }
}

static uint64_t
limit_bytes(const struct req *rq)
{
    uint64_t hard = rq->engine->limits.output[session_class(rq->s)].hard;

    return hard != 0 ? nq_min(hard, GATHER_MAX) : GATHER_MAX;
}

bool
gather_is_full(const struct req *rq, const struct gather *g)
{
    return g->text.len > limit_bytes(rq);
}

bool
gather_is_too_long(struct req *rq, const struct gather *g)
{
    if (!gather_is_full(rq, g))
        return false;
    reply_drop_parts(rq);
    reply_error(rq,
                "the answer is longer than %llu bytes, the most for this "
                "client; ask for parts of it",
                (unsigned long long)limit_bytes(rq));
    return true;
}
