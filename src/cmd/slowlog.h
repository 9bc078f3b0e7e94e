/* cmd/slowlog.h - the last commands that took longer than
 * slowlog-log-slower-than.  Loop thread only. */
#ifndef NQ_CMD_SLOWLOG_H
#define NQ_CMD_SLOWLOG_H

#include "base/list.h"
#include "base/slice.h"

struct engine;
struct req;

struct slowlog {
    struct list entries; /* newest first */
    uint32_t count;
    uint64_t next_id;
};

/* One piece of heap memory: the struct, then the slices and their bytes. */
struct slowlog_entry {
    struct list link;
    uint64_t id, wall_s, us;
    struct slice addr, name;
    uint32_t argc;
    struct slice argv[];
};

struct slowlog *slowlog_new(void);
void slowlog_free(struct slowlog *log);
void slowlog_add(struct engine *e, const struct req *rq, uint64_t us);
void slowlog_clear(struct slowlog *log);
/* Drops the oldest ones beyond `max`. */
void slowlog_trim(struct slowlog *log, uint32_t max);

#endif
