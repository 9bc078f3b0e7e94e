/* db/index_keep.c - indexes in the log and in the catalog.
 *
 * Effects; the key is the name, the database that of the index:
 *
 *   INDEX_CREATE   u8 kind | varint length of the prefix | prefix | path
 *   INDEX_DROP     none
 *   INDEX_REBUILD  none
 *
 * What is in an index is never logged: it follows from the records of the keys
 * (index_work.c).  Catalog entries, written right before each cut:
 *
 *   "index.N"      u8 kind | u8 state | u32 database | name | prefix | path |
 *                  u32 root of keys | u32 root of values | 3 u64 entries of
 *                  CLASS_LONG, _MISMATCH, _LONG_KEY | where building stands |
 *                  u8 ranges | each: lo | u8 has_hi | hi; each text is a
 *                  varint length and bytes; N is below INDEX_MAX
 *   "index.keys.N" keys that wait to be entered: varint database | varint
 *                  length | bytes, of each; some in each entry, N from 0 on
 *
 * A key that is too long for an entry of the catalog is entered before the
 * cut, whatever has to be read for it. */
#include "base/log.h"
#include "base/mem.h"
#include "db/index_int.h"

#include <stdio.h>

#define ROW_MAX 60000u /* bytes of an entry of "index.keys" */

/* --- effects -------------------------------------------------------------- */

static nq_rc
log_create(struct db *db, const struct index *ix)
{
    struct buf args = BUF_INIT;
    struct slice all;
    nq_rc rc;

    buf_put_u8(&args, (uint8_t)ix->kind);
    buf_put_varint(&args, ix->prefix.len);
    buf_put_slice(&args, buf_slice(&ix->prefix));
    buf_put_slice(&args, buf_slice(&ix->path_text));
    all = buf_slice(&args);
    rc =
        db_log(db, ix->dbi, EFFECT_INDEX_CREATE, buf_slice(&ix->name), &all, 1);
    buf_fini(&args);
    return rc;
}

static bool
may_be_path(struct slice path)
{
    return path.len > 0 && path.len <= INDEX_PATH_MAX &&
           (path.p[0] != '$' || slice_has_prefix(path, slice_lit("$.")) ||
            slice_has_prefix(path, slice_lit("$[")) ||
            slice_eq(path, slice_lit("$value")));
}

nq_rc
db_index_create(struct db *db, const struct index_def *def)
{
    nq_rc rc = db_writable(db);
    struct index *ix;

    if (rc != NQ_OK)
        return rc;
    if (db_index_find(db, def->name) != NULL)
        return NQ_EEXISTS;
    if (db_index_count(db) == INDEX_MAX)
        return NQ_ELIMIT;
    if (def->name.len == 0 || def->name.len > INDEX_NAME_MAX ||
        def->prefix.len > INDEX_PREFIX_MAX || def->dbi >= db->count)
        return NQ_EINVAL;
    if (!may_be_path(def->path))
        return NQ_ESYNTAX;
    ix = index_new(indexes_of(db), def);
    if (ix == NULL)
        return NQ_ESYNTAX;
    index_add(db->indexes, ix);
    return log_create(db, ix);
}

nq_rc
db_index_drop(struct db *db, struct slice name)
{
    struct index *ix = db_index_find(db, name);
    uint32_t dbi;
    nq_rc rc = db_writable(db);

    if (rc != NQ_OK || ix == NULL)
        return rc != NQ_OK ? rc : NQ_NOTFOUND;
    dbi = ix->dbi;
    index_empty(ix, INDEX_BUILDING);
    index_forget(db->indexes, ix);
    return db_log(db, dbi, EFFECT_INDEX_DROP, name, NULL, 0);
}

nq_rc
db_index_rebuild(struct db *db, struct slice name)
{
    struct index *ix = db_index_find(db, name);
    nq_rc rc = db_writable(db);

    if (rc != NQ_OK || ix == NULL)
        return rc != NQ_OK ? rc : NQ_NOTFOUND;
    index_empty(ix, INDEX_BUILDING);
    return db_log(db, ix->dbi, EFFECT_INDEX_REBUILD, name, NULL, 0);
}

nq_rc
db_apply_index_create(struct db *db, const struct wal_record *r)
{
    struct index_def def = {.name = r->key, .dbi = r->db};
    struct cursor c = cursor_of(r->args);
    uint8_t kind;
    nq_rc rc;

    cursor_get_u8(&c, &kind);
    cursor_get_slice(&c, &def.prefix);
    cursor_get_bytes(&c, cursor_left(&c), &def.path);
    if (!cursor_ok(&c) || kind > INDEX_TEXT)
        return NQ_EFORMAT;
    def.kind = (enum index_kind)kind;
    rc = db_index_create(db, &def);
    return rc == NQ_EEXISTS || rc == NQ_EINVAL || rc == NQ_ESYNTAX ? NQ_EFORMAT
                                                                   : rc;
}

nq_rc
db_apply_index_drop(struct db *db, const struct wal_record *r)
{
    return db_index_drop(db, r->key);
}

nq_rc
db_apply_index_rebuild(struct db *db, const struct wal_record *r)
{
    return db_index_rebuild(db, r->key);
}

/* --- writing the catalog -------------------------------------------------- */

static struct slice
row_name(const char *what, unsigned n, char dst[32])
{
    return slice_of(dst, (size_t)snprintf(dst, 32, "%s.%u", what, n));
}

static void
put_text(struct buf *b, struct slice s)
{
    buf_put_varint(b, s.len);
    buf_put_slice(b, s);
}

static void
put_index(struct buf *b, const struct index *ix)
{
    buf_put_u8(b, (uint8_t)ix->kind);
    buf_put_u8(b, (uint8_t)ix->state);
    buf_put_u32(b, ix->dbi);
    put_text(b, buf_slice(&ix->name));
    put_text(b, buf_slice(&ix->prefix));
    put_text(b, buf_slice(&ix->path_text));
    buf_put_u32(b, ix->keys.root);
    buf_put_u32(b, ix->values.root);
    for (unsigned i = CLASS_LONG; i <= CLASS_LONG_KEY; i++)
        buf_put_u64(b, ix->classes[i]);
    put_text(b, index_stand(ix));
    buf_put_u8(b, (uint8_t)ix->range_count);
    for (unsigned i = 0; i < ix->range_count; i++) {
        put_text(b, buf_slice(&ix->ranges[i].lo));
        buf_put_u8(b, ix->ranges[i].has_hi);
        put_text(b, buf_slice(&ix->ranges[i].hi));
    }
}

static void
write_indexes(struct indexes *x)
{
    struct store *st = x->db->opts.store;
    uint64_t used = 0;
    char name[32];

    for (unsigned i = 0; i < x->count; i++) {
        struct buf b = BUF_INIT;

        put_index(&b, x->list[i]);
        store_catalog_put(st, row_name("index", x->list[i]->slot, name),
                          buf_slice(&b));
        buf_fini(&b);
        used |= UINT64_C(1) << x->list[i]->slot;
    }
    for (unsigned i = 0; i < INDEX_MAX; i++)
        if ((used >> i & 1) == 0)
            store_catalog_del(st, row_name("index", i, name));
}

static void
write_keys(struct indexes *x)
{
    struct store *st = x->db->opts.store;
    struct buf b = BUF_INIT;
    unsigned rows = 0;
    char name[32];

    list_each(it, &x->waiting)
    {
        const struct index_key *k = nq_container(it, struct index_key, link);

        if (b.len + k->len > ROW_MAX) {
            store_catalog_put(st, row_name("index.keys", rows++, name),
                              buf_slice(&b));
            buf_clear(&b);
        }
        buf_put_varint(&b, k->dbi);
        put_text(&b, slice_of(k->bytes, k->len));
    }
    if (b.len > 0)
        store_catalog_put(st, row_name("index.keys", rows++, name),
                          buf_slice(&b));
    buf_fini(&b);
    while (x->rows_of_keys > rows)
        store_catalog_del(st, row_name("index.keys", --x->rows_of_keys, name));
    x->rows_of_keys = rows;
}

void
db_write_indexes(struct db *db)
{
    struct indexes *x = db->indexes;

    if (x == NULL)
        return;
    index_settle(x);
    index_enter_long_keys(x, ROW_MAX);
    write_indexes(x);
    write_keys(x);
}

/* --- reading the catalog -------------------------------------------------- */

static void
get_ranges(struct cursor *c, struct index *ix)
{
    uint8_t n, has_hi;
    struct slice lo, hi;

    cursor_get_u8(c, &n);
    for (unsigned i = 0; i < n && cursor_ok(c); i++) {
        cursor_get_slice(c, &lo);
        cursor_get_u8(c, &has_hi);
        cursor_get_slice(c, &hi);
        if (cursor_ok(c))
            index_add_range(ix, lo, has_hi ? &hi : NULL);
    }
}

static nq_rc
get_index(struct indexes *x, uint32_t slot, struct slice row)
{
    struct cursor c = cursor_of(row);
    struct index_def def = {.dbi = 0};
    struct slice stand;
    uint8_t kind, state;
    struct index *ix;

    cursor_get_u8(&c, &kind);
    cursor_get_u8(&c, &state);
    cursor_get_u32(&c, &def.dbi);
    cursor_get_slice(&c, &def.name);
    cursor_get_slice(&c, &def.prefix);
    cursor_get_slice(&c, &def.path);
    if (!cursor_ok(&c) || kind > INDEX_TEXT || state > INDEX_DAMAGED ||
        def.dbi >= x->db->count || db_index_find(x->db, def.name) != NULL)
        return NQ_ECORRUPT;
    def.kind = (enum index_kind)kind;
    if ((ix = index_new(x, &def)) == NULL)
        return NQ_ECORRUPT;
    index_add(x, ix);
    ix->slot = slot;
    ix->state = (enum index_state)state;
    cursor_get_u32(&c, &ix->keys.root);
    cursor_get_u32(&c, &ix->values.root);
    for (unsigned i = CLASS_LONG; i <= CLASS_LONG_KEY; i++)
        cursor_get_u64(&c, &ix->classes[i]);
    cursor_get_slice(&c, &stand);
    ix->has_built_to = cursor_ok(&c) && stand.len > 0;
    if (ix->has_built_to)
        buf_put_slice(&ix->built_to, stand);
    get_ranges(&c, ix);
    return cursor_ok(&c) ? NQ_OK : NQ_ECORRUPT;
}

/* A row of the catalog, whole, into `b`; NQ_NOTFOUND. */
static nq_rc
get_row(struct db *db, const char *what, unsigned n, struct buf *b)
{
    char name[32];
    nq_rc rc;

    buf_clear(b);
    rc = store_catalog_get(db->opts.store, row_name(what, n, name),
                           buf_reserve(b, UINT16_MAX), UINT16_MAX, &b->len);
    return rc;
}

static nq_rc
load_keys(struct db *db, struct buf *row)
{
    nq_rc rc;

    for (unsigned n = 0; (rc = get_row(db, "index.keys", n, row)) == NQ_OK;
         n++) {
        struct cursor c = cursor_of(buf_slice(row));

        while (cursor_left(&c) > 0) {
            struct slice key;
            uint64_t dbi;

            cursor_get_varint(&c, &dbi);
            cursor_get_slice(&c, &key);
            if (!cursor_ok(&c) || dbi >= db->count)
                return NQ_ECORRUPT;
            index_add_waiting(indexes_of(db), (uint32_t)dbi, key);
        }
        indexes_of(db)->rows_of_keys = n + 1;
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
db_load_indexes(struct db *db)
{
    struct buf row = BUF_INIT;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < INDEX_MAX && rc == NQ_OK; i++) {
        rc = get_row(db, "index", i, &row);
        if (rc == NQ_OK)
            rc = get_index(indexes_of(db), i, buf_slice(&row));
        else if (rc == NQ_NOTFOUND)
            rc = NQ_OK;
    }
    if (rc == NQ_OK)
        rc = load_keys(db, &row);
    if (rc == NQ_ECORRUPT)
        log_error("a catalog entry of an index is damaged");
    buf_fini(&row);
    return rc;
}
