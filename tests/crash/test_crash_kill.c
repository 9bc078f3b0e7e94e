/* kill -9 of a real server under load, again and again: no acknowledged write
 * is lost, in any fsync mode.
 *
 * Each client owns some keys and keeps a model of them: the state after all
 * its acknowledged operations, and the operations it has sent since, in
 * order.  After the kill and a restart its keys must be in the state after
 * some first p of those: nothing acknowledged is missing, nothing is
 * out of order, and MULTI blocks happened as a whole or not at all.
 *
 * ROUNDS (6) kills in each mode; SEED repeats the random choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/live_server.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/thread.h"

#define CLIENTS 6
#define SLOTS 200
#define PIPELINE 16
#define VALUE_MAX 60000

enum op_kind { OP_SET, OP_DEL, OP_INCR, OP_APPEND, OP_MULTI, OP_KINDS };

struct op {
    enum op_kind kind;
    unsigned slot;
    uint64_t seq;
};

/* What the keys of one client hold. */
struct model {
    uint64_t slots[SLOTS]; /* seq of the value; 0: no key */
    uint64_t counter;      /* INCR */
    uint64_t appended;     /* length of the APPEND key */
    uint64_t pair;         /* seq in both keys that MULTI sets; 0: none */
    uint64_t blocks;       /* INCR within MULTI */
};

struct client {
    struct live_server *server;
    unsigned id;
    struct rng rng;
    struct model acked;
    struct op sent[PIPELINE]; /* not acknowledged, in order */
    unsigned sent_count;
    uint64_t seq, acknowledged;
    const char *bad; /* an answer that must not be */
    pthread_t thread;
};

static uint64_t value_limit = 300; /* bytes of most values */

/* --- the model ------------------------------------------------------------ */

static void
apply(struct model *m, const struct op *op)
{
    switch (op->kind) {
    case OP_SET:
        m->slots[op->slot] = op->seq;
        break;
    case OP_DEL:
        m->slots[op->slot] = 0;
        break;
    case OP_INCR:
        m->counter++;
        break;
    case OP_APPEND:
        m->appended++;
        break;
    case OP_MULTI:
        m->pair = op->seq;
        m->blocks++;
        m->slots[op->slot] = op->seq;
        break;
    case OP_KINDS:
        break;
    }
}

/* The value that a seq stands for: mostly small, some of several pages. */
static size_t
value_of(unsigned id, uint64_t seq, char *dst)
{
    uint64_t mix = (seq * 2654435761u) ^ id;
    size_t len = mix % 50 == 0 ? mix % VALUE_MAX : mix % value_limit;
    int n = snprintf(dst, 48, "%u:%llu:", id, (unsigned long long)seq);

    for (size_t i = (size_t)n; i < (size_t)n + len; i++)
        dst[i] = (char)('a' + (seq + i) % 26);
    return (size_t)n + len;
}

/* --- a client ------------------------------------------------------------- */

/* Queues one command; returns the replies it will have. */
static unsigned
send_op(struct client *c, redisContext *ctx, const struct op *op)
{
    static __thread char value[VALUE_MAX + 64];
    size_t len = value_of(c->id, op->seq, value);
    unsigned id = c->id;

    switch (op->kind) {
    case OP_SET:
        redisAppendCommand(ctx, "SET c%u:s%u %b", id, op->slot, value, len);
        return 1;
    case OP_DEL:
        redisAppendCommand(ctx, "DEL c%u:s%u", id, op->slot);
        return 1;
    case OP_INCR:
        redisAppendCommand(ctx, "INCR c%u:counter", id);
        return 1;
    case OP_APPEND:
        redisAppendCommand(ctx, "APPEND c%u:appended +", id);
        return 1;
    default:
        redisAppendCommand(ctx, "MULTI");
        redisAppendCommand(ctx, "SET c%u:left %llu", id,
                           (unsigned long long)op->seq);
        redisAppendCommand(ctx, "SET c%u:s%u %b", id, op->slot, value, len);
        redisAppendCommand(ctx, "INCR c%u:blocks", id);
        redisAppendCommand(ctx, "SET c%u:right %llu", id,
                           (unsigned long long)op->seq);
        redisAppendCommand(ctx, "EXEC");
        return 6;
    }
}

/* Takes the replies of one operation; false when the connection is gone. */
static bool
take_replies(struct client *c, redisContext *ctx, unsigned replies)
{
    bool ok = true;

    while (ok && replies-- > 0) {
        redisReply *r = NULL;

        if (redisGetReply(ctx, (void **)&r) != REDIS_OK)
            return false;
        if (r->type == REDIS_REPLY_ERROR) {
            c->bad = strdup(r->str);
            ok = false;
        }
        freeReplyObject(r);
    }
    return ok;
}

/* Sends up to PIPELINE operations, takes their replies. */
static bool
one_batch(struct client *c, redisContext *ctx)
{
    unsigned replies[PIPELINE];
    uint64_t n = 1 + rng_below(&c->rng, PIPELINE);

    c->sent_count = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct op op = {(enum op_kind)rng_below(&c->rng, OP_KINDS),
                        (unsigned)rng_below(&c->rng, SLOTS), ++c->seq};

        c->sent[c->sent_count] = op;
        replies[c->sent_count++] = send_op(c, ctx, &op);
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!take_replies(c, ctx, replies[i]))
            return false;
        apply(&c->acked, &c->sent[0]);
        memmove(c->sent, c->sent + 1, --c->sent_count * sizeof c->sent[0]);
        c->acknowledged++;
    }
    return true;
}

static void *
client_main(void *arg)
{
    struct client *c = arg;
    redisContext *ctx = live_connect(c->server);

    while (ctx != NULL && one_batch(c, ctx))
        ;
    if (ctx != NULL)
        redisFree(ctx);
    return NULL;
}

/* --- looking after a restart ---------------------------------------------- */

static uint64_t
get_number(redisContext *ctx, const char *command, unsigned id)
{
    redisReply *r = redisCommand(ctx, command, id);
    uint64_t n = 0;

    assert_non_null(r);
    if (r->type == REDIS_REPLY_INTEGER)
        n = (uint64_t)r->integer;
    else if (r->type == REDIS_REPLY_STRING)
        n = strtoull(r->str, NULL, 10);
    else
        assert_int_equal(r->type, REDIS_REPLY_NIL);
    freeReplyObject(r);
    return n;
}

/* The seq in a slot; its whole value must be what that seq stands for. */
static uint64_t
get_slot(redisContext *ctx, unsigned id, unsigned slot)
{
    static char want[VALUE_MAX + 64];
    redisReply *r = redisCommand(ctx, "GET c%u:s%u", id, slot);
    uint64_t seq = 0;

    assert_non_null(r);
    if (r->type == REDIS_REPLY_STRING) {
        const char *colon = strchr(r->str, ':');

        assert_non_null(colon);
        seq = strtoull(colon + 1, NULL, 10);
        assert_int_equal(r->len, value_of(id, seq, want));
        assert_memory_equal(r->str, want, r->len);
    } else {
        assert_int_equal(r->type, REDIS_REPLY_NIL);
    }
    freeReplyObject(r);
    return seq;
}

static void
read_state(redisContext *ctx, unsigned id, struct model *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < SLOTS; i++)
        m->slots[i] = get_slot(ctx, id, i);
    m->counter = get_number(ctx, "GET c%u:counter", id);
    m->appended = get_number(ctx, "STRLEN c%u:appended", id);
    m->pair = get_number(ctx, "GET c%u:left", id);
    m->blocks = get_number(ctx, "GET c%u:blocks", id);
    assert_int_equal(get_number(ctx, "GET c%u:right", id), m->pair);
}

static void
print_difference(const struct model *found, const struct model *acked)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (found->slots[i] != acked->slots[i])
            print_error("  slot %u: %llu, acknowledged %llu\n", i,
                        (unsigned long long)found->slots[i],
                        (unsigned long long)acked->slots[i]);
    }
    print_error(
        "  counter %llu/%llu appended %llu/%llu pair %llu/%llu "
        "blocks %llu/%llu (found/acknowledged)\n",
        (unsigned long long)found->counter, (unsigned long long)acked->counter,
        (unsigned long long)found->appended,
        (unsigned long long)acked->appended, (unsigned long long)found->pair,
        (unsigned long long)acked->pair, (unsigned long long)found->blocks,
        (unsigned long long)acked->blocks);
}

/* The keys of the client are in the state after some first of what it sent;
 * that becomes the acknowledged state. */
static void
check_client(struct client *c, redisContext *ctx)
{
    struct model found, m = c->acked;
    unsigned p = 0;

    read_state(ctx, c->id, &found);
    while (memcmp(&m, &found, sizeof m) != 0 && p < c->sent_count)
        apply(&m, &c->sent[p++]);
    if (memcmp(&m, &found, sizeof m) != 0) {
        print_error("client %u, %u operations not acknowledged:\n", c->id,
                    c->sent_count);
        for (unsigned i = 0; i < c->sent_count; i++)
            print_error("  sent: kind %d slot %u seq %llu\n",
                        (int)c->sent[i].kind, c->sent[i].slot,
                        (unsigned long long)c->sent[i].seq);
        print_difference(&found, &c->acked);
        live_print_log(c->server);
        fail_msg("an acknowledged write is missing, or out of order");
    }
    c->acked = found;
    c->sent_count = 0;
}

/* --- rounds --------------------------------------------------------------- */

/* Checkpoints now and then, so that kills fall into them as well. */
static void
disturb(struct live_server *s, struct rng *rng, uint64_t until_us)
{
    redisContext *ctx = live_connect(s);

    while (ctx != NULL && clock_mono_us() < until_us) {
        redisReply *r;

        thread_sleep_us(5000 + rng_below(rng, 60000));
        r = redisCommand(ctx, "BGSAVE");
        if (r != NULL)
            freeReplyObject(r);
    }
    if (ctx != NULL)
        redisFree(ctx);
}

static void
one_round(struct live_server *s, struct client *clients, struct rng *rng)
{
    uint64_t until = clock_mono_us() + 20000 + rng_below(rng, 400000);
    redisContext *ctx;

    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(
            pthread_create(&clients[i].thread, NULL, client_main, &clients[i]),
            0);
    if (rng_below(rng, 2) == 0)
        disturb(s, rng, until);
    while (clock_mono_us() < until)
        thread_sleep_us(500);
    live_kill(s);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    assert_true(live_start(s));
    ctx = live_connect(s);
    assert_non_null(ctx);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].bad != NULL)
            fail_msg("client %u was answered: %s", i, clients[i].bad);
        check_client(&clients[i], ctx);
    }
    redisFree(ctx);
}

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
    const char *env = getenv(name);

    return env != NULL ? strtoull(env, NULL, 10) : otherwise;
}

static void
kill_rounds(const char *fsync, const char *pool)
{
    uint64_t seed = number_from("SEED", rng_seed_from_os());
    uint64_t rounds = number_from("ROUNDS", 6), acknowledged = 0;
    static struct client clients[CLIENTS];
    struct live_server s;
    struct rng rng;

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    live_init(&s);
    s.options[0] = "--appendfsync";
    s.options[1] = fsync;
    s.options[2] = "--maxmemory";
    s.options[3] = pool;
    memset(clients, 0, sizeof clients);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].server = &s;
        clients[i].id = i;
        rng_seed(&clients[i].rng, seed + i + 1);
    }
    assert_true(live_start(&s));
    for (uint64_t n = 0; n < rounds; n++)
        one_round(&s, clients, &rng);
    for (unsigned i = 0; i < CLIENTS; i++)
        acknowledged += clients[i].acknowledged;
    assert_true(acknowledged > rounds);
    print_message("%s: %llu kills, %llu acknowledged operations, none lost\n",
                  fsync, (unsigned long long)rounds,
                  (unsigned long long)acknowledged);
    assert_int_equal(live_stop(&s), 0);
    live_fini(&s);
}

static void
nothing_acknowledged_is_lost_with_fsync_always(void **state)
{
    (void)state;
    kill_rounds("always", "64mb");
}

static void
nothing_acknowledged_is_lost_with_fsync_everysec(void **state)
{
    (void)state;
    kill_rounds("everysec", "64mb");
}

static void
nothing_acknowledged_is_lost_with_fsync_no(void **state)
{
    (void)state;
    kill_rounds("no", "64mb");
}

/* Pages come and go: misses, eviction, parked commands. */
static void
nothing_is_lost_with_a_pool_smaller_than_the_data(void **state)
{
    (void)state;
    value_limit = 4000;
    kill_rounds("everysec", "1mb");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_with_fsync_always),
        cmocka_unit_test(nothing_acknowledged_is_lost_with_fsync_everysec),
        cmocka_unit_test(nothing_acknowledged_is_lost_with_fsync_no),
        cmocka_unit_test(nothing_is_lost_with_a_pool_smaller_than_the_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
