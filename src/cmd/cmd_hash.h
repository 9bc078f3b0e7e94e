/* cmd/cmd_hash.h - what the handlers of hashes share among themselves.
 * Loop thread only. */
#ifndef NQ_CMD_CMD_HASH_H
#define NQ_CMD_CMD_HASH_H

#include "cmd/command.h"
#include "db/fields.h"

/* Finds the hash at argv[1] and opens it for reading, an absent one as empty.
 * NQ_OK or what the client is to be told; coll_close() in any case. */
NQ_MUST_USE nq_rc hash_open(struct req *rq, struct entry *e, struct coll *c);
/* Finds the hash at argv[1] for writing.  False: answered, or parked. */
bool hash_find_write(struct req *rq, struct entry *e, bool *found);
/* The field as a bulk, or null. */
NQ_MUST_USE nq_rc reply_field(struct req *rq, struct coll *c,
                              struct slice field);

#endif
