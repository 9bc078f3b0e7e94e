/* cmd/cmd_key.h - what the handlers of keys share among themselves.
 * Loop thread only. */
#ifndef NQ_CMD_CMD_KEY_H
#define NQ_CMD_CMD_KEY_H

#include "cmd/command.h"

/* Whether `rc` of a find says that the handler may go on: the key is there or
 * absent (*found), a key too long to be kept being absent.  Otherwise the
 * reply is put, or the command parked. */
bool key_is_found(struct req *rq, nq_rc rc, bool *found);
/* What OBJECT ENCODING answers for the value found. */
const char *key_encoding(const struct entry *e);

#endif
