/* tests/lib/list_calls.c - see list_calls.h. */
#include "list_calls.h"

#include <stdio.h>

struct slice
list_name(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "list:%u", i));
}

nq_rc
list_call_push(struct env *env, struct slice key, enum list_end end,
               const struct slice *elems, unsigned n, uint64_t *len)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(env->db, 0, key, &e);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return list_push(env->db, 0, key, &e, rc == NQ_OK, end, elems, n,
                     end == LIST_HEAD ? "lpush" : "rpush", len);
}

nq_rc
list_call_pop(struct env *env, struct slice key, enum list_end end, unsigned n,
              struct slice *out)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(env->db, 0, key, &e);

    if (rc != NQ_OK)
        return rc;
    if (out == NULL)
        return list_drop(env->db, 0, key, &e, end, n);
    return list_pop(env->db, 0, key, &e, end, n, &env->arena, out);
}

nq_rc
list_call_set(struct env *env, struct slice key, unsigned at, struct slice elem)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(env->db, 0, key, &e);

    return rc == NQ_OK ? list_set(env->db, 0, key, &e, at, elem) : rc;
}

nq_rc
list_call_insert(struct env *env, struct slice key, unsigned at,
                 struct slice elem, uint64_t *len)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(env->db, 0, key, &e);

    if (rc != NQ_OK)
        return rc;
    return list_insert_at(env->db, 0, key, &e, at, elem, len);
}

nq_rc
list_call_trim(struct env *env, struct slice key, unsigned start, unsigned n)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(env->db, 0, key, &e);

    return rc == NQ_OK ? list_trim(env->db, 0, key, &e, start, n) : rc;
}

nq_rc
list_call_move(struct env *env, struct slice from_key, enum list_end from_end,
               struct slice to_key, enum list_end to_end, struct slice *elem)
{
    struct entry from = {0}, to = {0};
    nq_rc rc = db_find_write(env->db, 0, from_key, &from), to_rc;

    if (rc != NQ_OK)
        return rc;
    to_rc = db_find_write(env->db, 0, to_key, &to);
    if (to_rc != NQ_OK && to_rc != NQ_NOTFOUND)
        return to_rc;
    return list_move(env->db, 0, from_key, &from, from_end, to_key, &to,
                     to_rc == NQ_OK, to_end, &env->arena, elem);
}

nq_rc
list_call_at(struct env *env, struct slice key, unsigned i, struct slice *out)
{
    struct entry e = {0};
    struct list_item it;
    nq_rc rc = db_find(env->db, 0, key, &e);

    if (rc == NQ_OK)
        rc = list_at(env->db, &e, i, &it);
    if (rc == NQ_OK)
        rc = list_item_bytes(env->db, &it, &env->arena, out);
    if (rc == NQ_OK && out->p == (uint8_t *)it.text)
        out->p = arena_memdup(&env->arena, out->p, out->len);
    return rc;
}

nq_rc
list_call_check(struct env *env, struct slice key)
{
    struct entry e = {0};
    nq_rc rc = db_find(env->db, 0, key, &e);

    return rc == NQ_OK ? list_check(env->db, &e) : rc;
}

/* Marks up to `count` equal elements, and removes them. */
nq_rc
list_call_remove(struct env *env, struct slice key, struct slice elem,
                 unsigned count, bool last, uint64_t *removed)
{
    struct list_marks marks = {.n = 0};
    struct db *db = env->db;
    struct list_needle needle;
    struct list_cursor cu;
    struct entry e = {0};
    nq_rc rc = db_find_write(db, 0, key, &e);

    *removed = 0;
    if (rc != NQ_OK)
        return rc;
    list_needle_init(&needle, db, elem, &env->arena);
    rc = list_cursor_init(&cu, db, &e);
    if (rc == NQ_OK)
        rc = list_seek(&cu, last ? list_len(&e) - 1 : 0);
    while (rc == NQ_OK && cu.valid && marks.n < count) {
        bool is_equal;

        if ((rc = list_is_equal(&cu, &needle, &is_equal)) != NQ_OK ||
            (is_equal && (rc = list_mark(&marks, &cu)) != NQ_OK))
            break;
        rc = last ? list_prev(&cu) : list_next(&cu);
    }
    list_cursor_fini(&cu);
    if (rc == NQ_OK && marks.n > 0)
        rc = list_remove_marked(db, 0, key, &e, &needle, &marks, last);
    *removed = marks.n;
    list_marks_fini(&marks);
    return rc;
}
