/* store/frames.c - the frame pool: numbers, ids, copy on write, dirty lists.
 *
 * One reservation of address space holds the frames of tree pages, numbered
 * from 1; memory comes as they are touched.  Chunks of blobs stand on the
 * heap and have descriptors whose numbers start at FRAME_CHUNK0, so that one
 * u32 in frame_of[] names either.
 *
 *    frame_of[id]   0            not resident
 *                   1 ..         frame of a tree page
 *                   FRAME_CHUNK0 .. FRAME_MARK0-1   descriptor of a chunk
 *                   FRAME_MARK0 ..                  marks: loading, damaged
 *
 * A frame is *mapped* while frame_of[its id] names it.  Copying a page for a
 * writer, or freeing the page, unmaps the old frame; it lives on as long as
 * somebody holds it: a pin, a flush, or the unfinished cut.
 *
 *   F1  a mapped frame is clean, or on exactly one of the two dirty lists
 *   F2  an unmapped frame is on a list only if that list is the cut's
 *   F3  frame.writable equals the epoch only if the frame is mapped, on the
 *       current list, and frame_is_mutable()
 *   F4  every id below next_id is in use, free, or in limbo */
#include "store/frames.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"

#define OPEN_STEP (32u << 20)     /* bytes made accessible at a time */
#define HUGE_POOL_MIN (64u << 20) /* smaller pools keep small pages */
#define IDS_FIRST 1024u

/* --- address space -------------------------------------------------------- */

static void *
reserve(size_t bytes, int prot)
{
    void *p = mmap(NULL, bytes, prot,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* As much as the pool may ever grow to: the memory of the machine. */
static uint64_t
reservation_bytes(uint64_t pool_bytes)
{
    uint64_t ram =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    return nq_max(ram, 2 * pool_bytes + (1ull << 30));
}

/* Makes the frames up to and including `f` accessible. */
static void
open_frames(struct frames_all *all, uint32_t f)
{
    uint32_t step = OPEN_STEP >> all->pub.page_shift;
    uint32_t upto = nq_min((f / step + 1) * step, all->frames_max);
    uint8_t *from = frame_bytes(all, all->opened);
    size_t bytes = (size_t)(upto - all->opened) << all->pub.page_shift;

    nq_assert(f < all->frames_max); /* out of address space: out of memory */
    nq_assert(mprotect(from, bytes, PROT_READ | PROT_WRITE) == 0);
    all->opened = upto;
}

static void
grow_ids(struct frames_all *all, pgno id)
{
    uint32_t old = all->pub.ids, ids = old == 0 ? IDS_FIRST : old;
    void *p;

    while (ids <= id)
        ids = ids > UINT32_MAX / 2 ? UINT32_MAX : ids * 2;
    nq_assert(id < ids);
    if (old == 0) {
        p = reserve(ids * sizeof *all->pub.frame_of, PROT_READ | PROT_WRITE);
        nq_assert(p != NULL);
    } else {
        p = mremap(all->pub.frame_of, old * sizeof *all->pub.frame_of,
                   ids * sizeof *all->pub.frame_of, MREMAP_MAYMOVE);
        nq_assert(p != MAP_FAILED);
    }
    all->pub.frame_of = p;
    all->pub.ids = ids;
}

#ifdef NQ_DEBUG

#define PROTECTED_MAX 4096u /* each costs the kernel a mapping */

static void
protect(struct frames_all *all, uint32_t f, bool on)
{
    struct frame *m;

    if (frame_is_chunk(f) || f >= PROTECTED_MAX ||
        all->pub.page_size % (uint64_t)sysconf(_SC_PAGESIZE) != 0)
        return;
    m = frame_get(all, f);
    if (m->is_protected == on)
        return;
    m->is_protected = on;
    nq_assert(mprotect(frame_bytes(all, f), all->pub.page_size,
                       on ? PROT_READ : PROT_READ | PROT_WRITE) == 0);
}

void
frame_protect(struct frames_all *all, uint32_t f)
{
    protect(all, f, true);
}

void
frame_unprotect(struct frames_all *all, uint32_t f)
{
    protect(all, f, false);
}

#endif

/* --- page ids ------------------------------------------------------------- */

void
id_push(struct id_stack *s, pgno id)
{
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 64 : s->cap * 2;
        s->ids = nq_realloc(s->ids, s->cap * sizeof *s->ids);
    }
    s->ids[s->count++] = id;
}

/* Ids behind those that were asked for are new as it is. */
static void
touch(struct frames_all *all, pgno id)
{
    if (nq_unlikely(all->touched != NULL) && id < all->touched_ids)
        all->touched[id / 8] |= (uint8_t)(1u << id % 8);
}

pgno
frames_take_id(struct frames_all *all)
{
    pgno id;

    if (all->ids_free.count > 0) {
        id = all->ids_free.ids[--all->ids_free.count];
    } else {
        id = all->next_id++;
        nq_assert(id < UINT32_MAX);
        if (id >= all->pub.ids)
            grow_ids(all, id);
    }
    nq_dassert(all->pub.frame_of[id] == 0);
    touch(all, id);
    all->pages++;
    return id;
}

void
frames_set_next_id(struct frames_all *all, pgno next_id)
{
    nq_assert(all->next_id == 1 && next_id > 0);
    all->next_id = next_id;
    if (next_id > all->pub.ids)
        grow_ids(all, next_id - 1);
    all->pages = next_id - 1;
}

void
frames_add_free_id(struct frames_all *all, pgno id)
{
    nq_assert(id > 0 && id < all->next_id && all->pages > 0);
    id_push(&all->ids_free, id);
    all->pages--;
}

/* --- dirty lists ---------------------------------------------------------- */

uint64_t
frame_weight(struct frames_all *all, uint32_t f)
{
    return frame_is_chunk(f) ? chunk_get(all, f)->cap : all->pub.page_size;
}

static void
list_append(struct frames_all *all, unsigned index, uint32_t f)
{
    struct frame_list *l = &all->lists[index];
    struct frame *m = frame_get(all, f);

    nq_dassert(m->list == FRAME_ON_NONE);
    m->list = (uint8_t)(index + 1);
    m->dirty_s = all->now_s;
    if (frame_is_chunk(f))
        chunk_set_unpacked(all, f, false);
    m->next = 0;
    m->prev = l->tail;
    if (l->tail == 0)
        l->head = f;
    else
        frame_get(all, l->tail)->next = f;
    l->tail = f;
    l->count++;
    all->dirty_bytes += frame_weight(all, f);
}

void
frame_unlist(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);
    struct frame_list *l;

    if (m->list == FRAME_ON_NONE)
        return;
    l = &all->lists[m->list - 1];
    if (m->prev == 0)
        l->head = m->next;
    else
        frame_get(all, m->prev)->next = m->next;
    if (m->next == 0)
        l->tail = m->prev;
    else
        frame_get(all, m->next)->prev = m->prev;
    l->count--;
    m->list = FRAME_ON_NONE;
    all->dirty_bytes -= frame_weight(all, f);
}

void
frame_set_dirty(struct frames_all *all, uint32_t f)
{
    list_append(all, all->current, f);
}

/* --- frames --------------------------------------------------------------- */

static uint32_t
pop_free_frame(struct frames_all *all)
{
    uint32_t f = all->free_warm;

    if (f != 0) {
        all->free_warm = all->frame[f].next;
        all->warm_count--;
    } else if ((f = all->free_cold) != 0) {
        all->free_cold = all->frame[f].next;
        all->cold_count--;
    } else {
        f = all->frames_top++;
        if (f >= all->opened)
            open_frames(all, f);
    }
    return f;
}

uint32_t
frame_take(struct frames_all *all, pgno id, enum page_kind kind)
{
    uint32_t f = pop_free_frame(all);

    all->frame[f] = (struct frame){.id = id, .kind = (uint8_t)kind};
    all->pub.used[f] = 0;
    all->used++;
    return f;
}

static void
release_frame(struct frames_all *all, uint32_t f)
{
    struct frame *m = &all->frame[f];

    nq_dassert(m->id != 0 && m->list == FRAME_ON_NONE);
    frame_unprotect(all, f);
#ifdef NQ_DEBUG
    memset(frame_bytes(all, f), 0xdb, all->pub.page_size);
#endif
    *m = (struct frame){.next = all->free_warm};
    all->free_warm = f;
    all->warm_count++;
    all->used--;
}

void
frame_drop_if_unused(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    if (m->pins > 0 || m->is_flushing || m->list != FRAME_ON_NONE)
        return;
    if (frame_is_mapped(all, f, m)) {
        frame_may_go(all, f);
        return;
    }
    if (frame_is_chunk(f))
        chunk_release(all, f);
    else
        release_frame(all, f);
}

void
frame_unmapped(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    nq_dassert(!frame_is_mapped(all, f, m));
    m->writable = 0;
    frame_leave(all, f);
    if (!frame_is_in_cut(all, m))
        frame_unlist(all, f);
    frame_drop_if_unused(all, f);
}

/* --- opening -------------------------------------------------------------- */

static bool
reserve_all(struct frames_all *all)
{
    size_t n = all->frames_max;
    size_t bytes = n << all->pub.page_shift;

    all->pub.base = reserve(bytes, PROT_NONE);
    all->frame = reserve(n * sizeof *all->frame, PROT_READ | PROT_WRITE);
    all->pub.used = reserve(n, PROT_READ | PROT_WRITE);
    if (all->pub.base == NULL || all->frame == NULL || all->pub.used == NULL)
        return false;
    if (all->pool_bytes >= HUGE_POOL_MIN)
        (void)madvise(all->pub.base, bytes, MADV_HUGEPAGE);
    return true;
}

static void
unmap(void *p, size_t bytes)
{
    if (p != NULL)
        (void)munmap(p, bytes);
}

static void
close_all(struct frames_all *all)
{
    size_t n = all->frames_max;

    for (uint32_t i = 0; i < all->chunks_top; i++)
        nq_free(all->chunk[i].bytes);
    nq_free(all->chunk);
    unmap(all->pub.base, n << all->pub.page_shift);
    unmap(all->frame, n * sizeof *all->frame);
    unmap(all->pub.used, n);
    unmap(all->pub.frame_of, all->pub.ids * sizeof *all->pub.frame_of);
    frames_fetch_fini(all);
    nq_free(all->ids_free.ids);
    nq_free(all->ids_limbo.ids);
    frames_evict_fini(all);
    all->magic = 0;
    nq_free(all);
}

nq_rc
frames_open(const struct frames_opts *opts, struct frames **out)
{
    struct frames_all *all = nq_calloc(1, sizeof *all);
    uint64_t bytes = reservation_bytes(opts->pool_bytes);
    uint32_t size = opts->page_size;

    nq_assert(size >= FRAMES_PAGE_MIN && size <= FRAMES_PAGE_MAX &&
              (size & (size - 1)) == 0);
    *out = NULL;
    all->magic = FRAMES_MAGIC;
    all->pub.page_size = size;
    all->pub.page_shift = (uint32_t)__builtin_ctz(size);
    all->frames_max =
        (uint32_t)nq_min(bytes >> all->pub.page_shift, FRAME_CHUNK0 - 1);
    all->frames_top = 1;
    all->epoch = 1;
    all->next_id = 1;
    all->disk = opts->disk;
    list_init(&all->running);
    list_init(&all->begun);
    all->tier_cap = opts->disk == NULL ? 0 : 2 * size;
    frames_set_limits(all, opts->pool_bytes, opts->dirty_soft,
                      opts->dirty_hard);
    if (opts->disk != NULL)
        frames_evict_init(all, opts->policy);
    if (!reserve_all(all)) {
        log_error("no address space for a pool of %llu bytes",
                  (unsigned long long)opts->pool_bytes);
        close_all(all);
        return NQ_ENOMEM;
    }
    grow_ids(all, 0);
    *out = &all->pub;
    return NQ_OK;
}

void
frames_close(struct frames *fr)
{
    if (fr != NULL)
        close_all(frames_all(fr));
}

/* --- writing pages -------------------------------------------------------- */

static void
stamp_page(struct frames_all *all, uint8_t *page)
{
    memcpy(page + PAGE_LSN_OFFSET, &all->pub.stamp, sizeof all->pub.stamp);
}

/* F3: from now on frames_mut() takes the short way. */
static void
make_writable(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    nq_dassert(frame_is_mapped(all, f, m) && frame_is_mutable(all, m));
    if (m->list == FRAME_ON_NONE)
        frame_set_dirty(all, f);
    m->writable = all->epoch;
    frame_unprotect(all, f);
}

static uint32_t
copy_frame(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);
    pgno id = m->id;
    uint32_t g = frame_take(all, id, m->kind);

    memcpy(frame_bytes(all, g), frame_bytes(all, f), all->pub.page_size);
    all->pub.frame_of[id] = g;
    frame_succeed(all, f, g);
    all->copies++;
    frame_unmapped(all, f);
    return g;
}

uint8_t *
frames_mut(struct frames *fr, pgno id)
{
    struct frames_all *all = frames_all(fr);
    uint32_t f = fr->frame_of[id];
    uint8_t *page;

    nq_dassert(!frame_is_mark(f) && !frame_is_chunk(f));
    if (nq_unlikely(all->frame[f].writable != all->epoch)) {
        if (!frame_is_mutable(all, &all->frame[f]))
            f = copy_frame(all, f);
        make_writable(all, f);
    }
    if (nq_unlikely(fr->used[f] != FRAMES_USED))
        frames_note_use(fr, f);
    page = frame_bytes(all, f);
    stamp_page(all, page);
    return page;
}

void
frames_set_kind(struct frames *fr, pgno id, enum page_kind kind)
{
    struct frames_all *all = frames_all(fr);
    struct frame *m = frame_get(all, fr->frame_of[id]);

    nq_dassert(m->writable == all->epoch && kind != PAGE_CHUNK);
    if (m->item != 0) {
        all->inner -= m->kind == PAGE_INNER;
        all->inner += kind == PAGE_INNER;
    }
    m->kind = (uint8_t)kind;
}

pgno
frames_new(struct frames *fr, enum page_kind kind, uint8_t **out)
{
    struct frames_all *all = frames_all(fr);
    pgno id = frames_take_id(all);
    uint32_t f = frame_take(all, id, kind);

    nq_dassert(kind != PAGE_CHUNK);
    fr->frame_of[id] = f;
    frame_enter(all, f, POLICY_NEW);
    make_writable(all, f);
    *out = frame_bytes(all, f);
    memset(*out, 0, fr->page_size);
    stamp_page(all, *out);
    return id;
}

void
frames_free(struct frames *fr, pgno id)
{
    struct frames_all *all = frames_all(fr);
    uint32_t f = fr->frame_of[id];

    nq_assert(id != 0 && id < all->next_id && all->pages > 0);
    fr->frame_of[id] = 0;
    touch(all, id);
    damages_forget(&all->damages, id);
    if (f == FRAME_LOADING)
        frames_read_cancel(all, id);
    else if (!frame_is_mark(f))
        frame_unmapped(all, f);
    if (all->disk != NULL)
        pagetable_clear(all->disk->table, id);
    id_push(all->cut_running ? &all->ids_limbo : &all->ids_free, id);
    all->pages--;
}

/* --- cuts ------------------------------------------------------------------
 */

void
frames_cut(struct frames_all *all)
{
    nq_assert(!all->cut_running && all->lists[1 - all->current].count == 0);
    all->epoch++; /* F3: nothing may be written in place any more */
    all->current = 1 - all->current;
    all->cut_running = true;
#ifdef NQ_DEBUG
    for (uint32_t f = all->lists[1 - all->current].head; f != 0;
         f = frame_get(all, f)->next)
        frame_protect(all, f);
#endif
}

void
frames_cut_end(struct frames_all *all, bool done)
{
    struct frame_list *l = &all->lists[1 - all->current];
    uint32_t f;

    nq_assert(all->cut_running && (!done || l->count == 0));
    all->cut_running = false;
    while ((f = l->head) != 0) {
        frame_unlist(all, f);
        if (frame_is_mapped(all, f, frame_get(all, f)))
            frame_set_dirty(all, f);
        else
            frame_drop_if_unused(all, f);
    }
    while (all->ids_limbo.count > 0)
        id_push(&all->ids_free, all->ids_limbo.ids[--all->ids_limbo.count]);
}

/* --- pins ----------------------------------------------------------------- */

uint32_t
frames_pin(struct frames *fr, pgno id)
{
    struct frames_all *all = frames_all(fr);
    uint32_t f = fr->frame_of[id];
    struct frame *m;

    nq_assert(!frame_is_mark(f));
    m = frame_get(all, f);
    m->writable = 0;
    frame_protect(all, f);
    all->pinned += m->pins++ == 0;
    return f;
}

void
frames_unpin(struct frames *fr, uint32_t frame)
{
    struct frames_all *all = frames_all(fr);
    struct frame *m = frame_get(all, frame);

    nq_assert(m->id != 0 && m->pins > 0);
    if (--m->pins > 0)
        return;
    all->pinned--;
    frame_drop_if_unused(all, frame);
}
