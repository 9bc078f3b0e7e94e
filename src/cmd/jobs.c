/* cmd/jobs.c - runs that go on and runs that ended.
 *
 *   J1  a run is in exactly one of the lists `running` and `ended`
 *   J2  end() of its kind is called when it leaves the first, and nothing of
 *       the kind after that
 *   J3  step() is not called while it is paused, nor before its time
 *
 * All runs that are due have one step a turn, unless the slice of all of them
 * is over before; then the others go first in the next turn. */
#include "cmd/jobs.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"

#define RUN_MAGIC 0x4e55524au
#define SLICE_US 500u
#define ENDED_MAX 32u
#define RATE_US 1000000u /* the rate is that of about the last second */
#define AT_ANY_TURN UINT64_MAX

struct jobs_run {
    uint32_t magic;
    struct list link;
    const struct jobs_kind *kind;
    void *arg; /* the kind's, until it ended */
    struct jobs_info info;
    uint64_t due_us;     /* monotonic; 0: at once; AT_ANY_TURN */
    uint64_t ran_us;     /* up to the last pause */
    uint64_t resumed_us; /* monotonic */
    uint64_t rated_us, rated_done;
};

struct jobs {
    struct list running, ended; /* ended: the youngest first */
    struct list services;
    unsigned ended_count;
    uint64_t last_id;
    uint64_t rate;
};

struct service {
    struct list link;
    void (*look)(void *arg, struct jobs_info *out);
    void *arg;
};

static struct jobs_run *
run_of(struct list *it)
{
    struct jobs_run *r;

    NQ_CAST(r, nq_container(it, struct jobs_run, link), RUN_MAGIC);
    return r;
}

const char *
jobs_state_name(enum jobs_state state)
{
    static const char *const names[] = {
        [JOBS_IDLE] = "idle",     [JOBS_RUNNING] = "running",
        [JOBS_PAUSED] = "paused", [JOBS_DONE] = "done",
        [JOBS_FAILED] = "failed", [JOBS_CANCELLED] = "cancelled",
    };

    return names[state];
}

/* --- what is told of a run ------------------------------------------------
 */

static void
look_at_rate(struct jobs_run *r, uint64_t now)
{
    uint64_t passed = now - r->rated_us;
    uint64_t done = r->info.progress.done;

    if (passed < RATE_US)
        return;
    /* A new phase may count from the beginning. */
    r->info.rate = done < r->rated_done
                       ? 0
                       : (double)(done - r->rated_done) * 1e6 / (double)passed;
    r->rated_us = now;
    r->rated_done = done;
}

static void
refresh(struct jobs_run *r)
{
    struct jobs_info *i = &r->info;
    uint64_t now = clock_mono_us();
    uint64_t left = 0;

    if (r->kind->progress != NULL)
        r->kind->progress(r->arg, &i->progress);
    if (i->progress.unit == NULL)
        i->progress.unit = "steps";
    i->took_ms = r->ran_us / 1000;
    if (i->state == JOBS_RUNNING) {
        i->took_ms = (r->ran_us + now - r->resumed_us) / 1000;
        look_at_rate(r, now);
    }
    if (i->progress.total > i->progress.done)
        left = i->progress.total - i->progress.done;
    i->eta_ms = -1;
    if (i->state == JOBS_RUNNING && i->progress.total > 0 && i->rate > 0)
        i->eta_ms = (int64_t)((double)left * 1000 / i->rate);
}

static void
forget(struct jobs *j, struct list *it)
{
    list_remove(it);
    j->ended_count--;
    nq_free(run_of(it));
}

static void
end(struct jobs *j, struct jobs_run *r, enum jobs_state how, nq_rc rc)
{
    struct jobs_info *i = &r->info;

    refresh(r);
    i->state = how;
    i->rc = rc;
    i->eta_ms = -1;
    if (r->kind->end != NULL)
        r->kind->end(r, r->arg, how, rc);
    r->arg = NULL;
    if (i->result[0] == '\0')
        snprintf(i->result, sizeof i->result, "%s",
                 how == JOBS_FAILED ? rc_text(rc) : jobs_state_name(how));
    log_notice("%s (job %llu) %s after %llu ms: %s", i->kind,
               (unsigned long long)i->id, jobs_state_name(how),
               (unsigned long long)i->took_ms, i->result);
    list_remove(&r->link);
    list_push_front(&j->ended, &r->link);
    if (++j->ended_count > ENDED_MAX)
        forget(j, j->ended.prev);
}

/* --- the scheduler ---------------------------------------------------------
 */

struct jobs *
jobs_new(void)
{
    struct jobs *j = nq_calloc(1, sizeof *j);

    list_init(&j->running);
    list_init(&j->ended);
    list_init(&j->services);
    return j;
}

void
jobs_stop(struct jobs *j)
{
    while (!list_empty(&j->running))
        end(j, run_of(j->running.next), JOBS_CANCELLED, NQ_ECLOSED);
}

void
jobs_free(struct jobs *j)
{
    struct list *it;

    if (j == NULL)
        return;
    jobs_stop(j);
    while (!list_empty(&j->ended))
        forget(j, j->ended.next);
    while ((it = list_pop_front(&j->services)) != NULL)
        nq_free(nq_container(it, struct service, link));
    nq_free(j);
}

nq_rc
jobs_start(struct jobs *j, const struct jobs_kind *kind, void *arg,
           uint64_t *id)
{
    struct jobs_run *r;

    list_each(it, &j->running)
    {
        r = run_of(it);
        if (kind->is_single && r->kind == kind) {
            if (id != NULL)
                *id = r->info.id;
            return NQ_EBUSY;
        }
    }
    r = nq_calloc(1, sizeof *r);
    r->magic = RUN_MAGIC;
    r->kind = kind;
    r->arg = arg;
    r->info = (struct jobs_info){
        .id = ++j->last_id,
        .kind = kind->name,
        .state = JOBS_RUNNING,
        .started_wall_ms = clock_wall_ms(),
        .eta_ms = -1,
    };
    r->resumed_us = r->rated_us = clock_mono_us();
    list_push_back(&j->running, &r->link);
    if (id != NULL)
        *id = r->info.id;
    log_notice("%s began as job %llu", kind->name,
               (unsigned long long)r->info.id);
    return NQ_OK;
}

void
jobs_wait(struct jobs_run *r, int ms)
{
    r->due_us = ms < 0    ? AT_ANY_TURN
                : ms == 0 ? 0
                          : clock_mono_us() + (uint64_t)ms * 1000;
}

void
jobs_result(struct jobs_run *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r->info.result, sizeof r->info.result, fmt, ap);
    va_end(ap);
}

static bool
is_due(const struct jobs_run *r, uint64_t now)
{
    return r->info.state == JOBS_RUNNING &&
           (r->due_us == AT_ANY_TURN || r->due_us <= now);
}

static void
step(struct jobs *j, struct jobs_run *r)
{
    nq_rc rc;

    r->due_us = 0;
    rc = r->kind->step(r, r->arg);
    if (rc == NQ_OK)
        end(j, r, JOBS_DONE, rc);
    else if (rc != NQ_AGAIN)
        end(j, r, JOBS_FAILED, rc);
}

void
jobs_turn(struct jobs *j)
{
    uint64_t began, now;
    struct list *last, *it;

    if (nq_likely(list_empty(&j->running)))
        return;
    began = now = clock_mono_us();
    last = j->running.prev;
    do {
        it = j->running.next;
        list_remove(it);
        list_push_back(&j->running, it);
        if (is_due(run_of(it), now)) {
            step(j, run_of(it));
            now = clock_mono_us();
        }
    } while (it != last && !list_empty(&j->running) && now - began < SLICE_US);
}

int
jobs_next_due_ms(const struct jobs *j)
{
    uint64_t now = 0, next = AT_ANY_TURN;

    if (nq_likely(list_empty(&j->running)))
        return -1;
    now = clock_mono_us();
    list_each(it, &j->running)
    {
        const struct jobs_run *r = run_of(it);

        if (r->info.state == JOBS_RUNNING)
            next = nq_min(next, r->due_us);
    }
    if (next == AT_ANY_TURN)
        return -1;
    return next <= now ? 0 : (int)((next - now) / 1000 + 1);
}

/* --- steering ---------------------------------------------------------------
 */

static struct jobs_run *
find(struct list *l, uint64_t id)
{
    list_each(it, l)
    {
        if (run_of(it)->info.id == id)
            return run_of(it);
    }
    return NULL;
}

/* One that runs and that clients may steer. */
static nq_rc
steered(struct jobs *j, uint64_t id, struct jobs_run **out)
{
    *out = find(&j->running, id);
    if (*out == NULL)
        return NQ_NOTFOUND;
    return (*out)->kind->is_not_stopped ? NQ_EINVAL : NQ_OK;
}

nq_rc
jobs_pause(struct jobs *j, uint64_t id)
{
    struct jobs_run *r;
    nq_rc rc = steered(j, id, &r);

    if (rc != NQ_OK || r->info.state == JOBS_PAUSED)
        return rc;
    r->ran_us += clock_mono_us() - r->resumed_us;
    r->info.state = JOBS_PAUSED;
    return NQ_OK;
}

nq_rc
jobs_resume(struct jobs *j, uint64_t id)
{
    struct jobs_run *r;
    nq_rc rc = steered(j, id, &r);

    if (rc != NQ_OK || r->info.state == JOBS_RUNNING)
        return rc;
    r->resumed_us = r->rated_us = clock_mono_us();
    r->info.state = JOBS_RUNNING;
    r->due_us = 0;
    return NQ_OK;
}

nq_rc
jobs_cancel(struct jobs *j, uint64_t id)
{
    struct jobs_run *r;
    nq_rc rc = steered(j, id, &r);

    if (rc == NQ_OK)
        end(j, r, JOBS_CANCELLED, NQ_OK);
    return rc;
}

/* --- looking ----------------------------------------------------------------
 */

void
jobs_add_service(struct jobs *j, void (*look)(void *arg, struct jobs_info *out),
                 void *arg)
{
    struct service *s = nq_calloc(1, sizeof *s);

    s->look = look;
    s->arg = arg;
    list_push_back(&j->services, &s->link);
}

void
jobs_each(struct jobs *j, void (*fn)(void *arg, const struct jobs_info *i),
          void *arg)
{
    list_each(it, &j->running)
    {
        refresh(run_of(it));
        fn(arg, &run_of(it)->info);
    }
    list_each(it, &j->services)
    {
        struct service *s = nq_container(it, struct service, link);
        struct jobs_info i = {.eta_ms = -1, .progress.unit = "steps"};

        s->look(s->arg, &i);
        fn(arg, &i);
    }
    list_each(it, &j->ended) fn(arg, &run_of(it)->info);
}

bool
jobs_find(struct jobs *j, uint64_t id, struct jobs_info *out)
{
    struct jobs_run *r = find(&j->running, id);

    if (r != NULL)
        refresh(r);
    else
        r = find(&j->ended, id);
    if (r != NULL)
        *out = r->info;
    return r != NULL;
}

void
jobs_set_rate(struct jobs *j, uint64_t bytes_per_s)
{
    j->rate = bytes_per_s;
}

uint64_t
jobs_rate(const struct jobs *j)
{
    return j->rate;
}
