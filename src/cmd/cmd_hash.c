/* cmd/cmd_hash.c - hashes: HSET, HGET and their kin, and what answers with all
 * the fields or some of them by chance.
 *
 * Reads open the hash once and put nothing before all pages that they need
 * are there, but for values that are sent by reference: what was put is then
 * taken back. */
#include "cmd/cmd_hash.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_coll_scan.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "cmd/walk.h"

nq_rc
hash_open(struct req *rq, struct entry *e, struct coll *c)
{
    nq_rc found = req_find_type(rq, 1, DB_HASH, false, e), rc;

    rc = fields_open(rq->db, rq->dbi, rq->argv[1], e, found == NQ_OK, c);
    return found == NQ_OK || found == NQ_NOTFOUND ? rc : found;
}

bool
hash_find_write(struct req *rq, struct entry *e, bool *found)
{
    nq_rc rc = req_find_type(rq, 1, DB_HASH, true, e);

    *found = rc == NQ_OK;
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        return true;
    reply_rc(rq, rc);
    return false;
}

nq_rc
reply_field(struct req *rq, struct coll *c, struct slice field)
{
    struct item it;
    nq_rc rc = fields_get(c, field, &it);

    if (rc == NQ_OK)
        return reply_item_val(rq, &it);
    if (rc != NQ_NOTFOUND)
        return rc;
    reply_null(rq);
    return NQ_OK;
}

/* --- one field, or some --------------------------------------------------- */

void
cmd_hget(struct req *rq)
{
    struct entry e;
    struct coll c;
    nq_rc rc = hash_open(rq, &e, &c);

    if (rc == NQ_OK)
        rc = reply_field(rq, &c, rq->argv[2]);
    coll_close(&c);
    reply_rc(rq, rc);
}

void
cmd_hmget(struct req *rq)
{
    uint64_t mark = reply_mark(rq);
    struct entry e;
    struct coll c;
    nq_rc rc = hash_open(rq, &e, &c);

    if (rc == NQ_OK)
        rc = coll_want(&c, rq->argv + 2, rq->argc - 2);
    if (rc == NQ_OK)
        reply_array(rq, rq->argc - 2);
    for (uint32_t i = 2; i < rq->argc && rc == NQ_OK; i++)
        rc = reply_field(rq, &c, rq->argv[i]);
    coll_close(&c);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

/* The item of argv[2]; it->len is 0 if there is none.  False: answered. */
static bool
look_at_field(struct req *rq, struct item *it, bool *found)
{
    struct entry e;
    struct coll c;
    nq_rc rc = hash_open(rq, &e, &c);

    if (rc == NQ_OK)
        rc = fields_get(&c, rq->argv[2], it);
    coll_close(&c);
    *found = rc == NQ_OK;
    if (rc == NQ_NOTFOUND)
        it->len = 0;
    else
        reply_rc(rq, rc);
    return rc == NQ_OK || rc == NQ_NOTFOUND;
}

void
cmd_hexists(struct req *rq)
{
    struct item it;
    bool found;

    if (look_at_field(rq, &it, &found))
        reply_int(rq, found);
}

void
cmd_hstrlen(struct req *rq)
{
    struct item it;
    bool found;

    if (look_at_field(rq, &it, &found))
        reply_int(rq, (int64_t)it.len);
}

void
cmd_hlen(struct req *rq)
{
    struct entry e;
    struct coll c;
    uint64_t n;
    nq_rc rc = hash_open(rq, &e, &c);

    if (rc == NQ_OK)
        rc = fields_count(&c, &n);
    coll_close(&c);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)n);
    else
        reply_rc(rq, rc);
}

/* --- setting and deleting --------------------------------------------------
 */

static bool
set_pairs(struct req *rq, uint64_t *added)
{
    struct entry e;
    bool found;
    nq_rc rc;

    if (rq->argc % 2 == 1) {
        reply_wrong_arity(rq);
        return false;
    }
    if (!hash_find_write(rq, &e, &found))
        return false;
    rc = fields_set(rq->db, rq->dbi, rq->argv[1], &e, found, rq->argv + 2,
                    (rq->argc - 2) / 2, 0, "hset", added);
    reply_rc(rq, rc);
    return rc == NQ_OK;
}

void
cmd_hset(struct req *rq)
{
    uint64_t added;

    if (set_pairs(rq, &added))
        reply_int(rq, (int64_t)added);
}

void
cmd_hmset(struct req *rq)
{
    uint64_t added;

    if (set_pairs(rq, &added))
        reply_ok(rq);
}

/* Whether the hash has the field; not NQ_OK: parked, or a failure. */
static nq_rc
has_field(struct req *rq, struct entry *e, bool found, struct slice field,
          bool *has)
{
    struct item it;
    struct coll c;
    nq_rc rc = fields_open(rq->db, rq->dbi, rq->argv[1], e, found, &c);

    if (rc == NQ_OK)
        rc = fields_get(&c, field, &it);
    coll_close(&c);
    *has = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

void
cmd_hsetnx(struct req *rq)
{
    uint64_t added = 0;
    struct entry e;
    bool found, has;
    nq_rc rc;

    if (!hash_find_write(rq, &e, &found))
        return;
    rc = has_field(rq, &e, found, rq->argv[2], &has);
    if (rc == NQ_OK && !has)
        rc = fields_set(rq->db, rq->dbi, rq->argv[1], &e, found, rq->argv + 2,
                        1, 0, "hset", &added);
    if (rc == NQ_OK)
        reply_int(rq, !has);
    else
        reply_rc(rq, rc);
}

void
cmd_hdel(struct req *rq)
{
    uint64_t removed = 0;
    struct entry e;
    bool found;
    nq_rc rc = NQ_OK;

    if (!hash_find_write(rq, &e, &found))
        return;
    if (found)
        rc = fields_del(rq->db, rq->dbi, rq->argv[1], &e, rq->argv + 2,
                        rq->argc - 2, "hdel", &removed);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)removed);
    else
        reply_rc(rq, rc);
}

/* --- all fields ------------------------------------------------------------
 */

#define WITH_FIELDS 1
#define WITH_VALUES 2
#define AS_PAIRS 4 /* each an array of two */

static nq_rc
emit_field(struct req *rq, struct coll *c, const struct item *it,
           uint32_t flags)
{
    nq_unused(c);
    if (flags & AS_PAIRS)
        reply_array(rq, 2);
    if (flags & WITH_FIELDS)
        reply_bulk(rq, it->key);
    return flags & WITH_VALUES ? reply_item_val(rq, it) : NQ_OK;
}

static void
tell_all(struct req *rq, enum walk_shape shape, uint32_t flags)
{
    struct walk_plan plan = {
        .shape = shape, .emit = emit_field, .flags = flags};
    struct entry e;
    struct coll c;
    nq_rc rc;

    if (walk_go_on(rq))
        return;
    if ((rc = hash_open(rq, &e, &c)) == NQ_OK)
        rc = fields_count(&c, &plan.n);
    plan.header = plan.n;
    if (rc == NQ_OK)
        walk_tell(rq, &c, &plan);
    else
        reply_rc(rq, rc);
    coll_close(&c);
}

void
cmd_hgetall(struct req *rq)
{
    tell_all(rq, WALK_MAP, WITH_FIELDS | WITH_VALUES);
}

void
cmd_hkeys(struct req *rq)
{
    tell_all(rq, WALK_ARRAY, WITH_FIELDS);
}

void
cmd_hvals(struct req *rq)
{
    tell_all(rq, WALK_ARRAY, WITH_VALUES);
}

/* --- HSCAN -----------------------------------------------------------------
 */

static struct slice
scan_name(const struct item *it)
{
    return it->key;
}

static nq_rc
scan_put(struct req *rq, struct coll *c, const struct item *it, bool novalues,
         struct listing *l)
{
    struct slice val;
    nq_rc rc;

    if (!novalues && (rc = coll_val(c, it, rq->arena, &val)) != NQ_OK)
        return rc;
    listing_put(l, it->key);
    if (!novalues)
        listing_put(l, val);
    return NQ_OK;
}

void
cmd_hscan(struct req *rq)
{
    static const struct coll_scan kind = {.type = DB_HASH,
                                          .has_novalues = true,
                                          .name = scan_name,
                                          .put = scan_put};

    coll_scan(rq, &kind);
}

/* --- HRANDFIELD ------------------------------------------------------------
 */

/* How many, and in which way, for `count` as the user gave it. */
static void
plan_random(struct req *rq, struct walk_plan *p, uint64_t living, int64_t count)
{
    bool with_values = (p->flags & WITH_VALUES) != 0;

    p->living = living;
    if (count < 0) {
        p->pick = WALK_RANDOM;
        p->n = living == 0 ? 0 : (uint64_t)-count;
    } else {
        p->pick = (uint64_t)count < living ? WALK_SAMPLE : WALK_ALL;
        p->n = nq_min((uint64_t)count, living);
    }
    p->header = p->n;
    if (with_values && rq->s->resp == 2)
        p->header *= 2;
    else if (with_values)
        p->flags |= AS_PAIRS;
}

static void
tell_random(struct req *rq, int64_t count, bool with_values)
{
    struct walk_plan plan = {
        .shape = WALK_ARRAY, .emit = emit_field, .flags = WITH_FIELDS};
    uint64_t living;
    struct entry e;
    struct coll c;
    nq_rc rc = hash_open(rq, &e, &c);

    if (rc == NQ_OK)
        rc = fields_count(&c, &living);
    if (rc == NQ_OK) {
        plan.flags |= with_values ? WITH_VALUES : 0;
        plan_random(rq, &plan, living, count);
        walk_tell(rq, &c, &plan);
    } else {
        reply_rc(rq, rc);
    }
    coll_close(&c);
}

static void
reply_random(struct req *rq)
{
    struct rng rng = req_rng(rq);
    struct coll_cursor cu;
    struct entry e;
    struct coll c;
    nq_rc rc = hash_open(rq, &e, &c);

    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = fields_random(&cu, &rng);
    if (rc == NQ_OK)
        reply_bulk(rq, cu.key);
    else if (rc == NQ_NOTFOUND)
        reply_null(rq);
    else
        reply_rc(rq, rc);
    coll_cursor_fini(&cu);
    coll_close(&c);
}

void
cmd_hrandfield(struct req *rq)
{
    bool with_values = rq->argc == 4;
    int64_t count;

    if (walk_go_on(rq))
        return;
    if (rq->argc == 2) {
        reply_random(rq);
        return;
    }
    if (!arg_int(rq, 2, &count))
        return;
    if (count == INT64_MIN) {
        reply_error(rq,
                    "value is out of range, value must between %lld and %lld",
                    (long long)-INT64_MAX, (long long)INT64_MAX);
    } else if (rq->argc > 4 ||
               (with_values && !slice_is(rq->argv[3], "WITHVALUES"))) {
        reply_syntax(rq);
    } else if (with_values &&
               (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        reply_error(rq, "value is out of range");
    } else {
        tell_random(rq, count, with_values);
    }
}
