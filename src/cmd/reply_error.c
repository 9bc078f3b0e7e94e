/* cmd/reply_error.c - error replies and help: the one place where result
 * codes and mistakes of clients become words.
 *
 * An error reply is one line, so bytes that would break it are blanked. */
#include "cmd/reply.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "cmd/engine.h"
#include "cmd/errorstats.h"
#include "store/frames.h"
#include "store/store.h"

#define ERROR_MAX 1000

static void
put_error(struct req *rq, char *text, size_t n)
{
    nq_assert(n >= 3 && text[0] == '-');
    for (size_t i = 0; i < n - 2; i++)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    rq->is_error = true;
    rq->engine->stats.total_error_replies++;
    errorstats_count(rq->engine->errors, slice_of(text + 1, n - 3));
    reply_raw(rq, slice_of(text, n));
}

void
reply_error(struct req *rq, const char *fmt, ...)
{
    char text[ERROR_MAX + 3];
    size_t at = 0, n;
    va_list ap;

    if (fmt[0] != '-') {
        memcpy(text, "-ERR ", 5);
        at = 5;
    }
    va_start(ap, fmt);
    n = (size_t)vsnprintf(text + at, ERROR_MAX - at, fmt, ap);
    va_end(ap);
    n = nq_min(at + n, (size_t)ERROR_MAX - 1);
    memcpy(text + n, "\r\n", 2);
    put_error(rq, text, n + 2);
}

/* Which page, if it was one; the key that was asked for is the client's to
 * know, what else the page holds NQ.CHECK tells. */
static bool
reply_damage(struct req *rq)
{
    struct frames *fr = store_frames(rq->engine->store);
    uint64_t off;
    pgno id;

    if (!frames_last_damage(fr, &id, &off))
        return false;
    reply_error(rq,
                "-%s page %u at offset %llu of the data file is damaged; "
                "NQ.CHECK EXTENTS tells what it holds, see the server log",
                rc_prefix(NQ_ECORRUPT), id, (unsigned long long)off);
    return true;
}

void
reply_rc(struct req *rq, nq_rc rc)
{
    if (rc == NQ_OK)
        return;
    if (rc == NQ_MISS || rc == NQ_EHELD) {
        rq->outcome = rc == NQ_MISS ? REQ_PARK : REQ_HELD;
        return;
    }
    if (rc == NQ_ECORRUPT && reply_damage(rq))
        return;
    if (rc_prefix(rc)[0] == '\0') {
        rq->engine->stats.unexpected_errors++;
        reply_error(rq, "%s", rc_text(rc));
        return;
    }
    reply_error(rq, "-%s %s", rc_prefix(rc), rc_text(rc));
}

uint64_t
reply_mark(const struct req *rq)
{
    return rq->s->out.put;
}

void
reply_rc_from(struct req *rq, uint64_t mark, nq_rc rc)
{
    nq_assert(rq->part == NULL);
    outq_rewind(&rq->s->out, mark);
    reply_rc(rq, rc);
}

void
reply_syntax(struct req *rq)
{
    reply_rc(rq, NQ_ESYNTAX);
}

void
reply_wrong_arity(struct req *rq)
{
    reply_error(rq, "wrong number of arguments for '%s' command",
                rq->cmd->name);
}

/* "client|list" or "client": the part before '|', in capitals. */
static void
container_name(const char *name, char *dst, size_t size)
{
    size_t i = 0;

    for (; i + 1 < size && name[i] != '\0' && name[i] != '|'; i++)
        dst[i] = (char)toupper((unsigned char)name[i]);
    dst[i] = '\0';
}

void
reply_unknown_sub(struct req *rq)
{
    char name[32];
    struct slice sub = rq->argc > 1 ? rq->argv[1] : slice_lit("");

    container_name(rq->cmd->name, name, sizeof name);
    reply_error(rq, "unknown subcommand '%.*s'. Try %s HELP.",
                (int)nq_min(sub.len, (size_t)128), (const char *)sub.p, name);
}

void
reply_help(struct req *rq, const char *const *lines)
{
    char name[32], first[128];
    uint64_t n = 0;

    while (lines[n] != NULL)
        n++;
    container_name(rq->cmd->name, name, sizeof name);
    snprintf(
        first, sizeof first,
        "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_array(rq, n + 3);
    reply_status(rq, first);
    for (uint64_t i = 0; i < n; i++)
        reply_status(rq, lines[i]);
    reply_status(rq, "HELP");
    reply_status(rq, "    Prints this help.");
}
