/* store/corrupt.c - counts and logs damage. */
#include "store/corrupt.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

static uint64_t count;

nq_rc
corrupt_report(const char *file, int line, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    log_error("damage: %s (%s:%d)", text, file, line);
    return NQ_ECORRUPT;
}

uint64_t
corrupt_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}
