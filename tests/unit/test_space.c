/* The map of the data file against a plain array of sectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/rng.h"
#include "store/space.h"

enum { RUNS = 2000, SECTORS = 200000 };

struct run {
    uint64_t off, len;
};

static bool owned[SECTORS];

static void
own(struct run r, bool is_owned)
{
    for (uint64_t s = r.off / 512; s < (r.off + r.len) / 512; s++) {
        assert_true(s < SECTORS);
        assert_true(owned[s] != is_owned);
        owned[s] = is_owned;
    }
}

static uint64_t
seed(void)
{
    const char *env = getenv("SEED");
    uint64_t s = env != NULL ? strtoull(env, NULL, 0) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)s);
    return s;
}

static void
runs_never_overlap_and_sums_hold(void **state)
{
    struct space *sp = space_new(16384);
    static struct run runs[RUNS];
    uint64_t used = 16384;
    struct rng r;

    (void)state;
    rng_seed(&r, seed());
    own((struct run){0, 16384}, true);
    for (unsigned n = 0; n < 40000; n++) {
        struct run *run = &runs[rng_below(&r, RUNS)];
        uint64_t min = 1 + rng_below(&r, 20000);

        if (run->len > 0) {
            space_free(sp, run->off, run->len);
            own(*run, false);
            used -= run->len;
            run->len = 0;
            continue;
        }
        assert_int_equal(space_alloc(sp, min, min * (1 + rng_below(&r, 4)),
                                     &run->off, &run->len),
                         NQ_OK);
        assert_true(run->len >= min);
        own(*run, true);
        used += run->len;
        assert_true(space_used_bytes(sp) == used);
        assert_true(space_used_bytes(sp) + space_free_bytes(sp) ==
                    space_end(sp));
    }
    for (unsigned s = 0; s < space_end(sp) / 512; s++)
        assert_true(space_is_used(sp, s * 512ull, 512) == owned[s]);
    space_delete(sp);
}

/* Cuts, punches and takes back, in the middle of other work. */
static void
give_back(struct space *sp, struct rng *r)
{
    struct space_run holes[8];
    uint64_t last = space_last_used(sp);
    unsigned n;

    if (rng_below(r, 3) == 0)
        space_unpunch(sp);
    n = space_punch(sp, 512 * (1 + rng_below(r, 100)), rng_below(r, 200000),
                    holes, 8);
    for (unsigned i = 0; i < n; i++) {
        for (uint64_t s = 0; s < holes[i].len / 512; s++)
            assert_false(owned[holes[i].off / 512 + s]);
    }
    assert_true(space_punched_bytes(sp) <= space_free_bytes(sp));
    if (rng_below(r, 2) == 0)
        space_cut(sp, last);
    assert_true(space_last_used(sp) == last);
}

static void
holes_are_nobodys_and_come_back_before_the_file_grows(void **state)
{
    struct space *sp = space_new(16384);
    static struct run runs[RUNS];
    struct space_run hole;
    uint64_t off, len, end;
    struct rng r;

    (void)state;
    memset(owned, 0, sizeof owned);
    rng_seed(&r, seed());
    own((struct run){0, 16384}, true);
    for (unsigned n = 0; n < 20000; n++) {
        struct run *run = &runs[rng_below(&r, 300)];
        uint64_t min = 1 + rng_below(&r, 20000);

        if (rng_below(&r, 50) == 0)
            give_back(sp, &r);
        if (run->len > 0) {
            space_free(sp, run->off, run->len);
            own(*run, false);
            run->len = 0;
            continue;
        }
        if (rng_below(&r, 4) != 0 ||
            space_alloc_below(sp, min, min, space_end(sp) / 2, &run->off,
                              &run->len) != NQ_OK)
            assert_int_equal(
                space_alloc(sp, min, 2 * min, &run->off, &run->len), NQ_OK);
        own(*run, true);
    }
    space_delete(sp);

    sp = space_new(16384);
    assert_int_equal(space_alloc(sp, 4 << 20, 4 << 20, &off, &len), NQ_OK);
    space_free(sp, off, 2 << 20);
    end = space_end(sp);
    assert_int_equal(space_punch(sp, 1 << 20, 0, &hole, 1), 1);
    assert_true(hole.off == off && hole.len == 2 << 20);
    assert_int_equal(space_punch(sp, 1 << 20, 0, &hole, 1), 0); /* once */
    assert_int_equal(space_alloc(sp, 2 << 20, 2 << 20, &off, &len), NQ_OK);
    assert_true(off == hole.off && space_end(sp) == end);
    space_delete(sp);
}

/* Random frees of small extents must not make the file grow for ever. */
static void
holes_are_filled_before_the_file_is_much_larger(void **state)
{
    struct space *sp = space_new(16384);
    static struct run runs[RUNS];
    struct rng r;

    (void)state;
    rng_seed(&r, seed());
    for (unsigned n = 0; n < 60000; n++) {
        struct run *run = &runs[n < RUNS ? n : rng_below(&r, RUNS)];
        uint64_t len = 512 * (2 + rng_below(&r, 12));

        if (run->len > 0)
            space_free(sp, run->off, run->len);
        assert_int_equal(space_alloc(sp, len, len, &run->off, &run->len),
                         NQ_OK);
    }
    assert_true(space_end(sp) < 2 * space_used_bytes(sp) + (2 << 20));
    space_delete(sp);
}

static void
marking_refuses_what_overlaps(void **state)
{
    struct space *sp = space_new(16384);
    uint64_t off, len;

    (void)state;
    assert_false(space_mark(sp, 0, 512));
    assert_false(space_mark(sp, 20000, 512));
    assert_true(space_mark(sp, 40960, 600)); /* two sectors */
    assert_false(space_mark(sp, 41472, 512));
    assert_true(space_mark(sp, 41984, 1));
    assert_int_equal(space_alloc(sp, 24576, 24576, &off, &len), NQ_OK);
    assert_true(off == 16384); /* the gap before them */
    space_delete(sp);
}

static void
quota_and_full_disk_are_told_apart(void **state)
{
    struct space *sp = space_new(16384);
    uint64_t off, len, first;

    (void)state;
    space_set_max(sp, 1 << 20, 0);
    assert_int_equal(space_alloc(sp, 1 << 19, 1 << 19, &first, &len), NQ_OK);
    assert_int_equal(space_alloc(sp, 1 << 20, 1 << 20, &off, &len), NQ_EFULL);
    assert_int_equal(space_alloc(sp, 512, 1 << 20, &off, &len), NQ_OK);
    assert_true(off + len <= 1 << 20);
    space_free(sp, off, len);
    space_set_max(sp, 0, 0);
    space_set_limit(sp, first + (1 << 19));
    assert_int_equal(space_alloc(sp, 512, 512, &off, &len), NQ_ENOSPC);
    space_set_limit(sp, 0);
    assert_int_equal(space_alloc(sp, 64 << 20, 64 << 20, &off, &len), NQ_OK);
    space_delete(sp);
}

static void
free_tail_can_be_cut_and_grows_again(void **state)
{
    struct space *sp = space_new(16384);
    uint64_t off, len, last;

    (void)state;
    assert_int_equal(space_alloc(sp, 5000, 5000, &off, &len), NQ_OK);
    last = space_last_used(sp);
    assert_true(last == off + len && last < space_end(sp));
    space_cut(sp, last);
    assert_true(space_end(sp) == last && space_free_bytes(sp) == 0);
    assert_int_equal(space_alloc(sp, 5000, 5000, &off, &len), NQ_OK);
    assert_true(off == last);
    space_delete(sp);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_never_overlap_and_sums_hold),
        cmocka_unit_test(holes_are_nobodys_and_come_back_before_the_file_grows),
        cmocka_unit_test(holes_are_filled_before_the_file_is_much_larger),
        cmocka_unit_test(marking_refuses_what_overlaps),
        cmocka_unit_test(quota_and_full_disk_are_told_apart),
        cmocka_unit_test(free_tail_can_be_cut_and_grows_again),
    };

    return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
