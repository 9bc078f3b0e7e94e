/* cmd/cmd_debug.c - DEBUG: a few tools for tests.  What would stop or harm
 * the server in Redis is refused here with a sentence. */
#include "cmd/cmd_debug.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"

#define SLEEP_MAX_S 3600.0
#define PROTOCOL_TEXT "This is a verbatim\nstring"

/* Only this client sleeps; the loop goes on.  But the time counts as the
 * command's, for SLOWLOG and LATENCY. */
static void
debug_sleep(struct req *rq)
{
    char text[32] = "", *end;
    double s;

    if (rq->state != NULL) {
        rq->start = *(uint64_t *)rq->state;
        reply_ok(rq);
        return;
    }
    if (rq->argv[2].len < sizeof text)
        memcpy(text, rq->argv[2].p, rq->argv[2].len);
    s = strtod(text, &end);
    if (end == text || *end != '\0' || !(s >= 0 && s <= SLEEP_MAX_S)) {
        reply_rc(rq, NQ_ENOTFLOAT);
        return;
    }
    if (rq->in_multi) {
        reply_ok(rq);
        return;
    }
    rq->state = nq_malloc(sizeof rq->start);
    *(uint64_t *)rq->state = rq->start;
    rq->free_state = nq_free;
    req_block_until(rq, clock_mono_ms() + (uint64_t)(s * 1000) + 1);
}

static void
debug_set_active_expire(struct req *rq)
{
    int64_t on;

    if (!slice_to_i64(rq->argv[2], &on)) {
        reply_rc(rq, NQ_ENOTINT);
        return;
    }
    if (rq->db != NULL)
        db_set_active_expire(rq->db, on != 0);
    reply_ok(rq);
}

static void
debug_change_repl_id(struct req *rq)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 40; i++)
        rq->engine->run_id[i] = digits[rng_below(&rq->engine->rng, 16)];
    reply_ok(rq);
}

/* --- PROTOCOL: each type of reply, for tests of clients ------------------ */

static void
reply_three_numbers(struct req *rq)
{
    for (int i = 0; i < 3; i++)
        reply_int(rq, i);
}

static void
reply_truths(struct req *rq)
{
    reply_map(rq, 3);
    for (int i = 0; i < 3; i++) {
        reply_int(rq, i);
        reply_bool(rq, i == 1);
    }
}

static void
debug_protocol(struct req *rq)
{
    struct slice type = rq->argv[2];

    if (slice_is(type, "string")) {
        reply_bulk_str(rq, "Hello World");
    } else if (slice_is(type, "integer")) {
        reply_int(rq, 12345);
    } else if (slice_is(type, "double")) {
        reply_double(rq, 3.141);
    } else if (slice_is(type, "null")) {
        reply_null(rq);
    } else if (slice_is(type, "array")) {
        reply_array(rq, 3);
        reply_three_numbers(rq);
    } else if (slice_is(type, "set")) {
        reply_set(rq, 3);
        reply_three_numbers(rq);
    } else if (slice_is(type, "map")) {
        reply_truths(rq);
    } else if (slice_is(type, "push")) {
        reply_push(rq, 2);
        reply_bulk_str(rq, "server-cpu-usage");
        reply_int(rq, 42);
    } else if (slice_is(type, "bignum")) {
        reply_bignum(rq, "1234567999999999999999999999999999999");
    } else if (slice_is(type, "verbatim")) {
        reply_verbatim(rq, "txt", slice_lit(PROTOCOL_TEXT));
    } else if (slice_is(type, "true") || slice_is(type, "false")) {
        reply_bool(rq, slice_is(type, "true"));
    } else {
        reply_error(rq, "Wrong protocol type name. Please use one of the "
                        "following: string|integer|double|null|array|set|map|"
                        "push|verbatim|true|false|bignum");
    }
}

/* --- the command --------------------------------------------------------- */

static void
debug_help(struct req *rq)
{
    static const char *const lines[] = {
        "CHANGE-REPL-ID",
        "    Draws a new run id.",
        "DIGEST, DIGEST-VALUE <key> ...",
        "    A number for the contents of all databases, or of keys.",
        "LOADAOF, RELOAD",
        "    Writes everything to the data file (a checkpoint).",
        "OBJECT <key>",
        "    How a value is kept, in one line.",
        "PROTOCOL <type>",
        "    A reply of that type.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted, without effect: there are no such lists.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether expired keys are deleted before somebody asks for them.",
        "SLEEP <seconds>",
        "    Answers after that time; other clients are served meanwhile.",
        NULL,
    };

    reply_help(rq, lines);
}

#define ANY 0 /* number of arguments */

static const struct {
    const char *name;
    uint32_t argc;
    void (*fn)(struct req *rq);
} tools[] = {
    {"sleep", 3, debug_sleep},
    {"set-active-expire", 3, debug_set_active_expire},
    {"change-repl-id", 2, debug_change_repl_id},
    {"protocol", 3, debug_protocol},
    {"digest", 2, debug_digest},
    {"digest-value", ANY, debug_digest_value},
    {"object", 3, debug_object},
    {"reload", ANY, debug_reload},
    {"loadaof", 2, debug_reload},
    {"quicklist-packed-threshold", 3, reply_ok},
    {"help", 2, debug_help},
};

static const char *const refused[] = {
    "jmap",     "segfault", "panic", "restart", "crash-and-recover",
    "populate", "assert",   "oom",   "leak",    "pause-cron",
};

static bool
is_refused(struct slice name)
{
    for (size_t i = 0; i < nq_countof(refused); i++)
        if (slice_is(name, refused[i]))
            return true;
    return false;
}

void
cmd_debug(struct req *rq)
{
    struct slice name = rq->argv[1];

    if (!rq->engine->limits.enable_debug) {
        reply_error(rq, "DEBUG command not allowed. If the "
                        "enable-debug-command option is set to \"local\", you "
                        "can run it from a local connection, otherwise you "
                        "need to set this option in the configuration file, "
                        "and then restart the server.");
        return;
    }
    for (size_t i = 0; i < nq_countof(tools); i++)
        if (slice_is(name, tools[i].name) &&
            (rq->argc == tools[i].argc || tools[i].argc == ANY)) {
            tools[i].fn(rq);
            return;
        }
    if (is_refused(name))
        reply_error(rq,
                    "DEBUG %.*s is refused: it would stop or harm this "
                    "server",
                    (int)name.len, (const char *)name.p);
    else
        reply_error(rq,
                    "unknown subcommand or wrong number of arguments for "
                    "'%.*s'. Try DEBUG HELP.",
                    (int)nq_min(name.len, (size_t)128), (const char *)name.p);
}
