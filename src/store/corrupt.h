/* store/corrupt.h - the one way to report damage found on disk.
 *
 * One place for a breakpoint, one counter.  Any thread. */
#ifndef NQ_STORE_CORRUPT_H
#define NQ_STORE_CORRUPT_H

#include "base/rc.h"

#include <stdint.h>

/* Logs file, offset, what was expected and what was found (the caller's
 * words), counts, and is NQ_ECORRUPT. */
#define NQ_CORRUPT(...) corrupt_report(__FILE__, __LINE__, __VA_ARGS__)

nq_rc corrupt_report(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* How often since the start. */
uint64_t corrupt_count(void);

#endif
