/* cmd/sort_source.h - the elements of a list, a set or a sorted set by their
 * rank, whichever of them it is.  Loop thread only. */
#ifndef NQ_CMD_SORT_SOURCE_H
#define NQ_CMD_SORT_SOURCE_H

#include "cmd/command.h"
#include "db/lists.h"
#include "db/set.h"
#include "db/zset.h"

struct sort_source {
    enum db_type type;
    uint64_t count;
    bool valid; /* stands on an element */
    /* private */
    struct db *db;
    struct coll set;
    struct zset zset;
    struct list_item item; /* of a list, where it stands */
    union {
        struct list_cursor in_list;
        struct coll_cursor in_set;
        struct zset_cursor in_zset;
    };
    bool is_open;
};

bool sort_source_has(enum db_type type);
/* `e`: a found list, set or sorted set, of `key`.  Close it in any case. */
NQ_MUST_USE nq_rc sort_source_open(struct req *rq, struct slice key,
                                   struct entry *e, struct sort_source *out);
void sort_source_close(struct sort_source *s);
NQ_MUST_USE nq_rc sort_source_seek(struct sort_source *s, uint64_t rank);
NQ_MUST_USE nq_rc sort_source_step(struct sort_source *s, bool backwards);
/* Where it stands: borrowed until the next step, or from the arena. */
NQ_MUST_USE nq_rc sort_source_bytes(struct sort_source *s, struct arena *arena,
                                    struct slice *out);

#endif
