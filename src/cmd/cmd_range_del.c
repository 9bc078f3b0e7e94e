/* cmd/cmd_range_del.c - NQ.DELRANGE start end: deletes the keys in between.
 *
 * Pages wholly inside go without a look at their records.  A long range goes
 * in parts of DELETE_AT_ONCE keys, each logged as the range that it was, with
 * other clients in between; so keys that are set meanwhile in the part still
 * to come go as well.  Inside MULTI it goes in one piece. */
#include "cmd/cmd_range.h"

#include "base/check.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

#define DELETE_AT_ONCE 4096

/* The end of the next part: the first key that stays for later, in the
 * cursor; invalid: the rest is short. */
static nq_rc
find_part_end(const struct range *r, struct btree_cursor *c)
{
    uint64_t rank;
    nq_rc rc = btree_rank(c->tree, r->lo, &rank);

    return rc == NQ_OK ? btree_nth(c, rank + DELETE_AT_ONCE) : rc;
}

/* One part; *is_last: nothing of the range is left. */
static nq_rc
delete_part(struct req *rq, const struct range *r, uint64_t *removed,
            bool *is_last)
{
    const struct slice *hi = range_hi(r);
    struct btree_cursor c;
    nq_rc rc;

    *removed = 0;
    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    rc = find_part_end(r, &c);
    *is_last = !c.valid || !range_has(r, c.key);
    if (rc == NQ_OK)
        rc = db_del_range(rq->db, rq->dbi, r->lo, *is_last ? hi : &c.key,
                          removed);
    btree_cursor_fini(&c);
    return rc;
}

void
cmd_nq_delrange(struct req *rq)
{
    struct range r = range_parse(rq, rq->argv[1], rq->argv[2]);
    struct listing *l;
    uint64_t removed;
    bool is_last = false;
    nq_rc rc = NQ_OK;

    if (r.is_empty) {
        reply_int(rq, 0);
        return;
    }
    l = listing_of(rq);
    while (rc == NQ_OK && !is_last) {
        rc = delete_part(rq, &r, &removed, &is_last);
        l->count += removed;
        if (rc == NQ_OK && !is_last && req_should_yield(rq)) {
            req_yield(rq);
            return;
        }
    }
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)l->count);
}
