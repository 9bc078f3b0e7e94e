/* The buffer pool of a real server: resident memory follows its size up and
 * down under load, dirty pages stay within their share, old ones are written
 * by age. */
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
#include "os/clock.h"
#include "os/process.h"
#include "os/thread.h"

#define KEYS 60000u
#define VALUE 800u
#define BATCH 500u
#define MIB (1ll << 20)
/* What is resident besides pages: log ring, batches, tables, code. */
#define BESIDE (32 * MIB)

static struct live_server srv;
static struct client writer, c;

static int
start(void **state)
{
    (void)state;
    if (!live_begin(&srv, "--maxmemory", "48mb", "--compression.enabled", "no",
                    NULL))
        return -1;
    client_open(&writer, &srv);
    client_open(&c, &srv);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    client_close(&writer);
    client_close(&c);
    return live_end(&srv);
}

/* A batch of SETs of keys from `first` on, scattered; all must answer +OK. */
static void
write_batch(unsigned first)
{
    static char value[VALUE + 1];
    struct buf out = BUF_INIT;

    memset(value, 'x', VALUE);
    for (unsigned i = first; i < first + BATCH; i++)
        buf_printf(&out, "*3\r\n$3\r\nSET\r\n$8\r\nk%07u\r\n$%u\r\n%s\r\n",
                   i * 7919u % KEYS, VALUE, value);
    client_send_raw(&writer, out.p, out.len);
    for (unsigned i = 0; i < BATCH; i++)
        assert_string_equal(client_read(&writer), "+OK");
    buf_fini(&out);
}

static void
read_batch(unsigned first)
{
    struct buf out = BUF_INIT;

    for (unsigned i = first; i < first + BATCH; i++)
        buf_printf(&out, "*2\r\n$6\r\nSTRLEN\r\n$8\r\nk%07u\r\n",
                   i * 104729u % KEYS);
    client_send_raw(&writer, out.p, out.len);
    for (unsigned i = 0; i < BATCH; i++)
        assert_string_equal(client_read(&writer), ":800");
    buf_fini(&out);
}

static long long
resident(void)
{
    char path[64], line[128];
    long long kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)srv.pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL && kib < 0)
        (void)!sscanf(line, "VmRSS: %lld", &kib);
    fclose(f);
    return kib * 1024;
}

/* Writes and reads for at most 15 s, until memory is as wanted. */
static long long
work_until_resident(long long least, long long most)
{
    uint64_t until = clock_mono_us() + 15 * 1000000;
    long long now = resident();

    for (unsigned n = 0; clock_mono_us() < until; n++) {
        write_batch(n * BATCH);
        read_batch(n * BATCH);
        now = resident();
        if (now >= least && now <= most)
            break;
    }
    return now;
}

static void
resident_memory_follows_the_pool_under_load(void **state)
{
    long long now;

    (void)state;
    for (unsigned i = 0; i < KEYS; i += BATCH)
        write_batch(i);
    client_expect(&c, "CONFIG SET maxmemory 16mb", "+OK");
    now = work_until_resident(0, 16 * MIB + BESIDE);
    assert_in_range(now, 16 * MIB, 16 * MIB + BESIDE);
    client_expect(&c, "CONFIG SET maxmemory 48mb", "+OK");
    now = work_until_resident(52 * MIB, 48 * MIB + BESIDE);
    assert_in_range(now, 52 * MIB, 48 * MIB + BESIDE);
    client_expect(&c, "CONFIG SET maxmemory 16mb", "+OK");
    now = work_until_resident(0, 16 * MIB + BESIDE);
    assert_in_range(now, 16 * MIB, 16 * MIB + BESIDE);
    client_expect(&c, "DBSIZE", ":60000");
}

static void
dirty_pages_slow_writers_and_never_readers(void **state)
{
    uint64_t above_since = 0, longest = 0;

    (void)state;
    client_expect(&c, "CONFIG SET maxmemory 8mb storage.flush.max_concurrent 2",
                  "+OK");
    for (unsigned n = 0; n < 100; n++) {
        const char *info;
        double dirty;

        write_batch(n * BATCH);
        assert_true(client_info(&c, "pool", "flush_inflight") <= 2);
        info = strstr(client_ask(&c, "INFO pool"), "dirty_ratio:");
        assert_non_null(info);
        dirty = strtod(info + strlen("dirty_ratio:"), NULL);
        if (dirty <= 0.85)
            above_since = 0;
        else if (above_since == 0)
            above_since = clock_mono_us();
        else
            longest = nq_max(longest, clock_mono_us() - above_since);
        client_expect(&c, "STRLEN k0000001", ":800");
    }
    assert_true(longest < 1000000);
}

static void
dirty_pages_are_written_by_age(void **state)
{
    long long checkpoints;
    unsigned tries = 0;

    (void)state;
    client_expect(
        &c, "CONFIG SET maxmemory 48mb storage.flush.flush_interval 1s", "+OK");
    client_expect(&c, "CONFIG SET storage.flush.checkpoint_log_size 1tb",
                  "+OK");
    client_expect(&c, "SAVE", "+OK");
    checkpoints = client_info(&c, "checkpoint", "checkpoints");
    write_batch(0);
    while (client_info(&c, "pool", "pool_frames_dirty") > 0 && tries++ < 100)
        thread_sleep_us(100000);
    assert_int_equal(client_info(&c, "pool", "pool_frames_dirty"), 0);
    assert_int_equal(client_info(&c, "checkpoint", "checkpoints"), checkpoints);
}

static void
hit_rate_is_that_of_the_counters(void **state)
{
    long long hits = client_info(&c, "pool", "pool_hits");
    long long misses = client_info(&c, "pool", "pool_misses");
    char want[64];

    (void)state;
    snprintf(want, sizeof want, "buffer_pool_hit_rate:%.4f",
             (double)hits / (double)(hits + misses));
    assert_non_null(strstr(client_ask(&c, "INFO bufferpool"), want));
}

static void
pool_of_nearly_all_memory_is_warned_of(void **state)
{
    struct live_server big;
    char size[32], line[512];
    bool is_warned = false;
    FILE *log;

    (void)state;
    live_init(&big);
    snprintf(size, sizeof size, "%llu",
             (unsigned long long)(process_memory_limit() / 100 * 95));
    big.options[0] = "--maxmemory";
    big.options[1] = size;
    assert_true(live_start(&big));
    log = fopen(big.log, "re");
    assert_non_null(log);
    while (fgets(line, sizeof line, log) != NULL)
        is_warned |= strstr(line, "more than 80 %") != NULL;
    fclose(log);
    assert_int_equal(live_stop(&big), 0);
    live_fini(&big);
    assert_true(is_warned);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resident_memory_follows_the_pool_under_load),
        cmocka_unit_test(dirty_pages_slow_writers_and_never_readers),
        cmocka_unit_test(dirty_pages_are_written_by_age),
        cmocka_unit_test(hit_rate_is_that_of_the_counters),
        cmocka_unit_test(pool_of_nearly_all_memory_is_warned_of),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
