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

/* --- hashes with a tree ----------------------------------------------------
 */

static bool
is_due(const struct snapshot_reader *r, uint64_t expire_ms)
{
    return expire_ms != 0 && expire_ms <= r->now_ms;
}

static nq_rc
copy_blob(struct snapshot_reader *r, const struct blob_ref *ref,
          struct slice *out)
{
    uint8_t *bytes;
    nq_rc rc;

    if (ref->len > r->value_max)
        return NQ_ETOOLONG;
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

/* --- what a record is -------------------------------------------------------
 */

static bool
stop_at_first(void *arg, struct slice name, struct slice value)
{
    nq_unused(name);
    nq_unused(value);
    *(bool *)arg = true;
    return false;
}

/* Some field of the hash is due: are all of them? */
static nq_rc
has_fields(struct snapshot_reader *r, const struct row *row, bool *out)
{
    *out = false;
    row->each_field(row, stop_at_first, out);
    return r->rc;
}

static nq_rc
far_string(struct snapshot_reader *r, const struct record *rec, unsigned needs,
           struct row *out)
{
    struct blob_ref ref;
    nq_rc rc = NQ_OK;

    if (blob_ref_decode(rec->val, &ref) != NQ_OK)
        return NQ_ECORRUPT;
    out->len = ref.len;
    out->has = ROW_KEY | ROW_LEN;
    if ((needs & ROW_VALUE) != 0) {
        rc = copy_blob(r, &ref, &out->value);
        out->has |= ROW_VALUE;
    }
    return rc;
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
    out->has = ROW_KEY | ROW_LEN | ROW_FIELDS;
    out->field = far_field;
    out->each_field = far_each;
    out->arg = r;
    return NQ_OK;
}

static nq_rc
far_row(struct snapshot_reader *r, struct slice key, const struct record *rec,
        unsigned needs, struct row *out)
{
    *out = (struct row){.key = key,
                        .type = db_type_name(rec->type),
                        .is_hash = rec->type == DB_HASH,
                        .expire_ms = db_expire_of(rec),
                        .now_ms = r->now_ms};
    if ((rec->flags & REC_OWNS) == 0)
        return NQ_ECORRUPT; /* db_row_near() has all of it */
    if (rec->type == DB_STRING)
        return far_string(r, rec, needs, out);
    return rec->type == DB_HASH ? far_hash(r, rec, out) : NQ_ECORRUPT;
}

nq_rc
snapshot_row(struct snapshot_reader *r, struct slice key,
             const struct record *rec, unsigned needs, struct row *out)
{
    bool looks = rec->type == DB_HASH && db_has_field_ttl(rec) &&
                 is_due(r, rec->expire_ms);
    bool is_there = true;
    nq_rc rc = NQ_OK;

    r->rc = NQ_OK;
    if (is_due(r, db_expire_of(rec)))
        return NQ_NOTFOUND;
    arena_reset(&r->arena);
    needs |= looks ? ROW_FIELDS : 0;
    if (!db_row_near(key, rec, needs, r->now_ms, &r->fields, out))
        rc = far_row(r, key, rec, needs, out);
    if (rc == NQ_OK && nq_unlikely(looks))
        rc = has_fields(r, out, &is_there);
    return rc == NQ_OK && !is_there ? NQ_NOTFOUND : rc;
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
