/* cmd/cmd_latency.c - LATENCY: histograms of commands, and noted delays. */
#include "cmd/latency.h"

#include <stdio.h>

#include "base/buf.h"
#include "cmd/cmd_command.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "os/clock.h"

/* --- HISTOGRAM ----------------------------------------------------------- */

/* Calls that took at most 1, 2, 4 ... microseconds, as far as that grows. */
static void
reply_histogram(struct req *rq, const struct command *cmd)
{
    const struct histogram *h = cmd->stats->latency;
    struct reply_deferred d;
    uint64_t n = 0, seen = 0;

    reply_bulk_str(rq, cmd->name);
    reply_map(rq, 2);
    reply_bulk_str(rq, "calls");
    reply_int(rq, (int64_t)h->count);
    reply_bulk_str(rq, "histogram_usec");
    d = reply_array_begin(rq);
    for (uint64_t us = 1; seen < h->count && us != 0; us *= 2) {
        uint64_t at_most = histogram_at_most(h, us);

        if (at_most == seen)
            continue;
        seen = at_most;
        n++;
        reply_int(rq, (int64_t)us);
        reply_int(rq, (int64_t)at_most);
    }
    reply_map_end(rq, d, n);
}

static bool
was_called(const struct command *cmd)
{
    return cmd->stats->latency != NULL && cmd->stats->latency->count > 0;
}

/* A command, or each of its subcommands; returns how many were put. */
static uint64_t
reply_histograms(struct req *rq, const struct command *cmd)
{
    uint64_t n = 0;

    if (was_called(cmd)) {
        reply_histogram(rq, cmd);
        n++;
    }
    for (const struct command *sub = cmd->subs;
         sub != NULL && sub->name != NULL; sub++)
        n += reply_histograms(rq, sub);
    return n;
}

void
cmd_latency_histogram(struct req *rq)
{
    struct reply_deferred d = reply_array_begin(rq);
    uint64_t n = 0;

    if (rq->argc == 2)
        for (unsigned i = 0; i < command_count(); i++)
            n += reply_histograms(rq, command_at(i));
    for (uint32_t i = 2; i < rq->argc; i++) {
        const struct command *cmd = command_find_full(rq->argv[i]);

        if (cmd != NULL)
            n += reply_histograms(rq, cmd);
    }
    reply_map_end(rq, d, n);
}

/* --- events -------------------------------------------------------------- */

static const struct latency_sample *
newest(const struct latency_event *ev)
{
    return &ev->ring[(ev->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
}

void
cmd_latency_latest(struct req *rq)
{
    const struct latency *l = rq->engine->latency;

    reply_array(rq, latency_count(l));
    for (unsigned i = 0; i < latency_count(l); i++) {
        const struct latency_event *ev = latency_at(l, i);

        reply_array(rq, 4);
        reply_bulk_str(rq, ev->name);
        reply_int(rq, newest(ev)->wall_s);
        reply_int(rq, newest(ev)->ms);
        reply_int(rq, ev->max_ms);
    }
}

void
cmd_latency_history(struct req *rq)
{
    const struct latency_event *ev =
        latency_find(rq->engine->latency, rq->argv[2]);
    const struct latency_sample *s;
    struct reply_deferred d = reply_array_begin(rq);
    uint64_t n = 0;

    while (ev != NULL && (s = latency_sample_at(ev, (unsigned)n)) != NULL) {
        reply_array(rq, 2);
        reply_int(rq, s->wall_s);
        reply_int(rq, s->ms);
        n++;
    }
    reply_array_end(rq, d, n);
}

void
cmd_latency_reset(struct req *rq)
{
    struct latency *l = rq->engine->latency;
    int64_t n = 0;

    if (rq->argc == 2)
        while (latency_count(l) > 0)
            n += latency_reset(l, slice_str(latency_at(l, 0)->name));
    for (uint32_t i = 2; i < rq->argc; i++)
        n += latency_reset(l, rq->argv[i]);
    reply_int(rq, n);
}

#define GRAPH_BAR 40 /* columns of the longest bar */

/* One line a sample, oldest first: how long ago, a bar, milliseconds. */
void
cmd_latency_graph(struct req *rq)
{
    static const char bar[] = "########################################";
    const struct latency_event *ev =
        latency_find(rq->engine->latency, rq->argv[2]);
    uint64_t now = clock_wall_us() / 1000000;
    struct buf out = BUF_INIT;
    const struct latency_sample *s;

    if (ev == NULL) {
        reply_error(rq, "No samples available for event '%.*s'",
                    (int)nq_min(rq->argv[2].len, (size_t)128),
                    (const char *)rq->argv[2].p);
        return;
    }
    buf_printf(&out, "%s - high %u ms (all time high %u ms)\n", ev->name,
               ev->max_ms, ev->max_ms);
    for (unsigned i = 0; (s = latency_sample_at(ev, i)) != NULL; i++)
        buf_printf(&out, "%6llus ago |%-40.*s| %u ms\n",
                   (unsigned long long)(now - s->wall_s),
                   (int)((uint64_t)s->ms * GRAPH_BAR / nq_max(ev->max_ms, 1u)),
                   bar, s->ms);
    reply_verbatim(rq, "txt", buf_slice(&out));
    buf_fini(&out);
}

static const char *
advice_for(const char *event)
{
    if (strcmp(event, "command") == 0)
        return "Look at SLOWLOG GET for what ran; read ranges in parts with "
               "LIMIT.";
    if (strcmp(event, "fast-command") == 0)
        return "Commands of constant time were slow: the machine is short of "
               "CPU, or swaps.";
    return "Look at INFO persistence, and at how busy the disk is.";
}

void
cmd_latency_doctor(struct req *rq)
{
    const struct latency *l = rq->engine->latency;
    struct buf out = BUF_INIT;

    if (rq->engine->limits.latency_ms == 0)
        buf_put_str(&out, "Latency monitoring is disabled. Turn it on with "
                          "\"CONFIG SET latency-monitor-threshold "
                          "<milliseconds>\".\n");
    else if (latency_count(l) == 0)
        buf_printf(&out, "Nothing took %u ms or longer.\n",
                   rq->engine->limits.latency_ms);
    for (unsigned i = 0; i < latency_count(l); i++) {
        const struct latency_event *ev = latency_at(l, i);

        buf_printf(&out, "%s: %llu delays, worst %u ms, last %u ms. %s\n",
                   ev->name, (unsigned long long)ev->count, ev->max_ms,
                   newest(ev)->ms, advice_for(ev->name));
    }
    reply_verbatim(rq, "txt", buf_slice(&out));
    buf_fini(&out);
}

void
cmd_latency_help(struct req *rq)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What the delays noted so far may come from.",
        "GRAPH <event>",
        "    The samples of an event, drawn.",
        "HISTOGRAM [<command> ...]",
        "    How many calls took at most 1, 2, 4 ... microseconds.",
        "HISTORY <event>",
        "    The samples of an event: time and milliseconds.",
        "LATEST",
        "    Of each event: name, time and value of the last, worst.",
        "RESET [<event> ...]",
        "    Forget events; all of them if none is named.",
        NULL,
    };

    reply_help(rq, lines);
}
