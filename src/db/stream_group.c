/* db/stream_group.c - consumer groups of a stream: finding, counting and
 * walking what stream_int.h lays out.
 *
 * What is pending is counted by rank, so no counter has to follow it. */
#include "db/stream_group.h"

#include "base/arena.h"
#include "db/stream_int.h"
#include "store/corrupt.h"

/* --- keys ---------------------------------------------------------------- */

struct slice
stream_of_group(uint8_t *dst, uint8_t letter, uint64_t group)
{
    dst[0] = letter;
    stream_put_u64(dst + 1, group);
    return slice_of(dst, OF_GROUP_SIZE);
}

/* What begins with a letter, a group and a consumer of it. */
static struct slice
of_consumer(uint8_t *dst, uint8_t letter, uint64_t group, uint64_t consumer)
{
    (void)stream_of_group(dst, letter, group);
    stream_put_u64(dst + OF_GROUP_SIZE, consumer);
    return slice_of(dst, CONSUMER_SIZE);
}

struct slice
stream_pending_key(uint8_t dst[PENDING_SIZE], uint64_t group,
                   struct stream_id id)
{
    (void)stream_of_group(dst, KEY_PENDING, group);
    stream_put_id(dst + OF_GROUP_SIZE, id);
    return slice_of(dst, PENDING_SIZE);
}

struct slice
stream_owned_key(uint8_t dst[OWNED_SIZE], uint64_t group, uint64_t consumer,
                 struct stream_id id)
{
    (void)of_consumer(dst, KEY_OWNED, group, consumer);
    stream_put_id(dst + CONSUMER_SIZE, id);
    return slice_of(dst, OWNED_SIZE);
}

struct slice
stream_consumer_key(struct stream *s, uint64_t group, uint64_t consumer,
                    struct slice name)
{
    buf_clear(&s->work);
    (void)of_consumer(buf_reserve(&s->work, CONSUMER_SIZE), KEY_CONSUMER, group,
                      consumer);
    s->work.len = CONSUMER_SIZE;
    buf_put_slice(&s->work, name);
    return buf_slice(&s->work);
}

struct slice
stream_group_key(struct stream *s, struct slice name)
{
    buf_clear(&s->work);
    buf_put_u8(&s->work, KEY_GROUP);
    buf_put_slice(&s->work, name);
    return buf_slice(&s->work);
}

struct slice
stream_name_key(struct stream *s, uint64_t group, struct slice name)
{
    buf_clear(&s->work);
    (void)stream_of_group(buf_reserve(&s->work, OF_GROUP_SIZE), KEY_NAME,
                          group);
    s->work.len = OF_GROUP_SIZE;
    buf_put_slice(&s->work, name);
    return buf_slice(&s->work);
}

/* --- values -------------------------------------------------------------- */

/* The value of an item that is never long; a blob is damage. */
static nq_rc
get_short(struct stream *s, struct slice key, struct slice *val)
{
    struct item it;
    nq_rc rc = coll_get(&s->coll, key, &it);

    if (rc != NQ_OK)
        return rc;
    return coll_val(&s->coll, &it, NULL, val);
}

static nq_rc
decode_group(struct slice name, struct slice val, struct stream_group *out)
{
    struct cursor c = cursor_of(val);
    uint64_t read;

    out->name = name;
    cursor_get_varint(&c, &out->number);
    stream_cursor_id(&c, &out->last);
    cursor_get_varint(&c, &read);
    cursor_get_varint(&c, &out->next_consumer);
    out->read = (int64_t)(read - 1);
    if (!cursor_ok(&c) || cursor_left(&c) > 0)
        return NQ_CORRUPT("a consumer group, %zu bytes", val.len);
    return NQ_OK;
}

struct slice
stream_encode_group(uint8_t *dst, const struct stream_group *g)
{
    size_t n = varint_encode(dst, g->number);

    stream_put_id(dst + n, g->last);
    n += STREAM_ID_SIZE;
    n += varint_encode(dst + n, (uint64_t)g->read + 1);
    n += varint_encode(dst + n, g->next_consumer);
    return slice_of(dst, n);
}

static nq_rc
decode_consumer(struct slice name, struct slice val,
                struct stream_consumer *out)
{
    struct cursor c = cursor_of(val);
    uint64_t active;

    out->name = name;
    cursor_get_varint(&c, &out->number);
    cursor_get_varint(&c, &out->seen_ms);
    cursor_get_varint(&c, &active);
    out->active_ms = (int64_t)(active - 1);
    if (!cursor_ok(&c) || cursor_left(&c) > 0)
        return NQ_CORRUPT("a consumer, %zu bytes", val.len);
    return NQ_OK;
}

struct slice
stream_encode_consumer(uint8_t *dst, const struct stream_consumer *c)
{
    size_t n = varint_encode(dst, c->number);

    n += varint_encode(dst + n, c->seen_ms);
    n += varint_encode(dst + n, (uint64_t)c->active_ms + 1);
    return slice_of(dst, n);
}

nq_rc
stream_decode_pending(struct slice val, struct stream_pending *out)
{
    struct cursor c = cursor_of(val);

    cursor_get_varint(&c, &out->consumer);
    cursor_get_varint(&c, &out->delivered_ms);
    cursor_get_varint(&c, &out->deliveries);
    if (!cursor_ok(&c) || cursor_left(&c) > 0)
        return NQ_CORRUPT("a pending entry, %zu bytes", val.len);
    return NQ_OK;
}

/* --- finding ------------------------------------------------------------- */

nq_rc
stream_group_find(struct stream *s, struct slice name, struct stream_group *out)
{
    struct slice val;
    nq_rc rc;

    if (name.len > STREAM_NAME_MAX)
        return NQ_NOTFOUND;
    if ((rc = get_short(s, stream_group_key(s, name), &val)) != NQ_OK)
        return rc;
    return decode_group(name, val, out);
}

nq_rc
stream_consumer_find(struct stream *s, const struct stream_group *g,
                     struct slice name, struct stream_consumer *out)
{
    struct slice val;
    nq_rc rc;

    if (name.len > STREAM_NAME_MAX)
        return NQ_NOTFOUND;
    rc = get_short(s, stream_name_key(s, g->number, name), &val);
    return rc == NQ_OK ? decode_consumer(name, val, out) : rc;
}

nq_rc
stream_consumer_name(struct stream *s, const struct stream_group *g,
                     uint64_t number, struct arena *arena, struct slice *out)
{
    uint8_t room[CONSUMER_SIZE];
    struct slice prefix = of_consumer(room, KEY_CONSUMER, g->number, number);
    struct coll_cursor cu;
    nq_rc rc;

    coll_cursor_init(&cu, &s->coll);
    rc = coll_seek(&cu, prefix, false);
    if (rc == NQ_OK && (!cu.valid || !slice_has_prefix(cu.key, prefix)))
        rc = NQ_CORRUPT("a consumer group without its consumer %llu",
                        (unsigned long long)number);
    if (rc == NQ_OK)
        *out = slice_of(
            arena_memdup(arena, cu.key.p + prefix.len, cu.key.len - prefix.len),
            cu.key.len - prefix.len);
    coll_cursor_fini(&cu);
    return rc;
}

nq_rc
stream_pending_find(struct stream *s, const struct stream_group *g,
                    struct stream_id id, struct stream_pending *out)
{
    uint8_t room[PENDING_SIZE];
    struct slice val;
    nq_rc rc = get_short(s, stream_pending_key(room, g->number, id), &val);

    out->id = id;
    return rc == NQ_OK ? stream_decode_pending(val, out) : rc;
}

/* --- counting ------------------------------------------------------------ */

nq_rc
stream_group_count(struct stream *s, uint64_t *out)
{
    const uint8_t letter = KEY_GROUP;

    return stream_prefix_count(s, slice_of(&letter, 1), out);
}

nq_rc
stream_consumer_count(struct stream *s, const struct stream_group *g,
                      uint64_t *out)
{
    uint8_t room[OF_GROUP_SIZE];

    return stream_prefix_count(
        s, stream_of_group(room, KEY_CONSUMER, g->number), out);
}

nq_rc
stream_pending_count(struct stream *s, const struct stream_group *g,
                     const struct stream_consumer *c, uint64_t *out)
{
    uint8_t room[CONSUMER_SIZE];

    return stream_prefix_count(
        s,
        c == NULL ? stream_of_group(room, KEY_PENDING, g->number)
                  : of_consumer(room, KEY_OWNED, g->number, c->number),
        out);
}

/* --- walking ------------------------------------------------------------- */

void
stream_walk_init(struct stream_walk *w, struct stream *s)
{
    w->valid = false;
    w->s = s;
    coll_cursor_init(&w->items, &s->coll);
}

void
stream_walk_fini(struct stream_walk *w)
{
    coll_cursor_fini(&w->items);
}

static struct slice
prefix_of(const struct stream_walk *w)
{
    return slice_of(w->prefix, w->prefix_len);
}

/* What the key of the item under it has behind the prefix. */
static struct slice
behind_prefix(const struct stream_walk *w)
{
    return slice_of(w->items.key.p + w->prefix_len,
                    w->items.key.len - w->prefix_len);
}

static nq_rc
settle(struct stream_walk *w, nq_rc rc)
{
    w->valid = rc == NQ_OK && w->items.valid &&
               slice_has_prefix(w->items.key, prefix_of(w));
    return rc;
}

/* To the first item at or behind `from` among those with the prefix, which
 * the caller has written. */
static nq_rc
walk_to(struct stream_walk *w, struct slice prefix, struct slice from)
{
    struct buf *work = &w->s->work;

    w->prefix_len = (uint8_t)prefix.len;
    buf_clear(work);
    buf_put_slice(work, prefix);
    buf_put_slice(work, from);
    return settle(w, coll_seek(&w->items, buf_slice(work), false));
}

nq_rc
stream_walk_groups(struct stream_walk *w, struct slice from)
{
    w->prefix[0] = KEY_GROUP;
    return walk_to(w, slice_of(w->prefix, 1), from);
}

nq_rc
stream_walk_group(struct stream_walk *w, struct stream_group *out)
{
    struct slice val;
    struct item it;
    nq_rc rc = coll_item(&w->items, &it);

    if (rc == NQ_OK)
        rc = coll_val(&w->s->coll, &it, NULL, &val);
    if (rc == NQ_OK)
        rc = decode_group(behind_prefix(w), val, out);
    return rc;
}

nq_rc
stream_walk_consumers(struct stream_walk *w, const struct stream_group *g,
                      struct slice from)
{
    w->g = g;
    return walk_to(w, stream_of_group(w->prefix, KEY_NAME, g->number), from);
}

nq_rc
stream_walk_consumer(struct stream_walk *w, struct stream_consumer *out)
{
    struct slice val;
    struct item it;
    nq_rc rc = coll_item(&w->items, &it);

    if (rc == NQ_OK)
        rc = coll_val(&w->s->coll, &it, NULL, &val);
    return rc == NQ_OK ? decode_consumer(behind_prefix(w), val, out) : rc;
}

nq_rc
stream_walk_pending(struct stream_walk *w, const struct stream_group *g,
                    const struct stream_consumer *c, struct stream_id from)
{
    uint8_t room[STREAM_ID_SIZE];

    w->g = g;
    w->c = c;
    stream_put_id(room, from);
    return walk_to(
        w,
        c == NULL ? stream_of_group(w->prefix, KEY_PENDING, g->number)
                  : of_consumer(w->prefix, KEY_OWNED, g->number, c->number),
        slice_of(room, sizeof room));
}

nq_rc
stream_walk_pending_at(struct stream_walk *w, struct stream_pending *out)
{
    struct slice id = behind_prefix(w), val;
    struct item it;
    nq_rc rc;

    if (id.len != STREAM_ID_SIZE)
        return NQ_CORRUPT("a pending entry with an id of %zu bytes", id.len);
    out->id = stream_get_id(id.p);
    if (w->c != NULL) {
        rc = stream_pending_find(w->s, w->g, out->id, out);
        if (rc == NQ_NOTFOUND)
            rc = NQ_CORRUPT("a consumer has an entry that is not pending");
        return rc;
    }
    rc = coll_item(&w->items, &it);
    if (rc == NQ_OK)
        rc = coll_val(&w->s->coll, &it, NULL, &val);
    return rc == NQ_OK ? stream_decode_pending(val, out) : rc;
}

nq_rc
stream_walk_next(struct stream_walk *w)
{
    return settle(w, coll_next(&w->items));
}

nq_rc
stream_pending_last(struct stream *s, const struct stream_group *g,
                    struct stream_id *out)
{
    uint8_t room[PENDING_SIZE], prefix[OF_GROUP_SIZE];
    struct coll_cursor cu;
    nq_rc rc;

    coll_cursor_init(&cu, &s->coll);
    rc = coll_seek_back(&cu, stream_pending_key(room, g->number, STREAM_ID_MAX),
                        false);
    if (rc == NQ_OK &&
        (!cu.valid || cu.key.len != PENDING_SIZE ||
         !slice_has_prefix(cu.key,
                           stream_of_group(prefix, KEY_PENDING, g->number))))
        rc = NQ_NOTFOUND;
    if (rc == NQ_OK)
        *out = stream_get_id(cu.key.p + OF_GROUP_SIZE);
    coll_cursor_fini(&cu);
    return rc;
}

/* --- what a group has read ----------------------------------------------- */

/* Whether entries may have been deleted behind `id`, as far as the stream
 * remembers: it knows the greatest one. */
static bool
has_holes_behind(const struct stream *s, struct stream_id id)
{
    return s->length > 0 && !stream_id_is_zero(s->max_deleted) &&
           stream_id_cmp(s->first, s->max_deleted) <= 0 &&
           stream_id_cmp(id, s->max_deleted) <= 0;
}

/* How many entries were ever added up to `id`, or STREAM_READ_UNKNOWN. */
static int64_t
position_of(const struct stream *s, struct stream_id id)
{
    int to_last = stream_id_cmp(id, s->last);
    int to_first = stream_id_cmp(id, s->first);

    if (s->added == 0)
        return 0;
    if (to_last == 0 || (s->length == 0 && to_last < 0))
        return (int64_t)s->added;
    if (to_last > 0 || to_first > 0)
        return STREAM_READ_UNKNOWN;
    if (!stream_id_is_zero(s->max_deleted) &&
        stream_id_cmp(s->max_deleted, s->first) >= 0)
        return STREAM_READ_UNKNOWN;
    return (int64_t)(s->added - s->length) + (to_first == 0);
}

bool
stream_group_lag(const struct stream *s, const struct stream_group *g,
                 int64_t *out)
{
    int64_t read = g->read;

    if (s->added == 0) {
        *out = 0;
        return true;
    }
    if (read == STREAM_READ_UNKNOWN || has_holes_behind(s, g->last))
        read = position_of(s, g->last);
    *out = (int64_t)(s->added - (uint64_t)read);
    return read != STREAM_READ_UNKNOWN;
}

void
stream_group_step(const struct stream *s, struct stream_group *g,
                  struct stream_id id)
{
    if (g->read != STREAM_READ_UNKNOWN && !has_holes_behind(s, id))
        g->read = (int64_t)((uint64_t)g->read + 1);
    else if (s->added > 0)
        g->read = position_of(s, id);
    g->last = id;
}
