/* server/maintenance.c - what NQ.JOBS shows besides the runs of its clients:
 * the maintenance that goes on by itself. */
#include <stdio.h>

#include "base/check.h"
#include "cmd/cmd_compact.h"
#include "cmd/jobs.h"
#include "db/db.h"
#include "server/info_int.h"
#include "store/store.h"

static void
look_at_checkpoints(void *arg, struct jobs_info *out)
{
    const struct server *s = arg;
    struct store_stats st;

    out->kind = "checkpoint";
    if (s->store == NULL)
        return;
    store_get_stats(s->store, &st);
    out->state = st.state == CKPT_IDLE ? JOBS_IDLE : JOBS_RUNNING;
    out->rc = st.last_rc;
    out->progress = (struct jobs_progress){
        .done = st.progress_pages,
        .total = st.progress_total,
        .unit = "pages",
    };
    out->started_wall_ms = st.last_wall_s * 1000;
    out->took_ms = st.last_ms;
    snprintf(out->result, sizeof out->result,
             "%llu done, %llu failed; the last one: %s, %llu pages",
             (unsigned long long)st.checkpoints, (unsigned long long)st.failed,
             rc_text(st.last_rc), (unsigned long long)st.last_pages);
}

static void
look_at_expiry(void *arg, struct jobs_info *out)
{
    const struct server *s = arg;
    struct db_stats st;

    out->kind = "expire";
    if (s->db == NULL)
        return;
    db_get_stats(s->db, &st);
    out->progress =
        (struct jobs_progress){.done = st.expired_keys, .unit = "keys"};
    snprintf(out->result, sizeof out->result, "%llu keys expired",
             (unsigned long long)st.expired_keys);
}

static void
look_at_freeing(void *arg, struct jobs_info *out)
{
    const struct server *s = arg;
    struct db_stats st;

    out->kind = "free";
    if (s->db == NULL)
        return;
    db_get_stats(s->db, &st);
    out->state = st.lazyfree_pending > 0 ? JOBS_RUNNING : JOBS_IDLE;
    out->progress = (struct jobs_progress){
        .done = st.lazyfreed,
        .total = st.lazyfreed + st.lazyfree_pending,
        .unit = "objects",
    };
    snprintf(out->result, sizeof out->result, "%llu freed, %llu to be freed",
             (unsigned long long)st.lazyfreed,
             (unsigned long long)st.lazyfree_pending);
}

void
maintenance_init(struct server *s)
{
    struct jobs *j = s->engine->jobs;

    jobs_add_service(j, look_at_checkpoints, s);
    jobs_add_service(j, look_at_expiry, s);
    jobs_add_service(j, look_at_freeing, s);
}

void
maintenance_resume(struct server *s)
{
    compact_resume(s->engine);
}

/* --- INFO jobs --------------------------------------------------------------
 */

struct sums {
    struct buf *out;
    unsigned states[JOBS_STATES];
};

static void
put_run(void *arg, const struct jobs_info *i)
{
    struct sums *sums = arg;
    const struct jobs_progress *p = &i->progress;

    if (i->id == 0)
        return;
    sums->states[i->state]++;
    if (i->state == JOBS_RUNNING || i->state == JOBS_PAUSED)
        buf_printf(sums->out,
                   "job_%llu:kind=%s,state=%s,phase=%s,done=%llu,"
                   "total=%llu,rate=%.0f,eta_ms=%lld\r\n",
                   (unsigned long long)i->id, i->kind,
                   jobs_state_name(i->state), p->phase == NULL ? "" : p->phase,
                   (unsigned long long)p->done, (unsigned long long)p->total,
                   i->rate, (long long)i->eta_ms);
}

void
info_jobs(struct server *s, struct buf *out)
{
    struct sums sums = {.out = out};

    jobs_each(s->engine->jobs, put_run, &sums);
    info_u64(out, "jobs_running", sums.states[JOBS_RUNNING]);
    info_u64(out, "jobs_paused", sums.states[JOBS_PAUSED]);
    info_u64(out, "jobs_done", sums.states[JOBS_DONE]);
    info_u64(out, "jobs_failed", sums.states[JOBS_FAILED]);
    info_u64(out, "jobs_cancelled", sums.states[JOBS_CANCELLED]);
    info_u64(out, "jobs_rate_limit", jobs_rate(s->engine->jobs));
}
