/* db/string.c - the string type.
 *
 * Three shapes, told apart by the record's flags (see db.c): a canonical
 * int64 as 8 bytes, up to btree_max_inline() bytes in the leaf, anything
 * longer as a blob.  A string that was changed in place carries DB_RAWISH, so
 * that OBJECT ENCODING answers as Redis does; blobs are "raw" anyhow.
 *
 * Arguments of the effects:
 *
 *   SET       u8 0 | varint expire ms, 0: none | the value
 *   SETINT    u64 the value, two's complement    (expiry kept)
 *   SETRANGE  varint offset | the bytes          (expiry kept, zero-filled)
 *
 * A write of part of a blob changes the leaf too (its reference is written
 * even if it stays the same), so that the leaf carries the stamp of the
 * change, which replies are gated by.  All chunks are there before the leaf
 * is touched: a stamp for which nothing is logged would hold replies back.
 * Called by command handlers and by replay. */
#include "db/string.h"

#include "base/arena.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"

#define EMBSTR_MAX 44 /* longest "embstr" of Redis */
#define INT_SIZE 8

static int64_t
int_decode(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < INT_SIZE; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return (int64_t)v;
}

static void
int_encode(uint8_t *dst, int64_t v)
{
    for (unsigned i = 0; i < INT_SIZE; i++)
        dst[i] = (uint8_t)((uint64_t)v >> (8 * i));
}

static nq_rc
int_of_record(const struct record *rec, int64_t *out)
{
    *out = 0;
    if (rec->val.len != INT_SIZE)
        return NQ_ECORRUPT;
    *out = int_decode(rec->val.p);
    return NQ_OK;
}

/* --- reading ------------------------------------------------------------- */

uint64_t
string_len(const struct entry *e)
{
    struct blob_ref ref;
    char text[24];
    int64_t v;

    if (e->rec.flags & REC_OWNS)
        return blob_ref_decode(e->rec.val, &ref) == NQ_OK ? ref.len : 0;
    if ((e->rec.flags & DB_INT) == 0)
        return e->rec.val.len;
    return int_of_record(&e->rec, &v) == NQ_OK ? i64_to_text(text, v) : 0;
}

nq_rc
string_range(struct db *db, const struct entry *e, uint64_t off, uint64_t n,
             struct arena *arena, struct slice *out)
{
    uint64_t len = string_len(e);
    uint8_t *copy;

    *out = slice_lit("");
    if (off >= len || n == 0)
        return NQ_OK;
    n = nq_min(n, len - off);
    if ((e->rec.flags & (REC_OWNS | DB_INT)) == 0) {
        *out = slice_of(e->rec.val.p + off, n);
        return NQ_OK;
    }
    copy = arena_alloc(arena, nq_max(n, 24u));
    *out = slice_of(copy, n);
    return string_copy(db, e, off, n, copy);
}

nq_rc
string_copy(struct db *db, const struct entry *e, uint64_t off, uint64_t n,
            uint8_t *dst)
{
    struct blob_ref ref;
    char text[24];
    int64_t v;
    bool was;
    nq_rc rc;

    if (e->rec.flags & REC_OWNS) {
        if ((rc = blob_ref_decode(e->rec.val, &ref)) != NQ_OK)
            return rc;
        was = db_calls_begin(db);
        rc = blob_read(db->fr, &ref, off, n, dst);
        db_calls_end(db, was);
        return rc;
    }
    if (e->rec.flags & DB_INT) {
        if ((rc = int_of_record(&e->rec, &v)) != NQ_OK)
            return rc;
        (void)i64_to_text(text, v);
        memcpy(dst, text + off, n);
    } else if (n > 0) {
        memcpy(dst, e->rec.val.p + off, n);
    }
    return NQ_OK;
}

nq_rc
string_bytes(struct db *db, const struct entry *e, struct arena *arena,
             struct slice *out)
{
    return string_range(db, e, 0, UINT64_MAX, arena, out);
}

uint32_t
string_chunks(const struct entry *e)
{
    struct blob_ref ref;

    if ((e->rec.flags & REC_OWNS) == 0 ||
        blob_ref_decode(e->rec.val, &ref) != NQ_OK)
        return 0;
    return ref.chunks;
}

nq_rc
string_chunk(struct db *db, const struct entry *e, uint32_t i,
             struct slice *out, uint32_t *pin)
{
    struct blob_ref ref;
    bool was;
    nq_rc rc;

    if ((rc = blob_ref_decode(e->rec.val, &ref)) != NQ_OK)
        return rc;
    was = db_calls_begin(db);
    rc = blob_chunk(db->fr, &ref, i, out, pin);
    db_calls_end(db, was);
    return rc;
}

void
string_unpin(struct db *db, uint32_t pin)
{
    frames_unpin(db->fr, pin);
}

struct disk_sum {
    struct store *store;
    struct string_disk *out;
    uint32_t chunks; /* pages from here on are no chunks, but their index */
};

static void
add_page(void *arg, pgno id)
{
    struct disk_sum *sum = arg;
    struct string_disk *out = sum->out;
    uint8_t codec;
    uint32_t bytes;

    if (!store_page_on_disk(sum->store, id, &codec, &bytes)) {
        out->pages++;
        return;
    }
    if (out->written == 0)
        out->codec = codec;
    else if (out->pages < sum->chunks && codec != out->codec)
        out->is_mixed = true;
    out->pages++;
    out->written++;
    out->bytes += bytes;
}

nq_rc
string_disk(struct db *db, const struct entry *e, struct string_disk *out)
{
    struct disk_sum sum = {.store = db_store(db), .out = out};
    struct blob_ref ref;
    nq_rc rc;

    *out = (struct string_disk){0};
    if ((e->rec.flags & REC_OWNS) == 0) {
        add_page(&sum, e->finger.leaf);
        return NQ_OK;
    }
    if ((rc = blob_ref_decode(e->rec.val, &ref)) != NQ_OK)
        return rc;
    sum.chunks = ref.chunks;
    return blob_each_page(db->fr, &ref, add_page, &sum);
}

nq_rc
string_int(struct db *db, const struct entry *e, int64_t *out)
{
    nq_unused(db);
    if (e->rec.flags & DB_INT)
        return int_of_record(&e->rec, out);
    if ((e->rec.flags & REC_OWNS) != 0 || !slice_to_i64(e->rec.val, out))
        return NQ_ENOTINT;
    return NQ_OK;
}

const char *
string_encoding(const struct entry *e)
{
    if (e->rec.flags & DB_INT)
        return "int";
    if ((e->rec.flags & (REC_OWNS | DB_RAWISH)) != 0 ||
        e->rec.val.len > EMBSTR_MAX)
        return "raw";
    return "embstr";
}

/* --- writing ------------------------------------------------------------- */

/* A record for `val`.  `room` is where an integer or a reference goes.  A
 * blob is written right away: free it if the record is not put. */
static void
make_record(struct db *db, struct slice val, uint8_t room[BLOB_REF_SIZE],
            uint32_t max_inline, struct record *rec)
{
    struct blob_ref ref;
    int64_t v;

    rec->type = DB_STRING;
    rec->flags = 0;
    if (val.len > max_inline) {
        blob_new(db->fr, val, &ref);
        blob_ref_encode(room, &ref);
        rec->flags = REC_OWNS;
        rec->val = slice_of(room, BLOB_REF_SIZE);
    } else if (slice_to_i64(val, &v)) {
        int_encode(room, v);
        rec->flags = DB_INT;
        rec->val = slice_of(room, INT_SIZE);
    } else {
        rec->val = val;
    }
}

/* db_put() of a record that was made for it: its blob is freed if the tree
 * does not take it. */
static nq_rc
put_made(struct db *db, uint32_t dbi, struct slice key,
         const struct record *rec, struct entry *old, uint8_t effect,
         const struct slice *args, unsigned nargs)
{
    struct blob_ref ref;
    bool is_stored;
    nq_rc rc =
        db_put_told(db, dbi, key, rec, old, effect, args, nargs, &is_stored);

    if (nq_unlikely(!is_stored) && (rec->flags & REC_OWNS) != 0 &&
        blob_ref_decode(rec->val, &ref) == NQ_OK)
        blob_free(db->fr, &ref);
    return rc;
}

nq_rc
string_set(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
           bool found, struct slice val, uint64_t expire_ms, const char *event)
{
    uint8_t room[BLOB_REF_SIZE], head[11];
    struct record rec = {0};
    struct slice args[2];
    nq_rc rc;

    nq_dassert(found == old->finger.found);
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    if (expire_ms == STRING_KEEP_TTL)
        expire_ms = found ? old->rec.expire_ms : 0;
    rec.expire_ms = nq_min(expire_ms, DB_FOREVER);
    make_record(db, val, room, btree_max_inline(db_tree(db, dbi)), &rec);
    head[0] = 0;
    args[0] = slice_of(head, 1 + varint_encode(head + 1, rec.expire_ms));
    args[1] = val;
    rc = put_made(db, dbi, key, &rec, old, EFFECT_SET, args, 2);
    if (nq_likely(rc == NQ_OK))
        db_event(db, dbi, EVENT_STRING, event, key);
    return rc;
}

/* A counter that stays one: 8 bytes change where they are. */
static nq_rc
patch_int(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
          int64_t val)
{
    uint8_t *p;
    size_t len;
    nq_rc rc = db_patch(db, dbi, key, old, &p, &len);

    if (rc != NQ_OK)
        return rc;
    nq_assert(len == INT_SIZE);
    int_encode(p, val);
    return NQ_OK;
}

nq_rc
string_set_int(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
               bool found, int64_t val, const char *event)
{
    uint8_t bytes[INT_SIZE];
    struct record rec = {0};
    struct slice args[1] = {{bytes, INT_SIZE}};
    nq_rc rc;

    nq_dassert(found == old->finger.found);
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    int_encode(bytes, val);
    if (found && (old->rec.flags & DB_INT) != 0) {
        if ((rc = patch_int(db, dbi, key, old, val)) == NQ_OK)
            rc = db_log(db, dbi, EFFECT_SETINT, key, args, 1);
    } else {
        rec.type = DB_STRING;
        rec.flags = DB_INT;
        rec.val = args[0];
        rec.expire_ms = found ? old->rec.expire_ms : 0;
        rc = db_put(db, dbi, key, &rec, old, EFFECT_SETINT, args, 1);
    }
    if (rc == NQ_OK)
        db_event(db, dbi, EVENT_STRING, event, key);
    return rc;
}

/* --- writing a part ------------------------------------------------------ */

/* One write of a part, its old length looked up once. */
struct part {
    struct slice key;
    uint64_t off, old_len, new_len;
    struct slice bytes;
    struct slice args[2]; /* of the effect */
    uint8_t head[10];
};

/* Notes the chunks that the write touches: those of its range, and the last
 * one if the blob grows. */
static nq_rc
want_part(struct db *db, const struct part *w, const struct blob_ref *ref)
{
    uint64_t from = nq_min(w->off, ref->len - 1);
    uint64_t to = nq_min(w->off + w->bytes.len, ref->len);

    return blob_want(db->fr, ref, from, nq_max(to, from + 1) - from);
}

static nq_rc
write_blob(struct db *db, uint32_t dbi, const struct part *w, struct entry *old)
{
    struct blob_ref ref;
    uint8_t *p;
    size_t len;
    bool was;
    nq_rc rc = blob_ref_decode(old->rec.val, &ref);

    if (rc != NQ_OK || (rc = hold_check_write(db, ref.root)) != NQ_OK)
        return rc;
    if ((rc = want_part(db, w, &ref)) != NQ_OK)
        return rc;
    rc = btree_patch(db_tree(db, dbi), w->key, &old->finger, &p, &len);
    if (rc != NQ_OK)
        return rc;
    nq_assert(len == BLOB_REF_SIZE);
    db->patches++;
    was = frames_set_blocking(db->fr, true);
    rc = blob_write(db->fr, &ref, w->off, w->bytes);
    (void)frames_set_blocking(db->fr, was);
    if (rc == NQ_OK)
        blob_ref_encode(p, &ref);
    return rc;
}

/* Same length, changed in place before: only the bytes change. */
static nq_rc
write_patch(struct db *db, uint32_t dbi, const struct part *w,
            struct entry *old)
{
    uint8_t *p;
    size_t len;
    nq_rc rc = btree_patch(db_tree(db, dbi), w->key, &old->finger, &p, &len);

    if (rc != NQ_OK)
        return rc;
    nq_assert(len == w->new_len);
    memcpy(p + w->off, w->bytes.p, w->bytes.len);
    db->patches++;
    return NQ_OK;
}

/* From a small string to a bigger one that is still inline. */
static nq_rc
write_inline(struct db *db, uint32_t dbi, const struct part *w,
             struct entry *old, bool found)
{
    struct record rec = {.type = DB_STRING, .flags = DB_RAWISH};
    uint8_t *copy;
    nq_rc rc = NQ_OK;

    buf_clear(&db->scratch);
    copy = buf_reserve(&db->scratch, nq_max(w->new_len, 24u));
    if (found)
        rc = string_copy(db, old, 0, w->old_len, copy);
    if (rc != NQ_OK)
        return rc;
    memset(copy + w->old_len, 0, w->new_len - w->old_len);
    memcpy(copy + w->off, w->bytes.p, w->bytes.len);
    rec.val = slice_of(copy, w->new_len);
    rec.expire_ms = found ? old->rec.expire_ms : 0;
    return db_put(db, dbi, w->key, &rec, old, EFFECT_SETRANGE, w->args, 2);
}

/* From a small string to one that no longer fits a leaf. */
static nq_rc
write_grown(struct db *db, uint32_t dbi, const struct part *w,
            struct entry *old, bool found)
{
    struct record rec = {.type = DB_STRING, .flags = REC_OWNS};
    uint8_t room[BLOB_REF_SIZE];
    uint8_t *copy;
    struct blob_ref ref;
    nq_rc rc = NQ_OK;

    buf_clear(&db->scratch);
    copy = buf_reserve(&db->scratch, nq_max(w->old_len, 24u));
    copy[0] = 0;
    if (found)
        rc = string_copy(db, old, 0, w->old_len, copy);
    if (rc != NQ_OK)
        return rc;
    blob_new(db->fr, slice_of(copy, nq_max(w->old_len, 1u)), &ref);
    rc = blob_write(db->fr, &ref, w->off, w->bytes);
    nq_assert(rc == NQ_OK); /* all its chunks are new */
    blob_ref_encode(room, &ref);
    rec.val = slice_of(room, BLOB_REF_SIZE);
    rec.expire_ms = found ? old->rec.expire_ms : 0;
    return put_made(db, dbi, w->key, &rec, old, EFFECT_SETRANGE, w->args, 2);
}

static nq_rc
write_part(struct db *db, uint32_t dbi, const struct part *w, struct entry *old,
           bool found)
{
    bool was;
    nq_rc rc;

    if (found && (old->rec.flags & REC_OWNS) != 0) {
        was = db_calls_begin(db);
        rc = write_blob(db, dbi, w, old);
        db_calls_end(db, was);
    } else if (w->new_len > btree_max_inline(db_tree(db, dbi))) {
        return write_grown(db, dbi, w, old, found);
    } else if (found && (old->rec.flags & DB_RAWISH) != 0 &&
               w->new_len == w->old_len) {
        was = db_calls_begin(db);
        rc = write_patch(db, dbi, w, old);
        db_calls_end(db, was);
    } else {
        return write_inline(db, dbi, w, old, found);
    }
    if (rc != NQ_OK)
        return rc;
    return db_log(db, dbi, EFFECT_SETRANGE, w->key, w->args, 2);
}

nq_rc
string_write(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
             bool found, uint64_t off, struct slice bytes, const char *event,
             uint64_t *len)
{
    struct part w = {.key = key, .off = off, .bytes = bytes};
    nq_rc rc;

    nq_dassert(found == old->finger.found);
    w.old_len = found ? string_len(old) : 0;
    w.new_len = nq_max(w.old_len, off + bytes.len);
    *len = w.new_len;
    if (bytes.len == 0)
        return NQ_OK;
    w.args[0] = slice_of(w.head, varint_encode(w.head, off));
    w.args[1] = bytes;
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    if ((rc = write_part(db, dbi, &w, old, found)) != NQ_OK)
        return rc;
    db_event(db, dbi, EVENT_STRING, event, key);
    return NQ_OK;
}

/* --- replay -------------------------------------------------------------- */

/* What the effect is to be applied to. */
static nq_rc
find_for_replay(struct db *db, const struct wal_record *r, struct entry *e,
                bool *found)
{
    nq_rc rc = db_find(db, r->db, r->key, e);

    *found = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
string_apply_set(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    uint64_t expire_ms;
    struct slice val;
    uint8_t flags;
    bool found;
    nq_rc rc;

    cursor_get_u8(&c, &flags);
    cursor_get_varint(&c, &expire_ms);
    cursor_get_bytes(&c, cursor_left(&c), &val);
    if (!cursor_ok(&c) || flags != 0)
        return NQ_EFORMAT;
    if ((rc = find_for_replay(db, r, &e, &found)) != NQ_OK)
        return rc;
    return string_set(db, r->db, r->key, &e, found, val, expire_ms, NULL);
}

nq_rc
string_apply_setint(struct db *db, const struct wal_record *r)
{
    struct entry e = {0};
    bool found;
    nq_rc rc;

    if (r->args.len != INT_SIZE)
        return NQ_EFORMAT;
    if ((rc = find_for_replay(db, r, &e, &found)) != NQ_OK)
        return rc;
    return string_set_int(db, r->db, r->key, &e, found, int_decode(r->args.p),
                          NULL);
}

nq_rc
string_apply_setrange(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    uint64_t off, len;
    struct slice bytes;
    bool found;
    nq_rc rc;

    cursor_get_varint(&c, &off);
    cursor_get_bytes(&c, cursor_left(&c), &bytes);
    if (!cursor_ok(&c) || off > UINT64_MAX / 2)
        return NQ_EFORMAT;
    if ((rc = find_for_replay(db, r, &e, &found)) != NQ_OK)
        return rc;
    return string_write(db, r->db, r->key, &e, found, off, bytes, NULL, &len);
}
