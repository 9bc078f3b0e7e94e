/* cmd/cmd_stream.c - XADD, XLEN, XDEL, XTRIM, XSETID. */
#include "cmd/cmd_stream.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

/* --- XADD ---------------------------------------------------------------- */

/* The id that the entry will get; false: it would not be the greatest. */
static bool
next_id(struct req *rq, const struct stream *s, const struct stream_add_args *a,
        struct stream_id *out)
{
    uint64_t now = db_now(rq->db);

    *out = s->last;
    if (!a->has_id) {
        if (now > s->last.ms) {
            *out = (struct stream_id){now, 0};
            return true;
        }
        return stream_id_next(out);
    }
    if (!a->has_seq && a->id.ms == s->last.ms)
        return s->last.seq < UINT64_MAX && stream_id_next(out);
    *out = a->id;
    return stream_id_cmp(a->id, s->last) > 0;
}

static void
add(struct req *rq, struct stream *s, const struct stream_add_args *a)
{
    uint32_t fields = a->id_at + 1;
    struct stream_id id;
    nq_rc rc;

    if (stream_id_cmp(s->last, STREAM_ID_MAX) == 0) {
        reply_error(rq, "The stream has exhausted the last possible ID, unable "
                        "to add more items");
        return;
    }
    if (!next_id(rq, s, a, &id)) {
        reply_error(rq, "The ID specified in XADD is equal or smaller than the "
                        "target stream top item");
        return;
    }
    rc =
        stream_add(s, id, rq->argv + fields, (rq->argc - fields) / 2, &a->trim);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_stream_id(rq, id);
}

void
cmd_xadd(struct req *rq)
{
    struct stream_add_args a;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!arg_stream_add(rq, true, &a))
        return;
    if (rq->argc < a.id_at + 3 || (rq->argc - a.id_at) % 2 == 0) {
        reply_wrong_arity(rq);
        return;
    }
    if (a.has_seq && stream_id_is_zero(a.id)) {
        reply_error(rq, "The ID specified in XADD must be greater than 0-0");
        return;
    }
    rc = req_find_type(rq, 1, DB_STREAM, true, &e);
    if (rc == NQ_NOTFOUND && a.no_mkstream) {
        reply_null(rq);
        return;
    }
    if (rc != NQ_OK && rc != NQ_NOTFOUND) {
        reply_rc(rq, rc);
        return;
    }
    rc = stream_open(rq->db, rq->dbi, rq->argv[1], &e, rc == NQ_OK, &s);
    if (rc == NQ_OK)
        add(rq, &s, &a);
    else
        reply_rc(rq, rc);
    stream_close(&s);
}

/* --- lengths and deletions ----------------------------------------------- */

void
cmd_xlen(struct req *rq)
{
    struct entry e;
    nq_rc rc = req_find_type(rq, 1, DB_STREAM, false, &e);

    if (rc == NQ_OK)
        reply_int(rq, (int64_t)stream_length(&e));
    else if (rc == NQ_NOTFOUND)
        reply_int(rq, 0);
    else
        reply_rc(rq, rc);
}

/* The end of XDEL and XTRIM. */
static void
reply_removed(struct req *rq, nq_rc rc, uint64_t removed)
{
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        reply_int(rq, (int64_t)removed);
    else
        reply_rc(rq, rc);
}

void
cmd_xdel(struct req *rq)
{
    const struct stream_id *ids;
    uint64_t removed = 0;
    struct stream s;
    struct entry e;
    nq_rc rc = req_open_stream(rq, 1, true, &e, &s);

    if (rc != NQ_OK) {
        reply_removed(rq, rc, 0);
        return;
    }
    ids = arg_stream_ids(rq, 2, rq->argc);
    if (ids != NULL) {
        rc = stream_del(&s, ids, rq->argc - 2, &removed);
        reply_removed(rq, rc, removed);
    }
    stream_close(&s);
}

void
cmd_xtrim(struct req *rq)
{
    struct stream_add_args a;
    uint64_t removed = 0;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!arg_stream_add(rq, false, &a))
        return;
    rc = req_open_stream(rq, 1, true, &e, &s);
    if (rc == NQ_OK) {
        rc = stream_trim(&s, &a.trim, &removed);
        stream_close(&s);
    }
    reply_removed(rq, rc, removed);
}

/* --- XSETID -------------------------------------------------------------- */

struct set_id_args {
    struct stream_id last, max_deleted;
    bool has_added;
    uint64_t added;
};

static bool
parse_added(struct req *rq, uint32_t i, struct set_id_args *a)
{
    int64_t v;

    if (!arg_int(rq, i, &v))
        return false;
    if (v < 0) {
        reply_error(rq, "entries_added must be positive");
        return false;
    }
    a->has_added = true;
    a->added = (uint64_t)v;
    return true;
}

static bool
parse_set_id(struct req *rq, struct set_id_args *a)
{
    *a = (struct set_id_args){0};
    if (!arg_stream_id(rq, 2, &a->last))
        return false;
    for (uint32_t i = 3; i < rq->argc; i += 2) {
        bool has_more = i + 1 < rq->argc;

        if (has_more && slice_is(rq->argv[i], "ENTRIESADDED")) {
            if (!parse_added(rq, i + 1, a))
                return false;
        } else if (has_more && slice_is(rq->argv[i], "MAXDELETEDID")) {
            if (!arg_stream_id(rq, i + 1, &a->max_deleted))
                return false;
            if (stream_id_cmp(a->last, a->max_deleted) < 0) {
                reply_error(rq, "The ID specified in XSETID is smaller than "
                                "the provided max_deleted_entry_id");
                return false;
            }
        } else {
            reply_syntax(rq);
            return false;
        }
    }
    return true;
}

/* Whether what is asked for fits what the stream has. */
static bool
check_set_id(struct req *rq, struct stream *s, const struct set_id_args *a)
{
    struct stream_cursor cu;
    bool is_below;
    nq_rc rc;

    if (stream_id_cmp(a->last, s->max_deleted) < 0) {
        reply_error(rq, "The ID specified in XSETID is smaller than current "
                        "max_deleted_entry_id");
        return false;
    }
    if (s->length == 0)
        return true;
    stream_cursor_init(&cu, s);
    rc = stream_seek_back(&cu, STREAM_ID_MAX);
    is_below = cu.valid && stream_id_cmp(a->last, cu.id) < 0;
    stream_cursor_fini(&cu);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (is_below)
        reply_error(rq, "The ID specified in XSETID is smaller than the target "
                        "stream top item");
    else if (a->has_added && s->length > a->added)
        reply_error(rq, "The entries_added specified in XSETID is smaller than "
                        "the target stream length");
    else
        return true;
    return false;
}

void
cmd_xsetid(struct req *rq)
{
    struct set_id_args a;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!parse_set_id(rq, &a))
        return;
    if ((rc = req_open_stream(rq, 1, true, &e, &s)) != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    if (check_set_id(rq, &s, &a)) {
        rc = stream_set_id(&s, a.last, a.has_added ? &a.added : NULL,
                           stream_id_is_zero(a.max_deleted) ? NULL
                                                            : &a.max_deleted);
        if (rc == NQ_OK)
            reply_ok(rq);
        else
            reply_rc(rq, rc);
    }
    stream_close(&s);
}
