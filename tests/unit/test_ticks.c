/* The stopwatch agrees with the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "os/ticks.h"

static void
ticks_run_as_fast_as_the_clock(void **state)
{
    struct ticks_rate rate = ticks_calibrate();
    uint64_t begin_ns = clock_mono_ns(), begin = ticks_now(rate);
    uint64_t ns, ticks_ns;

    (void)state;
    do
        ns = clock_mono_ns() - begin_ns;
    while (ns < 5000000);
    ticks_ns = ticks_to_ns(rate, ticks_now(rate) - begin);
    /* Being switched out between the two readings must not fail a test. */
    assert_true(ticks_ns > ns * 9 / 10 && ticks_ns < ns * 2 + 50000000);
}

static void
without_a_counter_ticks_are_nanoseconds(void **state)
{
    struct ticks_rate none = {0};

    (void)state;
    assert_int_equal(ticks_to_ns(none, 12345), 12345);
    assert_true(ticks_now(none) <= clock_mono_ns());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_run_as_fast_as_the_clock),
        cmocka_unit_test(without_a_counter_ticks_are_nanoseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
