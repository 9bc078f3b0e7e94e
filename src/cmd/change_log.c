/* cmd/change_log.c - batches of changes, read from the log by workers.
 *
 * A fetch reads what was settled when it began, from where its reader is, and
 * keeps the changes of the reader's range:
 *
 *   change  0  u64 LSN   8 u32 database   12 u32 key bytes
 *          16  u32 bytes of arguments     20 key, arguments
 *
 * A batch ends when it is large, or when much of the log was read for it, so a
 * fetch that finds nothing takes no longer than one that does.  The worker has
 * the whole of the fetch to itself; if the reader is closed meanwhile, the
 * fetch frees itself when it is done.
 *
 * Called by change_reader.c. */
#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/changes_int.h"
#include "store/store.h"
#include "store/wal_tail.h"

#define LOG_BYTES ((size_t)1 << 20)     /* read for one batch */
#define BATCH_BYTES ((size_t)256 << 10) /* of changes in it */

struct fetch *
fetch_new(struct change_reader *r)
{
    struct fetch *f = nq_calloc(1, sizeof *f);

    f->ch = r->ch;
    f->reader = r;
    f->tail = wal_tail_new(r->ch->wal);
    f->has_range = r->has_range;
    if (r->has_range) {
        buf_put_slice(&f->lo, r->range.lo);
        buf_put_slice(&f->hi, r->range.hi);
        f->range = r->range;
        f->range.lo = buf_slice(&f->lo);
        f->range.hi = buf_slice(&f->hi);
    }
    return f;
}

void
fetch_free(struct fetch *f)
{
    if (f == NULL)
        return;
    wal_tail_free(f->tail);
    buf_fini(&f->lo);
    buf_fini(&f->hi);
    buf_fini(&f->out);
    nq_free(f);
}

/* --- on a worker ---------------------------------------------------------- */

static bool
on_record(void *arg, const struct wal_record *rec)
{
    struct fetch *f = arg;
    struct buf *b = &f->out;
    struct change c;

    if (!change_is_record(rec))
        return true;
    if (!change_decode(rec->at, rec->db, rec->key, rec->args, &c)) {
        f->rc = NQ_ECORRUPT;
        return false;
    }
    if (f->has_range && !change_is_in(&c, &f->range))
        return true;
    if (b->len >= BATCH_BYTES)
        return false;
    buf_put_u64(b, rec->at);
    buf_put_u32(b, rec->db);
    buf_put_u32(b, (uint32_t)rec->key.len);
    buf_put_u32(b, (uint32_t)rec->args.len);
    buf_put_slice(b, rec->key);
    buf_put_slice(b, rec->args);
    return true;
}

static void
run(struct job *job)
{
    struct fetch *f = nq_container(job, struct fetch, job);
    nq_rc rc = wal_tail_read(f->tail, f->after, f->end, LOG_BYTES, on_record, f,
                             &f->next, &f->oldest);

    if (f->rc == NQ_OK)
        f->rc = rc;
}

/* --- on the loop ---------------------------------------------------------- */

static void
on_done(struct job *job)
{
    struct fetch *f = nq_container(job, struct fetch, job);
    struct changes *ch = f->ch;

    ch->reading--;
    ch->log_reads++;
    if (f->reader != NULL)
        reader_fetched(f->reader);
    else
        fetch_free(f);
    readers_start(ch);
}

void
fetch_start(struct fetch *f, lsn after)
{
    struct changes *ch = f->ch;

    f->after = after;
    f->end = changes_settled(ch) + 1;
    f->rc = NQ_OK;
    f->given = 0;
    buf_clear(&f->out);
    f->job.run = run;
    f->job.done = on_done;
    ch->reading++;
    pool_submit(store_workers(ch->store), &f->job, POOL_FLUSH);
}

bool
fetch_peek(const struct fetch *f, struct change *out, size_t *size)
{
    struct slice left = slice_of(f->out.p + f->given, f->out.len - f->given);
    struct cursor c = cursor_of(left);
    struct slice key, args;
    uint32_t db, key_len, args_len;
    lsn at;

    if (left.len == 0)
        return false;
    cursor_get_u64(&c, &at);
    cursor_get_u32(&c, &db);
    cursor_get_u32(&c, &key_len);
    cursor_get_u32(&c, &args_len);
    cursor_get_bytes(&c, key_len, &key);
    cursor_get_bytes(&c, args_len, &args);
    nq_assert(cursor_ok(&c));
    *size = left.len - cursor_left(&c);
    return change_decode(at, db, key, args, out);
}
