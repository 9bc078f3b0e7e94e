/* db/residency.c - how much of a range of keys is in memory.
 *
 * btree_leaves() names leaves by what their parents say; whether one is in
 * memory is a look at the table of frames, which notes nothing. */
#include "db/residency.h"

#include "db/db_int.h"
#include "store/btree_leaves.h"
#include "store/frames.h"

void
residency_init(struct residency *r, struct slice lo, const struct slice *hi,
               bool back)
{
    *r = (struct residency){.has_hi = hi != NULL, .back = back};
    buf_put_slice(&r->lo, lo);
    if (hi != NULL)
        buf_put_slice(&r->hi, *hi);
}

void
residency_fini(struct residency *r)
{
    buf_fini(&r->lo);
    buf_fini(&r->hi);
}

/* What is left begins, or ends, at `bound`. */
static void
move_bound(struct residency *r, struct slice bound)
{
    struct buf *b = r->back ? &r->hi : &r->lo;

    buf_clear(b);
    buf_put_slice(b, bound);
    r->has_hi |= r->back;
}

nq_rc
residency_look(struct db *db, uint32_t dbi, struct residency *r, unsigned most)
{
    struct btree_leaves l = {.bound = BUF_INIT};
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && most > 0 && !r->is_over) {
        struct slice hi = buf_slice(&r->hi);

        rc = btree_leaves(db_tree(db, dbi), buf_slice(&r->lo),
                          r->has_hi ? &hi : NULL, r->back,
                          nq_min(most, BTREE_LEAVES_MAX), &l);
        if (rc != NQ_OK)
            break;
        for (unsigned i = 0; i < l.count; i++)
            r->resident += frames_peek(db->fr, l.ids[i]) != NULL;
        r->leaves += l.count;
        most -= l.count;
        r->is_over = l.is_end;
        move_bound(r, buf_slice(&l.bound));
    }
    if (rc == NQ_NOTFOUND) {
        r->is_over = true;
        rc = NQ_OK;
    }
    buf_fini(&l.bound);
    return rc;
}
