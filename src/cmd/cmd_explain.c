/* cmd/cmd_explain.c - NQ.EXPLAIN [ANALYZE] command ...
 *
 *   PLAN   what will be done (explain_plan.c)
 *   LOOK   estimates: how many rows and pages, and which of these are in
 *          memory (explain_look.c)
 *   RUN    with ANALYZE: the command runs, in the place of NQ.EXPLAIN: its
 *          state is kept in ours, whatever it waits for we wait for, and what
 *          it replies is counted and taken back
 *   TELL   the answer
 *
 * A command that fails in RUN answers its error. */
#include "cmd/explain.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/matching.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "store/frames.h"
#include "store/store.h"

#define EXPLAIN_MAGIC 0x45585031u
#define TITLE_MAX 200u

/* What a run came to. */
struct actual {
    uint64_t reply_bytes;
    char head[24]; /* of the reply */
    size_t head_len;
    uint64_t hits, reads; /* pages that the command asked for on the loop */
    uint64_t runs, run_us;
    struct matching_stats matched;
};

struct explain {
    uint32_t magic;
    enum explain_phase { PHASE_PLAN, PHASE_LOOK, PHASE_RUN, PHASE_TELL } phase;
    const struct command *cmd;
    uint32_t first; /* its place in argv */
    bool is_analyze;
    struct explain_tree tree;
    struct explain_plan plan;
    struct explain_look look;
    struct actual actual;
    uint64_t begun_us, plan_us, look_us; /* clock_mono_us(); from begun_us on */
    /* Of the command that runs. */
    void *state;
    void (*free_state)(void *state);
};

static void
free_inner(struct explain *x)
{
    if (x->state != NULL && x->free_state != NULL)
        x->free_state(x->state);
    x->state = NULL;
}

static void
explain_free(void *state)
{
    struct explain *x;

    NQ_CAST(x, state, EXPLAIN_MAGIC);
    free_inner(x);
    explain_fini(&x->tree);
    explain_plan_fini(&x->plan);
    explain_look_fini(&x->look);
    nq_free(x);
}

/* --- the beginning -------------------------------------------------------- */

static struct req
inner_of(const struct req *rq, const struct command *cmd, uint32_t first)
{
    struct req inner = *rq;

    inner.cmd = cmd;
    inner.argv = rq->argv + first;
    inner.argc = rq->argc - first;
    inner.nfingers = 0;
    inner.state = NULL;
    inner.free_state = NULL;
    inner.outcome = REQ_DONE;
    return inner;
}

/* Whether running it shows what it does, and changes nothing. */
static bool
can_analyze(struct req *rq, const struct command *cmd)
{
    static const char *const opens[] = {"nq.cursor", "nq.stream"};
    bool leaves_something = false;

    for (size_t i = 0; i < nq_countof(opens); i++)
        leaves_something |= strncmp(cmd->name, opens[i], 9) == 0;
    if (cmd->flags & CMD_WRITE)
        reply_error(rq, "ANALYZE runs the command, and '%s' writes", cmd->name);
    else if (leaves_something || !(cmd->flags & CMD_READONLY) ||
             cmd->flags & (CMD_ADMIN | CMD_PUBSUB | CMD_BLOCKING))
        reply_error(rq, "ANALYZE runs the command, which '%s' is not made for",
                    cmd->name);
    else
        return true;
    return false;
}

static const struct command *
find_command(struct req *rq, uint32_t first)
{
    const struct command *container = NULL, *cmd;
    struct req inner = inner_of(rq, rq->cmd, first);

    cmd = command_find_argv(inner.argv, inner.argc, &container);
    if (cmd == NULL || cmd->fn == NULL) {
        reply_error(rq, "unknown command or subcommand '%.*s'",
                    (int)nq_min(inner.argv[0].len, (size_t)128),
                    (const char *)inner.argv[0].p);
        return NULL;
    }
    inner.cmd = cmd;
    if (cmd->arity > 0 ? inner.argc != (uint32_t)cmd->arity
                       : inner.argc < (uint32_t)-cmd->arity) {
        reply_wrong_arity(&inner);
        rq->is_error = true;
        return NULL;
    }
    if (cmd->fn == cmd_nq_explain) {
        reply_error(rq, "NQ.EXPLAIN does not explain itself");
        return NULL;
    }
    return cmd;
}

static const char *const help[] = {
    "command [arg ...]",
    "    How the command would get at its rows, and what that is expected to",
    "    cost.  Runs nothing.",
    "ANALYZE command [arg ...]",
    "    The same, then runs the command and tells what it did.  Commands that",
    "    write are refused.",
    NULL,
};

/* NULL: answered. */
static struct explain *
begin(struct req *rq)
{
    bool is_analyze = rq->argc > 2 && slice_is(rq->argv[1], "ANALYZE");
    uint32_t first = is_analyze ? 2 : 1;
    const struct command *cmd;
    struct explain *x;

    if (rq->argc == 2 && slice_is(rq->argv[1], "HELP")) {
        reply_help(rq, help);
        return NULL;
    }
    cmd = find_command(rq, first);
    if (cmd == NULL || (is_analyze && !can_analyze(rq, cmd)))
        return NULL;
    x = nq_calloc(1, sizeof *x);
    x->magic = EXPLAIN_MAGIC;
    x->cmd = cmd;
    x->first = first;
    x->is_analyze = is_analyze;
    x->begun_us = clock_mono_us();
    rq->state = x;
    rq->free_state = explain_free;
    return x;
}

/* What the inner command waits for, we wait for. */
static void
adopt_outcome(struct req *rq, const struct req *inner)
{
    rq->outcome = inner->outcome;
    rq->is_error |= inner->is_error;
    rq->has_progressed = inner->has_progressed;
    rq->block_until_ms = inner->block_until_ms;
    rq->block_durable = inner->block_durable;
}

/* --- PLAN ----------------------------------------------------------------- */

/* False: it waits, or is answered. */
static bool
run_plan(struct req *rq, struct explain *x)
{
    struct req inner = inner_of(rq, x->cmd, x->first);

    explain_clear(&x->tree);
    explain_plan_fini(&x->plan);
    if (!explain_plan(&inner, &x->tree, &x->plan)) {
        adopt_outcome(rq, &inner);
        return false;
    }
    x->plan_us = clock_mono_us() - x->begun_us;
    x->phase = PHASE_LOOK;
    return true;
}

/* --- LOOK ----------------------------------------------------------------- */

static bool
run_look(struct req *rq, struct explain *x)
{
    struct req inner = inner_of(rq, x->cmd, x->first);
    nq_rc rc = explain_look(&inner, &x->plan, &x->look);

    if (rc == NQ_AGAIN) {
        req_yield(rq);
        return false;
    }
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return false;
    }
    explain_tell_estimates(&x->tree, &x->plan, &x->look,
                           store_page_size(rq->engine->store));
    explain_close(&x->tree); /* of the plan */
    x->look_us = clock_mono_us() - x->begun_us - x->plan_us;
    x->phase = x->is_analyze ? PHASE_RUN : PHASE_TELL;
    return true;
}

/* --- RUN ------------------------------------------------------------------ */

static void
count_run(struct req *rq, struct actual *a, const struct req *inner,
          uint64_t mark)
{
    struct outq *out = &rq->s->out;

    if (inner->outcome == REQ_PARK)
        a->reads += frames_wanted(store_frames(rq->engine->store));
    if (inner->outcome != REQ_DONE && !inner->keep_output)
        return;
    a->reply_bytes += out->put - mark;
    if (a->head_len == 0)
        a->head_len = outq_read(out, mark, a->head, sizeof a->head - 1);
}

/* One run of the command; false: it waits for something. */
static bool
run_inner(struct req *rq, struct explain *x)
{
    struct frames *fr = store_frames(rq->engine->store);
    struct req inner = inner_of(rq, x->cmd, x->first);
    uint64_t mark = rq->s->out.put, hits = fr->hits;
    uint64_t begun = clock_mono_us();

    inner.state = x->state;
    inner.free_state = x->free_state;
    inner.cmd->fn(&inner);
    x->actual.hits += fr->hits - hits;
    x->actual.runs++;
    x->state = inner.state;
    x->free_state = inner.free_state;
    reply_drop_parts(&inner);
    count_run(rq, &x->actual, &inner, mark);
    if (inner.outcome == REQ_DONE)
        free_inner(x);
    x->actual.run_us += clock_mono_us() - begun;
    adopt_outcome(rq, &inner);
    if (inner.outcome != REQ_DONE || inner.is_error)
        return false;
    outq_rewind(&rq->s->out, mark);
    return true;
}

/* Elements of the reply, or the number that it is; false: it is neither. */
static bool
reply_count(const struct actual *a, int64_t *out)
{
    const char *end = memchr(a->head, '\r', a->head_len);

    if (end == NULL || strchr("*%~:", a->head[0]) == NULL)
        return false;
    return slice_to_i64(slice_of(a->head + 1, (size_t)(end - a->head - 1)),
                        out);
}

static void
tell_rows(struct explain *x)
{
    const struct actual *a = &x->actual;
    unsigned per_row = x->plan.reply_per_row;
    int64_t n = 0;
    bool has_count = reply_count(a, &n) && n >= 0;

    if (a->matched.is_over)
        explain_int(&x->tree, "rows looked at", a->matched.rows);
    if (has_count && per_row > 0)
        explain_int(&x->tree, "rows", (uint64_t)n / per_row);
    else if (a->matched.is_over)
        explain_int(&x->tree, "rows", a->matched.matched);
    else if (has_count)
        explain_int(&x->tree, a->head[0] == ':' ? "rows" : "reply elements",
                    (uint64_t)n);
    if (a->matched.far > 0)
        explain_int(&x->tree, "rows tested on the loop", a->matched.far);
}

static void
tell_pages(struct explain *x)
{
    const struct actual *a = &x->actual;
    const struct matching_stats *m = &a->matched;
    uint64_t reads = a->reads + m->misses;
    uint64_t hits = a->hits;

    if (m->is_over)
        hits = m->leaves - nq_min(m->misses, m->leaves) + m->far_hits;
    explain_int(&x->tree, "pages hit", hits);
    explain_int(&x->tree, "pages read", reads);
    if (hits + reads > 0)
        explain_real(&x->tree, "cache hits",
                     (double)hits / (double)(hits + reads));
    if (m->is_over)
        explain_int(&x->tree, "bytes looked at", m->bytes);
    explain_int(&x->tree, "bytes of reply", a->reply_bytes);
}

static void
tell_times(struct explain *x)
{
    const struct matching_stats *m = &x->actual.matched;
    uint64_t total = clock_mono_us() - x->begun_us;
    uint64_t known = x->plan_us + x->look_us + x->actual.run_us;

    explain_open(&x->tree, "microseconds");
    explain_int(&x->tree, "planning", x->plan_us);
    explain_int(&x->tree, "estimating", x->look_us);
    explain_int(&x->tree, "running", x->actual.run_us);
    explain_int(&x->tree, "waiting", total - nq_min(known, total));
    if (m->is_over) {
        explain_int(&x->tree, "taking leaves", m->take_ns / 1000);
        explain_int(&x->tree, "testing rows", m->run_ns / 1000);
        explain_int(&x->tree, "testing rows on the loop", m->far_ns / 1000);
    }
    explain_int(&x->tree, "total", total);
    explain_close(&x->tree);
}

static bool
run_command(struct req *rq, struct explain *x)
{
    bool is_over;

    rq->engine->profile = &x->actual.matched;
    is_over = run_inner(rq, x);
    rq->engine->profile = NULL;
    if (!is_over)
        return false;
    explain_open(&x->tree, "actual");
    tell_rows(x);
    tell_pages(x);
    explain_int(&x->tree, "runs", x->actual.runs);
    tell_times(x);
    explain_close(&x->tree);
    x->phase = PHASE_TELL;
    return true;
}

/* --- TELL ----------------------------------------------------------------- */

static bool
run_tell(struct req *rq, struct explain *x)
{
    struct buf title = BUF_INIT;

    for (uint32_t i = x->first; i < rq->argc && title.len < TITLE_MAX; i++) {
        if (i > x->first)
            buf_put_u8(&title, ' ');
        buf_put(&title, rq->argv[i].p,
                nq_min(rq->argv[i].len,
                       TITLE_MAX - nq_min(title.len, (size_t)TITLE_MAX)));
    }
    explain_reply(rq, &x->tree, buf_slice(&title));
    buf_fini(&title);
    return false;
}

void
cmd_nq_explain(struct req *rq)
{
    static bool (*const phases[])(struct req *, struct explain *) = {
        [PHASE_PLAN] = run_plan,
        [PHASE_LOOK] = run_look,
        [PHASE_RUN] = run_command,
        [PHASE_TELL] = run_tell,
    };
    struct explain *x;

    if (rq->state == NULL) {
        if ((x = begin(rq)) == NULL)
            return;
    } else {
        NQ_CAST(x, rq->state, EXPLAIN_MAGIC);
    }
    while (phases[x->phase](rq, x))
        ;
}
