/* cmd/cmd_string.h - what the string handlers share among themselves. */
#ifndef NQ_CMD_CMD_STRING_H
#define NQ_CMD_CMD_STRING_H

#include <stdbool.h>
#include <stdint.h>

/* Redis' inclusive [start, end], negative from the end, clipped to a value of
 * `len` bytes; false if nothing is left. */
bool clip_range(int64_t start, int64_t end, uint64_t len, uint64_t *off,
                uint64_t *n);

#endif
