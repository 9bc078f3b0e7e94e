/* store/frames_chunk.c - chunks of blobs: pages of 1 byte to 1 MiB on the
 * heap, under the same rules as frames (copy on write, pins, dirty lists).
 *
 * Their bytes count against the pool with their capacity.  Those that are the
 * unpacked form of what the data file holds packed, the cache of unpacked
 * blocks so to say, have a bound of their own besides. */
#include "base/mem.h"
#include "store/corrupt.h"
#include "store/frames_int.h"

/* A descriptor that is not in use. */
static uint32_t
take_descriptor(struct frames_all *all)
{
    uint32_t i = all->chunk_free;

    if (i != 0) {
        all->chunk_free = all->chunk[i].len;
        return i;
    }
    if (all->chunks_top + 1 >= all->chunks_cap) {
        all->chunks_cap = all->chunks_cap == 0 ? 64 : all->chunks_cap * 2;
        all->chunk =
            nq_realloc(all->chunk, all->chunks_cap * sizeof *all->chunk);
    }
    if (all->chunks_top == 0)
        all->chunk[all->chunks_top++] = (struct chunk){.len = 0};
    i = all->chunks_top++;
    nq_assert(i < FRAME_MARK0 - FRAME_CHUNK0);
    return i;
}

static uint32_t
new_chunk(struct frames_all *all, pgno id, uint8_t *bytes, uint32_t len,
          uint32_t cap)
{
    uint32_t i = take_descriptor(all);

    nq_assert(len <= cap && cap <= BLOB_CHUNK && cap > 0);
    all->chunk[i] = (struct chunk){
        .frame = {.id = id, .kind = PAGE_CHUNK},
        .bytes = bytes,
        .len = len,
        .cap = cap,
        .stamp = all->pub.stamp,
    };
    all->chunk_bytes += cap;
    all->chunks_used++;
    return FRAME_CHUNK0 + i;
}

uint32_t
chunk_take(struct frames_all *all, pgno id, uint32_t len, uint32_t cap,
           bool zeroed)
{
    return new_chunk(all, id, zeroed ? nq_calloc(1, cap) : nq_malloc(cap), len,
                     cap);
}

uint32_t
chunk_adopt(struct frames_all *all, pgno id, uint8_t *bytes, uint32_t len)
{
    return new_chunk(all, id, bytes, len, len);
}

void
chunk_set_unpacked(struct frames_all *all, uint32_t f, bool on)
{
    struct chunk *c = chunk_get(all, f);

    if (c->is_unpacked == on)
        return;
    c->is_unpacked = on;
    all->unpacked_chunks += on ? 1 : UINT32_MAX;
    all->unpacked_bytes += on ? c->cap : -(uint64_t)c->cap;
}

void
chunk_release(struct frames_all *all, uint32_t f)
{
    struct chunk *c = chunk_get(all, f);

    nq_dassert(c->frame.id != 0 && c->frame.list == FRAME_ON_NONE);
    chunk_set_unpacked(all, f, false);
    nq_free(c->bytes);
    all->chunk_bytes -= c->cap;
    all->chunks_used--;
    *c = (struct chunk){.len = all->chunk_free};
    all->chunk_free = f - FRAME_CHUNK0;
}

nq_rc
frames_chunk(struct frames *fr, pgno id, struct slice *out)
{
    struct frames_all *all = frames_all(fr);
    uint32_t f = fr->frame_of[id];
    struct chunk *c;

    if (frame_is_mark(f)) {
        nq_rc rc = frames_missed(fr, id, &out->p);

        if (rc != NQ_OK)
            return rc;
        f = fr->frame_of[id];
    } else {
        fr->hits++;
    }
    if (!frame_is_chunk(f))
        return NQ_CORRUPT("page %u is part of a tree, but a value names it as "
                          "a chunk of its own",
                          id);
    c = chunk_get(all, f);
    all->unpacked_hits += c->is_unpacked;
    if (c->used != FRAMES_USED)
        frames_note_use(fr, f);
    *out = slice_of(c->bytes, c->len);
    return NQ_OK;
}

/* The page's one writable version, of at least `cap` bytes of room. */
static struct chunk *
writable_chunk(struct frames_all *all, pgno id, uint32_t cap)
{
    uint32_t f = all->pub.frame_of[id], g;
    struct chunk *c = chunk_get(all, f), *d;

    if (frame_is_mutable(all, &c->frame)) {
        chunk_set_unpacked(all, f, false);
        if (cap > c->cap) {
            c->bytes = nq_realloc(c->bytes, cap);
            all->chunk_bytes += cap - c->cap;
            if (c->frame.list != FRAME_ON_NONE)
                all->dirty_bytes += cap - c->cap;
            c->cap = cap;
            if (c->frame.item != 0)
                policy_set_weight(all->policy, c->frame.item, cap);
        }
        if (c->frame.list == FRAME_ON_NONE)
            frame_set_dirty(all, f);
        return c;
    }
    g = chunk_take(all, id, 0, cap, false);
    c = chunk_get(all, f); /* the table may have moved */
    d = chunk_get(all, g);
    d->len = nq_min(c->len, cap);
    memcpy(d->bytes, c->bytes, d->len);
    all->pub.frame_of[id] = g;
    frame_succeed(all, f, g);
    all->copies++;
    frame_set_dirty(all, g);
    frame_unmapped(all, f);
    return d;
}

uint8_t *
frames_chunk_mut(struct frames *fr, pgno id, uint32_t len, uint32_t reserve)
{
    struct frames_all *all = frames_all(fr);
    struct chunk *c = writable_chunk(all, id, nq_max(nq_max(len, reserve), 1));

    if (len > c->len)
        memset(c->bytes + c->len, 0, len - c->len);
    c->len = len;
    c->stamp = fr->stamp;
    if (c->used != FRAMES_USED)
        frames_note_use(fr, fr->frame_of[id]);
    return c->bytes;
}

pgno
frames_chunk_new(struct frames *fr, uint32_t len, uint8_t **out)
{
    struct frames_all *all = frames_all(fr);
    pgno id = frames_take_id(all);
    uint32_t f = chunk_take(all, id, len, nq_max(len, 1), true);

    fr->frame_of[id] = f;
    frame_enter(all, f, POLICY_NEW);
    frame_set_dirty(all, f);
    *out = chunk_get(all, f)->bytes;
    return id;
}
