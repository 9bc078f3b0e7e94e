/* Damage, as an administrator meets it: nqdb-cli check and its exit codes, the
 * scrubber, NQ.CHECK REPAIR, nqdb-cli salvage; in the clear and encrypted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/file.h"

#define KEYS 3000

struct fixture {
    struct live_server s;
    struct client c;
    char key[100]; /* a file; empty: in the clear */
    char *output;  /* of the last run() */
};

/* Runs the program; its exit code. */
static int
run(struct fixture *x, const char *subcommand, const char *more)
{
    const char *binary = getenv("NQDB_CLI");
    struct buf b = BUF_INIT;
    char line[1024];
    size_t n;
    int status;
    FILE *p;

    snprintf(line, sizeof line, "timeout 60 %s %s %s %s%s %s 2>&1",
             binary == NULL ? "false" : binary, subcommand, x->s.dir,
             x->key[0] != 0 ? "--key-path " : "", x->key, more);
    p = popen(line, "r");
    assert_non_null(p);
    do {
        n = fread(buf_reserve(&b, 65536), 1, 65536, p);
        b.len += n;
    } while (n > 0);
    status = pclose(p);
    buf_put_u8(&b, 0);
    nq_free(x->output);
    x->output = (char *)b.p;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
expect_printed(const struct fixture *x, const char *want)
{
    if (strstr(x->output, want) == NULL)
        fail_msg("wanted: %s\nprinted: %.2000s", want, x->output);
}

static void
start(struct fixture *x)
{
    assert_true(live_start(&x->s));
    client_open(&x->c, &x->s);
}

static void
stop(struct fixture *x)
{
    client_close(&x->c);
    assert_int_equal(live_stop(&x->s), 0);
}

static void
make_key(struct fixture *x)
{
    FILE *f;

    snprintf(x->key, sizeof x->key, "%s.key", x->s.dir);
    f = fopen(x->key, "w");
    assert_non_null(f);
    for (unsigned i = 0; i < 32; i++)
        fprintf(f, "%02x", i * 7 & 0xff);
    fclose(f);
    chmod(x->key, 0600);
}

/* A server with parity that was filled and stopped. */
static void
begin(struct fixture *x, bool encrypted)
{
    const char **o = x->s.options;

    memset(x, 0, sizeof *x);
    live_init(&x->s);
    *o++ = "--storage.ecc";
    *o++ = "yes";
    *o++ = "--compression.enabled"; /* so that pages have some sectors */
    *o++ = "no";
    if (encrypted) {
        make_key(x);
        *o++ = "--security.encryption.enabled";
        *o++ = "yes";
        *o++ = "--security.encryption.key_path";
        *o++ = x->key;
    }
    start(x);
    for (unsigned i = 0; i < KEYS; i++) {
        char line[200];

        snprintf(line, sizeof line, "SET key:%05u %080u", i, i);
        client_expect(&x->c, line, "+OK");
    }
    client_expect(&x->c, "SETRANGE big 2500000 end", ":2500003");
    client_expect(&x->c, "NQ.CHECKPOINT", "+OK");
    stop(x);
}

static void
end(struct fixture *x)
{
    live_fini(&x->s);
    if (x->key[0] != 0)
        unlink(x->key);
    nq_free(x->output);
    x->output = NULL;
}

/* Whether a whole extent of some sectors begins there: see store/extent.c. */
static bool
is_extent(const uint8_t *p, size_t left)
{
    uint32_t payload, crc;

    if (left < 4096 || memcmp(p, "NQE1", 4) != 0)
        return false;
    memcpy(&payload, p + 20, 4);
    memcpy(&crc, p + 36, 4);
    return payload >= 4000 && payload <= left - 40 &&
           crc == crc32c(crc32c(0, p, 36), p + 40, payload);
}

/* Overwrites `sectors` sectors, one behind the other, of each extent. */
static unsigned
damage(const struct fixture *x, unsigned sectors)
{
    char path[100];
    unsigned count = 0;
    uint64_t size;
    uint8_t *bytes;
    struct file *f;

    snprintf(path, sizeof path, "%s/data.nq", x->s.dir);
    assert_int_equal(file_open(path, FILE_WRITE, &f), NQ_OK);
    assert_int_equal(file_size(f, &size), NQ_OK);
    bytes = nq_malloc(size);
    assert_int_equal(file_read(f, bytes, size, 0), NQ_OK);
    for (size_t at = 16384; at < size; at += 512) {
        if (!is_extent(bytes + at, size - at))
            continue;
        memset(bytes + at + 1024, 0x5a, sectors * 512);
        count++;
    }
    assert_int_equal(file_write(f, bytes, size, 0), NQ_OK);
    file_close(f);
    nq_free(bytes);
    return count;
}

static void
expect_all(struct fixture *x)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char line[100], want[100];

        snprintf(line, sizeof line, "GET key:%05u", i);
        snprintf(want, sizeof want, "\"%080u\"", i);
        client_expect(&x->c, line, want);
    }
    client_expect(&x->c, "GETRANGE big 2500000 -1", "\"end\"");
}

/* --- the tests
 * ------------------------------------------------------------------ */

static void
the_exit_code_tells_good_damaged_and_not_looked_at(void **state)
{
    struct fixture x;

    (void)state;
    begin(&x, false);
    assert_int_equal(run(&x, "check", ""), 0);
    expect_printed(&x, "good: 3001 keys");
    damage(&x, 4); /* more than parity mends */
    assert_int_equal(run(&x, "check", ""), 1);
    expect_printed(&x, "(root): checksum computed: expected ");
    expect_printed(&x, "lost; database 0: all keys");
    expect_printed(&x, "(leaf): checksum computed: expected ");
    expect_printed(&x, "lost; not known: pages above it are damaged");
    end(&x);
    assert_int_equal(run(&x, "check", "--nothing"), 1);
    nq_free(x.output);
}

static void
scrub(bool encrypted)
{
    struct timespec tenth = {0, 100000000};
    struct fixture x;

    begin(&x, encrypted);
    assert_true(damage(&x, 1) > 30);
    assert_int_equal(run(&x, "check", ""), 1);
    expect_printed(&x, "can be repaired; database 0: ");
    start(&x);
    client_expect(&x.c, "CONFIG SET storage.scrub_rate 0", "+OK");
    client_expect(&x.c, "CONFIG SET storage.scrub_interval 1s", "+OK");
    for (unsigned i = 0; client_info(&x.c, "storage", "scrub_repaired") <= 0;
         i++) {
        assert_true(i < 100);
        nanosleep(&tenth, NULL);
    }
    client_expect(&x.c, "CONFIG SET storage.scrub_interval 0", "+OK");
    assert_int_equal(client_info(&x.c, "storage", "damaged_pages"), 0);
    expect_all(&x);
    stop(&x);
    assert_int_equal(run(&x, "check", ""), 0);
    end(&x);
}

static void
the_scrubber_mends_a_sector_of_each_page(void **state)
{
    (void)state;
    scrub(false);
}

static void
it_mends_encrypted_ones_too(void **state)
{
    (void)state;
    scrub(true);
}

static void
reading_mends_and_the_page_is_written_anew(void **state)
{
    struct fixture x;

    (void)state;
    begin(&x, false);
    damage(&x, 1);
    start(&x);
    expect_all(&x);
    assert_true(client_info(&x.c, "storage", "repaired_pages") > 20);
    client_expect(&x.c, "NQ.CHECK REPAIR", "[\"findings\", ...");
    stop(&x);
    assert_int_equal(run(&x, "check", ""), 0);
    end(&x);
}

static void
a_damaged_key_names_page_and_place_and_others_are_served(void **state)
{
    unsigned bad = 0, good = 0;
    struct fixture x;
    char saved[100];

    (void)state;
    begin(&x, false);
    damage(&x, 0);
    {
        char line[300];

        snprintf(line, sizeof line,
                 "dd if=/dev/urandom of=%s/data.nq bs=512 seek=2100 count=200 "
                 "conv=notrunc 2>/dev/null",
                 x.s.dir);
        assert_int_equal(system(line), 0);
    }
    start(&x);
    for (unsigned i = 0; i < KEYS; i++) {
        char line[100], want[100];
        const char *got;

        snprintf(line, sizeof line, "GET key:%05u", i);
        snprintf(want, sizeof want, "\"%080u\"", i);
        got = client_ask(&x.c, line);
        if (strncmp(got, "-CORRUPT page ", 14) == 0)
            bad += strstr(got, " at offset ") != NULL;
        else if (strcmp(got, want) == 0)
            good++;
        else
            fail_msg("%s: %s", line, got);
    }
    assert_int_equal(good + bad, KEYS);
    if (bad > 0)
        assert_true(client_info(&x.c, "storage", "checksum_errors") > 0);
    client_close(&x.c);
    live_kill(&x.s);
    assert_int_equal(run(&x, "salvage", "--to /dev/null"), 2); /* exists */
    snprintf(saved, sizeof saved, "--to %s.saved", x.s.dir);
    (void)run(&x, "salvage", saved);
    expect_printed(&x, "saved: ");
    unlink(saved + 5);
    end(&x);
}

static void
salvage_into(bool encrypted)
{
    struct fixture x, y;
    char line[300];
    FILE *f;

    begin(&x, encrypted);
    f = fopen((snprintf(line, sizeof line, "%s/data.nq", x.s.dir), line),
              "r+b");
    assert_non_null(f);
    memset(line, 0, sizeof line);
    for (unsigned i = 0; i < 64; i++) /* both superblocks */
        assert_int_equal(fwrite(line, 256, 1, f), 1);
    fclose(f);
    assert_int_equal(run(&x, "check", ""), 2);
    snprintf(line, sizeof line, "--to %s.saved", x.s.dir);
    (void)run(&x, "salvage", line);
    expect_printed(&x, "3001 keys whole");

    memset(&y, 0, sizeof y);
    live_init(&y.s);
    start(&y);
    snprintf(line, sizeof line,
             "timeout 60 redis-cli -p %d --pipe < %s.saved > /dev/null",
             y.s.port, x.s.dir);
    if (system("redis-cli --version > /dev/null 2>&1") == 0) {
        assert_int_equal(system(line), 0);
        expect_all(&y);
    }
    stop(&y);
    end(&y);
    snprintf(line, sizeof line, "%s.saved", x.s.dir);
    unlink(line);
    end(&x);
}

static void
what_is_salvaged_makes_a_new_database(void **state)
{
    (void)state;
    salvage_into(false);
}

static void
with_the_key_of_an_encrypted_one_too(void **state)
{
    (void)state;
    salvage_into(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exit_code_tells_good_damaged_and_not_looked_at),
        cmocka_unit_test(the_scrubber_mends_a_sector_of_each_page),
        cmocka_unit_test(it_mends_encrypted_ones_too),
        cmocka_unit_test(reading_mends_and_the_page_is_written_anew),
        cmocka_unit_test(
            a_damaged_key_names_page_and_place_and_others_are_served),
        cmocka_unit_test(what_is_salvaged_makes_a_new_database),
        cmocka_unit_test(with_the_key_of_an_encrypted_one_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
