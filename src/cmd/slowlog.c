/* cmd/slowlog.c - SLOWLOG and what it shows.
 *
 * An entry keeps at most 32 arguments of at most 128 bytes; what was cut off
 * is told in words, as in Redis.  Called by dispatch after a slow command. */
#include "cmd/slowlog.h"

#include <stdio.h>

#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"

#define ARGS_MAX 32
#define ARG_BYTES_MAX 128
#define NOTE_MAX 48 /* "... (12345 more bytes)" */

struct slowlog *
slowlog_new(void)
{
    struct slowlog *log = nq_calloc(1, sizeof *log);

    list_init(&log->entries);
    return log;
}

void
slowlog_free(struct slowlog *log)
{
    if (log == NULL)
        return;
    slowlog_clear(log);
    nq_free(log);
}

void
slowlog_trim(struct slowlog *log, uint32_t max)
{
    while (log->count > max) {
        struct list *oldest = log->entries.prev;

        list_remove(oldest);
        nq_free(nq_container(oldest, struct slowlog_entry, link));
        log->count--;
    }
}

void
slowlog_clear(struct slowlog *log)
{
    slowlog_trim(log, 0);
}

static struct slice
store_slice(uint8_t **at, struct slice s)
{
    struct slice kept = {*at, s.len};

    if (s.len > 0)
        memcpy(*at, s.p, s.len);
    *at += s.len;
    return kept;
}

static struct slice
store_argument(uint8_t **at, struct slice arg)
{
    struct slice kept;
    char note[NOTE_MAX];
    int n;

    if (arg.len <= ARG_BYTES_MAX)
        return store_slice(at, arg);
    n = snprintf(note, sizeof note, "... (%zu more bytes)",
                 arg.len - ARG_BYTES_MAX);
    kept = store_slice(at, slice_of(arg.p, ARG_BYTES_MAX));
    kept.len += store_slice(at, slice_of(note, (size_t)n)).len;
    return kept;
}

void
slowlog_add(struct engine *e, const struct req *rq, uint64_t us)
{
    const struct session *s = rq->s;
    struct slice addr = slice_str(s->addr != NULL ? s->addr : "");
    struct slice name = slice_str(s->name != NULL ? s->name : "");
    uint32_t argc = nq_min(rq->argc, (uint32_t)ARGS_MAX);
    uint32_t whole = rq->argc > ARGS_MAX ? ARGS_MAX - 1 : argc;
    struct slowlog_entry *x;
    char note[NOTE_MAX];
    uint8_t *at;

    if (rq->cmd->flags & CMD_NOLOG || e->limits.slowlog_max == 0)
        return;
    x = nq_malloc(sizeof *x + argc * (sizeof *x->argv + ARG_BYTES_MAX) +
                  argc * NOTE_MAX + addr.len + name.len);
    at = (uint8_t *)(x->argv + argc);
    x->id = e->slowlog->next_id++;
    x->wall_s = e->now_ms / 1000;
    x->us = us;
    x->addr = store_slice(&at, addr);
    x->name = store_slice(&at, name);
    x->argc = argc;
    for (uint32_t i = 0; i < whole; i++)
        x->argv[i] = store_argument(&at, rq->argv[i]);
    if (whole < argc) {
        int n = snprintf(note, sizeof note, "... (%u more arguments)",
                         rq->argc - whole);

        x->argv[whole] = store_slice(&at, slice_of(note, (size_t)n));
    }
    list_push_front(&e->slowlog->entries, &x->link);
    e->slowlog->count++;
    slowlog_trim(e->slowlog, e->limits.slowlog_max);
}
