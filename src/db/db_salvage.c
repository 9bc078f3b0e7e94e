/* db/db_salvage.c - records of private trees, each by itself.  What they look
 * like is told in fields.c, set.c, zset.c, lists.c and stream.c.  Called by
 * nqdb-cli salvage. */
#include "db/db_salvage.h"

#include "base/mem.h"
#include "db/coll.h"
#include "db/db_int.h"
#include "db/list_int.h"
#include "db/stream_int.h"
#include "db/zset_int.h"

pgno
db_salvage_frees(const struct db *db)
{
    return db->frees.tree.root;
}

uint64_t
db_salvage_count(const struct record *owner)
{
    struct list_shape s;
    uint64_t n = 0;

    if (owner->type == DB_LIST)
        return list_shape_of(owner, &s) == NQ_OK ? s.tree_n : 0;
    return coll_record_check(owner, &n) == NQ_OK ? n : 0;
}

uint64_t
db_salvage_weight(uint8_t type, const struct record *item)
{
    struct slice run;
    uint32_t n;

    if (type != DB_LIST || (item->flags & REC_OWNS) != 0)
        return 1;
    return list_chunk_read(item, &run, &n) == NQ_OK ? n : 1;
}

/* The value, read if it is a blob. */
static nq_rc
value_of(struct db *db, const struct record *item, struct arena *arena,
         struct slice *out)
{
    struct blob_ref ref;
    uint8_t *bytes;
    nq_rc rc;

    *out = item->val;
    if ((item->flags & REC_OWNS) == 0)
        return NQ_OK;
    if ((rc = blob_ref_decode(item->val, &ref)) != NQ_OK)
        return rc;
    bytes = arena_alloc(arena, ref.len);
    *out = slice_of(bytes, ref.len);
    return blob_read(db->fr, &ref, 0, ref.len, bytes);
}

static nq_rc
each_of_run(struct slice run, size_t step_back, uint32_t n, db_piece_fn *fn,
            void *arg)
{
    char text[PIECE_TEXT];
    size_t at = 0;
    struct piece p;

    for (; n > 0 && piece_at(run, at, &p); n--) {
        struct db_piece out = {.val = piece_text(&p, text)};

        fn(arg, &out);
        at += p.size + (step_back > 0 ? piece_back_size(p.size) : 0);
    }
    return n == 0 ? NQ_OK : NQ_ECORRUPT;
}

static nq_rc
list_pieces(struct db *db, const struct record *item, struct arena *arena,
            db_piece_fn *fn, void *arg)
{
    struct db_piece out = {0};
    struct slice run;
    uint32_t n;
    nq_rc rc;

    if ((item->flags & REC_OWNS) != 0) {
        if ((rc = value_of(db, item, arena, &out.val)) == NQ_OK)
            fn(arg, &out);
        return rc;
    }
    if ((rc = list_chunk_read(item, &run, &n)) != NQ_OK)
        return rc;
    return each_of_run(run, 0, n, fn, arg);
}

nq_rc
db_salvage_ends(const struct record *owner, bool tail, db_piece_fn *fn,
                void *arg)
{
    const uint8_t *val = owner->val.p;
    struct list_shape s;
    nq_rc rc = list_shape_of(owner, &s);

    if (rc != NQ_OK)
        return rc;
    return tail ? each_of_run(slice_of(val + s.mid, s.end - s.mid), 1, s.tail_n,
                              fn, arg)
                : each_of_run(slice_of(val + s.start, s.mid - s.start), 1,
                              s.head_n, fn, arg);
}

/* A member stands in two records; where stale ones may be, only that in the
 * order is to be believed. */
static nq_rc
zset_piece(const struct record *owner, struct slice key,
           const struct record *item, db_piece_fn *fn, void *arg)
{
    struct item it = {.key = key, .val = item->val};
    struct db_piece out = {0};
    struct member m;
    bool may_be_stale =
        owner->val.len < 2 || (owner->val.p[1] & ZSET_STALE) != 0;

    if (key.len == 0 || (key.p[0] == 'm' && may_be_stale) ||
        !zset_member_of(&it, &m))
        return NQ_OK;
    out.name = m.name;
    out.score = m.score;
    fn(arg, &out);
    return NQ_OK;
}

static nq_rc
stream_piece(struct db *db, struct slice key, const struct record *item,
             struct arena *arena, db_piece_fn *fn, void *arg)
{
    struct db_piece out = {0};
    struct slice val;
    nq_rc rc;

    if (key.len != STREAM_KEY_SIZE || key.p[0] != KEY_ENTRY)
        return NQ_OK;
    out.id = stream_get_id(key.p + 1);
    if ((rc = value_of(db, item, arena, &val)) != NQ_OK ||
        (rc = stream_decode_entry(val, &out.fields)) != NQ_OK)
        return rc;
    fn(arg, &out);
    return NQ_OK;
}

nq_rc
db_salvage_item(struct db *db, const struct record *owner, struct slice key,
                const struct record *item, struct arena *arena, db_piece_fn *fn,
                void *arg)
{
    struct db_piece out = {.name = key, .expire_ms = item->expire_ms};
    nq_rc rc;

    switch (owner->type) {
    case DB_LIST:
        return list_pieces(db, item, arena, fn, arg);
    case DB_ZSET:
        return zset_piece(owner, key, item, fn, arg);
    case DB_STREAM:
        return stream_piece(db, key, item, arena, fn, arg);
    default:
        if ((rc = value_of(db, item, arena, &out.val)) == NQ_OK)
            fn(arg, &out);
        return rc;
    }
}

nq_rc
db_salvage_blob(struct db *db, struct slice val)
{
    uint8_t *bytes = nq_malloc(BLOB_CHUNK);
    struct blob_ref ref;
    nq_rc rc = blob_ref_decode(val, &ref);

    for (uint64_t at = 0; rc == NQ_OK && at < ref.len; at += BLOB_CHUNK) {
        rc = blob_read(db->fr, &ref, at, nq_min(ref.len - at, BLOB_CHUNK),
                       bytes);
        frames_make_room(db->fr);
    }
    nq_free(bytes);
    return rc;
}

bool
db_salvage_fits(uint8_t type, struct slice key, const struct record *item)
{
    if (item->type != 0)
        return false;
    switch (type) {
    case DB_LIST:
        return key.len == LIST_LABEL;
    case DB_SET:
        return item->val.len == 0;
    case DB_ZSET:
        return key.len > 0 &&
               (key.p[0] == 'm' || key.p[0] == 's' || key.p[0] == 'a');
    case DB_STREAM:
        return key.len > 0 && strchr("cgnpqx", key.p[0]) != NULL;
    default:
        return type == DB_HASH;
    }
}
