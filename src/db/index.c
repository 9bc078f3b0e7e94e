/* db/index.c - which indexes there are, and which keys are theirs.
 *
 * All indexes of all databases stand in one list by name.  What a changed key
 * is asked first is its database's filter: a bit for the first byte, then the
 * first eight bytes of each prefix; so a key that has no index costs a look at
 * a line of memory.
 *
 *   N1  an index belongs to the data: SWAPDB gives it the other number,
 *       FLUSHDB empties it, and an empty one is complete
 *   N2  filters follow every change of the list and of databases' numbers
 *
 * Called by the commands, by index_keep.c (effects, catalog) and db_bulk.c. */
#include "db/index.h"

#include "base/log.h"
#include "base/mem.h"
#include "db/index_int.h"

const char *
index_kind_name(enum index_kind kind)
{
    return kind == INDEX_TEXT ? "text" : "numeric";
}

const char *
index_state_name(enum index_state state)
{
    static const char *const names[] = {
        [INDEX_BUILDING] = "building",
        [INDEX_READY] = "ready",
        [INDEX_DAMAGED] = "damaged",
    };

    return names[state];
}

/* --- life ----------------------------------------------------------------- */

struct indexes *
indexes_of(struct db *db)
{
    struct indexes *x = db->indexes;

    if (x != NULL)
        return x;
    x = nq_calloc(1, sizeof *x);
    x->db = db;
    x->filters = nq_calloc(db->count, sizeof *x->filters);
    list_init(&x->fresh);
    list_init(&x->waiting);
    x->scratch = row_scratch_new();
    db->indexes = x;
    return x;
}

static struct buf
copy_of(struct slice s)
{
    struct buf b = BUF_INIT;

    buf_put_slice(&b, s);
    return b;
}

struct index *
index_new(struct indexes *x, const struct index_def *def)
{
    struct query_error err;
    struct path *path;
    struct index *ix;

    if (path_compile(def->path, &path, &err) != NQ_OK)
        return NULL;
    ix = nq_calloc(1, sizeof *ix);
    ix->all = x;
    ix->path = path;
    ix->needs = path_needs(path);
    ix->name = copy_of(def->name);
    ix->prefix = copy_of(def->prefix);
    ix->path_text = copy_of(path_text(path));
    ix->dbi = def->dbi;
    ix->kind = def->kind;
    ix->state = INDEX_BUILDING;
    ix->keys.fr = ix->values.fr = x->db->fr;
    list_init(&ix->readers);
    return ix;
}

static void
clear_ranges(struct index *ix)
{
    for (unsigned i = 0; i < ix->range_count; i++) {
        buf_fini(&ix->ranges[i].lo);
        buf_fini(&ix->ranges[i].hi);
        ix->ranges[i] = (struct index_range){.has_hi = false};
    }
    ix->range_count = 0;
}

static void
index_free(struct index *ix)
{
    index_end_wait(ix);
    index_close_readers(ix);
    clear_ranges(ix);
    path_free(ix->path);
    buf_fini(&ix->name);
    buf_fini(&ix->prefix);
    buf_fini(&ix->path_text);
    buf_fini(&ix->built_to);
    nq_free(ix);
}

void
db_indexes_close(struct db *db)
{
    struct indexes *x = db->indexes;

    if (x == NULL)
        return;
    index_drop_keys(x);
    for (unsigned i = 0; i < x->count; i++)
        index_free(x->list[i]);
    for (uint32_t i = 0; i < db->count; i++)
        nq_free(x->filters[i]);
    nq_free(x->filters);
    hash_fini(&x->keys);
    row_scratch_free(x->scratch);
    arena_fini(&x->arena);
    buf_fini(&x->work);
    nq_free(x);
    db->indexes = NULL;
}

/* --- the list ------------------------------------------------------------- */

/* Where the name stands, or would. */
static unsigned
position(const struct indexes *x, struct slice name, bool *found)
{
    unsigned lo = 0, hi = x->count;

    *found = false;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int cmp = slice_cmp(buf_slice(&x->list[mid]->name), name);

        if (cmp == 0)
            *found = true;
        if (cmp >= 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static uint32_t
free_slot(const struct indexes *x)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < x->count; i++)
        used |= UINT64_C(1) << x->list[i]->slot;
    nq_assert(~used != 0);
    return (uint32_t)__builtin_ctzll(~used);
}

_Static_assert(INDEX_MAX <= 64, "a bit for each");

void
index_add(struct indexes *x, struct index *ix)
{
    bool found;
    unsigned at = position(x, buf_slice(&ix->name), &found);

    nq_assert(!found && x->count < INDEX_MAX);
    ix->slot = free_slot(x);
    memmove(x->list + at + 1, x->list + at,
            (x->count - at) * sizeof x->list[0]);
    x->list[at] = ix;
    x->count++;
    index_set_filters(x);
}

void
index_forget(struct indexes *x, struct index *ix)
{
    bool found;
    unsigned at = position(x, buf_slice(&ix->name), &found);

    nq_assert(found && x->list[at] == ix);
    x->count--;
    memmove(x->list + at, x->list + at + 1,
            (x->count - at) * sizeof x->list[0]);
    index_free(ix);
    index_set_filters(x);
}

struct index *
db_index_find(struct db *db, struct slice name)
{
    bool found = false;
    unsigned at = db->indexes == NULL ? 0 : position(db->indexes, name, &found);

    return found ? db->indexes->list[at] : NULL;
}

struct index *
db_index_at(struct db *db, unsigned n)
{
    return n < db_index_count(db) ? db->indexes->list[n] : NULL;
}

unsigned
db_index_count(const struct db *db)
{
    return db->indexes == NULL ? 0 : db->indexes->count;
}

struct btree *
index_tree(struct index *ix, unsigned n)
{
    return n == 0 ? &ix->keys : &ix->values;
}

/* --- filters -------------------------------------------------------------- */

static uint64_t
head_of(struct slice s)
{
    uint64_t head = 0;

    memcpy(&head, s.p, nq_min(s.len, sizeof head));
    return head;
}

static void
add_prefix(struct index_filter *f, struct index *ix)
{
    struct slice prefix = buf_slice(&ix->prefix);
    struct index_prefix *p = &f->prefixes[f->count++];
    uint8_t ones[sizeof p->mask];

    memset(ones, 0xff, sizeof ones);
    *p = (struct index_prefix){.index = ix};
    if (prefix.len == 0) {
        memset(f->first, 0xff, sizeof f->first);
        return;
    }
    p->head = head_of(prefix);
    memcpy(&p->mask, ones, nq_min(prefix.len, sizeof ones));
    f->first[prefix.p[0] / 8] |= (uint8_t)(1u << prefix.p[0] % 8);
}

void
index_set_filters(struct indexes *x)
{
    for (uint32_t i = 0; i < x->db->count; i++) {
        nq_free(x->filters[i]);
        x->filters[i] = NULL;
    }
    for (unsigned i = 0; i < x->count; i++) {
        struct index_filter **f = &x->filters[x->list[i]->dbi];

        if (*f == NULL)
            *f = nq_calloc(1, sizeof **f);
        add_prefix(*f, x->list[i]);
    }
}

bool
index_has_prefix(const struct index *ix, struct slice key)
{
    return slice_has_prefix(key, buf_slice(&ix->prefix));
}

/* --- what happens to all of it -------------------------------------------- */

static void
free_trees(struct index *ix)
{
    struct db *db = ix->all->db;

    for (unsigned n = 0; n < 2; n++) {
        struct btree *t = index_tree(ix, n);

        if (t->root != 0)
            db_free_tree(db, t->root);
        btree_set_root(t, 0);
    }
}

void
index_empty(struct index *ix, enum index_state state)
{
    index_close_readers(ix);
    index_end_wait(ix);
    free_trees(ix);
    clear_ranges(ix);
    memset(ix->classes, 0, sizeof ix->classes);
    buf_clear(&ix->built_to);
    ix->has_built_to = false;
    ix->built = ix->total = 0;
    ix->state = state;
    ix->is_stopped = false;
}

void
index_damaged(struct index *ix, nq_rc rc)
{
    if (ix->state == INDEX_DAMAGED)
        return;
    log_error("index \"%.*s\" is damaged (%s) and not used any more; "
              "NQ.INDEX REBUILD makes it anew",
              (int)ix->name.len, (const char *)ix->name.p, rc_text(rc));
    index_close_readers(ix);
    ix->state = INDEX_DAMAGED;
}

void
db_index_on_flush(struct db *db, uint32_t dbi)
{
    struct indexes *x = db->indexes;

    for (unsigned i = 0; x != NULL && i < x->count; i++)
        if (x->list[i]->dbi == dbi)
            index_empty(x->list[i], INDEX_READY);
}

void
db_index_on_swap(struct db *db, uint32_t a, uint32_t b)
{
    struct indexes *x = db->indexes;

    if (x == NULL)
        return;
    for (unsigned i = 0; i < x->count; i++) {
        struct index *ix = x->list[i];

        if (ix->dbi == a || ix->dbi == b)
            ix->dbi = a + b - ix->dbi;
    }
    index_swap_keys(x, a, b);
    index_set_filters(x);
}

/* Whether all keys of the prefix are in the range. */
static bool
is_covered(const struct index *ix, struct slice lo, const struct slice *hi)
{
    struct slice prefix = buf_slice(&ix->prefix);
    struct buf end = BUF_INIT;
    bool is_in = slice_cmp(lo, prefix) <= 0;

    if (is_in && hi != NULL) {
        buf_put_slice(&end, prefix);
        is_in = index_successor(&end) && slice_cmp(buf_slice(&end), *hi) <= 0;
    }
    buf_fini(&end);
    return is_in;
}

static bool
has_none_of(const struct index *ix, struct slice lo, const struct slice *hi)
{
    struct slice prefix = buf_slice(&ix->prefix);

    if (hi != NULL && slice_cmp(*hi, prefix) <= 0)
        return true;
    return slice_cmp(lo, prefix) > 0 && !slice_has_prefix(lo, prefix);
}

void
db_index_on_del_range(struct db *db, uint32_t dbi, struct slice lo,
                      const struct slice *hi, bool is_whole)
{
    struct indexes *x = db->indexes;

    for (unsigned i = 0; x != NULL && i < x->count; i++) {
        struct index *ix = x->list[i];

        if (ix->dbi != dbi || has_none_of(ix, lo, hi))
            continue;
        if (is_whole && is_covered(ix, lo, hi))
            index_empty(ix, INDEX_READY);
        else if (index_is_kept(ix))
            index_add_range(ix, lo, hi);
    }
}

/* --- what is told --------------------------------------------------------- */

void
index_get_def(const struct index *ix, struct index_def *out)
{
    *out = (struct index_def){.name = buf_slice(&ix->name),
                              .prefix = buf_slice(&ix->prefix),
                              .path = buf_slice(&ix->path_text),
                              .dbi = ix->dbi,
                              .kind = ix->kind};
}

bool
index_is_usable(const struct index *ix)
{
    return ix->state == INDEX_READY && ix->classes[CLASS_LONG_KEY] == 0;
}

void
index_get_info(struct index *ix, struct index_info *out)
{
    const struct indexes *x = ix->all;
    uint64_t rows = 0;

    /* What is not in memory is not worth a read. */
    if (btree_count(&ix->values, &rows) != NQ_OK)
        rows = 0;
    *out = (struct index_info){
        .state = ix->state,
        .rows = rows - nq_min(rows, ix->classes[CLASS_LONG]),
        .mismatched = ix->classes[CLASS_MISMATCH],
        .long_values = ix->classes[CLASS_LONG],
        .long_keys = ix->classes[CLASS_LONG_KEY],
        .pending = x->waiting_count,
        .built = ix->built,
        .total = nq_max(ix->total, ix->built),
        .is_stopped = ix->is_stopped,
        .seeks = ix->seeks,
        .found = ix->found,
    };
    index_get_def(ix, &out->def);
}

bool
index_take_job(struct index *ix)
{
    if (ix->state != INDEX_BUILDING || ix->is_stopped || ix->has_job)
        return false;
    ix->has_job = true;
    return true;
}

void
db_index_leave_job(struct db *db, struct slice name)
{
    struct index *ix = db_index_find(db, name);

    if (ix != NULL)
        ix->has_job = false;
}

void
db_index_stop_build(struct db *db, struct slice name)
{
    struct index *ix = db_index_find(db, name);

    if (ix != NULL)
        ix->is_stopped = ix->state == INDEX_BUILDING;
}
