/* Holds: who waits for whom, and what goes on meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/big.h"
#include "../lib/engine_env.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"

#define N 400

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    env_init(e, 4096, 32 << 20);
    assert_int_equal(big_set(e, 0, slice_lit("h"), 0, N, 30), NQ_OK);
    assert_true(big_root(e, 0, slice_lit("h")) != 0);
    *state = e;
    return 0;
}

static int
teardown(void **state)
{
    env_fini(*state);
    nq_free(*state);
    return 0;
}

/* --- the table ------------------------------------------------------------ */

static void
a_writer_is_kept_out_until_the_last_hold_ends(void **state)
{
    struct env *e = *state;
    pgno root = big_root(e, 0, slice_lit("h"));
    struct hold a = {.root = 0}, b = {.root = 0};

    assert_int_equal(hold_take(&a, e->db, root), NQ_OK);
    assert_int_equal(hold_take(&b, e->db, root), NQ_OK);
    assert_true(hold_is_held(e->db, root));
    assert_false(hold_is_wanted(&a));
    assert_int_equal(big_set(e, 0, slice_lit("h"), 5, 6, 31), NQ_EHELD);
    assert_true(hold_is_wanted(&a) && hold_is_wanted(&b));
    hold_end(&a);
    assert_int_equal(e->releases, 0);
    assert_int_equal(big_set(e, 0, slice_lit("h"), 5, 6, 31), NQ_EHELD);
    hold_end(&b);
    hold_end(&b);
    assert_int_equal(e->releases, 1);
    assert_false(hold_is_any(e->db));
    assert_int_equal(big_set(e, 0, slice_lit("h"), N, N + 1, 30), NQ_OK);
    big_check(e, 0, slice_lit("h"), N + 1, 30);
}

static void
readers_do_not_starve_a_writer(void **state)
{
    struct env *e = *state;
    pgno root = big_root(e, 0, slice_lit("h"));
    struct hold a = {.root = 0}, b = {.root = 0};

    assert_int_equal(hold_take(&a, e->db, root), NQ_OK);
    assert_int_equal(hold_check_write(e->db, root), NQ_EHELD);
    assert_int_equal(hold_take(&b, e->db, root), NQ_EHELD);
    assert_int_equal(hold_take(&b, e->db, root + 1), NQ_OK);
    hold_end(&b);
    hold_end(&a);
    assert_int_equal(hold_take(&b, e->db, root), NQ_OK);
    hold_end(&b);
    assert_int_equal(e->releases, 1);
}

static void
keys_are_asked_for_by_name(void **state)
{
    struct env *e = *state;
    struct hold a = {.root = 0}, b = {.root = 0};

    assert_int_equal(env_set(e, 0, slice_lit("s"), slice_lit("v"), 0), NQ_OK);
    assert_int_equal(hold_check_key(e->db, 0, slice_lit("h")), NQ_OK);
    assert_int_equal(hold_check_all(e->db), NQ_OK);
    assert_int_equal(hold_take(&a, e->db, big_root(e, 0, slice_lit("h"))),
                     NQ_OK);
    assert_int_equal(hold_check_key(e->db, 0, slice_lit("s")), NQ_OK);
    assert_int_equal(hold_check_key(e->db, 0, slice_lit("none")), NQ_OK);
    assert_int_equal(hold_check_key(e->db, 1, slice_lit("h")), NQ_OK);
    assert_false(hold_is_wanted(&a));
    assert_int_equal(hold_check_key(e->db, 0, slice_lit("h")), NQ_EHELD);
    assert_true(hold_is_wanted(&a));
    assert_int_equal(hold_check_all(e->db), NQ_EHELD);
    assert_int_equal(hold_take(&b, e->db, 12345), NQ_EHELD);
    hold_end(&a);
    assert_int_equal(hold_take(&b, e->db, 12345), NQ_OK);
    assert_false(hold_is_wanted(&b));
    hold_end(&b);
}

static void
a_held_key_may_be_renamed_and_copied_and_expire(void **state)
{
    struct env *e = *state;
    pgno root = big_root(e, 0, slice_lit("h"));
    struct hold a = {.root = 0};

    assert_int_equal(hold_take(&a, e->db, root), NQ_OK);
    assert_int_equal(
        env_run(e, db_rename(e->db, 0, slice_lit("h"), 1, slice_lit("to"))),
        NQ_OK);
    assert_int_equal(big_root(e, 1, slice_lit("to")), root);
    assert_int_equal(
        env_run(e, db_copy(e->db, 1, slice_lit("to"), 0, slice_lit("copy"))),
        NQ_OK);
    assert_int_equal(env_expire(e, 1, slice_lit("to"), 1), NQ_OK);
    assert_int_equal(big_root(e, 1, slice_lit("to")), 0);
    env_turn(e);
    env_check(e);
    hold_end(&a);
    env_settle(e);
    env_check(e);
    big_check(e, 0, slice_lit("copy"), N, 30);
}

static void
what_is_let_go_is_freed_when_the_hold_ends(void **state)
{
    struct env *e = *state;
    uint64_t pages = big_pages(e), held;
    struct hold a = {.root = 0};

    assert_int_equal(hold_take(&a, e->db, big_root(e, 0, slice_lit("h"))),
                     NQ_OK);
    assert_int_equal(big_set(e, 0, slice_lit("other"), 0, N, 30), NQ_OK);
    assert_int_equal(env_run(e, db_flush_all(e->db)), NQ_OK);
    for (int i = 0; i < 1000 && db_has_frees(e->db); i++)
        env_turn(e);
    assert_int_equal(db_next_due(e->db), 0); /* it does not spin */
    held = big_pages(e);
    assert_true(held > 10 && held <= pages);
    env_check(e);
    hold_end(&a);
    assert_true(db_next_due(e->db) != 0);
    env_settle(e);
    assert_true(big_pages(e) < 3);
    env_check(e);
}

static void
closing_ends_holds(void **state)
{
    struct env *e = *state;
    struct hold a = {.root = 0};

    assert_int_equal(hold_take(&a, e->db, big_root(e, 0, slice_lit("h"))),
                     NQ_OK);
    env_close(e, true);
    assert_int_equal(a.root, 0);
    hold_end(&a);
    env_open(e);
    assert_int_equal(big_set(e, 0, slice_lit("h"), 0, 1, 30), NQ_OK);
}

/* --- commands that wait --------------------------------------------------- */

struct server {
    struct engine_env env;
    struct fake_client a, b;
    struct hold hold;
};

static pgno
root_of(struct server *s, const char *key)
{
    struct entry en = {0};
    pgno root = 0;

    assert_int_equal(db_find(s->env.db, 0, slice_str(key), &en), NQ_OK);
    assert_true(db_record_root(&en.rec, &root));
    return root;
}

static void
open_server(struct server *s)
{
    char line[200];

    memset(s, 0, sizeof *s);
    engine_env_init(&s->env, 16 << 20);
    fake_open(&s->env, &s->a);
    fake_open(&s->env, &s->b);
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "sadd big member-of-a-big-set-%d", i);
        fake_expect(&s->a, line, ":1|");
    }
    assert_int_equal(hold_take(&s->hold, s->env.db, root_of(s, "big")), NQ_OK);
}

static void
close_server(struct server *s)
{
    fake_close(&s->a);
    fake_close(&s->b);
    hold_end(&s->hold);
    engine_env_fini(&s->env);
}

static void
turns(struct server *s)
{
    for (int i = 0; i < 5; i++)
        engine_env_turn(&s->env);
}

static void
a_command_waits_and_others_go_on(void **state)
{
    struct server s;

    (void)state;
    open_server(&s);
    fake_send(&s.a, "sadd big x");
    fake_send(&s.a, "ping");
    turns(&s);
    assert_true(s.a.s.flags & SESSION_BLOCKED);
    assert_string_equal(fake_read(&s.a), "");
    fake_expect(&s.b, "scard big", ":200|");
    fake_expect(&s.b, "sismember big x", ":0|");
    assert_true(hold_is_wanted(&s.hold));
    hold_end(&s.hold);
    turns(&s);
    assert_string_equal(fake_read(&s.a), ":1|+PONG|");
    fake_expect(&s.b, "scard big", ":201|");
    assert_int_equal(s.env.e->stats.held_commands, 1);
    close_server(&s);
}

static void
a_client_may_leave_while_it_waits(void **state)
{
    struct server s;

    (void)state;
    open_server(&s);
    fake_send(&s.a, "sadd big x");
    turns(&s);
    fake_close(&s.a);
    hold_end(&s.hold);
    turns(&s);
    fake_expect(&s.b, "sismember big x", ":0|");
    fake_open(&s.env, &s.a);
    close_server(&s);
}

static void
exec_waits_as_a_whole(void **state)
{
    struct server s;

    (void)state;
    open_server(&s);
    fake_expect(&s.a, "multi", "+OK|");
    fake_expect(&s.a, "set before 1", "+QUEUED|");
    fake_expect(&s.a, "sadd big x", "+QUEUED|");
    fake_expect(&s.a, "set after 1", "+QUEUED|");
    fake_send(&s.a, "exec");
    turns(&s);
    assert_string_equal(fake_read(&s.a), "");
    fake_expect(&s.b, "exists before after", ":0|");
    hold_end(&s.hold);
    turns(&s);
    assert_string_equal(fake_read(&s.a), "*3|+OK|:1|+OK|");
    fake_expect(&s.b, "exists before after", ":2|");
    close_server(&s);
}

static void
exec_that_only_reads_does_not_wait(void **state)
{
    struct server s;

    (void)state;
    open_server(&s);
    fake_expect(&s.a, "multi", "+OK|");
    fake_expect(&s.a, "scard big", "+QUEUED|");
    fake_expect(&s.a, "set other 1", "+QUEUED|");
    fake_expect(&s.a, "exec", "*2|:200|+OK|");
    close_server(&s);
}

static void
exec_that_moves_names_waits_for_all(void **state)
{
    struct server s;

    (void)state;
    open_server(&s);
    fake_expect(&s.a, "multi", "+OK|");
    fake_expect(&s.a, "select 1", "+QUEUED|");
    fake_expect(&s.a, "select 0", "+QUEUED|");
    fake_expect(&s.a, "set k v", "+QUEUED|");
    fake_send(&s.a, "exec");
    turns(&s);
    assert_string_equal(fake_read(&s.a), "");
    hold_end(&s.hold);
    turns(&s);
    assert_string_equal(fake_read(&s.a), "*3|+OK|+OK|+OK|");
    close_server(&s);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_writer_is_kept_out_until_the_last_hold_ends),
        T(readers_do_not_starve_a_writer),
        T(keys_are_asked_for_by_name),
        T(a_held_key_may_be_renamed_and_copied_and_expire),
        T(what_is_let_go_is_freed_when_the_hold_ends),
        T(closing_ends_holds),
        cmocka_unit_test(a_command_waits_and_others_go_on),
        cmocka_unit_test(a_client_may_leave_while_it_waits),
        cmocka_unit_test(exec_waits_as_a_whole),
        cmocka_unit_test(exec_that_only_reads_does_not_wait),
        cmocka_unit_test(exec_that_moves_names_waits_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
