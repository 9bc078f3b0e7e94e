/* NQ.DNA over a socket: parcels through a binary-safe client, long work
 * beside short, and what COMMAND says about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../lib/client.h"
#include "../lib/dna_text.h"
#include "base/check.h"

static struct live_server srv;
static redisContext *ctx;

static int
start(void **state)
{
    (void)state;
    if (!live_begin(&srv, NULL))
        return -1;
    ctx = live_connect(&srv);
    return ctx == NULL ? -1 : 0;
}

static int
stop(void **state)
{
    (void)state;
    redisFree(ctx);
    return live_end(&srv);
}

/* The answer to NQ.DNA `sub` of some bytes; the caller frees it. */
static redisReply *
ask(const char *sub, const void *p, size_t n)
{
    redisReply *r = redisCommand(ctx, "NQ.DNA %s %b", sub, p, n);

    assert_non_null(r);
    return r;
}

static void
come_and_go(struct slice raw, const char *there, const char *back, size_t most)
{
    redisReply *packed = ask(there, raw.p, raw.len), *r;

    assert_int_equal(packed->type, REDIS_REPLY_STRING);
    assert_in_range(packed->len, 9, most);
    r = ask(back, packed->str, packed->len);
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    assert_true(slice_eq(slice_of(r->str, r->len), raw));
    freeReplyObject(r);
    freeReplyObject(packed);
}

static void
parcels_come_back_as_they_went(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    come_and_go(slice_lit("ACGT"), "ENCODE", "DECODE", 20);
    come_and_go(slice_lit(""), "ENCODE", "DECODE", 9);
    come_and_go(slice_lit(""), "COMPRESS", "DECOMPRESS", 9);
    come_and_go(slice_lit("a\0b\r\n\xff"), "ENCODE", "DECODE", 20);
    for (size_t n = 100; n < 6000000; n *= 17) {
        buf_clear(&b);
        dna_text_fasta(&b, &rng, n, 60, "\r\n");
        come_and_go(buf_slice(&b), "ENCODE", "DECODE", n / 4 + 300);
        come_and_go(buf_slice(&b), "COMPRESS", "DECOMPRESS", n / 4 + 300);
        buf_clear(&b);
        dna_text_any(&b, &rng, n);
        come_and_go(buf_slice(&b), "ENCODE", "DECOMPRESS", n + 100);
        come_and_go(buf_slice(&b), "COMPRESS", "DECODE", n + 100);
    }
    buf_fini(&b);
}

static void
damage_and_other_bytes_are_refused(void **state)
{
    struct buf b = BUF_INIT;
    redisReply *packed, *r;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 2);
    dna_text_letters(&b, &rng, "ACGT", 10000);
    packed = ask("ENCODE", b.p, b.len);
    packed->str[packed->len / 2] ^= 1;
    r = ask("DECODE", packed->str, packed->len);
    assert_int_equal(r->type, REDIS_REPLY_ERROR);
    assert_non_null(strstr(r->str, "damaged"));
    freeReplyObject(r);
    r = ask("DECODE", packed->str, packed->len - 1);
    assert_int_equal(r->type, REDIS_REPLY_ERROR);
    freeReplyObject(r);
    r = ask("DECODE", b.p, b.len);
    assert_int_equal(r->type, REDIS_REPLY_ERROR);
    assert_non_null(strstr(r->str, "not packed by NQ.DNA"));
    freeReplyObject(r);
    freeReplyObject(packed);
    buf_fini(&b);
}

static double
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A worker measures for half a second; others do not wait for that. */
static void
the_bench_holds_nobody_up(void **state)
{
    double begin = now_ms();
    struct client c;
    redisReply *r;
    unsigned pings = 0;

    (void)state;
    client_open(&c, &srv);
    client_send(&c, "NQ.DNA BENCH 0.5");
    while (now_ms() - begin < 250) {
        r = redisCommand(ctx, "PING");
        assert_non_null(r);
        freeReplyObject(r);
        pings++;
    }
    assert_true(pings > 10);
    assert_non_null(strstr(client_read(&c), "\"scalar\""));
    assert_true(now_ms() - begin < 3000);
    client_close(&c);
}

static void
commands_tell_what_they_are(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "COMMAND GETKEYS NQ.DNA FIND k ACGT", "[\"k\"]");
    client_expect(&c, "COMMAND GETKEYS NQ.DNA HAMMING a b", "[\"a\", \"b\"]");
    assert_non_null(strstr(client_ask(&c, "COMMAND DOCS nq.dna"),
                           "Nucleotides: packing, unpacking, searching"));
    client_expect(&c, "NQ.DNA ENCODE",
                  "-ERR wrong number of arguments for 'nq.dna|encode' "
                  "command");
    client_expect(&c, "NQ.DNA SPLICE x",
                  "-ERR unknown subcommand 'SPLICE'. Try NQ.DNA HELP.");
    client_close(&c);
}

static void
what_a_checkpoint_packs_is_counted(void **state)
{
    struct buf b = BUF_INIT;
    struct client c;
    struct rng rng;
    redisReply *r;

    (void)state;
    rng_seed(&rng, 3);
    dna_text_letters(&b, &rng, "ACGT", 500000);
    client_open(&c, &srv);
    client_expect(&c, "CONFIG SET compression.enabled yes", "+OK");
    r = redisCommand(ctx, "SET genome %b", b.p, b.len);
    assert_non_null(r);
    freeReplyObject(r);
    client_expect(&c, "NQ.CHECKPOINT", "+OK");
    r = redisCommand(ctx, "NQ.DNA STATS");
    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    freeReplyObject(r);
    assert_non_null(strstr(client_ask(&c, "NQ.DNA STATS"),
                           "\"dna\", [\"tried\", :1, \"blocks\", :1, "
                           "\"bytes-in\", :500000, \"bytes-out\", :125"));
    client_close(&c);
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parcels_come_back_as_they_went),
        cmocka_unit_test(damage_and_other_bytes_are_refused),
        cmocka_unit_test(the_bench_holds_nobody_up),
        cmocka_unit_test(commands_tell_what_they_are),
        cmocka_unit_test(what_a_checkpoint_packs_is_counted),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
