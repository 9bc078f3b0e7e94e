/* cmd/errorstats.h - how often each kind of error was answered, by the first
 * word of the reply ("ERR", "WRONGTYPE"), as INFO errorstats shows it.
 *
 * Loop thread only. */
#ifndef NQ_CMD_ERRORSTATS_H
#define NQ_CMD_ERRORSTATS_H

#include "base/slice.h"

struct errorstats;

struct errorstats *errorstats_new(void);
void errorstats_free(struct errorstats *es);
/* `text` is an error reply without its '-'.  Words beyond the first 128 kinds
 * are not counted. */
void errorstats_count(struct errorstats *es, struct slice text);
void errorstats_clear(struct errorstats *es);
void errorstats_each(const struct errorstats *es,
                     void (*fn)(void *arg, const char *word, uint64_t count),
                     void *arg);

#endif
