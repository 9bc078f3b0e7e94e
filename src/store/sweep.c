/* store/sweep.c - reading every extent, window after window of the file.
 *
 *   COLLECT  the page table is looked through, some ids a turn, for extents
 *            in the window
 *   SORT     a worker puts them in the order of the file
 *   READ     batches: workers read and check, the loop looks at the results;
 *            then the next window, or
 *   PARTS    a worker reads superblocks, catalog and page table; over
 *
 * A window bounds the memory: 8 bytes an extent that lies in it.
 *
 *   I1  a job owns what it needs: when the sweep is freed it goes on, and its
 *       result is dropped.  disk.sweep_jobs counts those that read, so that
 *       the store waits for them before it closes
 *   I2  an extent counts as damaged only if the page table still names it
 *       when the result is looked at
 *
 * Called by db_check.c and scrub.c. */
#include "store/sweep.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/extent_io.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

#define WINDOW (UINT64_C(4) << 30)
#define COLLECT_IDS 8192u /* looked at in one turn */
#define BATCH_EXTENTS 64u
#define BATCH_BYTES (1u << 20)
#define JOBS_MAX 2u
#define PIECE (64u << 10)
#define PLACE_SHIFT 12 /* of the order: 4 KiB, so that 16 PiB fit */

#define SWEEP_MAGIC 0x50455753u

enum phase { COLLECT, SORT, READ, PARTS, OVER };

struct batch_item {
    pgno id;
    struct entry entry;
    nq_rc rc;
    struct extent_got got;
};

struct batch {
    struct job job;
    struct sweep *sweep; /* NULL: nobody wants the result any more */
    struct disk *disk;
    struct extent_from from;
    unsigned count;
    uint32_t bytes;
    struct batch_item items[BATCH_EXTENTS];
};

struct sort {
    struct job job;
    struct sweep *sweep;
    uint64_t *places;
    uint32_t count;
};

struct part_read {
    const char *name;
    struct part part;
    nq_rc rc;
    uint32_t crc;
};

struct parts {
    struct job job;
    struct sweep *sweep;
    struct disk *disk;
    struct file *file;
    uint64_t sequence;
    nq_rc copy[2]; /* of the superblock */
    unsigned count;
    struct part_read read[SUPERBLOCK_DELTAS + 2];
};

struct sweep {
    uint32_t magic;
    struct store *st;
    struct sweep_opts opts;
    enum phase phase;
    uint64_t window; /* where it begins */
    uint64_t end;    /* of the file when it began */
    uint64_t windows_left;
    pgno next_id;     /* COLLECT */
    uint64_t *places; /* place << 32 | id, of the window */
    uint32_t count, cap, next;
    struct batch *running[JOBS_MAX];
    struct sort *sorting;
    struct parts *parts;
    uint64_t due_us; /* nothing is read before this */
    struct sweep_progress progress;
};

/* --- what was found ------------------------------------------------------- */

static void
tell(struct sweep *s, struct sweep_finding *f)
{
    if (f->outcome == SWEEP_REBUILT || f->outcome == SWEEP_REWRITTEN)
        s->progress.repaired++;
    s->progress.damaged++;
    if (s->opts.on_finding != NULL)
        s->opts.on_finding(s->opts.arg, f);
}

/* The page as it is in memory can be written over the damaged one. */
static bool
is_good_in_memory(struct frames_all *all, pgno id)
{
    return !frame_is_mark(all->pub.frame_of[id]);
}

/* Dirty: what is damaged will be let go as it is. */
static bool
is_on_its_way(struct frames_all *all, pgno id)
{
    uint32_t f = all->pub.frame_of[id];

    return !frame_is_mark(f) && (frame_get(all, f)->list != FRAME_ON_NONE ||
                                 frame_get(all, f)->is_flushing);
}

static enum sweep_outcome
mend(struct sweep *s, const struct batch_item *it)
{
    struct disk *d = &s->st->disk;
    struct frames_all *all = d->frames;
    bool is_rebuilt = it->rc == NQ_OK;

    if (!is_rebuilt && !is_good_in_memory(all, it->id)) {
        damages_note(&all->damages, it->id, it->entry, &it->got.fault);
        return SWEEP_DAMAGED;
    }
    if (!s->opts.repair || d->is_read_only)
        return SWEEP_REPAIRABLE;
    frames_mend(all, it->id, it->entry, is_rebuilt ? &it->got : NULL);
    return is_rebuilt ? SWEEP_REBUILT : SWEEP_REWRITTEN;
}

static void
look_at(struct sweep *s, const struct batch_item *it)
{
    struct entry now = pagetable_get(s->st->disk.table, it->id);
    struct sweep_finding f = {.id = it->id,
                              .off = entry_off(it->entry),
                              .what = it->got.fault.what,
                              .expected = it->got.fault.expected,
                              .found = it->got.fault.found};

    s->progress.extents++;
    if ((it->rc == NQ_OK && it->got.rebuilt == 0) ||
        !entry_is_same(now, it->entry) ||
        (s->opts.repair && is_on_its_way(s->st->disk.frames, it->id)))
        return;
    if (it->rc != NQ_OK && it->rc != NQ_ECORRUPT)
        f.what = rc_text(it->rc);
    if (it->got.x.kind >= PAGE_LEAF && it->got.x.kind <= PAGE_CHUNK)
        f.kind = it->got.x.kind;
    f.outcome = mend(s, it);
    tell(s, &f);
}

/* --- batches -------------------------------------------------------------- */

static void
run_batch(struct job *job)
{
    struct batch *b = nq_container(job, struct batch, job);

    for (unsigned i = 0; i < b->count; i++) {
        struct batch_item *it = &b->items[i];

        file_forget_cache(b->from.file, entry_off(it->entry),
                          entry_len(it->entry));
        it->rc = extent_get(&b->from, it->id, it->entry, &it->got);
        if (it->got.rebuilt == 0) {
            nq_free(it->got.raw);
            it->got.raw = NULL;
        }
    }
}

static void
progressed(struct sweep *s)
{
    if (s->opts.on_progress != NULL)
        s->opts.on_progress(s->opts.arg);
}

static void
batch_done(struct job *job)
{
    struct batch *b = nq_container(job, struct batch, job);
    struct sweep *s = b->sweep;

    b->disk->sweep_jobs--;
    for (unsigned i = 0; i < b->count; i++) {
        if (s != NULL)
            look_at(s, &b->items[i]);
        nq_free(b->items[i].got.raw);
    }
    for (unsigned i = 0; s != NULL && i < JOBS_MAX; i++) {
        if (s->running[i] == b)
            s->running[i] = NULL;
    }
    nq_free(b);
    if (s != NULL)
        progressed(s);
}

static bool
is_in_window(const struct sweep *s, struct entry e)
{
    return !entry_is_none(e) && entry_off(e) >= s->window &&
           entry_off(e) - s->window < WINDOW;
}

/* The next extents of the window, as they stand now. */
static void
fill_batch(struct sweep *s, struct batch *b)
{
    while (s->next < s->count && b->count < BATCH_EXTENTS &&
           b->bytes < BATCH_BYTES) {
        pgno id = (pgno)s->places[s->next++];
        struct entry e = pagetable_get(s->st->disk.table, id);

        if (!is_in_window(s, e))
            continue;
        b->items[b->count++] = (struct batch_item){.id = id, .entry = e};
        b->bytes += entry_space(e);
        s->progress.at = nq_max(s->progress.at, entry_off(e));
    }
}

static void
start_batch(struct sweep *s, unsigned slot)
{
    struct disk *d = &s->st->disk;
    struct batch *b = nq_calloc(1, sizeof *b);
    uint64_t now = clock_mono_us();

    fill_batch(s, b);
    if (b->count == 0) {
        nq_free(b);
        return;
    }
    b->sweep = s;
    b->disk = d;
    d->sweep_jobs++;
    b->from = (struct extent_from){.file = d->file,
                                   .env = &d->env,
                                   .page_size = d->frames->pub.page_size,
                                   .is_page = d->is_page};
    s->running[slot] = b;
    s->progress.done += b->bytes;
    if (s->opts.bytes_per_s > 0)
        s->due_us = nq_max(now, s->due_us) +
                    b->bytes * UINT64_C(1000000) / s->opts.bytes_per_s;
    b->job = (struct job){.run = run_batch, .done = batch_done};
    pool_submit(d->pool, &b->job, POOL_LONG);
}

static bool
is_any_running(const struct sweep *s)
{
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        if (s->running[i] != NULL)
            return true;
    }
    return s->sorting != NULL || s->parts != NULL;
}

/* --- the order of a window ------------------------------------------------ */

static void
collect(struct sweep *s)
{
    const struct disk *d = &s->st->disk;
    pgno end = (pgno)nq_min((uint64_t)d->frames->next_id,
                            (uint64_t)s->next_id + COLLECT_IDS);

    for (; s->next_id < end; s->next_id++) {
        struct entry e = pagetable_get(d->table, s->next_id);

        if (!is_in_window(s, e))
            continue;
        if (s->count == s->cap) {
            s->cap = nq_max(1024u, 2 * s->cap);
            s->places = nq_realloc(s->places, s->cap * sizeof *s->places);
        }
        s->places[s->count++] = entry_off(e) >> PLACE_SHIFT << 32 | s->next_id;
    }
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void
run_sort(struct job *job)
{
    struct sort *o = nq_container(job, struct sort, job);

    if (o->count > 0)
        qsort(o->places, o->count, sizeof *o->places, compare);
}

static void
sort_done(struct job *job)
{
    struct sort *o = nq_container(job, struct sort, job);
    struct sweep *s = o->sweep;

    if (s == NULL) {
        nq_free(o->places);
    } else {
        s->places = o->places;
        s->count = o->count;
        s->sorting = NULL;
        s->next = 0;
        s->phase = READ;
        progressed(s);
    }
    nq_free(o);
}

static void
start_sort(struct sweep *s)
{
    struct sort *o = nq_calloc(1, sizeof *o);

    o->sweep = s;
    o->places = s->places;
    o->count = s->count;
    s->places = NULL;
    s->count = s->cap = 0;
    s->sorting = o;
    s->phase = SORT;
    o->job = (struct job){.run = run_sort, .done = sort_done};
    pool_submit(s->st->disk.pool, &o->job, POOL_LONG);
}

static void
next_window(struct sweep *s)
{
    nq_free(s->places);
    s->places = NULL;
    s->count = s->cap = s->next = 0;
    s->next_id = 1;
    if (s->windows_left-- == 0) {
        s->phase = PARTS;
        return;
    }
    s->phase = COLLECT;
    s->window += WINDOW;
    if (s->window >= s->end)
        s->window = 0;
    s->progress.at = s->window;
}

/* --- superblocks, catalog, page table ------------------------------------- */

static void
run_parts(struct job *job)
{
    struct parts *p = nq_container(job, struct parts, job);
    uint8_t *piece = nq_malloc(PIECE);

    superblock_check_copies(p->file, p->copy);
    for (unsigned i = 0; i < p->count; i++) {
        struct part_read *r = &p->read[i];

        for (uint64_t at = 0; r->rc == NQ_OK && at < r->part.len; at += PIECE) {
            size_t n = nq_min(r->part.len - at, PIECE);

            file_forget_cache(p->file, r->part.off + at, n);
            r->rc = file_read(p->file, piece, n, r->part.off + at);
            if (r->rc == NQ_OK)
                r->crc = crc32c(r->crc, piece, n);
        }
    }
    nq_free(piece);
}

static void
tell_part(struct sweep *s, const char *name, uint64_t off, uint64_t expected,
          uint64_t found)
{
    struct sweep_finding f = {
        .part = name,
        .off = off,
        .what = "checksum",
        .expected = expected,
        .found = found,
        .outcome = s->opts.repair && !s->st->disk.is_read_only
                       ? SWEEP_REWRITTEN
                       : SWEEP_REPAIRABLE,
    };

    if (f.outcome == SWEEP_REWRITTEN) {
        pagetable_want_base(s->st->disk.table);
        store_checkpoint(s->st, NULL, NULL);
    }
    tell(s, &f);
}

static void
look_at_parts(struct sweep *s, const struct parts *p)
{
    static const char *const copies[] = {"superblock A", "superblock B"};

    if (p->sequence != s->st->sb.sequence)
        return; /* written anew meanwhile */
    for (unsigned i = 0; i < 2; i++) {
        if (p->copy[i] != NQ_OK)
            tell_part(s, copies[i], i == 0 ? SUPERBLOCK_AT_A : SUPERBLOCK_AT_B,
                      0, 1);
    }
    for (unsigned i = 0; i < p->count; i++) {
        const struct part_read *r = &p->read[i];

        if (r->rc != NQ_OK || r->crc != r->part.crc)
            tell_part(s, r->name, r->part.off, r->part.crc, r->crc);
    }
}

static void
parts_done(struct job *job)
{
    struct parts *p = nq_container(job, struct parts, job);
    struct sweep *s = p->sweep;

    p->disk->sweep_jobs--;
    if (s != NULL) {
        look_at_parts(s, p);
        s->parts = NULL;
        s->phase = OVER;
        progressed(s);
    }
    nq_free(p);
}

static void
add_part(struct parts *p, const char *name, const struct part *part)
{
    if (part->len > 0)
        p->read[p->count++] = (struct part_read){.name = name, .part = *part};
}

static void
start_parts(struct sweep *s)
{
    const struct superblock *sb = &s->st->sb;
    struct parts *p = nq_calloc(1, sizeof *p);

    p->sweep = s;
    p->disk = &s->st->disk;
    p->disk->sweep_jobs++;
    p->file = s->st->disk.file;
    p->sequence = sb->sequence;
    add_part(p, "catalog", &sb->catalog);
    add_part(p, "page table base", &sb->base);
    for (uint32_t i = 0; i < sb->deltas_count; i++)
        add_part(p, "page table delta", &sb->deltas[i]);
    s->parts = p;
    p->job = (struct job){.run = run_parts, .done = parts_done};
    pool_submit(s->st->disk.pool, &p->job, POOL_LONG);
}

/* --- the sweep ------------------------------------------------------------ */

struct sweep *
sweep_new(struct store *st, const struct sweep_opts *opts)
{
    struct sweep *s = nq_calloc(1, sizeof *s);

    s->magic = SWEEP_MAGIC;
    s->st = st;
    s->opts = *opts;
    s->end = space_end(st->disk.space);
    s->window = opts->from < s->end ? opts->from / WINDOW * WINDOW : 0;
    s->windows_left = (s->end + WINDOW - 1) / WINDOW - 1;
    s->next_id = 1;
    s->progress.at = s->window;
    s->progress.total = pagetable_bytes(st->disk.table);
    return s;
}

void
sweep_free(struct sweep *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        if (s->running[i] != NULL)
            s->running[i]->sweep = NULL;
    }
    if (s->sorting != NULL)
        s->sorting->sweep = NULL;
    if (s->parts != NULL)
        s->parts->sweep = NULL;
    nq_free(s->places);
    s->magic = 0;
    nq_free(s);
}

static void
read_some(struct sweep *s)
{
    for (unsigned i = 0; i < JOBS_MAX && s->next < s->count; i++) {
        if (s->running[i] == NULL && clock_mono_us() >= s->due_us)
            start_batch(s, i);
    }
    if (s->next == s->count && !is_any_running(s))
        next_window(s);
}

nq_rc
sweep_turn(struct sweep *s)
{
    nq_assert(s->magic == SWEEP_MAGIC);
    if (s->phase == COLLECT) {
        collect(s);
        if (s->next_id >= s->st->disk.frames->next_id)
            start_sort(s);
    } else if (s->phase == READ) {
        read_some(s);
    } else if (s->phase == PARTS && s->parts == NULL) {
        start_parts(s);
    }
    return s->phase == OVER ? NQ_OK : NQ_AGAIN;
}

int
sweep_wait_ms(const struct sweep *s)
{
    uint64_t now = clock_mono_us();
    bool is_full = true;

    if (s->phase == SORT || s->parts != NULL)
        return -1;
    for (unsigned i = 0; i < JOBS_MAX; i++)
        is_full = is_full && s->running[i] != NULL;
    if (s->phase == READ && (is_full || s->next == s->count))
        return is_any_running(s) ? -1 : 0;
    if (s->phase == READ && s->due_us > now)
        return (int)nq_min((s->due_us - now) / 1000 + 1, UINT64_C(60000));
    return 0;
}

void
sweep_set_rate(struct sweep *s, uint64_t bytes_per_s)
{
    if (s->opts.bytes_per_s == bytes_per_s)
        return; /* what was read counts on */
    s->opts.bytes_per_s = bytes_per_s;
    s->due_us = 0;
}

void
sweep_get_progress(const struct sweep *s, struct sweep_progress *out)
{
    *out = s->progress;
}
