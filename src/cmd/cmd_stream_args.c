/* cmd/cmd_stream_args.c - ids, ranges and the words of XADD and XTRIM, read as
 * Redis reads them; and opening what the arguments name. */
#include "cmd/cmd_stream.h"

#include "base/arena.h"
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/reply.h"

#define ID_MAX 127 /* bytes of an id that are looked at */

/* --- ids ----------------------------------------------------------------- */

static bool
parse_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return s.len > 0;
}

/* The two numbers around the first dash; *has_seq false: there is none. */
static bool
split(struct slice s, struct slice *ms, struct slice *seq)
{
    const uint8_t *dash = s.len == 0 ? NULL : memchr(s.p, '-', s.len);

    *ms = s;
    *seq = slice_lit("");
    if (dash == NULL)
        return false;
    ms->len = (size_t)(dash - s.p);
    *seq = slice_of(dash + 1, s.len - ms->len - 1);
    return true;
}

bool
stream_id_parse(struct slice text, uint64_t missing_seq, struct stream_id *out)
{
    struct slice ms, seq;
    bool has_seq = split(text, &ms, &seq);

    out->seq = missing_seq;
    return text.len <= ID_MAX && parse_u64(ms, &out->ms) &&
           (!has_seq || parse_u64(seq, &out->seq));
}

static bool
refuse_id(struct req *rq)
{
    reply_error(rq, "Invalid stream ID specified as stream command argument");
    return false;
}

bool
arg_stream_id(struct req *rq, uint32_t i, struct stream_id *out)
{
    return stream_id_parse(rq->argv[i], 0, out) || refuse_id(rq);
}

struct stream_id *
arg_stream_ids(struct req *rq, uint32_t i, uint32_t n)
{
    struct stream_id *ids = arena_alloc(rq->arena, (n - i) * sizeof *ids);

    for (uint32_t k = i; k < n; k++)
        if (!arg_stream_id(rq, k, &ids[k - i]))
            return NULL;
    return ids;
}

/* *is_open: the id itself is not in the range. */
static bool
arg_bound(struct req *rq, uint32_t i, uint64_t missing_seq, bool *is_open,
          struct stream_id *out)
{
    struct slice text = rq->argv[i];

    *is_open = text.len > 1 && text.p[0] == '(';
    if (*is_open)
        text = slice_of(text.p + 1, text.len - 1);
    else if (slice_eq(text, slice_lit("-")) || slice_eq(text, slice_lit("+"))) {
        *out = text.p[0] == '-' ? STREAM_ID_MIN : STREAM_ID_MAX;
        return true;
    }
    return stream_id_parse(text, missing_seq, out) || refuse_id(rq);
}

bool
arg_stream_start(struct req *rq, uint32_t i, struct stream_id *out)
{
    bool is_open;

    if (!arg_bound(rq, i, 0, &is_open, out))
        return false;
    if (!is_open || stream_id_next(out))
        return true;
    reply_error(rq, "invalid start ID for the interval");
    return false;
}

bool
arg_stream_end(struct req *rq, uint32_t i, struct stream_id *out)
{
    bool is_open;

    if (!arg_bound(rq, i, UINT64_MAX, &is_open, out))
        return false;
    if (!is_open || stream_id_prev(out))
        return true;
    reply_error(rq, "invalid end ID for the interval");
    return false;
}

/* --- XADD and XTRIM ------------------------------------------------------ */

static bool
arg_not_negative(struct req *rq, uint32_t i, const char *name, uint64_t *out)
{
    int64_t v;

    if (!arg_int(rq, i, &v))
        return false;
    if (v < 0) {
        reply_error(rq, "The %s argument must be >= 0.", name);
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

/* MAXLEN or MINID at argv[*i], which is left on the last word. */
static bool
arg_strategy(struct req *rq, uint32_t *i, bool is_maxlen,
             struct stream_trim *trim)
{
    if (trim->by != TRIM_NONE) {
        reply_error(rq, "syntax error, MAXLEN and MINID options at the same "
                        "time are not compatible");
        return false;
    }
    if (rq->argc - *i > 2 && (slice_eq(rq->argv[*i + 1], slice_lit("~")) ||
                              slice_eq(rq->argv[*i + 1], slice_lit("=")))) {
        trim->is_approximate = rq->argv[*i + 1].p[0] == '~';
        ++*i;
    }
    ++*i;
    trim->by = is_maxlen ? TRIM_MAXLEN : TRIM_MINID;
    return is_maxlen ? arg_not_negative(rq, *i, "MAXLEN", &trim->maxlen)
                     : arg_stream_id(rq, *i, &trim->minid);
}

/* The id of XADD, which ends the options. */
static bool
arg_new_id(struct req *rq, uint32_t i, struct stream_add_args *a)
{
    struct slice text = rq->argv[i], ms, seq;

    a->id_at = i;
    if (slice_eq(text, slice_lit("*")))
        return true;
    a->has_id = true;
    if (split(text, &ms, &seq) && slice_eq(seq, slice_lit("*"))) {
        a->id.seq = 0;
        return parse_u64(ms, &a->id.ms) || refuse_id(rq);
    }
    a->has_seq = true;
    return arg_stream_id(rq, i, &a->id);
}

/* What can be said only when all words are known. */
static bool
check_trim(struct req *rq, bool is_add, bool has_limit,
           struct stream_trim *trim)
{
    uint64_t nodes = db_limits(rq->db)->stream_node_max_entries;

    if (trim->limit != 0 && trim->by == TRIM_NONE) {
        reply_error(rq, "syntax error, LIMIT cannot be used without specifying "
                        "a trimming strategy");
        return false;
    }
    if (!is_add && trim->by == TRIM_NONE) {
        reply_error(rq, "syntax error, XTRIM must be called with a trimming "
                        "strategy");
        return false;
    }
    if (has_limit && !trim->is_approximate) {
        reply_error(rq, "syntax error, LIMIT cannot be used without the "
                        "special ~ option");
        return false;
    }
    if (!has_limit && trim->is_approximate)
        trim->limit = nodes == 0 ? 10000 : nq_min(100 * nodes, 1000000u);
    return true;
}

bool
arg_stream_add(struct req *rq, bool is_add, struct stream_add_args *out)
{
    bool has_limit = false;
    uint32_t i;

    *out = (struct stream_add_args){.id_at = rq->argc};
    for (i = 2; i < rq->argc && out->id_at == rq->argc; i++) {
        bool has_more = i + 1 < rq->argc, is_maxlen;
        struct slice word = rq->argv[i];

        is_maxlen = slice_is(word, "MAXLEN");
        if (has_more && (is_maxlen || slice_is(word, "MINID"))) {
            if (!arg_strategy(rq, &i, is_maxlen, &out->trim))
                return false;
        } else if (has_more && slice_is(word, "LIMIT")) {
            if (!arg_not_negative(rq, ++i, "LIMIT", &out->trim.limit))
                return false;
            has_limit = true;
        } else if (is_add && slice_is(word, "NOMKSTREAM")) {
            out->no_mkstream = true;
        } else if (!is_add) {
            reply_syntax(rq);
            return false;
        } else if (!arg_new_id(rq, i, out)) {
            return false;
        }
    }
    return check_trim(rq, is_add, has_limit, &out->trim);
}

/* --- opening ------------------------------------------------------------- */

nq_rc
req_open_stream(struct req *rq, uint32_t i, bool write, struct entry *e,
                struct stream *s)
{
    nq_rc rc = req_find_type(rq, i, DB_STREAM, write, e);

    if (rc != NQ_OK)
        return rc;
    rc = stream_open(rq->db, rq->dbi, rq->argv[i], e, true, s);
    if (rc != NQ_OK)
        stream_close(s);
    return rc;
}

nq_rc
req_open_group(struct req *rq, uint32_t i, uint32_t group, bool write,
               struct entry *e, struct stream *s, struct stream_group *g)
{
    nq_rc rc = req_open_stream(rq, i, write, e, s);

    if (rc != NQ_OK)
        return rc;
    rc = stream_group_find(s, rq->argv[group], g);
    if (rc != NQ_OK)
        stream_close(s);
    return rc;
}
