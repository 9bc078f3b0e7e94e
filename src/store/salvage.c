/* store/salvage.c - the page table, from the extents themselves.
 *
 * Every sector of the file is looked at.  One that begins as an extent does
 * is read as a whole and checked against its own checksum (parity helps here
 * as it does elsewhere); of each page the one with the greatest generation is
 * taken.  An extent that is damaged but still says who it is, and is younger
 * than the youngest good one, makes its page lost: what is older is not what
 * the database had.
 *
 * Called by nqdb-cli salvage. */
#include "store/salvage.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/block.h"
#include "os/dir.h"
#include "os/file.h"
#include "store/dict_keeper.h"
#include "store/encrypt.h"
#include "store/extent_io.h"
#include "store/frames_int.h"
#include "store/keyring.h"
#include "store/page.h"
#include "store/pagetable_int.h"
#include "store/space.h"
#include "store/store_int.h"

#define PIECE (1u << 20)
#define SIZES 32 /* powers of two */

/* A damaged extent. */
struct broken {
    pgno id;
    uint32_t generation;
};

struct scan {
    struct store *st;
    struct salvage_found *found;
    uint64_t file_bytes;
    pgno next_id;
    uint32_t newest_key;
    uint64_t sizes[SIZES]; /* how many tree pages of 1 << i bytes */
    struct broken *broken;
    uint32_t count, cap;
};

/* --- one extent ------------------------------------------------------------
 */

static void
push_broken(struct scan *s, const struct extent *x)
{
    if (s->count == s->cap) {
        s->cap = nq_max(64u, 2 * s->cap);
        s->broken = nq_realloc(s->broken, s->cap * sizeof *s->broken);
    }
    s->broken[s->count++] = (struct broken){x->id, x->generation};
    s->found->broken++;
}

static bool
is_newer(uint32_t generation, struct entry than)
{
    return entry_is_none(than) || generation > entry_generation(than);
}

static void
take_good(struct scan *s, const struct extent *x, struct entry e)
{
    struct pagetable *pt = s->st->disk.table;
    struct entry *kept = pagetable_kept_mut(pt, x->id);

    s->found->extents++;
    s->next_id = nq_max(s->next_id, x->id + 1);
    s->newest_key = nq_max(s->newest_key, x->key);
    if (x->kind != PAGE_CHUNK && (x->raw_len & (x->raw_len - 1)) == 0)
        s->sizes[__builtin_ctz(x->raw_len)]++;
    if (!is_newer(x->generation, *kept))
        return;
    *kept = e;
    pagetable_loaded(pt, x->id);
}

/* One may begin at `off`; returns how many bytes it takes, if it is good. */
static uint64_t
look_at(struct scan *s, const uint8_t *header, uint64_t off)
{
    struct extent_fault fault;
    struct extent x, again;
    struct entry e;
    uint8_t *bytes;
    bool is_good;

    if (!extent_peek(slice_of(header, EXTENT_HEADER), &x))
        return 0;
    e = extent_entry(&x, off);
    if (entry_space(e) > s->file_bytes - off)
        return 0;
    bytes = nq_malloc(entry_space(e));
    is_good =
        file_read(s->st->disk.file, bytes, entry_space(e), off) == NQ_OK &&
        (extent_verify(slice_of(bytes, entry_len(e)), x.id, e, &again,
                       &fault) == NQ_OK ||
         (entry_has_parity(e) && extent_repair(bytes, x.id, e) > 0));
    nq_free(bytes);
    if (is_good)
        take_good(s, &x, e);
    else
        push_broken(s, &x);
    return is_good ? entry_space(e) : 0;
}

/* --- all of them ------------------------------------------------------------
 */

static nq_rc
scan_file(struct scan *s)
{
    uint8_t *piece = nq_malloc(PIECE);
    uint64_t next = SUPERBLOCK_AREA; /* extents do not overlap */
    nq_rc rc = NQ_OK;

    for (uint64_t at = SUPERBLOCK_AREA; rc == NQ_OK && at < s->file_bytes;
         at += PIECE) {
        size_t n = nq_min(s->file_bytes - at, PIECE);

        rc = file_read(s->st->disk.file, piece, n, at);
        for (size_t i = 0; rc == NQ_OK && i + EXTENT_HEADER <= n;
             i += EXTENT_ALIGN) {
            uint64_t took;

            if (at + i < next)
                continue;
            took = look_at(s, piece + i, at + i);
            next = at + i + nq_max(took, EXTENT_ALIGN);
        }
    }
    nq_free(piece);
    return rc;
}

/* Pages whose newest extent is damaged: what is older is not taken. */
static void
drop_older(struct scan *s)
{
    struct pagetable *pt = s->st->disk.table;

    for (uint32_t i = 0; i < s->count; i++) {
        const struct broken *b = &s->broken[i];
        struct table_node *n;

        if (b->id >= s->next_id)
            continue; /* nothing good is known of it */
        n = pagetable_node(pt, b->id);
        if (!is_newer(b->generation, n->live[b->id % NODE_IDS]))
            continue;
        s->found->lost++;
        n->live[b->id % NODE_IDS] = *pagetable_kept_mut(pt, b->id) =
            (struct entry){.codec_generation = b->generation << 8};
    }
}

static uint32_t
likely_page_size(const struct scan *s)
{
    unsigned best = 13;

    for (unsigned i = 9; i <= 16; i++) {
        if (s->sizes[i] > s->sizes[best])
            best = i;
    }
    return 1u << best;
}

/* What the superblock would have said, as far as it can be told. */
static void
guess_superblock(struct scan *s)
{
    struct superblock *sb = &s->st->sb;

    *sb = (struct superblock){
        .page_size = likely_page_size(s),
        .key = s->newest_key,
        .sequence = UINT32_MAX, /* not a new database */
        .file_bytes = s->file_bytes,
    };
}

static nq_rc
rebuild_table(struct store *st, struct salvage_found *found)
{
    struct scan s = {.st = st, .found = found, .next_id = 1};
    nq_rc rc = file_size(st->disk.file, &s.file_bytes);

    if (rc != NQ_OK)
        return rc;
    pagetable_delete(st->disk.table);
    space_delete(st->disk.space);
    st->disk.space = space_new(SUPERBLOCK_AREA);
    st->disk.table = pagetable_new(st->disk.space);
    found->is_scanned = true;
    rc = scan_file(&s);
    drop_older(&s);
    nq_free(s.broken);
    if (rc == NQ_OK && found->extents == 0)
        rc = NQ_EFORMAT;
    if (found->superblock != NQ_OK)
        guess_superblock(&s);
    st->sb.next_id = nq_max(st->sb.next_id, s.next_id);
    return rc;
}

/* --- opening ---------------------------------------------------------------
 */

/* Without a superblock: the keys of whatever database is in keys.nq. */
static nq_rc
open_keys(struct store *st, const struct salvage_found *found)
{
    struct keyring_opts o = {.dir = st->dir,
                             .master = st->opts.master_key,
                             .least = st->sb.key,
                             .read_only = true};

    if (found->superblock == NQ_OK)
        return encrypt_open(st);
    st->opts.master_key = NULL;
    if (o.master == NULL && o.least == 0)
        return NQ_OK;
    return o.master == NULL ? NQ_EKEY : keyring_open(&o, &st->disk.env.keys);
}

static nq_rc
open_rest(struct store *st, struct salvage_found *found)
{
    nq_rc rc = NQ_OK;

    found->superblock = store_open_data(st);
    if (st->disk.file == NULL)
        return found->superblock;
    found->table = found->superblock;
    if (found->superblock == NQ_OK)
        found->table = pagetable_load(st->disk.table, st->disk.file, &st->sb);
    if (found->table != NQ_OK)
        rc = rebuild_table(st, found);
    if (rc == NQ_OK)
        rc = found->keys = open_keys(st, found);
    if (rc != NQ_OK)
        return rc;
    found->catalog = found->superblock;
    if (found->superblock == NQ_OK)
        found->catalog = store_load_catalog(st);
    if ((rc = store_open_frames(st)) != NQ_OK)
        return rc;
    dict_keeper_load(st->dict_keeper);
    /* The log is what follows one checkpoint: a table that was put together
     * is of no such moment. */
    found->log = found->is_scanned || found->catalog != NQ_OK
                     ? NQ_ECORRUPT
                     : store_open_log(st);
    return NQ_OK;
}

nq_rc
store_salvage(const struct store_opts *opts, struct pool *pool,
              struct salvage_found *found, struct store **out)
{
    struct store *st;
    nq_rc rc;

    nq_assert(opts->read_only);
    *out = NULL;
    memset(found, 0, sizeof *found);
    st = store_new_store(opts, pool);
    if ((rc = dir_lock(st->dir, &st->lock)) == NQ_OK)
        rc = open_rest(st, found);
    if (rc != NQ_OK) {
        store_free_all(st);
        return rc;
    }
    *out = st;
    return NQ_OK;
}

/* --- pages -----------------------------------------------------------------
 */

nq_rc
salvage_page(struct store *st, pgno id, const struct page **out)
{
    struct frames_all *all = st->disk.frames;
    const uint8_t *bytes;
    bool was;
    nq_rc rc;

    if (id == 0 || id >= all->next_id || frame_is_chunk(all->pub.frame_of[id]))
        return NQ_NOTFOUND;
    if (frame_is_mark(all->pub.frame_of[id]) &&
        entry_is_none(pagetable_get(st->disk.table, id)))
        return NQ_NOTFOUND;
    was = frames_set_blocking(&all->pub, true);
    rc = frames_page(&all->pub, id, &bytes);
    (void)frames_set_blocking(&all->pub, was);
    if (rc == NQ_OK && frame_is_chunk(all->pub.frame_of[id]))
        return NQ_NOTFOUND;
    if (rc == NQ_OK)
        *out = (const struct page *)(const void *)bytes;
    return rc;
}

pgno
salvage_ids(const struct store *st)
{
    return st->disk.frames->next_id;
}
