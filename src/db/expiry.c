/* db/expiry.c - when a key ends: on the expiry set for it, or, of a hash, with
 * the last of its fields.
 *
 *   rec.expire_ms      db_expire_of()    kind
 *   0                  0                 EXPIRES_NOT
 *   the key's own      the same          EXPIRES
 *   that of a field    0 or later        EXPIRES with an own one,
 *                                        FIELDS_EXPIRE without
 *
 * The tree finds a record by rec.expire_ms; what that means is decided here.
 *
 *   X1  keyspace.expires counts the records with rec.expire_ms, and
 *       keyspace.fields_only those of them that are FIELDS_EXPIRE
 *
 * Called by the rest of this folder and by commands. */
#include "db/db_int.h"
#include "db/fields.h"

uint64_t
db_expire_of(const struct record *rec)
{
    return nq_unlikely(db_has_field_ttl(rec)) ? fields_expiry(rec)
                                              : rec->expire_ms;
}

enum expiry_kind
db_expiry_kind(const struct record *rec)
{
    if (rec->expire_ms == 0)
        return EXPIRES_NOT;
    return db_expire_of(rec) != 0 ? EXPIRES : FIELDS_EXPIRE;
}

void
db_count_expiry(struct keyspace *ks, enum expiry_kind kind, int by)
{
    if (kind == EXPIRES_NOT)
        return;
    ks->expires += (uint64_t)(int64_t)by;
    if (kind == FIELDS_EXPIRE)
        ks->fields_only += (uint64_t)(int64_t)by;
}

nq_rc
db_expires(struct db *db, uint32_t dbi, uint64_t *keys)
{
    const struct keyspace *ks = db_space(db, dbi);

    *keys = ks->expires - ks->fields_only;
    return NQ_OK;
}

/* --- what is over -------------------------------------------------------- */

nq_rc
db_is_over(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
           bool *out)
{
    *out = db_is_due(db, &e->rec);
    if (*out || !db_has_due(db, &e->rec))
        return NQ_OK;
    return fields_all_due(db, dbi, key, e, out);
}

/* The same of a record that somebody walks past.  What it takes to tell may
 * not be in memory: then the key counts as there. */
bool
db_is_gone(struct db *db, uint32_t dbi, const struct record *rec)
{
    struct entry e;
    bool over;

    if (nq_likely(!db_has_due(db, rec)))
        return false;
    e = (struct entry){.rec = *rec,
                       .version = db_record_version(db, db_space(db, dbi))};
    return db_is_over(db, dbi, slice_lit(""), &e, &over) == NQ_OK && over;
}

/* A count of those that are over, and what went wrong with it. */
struct gone_count {
    struct db *db;
    uint32_t dbi;
    nq_rc rc;
};

static bool
is_over(void *arg, const struct record *rec)
{
    struct gone_count *g = arg;
    struct entry e = {.rec = *rec,
                      .version =
                          db_record_version(g->db, db_space(g->db, g->dbi))};
    bool over = false;
    nq_rc rc = db_is_over(g->db, g->dbi, slice_lit(""), &e, &over);

    if (rc != NQ_OK && g->rc != NQ_MISS)
        g->rc = rc;
    return over;
}

nq_rc
db_count_gone(struct db *db, uint32_t dbi, struct slice lo,
              const struct slice *hi, uint64_t *out)
{
    struct gone_count g = {db, dbi, NQ_OK};
    nq_rc rc = btree_count_due_if(db_tree(db, dbi), lo, hi, db->now_ms, is_over,
                                  &g, out);

    return rc != NQ_OK ? rc : g.rc;
}

/* --- setting ------------------------------------------------------------- */

nq_rc
db_set_expire(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
              uint64_t expire_ms)
{
    uint64_t at_ms = nq_min(expire_ms, DB_FOREVER);
    uint8_t arg[10];
    struct slice args[1] = {{arg, varint_encode(arg, at_ms)}};
    struct record rec = e->rec;
    nq_rc rc = NQ_OK;

    if (at_ms != 0 && at_ms <= db->now_ms && !db->is_replaying)
        return db_del_found(db, dbi, key, e);
    rec.expire_ms = at_ms;
    if (nq_unlikely(db_has_field_ttl(&e->rec)))
        rc = fields_with_expiry(db, dbi, key, e, at_ms, &rec);
    if (rc == NQ_OK)
        rc = db_put(db, dbi, key, &rec, e, EFFECT_PEXPIREAT, args, 1);
    if (rc == NQ_OK)
        db_event(db, dbi, EVENT_GENERIC, at_ms != 0 ? "expire" : "persist",
                 key);
    return rc;
}
