/* db/set.c - the set type.
 *
 * A set is a collection (coll.h) whose keys are the members and whose values
 * are empty.  Its head is one byte, the encoding that Redis 7.2 would have
 * chosen; it only ever moves from intset over listpack to hashtable, and says
 * nothing about how the members are kept here.
 *
 * Arguments of the effects, for each member:
 *
 *   SADD, SREM   varint length | bytes
 *
 * The members are logged as they were given, also those that changed nothing:
 * how many are given together decides about the encoding.  A call that fails
 * half-way logs the members that it came to.  Called by command handlers and
 * by replay. */
#include "db/set.h"

#include "base/arena.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"

#define FEW 16 /* members of an effect that are decoded without the heap */

enum encoding { SET_NEW, SET_INTSET, SET_LISTPACK, SET_HASHTABLE };

nq_rc
set_open(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
         bool found, struct coll *out)
{
    return coll_open(db, dbi, key, DB_SET, e, found, SET_HEAD_LEN, out);
}

const char *
set_encoding(const struct entry *e)
{
    struct slice head;

    if (!coll_record_head(&e->rec, &head, SET_HEAD_LEN))
        return "hashtable"; /* damaged: reading it tells */
    switch (head.p[0]) {
    case SET_INTSET:
        return "intset";
    case SET_LISTPACK:
        return "listpack";
    default:
        return "hashtable";
    }
}

/* --- encodings ----------------------------------------------------------- */

static bool
is_integer(struct slice member)
{
    int64_t v;

    return slice_to_i64(member, &v);
}

/* What `n` members together, the first of which is `first`, make of it. */
static void
encoding_expect(struct coll *c, struct slice first, unsigned n)
{
    const struct db_limits *limits = db_limits(c->db);

    if (c->head[0] == SET_NEW && n <= limits->set_max_intset_entries &&
        is_integer(first))
        c->head[0] = SET_INTSET;
    else if (c->head[0] == SET_NEW)
        c->head[0] = SET_LISTPACK;
    if ((c->head[0] == SET_LISTPACK && n > limits->set_max_listpack_entries) ||
        (c->head[0] == SET_INTSET && n > limits->set_max_intset_entries))
        c->head[0] = SET_HASHTABLE;
}

/* What a member that was added makes of it. */
static void
encoding_grow(struct coll *c, struct slice member)
{
    const struct db_limits *limits = db_limits(c->db);

    if (nq_likely(c->head[0] == SET_HASHTABLE))
        return;
    if (c->head[0] == SET_INTSET && is_integer(member)) {
        if (c->count > limits->set_max_intset_entries)
            c->head[0] = SET_HASHTABLE;
        return;
    }
    c->head[0] = c->count <= limits->set_max_listpack_entries &&
                         member.len <= limits->set_max_listpack_value
                     ? SET_LISTPACK
                     : SET_HASHTABLE;
}

/* --- the effect's arguments ---------------------------------------------- */

struct member_args {
    uint8_t len[10]; /* of the only one, encoded */
    struct slice slices[2];
    unsigned n;
    struct buf many;
};

static void
args_of_members(struct member_args *a, const struct slice *members, unsigned n)
{
    if (nq_likely(n == 1)) {
        a->slices[0] = slice_of(a->len, varint_encode(a->len, members[0].len));
        a->slices[1] = members[0];
        a->n = 2;
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        buf_put_varint(&a->many, members[i].len);
        buf_put_slice(&a->many, members[i]);
    }
    a->slices[0] = buf_slice(&a->many);
    a->n = 1;
}

/* Writes what was done to the first `n` members, the last step of a change;
 * *is_gone: no member is left. */
static nq_rc
commit_members(struct coll *c, uint8_t effect, const struct slice *members,
               unsigned n, bool *is_gone)
{
    struct member_args args = {.many = BUF_INIT};
    nq_rc rc;

    args_of_members(&args, members, n);
    rc = coll_commit(c, effect, args.slices, args.n, is_gone);
    buf_fini(&args.many);
    return rc;
}

/* --- changes ------------------------------------------------------------- */

static nq_rc
want_members(struct coll *c, const struct slice *members, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (nq_unlikely(members[i].len > BTREE_MAX_KEY))
            return NQ_EKEYLEN;
    return coll_want(c, members, n);
}

nq_rc
set_want(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
         bool found, const struct slice *members, unsigned n)
{
    struct coll c;
    pgno root;
    nq_rc rc = set_open(db, dbi, key, e, found, &c);

    if (rc == NQ_OK)
        rc = want_members(&c, members, n);
    coll_close(&c);
    if (rc == NQ_OK && found && coll_record_root(&e->rec, &root))
        rc = hold_check_write(db, root);
    return rc;
}

/* A member that is there is not put again: that would change pages without an
 * effect.  Packed ones are changed in a copy, which is dropped. */
static nq_rc
add_member(struct coll *c, struct slice member, uint64_t *added)
{
    struct item it;
    bool is_new;
    nq_rc rc = c->is_tree ? coll_get(c, member, &it) : NQ_NOTFOUND;

    if (rc != NQ_NOTFOUND)
        return rc;
    rc = coll_put(c, member, slice_lit(""), 0, &is_new);
    if (rc != NQ_OK || !is_new)
        return rc;
    ++*added;
    encoding_grow(c, member);
    return NQ_OK;
}

/* *done: how many of the members it came to. */
static nq_rc
add_members(struct coll *c, const struct slice *members, unsigned n,
            unsigned *done, uint64_t *added)
{
    nq_rc rc;

    encoding_expect(c, members[0], n);
    for (*done = 0; *done < n; ++*done)
        if ((rc = add_member(c, members[*done], added)) != NQ_OK)
            return rc;
    return NQ_OK;
}

static nq_rc
add_open(struct coll *c, const struct slice *members, unsigned n,
         uint64_t *added)
{
    unsigned done = 0;
    nq_rc rc, failed;

    if ((rc = want_members(c, members, n)) != NQ_OK ||
        (rc = coll_begin(c)) != NQ_OK)
        return rc;
    failed = add_members(c, members, n, &done, added);
    if (*added > 0)
        rc = commit_members(c, EFFECT_SADD, members, done, NULL);
    return failed != NQ_OK ? failed : rc;
}

nq_rc
set_add(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
        bool found, const struct slice *members, unsigned n, const char *event,
        uint64_t *added)
{
    struct coll c;
    nq_rc rc;

    nq_dassert(n > 0 && found == old->finger.found);
    *added = 0;
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    rc = set_open(db, dbi, key, old, found, &c);
    if (rc == NQ_OK)
        rc = add_open(&c, members, n, added);
    coll_close(&c);
    if (*added > 0)
        db_event(db, dbi, EVENT_SET, event, key);
    return rc;
}

static nq_rc
remove_members(struct coll *c, const struct slice *members, unsigned n,
               unsigned *done, uint64_t *removed)
{
    for (unsigned i = 0; i < n && c->count > 0; i++) {
        nq_rc rc = coll_del(c, members[i]);

        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        *done = i + 1;
        *removed += rc == NQ_OK;
    }
    return NQ_OK;
}

static nq_rc
remove_open(struct coll *c, const struct slice *members, unsigned n,
            uint64_t *removed, bool *is_gone)
{
    unsigned done = 0;
    nq_rc rc, failed;

    if ((rc = coll_want(c, members, n)) != NQ_OK ||
        (rc = coll_begin(c)) != NQ_OK)
        return rc;
    failed = remove_members(c, members, n, &done, removed);
    if (*removed > 0)
        rc = commit_members(c, EFFECT_SREM, members, done, is_gone);
    return failed != NQ_OK ? failed : rc;
}

/* Of an open set; closes it. */
static nq_rc
remove_and_tell(struct coll *c, const struct slice *members, unsigned n,
                const char *event, uint64_t *removed)
{
    struct db *db = c->db;
    uint32_t dbi = c->dbi;
    struct slice key = c->key;
    bool is_gone = false;
    nq_rc rc = remove_open(c, members, n, removed, &is_gone);

    coll_close(c);
    if (*removed > 0)
        db_event(db, dbi, EVENT_SET, event, key);
    if (is_gone && event != NULL)
        db_event(db, dbi, EVENT_GENERIC, "del", key);
    return rc;
}

nq_rc
set_remove(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
           const struct slice *members, unsigned n, const char *event,
           uint64_t *removed)
{
    struct coll c;
    nq_rc rc;

    nq_dassert(n > 0 && old->finger.found);
    *removed = 0;
    rc = set_open(db, dbi, key, old, true, &c);
    if (rc == NQ_OK)
        return remove_and_tell(&c, members, n, event, removed);
    coll_close(&c);
    return rc;
}

nq_rc
set_pop(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
        uint64_t rank, const char *event, struct arena *arena,
        struct slice *member)
{
    struct coll_cursor cu;
    uint64_t removed = 0;
    struct coll c;
    nq_rc rc = set_open(db, dbi, key, old, true, &c);

    if (rc == NQ_OK) {
        coll_cursor_init(&cu, &c);
        rc = coll_nth(&cu, rank);
        nq_assert(rc != NQ_OK || cu.valid);
        if (rc == NQ_OK)
            *member =
                slice_of(arena_memdup(arena, cu.key.p, cu.key.len), cu.key.len);
        coll_cursor_fini(&cu);
    }
    if (rc == NQ_OK)
        return remove_and_tell(&c, member, 1, event, &removed);
    coll_close(&c);
    return rc;
}

/* --- replay -------------------------------------------------------------- */

struct members {
    struct slice few[FEW];
    struct slice *at; /* the heap's, or `few` */
    unsigned n;
};

/* All members of an effect; members_fini() also after a failure. */
static nq_rc
members_decode(struct members *m, struct slice args)
{
    struct cursor c = cursor_of(args);
    struct slice member;

    m->at = m->few;
    for (m->n = 0; cursor_left(&c) > 0 && cursor_get_slice(&c, &member);)
        m->n++;
    if (!cursor_ok(&c) || m->n == 0)
        return NQ_EFORMAT;
    if (m->n > FEW)
        m->at = nq_malloc(m->n * sizeof *m->at);
    c = cursor_of(args);
    for (unsigned i = 0; i < m->n; i++)
        cursor_get_slice(&c, &m->at[i]);
    return NQ_OK;
}

static void
members_fini(struct members *m)
{
    if (m->at != m->few)
        nq_free(m->at);
}

/* What the effect is to be applied to: a set, or nothing. */
static nq_rc
find_for_replay(struct db *db, const struct wal_record *r, struct entry *e,
                bool *found)
{
    nq_rc rc = db_find(db, r->db, r->key, e);

    *found = rc == NQ_OK;
    if (rc == NQ_OK && e->rec.type != DB_SET)
        return NQ_ECORRUPT;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
set_apply_sadd(struct db *db, const struct wal_record *r)
{
    struct entry e = {0};
    struct members m;
    uint64_t added;
    bool found;
    nq_rc rc = members_decode(&m, r->args);

    if (rc == NQ_OK)
        rc = find_for_replay(db, r, &e, &found);
    if (rc == NQ_OK)
        rc = set_add(db, r->db, r->key, &e, found, m.at, m.n, NULL, &added);
    members_fini(&m);
    return rc;
}

nq_rc
set_apply_srem(struct db *db, const struct wal_record *r)
{
    struct entry e = {0};
    struct members m;
    uint64_t removed;
    bool found;
    nq_rc rc = members_decode(&m, r->args);

    if (rc == NQ_OK)
        rc = find_for_replay(db, r, &e, &found);
    if (rc == NQ_OK && !found)
        rc = NQ_NOTFOUND;
    if (rc == NQ_OK)
        rc = set_remove(db, r->db, r->key, &e, m.at, m.n, NULL, &removed);
    members_fini(&m);
    return rc;
}
