/* db/cover.c - ranges of keys whose changes are told.
 *
 *   COVER    (key: lo) u8 has_hi | varint since | hi
 *   UNCOVER  (key: lo) u8 has_hi | hi
 *   catalog  "covers": { varint db | slice lo | u8 has_hi | slice hi |
 *            varint since }
 *
 * Covers stand in an array by database, lo and hi.  What a key is looked up in
 * is made of it when it is asked the first time after a change: per database
 * the pieces, which do not overlap, by rising key:
 *
 *   I1  a piece says since when all changes of its keys have been told: the
 *       least of the covers that it is a part of
 *   I2  los[i] is made of the 8 bytes of piece i's lo behind `prefix`, which
 *       all of them begin with, his[i] the same of its hi: most keys are told
 *       apart by these alone.  A hi that does not begin with the prefix is
 *       above all keys that do, and UINT64_MAX
 *
 * Called by db for each key that is written, by cmd/changes and by replay. */
#include "db/cover.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/long_value.h"

#define CATALOG_NAME "covers"
#define BYTES_MAX (8u << 20) /* of all ranges: they go into the catalog */

struct cover {
    struct key_range range; /* its slices are in `bytes` */
    lsn since;
    uint32_t users;
    uint64_t idle_ms; /* when the last of them went; 0: not known yet */
    uint8_t bytes[];
};

struct piece {
    struct slice lo, hi; /* of the covers */
    bool has_hi;
    lsn since;
};

struct pieces {
    struct piece *at;
    uint64_t *los, *his;
    uint32_t count, cap;
    struct slice prefix;
};

struct cover_table {
    struct cover **at;
    uint32_t count, cap;
    uint64_t bytes;
    struct pieces *spaces; /* one a database */
    bool is_stale;         /* the pieces are those of before a change */
};

/* --- ranges --------------------------------------------------------------- */

bool
key_range_has(const struct key_range *r, uint32_t db, struct slice key)
{
    return r->db == db && slice_cmp(r->lo, key) <= 0 &&
           (!r->has_hi || slice_cmp(key, r->hi) < 0);
}

/* Upper ends: none is above all others. */
static int
hi_cmp(bool has_a, struct slice a, bool has_b, struct slice b)
{
    if (has_a && has_b)
        return slice_cmp(a, b);
    return (int)has_b - (int)has_a;
}

static int
range_cmp(const struct key_range *a, const struct key_range *b)
{
    int c = a->db < b->db ? -1 : a->db > b->db;

    if (c == 0)
        c = slice_cmp(a->lo, b->lo);
    return c != 0 ? c : hi_cmp(a->has_hi, a->hi, b->has_hi, b->hi);
}

/* --- pieces --------------------------------------------------------------- */

static void
insert_piece(struct pieces *s, uint32_t i, const struct piece *p)
{
    if (s->count == s->cap) {
        s->cap = nq_max(8u, 2 * s->cap);
        s->at = nq_realloc(s->at, s->cap * sizeof *s->at);
        s->los = nq_realloc(s->los, s->cap * sizeof *s->los);
        s->his = nq_realloc(s->his, s->cap * sizeof *s->his);
    }
    memmove(s->at + i + 1, s->at + i, (s->count - i) * sizeof *s->at);
    s->at[i] = *p;
    s->count++;
}

/* Piece i ends at `at`, and another like it goes on from there. */
static void
split_piece(struct pieces *s, uint32_t i, struct slice at)
{
    struct piece rest = s->at[i];

    s->at[i].hi = at;
    s->at[i].has_hi = true;
    rest.lo = at;
    insert_piece(s, i + 1, &rest);
}

/* Adds a cover; those before it begin at or below its lo. */
static void
paint(struct pieces *s, const struct cover *c)
{
    const struct key_range *r = &c->range;
    struct piece fresh = {r->lo, r->hi, r->has_hi, c->since};
    uint32_t i = s->count;

    while (i > 0 &&
           (!s->at[i - 1].has_hi || slice_cmp(s->at[i - 1].hi, r->lo) > 0))
        i--;
    for (; i < s->count; i++) {
        struct piece *p = &s->at[i];

        if (r->has_hi && slice_cmp(p->lo, r->hi) >= 0)
            return;
        if (p->since > c->since) {
            if (slice_cmp(p->lo, r->lo) < 0) {
                split_piece(s, i, r->lo);
                continue;
            }
            if (r->has_hi && hi_cmp(p->has_hi, p->hi, true, r->hi) > 0)
                split_piece(s, i, r->hi);
            s->at[i].since = c->since;
        }
        if (!s->at[i].has_hi)
            return;
        fresh.lo = s->at[i].hi;
    }
    if (!r->has_hi || slice_cmp(fresh.lo, r->hi) < 0)
        insert_piece(s, i, &fresh);
}

/* The 8 bytes behind the first `skip`, as a number in their order. */
static inline uint64_t
head_of(struct slice key, size_t skip)
{
    uint64_t head = 0;
    size_t n = key.len - skip;

    if (nq_likely(n >= sizeof head)) {
        memcpy(&head, key.p + skip, sizeof head);
        return __builtin_bswap64(head);
    }
    for (size_t i = 0; i < sizeof head; i++)
        head = head << 8 | (i < n ? key.p[skip + i] : 0);
    return head;
}

static uint64_t
hi_head(const struct pieces *s, const struct piece *p)
{
    return p->has_hi && slice_has_prefix(p->hi, s->prefix)
               ? head_of(p->hi, s->prefix.len)
               : UINT64_MAX;
}

static void
make_heads(struct pieces *s)
{
    size_t n = 0;
    struct slice a, b;

    s->prefix = slice_lit("");
    if (s->count == 0)
        return;
    a = s->at[0].lo;
    b = s->at[s->count - 1].lo;
    while (n < nq_min(a.len, b.len) && a.p[n] == b.p[n])
        n++;
    s->prefix = slice_of(a.p, n);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct piece *p = &s->at[i];

        s->los[i] = head_of(p->lo, n);
        s->his[i] = hi_head(s, p);
    }
}

static void
rebuild(struct db *db)
{
    struct cover_table *t = db->covers;

    for (uint32_t i = 0; i < db->count; i++)
        t->spaces[i].count = 0;
    for (uint32_t i = 0; i < t->count; i++)
        paint(&t->spaces[t->at[i]->range.db], t->at[i]);
    for (uint32_t i = 0; i < db->count; i++)
        make_heads(&t->spaces[i]);
    t->is_stale = false;
}

static const struct pieces *
pieces_of(struct db *db, uint32_t dbi)
{
    static const struct pieces none;

    if (db->covers == NULL || dbi >= db->count)
        return &none;
    if (nq_unlikely(db->covers->is_stale))
        rebuild(db);
    return &db->covers->spaces[dbi];
}

/* How many of the sorted numbers are at most `n`.  Without branches: which way
 * a step goes cannot be predicted. */
static inline uint32_t
count_up_to(const uint64_t *at, uint32_t count, uint64_t n)
{
    const uint64_t *from = at;

    while (count > 0) {
        uint32_t half = (count + 1) / 2;

        from += from[half - 1] <= n ? half : 0;
        count -= half;
    }
    return (uint32_t)(from - at);
}

/* How many pieces begin at or below the key; *head: what it is told apart by,
 * if it begins with the prefix, else UINT64_MAX. */
static inline uint32_t
pieces_up_to(const struct pieces *s, struct slice key, uint64_t *head)
{
    size_t n = nq_min(s->prefix.len, key.len);
    int c = n == 0 ? 0 : memcmp(key.p, s->prefix.p, n);
    uint32_t i;

    *head = UINT64_MAX;
    if (c != 0 || n < s->prefix.len)
        return c > 0 ? s->count : 0;
    *head = head_of(key, n);
    i = count_up_to(s->los, s->count, *head);
    while (i > 0 && s->los[i - 1] == *head &&
           slice_cmp(s->at[i - 1].lo, key) > 0)
        i--;
    return i;
}

/* Whether the piece that begins at or below the key goes on to it. */
static inline bool
reaches(const struct pieces *s, uint32_t i, struct slice key, uint64_t head)
{
    const struct piece *p = &s->at[i];

    if (nq_likely(head != s->his[i] && head != UINT64_MAX))
        return head < s->his[i];
    return !p->has_hi || slice_cmp(key, p->hi) < 0;
}

bool
cover_has(struct db *db, uint32_t dbi, struct slice key)
{
    const struct pieces *s = pieces_of(db, dbi);
    uint64_t head;
    uint32_t i = pieces_up_to(s, key, &head);

    return i > 0 && reaches(s, i - 1, key, head);
}

bool
cover_meets(struct db *db, const struct key_range *r)
{
    const struct pieces *s = pieces_of(db, r->db);
    uint64_t head;
    uint32_t i = pieces_up_to(s, r->lo, &head);

    if (i > 0 && reaches(s, i - 1, r->lo, head))
        return true;
    return i < s->count && (!r->has_hi || slice_cmp(s->at[i].lo, r->hi) < 0);
}

nq_rc
db_cover_since(struct db *db, const struct key_range *r, lsn *out)
{
    const struct pieces *s = pieces_of(db, r->db);
    uint64_t head;
    uint32_t i = pieces_up_to(s, r->lo, &head);
    struct slice at = r->lo;

    *out = 0;
    for (i -= i > 0; i < s->count; i++) {
        const struct piece *p = &s->at[i];

        if (slice_cmp(p->lo, at) > 0 ||
            (p->has_hi && slice_cmp(p->hi, at) <= 0))
            break;
        *out = nq_max(*out, p->since);
        if (hi_cmp(p->has_hi, p->hi, r->has_hi, r->hi) >= 0)
            return NQ_OK;
        at = p->hi;
    }
    return NQ_NOTFOUND;
}

/* --- the table ------------------------------------------------------------ */

static struct cover_table *
table_of(struct db *db)
{
    struct cover_table *t = db->covers;

    if (t == NULL) {
        t = db->covers = nq_calloc(1, sizeof *t);
        t->spaces = nq_calloc(db->count, sizeof *t->spaces);
    }
    return t;
}

void
db_close_covers(struct db *db)
{
    struct cover_table *t = db->covers;

    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->count; i++)
        nq_free(t->at[i]);
    for (uint32_t i = 0; i < db->count; i++) {
        nq_free(t->spaces[i].at);
        nq_free(t->spaces[i].los);
        nq_free(t->spaces[i].his);
    }
    nq_free(t->spaces);
    nq_free(t->at);
    nq_free(t);
    db->covers = NULL;
}

static uint32_t
position(const struct cover_table *t, const struct key_range *r, bool *found)
{
    uint32_t lo = 0, hi = t == NULL ? 0 : t->count;

    *found = false;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = range_cmp(&t->at[mid]->range, r);

        *found |= c == 0;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct cover *
cover_new(const struct key_range *r, lsn since)
{
    size_t hi = r->has_hi ? r->hi.len : 0;
    struct cover *c = nq_calloc(1, sizeof *c + r->lo.len + hi);

    if (r->lo.len > 0)
        memcpy(c->bytes, r->lo.p, r->lo.len);
    if (hi > 0)
        memcpy(c->bytes + r->lo.len, r->hi.p, hi);
    c->range = (struct key_range){.db = r->db,
                                  .lo = slice_of(c->bytes, r->lo.len),
                                  .hi = slice_of(c->bytes + r->lo.len, hi),
                                  .has_hi = r->has_hi};
    c->since = since;
    return c;
}

/* The heads of piece i, which is new, if the prefix is still that of all. */
static void
add_head(struct pieces *s, uint32_t i)
{
    const struct piece *p = &s->at[i];
    size_t behind = s->count - 1 - i, n = s->prefix.len;

    if (s->count < 3 || !slice_has_prefix(p->lo, s->prefix)) {
        make_heads(s);
        return;
    }
    memmove(s->los + i + 1, s->los + i, behind * sizeof *s->los);
    memmove(s->his + i + 1, s->his + i, behind * sizeof *s->his);
    s->los[i] = head_of(p->lo, n);
    s->his[i] = hi_head(s, p);
}

/* A range that none of the others meets is a piece of its own; all stay as
 * they are, so thousands of covers are taken one by one in no time.  False: it
 * meets one. */
static bool
add_piece(struct db *db, const struct cover *c)
{
    const struct key_range *r = &c->range;
    struct pieces *s = &db->covers->spaces[r->db];
    struct piece fresh = {r->lo, r->hi, r->has_hi, c->since};
    uint64_t head;
    uint32_t i;

    if (cover_meets(db, r))
        return false;
    i = pieces_up_to(s, r->lo, &head);
    insert_piece(s, i, &fresh);
    add_head(s, i);
    return true;
}

static uint64_t
bytes_of(const struct cover *c)
{
    return c->range.lo.len + c->range.hi.len;
}

/* At place i, where no such range is yet. */
static struct cover *
insert(struct db *db, uint32_t i, const struct key_range *r, lsn since)
{
    struct cover_table *t = table_of(db);

    if (t->count == t->cap) {
        t->cap = nq_max(8u, 2 * t->cap);
        t->at = nq_realloc(t->at, t->cap * sizeof(struct cover *));
    }
    memmove(t->at + i + 1, t->at + i, (t->count - i) * sizeof(struct cover *));
    t->at[i] = cover_new(r, since);
    t->count++;
    t->bytes += bytes_of(t->at[i]);
    if (t->is_stale || !add_piece(db, t->at[i]))
        t->is_stale = true;
    return t->at[i];
}

/* Pieces borrow from covers: none may be looked at before they are made anew.
 * The last cover takes the table along. */
static void
remove_at(struct db *db, uint32_t i)
{
    struct cover_table *t = db->covers;

    t->bytes -= bytes_of(t->at[i]);
    nq_free(t->at[i]);
    t->count--;
    memmove(t->at + i, t->at + i + 1, (t->count - i) * sizeof(struct cover *));
    t->is_stale = true;
    if (t->count == 0)
        db_close_covers(db);
}

/* --- users ---------------------------------------------------------------- */

static nq_rc
log_cover(struct db *db, const struct key_range *r, lsn since)
{
    uint8_t head[11] = {r->has_hi};
    struct slice args[2] = {{head, 1 + varint_encode(head + 1, since)},
                            r->has_hi ? r->hi : slice_lit("")};

    return db_log_aside(db, r->db, EFFECT_COVER, r->lo, args, 2);
}

static nq_rc
log_uncover(struct db *db, const struct key_range *r)
{
    uint8_t has_hi = r->has_hi;
    struct slice args[2] = {{&has_hi, 1}, r->hi};

    return db_log_aside(db, r->db, EFFECT_UNCOVER, r->lo, args, 2);
}

nq_rc
db_cover_take(struct db *db, const struct key_range *r, struct cover **out)
{
    size_t bytes = r->lo.len + (r->has_hi ? r->hi.len : 0);
    bool found;
    uint32_t i = position(db->covers, r, &found);
    lsn since;
    nq_rc rc;

    *out = NULL;
    if (r->has_hi && slice_cmp(r->lo, r->hi) >= 0)
        return NQ_EINVAL;
    if (!found) {
        struct cover_table *t = table_of(db);

        if ((rc = db_writable(db)) != NQ_OK)
            return rc;
        if (t->count >= COVERS_MAX || t->bytes + bytes > BYTES_MAX)
            return NQ_EFULL;
        if (db_cover_since(db, r, &since) != NQ_OK)
            since = wal_head(db->wal);
        if ((rc = log_cover(db, r, since)) != NQ_OK)
            return rc;
        insert(db, i, r, since);
        wal_hold_also(db->wal, since);
    }
    *out = db->covers->at[i];
    (*out)->users++;
    return NQ_OK;
}

void
db_cover_drop(struct db *db, struct cover *c, uint64_t now_ms)
{
    nq_assert(db->covers != NULL && c->users > 0);
    if (--c->users == 0)
        c->idle_ms = now_ms;
}

void
db_cover_sweep(struct db *db, uint64_t now_ms, uint64_t linger_ms)
{
    if (db->is_replaying)
        return;
    for (uint32_t i = 0; db->covers != NULL && i < db->covers->count;) {
        struct cover *c = db->covers->at[i];

        if (c->users == 0 && c->idle_ms == 0)
            c->idle_ms = now_ms;
        if (c->users > 0 || now_ms < c->idle_ms + linger_ms) {
            i++;
            continue;
        }
        if (db_writable(db) != NQ_OK || log_uncover(db, &c->range) != NQ_OK)
            return;
        remove_at(db, i);
    }
}

void
db_cover_get_stats(const struct db *db, struct cover_stats *out)
{
    const struct cover_table *t = db->covers;

    *out = (struct cover_stats){0};
    for (uint32_t i = 0; t != NULL && i < t->count; i++) {
        const struct cover *c = t->at[i];

        out->used += c->users > 0;
        if (out->covers++ == 0 || c->since < out->oldest)
            out->oldest = c->since;
    }
}

/* --- catalog and log ------------------------------------------------------ */

static void
put_cover(struct db *db, const struct key_range *r, lsn since)
{
    bool found, is_empty = r->has_hi && slice_cmp(r->lo, r->hi) >= 0;
    uint32_t i = position(db->covers, r, &found);

    if (!found && !is_empty)
        insert(db, i, r, since);
}

void
db_write_covers(struct db *db)
{
    const struct cover_table *t = db->covers;
    struct buf b = BUF_INIT;

    for (uint32_t i = 0; t != NULL && i < t->count; i++) {
        const struct key_range *r = &t->at[i]->range;

        buf_put_varint(&b, r->db);
        buf_put_varint(&b, r->lo.len);
        buf_put_slice(&b, r->lo);
        buf_put_u8(&b, r->has_hi);
        buf_put_varint(&b, r->hi.len);
        buf_put_slice(&b, r->hi);
        buf_put_varint(&b, t->at[i]->since);
    }
    long_value_put(db->opts.store, CATALOG_NAME, buf_slice(&b));
    buf_fini(&b);
}

nq_rc
db_load_covers(struct db *db)
{
    struct buf b = BUF_INIT;
    nq_rc rc = long_value_get(db->opts.store, CATALOG_NAME, &b);
    struct cursor c = cursor_of(buf_slice(&b));

    while (rc == NQ_OK && cursor_left(&c) > 0) {
        struct key_range r;
        uint64_t dbi;
        uint8_t has_hi;
        lsn since;

        cursor_get_varint(&c, &dbi);
        cursor_get_slice(&c, &r.lo);
        cursor_get_u8(&c, &has_hi);
        cursor_get_slice(&c, &r.hi);
        cursor_get_varint(&c, &since);
        if (!cursor_ok(&c) || dbi >= db->count || has_hi > 1) {
            log_error("catalog entry \"" CATALOG_NAME "\" is damaged");
            rc = NQ_ECORRUPT;
            break;
        }
        r.db = (uint32_t)dbi;
        r.has_hi = has_hi != 0;
        put_cover(db, &r, since);
    }
    buf_fini(&b);
    return rc;
}

nq_rc
db_apply_cover(struct db *db, const struct wal_record *r)
{
    struct key_range range = {.db = r->db, .lo = r->key};
    struct cursor c = cursor_of(r->args);
    uint8_t has_hi;
    lsn since;

    cursor_get_u8(&c, &has_hi);
    cursor_get_varint(&c, &since);
    cursor_get_bytes(&c, cursor_left(&c), &range.hi);
    if (!cursor_ok(&c) || has_hi > 1 || r->db >= db->count)
        return NQ_EFORMAT;
    range.has_hi = has_hi != 0;
    put_cover(db, &range, since);
    return NQ_OK;
}

nq_rc
db_apply_uncover(struct db *db, const struct wal_record *r)
{
    struct key_range range = {.db = r->db, .lo = r->key};
    struct cursor c = cursor_of(r->args);
    uint8_t has_hi;
    uint32_t i;
    bool found;

    cursor_get_u8(&c, &has_hi);
    cursor_get_bytes(&c, cursor_left(&c), &range.hi);
    if (!cursor_ok(&c) || has_hi > 1 || r->db >= db->count)
        return NQ_EFORMAT;
    range.has_hi = has_hi != 0;
    i = position(db->covers, &range, &found);
    if (!found)
        return NQ_NOTFOUND;
    remove_at(db, i);
    return NQ_OK;
}
