/* cmd/cmd_bitmap.h - what BITFIELD shares with the other bitmap commands. */
#ifndef NQ_CMD_CMD_BITMAP_H
#define NQ_CMD_CMD_BITMAP_H

#include "cmd/command.h"

/* A bit offset within what proto-max-bulk-len allows; with `width` > 0 also
 * "#n", the n-th field of that width.  False: the reply is put. */
bool bit_offset(struct req *rq, struct slice s, unsigned width, uint64_t *out);

#endif
