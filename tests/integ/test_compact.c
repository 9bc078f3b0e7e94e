/* Space: NQ.COMPACT and nqdb-cli compact, NQ.JOBS, the quota, and pages that
 * are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/thread.h"

#define KEYS 30000u
#define BATCH 500u
#define WAIT_US 30000000u
#define VALUE_MAX 2000u

static struct live_server srv;
static struct client c;

static void
start_with(const char *option, const char *value)
{
    live_init(&srv);
    srv.options[0] = option;
    srv.options[1] = value;
    assert_true(live_start(&srv));
    client_open(&c, &srv);
}

static int
stop(void **state)
{
    (void)state;
    client_close(&c);
    live_fini(&srv);
    return 0;
}

static void
restart(void)
{
    client_close(&c);
    assert_true(live_start(&srv));
    client_open(&c, &srv);
}

static uint64_t
file_bytes(bool on_disk)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof path, "%s/data.nq", srv.dir);
    assert_int_equal(stat(path, &st), 0);
    return on_disk ? (uint64_t)st.st_blocks * 512 : (uint64_t)st.st_size;
}

/* --- keys -----------------------------------------------------------------
 */

/* Hard to pack, so that it takes the space it should. */
static size_t
value_of(unsigned n, size_t len, char *dst)
{
    struct rng r;

    rng_seed(&r, n + 1);
    for (size_t i = 0; i < len; i++)
        dst[i] = (char)('a' + rng_below(&r, 26));
    return len;
}

static size_t
key_of(unsigned n, char *dst)
{
    return (size_t)snprintf(dst, 32, "key:%08u", n);
}

/* Every number below KEYS once, in another order. */
static unsigned
shuffled(unsigned i)
{
    return (unsigned)((uint64_t)i * 7919 % KEYS);
}

static void
send_set(unsigned n, size_t len)
{
    char key[32], value[VALUE_MAX];
    struct slice argv[] = {slice_lit("SET"), slice_of(key, key_of(n, key)),
                           slice_of(value, value_of(n, len, value))};

    client_send_argv(&c, argv, 3);
}

static void
set_keys(unsigned from, unsigned to, size_t len)
{
    while (from < to) {
        unsigned some = nq_min(BATCH, to - from);

        for (unsigned i = 0; i < some; i++)
            send_set(shuffled(from + i), len);
        for (unsigned i = 0; i < some; i++)
            client_expect_read(&c, "+OK");
        from += some;
    }
}

/* All but those that `keep` divides. */
static void
del_keys(unsigned keep)
{
    unsigned sent = 0;

    for (unsigned n = 0; n < KEYS; n++) {
        char key[32];
        struct slice argv[] = {slice_lit("DEL"), {NULL, 0}};

        if (n % keep == 0)
            continue;
        argv[1] = slice_of(key, key_of(n, key));
        client_send_argv(&c, argv, 2);
        if (++sent % BATCH != 0)
            continue;
        for (unsigned i = 0; i < BATCH; i++)
            client_expect_read(&c, ":1");
    }
    for (unsigned i = 0; i < sent % BATCH; i++)
        client_expect_read(&c, ":1");
}

static void
expect_kept(unsigned n, size_t len)
{
    char line[64], value[VALUE_MAX + 3];

    snprintf(line, sizeof line, "GET key:%08u", n);
    value[0] = '"';
    (void)value_of(n, len, value + 1);
    value[len + 1] = '"';
    value[len + 2] = '\0';
    client_expect(&c, line, value);
}

static void
expect_every(unsigned step, size_t len)
{
    for (unsigned n = 0; n < KEYS; n += step)
        expect_kept(n, len);
}

static void
expect_good(void)
{
    c.timeout_ms = 60000;
    client_expect(&c, "NQ.CHECK EXTENTS", "[\"findings\", :0, ...");
    c.timeout_ms = 5000;
}

static double
fill(void)
{
    const char *text = client_ask(&c, "NQ.CHECK");
    const char *at = strstr(text, "\"fill\", \"");

    assert_non_null(at);
    return strtod(at + 9, NULL);
}

static void
compact(const char *line)
{
    c.timeout_ms = 60000;
    client_expect(&c, line, "[\"job\", ...");
    c.timeout_ms = 5000;
}

/* --- compaction -----------------------------------------------------------
 */

static void
what_was_deleted_is_given_back(void **state)
{
    uint64_t before, fresh;

    (void)state;
    start_with(NULL, NULL);
    set_keys(0, KEYS, 200);
    client_expect(&c, "SAVE", "+OK");
    before = file_bytes(false);
    del_keys(20);
    compact("NQ.COMPACT RATE 0");
    assert_true(fill() >= 0.95);
    expect_every(20, 200);
    expect_good();
    fresh = (uint64_t)KEYS / 20 * 220; /* about what the rest takes alone */
    assert_true(file_bytes(false) < before / 8);
    assert_true(file_bytes(false) < 13 * fresh / 10 + (600 << 10));
    assert_true(file_bytes(true) < 13 * fresh / 10 + (600 << 10));
    live_kill(&srv);
    restart();
    expect_every(20, 200);
    expect_good();
    stop(NULL);
}

/* A value read right after the packing must not wait for a later write. */
static void
random_and_sequential_loads_are_packed(void **state)
{
    (void)state;
    start_with("--appendfsync", "always");
    set_keys(0, KEYS, 60);
    compact("NQ.COMPACT");
    assert_true(fill() >= 0.95);
    expect_every(100, 60);
    compact("nq.compact full rate 0 sync");
    assert_true(fill() >= 0.95);
    expect_every(100, 60);
    expect_good();
    stop(NULL);
}

static void
collections_are_packed_too(void **state)
{
    (void)state;
    start_with(NULL, NULL);
    for (unsigned n = 0; n < KEYS; n++) {
        char line[200];
        unsigned m = shuffled(n);

        snprintf(line, sizeof line, "HSET h%u f%06u v%u", m % 3, m, m);
        client_send(&c, line);
        snprintf(line, sizeof line, "ZADD z %u m%06u", m, m);
        client_send(&c, line);
        snprintf(line, sizeof line, "RPUSH l element-%06u", n);
        client_send(&c, line);
        for (unsigned i = 0; i < 3; i++)
            (void)client_read(&c);
    }
    client_send(&c, "ZREMRANGEBYSCORE z 0 20000");
    (void)client_read(&c);
    compact("NQ.COMPACT RATE 0");
    client_expect(&c, "HGET h1 f000001", "\"v1\"");
    client_expect(&c, "ZRANK z m020005", ":4");
    client_expect(&c, "LINDEX l 12345", "\"element-012345\"");
    client_expect(&c, "LLEN l", ":30000");
    client_expect(&c, "RPUSH l more", ":30001");
    expect_good();
    stop(NULL);
}

/* With FULL all is written in the settings of now. */
static void
cold_data_is_packed_anew(void **state)
{
    long long raw, packed;

    (void)state;
    start_with("--compression.enabled", "no");
    for (unsigned n = 0; n < 5000; n++) {
        char line[400];

        snprintf(line, sizeof line,
                 "SET doc:%05u \"{'name': 'someone-%u', 'kind': 'document', "
                 "'tags': ['one', 'two', 'three'], 'text': 'all of these are "
                 "alike but for a number'}\"",
                 n, n);
        client_expect(&c, line, "+OK");
    }
    compact("NQ.COMPACT");
    raw = client_info(&c, "storage", "extent_bytes");
    client_expect(&c, "CONFIG SET compression.enabled yes", "+OK");
    compact("NQ.COMPACT FULL RATE 0");
    packed = client_info(&c, "storage", "extent_bytes");
    assert_true(packed < raw / 2);
    expect_good();
    stop(NULL);
}

/* --- jobs ----------------------------------------------------------------- */

static void
await_jobs(const char *want)
{
    uint64_t until = clock_mono_us() + WAIT_US;

    while (strstr(client_ask(&c, "NQ.JOBS"), want) == NULL) {
        assert_true(clock_mono_us() < until);
        thread_sleep_us(20000);
    }
}

static void
a_job_is_paused_resumed_and_cancelled(void **state)
{
    const char *text;

    (void)state;
    start_with(NULL, NULL);
    set_keys(0, KEYS, 100);
    client_expect(&c, "NQ.COMPACT FULL RATE 1 ASYNC", ":1");
    client_expect(&c, "NQ.COMPACT", "-BUSY...");
    client_expect(&c, "NQ.JOBS PAUSE 1", "+OK");
    text = client_ask(&c, "NQ.JOBS LIST");
    assert_non_null(strstr(text, "\"kind\", \"compact\", \"state\", "
                                 "\"paused\""));
    assert_int_equal(client_info(&c, "jobs", "jobs_paused"), 1);
    client_expect(&c, "NQ.JOBS RESUME 1", "+OK");
    await_jobs("\"kind\", \"compact\", \"state\", \"running\"");
    client_expect(&c, "NQ.JOBS CANCEL 1", "+OK");
    client_expect(&c, "NQ.JOBS CANCEL 1", "-ERR no job 1...");
    await_jobs("\"state\", \"cancelled\"");
    client_expect(&c, "NQ.JOBS PAUSE x", "-ERR ...");
    client_expect(&c, "NQ.COMPACT SIDEWAYS", "-ERR syntax error");
    client_expect(&c, "NQ.COMPACT RATE", "-ERR syntax error");
    client_expect(&c, "NQ.COMPACT ASYNC RATE 0", ":2");
    await_jobs("\"kind\", \"compact\", \"state\", \"done\"");
    expect_every(500, 100);
    expect_good();
    stop(NULL);
}

static void
a_killed_compaction_loses_nothing_and_goes_on(void **state)
{
    (void)state;
    start_with(NULL, NULL);
    set_keys(0, KEYS, 100);
    client_expect(&c, "NQ.COMPACT FULL RATE 2 ASYNC", ":1");
    client_expect(&c, "SAVE", "+OK");
    for (unsigned i = 0; i < 3; i++) {
        thread_sleep_us(150000);
        live_kill(&srv);
        restart();
        await_jobs("\"kind\", \"compact\", \"state\", \"running\"");
    }
    expect_every(100, 100);
    client_expect(&c, "NQ.JOBS CANCEL 1", "+OK");
    client_expect(&c, "SAVE", "+OK");
    expect_good();
    live_kill(&srv);
    restart();
    assert_null(strstr(client_ask(&c, "NQ.JOBS"), "compact"));
    stop(NULL);
}

/* --- nqdb-cli --------------------------------------------------------------
 */

static int
run_cli(const char *subcommand, const char *arguments)
{
    const char *binary = getenv("NQDB_CLI");
    char line[512];
    int status;

    snprintf(line, sizeof line, "timeout 60 %s %s --path %s %s >>%s 2>&1",
             binary == NULL ? "false" : binary, subcommand, srv.dir, arguments,
             srv.log);
    status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
the_tool_compacts_what_no_server_has_open(void **state)
{
    uint64_t before;

    (void)state;
    start_with("--compression.enabled", "yes");
    set_keys(0, KEYS, 200);
    client_expect(&c, "SAVE", "+OK");
    before = file_bytes(false);
    del_keys(20);
    assert_int_equal(run_cli("compact", ""), 2); /* it is locked */
    assert_int_equal(live_stop(&srv), 0);
    assert_int_equal(run_cli("compact", ""), 0);
    assert_true(file_bytes(false) < before / 8);
    assert_int_equal(run_cli("check", ""), 0);
    assert_int_equal(run_cli("compact", "--full --rate 100mb"), 0);
    assert_int_equal(run_cli("check", ""), 0);
    restart();
    assert_true(fill() >= 0.95);
    expect_every(20, 200);
    expect_good();
    stop(NULL);
}

/* --- the quota ------------------------------------------------------------
 */

/* Sets keys until it is refused; the number of the next. */
static unsigned
set_until_full(unsigned n)
{
    uint64_t until = clock_mono_us() + WAIT_US;
    bool is_full = false;

    while (!is_full) {
        assert_true(clock_mono_us() < until);
        for (unsigned i = 0; i < BATCH; i++)
            send_set(n + i, VALUE_MAX);
        for (unsigned i = 0; i < BATCH; i++) {
            const char *text = client_read(&c);

            if (strcmp(text, "+OK") == 0)
                n += !is_full;
            else if (strncmp(text, "-OOM command not allowed", 24) == 0)
                is_full = true;
            else
                fail_msg("%s", text);
        }
    }
    return n;
}

static void
await_writable(void)
{
    uint64_t until = clock_mono_us() + WAIT_US;

    while (strcmp(client_ask(&c, "SET again 1"), "+OK") != 0) {
        assert_true(clock_mono_us() < until);
        thread_sleep_us(10000);
    }
}

static void
at_the_quota_writes_are_refused_until_something_is_deleted(void **state)
{
    unsigned n, left;

    (void)state;
    start_with("--storage.max_size", "64mb");
    n = set_until_full(0);
    assert_in_range(n * VALUE_MAX, 30u << 20, 128u << 20); /* packed */
    expect_kept(0, VALUE_MAX);
    expect_kept(n - 1, VALUE_MAX);
    compact("NQ.COMPACT");
    for (left = n; left > n / 2; left--) {
        char line[64];

        snprintf(line, sizeof line, "DEL key:%08u", left - 1);
        client_expect(&c, line, ":1");
    }
    await_writable();
    assert_true(set_until_full(left) > left + 1000);
    expect_kept(0, VALUE_MAX);
    assert_true(file_bytes(false) <= 64u << 20);
    client_expect(&c, "CONFIG SET storage.max_size 80mb", "+OK");
    await_writable();
    client_expect(&c, "FLUSHALL", "+OK");
    await_writable();
    assert_int_equal(client_info(&c, "checkpoint", "checkpoints_failed"), 0);
    expect_good();
    stop(NULL);
}

/* --- pages used again ------------------------------------------------------
 */

/* A checkpoint needs room for what is dirty beside what it replaces; that much
 * more, but no more than that, however often it is done. */
static void
freed_pages_are_used_again_after_a_restart(void **state)
{
    uint64_t loaded;

    (void)state;
    start_with(NULL, NULL);
    set_keys(0, KEYS, 1000);
    client_expect(&c, "SAVE", "+OK");
    loaded = file_bytes(false);
    for (unsigned round = 0; round < 3; round++) {
        del_keys(10); /* here and there: the end of the file stays in use */
        client_expect(&c, "SAVE", "+OK");
        assert_int_equal(live_stop(&srv), 0);
        restart();
        set_keys(0, KEYS, 1000);
        client_expect(&c, "SAVE", "+OK");
        assert_true(file_bytes(false) <= loaded + loaded / 4);
    }
    expect_every(100, 1000);
    expect_good();
    stop(NULL);
}

static void
killed_while_deleting_no_page_is_used_and_free(void **state)
{
    (void)state;
    start_with(NULL, NULL);
    set_keys(0, KEYS, 300);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS / 4; i++) {
            char line[64];

            snprintf(line, sizeof line, "DEL key:%08u",
                     shuffled(round * KEYS / 4 + i));
            client_send(&c, line);
            if (i == KEYS / 8)
                client_send(&c, "BGSAVE");
        }
        thread_sleep_us(10000 + round * 15000);
        live_kill(&srv);
        restart();
        expect_good();
    }
    stop(NULL);
}

static void
a_range_of_old_keys_goes_at_once_and_its_space_comes_back(void **state)
{
    uint64_t began, before;

    (void)state;
    start_with(NULL, NULL);
    set_keys(0, KEYS, 300);
    client_expect(&c, "SAVE", "+OK");
    before = file_bytes(false);
    began = clock_mono_us();
    client_expect(&c, "NQ.DELRANGE key:00000000 key:00029000", ":29001");
    assert_true(clock_mono_us() - began < 1000000);
    compact("NQ.COMPACT RATE 0");
    assert_true(file_bytes(false) < before / 8);
    client_expect(&c, "DBSIZE", ":999");
    expect_good();
    stop(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_deleted_is_given_back),
        cmocka_unit_test(random_and_sequential_loads_are_packed),
        cmocka_unit_test(collections_are_packed_too),
        cmocka_unit_test(cold_data_is_packed_anew),
        cmocka_unit_test(a_job_is_paused_resumed_and_cancelled),
        cmocka_unit_test(a_killed_compaction_loses_nothing_and_goes_on),
        cmocka_unit_test(the_tool_compacts_what_no_server_has_open),
        cmocka_unit_test(
            at_the_quota_writes_are_refused_until_something_is_deleted),
        cmocka_unit_test(freed_pages_are_used_again_after_a_restart),
        cmocka_unit_test(killed_while_deleting_no_page_is_used_and_free),
        cmocka_unit_test(
            a_range_of_old_keys_goes_at_once_and_its_space_comes_back),
    };

    return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
