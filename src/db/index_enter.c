/* db/index_enter.c - one key of an index, held against its row.
 *
 * The old value comes from the index itself (`keys`), so it does not matter
 * what happened to the row: a value set, a field counted up, a key deleted,
 * renamed, restored or moved to another database all go the same way.
 *
 *   E1  an entry of CLASS_VALUE or CLASS_LONG in `keys` has its counterpart
 *       in `values`, and there are no others
 *   E2  all pages on the three paths are in memory before the first of them is
 *       changed; what is read on the spot after that are tails of long keys
 *
 * Damage ends the use of the index (INDEX_DAMAGED), and nothing else.  Called
 * by index_work.c and index_check.c. */
#include "base/log.h"
#include "db/index_int.h"

/* A change of one key: where it goes on in each tree. */
struct entering {
    struct index *ix;
    struct slice key;
    struct index_value was, is;
    struct finger at, from, to; /* in keys; in values */
};

static bool
has_entry(const struct index_value *v)
{
    return v->len > 0 &&
           (v->bytes[0] == CLASS_VALUE || v->bytes[0] == CLASS_LONG);
}

struct slice
index_entry(struct index *ix, const struct index_value *v, struct slice key)
{
    struct buf *b = &ix->all->work;

    buf_clear(b);
    buf_put(b, v->bytes, v->len);
    buf_put_slice(b, key);
    return buf_slice(b);
}

static nq_rc
find_entered(struct index *ix, struct slice key, struct index_value *out,
             struct finger *f)
{
    struct record rec;
    nq_rc rc = btree_get(&ix->keys, key, &rec, f);

    out->len = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (rec.type != INDEX_RECORD || rec.val.len == 0 ||
        rec.val.len > sizeof out->bytes || rec.val.p[0] < CLASS_VALUE ||
        rec.val.p[0] > CLASS_LONG_KEY)
        return NQ_ECORRUPT;
    memcpy(out->bytes, rec.val.p, rec.val.len);
    out->len = (uint8_t)rec.val.len;
    return NQ_OK;
}

nq_rc
index_entered(struct index *ix, struct slice key, struct index_value *out)
{
    return find_entered(ix, key, out, NULL);
}

/* E2: the way to the place of an entry. */
static nq_rc
find_place(struct entering *c, const struct index_value *v, struct finger *f)
{
    struct record rec;
    nq_rc rc;

    if (!has_entry(v))
        return NQ_OK;
    rc = btree_get(&c->ix->values, index_entry(c->ix, v, c->key), &rec, f);
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* --- the change ----------------------------------------------------------- */

static nq_rc
change_values(struct entering *c)
{
    struct record rec = {.type = INDEX_RECORD};
    nq_rc rc = NQ_OK;

    if (has_entry(&c->is))
        rc = btree_put(&c->ix->values, index_entry(c->ix, &c->is, c->key), &rec,
                       &c->to);
    if (rc == NQ_OK && has_entry(&c->was)) {
        rc = btree_del(&c->ix->values, index_entry(c->ix, &c->was, c->key),
                       &c->from);
        if (rc == NQ_NOTFOUND) /* against E1 */
            rc = NQ_ECORRUPT;
    }
    return rc;
}

static nq_rc
change_keys(struct entering *c)
{
    struct record rec = {.type = INDEX_RECORD,
                         .val = slice_of(c->is.bytes, c->is.len)};

    if (c->is.len > 0)
        return btree_put(&c->ix->keys, c->key, &rec, &c->at);
    return btree_del(&c->ix->keys, c->key, &c->at);
}

static void
count(struct index *ix, const struct index_value *v, int by)
{
    if (v->len > 0 && v->bytes[0] != CLASS_VALUE)
        ix->classes[v->bytes[0]] += (uint64_t)by;
}

static nq_rc
apply(struct entering *c)
{
    struct frames *fr = c->ix->all->db->fr;
    bool was = frames_set_blocking(fr, true);
    nq_rc rc = change_values(c);

    if (rc == NQ_OK)
        rc = change_keys(c);
    (void)frames_set_blocking(fr, was);
    count(c->ix, &c->was, -1);
    count(c->ix, &c->is, 1);
    index_tell_readers(c->ix, c->key);
    return rc;
}

/* All that the change will touch; the row's value and the entry's are asked
 * for together, so that one wait brings both. */
static nq_rc
plan(struct entering *c)
{
    nq_rc row = index_row_value(c->ix, c->key, &c->is), rc;

    rc = find_entered(c->ix, c->key, &c->was, &c->at);
    if (row != NQ_OK && row != NQ_MISS && row != NQ_EPOOL) {
        c->is = c->was; /* it cannot be read: whoever reads it is told */
        return rc;
    }
    if (row == NQ_OK && rc == NQ_MISS && has_entry(&c->is))
        (void)!find_place(c, &c->is, &c->to);
    if (row == NQ_OK)
        row = rc;
    if (row != NQ_OK)
        return row;
    rc = find_place(c, &c->was, &c->from);
    row = find_place(c, &c->is, &c->to);
    return rc != NQ_OK ? rc : row;
}

static bool
is_same(const struct index_value *a, const struct index_value *b)
{
    return slice_eq(slice_of(a->bytes, a->len), slice_of(b->bytes, b->len));
}

nq_rc
index_enter(struct index *ix, struct slice key)
{
    struct btree_path paths[3];
    struct entering c = {.ix = ix,
                         .key = key,
                         .at.path = &paths[0],
                         .from.path = &paths[1],
                         .to.path = &paths[2]};
    nq_rc rc;

    if (!index_is_kept(ix))
        return NQ_OK;
    for (unsigned i = 0; i < nq_countof(paths); i++)
        paths[i].depth = 0;
    rc = plan(&c);
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc == NQ_OK && !is_same(&c.was, &c.is))
        rc = apply(&c);
    if (rc != NQ_OK)
        index_damaged(ix, rc);
    return NQ_OK;
}
