/* store/rewrite.c - extents read, encoded again and written somewhere else.
 *
 *   gather -> run_encode (worker) -> encoded -> run_write (worker) -> written
 *
 * A batch is some pages of rising id, read in the order of their places.
 *
 *   W1  a result is entered only if the table's entry is the one that was
 *       read, and the page is neither dirty, nor being flushed (its bytes of
 *       a cut may still have to be staged), nor being read (the old extent
 *       must stand still for that)
 *   W2  what was written while a sync of the file failed is in doubt, and
 *       dropped
 *   W3  a page that W1 or W2 stopped is visited once more at the end, and
 *       then is done, or dirty: the flusher's business.  Also one that has
 *       another extent by then: it may be that of another rewriting, which
 *       was encoded before this one began
 *
 * Called by those who own a struct rewrite; flush.c knows of the file's
 * growing, checkpoint.c of failed syncs. */
#include "store/rewrite.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/corrupt.h"
#include "store/extent_io.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

#define REWRITE_MAGIC 0x54495257u
#define BATCH_MAGIC 0x42495257u
#define BATCH_PAGES 128u
#define BATCH_BYTES (1u << 20) /* of old extents */
#define BATCHES_MAX 2u
#define SLICE_US 300u
#define SLICE_IDS 256u /* between two looks at the clock */

struct item {
    pgno id;
    struct entry old; /* as it was gathered */
    struct extent x;  /* the new one */
    uint32_t at;      /* in the batch's buffer */
    uint64_t off;     /* in the file; 0: it has no place */
    bool is_dropped;
    nq_rc rc; /* of reading it */
    struct extent_fault fault;
};

struct piece {
    uint32_t at, len; /* in the buffer */
    uint64_t off;     /* in the file */
};

struct batch {
    struct job job;
    uint32_t magic;
    struct list link;      /* in rewrite.batches */
    struct rewrite *owner; /* NULL: nobody wants it any more */
    struct disk *disk;
    struct extent_style style;
    uint8_t *buf;
    uint32_t len, cap;
    uint64_t old_bytes;
    uint64_t grow_from, grow_to;
    nq_rc rc, grow_rc;
    unsigned syncs_failed; /* when it began to write */
    bool was_limited, is_held;
    unsigned items_count, pieces_count;
    struct item items[BATCH_PAGES];
    struct piece pieces[BATCH_PAGES];
};

struct rewrite {
    uint32_t magic;
    struct disk *disk;
    struct rewrite_opts opts;
    pgno next;              /* to be visited */
    struct id_stack later;  /* W3: of this round */
    struct id_stack again;  /* of the round before, being visited */
    struct list batches;    /* under way */
    unsigned batches_count; /* of them */
    struct batch *filling;  /* gathered so far, or NULL */
    uint64_t not_before_us; /* the rate, monotonic */
    nq_rc failure;          /* to be told */
    struct rewrite_progress sums;
};

static struct batch *
batch_of(struct job *job)
{
    struct batch *b;

    NQ_CAST(b, nq_container(job, struct batch, job), BATCH_MAGIC);
    return b;
}

/* --- what may be done with a page ------------------------------------------
 */

enum visit { VISIT_TAKE, VISIT_SKIP, VISIT_LATER };

static enum visit
look_at(struct disk *d, pgno id)
{
    uint32_t f = d->frames->pub.frame_of[id];
    struct frame *m;

    if (f == FRAME_LOADING)
        return VISIT_LATER;
    if (frame_is_mark(f))
        return VISIT_TAKE;
    m = frame_get(d->frames, f);
    if (m->is_flushing)
        return VISIT_LATER;
    return m->list == FRAME_ON_NONE ? VISIT_TAKE : VISIT_SKIP;
}

/* W1; drops what must not be entered. */
static bool
is_wanted(struct batch *b, struct item *it)
{
    enum visit v;

    if (it->is_dropped || b->owner == NULL)
        return false;
    it->is_dropped = true;
    if (!entry_is_same(pagetable_get(b->disk->table, it->id), it->old)) {
        id_push(&b->owner->later, it->id);
        return false;
    }
    v = look_at(b->disk, it->id);
    if (v == VISIT_LATER)
        id_push(&b->owner->later, it->id);
    it->is_dropped = v != VISIT_TAKE;
    return v == VISIT_TAKE;
}

/* --- workers --------------------------------------------------------------
 */

static void
make_room(struct batch *b, size_t more)
{
    if (b->len + more <= b->cap)
        return;
    b->cap = (uint32_t)nq_max(b->len + more, (size_t)b->cap * 3 / 2);
    b->buf = nq_realloc(b->buf, b->cap);
}

static nq_rc
encode_page(struct batch *b, struct item *it, const struct extent *old,
            const uint8_t *raw)
{
    nq_rc rc;

    make_room(b, extent_bound(old->raw_len));
    it->x.kind = old->kind;
    it->x.lsn = old->lsn;
    it->at = b->len;
    rc = extent_encode(&it->x, slice_of(raw, old->raw_len), &b->disk->env,
                       &b->style, b->buf + b->len, b->cap - b->len);
    if (rc == NQ_OK)
        b->len += extent_space(&it->x);
    return rc;
}

static nq_rc
encode_item(struct batch *b, struct item *it)
{
    struct extent_from from = {
        .file = b->disk->file,
        .env = &b->disk->env,
        .page_size = b->disk->frames->pub.page_size,
        .is_page = b->disk->is_page,
    };
    struct extent_got got;
    nq_rc rc = extent_get(&from, it->id, it->old, &got);

    it->fault = got.fault;
    if (rc != NQ_OK)
        return rc;
    rc = encode_page(b, it, &got.x, got.raw);
    nq_free(got.raw);
    return rc;
}

static void
run_encode(struct job *job)
{
    struct batch *b = batch_of(job);

    for (unsigned i = 0; i < b->items_count; i++)
        b->items[i].rc = encode_item(b, &b->items[i]);
}

static void
run_write(struct job *job)
{
    struct batch *b = batch_of(job);

    if (b->grow_to > b->grow_from)
        b->rc = b->grow_rc = file_allocate(b->disk->file, b->grow_from,
                                           b->grow_to - b->grow_from);
    for (unsigned i = 0; i < b->pieces_count && b->rc == NQ_OK; i++)
        b->rc = file_write(b->disk->file, b->buf + b->pieces[i].at,
                           b->pieces[i].len, b->pieces[i].off);
}

/* --- the end of a batch ----------------------------------------------------
 */

static void
enter(struct batch *b, struct item *it)
{
    struct disk *d = b->disk;
    struct entry e = extent_entry(&it->x, it->off);

    if (!is_wanted(b, it)) {
        space_free(d->space, it->off, entry_space(e));
        return;
    }
    pagetable_set(d->table, it->id, e);
    b->owner->sums.pages++;
    b->owner->sums.bytes += entry_space(e);
    b->owner->sums.old_bytes += entry_space(it->old);
}

static void
enter_all(struct batch *b)
{
    for (unsigned i = 0; i < b->items_count; i++) {
        if (b->items[i].off != 0)
            enter(b, &b->items[i]);
    }
    b->disk->bytes_written += b->len;
}

/* Nothing of it counts; its pages are visited again. */
static void
take_back(struct batch *b)
{
    for (unsigned i = 0; i < b->pieces_count; i++)
        space_free(b->disk->space, b->pieces[i].off, b->pieces[i].len);
    for (unsigned i = 0; i < b->items_count && b->owner != NULL; i++) {
        if (!b->items[i].is_dropped)
            id_push(&b->owner->later, b->items[i].id);
    }
}

static void
finish(struct batch *b)
{
    bool is_in_doubt = b->syncs_failed != b->disk->syncs_failed; /* W2 */

    if (b->rc == NQ_OK && !is_in_doubt)
        enter_all(b);
    else
        take_back(b);
    if (b->rc == NQ_ENOSPC)
        flush_set_limited(b->disk, !b->was_limited);
    if (b->owner != NULL) {
        if (b->owner->failure == NQ_OK)
            b->owner->failure = b->rc;
        list_remove(&b->link);
        b->owner->batches_count--;
    }
    b->disk->rewrite_jobs--;
    b->magic = 0;
    nq_free(b->buf);
    nq_free(b);
}

static void
written(struct job *job)
{
    struct batch *b = batch_of(job);

    if (b->grow_to > b->grow_from)
        flush_grown(b->disk, b->grow_to, b->grow_rc);
    finish(b);
}

/* --- places ---------------------------------------------------------------
 */

/* Room for it and what can be put behind it. */
static nq_rc
find_room(struct batch *b, const struct item *it, struct piece *p,
          uint64_t *got)
{
    struct space *sp = b->disk->space;
    uint64_t first = extent_space(&it->x), all = b->len - it->at;
    enum rewrite_place place = b->owner->opts.place;
    uint64_t below = place == REWRITE_DOWN ? entry_off(it->old) : UINT64_MAX;

    if (place != REWRITE_ANYWHERE &&
        space_alloc_below(sp, first, all, below, &p->off, got) == NQ_OK)
        return NQ_OK;
    return place == REWRITE_DOWN ? NQ_NOTFOUND
                                 : space_alloc(sp, first, all, &p->off, got);
}

/* True if it can go right behind what the piece has already. */
static bool
extends(const struct piece *p, const struct item *it, uint64_t got)
{
    return p->len > 0 && it->at == p->at + p->len &&
           p->len + extent_space(&it->x) <= got;
}

static void
end_piece(struct batch *b, const struct piece *p, uint64_t got)
{
    if (got > p->len)
        space_free(b->disk->space, p->off + p->len, got - p->len);
}

static nq_rc
place_items(struct batch *b)
{
    struct piece *p = NULL;
    uint64_t got = 0;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < b->items_count && rc == NQ_OK; i++) {
        struct item *it = &b->items[i];

        if (!is_wanted(b, it))
            continue;
        if (p == NULL || !extends(p, it, got)) {
            struct piece next = {.at = it->at};
            uint64_t next_got;

            if ((rc = find_room(b, it, &next, &next_got)) == NQ_NOTFOUND) {
                it->is_dropped = true;
                b->owner->sums.stayed++;
                rc = NQ_OK;
            }
            if (rc != NQ_OK || it->is_dropped)
                continue;
            if (p != NULL)
                end_piece(b, p, got);
            p = &b->pieces[b->pieces_count++];
            *p = next;
            got = next_got;
        }
        it->off = p->off + p->len;
        p->len += extent_space(&it->x);
    }
    if (p != NULL)
        end_piece(b, p, got);
    return rc;
}

static void
submit_write(struct batch *b)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < b->pieces_count; i++)
        end = nq_max(end, b->pieces[i].off + b->pieces[i].len);
    b->is_held = !flush_may_write(b->disk, end, &b->grow_from, &b->grow_to);
    if (b->is_held)
        return; /* until rewrite_turn() tries again */
    b->syncs_failed = b->disk->syncs_failed;
    b->job = (struct job){.run = run_write, .done = written};
    pool_submit(b->disk->pool, &b->job, POOL_FLUSH);
}

/* A page that cannot be read: if it is in memory, that is its cure. */
static void
judge(struct batch *b, struct item *it)
{
    struct frames_all *all = b->disk->frames;
    uint32_t f = all->pub.frame_of[it->id];
    char text[DAMAGE_TEXT];

    if (it->rc == NQ_OK || !is_wanted(b, it))
        return;
    it->is_dropped = it->rc == NQ_ECORRUPT;
    if (it->rc != NQ_ECORRUPT) {
        b->rc = it->rc;
    } else if (!frame_is_mark(f)) {
        frame_set_dirty(all, f);
    } else {
        b->owner->sums.damaged++;
        damages_note(&all->damages, it->id, it->old, &it->fault);
        damage_text(damages_find(&all->damages, it->id), text);
        (void)NQ_CORRUPT("%s: %s", file_path(b->disk->file), text);
    }
}

static void
encoded(struct job *job)
{
    struct batch *b = batch_of(job);

    for (unsigned i = 0; i < b->items_count; i++)
        judge(b, &b->items[i]);
    b->was_limited = b->disk->is_limited;
    b->syncs_failed = b->disk->syncs_failed;
    if (b->rc == NQ_OK && b->owner != NULL)
        b->rc = place_items(b);
    if (b->rc == NQ_OK && b->pieces_count > 0)
        submit_write(b);
    else
        finish(b);
}

/* --- gathering ------------------------------------------------------------
 */

static int
by_place(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    uint64_t p = entry_off(a->old), q = entry_off(b->old);

    return p < q ? -1 : p > q;
}

static void
start_batch(struct rewrite *r)
{
    struct batch *b = r->filling;
    uint64_t now = clock_mono_us();

    r->filling = NULL;
    if (r->opts.bytes_per_s > 0)
        r->not_before_us = nq_max(now, r->not_before_us) +
                           b->old_bytes * 1000000 / r->opts.bytes_per_s;
    qsort(b->items, b->items_count, sizeof b->items[0], by_place);
    list_push_back(&r->batches, &b->link);
    r->batches_count++;
    r->disk->rewrite_jobs++;
    b->style = r->disk->style;
    b->style.care = EXTENT_AT_REST;
    b->job = (struct job){.run = run_encode, .done = encoded};
    pool_submit(r->disk->pool, &b->job, POOL_FLUSH);
}

static bool
is_full(const struct batch *b)
{
    return b->items_count == BATCH_PAGES || b->old_bytes >= BATCH_BYTES;
}

static void
take(struct rewrite *r, pgno id, struct entry e)
{
    struct batch *b = r->filling;

    if (b == NULL) {
        b = r->filling = nq_calloc(1, sizeof *b);
        b->magic = BATCH_MAGIC;
        b->owner = r;
        b->disk = r->disk;
    }
    b->items[b->items_count++] = (struct item){
        .id = id,
        .old = e,
        .x = {.id = id,
              .generation = pagetable_next_generation(r->disk->table, id)},
    };
    b->old_bytes += entry_space(e);
}

static bool
is_being_flushed(const struct disk *d, pgno id)
{
    uint32_t f = d->frames->pub.frame_of[id];

    return !frame_is_mark(f) && frame_get(d->frames, f)->is_flushing;
}

static void
visit(struct rewrite *r, pgno id)
{
    struct entry e = pagetable_get(r->disk->table, id);

    /* Its extent, the first perhaps, was encoded in the style of before. */
    if (is_being_flushed(r->disk, id)) {
        id_push(&r->later, id);
        return;
    }
    if (entry_is_none(e) ||
        (r->opts.pick != NULL && !r->opts.pick(r->opts.arg, id, e)))
        return;
    if (r->disk->frames->pub.frame_of[id] == FRAME_DAMAGED) {
        r->sums.damaged++;
        return;
    }
    switch (look_at(r->disk, id)) {
    case VISIT_TAKE:
        take(r, id, e);
        break;
    case VISIT_LATER:
        id_push(&r->later, id);
        break;
    case VISIT_SKIP:
        break;
    }
}

/* The next id to visit: the new ones first, then those put off. */
static bool
next_id(struct rewrite *r, pgno *id)
{
    if (r->next < r->sums.end) {
        *id = r->next++;
        return true;
    }
    if (r->again.count == 0)
        return false;
    *id = r->again.ids[--r->again.count];
    return true;
}

/* Visits ids until a batch is full, or the time is over, or all were seen. */
static void
gather(struct rewrite *r)
{
    uint64_t until_us = clock_mono_us() + SLICE_US;
    pgno id;

    if (r->next >= r->sums.end && r->again.count == 0) {
        struct id_stack empty = r->again;

        r->again = r->later;
        r->later = empty;
    }
    for (unsigned n = 1; next_id(r, &id); n++) {
        visit(r, id);
        if ((r->filling != NULL && is_full(r->filling)) ||
            (n % SLICE_IDS == 0 && clock_mono_us() >= until_us))
            break;
    }
}

static bool
is_all_seen(const struct rewrite *r)
{
    return r->next >= r->sums.end && r->later.count == 0 && r->again.count == 0;
}

/* --- what the owner calls -------------------------------------------------
 */

struct rewrite *
rewrite_new(struct store *st, const struct rewrite_opts *opts)
{
    struct rewrite *r = nq_calloc(1, sizeof *r);

    r->magic = REWRITE_MAGIC;
    r->disk = &st->disk;
    r->opts = *opts;
    r->next = nq_max(opts->from, 1u);
    r->sums.end = st->disk.frames->next_id;
    list_init(&r->batches);
    return r;
}

void
rewrite_free(struct rewrite *r)
{
    struct list *it;

    if (r == NULL)
        return;
    nq_assert(r->magic == REWRITE_MAGIC);
    while ((it = list_pop_front(&r->batches)) != NULL) {
        struct batch *b = nq_container(it, struct batch, link);

        b->owner = NULL;
        if (b->is_held)
            finish(b);
    }
    nq_free(r->filling);
    nq_free(r->later.ids);
    nq_free(r->again.ids);
    r->magic = 0;
    nq_free(r);
}

/* Those that waited for somebody else's extending of the file. */
static void
submit_held(struct rewrite *r)
{
    list_each(it, &r->batches)
    {
        struct batch *b = nq_container(it, struct batch, link);

        if (b->is_held)
            submit_write(b);
    }
}

nq_rc
rewrite_turn(struct rewrite *r)
{
    nq_rc rc = r->failure;

    nq_assert(r->magic == REWRITE_MAGIC);
    submit_held(r);
    r->failure = NQ_OK;
    if (rc != NQ_OK)
        return rc;
    if (r->batches_count < BATCHES_MAX && clock_mono_us() >= r->not_before_us) {
        gather(r);
        if (r->filling != NULL && (is_full(r->filling) || is_all_seen(r)))
            start_batch(r);
    }
    return r->batches_count == 0 && r->filling == NULL && is_all_seen(r)
               ? NQ_OK
               : NQ_AGAIN;
}

int
rewrite_wait_ms(const struct rewrite *r)
{
    uint64_t now = clock_mono_us();
    bool may_gather = r->next < r->sums.end || r->again.count > 0;

    if (r->failure != NQ_OK)
        return 0;
    if (r->batches_count == BATCHES_MAX ||
        (!may_gather && r->batches_count > 0))
        return -1;
    if (now < r->not_before_us)
        return (int)nq_min((r->not_before_us - now) / 1000 + 1, 60000u);
    /* What is put off waits for the end of a flush or a read. */
    return may_gather ? 0 : -1;
}

void
rewrite_set_rate(struct rewrite *r, uint64_t bytes_per_s)
{
    if (r->opts.bytes_per_s == bytes_per_s)
        return; /* what was written counts on */
    r->opts.bytes_per_s = bytes_per_s;
    r->not_before_us = 0;
}

static pgno
least(const struct id_stack *s, pgno id)
{
    for (uint32_t i = 0; i < s->count; i++)
        id = nq_min(id, s->ids[i]);
    return id;
}

static pgno
least_of_batch(const struct batch *b, pgno id)
{
    for (unsigned i = 0; i < b->items_count; i++)
        id = nq_min(id, b->items[i].id);
    return id;
}

void
rewrite_get_progress(const struct rewrite *r, struct rewrite_progress *out)
{
    *out = r->sums;
    out->next = least(&r->again, least(&r->later, r->next));
    if (r->filling != NULL)
        out->next = least_of_batch(r->filling, out->next);
    list_each(it, &r->batches)
    {
        out->next =
            least_of_batch(nq_container(it, struct batch, link), out->next);
    }
}
