/* cmd/cmd_key_object.c - OBJECT: how values are kept, in Redis' words. */
#include "cmd/cmd_key.h"

#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/idle.h"
#include "cmd/reply.h"
#include "db/fields.h"
#include "db/lists.h"
#include "db/set.h"
#include "db/string.h"
#include "db/zset.h"

/* Finds argv[2]; null is answered when it is not there. */
static bool
find_object(struct req *rq, struct entry *e)
{
    bool found;

    if (!key_is_found(rq, req_find(rq, 2, e), &found))
        return false;
    if (!found)
        reply_null(rq);
    return found;
}

const char *
key_encoding(const struct entry *e)
{
    switch (e->rec.type) {
    case DB_STRING:
        return string_encoding(e);
    case DB_LIST:
        return list_encoding(e);
    case DB_SET:
        return set_encoding(e);
    case DB_ZSET:
        return zset_encoding(e);
    case DB_HASH:
        return fields_encoding(e);
    case DB_STREAM:
        return "stream";
    default:
        return "unknown";
    }
}

void
cmd_object_encoding(struct req *rq)
{
    struct entry e;

    if (find_object(rq, &e))
        reply_bulk_str(rq, key_encoding(&e));
}

/* Values are never shared. */
void
cmd_object_refcount(struct req *rq)
{
    struct entry e;

    if (find_object(rq, &e))
        reply_int(rq, 1);
}

void
cmd_object_idletime(struct req *rq)
{
    struct engine *g = rq->engine;
    struct entry e;

    if (find_object(rq, &e))
        reply_int(rq, (int64_t)idle_seconds(g->idle, rq->dbi, rq->argv[2],
                                            g->now_ms, g->start_wall_ms));
}

void
cmd_object_freq(struct req *rq)
{
    struct entry e;

    if (find_object(rq, &e))
        reply_error(rq, "-ERR An LFU maxmemory policy is not selected, access "
                        "frequency not tracked. Please note that when "
                        "switching between policies at runtime LRU and LFU "
                        "data will take some time to adjust.");
}

void
cmd_object_help(struct req *rq)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    How Redis would keep the value: int, embstr, listpack ...",
        "FREQ <key>",
        "    Not kept: answers an error.",
        "IDLETIME <key>",
        "    Seconds since the key was used last, or somewhat less.",
        "REFCOUNT <key>",
        "    Always 1: values are not shared.",
        NULL,
    };

    reply_help(rq, lines);
}
