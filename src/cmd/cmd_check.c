/* cmd/cmd_check.c - NQ.CHECK [EXTENTS]: walks all trees, values, page table
 * and space, and answers what it found.
 *
 * The answer is a map of sums; its last field is a list of what is wrong, up
 * to FINDINGS_MAX lines (the server log has all of them).
 *
 * The check goes in slices and parks on misses as any command does, so that
 * readers are served meanwhile.  What it compares must hold still: writers
 * wait, as with CLIENT PAUSE WRITE, until it is done or its client is gone.
 * The last step, comparing the page table, is one piece: about 10 ms for a
 * million pages.  With EXTENTS that step reads every page on the disk, and
 * everybody waits for it. */
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/db_check.h"
#include "os/clock.h"

#define CHECK_MAGIC 0x43484b31u
#define CHECK_SLICE_US 500
#define PAUSE_MS 3600000 /* no read takes so long; the end unpauses */
#define FINDINGS_MAX 100

struct checking {
    uint32_t magic;
    struct engine *engine;
    struct db_check *check;
    uint64_t pause_before_ms; /* of CLIENT PAUSE, when this one began */
    bool writes_only_before;
    struct buf findings; /* zero-ended texts */
    unsigned listed;
};

static void
on_finding(void *arg, const char *text)
{
    struct checking *k = arg;

    log_error("NQ.CHECK: %s", text);
    if (k->listed == FINDINGS_MAX)
        return;
    k->listed++;
    buf_put(&k->findings, text, strlen(text) + 1);
}

/* Writers may go on, unless somebody else holds them. */
static void
end_pause(struct checking *k)
{
    struct engine *e = k->engine;

    if (k->pause_before_ms > clock_mono_ms()) {
        e->pause_until_ms = k->pause_before_ms;
        e->pause_writes_only = k->writes_only_before;
    } else {
        engine_unpause(e);
    }
}

static void
free_checking(void *state)
{
    struct checking *k;

    NQ_CAST(k, state, CHECK_MAGIC);
    end_pause(k);
    db_check_free(k->check);
    buf_fini(&k->findings);
    nq_free(k);
}

static struct checking *
checking_of(struct req *rq, bool read_extents)
{
    struct checking *k = rq->state;

    if (k == NULL) {
        k = nq_calloc(1, sizeof *k);
        k->magic = CHECK_MAGIC;
        k->engine = rq->engine;
        k->pause_before_ms = rq->engine->pause_until_ms;
        k->writes_only_before = rq->engine->pause_writes_only;
        k->check = db_check_new(rq->db, read_extents, on_finding, k);
        rq->state = k;
        rq->free_state = free_checking;
    }
    NQ_CAST(k, rq->state, CHECK_MAGIC);
    return k;
}

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static void
reply_check(struct req *rq, const struct checking *k)
{
    const struct db_check_stats *st = db_check_get_stats(k->check);
    const char *text = (const char *)k->findings.p;

    reply_map(rq, 11);
    put_number(rq, "findings", st->findings);
    put_number(rq, "pages", st->pages);
    put_number(rq, "leaves", st->trees.leaves);
    put_number(rq, "inners", st->trees.inners);
    put_number(rq, "height", st->trees.height);
    put_number(rq, "keys", st->trees.records);
    put_number(rq, "collections", st->collections);
    put_number(rq, "items", st->items);
    put_number(rq, "blobs", st->blobs);
    put_number(rq, "blob-bytes", st->blob_bytes);
    reply_bulk_str(rq, "texts");
    reply_array(rq, k->listed);
    for (unsigned i = 0; i < k->listed; i++) {
        reply_bulk_str(rq, text);
        text += strlen(text) + 1;
    }
}

void
cmd_nq_check(struct req *rq)
{
    bool read_extents = rq->argc == 2 && slice_is(rq->argv[1], "EXTENTS");
    struct checking *k;
    nq_rc rc;

    if (rq->argc > 2 || (rq->argc == 2 && !read_extents)) {
        reply_syntax(rq);
        return;
    }
    k = checking_of(rq, read_extents);
    engine_pause(rq->engine, PAUSE_MS, true);
    rc = db_check_step(k->check, CHECK_SLICE_US);
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc == NQ_OK || rc == NQ_ECORRUPT)
        reply_check(rq, k);
    else
        reply_rc(rq, rc);
}
