/* db/index_work.c - keys that changed and are not entered yet.
 *
 *   fresh    noted by the commands of this turn; entered at its end, before
 *            the log frame is closed and before any cut
 *   waiting  of these, those that met a page that is not in memory; so many at
 *            a time are fetched for and tried again, in their order
 *
 * Nothing of this is logged: the keys follow from the records of the log, and
 * replay notes them as commands do.  What waits at a cut is in the catalog.
 *
 *   K1  a key stands in one of the two lists or in none, and once
 *   K2  a key whose row and entry differ stands in one of them, or in a range
 *       of its index (index_range.c), or the index is being built and has not
 *       come to it
 *   K3  pages brought in for a batch stay until all of the batch is entered,
 *       or one of them could throw out another forever
 *
 * Called by db.c (every change), replay.c, expire.c (the background). */
#include "base/log.h"
#include "base/mem.h"
#include "db/index_int.h"
#include "os/clock.h"

#define BATCH 32u          /* keys that are fetched for at once */
#define WAITING_MOST 4096u /* then writers wait */
#define WAITING_BYTES_MOST 4194304u
#define KEYS_PER_LOOK 16u     /* between two looks at the clock */
#define RETRY_AFTER_US 20000u /* with no room to read */

/* --- the lists ------------------------------------------------------------ */

struct wanted_key {
    uint32_t dbi;
    struct slice key;
};

static struct slice
bytes_of(const struct index_key *k)
{
    return slice_of(k->bytes, k->len);
}

static bool
is_key(const struct hash_node *n, const void *arg)
{
    const struct index_key *k =
        nq_container((struct hash_node *)(uintptr_t)n, struct index_key, node);
    const struct wanted_key *w = arg;

    return k->dbi == w->dbi && slice_eq(bytes_of(k), w->key);
}

static uint64_t
hash_of(uint32_t dbi, struct slice key)
{
    return hash_bytes(key) + dbi * UINT64_C(0x9e3779b97f4a7c15);
}

static struct index_key *
add_key(struct indexes *x, uint32_t dbi, struct slice key)
{
    uint64_t hv = hash_of(dbi, key);
    struct index_key *k;

    if (x->keys.count > 0 &&
        hash_find(&x->keys, hv, is_key, &(struct wanted_key){dbi, key}) != NULL)
        return NULL;
    k = nq_malloc(sizeof *k + key.len);
    k->dbi = dbi;
    k->len = (uint32_t)key.len;
    k->is_waiting = false;
    memcpy(k->bytes, key.p, key.len);
    hash_insert(&x->keys, &k->node, hv);
    list_push_back(&x->fresh, &k->link);
    return k;
}

static void
drop_key(struct indexes *x, struct index_key *k)
{
    list_remove(&k->link);
    hash_remove(&x->keys, &k->node);
    if (k->is_waiting) {
        x->waiting_count--;
        x->waiting_bytes -= k->len;
    }
    nq_free(k);
}

static void
make_wait(struct indexes *x, struct index_key *k)
{
    list_remove(&k->link);
    list_push_back(&x->waiting, &k->link);
    k->is_waiting = true;
    x->waiting_count++;
    x->waiting_bytes += k->len;
}

static void
end_wait(struct indexes *x)
{
    if (x->wait_state != WAIT_NONE)
        frames_fetch_end(x->db->fr, &x->wait);
    x->wait_state = WAIT_NONE;
    x->batch = 0;
}

void
index_drop_keys(struct indexes *x)
{
    end_wait(x);
    list_each(it, &x->fresh)
        drop_key(x, nq_container(it, struct index_key, link));
    list_each(it, &x->waiting)
        drop_key(x, nq_container(it, struct index_key, link));
}

void
index_add_waiting(struct indexes *x, uint32_t dbi, struct slice key)
{
    struct index_key *k = add_key(x, dbi, key);

    if (k != NULL)
        make_wait(x, k);
}

void
index_swap_keys(struct indexes *x, uint32_t a, uint32_t b)
{
    struct list *lists[] = {&x->fresh, &x->waiting};

    for (unsigned i = 0; i < nq_countof(lists); i++) {
        list_each(it, lists[i])
        {
            struct index_key *k = nq_container(it, struct index_key, link);

            if (k->dbi != a && k->dbi != b)
                continue;
            hash_remove(&x->keys, &k->node);
            k->dbi = a + b - k->dbi;
            hash_insert(&x->keys, &k->node, hash_of(k->dbi, bytes_of(k)));
        }
    }
}

/* --- which keys ----------------------------------------------------------- */

static bool
may_be_of(const struct index_filter *f, struct slice key)
{
    uint64_t head = 0;

    if (key.len == 0)
        return true;
    if ((f->first[key.p[0] / 8] >> key.p[0] % 8 & 1) == 0)
        return false;
    memcpy(&head, key.p, nq_min(key.len, sizeof head));
    for (unsigned i = 0; i < f->count; i++) {
        const struct index_prefix *p = &f->prefixes[i];

        if (((head ^ p->head) & p->mask) == 0 &&
            index_has_prefix(p->index, key))
            return true;
    }
    return false;
}

void
index_note(struct indexes *x, uint32_t dbi, struct slice key)
{
    const struct index_filter *f = dbi < x->db->count ? x->filters[dbi] : NULL;

    if (f != NULL && key.p != NULL && may_be_of(f, key))
        (void)add_key(x, dbi, key);
}

/* --- entering ------------------------------------------------------------- */

/* Into all indexes of its prefix; all of what is missing is noted. */
static nq_rc
enter(struct indexes *x, const struct index_key *k)
{
    const struct index_filter *f = x->filters[k->dbi];
    nq_rc all = NQ_OK;

    for (unsigned i = 0; f != NULL && i < f->count; i++) {
        struct index *ix = f->prefixes[i].index;
        nq_rc rc = index_has_prefix(ix, bytes_of(k))
                       ? index_enter(ix, bytes_of(k))
                       : NQ_OK;

        if (rc != NQ_OK)
            all = rc;
    }
    return all;
}

void
index_settle(struct indexes *x)
{
    struct frames *fr = x->db->fr;
    bool is_replay = x->db->is_replaying, has_missed = false;

    if (list_empty(&x->fresh))
        return;
    is_replay = frames_set_blocking(fr, is_replay);
    list_each(it, &x->fresh)
    {
        struct index_key *k = nq_container(it, struct index_key, link);

        if (enter(x, k) == NQ_OK) {
            drop_key(x, k);
        } else {
            make_wait(x, k);
            has_missed = true;
        }
    }
    (void)frames_set_blocking(fr, is_replay);
    if (has_missed) /* they are fetched for in their turn */
        frames_forget_wanted(fr);
}

void
index_enter_long_keys(struct indexes *x, size_t len)
{
    bool was = frames_set_blocking(x->db->fr, true);

    list_each(it, &x->waiting)
    {
        struct index_key *k = nq_container(it, struct index_key, link);

        if (k->len > len && enter(x, k) == NQ_OK) {
            end_wait(x);
            drop_key(x, k);
        }
    }
    (void)frames_set_blocking(x->db->fr, was);
}

nq_rc
db_index_on_replay(struct db *db)
{
    struct indexes *x = db->indexes;

    if (x == NULL)
        return NQ_OK;
    index_settle(x);
    list_each(it, &x->waiting) /* the pool had no room for them */
    {
        struct index_key *k = nq_container(it, struct index_key, link);

        if (x->waiting_count <= WAITING_MOST)
            break;
        if (enter(x, k) != NQ_OK)
            return NQ_AGAIN;
        drop_key(x, k);
    }
    return NQ_OK;
}

/* --- those that wait for pages -------------------------------------------- */

static void
on_ready(struct frames_wait *w)
{
    struct indexes *x = nq_container(w, struct indexes, wait);

    x->wait_state = WAIT_PINNED;
}

static void
fetch(struct indexes *x)
{
    x->wait.ready = on_ready;
    x->wait_state = WAIT_READING;
    frames_fetch(x->db->fr, &x->wait);
}

/* The first of those that wait, K3: NQ_OK: all of the batch; NQ_MISS: not all;
 * NQ_AGAIN: the time is up. */
static nq_rc
enter_batch(struct indexes *x, uint64_t until_us)
{
    unsigned tried = 0, left = 0;

    if (x->batch == 0)
        x->batch = (unsigned)nq_min(x->waiting_count, (uint64_t)BATCH);
    list_each(it, &x->waiting)
    {
        struct index_key *k = nq_container(it, struct index_key, link);
        nq_rc rc;

        if (left == x->batch)
            break;
        if (++tried % KEYS_PER_LOOK == 0 && clock_mono_us() >= until_us)
            return NQ_AGAIN;
        rc = enter(x, k);
        if (rc == NQ_EPOOL)
            return rc;
        if (rc == NQ_OK) {
            drop_key(x, k);
            x->batch--;
        } else {
            left++;
        }
    }
    return left > 0 ? NQ_MISS : NQ_OK;
}

/* Batches until the time is up. */
static nq_rc
enter_waiting(struct indexes *x, uint64_t until_us)
{
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && x->waiting_count > 0) {
        rc = enter_batch(x, until_us);
        if (rc == NQ_OK && x->wait_state == WAIT_PINNED)
            end_wait(x);
        if (rc == NQ_OK && clock_mono_us() >= until_us)
            rc = NQ_AGAIN;
    }
    return rc;
}

static nq_rc
work(struct indexes *x, uint64_t until_us)
{
    nq_rc rc = enter_waiting(x, until_us);

    for (unsigned i = 0; i < x->count && rc == NQ_OK; i++) {
        while ((rc = index_work_range(x->list[i])) == NQ_AGAIN &&
               clock_mono_us() < until_us)
            end_wait(x);
    }
    return rc;
}

/* --- what the rest of db/ calls ------------------------------------------- */

bool
db_index_has_work(const struct db *db)
{
    const struct indexes *x = db->indexes;

    if (x == NULL)
        return false;
    if (!list_empty(&x->fresh) || x->waiting_count > 0)
        return true;
    for (unsigned i = 0; i < x->count; i++)
        if (x->list[i]->range_count > 0 && index_is_kept(x->list[i]))
            return true;
    return false;
}

bool
db_index_background(struct db *db, uint64_t until_us)
{
    struct indexes *x = db->indexes;
    nq_rc rc;

    if (x == NULL)
        return false;
    index_settle(x);
    if (x->wait_state == WAIT_READING || !db_index_has_work(db) ||
        clock_mono_us() < x->not_before_us)
        return false;
    frames_forget_wanted(db->fr);
    rc = work(x, until_us);
    if (rc == NQ_MISS && frames_wanted(db->fr) > 0) {
        fetch(x);
        return false;
    }
    frames_forget_wanted(db->fr);
    if (rc != NQ_OK && rc != NQ_AGAIN)
        x->not_before_us = clock_mono_us() + RETRY_AFTER_US;
    if (rc == NQ_OK || rc == NQ_EPOOL)
        end_wait(x);
    return rc == NQ_AGAIN;
}

uint64_t
db_index_next_due(const struct db *db)
{
    const struct indexes *x = db->indexes;

    if (x == NULL || x->wait_state == WAIT_READING || !db_index_has_work(db))
        return 0;
    return clock_wall_ms() +
           (clock_mono_us() < x->not_before_us ? RETRY_AFTER_US / 1000 : 0);
}

nq_rc
db_index_drain(struct db *db, uint64_t until_us)
{
    struct indexes *x = db->indexes;

    if (x == NULL)
        return NQ_OK;
    index_settle(x);
    return work(x, until_us);
}

bool
db_index_is_throttling(const struct db *db)
{
    const struct indexes *x = db->indexes;

    return x != NULL && (x->waiting_count > WAITING_MOST ||
                         x->waiting_bytes > WAITING_BYTES_MOST);
}
