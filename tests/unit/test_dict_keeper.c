/* Dictionaries in a database: trained, used, kept over restarts and crashes,
 * let go, and what happens when they are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/block.h"
#include "codec/pack.h"
#include "os/pool.h"
#include "store/frames.h"
#include "../lib/db_env.h"

#define KEYS 2000u
#define POOL (8u << 20)
#define TURNS 400u

/* One of 400 phrases: a page holds some of them, all pages have them. */
static void
put_phrase(unsigned i, char dst[41])
{
    struct rng rng;

    rng_seed(&rng, i);
    for (unsigned k = 0; k < 40; k++)
        dst[k] = (char)('a' + rng_below(&rng, 26));
    dst[40] = '\0';
}

static void
make_value(unsigned i, unsigned round, char dst[600])
{
    struct rng rng;
    size_t at = 0;

    rng_seed(&rng, (uint64_t)round << 32 | i);
    while (at < 400) {
        put_phrase((unsigned)rng_below(&rng, 400), dst + at);
        at += 40;
    }
}

static void
write_all(struct env *e, unsigned round)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], val[600];

        snprintf(key, sizeof key, "user:%06u", i);
        make_value(i, round, val);
        assert_int_equal(env_set(e, 0, slice_str(key), slice_str(val), 0),
                         NQ_OK);
    }
}

static void
check_all(struct env *e, unsigned round)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], val[600];
        struct slice got;

        snprintf(key, sizeof key, "user:%06u", i);
        make_value(i, round, val);
        assert_int_equal(env_get(e, 0, slice_str(key), &got), NQ_OK);
        assert_true(slice_eq(got, slice_str(val)));
    }
}

static struct store_dict_stats
stats_of(struct env *e)
{
    struct store_dict_stats s;

    store_get_dict_stats(e->st, &s);
    return s;
}

/* Until what was begun is done. */
static void
turn_until_quiet(struct env *e)
{
    for (unsigned i = 0; i < TURNS; i++) {
        env_turn(e);
        if (pool_pending(e->pool) > 0)
            (void)pool_wait(e->pool);
    }
}

static uint64_t
extent_bytes(struct env *e)
{
    struct store_stats s;

    store_get_stats(e->st, &s);
    return s.extent_bytes;
}

/* Round 0 is on disk without a dictionary, which is trained from it. */
static void
init_trained(struct env *e)
{
    env_init(e, 8192, POOL);
    store_set_pack(e->st, &PACK_OPTS_USUAL);
    write_all(e, 0);
    env_checkpoint(e);
    turn_until_quiet(e);
    assert_int_equal(stats_of(e).used, 1);
    assert_int_equal(stats_of(e).trained, 1);
}

static void
pages_of_a_prefix_get_smaller_and_survive_restarts(void **state)
{
    struct env e;
    uint64_t before;

    (void)state;
    init_trained(&e);
    before = extent_bytes(&e);
    assert_int_equal(stats_of(&e).packed, 0);
    write_all(&e, 1);
    env_checkpoint(&e);
    assert_true(stats_of(&e).packed > KEYS / 25);
    assert_true(extent_bytes(&e) * 10 < before * 7);
    env_check(&e);
    check_all(&e, 1);
    env_close(&e, true);
    env_open(&e);
    assert_int_equal(stats_of(&e).used, 1);
    check_all(&e, 1);
    assert_true(stats_of(&e).unpacked > 0);
    env_check(&e);
    env_crash(&e);
    env_open(&e);
    check_all(&e, 1);
    env_check(&e);
    env_fini(&e);
}

static void
a_crash_before_the_checkpoint_forgets_it_with_all_it_packed(void **state)
{
    struct env e;

    (void)state;
    init_trained(&e);
    write_all(&e, 1); /* some of it is flushed by and by, with it */
    turn_until_quiet(&e);
    env_crash(&e);
    env_open(&e);
    assert_int_equal(stats_of(&e).used, 0);
    check_all(&e, 1);
    env_check(&e);
    store_set_pack(e.st, &PACK_OPTS_USUAL);
    env_checkpoint(&e);
    turn_until_quiet(&e);
    assert_int_equal(stats_of(&e).used, 1);
    env_checkpoint(&e);
    env_check(&e);
    env_fini(&e);
}

static void
every_setting_reads_what_the_others_wrote(void **state)
{
    struct env e;
    struct pack_opts o = PACK_OPTS_USUAL;

    (void)state;
    init_trained(&e);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], val[600];

        if (i % (KEYS / 5) == 0) {
            env_checkpoint(&e);
            o = PACK_OPTS_USUAL;
            o.dictionaries = i < KEYS / 2;
            o.level = (uint8_t)(1 + i / (KEYS / 5) * 2);
            o.enabled = i < KEYS / 5 * 4;
            store_set_pack(e.st, &o);
        }
        snprintf(key, sizeof key, "user:%06u", i);
        make_value(i, 2, val);
        assert_int_equal(env_set(&e, 0, slice_str(key), slice_str(val), 0),
                         NQ_OK);
    }
    check_all(&e, 2);
    env_close(&e, true);
    env_open(&e);
    check_all(&e, 2);
    env_check(&e);
    env_fini(&e);
}

static void
a_dictionary_that_nothing_needs_is_let_go(void **state)
{
    struct env e;
    struct pack_opts o = PACK_OPTS_USUAL;
    struct store_dict_stats s;

    (void)state;
    init_trained(&e);
    write_all(&e, 1);
    env_checkpoint(&e);
    o.dictionaries = false;
    store_set_pack(e.st, &o);
    write_all(&e, 2);
    env_checkpoint(&e); /* no live extent names it any more */
    env_checkpoint(&e); /* retired */
    turn_until_quiet(&e);
    assert_int_equal(stats_of(&e).used, 0);
    env_checkpoint(&e); /* not named in this one */
    turn_until_quiet(&e);
    s = stats_of(&e);
    assert_int_equal(s.used + s.retired + s.lost, 0);
    assert_int_equal(s.bytes, 0);
    env_check(&e);
    env_close(&e, true);
    env_open(&e);
    s = stats_of(&e);
    assert_int_equal(s.used + s.retired + s.lost, 0);
    check_all(&e, 2);
    env_check(&e);
    env_fini(&e);
}

/* Flips a byte of each of the first `most` extents with a dictionary in them:
 * chunks; there are no others here.  Extents begin at sectors, with a magic;
 * byte 5 is the kind of page. */
static void
damage_chunks(struct env *e, unsigned most)
{
    uint8_t sector[512];
    char path[128];
    long at = 16384;
    unsigned done = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/data.nq", e->dir);
    assert_non_null(f = fopen(path, "r+b"));
    while (fseek(f, at, SEEK_SET) == 0 &&
           fread(sector, 1, sizeof sector, f) == sizeof sector) {
        if (memcmp(sector, "NQE1", 4) == 0 && sector[5] == PAGE_CHUNK &&
            done++ < most) {
            sector[100] ^= 1;
            assert_int_equal(fseek(f, at, SEEK_SET), 0);
            assert_int_equal(fwrite(sector, 1, sizeof sector, f),
                             sizeof sector);
        }
        at += (long)sizeof sector;
    }
    fclose(f);
    assert_true(done >= most);
}

static void
one_damaged_copy_does_no_harm(void **state)
{
    struct env e;

    (void)state;
    init_trained(&e);
    write_all(&e, 1);
    env_checkpoint(&e);
    env_close(&e, true);
    damage_chunks(&e, 1);
    (void)!log_set_file("/dev/null", 0, 0);
    env_open(&e);
    assert_int_equal(stats_of(&e).used, 1);
    (void)!log_set_file(NULL, 0, 0);
    check_all(&e, 1);
    env_fini(&e);
}

static void
without_its_dictionary_only_its_pages_are_damaged(void **state)
{
    struct env e;
    struct slice got;

    (void)state;
    init_trained(&e);
    assert_int_equal(env_set(&e, 1, slice_lit("other"), slice_lit("v"), 0),
                     NQ_OK);
    write_all(&e, 1);
    env_checkpoint(&e);
    env_close(&e, true);
    damage_chunks(&e, 2);
    (void)!log_set_file("/dev/null", 0, 0);
    env_open(&e);
    assert_int_equal(stats_of(&e).lost, 1);
    assert_int_equal(stats_of(&e).used, 0);
    assert_int_equal(env_get(&e, 1, slice_lit("other"), &got), NQ_OK);
    assert_int_equal(env_get(&e, 0, slice_lit("user:000700"), &got),
                     NQ_ECORRUPT);
    (void)!log_set_file(NULL, 0, 0);
    env_crash_dead(&e);
    env_fini(&e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_a_prefix_get_smaller_and_survive_restarts),
        cmocka_unit_test(
            a_crash_before_the_checkpoint_forgets_it_with_all_it_packed),
        cmocka_unit_test(every_setting_reads_what_the_others_wrote),
        cmocka_unit_test(a_dictionary_that_nothing_needs_is_let_go),
        cmocka_unit_test(one_damaged_copy_does_no_harm),
        cmocka_unit_test(without_its_dictionary_only_its_pages_are_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
