/* db/stream.c - streams: opening them and reading their entries.
 *
 * A stream is one collection; its keys are told in stream_int.h.  Its head:
 *
 *   0  u64 entries | u64 entries ever added | u64 next group's number
 *   24 id last | id first | id max deleted                 all big-endian
 *
 * and the value of an entry:
 *
 *   0  u8 0 | varint pairs | 2 * pairs times: varint length, bytes
 *
 * (The zero leaves room for entries that share their field names.)
 *
 *   S1  `length` counts the items with keys of entries
 *   S2  `first` is the id of the first of them, 0-0 if there is none
 *   S3  no entry has an id above `last`
 *   S4  each 'p' has its 'q', each 'c' its 'n', and the other way round */
#include "db/stream.h"

#include "base/mem.h"
#include "db/stream_int.h"
#include "store/corrupt.h"

#define FORM_PLAIN 0

/* --- ids ----------------------------------------------------------------- */

int
stream_id_cmp(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

bool
stream_id_is_zero(struct stream_id id)
{
    return id.ms == 0 && id.seq == 0;
}

bool
stream_id_next(struct stream_id *id)
{
    if (id->seq < UINT64_MAX) {
        id->seq++;
        return true;
    }
    if (id->ms == UINT64_MAX)
        return false;
    *id = (struct stream_id){id->ms + 1, 0};
    return true;
}

bool
stream_id_prev(struct stream_id *id)
{
    if (id->seq > 0) {
        id->seq--;
        return true;
    }
    if (id->ms == 0)
        return false;
    *id = (struct stream_id){id->ms - 1, UINT64_MAX};
    return true;
}

size_t
stream_id_text(char dst[STREAM_ID_TEXT], struct stream_id id)
{
    size_t n = u64_to_text(dst, id.ms);

    dst[n] = '-';
    return n + 1 + u64_to_text(dst + n + 1, id.seq);
}

bool
stream_cursor_id(struct cursor *c, struct stream_id *out)
{
    struct slice bytes;

    *out = STREAM_ID_MIN;
    if (!cursor_get_bytes(c, STREAM_ID_SIZE, &bytes))
        return false;
    *out = stream_get_id(bytes.p);
    return true;
}

/* --- keys ---------------------------------------------------------------- */

struct slice
stream_key(uint8_t dst[STREAM_KEY_SIZE], struct stream_id id)
{
    dst[0] = KEY_ENTRY;
    stream_put_id(dst + 1, id);
    return slice_of(dst, STREAM_KEY_SIZE);
}

struct slice
stream_prefix_end(uint8_t *dst, struct slice prefix)
{
    size_t i = prefix.len;

    memcpy(dst, prefix.p, prefix.len);
    /* Letters are below 255, so the carry ends there at the latest. */
    while (++dst[--i] == 0)
        ;
    return slice_of(dst, prefix.len);
}

nq_rc
stream_prefix_count(struct stream *s, struct slice prefix, uint64_t *out)
{
    uint8_t room[CONSUMER_SIZE];
    uint64_t lo, hi;
    nq_rc rc = coll_rank(&s->coll, prefix, &lo);

    *out = 0;
    if (rc == NQ_OK)
        rc = coll_rank(&s->coll, stream_prefix_end(room, prefix), &hi);
    if (rc == NQ_OK)
        *out = hi - lo;
    return rc;
}

/* --- opening ------------------------------------------------------------- */

static nq_rc
decode_head(struct stream *s)
{
    const uint8_t *head = s->coll.head;

    s->length = stream_get_u64(head);
    s->added = stream_get_u64(head + 8);
    s->next_group = stream_get_u64(head + 16);
    s->last = stream_get_id(head + 24);
    s->first = stream_get_id(head + 40);
    s->max_deleted = stream_get_id(head + 56);
    if (s->length > s->coll.count)
        return NQ_CORRUPT("a stream of %llu items says that it has %llu "
                          "entries",
                          (unsigned long long)s->coll.count,
                          (unsigned long long)s->length);
    return NQ_OK;
}

static void
encode_head(struct stream *s)
{
    uint8_t *head = s->coll.head;

    stream_put_u64(head, s->length);
    stream_put_u64(head + 8, s->added);
    stream_put_u64(head + 16, s->next_group);
    stream_put_id(head + 24, s->last);
    stream_put_id(head + 40, s->first);
    stream_put_id(head + 56, s->max_deleted);
}

nq_rc
stream_open(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
            bool found, struct stream *out)
{
    nq_rc rc = coll_open(db, dbi, key, DB_STREAM, e, found, STREAM_HEAD_SIZE,
                         &out->coll);

    out->work = BUF_INIT;
    if (rc != NQ_OK)
        return rc;
    out->coll.keep_empty = true;
    return decode_head(out);
}

void
stream_close(struct stream *s)
{
    coll_close(&s->coll);
    buf_fini(&s->work);
}

uint64_t
stream_length(const struct entry *e)
{
    struct slice head;

    if (!coll_record_head(&e->rec, &head, STREAM_HEAD_SIZE))
        return 0;
    return stream_get_u64(head.p);
}

nq_rc
stream_open_replay(struct db *db, const struct wal_record *r, struct entry *e,
                   struct stream *out)
{
    nq_rc found = db_find(db, r->db, r->key, e), rc;

    if (found == NQ_OK && e->rec.type != DB_STREAM)
        found = NQ_ECORRUPT;
    rc = stream_open(db, r->db, r->key, e, found == NQ_OK, out);
    return found == NQ_OK || found == NQ_NOTFOUND ? rc : found;
}

nq_rc
stream_commit(struct stream *s, uint8_t effect, const struct slice *args,
              unsigned n)
{
    encode_head(s);
    return coll_commit(&s->coll, effect, args, n, NULL);
}

void
stream_event(struct stream *s, const char *event)
{
    db_event(s->coll.db, s->coll.dbi, EVENT_STREAM, event, s->coll.key);
}

/* --- keys to be wanted --------------------------------------------------- */

void
stream_keys_init(struct stream_keys *k, unsigned cap)
{
    k->keys = nq_malloc(cap * (sizeof *k->keys + OWNED_SIZE));
    k->room = (uint8_t *)(k->keys + cap);
    k->n = 0;
}

void
stream_keys_fini(struct stream_keys *k)
{
    nq_free(k->keys);
}

uint8_t *
stream_keys_room(struct stream_keys *k)
{
    k->room += OWNED_SIZE;
    return k->room - OWNED_SIZE;
}

void
stream_keys_add(struct stream_keys *k, struct slice key)
{
    k->keys[k->n++] = key;
}

/* --- entries ------------------------------------------------------------- */

nq_rc
stream_decode_entry(struct slice val, struct stream_fields *out)
{
    struct cursor c = cursor_of(val);
    struct slice word;
    uint8_t form;

    cursor_get_u8(&c, &form);
    cursor_get_varint(&c, &out->pairs);
    out->at = c;
    if (form == FORM_PLAIN && out->pairs <= val.len)
        for (uint64_t i = 0; i < 2 * out->pairs; i++)
            cursor_get_slice(&c, &word);
    if (!cursor_ok(&c) || form != FORM_PLAIN || cursor_left(&c) > 0)
        return NQ_CORRUPT("an entry of a stream, %zu bytes, form %u", val.len,
                          form);
    return NQ_OK;
}

nq_rc
stream_item(struct coll *c, const struct item *it, struct arena *arena,
            struct stream_id *id, struct stream_fields *out)
{
    struct slice val;
    nq_rc rc;

    if (it->key.len != STREAM_KEY_SIZE || it->key.p[0] != KEY_ENTRY)
        return NQ_CORRUPT("a key of %zu bytes among the entries of a stream",
                          it->key.len);
    *id = stream_get_id(it->key.p + 1);
    if ((rc = coll_val(c, it, arena, &val)) != NQ_OK)
        return rc;
    return stream_decode_entry(val, out);
}

void
stream_cursor_init(struct stream_cursor *cu, struct stream *s)
{
    cu->valid = false;
    cu->s = s;
    coll_cursor_init(&cu->items, &s->coll);
}

void
stream_cursor_fini(struct stream_cursor *cu)
{
    coll_cursor_fini(&cu->items);
}

/* Whether the cursor stands on an entry now, and which. */
static nq_rc
settle(struct stream_cursor *cu, nq_rc rc)
{
    struct slice key = cu->items.key;

    cu->valid = false;
    if (rc != NQ_OK || !cu->items.valid || key.len == 0 ||
        key.p[0] != KEY_ENTRY)
        return rc;
    if (key.len != STREAM_KEY_SIZE)
        return NQ_CORRUPT("an entry of a stream has a key of %zu bytes",
                          key.len);
    cu->id = stream_get_id(key.p + 1);
    cu->valid = true;
    return NQ_OK;
}

nq_rc
stream_seek(struct stream_cursor *cu, struct stream_id id)
{
    uint8_t room[STREAM_KEY_SIZE];

    return settle(cu, coll_seek(&cu->items, stream_key(room, id), false));
}

nq_rc
stream_seek_back(struct stream_cursor *cu, struct stream_id id)
{
    uint8_t room[STREAM_KEY_SIZE];

    return settle(cu, coll_seek_back(&cu->items, stream_key(room, id), false));
}

nq_rc
stream_next(struct stream_cursor *cu)
{
    return settle(cu, coll_next(&cu->items));
}

nq_rc
stream_prev(struct stream_cursor *cu)
{
    return settle(cu, coll_prev(&cu->items));
}

nq_rc
stream_entry(struct stream_cursor *cu, struct arena *arena,
             struct stream_fields *out)
{
    struct stream_id id;
    struct item it;
    nq_rc rc = coll_item(&cu->items, &it);

    if (rc != NQ_OK)
        return rc;
    return stream_item(&cu->s->coll, &it, arena, &id, out);
}

nq_rc
stream_get(struct stream *s, struct stream_id id, struct arena *arena,
           struct stream_fields *out)
{
    uint8_t room[STREAM_KEY_SIZE];
    struct slice val;
    struct item it;
    nq_rc rc = coll_get(&s->coll, stream_key(room, id), &it);

    if (rc == NQ_OK)
        rc = coll_val(&s->coll, &it, arena, &val);
    if (rc == NQ_OK)
        rc = stream_decode_entry(val, out);
    return rc;
}

nq_rc
stream_has(struct stream *s, struct stream_id id)
{
    uint8_t room[STREAM_KEY_SIZE];
    struct item it;

    return coll_get(&s->coll, stream_key(room, id), &it);
}

/* --- counting ------------------------------------------------------------ */

nq_rc
stream_rank(struct stream *s, struct stream_id id, uint64_t *out)
{
    uint8_t room[STREAM_KEY_SIZE];
    uint64_t others = s->coll.count - s->length;
    nq_rc rc;

    *out = 0;
    if (stream_id_cmp(id, s->first) <= 0)
        return NQ_OK;
    if (stream_id_cmp(id, s->last) > 0) {
        *out = s->length;
        return NQ_OK;
    }
    rc = coll_rank(&s->coll, stream_key(room, id), out);
    if (rc != NQ_OK)
        return rc;
    if (*out < others || *out - others > s->length)
        return NQ_CORRUPT("rank %llu of an entry behind %llu other items",
                          (unsigned long long)*out, (unsigned long long)others);
    *out -= others;
    return NQ_OK;
}

nq_rc
stream_count(struct stream *s, struct stream_id from, struct stream_id to,
             uint64_t *out)
{
    uint64_t lo, hi = s->length;
    nq_rc rc;

    *out = 0;
    if (stream_id_cmp(from, to) > 0)
        return NQ_OK;
    if ((rc = stream_rank(s, from, &lo)) != NQ_OK)
        return rc;
    if (stream_id_next(&to) && (rc = stream_rank(s, to, &hi)) != NQ_OK)
        return rc;
    *out = hi - lo;
    return NQ_OK;
}
