/* db/stream_check.c - a stream against its invariants S1 to S4 (stream.c).
 *
 * Called by tests; every item is read, and its other half looked up. */
#include "db/stream_int.h"
#include "store/corrupt.h"

/* What was met so far. */
struct tally {
    uint64_t entries;
    struct stream_id first, last;
};

static nq_rc
has_key(struct stream *s, struct slice key)
{
    struct item it;
    nq_rc rc = coll_get(&s->coll, key, &it);

    if (rc == NQ_NOTFOUND)
        return NQ_CORRUPT("a stream has half of an item, without its %c",
                          key.p[0]);
    return rc;
}

static nq_rc
check_entry(struct stream *s, struct slice key, struct tally *t)
{
    struct stream_id id;

    if (key.len != STREAM_KEY_SIZE)
        return NQ_CORRUPT("key of an entry: %zu bytes", key.len);
    id = stream_get_id(key.p + 1);
    if (t->entries++ == 0)
        t->first = id;
    t->last = id;
    if (stream_id_cmp(id, s->last) > 0)
        return NQ_CORRUPT("an entry behind the last id");
    return NQ_OK;
}

static nq_rc
check_pending(struct stream *s, struct slice key, struct slice val)
{
    uint8_t room[OWNED_SIZE];
    struct stream_pending p;
    nq_rc rc = stream_decode_pending(val, &p);

    if (rc != NQ_OK)
        return rc;
    if (key.len != PENDING_SIZE)
        return NQ_CORRUPT("key of a pending entry: %zu bytes", key.len);
    p.id = stream_get_id(key.p + OF_GROUP_SIZE);
    return has_key(
        s, stream_owned_key(room, stream_get_u64(key.p + 1), p.consumer, p.id));
}

static nq_rc
check_owned(struct stream *s, struct slice key)
{
    uint8_t room[PENDING_SIZE];

    if (key.len != OWNED_SIZE)
        return NQ_CORRUPT("key of a consumer's entry: %zu bytes", key.len);
    return has_key(s, stream_pending_key(room, stream_get_u64(key.p + 1),
                                         stream_get_id(key.p + CONSUMER_SIZE)));
}

/* A consumer by number has one by name, of that number. */
static nq_rc
check_consumer(struct stream *s, struct slice key)
{
    struct stream_group g = {.name = slice_lit("")};
    struct stream_consumer c;
    nq_rc rc;

    if (key.len < CONSUMER_SIZE)
        return NQ_CORRUPT("key of a consumer: %zu bytes", key.len);
    g.number = stream_get_u64(key.p + 1);
    rc = stream_consumer_find(
        s, &g, slice_of(key.p + CONSUMER_SIZE, key.len - CONSUMER_SIZE), &c);
    if (rc == NQ_NOTFOUND ||
        (rc == NQ_OK && c.number != stream_get_u64(key.p + OF_GROUP_SIZE)))
        return NQ_CORRUPT("a consumer without its name");
    return rc;
}

/* And the other way round. */
static nq_rc
check_name(struct stream *s, struct slice key)
{
    struct stream_group g = {.name = slice_lit("")};
    struct stream_consumer c;
    struct slice name;
    nq_rc rc;

    if (key.len < OF_GROUP_SIZE)
        return NQ_CORRUPT("key of a name: %zu bytes", key.len);
    g.number = stream_get_u64(key.p + 1);
    name = slice_of(key.p + OF_GROUP_SIZE, key.len - OF_GROUP_SIZE);
    rc = stream_consumer_find(s, &g, name, &c);
    if (rc != NQ_OK)
        return rc;
    return has_key(s, stream_consumer_key(s, g.number, c.number, name));
}

static nq_rc
check_group(struct stream *s, struct slice key)
{
    struct stream_group g;
    nq_rc rc = stream_group_find(s, slice_of(key.p + 1, key.len - 1), &g);

    if (rc == NQ_OK && g.number >= s->next_group)
        return NQ_CORRUPT("group %llu of %llu", (unsigned long long)g.number,
                          (unsigned long long)s->next_group);
    return rc;
}

static nq_rc
check_item(struct stream *s, const struct item *it, struct tally *t)
{
    if (it->key.len == 0)
        return NQ_CORRUPT("an item of a stream without a key");
    switch (it->key.p[0]) {
    case KEY_ENTRY:
        return check_entry(s, it->key, t);
    case KEY_PENDING:
        return check_pending(s, it->key, it->val);
    case KEY_OWNED:
        return check_owned(s, it->key);
    case KEY_CONSUMER:
        return check_consumer(s, it->key);
    case KEY_NAME:
        return check_name(s, it->key);
    case KEY_GROUP:
        return check_group(s, it->key);
    default:
        return NQ_CORRUPT("an item of a stream: %c", it->key.p[0]);
    }
}

nq_rc
stream_check(struct stream *s)
{
    struct tally t = {0};
    struct coll_cursor cu;
    struct item it;
    nq_rc rc;

    coll_cursor_init(&cu, &s->coll);
    rc = coll_first(&cu);
    while (rc == NQ_OK && cu.valid) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK ||
            (rc = check_item(s, &it, &t)) != NQ_OK)
            break;
        rc = coll_next(&cu);
    }
    coll_cursor_fini(&cu);
    if (rc == NQ_OK &&
        (t.entries != s->length || stream_id_cmp(t.first, s->first) != 0))
        return NQ_CORRUPT("a stream has %llu entries and says %llu",
                          (unsigned long long)t.entries,
                          (unsigned long long)s->length);
    return rc;
}
