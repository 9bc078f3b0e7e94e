/* store/pagetable_io.c - base and deltas of the page table on disk; the
 * format is told in pagetable.c.
 *
 * A delta is written while all deltas together are smaller than half of the
 * base would be; then the base, which makes them superfluous. */
#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/file.h"
#include "store/corrupt.h"
#include "store/pagetable_int.h"
#include "store/space.h"

#define PART_MAGIC 0x3154514eu /* "NQT1" */
#define PART_HEADER 32u
#define BASE_ENTRY 16u
#define DELTA_ENTRY 24u
#define PIECE (96u << 10)       /* written and read at a time; whole entries */
#define DELTAS_FREE (16u << 10) /* bytes of deltas that never hurt */

enum part_kind { PART_BASE = 1, PART_DELTA = 2 };

_Static_assert(PIECE % BASE_ENTRY == 0 && PIECE % DELTA_ENTRY == 0,
               "an entry never straddles pieces");

/* --- planning ------------------------------------------------------------ */

static uint64_t
deltas_len(const struct superblock *sb)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < sb->deltas_count; i++)
        sum += sb->deltas[i].len;
    return sum;
}

void
pagetable_want_base(struct pagetable *pt)
{
    pt->wants_base = true;
}

nq_rc
pagetable_plan(struct pagetable *pt, const struct superblock *now,
               struct superblock *next, struct part **part)
{
    uint64_t delta = PART_HEADER + (uint64_t)pt->undo_count * DELTA_ENTRY;
    uint64_t base = PART_HEADER + (uint64_t)pt->next_id * BASE_ENTRY;
    uint64_t len = delta;
    nq_rc rc;

    *part = NULL;
    pt->has_base = false;
    next->base = now->base;
    next->deltas_count = now->deltas_count;
    memcpy(next->deltas, now->deltas, sizeof next->deltas);
    if (pt->undo_count == 0 && now->base.len > 0 && !pt->wants_base)
        return NQ_OK;
    if (now->base.len == 0 || pt->wants_base ||
        now->deltas_count == SUPERBLOCK_DELTAS ||
        deltas_len(now) + delta > base / 2 + DELTAS_FREE) {
        next->deltas_count = 0;
        memset(next->deltas, 0, sizeof next->deltas);
        *part = &next->base;
        pt->has_base = true;
        len = base;
    } else {
        *part = &next->deltas[next->deltas_count++];
    }
    **part = (struct part){.len = len};
    rc = space_alloc_part(pt->space, len, &(*part)->off);
    if (rc != NQ_OK)
        *part = NULL;
    return rc;
}

/* --- writing ------------------------------------------------------------- */

struct writer {
    struct file *file;
    uint8_t *piece;
    size_t used;
    uint64_t off;
    uint32_t crc;
    nq_rc rc;
};

static void
writer_flush(struct writer *w)
{
    if (w->rc == NQ_OK && w->used > 0)
        w->rc = file_write(w->file, w->piece, w->used, w->off);
    w->crc = crc32c(w->crc, w->piece, w->used);
    w->off += w->used;
    w->used = 0;
}

static void
writer_put(struct writer *w, const void *p, size_t n)
{
    if (w->used + n > PIECE)
        writer_flush(w);
    memcpy(w->piece + w->used, p, n);
    w->used += n;
}

static void
put_header(struct writer *w, enum part_kind kind, uint64_t entries)
{
    uint8_t h[PART_HEADER] = {0};
    uint32_t magic = PART_MAGIC, k = kind;

    memcpy(h, &magic, 4);
    memcpy(h + 4, &k, 4);
    memcpy(h + 8, &entries, 8);
    writer_put(w, h, sizeof h);
    writer_flush(w); /* entries keep their alignment in pieces */
}

static void
put_base(const struct pagetable *pt, struct writer *w)
{
    put_header(w, PART_BASE, pt->next_id);
    for (pgno id = 0; id < pt->next_id && w->rc == NQ_OK; id++) {
        struct entry e = pagetable_get_kept(pt, id);

        writer_put(w, &e, sizeof e);
    }
}

static void
put_delta(const struct pagetable *pt, struct writer *w)
{
    put_header(w, PART_DELTA, pt->undo_count);
    for (uint32_t i = 0; i < pt->undo_count && w->rc == NQ_OK; i++) {
        uint64_t id = pt->undo[i].id;
        struct entry e = pagetable_get_kept(pt, pt->undo[i].id);
        uint8_t b[DELTA_ENTRY];

        memcpy(b, &id, 8);
        memcpy(b + 8, &e, sizeof e);
        writer_put(w, b, sizeof b);
    }
}

nq_rc
pagetable_write(const struct pagetable *pt, struct file *f, bool is_base,
                struct part *part)
{
    struct writer w = {.file = f, .off = part->off};

    w.piece = nq_malloc(PIECE);
    if (is_base)
        put_base(pt, &w);
    else
        put_delta(pt, &w);
    writer_flush(&w);
    nq_free(w.piece);
    nq_assert(w.rc != NQ_OK || w.off == part->off + part->len);
    part->crc = w.crc;
    return w.rc == NQ_OK ? file_pad_sector(f, w.off) : w.rc;
}

/* --- loading ------------------------------------------------------------- */

struct loader {
    struct pagetable *pt;
    struct file *file;
    const struct superblock *sb;
    uint8_t *piece;
};

static nq_rc
check_header(struct loader *l, const struct part *part, enum part_kind kind,
             uint64_t entry, uint64_t *entries)
{
    struct cursor c = cursor_of(slice_of(l->piece, PART_HEADER));
    uint32_t magic, k;
    nq_rc rc = NQ_ECORRUPT;

    if (part->len >= PART_HEADER)
        rc = file_read(l->file, l->piece, PART_HEADER, part->off);
    if (rc == NQ_EIO)
        return rc;
    cursor_get_u32(&c, &magic);
    cursor_get_u32(&c, &k);
    cursor_get_u64(&c, entries);
    if (rc != NQ_OK || magic != PART_MAGIC || k != kind ||
        *entries != (part->len - PART_HEADER) / entry ||
        (part->len - PART_HEADER) % entry != 0)
        return NQ_CORRUPT("%s: page table at %llu: header is none of a %s of "
                          "%llu bytes",
                          file_path(l->file), (unsigned long long)part->off,
                          kind == PART_BASE ? "base" : "delta",
                          (unsigned long long)part->len);
    return NQ_OK;
}

static nq_rc
set_kept(struct loader *l, uint64_t id, const uint8_t *entry)
{
    struct entry e;

    memcpy(&e, entry, sizeof e);
    if (id >= l->sb->next_id ||
        (!entry_is_none(e) &&
         (entry_off(e) < SUPERBLOCK_AREA || entry_len(e) <= EXTENT_HEADER ||
          entry_off(e) % EXTENT_ALIGN != 0 || id == 0)))
        return NQ_CORRUPT("%s: page table: impossible entry of page %llu: "
                          "offset %llu, %u bytes, next id %u",
                          file_path(l->file), (unsigned long long)id,
                          (unsigned long long)entry_off(e), entry_len(e),
                          l->sb->next_id);
    *pagetable_kept_mut(l->pt, (pgno)id) = e;
    return NQ_OK;
}

static nq_rc
load_piece(struct loader *l, enum part_kind kind, uint64_t first, size_t n)
{
    size_t step = kind == PART_BASE ? BASE_ENTRY : DELTA_ENTRY;
    nq_rc rc = NQ_OK;

    for (size_t at = 0; at < n && rc == NQ_OK; at += step, first++) {
        uint64_t id = first;

        if (kind == PART_DELTA)
            memcpy(&id, l->piece + at, 8);
        rc = set_kept(l, id, l->piece + at + step - BASE_ENTRY);
    }
    return rc;
}

static nq_rc
check_crc(struct loader *l, const struct part *part)
{
    uint32_t crc = 0;

    for (uint64_t at = 0; at < part->len; at += PIECE) {
        size_t n = nq_min(part->len - at, PIECE);
        nq_rc rc = file_read(l->file, l->piece, n, part->off + at);

        if (rc == NQ_EIO)
            return rc;
        if (rc != NQ_OK)
            break;
        crc = crc32c(crc, l->piece, n);
    }
    if (crc != part->crc)
        return NQ_CORRUPT("%s: page table at %llu, %llu bytes: checksum "
                          "%08x, expected %08x",
                          file_path(l->file), (unsigned long long)part->off,
                          (unsigned long long)part->len, crc, part->crc);
    return NQ_OK;
}

static nq_rc
load_part(struct loader *l, const struct part *part, enum part_kind kind)
{
    uint64_t step = kind == PART_BASE ? BASE_ENTRY : DELTA_ENTRY, entries;
    nq_rc rc;

    if ((rc = check_crc(l, part)) != NQ_OK ||
        (rc = check_header(l, part, kind, step, &entries)) != NQ_OK)
        return rc;
    for (uint64_t at = PART_HEADER; at < part->len; at += PIECE) {
        size_t n = nq_min(part->len - at, PIECE);

        if ((rc = file_read(l->file, l->piece, n, part->off + at)) != NQ_OK ||
            (rc = load_piece(l, kind, (at - PART_HEADER) / step, n)) != NQ_OK)
            return rc;
    }
    if (!space_mark(l->pt->space, part->off, part->len))
        return NQ_CORRUPT("%s: page table at %llu overlaps something else",
                          file_path(l->file), (unsigned long long)part->off);
    return NQ_OK;
}

/* The final entries become live and their space is taken. */
static nq_rc
take_space(struct loader *l)
{
    for (pgno id = 1; id < l->sb->next_id; id++) {
        struct entry e = pagetable_get_kept(l->pt, id);

        if (e.place == 0 && e.codec_generation == 0)
            continue;
        if (!entry_is_none(e) &&
            (entry_off(e) + entry_space(e) > l->sb->file_bytes ||
             !space_mark(l->pt->space, entry_off(e), entry_space(e))))
            return NQ_CORRUPT("%s: extent of page %u at %llu, %u bytes, "
                              "overlaps another or the end",
                              file_path(l->file), id,
                              (unsigned long long)entry_off(e), entry_space(e));
        pagetable_loaded(l->pt, id);
    }
    return NQ_OK;
}

nq_rc
pagetable_load(struct pagetable *pt, struct file *f,
               const struct superblock *sb)
{
    struct loader l = {.pt = pt, .file = f, .sb = sb};
    nq_rc rc = NQ_OK;

    l.piece = nq_malloc(PIECE);
    if (sb->base.len > 0)
        rc = load_part(&l, &sb->base, PART_BASE);
    for (uint32_t i = 0; rc == NQ_OK && i < sb->deltas_count; i++)
        rc = load_part(&l, &sb->deltas[i], PART_DELTA);
    if (rc == NQ_OK)
        rc = take_space(&l);
    pt->next_id = sb->next_id;
    nq_free(l.piece);
    return rc;
}
