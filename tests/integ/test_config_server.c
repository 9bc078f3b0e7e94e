/* Settings of the real program: what it refuses, what it shows, what CONFIG
 * SET changes, what a rewritten file keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"

static char output[65536];

/* Runs the server with `arguments` to its end, which must come by itself;
 * what it printed is in `output`. */
static int
run(const char *arguments)
{
    const char *binary = getenv("NQDB_SERVER");
    char line[1024];
    FILE *p;
    size_t n;
    int status;

    snprintf(line, sizeof line, "timeout 20 %s %s 2>&1",
             binary == NULL ? "false" : binary, arguments);
    p = popen(line, "r");
    assert_non_null(p);
    n = fread(output, 1, sizeof output - 1, p);
    output[n] = '\0';
    status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
prints(const char *want)
{
    if (strstr(output, want) == NULL)
        fail_msg("wanted: %s\nprinted: %s", want, output);
}

static const char *
log_of(const struct live_server *s)
{
    FILE *f = fopen(s->log, "r");
    size_t n;

    assert_non_null(f);
    n = fread(output, 1, sizeof output - 1, f);
    output[n] = '\0';
    fclose(f);
    return output;
}

static void
wrong_settings_end_the_start_with_code_1(void **state)
{
    static const struct {
        const char *arguments, *want;
    } rows[] = {
        {"--prot 1", "unknown setting 'prot'; the nearest is 'port'"},
        {"--port x", "port: argument couldn't be parsed into an integer"},
        {"--port 70000", "between 0 and 65535"},
        {"--cluster-enabled yes", "cluster mode is not built yet"},
        {"--replicaof \"127.0.0.1 6379\"", "replication is not built yet"},
        {"/nowhere/nqdb.toml", "/nowhere/nqdb.toml: cannot be read: no such "
                               "file"},
#ifdef __x86_64__
        {"--compression.simd.simd_implementation neon --port 1",
         "this processor has no neon; it has: scalar"},
#endif
        {"-x", "'-x' is neither an option nor"},
        {"--bind 192.0.2.77 --port 1 --dir /tmp/nqdb-test-no", ""},
    };

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        if (run(rows[i].arguments) != 1)
            fail_msg("%s: %s", rows[i].arguments, output);
        prints(rows[i].want);
    }
    assert_int_equal(system("rm -rf /tmp/nqdb-test-no"), 0);
}

static void
a_bad_data_directory_ends_the_start_with_code_2(void **state)
{
    (void)state;
    assert_int_equal(run("--port 0 --dir /dev/null/x"), 2);
    prints("data directory /dev/null/x");
}

static void
a_second_server_on_the_directory_is_refused(void **state)
{
    struct live_server s;
    char line[200];

    (void)state;
    live_init(&s);
    assert_true(live_start(&s));
    snprintf(line, sizeof line, "--port 0 --dir %s", s.dir);
    assert_int_equal(run(line), 2);
    prints("in use by another server");
    assert_int_equal(live_stop(&s), 0);
    live_fini(&s);
}

static void
another_page_size_than_at_creation_is_refused(void **state)
{
    struct live_server s;
    char line[200];

    (void)state;
    live_init(&s);
    s.options[0] = "--storage.btree.node_size";
    s.options[1] = "4kb";
    assert_true(live_start(&s));
    assert_int_equal(live_stop(&s), 0);
    snprintf(line, sizeof line,
             "--port 0 --dir %s --storage.btree.node_size 16384", s.dir);
    assert_int_equal(run(line), 2);
    prints("4096");
    s.options[0] = NULL; /* one that nobody asks for is what it was */
    assert_true(live_start(&s));
    assert_int_equal(live_stop(&s), 0);
    live_fini(&s);
}

static void
show_config_names_value_and_source(void **state)
{
    (void)state;
    setenv("NQDB_SYSTEM_MAX_CONNECTIONS", "77", 1);
    assert_int_equal(run("tests/golden/prod.toml --port 6390 --requirepass s "
                         "--show-config"),
                     0);
    unsetenv("NQDB_SYSTEM_MAX_CONNECTIONS");
    prints("server.port = 6390  # command line");
    prints("system.max_connections = 77  # environment");
    prints("storage.buffer_pool_size = \"8gb\"  # file, line 10");
    prints("storage.wal.wal_max_size = \"1gb\"  # file, line 18");
    prints("storage.flush.checkpoint_log_size = \"64mb\"  # default");
    prints("quantum.max_qubits = 20  # file, line 32");
    prints("security.password = \"(hidden)\"  # command line");
}

static void
help_version_and_reference_are_printed(void **state)
{
    (void)state;
    assert_int_equal(run("--help"), 0);
    prints("--show-config");
    assert_int_equal(run("--version"), 0);
    prints("nqdb-server 0.");
    assert_int_equal(run("--show-config=markdown"), 0);
    prints("| `storage.wal.fsync_strategy` | `appendfsync` | `periodic` |");
}

/* The file of the specification, but for port, address and directory. */
static void
the_production_file_serves(void **state)
{
    struct live_server s;
    struct client c;

    (void)state;
    live_init(&s);
    s.options[0] = "--config";
    s.options[1] = "tests/golden/prod.toml";
    s.options[2] = "--storage.buffer_pool_size";
    s.options[3] = "64mb";
    assert_true(live_start(&s));
    client_open(&c, &s);
    client_expect(&c, "CONFIG GET storage.btree.node_size",
                  "[\"storage.btree.node_size\", \"4kb\"]");
    client_expect(&c, "CONFIG GET logging.log_format",
                  "[\"logging.log_format\", \"json\"]");
    client_expect(&c, "CONFIG GET quantum.grover_threshold",
                  "[\"quantum.grover_threshold\", \"10000\"]");
    client_close(&c);
    assert_int_equal(live_stop(&s), 0);
    assert_non_null(strstr(log_of(&s),
                           "setting neuromorphic.enable_stdp: accepted, but "
                           "not built yet (learning from access patterns)"));
    assert_non_null(strstr(output, "{\"time\":\""));
    live_fini(&s);
}

static void
config_set_changes_what_it_names(void **state)
{
    struct live_server s;
    struct client c, other;

    (void)state;
    live_init(&s);
    assert_true(live_start(&s));
    client_open(&c, &s);
    client_expect(&c, "CONFIG SET maxmemory 32mb appendfsync always", "+OK");
    client_expect(&c, "CONFIG GET storage.wal.fsync_strategy",
                  "[\"storage.wal.fsync_strategy\", \"always\"]");
    assert_int_equal(client_info(&c, "pool", "pool_size"), 32 << 20);
    client_expect(&c, "CONFIG SET maxmemory 1kb",
                  "-ERR CONFIG SET failed (possibly related to argument "
                  "'maxmemory') - the buffer pool needs at least...");
    assert_int_equal(client_info(&c, "pool", "pool_size"), 32 << 20);
    client_expect(&c, "CONFIG SET maxmemory 0", "+OK");
    assert_true(client_info(&c, "pool", "pool_size") > 0);
    client_expect(&c, "CONFIG SET requirepass secret", "+OK");
    client_open(&other, &s);
    client_expect(&other, "PING", "-NOAUTH Authentication required.");
    client_expect(&other, "AUTH wrong",
                  "-WRONGPASS invalid username-password pair or user is "
                  "disabled.");
    client_expect(&other, "AUTH secret", "+OK");
    client_expect(&other, "PING", "+PONG");
    client_expect(&c, "CONFIG SET port 1",
                  "-ERR CONFIG SET failed (possibly related to argument "
                  "'port') - can't set immutable config");
    client_expect(&c, "CONFIG SET nonsense 1",
                  "-ERR Unknown option or number of arguments for CONFIG SET "
                  "- 'nonsense'");
    client_expect(&c, "CONFIG REWRITE",
                  "-ERR The server is running without a config file");
    client_close(&other);
    client_close(&c);
    assert_int_equal(live_stop(&s), 0);
    live_fini(&s);
}

static void
a_rewritten_file_holds_after_a_restart(void **state)
{
    struct live_server s;
    struct client c;
    char path[100];
    FILE *f;

    (void)state;
    live_init(&s);
    snprintf(path, sizeof path, "%s.toml", s.dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("# mine\n[system]\nmax_connections = 100 # few\n", f);
    fclose(f);
    s.options[0] = "--config";
    s.options[1] = path;
    assert_true(live_start(&s));
    client_open(&c, &s);
    client_expect(&c, "CONFIG SET maxclients 55 timeout 3600", "+OK");
    client_expect(&c, "CONFIG REWRITE", "+OK");
    client_close(&c);
    live_kill(&s);
    assert_true(live_start(&s));
    client_open(&c, &s);
    client_expect(&c, "CONFIG GET maxclients", "[\"maxclients\", \"55\"]");
    client_expect(&c, "CONFIG GET timeout", "[\"timeout\", \"3600\"]");
    client_close(&c);
    assert_int_equal(live_stop(&s), 0);
    unlink(path);
    live_fini(&s);
}

static void
sighup_opens_the_log_again_and_pidfile_is_kept(void **state)
{
    struct live_server s;
    char log[100], moved[110], pidfile[100], line[64] = "";
    struct stat st;
    FILE *f;

    (void)state;
    live_init(&s);
    snprintf(log, sizeof log, "%s.own-log", s.dir);
    snprintf(moved, sizeof moved, "%s.1", log);
    snprintf(pidfile, sizeof pidfile, "%s.pid", s.dir);
    s.options[0] = "--logfile";
    s.options[1] = log;
    s.options[2] = "--pidfile";
    s.options[3] = pidfile;
    assert_true(live_start(&s));
    f = fopen(pidfile, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_int_equal(strtol(line, NULL, 10), s.pid);
    assert_int_equal(rename(log, moved), 0);
    kill(s.pid, SIGHUP);
    for (int i = 0; i < 200 && stat(log, &st) != 0; i++)
        usleep(10000);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(live_stop(&s), 0);
    assert_int_not_equal(stat(pidfile, &st), 0);
    unlink(log);
    unlink(moved);
    live_fini(&s);
}

static void
it_goes_to_the_background_when_told(void **state)
{
    struct live_server s;
    struct client c;
    char line[400];
    int tries = 0;

    (void)state;
    live_init(&s);
    snprintf(line, sizeof line,
             "--daemonize yes --port %d --dir %s --logfile %s", s.port, s.dir,
             s.log);
    assert_int_equal(run(line), 0);
    while (!client_try_open(&c, s.port) && tries++ < 200)
        usleep(10000);
    client_expect(&c, "PING", "+PONG");
    client_expect(&c, "SHUTDOWN", "(closed)");
    client_close(&c);
    for (tries = 0; client_try_open(&c, s.port) && tries < 500; tries++) {
        client_close(&c);
        usleep(10000);
    }
    live_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_settings_end_the_start_with_code_1),
        cmocka_unit_test(a_bad_data_directory_ends_the_start_with_code_2),
        cmocka_unit_test(a_second_server_on_the_directory_is_refused),
        cmocka_unit_test(another_page_size_than_at_creation_is_refused),
        cmocka_unit_test(show_config_names_value_and_source),
        cmocka_unit_test(help_version_and_reference_are_printed),
        cmocka_unit_test(the_production_file_serves),
        cmocka_unit_test(config_set_changes_what_it_names),
        cmocka_unit_test(a_rewritten_file_holds_after_a_restart),
        cmocka_unit_test(sighup_opens_the_log_again_and_pidfile_is_kept),
        cmocka_unit_test(it_goes_to_the_background_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
