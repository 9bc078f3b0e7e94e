/* base/check.c - what happens when an assertion fails. */
#include "base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void
check_failed(const char *expr, const char *file, int line)
{
    void *frames[64];
    int n = backtrace(frames, 64);

    fprintf(stderr, "nqdb: assertion failed: %s at %s:%d\n", expr, file, line);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    abort();
}
