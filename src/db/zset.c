/* db/zset.c - the sorted set: layout, lookups and order.
 *
 * A collection (coll.h) of these items; numbers in keys are big-endian:
 *
 *   's' order u64 | member   value: empty, or "-" for the score -0.0
 *   'm' member               value: the score, 8 bytes of a little-endian
 *                            double; only when the collection is a tree
 *   'a'                      value: u64 stale | u64 sweep_at; only if
 *                            ZSET_STALE is set in the head
 *
 * `order` is the score's bits so turned that integers sort as the scores do;
 * -0.0 has that of 0.0.  The head is one byte of flags (zset_int.h).
 *
 * A packed set is searched for a member from end to end: it fits a quarter of
 * a page.  In a tree the 'm' items tell the score, and as they sort before
 * the 's' items, the member of rank r is item number r + first.
 *
 * Removing a long range of members from a tree drops their 's' items as whole
 * pages, but their 'm' items are anywhere.  So those are left behind, stale,
 * and swept bit by bit (zset_sweep.c).
 *
 * Invariants
 *   I1  every 's' item of a tree has an 'm' item with its score
 *   I2  an 'm' item without its 's' item is stale, and z->stale counts those
 *   I3  a packed set has 's' items only
 *   I4  card = items - stale items - other items, by 's' and 'm' alike */
#include "db/zset.h"

#include "base/mem.h"
#include "db/zset_int.h"
#include "store/corrupt.h"

/* --- keys ---------------------------------------------------------------- */

#define SIGN (UINT64_C(1) << 63)

uint64_t
zset_order_of(double score)
{
    uint64_t bits;

    if (score == 0)
        score = 0; /* not -0.0 */
    memcpy(&bits, &score, sizeof bits);
    return bits & SIGN ? ~bits : bits | SIGN;
}

double
zset_score_at(uint64_t order)
{
    uint64_t bits = order & SIGN ? order & ~SIGN : ~order;
    double score;

    memcpy(&score, &bits, sizeof score);
    return score;
}

static uint8_t *
key_room(struct zset_key *k, size_t len)
{
    uint8_t *p = k->room;

    k->heap = NULL;
    if (nq_unlikely(len > sizeof k->room))
        p = k->heap = nq_malloc(len);
    k->key = slice_of(p, len);
    return p;
}

static void
put_order(uint8_t *p, uint64_t order)
{
    p[0] = 's';
    for (unsigned i = 0; i < ZSET_SCORE_SIZE; i++)
        p[1 + i] = (uint8_t)(order >> (56 - 8 * i));
}

void
zset_key_score(struct zset_key *k, double score, struct slice name)
{
    uint8_t *p = key_room(k, ZSET_NAME_AT + name.len);

    put_order(p, zset_order_of(score));
    if (name.len > 0)
        memcpy(p + ZSET_NAME_AT, name.p, name.len);
}

void
zset_key_name(struct zset_key *k, struct slice name)
{
    uint8_t *p = key_room(k, 1 + name.len);

    p[0] = 'm';
    if (name.len > 0)
        memcpy(p + 1, name.p, name.len);
}

static bool
is_in_order(struct slice key)
{
    return key.len >= ZSET_NAME_AT && key.p[0] == 's';
}

static uint64_t
order_in(struct slice key)
{
    uint64_t order = 0;

    for (unsigned i = 0; i < ZSET_SCORE_SIZE; i++)
        order = order << 8 | key.p[1 + i];
    return order;
}

static struct slice
name_in(struct slice key)
{
    return slice_of(key.p + ZSET_NAME_AT, key.len - ZSET_NAME_AT);
}

/* The score that an 'm' item has for its value. */
static bool
score_in(struct slice val, double *score)
{
    struct cursor c = cursor_of(val);
    uint64_t bits;

    cursor_get_u64(&c, &bits);
    memcpy(score, &bits, sizeof bits);
    return cursor_ok(&c);
}

bool
zset_member_of(const struct item *it, struct member *out)
{
    if (is_in_order(it->key)) {
        out->name = name_in(it->key);
        out->score = zset_score_at(order_in(it->key));
        if (out->score == 0 && it->val.len > 0)
            out->score = -0.0;
        return true;
    }
    if (it->key.len == 0 || it->key.p[0] != 'm')
        return false;
    out->name = slice_of(it->key.p + 1, it->key.len - 1);
    return score_in(it->val, &out->score);
}

/* --- opening ------------------------------------------------------------- */

void
zset_recount(struct zset *z)
{
    uint64_t others = (z->coll.head[0] & ZSET_STALE) != 0;

    z->card = z->coll.count;
    if (z->coll.is_tree)
        z->card = (z->coll.count - others - z->stale) / 2;
    z->first = z->coll.count - z->card;
}

nq_rc
zset_open(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
          bool found, struct zset *out)
{
    nq_rc rc =
        coll_open(db, dbi, key, DB_ZSET, e, found, ZSET_HEAD_LEN, &out->coll);

    out->stale = 0;
    out->sweep_at = 0;
    if (rc != NQ_OK)
        return rc;
    if (nq_unlikely(out->coll.head[0] & ZSET_STALE) &&
        (rc = zset_stale_read(out)) != NQ_OK) {
        coll_close(&out->coll);
        return rc;
    }
    zset_recount(out);
    return NQ_OK;
}

void
zset_close(struct zset *z)
{
    coll_close(&z->coll);
}

const char *
zset_encoding(const struct entry *e)
{
    struct slice head;

    if (coll_record_head(&e->rec, &head, ZSET_HEAD_LEN) &&
        (head.p[0] & ZSET_SKIPLIST) != 0)
        return "skiplist";
    return "listpack";
}

bool
zset_is_listpack(const struct coll *c)
{
    return (c->head[0] & ZSET_SKIPLIST) == 0;
}

/* --- one member ---------------------------------------------------------- */

static nq_rc
find_packed(struct zset *z, struct slice name, enum standing *st, double *score)
{
    struct member m;
    struct item it;
    nq_rc rc = coll_get_tail(&z->coll, ZSET_NAME_AT, name, &it);

    if (rc == NQ_OK && zset_member_of(&it, &m)) {
        *st = PRESENT;
        *score = m.score;
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* Whether the 's' item is there. */
static nq_rc
is_ordered(struct coll *c, struct slice name, double score, bool *out)
{
    struct zset_key k;
    struct item it;
    nq_rc rc;

    zset_key_score(&k, score, name);
    rc = coll_get(c, k.key, &it);
    zset_key_fini(&k);
    *out = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
zset_item_is_there(struct coll *c, const struct item *it, bool *out)
{
    struct member m;

    *out = true;
    if ((c->head[0] & ZSET_STALE) == 0 || is_in_order(it->key))
        return NQ_OK;
    if (!zset_member_of(it, &m))
        return NQ_CORRUPT("a member of a sorted set without a score");
    return is_ordered(c, m.name, m.score, out);
}

static nq_rc
find_in_tree(struct zset *z, struct slice name, enum standing *st,
             double *score)
{
    struct zset_key k;
    struct item it;
    bool is_there = true;
    nq_rc rc;

    zset_key_name(&k, name);
    rc = coll_get(&z->coll, k.key, &it);
    zset_key_fini(&k);
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (!score_in(it.val, score))
        return NQ_CORRUPT("a member of a sorted set without a score");
    if (z->stale > 0)
        rc = is_ordered(&z->coll, name, *score, &is_there);
    *st = is_there ? PRESENT : STALE;
    return rc;
}

nq_rc
zset_find(struct zset *z, struct slice name, enum standing *st, double *score)
{
    *st = ABSENT;
    if (nq_unlikely(name.len > ZSET_MAX_NAME))
        return NQ_OK;
    if (z->coll.is_tree)
        return find_in_tree(z, name, st, score);
    return find_packed(z, name, st, score);
}

nq_rc
zset_score(struct zset *z, struct slice member, double *out)
{
    enum standing st;
    nq_rc rc = zset_find(z, member, &st, out);

    return rc == NQ_OK && st != PRESENT ? NQ_NOTFOUND : rc;
}

nq_rc
zset_rank(struct zset *z, struct slice member, uint64_t *rank, double *score)
{
    struct zset_key k;
    nq_rc rc = zset_score(z, member, score);

    if (rc != NQ_OK)
        return rc;
    zset_key_score(&k, *score, member);
    rc = coll_rank(&z->coll, k.key, rank);
    zset_key_fini(&k);
    if (rc == NQ_OK)
        *rank -= z->first;
    return rc;
}

/* --- ranges -------------------------------------------------------------- */

/* How many members come before `order` and any name. */
static nq_rc
rank_of_order(struct zset *z, uint64_t order, uint64_t *rank)
{
    uint8_t key[ZSET_NAME_AT];
    nq_rc rc;

    put_order(key, order);
    rc = coll_rank(&z->coll, slice_of(key, sizeof key), rank);
    if (rc == NQ_OK)
        *rank -= nq_min(*rank, z->first);
    return rc;
}

static struct span
span_between(uint64_t from, uint64_t to)
{
    return (struct span){from, to > from ? to - from : 0};
}

nq_rc
zset_by_score(struct zset *z, const struct score_range *r, struct span *out)
{
    uint64_t from, to;
    nq_rc rc;

    *out = (struct span){0, 0};
    if (r->min > r->max || (r->min == r->max && (r->min_open || r->max_open)))
        return NQ_OK;
    rc = rank_of_order(z, zset_order_of(r->min) + r->min_open, &from);
    if (rc == NQ_OK)
        rc = rank_of_order(z, zset_order_of(r->max) + !r->max_open, &to);
    if (rc == NQ_OK)
        *out = span_between(from, to);
    return rc;
}

/* The rank of `name` among members with the scores of the first; with
 * `after`, that of what follows it. */
static nq_rc
rank_of_name(struct zset *z, double score, struct slice name, bool after,
             uint64_t *rank)
{
    struct zset_key k;
    struct item it;
    nq_rc rc;

    if (name.len > ZSET_MAX_NAME) {
        name.len = ZSET_MAX_NAME;
        after = true;
    }
    zset_key_score(&k, score, name);
    rc = coll_rank(&z->coll, k.key, rank);
    if (rc == NQ_OK && after) {
        rc = coll_get(&z->coll, k.key, &it);
        *rank += rc == NQ_OK;
        rc = rc == NQ_NOTFOUND ? NQ_OK : rc;
    }
    zset_key_fini(&k);
    *rank -= nq_min(*rank, z->first);
    return rc;
}

/* The same where scores differ: ranges by name are meant for one score only,
 * but where names rise with the scores, they have a meaning that clients of
 * Redis know. */
static nq_rc
search_name(struct zset *z, struct slice name, bool after, uint64_t *rank)
{
    uint64_t lo = 0, hi = z->card;
    struct zset_cursor cu;
    nq_rc rc = NQ_OK;

    zset_cursor_init(&cu, z);
    while (lo < hi && rc == NQ_OK) {
        uint64_t mid = lo + (hi - lo) / 2;
        int cmp;

        if ((rc = zset_nth(&cu, mid)) != NQ_OK || !cu.valid)
            break;
        cmp = slice_cmp(cu.at.name, name);
        if (cmp < 0 || (cmp == 0 && after))
            lo = mid + 1;
        else
            hi = mid;
    }
    zset_cursor_fini(&cu);
    *rank = lo;
    return rc;
}

/* The scores of both ends of a set that has members. */
static nq_rc
end_scores(struct zset *z, double *first, double *last)
{
    struct zset_cursor cu;
    nq_rc rc;

    *first = *last = 0;
    zset_cursor_init(&cu, z);
    if ((rc = zset_nth(&cu, 0)) == NQ_OK && cu.valid)
        *first = cu.at.score;
    if (rc == NQ_OK && (rc = zset_nth(&cu, z->card - 1)) == NQ_OK && cu.valid)
        *last = cu.at.score;
    zset_cursor_fini(&cu);
    return rc;
}

struct lex_scores {
    double first, last;
};

static nq_rc
rank_of_end(struct zset *z, const struct lex_scores *scores, struct slice name,
            enum lex_end end, bool after, uint64_t *rank)
{
    *rank = end == LEX_FIRST ? 0 : z->card;
    if (end == LEX_FIRST || end == LEX_LAST)
        return NQ_OK;
    if (scores->first != scores->last)
        return search_name(z, name, after, rank);
    return rank_of_name(z, scores->first, name, after, rank);
}

nq_rc
zset_by_lex(struct zset *z, const struct lex_range *r, struct span *out)
{
    struct lex_scores scores;
    uint64_t from = 0, to = 0;
    nq_rc rc;

    *out = (struct span){0, 0};
    if (z->card == 0)
        return NQ_OK;
    rc = end_scores(z, &scores.first, &scores.last);
    if (rc == NQ_OK)
        rc = rank_of_end(z, &scores, r->min, r->min_end,
                         r->min_end == LEX_EXCLUDED, &from);
    if (rc == NQ_OK)
        rc = rank_of_end(z, &scores, r->max, r->max_end,
                         r->max_end == LEX_INCLUDED, &to);
    if (rc == NQ_OK)
        *out = span_between(from, to);
    return rc;
}

/* --- walking ------------------------------------------------------------- */

void
zset_cursor_init(struct zset_cursor *cu, struct zset *z)
{
    cu->valid = false;
    cu->z = z;
    coll_cursor_init(&cu->items, &z->coll);
}

void
zset_cursor_fini(struct zset_cursor *cu)
{
    coll_cursor_fini(&cu->items);
}

/* What the cursor stands on; only the value of a zero tells its sign. */
static nq_rc
load(struct zset_cursor *cu, nq_rc rc)
{
    struct item it;

    cu->valid = rc == NQ_OK && cu->items.valid && is_in_order(cu->items.key);
    if (!cu->valid)
        return rc;
    cu->at.name = name_in(cu->items.key);
    cu->at.score = zset_score_at(order_in(cu->items.key));
    if (cu->at.score != 0)
        return NQ_OK;
    rc = coll_item(&cu->items, &it);
    if (rc == NQ_OK && it.val.len > 0)
        cu->at.score = -0.0;
    return rc;
}

nq_rc
zset_nth(struct zset_cursor *cu, uint64_t rank)
{
    if (rank >= cu->z->card) {
        cu->valid = false;
        return NQ_OK;
    }
    if (rank == 0)
        return load(cu, coll_seek(&cu->items, slice_lit("s"), false));
    if (rank == cu->z->card - 1)
        return load(cu, coll_last(&cu->items));
    return load(cu, coll_nth(&cu->items, cu->z->first + rank));
}

nq_rc
zset_seek(struct zset_cursor *cu, struct member at)
{
    struct zset_key k;
    nq_rc rc;

    zset_key_score(&k, at.score, at.name);
    rc = coll_seek(&cu->items, k.key, false);
    zset_key_fini(&k);
    return load(cu, rc);
}

nq_rc
zset_next(struct zset_cursor *cu)
{
    return load(cu, coll_next(&cu->items));
}

nq_rc
zset_prev(struct zset_cursor *cu)
{
    return load(cu, coll_prev(&cu->items));
}

/* --- checking ------------------------------------------------------------ */

/* One member in order against its 'm' item. */
static nq_rc
check_member(struct zset *z, const struct member *m)
{
    enum standing st = PRESENT;
    double score = m->score;
    nq_rc rc = zset_find(z, m->name, &st, &score);

    if (rc == NQ_OK && (st != PRESENT || score != m->score))
        return NQ_CORRUPT("a member and its score do not agree");
    return rc;
}

/* The items before the first member in order: how many are stale. */
static nq_rc
count_stale(struct zset *z, uint64_t *stale)
{
    struct coll_cursor cu;
    enum standing st;
    uint64_t n = 0;
    struct item it;
    struct member m;
    nq_rc rc;

    *stale = 0;
    coll_cursor_init(&cu, &z->coll);
    for (rc = coll_first(&cu); rc == NQ_OK && cu.valid && n < z->first; n++) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        if (zset_member_of(&it, &m) &&
            (rc = zset_find(z, m.name, &st, &m.score)) != NQ_OK)
            break;
        *stale += it.key.p[0] == 'm' && st == STALE;
        rc = coll_next(&cu);
    }
    coll_cursor_fini(&cu);
    return rc;
}

nq_rc
zset_check(struct zset *z)
{
    struct zset_cursor cu;
    uint64_t n = 0, stale = 0;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    for (rc = zset_nth(&cu, 0); rc == NQ_OK && cu.valid; n++)
        if ((rc = check_member(z, &cu.at)) == NQ_OK)
            rc = zset_next(&cu);
    zset_cursor_fini(&cu);
    if (rc == NQ_OK && z->coll.is_tree)
        rc = count_stale(z, &stale);
    if (rc == NQ_OK && (n != z->card || stale != z->stale))
        return NQ_CORRUPT("the members of a sorted set are not as counted");
    return rc;
}
