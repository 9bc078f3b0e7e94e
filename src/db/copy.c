/* db/copy.c - COPY: what a key owns is copied with it, in slices.
 *
 *   COPY (effect)  varint database of the copy | its name
 *
 * What fits a slice is copied at once.  A bigger value grows out of sight:
 *
 *   I1  between slices the source is held, so what the effect says at the end
 *       is what replay will find; a source that is another one by then (it
 *       has another root) is copied from its start
 *   I2  between slices what was copied is in the list of what is to be freed
 *       (lazyfree.c), and held so that nobody does that; when it is linked it
 *       is taken off.  So it is freed if its client goes, or the server dies
 *   I3  a copy that could not be held when its slice ended is dropped: a
 *       writer waits, and the source may be something else afterwards
 *
 * Replay does the same, and gives back the frames between slices (NQ_AGAIN),
 * since a value may be larger than the pool.  Called by COPY and replay. */
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"
#include "os/clock.h"

#define PAGES_AT_ONCE 16 /* between two looks at the clock */
#define ROOT_SIZE 4      /* what a value with a tree ends with (coll.h) */
#define REPLAY_SLICE_US 2000

struct copying {
    struct db *db;
    struct owned from; /* what is copied: a tree or a blob */
    struct hold source, made;
    bool is_listed;            /* as what is to be freed */
    struct btree_clone *clone; /* of a tree */
    struct blob_ref ref;       /* of a blob: what there is of it; len 0: none */
};

static pgno
root_of(const struct owned *o)
{
    return o->kind == OWNS_TREE ? o->root : o->ref.root;
}

/* The root of the copy, 0: none yet. */
static pgno
made_root(const struct copying *c)
{
    if (c->from.kind == OWNS_TREE)
        return btree_clone_root(c->clone);
    return c->ref.len == 0 ? 0 : c->ref.root;
}

static enum free_kind
made_kind(const struct copying *c)
{
    return c->from.kind == OWNS_TREE ? FREE_TREE : FREE_BLOB;
}

/* --- life ---------------------------------------------------------------- */

static struct copying *
copying_new(struct db *db, const struct owned *from, enum db_type type)
{
    struct btree t = {.fr = db->fr, .weighted = type == DB_LIST};
    struct copying *c = nq_calloc(1, sizeof *c);

    c->db = db;
    c->from = *from;
    if (from->kind == OWNS_TREE) {
        btree_set_root(&t, from->root);
        c->clone = btree_clone_new(&t);
    }
    return c;
}

void
db_copy_end(struct copying *c)
{
    if (c == NULL)
        return;
    if (!c->is_listed && made_root(c) != 0) {
        if (c->from.kind == OWNS_TREE)
            db_free_tree(c->db, made_root(c));
        else
            db_free_blob(c->db, &c->ref);
    }
    hold_end(&c->made);
    hold_end(&c->source);
    btree_clone_free(c->clone);
    nq_free(c);
}

/* I1, I2: the slice ends, others come. */
static nq_rc
keep(struct copying *c)
{
    struct db *db = c->db;
    pgno made = made_root(c);
    nq_rc rc = NQ_OK;

    if (c->source.root == 0)
        rc = hold_take(&c->source, db, root_of(&c->from));
    if (rc == NQ_OK && made != 0 && c->made.root == 0)
        rc = hold_take(&c->made, db, made);
    if (rc != NQ_OK || made == 0)
        return rc;
    /* Of a blob the list must know how much there is. */
    if (!c->is_listed || c->from.kind == OWNS_BLOB)
        db_free_unless(db, made_kind(c), made, &c->ref);
    c->is_listed = true;
    return NQ_OK;
}

/* --- slices -------------------------------------------------------------- */

static nq_rc
copy_blob(struct copying *c, uint64_t until_us)
{
    while (c->ref.len < c->from.ref.len) {
        nq_rc rc = blob_copy_some(c->db->fr, &c->from.ref, &c->ref);

        if (rc != NQ_OK)
            return rc;
        if (c->ref.len < c->from.ref.len && clock_mono_us() >= until_us)
            return NQ_AGAIN;
    }
    return NQ_OK;
}

static nq_rc
copy_tree(struct copying *c, uint64_t until_us)
{
    nq_rc rc;

    do
        rc = btree_clone_step(c->clone, PAGES_AT_ONCE);
    while (rc == NQ_AGAIN && clock_mono_us() < until_us);
    return rc;
}

/* The copy of what the source owns, so far as the time goes.  Not NQ_OK: what
 * is kept of it is in *state. */
static nq_rc
copy_owned(struct db *db, const struct entry *src, uint64_t budget_us,
           struct copying **state)
{
    uint64_t until_us = clock_mono_us() + budget_us;
    struct copying *c = *state;
    struct owned owned;
    nq_rc rc, kept;

    db_owned(&src->rec, &owned);
    if (owned.kind == OWNS_NOTHING)
        return NQ_ECORRUPT;
    if (c != NULL && !db_owned_is_same(&owned, &c->from)) {
        db_copy_end(c);
        c = NULL;
    }
    if (c == NULL)
        c = copying_new(db, &owned, src->rec.type);
    *state = c;
    rc = owned.kind == OWNS_TREE ? copy_tree(c, until_us)
                                 : copy_blob(c, until_us);
    if (rc == NQ_OK)
        return rc;
    kept = rc == NQ_AGAIN || rc == NQ_MISS || rc == NQ_EPOOL ? keep(c) : rc;
    if (kept == NQ_OK)
        return rc;
    db_copy_end(c); /* I3, or damage */
    *state = NULL;
    return kept;
}

/* The record of the copy into *rec, its value into `b`. */
static void
make_record(const struct entry *src, const struct copying *c, struct buf *b,
            struct record *rec)
{
    uint8_t *p;

    *rec = src->rec;
    if (c != NULL && c->from.kind == OWNS_BLOB) {
        blob_ref_encode(buf_reserve(b, BLOB_REF_SIZE), &c->ref);
        b->len += BLOB_REF_SIZE;
    } else {
        buf_put_slice(b, rec->val);
    }
    if (c != NULL && c->from.kind == OWNS_TREE) {
        pgno root = btree_clone_root(c->clone);

        p = b->p + b->len - ROOT_SIZE;
        memcpy(p, &root, ROOT_SIZE);
    }
    rec->val = buf_slice(b);
}

/* The copy gets its name; from then on it is the record's. */
static nq_rc
link_copy(struct db *db, const struct db_pair *p, const struct entry *src,
          struct entry *dst, struct copying *c)
{
    struct record rec;
    struct blob_ref none = {.len = 0};
    bool was;
    nq_rc rc;

    buf_clear(&db->scratch);
    make_record(src, c, &db->scratch, &rec);
    was = db_calls_begin(db);
    rc = db_put_record(db, db_space(db, p->to_db), p->to, &rec, dst);
    db_calls_end(db, was);
    if (rc != NQ_OK || c == NULL)
        return rc;
    if (c->is_listed)
        db_free_take_off(db, made_kind(c), made_root(c));
    c->is_listed = true; /* not ours any more */
    c->ref = none;
    return NQ_OK;
}

static nq_rc
log_copy(struct db *db, const struct db_pair *p)
{
    struct buf arg = BUF_INIT;
    struct slice args[1];
    nq_rc rc;

    db_encode_target(&arg, p->to_db, p->to);
    args[0] = buf_slice(&arg);
    rc = db_log(db, p->from_db, EFFECT_COPY, p->from, args, 1);
    buf_fini(&arg);
    db_space(db, p->to_db)->changed = db_space(db, p->from_db)->changed;
    db_touch(db, p->to_db, p->to);
    db_event(db, p->to_db, EVENT_NEW, "new", p->to);
    db_event(db, p->to_db, EVENT_GENERIC, "copy_to", p->to);
    return rc;
}

nq_rc
db_copy_some(struct db *db, uint32_t from_db, struct slice from, uint32_t to_db,
             struct slice to, uint64_t budget_us, struct copying **state)
{
    struct db_pair p = {from_db, to_db, from, to};
    struct entry src = {0}, dst = {0};
    bool was;
    nq_rc rc = db_find_pair(db, &p, &src, &dst);

    if (rc != NQ_OK)
        return rc;
    if (from_db == to_db && slice_eq(from, to))
        return NQ_EINVAL;
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    if ((src.rec.flags & REC_OWNS) != 0) {
        was = db_calls_begin(db);
        rc = copy_owned(db, &src, budget_us, state);
        db_calls_end(db, was);
    }
    if (rc == NQ_OK)
        rc = link_copy(db, &p, &src, &dst, *state);
    return rc == NQ_OK ? log_copy(db, &p) : rc;
}

/* In one piece, so what misses is read on the spot. */
nq_rc
db_copy(struct db *db, uint32_t from_db, struct slice from, uint32_t to_db,
        struct slice to)
{
    struct copying *c = NULL;
    nq_rc rc;

    rc = db_copy_some(db, from_db, from, to_db, to, UINT32_MAX, &c);
    if (rc == NQ_MISS && c != NULL) {
        bool was = frames_set_blocking(db->fr, true);

        rc = db_copy_some(db, from_db, from, to_db, to, UINT32_MAX, &c);
        (void)frames_set_blocking(db->fr, was);
    }
    db_copy_end(c);
    return rc;
}

nq_rc
db_apply_copy(struct db *db, const struct wal_record *r)
{
    uint32_t to_db;
    struct slice to;
    nq_rc rc = db_decode_target(db, r->args, &to_db, &to);

    if (rc != NQ_OK)
        return rc;
    rc = db_copy_some(db, r->db, r->key, to_db, to, REPLAY_SLICE_US,
                      &db->copying);
    if (rc == NQ_AGAIN)
        return rc;
    db_copy_end(db->copying);
    db->copying = NULL;
    return rc;
}
