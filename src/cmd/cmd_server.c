/* cmd/cmd_server.c - TIME, ROLE, SHUTDOWN, REPLICAOF, ACL, LOLWUT. */
#include <stdio.h>

#include "base/buf.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "store/store.h"

void
cmd_time(struct req *rq)
{
    uint64_t us = clock_wall_us();

    reply_array(rq, 2);
    reply_bulk_printf(rq, "%llu", (unsigned long long)(us / 1000000));
    reply_bulk_printf(rq, "%llu", (unsigned long long)(us % 1000000));
}

void
cmd_role(struct req *rq)
{
    struct store *st = rq->engine->store;

    reply_array(rq, 3);
    reply_bulk_str(rq, "master");
    reply_int(rq, st == NULL ? 0 : (int64_t)wal_position(store_wal(st)));
    reply_array(rq, 0);
}

void
cmd_replicaof(struct req *rq)
{
    if (slice_is(rq->argv[1], "no") && slice_is(rq->argv[2], "one")) {
        reply_ok(rq);
        return;
    }
    reply_error(rq, "this server cannot follow another one yet");
}

void
cmd_slaveof(struct req *rq)
{
    cmd_replicaof(rq);
}

void
cmd_acl_whoami(struct req *rq)
{
    reply_bulk_str(rq, "default");
}

void
cmd_acl_help(struct req *rq)
{
    static const char *const lines[] = {
        "WHOAMI",
        "    The user of this connection; there is one, default.",
        NULL,
    };

    reply_help(rq, lines);
}

/* --- SHUTDOWN ------------------------------------------------------------ */

struct shutdown_options {
    bool is_save, is_nosave, is_now, is_abort;
};

static bool
parse_shutdown(struct req *rq, struct shutdown_options *o)
{
    bool is_force = false;

    for (uint32_t i = 1; i < rq->argc; i++) {
        if (slice_is(rq->argv[i], "save"))
            o->is_save = true;
        else if (slice_is(rq->argv[i], "nosave"))
            o->is_nosave = true;
        else if (slice_is(rq->argv[i], "now"))
            o->is_now = true;
        else if (slice_is(rq->argv[i], "force"))
            is_force = true;
        else if (slice_is(rq->argv[i], "abort"))
            o->is_abort = true;
        else
            return false;
    }
    if (o->is_abort)
        return !o->is_save && !o->is_nosave && !o->is_now && !is_force;
    return !(o->is_save && o->is_nosave);
}

/* There is no answer when it works: the connection just ends. */
void
cmd_shutdown(struct req *rq)
{
    static const char has_begun;
    const struct engine_host *host = &rq->engine->host;
    struct shutdown_options o = {0};

    if (!parse_shutdown(rq, &o)) {
        reply_syntax(rq);
        return;
    }
    if (o.is_abort) {
        if (host->shutdown_abort != NULL && host->shutdown_abort())
            reply_ok(rq);
        else
            reply_error(rq, "No shutdown in progress.");
        return;
    }
    if (rq->state != NULL || host->shutdown == NULL) {
        reply_error(rq, "Errors trying to SHUTDOWN. Check logs.");
        return;
    }
    rq->state = (void *)(uintptr_t)&has_begun;
    host->shutdown(!o.is_nosave, o.is_now);
    req_block(rq);
}

/* --- LOLWUT -------------------------------------------------------------- */

#define PLOT_WIDTH 61
#define PLOT_HEIGHT 12

/* Two pulses that meet on a dendrite: drawn anew each time. */
static void
draw_pulses(struct rng *rng, struct buf *out)
{
    char plot[PLOT_HEIGHT][PLOT_WIDTH + 1];
    uint64_t left = rng_below(rng, PLOT_HEIGHT);
    uint64_t right = rng_below(rng, PLOT_HEIGHT);

    for (size_t y = 0; y < PLOT_HEIGHT; y++) {
        memset(plot[y], ' ', PLOT_WIDTH);
        plot[y][PLOT_WIDTH] = '\0';
    }
    for (size_t x = 0; x < PLOT_WIDTH / 2; x++) {
        plot[left][x] = '~';
        plot[right][PLOT_WIDTH - 1 - x] = '~';
        left = (left + PLOT_HEIGHT + rng_below(rng, 3) - 1) % PLOT_HEIGHT;
        right = (right + PLOT_HEIGHT + rng_below(rng, 3) - 1) % PLOT_HEIGHT;
    }
    for (size_t y = nq_min(left, right); y <= nq_max(left, right); y++)
        plot[y][PLOT_WIDTH / 2] = y == left || y == right ? '*' : '|';
    for (size_t y = 0; y < PLOT_HEIGHT; y++)
        buf_printf(out, "%s\n", plot[y]);
}

void
cmd_lolwut(struct req *rq)
{
    struct buf out = BUF_INIT;

    draw_pulses(&rq->engine->rng, &out);
    buf_printf(&out, "\nTwo pulses and a synapse. nqdb ver. %s\n",
               rq->engine->version);
    reply_verbatim(rq, "txt", buf_slice(&out));
    buf_fini(&out);
}
