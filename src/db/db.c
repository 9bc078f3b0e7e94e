/* db/db.c - the keyspace: finding, putting and removing keys, and what every
 * change has in common (log, gate, watchers, events).
 *
 * One B+tree per logical database.  A record's flags say what its value is:
 *
 *   REC_OWNS  string: val is a blob reference of BLOB_REF_SIZE bytes; other
 *             types: it has the root of a private tree (owned.c)
 *   DB_INT    string: val is a little-endian int64
 *   neither   val is the value
 *
 * Catalog entries, written right before each cut:
 *
 *   "databases"  u32 count
 *   "db.N"       u32 root | u64 records with an expiry | u64 of them, those of
 *                which only fields expire; for each N that has any; N is
 *                DB_STAGING, too
 *   "db.to_free" what is still to be freed, see lazyfree.c
 *
 * Invariants
 *   I1  a change is tree first, log second, and nothing can fail in between:
 *       all that may miss or be refused comes before the tree is touched
 *   I2  a command that has effects is never told NQ_MISS: from its first
 *       effect on, missing pages are read on the spot (db_calls_begin)
 *   I3  the expiry counters of a database follow its records (expiry.c)
 *   I4  versions of a database's tree only rise, also over FLUSHDB and
 *       SWAPDB, so a finger from before never looks valid
 *
 * The gate: a reply may leave when the log is settled past the greatest stamp
 * it depends on.  A record found depends on its leaf; a key not found on the
 * last removal in its database (its leaf may be gone); both on the moment at
 * which this tree became this database's.  Called by commands and replay. */
#include "db/db.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/slice.h"
#include "db/db_int.h"
#include "db/index_int.h"

#define MAX_IMAGE 65536 /* until db_set_max_image() */

static const char *const type_names[DB_TYPES] = {
    "string", "list", "set", "zset", "hash", "stream",
};

const char *
db_type_name(enum db_type type)
{
    return (unsigned)type < DB_TYPES ? type_names[type] : "unknown";
}

struct keyspace *
db_space(struct db *db, uint32_t dbi)
{
    nq_assert(db->magic == DB_MAGIC);
    if (nq_unlikely(dbi == DB_STAGING))
        return &db->staging;
    nq_assert(dbi < db->count);
    return &db->spaces[dbi];
}

/* --- catalog ------------------------------------------------------------- */

struct slice
db_space_name(uint32_t dbi, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "db.%u", dbi));
}

static nq_rc
load_space(struct db *db, uint32_t dbi)
{
    struct keyspace *ks = db_space(db, dbi);
    uint8_t bytes[20];
    char name[16];
    size_t len = 0;
    struct cursor c;
    nq_rc rc;

    ks->tree.fr = db->fr;
    rc = store_catalog_get(db->opts.store, db_space_name(dbi, name), bytes,
                           sizeof bytes, &len);
    if (rc == NQ_NOTFOUND)
        return NQ_OK;
    if (rc != NQ_OK)
        return rc;
    c = cursor_of(slice_of(bytes, nq_min(len, sizeof bytes)));
    cursor_get_u32(&c, &ks->tree.root);
    cursor_get_u64(&c, &ks->expires);
    cursor_get_u64(&c, &ks->fields_only);
    if (cursor_ok(&c))
        return NQ_OK;
    log_error("catalog entry db.%u has %zu bytes, expected %zu", dbi, len,
              sizeof bytes);
    return NQ_ECORRUPT;
}

/* How many databases the directory was last used with; 0 if it is new. */
static nq_rc
stored_count(struct db *db, uint32_t *out)
{
    uint8_t bytes[4];
    size_t len = 0;
    struct cursor c;
    nq_rc rc = store_catalog_get(db->opts.store, slice_lit("databases"), bytes,
                                 sizeof bytes, &len);

    *out = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    c = cursor_of(slice_of(bytes, nq_min(len, sizeof bytes)));
    cursor_get_u32(&c, out);
    if (cursor_ok(&c) && *out <= DB_MAX_DATABASES)
        return NQ_OK;
    log_error("catalog entry \"databases\" is damaged");
    return NQ_ECORRUPT;
}

static void
write_space(struct db *db, uint32_t dbi)
{
    const struct keyspace *ks = db_space(db, dbi);
    struct store *st = db->opts.store;
    struct buf b = BUF_INIT;
    char name[16];

    if (ks->tree.root == 0) {
        store_catalog_del(st, db_space_name(dbi, name));
        return;
    }
    buf_put_u32(&b, ks->tree.root);
    buf_put_u64(&b, ks->expires);
    buf_put_u64(&b, ks->fields_only);
    store_catalog_put(st, db_space_name(dbi, name), buf_slice(&b));
    buf_fini(&b);
}

void
db_write_catalog(struct db *db)
{
    struct store *st = db->opts.store;
    struct buf b = BUF_INIT;

    buf_put_u32(&b, db->count);
    store_catalog_put(st, slice_lit("databases"), buf_slice(&b));
    buf_fini(&b);
    for (uint32_t i = 0; i < db->count; i++)
        write_space(db, i);
    db_write_indexes(db);
    write_space(db, DB_STAGING);
    db_write_frees(db);
    db_write_covers(db);
    db_write_marks(db);
}

/* --- life ---------------------------------------------------------------- */

static const struct db_limits default_limits = {
    .hash_max_listpack_entries = 512,
    .hash_max_listpack_value = 64,
    .set_max_intset_entries = 512,
    .set_max_listpack_entries = 128,
    .set_max_listpack_value = 64,
    .zset_max_listpack_entries = 128,
    .zset_max_listpack_value = 64,
    .list_max_listpack_size = -2,
    .stream_node_max_bytes = 4096,
    .stream_node_max_entries = 100,
    .hll_sparse_max_bytes = 3000,
};

nq_rc
db_open(const struct db_opts *opts, struct db **out)
{
    struct db *db = nq_calloc(1, sizeof *db);
    uint32_t stored = 0;
    nq_rc rc;

    *out = NULL;
    db->magic = DB_MAGIC;
    db->opts = *opts;
    db->limits = default_limits;
    db->max_image = MAX_IMAGE;
    db->fr = store_frames(opts->store);
    db->wal = store_wal(opts->store);
    db->is_replaying = true;
    db->active_expire = true;
    rng_seed(&db->rng, rng_seed_from_os());
    if ((rc = stored_count(db, &stored)) != NQ_OK)
        goto undo;
    /* Fewer databases than before would hide data: the larger number wins. */
    db->count = nq_max(nq_max(opts->databases, stored), 1u);
    nq_assert(db->count <= DB_MAX_DATABASES);
    db->spaces = nq_calloc(db->count, sizeof *db->spaces);
    for (uint32_t i = 0; i < db->count; i++)
        if ((rc = load_space(db, i)) != NQ_OK)
            goto undo;
    if ((rc = load_space(db, DB_STAGING)) != NQ_OK ||
        (rc = db_load_frees(db)) != NQ_OK ||
        (rc = db_load_indexes(db)) != NQ_OK ||
        (rc = db_load_covers(db)) != NQ_OK || (rc = db_load_marks(db)) != NQ_OK)
        goto undo;
    *out = db;
    return NQ_OK;

undo:
    db_close(db);
    return rc;
}

void
db_close(struct db *db)
{
    if (db == NULL)
        return;
    nq_assert(db->magic == DB_MAGIC);
    db_background_close(db);
    db_indexes_close(db);
    db_copy_end(db->copying);
    for (unsigned i = 0; i < db->colls.resting; i++)
        buf_fini(&db->colls.bufs[i]);
    db_holds_fini(db);
    db_close_changes(db);
    db_close_covers(db);
    db_close_marks(db);
    buf_fini(&db->scratch);
    buf_fini(&db->due_seen);
    nq_free(db->spaces);
    db->magic = 0;
    nq_free(db);
}

bool
db_is_replaying(const struct db *db)
{
    return db->is_replaying;
}

uint32_t
db_count(const struct db *db)
{
    return db->count;
}

struct store *
db_store(struct db *db)
{
    return db->opts.store;
}

struct btree *
db_tree(struct db *db, uint32_t dbi)
{
    return &db_space(db, dbi)->tree;
}

struct db_limits *
db_limits(struct db *db)
{
    return &db->limits;
}

void
db_set_now(struct db *db, uint64_t wall_ms)
{
    db->now_ms = wall_ms;
}

uint64_t
db_now(const struct db *db)
{
    return db->now_ms;
}

void
db_gate_reset(struct db *db)
{
    db_changes_end(db); /* of who had no other end */
    db->gate = 0;
    db->has_effects = false;
    frames_forget_damage(db->fr);
}

lsn
db_gate(const struct db *db)
{
    return db->gate;
}

void
db_gate_all(struct db *db, uint32_t dbi)
{
    const struct keyspace *ks = db_space(db, dbi);

    db_gate_raise(db, nq_max(ks->changed, ks->origin));
}

/* --- what every change has in common ------------------------------------- */

nq_rc
db_writable(struct db *db)
{
    return db->is_replaying ? NQ_OK : wal_writable(db->wal);
}

nq_rc
db_may_grow(struct db *db)
{
    if (db->is_replaying || db->has_effects)
        return NQ_OK;
    return store_writable(db->opts.store);
}

void
db_touch(struct db *db, uint32_t dbi, struct slice key)
{
    db_index_note(db, dbi, key);
    if (nq_unlikely(db->covers != NULL) && !db->is_replaying && key.p != NULL)
        change_touched(db, dbi, key);
    if (db->opts.on_touch != NULL && !db->is_replaying && dbi != DB_STAGING)
        db->opts.on_touch(db->opts.arg, dbi, key);
}

/* Or it only reads the key that it is logged by, changes a whole range, which
 * is told by itself, or is of an index, whose name it has. */
static inline bool
changes_its_key(uint8_t effect)
{
    return effect != EFFECT_COPY && effect < EFFECT_INDEX_CREATE &&
           (effect < EFFECT_FLUSHDB || effect > EFFECT_DELRANGE);
}

nq_rc
db_log(struct db *db, uint32_t dbi, uint8_t effect, struct slice key,
       const struct slice *args, unsigned nargs)
{
    lsn at;
    nq_rc rc;

    if (db->is_replaying) {
        if (changes_its_key(effect))
            db_touch(db, dbi, key);
        return NQ_OK;
    }
    at = wal_position(db->wal);
    rc = wal_append(db->wal, effect, dbi, key, args, nargs);
    db_space(db, dbi)->changed = at;
    db_gate_raise(db, at);
    db->has_effects = true;
    if (changes_its_key(effect))
        db_touch(db, dbi, key);
    return rc;
}

nq_rc
db_log_aside(struct db *db, uint32_t dbi, uint8_t effect, struct slice key,
             const struct slice *args, unsigned nargs)
{
    if (db->is_replaying)
        return NQ_OK;
    db_gate_raise(db, wal_position(db->wal));
    return wal_append(db->wal, effect, dbi, key, args, nargs);
}

void
db_event(struct db *db, uint32_t dbi, enum db_event_class class,
         const char *event, struct slice key)
{
    if (db->opts.on_event != NULL && event != NULL && !db->is_replaying &&
        dbi != DB_STAGING)
        db->opts.on_event(db->opts.arg, dbi, class, event, key);
}

/* --- finding ------------------------------------------------------------- */

/* The tree leaves the finger alone when it is empty; db_put() goes by it. */
static void
not_there(struct db *db, const struct keyspace *ks, struct entry *e)
{
    e->finger.found = false;
    db_gate_raise(db, ks->removed);
}

/* Of the key found something is due. */
static nq_rc
find_due(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    bool over;
    nq_rc rc = db_is_over(db, dbi, key, e, &over);

    if (rc != NQ_OK)
        return rc;
    return over ? NQ_NOTFOUND : NQ_OK;
}

nq_rc
db_find(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    struct keyspace *ks = db_space(db, dbi);
    bool was = db_calls_begin(db);
    nq_rc rc = btree_get(&ks->tree, key, &e->rec, &e->finger);

    db_calls_end(db, was);
    e->version = db_record_version(db, ks);
    db_gate_raise(db, ks->origin);
    if (nq_likely(rc == NQ_OK)) {
        db_gate_raise(db, e->rec.page_lsn);
        if (nq_likely(!db_has_due(db, &e->rec)))
            return NQ_OK;
        db_note_due(db, dbi, key);
        return find_due(db, dbi, key, e);
    }
    if (rc == NQ_NOTFOUND)
        not_there(db, ks, e);
    return rc;
}

/* A covered key was found, or not, to be changed. */
static nq_rc
note_found(struct db *db, uint32_t dbi, struct slice key, const struct entry *e,
           nq_rc found)
{
    nq_rc rc;

    if (found != NQ_OK && found != NQ_NOTFOUND)
        return found;
    rc = change_note(db, dbi, key, found == NQ_OK ? e : NULL);
    return rc == NQ_OK ? found : rc;
}

nq_rc
db_find_write(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    struct keyspace *ks = db_space(db, dbi);
    nq_rc rc = db_writable(db);
    bool was;

    if (nq_unlikely(rc != NQ_OK))
        return rc;
    if (nq_unlikely(key.len > BTREE_MAX_KEY))
        return NQ_EKEYLEN;
    was = db_calls_begin(db);
    rc = btree_get(&ks->tree, key, &e->rec, &e->finger);
    e->version = db_record_version(db, ks);
    if (rc == NQ_OK && nq_unlikely(db_has_due(db, &e->rec))) {
        rc = find_due(db, dbi, key, e);
        if (rc == NQ_NOTFOUND &&
            (rc = db_remove_expired(db, dbi, key, e)) == NQ_OK)
            rc = NQ_NOTFOUND;
        e->version = db_record_version(db, ks);
    }
    db_calls_end(db, was);
    db_gate_raise(db, ks->origin);
    if (rc == NQ_OK)
        db_gate_raise(db, e->rec.page_lsn);
    else if (rc == NQ_NOTFOUND)
        not_there(db, ks, e);
    if (db_is_covered(db, dbi, key))
        return note_found(db, dbi, key, e, rc);
    return rc;
}

void
db_entry_vouch(struct db *db, uint32_t dbi, struct entry *e)
{
    e->version = db_record_version(db, db_space(db, dbi));
}

/* --- changing ------------------------------------------------------------ */

static nq_rc
remove_found(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    struct keyspace *ks = db_space(db, dbi);
    enum expiry_kind kind = db_expiry_kind(&e->rec);
    struct owned owned;
    nq_rc rc;

    db_owned(&e->rec, &owned);
    if ((rc = btree_del(&ks->tree, key, &e->finger)) != NQ_OK)
        return rc;
    db_owned_free(db, &owned);
    e->finger = (struct finger){0};
    db_count_expiry(ks, kind, -1);
    rc = db_log(db, dbi, EFFECT_DEL, key, NULL, 0);
    ks->removed = ks->changed;
    return rc;
}

nq_rc
db_remove(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    bool was = db_calls_begin(db);
    nq_rc rc = remove_found(db, dbi, key, e);

    db_calls_end(db, was);
    return rc;
}

nq_rc
db_remove_expired(struct db *db, uint32_t dbi, struct slice key,
                  struct entry *e)
{
    bool had_effects = db->has_effects, is_due = db_is_due(db, &e->rec);
    bool is_covered = db_is_covered(db, dbi, key);
    nq_rc rc = is_covered ? change_note_due(db, dbi, key, e) : NQ_OK;

    if (rc == NQ_OK)
        rc = db_remove(db, dbi, key, e);
    if (is_covered)
        change_tell_key(db, dbi, key);
    if (rc != NQ_OK)
        return rc;
    /* Not an effect of the command: doing it again finds it done. */
    db->has_effects = had_effects;
    if (is_due) {
        db->stats.expired_keys++;
        db_event(db, dbi, EVENT_EXPIRED, "expired", key);
    } else {
        db_event(db, dbi, EVENT_HASH, "hexpired", key);
        db_event(db, dbi, EVENT_GENERIC, "del", key);
    }
    return NQ_OK;
}

nq_rc
db_del_found(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    nq_rc rc = db_remove(db, dbi, key, e);

    if (rc == NQ_OK)
        db_event(db, dbi, EVENT_GENERIC, "del", key);
    return rc;
}

nq_rc
db_del_replaced(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    return db_remove(db, dbi, key, e);
}

nq_rc
db_del(struct db *db, uint32_t dbi, struct slice key)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(db, dbi, key, &e);

    return rc == NQ_OK ? db_del_found(db, dbi, key, &e) : rc;
}

nq_rc
db_put_record(struct db *db, struct keyspace *ks, struct slice key,
              const struct record *rec, struct entry *old)
{
    struct owned owned = {.kind = OWNS_NOTHING}, now;
    enum expiry_kind was = EXPIRES_NOT, is = db_expiry_kind(rec);
    nq_rc rc;

    if (old->finger.found) {
        was = db_expiry_kind(&old->rec);
        db_owned(&old->rec, &owned);
        if (nq_unlikely(owned.kind != OWNS_NOTHING)) {
            db_owned(rec, &now);
            if (db_owned_is_same(&owned, &now))
                owned.kind = OWNS_NOTHING;
        }
    }
    if ((rc = btree_put(&ks->tree, key, rec, &old->finger)) != NQ_OK)
        return rc;
    db_owned_free(db, &owned);
    db_count_expiry(ks, was, -1);
    db_count_expiry(ks, is, 1);
    return NQ_OK;
}

nq_rc
db_put_told(struct db *db, uint32_t dbi, struct slice key,
            const struct record *rec, struct entry *old, uint8_t effect,
            const struct slice *args, unsigned nargs, bool *is_stored)
{
    bool is_new = !old->finger.found, was = db_calls_begin(db);
    nq_rc rc = db_put_record(db, db_space(db, dbi), key, rec, old);

    db_calls_end(db, was);
    *is_stored = rc == NQ_OK;
    if (rc == NQ_OK)
        rc = db_log(db, dbi, effect, key, args, nargs);
    if (rc == NQ_OK && is_new)
        db_event(db, dbi, EVENT_NEW, "new", key);
    return rc;
}

nq_rc
db_put(struct db *db, uint32_t dbi, struct slice key, const struct record *rec,
       struct entry *old, uint8_t effect, const struct slice *args,
       unsigned nargs)
{
    bool is_stored;

    return db_put_told(db, dbi, key, rec, old, effect, args, nargs, &is_stored);
}

nq_rc
db_patch(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
         uint8_t **val, size_t *len)
{
    struct keyspace *ks = db_space(db, dbi);
    nq_rc rc = NQ_OK;
    bool was;

    if (nq_likely(e->finger.found && e->version == db_record_version(db, ks))) {
        *val = btree_patch_got(&ks->tree, &e->finger, e->rec.val);
        *len = e->rec.val.len;
    } else {
        was = db_calls_begin(db);
        rc = btree_patch(&ks->tree, key, &e->finger, val, len);
        db_calls_end(db, was);
    }
    db->patches += rc == NQ_OK;
    return rc;
}

/* --- questions about a whole database ------------------------------------ */

nq_rc
db_size(struct db *db, uint32_t dbi, uint64_t *keys)
{
    db_gate_all(db, dbi);
    return btree_count(db_tree(db, dbi), keys);
}

void
db_get_stats(const struct db *db, struct db_stats *out)
{
    *out = db->stats;
    out->lazyfree_pending = db->frees.count;
}
