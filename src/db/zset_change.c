/* db/zset_change.c - ZADD, and what all changes of sorted sets share.
 *
 * Every change looks first and touches later: what all members of the command
 * need is noted as wanted, then coll_begin() is asked, then nothing may miss.
 *
 * Arguments of the effects (names and ends are varint length and bytes; an
 * end is the key of an 's' item without its first byte, see zset.c):
 *
 *   ZADD       u8 1: skiplist | { u64 score | name } of what was changed
 *   ZREM       { name } of what was there
 *   ZREMRANGE  low end | u8 1: has a high end | high end
 *   ZSWEEP     varint items to look at
 *
 * All of them may be applied twice, because replay does so to one for which
 * the pool had no room at first. */
#include "db/zset.h"

#include <math.h>

#include "base/mem.h"
#include "db/zset_int.h"

/* --- one member ---------------------------------------------------------- */

static nq_rc
put_name(struct zset *z, struct slice name, double score)
{
    uint8_t val[ZSET_SCORE_SIZE];
    struct zset_key k;
    uint64_t bits;
    nq_rc rc;

    memcpy(&bits, &score, sizeof bits);
    for (unsigned i = 0; i < sizeof val; i++)
        val[i] = (uint8_t)(bits >> (8 * i));
    zset_key_name(&k, name);
    rc = coll_put(&z->coll, k.key, slice_of(val, sizeof val), 0, NULL);
    zset_key_fini(&k);
    return rc;
}

/* The set has just become a tree: its members get their 'm' items. */
static nq_rc
put_all_names(struct zset *z)
{
    struct coll_cursor cu;
    struct buf items = BUF_INIT;
    struct cursor c;
    struct slice name;
    struct member m;
    struct item it;
    uint64_t bits;
    nq_rc rc;

    coll_cursor_init(&cu, &z->coll);
    for (rc = coll_first(&cu); rc == NQ_OK && cu.valid; rc = coll_next(&cu)) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK || !zset_member_of(&it, &m))
            break;
        memcpy(&bits, &m.score, sizeof bits);
        buf_put_u64(&items, bits);
        buf_put_varint(&items, m.name.len);
        buf_put_slice(&items, m.name);
    }
    coll_cursor_fini(&cu);
    c = cursor_of(buf_slice(&items));
    while (rc == NQ_OK && cursor_get_u64(&c, &bits) &&
           cursor_get_slice(&c, &name)) {
        memcpy(&m.score, &bits, sizeof bits);
        rc = put_name(z, name, m.score);
    }
    buf_fini(&items);
    return rc;
}

static nq_rc
del_ordered(struct zset *z, struct slice name, double score)
{
    struct zset_key k;
    nq_rc rc;

    zset_key_score(&k, score, name);
    rc = coll_del(&z->coll, k.key);
    zset_key_fini(&k);
    return rc;
}

nq_rc
zset_del_name(struct zset *z, struct slice name)
{
    struct zset_key k;
    nq_rc rc;

    zset_key_name(&k, name);
    rc = coll_del(&z->coll, k.key);
    zset_key_fini(&k);
    return rc;
}

nq_rc
zset_remove_member(struct zset *z, struct slice name, double score)
{
    nq_rc rc = del_ordered(z, name, score);

    if (rc == NQ_OK && z->coll.is_tree)
        rc = zset_del_name(z, name);
    return rc;
}

static nq_rc
put_member(struct zset *z, const struct member *m)
{
    bool is_negative_zero = m->score == 0 && signbit(m->score);
    bool was_tree = z->coll.is_tree;
    struct zset_key k;
    nq_rc rc;

    zset_key_score(&k, m->score, m->name);
    rc = coll_put(&z->coll, k.key,
                  is_negative_zero ? slice_lit("-") : slice_lit(""), 0, NULL);
    zset_key_fini(&k);
    if (rc != NQ_OK || !z->coll.is_tree)
        return rc;
    return was_tree ? put_name(z, m->name, m->score) : put_all_names(z);
}

nq_rc
zset_want(struct zset *z, struct slice name, enum standing st, double was,
          const double *score)
{
    struct zset_key keys[3];
    struct slice want[3];
    unsigned n = 0;
    nq_rc rc;

    if (!z->coll.is_tree)
        return NQ_OK;
    zset_key_name(&keys[n++], name);
    if (st == PRESENT)
        zset_key_score(&keys[n++], was, name);
    if (score != NULL)
        zset_key_score(&keys[n++], *score, name);
    for (unsigned i = 0; i < n; i++)
        want[i] = keys[i].key;
    rc = coll_want(&z->coll, want, n);
    for (unsigned i = 0; i < n; i++)
        zset_key_fini(&keys[i]);
    return rc;
}

/* --- what all changes end with ------------------------------------------- */

void
zset_raise(struct zset *z, const char *event, bool is_gone)
{
    struct coll *c = &z->coll;

    if (event != NULL)
        db_event(c->db, c->dbi, EVENT_ZSET, event, c->key);
    if (is_gone)
        db_event(c->db, c->dbi, EVENT_GENERIC, "del", c->key);
}

/* What is stale goes with the last member, and some of it with every change. */
static nq_rc
tidy(struct zset *z)
{
    uint64_t removed;

    if (!z->coll.is_tree)
        return NQ_OK;
    zset_recount(z);
    if (z->card == 0)
        return coll_del_range(&z->coll, slice_lit(""), NULL, &removed);
    return zset_sweep_some(z);
}

nq_rc
zset_finish(struct zset *z, nq_rc rc, uint8_t effect, const struct slice *args,
            unsigned nargs, const char *event)
{
    bool is_gone = false;
    nq_rc done;

    if (rc == NQ_OK)
        rc = tidy(z);
    done = coll_commit(&z->coll, effect, args, nargs, &is_gone);
    if (done == NQ_OK)
        zset_raise(z, event, is_gone);
    return rc != NQ_OK ? rc : done;
}

/* --- ZADD ---------------------------------------------------------------- */

enum verdict { HELD_BACK, SAME, CHANGES };

/* What is to be done about one member. */
struct step {
    enum standing st;
    double was;
    struct member to;
    enum verdict verdict;
};

static enum verdict
judge(unsigned flags, const struct step *s)
{
    if (s->st != PRESENT)
        return flags & ZSET_XX ? HELD_BACK : CHANGES;
    if (flags & ZSET_NX)
        return HELD_BACK;
    if ((flags & ZSET_GT && s->to.score <= s->was) ||
        (flags & ZSET_LT && s->to.score >= s->was))
        return HELD_BACK;
    return s->to.score == s->was ? SAME : CHANGES;
}

static nq_rc
look(struct zset *z, const struct member *m, unsigned flags, struct step *s)
{
    nq_rc rc;

    s->to = *m;
    if ((rc = zset_find(z, m->name, &s->st, &s->was)) != NQ_OK)
        return rc;
    if (flags & ZSET_INCR && s->st == PRESENT)
        s->to.score += s->was;
    s->verdict = judge(flags, s);
    if (isnan(s->to.score) && (s->st != PRESENT || (flags & ZSET_NX) == 0))
        return NQ_ENAN;
    return NQ_OK;
}

struct adding {
    struct zset z;
    const struct member *members;
    uint32_t n;
    unsigned flags;
    struct step step; /* of the only member, if n is 1 */
    struct zset_added *out;
    struct buf log; /* of more than one */
};

/* Looks at all members before anything is changed; *changes: something will
 * be. */
static nq_rc
look_ahead(struct adding *a, bool *changes)
{
    struct step *s = &a->step;
    nq_rc rc = NQ_OK, one;

    *changes = false;
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->members[i].name.len > ZSET_MAX_NAME)
            return NQ_EKEYLEN;
        one = look(&a->z, &a->members[i], a->flags, s);
        if (one == NQ_OK && s->verdict == CHANGES) {
            *changes = true;
            one = zset_want(&a->z, s->to.name, s->st, s->was, &s->to.score);
        }
        if (one != NQ_OK && one != NQ_MISS)
            return one;
        rc = one != NQ_OK ? one : rc;
    }
    a->out->score = s->to.score;
    a->out->is_done = s->verdict != HELD_BACK;
    return rc;
}

static nq_rc
take_step(struct zset *z, struct step *s, struct zset_added *out)
{
    nq_rc rc;

    /* The small encoding has no -0.0, as in Redis. */
    if (s->to.score == 0 && (z->coll.head[0] & ZSET_SKIPLIST) == 0)
        s->to.score = 0;
    if (s->st == PRESENT) {
        if ((rc = del_ordered(z, s->to.name, s->was)) != NQ_OK)
            return rc;
        out->updated++;
    } else {
        out->added++;
        z->stale -= s->st == STALE;
    }
    return put_member(z, &s->to);
}

/* Redis' rules for the large encoding. */
static void
follow_limits(struct adding *a, struct slice name)
{
    const struct db_limits *l = db_limits(a->z.coll.db);
    uint64_t card = a->z.card + a->out->added;

    if (card + 1 > l->zset_max_listpack_entries ||
        name.len > l->zset_max_listpack_value)
        a->z.coll.head[0] |= ZSET_SKIPLIST;
}

static void
follow_all_limits(struct adding *a)
{
    const struct db_limits *l = db_limits(a->z.coll.db);

    if (a->n > l->zset_max_listpack_entries)
        a->z.coll.head[0] |= ZSET_SKIPLIST;
    for (uint32_t i = 0; i < a->n && a->flags & ZSET_RESULT; i++)
        follow_limits(a, a->members[i].name);
}

static size_t
encode_step(uint8_t *dst, const struct step *s)
{
    uint64_t bits;

    memcpy(&bits, &s->to.score, sizeof bits);
    for (unsigned i = 0; i < ZSET_SCORE_SIZE; i++)
        dst[i] = (uint8_t)(bits >> (8 * i));
    return ZSET_SCORE_SIZE +
           varint_encode(dst + ZSET_SCORE_SIZE, s->to.name.len);
}

static nq_rc
add_one(struct adding *a, const char *event)
{
    uint8_t head[1 + ZSET_SCORE_SIZE + 10];
    struct slice args[2];
    nq_rc rc;

    if (a->step.st != PRESENT)
        follow_limits(a, a->step.to.name);
    rc = take_step(&a->z, &a->step, a->out);
    head[0] = a->z.coll.head[0] & ZSET_SKIPLIST;
    args[0] = slice_of(head, 1 + encode_step(head + 1, &a->step));
    args[1] = a->step.to.name;
    return zset_finish(&a->z, rc, EFFECT_ZADD, args, 2, event);
}

static nq_rc
add_many(struct adding *a, const char *event)
{
    struct step s;
    struct slice args[2];
    uint8_t head;
    nq_rc rc = NQ_OK;

    follow_all_limits(a);
    for (uint32_t i = 0; i < a->n && rc == NQ_OK; i++) {
        if ((rc = look(&a->z, &a->members[i], a->flags, &s)) != NQ_OK)
            break;
        if (s.verdict != CHANGES)
            continue;
        if (s.st != PRESENT)
            follow_limits(a, s.to.name);
        rc = take_step(&a->z, &s, a->out);
        a->log.len +=
            encode_step(buf_reserve(&a->log, ZSET_SCORE_SIZE + 10), &s);
        buf_put_slice(&a->log, s.to.name);
    }
    head = a->z.coll.head[0] & ZSET_SKIPLIST;
    args[0] = slice_of(&head, 1);
    args[1] = buf_slice(&a->log);
    rc = zset_finish(&a->z, rc, EFFECT_ZADD, args, 2, event);
    buf_fini(&a->log);
    return rc;
}

/* `skiplist`: the encoding that the log tells. */
static nq_rc
add_all(struct adding *a, uint8_t skiplist, const char *event)
{
    bool changes;
    nq_rc rc = look_ahead(a, &changes);

    if (rc != NQ_OK || !changes)
        return rc;
    if ((rc = coll_begin(&a->z.coll)) != NQ_OK)
        return rc;
    a->z.coll.head[0] |= skiplist;
    return a->n == 1 ? add_one(a, event) : add_many(a, event);
}

nq_rc
zset_add(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
         bool found, const struct member *members, uint32_t n, unsigned flags,
         const char *event, struct zset_added *out)
{
    struct adding a;
    nq_rc rc;

    nq_dassert(n > 0);
    memset(out, 0, sizeof *out);
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    if ((rc = zset_open(db, dbi, key, old, found, &a.z)) != NQ_OK)
        return rc;
    a.members = members;
    a.n = n;
    a.flags = flags;
    a.out = out;
    a.log = BUF_INIT;
    rc = add_all(&a, 0, event);
    zset_close(&a.z);
    return rc;
}

/* --- replay -------------------------------------------------------------- */

nq_rc
zset_find_for_replay(struct db *db, const struct wal_record *r, struct entry *e,
                     bool *found)
{
    nq_rc rc = db_find_write(db, r->db, r->key, e);

    *found = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* One member at a time: what one effect holds is bounded by the log only. */
nq_rc
zset_apply_zadd(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct zset_added added;
    struct adding a = {.n = 1, .out = &added};
    struct entry e = {0};
    struct member m;
    uint64_t bits;
    uint8_t skiplist;
    bool found;
    nq_rc rc = NQ_OK;

    cursor_get_u8(&c, &skiplist);
    while (rc == NQ_OK && cursor_left(&c) > 0) {
        cursor_get_u64(&c, &bits);
        cursor_get_slice(&c, &m.name);
        memcpy(&m.score, &bits, sizeof bits);
        if (!cursor_ok(&c) || isnan(m.score))
            return NQ_EFORMAT;
        a.members = &m;
        memset(&added, 0, sizeof added);
        if ((rc = zset_find_for_replay(db, r, &e, &found)) != NQ_OK ||
            (rc = zset_open(db, r->db, r->key, &e, found, &a.z)) != NQ_OK)
            return rc;
        rc = add_all(&a, skiplist & ZSET_SKIPLIST, NULL);
        zset_close(&a.z);
    }
    return rc;
}
