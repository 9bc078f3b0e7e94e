/* cmd/cmd_stream_group.c - XGROUP and XACK. */
#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_stream.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

/* --- words --------------------------------------------------------------- */

struct group_args {
    bool mkstream;
    int64_t read;
};

/* Redis' text for a subcommand that has other arguments. */
static void
refuse_arguments(struct req *rq)
{
    reply_error(rq,
                "unknown subcommand or wrong number of arguments for '%.*s'. "
                "Try XGROUP HELP.",
                (int)nq_min(rq->argv[1].len, 128u),
                (const char *)rq->argv[1].p);
}

static bool
parse_entries_read(struct req *rq, uint32_t i, int64_t *out)
{
    if (!arg_int(rq, i, out))
        return false;
    if (*out >= 0 || *out == STREAM_READ_UNKNOWN)
        return true;
    reply_error(rq, "value for ENTRIESREAD must be positive or -1");
    return false;
}

static bool
parse_group(struct req *rq, bool is_create, struct group_args *a)
{
    *a = (struct group_args){.read = STREAM_READ_UNKNOWN};
    for (uint32_t i = 5; i < rq->argc; i++) {
        if (is_create && slice_is(rq->argv[i], "MKSTREAM")) {
            a->mkstream = true;
        } else if (slice_is(rq->argv[i], "ENTRIESREAD") && i + 1 < rq->argc) {
            if (!parse_entries_read(rq, ++i, &a->read))
                return false;
        } else {
            refuse_arguments(rq);
            return false;
        }
    }
    return true;
}

static void
refuse_key(struct req *rq)
{
    reply_error(rq, "The XGROUP subcommand requires the key to exist. Note "
                    "that for CREATE you may want to use the MKSTREAM option "
                    "to create an empty stream automatically.");
}

static void
refuse_group(struct req *rq)
{
    struct slice key = rq->argv[2], group = rq->argv[3];

    reply_error(rq,
                "-NOGROUP No such consumer group '%.*s' for key name "
                "'%.*s'",
                (int)nq_min(group.len, 256u), (const char *)group.p,
                (int)nq_min(key.len, 256u), (const char *)key.p);
}

/* Opens the stream of XGROUP; false: answered. */
static bool
open_of_group(struct req *rq, struct entry *e, struct stream *s)
{
    nq_rc rc = req_open_stream(rq, 2, true, e, s);

    if (rc == NQ_NOTFOUND)
        refuse_key(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    return rc == NQ_OK;
}

/* The id at argv[4], where "$" is the last one of the stream. */
static bool
arg_group_id(struct req *rq, const struct stream *s, bool allows_ends,
             struct stream_id *out)
{
    struct slice text = rq->argv[4];

    *out = s->last;
    if (slice_eq(text, slice_lit("$")))
        return true;
    if (allows_ends && slice_eq(text, slice_lit("-")))
        *out = STREAM_ID_MIN;
    else if (allows_ends && slice_eq(text, slice_lit("+")))
        *out = STREAM_ID_MAX;
    else
        return arg_stream_id(rq, 4, out);
    return true;
}

static void
reply_changed(struct req *rq, nq_rc rc)
{
    if (rc == NQ_OK)
        reply_ok(rq);
    else if (rc == NQ_EEXISTS)
        reply_error(rq, "-BUSYGROUP Consumer Group name already exists");
    else if (rc == NQ_NOTFOUND)
        refuse_group(rq);
    else
        reply_rc(rq, rc);
}

/* --- groups -------------------------------------------------------------- */

void
cmd_xgroup_create(struct req *rq)
{
    struct group_args a;
    struct stream_id id;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!parse_group(rq, true, &a))
        return;
    rc = req_find_type(rq, 2, DB_STREAM, true, &e);
    if (rc == NQ_NOTFOUND && !a.mkstream) {
        refuse_key(rq);
        return;
    }
    if (rc != NQ_OK && rc != NQ_NOTFOUND) {
        reply_rc(rq, rc);
        return;
    }
    rc = stream_open(rq->db, rq->dbi, rq->argv[2], &e, rc == NQ_OK, &s);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (arg_group_id(rq, &s, false, &id))
        reply_changed(rq, stream_group_create(&s, rq->argv[3], id, a.read));
    stream_close(&s);
}

void
cmd_xgroup_setid(struct req *rq)
{
    struct group_args a;
    struct stream_group g;
    struct stream_id id;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!parse_group(rq, false, &a) || !open_of_group(rq, &e, &s))
        return;
    rc = stream_group_find(&s, rq->argv[3], &g);
    if (rc != NQ_OK)
        reply_changed(rq, rc);
    else if (arg_group_id(rq, &s, true, &id))
        reply_changed(rq, stream_group_set_id(&s, rq->argv[3], id, a.read));
    stream_close(&s);
}

void
cmd_xgroup_destroy(struct req *rq)
{
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!open_of_group(rq, &e, &s))
        return;
    rc = stream_group_destroy(&s, rq->argv[3]);
    stream_close(&s);
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        reply_int(rq, rc == NQ_OK);
    else
        reply_rc(rq, rc);
}

/* --- consumers ----------------------------------------------------------- */

void
cmd_xgroup_createconsumer(struct req *rq)
{
    struct stream s;
    struct entry e;
    bool is_new;
    nq_rc rc;

    if (!open_of_group(rq, &e, &s))
        return;
    rc = stream_consumer_create(&s, rq->argv[3], rq->argv[4], db_now(rq->db),
                                &is_new);
    stream_close(&s);
    if (rc == NQ_OK)
        reply_int(rq, is_new);
    else
        reply_changed(rq, rc);
}

/* The first entries that are pending for the consumer; *n: how many. */
static nq_rc
first_pending(struct stream *s, const struct stream_group *g,
              const struct stream_consumer *c,
              struct stream_id ids[STREAM_SLICE], uint32_t *n)
{
    struct stream_pending p;
    struct stream_walk w;
    nq_rc rc;

    *n = 0;
    stream_walk_init(&w, s);
    rc = stream_walk_pending(&w, g, c, STREAM_ID_MIN);
    while (rc == NQ_OK && w.valid && *n < STREAM_SLICE) {
        rc = stream_walk_pending_at(&w, &p);
        ids[*n] = p.id;
        if (rc == NQ_OK) {
            ++*n;
            rc = stream_walk_next(&w);
        }
    }
    stream_walk_fini(&w);
    return rc;
}

/* A consumer with little that is pending goes at once.  Of one with more,
 * some entries are acknowledged (*is_more), and then it is looked at again. */
static nq_rc
delete_some(struct req *rq, struct stream *s, uint64_t *pending, bool *is_more)
{
    struct stream_id ids[STREAM_SLICE];
    struct stream_consumer c;
    struct stream_group g;
    uint32_t n;
    nq_rc rc;

    *is_more = false;
    *pending = 0;
    if ((rc = stream_group_find(s, rq->argv[3], &g)) != NQ_OK)
        return rc;
    rc = stream_consumer_find(s, &g, rq->argv[4], &c);
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if ((rc = first_pending(s, &g, &c, ids, &n)) != NQ_OK)
        return rc;
    if (n < STREAM_SLICE || rq->in_multi)
        return stream_consumer_delete(s, rq->argv[3], rq->argv[4], pending);
    *is_more = true;
    return stream_ack(s, rq->argv[3], ids, n, pending);
}

void
cmd_xgroup_delconsumer(struct req *rq)
{
    uint64_t *total = rq->state, pending;
    struct stream s;
    struct entry e;
    bool is_more;
    nq_rc rc;

    if (!open_of_group(rq, &e, &s))
        return;
    rc = delete_some(rq, &s, &pending, &is_more);
    stream_close(&s);
    if (rc != NQ_OK) {
        reply_changed(rq, rc);
        return;
    }
    if (!is_more) {
        reply_int(rq, (int64_t)(pending + (total == NULL ? 0 : *total)));
        return;
    }
    if (total == NULL) {
        rq->state = total = nq_calloc(1, sizeof *total);
        rq->free_state = nq_free;
    }
    *total += pending;
    req_yield(rq);
}

void
cmd_xgroup_help(struct req *rq)
{
    static const char *const lines[] = {
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        NULL};

    reply_help(rq, lines);
}

/* --- XACK ---------------------------------------------------------------- */

void
cmd_xack(struct req *rq)
{
    const struct stream_id *ids;
    struct stream_group g;
    uint64_t acked = 0;
    struct stream s;
    struct entry e;
    nq_rc rc = req_open_group(rq, 1, 2, true, &e, &s, &g);

    if (rc != NQ_OK) {
        if (rc == NQ_NOTFOUND)
            reply_int(rq, 0);
        else
            reply_rc(rq, rc);
        return;
    }
    ids = arg_stream_ids(rq, 3, rq->argc);
    if (ids != NULL) {
        rc = stream_ack(&s, rq->argv[2], ids, rq->argc - 3, &acked);
        if (rc == NQ_OK)
            reply_int(rq, (int64_t)acked);
        else
            reply_rc(rq, rc);
    }
    stream_close(&s);
}
