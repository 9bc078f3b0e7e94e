/* cmd/cmd_config.c - CONFIG and INFO, which the server answers (engine_host).
 */
#include "base/buf.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

#define ERROR_SIZE 512

struct pairs {
    struct req *rq;
    uint64_t n;
};

static void
put_pair(void *arg, const char *name, const char *value)
{
    struct pairs *p = arg;

    reply_bulk_str(p->rq, name);
    reply_bulk_str(p->rq, value);
    p->n++;
}

void
cmd_config_get(struct req *rq)
{
    struct pairs p = {rq, 0};
    struct reply_deferred d = reply_array_begin(rq);

    if (rq->engine->host.config_get != NULL)
        rq->engine->host.config_get(rq->argv + 2, rq->argc - 2, put_pair, &p);
    reply_map_end(rq, d, p.n);
}

void
cmd_config_set(struct req *rq)
{
    unsigned n = (rq->argc - 2) / 2;
    struct slice *names = arena_alloc(rq->arena, n * sizeof *names);
    struct slice *values = arena_alloc(rq->arena, n * sizeof *values);
    char err[ERROR_SIZE] = "CONFIG SET failed";

    if (rq->argc % 2 != 0) {
        reply_syntax(rq);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        names[i] = rq->argv[2 + 2 * i];
        values[i] = rq->argv[3 + 2 * i];
    }
    if (rq->engine->host.config_set != NULL &&
        rq->engine->host.config_set(names, values, n, err, sizeof err) == NQ_OK)
        reply_ok(rq);
    else
        reply_error(rq, "%s", err);
}

void
cmd_config_rewrite(struct req *rq)
{
    char err[ERROR_SIZE] = "The server is running without a config file";

    if (rq->engine->host.config_rewrite != NULL &&
        rq->engine->host.config_rewrite(err, sizeof err) == NQ_OK)
        reply_ok(rq);
    else
        reply_error(rq, "%s", err);
}

void
cmd_config_resetstat(struct req *rq)
{
    engine_reset_stats(rq->engine);
    if (rq->engine->host.config_resetstat != NULL)
        rq->engine->host.config_resetstat();
    reply_ok(rq);
}

void
cmd_config_help(struct req *rq)
{
    static const char *const lines[] = {
        "GET <pattern> [<pattern> ...]",
        "    The settings whose names match.",
        "SET <name> <value> [<name> <value> ...]",
        "    Changes settings: all of them, or none.",
        "RESETSTAT",
        "    Sets the counters of INFO to zero.",
        "REWRITE",
        "    Writes the settings to the file they were read from.",
        NULL,
    };

    reply_help(rq, lines);
}

void
cmd_info(struct req *rq)
{
    struct buf out = BUF_INIT;

    if (rq->engine->host.info != NULL)
        rq->engine->host.info(rq->engine, rq->argv + 1, rq->argc - 1, &out);
    reply_verbatim(rq, "txt", buf_slice(&out));
    buf_fini(&out);
}
