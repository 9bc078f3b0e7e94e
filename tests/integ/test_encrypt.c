/* Encryption at rest, as an administrator sees it: no file of the directory
 * shows what clients wrote, however the server ends; another key, or none,
 * opens nothing; keys are replaced while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"

#define CANARY "canary"
#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
    struct live_server srv;
    struct client c;
    char key[64]; /* path of the file with the master key */
};

static void
put_key(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void
encrypt(struct fixture *x)
{
    static const char *const options[] = {"--security.encryption.enabled",
                                          "yes",
                                          "--security.encryption.key_path"};

    for (size_t i = 0; i < nq_countof(options); i++)
        x->srv.options[i] = options[i];
    x->srv.options[nq_countof(options)] = x->key;
    x->srv.options[nq_countof(options) + 1] = "--compression.enabled";
    x->srv.options[nq_countof(options) + 2] = "yes";
}

static void
set_up(struct fixture *x)
{
    memset(x, 0, sizeof *x);
    live_init(&x->srv);
    snprintf(x->key, sizeof x->key, "/tmp/nq-master-%d-%d", (int)getpid(),
             x->srv.port);
    put_key(x->key, KEY_A, 0600);
}

static void
start(struct fixture *x)
{
    assert_true(live_start(&x->srv));
    client_open(&x->c, &x->srv);
}

static void
stop(struct fixture *x)
{
    client_close(&x->c);
    assert_int_equal(live_stop(&x->srv), 0);
}

static void
crash(struct fixture *x)
{
    live_kill(&x->srv);
    client_close(&x->c);
}

static void
tear_down(struct fixture *x)
{
    live_fini(&x->srv);
    (void)unlink(x->key);
}

/* --- canaries ------------------------------------------------------------- */

static unsigned
count_in_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf b = BUF_INIT;
    unsigned found = 0;
    size_t n;

    if (f == NULL)
        return 0; /* recycled or removed meanwhile */
    do {
        n = fread(buf_reserve(&b, 1 << 20), 1, 1 << 20, f);
        b.len += n;
    } while (n > 0);
    fclose(f);
    for (const uint8_t *p = b.p, *end = b.p + b.len;
         p != NULL && (p = memmem(p, (size_t)(end - p), CANARY, 6)) != NULL;
         p += 6)
        found++;
    if (found > 0)
        fprintf(stderr, "%s: %u canaries\n", path, found);
    buf_fini(&b);
    return found;
}

/* In all files of the directory. */
static unsigned
count_canaries(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned found = 0;
    struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[1024];

        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            found += count_canaries(path);
        else if (e->d_type == DT_REG)
            found += count_in_file(path);
    }
    closedir(d);
    return found;
}

/* Keys, values, fields, members, elements; small, big and alike. */
static void
write_canaries(struct fixture *x, int round)
{
    char line[400];

    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line,
                 "SET canary:%d:%d \"{'user': %d, 'canary': 'canary-%d'}\"",
                 round, i, i, i);
        client_expect(&x->c, line, "+OK");
        snprintf(line, sizeof line, "HSET canary:hash f-canary-%d canary%d", i,
                 i);
        client_ask(&x->c, line);
        snprintf(line, sizeof line, "ZADD canary:zset %d canary%d", i, i);
        client_ask(&x->c, line);
        snprintf(line, sizeof line, "RPUSH canary:list canary%d", i);
        client_ask(&x->c, line);
        snprintf(line, sizeof line, "XADD canary:stream * canary canary%d", i);
        client_ask(&x->c, line);
    }
    client_ask(&x->c, "SETRANGE canary:big 3000000 canary");
    client_ask(&x->c, "SETRANGE canary:big 1 canary");
}

static void
check_canaries(struct fixture *x, int round)
{
    char line[100];

    snprintf(line, sizeof line, "GET canary:%d:299", round);
    client_expect(&x->c, line, "\"{'user': 299, 'canary': 'canary-299'}\"");
    client_expect(&x->c, "HGET canary:hash f-canary-7", "\"canary7\"");
    client_expect(&x->c, "GETRANGE canary:big 3000000 -1", "\"canary\"");
}

static void
wait_for_job(struct fixture *x)
{
    uint64_t until = clock_mono_ms() + 20000;

    /* One that is due begins soon after the start. */
    while (client_info(&x->c, "encryption", "encryption_rotation_due") > 0 ||
           client_info(&x->c, "jobs", "jobs_running") > 0) {
        assert_true(clock_mono_ms() < until);
        thread_sleep_us(2000);
    }
}

static void
nothing_on_disk_shows_what_was_written(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    encrypt(&x);
    start(&x);
    write_canaries(&x, 0);
    client_expect(&x.c, "SAVE", "+OK");
    write_canaries(&x, 1);
    client_expect(&x.c, "WAITAOF 1 0 5000", "[:1, :0]");
    assert_int_equal(count_canaries(x.srv.dir), 0);
    crash(&x);
    assert_int_equal(count_canaries(x.srv.dir), 0);
    start(&x);
    check_canaries(&x, 0);
    check_canaries(&x, 1);
    client_expect(&x.c, "NQ.ENCRYPT ROTATE DATA", ":1");
    write_canaries(&x, 2);
    assert_int_equal(count_canaries(x.srv.dir), 0);
    wait_for_job(&x);
    stop(&x);
    assert_int_equal(count_canaries(x.srv.dir), 0);
    start(&x);
    check_canaries(&x, 2);
    stop(&x);
    tear_down(&x);
}

static void
a_database_switched_over_is_sealed_by_itself(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    start(&x);
    write_canaries(&x, 0);
    client_expect(&x.c, "SAVE", "+OK");
    write_canaries(&x, 1);
    crash(&x);
    assert_true(count_canaries(x.srv.dir) > 100);
    encrypt(&x);
    start(&x);
    write_canaries(&x, 2);
    crash(&x); /* in the middle, perhaps */
    start(&x);
    wait_for_job(&x);
    assert_int_equal(client_info(&x.c, "encryption", "encryption_complete"), 1);
    for (int round = 0; round < 3; round++)
        check_canaries(&x, round);
    stop(&x);
    assert_int_equal(count_canaries(x.srv.dir), 0);
    tear_down(&x);
}

/* --- keys ----------------------------------------------------------------- */

/* Runs a program of ours on the directory; its exit code, and whether it says
 * `want`. */
static int
run(const struct fixture *x, const char *variable, const char *arguments,
    const char *want)
{
    const char *binary = getenv(variable);
    char line[1024], out[16384];
    size_t n;
    int status;
    FILE *p;

    snprintf(line, sizeof line, "timeout 20 %s %s %s 2>&1 </dev/null",
             binary == NULL ? "false" : binary, arguments, x->srv.dir);
    p = popen(line, "r");
    assert_non_null(p);
    n = fread(out, 1, sizeof out - 1, p);
    out[n] = '\0';
    while (fgetc(p) != EOF)
        ; /* it is to end by itself */
    status = pclose(p);
    if (strstr(out, want) == NULL)
        fail_msg("%s\nwanted: %s\nprinted: %s", line, want, out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
serve(const struct fixture *x, const char *arguments, const char *want)
{
    char all[700];

    snprintf(all, sizeof all, "--port 0 %s --dir", arguments);
    return run(x, "NQDB_SERVER", all, want);
}

static void
servers_without_the_right_key_end_and_say_why(void **state)
{
    static const char on[] = "--security.encryption.enabled yes "
                             "--security.encryption.key_path";
    char line[300];
    struct fixture x;

    (void)state;
    set_up(&x);
    encrypt(&x);
    start(&x);
    client_expect(&x.c, "SET canary 1", "+OK");
    stop(&x);
    assert_int_equal(serve(&x, "", "security.encryption.enabled"), 2);
    put_key(x.key, KEY_B, 0600);
    snprintf(line, sizeof line, "%s %s", on, x.key);
    assert_int_equal(serve(&x, line, "master key"), 2);
    put_key(x.key, KEY_A "\n\n", 0600);
    assert_int_equal(serve(&x, line, "expected 32 bytes"), 2);
    put_key(x.key, KEY_A, 0644);
    assert_int_equal(serve(&x, line, "everybody"), 2);
    snprintf(line, sizeof line, "%s /nowhere", on);
    assert_int_equal(serve(&x, line, "/nowhere"), 2);
    assert_int_equal(serve(&x, "--security.encryption.enabled yes", "name"), 2);
    put_key(x.key, KEY_A, 0600);
    start(&x);
    client_expect(&x.c, "GET canary", "\"1\"");
    stop(&x);
    tear_down(&x);
}

static void
tools_take_the_key_in_all_three_ways(void **state)
{
    struct fixture x;
    char line[200];

    (void)state;
    set_up(&x);
    encrypt(&x);
    start(&x);
    write_canaries(&x, 0);
    stop(&x);
    assert_int_not_equal(run(&x, "NQDB_CLI", "check", "is encrypted"), 0);
    snprintf(line, sizeof line, "check --key-path %s", x.key);
    assert_int_equal(run(&x, "NQDB_CLI", line, "0 findings"), 0);
    snprintf(line, sizeof line, "stats --key-command \"cat %s\"", x.key);
    assert_int_equal(run(&x, "NQDB_CLI", line, "db0:keys=305"), 0);
    assert_int_equal(setenv("NQDB_MASTER_KEY", KEY_A, 1), 0);
    assert_int_equal(run(&x, "NQDB_CLI",
                         "dump --format text --key-env NQDB_MASTER_KEY",
                         "canary:0:7"),
                     0);
    assert_int_equal(setenv("NQDB_MASTER_KEY", KEY_B, 1), 0);
    assert_int_not_equal(run(&x, "NQDB_CLI",
                             "dump --format text --key-env NQDB_MASTER_KEY",
                             "another"),
                         0);
    assert_int_equal(unsetenv("NQDB_MASTER_KEY"), 0);
    assert_int_equal(run(&x, "NQDB_CLI", "wal", " key 1"), 0);
    tear_down(&x);
}

static void
the_master_key_is_replaced_while_it_runs(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    encrypt(&x);
    start(&x);
    client_expect(&x.c, "SET a 1", "+OK");
    client_expect(&x.c, "NQ.ENCRYPT STATUS",
                  "[\"encrypted\", :1, \"algorithm\", \"aes-256-gcm\", "
                  "\"complete\", :1, \"keys\", :1, \"current-key\", :1, ...");
    client_expect(&x.c, "NQ.ENCRYPT ROTATE MASTER",
                  "-ERR the source gives the key that is in use already");
    put_key(x.key, "nonsense", 0600);
    client_expect(&x.c, "NQ.ENCRYPT ROTATE MASTER",
                  "-ERR what was given is no master key...");
    put_key(x.key, KEY_B, 0600);
    client_expect(&x.c, "NQ.ENCRYPT ROTATE MASTER", "+OK");
    client_expect(&x.c, "NQ.ENCRYPT ROTATE NOTHING", "-ERR syntax error");
    crash(&x);
    start(&x);
    client_expect(&x.c, "GET a", "\"1\"");
    assert_int_equal(client_info(&x.c, "encryption", "encryption_keys"), 2);
    stop(&x);
    put_key(x.key, KEY_A, 0600);
    assert_int_equal(serve(&x,
                           "--security.encryption.enabled yes "
                           "--security.encryption.key_command \"cat\"",
                           "wrote nothing"),
                     2);
    tear_down(&x);
}

static void
a_database_in_the_clear_has_no_keys_to_replace(void **state)
{
    struct fixture x;

    (void)state;
    set_up(&x);
    start(&x);
    client_expect(&x.c, "NQ.ENCRYPT STATUS", "[\"encrypted\", :0, ...");
    client_expect(&x.c, "NQ.ENCRYPT ROTATE MASTER",
                  "-ERR the database is not encrypted");
    client_expect(&x.c, "NQ.ENCRYPT ROTATE DATA",
                  "-ERR the database is not encrypted");
    stop(&x);
    tear_down(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_on_disk_shows_what_was_written),
        cmocka_unit_test(a_database_switched_over_is_sealed_by_itself),
        cmocka_unit_test(servers_without_the_right_key_end_and_say_why),
        cmocka_unit_test(tools_take_the_key_in_all_three_ways),
        cmocka_unit_test(the_master_key_is_replaced_while_it_runs),
        cmocka_unit_test(a_database_in_the_clear_has_no_keys_to_replace),
    };

    return cmocka_run_group_tests_name("encrypt", tests, NULL, NULL);
}
