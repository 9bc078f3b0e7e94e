/* INFO: the sections and fields that clients read, and that they count what
 * happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/mem.h"

static struct live_server srv;
static struct client c;

static int
start(void **state)
{
    (void)state;
    if (!live_begin(&srv, NULL))
        return -1;
    client_open(&c, &srv);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    client_close(&c);
    return live_end(&srv);
}

static bool
has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void
sections_are_those_asked_for(void **state)
{
    const char *text;

    (void)state;
    text = client_ask(&c, "INFO server cpu");
    assert_true(has(text, "# Server\\r\\n"));
    assert_true(has(text, "\\r\\n\\r\\n# CPU\\r\\n"));
    assert_false(has(text, "# Memory"));
    text = client_ask(&c, "INFO");
    assert_true(has(text, "# Keyspace"));
    assert_true(has(text, "# Checkpoint"));
    assert_false(has(text, "# Commandstats"));
    text = client_ask(&c, "INFO all");
    assert_true(has(text, "# Commandstats"));
    assert_true(has(text, "# Latencystats"));
    client_expect(&c, "INFO nonsense", "\"\"");
}

static void
fields_that_clients_read_are_there(void **state)
{
    static const char *const fields[] = {
        "redis_version:7.",
        "nqdb_version:",
        "redis_mode:standalone",
        "os:Linux",
        "process_id:",
        "run_id:",
        "tcp_port:",
        "uptime_in_seconds:",
        "connected_clients:",
        "blocked_clients:",
        "used_memory:",
        "used_memory_rss:",
        "used_memory_peak:",
        "used_memory_human:",
        "maxmemory:",
        "maxmemory_policy:noeviction",
        "mem_fragmentation_ratio:",
        "loading:0",
        "async_loading:0",
        "rdb_changes_since_last_save:",
        "rdb_bgsave_in_progress:",
        "rdb_last_save_time:",
        "rdb_last_bgsave_status:ok",
        "aof_enabled:1",
        "aof_last_write_status:ok",
        "total_connections_received:",
        "total_commands_processed:",
        "instantaneous_ops_per_sec:",
        "total_net_input_bytes:",
        "rejected_connections:",
        "expired_keys:",
        "evicted_keys:",
        "keyspace_hits:",
        "keyspace_misses:",
        "pubsub_channels:",
        "total_error_replies:",
        "role:master",
        "connected_slaves:0",
        "used_cpu_sys:",
        "used_cpu_user:",
        "cluster_enabled:0",
        "page_size:8192",
        "log_status:ok",
        "log_durable:",
        "checkpoints:",
        "pool_size:",
        "commands_per_batch:",
    };
    char *text = nq_strdup(client_ask(&c, "INFO everything"));

    (void)state;
    for (size_t i = 0; i < nq_countof(fields); i++) {
        char want[80];

        snprintf(want, sizeof want, "\\r\\n%s", fields[i]);
        if (!has(text, want))
            fail_msg("no %s in %s", fields[i], text);
    }
    nq_free(text);
}

static void
the_keyspace_is_counted(void **state)
{
    (void)state;
    client_expect(&c, "FLUSHALL", "+OK");
    client_expect(&c, "MSET a 1 b 2 d 3", "+OK");
    client_expect(&c, "EXPIRE a 100", ":1");
    client_expect(&c, "SELECT 3", "+OK");
    client_expect(&c, "SET x 1", "+OK");
    client_expect(&c, "SELECT 0", "+OK");
    assert_true(has(client_ask(&c, "INFO keyspace"), "db0:keys=3,expires=1"));
    assert_true(has(client_ask(&c, "INFO keyspace"), "db3:keys=1,expires=0"));
    client_expect(&c, "FLUSHALL", "+OK");
    client_expect(&c, "INFO keyspace", "\"# Keyspace\\r\\n\"");
}

static void
counters_count_and_resetstat_clears_them(void **state)
{
    long long hits, misses;
    const char *text;

    (void)state;
    client_expect(&c, "CONFIG RESETSTAT", "+OK");
    client_expect(&c, "SET k v", "+OK");
    client_expect(&c, "GET k", "\"v\"");
    client_expect(&c, "GET nothing", "(nil)");
    client_expect(&c, "INCR k", "-ERR value is not an integer or out of range");
    hits = client_info(&c, "stats", "keyspace_hits");
    misses = client_info(&c, "stats", "keyspace_misses");
    assert_int_equal(hits, 1);
    assert_int_equal(misses, 1);
    text = client_ask(&c, "INFO commandstats");
    assert_true(has(text, "cmdstat_get:calls=2,usec="));
    assert_true(has(text, "cmdstat_incr:calls=1,usec="));
    assert_true(has(text, "rejected_calls=0,failed_calls=1"));
    assert_true(has(client_ask(&c, "INFO latencystats"),
                    "latency_percentiles_usec_get:p50="));
    assert_true(
        has(client_ask(&c, "INFO errorstats"), "errorstat_ERR:count=1"));
    client_expect(&c, "CONFIG RESETSTAT", "+OK");
    assert_int_equal(client_info(&c, "stats", "keyspace_hits"), 0);
    assert_false(has(client_ask(&c, "INFO commandstats"), "cmdstat_get:"));
}

static void
persistence_tells_of_changes_and_checkpoints(void **state)
{
    long long before;

    (void)state;
    client_expect(&c, "NQ.CHECKPOINT", "+OK");
    before = client_info(&c, "checkpoint", "checkpoints");
    for (int i = 0; i < 30; i++) {
        if (client_info(&c, "persistence", "rdb_changes_since_last_save") == 0)
            break;
        usleep(50000);
    }
    client_expect(&c, "MSET a 1 b 2 d 3", "+OK");
    assert_int_equal(
        client_info(&c, "persistence", "rdb_changes_since_last_save"), 3);
    client_expect(&c, "NQ.CHECKPOINT", "+OK");
    assert_int_equal(client_info(&c, "checkpoint", "checkpoints"), before + 1);
    assert_true(client_info(&c, "checkpoint", "checkpoint_last_pages") > 0);
    assert_true(client_info(&c, "storage", "pages_stored") > 0);
}

static void
save_points_and_the_interval_cause_checkpoints(void **state)
{
    long long before = client_info(&c, "checkpoint", "checkpoints");

    (void)state;
    client_expect(&c, "CONFIG SET save \"1 2\"", "+OK");
    client_expect(&c, "MSET a 2 b 3", "+OK");
    for (int i = 0; i < 100; i++) {
        if (client_info(&c, "checkpoint", "checkpoints") > before)
            break;
        usleep(50000);
    }
    assert_true(client_info(&c, "checkpoint", "checkpoints") > before);
    client_expect(&c, "CONFIG SET save \"\" storage.checkpoint_interval 1",
                  "+OK");
    before = client_info(&c, "checkpoint", "checkpoints");
    client_expect(&c, "SET a 5", "+OK");
    for (int i = 0; i < 100; i++) {
        if (client_info(&c, "checkpoint", "checkpoints") > before)
            break;
        usleep(50000);
    }
    assert_true(client_info(&c, "checkpoint", "checkpoints") > before);
    client_expect(&c, "CONFIG SET storage.checkpoint_interval 5m", "+OK");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_those_asked_for),
        cmocka_unit_test(fields_that_clients_read_are_there),
        cmocka_unit_test(the_keyspace_is_counted),
        cmocka_unit_test(counters_count_and_resetstat_clears_them),
        cmocka_unit_test(persistence_tells_of_changes_and_checkpoints),
        cmocka_unit_test(save_points_and_the_interval_cause_checkpoints),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
