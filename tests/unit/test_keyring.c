/* The ring of data keys: who may open it, and what survives which crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/dir.h"
#include "os/fault.h"
#include "os/file.h"
#include "store/keyring.h"

static const uint8_t master[SEAL_KEY] = "the master key of these tests..";
static const uint8_t other[SEAL_KEY] = "another one, which opens nothing";
static const uint8_t uuid[16] = "0123456789abcde";

struct fixture {
    char dir[64];
    struct keyring_opts opts;
    struct keyring *r;
};

static void
set_up(struct fixture *x)
{
    log_set_level(LOG_ERROR + 1);
    *x = (struct fixture){.opts = {.uuid = uuid, .master = master}};
    snprintf(x->dir, sizeof x->dir, "/tmp/nq-keys-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    x->opts.dir = x->dir;
}

static char *
path_of(const struct fixture *x, const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", x->dir, name);
    return path;
}

static void
tear_down(struct fixture *x)
{
    keyring_close(x->r);
    (void)unlink(path_of(x, KEYRING_FILE));
    (void)unlink(path_of(x, KEYRING_FILE ".new"));
    assert_int_equal(rmdir(x->dir), 0);
}

static nq_rc
reopen(struct fixture *x)
{
    keyring_close(x->r);
    x->r = NULL;
    return keyring_open(&x->opts, &x->r);
}

/* --- the life of keys ----------------------------------------------------- */

static void
each_opening_for_writing_begins_a_key(void **state)
{
    struct fixture x;
    struct keyring_use use;
    struct keyring_stats st;

    (void)state;
    set_up(&x);
    for (uint32_t n = 1; n <= 5; n++) {
        assert_int_equal(reopen(&x), NQ_OK);
        assert_int_equal(keyring_current(x.r), n);
        keyring_next(x.r, KEYRING_LOG, &use);
        assert_int_equal(use.number, n);
        for (uint32_t k = 1; k <= n; k++)
            assert_non_null(keyring_find(x.r, k));
        assert_null(keyring_find(x.r, n + 1));
        assert_null(keyring_find(x.r, 0));
    }
    x.opts.read_only = true;
    assert_int_equal(reopen(&x), NQ_OK);
    assert_int_equal(keyring_current(x.r), 0);
    keyring_get_stats(x.r, &st);
    assert_true(st.keys == 5 && st.oldest == 1 && st.current == 0);
    tear_down(&x);
}

static void
nonces_count_by_domain(void **state)
{
    struct fixture x;
    struct keyring_use a, b, c;

    (void)state;
    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    keyring_next(x.r, KEYRING_EXTENT, &a);
    keyring_next(x.r, KEYRING_EXTENT, &b);
    keyring_next(x.r, KEYRING_LOG, &c);
    assert_memory_not_equal(a.nonce, b.nonce, SEAL_NONCE);
    assert_memory_not_equal(a.nonce, c.nonce, SEAL_NONCE);
    assert_ptr_equal(a.key, c.key);
    tear_down(&x);
}

static void
dropped_keys_are_gone_at_the_next_opening(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(reopen(&x), NQ_OK);
    assert_false(keyring_is_complete(x.r));
    assert_int_equal(keyring_drop_below(x.r, 3), NQ_OK);
    assert_true(keyring_is_complete(x.r));
    assert_non_null(keyring_find(x.r, 1)); /* a read may still want it */
    x.opts.least = 3;
    assert_int_equal(reopen(&x), NQ_OK);
    assert_null(keyring_find(x.r, 2));
    assert_non_null(keyring_find(x.r, 3));
    assert_int_equal(keyring_current(x.r), 4);
    assert_true(keyring_is_complete(x.r));
    tear_down(&x);
}

static void
blocks_say_which_key_they_want(void **state)
{
    uint8_t b[100 + KEYRING_BLOCK_MORE];
    struct slice out;
    struct fixture x;

    (void)state;
    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    memset(b, 'x', sizeof b);
    assert_int_equal(keyring_seal_block(x.r, KEYRING_CATALOG, b, 100), NQ_OK);
    assert_true(keyring_is_block(slice_of(b, sizeof b)));
    assert_int_equal(keyring_open_block(NULL, b, sizeof b, &out), NQ_EKEY);
    assert_int_equal(reopen(&x), NQ_OK);
    assert_int_equal(keyring_open_block(x.r, b, sizeof b, &out), NQ_OK);
    assert_int_equal(out.len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(out.p[i], 'x');
    b[50] ^= 1;
    assert_int_equal(keyring_open_block(x.r, b, sizeof b, &out), NQ_ECORRUPT);
    tear_down(&x);
}

/* --- what is refused ------------------------------------------------------ */

static void
wrong_master_key_is_refused(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    x.opts.master = other;
    assert_int_equal(reopen(&x), NQ_EKEY);
    x.opts.master = master;
    assert_int_equal(reopen(&x), NQ_OK);
    tear_down(&x);
}

static void
missing_foreign_and_older_files_are_refused(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    x.opts.least = 1;
    assert_int_equal(reopen(&x), NQ_EKEY); /* missing */
    x.opts.least = 0;
    assert_int_equal(reopen(&x), NQ_OK);
    x.opts.least = 2;
    assert_int_equal(reopen(&x), NQ_EKEY); /* older than the database */
    x.opts.least = 1;
    x.opts.uuid = (const uint8_t *)"fedcba987654321";
    assert_int_equal(reopen(&x), NQ_EKEY);
    x.opts.uuid = NULL;
    x.opts.read_only = true;
    assert_int_equal(reopen(&x), NQ_OK);
    tear_down(&x);
}

static void
each_flipped_bit_and_each_lost_byte_is_refused(void **state)
{
    struct fixture x;
    struct file *f;
    uint64_t size;
    uint8_t c;

    (void)state;
    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    assert_int_equal(reopen(&x), NQ_OK);
    x.opts.read_only = true;
    assert_int_equal(file_open(path_of(&x, KEYRING_FILE), FILE_WRITE, &f),
                     NQ_OK);
    assert_int_equal(file_size(f, &size), NQ_OK);
    for (uint64_t bit = 0; bit < 8 * size; bit++) {
        assert_int_equal(file_read(f, &c, 1, bit / 8), NQ_OK);
        c ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(file_write(f, &c, 1, bit / 8), NQ_OK);
        assert_int_equal(reopen(&x), NQ_EKEY);
        c ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(file_write(f, &c, 1, bit / 8), NQ_OK);
    }
    assert_int_equal(reopen(&x), NQ_OK);
    while (size-- > 0) {
        assert_int_equal(file_truncate(f, size), NQ_OK);
        assert_int_equal(reopen(&x), NQ_EKEY);
    }
    file_close(f);
    tear_down(&x);
}

/* --- changing the master key, and crashes --------------------------------- */

static void
another_master_key_opens_all_after_rewrapping(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    assert_int_equal(keyring_rewrap(x.r, other), NQ_OK);
    assert_int_equal(reopen(&x), NQ_EKEY);
    x.opts.master = other;
    assert_int_equal(reopen(&x), NQ_OK);
    assert_non_null(keyring_find(x.r, 1));
    tear_down(&x);
}

#ifdef NQ_FAULTS
/* A change of the ring dies at the n-th operation of some kind; whatever the
 * power cut leaves opens with one of the two master keys, has the old keys,
 * and gives out no number that it gave out before. */
static bool
dies(enum fault_point point, uint64_t skip, bool rewraps, uint64_t seed)
{
    struct fixture x;
    bool is_done;

    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    fault_record(true);
    fault_after(point, skip, FAULT_DIE);
    if (rewraps)
        is_done = keyring_rewrap(x.r, other) == NQ_OK;
    else
        is_done = keyring_add(x.r) == NQ_OK;
    assert_int_equal(keyring_current(x.r), is_done && !rewraps ? 2 : 1);
    keyring_close(x.r);
    x.r = NULL;
    fault_clear();
    fault_power_cut(seed);
    fault_record(false);
    x.opts.least = 1;
    x.opts.master = is_done && rewraps ? other : master;
    if (reopen(&x) != NQ_OK) {
        assert_true(rewraps && !is_done);
        x.opts.master = other;
        assert_int_equal(reopen(&x), NQ_OK);
    }
    assert_non_null(keyring_find(x.r, 1));
    assert_true(keyring_current(x.r) >= (is_done && !rewraps ? 3 : 2));
    tear_down(&x);
    return !is_done;
}

static void
changes_that_die_leave_a_ring_that_opens(void **state)
{
    static const enum fault_point points[] = {FAULT_WRITE, FAULT_SYNC,
                                              FAULT_DIR};

    (void)state;
    for (size_t p = 0; p < nq_countof(points); p++) {
        for (unsigned rewraps = 0; rewraps <= 1; rewraps++) {
            uint64_t skip = 0, seed = 0;

            while (dies(points[p], skip, rewraps, ++seed))
                skip += seed % 4 == 0; /* four cuts for each moment */
            assert_true(skip > 0);
        }
    }
}

static void
a_key_that_did_not_become_durable_is_never_sealed_with(void **state)
{
    struct fixture x;
    struct keyring_use use;

    (void)state;
    set_up(&x);
    assert_int_equal(reopen(&x), NQ_OK);
    fault_after(FAULT_SYNC, 0, FAULT_EIO);
    assert_int_equal(keyring_add(x.r), NQ_EIO);
    fault_clear();
    keyring_next(x.r, KEYRING_EXTENT, &use);
    assert_int_equal(use.number, 1);
    assert_int_equal(keyring_add(x.r), NQ_OK);
    keyring_next(x.r, KEYRING_EXTENT, &use);
    assert_int_equal(use.number, 3);
    tear_down(&x);
}
#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_opening_for_writing_begins_a_key),
        cmocka_unit_test(nonces_count_by_domain),
        cmocka_unit_test(dropped_keys_are_gone_at_the_next_opening),
        cmocka_unit_test(blocks_say_which_key_they_want),
        cmocka_unit_test(wrong_master_key_is_refused),
        cmocka_unit_test(missing_foreign_and_older_files_are_refused),
        cmocka_unit_test(each_flipped_bit_and_each_lost_byte_is_refused),
        cmocka_unit_test(another_master_key_opens_all_after_rewrapping),
#ifdef NQ_FAULTS
        cmocka_unit_test(changes_that_die_leave_a_ring_that_opens),
        cmocka_unit_test(
            a_key_that_did_not_become_durable_is_never_sealed_with),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
