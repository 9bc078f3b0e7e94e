/* cmd/cmd_set_type.c - sets: SADD, SREM, SMOVE, membership, SMEMBERS, SSCAN.
 *
 * Members drawn by chance are in cmd_set_random.c, operations on several sets
 * in cmd_set_algebra.c. */
#include "cmd/cmd_set_type.h"

#include "base/check.h"
#include "cmd/cmd_coll_scan.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/walk.h"
#include "db/set.h"

bool
set_find(struct req *rq, uint32_t i, struct entry *e, bool *found)
{
    nq_rc rc = req_find_type(rq, i, DB_SET, false, e);

    *found = rc == NQ_OK;
    if (nq_likely(rc == NQ_OK || rc == NQ_NOTFOUND))
        return true;
    reply_rc(rq, rc);
    return false;
}

bool
set_find_write(struct req *rq, uint32_t i, bool taking, struct entry *e,
               bool *found)
{
    nq_rc rc = req_find_type(rq, i, DB_SET, true, e);

    *found = rc == NQ_OK;
    if (nq_likely(rc == NQ_OK || rc == NQ_NOTFOUND) ||
        (taking && rc == NQ_EKEYLEN))
        return true;
    reply_rc(rq, rc);
    return false;
}

static void
reply_count(struct req *rq, nq_rc rc, uint64_t n)
{
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)n);
    else
        reply_rc(rq, rc);
}

/* --- changes ------------------------------------------------------------- */

void
cmd_sadd(struct req *rq)
{
    uint64_t added = 0;
    struct entry e;
    bool found;
    nq_rc rc;

    if (!set_find_write(rq, 1, false, &e, &found))
        return;
    rc = set_add(rq->db, rq->dbi, rq->argv[1], &e, found, rq->argv + 2,
                 rq->argc - 2, "sadd", &added);
    reply_count(rq, rc, added);
}

void
cmd_srem(struct req *rq)
{
    uint64_t removed = 0;
    struct entry e;
    bool found;
    nq_rc rc = NQ_OK;

    if (!set_find_write(rq, 1, true, &e, &found))
        return;
    if (found)
        rc = set_remove(rq->db, rq->dbi, rq->argv[1], &e, rq->argv + 2,
                        rq->argc - 2, "srem", &removed);
    reply_count(rq, rc, removed);
}

/* Whether the set found in `e` has `member`. */
static nq_rc
has_member(struct req *rq, struct slice key, struct entry *e,
           struct slice member, bool *has)
{
    struct item it;
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, key, e, true, &c);

    if (rc == NQ_OK)
        rc = coll_get(&c, member, &it);
    coll_close(&c);
    *has = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* From argv[1] to argv[2], which are two sets (the latter may be absent). */
static nq_rc
move_member(struct req *rq, struct entry *from, struct entry *to, bool has_to)
{
    const struct slice *member = &rq->argv[3];
    uint64_t n;
    nq_rc rc;

    rc = set_want(rq->db, rq->dbi, rq->argv[2], to, has_to, member, 1);
    if (rc == NQ_OK)
        rc = set_remove(rq->db, rq->dbi, rq->argv[1], from, member, 1, "srem",
                        &n);
    if (rc != NQ_OK)
        return rc;
    /* Found again: its page may have changed. */
    rc = req_find_write(rq, 2, to);
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return set_add(rq->db, rq->dbi, rq->argv[2], to, rc == NQ_OK, member, 1,
                   "sadd", &n);
}

void
cmd_smove(struct req *rq)
{
    bool has_from, has_to, has;
    struct entry from, to;
    nq_rc rc = req_find_write(rq, 1, &from);

    if (rc == NQ_NOTFOUND || rc == NQ_EKEYLEN) {
        reply_int(rq, 0); /* whatever the other is */
        return;
    }
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    if (!set_find_write(rq, 1, true, &from, &has_from) ||
        !set_find_write(rq, 2, false, &to, &has_to))
        return;
    rc = has_member(rq, rq->argv[1], &from, rq->argv[3], &has);
    if (rc == NQ_OK && has && !slice_eq(rq->argv[1], rq->argv[2]))
        rc = move_member(rq, &from, &to, has_to);
    reply_count(rq, rc, has);
}

/* --- membership ---------------------------------------------------------- */

void
cmd_sismember(struct req *rq)
{
    bool found, has = false;
    struct entry e;
    nq_rc rc = NQ_OK;

    if (!set_find(rq, 1, &e, &found))
        return;
    if (found)
        rc = has_member(rq, rq->argv[1], &e, rq->argv[2], &has);
    reply_count(rq, rc, has);
}

void
cmd_smismember(struct req *rq)
{
    uint64_t mark = reply_mark(rq);
    struct item it;
    struct entry e;
    struct coll c;
    bool found;
    nq_rc rc;

    if (!set_find(rq, 1, &e, &found))
        return;
    rc = set_open(rq->db, rq->dbi, rq->argv[1], &e, found, &c);
    reply_array(rq, rq->argc - 2);
    for (uint32_t i = 2; i < rq->argc && rc == NQ_OK; i++) {
        rc = coll_get(&c, rq->argv[i], &it);
        if (rc == NQ_OK || rc == NQ_NOTFOUND)
            reply_int(rq, rc == NQ_OK);
        rc = rc == NQ_NOTFOUND ? NQ_OK : rc;
    }
    coll_close(&c);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

void
cmd_scard(struct req *rq)
{
    struct entry e;
    struct coll c;
    bool found;
    nq_rc rc;

    if (!set_find(rq, 1, &e, &found))
        return;
    rc = set_open(rq->db, rq->dbi, rq->argv[1], &e, found, &c);
    reply_count(rq, rc, c.count);
    coll_close(&c);
}

/* --- all of them --------------------------------------------------------- */

static nq_rc
emit_member(struct req *rq, struct coll *c, const struct item *it,
            uint32_t flags)
{
    nq_unused(c);
    nq_unused(flags);
    reply_bulk(rq, it->key);
    return NQ_OK;
}

static void
tell_members(struct req *rq, struct entry *e)
{
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, rq->argv[1], e, true, &c);
    struct walk_plan plan = {.shape = WALK_SET,
                             .header = c.count,
                             .n = c.count,
                             .emit = emit_member};

    if (rc == NQ_OK)
        walk_tell(rq, &c, &plan);
    else
        reply_rc(rq, rc);
    coll_close(&c);
}

void
cmd_smembers(struct req *rq)
{
    struct entry e;
    bool found;

    if (walk_go_on(rq) || !set_find(rq, 1, &e, &found))
        return;
    if (found)
        tell_members(rq, &e);
    else
        reply_set(rq, 0);
}

static struct slice
scan_name(const struct item *it)
{
    return it->key;
}

static nq_rc
scan_put(struct req *rq, struct coll *c, const struct item *it, bool novalues,
         struct listing *l)
{
    nq_unused(rq);
    nq_unused(c);
    nq_unused(novalues);
    listing_put(l, it->key);
    return NQ_OK;
}

void
cmd_sscan(struct req *rq)
{
    static const struct coll_scan kind = {
        .type = DB_SET, .name = scan_name, .put = scan_put};

    coll_scan(rq, &kind);
}
