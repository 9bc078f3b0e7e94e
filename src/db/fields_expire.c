/* db/fields_expire.c - fields that expire, and what the keyspace has to know
 * about them.
 *
 * A hash with DB_FIELD_TTL stands in the keyspace's tree with the earliest
 * expiry of all: so the cycle that looks for due keys (expire.c) finds it when
 * a field is due, and fields_remove_due() takes a few of them away.  Then the
 * record says when the next one is.
 *
 * Called by command handlers, by replay, by db.c and expire.c. */
#include "base/mem.h"
#include "db/fields_int.h"
#include "store/corrupt.h"

#define REMOVE_MAX 32 /* due fields that are removed at once */
#define LOOK_MAX 256  /* fields looked at for them */

/* --- the key's own expiry ------------------------------------------------ */

static uint64_t
head_expiry(const uint8_t *head)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < FIELDS_HEAD_TTL - FIELDS_HEAD; i++)
        v |= (uint64_t)head[FIELDS_HEAD + i] << (8 * i);
    return v;
}

static void
head_set_expiry(uint8_t *head, uint64_t expire_ms)
{
    for (unsigned i = 0; i < FIELDS_HEAD_TTL - FIELDS_HEAD; i++)
        head[FIELDS_HEAD + i] = (uint8_t)(expire_ms >> (8 * i));
}

uint64_t
fields_own_expiry(const struct coll *c)
{
    return c->flags & DB_FIELD_TTL ? head_expiry(c->head) : c->expire_ms;
}

uint64_t
fields_expiry(const struct record *rec)
{
    struct slice head;

    return coll_record_head(rec, &head, FIELDS_HEAD_TTL) ? head_expiry(head.p)
                                                         : 0;
}

void
fields_note_ttl(struct coll *c)
{
    if (c->flags & DB_FIELD_TTL)
        return;
    head_set_expiry(c->head, c->expire_ms);
    c->flags |= DB_FIELD_TTL;
    c->head_len = FIELDS_HEAD_TTL;
}

/* The sooner of two expiries, 0 being none. */
static uint64_t
sooner(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The record with its value where it may be changed. */
static void
copy_record(struct db *db, const struct entry *e, struct record *out)
{
    buf_clear(&db->scratch);
    buf_put_slice(&db->scratch, e->rec.val);
    *out = e->rec;
    out->val = buf_slice(&db->scratch);
}

nq_rc
fields_with_expiry(struct db *db, uint32_t dbi, struct slice key,
                   struct entry *e, uint64_t expire_ms, struct record *out)
{
    uint64_t earliest = 0;
    struct slice head;
    struct coll c;
    nq_rc rc = fields_open(db, dbi, key, e, true, &c);

    if (rc == NQ_OK)
        rc = coll_earliest(&c, &earliest);
    coll_close(&c);
    if (rc != NQ_OK)
        return rc;
    copy_record(db, e, out);
    if (!coll_record_head(out, &head, FIELDS_HEAD_TTL))
        return NQ_ECORRUPT;
    head_set_expiry(db->scratch.p + (head.p - out->val.p), expire_ms);
    out->expire_ms = sooner(expire_ms, earliest);
    return NQ_OK;
}

/* --- HPEXPIREAT ---------------------------------------------------------- */

/* One expiry for some fields; `changed` has room for all of them. */
struct expiring {
    uint64_t at_ms; /* 0: none */
    unsigned when;
    bool is_past; /* the fields are deleted */
    struct slice *changed;
    uint32_t n_changed;
};

static bool
is_wanted(const struct expiring *x, uint64_t now)
{
    if ((x->when & FIELDS_NX) != 0 && now != 0)
        return false;
    if ((x->when & FIELDS_XX) != 0 && now == 0)
        return false;
    if ((x->when & FIELDS_GT) != 0 && (now == 0 || x->at_ms <= now))
        return false;
    return (x->when & FIELDS_LT) == 0 || now == 0 || x->at_ms < now;
}

static nq_rc
expire_one(struct coll *c, struct slice field, struct expiring *x,
           enum fields_result *result)
{
    struct item it;
    nq_rc rc = fields_get(c, field, &it);

    *result = FIELDS_ABSENT;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    *result = x->at_ms == 0 ? FIELDS_NO_TTL : FIELDS_REFUSED;
    if (x->at_ms == 0 ? it.expire_ms == 0 : !is_wanted(x, it.expire_ms))
        return NQ_OK;
    rc = x->is_past ? coll_del(c, field) : coll_set_expire(c, field, x->at_ms);
    if (rc != NQ_OK)
        return rc;
    x->changed[x->n_changed++] = field;
    *result = x->is_past ? FIELDS_DELETED : FIELDS_DONE;
    return NQ_OK;
}

static nq_rc
expire_fields(struct coll *c, const struct slice *fields, uint32_t n,
              struct expiring *x, enum fields_result *results)
{
    uint8_t head[10];
    nq_rc rc = NQ_OK, committed;

    if (x->at_ms != 0 && !x->is_past)
        fields_note_ttl(c);
    for (uint32_t i = 0; i < n && rc == NQ_OK; i++)
        rc = expire_one(c, fields[i], x, &results[i]);
    if (x->n_changed == 0)
        return rc;
    if (x->is_past)
        committed = fields_commit(c, EFFECT_HDEL, slice_lit(""), x->changed,
                                  x->n_changed, "hdel");
    else
        committed = fields_commit(
            c, EFFECT_HPEXPIREAT, slice_of(head, varint_encode(head, x->at_ms)),
            x->changed, x->n_changed, x->at_ms == 0 ? "hpersist" : "hexpire");
    return rc != NQ_OK ? rc : committed;
}

nq_rc
fields_expire(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
              const struct slice *fields, uint32_t n, uint64_t expire_ms,
              unsigned when, enum fields_result *results)
{
    struct expiring x = {
        .at_ms = nq_min(expire_ms, DB_FOREVER),
        .when = when,
        .is_past =
            expire_ms != 0 && expire_ms <= db->now_ms && !db->is_replaying,
        .changed = nq_malloc((n + 1) * sizeof *x.changed),
    };
    struct coll c;
    nq_rc rc = fields_open(db, dbi, key, old, true, &c);

    if (rc == NQ_OK)
        rc = coll_want(&c, fields, n);
    if (rc == NQ_OK)
        rc = coll_begin(&c);
    if (rc == NQ_OK)
        rc = expire_fields(&c, fields, n, &x, results);
    coll_close(&c);
    nq_free(x.changed);
    return rc;
}

nq_rc
fields_apply_hpexpireat(struct db *db, const struct wal_record *r)
{
    struct cursor in = cursor_of(r->args);
    enum fields_result *results = NULL;
    struct slice *words = NULL;
    struct entry e = {0};
    uint64_t at_ms = 0;
    uint32_t n;
    nq_rc rc;

    cursor_get_varint(&in, &at_ms);
    if ((rc = fields_words_decode(&in, &words, &n)) != NQ_OK)
        return rc;
    results = nq_malloc((n + 1) * sizeof *results);
    rc = fields_find_replayed(db, r, &e);
    if (rc == NQ_OK)
        rc = fields_expire(db, r->db, r->key, &e, words, n, at_ms, 0, results);
    nq_free(results);
    nq_free(words);
    return rc;
}

/* --- what is due --------------------------------------------------------- */

nq_rc
fields_all_due(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
               bool *out)
{
    struct coll_cursor cu;
    struct coll c;
    struct item it;
    nq_rc rc = fields_open(db, dbi, key, e, true, &c);

    *out = true;
    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = coll_first(&cu);
    while (rc == NQ_OK && cu.valid && *out) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        *out = fields_is_due(&c, &it);
        if (*out)
            rc = coll_next(&cu);
    }
    coll_cursor_fini(&cu);
    coll_close(&c);
    return rc;
}

/* Names of due fields, as words: one that the tree finds, and some of those
 * behind it.  NQ_MISS before any. */
static nq_rc
gather_due(struct coll *c, struct buf *names, uint32_t *n)
{
    struct coll_cursor cu;
    struct item it;
    nq_rc rc;

    coll_cursor_init(&cu, c);
    rc = coll_seek_due(&cu, c->db->now_ms);
    for (unsigned i = 0; rc == NQ_OK && cu.valid && i < LOOK_MAX; i++) {
        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        if (fields_is_due(c, &it)) {
            buf_put_varint(names, it.key.len);
            buf_put_slice(names, it.key);
            if (++*n == REMOVE_MAX)
                break;
        }
        rc = coll_next(&cu);
    }
    coll_cursor_fini(&cu);
    return rc == NQ_MISS && *n > 0 ? NQ_OK : rc;
}

static nq_rc
remove_gathered(struct coll *c, struct slice names, uint32_t n)
{
    struct cursor in = cursor_of(names);
    struct slice gone[REMOVE_MAX];
    nq_rc rc = coll_begin(c);

    if (rc != NQ_OK)
        return rc;
    c->may_pack = true;
    for (uint32_t i = 0; i < n && rc == NQ_OK; i++) {
        cursor_get_slice(&in, &gone[i]);
        rc = coll_del(c, gone[i]);
        if (rc != NQ_OK)
            n = i;
    }
    if (n > 0) {
        nq_rc committed =
            fields_commit(c, EFFECT_HDEL, slice_lit(""), gone, n, "hexpired");

        rc = rc != NQ_OK ? rc : committed;
    }
    return rc;
}

nq_rc
fields_remove_due(struct db *db, uint32_t dbi, struct slice key,
                  struct entry *e)
{
    bool had_effects = db->has_effects;
    struct buf names = coll_take_buf(db);
    uint32_t n = 0;
    struct coll c;
    nq_rc rc = fields_open(db, dbi, key, e, true, &c);

    if (rc == NQ_OK)
        rc = gather_due(&c, &names, &n);
    if (rc == NQ_OK && n > 0)
        rc = remove_gathered(&c, buf_slice(&names), n);
    else if (rc == NQ_OK)
        rc = NQ_CORRUPT("a hash has no field that is due at %llu",
                        (unsigned long long)c.expire_ms);
    coll_close(&c);
    coll_give_buf(db, &names);
    /* Not effects of a command: doing it again finds it done. */
    db->has_effects = had_effects;
    return rc;
}

/* The log takes part because a page that changes without it would hold back
 * replies; replay finds nothing to do but what the record says anyway. */
nq_rc
fields_postpone(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
                uint64_t until_ms)
{
    uint64_t own = fields_expiry(&e->rec);
    static const uint8_t no_fields[2] = {0, 0};
    struct slice args[1] = {{no_fields, sizeof no_fields}};
    bool had_effects = db->has_effects;
    struct record rec;
    nq_rc rc;

    copy_record(db, e, &rec);
    rec.expire_ms = sooner(until_ms, own);
    rc = db_put(db, dbi, key, &rec, e, EFFECT_HPEXPIREAT, args, 1);
    db->has_effects = had_effects;
    return rc;
}
