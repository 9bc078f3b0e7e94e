/* nqdb-cli on the directory of a stopped server: check, stats, dump, wal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

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

#define KEYS 3000

static struct live_server srv;
static char *output; /* of the last run() */

/* Runs `nqdb-cli arguments DIR`; the exit code. */
static int
run(const char *subcommand, const char *arguments)
{
    const char *binary = getenv("NQDB_CLI");
    struct buf b = BUF_INIT;
    char line[1024];
    FILE *p;
    size_t n;
    int status;

    snprintf(line, sizeof line, "timeout 60 %s %s %s %s 2>&1",
             binary == NULL ? "false" : binary, subcommand, srv.dir, arguments);
    p = popen(line, "r");
    assert_non_null(p);
    do {
        n = fread(buf_reserve(&b, 65536), 1, 65536, p);
        b.len += n;
    } while (n > 0);
    status = pclose(p);
    buf_put_u8(&b, 0);
    nq_free(output);
    output = (char *)nq_memdup(b.p, b.len);
    buf_fini(&b);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
prints(const char *want)
{
    if (strstr(output, want) == NULL)
        fail_msg("wanted: %s\nprinted: %.2000s", want, output);
}

static int
prepare(void **state)
{
    struct client c;
    char line[160];

    (void)state;
    live_init(&srv);
    if (!live_start(&srv))
        return -1;
    client_open(&c, &srv);
    /* Then the file is large enough to be damaged somewhere in its middle. */
    client_expect(&c, "CONFIG SET compression.enabled no", "+OK");
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "SET key:%05d %080d%s", i, i,
                 i % 100 == 0 ? " EX 100000" : "");
        client_expect(&c, line, "+OK");
    }
    client_expect(&c, "SETRANGE big 3000000 end", ":3000003");
    client_expect(&c, "SELECT 2", "+OK");
    client_expect(&c, "SET \"quoted \\\" \\x00\" \"\"", "+OK");
    client_close(&c);
    return 0;
}

static int
clean_up(void **state)
{
    (void)state;
    live_fini(&srv);
    nq_free(output);
    output = NULL;
    return 0;
}

static void
a_good_database_checks(void **state)
{
    (void)state;
    assert_int_equal(live_stop(&srv), 0);
    if (run("check", "") != 0)
        fail_msg("%s", output);
    prints("good: 3002 keys");
}

/* The log behind the last checkpoint counts, too, and stays as it is. */
static void
a_killed_database_checks_and_is_left_alone(void **state)
{
    (void)state;
    live_kill(&srv);
    for (int i = 0; i < 2; i++) {
        if (run("check", "") != 0)
            fail_msg("%s", output);
        prints("good: 3002 keys");
    }
    assert_true(live_start(&srv));
    assert_int_equal(live_stop(&srv), 0);
}

static void
a_database_in_use_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run("check", ""), 2); /* 1: damage */
    prints("in use by another server");
}

static void
stats_name_what_is_there(void **state)
{
    (void)state;
    assert_int_equal(live_stop(&srv), 0);
    assert_int_equal(run("stats", ""), 0);
    prints("page_size:8192\n");
    prints("db0:keys=3001,expires=30\n");
    prints("db2:keys=1,expires=0\n");
    prints("blobs:1\n");
}

static void
a_dump_loads_into_an_empty_server(void **state)
{
    struct live_server fresh;
    struct client c;
    char path[80], redirection[96];
    size_t len;
    long ttl;

    (void)state;
    assert_int_equal(live_stop(&srv), 0);
    snprintf(path, sizeof path, "%s/dump.resp", srv.dir);
    snprintf(redirection, sizeof redirection, "> %s", path);
    assert_int_equal(run("dump", redirection), 0);
    {
        struct stat st;
        FILE *f = fopen(path, "r");
        char *text;

        assert_non_null(f);
        assert_int_equal(fstat(fileno(f), &st), 0);
        len = (size_t)st.st_size;
        text = nq_malloc(len);
        assert_int_equal(fread(text, 1, len, f), len);
        fclose(f);
        live_init(&fresh);
        assert_true(live_start(&fresh));
        client_open(&c, &fresh);
        client_send_raw(&c, text, len);
        nq_free(text);
    }
    unlink(path);
    for (int i = 0; i < KEYS + 2 + 2; i++) /* two SELECTs */
        client_expect_read(&c, "+OK");
    client_expect(&c, "DBSIZE", ":1");
    client_expect(&c, "GET \"quoted \\\" \\x00\"", "\"\"");
    client_expect(&c, "SELECT 0", "+OK");
    client_expect(&c, "DBSIZE", ":3001");
    client_expect(&c, "GETRANGE big 2999998 -1", "\"\\x00\\x00end\"");
    client_expect(&c, "TTL key:00001", ":-1");
    ttl = strtol(client_ask(&c, "TTL key:00100") + 1, NULL, 10);
    assert_in_range(ttl, 90000, 100000);
    client_close(&c);
    assert_int_equal(live_stop(&fresh), 0);
    live_fini(&fresh);
}

/* Everything that collections are: small and big, expiring, with groups. */
static void
fill_collections(struct client *c)
{
    char line[5100];

    for (int i = 0; i < 700; i++) {
        snprintf(line, sizeof line, "RPUSH list:big e%d \"\\r\\n %d\"", i, i);
        (void)client_ask(c, line);
        snprintf(line, sizeof line, "SADD set:big member:%d", i);
        client_expect(c, line, ":1");
        snprintf(line, sizeof line, "ZADD zset:big %d.25 member:%d", i % 50, i);
        client_expect(c, line, ":1");
        snprintf(line, sizeof line, "HSET hash:big field:%d %060d", i, i);
        client_expect(c, line, ":1");
        snprintf(line, sizeof line, "XADD stream %d-1 n %d f \"\"", i + 1, i);
        (void)client_ask(c, line);
    }
    client_expect(c, "RPUSH list a \"\" 17 a", ":4");
    client_expect(c, "DEL big", ":1"); /* zero bytes would end the text */
    client_expect(c, "SELECT 2", "+OK");
    client_expect(c, "FLUSHDB", "+OK");
    client_expect(c, "SELECT 0", "+OK");
    snprintf(line, sizeof line, "HSET hash:big blob %05000d", 7);
    client_expect(c, line, ":1");
    client_expect(c, "SADD set 1 2 three", ":3");
    client_expect(c, "ZADD zset -inf a inf b 0.1 c", ":3");
    client_expect(c, "HSET hash f v g \"\" h 3", ":3");
    client_expect(c, "HPEXPIRE hash 90000000 FIELDS 1 f", "[:1]");
    client_expect(c, "EXPIRE hash 100000", ":1");
    client_expect(c, "EXPIRE set:big 100000", ":1");
    client_expect(c, "XDEL stream 5-1 700-1", ":2");
    client_expect(c, "XGROUP CREATE stream group 10-1", "+OK");
    (void)client_ask(c, "XREADGROUP GROUP group bob COUNT 5 STREAMS stream >");
    client_expect(c, "XGROUP CREATECONSUMER stream group eve", ":1");
    client_expect(c, "XGROUP CREATE empty group $ MKSTREAM", "+OK");
}

/* All that the dump says is done; what its server then dumps is printed. */
static void
load_and_dump_again(const char *dump)
{
    struct live_server old = srv;
    const char *reply;
    struct client c;

    live_init(&srv);
    assert_true(live_start(&srv));
    client_open(&c, &srv);
    client_send_raw(&c, dump, strlen(dump));
    client_send(&c, "PING");
    while (strcmp(reply = client_read(&c), "+PONG") != 0)
        if (reply[0] == '-' || reply[0] == '(')
            fail_msg("%s", reply);
    client_close(&c);
    assert_int_equal(live_stop(&srv), 0);
    assert_int_equal(run("check", ""), 0);
    assert_int_equal(run("dump", ""), 0);
    live_fini(&srv);
    srv = old;
}

static void
collections_are_the_same_after_a_dump(void **state)
{
    struct client c;
    char *first;

    (void)state;
    client_open(&c, &srv);
    fill_collections(&c);
    client_close(&c);
    assert_int_equal(live_stop(&srv), 0);
    assert_int_equal(run("dump", ""), 0);
    prints("HPEXPIREAT");
    prints("XCLAIM");
    first = output;
    output = NULL;
    load_and_dump_again(first);
    assert_string_equal(output, first);
    nq_free(first);
    assert_int_equal(run("dump", "--format text --prefix zset"), 0);
    prints("0 0 \"zset\" zset \"-inf\" \"a\" \"0.1");
    assert_int_equal(run("dump", "--format text --prefix list"), 0);
    prints("0 0 \"list\" list \"a\" \"\" \"17\" \"a\"\n");
}

static void
a_text_dump_has_one_line_for_a_key(void **state)
{
    unsigned lines = 0;

    (void)state;
    assert_int_equal(live_stop(&srv), 0);
    assert_int_equal(run("dump", "--format text --prefix key:0001"), 0);
    for (const char *p = output; *p != '\0'; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 10);
    prints("0 0 \"key:00011\" \"0000");
    assert_int_equal(run("dump", "--format text --db 2"), 0);
    assert_string_equal(output, "2 0 \"quoted \\\" \\x00\" \"\"\n");
}

static void
the_log_is_told_record_by_record(void **state)
{
    (void)state;
    live_kill(&srv);
    assert_int_equal(run("wal", ""), 0);
    prints("SET");
    prints("key:00011");
}

/* Bytes flipped behind the superblocks: some page does not check. */
static void
damage_is_found_and_named(void **state)
{
    char path[100];
    uint8_t bytes[64];
    int fd;

    (void)state;
    assert_int_equal(live_stop(&srv), 0);
    snprintf(path, sizeof path, "%s/data.nq", srv.dir);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 100000), sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] ^= 0x55;
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 100000), sizeof bytes);
    close(fd);
    assert_int_equal(run("check", ""), 1);
    prints("expected");
    prints("damaged: ");
}

static void
mistakes_on_the_command_line_are_told(void **state)
{
    (void)state;
    assert_int_equal(run("nonsense", ""), 1);
    prints("no such subcommand");
    assert_int_equal(run("check", "--nonsense"), 1);
    prints("--nonsense: not understood");
    assert_int_equal(run("--help", ""), 0);
    prints("nqdb-cli dump DIR");
    assert_int_equal(run("dump", "--help"), 0);
    prints("--prefix P");
}

int
main(void)
{
#define WITH_DATA(test) cmocka_unit_test_setup_teardown(test, prepare, clean_up)
    const struct CMUnitTest tests[] = {
        WITH_DATA(a_good_database_checks),
        WITH_DATA(a_killed_database_checks_and_is_left_alone),
        WITH_DATA(a_database_in_use_is_refused),
        WITH_DATA(stats_name_what_is_there),
        WITH_DATA(a_dump_loads_into_an_empty_server),
        WITH_DATA(collections_are_the_same_after_a_dump),
        WITH_DATA(a_text_dump_has_one_line_for_a_key),
        WITH_DATA(the_log_is_told_record_by_record),
        WITH_DATA(damage_is_found_and_named),
        WITH_DATA(mistakes_on_the_command_line_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
