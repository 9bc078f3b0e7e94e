/* db/stream_deliver.c - giving entries to a consumer of a group: what
 * XREADGROUP, XCLAIM and XAUTOCLAIM change.
 *
 * The effect XCLAIM:
 *
 *   varint length, name of the group | the same of the consumer
 *   varint now, wall ms | u8 flags | if MOVES_GROUP: last id, varint read + 1
 *   varint n | n times: id, varint ms before now, varint times, u8 dropped
 *
 * The consumer and the group are written first, then the claims one by one:
 * after a failure in between the effect tells those that were written. */
#include "base/mem.h"
#include "db/stream_int.h"

#define IS_ACTIVE 1 /* flags of XCLAIM */
#define MOVES_GROUP 2

/* What there is before the delivery. */
struct stand {
    struct stream_group group;
    struct stream_consumer consumer;
    bool is_new; /* the consumer */
};

static nq_rc
find_stand(struct stream *s, const struct stream_delivery *d, struct stand *out)
{
    nq_rc rc = stream_group_find(s, d->group, &out->group);

    if (rc == NQ_OK)
        rc = stream_find_or_make(s, &out->group, d->consumer, d->now_ms,
                                 &out->consumer, &out->is_new);
    return rc;
}

/* --- wanting ------------------------------------------------------------- */

/* The keys under which the claims are or will be, but for their old owners. */
static nq_rc
want_claims(struct stream *s, const struct stream_delivery *d,
            const struct stand *st)
{
    struct stream_keys keys;
    nq_rc rc;

    stream_keys_init(&keys, 2 * d->n + 1);
    for (uint32_t i = 0; i < d->n; i++) {
        struct stream_id id = d->claims[i].id;

        stream_keys_add(&keys, stream_pending_key(stream_keys_room(&keys),
                                                  st->group.number, id));
        stream_keys_add(&keys, stream_owned_key(stream_keys_room(&keys),
                                                st->group.number,
                                                st->consumer.number, id));
    }
    rc = coll_want(&s->coll, keys.keys, keys.n);
    stream_keys_fini(&keys);
    return rc;
}

static nq_rc
want_owners(struct stream *s, const struct stream_delivery *d,
            const struct stand *st)
{
    struct stream_keys keys;
    struct stream_pending p;
    nq_rc rc = NQ_OK;

    stream_keys_init(&keys, d->n + 1);
    for (uint32_t i = 0; i < d->n && rc == NQ_OK; i++) {
        rc = stream_pending_find(s, &st->group, d->claims[i].id, &p);
        if (rc == NQ_OK && p.consumer != st->consumer.number)
            stream_keys_add(&keys, stream_owned_key(stream_keys_room(&keys),
                                                    st->group.number,
                                                    p.consumer, p.id));
        else if (rc == NQ_NOTFOUND)
            rc = NQ_OK;
    }
    if (rc == NQ_OK && keys.n > 0)
        rc = coll_want(&s->coll, keys.keys, keys.n);
    stream_keys_fini(&keys);
    return rc;
}

static nq_rc
want_all(struct stream *s, const struct stream_delivery *d,
         const struct stand *st)
{
    nq_rc first, second;

    if (!stream_can_miss(s))
        return NQ_OK;
    first = stream_want_consumer(s, &st->group, &st->consumer, st->is_new);
    if (d->n == 0)
        return first;
    second = want_claims(s, d, st);
    if (second == NQ_OK)
        second = want_owners(s, d, st);
    return first != NQ_OK ? first : second;
}

nq_rc
stream_want_delivery(struct stream *s, const struct stream_delivery *d)
{
    struct stand st;
    nq_rc rc = find_stand(s, d, &st);

    return rc == NQ_OK ? want_all(s, d, &st) : rc;
}

/* --- delivering ---------------------------------------------------------- */

static nq_rc
put_stand(struct stream *s, const struct stream_delivery *d, struct stand *st)
{
    uint8_t room[GROUP_VALUE_MAX];
    nq_rc rc;

    st->consumer.seen_ms = d->now_ms;
    if (d->is_active)
        st->consumer.active_ms = (int64_t)d->now_ms;
    if (d->moves_group) {
        st->group.last = d->last;
        st->group.read = d->read;
    }
    rc = stream_put_consumer(s, &st->group, &st->consumer, st->is_new);
    if (rc == NQ_OK && (d->moves_group || st->is_new))
        rc = coll_put(&s->coll, stream_group_key(s, st->group.name),
                      stream_encode_group(room, &st->group), 0, NULL);
    return rc;
}

static nq_rc
drop_claim(struct stream *s, const struct stand *st, struct stream_id id,
           uint64_t owner)
{
    uint8_t room[OWNED_SIZE];
    nq_rc rc =
        coll_del(&s->coll, stream_pending_key(room, st->group.number, id));

    if (rc == NQ_OK)
        rc = coll_del(&s->coll,
                      stream_owned_key(room, st->group.number, owner, id));
    return rc;
}

static nq_rc
put_claim(struct stream *s, const struct stand *st,
          const struct stream_claim *claim)
{
    uint64_t group = st->group.number, consumer = st->consumer.number;
    uint8_t room[OWNED_SIZE], val[30];
    struct stream_pending old;
    bool is_mine;
    size_t n;
    nq_rc rc = stream_pending_find(s, &st->group, claim->id, &old);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    if (claim->is_dropped)
        return rc == NQ_OK ? drop_claim(s, st, claim->id, old.consumer) : NQ_OK;
    is_mine = rc == NQ_OK && old.consumer == consumer;
    if (rc == NQ_OK && !is_mine &&
        (rc = coll_del(&s->coll, stream_owned_key(room, group, old.consumer,
                                                  claim->id))) != NQ_OK)
        return rc;
    n = varint_encode(val, consumer);
    n += varint_encode(val + n, claim->delivered_ms);
    n += varint_encode(val + n, claim->deliveries);
    rc = coll_put(&s->coll, stream_pending_key(room, group, claim->id),
                  slice_of(val, n), 0, NULL);
    if (rc == NQ_OK && !is_mine)
        rc = coll_put(&s->coll,
                      stream_owned_key(room, group, consumer, claim->id),
                      slice_lit(""), 0, NULL);
    return rc;
}

/* The effect of the first `n` claims. */
static nq_rc
commit(struct stream *s, const struct stream_delivery *d, uint32_t n)
{
    struct buf *b = &s->work;
    struct slice args[1];

    buf_clear(b);
    buf_put_varint(b, d->group.len);
    buf_put_slice(b, d->group);
    buf_put_varint(b, d->consumer.len);
    buf_put_slice(b, d->consumer);
    buf_put_varint(b, d->now_ms);
    buf_put_u8(b, (uint8_t)((d->is_active ? IS_ACTIVE : 0) |
                            (d->moves_group ? MOVES_GROUP : 0)));
    if (d->moves_group) {
        stream_put_id(buf_reserve(b, STREAM_ID_SIZE), d->last);
        b->len += STREAM_ID_SIZE;
        buf_put_varint(b, (uint64_t)d->read + 1);
    }
    buf_put_varint(b, n);
    for (uint32_t i = 0; i < n; i++) {
        stream_put_id(buf_reserve(b, STREAM_ID_SIZE), d->claims[i].id);
        b->len += STREAM_ID_SIZE;
        buf_put_varint(b, d->now_ms - d->claims[i].delivered_ms);
        buf_put_varint(b, d->claims[i].deliveries);
        buf_put_u8(b, d->claims[i].is_dropped);
    }
    args[0] = buf_slice(b);
    return stream_commit(s, EFFECT_XCLAIM, args, 1);
}

nq_rc
stream_deliver(struct stream *s, const struct stream_delivery *d)
{
    struct stand st;
    nq_rc rc, done = NQ_OK;
    uint32_t n = 0;

    if ((rc = find_stand(s, d, &st)) != NQ_OK ||
        (d->n > 0 && (rc = db_may_grow(s->coll.db)) != NQ_OK) ||
        (rc = want_all(s, d, &st)) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK ||
        (rc = put_stand(s, d, &st)) != NQ_OK)
        return rc;
    while (n < d->n && done == NQ_OK)
        if ((done = put_claim(s, &st, &d->claims[n])) == NQ_OK)
            n++;
    if ((rc = commit(s, d, n)) != NQ_OK)
        return rc;
    if (st.is_new)
        stream_event(s, "xgroup-createconsumer");
    return done;
}

/* --- replay -------------------------------------------------------------- */

static bool
decode_claims(struct cursor *c, const struct stream_delivery *d,
              struct stream_claim *out)
{
    for (uint32_t i = 0; i < d->n; i++) {
        uint64_t before;
        uint8_t dropped;

        stream_cursor_id(c, &out[i].id);
        cursor_get_varint(c, &before);
        cursor_get_varint(c, &out[i].deliveries);
        cursor_get_u8(c, &dropped);
        out[i].delivered_ms = d->now_ms - before;
        out[i].is_dropped = dropped != 0;
    }
    return cursor_ok(c);
}

/* All but the claims. */
static bool
decode_delivery(struct cursor *c, struct stream_delivery *d)
{
    uint64_t read, n;
    uint8_t flags;

    *d = (struct stream_delivery){0};
    cursor_get_slice(c, &d->group);
    cursor_get_slice(c, &d->consumer);
    cursor_get_varint(c, &d->now_ms);
    cursor_get_u8(c, &flags);
    d->is_active = (flags & IS_ACTIVE) != 0;
    d->moves_group = (flags & MOVES_GROUP) != 0;
    if (d->moves_group) {
        stream_cursor_id(c, &d->last);
        cursor_get_varint(c, &read);
        d->read = (int64_t)(read - 1);
    }
    cursor_get_varint(c, &n);
    d->n = (uint32_t)n;
    return cursor_ok(c) && n <= STREAM_CLAIMS_MAX;
}

nq_rc
stream_apply_deliver(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct stream_claim *claims;
    struct stream_delivery d;
    struct entry e = {0};
    struct stream s;
    nq_rc rc;

    if (!decode_delivery(&c, &d))
        return NQ_EFORMAT;
    claims = nq_malloc((d.n + 1) * sizeof *claims);
    d.claims = claims;
    if (!decode_claims(&c, &d, claims)) {
        nq_free(claims);
        return NQ_EFORMAT;
    }
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_deliver(&s, &d);
    stream_close(&s);
    nq_free(claims);
    return rc;
}
