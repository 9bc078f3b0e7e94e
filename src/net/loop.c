/* net/loop.c - the reactor on libev: one epoll loop, watchers of few kinds.
 *
 * Sockets, signals and wakeups are ordinary watchers.  The turn itself runs
 * in an ev_check of the lowest priority, hence behind every callback of the
 * iteration: all ready sockets are read before the first command runs.  An
 * ev_idle keeps the loop from sleeping while a turn left work, an ev_timer
 * wakes it when the server has something due. */
#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop_int.h"

#define CRON_S 0.1
#define HELD_RETRY_MS 1 /* writers held back look again after this */
#define ALARM_SLACK_S 0.0005

static const int loop_signals[] = {SIGTERM, SIGINT, SIGHUP};

static struct loop *
loop_of(void *data)
{
    struct loop *l;

    NQ_CAST(l, data, LOOP_MAGIC);
    return l;
}

/* --- watchers --------------------------------------------------------------
 */

static int
due_ms(struct loop *l)
{
    int due;

    if (turn_has_more(l))
        return 0;
    due = l->opts.next_due_ms == NULL ? -1 : l->opts.next_due_ms(l->opts.arg);
    if (!list_empty(&l->held) && (due < 0 || due > HELD_RETRY_MS))
        due = HELD_RETRY_MS;
    return due;
}

/* Before sleeping: how long may it be?  A timer that fires too early does no
 * harm, so one that is near enough is left alone. */
static void
on_prepare(struct ev_loop *ev, struct ev_prepare *w, int events)
{
    struct loop *l = loop_of(w->data);
    int due = due_ms(l);
    double at;

    nq_unused(events);
    if (due == 0) {
        ev_idle_start(ev, &l->idle);
        return;
    }
    ev_idle_stop(ev, &l->idle);
    if (due < 0)
        return;
    at = ev_now(ev) + due / 1000.0;
    if (ev_is_active(&l->alarm) && l->alarm_at <= at + ALARM_SLACK_S)
        return;
    ev_timer_stop(ev, &l->alarm);
    ev_timer_set(&l->alarm, due / 1000.0, 0.);
    ev_timer_start(ev, &l->alarm);
    l->alarm_at = at;
}

static void
on_check(struct ev_loop *ev, struct ev_check *w, int events)
{
    nq_unused(ev);
    nq_unused(events);
    turn_run(loop_of(w->data));
}

/* Their work is done by the turn that follows in the same iteration. */
static void
on_idle(struct ev_loop *ev, struct ev_idle *w, int events)
{
    nq_unused(ev);
    nq_unused(w);
    nq_unused(events);
}

static void
on_alarm(struct ev_loop *ev, struct ev_timer *w, int events)
{
    nq_unused(ev);
    nq_unused(w);
    nq_unused(events);
}

static void
on_wake(struct ev_loop *ev, struct ev_async *w, int events)
{
    struct loop *l = loop_of(w->data);

    nq_unused(ev);
    nq_unused(events);
    if (l->opts.on_wake != NULL)
        l->opts.on_wake(l->opts.arg);
}

static void
on_signal(struct ev_loop *ev, struct ev_signal *w, int events)
{
    struct loop *l = loop_of(w->data);

    nq_unused(ev);
    nq_unused(events);
    if (l->opts.on_signal != NULL)
        l->opts.on_signal(l->opts.arg, w->signum);
}

/* Closes clients that ended their side while a command of theirs waits, if
 * it still does after a second. */
static void
close_ended(struct loop *l)
{
    list_each(it, &l->ended)
    {
        struct conn *c = nq_container(it, struct conn, ready_link);

        if (c->is_overdue)
            conn_close(c);
        c->is_overdue = true;
    }
}

static void
on_cron(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct loop *l = loop_of(w->data);

    nq_unused(ev);
    nq_unused(events);
    if (l->opts.on_cron != NULL)
        l->opts.on_cron(l->opts.arg);
    if (++l->cron_count % 10 == 0) {
        listen_resume(l);
        close_ended(l);
    }
}

/* --- life ------------------------------------------------------------------
 */

static void
start_watchers(struct loop *l)
{
    ev_prepare_init(&l->prepare, on_prepare);
    ev_check_init(&l->check, on_check);
    ev_set_priority(&l->check, EV_MINPRI);
    ev_idle_init(&l->idle, on_idle);
    ev_timer_init(&l->alarm, on_alarm, 0., 0.);
    ev_timer_init(&l->cron, on_cron, CRON_S, CRON_S);
    ev_async_init(&l->wake, on_wake);
    l->prepare.data = l->check.data = l->idle.data = l->alarm.data = l;
    l->cron.data = l->wake.data = l;
    ev_prepare_start(l->ev, &l->prepare);
    ev_check_start(l->ev, &l->check);
    ev_timer_start(l->ev, &l->cron);
    ev_async_start(l->ev, &l->wake);
    for (unsigned i = 0; i < nq_countof(loop_signals); i++) {
        ev_signal_init(&l->signals[i], on_signal, loop_signals[i]);
        l->signals[i].data = l;
        if (l->opts.on_signal != NULL)
            ev_signal_start(l->ev, &l->signals[i]);
    }
}

nq_rc
loop_new(const struct loop_opts *opts, struct loop **out)
{
    struct loop *l = nq_calloc(1, sizeof *l);
    struct list *lists[] = {&l->conns,  &l->arrived, &l->ready,
                            &l->held,   &l->ended,   &l->dirty,
                            &l->pushed, &l->gated,   &l->closing};

    *out = NULL;
    l->magic = LOOP_MAGIC;
    l->opts = *opts;
    l->engine = opts->engine;
    l->gate_min = l->asked = LSN_NEVER;
    for (unsigned i = 0; i < nq_countof(lists); i++)
        list_init(lists[i]);
    l->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (l->ev == NULL) {
        log_error("epoll cannot be used: no event loop");
        nq_free(l);
        return NQ_EIO;
    }
    l->inputs = input_pool_new();
    l->argv = nq_calloc((size_t)BATCH_MAX * RESP_SHORT_ARGS, sizeof *l->argv);
    signal(SIGPIPE, SIG_IGN);
    start_watchers(l);
    *out = l;
    return NQ_OK;
}

void
loop_run(struct loop *l)
{
    ev_run(l->ev, 0);
}

void
loop_stop(struct loop *l)
{
    ev_break(l->ev, EVBREAK_ALL);
}

void
loop_wake(void *loop)
{
    struct loop *l = loop_of(loop);

    ev_async_send(l->ev, &l->wake);
}

static bool
has_unsent(const struct loop *l)
{
    list_each(it, &l->conns)
    {
        if (!outq_is_empty(&nq_container(it, struct conn, link)->session.out))
            return true;
    }
    return false;
}

static void
close_all(struct loop *l)
{
    list_each(it, &l->conns)
    {
        conn_close(nq_container(it, struct conn, link));
    }
    while (!list_empty(&l->closing))
        conn_free(nq_container(l->closing.next, struct conn, link));
}

void
loop_drain(struct loop *l, unsigned ms)
{
    double end;

    loop_stop_accepting(l);
    l->is_draining = true;
    ev_now_update(l->ev);
    end = ev_now(l->ev) + ms / 1000.0;
    while (has_unsent(l) && ev_now(l->ev) < end)
        ev_run(l->ev, EVRUN_ONCE);
    close_all(l);
}

void
loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    loop_stop_accepting(l);
    close_all(l);
    listen_close(l);
    ev_loop_destroy(l->ev);
    input_pool_free(l->inputs);
    nq_free(l->argv);
    l->magic = 0;
    nq_free(l);
}

void
loop_get_stats(struct loop *l, struct loop_stats *out)
{
    *out = l->stats;
    l->stats.lag_us_max = 0;
}
