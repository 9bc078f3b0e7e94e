/* A stand-in for cmocka where that library is not to be had: enough of it to
 * run tests of pure functions for another processor under an emulator.  The
 * first failure ends the program. */
#ifndef NQ_TESTS_NEON_CMOCKA_H
#define NQ_TESTS_NEON_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(f)                                                    \
    {                                                                          \
#f, f                                                                  \
    }

#define assert_true(x)                                                         \
    do {                                                                       \
        if (!(x)) {                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);            \
            exit(1);                                                           \
        }                                                                      \
    } while (0)
#define assert_false(x) assert_true(!(x))
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b)                                                 \
    assert_true((unsigned long long)(a) == (unsigned long long)(b))
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)

static inline int
run_tests(const struct CMUnitTest *tests, size_t n, int (*setup)(void **state))
{
    void *state = NULL;

    if (setup != NULL && setup(&state) != 0)
        return 1;
    for (size_t i = 0; i < n; i++) {
        printf("  %s\n", tests[i].name);
        tests[i].run(&state);
    }
    return 0;
}

#define cmocka_run_group_tests(tests, setup, teardown)                         \
    run_tests(tests, sizeof(tests) / sizeof(tests)[0], setup)

#endif
