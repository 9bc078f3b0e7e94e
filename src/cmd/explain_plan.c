/* cmd/explain_plan.c - what a command will do, said before it does it.
 *
 * A query is a row of the table: where its selector stands, and the words of
 * its own that end a WHERE.  Its plan is that of cmd/plan.h, which the query
 * itself is run by; of all other commands the keys are told. */
#include "cmd/explain.h"

#include <stdio.h>

#include "base/check.h"
#include "cmd/engine.h"
#include "cmd/cmd_grover.h"
#include "cmd/plan.h"
#include "cmd/reply.h"
#include "cmd/select.h"

#define SHOWN_MAX 96u /* bytes of a key */
#define ALL_CLAUSES                                                            \
    (SELECT_WHERE | SELECT_RETURN | SELECT_LIMIT | SELECT_ORDER | SELECT_WHAT)

enum selector_form {
    FORM_BOUNDS,   /* start end; or a selector */
    FORM_PREFIX,   /* p */
    FORM_SELECTOR, /* PREFIX p | RANGE start end */
    FORM_GROVER    /* as cmd/cmd_grover.h reads it; `at` is its kind */
};

struct query_form {
    const char *name;
    enum selector_form form;
    uint32_t at;
    const char *const *own;
};

static const char *const no_words[] = {NULL};
static const char *const agg_words[] = {"COUNT", "SUM",   "MIN", "MAX",
                                        "AVG",   "GROUP", NULL};
static const char *const cursor_words[] = {"SNAPSHOT", NULL};
static const char *const stream_words[] = {"SNAPSHOT", "BATCH", "CREDITS",
                                           NULL};
static const char *const feed_words[] = {"SNAPSHOT", "FROM",   "NOW", "EVENTS",
                                         "AS",       "POLICY", NULL};
static const struct query_form forms[] = {
    {"nq.range", FORM_BOUNDS, 1, no_words},
    {"nq.prefix", FORM_PREFIX, 1, no_words},
    {"nq.count", FORM_BOUNDS, 1, no_words},
    {"nq.agg", FORM_BOUNDS, 1, agg_words},
    {"nq.delrange", FORM_BOUNDS, 1, no_words},
    {"nq.cursor|open", FORM_SELECTOR, 2, cursor_words},
    {"nq.stream", FORM_SELECTOR, 1, stream_words},
    {"nq.subscribe", FORM_SELECTOR, 1, feed_words},
    {"nq.grover", FORM_GROVER, GROVER_FIND, NULL},
    {"nq.grover.plan", FORM_GROVER, GROVER_FIND, NULL},
    {"nq.grover.min", FORM_GROVER, GROVER_LEAST, NULL},
    {"nq.grover.max", FORM_GROVER, GROVER_GREATEST, NULL},
    {"nq.grover.spectrum", FORM_GROVER, GROVER_SPECTRUM, NULL},
};

static const struct query_form *
find_form(const struct command *cmd)
{
    for (size_t i = 0; i < nq_countof(forms); i++)
        if (strcmp(cmd->name, forms[i].name) == 0)
            return &forms[i];
    return NULL;
}

/* --- the query ------------------------------------------------------------ */

static bool
parse_selector(struct req *rq, const struct query_form *f, uint32_t *i,
               struct select *sel)
{
    uint32_t left;

    *i = f->at;
    left = rq->argc - nq_min(*i, rq->argc);
    if (f->form == FORM_PREFIX && left >= 1) {
        sel->range = range_of_prefix(rq, rq->argv[*i]);
        sel->is_prefix = true;
        *i += 1;
        return true;
    }
    if (f->form == FORM_SELECTOR ||
        (left >= 2 && strncmp(f->name, "nq.agg", 6) == 0 &&
         (slice_is(rq->argv[*i], "PREFIX") ||
          (left >= 3 && slice_is(rq->argv[*i], "RANGE")))))
        return select_parse_selector(rq, i, sel);
    if (left < 2) {
        reply_syntax(rq);
        return false;
    }
    sel->range = range_parse(rq, rq->argv[*i], rq->argv[*i + 1]);
    *i += 2;
    return true;
}

/* What the command has besides clauses is for itself to judge. */
static bool
parse_query(struct req *rq, const struct query_form *f, struct select *sel)
{
    uint32_t i;

    if (!parse_selector(rq, f, &i, sel))
        return false;
    do
        if (!select_parse_clauses(rq, &i, ALL_CLAUSES, f->own, sel))
            return false;
    while (i++ < rq->argc);
    if (sel->range.is_empty && sel->reverse && f->form == FORM_BOUNDS)
        sel->range = range_parse(rq, rq->argv[f->at + 1], rq->argv[f->at]);
    return true;
}

/* --- what is told --------------------------------------------------------- */

static void
put_key(struct explain_tree *t, const char *name, struct slice key)
{
    char text[SHOWN_MAX * 4 + 8];
    size_t n = 0;

    for (size_t i = 0; i < nq_min(key.len, (size_t)SHOWN_MAX); i++)
        n += (size_t)snprintf(
            text + n, sizeof text - n,
            key.p[i] < ' ' || key.p[i] == 127 ? "\\x%02x" : "%c", key.p[i]);
    if (key.len > SHOWN_MAX)
        n += (size_t)snprintf(text + n, sizeof text - n, "...");
    explain_text(t, name, slice_of(text, n));
}

static void
put_plan(struct explain_tree *t, const struct plan *p, const struct select *sel)
{
    char reason[PLAN_REASON_MAX];

    explain_open(t, "plan");
    explain_text(t, "path", slice_str(plan_kind_name(p->kind)));
    explain_text(t, "reason", slice_str(plan_reason(p, reason)));
    if (p->kind == PLAN_INDEX)
        put_key(t, "index", p->index_name);
    if (p->kind == PLAN_SEEK) {
        put_key(t, "key", p->lo);
    } else if (p->kind == PLAN_RANGE || p->kind == PLAN_INDEX) {
        put_key(t, "from", p->lo);
        put_key(t, "below", p->has_hi ? p->hi : slice_lit("+"));
    }
    if (sel->where != NULL)
        put_key(t, "where", program_text(sel->where));
}

/* --- Grover --------------------------------------------------------------- */

static void
put_grover(struct req *rq, struct explain_tree *t, const struct grover_query *q)
{
    struct grover_plan p;

    grover_plan_query(rq->engine->grover, q, &p);
    explain_open(t, "quantum");
    explain_printf(t, "decision",
                   p.simulates ? "Grover(N=%llu), simulated"
                               : "classical scan of %llu rows",
                   (unsigned long long)q->rows);
    explain_text(t, "reason", slice_str(p.reason));
    explain_int(t, "qubits", p.qubits);
    explain_int(t, "state bytes", p.bytes);
    explain_int(t, "iterations", p.iterations);
    if (p.success > 0)
        explain_real(t, "success probability", p.success);
    explain_close(t);
}

/* --- queries -------------------------------------------------------------- */

/* A count of keys is the difference of two ranks: two ways down the tree. */
static bool
is_by_ranks(const struct query_form *f, const struct select *sel)
{
    return strcmp(f->name, "nq.count") == 0 && sel->where == NULL;
}

static uint64_t
rows_wanted(const struct select *sel)
{
    if (sel->count < 0)
        return UINT64_MAX;
    return (uint64_t)sel->count +
           (sel->where != NULL && sel->offset > 0 ? (uint64_t)sel->offset : 0);
}

/* Of a snapshot there is no index; a search marks each row of its range. */
static bool
reads_all_rows(const struct req *rq, const struct query_form *f)
{
    if (f->form == FORM_GROVER)
        return true;
    if (f->own != cursor_words && f->own != stream_words)
        return false;
    for (uint32_t i = f->at; i < rq->argc; i++)
        if (slice_is(rq->argv[i], "SNAPSHOT"))
            return true;
    return false;
}

static void
keep_plan(const struct plan *p, const struct select *sel,
          struct explain_plan *out)
{
    out->has_range = p->kind != PLAN_EMPTY;
    out->has_hi = p->has_hi || p->kind == PLAN_SEEK;
    out->reverse = sel->reverse;
    out->reads_in_order = p->kind == PLAN_RANGE || p->kind == PLAN_SCAN;
    buf_put_slice(&out->lo, p->lo);
    buf_put_slice(&out->hi, p->kind == PLAN_SEEK ? p->lo : p->hi);
    if (p->kind == PLAN_SEEK)
        buf_put_u8(&out->hi, 0);
    if (sel->where != NULL)
        out->where = program_ref(sel->where);
    out->has_matches = sel->where == NULL || p->kind == PLAN_INDEX;
    out->rows_in_range = p->rows_in_range;
    out->rows = out->uses_ranks ? 0 : p->rows;
    out->matches = out->uses_ranks ? p->rows_in_range : p->matches;
    out->pages = p->pages;
    out->wanted = rows_wanted(sel);
}

static nq_rc
plan_query(struct req *rq, const struct query_form *f, const struct select *sel,
           struct explain_tree *t, struct explain_plan *out)
{
    struct plan_query q = {.lo = sel->range.lo,
                           .hi = range_hi(&sel->range),
                           .where = sel->where,
                           .wanted = rows_wanted(sel),
                           .no_index = reads_all_rows(rq, f),
                           .needs_counts = true};
    struct plan p;
    nq_rc rc;

    if (sel->range.is_empty)
        q.hi = &q.lo;
    if (strcmp(f->name, "nq.range") == 0 || strcmp(f->name, "nq.prefix") == 0)
        out->reply_per_row = (unsigned)sel->want_keys + sel->want_values;
    rc = plan_choose(rq->db, rq->dbi, &q, rq->arena, &p);
    if (rc != NQ_OK)
        return rc;
    put_plan(t, &p, sel);
    out->uses_ranks = is_by_ranks(f, sel);
    if (out->uses_ranks)
        explain_text(t, "answered by", slice_lit("counts in the tree"));
    keep_plan(&p, sel, out);
    return NQ_OK;
}

static bool
explain_grover(struct req *rq, const struct query_form *f,
               struct explain_tree *t, struct explain_plan *out)
{
    struct grover_args args;
    nq_rc rc;

    if (!grover_args_parse(rq, (enum grover_kind)f->at, &args))
        return false;
    args.sel.count = -1;
    rc = plan_query(rq, f, &args.sel, t, out);
    if (rc == NQ_OK)
        put_grover(rq, t, &args.query);
    else
        reply_rc(rq, rc);
    grover_args_drop(&args);
    return rc == NQ_OK;
}

static bool
explain_query(struct req *rq, const struct query_form *f,
              struct explain_tree *t, struct explain_plan *out)
{
    struct select sel = {0};
    nq_rc rc = NQ_OK;
    bool ok = parse_query(rq, f, &sel);

    if (ok)
        rc = plan_query(rq, f, &sel, t, out);
    select_fini(&sel);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    return ok && rc == NQ_OK;
}

/* --- all other commands --------------------------------------------------- */

/* The pattern of KEYS and SCAN; false: it is another command. */
static bool
find_pattern(const struct req *rq, struct slice *out)
{
    if (strcmp(rq->cmd->name, "keys") == 0) {
        *out = rq->argv[1];
        return true;
    }
    if (strcmp(rq->cmd->name, "scan") != 0)
        return false;
    *out = slice_lit("*");
    for (uint32_t i = 2; i + 1 < rq->argc; i++)
        if (slice_is(rq->argv[i], "MATCH"))
            *out = rq->argv[i + 1];
    return true;
}

static bool
explain_pattern(struct req *rq, struct slice pattern, struct explain_tree *t,
                struct explain_plan *out)
{
    static const struct query_form form = {"keys", FORM_PREFIX, 1, no_words};
    struct select sel = {.count = -1};
    bool is_whole;
    nq_rc rc;

    sel.range = range_of_prefix(rq, range_glob_prefix(rq, pattern, &is_whole));
    rc = plan_query(rq, &form, &sel, t, out);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    return rc == NQ_OK;
}

static bool
explain_keys(struct req *rq, struct explain_tree *t, struct explain_plan *out)
{
    int n = command_keys(rq->cmd, rq->argv, rq->argc, out->keys,
                         (int)nq_countof(out->keys));
    unsigned all = n < 0 ? 0 : (unsigned)n;

    out->nkeys = nq_min(all, (unsigned)nq_countof(out->keys));
    explain_open(t, "plan");
    if (out->nkeys == 0) {
        explain_text(t, "path", slice_lit("none"));
        explain_text(t, "reason", slice_lit("the command has no keys"));
    } else {
        explain_text(t, "path", slice_lit("seek"));
        explain_text(t, "reason", slice_lit("each key is looked up by itself"));
        put_key(t, "key", rq->argv[out->keys[0]]);
    }
    out->rows = out->matches = out->pages = all;
    out->has_matches = true;
    return true;
}

bool
explain_plan(struct req *rq, struct explain_tree *t, struct explain_plan *out)
{
    const struct query_form *f = find_form(rq->cmd);
    struct slice pattern;

    *out = (struct explain_plan){0};
    if (f != NULL && f->form == FORM_GROVER)
        return explain_grover(rq, f, t, out);
    if (f != NULL)
        return explain_query(rq, f, t, out);
    if (find_pattern(rq, &pattern))
        return explain_pattern(rq, pattern, t, out);
    return explain_keys(rq, t, out);
}

void
explain_plan_fini(struct explain_plan *p)
{
    buf_fini(&p->lo);
    buf_fini(&p->hi);
    program_unref(p->where);
    *p = (struct explain_plan){0};
}
