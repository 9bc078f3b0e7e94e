/* cmd/cmd_client_self.c - CLIENT commands about the connection itself: ID,
 * names, REPLY, NO-EVICT, NO-TOUCH, and tracking, which is not offered. */
#include "cmd/handlers.h"

#include "cmd/engine.h"
#include "cmd/reply.h"
#include "cmd/session.h"

/* CLIENT ID: its number. */
void
cmd_client_id(struct req *rq)
{
    reply_int(rq, (int64_t)rq->s->id);
}

/* CLIENT GETNAME: bulk, or null if it has none. */
void
cmd_client_getname(struct req *rq)
{
    if (rq->s->name == NULL)
        reply_null(rq);
    else
        reply_bulk_str(rq, rq->s->name);
}

/* CLIENT SETNAME name; an empty one takes it away. */
void
cmd_client_setname(struct req *rq)
{
    if (!session_is_good_name(rq->argv[2])) {
        reply_error(rq, "Client names cannot contain spaces, newlines or "
                        "special characters.");
        return;
    }
    session_set_text(&rq->s->name, rq->argv[2]);
    reply_ok(rq);
}

/* CLIENT SETINFO LIB-NAME | LIB-VER text. */
void
cmd_client_setinfo(struct req *rq)
{
    struct slice option = rq->argv[2];
    char **field;

    if (slice_is(option, "lib-name")) {
        field = &rq->s->lib_name;
    } else if (slice_is(option, "lib-ver")) {
        field = &rq->s->lib_ver;
    } else {
        reply_error(rq, "Unrecognized option '%.*s'",
                    (int)nq_min(option.len, (size_t)128),
                    (const char *)option.p);
        return;
    }
    if (!session_is_good_name(rq->argv[3])) {
        reply_error(rq,
                    "%s cannot contain spaces, newlines or special "
                    "characters.",
                    field == &rq->s->lib_name ? "lib-name" : "lib-ver");
        return;
    }
    session_set_text(field, rq->argv[3]);
    reply_ok(rq);
}

/* Sets or clears `flag` as argv[2] says on or off. */
static void
set_flag(struct req *rq, uint32_t flag)
{
    if (slice_is(rq->argv[2], "on")) {
        rq->s->flags |= flag;
    } else if (slice_is(rq->argv[2], "off")) {
        rq->s->flags &= ~flag;
    } else {
        reply_syntax(rq);
        return;
    }
    reply_ok(rq);
}

/* CLIENT NO-EVICT ON | OFF. */
void
cmd_client_no_evict(struct req *rq)
{
    set_flag(rq, SESSION_NO_EVICT);
}

/* CLIENT NO-TOUCH ON | OFF. */
void
cmd_client_no_touch(struct req *rq)
{
    set_flag(rq, SESSION_NO_TOUCH);
}

/* CLIENT REPLY ON | OFF | SKIP: only ON is answered; dispatch drops what
 * else is put. */
void
cmd_client_reply(struct req *rq)
{
    uint32_t *flags = &rq->s->flags;

    if (slice_is(rq->argv[2], "on")) {
        *flags &= ~(uint32_t)(SESSION_REPLY_OFF | SESSION_REPLY_SKIP |
                              SESSION_REPLY_SKIP_NEXT);
        reply_ok(rq);
    } else if (slice_is(rq->argv[2], "off")) {
        *flags |= SESSION_REPLY_OFF;
    } else if (slice_is(rq->argv[2], "skip")) {
        if ((*flags & SESSION_REPLY_OFF) == 0)
            *flags |= SESSION_REPLY_SKIP_NEXT;
    } else {
        reply_syntax(rq);
    }
}

/* --- tracking --------------------------------------------------------------
 */

/* CLIENT GETREDIR: -1, nothing is tracked. */
void
cmd_client_getredir(struct req *rq)
{
    reply_int(rq, -1);
}

/* CLIENT TRACKINGINFO: the state "off". */
void
cmd_client_trackinginfo(struct req *rq)
{
    reply_map(rq, 3);
    reply_bulk_str(rq, "flags");
    reply_set(rq, 1);
    reply_bulk_str(rq, "off");
    reply_bulk_str(rq, "redirect");
    reply_int(rq, -1);
    reply_bulk_str(rq, "prefixes");
    reply_array(rq, 0);
}

/* CLIENT CACHING YES | NO: refused, as without tracking. */
void
cmd_client_caching(struct req *rq)
{
    reply_error(rq, "CLIENT CACHING can be called only when the client is in "
                    "tracking mode with OPTIN or OPTOUT mode enabled");
}

/* CLIENT TRACKING ON | OFF ...: OFF is how it is, ON is refused. */
void
cmd_client_tracking(struct req *rq)
{
    if (rq->argc == 3 && slice_is(rq->argv[2], "off"))
        reply_ok(rq);
    else if (slice_is(rq->argv[2], "on"))
        reply_error(rq, "client side caching is not offered by this server; "
                        "subscribe to keyspace notifications instead");
    else
        reply_syntax(rq);
}

/* CLIENT HELP. */
void
cmd_client_help(struct req *rq)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Refused: this server does not track keys for clients.",
        "GETNAME",
        "    The name of this connection.",
        "GETREDIR",
        "    -1: this server does not track keys for clients.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    One line about this connection.",
        "KILL <ip:port>",
        "    End the connection from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    End all connections to which all options apply:",
        "    * ADDR (<ip:port>|<unixsocket>:0), LADDR (the same)",
        "      By the address of the client, or the one it connected to.",
        "    * ID <client-id>",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "    * USER <username>",
        "    * SKIPME (YES|NO)",
        "      Whether this connection is left out (default: yes).",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] | [ID <id> [...]]",
        "    One line about each connection.",
        "NO-EVICT (ON|OFF)",
        "    Accepted; this server does not end clients to free memory.",
        "NO-TOUCH (ON|OFF)",
        "    Whether reads of this connection count as uses of keys.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Hold back writing, or all, commands for <timeout> ms.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether this connection gets replies.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Tell which client library this is.",
        "SETNAME <name>",
        "    Give this connection a name.",
        "TRACKING (ON|OFF) ...",
        "    Only OFF: this server does not track keys for clients.",
        "TRACKINGINFO",
        "    The state of tracking: off.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    End the waiting of a client that waits for an event.",
        "UNPAUSE",
        "    End a pause.",
        NULL,
    };

    reply_help(rq, lines);
}
