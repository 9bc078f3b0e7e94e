/* store/store_check.c - everything that can be wrong with table and space.
 *
 *   - a page in use that no tree owns, or one that is owned but not in use
 *   - extents (live, kept, and pinned) and parts that overlap, or leave the
 *     file
 *   - sectors in use that nothing names, or named ones that count as free
 *   - with read_extents: extents that do not check
 *
 * While a checkpoint or a flush is under way sectors are on their way from
 * one owner to another.  So a comparison in slices first keeps new ones from
 * beginning, and waits for the end of those that run (is_still); should the
 * table change all the same, it begins again.
 *
 *   WAIT -> ENTRIES -> OWNERS -> over */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/dict_keeper.h"
#include "store/extent_io.h"
#include "store/frames_int.h"
#include "store/pagetable_int.h"
#include "store/space.h"
#include "store/store_int.h"

#define SLICE_IDS 4096u
#define RESTARTS 3u

struct store_check {
    struct store *st;
    struct store_check_opts opts;
    enum { CHECK_WAIT, CHECK_ENTRIES, CHECK_OWNERS } phase;
    struct space *named; /* what was found to be in use */
    uint8_t *used;       /* OWNERS: bit by id */
    uint64_t version;    /* of the table, when ENTRIES began */
    unsigned restarts;
    bool is_still; /* it keeps the store still */
    pgno next;
    uint64_t findings;
};

static void __attribute__((format(printf, 2, 3)))
finding(struct store_check *k, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->findings++;
    k->opts.report(k->opts.arg, text);
}

static void
name_run(struct store_check *k, const char *what, uint64_t id, uint64_t off,
         uint64_t len)
{
    if (len == 0)
        return;
    if (off < SUPERBLOCK_AREA || off + len > space_end(k->st->disk.space))
        finding(k,
                "%s %" PRIu64 ": %" PRIu64 "+%" PRIu64 " is outside the file",
                what, id, off, len);
    else if (!space_mark(k->named, off, len))
        finding(k,
                "%s %" PRIu64 ": %" PRIu64 "+%" PRIu64
                " overlaps something else",
                what, id, off, len);
    else if (!space_is_used(k->st->disk.space, off, len))
        finding(k, "%s %" PRIu64 ": %" PRIu64 "+%" PRIu64 " counts as free",
                what, id, off, len);
}

static void
check_extent(struct store_check *k, pgno id, struct entry e)
{
    const struct disk *d = &k->st->disk;
    struct extent_from from = {.file = d->file,
                               .env = &d->env,
                               .page_size = d->frames->pub.page_size,
                               .is_page = d->is_page};
    struct extent_got got;
    nq_rc rc = extent_get(&from, id, e, &got);

    if (rc != NQ_OK || got.rebuilt > 0)
        finding(k,
                "page %u at offset %" PRIu64 ": %s: %s: expected %" PRIu64
                ", found %" PRIu64,
                id, entry_off(e), rc_name(NQ_ECORRUPT), got.fault.what,
                got.fault.expected, got.fault.found);
    nq_free(got.raw);
}

static void
name_pinned(void *arg, pgno id, struct entry e)
{
    name_run(arg, "pinned page", id, entry_off(e), entry_space(e));
}

static void
check_entry(struct store_check *k, pgno id)
{
    const struct pagetable *pt = k->st->disk.table;
    struct entry live = pagetable_get(pt, id);
    struct entry kept = pagetable_get_kept(pt, id);

    name_run(k, "page", id, entry_off(live), entry_space(live));
    if (kept.place != live.place)
        name_run(k, "checkpointed page", id, entry_off(kept),
                 entry_space(kept));
    pagetable_view_each(pt, id, name_pinned, k);
    if (k->opts.read_extents && !entry_is_none(live))
        check_extent(k, id, live);
}

static void
check_parts(struct store_check *k)
{
    const struct superblock *sb = &k->st->sb;

    name_run(k, "catalog", 0, sb->catalog.off, sb->catalog.len);
    name_run(k, "page table base", 0, sb->base.off, sb->base.len);
    for (uint32_t i = 0; i < sb->deltas_count; i++)
        name_run(k, "page table delta", i, sb->deltas[i].off,
                 sb->deltas[i].len);
}

static bool
is_quiet(const struct store *st)
{
    return st->disk.jobs_count == 0 && st->disk.rewrite_jobs == 0 &&
           !st->trim.is_busy && !checkpoint_is_running(&st->ckpt) &&
           pins_are_settled(st->pins);
}

static void
clear_bits(uint8_t *bits, const struct id_stack *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        bits[s->ids[i] / 8] &= (uint8_t) ~(1u << (s->ids[i] % 8));
}

static bool
get_bit(const uint8_t *bits, uint32_t n, pgno id)
{
    return id < n && (bits[id / 8] >> (id % 8) & 1) != 0;
}

static void
note_used(struct store_check *k)
{
    const struct frames_all *all = k->st->disk.frames;
    uint32_t n = all->next_id;

    k->used = nq_malloc(n / 8 + 1);
    memset(k->used, 0xff, n / 8 + 1);
    clear_bits(k->used, &all->ids_free);
    clear_bits(k->used, &all->ids_limbo);
}

static void
check_owner(struct store_check *k, pgno id)
{
    bool is_used = get_bit(k->used, k->st->disk.frames->next_id, id);
    bool is_seen = get_bit(k->opts.seen, k->opts.seen_ids, id);

    if (is_used && !is_seen && !k->opts.has_gaps &&
        !dict_keeper_owns(k->st->dict_keeper, id))
        finding(k, "page %u belongs to nobody", id);
    if (is_seen && !is_used)
        finding(k, "page %u is in a tree, but counts as free", id);
}

/* --- the steps, in the order they run ------------------------------------- */

static void
begin_entries(struct store_check *k)
{
    space_delete(k->named);
    k->named = space_new(SUPERBLOCK_AREA);
    k->version = k->st->disk.table->version;
    k->next = 1;
    k->phase = CHECK_ENTRIES;
    check_parts(k);
}

static void
end_entries(struct store_check *k)
{
    uint64_t used = space_used_bytes(k->st->disk.space);

    if (space_used_bytes(k->named) != used)
        finding(k,
                "%" PRIu64 " bytes of the data file are in use, but "
                "%" PRIu64 " are accounted for",
                used, space_used_bytes(k->named));
}

static void
set_still(struct store_check *k, bool on)
{
    if (k->is_still == on)
        return;
    k->is_still = on;
    k->st->disk.still += on ? 1 : -1;
}

static void
begin_owners(struct store_check *k)
{
    set_still(k, false);
    note_used(k);
    k->next = 1;
    k->phase = CHECK_OWNERS;
}

/* Some ids; false: it begins again, since the table has changed. */
static bool
check_entries(struct store_check *k, uint32_t n)
{
    pgno end = k->st->disk.frames->next_id;

    if (k->version != k->st->disk.table->version && k->restarts < RESTARTS) {
        k->restarts++;
        k->phase = CHECK_WAIT;
        return false;
    }
    if (k->restarts == RESTARTS)
        n = UINT32_MAX; /* in one piece, then */
    for (; n > 0 && k->next < end; n--)
        check_entry(k, k->next++);
    return k->next >= end;
}

static bool
check_owners(struct store_check *k, uint32_t n)
{
    pgno end = nq_max(k->st->disk.frames->next_id, k->opts.seen_ids);

    for (; n > 0 && k->next < end; n--)
        check_owner(k, k->next++);
    return k->next >= end;
}

struct store_check *
store_check_new(struct store *st, const struct store_check_opts *opts)
{
    struct store_check *k = nq_calloc(1, sizeof *k);

    k->st = st;
    k->opts = *opts;
    set_still(k, true);
    return k;
}

nq_rc
store_check_step(struct store_check *k)
{
    uint32_t n = k->opts.read_extents ? 1 : SLICE_IDS;

    if (k->phase == CHECK_WAIT && is_quiet(k->st))
        begin_entries(k);
    else if (k->phase == CHECK_ENTRIES && check_entries(k, n)) {
        end_entries(k);
        begin_owners(k);
    } else if (k->phase == CHECK_OWNERS && check_owners(k, SLICE_IDS))
        return k->findings == 0 ? NQ_OK : NQ_ECORRUPT;
    return NQ_AGAIN;
}

bool
store_check_is_waiting(const struct store_check *k)
{
    return k->phase == CHECK_WAIT && !is_quiet(k->st);
}

void
store_check_free(struct store_check *k)
{
    if (k == NULL)
        return;
    set_still(k, false);
    space_delete(k->named);
    nq_free(k->used);
    nq_free(k);
}

nq_rc
store_check(struct store *st, const struct store_check_opts *opts)
{
    struct store_check *k = store_check_new(st, opts);
    nq_rc rc;

    if (!is_quiet(st))
        begin_owners(k); /* nobody is there to wait for */
    while ((rc = store_check_step(k)) == NQ_AGAIN)
        ;
    store_check_free(k);
    return rc;
}
