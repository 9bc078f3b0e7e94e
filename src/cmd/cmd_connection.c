/* cmd/cmd_connection.c - PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET. */
#include "cmd/cursors.h"
#include "cmd/engine.h"
#include "cmd/feeds.h"
#include "cmd/handlers.h"
#include "cmd/multi.h"
#include "cmd/push.h"
#include "cmd/reply.h"
#include "cmd/session.h"

void
cmd_ping(struct req *rq)
{
    if (rq->argc > 2) {
        reply_wrong_arity(rq);
        return;
    }
    if (session_is_subscribed(rq->s) && rq->s->resp < 3) {
        reply_array(rq, 2);
        reply_bulk_str(rq, "pong");
        reply_bulk(rq, rq->argc == 2 ? rq->argv[1] : slice_lit(""));
    } else if (rq->argc == 2) {
        reply_bulk(rq, rq->argv[1]);
    } else {
        reply_status(rq, "PONG");
    }
}

void
cmd_echo(struct req *rq)
{
    reply_bulk(rq, rq->argv[1]);
}

void
cmd_select(struct req *rq)
{
    int64_t n;
    uint32_t count = rq->db == NULL ? 16 : db_count(rq->db);

    if (!slice_to_i64(rq->argv[1], &n)) {
        reply_rc(rq, NQ_ENOTINT);
        return;
    }
    if (n < INT32_MIN || n > INT32_MAX) {
        reply_error(rq, "value is out of range, value must between %d and %d",
                    INT32_MIN, INT32_MAX);
        return;
    }
    if (n < 0 || n >= count) {
        reply_error(rq, "DB index is out of range");
        return;
    }
    rq->s->dbi = (uint32_t)n;
    reply_ok(rq);
}

/* --- who is it ----------------------------------------------------------- */

/* Takes the same time wherever the first difference is. */
static bool
is_same_secret(const char *secret, struct slice given)
{
    size_t n = strlen(secret);
    unsigned diff = n != given.len;

    for (size_t i = 0; i < given.len; i++)
        diff |= given.p[i] ^ (uint8_t)secret[n == 0 ? 0 : i % n];
    return diff == 0;
}

/* False: the error is put. */
static bool
authenticate(struct req *rq, struct slice user, struct slice password)
{
    const char *secret = rq->engine->limits.requirepass;

    if (slice_eq(user, slice_lit("default")) &&
        (secret == NULL || is_same_secret(secret, password))) {
        rq->s->flags |= SESSION_AUTHENTICATED;
        return true;
    }
    reply_error(rq, "-WRONGPASS invalid username-password pair or user is "
                    "disabled.");
    return false;
}

void
cmd_auth(struct req *rq)
{
    struct slice user = slice_lit("default");

    if (rq->argc > 3) {
        reply_syntax(rq);
        return;
    }
    if (rq->argc == 2 && rq->engine->limits.requirepass == NULL) {
        reply_error(rq, "AUTH <password> called without any password "
                        "configured for the default user. Are you sure your "
                        "configuration is correct?");
        return;
    }
    if (rq->argc == 3)
        user = rq->argv[1];
    if (authenticate(rq, user, rq->argv[rq->argc - 1]))
        reply_ok(rq);
}

struct hello {
    int64_t resp;
    struct slice user, password, name;
    bool has_auth, has_name;
};

/* False: the error is put. */
static bool
parse_hello(struct req *rq, struct hello *h)
{
    uint32_t i = 2;

    h->resp = rq->s->resp;
    if (rq->argc >= 2 && !slice_to_i64(rq->argv[1], &h->resp)) {
        reply_error(rq, "Protocol version is not an integer or out of range");
        return false;
    }
    if (h->resp < 2 || h->resp > 3) {
        reply_error(rq, "-NOPROTO unsupported protocol version");
        return false;
    }
    while (i < rq->argc) {
        uint32_t more = rq->argc - i - 1;

        if (slice_is(rq->argv[i], "auth") && more >= 2) {
            h->user = rq->argv[i + 1];
            h->password = rq->argv[i + 2];
            h->has_auth = true;
            i += 3;
        } else if (slice_is(rq->argv[i], "setname") && more >= 1) {
            h->name = rq->argv[i + 1];
            h->has_name = true;
            i += 2;
        } else {
            reply_error(rq, "Syntax error in HELLO option '%.*s'",
                        (int)nq_min(rq->argv[i].len, (size_t)128),
                        (const char *)rq->argv[i].p);
            return false;
        }
    }
    return true;
}

bool
session_is_good_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] < '!' || name.p[i] > '~')
            return false;
    return true;
}

static void
reply_hello(struct req *rq)
{
    reply_map(rq, 7);
    reply_bulk_str(rq, "server");
    reply_bulk_str(rq, "redis");
    reply_bulk_str(rq, "version");
    reply_bulk_str(rq, ENGINE_REDIS_VERSION);
    reply_bulk_str(rq, "proto");
    reply_int(rq, rq->s->resp);
    reply_bulk_str(rq, "id");
    reply_int(rq, (int64_t)rq->s->id);
    reply_bulk_str(rq, "mode");
    reply_bulk_str(rq, "standalone");
    reply_bulk_str(rq, "role");
    reply_bulk_str(rq, "master");
    reply_bulk_str(rq, "modules");
    reply_array(rq, 0);
}

void
cmd_hello(struct req *rq)
{
    struct hello h = {0};

    if (!parse_hello(rq, &h))
        return;
    if (h.has_auth && !authenticate(rq, h.user, h.password))
        return;
    if (!session_is_authenticated(rq->s)) {
        reply_error(rq, "-NOAUTH HELLO must be called with the client already "
                        "authenticated, otherwise the HELLO <proto> AUTH "
                        "<user> <pass> option can be used to authenticate the "
                        "client and select the RESP protocol version at the "
                        "same time");
        return;
    }
    if (h.has_name && !session_is_good_name(h.name)) {
        reply_error(rq, "Client names cannot contain spaces, newlines or "
                        "special characters.");
        return;
    }
    if (h.has_name)
        session_set_text(&rq->s->name, h.name);
    rq->s->resp = (uint8_t)h.resp;
    reply_hello(rq);
}

/* --- ends ---------------------------------------------------------------- */

void
cmd_quit(struct req *rq)
{
    reply_ok(rq);
    session_end(rq->s, true);
}

void
cmd_reset(struct req *rq)
{
    struct session *s = rq->s;

    multi_discard(s);
    if (rq->engine->drop_subs != NULL)
        rq->engine->drop_subs(s);
    feeds_drop(s);
    push_drop(s);
    cursors_drop(s);
    s->dbi = 0;
    s->resp = 2;
    s->flags &= ~(uint32_t)(SESSION_AUTHENTICATED | SESSION_NO_EVICT |
                            SESSION_NO_TOUCH | SESSION_REPLY_OFF |
                            SESSION_REPLY_SKIP | SESSION_REPLY_SKIP_NEXT);
    if (rq->engine->limits.requirepass == NULL)
        s->flags |= SESSION_AUTHENTICATED;
    session_set_text(&s->name, slice_lit(""));
    reply_status(rq, "RESET");
}
