/* db/fields.c - the hash type: a collection of field -> value.
 *
 * The record's head is described in fields_int.h; the items' expiries are
 * those of the fields.
 *
 * Arguments of the effects:
 *
 *   HSET        u8 flags | varint ms | words: field, value, field ...
 *   HDEL        words: fields
 *   HPEXPIREAT  varint ms, 0: none | words: fields     (fields_expire.c)
 *   words       varint n | n varint lengths | their bytes
 *
 * The ms of HSET is the expiry that the fields get, 0 being none, or with
 * KEEP_TTL the moment: an expiry behind it is kept, another dropped.
 *
 *   F1  DB_FIELD_TTL is set when the first field gets an expiry, and stays;
 *       then rec.expire_ms is the earliest of the key's own and the fields'
 *   F2  keyspace.fields_only counts the records whose expiry is only one of
 *       fields
 *   F3  an effect says what became of the fields, not what the client asked
 *       for: replay has no clock, so it sees fields that were due
 *
 * Fields that are due are treated as absent by every change that meets them;
 * nothing needs to remove them first.  Called by command handlers, by replay
 * and, of fields_expire.c, by the keyspace. */
#include "db/fields.h"

#include "base/mem.h"
#include "db/fields_int.h"

#define HASHTABLE 1 /* in head[0] */
#define KEEP_TTL 1  /* in the flags of HSET */
#define FEW_WORDS 8 /* of an effect, told without the heap */
#define HEAD_MAX 11 /* bytes before them */
#define VARINT_MAX 10
#define RANDOM_TRIES 64

/* --- the record ---------------------------------------------------------- */

uint8_t
fields_head_len(const struct record *rec)
{
    return rec->flags & DB_FIELD_TTL ? FIELDS_HEAD_TTL : FIELDS_HEAD;
}

nq_rc
fields_open(struct db *db, uint32_t dbi, struct slice key, struct entry *e,
            bool found, struct coll *out)
{
    uint8_t head_len = found ? fields_head_len(&e->rec) : FIELDS_HEAD;

    return coll_open(db, dbi, key, DB_HASH, e, found, head_len, out);
}

const char *
fields_encoding(const struct entry *e)
{
    struct slice head;

    if (coll_record_head(&e->rec, &head, FIELDS_HEAD) && head.p[0] == HASHTABLE)
        return "hashtable";
    return e->rec.flags & DB_FIELD_TTL ? "listpackex" : "listpack";
}

/* --- reading ------------------------------------------------------------- */

nq_rc
fields_get(struct coll *c, struct slice field, struct item *out)
{
    nq_rc rc = coll_get(c, field, out);

    if (rc == NQ_OK && nq_unlikely(fields_is_due(c, out))) {
        db_note_due(c->db, c->dbi, c->key);
        return NQ_NOTFOUND;
    }
    return rc;
}

nq_rc
fields_count(struct coll *c, uint64_t *out)
{
    uint64_t due = 0;
    nq_rc rc = NQ_OK;

    if (c->flags & DB_FIELD_TTL && !c->db->is_replaying)
        rc = coll_count_due(c, c->db->now_ms, &due);
    if (due > 0)
        db_note_due(c->db, c->dbi, c->key);
    *out = c->count - nq_min(due, c->count);
    return rc;
}

/* Stands on field number n of those that are not due. */
static nq_rc
living_nth(struct coll_cursor *cu, uint64_t n)
{
    struct item it;
    nq_rc rc = coll_first(cu);

    while (rc == NQ_OK && cu->valid) {
        if ((rc = coll_item(cu, &it)) != NQ_OK)
            return rc;
        if (!fields_is_due(cu->c, &it) && n-- == 0)
            return NQ_OK;
        rc = coll_next(cu);
    }
    return rc == NQ_OK ? NQ_NOTFOUND : rc;
}

nq_rc
fields_random(struct coll_cursor *cu, struct rng *rng)
{
    struct coll *c = cu->c;
    uint64_t living;
    struct item it;
    nq_rc rc;

    for (unsigned i = 0; i < RANDOM_TRIES && c->count > 0; i++) {
        if ((rc = coll_nth(cu, rng_below(rng, c->count))) != NQ_OK ||
            (rc = coll_item(cu, &it)) != NQ_OK)
            return rc;
        if (!fields_is_due(c, &it))
            return NQ_OK;
    }
    /* Nearly all of them are due. */
    if ((rc = fields_count(c, &living)) != NQ_OK)
        return rc;
    return living == 0 ? NQ_NOTFOUND : living_nth(cu, rng_below(rng, living));
}

/* --- committing ---------------------------------------------------------- */

/* The arguments of an effect: `head`, then the words. */
struct telling {
    uint8_t few_bytes[HEAD_MAX + (1 + FEW_WORDS) * VARINT_MAX];
    struct slice few[1 + FEW_WORDS];
    uint8_t *bytes;
    struct slice *args;
    unsigned nargs;
};

static inline uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static void
tell_begin(struct telling *t, struct slice head, const struct slice *words,
           uint32_t n)
{
    uint8_t *p;

    nq_assert(head.len <= HEAD_MAX);
    t->nargs = 1 + n;
    t->args = t->few;
    t->bytes = t->few_bytes;
    if (nq_unlikely(n > FEW_WORDS)) {
        t->args = nq_malloc(t->nargs * sizeof *t->args);
        t->bytes = nq_malloc(HEAD_MAX + (size_t)t->nargs * VARINT_MAX);
    }
    memcpy(t->bytes, head.p, head.len);
    p = put_varint(t->bytes + head.len, n);
    for (uint32_t i = 0; i < n; i++) {
        p = put_varint(p, words[i].len);
        t->args[1 + i] = words[i];
    }
    t->args[0] = slice_of(t->bytes, (size_t)(p - t->bytes));
}

static void
tell_end(struct telling *t)
{
    if (nq_likely(t->args == t->few))
        return;
    nq_free(t->args);
    nq_free(t->bytes);
}

/* F2: whether the record that stands in the keyspace is one of those. */
static bool
is_fields_only(const struct coll *c)
{
    const struct entry *e = c->entry;

    return e->finger.found && (e->rec.flags & DB_FIELD_TTL) != 0 &&
           e->rec.expire_ms != 0 && fields_own_expiry(c) == 0;
}

nq_rc
fields_commit(struct coll *c, uint8_t effect, struct slice head,
              const struct slice *words, uint32_t n, const char *event)
{
    struct keyspace *ks = db_space(c->db, c->dbi);
    bool was_only = is_fields_only(c), is_gone = false;
    uint64_t earliest = 0, own;
    struct telling t;
    nq_rc rc = NQ_OK;

    if (c->flags & DB_FIELD_TTL) {
        own = fields_own_expiry(c);
        rc = coll_earliest(c, &earliest);
        c->expire_ms =
            own == 0 || (earliest != 0 && earliest < own) ? earliest : own;
    }
    if (rc != NQ_OK)
        return rc;
    tell_begin(&t, head, words, n);
    rc = coll_commit(c, effect, t.args, t.nargs, &is_gone);
    tell_end(&t);
    ks->fields_only += (uint64_t)is_fields_only(c) - (uint64_t)was_only;
    if (rc != NQ_OK)
        return rc;
    db_event(c->db, c->dbi, EVENT_HASH, event, c->key);
    if (is_gone)
        db_event(c->db, c->dbi, EVENT_GENERIC, "del", c->key);
    return NQ_OK;
}

/* --- HSET ---------------------------------------------------------------- */

/* What one HSET does to the fields. */
struct setting {
    const struct slice *pairs;
    uint32_t n;
    uint8_t flags;  /* of the effect */
    uint64_t at_ms; /* the same */
    const char *event;
    uint64_t added;
    uint32_t done; /* pairs that were put */
};

static nq_rc
check_pairs(const struct setting *s)
{
    for (uint32_t i = 0; i < 2 * s->n; i += 2)
        if (s->pairs[i].len > BTREE_MAX_KEY)
            return NQ_EKEYLEN;
    return NQ_OK;
}

static nq_rc
want_pairs(struct coll *c, const struct setting *s)
{
    nq_rc rc = NQ_OK;

    for (uint32_t i = 0; c->is_tree && i < 2 * s->n; i += 2) {
        nq_rc one = coll_want(c, &s->pairs[i], 1);

        if (one != NQ_OK && one != NQ_MISS)
            return one;
        if (one == NQ_MISS)
            rc = one;
    }
    return rc;
}

/* Thresholds of OBJECT ENCODING: never back. */
static void
follow_limits(struct coll *c, const struct setting *s)
{
    const struct db_limits *l = &c->db->limits;

    if (c->head[0] == HASHTABLE)
        return;
    if (c->count > l->hash_max_listpack_entries)
        c->head[0] = HASHTABLE;
    for (uint32_t i = 0; i < 2 * s->done; i++)
        if (s->pairs[i].len > l->hash_max_listpack_value)
            c->head[0] = HASHTABLE;
}

static nq_rc
put_pair(struct coll *c, struct setting *s)
{
    const struct slice *pair = &s->pairs[2 * s->done];
    uint64_t expire_ms = s->flags & KEEP_TTL ? 0 : s->at_ms;
    bool is_new, was_due = false;
    struct item it;
    nq_rc rc;

    if (nq_unlikely((c->flags & DB_FIELD_TTL) != 0)) {
        rc = coll_get(c, pair[0], &it);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        was_due = rc == NQ_OK && fields_is_due(c, &it);
        if (rc == NQ_OK && s->flags & KEEP_TTL && it.expire_ms > s->at_ms)
            expire_ms = it.expire_ms;
    }
    rc = coll_put(c, pair[0], pair[1], expire_ms, &is_new);
    if (rc != NQ_OK)
        return rc;
    s->added += is_new || was_due;
    s->done++;
    return NQ_OK;
}

/* What fails half way leaves a part, and the log says which. */
static nq_rc
put_pairs(struct coll *c, struct setting *s)
{
    uint8_t head[HEAD_MAX];
    nq_rc rc = NQ_OK, committed;

    if (s->at_ms != 0 && !(s->flags & KEEP_TTL))
        fields_note_ttl(c);
    while (rc == NQ_OK && s->done < s->n)
        rc = put_pair(c, s);
    if (s->done == 0)
        return rc;
    follow_limits(c, s);
    head[0] = s->flags;
    committed = fields_commit(
        c, EFFECT_HSET, slice_of(head, 1 + varint_encode(head + 1, s->at_ms)),
        s->pairs, 2 * s->done, s->event);
    return rc != NQ_OK ? rc : committed;
}

static nq_rc
set_fields(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
           bool found, struct setting *s)
{
    struct coll c;
    nq_rc rc = check_pairs(s);

    if (rc != NQ_OK)
        return rc;
    rc = fields_open(db, dbi, key, old, found, &c);
    if (rc == NQ_OK)
        rc = want_pairs(&c, s);
    if (rc == NQ_OK)
        rc = coll_begin(&c);
    if (rc == NQ_OK)
        rc = put_pairs(&c, s);
    coll_close(&c);
    return rc;
}

nq_rc
fields_set(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
           bool found, const struct slice *pairs, uint32_t n,
           uint64_t expire_ms, const char *event, uint64_t *added)
{
    bool keeps = expire_ms == FIELDS_KEEP_TTL;
    struct setting s = {.pairs = pairs,
                        .n = n,
                        .flags = keeps ? KEEP_TTL : 0,
                        .at_ms =
                            keeps ? db->now_ms : nq_min(expire_ms, DB_FOREVER),
                        .event = event};
    nq_rc rc = set_fields(db, dbi, key, old, found, &s);

    *added = s.added;
    return rc;
}

/* --- HDEL ---------------------------------------------------------------- */

/* What one HDEL does: `gone` has room for all fields. */
struct deleting {
    struct slice *gone;
    uint32_t n_gone;
    uint64_t removed; /* of them were not due */
};

static nq_rc
del_one(struct coll *c, struct slice field, struct deleting *d)
{
    bool was_due = false;
    struct item it;
    nq_rc rc;

    if (c->flags & DB_FIELD_TTL) {
        if ((rc = coll_get(c, field, &it)) != NQ_OK)
            return rc == NQ_NOTFOUND ? NQ_OK : rc;
        was_due = fields_is_due(c, &it);
    }
    if ((rc = coll_del(c, field)) != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    d->gone[d->n_gone++] = field;
    d->removed += !was_due;
    return NQ_OK;
}

static nq_rc
del_fields(struct coll *c, const struct slice *fields, uint32_t n,
           const char *event, struct deleting *d)
{
    nq_rc rc = NQ_OK, committed;

    for (uint32_t i = 0; i < n && rc == NQ_OK; i++)
        rc = del_one(c, fields[i], d);
    if (d->n_gone == 0)
        return rc;
    committed = fields_commit(c, EFFECT_HDEL, slice_lit(""), d->gone, d->n_gone,
                              d->removed > 0 ? event : "hexpired");
    return rc != NQ_OK ? rc : committed;
}

nq_rc
fields_del(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
           const struct slice *fields, uint32_t n, const char *event,
           uint64_t *removed)
{
    struct slice few[FEW_WORDS];
    struct deleting d = {
        .gone = n <= FEW_WORDS ? few : nq_malloc(n * sizeof *d.gone)};
    struct coll c;
    nq_rc rc = fields_open(db, dbi, key, old, true, &c);

    if (rc == NQ_OK)
        rc = coll_want(&c, fields, n);
    if (rc == NQ_OK)
        rc = coll_begin(&c);
    if (rc == NQ_OK) {
        c.may_pack = true;
        rc = del_fields(&c, fields, n, event, &d);
    }
    coll_close(&c);
    if (d.gone != few)
        nq_free(d.gone);
    *removed = d.removed;
    return rc;
}

/* --- replay -------------------------------------------------------------- */

nq_rc
fields_find_replayed(struct db *db, const struct wal_record *r, struct entry *e)
{
    nq_rc rc = db_find_write(db, r->db, r->key, e);

    if (rc == NQ_OK && e->rec.type != DB_HASH)
        return NQ_ECORRUPT;
    return rc;
}

nq_rc
fields_words_decode(struct cursor *in, struct slice **words, uint32_t *n)
{
    uint64_t count = 0, len = 0;
    struct cursor lens;

    *words = NULL;
    *n = 0;
    cursor_get_varint(in, &count);
    if (!cursor_ok(in) || count > cursor_left(in))
        return NQ_EFORMAT;
    lens = *in;
    for (uint64_t i = 0; i < count; i++)
        cursor_get_varint(in, &len);
    *n = (uint32_t)count;
    *words = nq_malloc((count + 1) * sizeof **words);
    for (uint64_t i = 0; i < count; i++) {
        cursor_get_varint(&lens, &len);
        cursor_get_bytes(in, len, &(*words)[i]);
    }
    if (cursor_ok(in) && cursor_left(in) == 0)
        return NQ_OK;
    nq_free(*words);
    *words = NULL;
    return NQ_EFORMAT;
}

nq_rc
fields_apply_hset(struct db *db, const struct wal_record *r)
{
    struct cursor in = cursor_of(r->args);
    struct setting s = {.event = NULL};
    struct entry e = {0};
    struct slice *words;
    nq_rc rc, found;

    cursor_get_u8(&in, &s.flags);
    cursor_get_varint(&in, &s.at_ms);
    if ((rc = fields_words_decode(&in, &words, &s.n)) != NQ_OK)
        return rc;
    found = fields_find_replayed(db, r, &e);
    s.pairs = words;
    s.n /= 2;
    if (found == NQ_OK || found == NQ_NOTFOUND)
        rc = set_fields(db, r->db, r->key, &e, found == NQ_OK, &s);
    else
        rc = found;
    nq_free(words);
    return rc;
}

nq_rc
fields_apply_hdel(struct db *db, const struct wal_record *r)
{
    struct cursor in = cursor_of(r->args);
    struct entry e = {0};
    struct slice *words;
    uint64_t removed;
    uint32_t n;
    nq_rc rc = fields_words_decode(&in, &words, &n);

    if (rc != NQ_OK)
        return rc;
    rc = fields_find_replayed(db, r, &e);
    if (rc == NQ_OK)
        rc = fields_del(db, r->db, r->key, &e, words, n, NULL, &removed);
    nq_free(words);
    return rc;
}
