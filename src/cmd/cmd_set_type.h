/* cmd/cmd_set_type.h - what the handlers of sets share.  Loop thread only. */
#ifndef NQ_CMD_CMD_SET_TYPE_H
#define NQ_CMD_CMD_SET_TYPE_H

#include "cmd/command.h"

/* The set at argv[i], for reading: found or absent (*found); false: the reply
 * is put. */
bool set_find(struct req *rq, uint32_t i, struct entry *e, bool *found);
/* The same for changing.  A key too long to exist is absent when
 * something is only taken away (`taking`). */
bool set_find_write(struct req *rq, uint32_t i, bool taking, struct entry *e,
                    bool *found);

#endif
