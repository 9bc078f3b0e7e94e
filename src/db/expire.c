/* db/expire.c - what goes on beside commands: expiry where something is due,
 * and the freeing of what was flushed (lazyfree.c).
 *
 * The expiry cycle asks each tree for a record that is due; the tree finds
 * one by descending along the earliest expiries in its inner entries, so the
 * work is in proportion to what expires, and no sampling is needed.  Pages
 * that are not in memory are fetched as for a command, by a wait of our own:
 *
 *   WAIT_NONE -> (a miss) -> WAIT_READING -> on_ready -> WAIT_PINNED
 *             -> the next slice runs with them pinned -> WAIT_NONE
 *
 * A record may be due because of a hash's fields: then some of those are
 * removed, and the record says when the next ones are.
 *
 * With the cycle turned off, what readers meet is removed all the same.
 *
 * A slice takes its own look at the clock; expiry is logged as DEL or
 * HDEL, so replay and copies of the log need no clock.  Called by the engine
 * once per turn. */
#include "base/log.h"
#include "db/db_int.h"
#include "db/fields.h"
#include "db/hold.h"
#include "db/index_int.h"
#include "os/clock.h"

#define EXPIRE_PER_LOOK 8      /* keys between two looks at the clock */
#define RETRY_AFTER_US 5000000 /* after damage, or with no room to read */
#define DUE_UNKNOWN_MS 100     /* when a root has to be read first */
#define DUE_SEEN_MAX 65536     /* bytes of keys that readers met */
#define HELD_BACK_MS 10        /* when the log has no room just now */
#define HELD_FIELDS_MS 100     /* when somebody reads the hash in slices */

static void
on_ready(struct frames_wait *w)
{
    struct db *db = nq_container(w, struct db, wait);

    nq_assert(db->magic == DB_MAGIC && db->waiting == WAIT_READING);
    db->waiting = WAIT_PINNED;
}

static void
end_wait(struct db *db)
{
    if (db->waiting != WAIT_NONE)
        frames_fetch_end(db->fr, &db->wait);
    db->waiting = WAIT_NONE;
}

static void
begin_wait(struct db *db)
{
    db->wait.ready = on_ready;
    db->waiting = WAIT_READING;
    frames_fetch(db->fr, &db->wait);
}

void
db_background_close(struct db *db)
{
    end_wait(db);
}

/* --- expiry -------------------------------------------------------------- */

/* NQ_EHELD: somebody reads the hash in slices, and need not hurry for this. */
static nq_rc
remove_fields(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    pgno root;

    if (db_record_root(&e->rec, &root) && hold_is_held(db, root))
        return NQ_EHELD;
    return fields_remove_due(db, dbi, key, e);
}

/* Removes what is due of the key: itself, or some fields. */
static nq_rc
remove_due(struct db *db, uint32_t dbi, struct slice key, struct entry *e)
{
    bool is_covered = db_is_covered(db, dbi, key);
    nq_rc rc;

    if (db_is_due(db, &e->rec))
        return db_remove_expired(db, dbi, key, e);
    if (is_covered && (rc = change_note_due(db, dbi, key, e)) != NQ_OK)
        return rc;
    rc = remove_fields(db, dbi, key, e);
    if (rc == NQ_EHELD)
        rc = fields_postpone(db, dbi, key, e, db->now_ms + HELD_FIELDS_MS);
    if (is_covered)
        change_tell_key(db, dbi, key);
    return rc;
}

/* Removes what is due of up to EXPIRE_PER_LOOK keys; *found tells whether
 * there was any. */
static nq_rc
expire_some(struct db *db, uint32_t dbi, struct btree_cursor *c, bool *found)
{
    struct slice key;
    struct entry e;
    nq_rc rc = NQ_OK;

    *found = true;
    for (int i = 0; i < EXPIRE_PER_LOOK && rc == NQ_OK; i++) {
        if ((rc = btree_seek_due(c, db->now_ms)) == NQ_AGAIN)
            return NQ_OK; /* it only repaired bounds; look at the clock */
        if (rc != NQ_OK)
            break;
        if (!c->valid) {
            *found = false;
            break;
        }
        key = c->key;
        e = (struct entry){0};
        rc = btree_get(c->tree, key, &e.rec, &e.finger);
        e.version = db_record_version(db, db_space(db, dbi));
        nq_dassert(rc != NQ_OK || db_has_due(db, &e.rec));
        if (rc == NQ_OK)
            rc = remove_due(db, dbi, key, &e);
    }
    return rc;
}

/* One database until nothing is due; NQ_AGAIN: the time is up. */
static nq_rc
expire_database(struct db *db, uint32_t dbi, uint64_t until_us)
{
    struct btree *t = db_tree(db, dbi);
    struct btree_cursor c;
    uint64_t earliest;
    bool found = true;
    nq_rc rc = t->root == 0 ? NQ_NOTFOUND : btree_earliest(t, &earliest);

    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (earliest == 0 || earliest > db->now_ms)
        return NQ_OK;
    btree_cursor_init(&c, t);
    while (rc == NQ_OK && found) {
        rc = expire_some(db, dbi, &c, &found);
        if (rc == NQ_OK && found && clock_mono_us() >= until_us)
            rc = NQ_AGAIN;
    }
    btree_cursor_fini(&c);
    return rc;
}

void
db_note_due(struct db *db, uint32_t dbi, struct slice key)
{
    if (db->active_expire || db->is_replaying ||
        db->due_seen.len + key.len > DUE_SEEN_MAX)
        return;
    buf_put_varint(&db->due_seen, dbi);
    buf_put_varint(&db->due_seen, key.len);
    buf_put_slice(&db->due_seen, key);
}

/* Removes what readers met, of a hash some of it.  What misses or remains will
 * be met again. */
static void
expire_seen(struct db *db)
{
    struct buf seen = db->due_seen; /* more may be met on the way */
    struct cursor c = cursor_of(buf_slice(&seen));
    struct slice key;
    uint64_t dbi;
    nq_rc rc = NQ_OK;

    db->due_seen = BUF_INIT;
    while (cursor_left(&c) > 0 && rc != NQ_MISS) {
        struct entry e = {0};

        cursor_get_varint(&c, &dbi);
        cursor_get_slice(&c, &key);
        nq_assert(cursor_ok(&c));
        rc = db_find_write(db, (uint32_t)dbi, key, &e);
        if (rc == NQ_OK && db_has_due(db, &e.rec))
            rc = remove_fields(db, (uint32_t)dbi, key, &e);
    }
    frames_forget_wanted(db->fr);
    buf_fini(&seen);
}

static nq_rc
expire_slice(struct db *db, uint64_t until_us)
{
    nq_rc rc = NQ_OK;

    if (!db->active_expire || wal_is_full(db->wal) ||
        wal_writable(db->wal) != NQ_OK)
        return NQ_OK;
    for (uint32_t n = 0; n < db->count && rc == NQ_OK; n++) {
        rc = expire_database(db, db->next_expire, until_us);
        if (rc == NQ_OK)
            db->next_expire = (db->next_expire + 1) % db->count;
    }
    return rc;
}

/* --- the slice of a turn ------------------------------------------------- */

/* What became of a part of the slice: whether there is more at once. */
static bool
settle_slice(struct db *db, nq_rc rc)
{
    if (rc == NQ_MISS && db->waiting != WAIT_READING) {
        end_wait(db);
        begin_wait(db);
        return false;
    }
    if (rc == NQ_OK || rc == NQ_AGAIN)
        return rc == NQ_AGAIN;
    frames_forget_wanted(db->fr);
    if (rc != NQ_MISS) {
        log_warn("expiry and freeing pause: %s", rc_text(rc));
        db->retry_us = clock_mono_us() + RETRY_AFTER_US;
    }
    return false;
}

bool
db_background(struct db *db, uint64_t budget_us)
{
    uint64_t now_us = clock_mono_us(), command_now = db->now_ms;
    enum background_wait before = db->waiting;
    bool more;

    if (db->is_replaying)
        return false;
    more = db_index_background(db, now_us + budget_us / 2);
    if (before == WAIT_READING || now_us < db->retry_us)
        return more;
    db_gate_reset(db);
    db->now_ms = clock_wall_ms();
    if (db->due_seen.len > 0)
        expire_seen(db);
    more |= settle_slice(
        db, expire_slice(
                db, now_us + (db_has_frees(db) ? budget_us / 2 : budget_us)));
    if (db->waiting != WAIT_READING && db_has_frees(db))
        more |= settle_slice(db, db_free_slice(db, now_us + budget_us));
    if (before == WAIT_PINNED && db->waiting == WAIT_PINNED)
        end_wait(db);
    db->now_ms = command_now;
    db_gate_reset(db);
    return more;
}

/* Not before this, whatever is due: 0 if nothing holds expiry back, else
 * wall ms; UINT64_MAX: nothing will be written any more. */
static uint64_t
held_back_until(struct db *db)
{
    uint64_t now_us = clock_mono_us();

    if (wal_writable(db->wal) == NQ_EREADONLY)
        return UINT64_MAX;
    if (db->waiting == WAIT_READING)
        return UINT64_MAX; /* the read wakes the loop */
    if (wal_is_full(db->wal) || wal_writable(db->wal) != NQ_OK)
        return clock_wall_ms() + HELD_BACK_MS;
    if (now_us < db->retry_us)
        return clock_wall_ms() + (db->retry_us - now_us) / 1000 + 1;
    return 0;
}

/* Wall ms of the earliest expiry of all databases; 0: none. */
static uint64_t
earliest_expiry(struct db *db)
{
    uint64_t due = 0, earliest = 0;

    for (uint32_t i = 0; i < db->count; i++) {
        struct btree *t = &db->spaces[i].tree;

        if (t->root == 0 || db->spaces[i].expires == 0)
            continue;
        if (btree_earliest(t, &earliest) != NQ_OK) {
            frames_forget_wanted(db->fr);
            earliest = clock_wall_ms() + DUE_UNKNOWN_MS;
        }
        if (earliest != 0 && (due == 0 || earliest < due))
            due = earliest;
    }
    return due;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

uint64_t
db_next_due(struct db *db)
{
    uint64_t index_due = db_index_next_due(db);
    uint64_t due = db->active_expire ? earliest_expiry(db) : 0;
    uint64_t held;

    if (db->is_replaying)
        return 0;
    if (db_has_frees(db) || db->waiting == WAIT_PINNED || db->due_seen.len > 0)
        due = 1;
    if (due == 0 || due > clock_wall_ms())
        return earlier(due, index_due);
    held = held_back_until(db);
    due = held == UINT64_MAX ? 0 : nq_max(due, held);
    return earlier(due, index_due);
}

void
db_set_active_expire(struct db *db, bool on)
{
    db->active_expire = on;
}
