/* db/list_replay.c - the effects of lists, applied again.  What their
 * arguments are is told in lists.c and list_edit.c.  Called by replay.c. */
#include "base/arena.h"
#include "db/list_int.h"

#define ELEMS_AT_ONCE 256

/* The key, which is a list, or, where that is allowed, absent. */
static nq_rc
find(struct db *db, const struct wal_record *r, struct entry *e, bool *found)
{
    nq_rc rc = db_find_write(db, r->db, r->key, e);

    *found = rc == NQ_OK;
    if (rc == NQ_OK && e->rec.type != DB_LIST)
        return LIST_DAMAGED();
    return rc;
}

/* --- LPUSH, RPUSH -------------------------------------------------------- */

static nq_rc
push(struct db *db, const struct wal_record *r, enum list_end end)
{
    struct cursor c = cursor_of(r->args);
    struct slice elems[ELEMS_AT_ONCE];

    while (cursor_left(&c) > 0) {
        struct entry e = {0};
        uint32_t n = 0;
        bool found;
        nq_rc rc;

        while (n < ELEMS_AT_ONCE && cursor_left(&c) > 0)
            if (cursor_get_slice(&c, &elems[n]))
                n++;
        if (!cursor_ok(&c))
            return NQ_EFORMAT;
        rc = find(db, r, &e, &found);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        rc = list_push(db, r->db, r->key, &e, found, end, elems, n, NULL, NULL);
        if (rc != NQ_OK)
            return rc;
    }
    return NQ_OK;
}

nq_rc
list_apply_lpush(struct db *db, const struct wal_record *r)
{
    return push(db, r, LIST_HEAD);
}

nq_rc
list_apply_rpush(struct db *db, const struct wal_record *r)
{
    return push(db, r, LIST_TAIL);
}

/* --- LPOP, RPOP ---------------------------------------------------------- */

static nq_rc
pop(struct db *db, const struct wal_record *r, enum list_end end)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    uint64_t n;
    bool found;
    nq_rc rc;

    if (!cursor_get_varint(&c, &n) || n == 0)
        return NQ_EFORMAT;
    if ((rc = find(db, r, &e, &found)) != NQ_OK)
        return rc;
    return list_drop(db, r->db, r->key, &e, end, n);
}

nq_rc
list_apply_lpop(struct db *db, const struct wal_record *r)
{
    return pop(db, r, LIST_HEAD);
}

nq_rc
list_apply_rpop(struct db *db, const struct wal_record *r)
{
    return pop(db, r, LIST_TAIL);
}

/* --- LSET, LINSERT, LTRIM ------------------------------------------------ */

nq_rc
list_apply_lset(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    struct slice elem;
    uint64_t index;
    bool found;
    nq_rc rc;

    cursor_get_varint(&c, &index);
    cursor_get_bytes(&c, cursor_left(&c), &elem);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    if ((rc = find(db, r, &e, &found)) != NQ_OK)
        return rc;
    if (index >= list_len(&e))
        return LIST_DAMAGED();
    return list_set(db, r->db, r->key, &e, index, elem);
}

nq_rc
list_apply_linsert(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    struct slice elem;
    uint64_t index, len;
    bool found;
    nq_rc rc;

    cursor_get_varint(&c, &index);
    cursor_get_bytes(&c, cursor_left(&c), &elem);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    if ((rc = find(db, r, &e, &found)) != NQ_OK)
        return rc;
    if (index > list_len(&e))
        return LIST_DAMAGED();
    return list_insert_at(db, r->db, r->key, &e, index, elem, &len);
}

nq_rc
list_apply_ltrim(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct entry e = {0};
    uint64_t start, n;
    bool found;
    nq_rc rc;

    cursor_get_varint(&c, &start);
    cursor_get_varint(&c, &n);
    if (!cursor_ok(&c))
        return NQ_EFORMAT;
    if ((rc = find(db, r, &e, &found)) != NQ_OK)
        return rc;
    if (start > list_len(&e) || n > list_len(&e) - start)
        return LIST_DAMAGED();
    return list_trim(db, r->db, r->key, &e, start, n);
}

/* --- LREM ---------------------------------------------------------------- */

static nq_rc
mark_all(struct db *db, const struct entry *e, const struct list_needle *n,
         uint64_t count, bool last, struct list_marks *marks)
{
    struct list_cursor cu;
    nq_rc rc = list_cursor_init(&cu, db, e);

    if (rc == NQ_OK)
        rc = list_seek(&cu, last ? list_len(e) - 1 : 0);
    while (rc == NQ_OK && cu.valid && marks->n < count) {
        bool is_equal;

        if ((rc = list_is_equal(&cu, n, &is_equal)) != NQ_OK ||
            (is_equal && (rc = list_mark(marks, &cu)) != NQ_OK))
            break;
        rc = last ? list_prev(&cu) : list_next(&cu);
    }
    list_cursor_fini(&cu);
    return rc == NQ_OK && marks->n < count ? LIST_DAMAGED() : rc;
}

static nq_rc
remove_equal(struct db *db, const struct wal_record *r, struct slice elem,
             uint64_t count, bool last)
{
    struct list_marks marks = {.n = 0};
    struct arena arena = ARENA_INIT;
    struct list_needle needle;
    struct entry e = {0};
    bool found;
    nq_rc rc;

    if ((rc = find(db, r, &e, &found)) != NQ_OK)
        return rc;
    list_needle_init(&needle, db, elem, &arena);
    rc = mark_all(db, &e, &needle, count, last, &marks);
    if (rc == NQ_OK)
        rc = list_remove_marked(db, r->db, r->key, &e, &needle, &marks, last);
    list_marks_fini(&marks);
    arena_fini(&arena);
    return rc;
}

nq_rc
list_apply_lrem(struct db *db, const struct wal_record *r)
{
    struct cursor c = cursor_of(r->args);
    struct slice elem;
    uint64_t count;
    bool last;

    cursor_get_u64(&c, &count);
    cursor_get_bytes(&c, cursor_left(&c), &elem);
    if (!cursor_ok(&c) || count == 0)
        return NQ_EFORMAT;
    last = (int64_t)count < 0;
    return remove_equal(db, r, elem, last ? 0 - count : count, last);
}
