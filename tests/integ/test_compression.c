/* Compression of a running server: what is written under one setting is read
 * under every other, before and after restarts; and what people see of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

#define BLOB 100000u
#define RECORDS 3000u

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

static void
restart(bool is_killed)
{
    redisFree(ctx);
    if (is_killed)
        live_kill(&srv);
    else
        assert_int_equal(live_stop(&srv), 0);
    assert_true(live_start(&srv));
    ctx = live_connect(&srv);
    assert_non_null(ctx);
}

static void
ok(const char *format, ...)
{
    va_list ap;
    redisReply *r;

    va_start(ap, format);
    r = redisvCommand(ctx, format, ap);
    va_end(ap);
    assert_non_null(r);
    if (r->type != REDIS_REPLY_STATUS)
        fail_msg("%s: %s", format, r->str);
    freeReplyObject(r);
}

/* The field of NQ.GET key META, as text. */
static void
meta(const char *key, const char *field, char dst[64])
{
    redisReply *r = redisCommand(ctx, "NQ.GET %s META", key);

    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    dst[0] = '\0';
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *v = r->element[i + 1];

        if (strcmp(r->element[i]->str, field) != 0)
            continue;
        if (v->type == REDIS_REPLY_INTEGER)
            snprintf(dst, 64, "%lld", v->integer);
        else
            snprintf(dst, 64, "%s", v->str);
    }
    freeReplyObject(r);
}

static void
expect_meta(const char *key, const char *field, const char *want)
{
    char got[64];

    meta(key, field, got);
    if (strcmp(got, want) != 0)
        fail_msg("%s of %s: %s, not %s", field, key, got, want);
}

enum kind { BASES, TEXT, NUMBERS, NOISE, KINDS };

static const char *const names[KINDS] = {"bases", "text", "numbers", "noise"};

static char *
make(enum kind kind, uint64_t seed)
{
    static const char *const words[] = {"state ",  "name: ",   "user, ",
                                        "of the ", "{\"id\":", "error\n"};
    char *p = nq_malloc(BLOB + 32);
    uint64_t number = 1000000;
    struct rng rng;
    size_t at = 0;

    rng_seed(&rng, seed);
    while (at < BLOB) {
        switch (kind) {
        case BASES:
            p[at++] = "ACGT"[rng_below(&rng, 4)];
            break;
        case NUMBERS:
            number += rng_below(&rng, 50);
            at += (size_t)snprintf(p + at, 32, "%llu\n",
                                   (unsigned long long)number);
            break;
        case TEXT:
            at += (size_t)snprintf(p + at, 32, "%s",
                                   words[rng_below(&rng, nq_countof(words))]);
            break;
        case NOISE:
        case KINDS:
            p[at++] = (char)rng_next(&rng);
            break;
        }
    }
    return p;
}

static void
set_all(const char *prefix)
{
    for (unsigned k = 0; k < KINDS; k++) {
        char *p = make(k, 5);

        ok("SET %s:%s %b", prefix, names[k], p, (size_t)BLOB);
        nq_free(p);
    }
}

static void
check_all(const char *prefix)
{
    for (unsigned k = 0; k < KINDS; k++) {
        char *p = make(k, 5);
        redisReply *r = redisCommand(ctx, "GET %s:%s", prefix, names[k]);

        assert_non_null(r);
        assert_int_equal(r->type, REDIS_REPLY_STRING);
        assert_int_equal(r->len, BLOB);
        assert_memory_equal(r->str, p, BLOB);
        freeReplyObject(r);
        nq_free(p);
    }
}

static void
each_kind_gets_its_codec(void **state)
{
    (void)state;
    set_all("usual");
    ok("SAVE");
    expect_meta("usual:bases", "codec", "dna");
    expect_meta("usual:bases", "class", "bases");
    expect_meta("usual:text", "codec", "zstd");
    expect_meta("usual:text", "class", "text");
    expect_meta("usual:text", "level", "6");
    expect_meta("usual:numbers", "codec", "numeric");
    expect_meta("usual:numbers", "class", "numbers");
    expect_meta("usual:noise", "codec", "raw");
    expect_meta("usual:noise", "class", "dense");
    check_all("usual");
}

static void
every_setting_reads_what_the_others_wrote(void **state)
{
    static const char *const settings[][2] = {
        {"compression.enabled", "no"},
        {"compression.enabled", "yes"},
        {"compression.compression_level", "1"},
        {"compression.compression_level", "9"},
        {"compression.enable_quantum_encoding", "no"},
        {"compression.strategy.enable_pattern_detection", "no"},
        {"compression.strategy.text_compression_level", "2"},
        {"compression.min_size", "200000"},
    };
    char prefix[32];

    (void)state;
    for (unsigned i = 0; i < nq_countof(settings); i++) {
        ok("CONFIG SET %s %s", settings[i][0], settings[i][1]);
        snprintf(prefix, sizeof prefix, "set%u", i);
        set_all(prefix);
        ok("SAVE");
    }
    expect_meta("set0:text", "codec", "raw");
    expect_meta("set7:text", "codec", "raw");
    expect_meta("set6:text", "level", "2");
    expect_meta("set6:text", "codec", "zstd");
    restart(false);
    for (unsigned i = 0; i < nq_countof(settings); i++) {
        snprintf(prefix, sizeof prefix, "set%u", i);
        check_all(prefix);
    }
    check_all("usual");
}

static void
higher_levels_make_smaller_blobs(void **state)
{
    char low[64], high[64];

    (void)state;
    ok("CONFIG SET compression.compression_level 1");
    set_all("low");
    ok("SAVE");
    ok("CONFIG SET compression.compression_level 9");
    set_all("high");
    ok("SAVE");
    ok("CONFIG SET compression.compression_level 6");
    meta("low:text", "page_bytes", low);
    meta("high:text", "page_bytes", high);
    assert_true(strtoll(high, NULL, 10) > 0 &&
                strtoll(high, NULL, 10) < strtoll(low, NULL, 10));
}

static void
record(unsigned i, char dst[1100])
{
    struct rng rng;
    int at = 0;

    rng_seed(&rng, i);
    while (at < 1000) {
        unsigned w = (unsigned)rng_below(&rng, 300);

        at += snprintf(dst + at, 64, "\"attribute_%u_%u\":\"%u\",",
                       w * 7919 % 100003, w * 104729 % 10007, w * 31 % 977);
    }
}

static void
set_records(void)
{
    char val[1100];

    for (unsigned i = 0; i < RECORDS; i++) {
        record(i, val);
        redisAppendCommand(ctx, "SET rec:%06u %s", i, val);
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        redisReply *r = NULL;

        assert_int_equal(redisGetReply(ctx, (void **)&r), REDIS_OK);
        assert_int_equal(r->type, REDIS_REPLY_STATUS);
        freeReplyObject(r);
    }
}

static long long
info(const char *field)
{
    struct client c;
    long long v;

    client_open(&c, &srv);
    v = client_info(&c, "compression", field);
    client_close(&c);
    return v;
}

static void
records_of_a_prefix_get_a_dictionary_that_survives_kill(void **state)
{
    char codec[64], val[1100];

    (void)state;
    set_records();
    ok("SAVE");
    for (unsigned i = 0; i < 500 && info("dictionaries_used") < 1; i++)
        usleep(20000);
    assert_int_equal(info("dictionaries_used"), 1);
    set_records();
    ok("SAVE");
    expect_meta("rec:000100", "codec", "dict");
    restart(true);
    assert_int_equal(info("dictionaries_used"), 1);
    for (unsigned i = 0; i < RECORDS; i += 97) {
        redisReply *r = redisCommand(ctx, "GET rec:%06u", i);

        record(i, val);
        assert_non_null(r);
        assert_string_equal(r->str, val);
        freeReplyObject(r);
    }
    assert_true(info("dictionaries_blocks_unpacked") > 0);
    meta("rec:000100", "codec", codec);
    assert_string_equal(codec, "dict");
}

static void
info_tells_bytes_and_codecs(void **state)
{
    (void)state;
    ok("CONFIG RESETSTAT");
    set_all("again");
    ok("SAVE");
    assert_true(info("bytes_in") > 4 * BLOB);
    assert_true(info("bytes_out") < info("bytes_in"));
    assert_true(info("compression_us") > 0);
    assert_int_equal(info("compression_enabled"), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_gets_its_codec),
        cmocka_unit_test(every_setting_reads_what_the_others_wrote),
        cmocka_unit_test(higher_levels_make_smaller_blobs),
        cmocka_unit_test(
            records_of_a_prefix_get_a_dictionary_that_survives_kill),
        cmocka_unit_test(info_tells_bytes_and_codecs),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
