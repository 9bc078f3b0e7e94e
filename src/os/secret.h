/* os/secret.h - a secret from outside: out of a file, the environment or the
 * output of a command.
 *
 * Any thread, but secret_from_env(), which is for the start.  Each gives at
 * most `cap` bytes; more is an error, and so is none.  NQ_EINVAL: no secret,
 * and why is a sentence that never has any of it; dst is zeros then. */
#ifndef NQ_OS_SECRET_H
#define NQ_OS_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"

#define SECRET_WHY 256u
#define SECRET_COMMAND_MS 10000u

/* Refused if others than owner and group may read or change the file. */
NQ_MUST_USE nq_rc secret_from_file(const char *path, uint8_t *dst, size_t cap,
                                   size_t *len, char why[SECRET_WHY]);
/* Wipes the variable: neither children nor /proc show it afterwards. */
NQ_MUST_USE nq_rc secret_from_env(const char *name, uint8_t *dst, size_t cap,
                                  size_t *len, char why[SECRET_WHY]);
/* What the command writes to its standard output until it ends with 0, within
 * `timeout_ms`.  No shell: words are parted by blanks, nothing is quoted or
 * expanded; the first is a path, or looked for in PATH.  Its standard input
 * is empty, its standard error is ours. */
NQ_MUST_USE nq_rc secret_from_command(const char *command, uint32_t timeout_ms,
                                      uint8_t *dst, size_t cap, size_t *len,
                                      char why[SECRET_WHY]);

#endif
