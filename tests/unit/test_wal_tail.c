/* Where the log ends: torn tails are cut, damage is refused, and what was cut
 * never comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/wal_fixture.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/wal_int.h"

#define HEADER_COPY 4096u /* where the second one stands */

/* Frames at[0..n) of one effect each in segment 1, the log's end in at[n]. */
static void
make_log(struct wal_fixture *f, enum wal_fsync fsync, unsigned n, lsn *at)
{
    wal_fixture_init(f, fsync);
    f->opts.segment_size = 20 << 10;
    wal_fixture_open(f, 1);
    for (unsigned i = 0; i < n; i++) {
        at[i] = wal_fixture_frame(f, 1, 20 + 5 * i);
        assert_true(wal_fixture_settle(f));
    }
    at[n] = wal_position(f->w);
    wal_fixture_close(f);
}

static uint64_t
offset_of(lsn at)
{
    return WAL_SEGMENT_HEADER + (at - WAL_FIRST_LSN);
}

static void
flip(const struct wal_fixture *f, unsigned segment, uint64_t off)
{
    size_t len;
    uint8_t *p = wal_fixture_load(wal_fixture_path(f, segment), &len);
    uint8_t byte = (uint8_t)~p[off];

    wal_fixture_poke(wal_fixture_path(f, segment), off, &byte, 1);
    nq_free(p);
}

/* Spoils segment 1 from `off` on: zeros, garbage, or the file ends there. */
static void
spoil_tail(const struct wal_fixture *f, uint64_t off, unsigned kind)
{
    const char *path = wal_fixture_path(f, 1);
    uint64_t n = wal_fixture_size(f, 1) - off;
    uint8_t *junk = nq_malloc(n);

    memset(junk, kind == 0 ? 0 : 0xa5, n);
    if (kind < 2)
        wal_fixture_poke(path, off, junk, n);
    else
        assert_int_equal(truncate(path, (off_t)off), 0);
    nq_free(junk);
}

static void
a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on(void **state)
{
    struct wal_fixture f, g;
    lsn at[7];

    (void)state;
    make_log(&f, WAL_FSYNC_NEVER, 6, at);
    wal_fixture_init(&g, WAL_FSYNC_NEVER);
    g.opts = f.opts;
    g.opts.dir = g.dir;
    g.opts.arg = &g;
    for (lsn cut = at[4]; cut < at[6]; cut++) {
        unsigned whole = cut < at[5] ? 4 : 5;

        wal_fixture_copy(&g, &f);
        spoil_tail(&g, offset_of(cut), (unsigned)(cut % 3));
        wal_fixture_open(&g, 1);
        /* Zeros over the zeros that fill a frame up do no harm. */
        if (cut % 3 == 0 && at[whole + 1] - cut < WAL_ALIGN)
            whole = (unsigned)nq_min(g.replayed, whole + 1);
        assert_int_equal(g.replayed, whole);
        assert_true(wal_position(g.w) == at[whole]);
        wal_fixture_frame(&g, 2, 30);
        wal_fixture_close(&g);
        wal_fixture_open(&g, 1);
        assert_int_equal(g.replayed, whole + 2);
        wal_fixture_close(&g);
    }
    wal_fixture_fini(&g);
    wal_fixture_fini(&f);
}

static void
each_flipped_byte_of_a_durable_frame_is_damage(void **state)
{
    struct wal_fixture f;
    lsn at[7];

    (void)state;
    make_log(&f, WAL_FSYNC_ALWAYS, 6, at);
    for (lsn bad = at[2]; bad < at[3]; bad++) {
        flip(&f, 1, offset_of(bad));
        assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
        assert_int_equal(f.replayed, 2);
        flip(&f, 1, offset_of(bad));
    }
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 6);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
damage_names_file_offset_and_expectation(void **state)
{
    char path[] = "/tmp/nqdb-wal-log-XXXXXX";
    struct wal_fixture f;
    char want[64];
    lsn at[7];
    uint8_t *text;
    size_t len;

    (void)state;
    make_log(&f, WAL_FSYNC_ALWAYS, 6, at);
    flip(&f, 1, offset_of(at[2]) + 50);
    close(mkstemp(path));
    assert_int_equal(log_set_file(path, 0, 0), 0);
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    assert_int_equal(log_set_file("/dev/null", 0, 0), 0);
    text = wal_fixture_load(path, &len);
    text[len] = '\0';
    snprintf(want, sizeof want, ": offset %llu: expected",
             (unsigned long long)offset_of(at[2]));
    assert_non_null(strstr((char *)text, wal_fixture_path(&f, 1)));
    assert_non_null(strstr((char *)text, want));
    assert_non_null(strstr((char *)text, "expected a frame whose checksum"));
    nq_free(text);
    unlink(path);
    wal_fixture_fini(&f);
}

static void
damage_is_cut_when_forced_and_stays_cut(void **state)
{
    struct wal_fixture f;
    lsn at[7];

    (void)state;
    make_log(&f, WAL_FSYNC_ALWAYS, 6, at);
    flip(&f, 1, offset_of(at[3]) + 9);
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    f.start.force = true;
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 3);
    wal_abandon(f.w);
    f.start.force = false;
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 3);
    wal_fixture_frame(&f, 1, 20);
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 4);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

/* Nothing was synced: the second frame did not reach the disk, the third
 * did.  A new second frame of the same size must not revive the third. */
static void
frames_behind_a_torn_one_never_come_back(void **state)
{
    static const uint8_t zeros[48];
    struct wal_fixture f;
    lsn at[7];

    (void)state;
    make_log(&f, WAL_FSYNC_NEVER, 6, at);
    wal_fixture_poke(wal_fixture_path(&f, 1), offset_of(at[1]), zeros, 48);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 1);
    wal_fixture_frame(&f, 1, 25); /* as long as the one it follows */
    assert_true(wal_position(f.w) == at[2]);
    assert_true(wal_fixture_settle(&f));
    wal_abandon(f.w);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 2);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_short_log_is_damage_if_more_was_durable(void **state)
{
    struct wal_fixture f;
    lsn at[7];

    (void)state;
    make_log(&f, WAL_FSYNC_NEVER, 6, at);
    spoil_tail(&f, offset_of(at[5]), 0);
    f.start.durable = at[5] + 1;
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    f.start = (struct wal_start){.durable = at[6], .clean = true};
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    f.start.durable = at[5];
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 5);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

/* --- several segments ----------------------------------------------------- */

/* Three or more segments of 20 KiB; returns the effects put. */
static uint64_t
make_long_log(struct wal_fixture *f, enum wal_fsync fsync)
{
    wal_fixture_init(f, fsync);
    f->opts.segment_size = 20 << 10;
    wal_fixture_open(f, 1);
    for (unsigned i = 0; i < 9; i++) {
        wal_fixture_frame(f, 1, 4000);
        assert_true(wal_fixture_settle(f));
    }
    wal_fixture_close(f);
    assert_true(wal_fixture_size(f, 4) > 0);
    return f->put;
}

static void
one_damaged_copy_of_a_header_is_survived(void **state)
{
    struct wal_fixture f;
    uint64_t put;

    (void)state;
    put = make_long_log(&f, WAL_FSYNC_ALWAYS);
    f.start.read_only = true;
    for (unsigned byte = 0; byte < 104; byte++) {
        for (unsigned copy = 0; copy < 2; copy++) {
            flip(&f, 2, copy * HEADER_COPY + byte);
            assert_int_equal(wal_fixture_replay(&f, 1), NQ_OK);
            assert_int_equal(f.replayed, put);
            wal_fixture_close(&f);
            flip(&f, 2, copy * HEADER_COPY + byte);
        }
    }
    wal_fixture_fini(&f);
}

static void
a_missing_or_headless_middle_segment_is_damage(void **state)
{
    struct wal_fixture f;

    (void)state;
    make_long_log(&f, WAL_FSYNC_ALWAYS);
    flip(&f, 2, 20);
    flip(&f, 2, HEADER_COPY + 20);
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    assert_int_equal(unlink(wal_fixture_path(&f, 2)), 0);
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    f.start.force = true;
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 3);
    wal_fixture_close(&f);
    f.start.force = false;
    wal_fixture_open(&f, 1);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_log_that_begins_too_late_is_damage(void **state)
{
    struct wal_fixture f;

    (void)state;
    make_long_log(&f, WAL_FSYNC_ALWAYS);
    assert_int_equal(unlink(wal_fixture_path(&f, 1)), 0);
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_ECORRUPT);
    f.start.force = true;
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 0);
    wal_fixture_frame(&f, 1, 10);
    wal_fixture_close(&f);
    f.start.force = false;
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 1);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
an_unsynced_gap_before_a_later_segment_is_a_torn_tail(void **state)
{
    static const uint8_t zeros[100];
    struct wal_fixture f;

    (void)state;
    make_long_log(&f, WAL_FSYNC_NEVER);
    wal_fixture_poke(wal_fixture_path(&f, 1), WAL_SEGMENT_HEADER + 4064, zeros,
                     sizeof zeros);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 1);
    for (unsigned i = 0; i < 12; i++)
        wal_fixture_frame(&f, 1, 4000);
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 13);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

/* A whole old segment copied over a prepared one, as a recycled file is
 * between its renaming and its new header. */
static void
a_recycled_file_is_not_taken_for_what_it_was(void **state)
{
    struct wal_fixture f;
    uint64_t put;
    uint8_t *p;
    size_t len;

    (void)state;
    put = make_long_log(&f, WAL_FSYNC_ALWAYS);
    p = wal_fixture_load(wal_fixture_path(&f, 1), &len);
    wal_fixture_poke(wal_fixture_path(&f, 4), 0, p, len);
    nq_free(p);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, put);
    for (unsigned i = 0; i < 3; i++)
        wal_fixture_frame(&f, 1, 3000);
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, put + 3);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_frame_checks_only_under_its_salt(void **state)
{
    uint8_t p[64] = {0};
    struct wal_frame h = {
        .count = 1, .length = sizeof p, .lsn = 640, .durable = 600};

    (void)state;
    memcpy(p, &h, sizeof h);
    wal_frame_finish(p, sizeof p, 77);
    assert_true(wal_frame_checks(slice_of(p, sizeof p), 77));
    assert_false(wal_frame_checks(slice_of(p, sizeof p), 78));
    assert_null(wal_frame_header(slice_of(p, sizeof p), 640, 64, &h));
    assert_non_null(wal_frame_header(slice_of(p, sizeof p), 648, 64, &h));
    assert_non_null(wal_frame_header(slice_of(p, sizeof p), 640, 56, &h));
    assert_true(h.durable == 600);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on),
        cmocka_unit_test(each_flipped_byte_of_a_durable_frame_is_damage),
        cmocka_unit_test(damage_names_file_offset_and_expectation),
        cmocka_unit_test(damage_is_cut_when_forced_and_stays_cut),
        cmocka_unit_test(frames_behind_a_torn_one_never_come_back),
        cmocka_unit_test(a_short_log_is_damage_if_more_was_durable),
        cmocka_unit_test(one_damaged_copy_of_a_header_is_survived),
        cmocka_unit_test(a_missing_or_headless_middle_segment_is_damage),
        cmocka_unit_test(a_log_that_begins_too_late_is_damage),
        cmocka_unit_test(an_unsynced_gap_before_a_later_segment_is_a_torn_tail),
        cmocka_unit_test(a_recycled_file_is_not_taken_for_what_it_was),
        cmocka_unit_test(a_frame_checks_only_under_its_salt),
    };

    (void)log_set_file("/dev/null", 0, 0); /* damage is on purpose here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
