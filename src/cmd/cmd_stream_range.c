/* cmd/cmd_stream_range.c - XRANGE, XREVRANGE, and entries as replies.
 *
 * How many entries a range has is known by their ranks, so an answer begins
 * with its length and is told as it is read (cmd/walk.h). */
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_stream.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/walk.h"

void
reply_stream_id(struct req *rq, struct stream_id id)
{
    char text[STREAM_ID_TEXT];

    reply_bulk(rq, slice_of(text, stream_id_text(text, id)));
}

void
reply_stream_entry(struct req *rq, struct stream_id id,
                   struct stream_fields *fields)
{
    struct slice word;

    reply_array(rq, 2);
    reply_stream_id(rq, id);
    reply_array(rq, 2 * fields->pairs);
    for (uint64_t i = 0; i < 2 * fields->pairs; i++) {
        bool ok = cursor_get_slice(&fields->at, &word);

        nq_assert(ok); /* it was checked when it was decoded */
        reply_bulk(rq, word);
    }
}

nq_rc
reply_stream_find(struct req *rq, struct stream *s, struct stream_id id,
                  bool *found)
{
    struct stream_fields fields;
    nq_rc rc = stream_get(s, id, rq->arena, &fields);

    *found = rc == NQ_OK;
    if (rc == NQ_OK)
        reply_stream_entry(rq, id, &fields);
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
reply_stream_range(struct req *rq, struct stream *s, struct stream_id from,
                   struct stream_id to, uint64_t n, bool backwards, bool header)
{
    struct stream_fields fields;
    struct stream_cursor cu;
    uint64_t there;
    nq_rc rc;

    if ((rc = stream_count(s, from, to, &there)) != NQ_OK)
        return rc;
    n = nq_min(n, there);
    if (header)
        reply_array(rq, n);
    stream_cursor_init(&cu, s);
    if (n > 0)
        rc = backwards ? stream_seek_back(&cu, to) : stream_seek(&cu, from);
    for (uint64_t i = 0; rc == NQ_OK && i < n; i++) {
        if (i > 0)
            rc = backwards ? stream_prev(&cu) : stream_next(&cu);
        if (rc == NQ_OK && !cu.valid)
            rc = NQ_ECORRUPT;
        if (rc == NQ_OK)
            rc = stream_entry(&cu, rq->arena, &fields);
        if (rc == NQ_OK)
            reply_stream_entry(rq, cu.id, &fields);
    }
    stream_cursor_fini(&cu);
    return rc;
}

static nq_rc
emit_entry(struct req *rq, struct coll *c, const struct item *it,
           uint32_t flags)
{
    struct stream_fields fields;
    struct stream_id id;
    nq_rc rc = stream_item(c, it, rq->arena, &id, &fields);

    nq_unused(flags);
    if (rc == NQ_OK)
        reply_stream_entry(rq, id, &fields);
    return rc;
}

void
tell_stream(struct req *rq, struct stream *s, struct stream_id from, uint64_t n,
            bool backwards)
{
    uint8_t room[STREAM_KEY_SIZE];
    struct walk_plan plan = {.shape = WALK_ARRAY,
                             .header = n,
                             .n = n,
                             .backwards = backwards,
                             .from = stream_key(room, from),
                             .emit = emit_entry};

    walk_tell(rq, &s->coll, &plan);
}

static void
tell_range(struct req *rq, struct stream_id from, struct stream_id to,
           int64_t count, bool backwards)
{
    struct stream s;
    struct entry e;
    uint64_t n = 0;
    nq_rc rc = req_open_stream(rq, 1, false, &e, &s);

    if (rc != NQ_OK) {
        if (rc == NQ_NOTFOUND)
            reply_array(rq, 0);
        else
            reply_rc(rq, rc);
        return;
    }
    if (count == 0)
        reply_null_array(rq);
    else if ((rc = stream_count(&s, from, to, &n)) != NQ_OK)
        reply_rc(rq, rc);
    else
        tell_stream(rq, &s, backwards ? to : from,
                    count < 0 ? n : nq_min(n, (uint64_t)count), backwards);
    stream_close(&s);
}

static void
range(struct req *rq, bool backwards)
{
    struct stream_id from, to;
    int64_t count = -1;

    if (walk_go_on(rq))
        return;
    if (!arg_stream_start(rq, backwards ? 3 : 2, &from) ||
        !arg_stream_end(rq, backwards ? 2 : 3, &to))
        return;
    for (uint32_t i = 4; i < rq->argc; i += 2) {
        if (!slice_is(rq->argv[i], "COUNT") || i + 1 == rq->argc) {
            reply_syntax(rq);
            return;
        }
        if (!arg_int(rq, i + 1, &count))
            return;
        count = nq_max(count, 0);
    }
    tell_range(rq, from, to, count, backwards);
}

void
cmd_xrange(struct req *rq)
{
    range(rq, false);
}

void
cmd_xrevrange(struct req *rq)
{
    range(rq, true);
}
