/* cmd/cmd_hash.h - what the handlers of hashes share among themselves.
 * Loop thread only. */
#ifndef NQ_CMD_CMD_HASH_H
#define NQ_CMD_CMD_HASH_H

#include "cmd/args.h"
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

/* --- cmd_hash_expire.c -----------------------------------------------------
 */

#define HASH_NUMBER_ERROR "Number of fields must be a positive integer"

/* FIELDS numfields field ... at argv[at]; *fields: the first field's place.
 * False: answered. */
bool hash_parse_fields(struct req *rq, uint32_t at, const char *range_error,
                       uint32_t *fields);
/* argv[i] in `unit` from `base`, as wall ms. */
bool hash_parse_time(struct req *rq, uint32_t i, enum expire_unit unit,
                     uint64_t base, uint64_t *out);

#endif
