/* kill -9 of a real server that keeps indexes, again and again, with a pool
 * that holds only a part of them: after each start every index says what its
 * rows say, and a query finds by it what it finds without.
 *
 * ROUNDS (3) kills; SEED repeats the random choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/live_server.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/thread.h"

#define KEYS 4000u
#define PIPELINE 32u
#define LOAD_US 150000u
#define BUILD_WAIT_US 20000000u

static struct live_server server;
static struct rng rng;

static uint64_t
below(uint64_t n)
{
    return rng_below(&rng, n);
}

static redisReply *
ask(redisContext *ctx, const char *line)
{
    redisReply *r = redisCommand(ctx, line);

    if (r == NULL) {
        live_print_log(&server);
        fail_msg("%s: %s", line, ctx->errstr);
    }
    if (r->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", line, r->str);
    return r;
}

static void
must(redisContext *ctx, const char *line)
{
    freeReplyObject(ask(ctx, line));
}

/* --- load ----------------------------------------------------------------- */

static void
append_any(redisContext *ctx)
{
    unsigned key = (unsigned)below(KEYS), n = (unsigned)below(1000);

    switch (below(12)) {
    case 0:
        redisAppendCommand(ctx, "DEL s:%u", key);
        return;
    case 1:
        redisAppendCommand(ctx, "RENAME s:%u s:%u", key, (key * 7) % KEYS);
        return;
    case 2:
        redisAppendCommand(ctx, "PEXPIRE s:%u %u", key, 1 + n / 10);
        return;
    case 3:
        redisAppendCommand(ctx, "HINCRBY s:%u temp 1", key);
        return;
    case 4:
        redisAppendCommand(ctx, "HDEL s:%u temp", key);
        return;
    case 5:
        redisAppendCommand(ctx, "SET s:%u {\"temp\":%u,\"site\":\"x%u\"}", key,
                           n, n % 30);
        return;
    case 6:
        if (below(20) == 0) {
            redisAppendCommand(ctx, "NQ.DELRANGE s:%u (s:%u", key % 900,
                               key % 900 + 9);
            return;
        }
        redisAppendCommand(ctx, "DEL s:%u", key);
        return;
    default:
        redisAppendCommand(ctx, "HSET s:%u temp %u site x%u pad %0300u", key, n,
                           n % 30, n);
    }
}

static void
load(redisContext *ctx, uint64_t for_us)
{
    uint64_t until_us = clock_mono_us() + for_us;
    redisReply *r;

    while (clock_mono_us() < until_us) {
        for (unsigned i = 0; i < PIPELINE; i++)
            append_any(ctx);
        for (unsigned i = 0; i < PIPELINE; i++) {
            assert_int_equal(redisGetReply(ctx, (void **)&r), REDIS_OK);
            freeReplyObject(r);
        }
    }
}

/* --- what must hold ------------------------------------------------------- */

static void
wait_until_built(redisContext *ctx)
{
    uint64_t until_us = clock_mono_us() + BUILD_WAIT_US;
    bool is_built;

    do {
        redisReply *r = ask(ctx, "INFO queries");

        is_built = strstr(r->str, "indexes_building:0") != NULL;
        assert_non_null(strstr(r->str, "indexes_damaged:0"));
        freeReplyObject(r);
        if (!is_built)
            thread_sleep_us(5000);
    } while (!is_built && clock_mono_us() < until_us);
    assert_true(is_built);
}

static void
expect_sound(redisContext *ctx)
{
    redisReply *r = ask(ctx, "NQ.CHECK");

    assert_string_equal(r->element[0]->str, "findings");
    if (r->element[1]->integer != 0) {
        live_print_log(&server);
        fail_msg("%lld findings", r->element[1]->integer);
    }
    freeReplyObject(r);
}

/* The second question is the same, in words that no index can answer. */
static void
expect_same(redisContext *ctx, const char *where)
{
    char by_index[200], by_range[400];
    redisReply *a, *b;

    snprintf(by_index, sizeof by_index, "NQ.RANGE s: (s; WHERE %s KEYSONLY",
             where);
    snprintf(by_range, sizeof by_range,
             "NQ.RANGE s: (s; WHERE ( %s ) OR ( %s ) KEYSONLY", where, where);
    a = ask(ctx, by_index);
    b = ask(ctx, by_range);
    assert_int_equal(a->elements, b->elements);
    for (size_t i = 0; i < a->elements; i++)
        assert_string_equal(a->element[i]->str, b->element[i]->str);
    freeReplyObject(a);
    freeReplyObject(b);
}

static void
verify(redisContext *ctx)
{
    char where[80];

    for (unsigned i = 0; i < 20; i++) {
        snprintf(where, sizeof where, "temp = %u", (unsigned)below(1000));
        expect_same(ctx, where);
        snprintf(where, sizeof where, "site = x%u", (unsigned)below(30));
        expect_same(ctx, where);
    }
    wait_until_built(ctx);
    expect_same(ctx, "temp >= 100 AND temp < 120");
    expect_sound(ctx);
}

static void
indexes_survive_kill_9(void **state)
{
    const char *rounds_text = getenv("ROUNDS"), *seed_text = getenv("SEED");
    unsigned rounds =
        rounds_text != NULL ? (unsigned)strtoul(rounds_text, NULL, 10) : 3;
    uint64_t seed =
        seed_text != NULL ? strtoull(seed_text, NULL, 10) : rng_seed_from_os();
    redisContext *ctx;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    ctx = live_connect(&server);
    assert_non_null(ctx);
    must(ctx, "NQ.INDEX CREATE temps ON s: FIELD temp");
    load(ctx, LOAD_US);
    must(ctx, "NQ.INDEX CREATE sites ON s: FIELD site TEXT");
    for (unsigned i = 0; i < rounds; i++) {
        load(ctx, below(LOAD_US));
        redisFree(ctx);
        live_kill(&server);
        assert_true(live_start(&server));
        ctx = live_connect(&server);
        assert_non_null(ctx);
        verify(ctx);
        if (i % 2 == 0)
            must(ctx, "NQ.INDEX REBUILD sites");
    }
    redisFree(ctx);
}

static int
start(void **state)
{
    (void)state;
    return live_begin(&server, "--storage.buffer_pool_size", "1mb", NULL) ? 0
                                                                          : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_survive_kill_9),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
