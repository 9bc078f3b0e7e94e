/* cmd/cmd_slowlog.c - SLOWLOG GET, LEN, RESET. */
#include "cmd/slowlog.h"

#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

#define SHOWN_BY_DEFAULT 10

static void
reply_slow(struct req *rq, const struct slowlog_entry *x)
{
    reply_array(rq, 6);
    reply_int(rq, (int64_t)x->id);
    reply_int(rq, (int64_t)x->wall_s);
    reply_int(rq, (int64_t)x->us);
    reply_array(rq, x->argc);
    for (uint32_t i = 0; i < x->argc; i++)
        reply_bulk(rq, x->argv[i]);
    reply_bulk(rq, x->addr);
    reply_bulk(rq, x->name);
}

void
cmd_slowlog_get(struct req *rq)
{
    struct slowlog *log = rq->engine->slowlog;
    int64_t count = SHOWN_BY_DEFAULT;

    if (rq->argc > 3) {
        reply_wrong_arity(rq);
        return;
    }
    if (rq->argc == 3 && (!slice_to_i64(rq->argv[2], &count) || count < -1)) {
        reply_error(rq, "count should be greater than or equal to -1");
        return;
    }
    if (count == -1 || count > log->count)
        count = log->count;
    reply_array(rq, (uint64_t)count);
    list_each(it, &log->entries)
    {
        if (count-- == 0)
            break;
        reply_slow(rq, nq_container(it, struct slowlog_entry, link));
    }
}

void
cmd_slowlog_len(struct req *rq)
{
    reply_int(rq, rq->engine->slowlog->count);
}

void
cmd_slowlog_reset(struct req *rq)
{
    slowlog_clear(rq->engine->slowlog);
    reply_ok(rq);
}

void
cmd_slowlog_help(struct req *rq)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    The newest <count> slow commands (10 unless told, -1: all): id,",
        "    time, microseconds, arguments, client address, client name.",
        "LEN",
        "    How many slow commands are kept.",
        "RESET",
        "    Forget them.",
        NULL,
    };

    reply_help(rq, lines);
}
