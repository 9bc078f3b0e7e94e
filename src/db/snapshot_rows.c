/* db/snapshot_rows.c - records of a snapshot as rows of a query.
 *
 * What lies in the leaf is told by db_row_near(), as of any record.  The rest
 * is read here: a blob into the arena of the row; of a hash with a tree, only
 * the fields that are asked for, each found by its name.
 *
 *   R1  one row at a time: its memory is the arena, which the next one resets
 *   R2  a failure inside of field() cannot be returned: it is in reader.rc,
 *       and makes the whole row fail
 *
 * Called by snapshot.c on workers. */
#include "base/mem.h"
#include "db/coll_int.h"
#include "db/snapshot_int.h"
#include "db/zset_int.h"
#include "store/corrupt.h"

/* --- hashes with a tree ----------------------------------------------------
 */

static bool
is_due(const struct snapshot_reader *r, uint64_t expire_ms)
{
    return expire_ms != 0 && expire_ms <= r->now_ms;
}

/* Another so many bytes of values of the row. */
static nq_rc
take(struct snapshot_reader *r, uint64_t n)
{
    if (n > r->value_max - r->taken)
        return NQ_ETOOMUCH;
    r->taken += n;
    return NQ_OK;
}

static nq_rc
copy_blob(struct snapshot_reader *r, const struct blob_ref *ref,
          struct slice *out)
{
    nq_rc rc = take(r, ref->len);
    uint8_t *bytes;

    if (rc != NQ_OK)
        return rc;
    bytes = arena_alloc(&r->arena, ref->len);
    rc = pin_tree_blob(r->far, ref, bytes);
    *out = slice_of(bytes, ref->len);
    return rc;
}

/* The value of an item of a private tree, in the arena. */
static nq_rc
copy_item(struct snapshot_reader *r, const struct record *rec,
          struct slice *out)
{
    struct blob_ref ref;

    if ((rec->flags & REC_OWNS) == 0) {
        if (take(r, rec->val.len) != NQ_OK)
            return NQ_ETOOMUCH;
        *out = slice_of(arena_memdup(&r->arena, rec->val.p, rec->val.len),
                        rec->val.len);
        return NQ_OK;
    }
    if (blob_ref_decode(rec->val, &ref) != NQ_OK)
        return NQ_ECORRUPT;
    return copy_blob(r, &ref, out);
}

static struct snapshot_reader *
reader_of(const struct row *row)
{
    return (struct snapshot_reader *)(uintptr_t)row->arg;
}

static bool
far_field(const struct row *row, struct slice name, struct slice *out)
{
    struct snapshot_reader *r = reader_of(row);
    struct record rec;
    struct slice key;
    nq_rc rc = pin_tree_seek(r->far, name, false);

    if (rc == NQ_OK)
        rc = pin_tree_record(r->far, &key, &rec);
    if (rc == NQ_OK && (!slice_eq(key, name) || is_due(r, rec.expire_ms)))
        return false;
    if (rc == NQ_OK)
        rc = copy_item(r, &rec, out);
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        r->rc = rc;
    return rc == NQ_OK;
}

static void
far_each(const struct row *row,
         bool (*fn)(void *arg, struct slice name, struct slice value),
         void *arg)
{
    struct snapshot_reader *r = reader_of(row);
    nq_rc rc = pin_tree_first(r->far);

    while (rc == NQ_OK) {
        struct record rec;
        struct slice key, val;

        if ((rc = pin_tree_record(r->far, &key, &rec)) != NQ_OK)
            break;
        if (!is_due(r, rec.expire_ms)) {
            if ((rc = copy_item(r, &rec, &val)) != NQ_OK || !fn(arg, key, val))
                break;
        }
        rc = pin_tree_next(r->far);
    }
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        r->rc = rc;
}

/* --- what a record is ----------------------------------------------------- */

static nq_rc
far_string(struct snapshot_reader *r, const struct record *rec, unsigned needs,
           struct row *out)
{
    struct blob_ref ref;
    nq_rc rc = NQ_OK;

    if (blob_ref_decode(rec->val, &ref) != NQ_OK)
        return NQ_CORRUPT("the reference of a value of a snapshot");
    out->len = ref.len;
    out->has |= ROW_LEN;
    if ((needs & ROW_VALUE) != 0) {
        rc = copy_blob(r, &ref, &out->value);
        out->has |= ROW_VALUE;
    }
    return rc;
}

/* Fields of the tree that are not due. */
static nq_rc
count_living(struct snapshot_reader *r, uint64_t *out)
{
    nq_rc rc = pin_tree_first(r->far);

    *out = 0;
    while (rc == NQ_OK) {
        struct record rec;
        struct slice key;

        if ((rc = pin_tree_record(r->far, &key, &rec)) == NQ_OK) {
            *out += !is_due(r, rec.expire_ms);
            rc = pin_tree_next(r->far);
        }
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

static nq_rc
far_hash(struct snapshot_reader *r, const struct record *rec, struct row *out)
{
    struct coll_value v;
    nq_rc rc = coll_value_decode(rec, &v);

    if (rc != NQ_OK)
        return rc;
    pin_tree_reset(r->far, v.root);
    out->len = v.count;
    if (is_due(r, rec->expire_ms) && (rc = count_living(r, &out->len)) != NQ_OK)
        return rc;
    out->has |= ROW_LEN | ROW_FIELDS;
    out->field = far_field;
    out->each_field = far_each;
    out->arg = r;
    return out->len == 0 ? NQ_NOTFOUND : NQ_OK;
}

/* With members that were removed and are still to be swept. */
static nq_rc
far_zset(struct snapshot_reader *r, const struct record *rec, struct row *out)
{
    uint64_t stale = 0;
    struct coll_value v;
    struct record item;
    struct slice key;
    struct cursor c;
    nq_rc rc = coll_value_decode(rec, &v);

    if (rc != NQ_OK)
        return rc;
    pin_tree_reset(r->far, v.root);
    rc = pin_tree_seek(r->far, slice_lit(ZSET_STALE_KEY), false);
    if (rc == NQ_OK)
        rc = pin_tree_record(r->far, &key, &item);
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_ECORRUPT : rc;
    c = cursor_of(item.val);
    if (!slice_eq(key, slice_lit(ZSET_STALE_KEY)) ||
        !cursor_get_u64(&c, &stale))
        return NQ_CORRUPT("a sorted set does not say how many are stale");
    out->len = (v.count - 1 - stale) / 2;
    out->has |= ROW_LEN;
    return NQ_OK;
}

/* `out` was begun by db_row_near(). */
static nq_rc
far_row(struct snapshot_reader *r, const struct record *rec, unsigned needs,
        struct row *out)
{
    bool owns = (rec->flags & REC_OWNS) != 0;

    if (rec->type == DB_STRING && owns)
        return far_string(r, rec, needs, out);
    if (rec->type == DB_HASH && owns)
        return far_hash(r, rec, out);
    if (rec->type == DB_ZSET && owns)
        return far_zset(r, rec, out);
    return NQ_CORRUPT("a %s of a snapshot says no length",
                      db_type_name((enum db_type)rec->type));
}

nq_rc
snapshot_row(struct snapshot_reader *r, struct slice key,
             const struct record *rec, unsigned needs, struct row *out)
{
    r->rc = NQ_OK;
    r->taken = 0;
    arena_reset(&r->arena);
    switch (db_row_near(key, rec, needs, r->now_ms, &r->fields, out)) {
    case ROW_NEAR:
        return NQ_OK;
    case ROW_OVER:
        return NQ_NOTFOUND;
    case ROW_FAR:
        break;
    }
    return far_row(r, rec, needs, out);
}

void
snapshot_reader_init(struct snapshot_reader *r, struct pin *p, uint64_t now_ms,
                     size_t value_max)
{
    *r = (struct snapshot_reader){.far = pin_tree_new(p, 0),
                                  .arena = ARENA_INIT,
                                  .now_ms = now_ms,
                                  .value_max = value_max};
}

void
snapshot_reader_fini(struct snapshot_reader *r)
{
    pin_tree_free(r->far);
    arena_fini(&r->arena);
}
