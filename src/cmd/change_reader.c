/* cmd/change_reader.c - readers: a position, a range, and where what comes
 * next is found.
 *
 *   REST   its owner's turn: it was told that there is something, or stopped
 *   LIVE   all that is settled was given; ready when more is
 *   WANTS  behind the ring; waits for one of the few workers that may read
 *   READS  a worker reads a batch
 *   READY  ready() is to be called in this turn
 *
 *   I1  at: all changes of the range up to here were given.  It moves with
 *       each change that was taken, and behind what holds none
 *   I2  a reader at or above the ring's floor goes on in the ring, another in
 *       the log, up to what is settled; both give just what is behind `at`, so
 *       going over from one to the other leaves out and repeats nothing
 *
 * Called by those who follow changes; by changes.c and change_log.c. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/changes_int.h"

#define FETCHES_MAX 2u /* at once: they share the workers with reads */

/* --- life ----------------------------------------------------------------- */

static void
set_range(struct change_reader *r, const struct key_range *range)
{
    r->has_range = true;
    r->range = *range;
    buf_put_slice(&r->lo, range->lo);
    if (range->has_hi)
        buf_put_slice(&r->hi, range->hi);
    r->range.lo = buf_slice(&r->lo);
    r->range.hi = buf_slice(&r->hi);
}

struct change_reader *
change_reader_open(struct changes *ch, const struct change_reader_opts *o)
{
    struct change_reader *r = nq_calloc(1, sizeof *r);

    r->ch = ch;
    r->at = o->after;
    r->ready = o->ready;
    r->arg = o->arg;
    list_init(&r->link);
    if (o->range != NULL)
        set_range(r, o->range);
    ch->readers++;
    return r;
}

/* Lets go of what it has or asked of the log. */
static void
drop_log(struct change_reader *r)
{
    if (r->log == NULL)
        return;
    if (r->state == READER_READS)
        r->log->reader = NULL; /* it frees itself */
    else
        fetch_free(r->log);
    r->log = NULL;
    r->has_batch = false;
    r->ch->lagging--;
}

static void
rest(struct change_reader *r)
{
    list_remove(&r->link);
    r->state = READER_REST;
}

void
change_reader_close(struct change_reader *r)
{
    if (r == NULL)
        return;
    nq_assert(!r->is_busy);
    drop_log(r);
    rest(r);
    r->ch->readers--;
    buf_fini(&r->lo);
    buf_fini(&r->hi);
    nq_free(r);
}

void
change_reader_seek(struct change_reader *r, lsn after)
{
    nq_assert(!r->is_busy);
    drop_log(r);
    rest(r);
    r->at = after;
}

lsn
change_reader_at(const struct change_reader *r)
{
    return r->at;
}

bool
change_reader_is_live(const struct change_reader *r)
{
    return r->ch->has_begun && r->log == NULL && r->at >= r->ch->ring.floor;
}

/* --- states --------------------------------------------------------------- */

static void
be_ready(struct change_reader *r)
{
    r->state = READER_READY;
    list_remove(&r->link);
    list_push_back(&r->ch->ready, &r->link);
}

void
readers_call(struct changes *ch)
{
    struct list *it;

    while ((it = list_pop_front(&ch->ready)) != NULL) {
        struct change_reader *r = nq_container(it, struct change_reader, link);

        r->state = READER_REST;
        r->ready(r->arg);
    }
}

static nq_rc
be_live(struct change_reader *r)
{
    r->state = READER_LIVE;
    list_push_back(&r->ch->live, &r->link);
    return NQ_OK;
}

void
readers_start(struct changes *ch)
{
    struct list *it;

    while (ch->db != NULL && ch->reading < FETCHES_MAX &&
           (it = list_pop_front(&ch->wanting)) != NULL) {
        struct change_reader *r = nq_container(it, struct change_reader, link);

        r->state = READER_READS;
        fetch_start(r->log, r->at);
    }
}

static nq_rc
want_log(struct change_reader *r)
{
    if (r->log == NULL) {
        r->log = fetch_new(r);
        r->ch->lagging++;
    }
    r->has_batch = false;
    r->state = READER_WANTS;
    list_push_back(&r->ch->wanting, &r->link);
    readers_start(r->ch);
    return NQ_AGAIN;
}

void
reader_fetched(struct change_reader *r)
{
    struct fetch *f = r->log;

    nq_assert(r->state == READER_READS);
    if (f->rc == NQ_OK && f->out.len == 0 && f->next < f->end - 1 &&
        f->next < r->ch->ring.floor) {
        r->at = f->next; /* nothing there: on without asking anybody */
        (void)want_log(r);
        return;
    }
    r->has_batch = true;
    be_ready(r);
}

/* --- giving --------------------------------------------------------------- */

static bool
give(struct change_reader *r, const struct change *c, change_fn *fn, void *arg)
{
    bool taken;

    r->is_busy = true;
    taken = fn(arg, c);
    r->is_busy = false;
    if (taken)
        r->at = c->at;
    return taken;
}

/* What a worker read.  False: fn said no. */
static bool
give_batch(struct change_reader *r, change_fn *fn, void *arg)
{
    struct fetch *f = r->log;
    struct change c;
    size_t size;

    while (fetch_peek(f, &c, &size)) {
        if (!give(r, &c, fn, arg))
            return false;
        f->given += size;
        r->ch->from_log++;
    }
    r->at = nq_max(r->at, f->next);
    r->has_batch = false;
    return true;
}

/* False: fn said no. */
static bool
give_ring(struct change_reader *r, change_fn *fn, void *arg)
{
    const struct ring *ring = &r->ch->ring;
    lsn settled = changes_settled(r->ch);
    uint64_t i = ring_find(ring, r->at);

    /* fn may change keys, so the ring's old end may come past us. */
    for (; i >= ring->first && i < ring->next; i++) {
        const struct told *t = ring_at(ring, i);
        struct change c;

        if (t->at > settled)
            break;
        nq_assert(change_decode(t->at, t->db, slice_of(t->bytes, t->key_len),
                                slice_of(t->bytes + t->key_len, t->args_len),
                                &c));
        if (r->has_range && !change_is_in(&c, &r->range))
            r->at = t->at;
        else if (!give(r, &c, fn, arg))
            return false;
    }
    if (i >= ring->first)
        r->at = nq_max(r->at, settled);
    return true;
}

nq_rc
change_reader_next(struct change_reader *r, change_fn *fn, void *arg)
{
    struct changes *ch = r->ch;

    nq_assert(!r->is_busy);
    if (!changes_begin(ch))
        return NQ_OK;
    if (r->state == READER_WANTS || r->state == READER_READS)
        return NQ_AGAIN;
    rest(r);
    if (r->has_batch) {
        nq_rc rc = r->log->rc;

        if (!give_batch(r, fn, arg))
            return NQ_OK;
        if (rc != NQ_OK) {
            drop_log(r);
            return rc;
        }
    }
    while (r->at >= ch->ring.floor) {
        drop_log(r);
        if (!give_ring(r, fn, arg))
            return NQ_OK;
        if (r->at >= ch->ring.floor)
            return be_live(r);
    }
    return changes_settled(ch) > r->at ? want_log(r) : be_live(r);
}
