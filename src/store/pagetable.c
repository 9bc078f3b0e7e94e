/* store/pagetable.c - page id to extent, for now and for the checkpoint.
 *
 * On disk: one base with the entries of all ids below the next id, and up to
 * SUPERBLOCK_DELTAS deltas with those that changed since, in order.
 *
 *   both     0  u32 magic   4 u32 kind (1 base, 2 delta)   8 u64 entries
 *            16 u64 sequence of its superblock   24 u64 zero
 *   base     32 + 16 * id   struct entry
 *   delta    32 + 24 * i    u48 page id, u16 zero, struct entry
 *
 * A part's checksum is in the superblock.  An entry without a place keeps
 * the generation of the page's last extent.
 *
 * In memory a page has two entries and three flags:
 *
 *   P1  a page whose live entry changed since the last cut has the flag
 *       CHANGED of the running parity and is on that parity's list
 *   P2  a page that had CHANGED at the cut and is not settled has the flag of
 *       the other parity; its live entry is still that of the cut, because
 *       whoever changes it settles it first
 *   P3  a page whose kept entry differs from the published checkpoint has
 *       UNDO and stands exactly once in undo[], with the published entry
 *   P4  extents in use are: live, kept and undo entries, those of views
 *       (pagetable_view.c), and flushes under way
 *   P5  a block of kept entries that a view has, too, is copied before it is
 *       written
 *
 * Called by flush.c, frames.c (pages freed) and checkpoint.c. */
#include "store/pagetable.h"

#include "base/check.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/file.h"
#include "store/corrupt.h"
#include "store/pagetable_int.h"
#include "store/space.h"

#define COPY_COST 16u /* of a block, in entries settled */

/* --- entries ------------------------------------------------------------- */

static struct table_node *
node_of(struct pagetable *pt, pgno id)
{
    struct table_node **n = &pt->nodes[id / NODE_IDS];

    if (*n == NULL)
        *n = nq_calloc(1, sizeof **n);
    return *n;
}

void
pagetable_free_extent(struct pagetable *pt, struct entry e)
{
    if (!entry_is_none(e))
        space_free(pt->space, entry_off(e), entry_space(e));
}

void
table_block_unref(struct table_block *b)
{
    if (b != NULL && --b->refs == 0)
        nq_free(b);
}

/* P5 */
static struct entry *
kept_mut(struct pagetable *pt, struct table_node *n, pgno id)
{
    struct table_block **at = &n->kept[id % NODE_IDS / BLOCK_IDS], *b = *at;

    if (b == NULL) {
        b = *at = nq_calloc(1, sizeof *b);
        b->refs = 1;
    } else if (b->refs > 1) {
        *at = nq_memdup(b, sizeof *b);
        table_block_unref(b);
        b = *at;
        b->refs = 1;
        pt->copies++;
    }
    return &b->kept[id % BLOCK_IDS];
}

struct entry *
pagetable_kept_mut(struct pagetable *pt, pgno id)
{
    return kept_mut(pt, node_of(pt, id), id);
}

static struct entry
kept_at(const struct table_node *n, pgno id)
{
    const struct table_block *b = n->kept[id % NODE_IDS / BLOCK_IDS];

    return b == NULL ? (struct entry){0} : b->kept[id % BLOCK_IDS];
}

static void
list_push(struct table_ids *l, pgno id)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 256 : l->cap * 2;
        l->ids = nq_realloc(l->ids, l->cap * sizeof *l->ids);
    }
    l->ids[l->count++] = id;
}

static uint8_t
bit_now(const struct pagetable *pt)
{
    return (uint8_t)(1u << pt->parity);
}

static uint8_t
bit_cut(const struct pagetable *pt)
{
    return (uint8_t)(1u << (pt->parity ^ 1));
}

static void
mark_changed(struct pagetable *pt, struct table_node *n, pgno id)
{
    if ((n->flags[id % NODE_IDS] & bit_now(pt)) != 0)
        return;
    n->flags[id % NODE_IDS] |= bit_now(pt);
    list_push(&pt->changed[pt->parity], id);
}

static void
push_undo(struct pagetable *pt, pgno id, struct entry old)
{
    nq_dassert(pt->cut_running);
    if (pt->undo_count == pt->undo_cap) {
        pt->undo_cap = pt->undo_cap == 0 ? 256 : pt->undo_cap * 2;
        pt->undo = nq_realloc(pt->undo, pt->undo_cap * sizeof *pt->undo);
    }
    pt->undo[pt->undo_count++] = (struct table_undo){old, id};
}

static void
set_kept(struct pagetable *pt, struct table_node *n, pgno id, struct entry e)
{
    struct entry *kept = kept_mut(pt, n, id);

    pt->kept_of[entry_codec(e)] += !entry_is_none(e);
    pt->kept_of[entry_codec(*kept)] -= !entry_is_none(*kept);
    *kept = e;
    pt->version++;
}

/* P2: carries the live entry, which is still that of the cut, over. */
static void
settle_one(struct pagetable *pt, struct table_node *n, pgno id)
{
    unsigned i = id % NODE_IDS;

    if ((n->flags[i] & bit_cut(pt)) == 0)
        return;
    n->flags[i] &= (uint8_t)~bit_cut(pt);
    if (entry_is_same(n->live[i], kept_at(n, id)))
        return;
    nq_assert((n->flags[i] & TABLE_UNDO) == 0);
    n->flags[i] |= TABLE_UNDO;
    push_undo(pt, id, kept_at(n, id));
    set_kept(pt, n, id, n->live[i]);
}

static void
set_live(struct pagetable *pt, struct table_node *n, pgno id, struct entry e)
{
    struct entry *live = &n->live[id % NODE_IDS];

    pt->count += !entry_is_none(e);
    pt->count -= !entry_is_none(*live);
    pt->bytes += entry_space(e);
    pt->bytes -= entry_space(*live);
    pt->live_of[entry_codec(e)] += !entry_is_none(e);
    pt->live_of[entry_codec(*live)] -= !entry_is_none(*live);
    *live = e;
    pt->version++;
}

struct entry
pagetable_get(const struct pagetable *pt, pgno id)
{
    const struct table_node *n = pt->nodes[id / NODE_IDS];

    return n == NULL ? (struct entry){0} : n->live[id % NODE_IDS];
}

struct entry
pagetable_get_kept(const struct pagetable *pt, pgno id)
{
    const struct table_block *b = table_block_of(pt, id);

    return b == NULL ? (struct entry){0} : b->kept[id % BLOCK_IDS];
}

uint32_t
pagetable_next_generation(const struct pagetable *pt, pgno id)
{
    uint32_t live = entry_generation(pagetable_get(pt, id));
    uint32_t kept = entry_generation(pagetable_get_kept(pt, id));
    uint32_t next = nq_max(live, kept) + 1;

    return next > EXTENT_GENERATION_MAX ? 1 : next;
}

void
pagetable_set(struct pagetable *pt, pgno id, struct entry e)
{
    struct table_node *n = node_of(pt, id);
    struct entry old = n->live[id % NODE_IDS];

    if (pt->cut_running)
        settle_one(pt, n, id);
    mark_changed(pt, n, id);
    set_live(pt, n, id, e);
    if (old.place != kept_at(n, id).place)
        pagetable_free_extent(pt, old);
}

void
pagetable_clear(struct pagetable *pt, pgno id)
{
    struct entry old = pagetable_get(pt, id);

    /* While a cut runs, even a page that was never flushed is noted: its
     * bytes of the cut are still to be staged, and must not become live. */
    if (entry_is_none(old) && !pt->cut_running)
        return;
    pagetable_set(pt, id,
                  (struct entry){
                      .codec_generation = old.codec_generation & ~0xffu,
                  });
}

/* --- a checkpoint -------------------------------------------------------- */

void
pagetable_cut(struct pagetable *pt, pgno next_id)
{
    nq_assert(!pt->cut_running && pt->undo_count == 0);
    nq_assert(pt->changed[pt->parity ^ 1].count == 0);
    pt->parity ^= 1;
    pt->cut_running = true;
    pt->settled = 0;
    pt->next_id = next_id;
}

void
pagetable_stage(struct pagetable *pt, pgno id, struct entry e)
{
    struct table_node *n = node_of(pt, id);
    unsigned i = id % NODE_IDS;
    struct entry old_kept = kept_at(n, id), old_live = n->live[i];
    bool had_undo = (n->flags[i] & TABLE_UNDO) != 0;
    bool is_newer = (n->flags[i] & bit_now(pt)) != 0; /* changed since */

    nq_assert(pt->cut_running);
    n->flags[i] &= (uint8_t)~bit_cut(pt);
    n->flags[i] |= TABLE_UNDO;
    if (!had_undo)
        push_undo(pt, id, old_kept);
    set_kept(pt, n, id, e);
    if (!is_newer)
        set_live(pt, n, id, e);
    if (had_undo && old_kept.place != n->live[i].place)
        pagetable_free_extent(pt, old_kept);
    if (!is_newer && old_live.place != old_kept.place)
        pagetable_free_extent(pt, old_live);
}

bool
pagetable_settle(struct pagetable *pt, unsigned budget)
{
    struct table_ids *l = &pt->changed[pt->parity ^ 1];

    nq_assert(pt->cut_running);
    while (pt->settled < l->count && budget > 0) {
        pgno id = l->ids[pt->settled++];
        uint32_t copies = pt->copies;

        settle_one(pt, node_of(pt, id), id);
        budget -= nq_min(budget, pt->copies == copies ? 1u : COPY_COST);
    }
    if (pt->settled < l->count)
        return false;
    l->count = pt->settled = 0;
    return true;
}

bool
pagetable_release(struct pagetable *pt, unsigned budget)
{
    pt->cut_running = false;
    if (pt->has_base)
        pt->wants_base = false;
    while (pt->undo_count > 0 && budget-- > 0) {
        struct table_undo u = pt->undo[--pt->undo_count];
        struct table_node *n = node_of(pt, u.id);

        n->flags[u.id % NODE_IDS] &= (uint8_t)~TABLE_UNDO;
        if (u.old.place != kept_at(n, u.id).place &&
            !pagetable_view_keeps(pt, u.id, u.old))
            pagetable_free_extent(pt, u.old);
    }
    return pt->undo_count == 0;
}

void
pagetable_give_up(struct pagetable *pt)
{
    struct table_ids *l = &pt->changed[pt->parity ^ 1];

    nq_assert(pt->cut_running);
    while (pt->undo_count > 0) {
        struct table_undo u = pt->undo[--pt->undo_count];
        struct table_node *n = node_of(pt, u.id);
        unsigned i = u.id % NODE_IDS;
        struct entry staged = kept_at(n, u.id);

        n->flags[i] &= (uint8_t)~TABLE_UNDO;
        set_kept(pt, n, u.id, u.old);
        if (staged.place != n->live[i].place && staged.place != u.old.place)
            pagetable_free_extent(pt, staged);
        mark_changed(pt, n, u.id);
    }
    for (uint32_t k = 0; k < l->count; k++) {
        struct table_node *n = node_of(pt, l->ids[k]);

        if ((n->flags[l->ids[k] % NODE_IDS] & bit_cut(pt)) == 0)
            continue;
        n->flags[l->ids[k] % NODE_IDS] &= (uint8_t)~bit_cut(pt);
        mark_changed(pt, n, l->ids[k]);
    }
    l->count = pt->settled = 0;
    pt->cut_running = false;
}

/* --- the whole ----------------------------------------------------------- */

struct pagetable *
pagetable_new(struct space *sp)
{
    struct pagetable *pt = nq_calloc(1, sizeof *pt);

    pt->space = sp;
    pt->nodes = nq_calloc(NODES, sizeof *pt->nodes);
    pt->next_id = 1;
    return pt;
}

void
pagetable_delete(struct pagetable *pt)
{
    if (pt == NULL)
        return;
    pagetable_views_free(pt);
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned k = 0; pt->nodes[i] != NULL && k < NODE_BLOCKS; k++)
            table_block_unref(pt->nodes[i]->kept[k]);
        nq_free(pt->nodes[i]);
    }
    nq_free(pt->nodes);
    nq_free(pt->undo);
    nq_free(pt->changed[0].ids);
    nq_free(pt->changed[1].ids);
    nq_free(pt);
}

uint64_t
pagetable_count(const struct pagetable *pt)
{
    return pt->count;
}

uint64_t
pagetable_bytes(const struct pagetable *pt)
{
    return pt->bytes;
}

uint32_t
pagetable_count_live(const struct pagetable *pt, uint8_t codec)
{
    return pt->live_of[codec];
}

uint32_t
pagetable_count_kept(const struct pagetable *pt, uint8_t codec)
{
    return pt->kept_of[codec] + pt->viewed_of[codec];
}

void
pagetable_each(const struct pagetable *pt,
               void (*fn)(void *arg, pgno id, struct entry e), void *arg)
{
    for (unsigned k = 0; k < NODES; k++) {
        const struct table_node *n = pt->nodes[k];

        for (unsigned i = 0; n != NULL && i < NODE_IDS; i++) {
            if (!entry_is_none(n->live[i]))
                fn(arg, k * NODE_IDS + i, n->live[i]);
        }
    }
}

void
pagetable_each_changed(struct pagetable *pt, void (*fn)(void *arg, pgno id),
                       void *arg)
{
    const struct table_ids *l = &pt->changed[pt->parity];

    nq_assert(!pt->cut_running);
    for (uint32_t i = 0; i < l->count; i++) {
        pgno id = l->ids[i];
        struct entry live = pagetable_get(pt, id);

        if (!entry_is_none(live) &&
            live.place != pagetable_get_kept(pt, id).place)
            fn(arg, id);
    }
}

struct table_node *
pagetable_node(struct pagetable *pt, pgno id)
{
    return node_of(pt, id);
}

void
pagetable_loaded(struct pagetable *pt, pgno id)
{
    struct table_node *n = node_of(pt, id);
    struct entry e = kept_at(n, id);

    set_live(pt, n, id, e);
    pt->kept_of[entry_codec(e)] += !entry_is_none(e);
}
