/* db/db_bulk.c - changes of more than one key: RENAME, MOVE, FLUSHDB,
 * FLUSHALL, SWAPDB, ranges; and a random key.
 *
 * Arguments of the effects:
 *
 *   RENAME    varint database of the new name | the new name
 *   FLUSHDB   none;  FLUSHALL  none
 *   SWAPDB    varint the other database
 *   DELRANGE  (key: lo) u8 1 and hi, or u8 0: no upper end
 *
 * What a value owns moves with its record.
 * Called by command handlers and by replay. */
#include "base/mem.h"
#include "db/db_int.h"
#include "db/index_int.h"

#define DEL_RANGE_BUDGET 4096 /* pages a call */
#define RANDOM_TRIES 64

/* --- one key to another -------------------------------------------------- */

void
db_encode_target(struct buf *b, uint32_t dbi, struct slice key)
{
    buf_put_varint(b, dbi);
    buf_put_slice(b, key);
}

nq_rc
db_decode_target(struct db *db, struct slice args, uint32_t *dbi,
                 struct slice *key)
{
    struct cursor c = cursor_of(args);
    uint64_t n;

    cursor_get_varint(&c, &n);
    cursor_get_bytes(&c, cursor_left(&c), key);
    if (!cursor_ok(&c) || !db_has_space(db, n))
        return NQ_EFORMAT;
    *dbi = (uint32_t)n;
    return NQ_OK;
}

nq_rc
db_find_pair(struct db *db, const struct db_pair *p, struct entry *src,
             struct entry *dst)
{
    nq_rc rc = db_find_write(db, p->to_db, p->to, dst);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    /* Second, so that the slices of the source are still good. */
    return db_find_write(db, p->from_db, p->from, src);
}

static nq_rc
rename_found(struct db *db, uint32_t from_db, struct slice from, uint32_t to_db,
             struct slice to, struct entry *src, struct entry *dst)
{
    struct keyspace *ks = db_space(db, from_db);
    struct record rec = src->rec;
    bool was;
    nq_rc rc;

    buf_clear(&db->scratch);
    buf_put_slice(&db->scratch, rec.val);
    rec.val = buf_slice(&db->scratch);
    if ((rc = db_put_record(db, db_space(db, to_db), to, &rec, dst)) != NQ_OK)
        return rc;
    /* The first half is done: from here on nothing may miss. */
    was = frames_set_blocking(db->fr, true);
    rc = btree_del(&ks->tree, from, &src->finger);
    (void)frames_set_blocking(db->fr, was);
    if (rc == NQ_OK)
        db_count_expiry(ks, db_expiry_kind(&rec), -1);
    return rc;
}

nq_rc
db_rename(struct db *db, uint32_t from_db, struct slice from, uint32_t to_db,
          struct slice to)
{
    struct db_pair pair = {from_db, to_db, from, to};
    struct entry src = {0}, dst = {0};
    struct buf arg = BUF_INIT;
    struct slice args[1];
    bool was;
    nq_rc rc;

    if ((rc = db_find_pair(db, &pair, &src, &dst)) != NQ_OK)
        return rc;
    if (from_db == to_db && slice_eq(from, to))
        return NQ_OK;
    was = db_calls_begin(db);
    rc = rename_found(db, from_db, from, to_db, to, &src, &dst);
    db_calls_end(db, was);
    if (rc != NQ_OK)
        return rc;
    db_encode_target(&arg, to_db, to);
    args[0] = buf_slice(&arg);
    rc = db_log(db, from_db, EFFECT_RENAME, from, args, 1);
    buf_fini(&arg);
    db_space(db, from_db)->removed = db_space(db, from_db)->changed;
    db_space(db, to_db)->changed = db_space(db, from_db)->changed;
    db_touch(db, to_db, to);
    db_event(db, to_db, EVENT_NEW, "new", to);
    if (from_db == DB_STAGING)
        return rc;
    db_event(db, from_db, EVENT_GENERIC,
             from_db == to_db ? "rename_from" : "move_from", from);
    db_event(db, to_db, EVENT_GENERIC,
             from_db == to_db ? "rename_to" : "move_to", to);
    return rc;
}

/* --- whole databases ----------------------------------------------------- */

/* An empty tree in place of the old one. */
static void
drop_tree(struct db *db, uint32_t dbi)
{
    struct keyspace *ks = db_space(db, dbi);

    if (ks->tree.root != 0)
        db_free_later(db, &ks->tree);
    btree_set_root(&ks->tree, 0);
    ks->expires = ks->fields_only = 0;
    db_index_on_flush(db, dbi);
}

/* After a logged change of which tree is whose; `event` tells it. */
static void
set_origin(struct db *db, uint32_t dbi, lsn at, enum change_event event)
{
    struct key_range all = {.db = dbi, .lo = slice_lit("")};
    struct keyspace *ks = db_space(db, dbi);

    change_tell_range(db, event, &all);
    ks->changed = ks->removed = ks->origin = at;
    db_touch(db, dbi, (struct slice){NULL, 0});
}

nq_rc
db_flush(struct db *db, uint32_t dbi)
{
    nq_rc rc = db_writable(db);

    if (rc != NQ_OK)
        return rc;
    drop_tree(db, dbi);
    rc = db_log(db, dbi, EFFECT_FLUSHDB, slice_lit(""), NULL, 0);
    set_origin(db, dbi, db_space(db, dbi)->changed, CHANGE_GONE);
    return rc;
}

/* The commands that built there did not live to finish it.  It is logged, so
 * that another replay of what they did ends here, too. */
nq_rc
db_clear_staging(struct db *db)
{
    nq_rc rc = NQ_OK;

    if (db->staging.tree.root != 0 && db_writable(db) == NQ_OK)
        rc = db_flush(db, DB_STAGING);
    db_gate_reset(db);
    return rc;
}

nq_rc
db_flush_all(struct db *db)
{
    nq_rc rc = db_writable(db);

    if (rc != NQ_OK)
        return rc;
    for (uint32_t i = 0; i < db->count; i++)
        drop_tree(db, i);
    rc = db_log(db, 0, EFFECT_FLUSHALL, slice_lit(""), NULL, 0);
    for (uint32_t i = 0; i < db->count; i++)
        set_origin(db, i, db->spaces[0].changed, CHANGE_GONE);
    return rc;
}

nq_rc
db_swap(struct db *db, uint32_t a, uint32_t b)
{
    struct keyspace *x = db_space(db, a), *y = db_space(db, b), was;
    uint8_t arg[10];
    struct slice args[1] = {{arg, varint_encode(arg, b)}};
    nq_rc rc = db_writable(db);

    if (rc != NQ_OK || a == b)
        return rc;
    was = *x;
    *x = *y;
    *y = was;
    x->tree.version = nq_max(x->tree.version, y->tree.version) + 1;
    x->tree.shape = nq_max(x->tree.shape, y->tree.shape) + 1;
    y->tree.version = x->tree.version;
    y->tree.shape = x->tree.shape;
    db_index_on_swap(db, a, b);
    rc = db_log(db, a, EFFECT_SWAPDB, slice_lit(""), args, 1);
    set_origin(db, a, x->changed, CHANGE_RESET);
    set_origin(db, b, x->changed, CHANGE_RESET);
    return rc;
}

/* --- ranges -------------------------------------------------------------- */

static bool
is_fields_only(void *arg, const struct record *rec)
{
    nq_unused(arg);
    return db_expiry_kind(rec) == FIELDS_EXPIRE;
}

/* How many records of the range have an expiry, and how many of them are
 * counted as fields_only. */
static nq_rc
count_expiring(struct keyspace *ks, struct slice lo, const struct slice *hi,
               uint64_t out[2])
{
    nq_rc rc = btree_count_due(&ks->tree, lo, hi, DB_FOREVER, &out[0]);

    out[1] = 0;
    if (rc == NQ_OK && ks->fields_only > 0)
        rc = btree_count_due_if(&ks->tree, lo, hi, DB_FOREVER, is_fields_only,
                                NULL, &out[1]);
    return rc;
}

/* Removes the range from the tree.  NQ_MISS before anything is gone; what is
 * missing later is read on the spot. */
static nq_rc
del_range_now(struct db *db, struct keyspace *ks, struct slice lo,
              const struct slice *hi, uint64_t *removed)
{
    uint64_t expiring[2] = {0}, left[2] = {0}, part;
    bool done = false;
    nq_rc rc = count_expiring(ks, lo, hi, expiring);

    while (rc == NQ_OK && !done) {
        part = 0;
        rc = btree_del_range(&ks->tree, lo, hi, DEL_RANGE_BUDGET,
                             db_free_key_record, db, &part, &done);
        *removed += part;
        if (rc == NQ_MISS && *removed > 0 && !frames_set_blocking(db->fr, true))
            rc = NQ_OK;
    }
    /* Damage may have stopped it half way. */
    if (rc != NQ_OK && *removed > 0 &&
        count_expiring(ks, lo, hi, left) != NQ_OK)
        left[0] = left[1] = 0;
    if (*removed > 0) {
        ks->expires -= expiring[0] - left[0];
        ks->fields_only -= expiring[1] - left[1];
    }
    return rc;
}

nq_rc
db_del_range(struct db *db, uint32_t dbi, struct slice lo,
             const struct slice *hi, uint64_t *removed)
{
    struct keyspace *ks = db_space(db, dbi);
    uint8_t has_hi = hi != NULL;
    struct slice args[2] = {{&has_hi, 1}, hi != NULL ? *hi : slice_lit("")};
    struct key_range range = {dbi, lo, args[1], hi != NULL};
    bool was;
    nq_rc rc = db_writable(db), logged;

    *removed = 0;
    if (rc != NQ_OK)
        return rc;
    if (hi != NULL && slice_cmp(lo, *hi) >= 0)
        return NQ_OK;
    was = frames_set_blocking(db->fr, true);
    (void)frames_set_blocking(db->fr, was || db->has_effects);
    rc = del_range_now(db, ks, lo, hi, removed);
    (void)frames_set_blocking(db->fr, was);
    if (*removed == 0)
        return rc;
    frames_forget_wanted(db->fr);
    db_index_on_del_range(db, dbi, lo, hi, rc == NQ_OK);
    logged = db_log(db, dbi, EFFECT_DELRANGE, lo, args, 2);
    change_tell_range(db, rc == NQ_OK ? CHANGE_GONE : CHANGE_RESET, &range);
    ks->removed = ks->changed;
    db_touch(db, dbi, (struct slice){NULL, 0});
    return rc != NQ_OK ? rc : logged;
}

/* --- a random key -------------------------------------------------------- */

static nq_rc
random_in(struct db *db, uint32_t dbi, uint64_t keys, struct btree_cursor *c)
{
    struct record rec;
    nq_rc rc;

    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        if ((rc = btree_nth(c, rng_below(&db->rng, keys))) != NQ_OK)
            return rc;
        if ((rc = btree_record(c, &rec)) != NQ_OK)
            return rc;
        if (!db_is_gone(db, dbi, &rec))
            return NQ_OK;
    }
    /* Nearly all of them are due: the first that is not, from the start. */
    for (rc = btree_first(c); rc == NQ_OK && c->valid; rc = btree_next(c)) {
        if ((rc = btree_record(c, &rec)) != NQ_OK)
            return rc;
        if (!db_is_gone(db, dbi, &rec))
            return NQ_OK;
    }
    return rc == NQ_OK ? NQ_NOTFOUND : rc;
}

nq_rc
db_random_key(struct db *db, uint32_t dbi, struct slice *key)
{
    struct btree *t = db_tree(db, dbi);
    struct btree_cursor c;
    uint64_t keys, due = 0;
    nq_rc rc;

    db_gate_all(db, dbi);
    if ((rc = btree_count(t, &keys)) != NQ_OK)
        return rc;
    if (keys > 0)
        rc = db_count_gone(db, dbi, slice_lit(""), NULL, &due);
    if (rc != NQ_OK || due >= keys)
        return rc != NQ_OK ? rc : NQ_NOTFOUND;
    btree_cursor_init(&c, t);
    rc = random_in(db, dbi, keys, &c);
    if (rc == NQ_OK) {
        buf_clear(&db->scratch);
        buf_put_slice(&db->scratch, c.key);
        *key = buf_slice(&db->scratch);
    }
    btree_cursor_fini(&c);
    return rc;
}

/* --- replay -------------------------------------------------------------- */

nq_rc
db_apply_rename(struct db *db, const struct wal_record *r)
{
    uint32_t to_db;
    struct slice to;
    nq_rc rc = db_decode_target(db, r->args, &to_db, &to);

    return rc == NQ_OK ? db_rename(db, r->db, r->key, to_db, to) : rc;
}

nq_rc
db_apply_flush(struct db *db, const struct wal_record *r)
{
    return db_flush(db, r->db);
}

nq_rc
db_apply_flush_all(struct db *db, const struct wal_record *r)
{
    nq_unused(r);
    return db_flush_all(db);
}

nq_rc
db_apply_swap(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    uint64_t other;

    cursor_get_varint(&c, &other);
    if (!cursor_ok(&c) || other >= db->count)
        return NQ_EFORMAT;
    return db_swap(db, r->db, (uint32_t)other);
}

nq_rc
db_apply_del_range(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct slice hi;
    uint64_t removed;
    uint8_t has_hi;

    cursor_get_u8(&c, &has_hi);
    cursor_get_bytes(&c, cursor_left(&c), &hi);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    return db_del_range(db, r->db, r->key, has_hi ? &hi : NULL, &removed);
}

nq_rc
db_owned_bytes(struct db *db, const struct record *rec, unsigned samples,
               uint64_t *out)
{
    struct btree tree = {.fr = db->fr};
    struct blob_ref ref;
    uint64_t pages;
    nq_rc rc = NQ_OK;

    *out = 0;
    if (db_record_root(rec, &tree.root)) {
        rc = btree_estimate_pages(&tree, samples, &pages);
        *out = pages * db->fr->page_size;
    } else if ((rec->flags & REC_OWNS) != 0 &&
               (rc = blob_ref_decode(rec->val, &ref)) == NQ_OK) {
        *out = ref.len;
    }
    return rc;
}
