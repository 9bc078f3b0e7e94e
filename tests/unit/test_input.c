/* Input memory: what arrives is kept in order through area and buffers, and
 * costs what it is long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/input.h"

/* As if `n` bytes came from a socket, or fewer if there is no room. */
static size_t
feed(struct input_pool *pool, struct input *in, size_t want, size_t n,
     uint8_t *next)
{
    size_t room;
    uint8_t *to = input_room(pool, in, want, &room);

    assert_true(room > 0);
    n = nq_min(n, room);
    for (size_t i = 0; i < n; i++)
        to[i] = (*next)++;
    input_filled(pool, in, n);
    return n;
}

static void
expect_bytes(const struct input *in, uint8_t first)
{
    for (size_t i = 0; i < in->len; i++)
        assert_int_equal(in->p[i], (uint8_t)(first + i));
}

static void
inputs_of_one_turn_lie_side_by_side(void **state)
{
    struct input_pool *pool = input_pool_new();
    struct input a = {0}, b = {0};
    uint8_t next = 0;

    (void)state;
    feed(pool, &a, 0, 40, &next);
    feed(pool, &b, 0, 40, &next);
    assert_null(a.own);
    assert_ptr_equal(b.p, a.p + 64);
    expect_bytes(&a, 0);
    expect_bytes(&b, 40);
    input_consume(pool, &a, 40);
    assert_int_equal(a.len, 0);
    input_keep(pool, &b);
    assert_non_null(b.own);
    input_pool_reset(pool);
    expect_bytes(&b, 40);
    input_drop(pool, &b);
    input_pool_free(pool);
}

/* Random arrivals, consumption and ends of turns against a counter. */
static void
bytes_stay_in_order_through_all_moves(void **state)
{
    const char *seed = getenv("SEED");
    uint64_t s = seed == NULL ? rng_seed_from_os() : strtoull(seed, NULL, 10);
    struct input_pool *pool = input_pool_new();
    struct input in = {0};
    struct rng rng;
    uint8_t next = 0, first = 0;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)s);
    rng_seed(&rng, s);
    for (int turn = 0; turn < 3000; turn++) {
        size_t want = rng_next(&rng) % 4 == 0 ? rng_next(&rng) % 200000 : 0;
        size_t gone;

        feed(pool, &in, want, 1 + rng_next(&rng) % 30000, &next);
        gone = rng_next(&rng) % 3 == 0 ? in.len : rng_next(&rng) % in.len;
        input_consume(pool, &in, gone);
        first = (uint8_t)(first + gone);
        input_keep(pool, &in);
        input_pool_reset(pool);
        if (turn % 16 == 0)
            expect_bytes(&in, first);
        assert_true(in.cap <= 3 * in.len + (2u << 20));
    }
    expect_bytes(&in, first);
    input_drop(pool, &in);
    input_pool_free(pool);
}

static void
an_announced_length_is_not_reserved_at_once(void **state)
{
    struct input_pool *pool = input_pool_new();
    struct input in = {0};
    uint8_t next = 0;

    (void)state;
    feed(pool, &in, 0, 30, &next);
    input_keep(pool, &in);
    input_pool_reset(pool);
    feed(pool, &in, 500u << 20, 10, &next);
    assert_true(in.cap <= (1u << 20) + 4096);
    expect_bytes(&in, 0);
    input_drop(pool, &in);
    input_pool_free(pool);
}

static void
a_long_request_moves_seldom(void **state)
{
    struct input_pool *pool = input_pool_new();
    struct input in = {0};
    uint8_t next = 0;
    unsigned moves = 0;

    (void)state;
    while (in.len < 8u << 20) {
        const uint8_t *was = in.own;

        feed(pool, &in, in.len + 5, 16384, &next);
        input_keep(pool, &in);
        input_pool_reset(pool);
        moves += was != in.own;
    }
    assert_true(moves < 25);
    input_drop(pool, &in);
    input_pool_free(pool);
}

static void
an_input_without_bytes_holds_no_memory(void **state)
{
    struct input_pool *pool = input_pool_new();
    struct input in = {0};
    uint64_t used = mem_used();
    uint8_t next = 0;

    (void)state;
    while (in.len < 100000) {
        feed(pool, &in, 100000, 20000, &next);
        input_keep(pool, &in);
        input_pool_reset(pool);
    }
    input_consume(pool, &in, in.len);
    assert_null(in.own);
    assert_true(mem_used() - used <= 20000); /* a buffer on the free list */
    input_pool_free(pool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_of_one_turn_lie_side_by_side),
        cmocka_unit_test(bytes_stay_in_order_through_all_moves),
        cmocka_unit_test(an_announced_length_is_not_reserved_at_once),
        cmocka_unit_test(a_long_request_moves_seldom),
        cmocka_unit_test(an_input_without_bytes_holds_no_memory),
    };

    return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
