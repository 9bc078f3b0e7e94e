/* Secrets from outside: what is taken, what is refused, and what is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/slice.h"
#include "os/clock.h"
#include "os/secret.h"

#define CAP 64u
#define SOON_MS 5000u

static uint8_t got[CAP];
static size_t len;
static char why[SECRET_WHY];

static bool
is_text(const char *text)
{
    return slice_eq(slice_of(got, len), slice_str(text));
}

static bool
is_refused(nq_rc rc, const char *reason)
{
    for (size_t i = 0; i < CAP; i++) {
        if (got[i] != 0)
            return false;
    }
    return rc == NQ_EINVAL && strstr(why, reason) != NULL;
}

/* --- files ---------------------------------------------------------------- */

static nq_rc
from_file(const char *text, mode_t mode)
{
    char path[] = "/tmp/nq-secret-XXXXXX";
    int fd = mkstemp(path);
    nq_rc rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    memset(got, 0, sizeof got);
    rc = secret_from_file(path, got, CAP, &len, why);
    unlink(path);
    return rc;
}

static void
files_are_read_if_nobody_else_can(void **state)
{
    (void)state;
    assert_int_equal(from_file("a secret\n", 0600), NQ_OK);
    assert_true(is_text("a secret\n"));
    assert_int_equal(from_file("a secret", 0640), NQ_OK);
    assert_true(is_refused(from_file("a secret", 0644), "everybody"));
    assert_true(is_refused(from_file("a secret", 0602), "everybody"));
    assert_true(is_refused(from_file("", 0600), "empty"));
    assert_true(is_refused(from_file("0123456789012345678901234567890123456789"
                                     "0123456789012345678901234567890123456789",
                                     0600),
                           "too long"));
}

static void
what_is_no_file_is_refused(void **state)
{
    (void)state;
    memset(got, 0, sizeof got);
    assert_true(is_refused(secret_from_file("/tmp", got, CAP, &len, why),
                           "is no file"));
    assert_true(is_refused(
        secret_from_file("/nowhere/at/all", got, CAP, &len, why), "No such"));
}

/* --- the environment ------------------------------------------------------ */

static void
variables_are_wiped_once_they_are_read(void **state)
{
    static char entry[] = "NQ_TEST_SECRET=a secret";

    (void)state;
    assert_int_equal(putenv(entry), 0);
    assert_int_equal(secret_from_env("NQ_TEST_SECRET", got, CAP, &len, why),
                     NQ_OK);
    assert_true(is_text("a secret"));
    assert_null(getenv("NQ_TEST_SECRET"));
    for (const char *p = strchr(entry, '=') + 1; p < entry + sizeof entry; p++)
        assert_int_equal(*p, 0);
    memset(got, 0, sizeof got);
    assert_true(
        is_refused(secret_from_env("NQ_TEST_SECRET", got, CAP, &len, why),
                   "no such environment variable"));
}

/* --- commands ------------------------------------------------------------- */

static nq_rc
from_command(const char *command, uint32_t timeout_ms)
{
    memset(got, 0, sizeof got);
    return secret_from_command(command, timeout_ms, got, CAP, &len, why);
}

static void
commands_give_what_they_write(void **state)
{
    (void)state;
    assert_int_equal(from_command("  echo a  secret", SOON_MS), NQ_OK);
    assert_true(is_text("a secret\n"));
    /* No shell: nothing of this means anything. */
    assert_int_equal(from_command("echo $HOME;true `id` 'x", SOON_MS), NQ_OK);
    assert_true(is_text("$HOME;true `id` 'x\n"));
}

static void
commands_that_fail_are_refused(void **state)
{
    (void)state;
    assert_true(is_refused(from_command("false", SOON_MS), "with an error"));
    assert_true(is_refused(from_command("true", SOON_MS), "wrote nothing"));
    assert_true(is_refused(from_command("/nowhere/at/all", SOON_MS), ""));
    assert_true(is_refused(from_command("   ", SOON_MS), "no command"));
    assert_true(
        is_refused(from_command("head -c 999 /dev/zero", SOON_MS), "too long"));
}

static void
commands_have_a_time_limit(void **state)
{
    uint64_t began = clock_mono_ms();

    (void)state;
    assert_true(is_refused(from_command("sleep 60", 30), "in time"));
    assert_true(clock_mono_ms() - began < 30000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_if_nobody_else_can),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(variables_are_wiped_once_they_are_read),
        cmocka_unit_test(commands_give_what_they_write),
        cmocka_unit_test(commands_that_fail_are_refused),
        cmocka_unit_test(commands_have_a_time_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
