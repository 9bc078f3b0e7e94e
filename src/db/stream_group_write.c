/* db/stream_group_write.c - making, setting and removing consumer groups and
 * consumers, and acknowledging.
 *
 * Effects; every one begins with the group's name (varint length, bytes):
 *
 *   XGROUP_CREATE, XGROUP_SETID   last id | varint entries read + 1
 *   XGROUP_DESTROY                nothing more
 *   XGROUP_CREATECONSUMER         varint wall ms | the consumer's name
 *   XGROUP_DELCONSUMER            the consumer's name
 *   XACK                          ids */
#include "base/mem.h"
#include "db/stream_int.h"

/* The effect's arguments: a head with the group's name, then `tail`. */
static nq_rc
commit_for_group(struct stream *s, uint8_t effect, struct slice group,
                 struct slice tail1, struct slice tail2)
{
    uint8_t head[10];
    const struct slice args[] = {slice_of(head, varint_encode(head, group.len)),
                                 group, tail1, tail2};

    return stream_commit(s, effect, args, nq_countof(args));
}

/* --- groups -------------------------------------------------------------- */

static nq_rc
want_key(struct stream *s, struct slice key)
{
    return stream_can_miss(s) ? coll_want(&s->coll, &key, 1) : NQ_OK;
}

/* Writes the group and commits. */
static nq_rc
put_group(struct stream *s, const struct stream_group *g, uint8_t effect,
          const char *event)
{
    uint8_t room[GROUP_VALUE_MAX], tail[STREAM_ID_SIZE + 10];
    size_t n = STREAM_ID_SIZE;
    struct slice key = stream_group_key(s, g->name);
    nq_rc rc;

    if ((rc = want_key(s, key)) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK ||
        (rc = coll_put(&s->coll, key, stream_encode_group(room, g), 0, NULL)) !=
            NQ_OK)
        return rc;
    stream_put_id(tail, g->last);
    n += varint_encode(tail + n, (uint64_t)g->read + 1);
    rc = commit_for_group(s, effect, g->name, slice_of(tail, n), slice_lit(""));
    if (rc == NQ_OK)
        stream_event(s, event);
    return rc;
}

nq_rc
stream_group_create(struct stream *s, struct slice name, struct stream_id last,
                    int64_t read)
{
    struct stream_group g;
    nq_rc rc = stream_group_find(s, name, &g);

    if (rc == NQ_OK)
        return NQ_EEXISTS;
    if (rc != NQ_NOTFOUND)
        return rc;
    if (name.len > STREAM_NAME_MAX)
        return NQ_EKEYLEN;
    if ((rc = db_may_grow(s->coll.db)) != NQ_OK)
        return rc;
    g = (struct stream_group){
        .name = name, .number = s->next_group, .last = last, .read = read};
    s->next_group++;
    return put_group(s, &g, EFFECT_XGROUP_CREATE, "xgroup-create");
}

nq_rc
stream_group_set_id(struct stream *s, struct slice name, struct stream_id last,
                    int64_t read)
{
    struct stream_group g;
    nq_rc rc = stream_group_find(s, name, &g);

    if (rc != NQ_OK)
        return rc;
    g.last = last;
    g.read = read;
    return put_group(s, &g, EFFECT_XGROUP_SETID, "xgroup-setid");
}

/* All that is the group's but its own item. */
static nq_rc
del_of_group(struct stream *s, uint64_t group)
{
    static const uint8_t letters[] = {KEY_CONSUMER, KEY_NAME, KEY_PENDING,
                                      KEY_OWNED};
    uint8_t room[2][OF_GROUP_SIZE];
    uint64_t removed;
    nq_rc rc = NQ_OK;

    for (size_t i = 0; i < sizeof letters && rc == NQ_OK; i++) {
        struct slice lo = stream_of_group(room[0], letters[i], group);
        struct slice hi = stream_prefix_end(room[1], lo);

        rc = coll_del_range(&s->coll, lo, &hi, &removed);
    }
    return rc;
}

nq_rc
stream_group_destroy(struct stream *s, struct slice name)
{
    struct stream_group g;
    nq_rc rc, done;

    if ((rc = stream_group_find(s, name, &g)) != NQ_OK ||
        (rc = want_key(s, stream_group_key(s, name))) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK ||
        (rc = coll_del(&s->coll, stream_group_key(s, name))) != NQ_OK)
        return rc;
    /* Once the group is gone nobody finds what may be left of it. */
    done = del_of_group(s, g.number);
    rc = commit_for_group(s, EFFECT_XGROUP_DESTROY, name, slice_lit(""),
                          slice_lit(""));
    if (rc == NQ_OK)
        stream_event(s, "xgroup-destroy");
    return rc != NQ_OK ? rc : done;
}

/* --- consumers ----------------------------------------------------------- */

nq_rc
stream_put_consumer(struct stream *s, const struct stream_group *g,
                    const struct stream_consumer *c, bool is_new)
{
    uint8_t room[GROUP_VALUE_MAX];
    nq_rc rc = NQ_OK;

    if (is_new)
        rc = coll_put(&s->coll,
                      stream_consumer_key(s, g->number, c->number, c->name),
                      slice_lit(""), 0, NULL);
    if (rc == NQ_OK)
        rc = coll_put(&s->coll, stream_name_key(s, g->number, c->name),
                      stream_encode_consumer(room, c), 0, NULL);
    return rc;
}

nq_rc
stream_find_or_make(struct stream *s, struct stream_group *g, struct slice name,
                    uint64_t now_ms, struct stream_consumer *out, bool *is_new)
{
    nq_rc rc = stream_consumer_find(s, g, name, out);

    *is_new = rc == NQ_NOTFOUND;
    if (rc != NQ_NOTFOUND)
        return rc;
    if (name.len > STREAM_NAME_MAX)
        return NQ_EKEYLEN;
    *out = (struct stream_consumer){.name = name,
                                    .number = g->next_consumer++,
                                    .seen_ms = now_ms,
                                    .active_ms = STREAM_NEVER};
    return db_may_grow(s->coll.db);
}

nq_rc
stream_want_consumer(struct stream *s, const struct stream_group *g,
                     const struct stream_consumer *c, bool is_new)
{
    nq_rc rc[3] = {NQ_OK, NQ_OK, NQ_OK};

    if (!stream_can_miss(s))
        return NQ_OK;
    rc[0] = want_key(s, stream_group_key(s, g->name));
    rc[1] = want_key(s, stream_name_key(s, g->number, c->name));
    if (is_new)
        rc[2] =
            want_key(s, stream_consumer_key(s, g->number, c->number, c->name));
    return rc[0] != NQ_OK ? rc[0] : rc[1] != NQ_OK ? rc[1] : rc[2];
}

nq_rc
stream_consumer_create(struct stream *s, struct slice group, struct slice name,
                       uint64_t now_ms, bool *is_new)
{
    uint8_t room[GROUP_VALUE_MAX], when[10];
    struct stream_consumer c;
    struct stream_group g;
    nq_rc rc;

    *is_new = false;
    if ((rc = stream_group_find(s, group, &g)) != NQ_OK ||
        (rc = stream_find_or_make(s, &g, name, now_ms, &c, is_new)) != NQ_OK ||
        !*is_new || (rc = stream_want_consumer(s, &g, &c, true)) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK ||
        (rc = stream_put_consumer(s, &g, &c, true)) != NQ_OK ||
        (rc = coll_put(&s->coll, stream_group_key(s, group),
                       stream_encode_group(room, &g), 0, NULL)) != NQ_OK)
        return rc;
    rc = commit_for_group(s, EFFECT_XGROUP_CREATECONSUMER, group,
                          slice_of(when, varint_encode(when, now_ms)), name);
    if (rc == NQ_OK)
        stream_event(s, "xgroup-createconsumer");
    return rc;
}

/* The ids of all that is pending for the consumer. */
static nq_rc
owned_ids(struct stream *s, const struct stream_group *g,
          const struct stream_consumer *c, struct buf *ids)
{
    struct stream_walk w;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_pending(&w, g, c, STREAM_ID_MIN);
    while (rc == NQ_OK && w.valid) {
        buf_put(ids, w.items.key.p + CONSUMER_SIZE, STREAM_ID_SIZE);
        rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    return rc;
}

/* Their keys, by group and by consumer. */
static void
pending_keys(const struct stream_group *g, const struct stream_consumer *c,
             struct slice ids, struct stream_keys *out)
{
    for (size_t at = 0; at < ids.len; at += STREAM_ID_SIZE) {
        struct stream_id id = stream_get_id(ids.p + at);

        stream_keys_add(
            out, stream_pending_key(stream_keys_room(out), g->number, id));
        stream_keys_add(out, stream_owned_key(stream_keys_room(out), g->number,
                                              c->number, id));
    }
}

/* Deletes all these; some may be gone already. */
static nq_rc
del_keys(struct stream *s, const struct stream_keys *keys)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < keys->n && rc == NQ_OK; i++) {
        rc = coll_del(&s->coll, keys->keys[i]);
        if (rc == NQ_NOTFOUND)
            rc = NQ_OK;
    }
    return rc;
}

static nq_rc
delete_consumer(struct stream *s, const struct stream_group *g,
                const struct stream_consumer *c, const struct stream_keys *keys)
{
    nq_rc rc, done;

    if (stream_can_miss(s) &&
        (rc = coll_want(&s->coll, keys->keys, keys->n)) != NQ_OK)
        return rc;
    if ((rc = stream_want_consumer(s, g, c, true)) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK)
        return rc;
    /* The name goes last: until then nothing is without its consumer. */
    done = del_keys(s, keys);
    if (done == NQ_OK)
        done = coll_del(&s->coll, stream_name_key(s, g->number, c->name));
    if (done == NQ_OK)
        done = coll_del(&s->coll,
                        stream_consumer_key(s, g->number, c->number, c->name));
    rc = commit_for_group(s, EFFECT_XGROUP_DELCONSUMER, g->name, c->name,
                          slice_lit(""));
    if (rc == NQ_OK)
        stream_event(s, "xgroup-delconsumer");
    return rc != NQ_OK ? rc : done;
}

nq_rc
stream_consumer_delete(struct stream *s, struct slice group, struct slice name,
                       uint64_t *pending)
{
    struct buf ids = BUF_INIT;
    struct stream_consumer c;
    struct stream_keys keys;
    struct stream_group g;
    nq_rc rc;

    *pending = 0;
    if ((rc = stream_group_find(s, group, &g)) != NQ_OK ||
        (rc = stream_consumer_find(s, &g, name, &c)) != NQ_OK)
        return rc;
    if ((rc = owned_ids(s, &g, &c, &ids)) == NQ_OK) {
        *pending = ids.len / STREAM_ID_SIZE;
        stream_keys_init(&keys, (unsigned)(2 * *pending + 1));
        pending_keys(&g, &c, buf_slice(&ids), &keys);
        rc = delete_consumer(s, &g, &c, &keys);
        stream_keys_fini(&keys);
    }
    buf_fini(&ids);
    return rc;
}

/* --- acknowledging ------------------------------------------------------- */

/* Of the keys by group in `keys` those that are there stay, each followed by
 * the same entry's key by consumer. */
static nq_rc
find_owners(struct stream *s, const struct stream_group *g,
            const struct stream_keys *keys, struct stream_keys *out)
{
    struct stream_pending p;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < keys->n && rc == NQ_OK; i++) {
        struct stream_id id = stream_get_id(keys->keys[i].p + OF_GROUP_SIZE);

        rc = stream_pending_find(s, g, id, &p);
        if (rc == NQ_OK) {
            stream_keys_add(out, keys->keys[i]);
            stream_keys_add(out, stream_owned_key(stream_keys_room(out),
                                                  g->number, p.consumer, id));
        } else if (rc == NQ_NOTFOUND) {
            rc = NQ_OK;
        }
    }
    return rc;
}

/* Deletes the pairs of keys; the ids of what was deleted go into `ids`. */
static nq_rc
ack_keys(struct stream *s, const struct stream_keys *keys, struct buf *ids)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < keys->n && rc == NQ_OK; i += 2) {
        rc = coll_del(&s->coll, keys->keys[i]);
        if (rc == NQ_NOTFOUND) { /* it was named twice */
            rc = NQ_OK;
            continue;
        }
        if (rc == NQ_OK) {
            buf_put(ids, keys->keys[i].p + OF_GROUP_SIZE, STREAM_ID_SIZE);
            rc = coll_del(&s->coll, keys->keys[i + 1]);
        }
    }
    return rc;
}

static nq_rc
ack_found(struct stream *s, struct slice group, const struct stream_keys *keys,
          uint64_t *acked)
{
    nq_rc rc, done;

    if (stream_can_miss(s) &&
        (rc = coll_want(&s->coll, keys->keys, keys->n)) != NQ_OK)
        return rc;
    if ((rc = coll_begin(&s->coll)) != NQ_OK)
        return rc;
    buf_clear(&s->work);
    done = ack_keys(s, keys, &s->work);
    *acked = s->work.len / STREAM_ID_SIZE;
    if (*acked == 0)
        return done;
    rc = commit_for_group(s, EFFECT_XACK, group, buf_slice(&s->work),
                          slice_lit(""));
    return rc != NQ_OK ? rc : done;
}

nq_rc
stream_ack(struct stream *s, struct slice group, const struct stream_id *ids,
           uint32_t n, uint64_t *acked)
{
    struct stream_keys keys, found;
    struct stream_group g;
    nq_rc rc;

    *acked = 0;
    if ((rc = stream_group_find(s, group, &g)) != NQ_OK)
        return rc;
    stream_keys_init(&keys, n);
    stream_keys_init(&found, 2 * n);
    for (uint32_t i = 0; i < n; i++)
        stream_keys_add(&keys, stream_pending_key(stream_keys_room(&keys),
                                                  g.number, ids[i]));
    if (stream_can_miss(s))
        rc = coll_want(&s->coll, keys.keys, keys.n);
    if (rc == NQ_OK)
        rc = find_owners(s, &g, &keys, &found);
    if (rc == NQ_OK && found.n > 0)
        rc = ack_found(s, group, &found, acked);
    stream_keys_fini(&found);
    stream_keys_fini(&keys);
    return rc;
}

/* --- replay -------------------------------------------------------------- */

static nq_rc
apply_to_group(struct db *db, const struct wal_record *r, bool is_create)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    struct stream_id last;
    struct stream s;
    struct slice name;
    uint64_t read;
    nq_rc rc;

    cursor_get_slice(&c, &name);
    stream_cursor_id(&c, &last);
    cursor_get_varint(&c, &read);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = is_create
                 ? stream_group_create(&s, name, last, (int64_t)(read - 1))
                 : stream_group_set_id(&s, name, last, (int64_t)(read - 1));
    stream_close(&s);
    return rc;
}

nq_rc
stream_apply_group_create(struct db *db, const struct wal_record *r)
{
    return apply_to_group(db, r, true);
}

nq_rc
stream_apply_group_set_id(struct db *db, const struct wal_record *r)
{
    return apply_to_group(db, r, false);
}

nq_rc
stream_apply_group_destroy(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    struct stream s;
    struct slice name;
    nq_rc rc;

    cursor_get_slice(&c, &name);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_group_destroy(&s, name);
    stream_close(&s);
    return rc;
}

nq_rc
stream_apply_consumer_create(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct slice group, name;
    struct entry e = {0};
    struct stream s;
    uint64_t now_ms;
    bool is_new;
    nq_rc rc;

    cursor_get_slice(&c, &group);
    cursor_get_varint(&c, &now_ms);
    cursor_get_bytes(&c, cursor_left(&c), &name);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_consumer_create(&s, group, name, now_ms, &is_new);
    stream_close(&s);
    return rc;
}

nq_rc
stream_apply_consumer_delete(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct slice group, name;
    struct entry e = {0};
    struct stream s;
    uint64_t pending;
    nq_rc rc;

    cursor_get_slice(&c, &group);
    cursor_get_bytes(&c, cursor_left(&c), &name);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_consumer_delete(&s, group, name, &pending);
    stream_close(&s);
    return rc;
}

nq_rc
stream_apply_ack(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct stream_id *ids;
    struct entry e = {0};
    struct stream s;
    struct slice group;
    uint64_t acked;
    uint32_t n;
    nq_rc rc;

    cursor_get_slice(&c, &group);
    n = (uint32_t)(cursor_left(&c) / STREAM_ID_SIZE);
    if (!cursor_ok(&c) || cursor_left(&c) % STREAM_ID_SIZE != 0)
        return NQ_EFORMAT;
    ids = nq_malloc((n + 1) * sizeof *ids);
    for (uint32_t i = 0; i < n; i++)
        stream_cursor_id(&c, &ids[i]);
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_ack(&s, group, ids, n, &acked);
    stream_close(&s);
    nq_free(ids);
    return rc;
}
