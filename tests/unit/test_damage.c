/* Damage in each region of the data file: never a wrong answer, everything
 * else is served, and what is damaged is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "../lib/engine_env.h"
#include "../lib/good_file.h"
#include "os/file.h"
#include "store/frames.h"
#include "store/store.h"
#include "store/superblock.h"

#define KEYS 700
#define ITEMS 300
#define BLOB 2500000

struct bench {
    struct engine_env env;
    struct rng rng;
    struct good_file file;
};

static uint64_t
seed(void)
{
    const char *text = getenv("SEED");
    uint64_t v = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)v);
    return v;
}

/* --- the data --------------------------------------------------------------
 */

static const char *askf(struct fake_client *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const char *
askf(struct fake_client *c, const char *fmt, ...)
{
    char line[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return fake_ask(c, line);
}

static void
fill(struct engine_env *env)
{
    struct fake_client c;

    fake_open(env, &c);
    for (unsigned i = 0; i < KEYS; i++)
        askf(&c, "SET key:%05u value-of-%u-%080u", i, i, i);
    for (unsigned i = 0; i < ITEMS; i++) {
        askf(&c, "HSET hash field:%u value-%060u", i, i);
        askf(&c, "RPUSH list element-%060u", i);
        askf(&c, "ZADD zset %u member-%040u", i, i);
        askf(&c, "XADD stream %u-1 n %060u", i + 1, i);
    }
    askf(&c, "SETRANGE blob %u end-of-it", BLOB - 9);
    for (unsigned i = 0; i < 3; i++)
        askf(&c, "SETRANGE blob %u abc", i << 20);
    fake_close(&c);
}

/* Reads all of it; each answer is right, or an error that names a page.  The
 * pages, as bits; returns how many errors there were. */
struct reading {
    struct fake_client c;
    unsigned errors;
    uint8_t pages[4096];
};

static void
judge(struct reading *r, const char *got, const char *want)
{
    unsigned id;
    unsigned long long off;

    if (strncmp(got, "-CORRUPT", 8) != 0) {
        assert_string_equal(got, want);
        return;
    }
    r->errors++;
    assert_int_equal(sscanf(got, "-CORRUPT page %u at offset %llu", &id, &off),
                     2);
    assert_true(id > 0 && id / 8 < sizeof r->pages);
    r->pages[id / 8] |= (uint8_t)(1u << id % 8);
}

static void
read_items(struct reading *r, unsigned i)
{
    char want[300];

    snprintf(want, sizeof want, "$66|value-%060u|", i);
    judge(r, askf(&r->c, "HGET hash field:%u", i), want);
    snprintf(want, sizeof want, "$68|element-%060u|", i);
    judge(r, askf(&r->c, "LINDEX list %u", i), want);
    snprintf(want, sizeof want, "$%d|%u|", i < 10 ? 1 : i < 100 ? 2 : 3, i);
    judge(r, askf(&r->c, "ZSCORE zset member-%040u", i), want);
    snprintf(want, sizeof want, "*1|*2|$%d|%u-1|*2|$1|n|$60|%060u|",
             i + 1 < 10    ? 3
             : i + 1 < 100 ? 4
                           : 5,
             i + 1, i);
    judge(r, askf(&r->c, "XRANGE stream %u-1 %u-1", i + 1, i + 1), want);
}

static unsigned
read_all(struct engine_env *env, struct reading *r)
{
    char want[300];

    memset(r, 0, sizeof *r);
    fake_open(env, &r->c);
    for (unsigned i = 0; i < KEYS; i++) {
        int n = snprintf(want, sizeof want, "value-of-%u-%080u", i, i);

        snprintf(want, sizeof want, "$%d|value-of-%u-%080u|", n, i, i);
        judge(r, askf(&r->c, "GET key:%05u", i), want);
    }
    for (unsigned i = 0; i < ITEMS; i++)
        read_items(r, i);
    for (unsigned i = 0; i < 3; i++)
        judge(r, askf(&r->c, "GETRANGE blob %u %u", i << 20, (i << 20) + 2),
              "$3|abc|");
    judge(r, askf(&r->c, "GETRANGE blob %u %u", BLOB - 9, BLOB),
          "$9|end-of-it|");
    fake_close(&r->c);
    return r->errors;
}

/* --- the file --------------------------------------------------------------
 */

/* Closed, and all of it remembered. */
static void
begin(struct bench *b, bool parity)
{
    memset(b, 0, sizeof *b);
    log_set_level((enum log_level)(LOG_ERROR + 1));
    rng_seed(&b->rng, seed());
    engine_env_init(&b->env, 16 << 20);
    store_set_parity(b->env.store, parity);
    fill(&b->env);
    engine_env_cool(&b->env);
    engine_env_crash(&b->env);
    good_file_init(&b->file, b->env.dir);
}

static void
end(struct bench *b)
{
    good_file_fini(&b->file);
    engine_env_fini(&b->env);
}

/* The good file, but for `n` bytes at `off`. */
static void
write_damaged(const struct bench *b, uint64_t off, const void *p, size_t n)
{
    struct file *f;

    good_file_write(&b->file, b->file.bytes);
    if (n == 0)
        return;
    assert_int_equal(file_open(b->file.path, FILE_WRITE, &f), NQ_OK);
    assert_int_equal(file_write(f, p, n, off), NQ_OK);
    file_close(f);
}

static void
flip(struct bench *b, uint64_t from, uint64_t len)
{
    uint64_t at = from + rng_below(&b->rng, len);
    uint8_t v = b->file.bytes[at] ^ (uint8_t)(1u << rng_below(&b->rng, 8));

    write_damaged(b, at, &v, 1);
}

/* In the file as it is now. */
static void
flip_in_place(struct bench *b, uint64_t from, uint64_t len)
{
    uint64_t at = from + rng_below(&b->rng, len);
    struct file *f;
    uint8_t v;

    assert_int_equal(file_open(b->file.path, FILE_WRITE, &f), NQ_OK);
    assert_int_equal(file_read(f, &v, 1, at), NQ_OK);
    v ^= (uint8_t)(1u << rng_below(&b->rng, 8));
    assert_int_equal(file_write(f, &v, 1, at), NQ_OK);
    file_close(f);
}

/* --- checks ----------------------------------------------------------------
 */

/* Each page that an error named is named by NQ.CHECK, too. */
static void
check_names_them(struct bench *b, const struct reading *r)
{
    struct fake_client c;
    const char *text;

    fake_open(&b->env, &c);
    text = fake_ask(&c, "NQ.CHECK EXTENTS");
    for (unsigned id = 0; id < sizeof r->pages * 8; id++) {
        char want[40];

        snprintf(want, sizeof want, "|page %u at offset ", id);
        if ((r->pages[id / 8] >> id % 8 & 1) != 0)
            assert_non_null(strstr(strstr(text, "|texts|"), "page "));
        if ((r->pages[id / 8] >> id % 8 & 1) != 0)
            assert_non_null(strstr(text, want));
    }
    fake_close(&c);
}

/* What NQ.CHECK EXTENTS says of a good database. */
static void
check_finds_nothing(struct bench *b)
{
    struct fake_client c;

    fake_open(&b->env, &c);
    assert_non_null(strstr(fake_ask(&c, "NQ.CHECK EXTENTS"), "|findings|:0|"));
    fake_close(&c);
}

static void
each_superblock_may_be_damaged(void **state)
{
    static const uint64_t copies[] = {SUPERBLOCK_AT_A, SUPERBLOCK_AT_B};
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, false);
    for (unsigned i = 0; i < 2; i++) {
        flip(&b, copies[i], SUPERBLOCK_SIZE);
        assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
        assert_int_equal(read_all(&b.env, &r), 0);
        check_finds_nothing(&b); /* opening wrote it anew */
        engine_env_crash(&b.env);
    }
    end(&b);
}

static void
damage_of_both_superblocks_is_refused(void **state)
{
    struct bench b;
    uint8_t zeros[SUPERBLOCK_AREA] = {0};

    (void)state;
    begin(&b, false);
    write_damaged(&b, 100, zeros, SUPERBLOCK_AT_B);
    assert_int_equal(engine_env_try_open(&b.env), NQ_ECORRUPT);
    write_damaged(&b, 0, zeros, sizeof zeros);
    assert_int_equal(engine_env_try_open(&b.env), NQ_EFORMAT);
    end(&b);
}

static void
a_damaged_table_or_catalog_is_refused(void **state)
{
    struct bench b;

    (void)state;
    begin(&b, false);
    flip(&b, b.file.sb.base.off, b.file.sb.base.len);
    assert_int_equal(engine_env_try_open(&b.env), NQ_ECORRUPT);
    flip(&b, b.file.sb.catalog.off, b.file.sb.catalog.len);
    assert_int_equal(engine_env_try_open(&b.env), NQ_ECORRUPT);
    for (unsigned i = 0; i < b.file.sb.deltas_count; i++) {
        flip(&b, b.file.sb.deltas[i].off, b.file.sb.deltas[i].len);
        assert_int_equal(engine_env_try_open(&b.env), NQ_ECORRUPT);
    }
    end(&b);
}

/* One page of each kind, and some more. */
static void
a_damaged_page_costs_its_keys_and_no_more(void **state)
{
    unsigned damaged = 0;
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, false);
    for (unsigned i = 0; i < b.file.count; i++) {
        const struct good_place *p = &b.file.places[i];

        if (p->kind == PAGE_LEAF && rng_below(&b.rng, 10) != 0)
            continue;
        flip(&b, p->off, 4000);
        assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
        damaged += read_all(&b.env, &r) > 0;
        check_names_them(&b, &r);
        engine_env_crash(&b.env);
    }
    assert_true(damaged > 5);
    end(&b);
}

/* Two extents change places: each is good in itself. */
static void
swapped_extents_are_found(void **state)
{
    struct reading r;
    struct bench b;
    uint64_t a, z;

    (void)state;
    begin(&b, false);
    a = b.file.places[3].off;
    z = b.file.places[7].off;
    write_damaged(&b, a, b.file.bytes + z, 512);
    assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
    assert_true(read_all(&b.env, &r) > 0);
    check_names_them(&b, &r);
    engine_env_crash(&b.env);
    end(&b);
}

static void
a_file_cut_short_is_no_wrong_answer(void **state)
{
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, false);
    for (unsigned i = 0; i < 12; i++) {
        struct file *f;
        nq_rc rc;

        write_damaged(&b, 0, NULL, 0);
        assert_int_equal(file_open(b.file.path, FILE_WRITE, &f), NQ_OK);
        assert_int_equal(file_truncate(f, rng_below(&b.rng, b.file.len)),
                         NQ_OK);
        file_close(f);
        rc = engine_env_try_open(&b.env);
        if (rc == NQ_OK) {
            (void)read_all(&b.env, &r);
            engine_env_crash(&b.env);
        } else {
            assert_true(rc == NQ_ECORRUPT || rc == NQ_EFORMAT);
        }
    }
    end(&b);
}

/* --- repair ----------------------------------------------------------------
 */

/* A sector of each extent is zeroed, or has a flipped bit. */
static void
damage_a_sector_of_each(struct bench *b)
{
    uint8_t *bytes = nq_memdup(b->file.bytes, b->file.len);

    for (unsigned i = 0; i < b->file.count; i++) {
        const struct good_place *p = &b->file.places[i];
        uint64_t at = p->off + rng_below(&b->rng, (p->len + 511) / 512) * 512;

        if (rng_below(&b->rng, 2) == 0)
            memset(bytes + at, 0, 512);
        else
            bytes[at + rng_below(&b->rng, nq_min(512u, p->len))] ^= 0x10;
    }
    good_file_write(&b->file, bytes);
    nq_free(bytes);
}

static void
parity_rebuilds_a_sector_of_each_page_when_it_is_read(void **state)
{
    struct frames_stats st;
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, true);
    damage_a_sector_of_each(&b);
    assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
    store_set_parity(b.env.store, true);
    assert_int_equal(read_all(&b.env, &r), 0);
    frames_get_stats(store_frames(b.env.store), &st);
    assert_true(st.repaired_pages > b.file.count / 2);
    assert_int_equal(st.damaged_pages, 0);
    fake_open(&b.env, &r.c);
    (void)fake_ask(&r.c, "NQ.CHECK"); /* reads the pages that are left */
    fake_close(&r.c);
    engine_env_cool(&b.env);
    check_finds_nothing(&b);
    engine_env_crash(&b.env);
    end(&b);
}

static void
check_repair_rebuilds_all_of_them(void **state)
{
    struct fake_client c;
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, true);
    damage_a_sector_of_each(&b);
    assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
    store_set_parity(b.env.store, true);
    fake_open(&b.env, &c);
    assert_non_null(strstr(fake_ask(&c, "NQ.CHECK REPAIR"), "from its parity"));
    fake_close(&c);
    engine_env_cool(&b.env);
    check_finds_nothing(&b);
    assert_int_equal(read_all(&b.env, &r), 0);
    engine_env_crash(&b.env);
    end(&b);
}

#ifndef NQ_HARSH /* where it may have gone from memory meanwhile */
/* Damaged while it is in memory: written anew from there. */
static void
check_repair_takes_pages_from_memory(void **state)
{
    struct fake_client c;
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, false);
    write_damaged(&b, 0, NULL, 0);
    assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
    assert_int_equal(read_all(&b.env, &r), 0);
    flip(&b, b.file.places[5].off, 4000);
    fake_open(&b.env, &c);
    assert_non_null(
        strstr(fake_ask(&c, "NQ.CHECK EXTENTS"), "can be repaired"));
    assert_non_null(strstr(fake_ask(&c, "NQ.CHECK REPAIR"), "from memory"));
    fake_close(&c);
    engine_env_cool(&b.env);
    check_finds_nothing(&b);
    assert_int_equal(read_all(&b.env, &r), 0);
    engine_env_crash(&b.env);
    end(&b);
}

#endif

/* Page table, catalog and superblocks, damaged while the server runs: it has
 * all of them in memory. */
static void
check_repair_writes_table_and_catalog_anew(void **state)
{
    struct fake_client c;
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, false);
    for (unsigned i = 0; i < 3; i++) {
        const struct part *p = i == 0 ? &b.file.sb.base : &b.file.sb.catalog;

        write_damaged(&b, 0, NULL, 0);
        assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
        if (i < 2)
            flip_in_place(&b, p->off, p->len);
        else
            flip_in_place(&b, SUPERBLOCK_AT_A, 3000);
        fake_open(&b.env, &c);
        assert_non_null(strstr(fake_ask(&c, "NQ.CHECK EXTENTS"), "checksum"));
        assert_non_null(strstr(fake_ask(&c, "NQ.CHECK REPAIR"), "repaired"));
        fake_close(&c);
        engine_env_cool(&b.env);
        check_finds_nothing(&b);
        engine_env_crash(&b.env);
        assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
        assert_int_equal(read_all(&b.env, &r), 0);
        engine_env_crash(&b.env);
    }
    end(&b);
}

/* The client goes while workers read: nothing of the check stays. */
static void
a_check_may_be_left_at_any_moment(void **state)
{
    struct reading r;
    struct bench b;

    (void)state;
    begin(&b, false);
    for (unsigned turns = 0; turns < 30; turns++) {
        struct fake_client c;

        write_damaged(&b, 0, NULL, 0);
        assert_int_equal(engine_env_try_open(&b.env), NQ_OK);
        fake_open(&b.env, &c);
        fake_send(&c, "NQ.CHECK REPAIR");
        for (unsigned i = 0; i < turns; i++)
            engine_env_turn(&b.env);
        fake_close(&c);
        if (turns % 10 == 0)
            assert_int_equal(read_all(&b.env, &r), 0);
        engine_env_crash(&b.env);
    }
    end(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_superblock_may_be_damaged),
        cmocka_unit_test(damage_of_both_superblocks_is_refused),
        cmocka_unit_test(a_damaged_table_or_catalog_is_refused),
        cmocka_unit_test(a_damaged_page_costs_its_keys_and_no_more),
        cmocka_unit_test(swapped_extents_are_found),
        cmocka_unit_test(a_file_cut_short_is_no_wrong_answer),
        cmocka_unit_test(parity_rebuilds_a_sector_of_each_page_when_it_is_read),
        cmocka_unit_test(check_repair_rebuilds_all_of_them),
#ifndef NQ_HARSH
        cmocka_unit_test(check_repair_takes_pages_from_memory),
#endif
        cmocka_unit_test(check_repair_writes_table_and_catalog_anew),
        cmocka_unit_test(a_check_may_be_left_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
