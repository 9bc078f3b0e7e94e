/* cmd/held.c - a collection kept as it was found.
 *
 * A packed collection is its record; of the others the record leads to the
 * tree, which the hold keeps as it is. */
#include "cmd/held.h"

#include "base/check.h"
#include "base/mem.h"
#include "db/coll.h"

nq_rc
held_keep(struct held *h, struct db *db, const struct entry *e)
{
    pgno root;
    nq_rc rc;

    nq_assert(!h->is_kept);
    if (coll_record_root(&e->rec, &root) &&
        (rc = hold_take(&h->hold, db, root)) != NQ_OK)
        return rc;
    h->rec = e->rec;
    h->val = nq_memdup(e->rec.val.p, e->rec.val.len);
    h->rec.val = slice_of(h->val, e->rec.val.len);
    h->is_kept = true;
    return NQ_OK;
}

void
held_entry(const struct held *h, struct req *rq, struct entry *e)
{
    nq_assert(h->is_kept);
    *e = (struct entry){.rec = h->rec, .finger = {.found = true}};
    db_entry_vouch(rq->db, rq->dbi, e);
}

void
held_end(struct held *h)
{
    if (!h->is_kept)
        return;
    hold_end(&h->hold);
    nq_free(h->val);
    h->is_kept = false;
}
