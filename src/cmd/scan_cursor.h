/* cmd/scan_cursor.h - where scans stand: numbers handed to clients, each for
 * the last key that its scan visited.
 *
 * Loop thread only.  The number of scans remembered and their memory are
 * bounded; the one not used for longest is forgotten first.  A scan that goes
 * on forgets all its numbers but the last two, so that a repeated call finds
 * its place.  Numbers are below 2^53 and begin at a random place, so one from
 * before a restart is unknown. */
#ifndef NQ_CMD_SCAN_CURSOR_H
#define NQ_CMD_SCAN_CURSOR_H

#include <stdint.h>

#include "base/slice.h"

struct scan_cursors;

struct scan_cursors *scan_cursors_new(void);
void scan_cursors_free(struct scan_cursors *sc); /* NULL does nothing */

/* A number for a scan that stands on `key` and was at number `from` (0: it has
 * just begun). */
uint64_t scan_cursor_put(struct scan_cursors *sc, uint64_t from,
                         struct slice key);
/* The key, borrowed until the next put; false: unknown or forgotten. */
bool scan_cursor_find(struct scan_cursors *sc, uint64_t id, struct slice *key);
/* The scan that was at `from` has ended. */
void scan_cursor_end(struct scan_cursors *sc, uint64_t from);

#endif
