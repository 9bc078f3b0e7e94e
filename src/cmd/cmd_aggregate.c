/* cmd/cmd_aggregate.c - NQ.AGG: sums over the rows of a range.
 *
 *   NQ.AGG start end | PREFIX p | RANGE start end  [WHERE expression]
 *       COUNT | SUM path | MIN path | MAX path | AVG path ...
 *       [GROUP BY path | GROUP BY KEY separator n]
 *
 * What each of them is stands in cmd/aggregate.h.  GROUP BY KEY takes part `n`
 * of the key, counted from 1, between separators.
 *
 * The answer is a map (RESP2: a flat array): "count" an integer; "sum temp" an
 * integer, a big number or a double, 0 if there is no number; "min temp" and
 * "max temp" bulks as they were spelled, "avg temp" a double, or null if there
 * is nothing.  With GROUP BY it is a flat array in both protocols: group, map,
 * group, map ... in the order of groups, null first: rows that have no such
 * path or part.
 *
 *   NQ.AGG PREFIX s: COUNT AVG temp GROUP BY site
 *   RESP3  *4 "north" {"count": 2, "avg temp": 21.5} "south" {...}
 *
 * Workers add rows to parts of their own, which are merged at the end.  The
 * result is kept (cmd/result_cache.h) until a key of the range is written or
 * one of the database expires, unless it depends on $ttl. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/aggregate.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/matching.h"
#include "cmd/offload.h"
#include "cmd/reply.h"
#include "cmd/result_cache.h"
#include "cmd/select.h"

#define AGG_MAGIC 0x41474752u
#define FREE_AT_ONCE 512u   /* groups */
#define GROUPS_PER_LOOK 16u /* answered between two looks at the clock */

/* What is wanted, and what it came to: shared with the cache. */
struct result {
    unsigned refs;
    struct engine *engine;
    struct aggregate_spec spec;
    struct aggregate_part *sum; /* NULL: no row matched */
};

struct agg {
    uint32_t magic;
    struct matching *matching; /* NULL: the result is known */
    struct result *result;
    uint64_t ticket, until_ms; /* of the cache; 0: not to be kept */
    bool has_header;
    size_t next; /* group to be answered */
};

static void
part_free(void *part)
{
    aggregate_part_free(part);
}

static void
result_unref(void *arg)
{
    struct result *r = arg;

    if (--r->refs > 0)
        return;
    if (r->sum != NULL && aggregate_group_count(r->sum) > FREE_AT_ONCE)
        offload_free(r->engine, r->sum, part_free);
    else
        aggregate_part_free(r->sum);
    aggregate_spec_fini(&r->spec);
    nq_free(r);
}

static void
agg_free(void *state)
{
    struct agg *a;

    NQ_CAST(a, state, AGG_MAGIC);
    matching_close(a->matching);
    result_unref(a->result);
    nq_free(a);
}

/* --- arguments ------------------------------------------------------------ */

static const char *const own_words[] = {"COUNT", "SUM",   "MIN", "MAX",
                                        "AVG",   "GROUP", NULL};

static bool
parse_path(struct req *rq, uint32_t *i, struct path **out)
{
    struct query_error err;

    if (*i >= rq->argc) {
        reply_syntax(rq);
        return false;
    }
    if (path_compile(rq->argv[(*i)++], out, &err) == NQ_OK)
        return true;
    reply_error(rq, "query: %s", err.text);
    return false;
}

static bool
parse_item(struct req *rq, uint32_t *i, struct aggregate_spec *spec)
{
    struct slice word = rq->argv[(*i)++];
    struct path *path = NULL;
    unsigned op = AGGREGATE_COUNT;

    while (op <= AGGREGATE_AVG &&
           !slice_is(word, aggregate_op_name((enum aggregate_op)op)))
        op++;
    if (op > AGGREGATE_AVG) {
        reply_syntax(rq);
        return false;
    }
    if (op != AGGREGATE_COUNT && !parse_path(rq, i, &path))
        return false;
    if (aggregate_spec_add(spec, (enum aggregate_op)op, path))
        return true;
    reply_error(rq, "NQ.AGG takes at most %u aggregates", AGGREGATE_ITEMS_MAX);
    return false;
}

/* Behind GROUP BY KEY. */
static bool
parse_key_part(struct req *rq, uint32_t *i, struct aggregate_spec *spec)
{
    int64_t n;

    if (rq->argc - *i < 2 || rq->argv[*i].len == 0) {
        reply_syntax(rq);
        return false;
    }
    if (!slice_to_i64(rq->argv[*i + 1], &n) || n < 1) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    spec->by = AGGREGATE_BY_KEY;
    buf_put_slice(&spec->separator, rq->argv[*i]);
    spec->nth = (uint64_t)n;
    *i += 2;
    return true;
}

/* GROUP stands at argv[*i]. */
static bool
parse_group(struct req *rq, uint32_t *i, struct aggregate_spec *spec)
{
    if (spec->by != AGGREGATE_ALL || rq->argc - *i < 3 ||
        !slice_is(rq->argv[*i + 1], "BY")) {
        reply_syntax(rq);
        return false;
    }
    *i += 2;
    if (slice_is(rq->argv[*i], "KEY") && rq->argc - *i > 1) {
        ++*i;
        return parse_key_part(rq, i, spec);
    }
    spec->by = AGGREGATE_BY_PATH;
    return parse_path(rq, i, &spec->group);
}

static bool
parse_range(struct req *rq, uint32_t *i, struct select *sel)
{
    *i = 1;
    if (slice_is(rq->argv[1], "PREFIX") || slice_is(rq->argv[1], "RANGE"))
        return select_parse_selector(rq, i, sel);
    sel->range = range_parse(rq, rq->argv[1], rq->argv[2]);
    *i = 3;
    return true;
}

static bool
parse(struct req *rq, struct select *sel, struct aggregate_spec *spec)
{
    uint32_t i;

    if (!parse_range(rq, &i, sel))
        return false;
    while (i < rq->argc) {
        if (!select_parse_clauses(rq, &i, SELECT_WHERE, own_words, sel))
            return false;
        if (i == rq->argc)
            break;
        if (slice_is(rq->argv[i], "GROUP") ? !parse_group(rq, &i, spec)
                                           : !parse_item(rq, &i, spec))
            return false;
    }
    if (spec->count > 0)
        return true;
    reply_syntax(rq);
    return false;
}

/* --- what a matching calls ------------------------------------------------ */

static const struct aggregate_spec *
spec_of(const void *arg)
{
    return &((const struct result *)arg)->spec;
}

static void *
part_new(const void *arg)
{
    return aggregate_part_new(spec_of(arg));
}

static nq_rc
fold(const void *arg, void *part, const struct row *r, struct row_scratch *s)
{
    return aggregate_add(spec_of(arg), part, r, s);
}

static nq_rc
merge(const void *arg, void *into, void *part)
{
    nq_unused(arg);
    return aggregate_merge(into, part);
}

static void
seal(const void *arg, void *sum)
{
    nq_unused(arg);
    aggregate_sort(sum);
}

static size_t
weight(const void *part)
{
    return aggregate_group_count(part);
}

/* --- the cache ------------------------------------------------------------ */

/* The database and all arguments. */
static struct slice
cache_key(struct req *rq)
{
    struct buf b = BUF_INIT;
    struct slice key;

    buf_put_varint(&b, rq->dbi);
    for (uint32_t i = 1; i < rq->argc; i++) {
        buf_put_varint(&b, rq->argv[i].len);
        buf_put_slice(&b, rq->argv[i]);
    }
    key = slice_of(arena_memdup(rq->arena, b.p, b.len), b.len);
    buf_fini(&b);
    return key;
}

static bool
depends_on_time(const struct req *rq)
{
    for (uint32_t i = 1; i < rq->argc; i++)
        if (memmem(rq->argv[i].p, rq->argv[i].len, "$ttl", 4) != NULL)
            return true;
    return false;
}

/* A key that ends without being written ends all results of its database. */
static void
begin_caching(struct req *rq, struct agg *a, const struct range *r)
{
    uint64_t earliest;

    if (rq->in_multi || depends_on_time(rq) ||
        btree_earliest(db_tree(rq->db, rq->dbi), &earliest) != NQ_OK ||
        (earliest != 0 && earliest <= db_now(rq->db)))
        return;
    a->until_ms = earliest;
    a->ticket = result_cache_begin(rq->engine->results, cache_key(rq), rq->dbi,
                                   r->lo, range_hi(r));
}

static void
end_caching(struct req *rq, struct agg *a)
{
    const struct result *r = a->result;
    size_t bytes = sizeof *r;

    if (a->ticket == 0)
        return;
    if (r->sum != NULL)
        bytes += aggregate_bytes(r->sum);
    if (result_cache_put(rq->engine->results, a->ticket, a->result, bytes,
                         result_unref, a->until_ms))
        a->result->refs++;
}

/* --- the answer ----------------------------------------------------------- */

static void
reply_sum(struct req *rq, const struct exact_sum *s)
{
    char text[EXACT_SUM_TEXT];
    int64_t whole = (int64_t)s->whole;

    if (!exact_sum_is_whole(s)) {
        reply_double(rq, exact_sum_value(s));
    } else if (whole == s->whole) {
        reply_int(rq, whole);
    } else {
        exact_sum_text(s, text);
        reply_bignum(rq, text);
    }
}

static void
reply_item(struct req *rq, enum aggregate_op op, uint64_t rows,
           const struct aggregate_cell *c)
{
    static const struct exact_sum none;

    switch (op) {
    case AGGREGATE_COUNT:
        reply_int(rq, (int64_t)rows);
        break;
    case AGGREGATE_SUM:
        reply_sum(rq, c == NULL ? &none : &c->sum);
        break;
    case AGGREGATE_AVG:
        if (c == NULL || c->numbers == 0)
            reply_null(rq);
        else
            reply_double(rq, exact_sum_value(&c->sum) / (double)c->numbers);
        break;
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
        if (c == NULL || !c->best.has)
            reply_null(rq);
        else
            reply_bulk(rq, aggregate_best_text(&c->best));
        break;
    }
}

/* g NULL: there is no row. */
static void
reply_cells(struct req *rq, const struct aggregate_spec *spec,
            const struct aggregate_group *g)
{
    reply_map(rq, spec->count);
    for (uint32_t i = 0; i < spec->count; i++) {
        const struct aggregate_item *item = &spec->items[i];
        const char *name = aggregate_op_name(item->op);
        struct slice path;

        if (item->op == AGGREGATE_COUNT) {
            reply_bulk_str(rq, name);
        } else {
            path = path_text(spec->paths[item->path]);
            reply_bulk_printf(rq, "%s %.*s", name, (int)path.len,
                              (const char *)path.p);
        }
        reply_item(rq, item->op, g == NULL ? 0 : g->rows,
                   g == NULL ? NULL : &g->cells[i]);
    }
}

/* As many as the slice allows. */
static void
reply_groups(struct req *rq, struct agg *a)
{
    const struct result *r = a->result;
    size_t n = r->sum == NULL ? 0 : aggregate_group_count(r->sum);

    if (!a->has_header)
        reply_array(rq, 2 * n);
    a->has_header = true;
    while (a->next < n) {
        const struct aggregate_group *g = aggregate_group_at(r->sum, a->next++);

        if (g->is_null)
            reply_null(rq);
        else
            reply_bulk(rq, g->name);
        reply_cells(rq, &r->spec, g);
        if (a->next % GROUPS_PER_LOOK == 0 && a->next < n &&
            req_should_yield(rq)) {
            rq->keep_output = true;
            req_yield(rq);
            return;
        }
    }
}

static void
answer(struct req *rq, struct agg *a)
{
    const struct result *r = a->result;

    if (r->spec.by != AGGREGATE_ALL)
        reply_groups(rq, a);
    else
        reply_cells(rq, &r->spec,
                    r->sum == NULL ? NULL : aggregate_group_at(r->sum, 0));
}

/* --- the command ---------------------------------------------------------- */

static void
reply_failure(struct req *rq, nq_rc rc)
{
    if (rc == NQ_ELIMIT)
        reply_error(rq, "GROUP BY makes more than %u groups",
                    AGGREGATE_GROUPS_MAX);
    else
        reply_rc(rq, rc);
}

static void
go_on(struct req *rq, struct agg *a)
{
    nq_rc rc = NQ_OK;

    db_gate_all(rq->db, rq->dbi);
    if (a->matching != NULL) {
        if ((rc = matching_finish(a->matching)) == NQ_AGAIN) {
            req_block(rq);
            return;
        }
        if (rc != NQ_OK) {
            reply_failure(rq, rc);
            return;
        }
        a->result->sum = matching_take_sum(a->matching);
        matching_close(a->matching);
        a->matching = NULL;
        end_caching(rq, a);
    }
    answer(rq, a);
}

static struct agg *
agg_new(struct req *rq, struct result *r)
{
    struct agg *a = nq_calloc(1, sizeof *a);

    a->magic = AGG_MAGIC;
    a->result = r;
    r->refs++;
    rq->state = a;
    rq->free_state = agg_free;
    return a;
}

/* Takes the spec over. */
static void
begin(struct req *rq, struct select *sel, struct aggregate_spec *spec)
{
    struct result *r = nq_calloc(1, sizeof *r);
    struct matching_opts opts = {.what = MATCHING_FOLD,
                                 .how = {.arg = r,
                                         .needs = aggregate_needs(spec),
                                         .part_new = part_new,
                                         .fold = fold,
                                         .merge = merge,
                                         .seal = seal,
                                         .weight = weight,
                                         .part_free = part_free,
                                         .free = result_unref}};
    struct agg *a;

    r->engine = rq->engine;
    r->spec = *spec;
    *spec = (struct aggregate_spec){0};
    a = agg_new(rq, r);
    begin_caching(rq, a, &sel->range);
    r->refs++; /* the matching's */
    a->matching = matching_open_for(rq, sel, &opts);
    go_on(rq, a);
}

void
cmd_nq_agg(struct req *rq)
{
    struct aggregate_spec spec = {0};
    struct select sel = {.range = {.lo = slice_lit("")}};
    struct result *known;

    if (rq->state != NULL) {
        go_on(rq, rq->state);
        return;
    }
    if (parse(rq, &sel, &spec)) {
        known = result_cache_find(rq->engine->results, cache_key(rq),
                                  db_now(rq->db));
        if (known != NULL)
            go_on(rq, agg_new(rq, known));
        else
            begin(rq, &sel, &spec);
    }
    aggregate_spec_fini(&spec);
    select_fini(&sel);
}
