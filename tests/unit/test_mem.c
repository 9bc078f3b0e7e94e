/* What a server's heap gives back, and what it keeps for the next blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"

#define MB ((size_t)1 << 20)
#define BLOCKS 64

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OTHER_MALLOC true
#else
#define HAS_OTHER_MALLOC false
#endif

static uint64_t
resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long long size, rss;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu %llu", &size, &rss), 2);
    fclose(f);
    return rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Small ones in between hold the heap's end where it is. */
static void
big_blocks_are_given_back_between_small_ones(void **state)
{
    uint64_t before = resident(), used = mem_used();
    void *big[BLOCKS], *small[BLOCKS];

    (void)state;
    mem_keep_freed();
    for (unsigned i = 0; i < BLOCKS; i++) {
        big[i] = nq_malloc(MB - i * 1000);
        memset(big[i], 1, MB - i * 1000);
        small[i] = nq_malloc(100);
    }
    assert_true(resident() - before > 50 * MB);
    for (unsigned i = 0; i < BLOCKS; i++)
        nq_free(big[i]);
    if (!HAS_OTHER_MALLOC)
        assert_true(resident() - before < 10 * MB);
    for (unsigned i = 0; i < BLOCKS; i++)
        nq_free(small[i]);
    assert_int_equal(mem_used(), used);
}

static void
freed_big_block_serves_the_next_of_about_its_size(void **state)
{
    uint8_t *p, *q;

    (void)state;
    mem_keep_freed();
    p = nq_malloc(MB);
    memset(p, 1, MB);
    nq_free(p);
    q = nq_malloc(MB - MB / 10);
    if (!HAS_OTHER_MALLOC)
        assert_ptr_equal(p, q);
    nq_free(q);
    q = nq_calloc(1, MB); /* whatever it gets is zero */
    for (size_t i = 0; i < MB; i++)
        assert_int_equal(q[i], 0);
    nq_free(q);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_blocks_are_given_back_between_small_ones),
        cmocka_unit_test(freed_big_block_serves_the_next_of_about_its_size),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
