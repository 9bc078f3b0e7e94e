/* A real server whose disk does not sync: fdatasync fails, or takes its time.
 *
 * The library that stands between server and system is compiled here and
 * preloaded; a file tells it what to do: "fail", or milliseconds to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/live_server.h"
#include "os/clock.h"
#include "os/thread.h"

static const char shim_source[] =
    "#define _GNU_SOURCE\n"
    "#include <dlfcn.h>\n"
    "#include <errno.h>\n"
    "#include <fcntl.h>\n"
    "#include <stdlib.h>\n"
    "#include <unistd.h>\n"
    "int fdatasync(int fd)\n"
    "{\n"
    "    static int (*real)(int);\n"
    "    char what[16] = {0};\n"
    "    int f = open(getenv(\"SYNC_SHIM\"), O_RDONLY);\n"
    "    if (f >= 0) {\n"
    "        if (read(f, what, sizeof what - 1) < 0)\n"
    "            what[0] = 0;\n"
    "        close(f);\n"
    "    }\n"
    "    if (what[0] == 'f') {\n"
    "        errno = EIO;\n"
    "        return -1;\n"
    "    }\n"
    "    usleep((unsigned)atoi(what) * 1000);\n"
    "    if (real == NULL)\n"
    "        real = (int (*)(int))dlsym(RTLD_NEXT, \"fdatasync\");\n"
    "    return real(fd);\n"
    "}\n";

static struct live_server server;
static char shim_path[96], order_path[96];

static void
write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int
start_with_shim(void **state)
{
    char source[128], command[512];

    (void)state;
    live_init(&server);
    server.options[0] = "--appendfsync";
    server.options[1] = "always";
    snprintf(source, sizeof source, "%s/shim.c", server.dir);
    snprintf(shim_path, sizeof shim_path, "%s/shim.so", server.dir);
    snprintf(order_path, sizeof order_path, "%s/order", server.dir);
    write_file(source, shim_source);
    write_file(order_path, "0");
    snprintf(command, sizeof command, "cc -shared -fPIC -o %s %s -ldl",
             shim_path, source);
    if (system(command) != 0)
        return -1;
    setenv("SYNC_SHIM", order_path, 1);
    setenv("LD_PRELOAD", shim_path, 1);
    return live_start(&server) ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    unsetenv("LD_PRELOAD");
    live_fini(&server);
    return 0;
}

/* The reply's text is at least `prefix`; "" for a closed connection. */
static void
expect(redisContext *c, const char *command, const char *prefix)
{
    redisReply *r = redisCommand(c, command);

    if (r == NULL || r->str == NULL)
        fail_msg("%s: no text, but %s", command, c->errstr);
    if (strncmp(r->str, prefix, strlen(prefix)) != 0)
        fail_msg("%s: %s", command, r->str);
    freeReplyObject(r);
}

static bool
info_says(redisContext *c, const char *line)
{
    redisReply *r = redisCommand(c, "INFO persistence");
    bool found;

    assert_non_null(r);
    found = strstr(r->str, line) != NULL;
    freeReplyObject(r);
    return found;
}

static bool
log_says(const char *text)
{
    FILE *f = fopen(server.log, "r");
    char line[1024];
    bool found = false;

    assert_non_null(f);
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, text) != NULL;
    fclose(f);
    return found;
}

/* Some keys between "a" and "z", so that these are on pages of their own. */
static void
fill(redisContext *c)
{
    redisReply *r;

    for (unsigned i = 0; i < 2000; i++)
        redisAppendCommand(c, "SET key:%04u %0100u", i, i);
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_int_equal(r->type, REDIS_REPLY_STATUS);
        freeReplyObject(r);
    }
}

static void
a_failed_fsync_makes_the_server_read_only(void **state)
{
    redisContext *c = live_connect(&server);
    redisReply *r;

    (void)state;
    assert_non_null(c);
    fill(c);
    expect(c, "SET a 1", "OK");
    assert_true(info_says(c, "aof_last_write_status:ok"));
    write_file(order_path, "fail");
    /* Not acknowledged, whatever it is answered. */
    r = redisCommand(c, "SET z 1");
    assert_true(r == NULL || r->type == REDIS_REPLY_ERROR);
    if (r != NULL)
        freeReplyObject(r);
    redisFree(c);

    c = live_connect(&server);
    assert_non_null(c);
    expect(c, "SET more 1", "MISCONF");
    expect(c, "GET a", "1");
    expect(c, "GET z", "MISCONF what this would tell");
    assert_true(info_says(c, "aof_last_write_status:err"));
    assert_true(log_says("no writes until the server is restarted"));
    /* Final: the disk is well again, but what it holds is not known. */
    write_file(order_path, "0");
    thread_sleep_us(100000);
    expect(c, "SET more 1", "MISCONF");
    redisFree(c);

    live_kill(&server);
    assert_true(live_start(&server));
    c = live_connect(&server);
    assert_non_null(c);
    expect(c, "GET a", "1");
    expect(c, "SET more 1", "OK");
    redisFree(c);
}

static void
readers_do_not_wait_for_a_slow_sync(void **state)
{
    redisContext *writer = live_connect(&server);
    redisContext *reader = live_connect(&server);
    uint64_t began, waited = 0;
    redisReply *r = NULL;
    int done = 0;

    (void)state;
    assert_true(writer != NULL && reader != NULL);
    fill(writer);
    expect(writer, "SET a 1", "OK");
    expect(writer, "SET z 1", "OK");
    write_file(order_path, "400");
    began = clock_mono_us();
    redisAppendCommand(writer, "SET z 2");
    assert_int_equal(redisBufferWrite(writer, &done), REDIS_OK);
    thread_sleep_us(20000);
    /* Unrelated reads are answered at once... */
    for (unsigned i = 0; i < 20; i++) {
        uint64_t at = clock_mono_us();

        expect(reader, "GET a", "1");
        if (clock_mono_us() - at > waited)
            waited = clock_mono_us() - at;
    }
    assert_true(waited < 200000);
    assert_true(clock_mono_us() - began < 350000);
    /* ... but nobody sees the new value before it is durable. */
    expect(reader, "GET z", "2");
    assert_true(clock_mono_us() - began >= 400000);
    assert_int_equal(redisGetReply(writer, (void **)&r), REDIS_OK);
    assert_string_equal(r->str, "OK");
    freeReplyObject(r);
    redisFree(writer);
    redisFree(reader);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_failed_fsync_makes_the_server_read_only, start_with_shim, stop),
        cmocka_unit_test_setup_teardown(readers_do_not_wait_for_a_slow_sync,
                                        start_with_shim, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
