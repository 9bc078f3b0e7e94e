/* cmd/cmd_client.c - CLIENT commands that look at, or end, other clients:
 * LIST, INFO, KILL, UNBLOCK, PAUSE, UNPAUSE.
 *
 * A client is told as one line of name=value pairs, with the names of Redis:
 *
 *   flags  N nothing special, P subscribed, x in MULTI, d a watched key was
 *          changed, b waits, c closes after its reply, A closes now, U unix
 *          socket, e no-evict, T no-touch
 *   sub psub ssub  subscriptions; multi  commands queued, -1: no MULTI
 *   qbuf qbuf-free  input held, and room left for more
 *   omem  output held
 *   feeds  queries that it follows
 *   push  of subscribers: how they stand, as cmd/pressure.h says; with it
 *         push-queue and push-mem, messages of channels that wait outside of
 *         the output, and push-dropped, those that were lost
 */
#include "cmd/handlers.h"

#include "base/buf.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/feeds.h"
#include "cmd/multi.h"
#include "cmd/park.h"
#include "cmd/pubsub.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "cmd/wait_key.h"

/* --- one line --------------------------------------------------------------
 */

static void
put_flags(struct buf *out, const struct session *s, const struct req *rq)
{
    const struct {
        char letter;
        bool is_on;
    } flags[] = {
        {'P', session_is_subscribed(s)},
        {'x', multi_is_open(s)},
        {'b', s != rq->s && (s->parked != NULL || wait_is_waiting(s))},
        {'d', s->multi != NULL && s->multi->is_touched},
        {'c', (s->flags & SESSION_CLOSE_AFTER_REPLY) != 0},
        {'A', (s->flags & SESSION_CLOSE_ASAP) != 0},
        {'U', (s->flags & SESSION_UNIX) != 0},
        {'e', (s->flags & SESSION_NO_EVICT) != 0},
        {'T', (s->flags & SESSION_NO_TOUCH) != 0},
    };
    size_t before = out->len;

    buf_put_str(out, " flags=");
    for (size_t i = 0; i < nq_countof(flags); i++)
        if (flags[i].is_on)
            buf_put_u8(out, (uint8_t)flags[i].letter);
    if (out->len == before + sizeof " flags=" - 1)
        buf_put_u8(out, 'N');
}

static const char *
text_of(const char *field)
{
    return field == NULL ? "" : field;
}

static unsigned long long
seconds_since(const struct session *s, uint64_t then_ms)
{
    uint64_t now_ms = s->engine->now_ms;

    return now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;
}

static void
put_memory(struct buf *out, const struct session *s, size_t used,
           size_t allocated)
{
    unsigned long long input = allocated, output = s->out.bytes;
    unsigned long long queued = s->multi == NULL ? 0 : s->multi->bytes;

    buf_printf(out,
               " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%llu rbs=0 "
               "rbp=0 obl=0 oll=%d omem=%llu tot-mem=%llu events=%s",
               used, allocated - nq_min(used, allocated), queued,
               !outq_is_empty(&s->out), output,
               input + output + queued + sizeof *s,
               outq_is_empty(&s->out) ? "r" : "rw");
}

static void
put_push(struct buf *out, const struct session *s)
{
    struct pubsub_queue q;

    if (s->subs == NULL && s->push == NULL)
        return;
    pubsub_get_queue(s, &q);
    buf_printf(out, " feeds=%u", feeds_count(s));
    buf_printf(out, " push=%s push-queue=%llu push-mem=%llu push-dropped=%llu",
               pressure_state_name(pressure_state_of(s)),
               (unsigned long long)q.messages, (unsigned long long)q.bytes,
               (unsigned long long)q.dropped);
}

/* The line without its end.  `running` is what the asking client runs. */
static void
put_client(struct buf *out, const struct session *s, const struct req *rq)
{
    const struct command *cmd = s == rq->s ? rq->cmd : s->last_cmd;
    size_t used, allocated;
    int fd;

    s->ops->input_info(s, &used, &allocated, &fd);
    buf_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s",
               (unsigned long long)s->id, text_of(s->addr), text_of(s->laddr),
               fd, text_of(s->name));
    buf_printf(out, " age=%llu idle=%llu", seconds_since(s, s->created_ms),
               s == rq->s ? 0 : seconds_since(s, s->active_ms));
    put_flags(out, s, rq);
    buf_printf(out, " db=%u sub=%u psub=%u ssub=%u multi=%lld", s->dbi,
               pubsub_count(s, PUBSUB_CHANNEL), pubsub_count(s, PUBSUB_PATTERN),
               pubsub_count(s, PUBSUB_SHARD),
               multi_is_open(s) ? (long long)s->multi->n : -1);
    put_memory(out, s, used, allocated);
    buf_printf(out,
               " cmd=%s user=default redir=-1 resp=%u lib-name=%s "
               "lib-ver=%s",
               cmd == NULL ? "NULL" : cmd->name, s->resp, text_of(s->lib_name),
               text_of(s->lib_ver));
    put_push(out, s);
}

static void
reply_lines(struct req *rq, struct buf *lines)
{
    reply_verbatim(rq, "txt", buf_slice(lines));
    buf_fini(lines);
}

/* CLIENT INFO: this client's line. */
void
cmd_client_info(struct req *rq)
{
    struct buf out = BUF_INIT;

    put_client(&out, rq->s, rq);
    buf_put_u8(&out, '\n');
    reply_lines(rq, &out);
}

/* --- which clients ---------------------------------------------------------
 */

enum { TYPE_ANY = -1, TYPE_MASTER = CLASSES };

/* A class that clients know by name; false: answered. */
static bool
parse_type(struct req *rq, struct slice name, int *type)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {
        {"normal", CLASS_NORMAL},   {"slave", CLASS_REPLICA},
        {"replica", CLASS_REPLICA}, {"pubsub", CLASS_PUBSUB},
        {"master", TYPE_MASTER},
    };

    for (size_t i = 0; i < nq_countof(types); i++) {
        if (slice_is(name, types[i].name)) {
            *type = types[i].type;
            return true;
        }
    }
    reply_error(rq, "Unknown client type '%.*s'",
                (int)nq_min(name.len, (size_t)128), (const char *)name.p);
    return false;
}

static bool
is_listed(const struct session *s, int type)
{
    return (s->flags & (SESSION_INTERNAL | SESSION_CLOSE_ASAP)) == 0 &&
           (type == TYPE_ANY || (int)session_class(s) == type);
}

static void
list_by_id(struct req *rq)
{
    struct buf out = BUF_INIT;

    for (uint32_t i = 3; i < rq->argc; i++) {
        const struct session *s;
        int64_t id;

        if (!slice_to_i64(rq->argv[i], &id)) {
            buf_fini(&out);
            reply_error(rq, "Invalid client ID");
            return;
        }
        s = session_by_id(rq->engine, (uint64_t)id);
        if (s == NULL || !is_listed(s, TYPE_ANY))
            continue;
        put_client(&out, s, rq);
        buf_put_u8(&out, '\n');
    }
    reply_lines(rq, &out);
}

/* What a list in slices has so far. */
struct client_listing {
    struct buf out;
    uint64_t next_id; /* sessions stand in the order of their ids */
};

static void
free_listing(void *state)
{
    struct client_listing *l = state;

    buf_fini(&l->out);
    nq_free(l);
}

static struct client_listing *
listing_of(struct req *rq)
{
    if (rq->state == NULL) {
        rq->state = nq_calloc(1, sizeof(struct client_listing));
        rq->free_state = free_listing;
    }
    return rq->state;
}

/* Lists until all are, or the time of this turn is used up: false. */
static bool
list_some(struct req *rq, int type)
{
    struct client_listing *l = listing_of(rq);
    unsigned looked = 0;

    list_each(it, &rq->engine->sessions)
    {
        const struct session *s = nq_container(it, struct session, link);

        if (s->id < l->next_id || !is_listed(s, type))
            continue;
        if (++looked % 16 == 0 && req_should_yield(rq)) {
            l->next_id = s->id;
            return false;
        }
        put_client(&l->out, s, rq);
        buf_put_u8(&l->out, '\n');
    }
    return true;
}

/* CLIENT LIST [TYPE type | ID id ...]: a line for each. */
void
cmd_client_list(struct req *rq)
{
    int type = TYPE_ANY;

    if (rq->argc > 3 && slice_is(rq->argv[2], "id")) {
        list_by_id(rq);
        return;
    }
    if (rq->argc != 2 && (rq->argc != 4 || !slice_is(rq->argv[2], "type"))) {
        reply_syntax(rq);
        return;
    }
    if (rq->argc == 4 && !parse_type(rq, rq->argv[3], &type))
        return;
    if (list_some(rq, type))
        reply_verbatim(rq, "txt", buf_slice(&listing_of(rq)->out));
    else
        req_yield(rq);
}

/* --- KILL ------------------------------------------------------------------
 */

struct kill_filter {
    int64_t id; /* 0: any, as with all that are unset */
    int type;
    struct slice addr, laddr;
    bool is_skipping_me;
};

static bool
parse_kill_id(struct req *rq, struct slice value, struct kill_filter *f)
{
    if (slice_to_i64(value, &f->id) && f->id > 0)
        return true;
    reply_error(rq, "client-id should be greater than 0");
    return false;
}

static bool
parse_kill_user(struct req *rq, struct slice name)
{
    if (slice_eq(name, slice_lit("default")))
        return true;
    reply_error(rq, "No such user '%.*s'", (int)nq_min(name.len, (size_t)128),
                (const char *)name.p);
    return false;
}

/* One pair of option and value; false: answered. */
static bool
parse_kill_option(struct req *rq, struct slice option, struct slice value,
                  struct kill_filter *f)
{
    if (slice_is(option, "id"))
        return parse_kill_id(rq, value, f);
    if (slice_is(option, "type"))
        return parse_type(rq, value, &f->type);
    if (slice_is(option, "user"))
        return parse_kill_user(rq, value);
    if (slice_is(option, "addr")) {
        f->addr = value;
        return true;
    }
    if (slice_is(option, "laddr")) {
        f->laddr = value;
        return true;
    }
    if (slice_is(option, "skipme") &&
        (slice_is(value, "yes") || slice_is(value, "no"))) {
        f->is_skipping_me = slice_is(value, "yes");
        return true;
    }
    reply_syntax(rq);
    return false;
}

static bool
parse_kill(struct req *rq, struct kill_filter *f)
{
    *f = (struct kill_filter){.type = TYPE_ANY, .is_skipping_me = true};
    if (rq->argc == 3) {
        f->addr = rq->argv[2];
        f->is_skipping_me = false;
        return true;
    }
    for (uint32_t i = 2; i < rq->argc; i += 2) {
        if (i + 1 == rq->argc) {
            reply_syntax(rq);
            return false;
        }
        if (!parse_kill_option(rq, rq->argv[i], rq->argv[i + 1], f))
            return false;
    }
    return true;
}

static bool
is_to_be_killed(const struct req *rq, const struct session *s,
                const struct kill_filter *f)
{
    return is_listed(s, f->type) && (f->id == 0 || s->id == (uint64_t)f->id) &&
           (f->addr.p == NULL || slice_eq(f->addr, slice_str(s->addr))) &&
           (f->laddr.p == NULL || slice_eq(f->laddr, slice_str(s->laddr))) &&
           (s != rq->s || !f->is_skipping_me);
}

/* CLIENT KILL addr: OK or an error.  CLIENT KILL option value ...: how many
 * were ended. */
void
cmd_client_kill(struct req *rq)
{
    struct kill_filter f;
    int64_t killed = 0;
    bool is_me = false;

    if (!parse_kill(rq, &f))
        return;
    list_each(it, &rq->engine->sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (!is_to_be_killed(rq, s, &f))
            continue;
        killed++;
        if (s == rq->s)
            is_me = true;
        else
            session_end(s, false);
    }
    if (rq->argc > 3)
        reply_int(rq, killed);
    else if (killed > 0)
        reply_ok(rq);
    else
        reply_error(rq, "No such client");
    if (is_me)
        session_end(rq->s, true);
}

/* --- waiting ---------------------------------------------------------------
 */

/* CLIENT UNBLOCK id [TIMEOUT | ERROR]: 1 if the client was waiting for an
 * event. */
void
cmd_client_unblock(struct req *rq)
{
    bool with_error = rq->argc == 4 && slice_is(rq->argv[3], "error");
    struct session *s;
    int64_t id;

    if (rq->argc > 4 ||
        (rq->argc == 4 && !with_error && !slice_is(rq->argv[3], "timeout"))) {
        reply_error(rq, "CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!slice_to_i64(rq->argv[2], &id)) {
        reply_rc(rq, NQ_ENOTINT);
        return;
    }
    s = session_by_id(rq->engine, (uint64_t)id);
    reply_int(rq, s != NULL &&
                      (wait_cut(s, with_error) || park_cut(s, with_error)));
}

/* CLIENT PAUSE ms [WRITE | ALL]. */
void
cmd_client_pause(struct req *rq)
{
    bool writes_only = rq->argc == 4 && slice_is(rq->argv[3], "write");
    int64_t ms;

    if (rq->argc > 4 ||
        (rq->argc == 4 && !writes_only && !slice_is(rq->argv[3], "all"))) {
        reply_error(rq, "CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    if (!slice_to_i64(rq->argv[2], &ms) || ms > INT64_MAX / 2) {
        reply_error(rq, "timeout is not an integer or out of range");
        return;
    }
    if (ms < 0) {
        reply_error(rq, "timeout is negative");
        return;
    }
    engine_pause(rq->engine, (uint64_t)ms, writes_only);
    reply_ok(rq);
}

/* CLIENT UNPAUSE. */
void
cmd_client_unpause(struct req *rq)
{
    engine_unpause(rq->engine);
    reply_ok(rq);
}
