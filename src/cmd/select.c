/* cmd/select.c - the clauses of queries.
 *
 * A clause is a row of the table: its word, the bit that allows it, and a
 * function that reads what follows the word. */
#include "cmd/select.h"

#include "base/check.h"
#include "cmd/reply.h"

struct clause {
    const char *word;
    enum select_clause bit;
    /* From argv[*i], behind the word, up to `end`, where the next word of a
     * clause or the end is. */
    bool (*parse)(struct req *rq, uint32_t *i, uint32_t end,
                  struct select *out);
};

static bool
fail_query(struct req *rq, const struct query_error *err)
{
    reply_error(rq, "query: %s", err->text);
    return false;
}

static bool
parse_where(struct req *rq, uint32_t *i, uint32_t end, struct select *out)
{
    struct query_error err;

    if (program_compile(rq->argv + *i, end - *i, &out->where, &err) != NQ_OK)
        return fail_query(rq, &err);
    *i = end;
    return true;
}

static bool
parse_return(struct req *rq, uint32_t *i, uint32_t end, struct select *out)
{
    struct query_error err;
    struct path *path;

    if (*i == end) {
        reply_syntax(rq);
        return false;
    }
    out->has_return = true;
    for (; *i < end; ++*i) {
        if (slice_eq(rq->argv[*i], slice_lit("*"))) {
            out->return_all = true;
            continue;
        }
        if (out->return_count == SELECT_RETURN_MAX) {
            reply_error(rq, "RETURN takes at most %u fields",
                        SELECT_RETURN_MAX);
            return false;
        }
        if (path_compile(rq->argv[*i], &path, &err) != NQ_OK)
            return fail_query(rq, &err);
        out->returns[out->return_count++] = path;
    }
    return true;
}

static bool
parse_limit(struct req *rq, uint32_t *i, uint32_t end, struct select *out)
{
    if (end - *i < 2) {
        reply_syntax(rq);
        return false;
    }
    if (!slice_to_i64(rq->argv[*i], &out->offset) ||
        !slice_to_i64(rq->argv[*i + 1], &out->count)) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    *i += 2;
    return true;
}

static bool
parse_reverse(struct req *rq, uint32_t *i, uint32_t end, struct select *out)
{
    nq_unused(rq);
    nq_unused(i);
    nq_unused(end);
    out->reverse = true;
    return true;
}

static bool
parse_keys_only(struct req *rq, uint32_t *i, uint32_t end, struct select *out)
{
    nq_unused(rq);
    nq_unused(i);
    nq_unused(end);
    out->want_values = false;
    return true;
}

static bool
parse_values_only(struct req *rq, uint32_t *i, uint32_t end, struct select *out)
{
    nq_unused(rq);
    nq_unused(i);
    nq_unused(end);
    out->want_keys = false;
    return true;
}

static const struct clause clauses[] = {
    {"WHERE", SELECT_WHERE, parse_where},
    {"RETURN", SELECT_RETURN, parse_return},
    {"LIMIT", SELECT_LIMIT, parse_limit},
    {"REV", SELECT_ORDER, parse_reverse},
    {"KEYSONLY", SELECT_WHAT, parse_keys_only},
    {"VALUESONLY", SELECT_WHAT, parse_values_only},
};

static const struct clause *
find_clause(struct slice word)
{
    for (size_t i = 0; i < nq_countof(clauses); i++)
        if (slice_is(word, clauses[i].word))
            return &clauses[i];
    return NULL;
}

static bool
is_own(struct slice word, const char *const *own)
{
    for (; own != NULL && *own != NULL; own++)
        if (slice_is(word, *own))
            return true;
    return false;
}

/* Where, from argv[i] on, the next word of a clause is. */
static uint32_t
find_end(const struct req *rq, uint32_t i, const char *const *own)
{
    while (i < rq->argc && find_clause(rq->argv[i]) == NULL &&
           !is_own(rq->argv[i], own))
        i++;
    return i;
}

bool
select_parse_clauses(struct req *rq, uint32_t *i, unsigned which,
                     const char *const *own, struct select *out)
{
    if (out->seen == 0) {
        out->want_keys = out->want_values = true;
        out->count = -1;
    }
    while (*i < rq->argc && !is_own(rq->argv[*i], own)) {
        const struct clause *c = find_clause(rq->argv[*i]);

        if (c == NULL || (which & c->bit) == 0)
            return true;
        if ((out->seen & c->bit) != 0) {
            reply_syntax(rq);
            return false;
        }
        out->seen |= c->bit;
        ++*i;
        if (!c->parse(rq, i, find_end(rq, *i, own), out))
            return false;
    }
    return true;
}

bool
select_parse_selector(struct req *rq, uint32_t *i, struct select *out)
{
    uint32_t left = rq->argc - *i;

    if (left >= 2 && slice_is(rq->argv[*i], "PREFIX")) {
        out->range = range_of_prefix(rq, rq->argv[*i + 1]);
        out->is_prefix = true;
        *i += 2;
        return true;
    }
    if (left >= 3 && slice_is(rq->argv[*i], "RANGE")) {
        out->range = range_parse(rq, rq->argv[*i + 1], rq->argv[*i + 2]);
        *i += 3;
        return true;
    }
    reply_syntax(rq);
    return false;
}

void
select_fini(struct select *sel)
{
    program_unref(sel->where);
    sel->where = NULL;
    for (uint32_t i = 0; i < sel->return_count; i++)
        path_free(sel->returns[i]);
    sel->return_count = 0;
}

unsigned
select_needs(const struct select *sel)
{
    unsigned needs = ROW_KEY;

    if (sel->where != NULL)
        needs |= program_needs(sel->where);
    if (sel->return_all || (!sel->has_return && sel->want_values))
        needs |= ROW_VALUE | ROW_FIELDS;
    for (uint32_t i = 0; i < sel->return_count; i++)
        needs |= path_needs(sel->returns[i]);
    return needs;
}
