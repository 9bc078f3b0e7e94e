/* Encrypted logs: what is written shows nothing, what was changed is found,
 * what was in the clear is not kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/wal_fixture.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/keyring.h"
#include "store/wal_int.h"

static const uint8_t master[] = "32 bytes that nobody should know";
static const char canary[] = "canary in a coal mine";

struct fixture {
    struct wal_fixture f;
    char dir[64];
    struct keyring *keys;
};

static void
open_ring(struct fixture *x, bool is_empty)
{
    struct keyring_opts o = {
        .dir = x->dir, .uuid = x->f.opts.uuid, .master = master};

    o.is_empty = is_empty;
    keyring_close(x->keys);
    assert_int_equal(keyring_open(&o, &x->keys), NQ_OK);
    x->f.opts.keys = x->keys;
}

static void
set_up(struct fixture *x, bool is_sealed)
{
    log_set_level(LOG_ERROR + 1);
    memset(x, 0, sizeof *x);
    wal_fixture_init(&x->f, WAL_FSYNC_ALWAYS);
    snprintf(x->dir, sizeof x->dir, "/tmp/nq-keys-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    if (is_sealed)
        open_ring(x, true);
}

static void
tear_down(struct fixture *x)
{
    char path[100];

    wal_fixture_fini(&x->f);
    keyring_close(x->keys);
    snprintf(path, sizeof path, "%s/" KEYRING_FILE, x->dir);
    (void)unlink(path);
    assert_int_equal(rmdir(x->dir), 0);
}

/* One frame of two effects with the canary in key and arguments. */
static void
put_canary(struct fixture *x)
{
    struct slice text = slice_of(canary, sizeof canary - 1);

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(wal_append(x->f.w, 1, 0, text, &text, 1), NQ_OK);
    wal_commit(x->f.w);
    assert_true(wal_fixture_durable(&x->f));
}

/* Opens and reads to the end. */
static nq_rc
replay(struct fixture *x, unsigned *records)
{
    struct wal_record rec;
    struct wal *w;
    nq_rc rc = wal_open(&x->f.opts, &x->f.start, &w);

    *records = 0;
    if (rc != NQ_OK)
        return rc;
    while ((rc = wal_replay_next(w, &rec)) == NQ_OK) {
        assert_true(slice_eq(rec.key, slice_of(canary, sizeof canary - 1)));
        ++*records;
    }
    wal_abandon(w);
    return rc;
}

/* A log of one frame with the canary, closed. */
static lsn
make_log(struct fixture *x)
{
    lsn end;

    wal_fixture_open(&x->f, 1);
    put_canary(x);
    assert_int_equal(wal_close(x->f.w, &end), NQ_OK);
    x->f.w = NULL;
    x->f.start.read_only = true;
    return end;
}

static bool
shows_canary(const struct fixture *x, unsigned segment)
{
    size_t len;
    uint8_t *p = wal_fixture_load(wal_fixture_path(&x->f, segment), &len);
    bool found = memmem(p, len, canary, sizeof canary - 1) != NULL;

    nq_free(p);
    return found;
}

/* --- what is written ------------------------------------------------------ */

static void
sealed_frames_show_nothing_and_come_back(void **state)
{
    struct fixture x;
    unsigned n;

    (void)state;
    set_up(&x, true);
    make_log(&x);
    assert_false(shows_canary(&x, 1));
    assert_int_equal(replay(&x, &n), NQ_NOTFOUND);
    assert_int_equal(n, 2);
    open_ring(&x, true); /* the next life: another key, this one is kept */
    assert_int_equal(replay(&x, &n), NQ_NOTFOUND);
    assert_int_equal(n, 2);
    x.f.opts.keys = NULL;
    assert_int_equal(replay(&x, &n), NQ_EKEY);
    tear_down(&x);
}

static void
frames_of_any_length_come_back(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x, true);
    wal_fixture_open(&x.f, 1);
    for (unsigned i = 0; i < 40; i++)
        (void)wal_fixture_frame(&x.f, 1 + i % 3, i * i * 4);
    assert_int_equal(wal_fixture_put(&x.f, 200000), NQ_OK);
    wal_commit(x.f.w);
    assert_true(wal_fixture_durable(&x.f));
    wal_fixture_close(&x.f);
    wal_fixture_open(&x.f, 1);
    assert_int_equal(x.f.replayed, x.f.put);
    wal_fixture_close(&x.f);
    tear_down(&x);
}

/* --- what was changed ----------------------------------------------------- */

static void
each_flipped_bit_of_what_was_durable_is_damage(void **state)
{
    struct fixture x;
    uint64_t len;
    uint8_t *p;
    unsigned n;

    (void)state;
    set_up(&x, true);
    x.f.start.durable = make_log(&x);
    len = x.f.start.durable - WAL_FIRST_LSN;
    x.f.start.clean = true;
    p = wal_fixture_load(wal_fixture_path(&x.f, 1), &(size_t){0});
    for (uint64_t bit = 0; bit < 8 * len; bit++) {
        uint64_t at = WAL_SEGMENT_HEADER + bit / 8;
        uint8_t c = (uint8_t)(p[at] ^ 1u << bit % 8);

        wal_fixture_poke(wal_fixture_path(&x.f, 1), at, &c, 1);
        assert_int_equal(replay(&x, &n), NQ_ECORRUPT);
        assert_int_equal(n, 0);
        wal_fixture_poke(wal_fixture_path(&x.f, 1), at, &p[at], 1);
    }
    assert_int_equal(replay(&x, &n), NQ_NOTFOUND);
    nq_free(p);
    tear_down(&x);
}

/* Whoever changes a frame can mend its checksum, but not its seal: that is no
 * torn tail, even where nothing was durable. */
static void
a_changed_frame_with_a_good_checksum_is_refused(void **state)
{
    struct fixture x;
    struct wal_frame h;
    uint64_t length;
    uint8_t *p, *frame;
    unsigned n;

    (void)state;
    set_up(&x, true);
    make_log(&x);
    p = wal_fixture_load(wal_fixture_path(&x.f, 1), &(size_t){0});
    frame = p + WAL_SEGMENT_HEADER;
    memcpy(&h, frame, sizeof h);
    length = wal_frame_length(&h);
    for (uint64_t at = 4; at < length; at += 3) {
        uint64_t salt;

        if (at >= 8 && at < 32)
            continue; /* lengths and positions do not even look right */
        memcpy(&salt, p + 56, sizeof salt);
        frame[at] ^= 0x40;
        wal_frame_finish(frame, length, salt);
        wal_fixture_poke(wal_fixture_path(&x.f, 1), WAL_SEGMENT_HEADER, frame,
                         length);
        assert_int_equal(replay(&x, &n),
                         at >= 40 && at < 44 ? NQ_EKEY : NQ_ECORRUPT);
        frame[at] ^= 0x40;
    }
    nq_free(p);
    tear_down(&x);
}

static void
a_frame_opens_under_its_own_salt_only(void **state)
{
    uint8_t p[WAL_SEALED_HEADER + 8] = {0};
    struct wal_frame h = {
        .count = 1, .length = sizeof p | WAL_SEALED, .lsn = 640};
    struct buf plain = BUF_INIT;
    struct slice records;
    struct fixture x;

    (void)state;
    set_up(&x, true);
    memcpy(p, &h, sizeof h);
    memset(p + WAL_SEALED_HEADER, 'x', 8);
    assert_int_equal(wal_seal(x.keys, p, sizeof p, 77), NQ_OK);
    assert_int_equal(
        wal_unseal(x.keys, slice_of(p, sizeof p), 78, &plain, &records),
        NQ_ECORRUPT);
    assert_int_equal(
        wal_unseal(x.keys, slice_of(p, sizeof p), 77, &plain, &records), NQ_OK);
    assert_true(slice_eq(records, slice_lit("xxxxxxxx")));
    buf_fini(&plain);
    tear_down(&x);
}

static void
a_frame_in_the_clear_is_refused_where_all_is_sealed(void **state)
{
    struct fixture x;
    unsigned n;

    (void)state;
    set_up(&x, false);
    make_log(&x);
    open_ring(&x, false);
    assert_int_equal(replay(&x, &n), NQ_NOTFOUND);
    assert_int_equal(n, 2);
    assert_int_equal(keyring_drop_below(x.keys, 1), NQ_OK);
    assert_int_equal(replay(&x, &n), NQ_ECORRUPT);
    assert_int_equal(n, 0);
    tear_down(&x);
}

/* --- what is kept --------------------------------------------------------- */

static void
segments_in_the_clear_are_not_recycled(void **state)
{
    struct fixture x;
    lsn end;

    (void)state;
    set_up(&x, false);
    make_log(&x);
    x.f.start.read_only = false;
    assert_true(shows_canary(&x, 1));
    /* A spare that was recycled has old frames, too. */
    assert_true(wal_fixture_size(&x.f, 2) > 0);
    wal_fixture_poke(wal_fixture_path(&x.f, 2), 9000, canary, sizeof canary);
    open_ring(&x, false);
    assert_int_equal(wal_open(&x.f.opts, &x.f.start, &x.f.w), NQ_OK);
    while (wal_replay_next(x.f.w, &(struct wal_record){0}) == NQ_OK)
        ;
    assert_int_equal(wal_start(x.f.w), NQ_OK);
    put_canary(&x);
    wal_release(x.f.w, wal_position(x.f.w), 2);
    put_canary(&x);
    assert_int_equal(wal_close(x.f.w, &end), NQ_OK);
    x.f.w = NULL;
    assert_int_equal(wal_fixture_size(&x.f, 1), 0);
    for (unsigned n = 2; n < 6; n++) {
        if (wal_fixture_size(&x.f, n) > 0)
            assert_false(shows_canary(&x, n));
    }
    tear_down(&x);
}

static void
a_dump_without_keys_shows_headers_only(void **state)
{
    struct fixture x;
    char *text = NULL;
    size_t size = 0;

    (void)state;
    set_up(&x, true);
    make_log(&x);
    for (unsigned with = 0; with <= 1; with++) {
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(wal_dump(x.f.dir, 0, with ? x.keys : NULL, NULL, out),
                         NQ_OK);
        fclose(out);
        assert_non_null(strstr(text, "records 2"));
        assert_non_null(strstr(text, "key 1"));
        assert_int_equal(strstr(text, canary) != NULL, with);
        free(text);
    }
    tear_down(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_frames_show_nothing_and_come_back),
        cmocka_unit_test(frames_of_any_length_come_back),
        cmocka_unit_test(each_flipped_bit_of_what_was_durable_is_damage),
        cmocka_unit_test(a_changed_frame_with_a_good_checksum_is_refused),
        cmocka_unit_test(a_frame_opens_under_its_own_salt_only),
        cmocka_unit_test(a_frame_in_the_clear_is_refused_where_all_is_sealed),
        cmocka_unit_test(segments_in_the_clear_are_not_recycled),
        cmocka_unit_test(a_dump_without_keys_shows_headers_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
