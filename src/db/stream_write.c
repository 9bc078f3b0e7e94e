/* db/stream_write.c - adding entries to a stream and taking them away.
 *
 * Effects, ids being 16 bytes big-endian:
 *
 *   XADD    varint: 0, or what MAXLEN trims to + 1 | id | the entry's value
 *   XTRIM   varint: what MAXLEN trims to
 *   XDEL    ids
 *   XSETID  last id | varint entries added | max deleted id
 *
 * However a trim was asked for, its effect says how many entries stay, so it
 * is the same trim when it is replayed, whatever the settings are then.
 *
 * What fails after coll_begin() may have done a part (coll.h): the effect
 * tells what was done, then the failure is reported. */
#include "base/mem.h"
#include "db/stream_int.h"

#define SMALL_ENTRY 1024 /* bytes that are encoded on the stack */

/* --- trimming ------------------------------------------------------------ */

/* What goes from the front of a stream, looked up before anything changes. */
struct cut {
    uint64_t n;             /* entries */
    struct stream_id first; /* what is left begins here; 0-0: nothing is left */
};

/* Of `n` entries that may go, those that make whole nodes. */
static uint64_t
whole_nodes(const struct stream *s, const struct stream_trim *t, uint64_t n,
            uint64_t total, uint64_t added)
{
    uint64_t size = db_limits(s->coll.db)->stream_node_max_entries;
    uint64_t gone = added - nq_min(added, total); /* before this trim */
    uint64_t end;

    if (t->limit != 0)
        n = nq_min(n, t->limit);
    if (size == 0 || n == total)
        return n;
    end = (gone + n) / size * size;
    return end > gone ? end - gone : 0;
}

/* Plans `t` for the stream as it will be with the entry `add` (NULL: none)
 * behind all others. */
static nq_rc
plan_cut(struct stream *s, const struct stream_trim *t,
         const struct stream_id *add, struct cut *out)
{
    uint64_t total = s->length + (add != NULL);
    struct coll_cursor cu;
    nq_rc rc = NQ_OK;

    *out = (struct cut){0};
    if (t->by == TRIM_MAXLEN && total > t->maxlen)
        out->n = total - t->maxlen;
    if (t->by == TRIM_MINID) {
        rc = stream_rank(s, t->minid, &out->n);
        out->n += add != NULL && stream_id_cmp(*add, t->minid) < 0;
    }
    if (rc == NQ_OK && t->is_approximate)
        out->n = whole_nodes(s, t, out->n, total, s->added + (add != NULL));
    if (rc != NQ_OK || out->n == 0 || out->n == total)
        return rc;
    if (out->n == s->length) {
        out->first = *add;
        return NQ_OK;
    }
    coll_cursor_init(&cu, &s->coll);
    rc = coll_nth(&cu, s->coll.count - s->length + out->n);
    if (rc == NQ_OK && (!cu.valid || cu.key.len != STREAM_KEY_SIZE))
        rc = NQ_ECORRUPT;
    if (rc == NQ_OK)
        out->first = stream_get_id(cu.key.p + 1);
    coll_cursor_fini(&cu);
    return rc;
}

/* `first` after entries went, as far as it can be known. */
static void
find_first(struct stream *s)
{
    struct stream_cursor cu;

    stream_cursor_init(&cu, s);
    if (stream_seek(&cu, STREAM_ID_MIN) == NQ_OK)
        s->first = cu.valid ? cu.id : STREAM_ID_MIN;
    stream_cursor_fini(&cu);
}

static nq_rc
apply_cut(struct stream *s, const struct cut *cut)
{
    const uint8_t letter = KEY_ENTRY;
    bool is_all = stream_id_is_zero(cut->first);
    uint8_t room[STREAM_KEY_SIZE];
    struct slice end = stream_key(room, cut->first);
    uint64_t removed = 0;
    nq_rc rc = coll_del_range(&s->coll, slice_of(&letter, 1),
                              is_all ? NULL : &end, &removed);

    nq_dassert(rc != NQ_OK || removed == cut->n);
    s->length -= nq_min(removed, s->length);
    if (rc == NQ_OK)
        s->first = cut->first;
    else
        find_first(s);
    return rc;
}

/* The pages at both ends of what is to go, and at `key`, if not NULL. */
static nq_rc
want_cut(struct stream *s, const struct cut *cut, const struct slice *key)
{
    uint8_t room[2][STREAM_KEY_SIZE];
    struct slice keys[3];
    unsigned n = 0;

    if (!stream_can_miss(s))
        return NQ_OK;
    if (key != NULL)
        keys[n++] = *key;
    if (cut->n > 0) {
        keys[n++] = stream_key(room[0], s->first);
        keys[n++] = stream_key(room[1], cut->first);
    }
    return coll_want(&s->coll, keys, n);
}

nq_rc
stream_trim(struct stream *s, const struct stream_trim *trim, uint64_t *removed)
{
    uint64_t before = s->length;
    uint8_t head[10];
    struct slice args[1];
    struct cut cut;
    nq_rc rc, done;

    *removed = 0;
    if ((rc = plan_cut(s, trim, NULL, &cut)) != NQ_OK || cut.n == 0)
        return rc;
    if ((rc = want_cut(s, &cut, NULL)) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK)
        return rc;
    done = apply_cut(s, &cut);
    *removed = before - s->length;
    if (*removed == 0)
        return done;
    args[0] = slice_of(head, varint_encode(head, s->length));
    rc = stream_commit(s, EFFECT_XTRIM, args, 1);
    if (rc == NQ_OK)
        stream_event(s, "xtrim");
    return rc != NQ_OK ? rc : done;
}

/* --- adding -------------------------------------------------------------- */

static size_t
entry_size(const struct slice *words, uint32_t pairs)
{
    size_t n = 1 + varint_size(pairs);

    for (uint64_t i = 0; i < 2 * (uint64_t)pairs; i++)
        n += varint_size(words[i].len) + words[i].len;
    return n;
}

static void
entry_encode(uint8_t *dst, const struct slice *words, uint32_t pairs)
{
    *dst++ = 0;
    dst += varint_encode(dst, pairs);
    for (uint64_t i = 0; i < 2 * (uint64_t)pairs; i++) {
        dst += varint_encode(dst, words[i].len);
        if (words[i].len > 0)
            memcpy(dst, words[i].p, words[i].len);
        dst += words[i].len;
    }
}

/* XADD of an encoded entry. */
static nq_rc
add_entry(struct stream *s, struct stream_id id, struct slice val,
          const struct stream_trim *trim)
{
    uint8_t room[STREAM_KEY_SIZE], head[10 + STREAM_ID_SIZE];
    struct slice key = stream_key(room, id), args[2];
    struct cut cut;
    size_t len;
    nq_rc rc, done = NQ_OK;

    nq_assert(stream_id_cmp(id, s->last) > 0);
    if ((rc = plan_cut(s, trim, &id, &cut)) != NQ_OK ||
        (rc = want_cut(s, &cut, &key)) != NQ_OK ||
        (rc = coll_begin(&s->coll)) != NQ_OK ||
        (rc = coll_put(&s->coll, key, val, 0, NULL)) != NQ_OK)
        return rc;
    if (s->length++ == 0)
        s->first = id;
    s->added++;
    s->last = id;
    if (cut.n > 0)
        done = apply_cut(s, &cut);
    len = varint_encode(head, cut.n > 0 ? s->length + 1 : 0);
    stream_put_id(head + len, id);
    args[0] = slice_of(head, len + STREAM_ID_SIZE);
    args[1] = val;
    if ((rc = stream_commit(s, EFFECT_XADD, args, 2)) != NQ_OK)
        return rc;
    stream_event(s, "xadd");
    if (cut.n > 0)
        stream_event(s, "xtrim");
    return done;
}

nq_rc
stream_add(struct stream *s, struct stream_id id, const struct slice *words,
           uint32_t pairs, const struct stream_trim *trim)
{
    size_t n = entry_size(words, pairs);
    uint8_t small[SMALL_ENTRY], *val = small;
    nq_rc rc = db_may_grow(s->coll.db);

    if (rc != NQ_OK)
        return rc;
    if (n > sizeof small)
        val = nq_malloc(n);
    entry_encode(val, words, pairs);
    rc = add_entry(s, id, slice_of(val, n), trim);
    if (val != small)
        nq_free(val);
    return rc;
}

/* --- deleting ------------------------------------------------------------ */

/* Puts those of `ids` that are entries into `out`, as effect and keys want
 * them. */
static nq_rc
find_entries(struct stream *s, const struct stream_id *ids, uint32_t n,
             struct stream_keys *out)
{
    nq_rc rc = NQ_OK;
    struct item it;

    for (uint32_t i = 0; i < n; i++)
        stream_keys_add(out, stream_key(stream_keys_room(out), ids[i]));
    if (stream_can_miss(s))
        rc = coll_want(&s->coll, out->keys, out->n);
    out->n = 0;
    for (uint32_t i = 0; i < n && rc == NQ_OK; i++) {
        struct slice key = out->keys[i];

        rc = coll_get(&s->coll, key, &it);
        if (rc == NQ_OK)
            stream_keys_add(out, key);
        else if (rc == NQ_NOTFOUND)
            rc = NQ_OK;
    }
    return rc;
}

/* Deletes what it finds of `keys`, and puts the ids of that into `ids`. */
static nq_rc
del_entries(struct stream *s, const struct stream_keys *keys, struct buf *ids)
{
    bool is_first = false;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < keys->n && rc == NQ_OK; i++) {
        struct stream_id id = stream_get_id(keys->keys[i].p + 1);

        rc = coll_del(&s->coll, keys->keys[i]);
        if (rc == NQ_NOTFOUND) { /* it was named twice */
            rc = NQ_OK;
            continue;
        }
        if (rc != NQ_OK)
            break;
        buf_put(ids, keys->keys[i].p + 1, STREAM_ID_SIZE);
        s->length--;
        is_first |= stream_id_cmp(id, s->first) == 0;
        if (stream_id_cmp(id, s->max_deleted) > 0)
            s->max_deleted = id;
    }
    if (is_first)
        find_first(s);
    return rc;
}

static nq_rc
del_found(struct stream *s, const struct stream_keys *keys, uint64_t *removed)
{
    uint64_t before = s->length;
    struct slice args[1];
    nq_rc rc, done;

    if ((rc = coll_begin(&s->coll)) != NQ_OK)
        return rc;
    buf_clear(&s->work);
    done = del_entries(s, keys, &s->work);
    *removed = before - s->length;
    if (*removed == 0)
        return done;
    args[0] = buf_slice(&s->work);
    rc = stream_commit(s, EFFECT_XDEL, args, 1);
    if (rc == NQ_OK)
        stream_event(s, "xdel");
    return rc != NQ_OK ? rc : done;
}

nq_rc
stream_del(struct stream *s, const struct stream_id *ids, uint32_t n,
           uint64_t *removed)
{
    struct stream_keys keys;
    nq_rc rc;

    *removed = 0;
    stream_keys_init(&keys, n);
    rc = find_entries(s, ids, n, &keys);
    if (rc == NQ_OK && keys.n > 0)
        rc = del_found(s, &keys, removed);
    stream_keys_fini(&keys);
    return rc;
}

/* --- the rest ------------------------------------------------------------ */

nq_rc
stream_set_id(struct stream *s, struct stream_id last, const uint64_t *added,
              const struct stream_id *max_deleted)
{
    uint8_t bytes[2 * STREAM_ID_SIZE + 10];
    size_t n = STREAM_ID_SIZE;
    struct slice args[1];
    nq_rc rc = coll_begin(&s->coll);

    if (rc != NQ_OK)
        return rc;
    s->last = last;
    if (added != NULL)
        s->added = *added;
    if (max_deleted != NULL)
        s->max_deleted = *max_deleted;
    stream_put_id(bytes, last);
    n += varint_encode(bytes + n, s->added);
    stream_put_id(bytes + n, s->max_deleted);
    args[0] = slice_of(bytes, n + STREAM_ID_SIZE);
    rc = stream_commit(s, EFFECT_XSETID, args, 1);
    if (rc == NQ_OK)
        stream_event(s, "xsetid");
    return rc;
}

/* --- replay -------------------------------------------------------------- */

nq_rc
stream_apply_add(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct stream_trim trim = {.by = TRIM_NONE};
    struct entry e = {0};
    struct stream_id id;
    struct stream s;
    struct slice val;
    uint64_t keep;
    nq_rc rc;

    cursor_get_varint(&c, &keep);
    stream_cursor_id(&c, &id);
    cursor_get_bytes(&c, cursor_left(&c), &val);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    if (keep > 0)
        trim = (struct stream_trim){.by = TRIM_MAXLEN, .maxlen = keep - 1};
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK && stream_id_cmp(id, s.last) <= 0)
        rc = NQ_EFORMAT;
    if (rc == NQ_OK)
        rc = add_entry(&s, id, val, &trim);
    stream_close(&s);
    return rc;
}

nq_rc
stream_apply_trim(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct stream_trim trim = {.by = TRIM_MAXLEN};
    struct entry e = {0};
    struct stream s;
    uint64_t removed;
    nq_rc rc;

    cursor_get_varint(&c, &trim.maxlen);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_trim(&s, &trim, &removed);
    stream_close(&s);
    return rc;
}

nq_rc
stream_apply_del(struct db *db, const struct wal_record *r)
{
    uint32_t n = (uint32_t)(r->args.len / STREAM_ID_SIZE);
    struct stream_id *ids;
    struct entry e = {0};
    struct stream s;
    uint64_t removed;
    nq_rc rc;

    if (r->args.len % STREAM_ID_SIZE != 0)
        return NQ_EFORMAT;
    ids = nq_malloc((n + 1) * sizeof *ids);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = stream_get_id(r->args.p + (size_t)i * STREAM_ID_SIZE);
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_del(&s, ids, n, &removed);
    stream_close(&s);
    nq_free(ids);
    return rc;
}

nq_rc
stream_apply_set_id(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct stream_id last, max_deleted;
    struct entry e = {0};
    struct stream s;
    uint64_t added;
    nq_rc rc;

    stream_cursor_id(&c, &last);
    cursor_get_varint(&c, &added);
    stream_cursor_id(&c, &max_deleted);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    rc = stream_open_replay(db, r, &e, &s);
    if (rc == NQ_OK)
        rc = stream_set_id(&s, last, &added, &max_deleted);
    stream_close(&s);
    return rc;
}
