/* store/key_scan.c - the key numbers in the headers of all extents.
 *
 *   gather -> run_read (worker) -> read_done
 *
 * Live and kept entries are looked at: a crash goes back to the kept one.  An
 * entry that changed while its header was read does not count: what is
 * written meanwhile has the key of now.  A header that is not that of the
 * page tells nothing; the rewriting before has counted it as damage.
 *
 * Called by rotate.c. */
#include "store/key_scan.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/store_int.h"

#define SCAN_MAGIC 0x4e41435au
#define BATCH 512u
#define SLICE_IDS 4096u
#define READ_BYTES 4096u /* what a header costs the disk */

struct header_read {
    pgno id;
    struct entry entry;
    bool is_old;
};

struct scan_batch {
    struct job job;
    uint32_t magic;
    struct key_scan *owner; /* NULL: nobody waits for it any more */
    struct disk *disk;
    uint32_t least;
    nq_rc rc;
    unsigned count;
    struct header_read items[BATCH];
};

struct key_scan {
    struct disk *disk;
    uint32_t least;
    pgno next, found;
    uint64_t bytes_per_s, not_before_us;
    struct scan_batch *batch; /* under way, or NULL */
    nq_rc rc;
};

/* --- workers -------------------------------------------------------------- */

static nq_rc
read_header(struct scan_batch *b, struct header_read *it)
{
    uint8_t header[EXTENT_HEADER];
    nq_rc rc =
        file_read(b->disk->file, header, sizeof header, entry_off(it->entry));
    struct cursor c = cursor_of(slice_of(header, sizeof header));
    uint32_t id, generation, key;

    if (rc != NQ_OK)
        return rc == NQ_ECORRUPT ? NQ_OK : rc;
    cursor_skip(&c, 8);
    cursor_get_u32(&c, &id);
    cursor_get_u32(&c, &generation);
    cursor_skip(&c, 16);
    cursor_get_u32(&c, &key);
    it->is_old = id == it->id && generation == entry_generation(it->entry) &&
                 key < b->least;
    return NQ_OK;
}

static struct scan_batch *
batch_of(struct job *job)
{
    struct scan_batch *b;

    NQ_CAST(b, nq_container(job, struct scan_batch, job), SCAN_MAGIC);
    return b;
}

static void
run_read(struct job *job)
{
    struct scan_batch *b = batch_of(job);

    for (unsigned i = 0; i < b->count && b->rc == NQ_OK; i++)
        b->rc = read_header(b, &b->items[i]);
}

/* --- the loop ------------------------------------------------------------- */

static void
judge(struct key_scan *k, const struct header_read *it)
{
    const struct pagetable *pt = k->disk->table;

    if (it->is_old && (k->found == 0 || it->id < k->found) &&
        (entry_is_same(it->entry, pagetable_get(pt, it->id)) ||
         entry_is_same(it->entry, pagetable_get_kept(pt, it->id))))
        k->found = it->id;
}

static void
read_done(struct job *job)
{
    struct scan_batch *b = batch_of(job);
    struct key_scan *k = b->owner;

    b->disk->rewrite_jobs--;
    if (k != NULL) {
        k->batch = NULL;
        k->rc = b->rc;
        for (unsigned i = 0; i < b->count; i++)
            judge(k, &b->items[i]);
    }
    b->magic = 0;
    nq_free(b);
}

static void
add(struct scan_batch *b, pgno id, struct entry e)
{
    if (!entry_is_none(e))
        b->items[b->count++] = (struct header_read){.id = id, .entry = e};
}

static int
by_place(const void *x, const void *y)
{
    const struct header_read *a = x, *b = y;
    uint64_t p = entry_off(a->entry), q = entry_off(b->entry);

    return p < q ? -1 : p > q;
}

/* The next headers to be read, in the order of their places. */
static struct scan_batch *
gather(struct key_scan *k)
{
    const struct pagetable *pt = k->disk->table;
    struct scan_batch *b = nq_calloc(1, sizeof *b);
    pgno stop = nq_min(k->next + SLICE_IDS, k->disk->frames->next_id);

    *b = (struct scan_batch){
        .magic = SCAN_MAGIC, .owner = k, .disk = k->disk, .least = k->least};
    for (; k->next < stop && b->count + 2 <= BATCH; k->next++) {
        struct entry live = pagetable_get(pt, k->next);
        struct entry kept = pagetable_get_kept(pt, k->next);

        add(b, k->next, live);
        if (!entry_is_same(live, kept))
            add(b, k->next, kept);
    }
    qsort(b->items, b->count, sizeof b->items[0], by_place);
    return b;
}

nq_rc
key_scan_turn(struct key_scan *k, pgno *found)
{
    uint64_t now = clock_mono_us();

    *found = 0;
    if (k->batch != NULL || (k->rc == NQ_OK && now < k->not_before_us))
        return NQ_AGAIN;
    if (k->rc != NQ_OK)
        return k->rc;
    if (k->next >= k->disk->frames->next_id) {
        *found = k->found;
        return NQ_OK;
    }
    k->batch = gather(k);
    if (k->bytes_per_s > 0)
        k->not_before_us = now + (uint64_t)k->batch->count * READ_BYTES *
                                     1000000 / k->bytes_per_s;
    k->disk->rewrite_jobs++;
    k->batch->job = (struct job){.run = run_read, .done = read_done};
    pool_submit(k->disk->pool, &k->batch->job, POOL_LONG);
    return NQ_AGAIN;
}

int
key_scan_wait_ms(const struct key_scan *k)
{
    uint64_t now = clock_mono_us();

    if (k->batch != NULL)
        return -1;
    return now < k->not_before_us ? (int)((k->not_before_us - now) / 1000 + 1)
                                  : 0;
}

void
key_scan_set_rate(struct key_scan *k, uint64_t bytes_per_s)
{
    k->bytes_per_s = bytes_per_s;
}

struct key_scan *
key_scan_new(struct store *st, uint32_t least)
{
    struct key_scan *k = nq_calloc(1, sizeof *k);

    k->disk = &st->disk;
    k->least = least;
    k->next = 1;
    return k;
}

void
key_scan_free(struct key_scan *k)
{
    if (k == NULL)
        return;
    if (k->batch != NULL)
        k->batch->owner = NULL;
    nq_free(k);
}
