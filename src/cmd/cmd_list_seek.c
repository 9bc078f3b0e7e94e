/* cmd/cmd_list_seek.c - lists: what goes along them: LRANGE, LPOS, LREM,
 * LINSERT.
 *
 * LREM and LINSERT first find out, in slices, where they will change the
 * list, and then do it in one step; if the key has become another list
 * meanwhile, or pages are not there, they begin anew. */
#include "base/check.h"
#include "base/cursor.h"
#include "cmd/args.h"
#include "cmd/cmd_list.h"
#include "cmd/handlers.h"
#include "cmd/list_visit.h"
#include "cmd/reply.h"

/* --- LRANGE -------------------------------------------------------------- */

static nq_rc
see_and_tell(struct req *rq, struct list_visit *v, struct list_cursor *cu)
{
    struct list_item it;
    nq_rc rc = list_item(cu, &it);

    nq_unused(v);
    return rc == NQ_OK ? reply_list_item(rq, &it) : rc;
}

void
cmd_lrange(struct req *rq)
{
    struct list_visit first, *v = list_visit_of(rq, &first);
    int64_t start, end;
    uint64_t from, n;
    struct entry e;
    bool found;

    if (v == &first) {
        if (!arg_int(rq, 2, &start) || !arg_int(rq, 3, &end) ||
            !list_look(rq, 1, false, &e, &found))
            return;
        if (!found || !list_clip(start, end, list_len(&e), &from, &n)) {
            reply_array(rq, 0);
            return;
        }
        list_visit_init(rq, v, see_and_tell, false, from, n);
        v->tells = true;
        reply_array(rq, n);
    }
    if (list_visit_go(rq, v, &e))
        list_visit_end(rq, v);
}

/* --- LPOS ---------------------------------------------------------------- */

struct lpos {
    int64_t rank, count, maxlen; /* count -1: not given */
};

static bool
parse_lpos_option(struct req *rq, uint32_t i, struct lpos *o)
{
    const char *range = "value is out of range, value must between "
                        "-9223372036854775807 and 9223372036854775807";
    struct slice word = rq->argv[i];

    if (i + 1 == rq->argc) {
        reply_syntax(rq);
        return false;
    }
    if (slice_is(word, "COUNT"))
        return arg_int_within(rq, i + 1, 0, INT64_MAX,
                              "COUNT can't be negative", &o->count);
    if (slice_is(word, "MAXLEN"))
        return arg_int_within(rq, i + 1, 0, INT64_MAX,
                              "MAXLEN can't be negative", &o->maxlen);
    if (!slice_is(word, "RANK")) {
        reply_syntax(rq);
        return false;
    }
    if (!arg_int(rq, i + 1, &o->rank) ||
        !arg_int_within(rq, i + 1, -INT64_MAX, INT64_MAX, range, &o->rank))
        return false;
    if (o->rank != 0)
        return true;
    reply_error(rq, "RANK can't be zero: use 1 to start from the first match, "
                    "2 from the second ... or use negative to start from the "
                    "end of the list");
    return false;
}

static nq_rc
see_and_note(struct req *rq, struct list_visit *v, struct list_cursor *cu)
{
    bool is_equal;
    nq_rc rc = list_is_equal(cu, &v->needle, &is_equal);

    nq_unused(rq);
    if (nq_likely(rc != NQ_OK || !is_equal))
        return rc;
    if (v->skip > 0) {
        v->skip--;
        return NQ_OK;
    }
    buf_put_u64(&v->found, cu->index);
    if (--v->want == 0)
        v->left = 1;
    return NQ_OK;
}

static void
reply_lpos(struct req *rq, const struct list_visit *v, bool as_array)
{
    struct cursor c = cursor_of(buf_slice(&v->found));
    uint64_t index;

    if (as_array)
        reply_array(rq, v->found.len / sizeof index);
    else if (v->found.len == 0)
        reply_null(rq);
    while (cursor_left(&c) > 0 && cursor_get_u64(&c, &index))
        reply_int(rq, (int64_t)index);
}

void
cmd_lpos(struct req *rq)
{
    struct list_visit first, *v = list_visit_of(rq, &first);
    struct lpos o = {.rank = 1, .count = -1};
    uint64_t len, most;
    struct entry e;
    bool found;

    for (uint32_t i = 3; i < rq->argc; i += 2)
        if (!parse_lpos_option(rq, i, &o))
            return;
    if (v == &first) {
        if (!list_look(rq, 1, false, &e, &found))
            return;
        if (!found) {
            o.count < 0 ? reply_null(rq) : reply_array(rq, 0);
            return;
        }
        len = list_len(&e);
        most = o.maxlen > 0 ? (uint64_t)o.maxlen : len;
        list_visit_init(rq, v, see_and_note, o.rank < 0,
                        o.rank < 0 ? len - 1 : 0, nq_min(most, len));
        v->skip = (uint64_t)(o.rank < 0 ? -o.rank : o.rank) - 1;
        v->want = o.count == 0 ? UINT64_MAX : (uint64_t)nq_max(o.count, 1);
    }
    list_needle_init(&v->needle, rq->db, rq->argv[2], rq->arena);
    if (!list_visit_go(rq, v, &e))
        return;
    reply_lpos(rq, v, o.count >= 0);
    list_visit_end(rq, v);
}

/* --- LREM ---------------------------------------------------------------- */

static nq_rc
see_and_mark(struct req *rq, struct list_visit *v, struct list_cursor *cu)
{
    bool is_equal;
    nq_rc rc = list_is_equal(cu, &v->needle, &is_equal);

    nq_unused(rq);
    if (nq_likely(rc != NQ_OK || !is_equal))
        return rc;
    if (--v->want == 0)
        v->left = 1;
    return list_mark(&v->marks, cu);
}

static void
remove_marked(struct req *rq, struct list_visit *v, struct entry *e)
{
    nq_rc rc = NQ_OK;

    if (v->marks.n > 0) {
        rc = list_visit_find_write(rq, v, 1, e);
        if (rc == NQ_OK)
            rc = list_remove_marked(rq->db, rq->dbi, rq->argv[1], e, &v->needle,
                                    &v->marks, v->is_back);
    }
    if (rc != NQ_OK) {
        list_visit_anew(rq, v, rc);
        return;
    }
    reply_int(rq, (int64_t)v->marks.n);
    list_visit_end(rq, v);
}

void
cmd_lrem(struct req *rq)
{
    struct list_visit first, *v = list_visit_of(rq, &first);
    struct entry e;
    int64_t count;
    uint64_t len;
    bool found;

    if (v == &first) {
        if (!arg_int(rq, 2, &count) || !list_look(rq, 1, true, &e, &found))
            return;
        if (!found) {
            reply_int(rq, 0);
            return;
        }
        len = list_len(&e);
        list_visit_init(rq, v, see_and_mark, count < 0, count < 0 ? len - 1 : 0,
                        len);
        v->want = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
        if (count == 0)
            v->want = UINT64_MAX;
    }
    list_needle_init(&v->needle, rq->db, rq->argv[3], rq->arena);
    if (list_visit_go(rq, v, &e))
        remove_marked(rq, v, &e);
}

/* --- LINSERT ------------------------------------------------------------- */

static void
insert_at(struct req *rq, struct list_visit *v, bool after, struct entry *e)
{
    struct cursor c = cursor_of(buf_slice(&v->found));
    uint64_t index, len = 0;
    nq_rc rc;

    if (!cursor_get_u64(&c, &index)) {
        reply_int(rq, -1);
        list_visit_end(rq, v);
        return;
    }
    rc = list_visit_find_write(rq, v, 1, e);
    if (rc == NQ_OK)
        rc = list_insert_at(rq->db, rq->dbi, rq->argv[1], e, index + after,
                            rq->argv[4], &len);
    if (rc != NQ_OK) {
        list_visit_anew(rq, v, rc);
        return;
    }
    reply_int(rq, (int64_t)len);
    list_visit_end(rq, v);
}

void
cmd_linsert(struct req *rq)
{
    struct list_visit first, *v = list_visit_of(rq, &first);
    bool found, after = slice_is(rq->argv[2], "AFTER");
    struct entry e;

    if (!after && !slice_is(rq->argv[2], "BEFORE")) {
        reply_syntax(rq);
        return;
    }
    if (v == &first) {
        if (!list_look(rq, 1, true, &e, &found))
            return;
        if (!found) {
            reply_int(rq, 0);
            return;
        }
        list_visit_init(rq, v, see_and_note, false, 0, list_len(&e));
        v->want = 1;
    }
    list_needle_init(&v->needle, rq->db, rq->argv[3], rq->arena);
    if (list_visit_go(rq, v, &e))
        insert_at(rq, v, after, &e);
}
