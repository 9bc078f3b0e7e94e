/* db/index_row.c - what a row has at the path of an index.
 *
 * Of a row it is the stored bytes that count: a key or field that is due but
 * still there has its value, so an index says the same whenever it is asked,
 * and replay, which has no clock, comes to the same entries.
 *
 * Of a hash with a tree of its own only the field is read.  Called by
 * index_enter.c and index_check.c. */
#include "db/coll.h"
#include "db/fields.h"
#include "db/index_int.h"
#include "db/rows.h"
#include "db/string.h"

/* A hash that is read field by field. */
struct far_hash {
    struct coll coll;
    struct arena *arena;
    nq_rc rc; /* of the last field */
};

static bool
far_field(const struct row *r, struct slice name, struct slice *out)
{
    struct far_hash *h = (struct far_hash *)(uintptr_t)r->arg;
    struct item it;

    h->rc = coll_get(&h->coll, name, &it);
    if (h->rc == NQ_OK && it.is_blob && it.len > INDEX_LONG)
        h->rc = NQ_ETOOLONG;
    if (h->rc == NQ_OK)
        h->rc = coll_val(&h->coll, &it, h->arena, out);
    return h->rc == NQ_OK;
}

/* Nobody asks an index for all fields. */
static void
no_fields(const struct row *r,
          bool (*fn)(void *arg, struct slice name, struct slice value),
          void *arg)
{
    nq_unused(r);
    nq_unused(fn);
    nq_unused(arg);
}

static void
spell_row(struct index *ix, const struct row *row, struct index_value *out)
{
    struct row_scratch *scratch = ix->all->scratch;
    struct value v;

    row_scratch_next(scratch);
    v = path_value(ix->path, row, scratch);
    index_spell(ix->kind, &v, out);
}

static nq_rc
far_hash_value(struct index *ix, struct slice key, const struct record *rec,
               struct index_value *out)
{
    struct db *db = ix->all->db;
    struct entry e = {.rec = *rec};
    struct far_hash h = {.arena = &ix->all->arena};
    struct row row = {.key = key,
                      .type = db_type_name(DB_HASH),
                      .is_hash = true,
                      .has = ROW_FIELDS,
                      .field = far_field,
                      .each_field = no_fields,
                      .arg = &h};
    nq_rc rc;

    e.version = db_record_version(db, db_space(db, ix->dbi));
    rc = fields_open(db, ix->dbi, key, &e, true, &h.coll);
    if (rc == NQ_OK)
        spell_row(ix, &row, out);
    coll_close(&h.coll);
    if (rc == NQ_OK && h.rc != NQ_OK && h.rc != NQ_NOTFOUND)
        rc = h.rc;
    return rc;
}

static nq_rc
far_string_value(struct index *ix, struct slice key, const struct record *rec,
                 struct index_value *out)
{
    struct db *db = ix->all->db;
    struct entry e = {.rec = *rec};
    struct row row = {.key = key,
                      .type = db_type_name(DB_STRING),
                      .has = ROW_VALUE | ROW_LEN,
                      .len = string_len(&e)};
    nq_rc rc;

    if (row.len > INDEX_LONG)
        return NQ_ETOOLONG;
    rc = string_bytes(db, &e, &ix->all->arena, &row.value);
    if (rc == NQ_OK)
        spell_row(ix, &row, out);
    return rc;
}

/* Of a row of a type that has values. */
static nq_rc
value_of(struct index *ix, struct slice key, const struct record *rec,
         struct index_value *out)
{
    struct row_fields fields;
    struct row row;
    nq_rc rc;

    if (db_row_near(key, rec, ix->needs, 0, &fields, &row) == ROW_NEAR) {
        spell_row(ix, &row, out);
        return NQ_OK;
    }
    rc = rec->type == DB_HASH ? far_hash_value(ix, key, rec, out)
                              : far_string_value(ix, key, rec, out);
    arena_reset(&ix->all->arena);
    if (rc != NQ_ETOOLONG)
        return rc;
    *out = (struct index_value){.bytes = {CLASS_LONG}, .len = 1};
    return NQ_OK;
}

nq_rc
index_row_value(struct index *ix, struct slice key, struct index_value *out)
{
    struct record rec;
    nq_rc rc = btree_get(db_tree(ix->all->db, ix->dbi), key, &rec, NULL);

    out->len = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (rec.type != DB_STRING && rec.type != DB_HASH)
        return NQ_OK;
    if (key.len <= INDEX_KEY_MAX)
        return value_of(ix, key, &rec, out);
    *out = (struct index_value){.bytes = {CLASS_LONG_KEY}, .len = 1};
    return NQ_OK;
}
