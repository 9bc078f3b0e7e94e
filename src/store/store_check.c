/* store/store_check.c - everything that can be wrong with table and space.
 *
 *   - a page in use that no tree owns, or one that is owned but not in use
 *   - extents (live and kept) and parts that overlap, or leave the file
 *   - sectors in use that nothing names, or named ones that count as free
 *   - with read_extents: extents that do not check
 *
 * While a checkpoint or a flush is under way sectors are on their way from
 * one owner to another, so the sums are compared only when all is quiet. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/extent.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

struct check {
    struct store *st;
    struct space *named; /* what was found to be in use */
    bool read_extents;
    uint64_t findings;
    void (*report)(void *arg, const char *text);
    void *arg;
};

static void __attribute__((format(printf, 2, 3)))
finding(struct check *k, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->findings++;
    k->report(k->arg, text);
}

static void
name_run(struct check *k, const char *what, uint64_t id, uint64_t off,
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
check_extent(struct check *k, pgno id, struct entry e)
{
    uint8_t *buf = nq_malloc(entry_len(e));
    struct extent_fault why = {"bytes before the end of the file", entry_len(e),
                               0};
    struct extent x;
    nq_rc rc = file_read(k->st->disk.file, buf, entry_len(e), entry_off(e));

    if (rc == NQ_OK)
        rc = extent_verify(slice_of(buf, entry_len(e)), id, e, &x, &why);
    if (rc == NQ_OK) {
        uint8_t *raw = nq_malloc(x.raw_len);

        rc = extent_decode(slice_of(buf, entry_len(e)), &x, &k->st->disk.env,
                           raw, &why);
        nq_free(raw);
    }
    if (rc != NQ_OK)
        finding(k,
                "page %u at offset %" PRIu64 ": %s: %s: expected %" PRIu64
                ", found %" PRIu64,
                id, entry_off(e), rc_name(rc), why.what, why.expected,
                why.found);
    nq_free(buf);
}

static void
check_entries(struct check *k)
{
    const struct pagetable *pt = k->st->disk.table;

    for (pgno id = 1; id < k->st->disk.frames->next_id; id++) {
        struct entry live = pagetable_get(pt, id);
        struct entry kept = pagetable_get_kept(pt, id);

        name_run(k, "page", id, entry_off(live), entry_space(live));
        if (kept.place != live.place)
            name_run(k, "checkpointed page", id, entry_off(kept),
                     entry_space(kept));
        if (k->read_extents && !entry_is_none(live))
            check_extent(k, id, live);
    }
}

static void
check_parts(struct check *k)
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
           !checkpoint_is_running(&st->ckpt);
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
check_owners(struct check *k, const uint8_t *seen, uint32_t seen_ids)
{
    const struct frames_all *all = k->st->disk.frames;
    uint32_t n = all->next_id;
    uint8_t *used = nq_malloc(n / 8 + 1);

    memset(used, 0xff, n / 8 + 1);
    clear_bits(used, &all->ids_free);
    clear_bits(used, &all->ids_limbo);
    for (pgno id = 1; id < nq_max(n, seen_ids); id++) {
        bool is_used = get_bit(used, n, id);
        bool is_seen = get_bit(seen, seen_ids, id);

        if (is_used && !is_seen)
            finding(k, "page %u belongs to nobody", id);
        if (is_seen && !is_used)
            finding(k, "page %u is in a tree, but counts as free", id);
    }
    nq_free(used);
}

nq_rc
store_check(struct store *st, const uint8_t *seen, uint32_t seen_ids,
            bool read_extents, void (*report)(void *arg, const char *text),
            void *arg)
{
    struct check k = {.st = st,
                      .named = space_new(SUPERBLOCK_AREA),
                      .read_extents = read_extents,
                      .report = report,
                      .arg = arg};

    if (is_quiet(st)) {
        check_parts(&k);
        check_entries(&k);
        if (space_used_bytes(k.named) != space_used_bytes(st->disk.space))
            finding(&k,
                    "%" PRIu64 " bytes of the data file are in use, but "
                    "%" PRIu64 " are accounted for",
                    space_used_bytes(st->disk.space),
                    space_used_bytes(k.named));
    }
    if (seen != NULL)
        check_owners(&k, seen, seen_ids);
    space_delete(k.named);
    return k.findings == 0 ? NQ_OK : NQ_ECORRUPT;
}
