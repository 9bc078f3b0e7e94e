/* db/replay.c - bringing the trees of the last checkpoint up to the end of
 * the log.
 *
 * Each record is one effect; its code leads to the function that effect.def
 * names for it.  Those are the same functions that commands use: while
 * is_replaying is set nothing is logged, told or expired.  The cut of a
 * checkpoint is exact, so each effect is applied once and need not be
 * idempotent.  Pages that are missing are read on the spot.
 *
 * A record that the pool has no room for (NQ_EPOOL), or that takes longer than
 * a slice (NQ_AGAIN), is kept and applied again by the next call, after the
 * caller let the pool's writes finish. */
#include "base/log.h"
#include "db/db_int.h"
#include "db/db_salvage.h"
#include "db/index_int.h"
#include "os/clock.h"

#define RECORDS_PER_LOOK 32 /* between two looks at the clock */

typedef nq_rc (*apply_fn)(struct db *db, const struct wal_record *r);

struct effect_row {
    const char *name;
    apply_fn apply;
};

static const struct effect_row effects[] = {
#define EFFECT(code, name, apply) [code] = {#name, apply},
#include "db/effect.def"
#undef EFFECT
};

static nq_rc
apply_one(struct db *db, const struct wal_record *r)
{
    nq_rc rc;

    if (r->effect >= nq_countof(effects) || effects[r->effect].apply == NULL ||
        !db_has_space(db, r->db)) {
        log_error("log record at %llu: unknown effect %u or database %u",
                  (unsigned long long)r->frame, r->effect, r->db);
        return NQ_EFORMAT;
    }
    rc = effects[r->effect].apply(db, r);
    if (rc == NQ_OK || rc == NQ_EPOOL || rc == NQ_AGAIN)
        return rc;
    log_error("log record at %llu: %s of a key of %zu bytes in database "
              "%u: %s",
              (unsigned long long)r->frame, effects[r->effect].name, r->key.len,
              r->db, rc_text(rc));
    /* An effect on a key that is not there: log and checkpoint disagree. */
    return rc == NQ_NOTFOUND ? NQ_ECORRUPT : rc;
}

/* NQ_AGAIN: time or frames are used up; NQ_NOTFOUND: the end of the log. */
static nq_rc
replay_slice(struct db *db, uint64_t until_us)
{
    nq_rc rc = NQ_OK;

    for (unsigned n = 1; rc == NQ_OK; n++) {
        if (!db->has_redo)
            rc = store_replay(db->opts.store, &db->redo);
        db->has_redo = false;
        if (rc == NQ_OK)
            rc = apply_one(db, &db->redo);
        if (rc == NQ_EPOOL || rc == NQ_AGAIN) {
            db->has_redo = true;
            rc = NQ_AGAIN;
        }
        frames_make_room(db->fr);
        if (rc == NQ_OK)
            rc = db_index_on_replay(db);
        if (rc == NQ_OK && frames_is_throttling(db->fr))
            rc = NQ_AGAIN;
        if (rc == NQ_OK && n % RECORDS_PER_LOOK == 0 &&
            clock_mono_us() >= until_us)
            rc = NQ_AGAIN;
    }
    return rc;
}

nq_rc
db_replay(struct db *db, uint64_t budget_us)
{
    bool was = frames_set_blocking(db->fr, true);
    nq_rc rc = replay_slice(db, clock_mono_us() + budget_us);

    (void)frames_set_blocking(db->fr, was);
    if (rc != NQ_NOTFOUND)
        return rc;
    if ((rc = store_ready(db->opts.store)) != NQ_OK)
        return rc;
    db->is_replaying = false;
    /* Until somebody says how much of the log their readers need. */
    if (db->covers != NULL || db->marks != NULL)
        wal_hold(db->wal, 0);
    return db_clear_staging(db);
}

static bool
is_of_index(const struct wal_record *r)
{
    return r->effect == EFFECT_INDEX_CREATE || r->effect == EFFECT_INDEX_DROP ||
           r->effect == EFFECT_INDEX_REBUILD;
}

nq_rc
db_salvage_replay(struct db *db,
                  void (*failed)(void *arg, const char *effect, uint32_t dbi,
                                 struct slice key),
                  void *arg)
{
    bool was = frames_set_blocking(db->fr, true);
    struct wal_record r;
    nq_rc rc;

    db_indexes_close(db); /* nobody asks for them */
    while ((rc = store_replay(db->opts.store, &r)) == NQ_OK) {
        if (is_of_index(&r))
            continue;
        while ((rc = apply_one(db, &r)) == NQ_AGAIN)
            frames_make_room(db->fr);
        if (rc != NQ_OK)
            failed(arg,
                   r.effect < nq_countof(effects) ? effects[r.effect].name
                                                  : "?",
                   r.db, r.key);
        frames_make_room(db->fr);
    }
    (void)frames_set_blocking(db->fr, was);
    db->is_replaying = false;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
db_apply_del(struct db *db, const struct wal_record *r)
{
    return db_del(db, r->db, r->key);
}

nq_rc
db_apply_pexpireat(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    uint64_t expire_ms;
    nq_rc rc;

    cursor_get_varint(&c, &expire_ms);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    if ((rc = db_find_write(db, r->db, r->key, &e)) != NQ_OK)
        return rc;
    return db_set_expire(db, r->db, r->key, &e, expire_ms);
}
