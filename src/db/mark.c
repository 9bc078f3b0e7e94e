/* db/mark.c - names for positions in the log.
 *
 *   MARK      (key: name) varint position | its data
 *   MARKMOVE  (key: name) varint position
 *   UNMARK    (key: name)
 *   catalog   "marks": { slice name | varint position | slice data }
 *
 * They stand in an array by rising name; there are not many.  Called by the
 * commands of feeds, by replay, and before cuts. */
#include "db/mark.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/long_value.h"

#define CATALOG_NAME "marks"

struct mark_row {
    struct mark m; /* its slices are in `bytes` */
    uint8_t bytes[];
};

struct mark_table {
    struct mark_row **at;
    uint32_t count, cap;
};

static struct mark_row *
row_new(const struct mark *m)
{
    struct mark_row *r = nq_malloc(sizeof *r + m->name.len + m->data.len);

    r->m.at = m->at;
    r->m.name = slice_of(r->bytes, m->name.len);
    r->m.data = slice_of(r->bytes + m->name.len, m->data.len);
    if (m->name.len > 0)
        memcpy(r->bytes, m->name.p, m->name.len);
    if (m->data.len > 0)
        memcpy(r->bytes + m->name.len, m->data.p, m->data.len);
    return r;
}

/* Where the name is, or belongs. */
static uint32_t
position(const struct mark_table *t, struct slice name, bool *found)
{
    uint32_t lo = 0, hi = t == NULL ? 0 : t->count;
    int c = 1;

    *found = false;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        c = slice_cmp(t->at[mid]->m.name, name);
        *found |= c == 0;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void
put_row(struct db *db, const struct mark *m)
{
    struct mark_table *t = db->marks;
    bool found;
    uint32_t i;

    if (t == NULL)
        t = db->marks = nq_calloc(1, sizeof *t);
    i = position(t, m->name, &found);
    if (found) {
        struct mark_row *old = t->at[i];

        t->at[i] = row_new(m); /* its data may be the old one's */
        nq_free(old);
        return;
    }
    if (t->count == t->cap) {
        t->cap = nq_max(8u, 2 * t->cap);
        t->at = nq_realloc(t->at, t->cap * sizeof(struct mark_row *));
    }
    memmove(t->at + i + 1, t->at + i,
            (t->count - i) * sizeof(struct mark_row *));
    t->at[i] = row_new(m);
    t->count++;
}

/* --- changes ------------------------------------------------------------- */

nq_rc
db_mark_put(struct db *db, const struct mark *m)
{
    uint8_t at[10];
    struct slice args[2] = {{at, varint_encode(at, m->at)}, m->data};
    bool found;
    nq_rc rc = db_writable(db);

    (void)position(db->marks, m->name, &found);
    if (rc != NQ_OK)
        return rc;
    if (!found && db->marks != NULL && db->marks->count >= MARKS_MAX)
        return NQ_EFULL;
    rc = db_log_aside(db, 0, EFFECT_MARK, m->name, args, 2);
    if (rc != NQ_OK)
        return rc;
    put_row(db, m);
    if (!db->is_replaying)
        wal_hold_also(db->wal, m->at);
    return NQ_OK;
}

nq_rc
db_mark_move(struct db *db, struct slice name, lsn at)
{
    uint8_t bytes[10];
    struct slice args[1] = {{bytes, varint_encode(bytes, at)}};
    bool found;
    uint32_t i = position(db->marks, name, &found);
    nq_rc rc;

    if (!found)
        return NQ_NOTFOUND;
    if ((rc = db_writable(db)) == NQ_OK)
        rc = db_log_aside(db, 0, EFFECT_MARKMOVE, name, args, 1);
    if (rc == NQ_OK)
        db->marks->at[i]->m.at = at;
    return rc;
}

nq_rc
db_mark_del(struct db *db, struct slice name)
{
    struct mark_table *t = db->marks;
    bool found;
    uint32_t i = position(t, name, &found);
    nq_rc rc;

    if (!found)
        return NQ_NOTFOUND;
    if ((rc = db_writable(db)) == NQ_OK)
        rc = db_log_aside(db, 0, EFFECT_UNMARK, name, NULL, 0);
    if (rc != NQ_OK)
        return rc;
    nq_free(t->at[i]);
    t->count--;
    memmove(t->at + i, t->at + i + 1,
            (t->count - i) * sizeof(struct mark_row *));
    return NQ_OK;
}

/* --- asking -------------------------------------------------------------- */

nq_rc
db_mark_find(struct db *db, struct slice name, struct mark *out)
{
    bool found;
    uint32_t i = position(db->marks, name, &found);

    if (!found)
        return NQ_NOTFOUND;
    *out = db->marks->at[i]->m;
    return NQ_OK;
}

void
db_mark_each(struct db *db, void (*fn)(void *arg, const struct mark *m),
             void *arg)
{
    for (uint32_t i = 0; db->marks != NULL && i < db->marks->count; i++)
        fn(arg, &db->marks->at[i]->m);
}

/* --- catalog and log ------------------------------------------------------ */

void
db_write_marks(struct db *db)
{
    struct buf b = BUF_INIT;

    for (uint32_t i = 0; db->marks != NULL && i < db->marks->count; i++) {
        const struct mark *m = &db->marks->at[i]->m;

        buf_put_varint(&b, m->name.len);
        buf_put_slice(&b, m->name);
        buf_put_varint(&b, m->at);
        buf_put_varint(&b, m->data.len);
        buf_put_slice(&b, m->data);
    }
    long_value_put(db->opts.store, CATALOG_NAME, buf_slice(&b));
    buf_fini(&b);
}

nq_rc
db_load_marks(struct db *db)
{
    struct buf b = BUF_INIT;
    nq_rc rc = long_value_get(db->opts.store, CATALOG_NAME, &b);
    struct cursor c = cursor_of(buf_slice(&b));
    struct mark m;

    while (rc == NQ_OK && cursor_left(&c) > 0) {
        cursor_get_slice(&c, &m.name);
        cursor_get_varint(&c, &m.at);
        cursor_get_slice(&c, &m.data);
        if (cursor_ok(&c))
            put_row(db, &m);
    }
    if (rc == NQ_OK && !cursor_ok(&c)) {
        log_error("catalog entry \"" CATALOG_NAME "\" is damaged");
        rc = NQ_ECORRUPT;
    }
    buf_fini(&b);
    return rc;
}

void
db_close_marks(struct db *db)
{
    struct mark_table *t = db->marks;

    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->count; i++)
        nq_free(t->at[i]);
    nq_free(t->at);
    nq_free(t);
    db->marks = NULL;
}

nq_rc
db_apply_mark(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct mark m = {.name = r->key};

    cursor_get_varint(&c, &m.at);
    cursor_get_bytes(&c, cursor_left(&c), &m.data);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    return db_mark_put(db, &m);
}

nq_rc
db_apply_mark_move(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    uint64_t at;

    cursor_get_varint(&c, &at);
    return cursor_ok(&c) ? db_mark_move(db, r->key, at) : NQ_EFORMAT;
}

nq_rc
db_apply_unmark(struct db *db, const struct wal_record *r)
{
    return db_mark_del(db, r->key);
}
