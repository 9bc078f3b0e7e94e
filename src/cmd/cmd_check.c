/* cmd/cmd_check.c - NQ.CHECK [EXTENTS] [REPAIR]: reads the data file, walks
 * all trees and values, compares page table and space, and answers what it
 * found.
 *
 * The answer is a map of sums; its last fields are what is wrong, as lines and
 * as maps, up to FINDINGS_MAX (the server log has all of them).  REPAIR has
 * what can be mended written anew, and includes EXTENTS.
 *
 *   extents   workers read the data file; everybody goes on meanwhile
 *   trees     in slices, parking on misses as any command does.  What is
 *             compared must hold still: writers wait, as with CLIENT PAUSE
 *             WRITE, until the check is over or its client is gone
 *   table     in slices, too; no page goes to the disk meanwhile
 *
 * NQ.JOBS shows it as a run; the client ends it by going. */
#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/jobs.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "db/db_check.h"
#include "os/clock.h"

#define CHECK_MAGIC 0x43484b31u
#define CHECK_SLICE_US 500
#define PAUSE_MS 3600000 /* no read takes so long; the end unpauses */
#define FINDINGS_MAX 100

struct checking {
    uint32_t magic;
    struct engine *engine;
    struct db_check *check;
    uint64_t pause_before_ms; /* of CLIENT PAUSE, when this one began */
    bool writes_only_before;
    uint64_t session_id;
    struct check_run *run; /* NULL: it was ended with all jobs */
    bool is_paused, is_finished;
    struct buf findings; /* see put_finding() */
    unsigned listed;
};

/* --- as a job ---------------------------------------------------------------
 */

/* Kept by the job: the command may end before it. */
struct check_run {
    struct checking *checking; /* NULL: the command has ended */
    bool is_finished;
    struct db_check_stats stats; /* then */
};

static nq_rc
run_step(struct jobs_run *job, void *arg)
{
    const struct check_run *r = arg;

    if (r->checking != NULL) {
        jobs_wait(job, -1);
        return NQ_AGAIN;
    }
    if (!r->is_finished)
        return NQ_ECLOSED;
    jobs_result(job, "%llu findings, %llu pages damaged, %llu repaired",
                (unsigned long long)r->stats.findings,
                (unsigned long long)r->stats.damaged,
                (unsigned long long)r->stats.repaired);
    return NQ_OK;
}

static void
run_progress(void *arg, struct jobs_progress *out)
{
    const struct check_run *r = arg;

    if (r->checking == NULL)
        return;
    out->phase = db_check_progress(r->checking->check, &out->done, &out->total);
    out->unit = strcmp(out->phase, "extents") == 0 ? "bytes" : "pages";
}

static void
run_end(struct jobs_run *job, void *arg, enum jobs_state how, nq_rc rc)
{
    struct check_run *r = arg;

    nq_unused(job);
    nq_unused(how);
    nq_unused(rc);
    if (r->checking != NULL)
        r->checking->run = NULL;
    nq_free(r);
}

static const struct jobs_kind check_kind = {
    .name = "check",
    .is_not_stopped = true,
    .step = run_step,
    .progress = run_progress,
    .end = run_end,
};

static void
start_run(struct checking *k)
{
    k->run = nq_calloc(1, sizeof *k->run);
    k->run->checking = k;
    nq_assert(jobs_start(k->engine->jobs, &check_kind, k->run, NULL) == NQ_OK);
}

/* --- what was found
 * ----------------------------------------------------------- */

/* Zero-ended: text, kind, problem, keys, outcome; then five numbers. */
static void
put_finding(struct buf *b, const struct db_finding *f)
{
    const char *const texts[] = {f->text, f->kind, f->problem, f->keys,
                                 f->outcome};

    for (unsigned i = 0; i < nq_countof(texts); i++)
        buf_put(b, texts[i], strlen(texts[i]) + 1);
    buf_put_u64(b, f->page);
    buf_put_u64(b, f->offset);
    buf_put_u64(b, f->has_values ? f->expected : 0);
    buf_put_u64(b, f->has_values ? f->found : 0);
    buf_put_u64(b, (uint64_t)f->database);
}

static void
on_finding(void *arg, const struct db_finding *f)
{
    struct checking *k;

    NQ_CAST(k, arg, CHECK_MAGIC);
    log_error("NQ.CHECK: %s", f->text);
    if (k->listed == FINDINGS_MAX)
        return;
    k->listed++;
    put_finding(&k->findings, f);
}

/* A worker has come back. */
static void
on_progress(void *arg)
{
    struct checking *k;
    struct session *s;

    NQ_CAST(k, arg, CHECK_MAGIC);
    if ((s = session_by_id(k->engine, k->session_id)) != NULL)
        session_unblock(s);
}

/* Writers may go on, unless somebody else holds them. */
static void
end_pause(struct checking *k)
{
    struct engine *e = k->engine;

    if (k->pause_before_ms > clock_mono_ms()) {
        e->pause_until_ms = k->pause_before_ms;
        e->pause_writes_only = k->writes_only_before;
    } else {
        engine_unpause(e);
    }
}

static void
free_checking(void *state)
{
    struct checking *k;

    NQ_CAST(k, state, CHECK_MAGIC);
    if (k->is_paused)
        end_pause(k);
    if (k->run != NULL) {
        k->run->stats = *db_check_get_stats(k->check);
        k->run->is_finished = k->is_finished;
        k->run->checking = NULL;
    }
    db_check_free(k->check);
    buf_fini(&k->findings);
    nq_free(k);
}

static struct checking *
checking_of(struct req *rq, bool read_extents, bool repair)
{
    struct checking *k = rq->state;
    struct db_check_opts opts = {.read_extents = read_extents,
                                 .repair = repair,
                                 .report = on_finding,
                                 .on_progress = on_progress};

    if (k == NULL) {
        k = nq_calloc(1, sizeof *k);
        k->magic = CHECK_MAGIC;
        k->engine = rq->engine;
        k->session_id = rq->s->id;
        opts.arg = k;
        k->check = db_check_new(rq->db, &opts);
        rq->state = k;
        rq->free_state = free_checking;
        start_run(k);
    }
    NQ_CAST(k, rq->state, CHECK_MAGIC);
    return k;
}

/* --- the answer ----------------------------------------------------------- */

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static void
put_text(struct req *rq, const char *name, const char *text)
{
    reply_bulk_str(rq, name);
    reply_bulk_str(rq, text);
}

static const char *
next_text(const uint8_t **p)
{
    const char *text = (const char *)*p;

    *p += strlen(text) + 1;
    return text;
}

static uint64_t
next_number(const uint8_t **p)
{
    uint64_t v;

    memcpy(&v, *p, 8);
    *p += 8;
    return v;
}

static void
put_lines(struct req *rq, const struct checking *k)
{
    const uint8_t *p = k->findings.p;

    reply_bulk_str(rq, "texts");
    reply_array(rq, k->listed);
    for (unsigned i = 0; i < k->listed; i++) {
        reply_bulk_str(rq, next_text(&p));
        for (unsigned n = 0; n < 4; n++)
            (void)next_text(&p);
        p += 5 * sizeof(uint64_t);
    }
}

static void
put_maps(struct req *rq, const struct checking *k)
{
    const uint8_t *p = k->findings.p;

    reply_bulk_str(rq, "list");
    reply_array(rq, k->listed);
    for (unsigned i = 0; i < k->listed; i++) {
        (void)next_text(&p);
        reply_map(rq, 9);
        put_text(rq, "kind", next_text(&p));
        put_text(rq, "problem", next_text(&p));
        put_text(rq, "keys", next_text(&p));
        put_text(rq, "outcome", next_text(&p));
        put_number(rq, "page", next_number(&p));
        put_number(rq, "offset", next_number(&p));
        put_number(rq, "expected", next_number(&p));
        put_number(rq, "found", next_number(&p));
        put_number(rq, "database", next_number(&p));
    }
}

/* Of tree pages: how full they are. */
static void
put_fill(struct req *rq, const struct btree_stats *st)
{
    char text[16];

    snprintf(text, sizeof text, "%.3f",
             (double)st->used_bytes /
                 (double)nq_max(st->page_bytes, (uint64_t)1));
    put_text(rq, "fill", text);
}

static void
reply_check(struct req *rq, const struct checking *k)
{
    const struct db_check_stats *st = db_check_get_stats(k->check);
    uint64_t tree_pages = st->trees.leaves + st->trees.inners;

    reply_map(rq, 18);
    put_number(rq, "findings", st->findings);
    put_number(rq, "damaged", st->damaged);
    put_number(rq, "repaired", st->repaired);
    put_number(rq, "pages", st->pages);
    put_number(rq, "leaves", st->trees.leaves);
    put_number(rq, "inners", st->trees.inners);
    put_number(rq, "chunks", st->pages - nq_min(tree_pages, st->pages));
    put_number(rq, "height", st->trees.height);
    put_fill(rq, &st->trees);
    put_number(rq, "keys", st->trees.records);
    put_number(rq, "collections", st->collections);
    put_number(rq, "items", st->items);
    put_number(rq, "blobs", st->blobs);
    put_number(rq, "blob-bytes", st->blob_bytes);
    put_number(rq, "extents", st->extents);
    put_number(rq, "skipped", st->skipped);
    put_lines(rq, k);
    put_maps(rq, k);
}

/* --- the command ---------------------------------------------------------- */

static bool
take_options(const struct req *rq, bool *read_extents, bool *repair)
{
    *read_extents = *repair = false;
    for (uint32_t i = 1; i < rq->argc; i++) {
        if (slice_is(rq->argv[i], "EXTENTS"))
            *read_extents = true;
        else if (slice_is(rq->argv[i], "REPAIR"))
            *read_extents = *repair = true;
        else
            return false;
    }
    return true;
}

static void
hold_writers(struct checking *k)
{
    if (!k->is_paused) {
        k->pause_before_ms = k->engine->pause_until_ms;
        k->writes_only_before = k->engine->pause_writes_only;
    }
    k->is_paused = true;
    engine_pause(k->engine, PAUSE_MS, true);
}

static void
wait_for_more(struct req *rq, const struct checking *k)
{
    int ms = db_check_wait_ms(k->check);

    if (ms == 0)
        req_yield(rq);
    else if (ms < 0)
        req_block(rq);
    else
        req_block_until(rq, clock_mono_ms() + (uint64_t)ms);
}

void
cmd_nq_check(struct req *rq)
{
    bool read_extents, repair;
    struct checking *k;
    nq_rc rc;

    if (!take_options(rq, &read_extents, &repair)) {
        reply_syntax(rq);
        return;
    }
    k = checking_of(rq, read_extents, repair);
    if (db_check_needs_still(k->check))
        hold_writers(k);
    rc = db_check_step(k->check, CHECK_SLICE_US);
    k->is_finished = rc == NQ_OK || rc == NQ_ECORRUPT;
    if (rc == NQ_AGAIN)
        wait_for_more(rq, k);
    else if (rc == NQ_OK || rc == NQ_ECORRUPT)
        reply_check(rq, k);
    else
        reply_rc(rq, rc);
}
