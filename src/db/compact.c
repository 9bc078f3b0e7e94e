/* db/compact.c - first the trees, database by database and index by index, then
 * the file.
 *
 * Behind each slice of a database's tree stand the private trees of the keys
 * in it: their keys are noted, and each tree is looked up again by its key for
 * each slice, as it may be gone or another one by then.  A tree that somebody
 * holds is passed over.
 *
 * Pages are brought in by a wait of our own, as those of the background
 * (expire.c); what comes in is rewritten soon, so packing is held to the same
 * rate as moving, and rests while many pages are dirty.
 *
 * Catalog entry "db.compact": u8 full | u32 page id where the rewriting is |
 * u64 bytes a second. */
#include "db/compact.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"
#include "db/index_int.h"
#include "os/clock.h"
#include "store/btree_compact.h"
#include "store/shrink.h"

#define COMPACT_MAGIC 0x54504d43u
#define SLICE_US 300u
#define REST_MS 5       /* while many pages are dirty */
#define DIRTY_SHARE 0.5 /* of the pool: "many" */
#define EPOOL_MS 20     /* no memory for the next page just now */
#define NEXT_STEP 8192u /* ids between two notes in the catalog */

static const struct slice catalog_name = {(const uint8_t *)"db.compact", 10};

struct compact {
    uint32_t magic;
    struct db *db;
    struct compact_opts opts;
    uint32_t dbi; /* whose tree is packed; from their count on: of indexes */
    bool is_tree_done;          /* but not those of its keys */
    struct btree_compact keys;  /* of that */
    struct buf owners;          /* varint length, key; of trees to be packed */
    size_t owners_at;           /* the next of them */
    struct btree_compact items; /* of that one's tree */
    uint64_t packed_away, seen; /* of trees that are done */
    uint64_t pages;             /* of the database when it began */
    struct frames_wait wait;
    bool is_waiting, is_pinned;
    uint64_t not_before_us; /* monotonic */
    struct shrink *shrink;  /* when the trees are done */
    uint32_t noted;         /* progress in the catalog */
};

/* --- pages ----------------------------------------------------------------
 */

static void
on_ready(struct frames_wait *w)
{
    struct compact *c = nq_container(w, struct compact, wait);

    nq_assert(c->magic == COMPACT_MAGIC && c->is_waiting);
    c->is_waiting = false;
    c->is_pinned = true;
}

static void
unpin(struct compact *c)
{
    if (c->is_waiting || c->is_pinned)
        frames_fetch_end(c->db->fr, &c->wait);
    c->is_waiting = c->is_pinned = false;
}

/* What was brought in for the same step stays pinned: a step whose pages
 * throw each other out would never be done. */
static void
fetch(struct compact *c)
{
    c->wait.ready = on_ready;
    c->is_pinned = false;
    c->is_waiting = true;
    frames_fetch(c->db->fr, &c->wait);
}

static void
rest(struct compact *c, uint64_t ms)
{
    c->not_before_us = nq_max(c->not_before_us, clock_mono_us() + ms * 1000);
}

/* Many pages are dirty: a checkpoint brings them to the disk. */
static bool
has_many_dirty(const struct compact *c)
{
    struct store *st = c->db->opts.store;
    struct frames_stats fs;

    frames_get_stats(c->db->fr, &fs);
    if (fs.dirty_ratio <= DIRTY_SHARE &&
        fs.dirty_ratio * (double)fs.pool_bytes <= (double)store_slack(st))
        return false;
    if (!store_checkpoint_running(st))
        store_checkpoint(st, NULL, NULL);
    return true;
}

/* What so many leaves are of the rate. */
static void
hold_to_rate(struct compact *c, uint64_t leaves)
{
    uint64_t bytes = leaves * c->db->fr->page_size;

    if (c->opts.bytes_per_s > 0)
        c->not_before_us = nq_max(c->not_before_us, clock_mono_us()) +
                           bytes * 1000000 / c->opts.bytes_per_s;
}

/* --- trees ----------------------------------------------------------------
 */

static void
on_owner(void *arg, struct slice key, const struct record *rec)
{
    struct compact *c = arg;
    struct owned owned;

    db_owned(rec, &owned);
    if (owned.kind != OWNS_TREE)
        return;
    buf_put_varint(&c->owners, key.len);
    buf_put_slice(&c->owners, key);
}

static nq_rc
pack(struct compact *c, struct btree *t, struct btree_compact *at,
     btree_owner_fn *fn)
{
    uint64_t seen = at->seen;
    nq_rc rc = btree_compact_step(t, at, fn, c);

    hold_to_rate(c, at->seen - seen);
    return rc;
}

static void
end_tree(struct compact *c, struct btree_compact *at)
{
    c->packed_away += at->freed;
    c->seen += at->seen;
    btree_compact_fini(at);
    *at = (struct btree_compact){.level = 0};
}

/* A slice of the private tree of the next key that was noted; NQ_OK: it is
 * done with. */
static nq_rc
pack_items(struct compact *c, struct slice key)
{
    struct btree *keys = &db_space(c->db, c->dbi)->tree;
    struct btree t = {.fr = c->db->fr};
    struct owned owned;
    struct record rec;
    nq_rc rc = btree_get(keys, key, &rec, NULL);

    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    db_owned(&rec, &owned);
    if (owned.kind != OWNS_TREE || hold_is_held(c->db, owned.root))
        return NQ_OK;
    t.root = owned.root;
    t.weighted = rec.type == DB_LIST;
    return pack(c, &t, &c->items, NULL);
}

static nq_rc
pack_next_owner(struct compact *c)
{
    struct cursor cu = cursor_of(
        slice_of(c->owners.p + c->owners_at, c->owners.len - c->owners_at));
    struct slice key;
    nq_rc rc;

    cursor_get_slice(&cu, &key);
    nq_assert(cursor_ok(&cu));
    rc = pack_items(c, key);
    if (rc == NQ_AGAIN || rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_OK)
        log_warn("compaction leaves the tree of a key as it is: %s",
                 rc_text(rc));
    end_tree(c, &c->items);
    c->owners_at = c->owners.len - cursor_left(&cu);
    if (cursor_left(&cu) == 0) {
        buf_clear(&c->owners);
        c->owners_at = 0;
    }
    return NQ_AGAIN;
}

/* NULL: there are no more.  Indexes may come and go meanwhile: then one is
 * left out, or packed twice. */
static struct btree *
next_tree(struct compact *c)
{
    uint32_t n = c->dbi - nq_min(c->dbi, c->db->count);
    struct index *ix = db_index_at(c->db, n / 2);

    if (c->dbi < c->db->count)
        return &db_space(c->db, c->dbi)->tree;
    return ix == NULL ? NULL : index_tree(ix, n % 2);
}

/* NQ_NOTFOUND: all trees are done. */
static nq_rc
pack_some(struct compact *c)
{
    struct btree *t;
    nq_rc rc;

    if (c->owners.len > 0)
        return pack_next_owner(c);
    if (c->is_tree_done) {
        c->is_tree_done = false;
        c->dbi++;
    }
    if ((t = next_tree(c)) == NULL)
        return NQ_NOTFOUND;
    rc = pack(c, t, &c->keys, c->dbi < c->db->count ? on_owner : NULL);
    if (rc == NQ_AGAIN || rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_OK)
        log_warn("compaction leaves the rest of %s %u as it is: %s",
                 c->dbi < c->db->count ? "database" : "tree", c->dbi,
                 rc_text(rc));
    end_tree(c, &c->keys);
    c->is_tree_done = true;
    return NQ_AGAIN;
}

/* NQ_OK: the trees are done. */
static nq_rc
step_trees(struct compact *c)
{
    uint64_t until_us = clock_mono_us() + SLICE_US;
    nq_rc rc = NQ_AGAIN;

    if (c->is_waiting || clock_mono_us() < c->not_before_us)
        return NQ_AGAIN;
    if (has_many_dirty(c)) {
        rest(c, REST_MS);
        return NQ_AGAIN;
    }
    while (rc == NQ_AGAIN && clock_mono_us() < until_us &&
           clock_mono_us() >= c->not_before_us) {
        rc = pack_some(c);
        if (rc != NQ_MISS)
            unpin(c);
    }
    if (rc == NQ_MISS) {
        fetch(c);
        return NQ_AGAIN;
    }
    frames_forget_wanted(c->db->fr);
    if (rc == NQ_EPOOL) {
        rest(c, EPOOL_MS);
        return NQ_AGAIN;
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* --- the catalog ----------------------------------------------------------
 */

static void
note(struct compact *c, uint32_t next)
{
    struct buf b = BUF_INIT;
    uint8_t full = c->opts.full;

    buf_put(&b, &full, 1);
    buf_put_u32(&b, next);
    buf_put_u64(&b, c->opts.bytes_per_s);
    store_catalog_put(c->db->opts.store, catalog_name, buf_slice(&b));
    buf_fini(&b);
    c->noted = next;
}

bool
compact_is_unfinished(struct db *db, struct compact_opts *out)
{
    uint8_t bytes[13], full = 0;
    size_t len = 0;
    struct cursor c;

    *out = (struct compact_opts){.full = false};
    if (store_catalog_get(db->opts.store, catalog_name, bytes, sizeof bytes,
                          &len) != NQ_OK)
        return false;
    c = cursor_of(slice_of(bytes, nq_min(len, sizeof bytes)));
    cursor_get_u8(&c, &full);
    cursor_get_u32(&c, &out->from);
    cursor_get_u64(&c, &out->bytes_per_s);
    out->full = full != 0;
    return cursor_ok(&c);
}

/* --- what the owner calls -------------------------------------------------
 */

struct compact *
compact_new(struct db *db, const struct compact_opts *opts)
{
    struct compact *c = nq_calloc(1, sizeof *c);
    struct store_stats st;

    c->magic = COMPACT_MAGIC;
    c->db = db;
    c->opts = *opts;
    store_get_stats(db->opts.store, &st);
    c->pages = st.table_entries;
    note(c, opts->from);
    return c;
}

void
compact_free(struct compact *c, bool is_over)
{
    if (c == NULL)
        return;
    nq_assert(c->magic == COMPACT_MAGIC);
    unpin(c);
    if (is_over) {
        store_catalog_del(c->db->opts.store, catalog_name);
        store_checkpoint(c->db->opts.store, NULL, NULL);
    }
    shrink_free(c->shrink);
    btree_compact_fini(&c->keys);
    btree_compact_fini(&c->items);
    buf_fini(&c->owners);
    c->magic = 0;
    nq_free(c);
}

static nq_rc
step_file(struct compact *c)
{
    struct shrink_opts o = {
        .full = c->opts.full,
        .from = c->opts.from,
        .bytes_per_s = c->opts.bytes_per_s,
    };
    struct shrink_progress p;

    if (c->shrink == NULL)
        c->shrink = shrink_new(c->db->opts.store, &o);
    shrink_get_progress(c->shrink, &p);
    if (p.next > c->noted + NEXT_STEP)
        note(c, p.next);
    return shrink_turn(c->shrink);
}

nq_rc
compact_step(struct compact *c)
{
    nq_rc rc;

    nq_assert(c->magic == COMPACT_MAGIC);
    if (c->shrink != NULL)
        return step_file(c);
    rc = step_trees(c);
    return rc == NQ_OK ? step_file(c) : rc;
}

int
compact_wait_ms(const struct compact *c)
{
    uint64_t now = clock_mono_us();

    if (c->shrink != NULL)
        return shrink_wait_ms(c->shrink);
    if (c->is_waiting)
        return -1;
    return now < c->not_before_us ? (int)((c->not_before_us - now) / 1000 + 1)
                                  : 0;
}

void
compact_set_rate(struct compact *c, uint64_t bytes_per_s)
{
    c->opts.bytes_per_s = bytes_per_s;
    if (c->shrink != NULL)
        shrink_set_rate(c->shrink, bytes_per_s);
}

void
compact_get_progress(const struct compact *c, struct compact_progress *out)
{
    struct shrink_progress p;
    struct store_stats st;

    *out = (struct compact_progress){
        .phase = "packing",
        .done = c->seen + c->keys.seen + c->items.seen,
        .packed_away = c->packed_away + c->keys.freed + c->items.freed,
    };
    if (c->shrink == NULL) {
        store_get_stats(c->db->opts.store, &st);
        out->total = nq_max(c->pages, out->done);
        out->file_before = out->file_now = st.file_bytes;
        return;
    }
    shrink_get_progress(c->shrink, &p);
    out->phase = p.phase;
    out->done = p.done;
    out->total = p.total;
    out->moved = p.pages;
    out->moved_bytes = p.bytes;
    out->damaged = p.damaged;
    out->file_before = p.file_before;
    out->file_now = p.file_now;
}
