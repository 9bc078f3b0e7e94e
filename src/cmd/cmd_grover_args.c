/* cmd/cmd_grover_args.c - the arguments of NQ.GROVER and its kin. */
#include "base/check.h"
#include "cmd/cmd_grover.h"
#include "cmd/engine.h"
#include "cmd/reply.h"

enum allowed {
    IN_FIND = 1 << GROVER_FIND,
    IN_LEAST = 1 << GROVER_LEAST | 1 << GROVER_GREATEST,
    IN_SPECTRUM = 1 << GROVER_SPECTRUM,
};

/* A word of the commands.  Its function reads what follows it, at argv[*i]. */
struct option {
    const char *word;
    unsigned allowed;
    bool (*parse)(struct req *rq, uint32_t *i, struct grover_args *out);
};

/* --- what follows a word ---------------------------------------------------
 */

static bool
parse_number(struct req *rq, uint32_t *i, int64_t least, int64_t most,
             uint64_t *out)
{
    const char *word = (const char *)rq->argv[*i - 1].p;
    int64_t v;

    if (*i == rq->argc) {
        reply_syntax(rq);
        return false;
    }
    if (!slice_to_i64(rq->argv[*i], &v)) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    if (v < least || v > most) {
        reply_error(rq, "%.*s is at least %lld and at most %lld",
                    (int)nq_min(rq->argv[*i - 1].len, 16u), word,
                    (long long)least, (long long)most);
        return false;
    }
    *out = (uint64_t)v;
    ++*i;
    return true;
}

static bool
parse_matches(struct req *rq, uint32_t *i, struct grover_args *out)
{
    out->query.way = SEARCH_KNOWN;
    return parse_number(rq, i, 1, INT64_MAX, &out->query.matches);
}

static bool
parse_unknown(struct req *rq, uint32_t *i, struct grover_args *out)
{
    nq_unused(rq);
    nq_unused(i);
    out->query.way = SEARCH_UNKNOWN;
    return true;
}

static bool
parse_count(struct req *rq, uint32_t *i, struct grover_args *out)
{
    return parse_number(rq, i, 1, GROVER_COUNT_MAX, &out->query.count);
}

static bool
parse_iterations(struct req *rq, uint32_t *i, struct grover_args *out)
{
    bool is_spectrum = out->query.kind == GROVER_SPECTRUM;

    if (*i < rq->argc && slice_is(rq->argv[*i], "AUTO")) {
        ++*i;
        return true;
    }
    out->query.way = SEARCH_FIXED;
    return parse_number(rq, i, 0,
                        is_spectrum ? (int64_t)GROVER_SPECTRUM_MAX : INT32_MAX,
                        &out->query.iterations);
}

static bool
parse_engine(struct req *rq, uint32_t *i, struct grover_args *out)
{
    static const char *const names[] = {
        [GROVER_AUTO] = "AUTO",
        [GROVER_SIM] = "SIM",
        [GROVER_CLASSICAL] = "CLASSICAL",
    };

    for (unsigned e = 0; *i < rq->argc && e < nq_countof(names); e++) {
        if (slice_is(rq->argv[*i], names[e])) {
            out->query.engine = (enum grover_engine)e;
            ++*i;
            return true;
        }
    }
    reply_syntax(rq);
    return false;
}

static bool
parse_seed(struct req *rq, uint32_t *i, struct grover_args *out)
{
    return parse_number(rq, i, 0, INT64_MAX, &out->query.seed);
}

static bool
parse_path(struct req *rq, uint32_t *i, struct grover_args *out)
{
    struct query_error err;

    if (*i == rq->argc || out->query.path != NULL) {
        reply_syntax(rq);
        return false;
    }
    if (path_compile(rq->argv[*i], &out->query.path, &err) != NQ_OK) {
        reply_error(rq, "query: %s", err.text);
        return false;
    }
    ++*i;
    return true;
}

static bool
parse_complex(struct req *rq, uint32_t *i, struct grover_args *out)
{
    nq_unused(rq);
    nq_unused(i);
    out->query.is_complex = true;
    return true;
}

static bool
parse_async(struct req *rq, uint32_t *i, struct grover_args *out)
{
    nq_unused(rq);
    nq_unused(i);
    out->is_async = true;
    return true;
}

static bool
parse_state(struct req *rq, uint32_t *i, struct grover_args *out)
{
    nq_unused(rq);
    nq_unused(i);
    out->query.wants_state = true;
    return true;
}

static bool
parse_plot(struct req *rq, uint32_t *i, struct grover_args *out)
{
    nq_unused(rq);
    nq_unused(i);
    out->wants_plot = true;
    return true;
}

/* --- all of them -----------------------------------------------------------
 */

static const struct option options[] = {
    {"MATCHES", IN_FIND, parse_matches},
    {"UNKNOWN", IN_FIND, parse_unknown},
    {"COUNT", IN_FIND, parse_count},
    {"ITERATIONS", IN_FIND | IN_SPECTRUM, parse_iterations},
    {"ENGINE", IN_FIND | IN_LEAST, parse_engine},
    {"COMPLEX", IN_FIND | IN_LEAST | IN_SPECTRUM, parse_complex},
    {"SEED", IN_FIND | IN_LEAST, parse_seed},
    {"ASYNC", IN_FIND | IN_LEAST, parse_async},
    {"STATE", IN_FIND, parse_state},
    {"PATH", IN_LEAST, parse_path},
    {"AMPLITUDES", IN_SPECTRUM, parse_state},
    {"PLOT", IN_SPECTRUM, parse_plot},
};

/* Their words end a WHERE, whichever command it is. */
static const char *const words[] = {
    "MATCHES", "UNKNOWN", "COUNT", "ITERATIONS", "ENGINE", "COMPLEX", "SEED",
    "ASYNC",   "STATE",   "PATH",  "AMPLITUDES", "PLOT",   NULL};

static const struct option *
find_option(struct slice word, enum grover_kind kind)
{
    for (size_t i = 0; i < nq_countof(options); i++) {
        if ((options[i].allowed & 1u << kind) != 0 &&
            slice_is(word, options[i].word))
            return &options[i];
    }
    return NULL;
}

static bool
parse_all(struct req *rq, enum grover_kind kind, struct grover_args *out)
{
    const struct option *o;
    uint32_t i = 1;

    if (!select_parse_selector(rq, &i, &out->sel))
        return false;
    while (i < rq->argc) {
        if (!select_parse_clauses(rq, &i, SELECT_WHERE, words, &out->sel))
            return false;
        if (i == rq->argc)
            break;
        if ((o = find_option(rq->argv[i], kind)) == NULL) {
            reply_syntax(rq);
            return false;
        }
        i++;
        if (!o->parse(rq, &i, out))
            return false;
    }
    return true;
}

/* What no single argument tells. */
static bool
check_all(struct req *rq, enum grover_kind kind, const struct grover_args *args)
{
    bool is_of_path = ((1u << kind) & IN_LEAST) != 0;

    if (is_of_path ? args->query.path == NULL : args->sel.where == NULL) {
        reply_error(rq, is_of_path ? "PATH is missing: of which numbers?"
                                   : "WHERE is missing: what is looked for?");
        return false;
    }
    if (args->query.wants_state && args->query.rows > GROVER_STATE_ROWS_MAX) {
        reply_error(rq, "amplitudes are told of at most %u rows, not of %llu",
                    GROVER_STATE_ROWS_MAX,
                    (unsigned long long)args->query.rows);
        return false;
    }
    return true;
}

static bool
parse(struct req *rq, enum grover_kind kind, struct grover_args *out)
{
    nq_rc rc;

    if (!parse_all(rq, kind, out))
        return false;
    rc = range_count(rq, &out->sel.range, &out->query.rows);
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return false;
    }
    return check_all(rq, kind, out);
}

bool
grover_args_parse(struct req *rq, enum grover_kind kind,
                  struct grover_args *out)
{
    *out = (struct grover_args){
        .query = {.kind = kind,
                  .way = kind == GROVER_FIND ? SEARCH_KNOWN : SEARCH_UNKNOWN,
                  .count = 1,
                  .engine = kind == GROVER_SPECTRUM ? GROVER_SIM : GROVER_AUTO,
                  /* A number that clients in any language can give back. */
                  .seed = rng_next(&rq->engine->rng) >> 11}};
    if (parse(rq, kind, out))
        return true;
    grover_args_drop(out);
    return false;
}

void
grover_args_drop(struct grover_args *args)
{
    select_fini(&args->sel);
    path_free(args->query.path);
    args->query.path = NULL;
}
