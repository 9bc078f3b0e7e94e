/* Images of a disk, made of the trace of a run: what was synced is in all of
 * them, what was not is in some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/disk_trace.h"
#include "base/log.h"
#include "os/dir.h"
#include "os/file.h"

#ifdef NQ_FAULTS

#define SEEDS 200
#define SECTOR 512

struct fixture {
    char dir[64];
    struct disk_trace trace;
    struct disk_image image;
};

static struct file *
create(struct fixture *x, const char *name)
{
    char path[128];
    struct file *f;

    snprintf(path, sizeof path, "%s/%s", x->dir, name);
    assert_int_equal(file_open(path, FILE_CREATE, &f), NQ_OK);
    return f;
}

static void
put_sectors(struct file *f, char letter, unsigned sectors)
{
    char bytes[4 * SECTOR];

    memset(bytes, letter, sizeof bytes);
    assert_int_equal(file_write(f, bytes, sectors * SECTOR, 0), NQ_OK);
}

/* Harsh builds make one write of two. */
#ifdef NQ_HARSH
#define IS_ONE_WRITE false
#else
#define IS_ONE_WRITE true
#endif

/* "a" is old in four sectors, synced; new in two of them, not synced. */
static int
make_trace(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    struct file *f;

    log_set_level(LOG_ERROR + 1);
    fault_clear();
    snprintf(x->dir, sizeof x->dir, "/tmp/nqdb-test-image-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    disk_trace_begin(&x->trace, x->dir);
    f = create(x, "a");
    put_sectors(f, 'o', 4);
    assert_int_equal(file_sync(f), NQ_OK);
    assert_int_equal(dir_sync(x->dir), NQ_OK);
    put_sectors(f, 'n', 2);
    file_close(f);
    file_close(create(x, "b"));
    disk_trace_end(&x->trace);
    *state = x;
    return 0;
}

static int
forget_trace(void **state)
{
    struct fixture *x = *state;

    image_clear_dir(x->dir);
    assert_int_equal(rmdir(x->dir), 0);
    image_fini(&x->image);
    disk_trace_fini(&x->trace);
    free(x);
    return 0;
}

static const uint8_t *
bytes_of_a(struct fixture *x, struct image_opts o)
{
    const struct image_file *f;

    if (o.upto == 0)
        o.upto = x->trace.count;
    image_build(&x->trace, &o, &x->image);
    f = image_find(&x->image, "a");
    assert_non_null(f);
    assert_int_equal(f->bytes.len, 4 * SECTOR);
    return f->bytes.p;
}

static void
the_end_of_a_process_loses_nothing(void **state)
{
    struct image_opts o = {.without = DISK_TRACE_NONE};
    const uint8_t *p = bytes_of_a(*state, o);

    assert_int_equal(p[0], 'n');
    assert_int_equal(p[2 * SECTOR], 'o');
    assert_non_null(image_find(&((struct fixture *)*state)->image, "b"));
}

static void
a_cut_keeps_what_was_synced(void **state)
{
    struct image_opts o = {.without = DISK_TRACE_NONE, .cut = CUT_SECTORS};
    unsigned kept = 0, lost = 0, torn = 0, names = 0;

    for (o.seed = 0; o.seed < SEEDS; o.seed++) {
        const uint8_t *p = bytes_of_a(*state, o);

        for (unsigned i = 2 * SECTOR; i < 4 * SECTOR; i++)
            assert_int_equal(p[i], 'o');
        kept += p[0] == 'n' && p[SECTOR - 1] == 'n';
        lost += p[0] == 'o' && p[SECTOR - 1] == 'o';
        torn += p[0] != p[SECTOR - 1];
        names += image_find(&((struct fixture *)*state)->image, "b") != NULL;
    }
    assert_true(kept > 0 && lost > 0 && torn > 0);
    assert_true(names > 0 && names < SEEDS);
}

static void
a_cut_of_whole_writes_tears_none(void **state)
{
    struct image_opts o = {.without = DISK_TRACE_NONE, .cut = CUT_WRITES};

    for (o.seed = 0; o.seed < SEEDS; o.seed++) {
        const uint8_t *p = bytes_of_a(*state, o);

        assert_true(p[0] == p[2 * SECTOR - 1] || !IS_ONE_WRITE);
    }
}

static size_t
first_of(const struct disk_trace *t, enum fault_op op)
{
    size_t i = 0;

    while (t->events[i].op != op)
        i++;
    return i;
}

static void
what_is_left_out_was_never_made(void **state)
{
    struct fixture *x = *state;
    struct image_opts o = {.without = first_of(&x->trace, FAULT_OP_WRITE)};
    const struct image_file *f;

    o.upto = o.without + 1;
    image_build(&x->trace, &o, &x->image);
    f = image_find(&x->image, "a");
    assert_non_null(f);
    assert_int_equal(f->bytes.len, 0);
}

static void
a_sync_that_was_none_keeps_nothing(void **state)
{
    struct fixture *x = *state;
    struct image_opts o = {.without = first_of(&x->trace, FAULT_OP_SYNC),
                           .cut = CUT_WRITES,
                           .upto = x->trace.count};
    unsigned lost = 0;

    for (o.seed = 0; o.seed < SEEDS; o.seed++) {
        const struct image_file *f;

        image_build(&x->trace, &o, &x->image);
        f = image_find(&x->image, "a");
        lost += f->bytes.len < 4 * SECTOR || f->bytes.p[3 * SECTOR] == 0;
    }
    assert_true(lost > 0);
}

static void
a_trace_comes_back_from_a_file(void **state)
{
    struct fixture *x = *state;
    struct image_opts o = {.without = DISK_TRACE_NONE};
    char path[128];

    snprintf(path, sizeof path, "%s/trace", x->dir);
    assert_true(disk_trace_save(&x->trace, path));
    disk_trace_fini(&x->trace);
    assert_true(disk_trace_load(&x->trace, path));
    assert_int_equal(bytes_of_a(x, o)[0], 'n');
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_trace, forget_trace)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_end_of_a_process_loses_nothing),
        TEST(a_cut_keeps_what_was_synced),
        TEST(a_cut_of_whole_writes_tears_none),
        TEST(what_is_left_out_was_never_made),
        TEST(a_sync_that_was_none_keeps_nothing),
        TEST(a_trace_comes_back_from_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int
main(void)
{
    printf("SKIP disk_image: this build has no fault points\n");
    return 0;
}

#endif
