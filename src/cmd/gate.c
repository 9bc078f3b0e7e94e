/* cmd/gate.c - the gates, in the order in which Redis asks its questions: a
 * client sees the same error first.
 *
 * Each gate is a function that puts its error and returns false, or returns
 * true.  A refused command spoils an open MULTI; a refused EXEC ends it. */
#include "cmd/gate.h"

#include <stdio.h>

#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/multi.h"
#include "cmd/push.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "store/store.h"

#define SHOWN_MAX 128 /* bytes of names and arguments in an error */

/* 'a' 'b' : as many arguments as begin within the limit. */
static void
quote_arguments(const struct req *rq, char *dst, size_t size)
{
    size_t n = 0;

    dst[0] = '\0';
    for (uint32_t i = 1; i < rq->argc && n < SHOWN_MAX; i++) {
        size_t len = nq_min(rq->argv[i].len, SHOWN_MAX - n);

        n += (size_t)snprintf(dst + n, size - n, "'%.*s' ", (int)len,
                              (const char *)rq->argv[i].p);
    }
}

static bool
is_known(struct req *rq)
{
    const struct command *container;
    char args[SHOWN_MAX + 16];

    if (rq->cmd != NULL)
        return true;
    rq->cmd = command_find_argv(rq->argv, rq->argc, &container);
    if (container != NULL) {
        rq->cmd = container;
        reply_unknown_sub(rq);
        rq->cmd = NULL;
        return false;
    }
    quote_arguments(rq, args, sizeof args);
    reply_error(rq, "unknown command '%.*s', with args beginning with: %s",
                (int)nq_min(rq->argv[0].len, (size_t)SHOWN_MAX),
                (const char *)rq->argv[0].p, args);
    return false;
}

static bool
has_arity(struct req *rq)
{
    int64_t argc = rq->argc;
    int arity = rq->cmd->arity;

    if ((arity > 0 ? argc == arity : argc >= -arity) && rq->cmd->fn != NULL)
        return true;
    if (rq->cmd->fn == cmd_exec)
        reply_error(rq, "-EXECABORT Transaction discarded because of: wrong "
                        "number of arguments for 'exec' command");
    else
        reply_wrong_arity(rq);
    return false;
}

static bool
is_authenticated(struct req *rq)
{
    if (session_is_authenticated(rq->s) || rq->cmd->flags & CMD_NOAUTH)
        return true;
    reply_error(rq, "-NOAUTH Authentication required.");
    return false;
}

static bool
is_within_rate(struct req *rq)
{
    if (rq->s->push == NULL || push_may_run(rq))
        return true;
    reply_error(rq,
                "-RATELIMIT more than %u commands in a second from a client "
                "that holds feeds; see "
                "security.rate_limiting.ws_messages_per_second",
                rq->engine->limits.push.rate);
    return false;
}

static bool
is_allowed_in_multi(struct req *rq)
{
    if (!multi_is_open(rq->s) || !(rq->cmd->flags & CMD_NOMULTI))
        return true;
    reply_error(rq, "Command not allowed inside a transaction");
    return false;
}

static bool
is_not_ending(struct req *rq)
{
    if (!rq->engine->is_shutting_down || !(rq->cmd->flags & CMD_WRITE))
        return true;
    reply_error(rq, "the server is shutting down");
    return false;
}

static bool
is_writable(struct req *rq)
{
    bool is_exec = rq->cmd->fn == cmd_exec;
    nq_rc rc;

    if (!(rq->cmd->flags & CMD_WRITE) && !(is_exec && multi_has_writes(rq->s)))
        return true;
    if (rq->engine->store == NULL || rq->engine->is_loading)
        return true;
    rc = wal_writable(store_wal(rq->engine->store));
    if (nq_likely(rc == NQ_OK))
        return true;
    if (is_exec)
        reply_error(rq, "-EXECABORT Transaction discarded because of: %s %s",
                    rc_prefix(rc), rc_text(rc));
    else
        reply_rc(rq, rc);
    return false;
}

static bool
is_allowed_subscribed(struct req *rq)
{
    const struct session *s = rq->s;

    if (!session_is_subscribed(s) || s->resp >= 3 ||
        rq->cmd->flags & CMD_IN_SUBSCRIBED)
        return true;
    reply_error(rq,
                "Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / "
                "PING / QUIT / RESET are allowed in this context",
                rq->cmd->name);
    return false;
}

static bool
is_loaded(struct req *rq)
{
    if (!rq->engine->is_loading || rq->cmd->flags & CMD_LOADING)
        return true;
    reply_error(rq, "-LOADING nqdb is loading the dataset in memory");
    return false;
}

static bool (*const gates[])(struct req *) = {
    is_known,
    has_arity,
    is_authenticated,
    is_within_rate,
    is_allowed_in_multi,
    is_not_ending,
    is_writable,
    is_allowed_subscribed,
    is_loaded,
};

static enum gate_verdict
refuse(struct req *rq)
{
    if (rq->cmd != NULL) {
        rq->cmd->stats->rejected++;
        if (rq->cmd->fn == cmd_exec)
            multi_discard(rq->s);
    }
    multi_spoil(rq->s);
    return GATE_REFUSED;
}

/* Nothing about the server or the session stands in the way of anything. */
static bool
is_plain(const struct req *rq)
{
    const struct engine *e = rq->engine;
    const struct session *s = rq->s;

    return !e->is_loading && !e->is_shutting_down && e->pause_until_ms == 0 &&
           s->multi == NULL && s->subs == NULL && s->push == NULL &&
           session_is_authenticated(s);
}

/* CLIENT PAUSE WRITE holds back PUBLISH and PFCOUNT, too, as Redis does. */
static bool
may_replicate(const struct command *cmd)
{
    return cmd->fn == cmd_pfcount ||
           (cmd->flags & (CMD_PUBSUB | CMD_FAST)) == (CMD_PUBSUB | CMD_FAST);
}

static bool
is_held(const struct req *rq)
{
    const struct engine *e = rq->engine;

    if (e->pause_until_ms == 0 || rq->s->flags & SESSION_INTERNAL)
        return false;
    if (!e->pause_writes_only)
        return true;
    return rq->cmd->flags & CMD_WRITE || may_replicate(rq->cmd) ||
           (rq->cmd->fn == cmd_exec && multi_has_writes(rq->s));
}

static bool
runs_inside_multi(const struct command *cmd)
{
    command_fn fn = cmd->fn;

    return fn == cmd_exec || fn == cmd_discard || fn == cmd_multi ||
           fn == cmd_watch || fn == cmd_quit || fn == cmd_reset;
}

enum gate_verdict
gate_check(struct req *rq)
{
    if (rq->cmd != NULL && is_plain(rq))
        return has_arity(rq) && is_writable(rq) ? GATE_RUN : refuse(rq);
    for (size_t i = 0; i < nq_countof(gates); i++)
        if (!gates[i](rq))
            return refuse(rq);
    if (is_held(rq))
        return GATE_HOLD;
    if (multi_is_open(rq->s) && !runs_inside_multi(rq->cmd))
        return GATE_QUEUE;
    return GATE_RUN;
}
