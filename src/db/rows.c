/* db/rows.c - what a query sees of a record.
 *
 *   type     $len              $value, JSON    fields
 *   string   its bytes         the bytes       -
 *   hash     fields not due    -               name -> value
 *   others   elements          -               -
 *
 * Near is what the record itself says: an inline string, a hash whose fields
 * are packed into it, the count of elements that every other record keeps.
 * Far is the rest, read through the modules of the types.
 *
 * Called by cmd/matching_*.c, and by whoever has a record to be tested. */
#include "db/rows.h"

#include "base/mem.h"
#include "db/coll_int.h"
#include "db/fields_int.h"
#include "db/list_int.h"
#include "db/stream.h"
#include "db/string.h"
#include "db/zset_int.h"
#include "store/corrupt.h"

#define INT_SIZE 8

struct row_far {
    struct db *db;
    struct arena *arena;
    size_t limit, taken; /* bytes of values */
    nq_rc rc;            /* the first failure */
    struct entry entry;
    struct coll coll; /* of a hash; open */
};

/* --- packed fields -------------------------------------------------------- */

static bool
is_due(uint64_t expire_ms, uint64_t now_ms)
{
    return expire_ms != 0 && expire_ms <= now_ms;
}

static bool
near_field(const struct row *r, struct slice name, struct slice *out)
{
    const struct row_fields *f = r->arg;
    struct packed_item it;

    if (packed_get(f->packed, name, &it) != NQ_OK ||
        is_due(it.expire_ms, f->now_ms))
        return false;
    *out = it.val;
    return true;
}

static void
near_each_field(const struct row *r,
                bool (*fn)(void *arg, struct slice name, struct slice value),
                void *arg)
{
    const struct row_fields *f = r->arg;
    struct packed_item it;

    for (size_t off = 0; off < f->packed.len; off = it.end)
        if (packed_at(f->packed, off, &it) != NQ_OK ||
            (!is_due(it.expire_ms, f->now_ms) && !fn(arg, it.key, it.val)))
            return;
}

static uint64_t
count_living(const struct row_fields *f)
{
    struct packed_item it;
    uint64_t n = 0;

    for (size_t off = 0; off < f->packed.len; off = it.end) {
        if (packed_at(f->packed, off, &it) != NQ_OK)
            break;
        n += !is_due(it.expire_ms, f->now_ms);
    }
    return n;
}

/* --- near ----------------------------------------------------------------- */

/* What there is to know of every row. */
static void
begin(struct slice key, const struct record *rec, uint64_t now_ms,
      struct row_fields *fields, struct row *out)
{
    fields->packed = slice_lit("");
    fields->now_ms = now_ms;
    fields->far = NULL;
    *out = (struct row){.key = key,
                        .type = db_type_name((enum db_type)rec->type),
                        .is_hash = rec->type == DB_HASH,
                        .has = ROW_KEY,
                        .expire_ms = db_expire_of(rec),
                        .now_ms = now_ms,
                        .field = near_field,
                        .each_field = near_each_field,
                        .arg = fields};
}

static int64_t
int_of(struct slice val)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < INT_SIZE; i++)
        v |= (uint64_t)val.p[i] << (8 * i);
    return (int64_t)v;
}

static enum row_near
near_string(const struct record *rec, unsigned needs, struct row_fields *f,
            struct row *out)
{
    struct blob_ref ref;

    if (rec->flags & REC_OWNS) {
        if (needs & ROW_VALUE || blob_ref_decode(rec->val, &ref) != NQ_OK)
            return ROW_FAR;
        out->len = ref.len;
        out->has |= ROW_LEN;
        return ROW_NEAR;
    }
    out->value = rec->val;
    if (rec->flags & DB_INT) {
        if (rec->val.len != INT_SIZE)
            return ROW_FAR;
        out->value =
            slice_of(f->digits, i64_to_text(f->digits, int_of(rec->val)));
    }
    out->len = out->value.len;
    out->has |= ROW_LEN | ROW_VALUE;
    return ROW_NEAR;
}

/* Fields may be due: then they are counted, and if none is left there is no
 * such key. */
static enum row_near
near_hash(const struct record *rec, unsigned needs, struct row_fields *f,
          struct row *out)
{
    bool has_due = is_due(rec->expire_ms, f->now_ms);
    struct coll_value v;

    if (coll_value_decode(rec, &v) != NQ_OK)
        return ROW_FAR;
    if (v.is_tree && (needs & ROW_FIELDS || has_due))
        return ROW_FAR;
    f->packed = v.items;
    out->len = v.count;
    out->has |= ROW_LEN;
    if (!v.is_tree)
        out->has |= ROW_FIELDS;
    if (nq_unlikely(has_due) && (out->len = count_living(f)) == 0)
        return ROW_OVER;
    return ROW_NEAR;
}

/* How many elements the record of another type says that there are. */
static bool
near_count(const struct record *rec, uint64_t *out)
{
    struct entry e = {.rec = *rec};
    struct list_shape list;
    struct coll_value v;

    if (rec->type == DB_LIST) {
        if (list_shape_of(rec, &list) != NQ_OK)
            return false;
        *out = list_shape_count(&list);
        return true;
    }
    if (rec->type == DB_STREAM) {
        *out = stream_length(&e);
        return true;
    }
    if (coll_value_decode(rec, &v) != NQ_OK)
        return false;
    *out = v.count;
    if (rec->type == DB_ZSET && v.is_tree) {
        *out = v.count / 2; /* by name and in order */
        return v.head.len > 0 && (v.head.p[0] & ZSET_STALE) == 0;
    }
    return true;
}

enum row_near
db_row_near(struct slice key, const struct record *rec, unsigned needs,
            uint64_t now_ms, struct row_fields *fields, struct row *out)
{
    begin(key, rec, now_ms, fields, out);
    if (nq_unlikely(is_due(out->expire_ms, now_ms)))
        return ROW_OVER;
    if (rec->type == DB_STRING)
        return near_string(rec, needs, fields, out);
    if (rec->type == DB_HASH)
        return near_hash(rec, needs, fields, out);
    if ((needs & ROW_LEN) == 0)
        return ROW_NEAR;
    if (!near_count(rec, &out->len))
        return ROW_FAR;
    out->has |= ROW_LEN;
    return ROW_NEAR;
}

/* --- far ------------------------------------------------------------------ */

static struct row_far *
far_of(const struct row *r)
{
    return ((const struct row_fields *)r->arg)->far;
}

static void
fail(struct row_far *far, nq_rc rc)
{
    if (far->rc == NQ_OK)
        far->rc = rc;
}

/* The value of a field, as long as the limit holds. */
static nq_rc
take_value(struct row_far *far, const struct item *it, struct slice *out)
{
    if (it->len > far->limit - far->taken)
        return NQ_ETOOLONG;
    far->taken += it->len;
    return coll_val(&far->coll, it, far->arena, out);
}

static bool
far_field(const struct row *r, struct slice name, struct slice *out)
{
    struct row_far *far = far_of(r);
    struct item it;
    nq_rc rc = fields_get(&far->coll, name, &it);

    if (rc == NQ_OK)
        rc = take_value(far, &it, out);
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        fail(far, rc);
    return rc == NQ_OK;
}

static void
far_each_field(const struct row *r,
               bool (*fn)(void *arg, struct slice name, struct slice value),
               void *arg)
{
    struct row_far *far = far_of(r);
    struct coll_cursor cu;
    struct slice val;
    struct item it;
    nq_rc rc;

    coll_cursor_init(&cu, &far->coll);
    rc = coll_first(&cu);
    while (rc == NQ_OK && cu.valid) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        if (!fields_is_due(&far->coll, &it) &&
            ((rc = take_value(far, &it, &val)) != NQ_OK ||
             !fn(arg, it.key, val)))
            break;
        rc = coll_next(&cu);
    }
    if (rc != NQ_OK)
        fail(far, rc);
    coll_cursor_fini(&cu);
}

static nq_rc
far_string(struct row_far *far, unsigned needs, struct row *out)
{
    out->len = string_len(&far->entry);
    out->has |= ROW_LEN;
    if ((needs & ROW_VALUE) == 0)
        return NQ_OK;
    if (out->len > far->limit)
        return NQ_ETOOLONG;
    out->has |= ROW_VALUE;
    return string_bytes(far->db, &far->entry, far->arena, &out->value);
}

static nq_rc
far_hash(struct row_fields *fields, struct row_far *far, uint32_t dbi,
         struct row *out)
{
    nq_rc rc =
        fields_open(far->db, dbi, out->key, &far->entry, true, &far->coll);

    if (rc != NQ_OK)
        return rc;
    fields->far = far;
    out->field = far_field;
    out->each_field = far_each_field;
    out->has |= ROW_FIELDS | ROW_LEN;
    return fields_count(&far->coll, &out->len);
}

static nq_rc
far_zset(struct row_far *far, uint32_t dbi, struct row *out)
{
    struct zset z;
    nq_rc rc = zset_open(far->db, dbi, out->key, &far->entry, true, &z);

    if (rc != NQ_OK)
        return rc;
    out->len = z.card;
    out->has |= ROW_LEN;
    zset_close(&z);
    return NQ_OK;
}

nq_rc
db_row_far(struct db *db, uint32_t dbi, struct slice key, unsigned needs,
           size_t limit, struct arena *arena, struct row_fields *fields,
           struct row *out)
{
    struct row_far *far = arena_alloc(arena, sizeof *far);
    nq_rc rc;

    fields->far = NULL;
    far->db = db;
    far->arena = arena;
    far->limit = limit;
    far->taken = 0;
    far->rc = NQ_OK;
    far->entry = (struct entry){0};
    if ((rc = db_find(db, dbi, key, &far->entry)) != NQ_OK)
        return rc;
    switch (db_row_near(key, &far->entry.rec, needs, db_now(db), fields, out)) {
    case ROW_NEAR:
        return NQ_OK;
    case ROW_OVER:
        return NQ_NOTFOUND;
    case ROW_FAR:
        break;
    }
    if (far->entry.rec.type == DB_STRING)
        return far_string(far, needs, out);
    if (far->entry.rec.type == DB_HASH)
        return far_hash(fields, far, dbi, out);
    if (far->entry.rec.type == DB_ZSET)
        return far_zset(far, dbi, out);
    return NQ_CORRUPT("a %s says no length",
                      db_type_name((enum db_type)far->entry.rec.type));
}

nq_rc
db_row_check(const struct row_fields *fields)
{
    return fields->far == NULL ? NQ_OK : fields->far->rc;
}

void
db_row_end(struct row_fields *fields)
{
    if (fields->far != NULL)
        coll_close(&fields->far->coll);
    fields->far = NULL;
}
