/* Databases: keys, expiry, bulk changes, gates, events, replay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "../lib/db_env.h"
#include "db/db_check.h"
#include "os/clock.h"
#include "os/fault.h"
#include "store/frames.h"

#define NOW UINT64_C(1700000000000)
#define PAGE 4096
#define POOL (4 << 20)

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    clock_freeze_wall(NOW);
    env_init(e, PAGE, POOL);
    *state = e;
    return 0;
}

static int
teardown(void **state)
{
    env_fini(*state);
    nq_free(*state);
    clock_freeze_wall(0);
    return 0;
}

static struct slice
key_no(char dst[32], const char *prefix, unsigned i)
{
    return slice_of(dst, (size_t)snprintf(dst, 32, "%s%06u", prefix, i));
}

static void
fill(struct env *e, uint32_t dbi, const char *prefix, unsigned n,
     uint64_t expire_ms)
{
    char name[32];

    for (unsigned i = 0; i < n; i++) {
        struct slice key = key_no(name, prefix, i);

        assert_int_equal(env_set(e, dbi, key, key, expire_ms), NQ_OK);
        if (i % 64 == 0)
            env_turn(e);
    }
}

static void
assert_size(struct env *e, uint32_t dbi, uint64_t want)
{
    uint64_t n = 0;

    assert_int_equal(env_run(e, db_size(e->db, dbi, &n)), NQ_OK);
    assert_int_equal(n, want);
}

static void
assert_expires(struct env *e, uint32_t dbi, uint64_t want)
{
    uint64_t n = 0;

    assert_int_equal(db_expires(e->db, dbi, &n), NQ_OK);
    assert_int_equal(n, want);
}

static void
assert_value(struct env *e, uint32_t dbi, const char *key, const char *want)
{
    struct slice val;
    nq_rc rc = env_get(e, dbi, slice_str(key), &val);

    if (want == NULL) {
        assert_int_equal(rc, NQ_NOTFOUND);
        return;
    }
    assert_int_equal(rc, NQ_OK);
    assert_int_equal(val.len, strlen(want));
    assert_memory_equal(val.p, want, val.len);
}

static nq_rc
set(struct env *e, const char *key, const char *val)
{
    return env_set(e, 0, slice_str(key), slice_str(val), 0);
}

/* --- finding, deleting --------------------------------------------------- */

static void
set_get_and_del_work(void **state)
{
    struct env *e = *state;

    assert_value(e, 0, "a", NULL);
    assert_int_equal(set(e, "a", "one"), NQ_OK);
    assert_value(e, 0, "a", "one");
    assert_value(e, 1, "a", NULL);
    assert_int_equal(env_run(e, db_del(e->db, 0, slice_lit("a"))), NQ_OK);
    assert_int_equal(env_run(e, db_del(e->db, 0, slice_lit("a"))), NQ_NOTFOUND);
    assert_size(e, 0, 0);
}

static void
a_key_too_long_is_refused_before_anything_changes(void **state)
{
    struct env *e = *state;
    uint8_t *long_key = nq_calloc(1, BTREE_MAX_KEY + 1);
    struct slice key = slice_of(long_key, BTREE_MAX_KEY + 1), val;

    assert_int_equal(env_set(e, 0, key, slice_lit("v"), 0), NQ_EKEYLEN);
    assert_int_equal(env_get(e, 0, key, &val), NQ_NOTFOUND);
    key.len--;
    assert_int_equal(env_set(e, 0, key, slice_lit("v"), 0), NQ_OK);
    assert_int_equal(env_get(e, 0, key, &val), NQ_OK);
    nq_free(long_key);
    env_check(e);
}

static void
a_stale_finger_never_finds_a_key_of_another_tree(void **state)
{
    struct env *e = *state;
    struct entry en = {0};

    assert_int_equal(set(e, "k", "zero"), NQ_OK);
    assert_int_equal(env_set(e, 1, slice_lit("k"), slice_lit("one"), 0), NQ_OK);
    assert_int_equal(env_run(e, db_find(e->db, 0, slice_lit("k"), &en)), NQ_OK);
    assert_int_equal(env_run(e, db_swap(e->db, 0, 1)), NQ_OK);
    assert_int_equal(env_run(e, db_find(e->db, 0, slice_lit("k"), &en)), NQ_OK);
    assert_memory_equal(en.rec.val.p, "one", 3);
    assert_int_equal(env_run(e, db_flush(e->db, 0)), NQ_OK);
    assert_int_equal(env_run(e, db_find(e->db, 0, slice_lit("k"), &en)),
                     NQ_NOTFOUND);
    assert_false(en.finger.found);
}

/* --- expiry -------------------------------------------------------------- */

static void
an_expired_key_is_never_visible(void **state)
{
    struct env *e = *state;

    assert_int_equal(env_set(e, 0, slice_lit("k"), slice_lit("v"), NOW + 10),
                     NQ_OK);
    assert_expires(e, 0, 1);
    clock_freeze_wall(NOW + 9);
    assert_value(e, 0, "k", "v");
    clock_freeze_wall(NOW + 10);
    assert_value(e, 0, "k", NULL);
    assert_size(e, 0, 1);
    assert_int_equal(env_run(e, db_del(e->db, 0, slice_lit("k"))), NQ_NOTFOUND);
    assert_size(e, 0, 0);
    assert_expires(e, 0, 0);
}

static void
an_expiry_in_the_past_deletes(void **state)
{
    struct env *e = *state;
    struct buf events = BUF_INIT;

    e->events = &events;
    assert_int_equal(set(e, "k", "v"), NQ_OK);
    assert_int_equal(env_expire(e, 0, slice_lit("k"), NOW), NQ_OK);
    assert_value(e, 0, "k", NULL);
    buf_put_u8(&events, 0);
    assert_string_equal((char *)events.p, "n new 0 k\n$ set 0 k\ng del 0 k\n");
    e->events = NULL;
    buf_fini(&events);
}

static void
expiry_is_set_replaced_and_removed(void **state)
{
    struct env *e = *state;

    assert_int_equal(set(e, "k", "v"), NQ_OK);
    assert_int_equal(env_expire(e, 0, slice_lit("k"), NOW + 5000), NQ_OK);
    assert_int_equal(env_record(e, 0, slice_lit("k")).expire_ms, NOW + 5000);
    assert_int_equal(env_expire(e, 0, slice_lit("k"), NOW + 9000), NQ_OK);
    assert_expires(e, 0, 1);
    assert_int_equal(env_expire(e, 0, slice_lit("k"), 0), NQ_OK);
    assert_int_equal(env_record(e, 0, slice_lit("k")).expire_ms, 0);
    assert_expires(e, 0, 0);
    assert_int_equal(db_next_due(e->db), 0);
}

static void
the_background_removes_what_is_due_and_nothing_else(void **state)
{
    struct env *e = *state;
    struct db_stats stats;

    fill(e, 0, "keep", 500, 0);
    fill(e, 0, "later", 500, NOW + 100000);
    fill(e, 0, "soon", 500, NOW + 1000);
    fill(e, 3, "other", 50, NOW + 1000);
    assert_int_equal(db_next_due(e->db), NOW + 1000);
    env_settle(e);
    assert_size(e, 0, 1500);
    clock_freeze_wall(NOW + 1000);
    env_settle(e);
    assert_size(e, 0, 1000);
    assert_size(e, 3, 0);
    assert_expires(e, 0, 500);
    assert_int_equal(db_next_due(e->db), NOW + 100000);
    db_get_stats(e->db, &stats);
    assert_int_equal(stats.expired_keys, 550);
    env_check(e);
}

/* Its answer would wait for a record of the log that never comes. */
static void
a_repaired_bound_holds_no_reader_back(void **state)
{
    struct env *e = *state;
    struct slice val;

    assert_int_equal(env_set(e, 0, slice_lit("k"), slice_lit("v"), NOW + 10),
                     NQ_OK);
    assert_int_equal(env_set(e, 0, slice_lit("l"), slice_lit("v"), 0), NQ_OK);
    assert_int_equal(env_expire(e, 0, slice_lit("k"), 0), NQ_OK);
    env_turn(e);
    clock_freeze_wall(NOW + 20);
    env_settle(e);
    assert_int_equal(env_get(e, 0, slice_lit("l"), &val), NQ_OK);
    assert_true(db_gate(e->db) < wal_position(store_wal(e->st)));
}

static void
active_expiry_can_be_turned_off(void **state)
{
    struct env *e = *state;

    fill(e, 0, "k", 10, NOW + 1);
    db_set_active_expire(e->db, false);
    clock_freeze_wall(NOW + 2);
    env_settle(e);
    assert_size(e, 0, 10);
    assert_value(e, 0, "k000001", NULL);
    env_turn(e);
    assert_size(e, 0, 9); /* what a reader met goes */
    db_set_active_expire(e->db, true);
    env_settle(e);
    assert_size(e, 0, 0);
}

/* --- bulk ---------------------------------------------------------------- */

static void
rename_moves_value_and_expiry(void **state)
{
    struct env *e = *state;
    struct db *db = e->db;

    assert_int_equal(env_set(e, 0, slice_lit("a"), slice_lit("v"), NOW + 99),
                     NQ_OK);
    assert_int_equal(set(e, "b", "old"), NQ_OK);
    assert_int_equal(
        env_run(e, db_rename(db, 0, slice_lit("a"), 0, slice_lit("b"))), NQ_OK);
    assert_value(e, 0, "a", NULL);
    assert_value(e, 0, "b", "v");
    assert_int_equal(env_record(e, 0, slice_lit("b")).expire_ms, NOW + 99);
    assert_int_equal(
        env_run(e, db_rename(db, 0, slice_lit("b"), 2, slice_lit("b"))), NQ_OK);
    assert_value(e, 2, "b", "v");
    assert_expires(e, 0, 0);
    assert_expires(e, 2, 1);
    assert_int_equal(
        env_run(e, db_rename(db, 0, slice_lit("x"), 0, slice_lit("y"))),
        NQ_NOTFOUND);
    env_check(e);
}

static void
rename_to_itself_changes_nothing(void **state)
{
    struct env *e = *state;

    assert_int_equal(set(e, "a", "v"), NQ_OK);
    assert_int_equal(
        env_run(e, db_rename(e->db, 0, slice_lit("a"), 0, slice_lit("a"))),
        NQ_OK);
    assert_value(e, 0, "a", "v");
    assert_size(e, 0, 1);
}

static void
a_blob_moves_by_reference_and_is_copied_whole(void **state)
{
    struct env *e = *state;
    size_t len = (5u << 20) / 2 + 7;
    uint8_t *big = nq_malloc(len);
    struct slice val;

    for (size_t i = 0; i < len; i++)
        big[i] = (uint8_t)(i * 7 + i / 999);
    assert_int_equal(env_set(e, 0, slice_lit("a"), slice_of(big, len), 0),
                     NQ_OK);
    assert_int_equal(
        env_run(e, db_rename(e->db, 0, slice_lit("a"), 1, slice_lit("b"))),
        NQ_OK);
    env_check(e);
    assert_int_equal(
        env_run(e, db_copy(e->db, 1, slice_lit("b"), 0, slice_lit("c"))),
        NQ_OK);
    env_check(e);
    assert_int_equal(env_run(e, db_del(e->db, 1, slice_lit("b"))), NQ_OK);
    assert_int_equal(env_get(e, 0, slice_lit("c"), &val), NQ_OK);
    assert_int_equal(val.len, len);
    assert_memory_equal(val.p, big, len);
    nq_free(big);
    env_check(e);
}

static void
flush_is_at_once_and_pages_follow(void **state)
{
    struct env *e = *state;
    struct db_stats stats;

    fill(e, 0, "k", 3000, NOW + 50000);
    fill(e, 1, "k", 300, 0);
    assert_int_equal(env_run(e, db_flush(e->db, 0)), NQ_OK);
    assert_size(e, 0, 0);
    assert_expires(e, 0, 0);
    assert_value(e, 0, "k000001", NULL);
    db_get_stats(e->db, &stats);
    assert_int_equal(stats.lazyfree_pending, 1);
    env_check(e);
    fill(e, 0, "new", 20, 0);
    env_settle(e);
    assert_size(e, 0, 20);
    assert_size(e, 1, 300);
    env_check(e);
    assert_int_equal(env_run(e, db_flush_all(e->db)), NQ_OK);
    assert_size(e, 1, 0);
    env_settle(e);
    env_check(e);
}

static void
pages_of_a_flush_are_freed_after_a_restart(void **state)
{
    struct env *e = *state;
    struct db_stats stats;

    fill(e, 0, "k", 3000, 0);
    assert_int_equal(env_run(e, db_flush(e->db, 0)), NQ_OK);
    env_checkpoint(e);
    env_crash(e);
    env_open(e);
    db_get_stats(e->db, &stats);
    assert_int_equal(stats.lazyfree_pending, 1);
    env_check(e);
    env_settle(e);
    env_check(e);
    assert_size(e, 0, 0);
}

static void
swap_exchanges_everything(void **state)
{
    struct env *e = *state;

    fill(e, 0, "a", 100, NOW + 5000);
    fill(e, 2, "b", 50, 0);
    assert_int_equal(env_run(e, db_swap(e->db, 0, 2)), NQ_OK);
    assert_size(e, 0, 50);
    assert_size(e, 2, 100);
    assert_expires(e, 0, 0);
    assert_expires(e, 2, 100);
    assert_value(e, 0, "b000001", "b000001");
    env_crash(e);
    env_open(e);
    assert_value(e, 2, "a000001", "a000001");
    assert_expires(e, 2, 100);
    env_check(e);
}

static void
del_range_takes_just_the_range(void **state)
{
    struct env *e = *state;
    struct slice hi = slice_lit("k001500");
    uint64_t removed = 0;

    fill(e, 0, "k", 2000, NOW + 5000);
    assert_int_equal(
        env_run(e, db_del_range(e->db, 0, slice_lit("k000010"), &hi, &removed)),
        NQ_OK);
    assert_int_equal(removed, 1490);
    assert_size(e, 0, 510);
    assert_expires(e, 0, 510);
    assert_value(e, 0, "k000009", "k000009");
    assert_value(e, 0, "k000010", NULL);
    assert_value(e, 0, "k001499", NULL);
    assert_value(e, 0, "k001500", "k001500");
    env_check(e);
    env_crash(e);
    env_open(e);
    assert_size(e, 0, 510);
    assert_int_equal(
        env_run(e, db_del_range(e->db, 0, slice_lit("k"), NULL, &removed)),
        NQ_OK);
    assert_int_equal(removed, 510);
    assert_size(e, 0, 0);
    env_check(e);
}

static void
a_random_key_is_never_an_expired_one(void **state)
{
    struct env *e = *state;
    struct slice key;
    unsigned seen[4] = {0};

    assert_int_equal(env_run(e, db_random_key(e->db, 0, &key)), NQ_NOTFOUND);
    fill(e, 0, "a", 4, 0);
    fill(e, 0, "gone", 400, NOW + 5);
    db_set_active_expire(e->db, false);
    clock_freeze_wall(NOW + 6);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(env_run(e, db_random_key(e->db, 0, &key)), NQ_OK);
        assert_int_equal(key.len, 7);
        seen[key.p[6] - '0']++;
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i] > 0);
}

/* --- gates, events ------------------------------------------------------- */

static void
a_reply_waits_for_what_it_read(void **state)
{
    struct env *e = *state;
    lsn at;

    at = wal_position(store_wal(e->st));
    assert_int_equal(set(e, "k", "v"), NQ_OK);
    assert_int_equal(db_gate(e->db), at);
    store_turn(e->st);
    assert_true(wal_position(store_wal(e->st)) > at);
    assert_value(e, 0, "k", "v");
    assert_int_equal(db_gate(e->db), at);
    at = wal_position(store_wal(e->st));
    assert_int_equal(env_run(e, db_del(e->db, 0, slice_lit("k"))), NQ_OK);
    store_turn(e->st);
    assert_value(e, 0, "k", NULL);
    assert_int_equal(db_gate(e->db), at);
    at = wal_position(store_wal(e->st));
    assert_int_equal(env_run(e, db_swap(e->db, 0, 1)), NQ_OK);
    assert_value(e, 1, "nothing", NULL);
    assert_int_equal(db_gate(e->db), at);
}

static void
reads_log_nothing(void **state)
{
    struct env *e = *state;
    lsn at;

    fill(e, 0, "k", 100, 0);
    env_turn(e);
    at = wal_position(store_wal(e->st));
    assert_value(e, 0, "k000005", "k000005");
    assert_size(e, 0, 100);
    env_turn(e);
    assert_int_equal(wal_position(store_wal(e->st)), at);
}

static void
events_are_those_of_redis(void **state)
{
    struct env *e = *state;
    struct buf events = BUF_INIT;
    struct slice a = slice_lit("a"), b = slice_lit("b");

    e->events = &events;
    assert_int_equal(set(e, "a", "1"), NQ_OK);
    assert_int_equal(env_set_int(e, 0, a, 2), NQ_OK);
    assert_int_equal(env_expire(e, 0, a, NOW + 5), NQ_OK);
    assert_int_equal(env_expire(e, 0, a, 0), NQ_OK);
    assert_int_equal(env_run(e, db_rename(e->db, 0, a, 0, b)), NQ_OK);
    assert_int_equal(env_run(e, db_copy(e->db, 0, b, 0, a)), NQ_OK);
    assert_int_equal(env_run(e, db_rename(e->db, 0, b, 1, b)), NQ_OK);
    assert_int_equal(env_expire(e, 0, a, NOW + 5), NQ_OK);
    clock_freeze_wall(NOW + 5);
    env_settle(e);
    buf_put_u8(&events, 0);
    assert_string_equal(
        (char *)events.p,
        "n new 0 a\n$ set 0 a\n$ incrby 0 a\ng expire 0 a\n"
        "g persist 0 a\nn new 0 b\ng rename_from 0 a\ng rename_to 0 b\n"
        "n new 0 a\ng copy_to 0 a\nn new 1 b\ng move_from 0 b\ng move_to 1 b\n"
        "g expire 0 a\nx expired 0 a\n");
    e->events = NULL;
    buf_fini(&events);
    assert_true(e->touches >= 11);
}

/* --- the check ----------------------------------------------------------- */

static void
take_finding(void *arg, const struct db_finding *f)
{
    buf_put_str(arg, f->text);
    buf_put_str(arg, "\n");
}

static nq_rc
alias_once(struct env *e, struct slice from, struct slice to)
{
    struct entry src = {0}, dst = {0};
    uint8_t val[64];
    struct record rec;
    nq_rc rc = db_find(e->db, 0, from, &src);

    if (rc != NQ_OK)
        return rc;
    rec = src.rec;
    memcpy(val, rec.val.p, rec.val.len);
    rec.val.p = val;
    return btree_put(db_tree(e->db, 0), to, &rec, &dst.finger);
}

static void
the_check_finds_pages_owned_twice_or_by_none(void **state)
{
    struct env *e = *state;
    struct buf found = BUF_INIT;
    struct db_check_opts opts = {.report = take_finding, .arg = &found};
    struct db_check_stats stats;
    uint8_t *page, *big = nq_calloc(1, 50000);
    pgno id;

    fill(e, 0, "k", 2000, 0);
    assert_int_equal(env_set(e, 0, slice_lit("big"), slice_of(big, 50000), 0),
                     NQ_OK);
    env_check(e);
    assert_int_equal(
        env_run(e, alias_once(e, slice_lit("big"), slice_lit("alias"))), NQ_OK);
    id = frames_new(store_frames(e->st), PAGE_LEAF, &page);
    assert_int_equal(db_check(e->db, &opts, &stats), NQ_ECORRUPT);
    assert_int_equal(stats.findings, 2);
    buf_put_u8(&found, 0);
    assert_non_null(strstr((char *)found.p, "is owned twice"));
    assert_non_null(strstr((char *)found.p, "belongs to nobody"));
    frames_free(store_frames(e->st), id);
    assert_int_equal(btree_del(db_tree(e->db, 0), slice_lit("alias"), NULL),
                     NQ_OK);
    env_check(e);
    buf_fini(&found);
    nq_free(big);
}

/* --- a log that fails ---------------------------------------------------- */

#ifdef NQ_FAULTS
static void
a_dead_log_refuses_writes_and_keeps_reads(void **state)
{
    struct env *e = *state;
    uint64_t removed;

    assert_int_equal(set(e, "a", "before"), NQ_OK);
    assert_int_equal(env_set(e, 0, slice_lit("t"), slice_lit("v"), NOW + 5),
                     NQ_OK);
    store_turn(e->st);
    while (wal_settled(store_wal(e->st)) < wal_position(store_wal(e->st)))
        usleep(50);
    fault_after(FAULT_WRITE, 0, FAULT_EIO);
    assert_int_equal(set(e, "b", "lost"), NQ_OK);
    store_turn(e->st);
    while (wal_writable(store_wal(e->st)) == NQ_OK)
        usleep(100);
    fault_clear();
    assert_int_equal(set(e, "a", "after"), NQ_EREADONLY);
    assert_int_equal(env_run(e, db_del(e->db, 0, slice_lit("a"))),
                     NQ_EREADONLY);
    assert_int_equal(env_expire(e, 0, slice_lit("a"), NOW + 9), NQ_EREADONLY);
    assert_int_equal(env_run(e, db_flush(e->db, 0)), NQ_EREADONLY);
    assert_int_equal(env_run(e, db_swap(e->db, 0, 1)), NQ_EREADONLY);
    assert_int_equal(
        env_run(e, db_del_range(e->db, 0, slice_lit(""), NULL, &removed)),
        NQ_EREADONLY);
    assert_value(e, 0, "a", "before");
    clock_freeze_wall(NOW + 6);
    assert_value(e, 0, "t", NULL); /* not deleted, never visible */
    (void)db_background(e->db, 500);
    assert_int_equal(db_next_due(e->db), 0);
    assert_size(e, 0, 3);
    env_crash_dead(e);
    env_open(e);
    assert_value(e, 0, "a", "before");
    assert_value(e, 0, "b", NULL);
}
#endif

/* --- restart ------------------------------------------------------------- */

static void
replay_brings_back_every_effect(void **state)
{
    struct env *e = *state;

    fill(e, 0, "k", 500, 0);
    env_checkpoint(e);
    fill(e, 0, "l", 500, NOW + 10);
    assert_int_equal(env_run(e, db_del(e->db, 0, slice_lit("k000003"))), NQ_OK);
    assert_int_equal(env_set_int(e, 0, slice_lit("n"), -5), NQ_OK);
    assert_int_equal(env_write(e, 0, slice_lit("k000004"), 9, slice_lit("!")),
                     NQ_OK);
    clock_freeze_wall(NOW + 11); /* expired, but not yet deleted */
    env_crash(e);
    env_open(e);
    assert_size(e, 0, 1000);
    assert_value(e, 0, "l000001", NULL);
    assert_value(e, 0, "k000003", NULL);
    assert_value(e, 0, "n", "-5");
    assert_int_equal(env_record(e, 0, slice_lit("k000004")).val.len, 10);
    env_settle(e);
    assert_size(e, 0, 500);
    env_check(e);
}

static void
fewer_databases_than_before_hide_nothing(void **state)
{
    struct env *e = *state;

    assert_int_equal(env_set(e, 3, slice_lit("k"), slice_lit("v"), 0), NQ_OK);
    env_close(e, true);
    e->databases = 1;
    env_open(e);
    assert_int_equal(db_count(e->db), 4);
    assert_value(e, 3, "k", "v");
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(set_get_and_del_work),
        T(a_key_too_long_is_refused_before_anything_changes),
        T(a_stale_finger_never_finds_a_key_of_another_tree),
        T(an_expired_key_is_never_visible),
        T(an_expiry_in_the_past_deletes),
        T(expiry_is_set_replaced_and_removed),
        T(the_background_removes_what_is_due_and_nothing_else),
        T(a_repaired_bound_holds_no_reader_back),
        T(active_expiry_can_be_turned_off),
        T(rename_moves_value_and_expiry),
        T(rename_to_itself_changes_nothing),
        T(a_blob_moves_by_reference_and_is_copied_whole),
        T(flush_is_at_once_and_pages_follow),
        T(pages_of_a_flush_are_freed_after_a_restart),
        T(swap_exchanges_everything),
        T(del_range_takes_just_the_range),
        T(a_random_key_is_never_an_expired_one),
        T(a_reply_waits_for_what_it_read),
        T(reads_log_nothing),
        T(events_are_those_of_redis),
        T(the_check_finds_pages_owned_twice_or_by_none),
#ifdef NQ_FAULTS
        T(a_dead_log_refuses_writes_and_keeps_reads),
#endif
        T(replay_brings_back_every_effect),
        T(fewer_databases_than_before_hide_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
