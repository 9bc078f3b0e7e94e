/* cmd/cmd_dump_build.c - a value of any type, made from what a payload had.
 *
 * All of it in one piece: a payload is one argument anyhow.  Long values are
 * built by calls of BUILD_ITEMS items, each an effect of its own in the same
 * frame of the log. */
#include "base/arena.h"
#include "base/check.h"
#include "cmd/cmd_dump.h"
#include "db/fields.h"
#include "db/lists.h"
#include "db/set.h"
#include "db/stream_group.h"
#include "db/zset.h"

#define BUILD_ITEMS 4096

/* Where the value grows; found anew before each call of its type. */
struct place {
    struct req *rq;
    uint32_t dbi;
    struct slice key;
    struct entry e;
    bool found;
};

static nq_rc
find_place(struct place *p)
{
    nq_rc rc;

    p->e = (struct entry){0};
    rc = db_find_write(p->rq->db, p->dbi, p->key, &p->e);
    p->found = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

static nq_rc
add_elements(struct place *p, const struct rdb_value *v, uint64_t from,
             uint32_t n)
{
    return list_push(p->rq->db, p->dbi, p->key, &p->e, p->found, LIST_TAIL,
                     v->items + from, n, NULL, NULL);
}

static nq_rc
add_members(struct place *p, const struct rdb_value *v, uint64_t from,
            uint32_t n)
{
    uint64_t added = 0;
    nq_rc rc = set_add(p->rq->db, p->dbi, p->key, &p->e, p->found,
                       v->items + from, n, NULL, &added);

    return rc == NQ_OK && added != n ? NQ_EFORMAT : rc;
}

static nq_rc
add_scored(struct place *p, const struct rdb_value *v, uint64_t from,
           uint32_t n)
{
    struct member *members = arena_alloc(p->rq->arena, n * sizeof *members);
    struct zset_added added = {.added = 0};
    nq_rc rc;

    for (uint32_t i = 0; i < n; i++)
        members[i] = (struct member){.name = v->items[from + i],
                                     .score = v->scores[from + i]};
    rc = zset_add(p->rq->db, p->dbi, p->key, &p->e, p->found, members, n, 0,
                  NULL, &added);
    return rc == NQ_OK && added.added != n ? NQ_EFORMAT : rc;
}

/* By parts of BUILD_ITEMS items, each given to `add`. */
static nq_rc
add_all(struct place *p, const struct rdb_value *v,
        nq_rc (*add)(struct place *p, const struct rdb_value *v, uint64_t from,
                     uint32_t n))
{
    nq_rc rc = NQ_OK;

    for (uint64_t from = 0; from < v->count && rc == NQ_OK;
         from += BUILD_ITEMS) {
        uint64_t n = nq_min(v->count - from, (uint64_t)BUILD_ITEMS);

        if ((rc = find_place(p)) == NQ_OK)
            rc = add(p, v, from, (uint32_t)n);
    }
    return rc;
}

static nq_rc
add_pairs(struct place *p, const struct rdb_value *v, uint64_t from, uint32_t n)
{
    uint64_t added = 0;
    nq_rc rc = fields_set(p->rq->db, p->dbi, p->key, &p->e, p->found,
                          v->items + from, n / 2, 0, NULL, &added);

    return rc == NQ_OK && added != n / 2 ? NQ_EFORMAT : rc;
}

/* One field that expires; the others stand already. */
static nq_rc
expire_field(struct place *p, const struct rdb_value *v, uint64_t number)
{
    enum fields_result result;
    nq_rc rc = find_place(p);

    if (rc != NQ_OK || !p->found)
        return rc;
    return fields_expire(p->rq->db, p->dbi, p->key, &p->e,
                         &v->items[2 * number], 1, v->expire_ms[number], 0,
                         &result);
}

static nq_rc
build_hash(struct place *p, const struct rdb_value *v)
{
    nq_rc rc = add_all(p, v, add_pairs);

    for (uint64_t i = 0; v->expire_ms != NULL && i < v->count / 2; i++)
        if (v->expire_ms[i] != 0 && rc == NQ_OK)
            rc = expire_field(p, v, i);
    return rc;
}

/* --- streams ---------------------------------------------------- */

static struct stream_id
to_stream_id(struct rdb_id id)
{
    return (struct stream_id){id.ms, id.seq};
}

static nq_rc
open_place(struct place *p, struct stream *s)
{
    nq_rc rc = find_place(p);

    return rc != NQ_OK
               ? rc
               : stream_open(p->rq->db, p->dbi, p->key, &p->e, p->found, s);
}

static nq_rc
build_entries(struct place *p, const struct rdb_stream *in)
{
    const struct stream_trim none = {.by = TRIM_NONE};
    struct stream s;
    nq_rc rc = NQ_OK;

    for (uint64_t i = 0; i < in->count && rc == NQ_OK; i++) {
        const struct rdb_entry *e = &in->entries[i];

        if ((rc = open_place(p, &s)) != NQ_OK)
            return rc;
        rc = stream_add(&s, to_stream_id(e->id), e->fields,
                        (uint32_t)(e->count / 2), &none);
        stream_close(&s);
    }
    return rc;
}

static nq_rc
build_facts(struct place *p, const struct rdb_stream *in)
{
    struct stream_id max_deleted = to_stream_id(in->max_deleted);
    struct stream s;
    nq_rc rc = open_place(p, &s);

    if (rc != NQ_OK)
        return rc;
    rc = stream_set_id(&s, to_stream_id(in->last), &in->entries_added,
                       &max_deleted);
    stream_close(&s);
    return rc;
}

static nq_rc
build_group(struct place *p, const struct rdb_group *g)
{
    struct stream s;
    nq_rc rc = open_place(p, &s);

    if (rc != NQ_OK)
        return rc;
    rc = stream_group_create(&s, g->name, to_stream_id(g->last),
                             g->entries_read);
    stream_close(&s);
    return rc == NQ_EEXISTS ? NQ_EFORMAT : rc;
}

/* What is pending in a group, consumer by consumer: those of number k stand
 * before ends[k], behind those of the one before it. */
struct claims {
    struct stream_claim *at;
    uint64_t *ends;
};

static void
sort_claims(struct req *rq, const struct rdb_group *g, struct claims *out)
{
    size_t size = (g->consumer_count + 1) * sizeof *out->ends;

    out->at = arena_alloc(rq->arena, (g->pending_count + 1) * sizeof *out->at);
    out->ends = arena_alloc(rq->arena, size);
    memset(out->ends, 0, size);
    for (uint64_t i = 0; i < g->pending_count; i++)
        out->ends[g->pending[i].consumer + 1]++;
    for (uint64_t k = 0; k < g->consumer_count; k++)
        out->ends[k + 1] += out->ends[k];
    /* From here on ends[k] moves from the start of its claims to their end. */
    for (uint64_t i = 0; i < g->pending_count; i++) {
        const struct rdb_pending *e = &g->pending[i];

        out->at[out->ends[e->consumer]++] =
            (struct stream_claim){.id = to_stream_id(e->id),
                                  .delivered_ms = e->delivered_ms,
                                  .deliveries = e->deliveries};
    }
}

/* The consumer as it was seen last, with `n` entries that are its. */
static nq_rc
build_consumer(struct place *p, const struct rdb_group *g,
               const struct rdb_consumer *c, const struct stream_claim *claims,
               uint64_t n)
{
    struct stream_delivery d = {.group = g->name,
                                .consumer = c->name,
                                .now_ms = c->seen_ms,
                                .is_active = c->active_ms == c->seen_ms};
    uint64_t at = 0;
    struct stream s;
    nq_rc rc;

    do {
        d.claims = claims + at;
        d.n = (uint32_t)nq_min(n - at, (uint64_t)STREAM_CLAIMS_MAX);
        if ((rc = open_place(p, &s)) != NQ_OK)
            return rc;
        rc = stream_deliver(&s, &d);
        stream_close(&s);
        at += d.n;
    } while (rc == NQ_OK && at < n);
    return rc;
}

static nq_rc
build_consumers(struct place *p, const struct rdb_group *g)
{
    struct claims claims;
    uint64_t from = 0;
    nq_rc rc = NQ_OK;

    sort_claims(p->rq, g, &claims);
    for (uint64_t k = 0; k < g->consumer_count && rc == NQ_OK; k++) {
        rc = build_consumer(p, g, &g->consumers[k], claims.at + from,
                            claims.ends[k] - from);
        from = claims.ends[k];
    }
    return rc;
}

/* One without entries and groups: it comes into being with a group, which
 * goes again. */
static nq_rc
build_empty(struct place *p)
{
    const struct rdb_group g = {.name = slice_lit("none"), .entries_read = -1};
    struct stream s;
    nq_rc rc;

    if ((rc = build_group(p, &g)) != NQ_OK || (rc = open_place(p, &s)) != NQ_OK)
        return rc;
    rc = stream_group_destroy(&s, g.name);
    stream_close(&s);
    return rc;
}

static nq_rc
build_stream(struct place *p, const struct rdb_value *v)
{
    const struct rdb_stream *in = v->stream;
    nq_rc rc =
        in->count + in->group_count > 0 ? build_entries(p, in) : build_empty(p);

    for (uint64_t i = 0; i < in->group_count && rc == NQ_OK; i++) {
        const struct rdb_group *g = &in->groups[i];

        rc = build_group(p, g);
        if (rc == NQ_OK)
            rc = build_consumers(p, g);
    }
    return rc == NQ_OK ? build_facts(p, in) : rc;
}

nq_rc
dump_build(struct req *rq, uint32_t dbi, struct slice key,
           const struct rdb_value *v)
{
    struct place p = {.rq = rq, .dbi = dbi, .key = key};

    switch (v->type) {
    case DB_LIST:
        return add_all(&p, v, add_elements);
    case DB_SET:
        return add_all(&p, v, add_members);
    case DB_ZSET:
        return add_all(&p, v, add_scored);
    case DB_HASH:
        return build_hash(&p, v);
    case DB_STREAM:
        return build_stream(&p, v);
    default:
        return NQ_EFORMAT;
    }
}
