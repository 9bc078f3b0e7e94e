/* cmd/changes.c - the last changes in memory, positions, and how much of the
 * log is kept for readers.
 *
 *   db           -> changes_on_change   a change was logged: into the ring
 *   turn         -> changes_turn        the log has settled: readers are told
 *   cron         -> changes_cron        covers end, the log is let go
 *
 * I1  the ring holds every change above its floor, settled or not, in order;
 *     what is taken off at its old end moves the floor up
 * I2  a reader is given changes below the settled end of the log only, so
 *     nobody hears of what a crash takes back
 *
 * The log is held from the least of
 *
 *   the oldest cover's beginning, but no more than feeds.retention bytes
 *   each mark, but no more than feeds.named_retention bytes
 *
 * and not at all when the disk is full, as the server needs the segments
 * then: readers that come too late are told so.  Called by the engine. */
#include "cmd/changes.h"

#include "base/mem.h"
#include "cmd/changes_int.h"
#include "store/store.h"

#define RING_MIN 64u
#define SWEEP_MS 1000

/* --- life ----------------------------------------------------------------- */

struct changes *
changes_new(void)
{
    struct changes *ch = nq_calloc(1, sizeof *ch);

    ch->opts = (struct changes_opts){.memory = (uint64_t)32 << 20,
                                     .retention = (uint64_t)256 << 20,
                                     .named_retention = (uint64_t)1 << 30,
                                     .linger_ms = 3600 * 1000,
                                     .max_image = 65536};
    list_init(&ch->live);
    list_init(&ch->ready);
    list_init(&ch->wanting);
    return ch;
}

static void
pop_oldest(struct ring *r)
{
    struct told *t = r->at[r->first++ & (r->cap - 1)];

    r->bytes -= sizeof *t + t->key_len + t->args_len;
    r->floor = t->at;
    nq_free(t);
}

static void
clear_ring(struct ring *r)
{
    while (r->first < r->next)
        pop_oldest(r);
    nq_free(r->at);
    *r = (struct ring){.at = NULL};
}

void
changes_free(struct changes *ch)
{
    nq_assert(ch->readers == 0);
    clear_ring(&ch->ring);
    nq_free(ch);
}

void
changes_attach(struct changes *ch, struct db *db, struct store *store)
{
    ch->db = db;
    ch->store = store;
    ch->wal = store_wal(store);
    db_set_max_image(db, ch->opts.max_image);
}

void
changes_detach(struct changes *ch)
{
    if (ch->db == NULL)
        return;
    ch->db = NULL; /* no fetch begins any more */
    while (ch->reading > 0)
        (void)pool_wait(store_workers(ch->store));
    clear_ring(&ch->ring);
    ch->has_begun = false;
    ch->store = NULL;
    ch->wal = NULL;
}

void
changes_set(struct changes *ch, const struct changes_opts *opts)
{
    ch->opts = *opts;
    if (ch->db != NULL)
        db_set_max_image(ch->db, opts->max_image);
}

bool
changes_begin(struct changes *ch)
{
    if (ch->has_begun)
        return true;
    if (ch->db == NULL || db_is_replaying(ch->db))
        return false;
    ch->has_begun = true;
    ch->ring.floor = ch->seen = wal_head(ch->wal);
    return true;
}

/* --- the ring ------------------------------------------------------------- */

uint64_t
ring_find(const struct ring *r, lsn after)
{
    uint64_t lo = r->first, hi = r->next;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (ring_at(r, mid)->at <= after)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void
grow(struct ring *r)
{
    uint32_t cap = nq_max(RING_MIN, 2 * r->cap);
    struct told **fresh = nq_malloc(cap * sizeof *fresh);

    for (uint64_t i = r->first; i < r->next; i++)
        fresh[i & (cap - 1)] = r->at[i & (r->cap - 1)];
    nq_free(r->at);
    r->at = fresh;
    r->cap = cap;
}

void
changes_on_change(struct changes *ch, lsn at, uint32_t db, struct slice key,
                  struct slice args)
{
    struct ring *r = &ch->ring;
    struct told *t = nq_malloc(sizeof *t + key.len + args.len);

    if (!ch->has_begun) {
        ch->has_begun = true;
        r->floor = ch->seen = at - 1;
    }
    *t = (struct told){at, db, (uint32_t)key.len, (uint32_t)args.len};
    if (key.len > 0)
        memcpy(t->bytes, key.p, key.len);
    memcpy(t->bytes + key.len, args.p, args.len);
    if (r->next - r->first == r->cap)
        grow(r);
    r->at[r->next++ & (r->cap - 1)] = t;
    r->bytes += sizeof *t + key.len + args.len;
    while (r->bytes > ch->opts.memory && r->first < r->next)
        pop_oldest(r);
}

/* --- positions ------------------------------------------------------------ */

lsn
changes_head(const struct changes *ch)
{
    return wal_head(ch->wal);
}

lsn
changes_settled(const struct changes *ch)
{
    lsn settled = wal_settled(ch->wal) - 1, head = wal_head(ch->wal);

    return nq_min(settled, head);
}

void
changes_bounds(struct changes *ch, const struct key_range *r, lsn *oldest,
               lsn *newest)
{
    struct wal_stats st;

    *newest = changes_head(ch);
    if (db_cover_since(ch->db, r, oldest) != NQ_OK) {
        *oldest = *newest;
        return;
    }
    wal_get_stats(ch->wal, &st);
    *oldest = nq_min(nq_max(*oldest, st.oldest - 1), *newest);
}

/* --- turns ---------------------------------------------------------------- */

/* Whether there may be a change in (after, upto]. */
static bool
has_changes(const struct ring *r, lsn after, lsn upto)
{
    uint64_t i = ring_find(r, after);

    return r->floor > after || (i < r->next && ring_at(r, i)->at <= upto);
}

/* Readers that wait for what is settled now, if that is something. */
static void
wake_readers(struct changes *ch, lsn settled)
{
    lsn seen = ch->seen;

    if (settled <= seen)
        return;
    ch->seen = settled;
    if (!has_changes(&ch->ring, seen, settled))
        return;
    list_each(it, &ch->live)
    {
        struct change_reader *reader =
            nq_container(it, struct change_reader, link);

        list_remove(it);
        reader->state = READER_READY;
        list_push_back(&ch->ready, it);
    }
}

/* The loop is to come back when the next change is settled. */
static void
ask_for_wake(struct changes *ch, lsn settled)
{
    const struct ring *r = &ch->ring;
    uint64_t i;

    if (list_empty(&ch->live) || wal_writable(ch->wal) == NQ_EREADONLY)
        return;
    i = ring_find(r, settled);
    if (r->floor > settled)
        wal_wake_at(ch->wal, r->floor);
    else if (i < r->next)
        wal_wake_at(ch->wal, ring_at(r, i)->at);
}

void
changes_turn(struct changes *ch)
{
    lsn settled;

    if (ch->readers == 0 || !changes_begin(ch))
        return;
    settled = changes_settled(ch);
    wake_readers(ch, settled);
    readers_call(ch);
    ask_for_wake(ch, settled);
}

/* --- retention ------------------------------------------------------------ */

struct holding {
    lsn from, head;
    uint64_t most;
};

static lsn
within(lsn from, lsn head, uint64_t most)
{
    return head > most ? nq_max(from, head - most) : from;
}

static void
hold_mark(void *arg, const struct mark *m)
{
    struct holding *h = arg;

    h->from = nq_min(h->from, within(m->at, h->head, h->most));
}

static lsn
hold_from(struct changes *ch)
{
    struct holding h = {WAL_HOLD_NONE, changes_head(ch),
                        ch->opts.named_retention};
    struct cover_stats covers;

    if (wal_writable(ch->wal) == NQ_ENOSPC)
        return WAL_HOLD_NONE;
    db_cover_get_stats(ch->db, &covers);
    if (covers.covers > 0)
        h.from = within(covers.oldest, h.head, ch->opts.retention);
    db_mark_each(ch->db, hold_mark, &h);
    return h.from;
}

void
changes_cron(struct changes *ch, uint64_t now_ms)
{
    if (!changes_begin(ch))
        return;
    if (now_ms - ch->swept_ms >= SWEEP_MS) {
        ch->swept_ms = now_ms;
        db_cover_sweep(ch->db, now_ms, ch->opts.linger_ms);
    }
    ch->hold = hold_from(ch);
    wal_hold(ch->wal, ch->hold);
}

void
changes_get_stats(const struct changes *ch, struct changes_stats *out)
{
    const struct ring *r = &ch->ring;

    *out = (struct changes_stats){.changes = r->next,
                                  .ring_changes = r->next - r->first,
                                  .ring_bytes = r->bytes,
                                  .from_log = ch->from_log,
                                  .log_reads = ch->log_reads,
                                  .readers = ch->readers,
                                  .lagging = ch->lagging,
                                  .ring_from = r->floor};
    if (ch->db == NULL)
        return;
    out->head = changes_head(ch);
    out->settled = changes_settled(ch);
    out->log_from = ch->hold == WAL_HOLD_NONE ? 0 : ch->hold;
}
