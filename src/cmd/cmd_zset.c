/* cmd/cmd_zset.c - reading of one member and of the whole: ZCARD, ZSCORE,
 * ZMSCORE, ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT, ZSCAN; and what all handlers of
 * sorted sets share. */
#include "cmd/cmd_zset.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "cmd/args.h"
#include "cmd/cmd_coll_scan.h"
#include "cmd/cmd_key.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "cmd/walk.h"
#include "resp/write.h"

#define BOUND_TEXT_MAX 512
#define WHOLE_MAX 4611686018427387904.0 /* 2^62 */

/* --- ranges -------------------------------------------------------------- */

/* What strtod() takes for a number: blanks before it, and nothing at all,
 * which is zero, as Redis does. */
static bool
parse_bound(struct slice s, double *out, bool *open)
{
    char text[BOUND_TEXT_MAX], *end;

    *open = s.len > 0 && s.p[0] == '(';
    if (*open)
        s = slice_of(s.p + 1, s.len - 1);
    if (slice_to_double(s, out))
        return true;
    if (s.len >= sizeof text)
        return false;
    if (s.len > 0)
        memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && !isnan(*out);
}

static bool
parse_lex_end(struct slice s, struct slice *name, enum lex_end *end)
{
    if (s.len == 0)
        return false;
    *name = slice_of(s.p + 1, s.len - 1);
    switch (s.p[0]) {
    case '-':
        *end = LEX_FIRST;
        return s.len == 1;
    case '+':
        *end = LEX_LAST;
        return s.len == 1;
    case '[':
        *end = LEX_INCLUDED;
        return true;
    case '(':
        *end = LEX_EXCLUDED;
        return true;
    default:
        return false;
    }
}

bool
zset_range_parse(struct req *rq, enum zset_order by, uint32_t min, uint32_t max,
                 struct zset_range *out)
{
    struct slice lo = rq->argv[min], hi = rq->argv[max];

    out->by = by;
    switch (by) {
    case BY_RANK:
        return arg_int(rq, min, &out->start) && arg_int(rq, max, &out->stop);
    case BY_SCORE:
        if (parse_bound(lo, &out->score.min, &out->score.min_open) &&
            parse_bound(hi, &out->score.max, &out->score.max_open))
            return true;
        reply_error(rq, "min or max is not a float");
        return false;
    case BY_LEX:
        if (parse_lex_end(lo, &out->lex.min, &out->lex.min_end) &&
            parse_lex_end(hi, &out->lex.max, &out->lex.max_end))
            return true;
        reply_error(rq, "min or max not valid string range item");
        return false;
    }
    return false;
}

static struct span
span_of_ranks(int64_t start, int64_t stop, uint64_t card)
{
    int64_t n = (int64_t)card;

    if (start < 0)
        start = start < -n ? 0 : start + n;
    if (stop < 0)
        stop = stop < -n ? -1 : stop + n;
    stop = nq_min(stop, n - 1);
    if (start > stop)
        return (struct span){0, 0};
    return (struct span){(uint64_t)start, (uint64_t)(stop - start) + 1};
}

nq_rc
zset_range_span(struct zset *z, const struct zset_range *r, bool backwards,
                struct span *out)
{
    if (r->by == BY_SCORE)
        return zset_by_score(z, &r->score, out);
    if (r->by == BY_LEX)
        return zset_by_lex(z, &r->lex, out);
    *out = span_of_ranks(r->start, r->stop, z->card);
    if (backwards && out->n > 0)
        out->from = z->card - out->from - out->n;
    return NQ_OK;
}

/* --- finding ------------------------------------------------------------- */

bool
zset_look(struct req *rq, uint32_t i, bool write, struct entry *e, bool *found)
{
    return key_is_found(rq, req_find_type(rq, i, DB_ZSET, write, e), found);
}

bool
zset_look_open(struct req *rq, uint32_t i, struct entry *e, bool *found,
               struct zset *z)
{
    nq_rc rc;

    if (!zset_look(rq, i, false, e, found))
        return false;
    if (!*found)
        return true;
    rc = zset_open(rq->db, rq->dbi, rq->argv[i], e, true, z);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    return rc == NQ_OK;
}

/* --- telling ------------------------------------------------------------- */

void
reply_member(struct req *rq, const struct member *m, bool with_score)
{
    if (with_score && rq->s->resp > 2)
        reply_array(rq, 2);
    reply_bulk(rq, m->name);
    if (with_score)
        reply_double(rq, m->score);
}

uint64_t
reply_members_header(const struct req *rq, uint64_t n, bool with_scores)
{
    return with_scores && rq->s->resp == 2 ? 2 * n : n;
}

static nq_rc
emit_member(struct req *rq, struct coll *c, const struct item *it,
            uint32_t flags)
{
    struct member m;

    nq_unused(c);
    if (!zset_member_of(it, &m))
        return NQ_ECORRUPT;
    reply_member(rq, &m, (flags & ZSET_WITH_SCORES) != 0);
    return NQ_OK;
}

void
zset_tell(struct req *rq, struct zset *z, struct span span, bool backwards,
          bool with_scores)
{
    struct walk_plan plan = {
        .shape = WALK_ARRAY,
        .header = reply_members_header(rq, span.n, with_scores),
        .n = span.n,
        .backwards = backwards,
        .by_rank = true,
        .rank = z->first + span.from + (backwards ? span.n - 1 : 0),
        .emit = emit_member,
        .flags = with_scores ? ZSET_WITH_SCORES : 0};

    if (span.n == 0)
        reply_array(rq, 0);
    else
        walk_tell(rq, &z->coll, &plan);
}

/* --- one member ---------------------------------------------------------- */

void
cmd_zcard(struct req *rq)
{
    struct entry e;
    struct zset z;
    bool found;

    if (!zset_look_open(rq, 1, &e, &found, &z))
        return;
    reply_int(rq, found ? (int64_t)z.card : 0);
    if (found)
        zset_close(&z);
}

/* The score or null; not NQ_OK: nothing is put. */
static nq_rc
reply_score(struct req *rq, struct zset *z, bool found, struct slice name)
{
    double score;
    nq_rc rc = found ? zset_score(z, name, &score) : NQ_NOTFOUND;

    if (rc == NQ_OK)
        reply_double(rq, score);
    else if (rc == NQ_NOTFOUND)
        reply_null(rq);
    else
        return rc;
    return NQ_OK;
}

static void
reply_scores(struct req *rq, bool many)
{
    uint64_t mark = reply_mark(rq);
    struct entry e;
    struct zset z;
    bool found;
    nq_rc rc = NQ_OK;

    if (!zset_look_open(rq, 1, &e, &found, &z))
        return;
    if (many)
        reply_array(rq, rq->argc - 2);
    for (uint32_t i = 2; i < rq->argc && rc == NQ_OK; i++)
        rc = reply_score(rq, &z, found, rq->argv[i]);
    if (found)
        zset_close(&z);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

void
cmd_zscore(struct req *rq)
{
    reply_scores(rq, false);
}

void
cmd_zmscore(struct req *rq)
{
    reply_scores(rq, true);
}

static void
reply_rank(struct req *rq, bool backwards)
{
    uint64_t rank = 0, card = 0;
    bool with_score = rq->argc == 4, found;
    double score = 0;
    struct entry e;
    struct zset z;
    nq_rc rc = NQ_NOTFOUND;

    if (rq->argc > 4) {
        reply_wrong_arity(rq);
        return;
    }
    if (with_score && !slice_is(rq->argv[3], "WITHSCORE")) {
        reply_syntax(rq);
        return;
    }
    if (!zset_look_open(rq, 1, &e, &found, &z))
        return;
    if (found) {
        rc = zset_rank(&z, rq->argv[2], &rank, &score);
        card = z.card;
        zset_close(&z);
    }
    if (rc == NQ_OK) {
        if (with_score)
            reply_array(rq, 2);
        reply_int(rq, (int64_t)(backwards ? card - 1 - rank : rank));
        if (with_score)
            reply_double(rq, score);
    } else if (rc != NQ_NOTFOUND) {
        reply_rc(rq, rc);
    } else if (with_score) {
        reply_null_array(rq);
    } else {
        reply_null(rq);
    }
}

void
cmd_zrank(struct req *rq)
{
    reply_rank(rq, false);
}

void
cmd_zrevrank(struct req *rq)
{
    reply_rank(rq, true);
}

/* --- counts -------------------------------------------------------------- */

static void
reply_count(struct req *rq, enum zset_order by)
{
    struct span span = {0, 0};
    struct zset_range range;
    struct entry e;
    struct zset z;
    bool found;
    nq_rc rc = NQ_OK;

    if (!zset_range_parse(rq, by, 2, 3, &range) ||
        !zset_look_open(rq, 1, &e, &found, &z))
        return;
    if (found) {
        rc = zset_range_span(&z, &range, false, &span);
        zset_close(&z);
    }
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)span.n);
    else
        reply_rc(rq, rc);
}

void
cmd_zcount(struct req *rq)
{
    reply_count(rq, BY_SCORE);
}

void
cmd_zlexcount(struct req *rq)
{
    reply_count(rq, BY_LEX);
}

/* --- ZSCAN --------------------------------------------------------------- */

static struct slice
name_of_item(const struct item *it)
{
    struct member m;

    return zset_member_of(it, &m) ? m.name : slice_lit("");
}

/* Small sets keep whole scores as integers, in Redis, and show them so. */
static size_t
score_text(const struct coll *c, double score, char *dst)
{
    if (zset_is_listpack(c) && score > -WHOLE_MAX && score < WHOLE_MAX &&
        score == (double)(int64_t)score)
        return i64_to_text(dst, (int64_t)score);
    return resp_double_text(dst, score);
}

static nq_rc
put_scanned(struct req *rq, struct coll *c, const struct item *it,
            bool novalues, struct listing *l)
{
    char text[32];
    struct member m;
    bool is_there;
    nq_rc rc = zset_item_is_there(c, it, &is_there);

    nq_unused(rq);
    nq_unused(novalues);
    if (rc != NQ_OK)
        return rc;
    if (!is_there || !zset_member_of(it, &m))
        return NQ_NOTFOUND;
    listing_put(l, m.name);
    listing_put(l, slice_of(text, score_text(c, m.score, text)));
    return NQ_OK;
}

void
cmd_zscan(struct req *rq)
{
    const struct coll_scan kind = {.type = DB_ZSET,
                                   .prefix = ZSET_NAMES,
                                   .name = name_of_item,
                                   .put = put_scanned};

    coll_scan(rq, &kind);
}
