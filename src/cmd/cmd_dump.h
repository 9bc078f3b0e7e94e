/* cmd/cmd_dump.h - between values as they are kept and values as payloads
 * carry them. */
#ifndef NQ_CMD_CMD_DUMP_H
#define NQ_CMD_CMD_DUMP_H

#include "cmd/command.h"
#include "cmd/rdb.h"

/* The value found at `key`, all of it: borrowed from pages, or in the
 * arena. */
NQ_MUST_USE nq_rc dump_collect(struct req *rq, struct slice key,
                               struct entry *e, struct rdb_value *out);
/* Makes the value, which is no string, at `key` of database `dbi`, where there
 * is none.  NQ_EFORMAT: something in it stands twice. */
NQ_MUST_USE nq_rc dump_build(struct req *rq, uint32_t dbi, struct slice key,
                             const struct rdb_value *v);

#endif
