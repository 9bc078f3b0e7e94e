/* base/check.h - assertions about our own mistakes, and checked casts.
 *
 * nq_assert is cheap and stays in release builds; nq_dassert compiles to
 * nothing unless NQ_DEBUG is set.  Neither is ever used on data that came
 * from a socket, a disk or a configuration file.  Any thread. */
#ifndef NQ_BASE_CHECK_H
#define NQ_BASE_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* Prints what failed and where, with a backtrace, and aborts. */
_Noreturn void check_failed(const char *expr, const char *file, int line);

#define nq_likely(x) __builtin_expect(!!(x), 1)
#define nq_unlikely(x) __builtin_expect(!!(x), 0)

#define nq_assert(x)                                                           \
    ((void)(nq_likely(x) || (check_failed(#x, __FILE__, __LINE__), 0)))

#ifdef NQ_DEBUG
#define nq_dassert(x) nq_assert(x)
#else
#define nq_dassert(x) ((void)sizeof(!!(x)))
#endif

/* Every void * comes back through this: the object must carry `magic`. */
#define NQ_CAST(var, ptr, want)                                                \
    do {                                                                       \
        (var) = (ptr);                                                         \
        nq_assert((var) != NULL && (var)->magic == (want));                    \
    } while (0)

/* The object of `type` that contains `ptr` as its field `member`. */
#define nq_container(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define nq_countof(a) (sizeof(a) / sizeof((a)[0]))
#define nq_min(a, b) ((a) < (b) ? (a) : (b))
#define nq_max(a, b) ((a) > (b) ? (a) : (b))
#define nq_unused(x) ((void)(x))

#endif
