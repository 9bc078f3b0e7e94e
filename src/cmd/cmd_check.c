/* cmd/cmd_check.c - NQ.CHECK [EXTENTS]: walks every tree, the page table and
 * the space, and says what it found.
 *
 * It runs in one piece: other clients wait for it, as they would for DEBUG
 * RELOAD on Redis.  nqdb-cli check does the same beside a stopped server. */
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/db_check.h"

#define FINDINGS_SHOWN 100

struct findings {
    uint32_t shown;
    struct slice texts[FINDINGS_SHOWN]; /* in the arena */
    struct arena *arena;
};

static void
on_finding(void *arg, const char *text)
{
    struct findings *f = arg;
    size_t n = strlen(text);

    if (f->shown == FINDINGS_SHOWN)
        return;
    f->texts[f->shown++] = slice_of(arena_memdup(f->arena, text, n), n);
}

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static void
reply_check(struct req *rq, const struct db_check_stats *st,
            const struct findings *f)
{
    reply_map(rq, 9);
    put_number(rq, "findings", st->findings);
    put_number(rq, "pages", st->pages);
    put_number(rq, "leaves", st->trees.leaves);
    put_number(rq, "inners", st->trees.inners);
    put_number(rq, "height", st->trees.height);
    put_number(rq, "keys", st->trees.records);
    put_number(rq, "blobs", st->blobs);
    put_number(rq, "blob-bytes", st->blob_bytes);
    reply_bulk_str(rq, "texts");
    reply_array(rq, f->shown);
    for (uint32_t i = 0; i < f->shown; i++)
        reply_bulk(rq, f->texts[i]);
}

void
cmd_nq_check(struct req *rq)
{
    bool read_extents = rq->argc == 2 && slice_is(rq->argv[1], "extents");
    struct findings *f = arena_alloc(rq->arena, sizeof *f);
    struct db_check_stats st;
    nq_rc rc;

    if (rq->argc > 2 || (rq->argc == 2 && !read_extents)) {
        reply_syntax(rq);
        return;
    }
    f->shown = 0;
    f->arena = rq->arena;
    rc = db_check(rq->db, read_extents, on_finding, f, &st);
    if (rc == NQ_OK || rc == NQ_ECORRUPT)
        reply_check(rq, &st, f);
    else
        reply_rc(rq, rc);
}
