/* A real server on a file system of 96 MB that fills up: writes are refused
 * with a clear error, reads go on, nothing acknowledged is lost, and writes go
 * on by themselves when there is space again.
 *
 * Needs the right to mount a tmpfs; without it the test says SKIP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "../lib/live_server.h"
#include "os/clock.h"
#include "os/thread.h"

#define BATCH 50u
#define WAIT_US 20000000u
#define VALUE 2000

static struct live_server server;

static void
value_of(uint64_t n, char *dst)
{
    /* Not compressible by much, so that it takes the space it should. */
    for (unsigned i = 0; i < VALUE; i++) {
        n = n * 6364136223846793005u + 1442695040888963407u;
        dst[i] = (char)('0' + (n >> 33) % 75);
    }
}

/* Sets keys from `first` on, a batch; returns how many were acknowledged in
 * a row.  What else is answered must be a refusal. */
static uint64_t
set_batch(redisContext *c, uint64_t first)
{
    char value[VALUE];
    uint64_t ok = 0;
    bool refused = false;

    for (uint64_t n = first; n < first + BATCH; n++) {
        value_of(n, value);
        redisAppendCommand(c, "SET full:%llu %b", (unsigned long long)n, value,
                           (size_t)VALUE);
    }
    for (unsigned i = 0; i < BATCH; i++) {
        redisReply *r = NULL;

        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        if (r->type == REDIS_REPLY_ERROR) {
            if (strncmp(r->str, "MISCONF", 7) != 0)
                fail_msg("refused with: %s", r->str);
            refused = true;
        } else {
            ok += !refused;
        }
        freeReplyObject(r);
    }
    return ok;
}

/* Writes until it is refused; returns the number of the next key. */
static uint64_t
write_until_refused(redisContext *c, uint64_t next)
{
    uint64_t until = clock_mono_us() + WAIT_US;

    for (;;) {
        uint64_t ok = set_batch(c, next);

        next += ok;
        if (ok < BATCH)
            return next;
        assert_true(clock_mono_us() < until);
    }
}

static void
check_keys(redisContext *c, uint64_t count)
{
    char value[VALUE];

    for (uint64_t n = 0; n < count; n += 1 + count / 2000) {
        redisReply *r = redisCommand(c, "GET full:%llu", (unsigned long long)n);

        assert_non_null(r);
        assert_int_equal(r->type, REDIS_REPLY_STRING);
        value_of(n, value);
        assert_int_equal(r->len, VALUE);
        assert_memory_equal(r->str, value, VALUE);
        freeReplyObject(r);
    }
}

static void
put_ballast(const char *path, off_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, bytes), 0);
    close(fd);
}

static void
a_full_disk_refuses_writes_and_heals(void **state)
{
    uint64_t until, next, more = 0;
    char ballast[96];
    redisContext *c;

    (void)state;
    snprintf(ballast, sizeof ballast, "%s/ballast", server.dir);
    put_ballast(ballast, 30 << 20);
    assert_true(live_start(&server));
    c = live_connect(&server);
    assert_non_null(c);

    next = write_until_refused(c, 0);
    assert_true(next > 1000);
    check_keys(c, next);

    assert_int_equal(unlink(ballast), 0);
    for (until = clock_mono_us() + WAIT_US; more < BATCH;) {
        more = set_batch(c, next);
        next += more;
        thread_sleep_us(50000);
        assert_true(clock_mono_us() < until);
    }
    check_keys(c, next);
    redisFree(c);

    live_kill(&server);
    assert_true(live_start(&server));
    c = live_connect(&server);
    assert_non_null(c);
    check_keys(c, next);
    redisFree(c);
}

/* The disk is full when the server is killed and started again. */
static void
a_server_starts_on_a_full_disk(void **state)
{
    char ballast[96];
    redisContext *c;
    uint64_t next;

    (void)state;
    snprintf(ballast, sizeof ballast, "%s/ballast", server.dir);
    put_ballast(ballast, 30 << 20);
    assert_true(live_start(&server));
    c = live_connect(&server);
    assert_non_null(c);
    next = write_until_refused(c, 0);
    redisFree(c);
    live_kill(&server);

    assert_true(live_start(&server));
    c = live_connect(&server);
    assert_non_null(c);
    check_keys(c, next);
    redisFree(c);
}

static int
mount_small(void **state)
{
    (void)state;
    live_init(&server);
    server.options[0] = "--storage.flush.checkpoint_log_size";
    server.options[1] = "20mb";
    return mount("tmpfs", server.dir, "tmpfs", 0, "size=96m");
}

static int
unmount(void **state)
{
    (void)state;
    live_kill(&server);
    (void)umount(server.dir);
    live_fini(&server);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_refuses_writes_and_heals,
                                        mount_small, unmount),
        cmocka_unit_test_setup_teardown(a_server_starts_on_a_full_disk,
                                        mount_small, unmount),
    };
    void *none = NULL;

    if (mount_small(&none) != 0) {
        printf("SKIP test_crash_full: may not mount a tmpfs\n");
        live_fini(&server);
        return 0;
    }
    unmount(&none);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
