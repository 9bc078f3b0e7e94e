/* Files, directories and the lock of a data directory, on a real disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"

static char dir[64];
static char path[128];

static int
make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/nqdb-test-file-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/a", dir);
    log_set_level(LOG_ERROR + 1);
    return 0;
}

static void
remove_entry(const char *name, void *arg)
{
    char full[256];

    (void)arg;
    snprintf(full, sizeof full, "%s/%s", dir, name);
    unlink(full);
}

static int
remove_dir(void **state)
{
    (void)state;
    if (dir_each(dir, remove_entry, NULL) != NQ_OK)
        return -1;
    return rmdir(dir);
}

static struct file *
create(void)
{
    struct file *f;

    assert_int_equal(file_open(path, FILE_CREATE, &f), NQ_OK);
    return f;
}

static void
what_is_written_is_read_back(void **state)
{
    static char in[100000], out[100000];
    struct file *f = create();
    uint64_t size;

    (void)state;
    memset(in, 'x', sizeof in);
    assert_int_equal(file_write(f, in, sizeof in, 4096), NQ_OK);
    assert_int_equal(file_sync(f), NQ_OK);
    assert_int_equal(file_size(f, &size), NQ_OK);
    assert_int_equal(size, 4096 + sizeof in);
    assert_string_equal(file_path(f), path);
    file_close(f);
    assert_int_equal(file_open(path, FILE_READ, &f), NQ_OK);
    assert_int_equal(file_read(f, out, sizeof out, 4096), NQ_OK);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(file_read(f, out, 8, 0), NQ_OK);
    assert_memory_equal(out, "\0\0\0\0\0\0\0\0", 8);
    file_close(f);
}

static void
reading_past_the_end_is_damage(void **state)
{
    struct file *f = create();
    char out[8];

    (void)state;
    assert_int_equal(file_write(f, "1234", 4, 0), NQ_OK);
    assert_int_equal(file_read(f, out, 5, 0), NQ_ECORRUPT);
    assert_int_equal(file_read(f, out, 1, 100), NQ_ECORRUPT);
    assert_int_equal(file_try_read(f, out, 5, 0), NQ_AGAIN);
    assert_int_equal(file_read(f, out, 0, 100), NQ_OK);
    file_close(f);
}

static void
cached_bytes_are_read_without_waiting(void **state)
{
    struct file *f = create();
    char out[4] = {0};
    nq_rc rc = NQ_AGAIN;

    (void)state;
    assert_int_equal(file_write(f, "1234", 4, 0), NQ_OK);
    /* The kernel may evict, and harsh builds pretend it did. */
    for (int i = 0; i < 10 && rc == NQ_AGAIN; i++)
        rc = file_try_read(f, out, 4, 0);
    if (rc == NQ_OK)
        assert_memory_equal(out, "1234", 4);
    else
        assert_int_equal(rc, NQ_AGAIN);
    file_close(f);
}

static void
head_and_rest_are_read_apart(void **state)
{
    struct file *f = create();
    char head[3], rest[5];
    struct file_parts to = {head, sizeof head, rest, sizeof rest};

    (void)state;
    assert_int_equal(file_write(f, "0123456789", 10, 0), NQ_OK);
    for (int i = 0; i < 20; i++) { /* harsh builds interrupt some */
        nq_rc rc;

        memset(rest, 0, sizeof rest);
        assert_int_equal(file_read_parts(f, &to, 1), NQ_OK);
        assert_memory_equal(head, "123", 3);
        assert_memory_equal(rest, "45678", 5);
        rc = file_try_read_parts(f, &to, 2);
        assert_true(rc == NQ_OK || rc == NQ_AGAIN);
        if (rc == NQ_OK)
            assert_memory_equal(rest, "56789", 5);
    }
    assert_int_equal(file_read_parts(f, &to, 3), NQ_ECORRUPT);
    assert_int_equal(file_try_read_parts(f, &to, 3), NQ_AGAIN);
    file_close(f);
}

static void
opening_follows_the_mode(void **state)
{
    struct file *f;

    (void)state;
    assert_int_equal(file_open(path, FILE_READ, &f), NQ_NOTFOUND);
    assert_null(f);
    assert_int_equal(file_open(path, FILE_WRITE, &f), NQ_NOTFOUND);
    file_close(f);
    file_close(create());
    assert_int_equal(file_open(path, FILE_CREATE, &f), NQ_EIO);
    assert_int_equal(file_open(path, FILE_READ, &f), NQ_OK);
    assert_int_equal(file_write(f, "x", 1, 0), NQ_EIO);
    file_close(f);
}

static void
space_is_allocated_cut_and_given_back(void **state)
{
    struct file *f = create();
    struct stat st;
    uint64_t size;
    char out[4];

    (void)state;
    assert_int_equal(file_allocate(f, 0, 1 << 20), NQ_OK);
    assert_int_equal(file_size(f, &size), NQ_OK);
    assert_int_equal(size, 1 << 20);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= 1 << 20);
    assert_int_equal(file_write(f, "abcd", 4, 65536), NQ_OK);
    file_write_hint(f, 65536, 4096);
    file_punch(f, 65536, 65536);
    assert_int_equal(file_read(f, out, 4, 65536), NQ_OK);
    assert_memory_equal(out, "\0\0\0\0", 4);
    assert_int_equal(file_truncate(f, 100), NQ_OK);
    assert_int_equal(file_size(f, &size), NQ_OK);
    assert_int_equal(size, 100);
    file_close(f);
}

static void
count_entry(const char *name, void *arg)
{
    int *n = arg;

    assert_true(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
    (*n)++;
}

static void
names_are_listed_renamed_and_removed(void **state)
{
    char other[128], sub[128];
    int n = 0;

    (void)state;
    snprintf(other, sizeof other, "%s/b", dir);
    snprintf(sub, sizeof sub, "%s/sub/deep", dir);
    file_close(create());
    assert_int_equal(dir_rename(path, other), NQ_OK);
    assert_int_equal(dir_rename(path, other), NQ_NOTFOUND);
    assert_false(dir_has(path));
    assert_true(dir_has(other));
    file_close(create());
    assert_int_equal(dir_create(sub), NQ_OK);
    assert_int_equal(dir_create(sub), NQ_OK);
    assert_int_equal(dir_sync(sub), NQ_OK);
    assert_int_equal(dir_each(dir, count_entry, &n), NQ_OK);
    assert_int_equal(n, 2);
    assert_int_equal(dir_remove_file(other), NQ_OK);
    assert_int_equal(dir_remove_file(other), NQ_NOTFOUND);
    assert_int_equal(rmdir(sub), 0);
    snprintf(sub, sizeof sub, "%s/sub", dir);
    assert_int_equal(rmdir(sub), 0);
    assert_true(dir_free_bytes(dir) > 0);
    assert_int_equal(dir_free_bytes("/no/such/place"), 0);
}

static void
a_file_in_the_way_is_no_directory(void **state)
{
    char below[140];

    (void)state;
    file_close(create());
    assert_int_equal(dir_create(path), NQ_EIO);
    snprintf(below, sizeof below, "%s/x", path);
    assert_int_equal(dir_create(below), NQ_EIO);
    assert_int_equal(dir_sync(below), NQ_EIO);
    assert_int_equal(dir_each(below, count_entry, NULL), NQ_EIO);
}

/* In another process: two locks of one process are told apart as well, but
 * that is not what happens in life. */
static void
a_second_server_does_not_get_the_lock(void **state)
{
    struct dir_lock *l;
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(dir_lock(dir, &l), NQ_OK);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct dir_lock *second;

        _exit(dir_lock(dir, &second) == NQ_ELOCKED ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    dir_unlock(l);
    assert_int_equal(dir_lock(dir, &l), NQ_OK);
    dir_unlock(l);
    dir_unlock(NULL);
}

static void
the_wall_clock_stops_and_the_others_do_not(void **state)
{
    uint64_t mono = clock_mono_ns();

    (void)state;
    clock_freeze_wall(1234567);
    assert_int_equal(clock_wall_ms(), 1234567);
    assert_int_equal(clock_wall_us(), 1234567000);
    clock_freeze_wall(0);
    assert_true(clock_wall_ms() > 1234567);
    assert_true(clock_mono_ns() >= mono);
    assert_true(clock_mono_us() >= mono / 1000);
    (void)clock_thread_cpu_us();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back),
        TEST(reading_past_the_end_is_damage),
        TEST(cached_bytes_are_read_without_waiting),
        TEST(head_and_rest_are_read_apart),
        TEST(opening_follows_the_mode),
        TEST(space_is_allocated_cut_and_given_back),
        TEST(names_are_listed_renamed_and_removed),
        TEST(a_file_in_the_way_is_no_directory),
        TEST(a_second_server_does_not_get_the_lock),
        cmocka_unit_test(the_wall_clock_stops_and_the_others_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
