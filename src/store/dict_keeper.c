/* store/dict_keeper.c - dictionaries from training to letting go.
 *
 *   FREE -> USED -> RETIRED -> GONE -> FREE
 *
 *   USED     for new pages of its prefix, and named in the catalog
 *   RETIRED  a newer one of its prefix, or nothing left that it packed: not
 *            used for new pages; named in the catalog, for the old ones
 *   GONE     no live extent needs it, so the checkpoint that was cut last
 *            does not name it any more; kept in memory until no table does
 *   LOST     damaged: like RETIRED, but its pages cannot be read
 *
 * Row "dict.<slot>" of the catalog:
 *
 *   0   u8   used
 *   1   u32  version
 *   5   u32  page, and once more a page with the same bytes: two chunks
 *   13  u32  length
 *   17  u32  crc32c of the dictionary
 *   21       prefix
 *
 *   K1  A checkpoint whose table names a slot has a catalog that names it,
 *       too: a dictionary is entered and taken into use only while no
 *       checkpoint runs, so whatever was packed with it belongs to one that
 *       is cut later.
 *   K2  A row is dropped at a cut only if no live extent names the slot and
 *       no job that began before it was retired is under way.
 *   K3  A slot is free again only when neither live nor kept entries name it,
 *       no checkpoint runs, and no job that may be reading is under way.
 *
 * Nothing of this is in the log: a crash before the next checkpoint loses a
 * dictionary together with all extents that were packed with it. */
#include "store/dict_keeper.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sm.h"
#include "codec/block.h"
#include "codec/crc32c.h"
#include "codec/dict_train.h"
#include "store/dict_samples.h"
#include "store/frames_int.h"
#include "store/page.h"
#include "store/pagetable.h"
#include "store/store_int.h"

#define USED_MAX 32u /* dictionaries in use; each takes some 600 KB */
#define COPIES 2u
#define SAMPLE_BYTES 1024u
#define JUDGED_EVERY 4u  /* of the sampled pages, one is for judging */
#define TURNS 64u        /* of the loop, between two looks at who may go */
#define DRIFT_PAGES 512u /* are a window in which the ratio is looked at */

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_RETIRED, SLOT_GONE, SLOT_LOST };

static const struct sm_def moves[] = {
    [SLOT_FREE] = {"free", SM(SLOT_USED) | SM(SLOT_RETIRED) | SM(SLOT_LOST)},
    [SLOT_USED] = {"used", SM(SLOT_RETIRED)},
    [SLOT_RETIRED] = {"retired", SM(SLOT_GONE)},
    [SLOT_GONE] = {"gone", SM(SLOT_FREE)},
    [SLOT_LOST] = {"lost", SM(SLOT_GONE)},
};

struct kept {
    struct sm sm; /* enum slot_state */
    uint32_t version, len, crc;
    pgno copy[COPIES];
    uint8_t prefix[DICT_PREFIX_MAX];
    size_t prefix_len;
    bool is_quiet;    /* K2: no job from before its end is under way */
    bool was_on_disk; /* some extent of it was live at a cut */
    /* the ratio that it began with, and the window under way */
    double ratio;
    uint64_t window_in, window_out, window_blocks;
    bool has_drifted;
};

struct training {
    struct job job;
    struct dict_batch batch;
    struct dict_corpus corpus;
    struct dict_trained result;
    bool is_done;
};

struct dict_keeper {
    struct store *st;
    struct dict_samples *samples;
    struct kept slot[DICT_SLOTS + 1]; /* [0] unused */
    unsigned used, others;            /* slots in use, and of other states */
    struct training *training;
    bool has_news; /* pages were sampled since the last look */
    uint64_t trained, rejected;
    unsigned turns;
};

static const char *
row_name(unsigned slot, char dst[16])
{
    snprintf(dst, 16, "dict.%u", slot);
    return dst;
}

static struct slice
prefix_of(const struct kept *d)
{
    return slice_of(d->prefix, d->prefix_len);
}

static void
set_state(struct dict_keeper *k, unsigned slot, enum slot_state to)
{
    struct sm *sm = &k->slot[slot].sm;

    k->used -= sm->state == SLOT_USED;
    k->others -= sm->state != SLOT_USED && sm->state != SLOT_FREE;
    sm_move(sm, to);
    k->used += to == SLOT_USED;
    k->others += to != SLOT_USED && to != SLOT_FREE;
}

/* --- rows of the catalog -------------------------------------------------- */

static void
put_row(struct dict_keeper *k, unsigned slot)
{
    const struct kept *d = &k->slot[slot];
    struct buf row = BUF_INIT;
    char name[16];

    buf_put_u8(&row, d->sm.state == SLOT_USED);
    buf_put_u32(&row, d->version);
    for (unsigned i = 0; i < COPIES; i++)
        buf_put_u32(&row, d->copy[i]);
    buf_put_u32(&row, d->len);
    buf_put_u32(&row, d->crc);
    buf_put_slice(&row, prefix_of(d));
    catalog_put(&k->st->catalog, slice_str(row_name(slot, name)),
                buf_slice(&row));
    buf_fini(&row);
}

static bool
get_row(struct dict_keeper *k, unsigned slot, struct kept *d, bool *is_used)
{
    struct slice row, prefix;
    struct cursor c;
    uint8_t used = 0;
    char name[16];

    if (catalog_get(&k->st->catalog, slice_str(row_name(slot, name)), &row) !=
        NQ_OK)
        return false;
    c = cursor_of(row);
    cursor_get_u8(&c, &used);
    cursor_get_u32(&c, &d->version);
    for (unsigned i = 0; i < COPIES; i++)
        cursor_get_u32(&c, &d->copy[i]);
    cursor_get_u32(&c, &d->len);
    cursor_get_u32(&c, &d->crc);
    cursor_get_bytes(&c, nq_min(cursor_left(&c), DICT_PREFIX_MAX), &prefix);
    *is_used = used != 0;
    if (cursor_ok(&c) && prefix.len > 0)
        memcpy(d->prefix, prefix.p, prefix.len);
    d->prefix_len = cursor_ok(&c) ? prefix.len : 0;
    return true;
}

/* --- loading -------------------------------------------------------------- */

static nq_rc
load_copy(struct dict_keeper *k, unsigned slot, pgno id)
{
    const struct kept *d = &k->slot[slot];
    struct dict_info info = {
        .slot = slot, .version = d->version, .prefix = prefix_of(d)};
    nq_rc rc;

    if (id == 0 || entry_is_none(pagetable_get(k->st->disk.table, id)))
        return NQ_ECORRUPT;
    if ((rc = frames_chunk(k->st->frames, id, &info.bytes)) != NQ_OK)
        return rc;
    if (info.bytes.len != d->len ||
        crc32c(0, info.bytes.p, info.bytes.len) != d->crc)
        return NQ_ECORRUPT;
    return dicts_put(k->st->disk.env.dicts, &info);
}

static void
load_slot(struct dict_keeper *k, unsigned slot, bool is_used)
{
    struct kept *d = &k->slot[slot];
    nq_rc rc = NQ_ECORRUPT;

    for (unsigned i = 0; i < COPIES; i++) {
        if (d->copy[i] >= k->st->sb.next_id)
            d->copy[i] = 0;
        if (rc != NQ_OK)
            rc = load_copy(k, slot, d->copy[i]);
    }
    if (rc == NQ_OK) {
        set_state(k, slot, is_used ? SLOT_USED : SLOT_RETIRED);
        dicts_use(k->st->disk.env.dicts, slot, is_used);
        return;
    }
    set_state(k, slot, SLOT_LOST);
    log_error(
        "%s: dictionary %u, version %u for keys that begin with "
        "'%.*s', pages %u and %u: %s; %u pages that were compressed "
        "with it cannot be read",
        k->st->data_path, slot, d->version, (int)d->prefix_len,
        (const char *)d->prefix, d->copy[0], d->copy[1], rc_text(rc),
        pagetable_count_live(k->st->disk.table, (uint8_t)(BLOCK_DICT0 + slot)));
}

void
dict_keeper_load(struct dict_keeper *k)
{
    bool was_blocking = frames_set_blocking(k->st->frames, true), is_used;

    for (unsigned slot = 1; slot <= DICT_SLOTS; slot++) {
        if (get_row(k, slot, &k->slot[slot], &is_used))
            load_slot(k, slot, is_used);
    }
    frames_set_blocking(k->st->frames, was_blocking);
}

/* --- training ------------------------------------------------------------- */

/* Cuts what records of most pages take into samples; the other pages are for
 * judging the result. */
static void
run_training(struct job *job)
{
    struct training *t = nq_container(job, struct training, job);
    const struct dict_batch *b = &t->batch;
    struct slice *blocks = nq_calloc(b->count, sizeof *blocks);
    struct buf samples = BUF_INIT;
    size_t *lens, left;
    unsigned n;

    for (unsigned i = 0; i < b->count; i++) {
        const struct page *pg = (const struct page *)(void *)b->pages[i];

        if (i % JUDGED_EVERY == 0)
            blocks[t->corpus.blocks_count++] = slice_of(pg, b->page_size);
        else
            buf_put(&samples, b->pages[i] + pg->data_off,
                    b->page_size - pg->data_off);
    }
    n = (unsigned)((samples.len + SAMPLE_BYTES - 1) / SAMPLE_BYTES);
    lens = nq_calloc(n + 1, sizeof *lens);
    left = samples.len;
    for (unsigned i = 0; i < n; i++) {
        lens[i] = nq_min(left, SAMPLE_BYTES);
        left -= lens[i];
    }
    t->corpus.samples = samples.p;
    t->corpus.lens = lens;
    t->corpus.count = n;
    t->corpus.blocks = blocks;
    t->corpus.stand_for = b->seen;
    dict_train(&t->corpus, &t->result);
    nq_free(lens);
    nq_free(blocks);
    buf_fini(&samples);
}

static void
trained(struct job *job)
{
    nq_container(job, struct training, job)->is_done = true;
}

static void
start_training(struct dict_keeper *k, struct dict_batch *batch)
{
    const struct pack_opts *o = &k->st->disk.style.pack;
    struct training *t = nq_calloc(1, sizeof *t);

    dict_samples_take(k->samples, batch, &t->batch);
    t->corpus.level = pack_level(o, DATA_TEXT);
    t->corpus.max_bytes = o->dict_bytes;
    t->corpus.old = dicts_pick(k->st->disk.env.dicts,
                               slice_of(t->batch.prefix, t->batch.prefix_len));
    k->training = t;
    t->job = (struct job){.run = run_training, .done = trained};
    pool_submit(k->st->disk.pool, &t->job, POOL_LONG);
}

static void
end_training(struct dict_keeper *k)
{
    dict_batch_fini(&k->training->batch);
    nq_free(k->training->result.bytes);
    nq_free(k->training);
    k->training = NULL;
}

/* --- taking a dictionary into use ----------------------------------------- */

/* Does it save a tenth and more of what is packed with an older one, or a
 * twentieth of what is packed without?  And over all pages that were seen
 * more than it takes itself? */
static bool
is_worth_it(const struct training *t)
{
    const struct dict_trained *r = &t->result;
    uint64_t least = r->before / (t->corpus.old != NULL ? 10 : 20);

    return r->bytes != NULL && r->after + least < r->before && r->gain > 0;
}

static unsigned
free_slot(const struct dict_keeper *k)
{
    if (k->used >= USED_MAX || k->used + k->others >= 2 * USED_MAX)
        return 0;
    for (unsigned i = 1; i <= DICT_SLOTS; i++) {
        if (k->slot[i].sm.state == SLOT_FREE)
            return i;
    }
    return 0;
}

static void
retire(struct dict_keeper *k, unsigned slot)
{
    dicts_use(k->st->disk.env.dicts, slot, false);
    k->slot[slot].is_quiet = false;
    set_state(k, slot, SLOT_RETIRED);
    put_row(k, slot);
}

static void
take_up(struct dict_keeper *k, unsigned slot)
{
    struct training *t = k->training;
    const struct dict *old = t->corpus.old;
    struct kept *d = &k->slot[slot];
    struct slice prefix = slice_of(t->batch.prefix, t->batch.prefix_len);
    struct dict_info info = {.slot = slot, .version = 1, .prefix = prefix};

    info.bytes = slice_of(t->result.bytes, t->result.len);
    if (old != NULL)
        info.version = k->slot[dict_slot(old)].version + 1;
    if (dicts_put(k->st->disk.env.dicts, &info) != NQ_OK)
        return;
    *d = (struct kept){.sm = d->sm, .version = info.version};
    d->len = (uint32_t)info.bytes.len;
    d->crc = crc32c(0, info.bytes.p, info.bytes.len);
    d->prefix_len = prefix.len;
    memcpy(d->prefix, t->batch.prefix, sizeof d->prefix);
    for (unsigned i = 0; i < COPIES; i++) {
        uint8_t *bytes;

        d->copy[i] = frames_chunk_new(k->st->frames, d->len, &bytes);
        memcpy(bytes, info.bytes.p, info.bytes.len);
    }
    set_state(k, slot, SLOT_USED);
    put_row(k, slot);
    if (old != NULL && k->slot[dict_slot(old)].sm.state == SLOT_USED)
        retire(k, dict_slot(old));
    dicts_use(k->st->disk.env.dicts, slot, true);
    dict_samples_forget(k->samples, prefix);
    k->trained++;
    log_info("dictionary %u, version %u for keys that begin with '%.*s': %u "
             "bytes; pages take %.2f of what they took",
             slot, d->version, (int)prefix.len, (const char *)prefix.p, d->len,
             (double)t->result.after / (double)t->result.before);
}

static void
settle_training(struct dict_keeper *k)
{
    unsigned slot = is_worth_it(k->training) ? free_slot(k) : 0;

    if (slot != 0)
        take_up(k, slot);
    else
        k->rejected++;
    end_training(k);
}

/* --- samples -------------------------------------------------------------- */

/* Looks at the ratio of the dictionary in windows; true: it has become worse
 * by a quarter and more. */
static bool
has_drifted(struct kept *d, const struct dict *dict)
{
    struct dict_info now;
    double ratio;

    dict_get_info(dict, &now);
    if (now.blocks - d->window_blocks < DRIFT_PAGES)
        return d->has_drifted;
    ratio = (double)(now.bytes_out - d->window_out) /
            (double)(now.bytes_in - d->window_in);
    if (d->ratio == 0)
        d->ratio = ratio;
    d->has_drifted = ratio > d->ratio * 1.25;
    d->window_blocks = now.blocks;
    d->window_in = now.bytes_in;
    d->window_out = now.bytes_out;
    return d->has_drifted;
}

void
dict_keeper_offer(struct dict_keeper *k, struct slice page)
{
    uint8_t buf[DICT_PREFIX_MAX];
    const struct dict *dict;
    struct slice prefix;

    if (!dict_samples_prefix(page, buf, &prefix))
        return;
    dict = dicts_pick(k->st->disk.env.dicts, prefix);
    if (dict != NULL && !has_drifted(&k->slot[dict_slot(dict)], dict))
        return;
    dict_samples_offer(k->samples, prefix, page);
    k->has_news = true;
}

/* --- letting go ----------------------------------------------------------- */

static bool
is_live(const struct dict_keeper *k, unsigned slot)
{
    return pagetable_count_live(k->st->disk.table,
                                (uint8_t)(BLOCK_DICT0 + slot)) > 0;
}

void
dict_keeper_cut(struct dict_keeper *k)
{
    for (unsigned i = 1; k->used + k->others > 0 && i <= DICT_SLOTS; i++) {
        struct kept *d = &k->slot[i];
        char name[16];

        if (d->sm.state == SLOT_FREE || d->sm.state == SLOT_GONE)
            continue;
        if (is_live(k, i)) {
            d->was_on_disk = true;
            continue;
        }
        if (d->sm.state == SLOT_USED && d->was_on_disk)
            retire(k, i);
        if (d->sm.state == SLOT_USED || !d->is_quiet)
            continue;
        for (unsigned j = 0; j < COPIES; j++) {
            if (d->copy[j] != 0)
                frames_free(k->st->frames, d->copy[j]);
        }
        catalog_del(&k->st->catalog, slice_str(row_name(i, name)));
        set_state(k, i, SLOT_GONE);
    }
}

static void
turn_slot(struct dict_keeper *k, unsigned slot)
{
    struct kept *d = &k->slot[slot];
    const struct disk *disk = &k->st->disk;
    uint8_t codec = (uint8_t)(BLOCK_DICT0 + slot);

    if (d->sm.state == SLOT_RETIRED || d->sm.state == SLOT_LOST) {
        if (disk->jobs_count == 0 && disk->rewrite_jobs == 0)
            d->is_quiet = true;
    } else if (d->sm.state == SLOT_GONE &&
               !checkpoint_is_running(&k->st->ckpt) &&
               pagetable_count_live(disk->table, codec) == 0 &&
               pagetable_count_kept(disk->table, codec) == 0 &&
               k->training == NULL && pool_pending(disk->pool) == 0) {
        dicts_remove(disk->env.dicts, slot);
        set_state(k, slot, SLOT_FREE);
    }
}

/* No checkpoint runs: K1.  And one that has just ended has offered all that
 * there is to train from. */
static void
turn_training(struct dict_keeper *k)
{
    struct dict_batch *batch;

    if (k->training != NULL && k->training->is_done)
        settle_training(k);
    if (k->training != NULL || !k->has_news)
        return;
    k->has_news = false;
    if ((batch = dict_samples_due(k->samples)) != NULL)
        start_training(k, batch);
}

void
dict_keeper_turn(struct dict_keeper *k)
{
    if ((k->training != NULL || k->has_news) && k->st->is_ready &&
        !k->st->is_closing && !checkpoint_is_running(&k->st->ckpt))
        turn_training(k);
    if (k->others == 0 || ++k->turns % TURNS != 0)
        return;
    for (unsigned i = 1; i <= DICT_SLOTS; i++)
        turn_slot(k, i);
}

/* --- the whole ------------------------------------------------------------ */

struct dict_keeper *
dict_keeper_new(struct store *st)
{
    struct dict_keeper *k = nq_calloc(1, sizeof *k);

    k->st = st;
    k->samples = dict_samples_new(rng_seed_from_os());
    st->disk.env.dicts = dicts_new();
    for (unsigned i = 1; i <= DICT_SLOTS; i++)
        sm_init(&k->slot[i].sm, "dictionary", moves, SLOT_FREE);
    return k;
}

void
dict_keeper_free(struct dict_keeper *k)
{
    if (k == NULL)
        return;
    if (k->training != NULL)
        end_training(k);
    dict_samples_free(k->samples);
    dicts_delete(k->st->disk.env.dicts);
    k->st->disk.env.dicts = NULL;
    nq_free(k);
}

bool
dict_keeper_is_busy(const struct dict_keeper *k)
{
    return k->training != NULL && !k->training->is_done;
}

bool
dict_keeper_owns(const struct dict_keeper *k, pgno id)
{
    for (unsigned i = 1; i <= DICT_SLOTS; i++) {
        const struct kept *d = &k->slot[i];

        if (d->sm.state == SLOT_FREE || d->sm.state == SLOT_GONE)
            continue;
        for (unsigned j = 0; j < COPIES; j++) {
            if (d->copy[j] == id)
                return true;
        }
    }
    return false;
}

void
dict_keeper_get_stats(const struct dict_keeper *k, struct store_dict_stats *out)
{
    *out = (struct store_dict_stats){
        .memory = dict_samples_memory(k->samples),
        .trained = k->trained,
        .rejected = k->rejected,
    };
    for (unsigned i = 1; i <= DICT_SLOTS; i++) {
        const struct dict *dict = dicts_get(k->st->disk.env.dicts, i);
        struct dict_info info;

        out->used += k->slot[i].sm.state == SLOT_USED;
        out->retired += k->slot[i].sm.state == SLOT_RETIRED;
        out->lost += k->slot[i].sm.state == SLOT_LOST;
        if (dict == NULL)
            continue;
        dict_get_info(dict, &info);
        out->bytes += info.bytes.len;
        out->memory += dict_memory(dict);
        out->packed += info.blocks;
        out->unpacked += info.unpacked;
    }
}
