/* cmd/cmd_dump_collect.c - a value of any type, as payloads carry it.
 *
 * All of it in one piece: a payload is one reply anyhow. */
#include "base/arena.h"
#include "base/check.h"
#include "cmd/cmd_dump.h"

#include <stdlib.h>
#include "cmd/reply.h"
#include "db/fields.h"
#include "db/lists.h"
#include "db/set.h"
#include "db/stream_group.h"
#include "db/string.h"
#include "db/zset.h"

/* --- collecting ---------------------------------------------------------- */

static nq_rc
collect_string(struct req *rq, struct entry *e, struct rdb_value *v)
{
    v->items = arena_alloc(rq->arena, sizeof *v->items);
    v->count = 1;
    return string_bytes(rq->db, e, rq->arena, &v->items[0]);
}

static nq_rc
collect_element(struct req *rq, struct list_cursor *cu, struct slice *out)
{
    struct list_item it;
    nq_rc rc = list_item(cu, &it);

    if (rc == NQ_OK)
        rc = list_item_bytes(rq->db, &it, rq->arena, out);
    /* The text of an integer stands in the item. */
    if (rc == NQ_OK && out->p == (const uint8_t *)it.text)
        out->p = arena_memdup(rq->arena, out->p, out->len);
    return rc;
}

static nq_rc
collect_list(struct req *rq, struct entry *e, struct rdb_value *v)
{
    struct list_cursor cu;
    uint64_t n = list_len(e);
    nq_rc rc;

    v->items = arena_alloc(rq->arena, n * sizeof *v->items);
    if ((rc = list_cursor_init(&cu, rq->db, e)) != NQ_OK)
        return rc;
    for (rc = list_seek(&cu, 0); rc == NQ_OK && cu.valid && v->count < n;) {
        rc = collect_element(rq, &cu, &v->items[v->count++]);
        if (rc == NQ_OK)
            rc = list_next(&cu);
    }
    list_cursor_fini(&cu);
    return rc;
}

static nq_rc
collect_set(struct req *rq, struct slice key, struct entry *e,
            struct rdb_value *v)
{
    struct coll_cursor cu;
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, key, e, true, &c);

    if (rc != NQ_OK)
        return rc;
    v->items = arena_alloc(rq->arena, c.count * sizeof *v->items);
    coll_cursor_init(&cu, &c);
    for (rc = coll_first(&cu); rc == NQ_OK && cu.valid; rc = coll_next(&cu))
        v->items[v->count++] =
            slice_of(arena_memdup(rq->arena, cu.key.p, cu.key.len), cu.key.len);
    coll_cursor_fini(&cu);
    coll_close(&c);
    return rc;
}

static nq_rc
collect_zset(struct req *rq, struct slice key, struct entry *e,
             struct rdb_value *v)
{
    struct zset_cursor cu;
    struct zset z;
    nq_rc rc = zset_open(rq->db, rq->dbi, key, e, true, &z);

    if (rc != NQ_OK)
        return rc;
    v->items = arena_alloc(rq->arena, z.card * sizeof *v->items);
    v->scores = arena_alloc(rq->arena, z.card * sizeof *v->scores);
    zset_cursor_init(&cu, &z);
    for (rc = zset_nth(&cu, 0); rc == NQ_OK && cu.valid; rc = zset_next(&cu)) {
        v->scores[v->count] = cu.at.score;
        v->items[v->count++] =
            slice_of(arena_memdup(rq->arena, cu.at.name.p, cu.at.name.len),
                     cu.at.name.len);
    }
    zset_cursor_fini(&cu);
    zset_close(&z);
    return rc;
}

/* Fields that are due are not there any more. */
static nq_rc
collect_fields(struct req *rq, struct coll *c, struct rdb_value *v)
{
    struct coll_cursor cu;
    struct item it;
    bool expires = false;
    nq_rc rc;

    v->items = arena_alloc(rq->arena, 2 * c->count * sizeof *v->items);
    v->expire_ms = arena_alloc(rq->arena, c->count * sizeof *v->expire_ms);
    coll_cursor_init(&cu, c);
    for (rc = coll_first(&cu); rc == NQ_OK && cu.valid; rc = coll_next(&cu)) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        if (it.expire_ms != 0 && it.expire_ms <= db_now(rq->db))
            continue;
        if ((rc = coll_val(c, &it, rq->arena, &v->items[v->count + 1])) !=
            NQ_OK)
            break;
        v->items[v->count] =
            slice_of(arena_memdup(rq->arena, it.key.p, it.key.len), it.key.len);
        v->expire_ms[v->count / 2] = it.expire_ms;
        expires = expires || it.expire_ms != 0;
        v->count += 2;
    }
    if (!expires)
        v->expire_ms = NULL;
    coll_cursor_fini(&cu);
    return rc;
}

static nq_rc
collect_hash(struct req *rq, struct slice key, struct entry *e,
             struct rdb_value *v)
{
    struct coll c;
    nq_rc rc = fields_open(rq->db, rq->dbi, key, e, true, &c);

    if (rc != NQ_OK)
        return rc;
    rc = collect_fields(rq, &c, v);
    coll_close(&c);
    return rc;
}

/* --- collecting streams -------------------------------------------------- */

static struct rdb_id
to_rdb_id(struct stream_id id)
{
    return (struct rdb_id){id.ms, id.seq};
}

static struct slice
keep(struct req *rq, struct slice s)
{
    return slice_of(arena_memdup(rq->arena, s.p, s.len), s.len);
}

static nq_rc
collect_entry(struct req *rq, struct stream_cursor *cu, struct rdb_entry *e)
{
    struct stream_fields fields;
    struct slice *words;
    nq_rc rc = stream_entry(cu, rq->arena, &fields);

    if (rc != NQ_OK)
        return rc;
    words = arena_alloc(rq->arena, 2 * fields.pairs * sizeof *words);
    for (uint64_t i = 0; i < 2 * fields.pairs; i++) {
        if (!cursor_get_slice(&fields.at, &words[i]))
            return NQ_ECORRUPT;
        words[i] = keep(rq, words[i]);
    }
    *e = (struct rdb_entry){
        .id = to_rdb_id(cu->id), .fields = words, .count = 2 * fields.pairs};
    return NQ_OK;
}

static nq_rc
collect_entries(struct req *rq, struct stream *s, struct rdb_stream *out)
{
    struct stream_cursor cu;
    nq_rc rc;

    out->entries = arena_alloc(rq->arena, s->length * sizeof *out->entries);
    stream_cursor_init(&cu, s);
    for (rc = stream_seek(&cu, STREAM_ID_MIN);
         rc == NQ_OK && cu.valid && out->count < s->length;) {
        rc = collect_entry(rq, &cu, &out->entries[out->count++]);
        if (rc == NQ_OK)
            rc = stream_next(&cu);
    }
    stream_cursor_fini(&cu);
    return rc;
}

/* Which number the consumer has that stands at a place of the list. */
struct seat {
    uint64_t number, place;
};

static nq_rc
collect_consumers(struct req *rq, struct stream *s,
                  const struct stream_group *g, struct rdb_group *out,
                  struct seat **seats)
{
    struct stream_consumer c;
    struct stream_walk w;
    uint64_t n;
    nq_rc rc = stream_consumer_count(s, g, &n);

    if (rc != NQ_OK)
        return rc;
    out->consumers = arena_alloc(rq->arena, n * sizeof *out->consumers);
    *seats = arena_alloc(rq->arena, n * sizeof **seats);
    stream_walk_init(&w, s);
    for (rc = stream_walk_consumers(&w, g, slice_lit(""));
         rc == NQ_OK && w.valid; rc = stream_walk_next(&w)) {
        if ((rc = stream_walk_consumer(&w, &c)) != NQ_OK)
            break;
        (*seats)[out->consumer_count] =
            (struct seat){c.number, out->consumer_count};
        out->consumers[out->consumer_count++] =
            (struct rdb_consumer){.name = keep(rq, c.name),
                                  .seen_ms = c.seen_ms,
                                  .active_ms = (uint64_t)c.active_ms};
    }
    stream_walk_fini(&w);
    return rc;
}

static int
compare_seats(const void *a, const void *b)
{
    uint64_t x = ((const struct seat *)a)->number;
    uint64_t y = ((const struct seat *)b)->number;

    return x < y ? -1 : x > y;
}

static uint64_t
place_of(const struct seat *seats, uint64_t n, uint64_t number)
{
    struct seat key = {.number = number};
    const struct seat *found =
        n == 0 ? NULL : bsearch(&key, seats, n, sizeof *seats, compare_seats);

    return found == NULL ? RDB_NOBODY : found->place;
}

static nq_rc
collect_pending(struct req *rq, struct stream *s, const struct stream_group *g,
                struct rdb_group *out, const struct seat *seats)
{
    struct stream_pending p;
    struct stream_walk w;
    uint64_t n;
    nq_rc rc = stream_pending_count(s, g, NULL, &n);

    if (rc != NQ_OK)
        return rc;
    out->pending = arena_alloc(rq->arena, n * sizeof *out->pending);
    stream_walk_init(&w, s);
    for (rc = stream_walk_pending(&w, g, NULL, STREAM_ID_MIN);
         rc == NQ_OK && w.valid; rc = stream_walk_next(&w)) {
        if ((rc = stream_walk_pending_at(&w, &p)) != NQ_OK)
            break;
        out->pending[out->pending_count++] = (struct rdb_pending){
            .id = to_rdb_id(p.id),
            .delivered_ms = p.delivered_ms,
            .deliveries = p.deliveries,
            .consumer = place_of(seats, out->consumer_count, p.consumer)};
    }
    stream_walk_fini(&w);
    return rc;
}

static nq_rc
collect_group(struct req *rq, struct stream *s, const struct stream_group *g,
              struct rdb_group *out)
{
    struct seat *seats;
    nq_rc rc;

    *out = (struct rdb_group){.name = keep(rq, g->name),
                              .last = to_rdb_id(g->last),
                              .entries_read = g->read};
    if ((rc = collect_consumers(rq, s, g, out, &seats)) != NQ_OK)
        return rc;
    if (out->consumer_count > 0)
        qsort(seats, out->consumer_count, sizeof *seats, compare_seats);
    return collect_pending(rq, s, g, out, seats);
}

static nq_rc
collect_groups(struct req *rq, struct stream *s, struct rdb_stream *out)
{
    struct stream_group g;
    struct stream_walk w;
    uint64_t n;
    nq_rc rc = stream_group_count(s, &n);

    if (rc != NQ_OK)
        return rc;
    out->groups = arena_alloc(rq->arena, n * sizeof *out->groups);
    stream_walk_init(&w, s);
    for (rc = stream_walk_groups(&w, slice_lit("")); rc == NQ_OK && w.valid;
         rc = stream_walk_next(&w)) {
        if ((rc = stream_walk_group(&w, &g)) == NQ_OK)
            rc = collect_group(rq, s, &g, &out->groups[out->group_count++]);
        if (rc != NQ_OK)
            break;
    }
    stream_walk_fini(&w);
    return rc;
}

static nq_rc
collect_stream(struct req *rq, struct slice key, struct entry *e,
               struct rdb_value *v)
{
    struct rdb_stream *out = arena_alloc(rq->arena, sizeof *out);
    struct stream s;
    nq_rc rc = stream_open(rq->db, rq->dbi, key, e, true, &s);

    if (rc != NQ_OK)
        return rc;
    *out = (struct rdb_stream){.first = to_rdb_id(s.first),
                               .last = to_rdb_id(s.last),
                               .max_deleted = to_rdb_id(s.max_deleted),
                               .entries_added = s.added};
    v->stream = out;
    if ((rc = collect_entries(rq, &s, out)) == NQ_OK)
        rc = collect_groups(rq, &s, out);
    stream_close(&s);
    return rc;
}

nq_rc
dump_collect(struct req *rq, struct slice key, struct entry *e,
             struct rdb_value *out)
{
    *out = (struct rdb_value){.type = (enum db_type)e->rec.type};
    switch (out->type) {
    case DB_STRING:
        return collect_string(rq, e, out);
    case DB_LIST:
        return collect_list(rq, e, out);
    case DB_SET:
        return collect_set(rq, key, e, out);
    case DB_ZSET:
        return collect_zset(rq, key, e, out);
    case DB_HASH:
        return collect_hash(rq, key, e, out);
    case DB_STREAM:
        return collect_stream(rq, key, e, out);
    default:
        return NQ_ECORRUPT;
    }
}
