/* cmd/cmd_key.c - keys as a whole: DEL, EXISTS, TYPE, RENAME, COPY, MOVE,
 * RANDOMKEY, DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.
 *
 * A key longer than the server keeps cannot exist, so commands that would
 * only take something away answer as for any key that is not there. */
#include "cmd/cmd_key.h"

#include "base/check.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

bool
key_is_found(struct req *rq, nq_rc rc, bool *found)
{
    *found = rc == NQ_OK;
    if (rc == NQ_OK || rc == NQ_NOTFOUND || rc == NQ_EKEYLEN)
        return true;
    reply_rc(rq, rc);
    return false;
}

/* --- DEL, EXISTS, TYPE --------------------------------------------------- */

/* Finds all keys of argv[1..], so that nothing misses once the first went. */
static bool
find_all_to_delete(struct req *rq)
{
    struct entry e;
    bool found;

    for (uint32_t i = 1; i < rq->argc; i++)
        if (!key_is_found(rq, req_find_write(rq, i, &e), &found))
            return false;
    return true;
}

void
cmd_del(struct req *rq)
{
    int64_t deleted = 0;
    struct entry e;
    bool found;

    if (rq->argc > 2 && !find_all_to_delete(rq))
        return;
    for (uint32_t i = 1; i < rq->argc; i++) {
        nq_rc rc = req_find_write(rq, i, &e);

        if (rc == NQ_OK)
            rc = db_del_found(rq->db, rq->dbi, rq->argv[i], &e);
        if (!key_is_found(rq, rc, &found))
            return;
        deleted += found;
    }
    reply_int(rq, deleted);
}

/* The record goes at once; what is big about it are chunks, and their pages
 * are only forgotten. */
void
cmd_unlink(struct req *rq)
{
    cmd_del(rq);
}

void
cmd_exists(struct req *rq)
{
    int64_t existing = 0;
    struct entry e;
    bool found;

    for (uint32_t i = 1; i < rq->argc; i++) {
        if (!key_is_found(rq, req_find(rq, i, &e), &found))
            return;
        existing += found;
    }
    reply_int(rq, existing);
}

/* Eviction looks at pages, so finding a key is all that touching means. */
void
cmd_touch(struct req *rq)
{
    cmd_exists(rq);
}

void
cmd_type(struct req *rq)
{
    struct entry e;
    bool found;

    if (key_is_found(rq, req_find(rq, 1, &e), &found))
        reply_status(rq, found ? db_type_name(e.rec.type) : "none");
}

/* --- RENAME, COPY, MOVE -------------------------------------------------- */

static void
reply_same_object(struct req *rq)
{
    reply_error(rq, "-ERR source and destination objects are the same");
}

static void
reply_db_range(struct req *rq)
{
    reply_error(rq, "-ERR DB index is out of range");
}

/* argv[i] as the number of a database; false: answered. */
static bool
arg_database(struct req *rq, uint32_t i, uint32_t *dbi)
{
    int64_t v;

    if (!slice_to_i64(rq->argv[i], &v) || v < INT32_MIN || v > INT32_MAX) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    if (v < 0 || v >= (int64_t)db_count(rq->db)) {
        reply_db_range(rq);
        return false;
    }
    *dbi = (uint32_t)v;
    return true;
}

void
cmd_rename(struct req *rq)
{
    nq_rc rc = db_rename(rq->db, rq->dbi, rq->argv[1], rq->dbi, rq->argv[2]);

    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_ok(rq);
}

void
cmd_renamenx(struct req *rq)
{
    struct entry e;
    nq_rc rc = req_find_write(rq, 1, &e);
    bool found;

    if (rc != NQ_OK) {
        reply_rc(rq, rc == NQ_EKEYLEN ? NQ_NOTFOUND : rc);
        return;
    }
    rc = req_find_write(rq, 2, &e);
    if (rc == NQ_EKEYLEN) {
        reply_rc(rq, rc);
        return;
    }
    if (!key_is_found(rq, rc, &found))
        return;
    if (found) {
        reply_int(rq, 0);
        return;
    }
    rc = db_rename(rq->db, rq->dbi, rq->argv[1], rq->dbi, rq->argv[2]);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, 1);
}

struct copy_args {
    uint32_t to_db;
    bool replace;
};

static bool
parse_copy(struct req *rq, struct copy_args *a)
{
    *a = (struct copy_args){.to_db = rq->dbi};
    for (uint32_t i = 3; i < rq->argc; i++) {
        if (slice_is(rq->argv[i], "REPLACE")) {
            a->replace = true;
        } else if (slice_is(rq->argv[i], "DB") && i + 1 < rq->argc) {
            if (!arg_database(rq, ++i, &a->to_db))
                return false;
        } else {
            reply_syntax(rq);
            return false;
        }
    }
    if (a->to_db != rq->dbi || !slice_eq(rq->argv[1], rq->argv[2]))
        return true;
    reply_same_object(rq);
    return false;
}

/* COPY and MOVE: finds both ends; 0 is answered unless the source is there
 * and the target, if not to be replaced, is not. */
static bool
find_both(struct req *rq, struct slice to, uint32_t to_db, bool replace)
{
    struct entry src = {0}, dst = {0};
    bool has_src, has_dst;
    nq_rc rc;

    if (!key_is_found(rq, req_find_write(rq, 1, &src), &has_src))
        return false;
    rc = db_find_write(rq->db, to_db, to, &dst);
    if (!key_is_found(rq, rc, &has_dst))
        return false;
    if (has_src && (replace || !has_dst))
        return true;
    reply_int(rq, 0);
    return false;
}

static void
end_copy(void *state)
{
    db_copy_end(state);
}

void
cmd_copy(struct req *rq)
{
    struct copying *c = rq->state;
    struct copy_args a;
    nq_rc rc;

    if (!parse_copy(rq, &a) || !find_both(rq, rq->argv[2], a.to_db, a.replace))
        return;
    if (rq->in_multi)
        rc = db_copy(rq->db, rq->dbi, rq->argv[1], a.to_db, rq->argv[2]);
    else
        rc = db_copy_some(rq->db, rq->dbi, rq->argv[1], a.to_db, rq->argv[2],
                          REQ_SLICE_NS / 1000, &c);
    rq->state = c;
    rq->free_state = end_copy;
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, 1);
}

void
cmd_move(struct req *rq)
{
    uint32_t to_db;
    nq_rc rc;

    if (!arg_database(rq, 2, &to_db))
        return;
    if (to_db == rq->dbi) {
        reply_same_object(rq);
        return;
    }
    if (!find_both(rq, rq->argv[1], to_db, false))
        return;
    rc = db_rename(rq->db, rq->dbi, rq->argv[1], to_db, rq->argv[1]);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, 1);
}

/* --- whole databases ----------------------------------------------------- */

void
cmd_randomkey(struct req *rq)
{
    struct slice key;
    nq_rc rc = db_random_key(rq->db, rq->dbi, &key);

    if (rc == NQ_OK)
        reply_bulk(rq, key);
    else if (rc == NQ_NOTFOUND)
        reply_null(rq);
    else
        reply_rc(rq, rc);
}

void
cmd_dbsize(struct req *rq)
{
    uint64_t keys;
    nq_rc rc = db_size(rq->db, rq->dbi, &keys);

    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)keys);
}

/* Both words mean the same here: the keys are gone at once, their pages are
 * freed in the background. */
static bool
is_flush_mode_good(struct req *rq)
{
    if (rq->argc == 1 || (rq->argc == 2 && (slice_is(rq->argv[1], "ASYNC") ||
                                            slice_is(rq->argv[1], "SYNC"))))
        return true;
    reply_syntax(rq);
    return false;
}

void
cmd_flushdb(struct req *rq)
{
    nq_rc rc;

    if (!is_flush_mode_good(rq))
        return;
    if ((rc = db_flush(rq->db, rq->dbi)) != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_ok(rq);
}

void
cmd_flushall(struct req *rq)
{
    nq_rc rc;

    if (!is_flush_mode_good(rq))
        return;
    if ((rc = db_flush_all(rq->db)) != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_ok(rq);
}

void
cmd_swapdb(struct req *rq)
{
    static const char *const names[] = {"", "first", "second"};
    int64_t v[3];
    nq_rc rc;

    for (uint32_t i = 1; i <= 2; i++) {
        if (slice_to_i64(rq->argv[i], &v[i]) && v[i] >= INT32_MIN &&
            v[i] <= INT32_MAX)
            continue;
        reply_error(rq, "-ERR invalid %s DB index", names[i]);
        return;
    }
    for (uint32_t i = 1; i <= 2; i++) {
        if (v[i] >= 0 && v[i] < (int64_t)db_count(rq->db))
            continue;
        reply_db_range(rq);
        return;
    }
    if ((rc = db_swap(rq->db, (uint32_t)v[1], (uint32_t)v[2])) != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_ok(rq);
}
