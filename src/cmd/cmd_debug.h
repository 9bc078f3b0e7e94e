/* cmd/cmd_debug.h - what the DEBUG tools of cmd_debug.c and
 * cmd_debug_value.c share: one handler each, argument counts checked. */
#ifndef NQ_CMD_CMD_DEBUG_H
#define NQ_CMD_CMD_DEBUG_H

#include "cmd/command.h"

void debug_digest(struct req *rq);
void debug_digest_value(struct req *rq); /* argv[2..]: keys */
void debug_object(struct req *rq);       /* argv[2]: a key */
void debug_reload(struct req *rq);

#endif
