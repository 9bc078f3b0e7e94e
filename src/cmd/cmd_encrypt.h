/* cmd/cmd_encrypt.h - the job that replaces data keys: for NQ.ENCRYPT, and
 * for the server, which goes on with what a restart interrupted. */
#ifndef NQ_CMD_CMD_ENCRYPT_H
#define NQ_CMD_CMD_ENCRYPT_H

#include <stdint.h>

#include "base/rc.h"

struct engine;

/* Begins a rotation of data keys, or goes on with the one that is due, as a
 * job; *id is its number.  NQ_EBUSY: job *id does it already.  NQ_EINVAL: the
 * database is not encrypted. */
NQ_MUST_USE nq_rc encrypt_rotate_data(struct engine *e, uint64_t *id);

#endif
