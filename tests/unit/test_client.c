/* CLIENT, over clients without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/check.h"
#include "base/mem.h"

static struct engine_env env;

static int
set_up(void **state)
{
    (void)state;
    engine_env_init(&env, 8 << 20);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    engine_env_fini(&env);
    return 0;
}

static void
assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, text);
}

static void
names_are_checked_kept_and_listed(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_expect(&c, "client getname", "$-1|");
    fake_expect(&c, "client setname 'a b'",
                "-ERR Client names cannot contain spaces, newlines or special "
                "characters.|");
    fake_expect(&c, "client setname app-1", "+OK|");
    fake_expect(&c, "client getname", "$5|app-1|");
    fake_expect(&c, "client setinfo lib-name redis-c", "+OK|");
    fake_expect(&c, "client setinfo LIB-VER 1.2", "+OK|");
    fake_expect(&c, "client setinfo lib-color red",
                "-ERR Unrecognized option 'lib-color'|");
    assert_has(fake_ask(&c, "client info"), " name=app-1 ");
    assert_has(fake_ask(&c, "client info"), " lib-name=redis-c lib-ver=1.2|");
    fake_expect(&c, "client setname ''", "+OK|");
    fake_expect(&c, "client getname", "$-1|");
    fake_close(&c);
}

static void
list_shows_state_and_selects(void **state)
{
    struct fake_client a, b;
    char line[64];
    const char *text;

    (void)state;
    fake_open(&env, &a);
    fake_open(&env, &b);
    fake_ask(&a, "select 3");
    fake_ask(&a, "multi");
    fake_ask(&a, "ping");
    fake_ask(&b, "client no-evict on");
    text = fake_ask(&b, "client list");
    assert_has(text, " flags=x db=3 sub=0 psub=0 ssub=0 multi=1 ");
    assert_has(text, " flags=e db=0 ");
    assert_has(text, " cmd=client|list user=default redir=-1 resp=2 ");
    fake_ask(&a, "discard");
    fake_ask(&a, "psubscribe x y");
    assert_has(fake_ask(&b, "client list type pubsub"),
               " flags=P db=3 sub=0 psub=2 ssub=0 multi=-1 ");
    assert_null(strstr(fake_ask(&b, "client list type pubsub"), "flags=e"));
    fake_expect(&b, "client list type replica", "$0||");
    snprintf(line, sizeof line, "client list id %llu 999",
             (unsigned long long)a.s.id);
    assert_has(fake_ask(&b, line), " psub=2 ");
    fake_expect(&b, "client list id x", "-ERR Invalid client ID|");
    fake_expect(&b, "client list type x", "-ERR Unknown client type 'x'|");
    fake_expect(&b, "client list x", "-ERR syntax error|");
    fake_close(&a);
    fake_close(&b);
}

/* So many clients that one slice of a turn is not enough for them. */
static void
a_long_list_is_made_in_slices(void **state)
{
    enum { CLIENTS = 2000 };
    struct fake_client *many = nq_calloc(CLIENTS, sizeof *many), c;
    const char *text;
    unsigned lines = 0;

    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        fake_open(&env, &many[i]);
    fake_open(&env, &c);
    env.resumes = 0;
    text = fake_ask(&c, "client list");
    for (; (text = strstr(text, "id=")) != NULL; text++)
        lines++;
    assert_int_equal(lines, CLIENTS + 1);
    assert_true(env.resumes > 0);
    for (int i = 0; i < CLIENTS; i++)
        fake_close(&many[i]);
    fake_close(&c);
    nq_free(many);
}

static void
kill_ends_whom_the_filters_name(void **state)
{
    struct fake_client a, b, c;
    char line[64];

    (void)state;
    fake_open(&env, &a);
    fake_open(&env, &b);
    fake_open(&env, &c);
    fake_expect(&c, "client kill 1.2.3.4:5", "-ERR No such client|");
    fake_expect(&c, "client kill id 0",
                "-ERR client-id should be greater than 0|");
    fake_expect(&c, "client kill user nobody", "-ERR No such user 'nobody'|");
    fake_expect(&c, "client kill type x", "-ERR Unknown client type 'x'|");
    fake_expect(&c, "client kill skipme maybe", "-ERR syntax error|");
    fake_expect(&c, "client kill id 1 skipme", "-ERR syntax error|");
    fake_expect(&c, "client kill id 999 type normal", ":0|");
    snprintf(line, sizeof line, "client kill id %llu",
             (unsigned long long)a.s.id);
    fake_expect(&c, line, ":1|");
    assert_true(a.is_closed && !b.is_closed && !c.is_closed);
    fake_ask(&b, "subscribe x");
    fake_expect(&c, "client kill type pubsub", ":1|");
    assert_true(b.is_closed && !c.is_closed);
    fake_expect(&c, "client kill type normal skipme no", ":1|");
    assert_true((c.s.flags & SESSION_CLOSE_AFTER_REPLY) != 0);
    fake_close(&a);
    fake_close(&b);
    fake_close(&c);
}

static void
replies_can_be_turned_off_and_skipped(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_expect(&c, "client reply off", "");
    fake_expect(&c, "ping", "");
    fake_expect(&c, "client reply on", "+OK|");
    fake_expect(&c, "client reply skip", "");
    fake_expect(&c, "ping", "");
    fake_expect(&c, "ping", "+PONG|");
    fake_expect(&c, "client reply x", "-ERR syntax error|");
    fake_close(&c);
}

static void
pause_holds_back_writes_or_all(void **state)
{
    struct fake_client a, b;

    (void)state;
    fake_open(&env, &a);
    fake_open(&env, &b);
    fake_expect(&a, "client pause x",
                "-ERR timeout is not an integer or out of range|");
    fake_expect(&a, "client pause 9223372036854775807",
                "-ERR timeout is not an integer or out of range|");
    fake_expect(&a, "client pause -1", "-ERR timeout is negative|");
    fake_expect(&a, "client pause 1 x",
                "-ERR CLIENT PAUSE mode must be WRITE or ALL|");
    fake_expect(&a, "client pause 60000 write", "+OK|");
    fake_send(&b, "ping");
    engine_env_turn(&env);
    assert_string_equal(fake_read(&b), "+PONG|");
    fake_send(&b, "set k v");
    engine_env_turn(&env);
    assert_string_equal(fake_read(&b), "");
    fake_expect(&a, "client unpause", "+OK|");
    fake_expect(&b, "get k", "+OK|$1|v|");
    fake_close(&a);
    fake_close(&b);
}

static void
unblock_ends_a_wait(void **state)
{
    struct fake_client a, b;
    char line[64];

    (void)state;
    fake_open(&env, &a);
    fake_open(&env, &b);
    fake_send(&a, "wait 1 0");
    engine_env_turn(&env);
    assert_string_equal(fake_read(&a), "");
    snprintf(line, sizeof line, "client unblock %llu",
             (unsigned long long)a.s.id);
    fake_expect(&b, line, ":1|");
    engine_env_turn(&env);
    assert_string_equal(fake_read(&a), ":0|");
    fake_expect(&b, line, ":0|");
    fake_send(&a, "wait 1 0");
    engine_env_turn(&env);
    snprintf(line, sizeof line, "client unblock %llu error",
             (unsigned long long)a.s.id);
    fake_expect(&b, line, ":1|");
    engine_env_turn(&env);
    assert_string_equal(fake_read(&a),
                        "-UNBLOCKED client unblocked via CLIENT UNBLOCK|");
    fake_expect(&b, "client unblock 1 x",
                "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR|");
    fake_close(&a);
    fake_close(&b);
}

static void
tracking_is_off_and_says_so(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_expect(&c, "client getredir", ":-1|");
    fake_expect(&c, "client trackinginfo",
                "*6|$5|flags|*1|$3|off|$8|redirect|:-1|$8|prefixes|*0|");
    fake_expect(&c, "client tracking off", "+OK|");
    assert_has(fake_ask(&c, "client tracking on"), "-ERR client side caching");
    assert_has(fake_ask(&c, "client caching yes"), "-ERR CLIENT CACHING can");
    fake_close(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked_kept_and_listed),
        cmocka_unit_test(list_shows_state_and_selects),
        cmocka_unit_test(a_long_list_is_made_in_slices),
        cmocka_unit_test(kill_ends_whom_the_filters_name),
        cmocka_unit_test(replies_can_be_turned_off_and_skipped),
        cmocka_unit_test(pause_holds_back_writes_or_all),
        cmocka_unit_test(unblock_ends_a_wait),
        cmocka_unit_test(tracking_is_off_and_says_so),
    };

    return cmocka_run_group_tests_name("client", tests, set_up, tear_down);
}
