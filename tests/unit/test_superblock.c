/* Two superblocks: whatever happens to one, the other serves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "os/file.h"
#include "store/superblock.h"

static struct superblock
sample(uint64_t sequence)
{
    struct superblock sb = {
        .page_size = 8192,
        .codecs = 3,
        .uuid = "0123456789abcde",
        .sequence = sequence,
        .lsn = 1000 + sequence,
        .log_salt = 77,
        .is_clean = true,
        .log_end = 5000,
        .wall_us = 99,
        .file_bytes = 1 << 20,
        .next_id = 42,
        .catalog = {16384, 100, 1},
        .base = {32768, 2000, 2},
        .deltas_count = 2,
        .deltas = {{65536, 10, 3}, {66048, 20, 4}},
    };

    return sb;
}

struct fixture {
    char path[64];
    struct file *f;
};

static void
set_up(struct fixture *x)
{
    struct superblock a = sample(4), b = sample(5);
    int fd;

    log_set_level(LOG_ERROR + 1);
    snprintf(x->path, sizeof x->path, "/tmp/nq-super-XXXXXX");
    assert_true((fd = mkstemp(x->path)) >= 0);
    close(fd);
    assert_int_equal(file_open(x->path, FILE_WRITE, &x->f), NQ_OK);
    assert_int_equal(file_truncate(x->f, SUPERBLOCK_AREA), NQ_OK);
    assert_int_equal(superblock_write(x->f, &a), NQ_OK);
    assert_int_equal(superblock_write(x->f, &b), NQ_OK);
}

static void
tear_down(struct fixture *x)
{
    file_close(x->f);
    unlink(x->path);
}

static void
all_fields_survive(void **state)
{
    struct superblock sb = sample(9), back;
    uint8_t b[SUPERBLOCK_SIZE];

    (void)state;
    superblock_encode(b, &sb);
    assert_int_equal(superblock_decode(slice_of(b, sizeof b), &back), NQ_OK);
    assert_memory_equal(&back, &sb, offsetof(struct superblock, is_clean));
    assert_true(back.is_clean && back.log_end == 5000 && back.wall_us == 99);
    assert_true(back.file_bytes == 1 << 20 && back.next_id == 42);
    assert_true(back.catalog.off == 16384 && back.base.crc == 2);
    assert_true(back.deltas_count == 2 && back.deltas[1].off == 66048);
}

static void
newest_copy_wins(void **state)
{
    struct superblock sb;
    struct fixture x;

    (void)state;
    set_up(&x);
    assert_int_equal(superblock_read(x.f, &sb), NQ_OK);
    assert_int_equal(sb.sequence, 5);
    sb = sample(6);
    assert_int_equal(superblock_write(x.f, &sb), NQ_OK);
    assert_int_equal(superblock_read(x.f, &sb), NQ_OK);
    assert_int_equal(sb.sequence, 6);
    tear_down(&x);
}

static void
flip(struct fixture *x, uint64_t at)
{
    uint8_t c;

    assert_int_equal(file_read(x->f, &c, 1, at), NQ_OK);
    c ^= 0x10;
    assert_int_equal(file_write(x->f, &c, 1, at), NQ_OK);
}

static void
each_flipped_byte_of_the_newest_falls_back(void **state)
{
    struct superblock sb;
    struct fixture x;

    (void)state;
    set_up(&x);
    for (uint64_t i = 0; i < SUPERBLOCK_SIZE; i++) {
        flip(&x, SUPERBLOCK_AT_B + i);
        assert_int_equal(superblock_read(x.f, &sb), NQ_OK);
        assert_int_equal(sb.sequence, 4);
        flip(&x, SUPERBLOCK_AT_B + i);
    }
    assert_int_equal(superblock_read(x.f, &sb), NQ_OK);
    assert_int_equal(sb.sequence, 5);
    tear_down(&x);
}

static void
both_damaged_is_refused(void **state)
{
    struct superblock sb;
    struct fixture x;

    (void)state;
    set_up(&x);
    flip(&x, SUPERBLOCK_AT_A + 50);
    flip(&x, SUPERBLOCK_AT_B + 4095);
    assert_int_equal(superblock_read(x.f, &sb), NQ_ECORRUPT);
    flip(&x, SUPERBLOCK_AT_A);
    flip(&x, SUPERBLOCK_AT_B);
    assert_int_equal(superblock_read(x.f, &sb), NQ_EFORMAT);
    tear_down(&x);
}

static void
copies_that_swapped_places_are_refused(void **state)
{
    struct superblock a = sample(4), sb;
    struct fixture x;
    uint8_t b[SUPERBLOCK_SIZE];

    (void)state;
    set_up(&x);
    superblock_encode(b, &a);
    assert_int_equal(file_write(x.f, b, sizeof b, SUPERBLOCK_AT_B), NQ_OK);
    flip(&x, SUPERBLOCK_AT_A + 9);
    assert_int_equal(superblock_read(x.f, &sb), NQ_ECORRUPT);
    tear_down(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_survive),
        cmocka_unit_test(newest_copy_wins),
        cmocka_unit_test(each_flipped_byte_of_the_newest_falls_back),
        cmocka_unit_test(both_damaged_is_refused),
        cmocka_unit_test(copies_that_swapped_places_are_refused),
    };

    return cmocka_run_group_tests_name("superblock", tests, NULL, NULL);
}
