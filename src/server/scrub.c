/* server/scrub.c - the whole data file is read and checked every
 * storage.scrub_interval, at storage.scrub_rate, so that damage is found
 * while there is still a copy: in parity, in memory, or in a backup.
 *
 * What can be repaired is.  How far it came and how the last one went is part
 * of the catalog, "scrub", and so of each checkpoint:
 *
 *   0  u64 offset to go on at   8 u64 began   16 u64 ended (Unix s)
 *   24 u64 extents   32 u64 damaged   40 u64 repaired     of the last one
 *
 * A scrub that was interrupted begins again where it was.  A new database is
 * scrubbed for the first time when it is an interval old. */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/jobs.h"
#include "os/clock.h"
#include "server/info_int.h"
#include "server/server_int.h"
#include "store/store.h"
#include "store/sweep.h"

#define KEEP_BYTES                                                             \
    (UINT64_C(1) << 30) /* of reading between notes of how far                 \
                         */
#define RECORD_SIZE 48

struct scrub {
    struct server *server;
    struct sweep *sweep;
    uint64_t kept; /* bytes read, when the catalog was told */
};

static struct slice
catalog_name(void)
{
    return slice_lit("scrub");
}

static void
load(struct server *s)
{
    struct scrub_state *st = &s->scrub;
    uint8_t b[RECORD_SIZE];
    struct cursor c;
    size_t len = 0;

    st->is_loaded = true;
    if (store_catalog_get(s->store, catalog_name(), b, sizeof b, &len) !=
        NQ_OK) {
        st->began_s = st->ended_s = clock_wall_ms() / 1000;
        return;
    }
    c = cursor_of(slice_of(b, nq_min(len, sizeof b)));
    cursor_get_u64(&c, &st->at);
    cursor_get_u64(&c, &st->began_s);
    cursor_get_u64(&c, &st->ended_s);
    cursor_get_u64(&c, &st->extents);
    cursor_get_u64(&c, &st->damaged);
    cursor_get_u64(&c, &st->repaired);
}

static void
keep(struct server *s)
{
    const struct scrub_state *st = &s->scrub;
    struct buf b = BUF_INIT;

    buf_put_u64(&b, st->at);
    buf_put_u64(&b, st->began_s);
    buf_put_u64(&b, st->ended_s);
    buf_put_u64(&b, st->extents);
    buf_put_u64(&b, st->damaged);
    buf_put_u64(&b, st->repaired);
    store_catalog_put(s->store, catalog_name(), buf_slice(&b));
    buf_fini(&b);
}

static void
on_finding(void *arg, const struct sweep_finding *f)
{
    static const char *const outcomes[] = {
        [SWEEP_DAMAGED] = "lost: NQ.CHECK EXTENTS names its keys",
        [SWEEP_REPAIRABLE] = "can be repaired",
        [SWEEP_REBUILT] = "repaired from its parity",
        [SWEEP_REWRITTEN] = "repaired from memory",
    };
    char what[32] = "";

    nq_unused(arg);
    if (f->part == NULL)
        snprintf(what, sizeof what, "page %u", f->id);
    log_error("scrub: %s at offset %" PRIu64 ": %s: expected %" PRIu64
              ", found %" PRIu64 "; %s",
              f->part != NULL ? f->part : what, f->off, f->what, f->expected,
              f->found, outcomes[f->outcome]);
}

static void
note_progress(struct scrub *k)
{
    struct scrub_state *st = &k->server->scrub;
    struct sweep_progress p;

    sweep_get_progress(k->sweep, &p);
    st->at = p.at;
    st->extents = p.extents;
    st->damaged = p.damaged;
    st->repaired = p.repaired;
    if (p.done - k->kept < KEEP_BYTES)
        return;
    k->kept = p.done;
    keep(k->server);
}

static nq_rc
step(struct jobs_run *run, void *arg)
{
    struct scrub *k = arg;
    const struct scrub_state *st = &k->server->scrub;
    const struct config *c = k->server->config;
    nq_rc rc;

    sweep_set_rate(k->sweep, (uint64_t)config_int(c, CONF_SCRUB_RATE));
    rc = sweep_turn(k->sweep);
    note_progress(k);
    if (rc == NQ_AGAIN)
        jobs_wait(run, sweep_wait_ms(k->sweep));
    else
        jobs_result(run,
                    "%" PRIu64 " extents, %" PRIu64 " damaged, %" PRIu64
                    " repaired",
                    st->extents, st->damaged, st->repaired);
    return rc;
}

static void
progress(void *arg, struct jobs_progress *out)
{
    const struct scrub *k = arg;
    struct sweep_progress p;

    sweep_get_progress(k->sweep, &p);
    out->done = p.done;
    out->total = p.total;
    out->unit = "bytes";
}

static void
end(struct jobs_run *run, void *arg, enum jobs_state how, nq_rc rc)
{
    struct scrub *k = arg;
    struct scrub_state *st = &k->server->scrub;

    nq_unused(run);
    sweep_free(k->sweep);
    if (how == JOBS_DONE || (how == JOBS_CANCELLED && rc != NQ_ECLOSED)) {
        st->at = 0;
        st->ended_s = nq_max(clock_wall_ms() / 1000, st->began_s);
    }
    if (how == JOBS_DONE)
        log_notice("scrub: %" PRIu64 " extents read, %" PRIu64
                   " damaged, %" PRIu64 " of them repaired",
                   st->extents, st->damaged, st->repaired);
    st->is_running = false;
    keep(k->server);
    nq_free(k);
}

static const struct jobs_kind kind = {
    .name = "scrub",
    .is_single = true,
    .step = step,
    .progress = progress,
    .end = end,
};

static void
start(struct server *s)
{
    struct scrub *k = nq_calloc(1, sizeof *k);
    struct sweep_opts opts = {
        .from = s->scrub.at,
        .repair = true,
        .on_finding = on_finding,
    };

    k->server = s;
    k->sweep = sweep_new(s->store, &opts);
    if (jobs_start(s->engine->jobs, &kind, k, NULL) != NQ_OK) {
        sweep_free(k->sweep);
        nq_free(k);
        return;
    }
    s->scrub.is_running = true;
    s->scrub.began_s = clock_wall_ms() / 1000;
}

void
scrub_cron(struct server *s)
{
    uint64_t every = (uint64_t)config_int(s->config, CONF_SCRUB) / 1000000;
    uint64_t now = clock_wall_ms() / 1000;

    if (!s->scrub.is_loaded)
        load(s);
    if (every == 0 || s->scrub.is_running)
        return;
    if (s->scrub.at > 0 || now >= s->scrub.ended_s + every)
        start(s);
}

void
info_scrub(struct server *s, struct buf *out)
{
    const struct scrub_state *st = &s->scrub;

    info_u64(out, "scrub_running", st->is_running);
    info_u64(out, "scrub_position", st->at);
    info_u64(out, "scrub_last_begin", st->began_s);
    info_u64(out, "scrub_last_end", st->ended_s);
    info_u64(out, "scrub_extents", st->extents);
    info_u64(out, "scrub_damaged", st->damaged);
    info_u64(out, "scrub_repaired", st->repaired);
}
