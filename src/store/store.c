/* store/store.c - opening, creating and closing a database directory, and
 * what happens at the end of each loop turn.
 *
 *   dir/LOCK           held (flock) while open
 *   dir/data.nq        superblocks at 0 and 8192, extents from 16384 on
 *   dir/data.nq.new    a database half created; removed and made anew
 *   dir/keys.nq        the data keys of an encrypted one
 *   dir/wal/           the log
 *
 * Opening: newest valid superblock, page table, catalog; then the log is
 * replayed by whoever opens (store_replay), whose records change pages as any
 * command does.  store_ready() first writes both superblocks: a damaged one
 * is whole again, and neither has a clean mark, which promises that the log
 * ends where it says, and would be untrue with the next append. */
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/block.h"
#include "codec/crc32c.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"
#include "os/thread.h"
#include "store/corrupt.h"
#include "store/dict_keeper.h"
#include "store/encrypt.h"
#include "store/frames_int.h"
#include "store/keyring.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

#define PAGE_DEFAULT 8192u
/* Dictionaries count as one. */
#define CODECS_KNOWN (((1u << BLOCK_CODECS) - 1) | 1u << BLOCK_DICT0)
#define CATALOG_MAX (16u << 20)
#define POLL_US 200u

/* --- creating ------------------------------------------------------------- */

static char *
path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = nq_malloc(n);

    snprintf(path, n, "%s/%s", dir, name);
    return path;
}

static void
first_superblock(const struct store_opts *o, struct superblock *sb)
{
    uint64_t a = rng_seed_from_os(), b = rng_seed_from_os();

    *sb = (struct superblock){
        .page_size = o->page_size == 0 ? PAGE_DEFAULT : o->page_size,
        .codecs = CODECS_KNOWN,
        .log_salt = rng_seed_from_os(),
        .wall_us = clock_wall_us(),
        .file_bytes = SUPERBLOCK_AREA,
        .next_id = 1,
    };
    memcpy(sb->uuid, &a, 8);
    memcpy(sb->uuid + 8, &b, 8);
}

static nq_rc
write_new(const char *path, struct superblock *sb)
{
    struct file *f;
    nq_rc rc = file_open(path, FILE_CREATE, &f);

    if (rc != NQ_OK)
        return rc;
    rc = file_allocate(f, 0, SUPERBLOCK_AREA);
    for (sb->sequence = 1; rc == NQ_OK && sb->sequence <= 2; sb->sequence++)
        rc = superblock_write(f, sb);
    if (rc == NQ_OK)
        rc = file_sync(f);
    file_close(f);
    return rc;
}

static void
on_log_file(const char *name, void *arg)
{
    size_t n = strlen(name);

    if (n > 4 && strcmp(name + n - 4, ".wal") == 0)
        *(bool *)arg = true;
}

/* Nothing may be there that belongs to a database: made anew, its data file
 * would be of another. */
static nq_rc
check_is_new(const struct store *st)
{
    char *keys = path_join(st->dir, KEYRING_FILE);
    bool has_log = false, has_keys = dir_has(keys);

    nq_free(keys);
    if (dir_has(st->wal_dir) &&
        dir_each(st->wal_dir, on_log_file, &has_log) != NQ_OK)
        return NQ_EIO;
    if (!has_log && !has_keys)
        return NQ_OK;
    log_error("%s is missing, but %s is there: put the data file back, or "
              "move what is left of that database away",
              st->data_path, has_log ? st->wal_dir : KEYRING_FILE);
    return NQ_EMISMATCH;
}

/* The name appears only when the file is whole. */
static nq_rc
create_data(struct store *st)
{
    char *fresh = path_join(st->dir, "data.nq.new");
    struct superblock sb;
    nq_rc rc = NQ_OK;

    first_superblock(&st->opts, &sb);
    rc = check_is_new(st);
    if (rc == NQ_OK && dir_has(fresh))
        rc = dir_remove_file(fresh);
    if (rc == NQ_OK)
        rc = write_new(fresh, &sb);
    if (rc == NQ_OK)
        rc = dir_rename(fresh, st->data_path);
    if (rc == NQ_OK)
        rc = dir_sync(st->dir);
    if (rc == NQ_OK)
        log_notice("created a database in %s, pages of %u bytes", st->dir,
                   sb.page_size);
    nq_free(fresh);
    return rc;
}

/* --- opening -------------------------------------------------------------- */

nq_rc
store_open_data(struct store *st)
{
    uint64_t bytes;
    nq_rc rc;

    if (!dir_has(st->data_path) && !st->opts.read_only &&
        (rc = create_data(st)) != NQ_OK)
        return rc;
    rc = file_open(st->data_path, st->opts.read_only ? FILE_READ : FILE_WRITE,
                   &st->disk.file);
    if (rc != NQ_OK)
        return rc;
    if ((rc = superblock_read(st->disk.file, &st->sb)) != NQ_OK ||
        (rc = file_size(st->disk.file, &bytes)) != NQ_OK)
        return rc;
    if (st->opts.page_size != 0 && st->opts.page_size != st->sb.page_size) {
        log_error("%s was created with pages of %u bytes, the settings say "
                  "%u: the page size of a database cannot be changed",
                  st->data_path, st->sb.page_size, st->opts.page_size);
        return NQ_EMISMATCH;
    }
    if ((st->sb.codecs & ~CODECS_KNOWN) != 0)
        return NQ_EFORMAT;
    st->sb.codecs = CODECS_KNOWN; /* of what is written from now on */
    st->disk.allocated = bytes;
    space_extend(st->disk.space, bytes);
    return NQ_OK;
}

nq_rc
store_load_catalog(struct store *st)
{
    const struct part *p = &st->sb.catalog;
    struct slice plain;
    uint8_t *bytes;
    nq_rc rc;

    if (p->len == 0)
        return NQ_OK;
    if (p->len > CATALOG_MAX || !space_mark(st->disk.space, p->off, p->len))
        return NQ_CORRUPT("%s: impossible place of the catalog: %" PRIu64
                          ", %" PRIu64 " bytes",
                          st->data_path, p->off, p->len);
    bytes = nq_malloc(p->len);
    plain = slice_of(bytes, p->len);
    rc = file_read(st->disk.file, bytes, p->len, p->off);
    if (rc == NQ_OK && crc32c(0, bytes, p->len) != p->crc)
        rc = NQ_ECORRUPT;
    if (rc == NQ_OK)
        rc = encrypt_open_catalog(st, bytes, p->len, &plain);
    if (rc == NQ_OK)
        rc = catalog_decode(plain, &st->catalog);
    if (rc == NQ_ECORRUPT)
        rc = NQ_CORRUPT("%s: catalog at %" PRIu64 ", %" PRIu64
                        " bytes: checksum or contents, expected %08x",
                        st->data_path, p->off, p->len, p->crc);
    nq_free(bytes);
    return rc;
}

nq_rc
store_open_frames(struct store *st)
{
    struct frames_opts fo = {
        .page_size = st->sb.page_size,
        .pool_bytes = st->opts.pool_bytes,
        .disk = &st->disk,
        .dirty_soft = st->opts.dirty_soft,
        .dirty_hard = st->opts.dirty_hard,
        .policy = st->opts.policy,
    };
    nq_rc rc = frames_open(&fo, &st->frames);

    if (rc != NQ_OK)
        return rc;
    st->disk.frames = frames_all(st->frames);
    frames_set_next_id(st->disk.frames, st->sb.next_id);
    for (pgno id = st->sb.next_id - 1; id > 0; id--) {
        if (entry_is_none(pagetable_get(st->disk.table, id)))
            frames_add_free_id(st->disk.frames, id);
    }
    return NQ_OK;
}

nq_rc
store_open_log(struct store *st)
{
    struct wal_opts *wo = &st->opts.wal;
    struct wal_start start = {
        .from = st->sb.lsn,
        .durable = st->sb.is_clean ? st->sb.log_end : st->sb.lsn,
        .clean = st->sb.is_clean,
        .force = st->opts.force_log,
        .read_only = st->opts.read_only,
    };

    wo->dir = st->wal_dir;
    memcpy(wo->uuid, st->sb.uuid, sizeof wo->uuid);
    wo->salt = st->sb.log_salt;
    wo->keys = st->disk.env.keys;
    return wal_open(wo, &start, &st->wal);
}

void
store_free_all(struct store *st)
{
    checkpoint_fini(&st->ckpt);
    pins_free(st->pins);
    dict_keeper_free(st->dict_keeper);
    frames_close(st->frames);
    keyring_close(st->disk.env.keys);
    pagetable_delete(st->disk.table);
    space_delete(st->disk.space);
    file_close(st->disk.file);
    catalog_fini(&st->catalog);
    dir_unlock(st->lock);
    nq_free(st->dir);
    nq_free(st->wal_dir);
    nq_free(st->data_path);
    st->magic = 0;
    nq_free(st);
}

struct store *
store_new_store(const struct store_opts *opts, struct pool *pool)
{
    struct store *st = nq_calloc(1, sizeof *st);

    st->magic = STORE_MAGIC;
    st->opts = *opts;
    st->dir = nq_strdup(opts->dir);
    st->wal_dir = opts->wal_dir != NULL ? nq_strdup(opts->wal_dir)
                                        : path_join(opts->dir, "wal");
    st->data_path = path_join(opts->dir, "data.nq");
    st->catalog = CATALOG_INIT;
    flush_init(&st->disk);
    st->disk.pool = pool;
    store_set_pack(st, &opts->pack);
    st->disk.is_page = opts->is_page;
    st->disk.style.has_trees = opts->is_page != NULL;
    st->disk.is_read_only = opts->read_only;
    st->disk.space = space_new(SUPERBLOCK_AREA);
    st->disk.table = pagetable_new(st->disk.space);
    quota_set(st, opts->max_bytes);
    st->dict_keeper = st->disk.dict_keeper = dict_keeper_new(st);
    st->pins = pins_new(st);
    checkpoint_init(&st->ckpt, st);
    st->trim.st = st;
    st->trim.punches = opts->punch_holes;
    return st;
}

nq_rc
store_open(const struct store_opts *opts, struct pool *pool, struct store **out)
{
    struct store *st = store_new_store(opts, pool);
    nq_rc rc;

    *out = NULL;
    if (!opts->read_only && (rc = dir_create(st->dir)) != NQ_OK)
        goto undo;
    if ((rc = dir_lock(st->dir, &st->lock)) != NQ_OK ||
        (rc = store_open_data(st)) != NQ_OK ||
        (rc = encrypt_open(st)) != NQ_OK ||
        (rc = store_load_catalog(st)) != NQ_OK ||
        (rc = pagetable_load(st->disk.table, st->disk.file, &st->sb)) !=
            NQ_OK ||
        (rc = store_open_frames(st)) != NQ_OK)
        goto undo;
    dict_keeper_load(st->dict_keeper);
    if ((rc = store_open_log(st)) != NQ_OK)
        goto undo;
    *out = st;
    return NQ_OK;

undo:
    if (rc == NQ_ECORRUPT)
        log_error("%s cannot be opened as it is: restore a backup, or save "
                  "what can be read of it with nqdb-cli salvage",
                  st->dir);
    store_free_all(st);
    return rc;
}

nq_rc
store_replay(struct store *st, struct wal_record *out)
{
    nq_rc rc = st->wal == NULL ? NQ_NOTFOUND : wal_replay_next(st->wal, out);

    nq_assert(st->magic == STORE_MAGIC && !st->is_ready);
    if (rc == NQ_OK)
        st->frames->stamp = out->frame;
    return rc;
}

/* Writes the superblocks, here and now. */
static nq_rc
publish_now(struct store *st, bool is_clean, lsn log_end)
{
    struct superblock sb = st->sb;
    nq_rc rc;

    sb.is_clean = is_clean;
    sb.log_end = log_end;
    sb.wall_us = clock_wall_us();
    sb.key = encrypt_key(st);
    if ((rc = superblock_publish(st->disk.file, &sb)) == NQ_OK)
        st->sb = sb;
    return rc;
}

nq_rc
store_ready(struct store *st)
{
    nq_rc rc;

    nq_assert(!st->is_ready);
    if (st->opts.read_only)
        return NQ_OK; /* nothing will be appended */
    if ((rc = publish_now(st, false, 0)) == NQ_OK)
        rc = wal_start(st->wal);
    if (rc != NQ_OK)
        return rc;
    st->is_ready = true;
    st->frames->stamp = wal_position(st->wal);
    return NQ_OK;
}

/* --- closing -------------------------------------------------------------- */

/* Waits for whatever moves the checkpoint on: a worker or the log. */
static void
wait_a_little(struct store *st)
{
    if (pool_pending(st->disk.pool) > 0)
        (void)pool_wait(st->disk.pool);
    else
        thread_sleep_us(POLL_US);
}

static void
wait_for_jobs(struct store *st)
{
    st->is_ready = false; /* a job that ends starts nothing new */
    while (st->disk.jobs_count > 0 || st->disk.rewrite_jobs > 0 ||
           st->disk.sweep_jobs > 0 || checkpoint_is_busy(&st->ckpt) ||
           st->trim.is_busy || !list_empty(&st->disk.frames->running) ||
           dict_keeper_is_busy(st->dict_keeper) ||
           st->disk.frames->is_again_running)
        (void)pool_wait(st->disk.pool);
}

struct last {
    bool is_done;
    nq_rc rc;
};

static void
on_last(void *arg, nq_rc rc)
{
    struct last *l = arg;

    l->is_done = true;
    l->rc = rc;
}

static nq_rc
last_checkpoint(struct store *st)
{
    struct last l = {false, NQ_OK};

    store_checkpoint(st, on_last, &l);
    for (;;) {
        store_turn(st);
        if (l.is_done)
            return l.rc;
        wait_a_little(st);
    }
}

nq_rc
store_close(struct store *st, bool checkpoint)
{
    nq_rc rc = NQ_OK, log_rc;
    bool is_last = st->is_ready && checkpoint;
    lsn end;

    nq_assert(st->magic == STORE_MAGIC);
    st->is_closing = true;
    if (is_last)
        rc = last_checkpoint(st);
    wait_for_jobs(st);
    log_rc = st->wal == NULL ? NQ_OK : wal_close(st->wal, &end);
    if (rc == NQ_OK)
        rc = log_rc;
    if (rc == NQ_OK && is_last)
        rc = publish_now(st, true, end);
    store_free_all(st);
    return rc;
}

void
store_abandon(struct store *st)
{
    wait_for_jobs(st);
    wal_abandon(st->wal);
    store_free_all(st);
}

/* --- small ones ----------------------------------------------------------- */

struct frames *
store_frames(struct store *st)
{
    return st->frames;
}

struct wal *
store_wal(struct store *st)
{
    return st->wal;
}

uint32_t
store_page_size(const struct store *st)
{
    return st->sb.page_size;
}

nq_rc
store_catalog_get(struct store *st, struct slice name, void *dst, size_t cap,
                  size_t *len)
{
    struct slice val;
    nq_rc rc = catalog_get(&st->catalog, name, &val);

    if (rc != NQ_OK)
        return rc;
    *len = val.len;
    if (cap > 0 && val.len > 0)
        memcpy(dst, val.p, nq_min(cap, val.len));
    return NQ_OK;
}

void
store_catalog_put(struct store *st, struct slice name, struct slice val)
{
    catalog_put(&st->catalog, name, val);
}

void
store_catalog_del(struct store *st, struct slice name)
{
    catalog_del(&st->catalog, name);
}

void
store_turn(struct store *st)
{
    nq_assert(st->magic == STORE_MAGIC);
    frames_make_room(st->frames);
    frames_run_ready(st->frames);
    if (st->is_ready) {
        wal_commit(st->wal);
        st->frames->stamp = wal_position(st->wal);
    }
    frames_make_room(st->frames);
    dict_keeper_turn(st->dict_keeper);
    quota_turn(st);
    pins_turn(st->pins);
    checkpoint_turn(&st->ckpt);
}

uint64_t
store_slack(const struct store *st)
{
    return quota_slack(st);
}

bool
store_is_tight(const struct store *st)
{
    return quota_is_tight(st);
}

void
store_checkpoint(struct store *st, void (*done)(void *arg, nq_rc rc), void *arg)
{
    checkpoint_ask(&st->ckpt, done, arg);
}

bool
store_checkpoint_running(const struct store *st)
{
    return checkpoint_is_running(&st->ckpt);
}

nq_rc
store_writable(struct store *st)
{
    nq_rc rc = st->is_ready ? wal_writable(st->wal) : NQ_OK;
    nq_rc disk_rc = st->disk.last_rc;

    if (rc != NQ_OK || (rc = quota_may_grow(st)) != NQ_OK)
        return rc;
    if (nq_unlikely(st->ckpt.stats.last_rc != NQ_OK) && st->max_log != 0 &&
        wal_position(st->wal) - st->sb.lsn >= st->max_log)
        return st->ckpt.stats.last_rc;
    if (disk_rc == NQ_OK)
        return NQ_OK;
    return frames_dirty_share(st->disk.frames) > 1.0 ? disk_rc : NQ_OK;
}

void
store_set_max_log(struct store *st, uint64_t max_bytes)
{
    st->max_log = max_bytes;
}

void
store_get_stats(const struct store *st, struct store_stats *out)
{
    const struct disk *d = &st->disk;

    *out = st->ckpt.stats;
    out->state = (enum store_ckpt)st->ckpt.sm.state;
    out->ckpt_lsn = st->sb.lsn;
    out->file_bytes = space_end(d->space);
    out->extent_bytes = pagetable_bytes(d->table);
    out->free_bytes = space_free_bytes(d->space);
    out->hole_bytes = space_punched_bytes(d->space);
    out->table_entries = pagetable_count(d->table);
    out->checksum_errors = corrupt_count();
    out->log_since_ckpt = st->is_ready ? wal_position(st->wal) - st->sb.lsn : 0;
    if (checkpoint_is_running(&st->ckpt)) {
        out->progress_pages = d->cut_pages;
        out->progress_total = nq_max(d->cut_pages, st->ckpt.pages_at_cut);
    }
}

bool
store_find_damage(const struct store *st, pgno id, struct store_damage *out)
{
    const struct damage *d = damages_find(&st->disk.frames->damages, id);

    if (d == NULL)
        return false;
    *out = (struct store_damage){
        .off = entry_is_none(d->entry) ? 0 : entry_off(d->entry),
        .what = d->fault.what,
        .expected = d->fault.expected,
        .found = d->fault.found,
    };
    return true;
}

void
store_wait(struct store *st)
{
    wait_a_little(st);
}

bool
store_page_on_disk(const struct store *st, pgno id, uint8_t *codec,
                   uint32_t *bytes)
{
    struct entry e = pagetable_get(st->disk.table, id);

    *codec = entry_codec(e);
    *bytes = entry_len(e);
    return !entry_is_none(e);
}

struct pool *
store_workers(const struct store *st)
{
    return st->disk.pool;
}

void
store_set_pool(struct store *st, uint64_t pool_bytes)
{
    st->opts.pool_bytes = pool_bytes;
    frames_set_limits(st->disk.frames, pool_bytes, st->opts.dirty_soft,
                      st->opts.dirty_hard);
}

void
store_set_dirty(struct store *st, double soft, double hard)
{
    st->opts.dirty_soft = soft;
    st->opts.dirty_hard = hard;
    store_set_pool(st, st->opts.pool_bytes);
}

void
store_set_pack(struct store *st, const struct pack_opts *pack)
{
    st->disk.style.pack = *pack;
    st->disk.style.pack.stats = &st->pack_stats;
}

void
store_set_parity(struct store *st, bool on)
{
    st->disk.style.parity = on;
}

void
store_get_pack(const struct store *st, struct pack_opts *opts,
               struct pack_stats *stats)
{
    *opts = st->disk.style.pack;
    pack_stats_get(&st->pack_stats, stats);
}

void
store_get_dict_stats(const struct store *st, struct store_dict_stats *out)
{
    dict_keeper_get_stats(st->dict_keeper, out);
}

void
store_reset_pack(struct store *st)
{
    pack_stats_reset(&st->pack_stats);
}

static void
note_style(void *arg, pgno id, struct entry e)
{
    struct extent_style *s = arg;

    nq_unused(id);
    if (entry_codec(e) != BLOCK_RAW && !s->pack.enabled)
        s->pack = PACK_OPTS_USUAL;
    s->parity |= entry_has_parity(e);
}

void
store_keep_style(struct store *st)
{
    pagetable_each(st->disk.table, note_style, &st->disk.style);
}

void
store_set_punch(struct store *st, bool on)
{
    st->trim.punches = on;
    if (!on)
        space_unpunch(st->disk.space);
}

void
store_set_max_bytes(struct store *st, uint64_t max_bytes)
{
    quota_set(st, max_bytes);
}
