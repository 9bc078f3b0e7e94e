/* store/rotate.c - master and data keys replaced.
 *
 *   KEY         a worker begins a fresh data key
 *   REWRITE     all extents are written again; the cursor is in the catalog
 *   CHECKPOINT  one that was cut behind the last of them is published, and
 *               the extents, segments and tables of before are let go
 *   VERIFY      the headers of all extents are read: if one has an older key
 *               after all, it goes on with REWRITE there
 *   ERASE       only if the database was in the clear: a worker overwrites
 *               what is free in the data file, a run at a time
 *   DROP        a worker takes the older keys out of keys.nq
 *
 * Row "rotate" of the catalog: u32 number of the fresh key, u32 first page id
 * that may still have an older extent.
 *
 * R1  A row that a checkpoint has is true of that checkpoint: pages below its
 *     id were entered, or were dirty at the cut and so are part of it.
 * R2  Keys are dropped only behind a checkpoint that names none of them, with
 *     the log behind it sealed by the fresh key or a younger one.
 *     Pinned checkpoints that are older are broken before that.
 * R3  What runs elsewhere has a life of its own (struct step): a rotation may
 *     be freed at any time.  disk.rewrite_jobs counts it, so that the store
 *     is not closed meanwhile. */
#include "store/rotate.h"

#include <stdio.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/key_scan.h"
#include "store/keyring.h"
#include "store/pagetable.h"
#include "store/rewrite.h"
#include "store/space.h"
#include "store/store_int.h"

#define ROTATE_MAGIC 0x544f5221u
#define STEP_MAGIC 0x50455453u
#define ERASE_BYTES ((uint64_t)1 << 20)
#define ROW_BYTES 8u
#define GROWTH_MIN ((uint64_t)64 << 20)
#define ROUNDS_MAX 3u
#define GROWTH_SHARE 8u /* of all extents, that may wait for a checkpoint */

static const struct slice row_name = {(const uint8_t *)"rotate", 6};

enum rotate_state {
    ROTATE_KEY,
    ROTATE_REWRITE,
    ROTATE_CHECKPOINT,
    ROTATE_VERIFY,
    ROTATE_ERASE,
    ROTATE_DROP,
    ROTATE_DONE
};

static const struct sm_def moves[] = {
    [ROTATE_KEY] = {"key", SM(ROTATE_REWRITE)},
    [ROTATE_REWRITE] = {"rewrite", SM(ROTATE_CHECKPOINT)},
    [ROTATE_CHECKPOINT] = {"checkpoint", SM(ROTATE_VERIFY)},
    [ROTATE_VERIFY] = {"verify",
                       SM(ROTATE_REWRITE) | SM(ROTATE_ERASE) | SM(ROTATE_DROP)},
    [ROTATE_ERASE] = {"erase", SM(ROTATE_DROP)},
    [ROTATE_DROP] = {"drop", SM(ROTATE_DONE)},
    [ROTATE_DONE] = {"done", 0},
};

struct rotate {
    uint32_t magic;
    struct store *st;
    struct sm sm;
    uint32_t target; /* number of the fresh key */
    pgno next;       /* as in the row */
    struct rewrite *rewrite;
    struct rewrite_progress sums;
    struct key_scan *scan;
    unsigned rounds; /* of rewriting what a scan found */
    uint64_t bytes_per_s;
    uint64_t bytes_at_checkpoint; /* of sums.bytes */
    uint64_t erased_to;           /* offset in the data file */
    uint64_t not_before_us;       /* the rate of erasing, monotonic */
    struct step *step;            /* under way, or NULL */
    nq_rc step_rc;                /* of the last one */
};

/* Something that goes on elsewhere. */
struct step {
    struct job job;
    uint32_t magic;
    struct store *st;
    struct rotate *owner; /* NULL: nobody waits for it any more */
    uint32_t target;
    uint64_t off, len; /* to be erased */
    nq_rc rc;
    /* of rotate_master() */
    rotate_fetch_fn *fetch;
    void *fetch_arg;
    rotate_done_fn *done;
    void *arg;
    char why[ROTATE_WHY];
};

static struct keyring *
keys_of(const struct store *st)
{
    return st->disk.env.keys;
}

/* --- what is known -------------------------------------------------------- */

static bool
get_row(const struct store *st, uint32_t *target, pgno *next)
{
    struct slice val;
    struct cursor c;

    if (catalog_get(&st->catalog, row_name, &val) != NQ_OK ||
        val.len != ROW_BYTES)
        return false;
    c = cursor_of(val);
    cursor_get_u32(&c, target);
    cursor_get_u32(&c, next);
    return *target > 0 && *target <= keyring_current(keys_of(st));
}

static void
put_row(struct rotate *r, pgno next)
{
    uint8_t row[ROW_BYTES];

    r->next = next;
    memcpy(row, &r->target, 4);
    memcpy(row + 4, &r->next, 4);
    store_catalog_put(r->st, row_name, slice_of(row, sizeof row));
}

static bool
can_rotate(const struct store *st)
{
    return keys_of(st) != NULL && keyring_current(keys_of(st)) != 0;
}

bool
rotate_is_due(const struct store *st)
{
    uint32_t target;
    pgno next;

    return can_rotate(st) &&
           (!keyring_is_complete(keys_of(st)) || get_row(st, &target, &next));
}

void
rotate_get_stats(const struct store *st, struct rotate_stats *out)
{
    struct keyring_stats ks;

    *out = (struct rotate_stats){.is_on = keys_of(st) != NULL};
    if (!out->is_on)
        return;
    keyring_get_stats(keys_of(st), &ks);
    out->is_complete = ks.is_complete;
    out->is_due = rotate_is_due(st);
    out->keys = ks.keys;
    out->oldest = ks.oldest;
    out->current = ks.current;
    out->oldest_ms = ks.oldest_ms;
    out->current_ms = ks.current_ms;
    out->extents = ks.extents;
    out->frames = ks.frames;
}

/* --- steps ---------------------------------------------------------------- */

static struct step *
step_new(struct store *st, struct rotate *owner)
{
    struct step *s = nq_calloc(1, sizeof *s);

    s->magic = STEP_MAGIC;
    s->st = st;
    s->owner = owner;
    if (owner != NULL) {
        nq_assert(owner->step == NULL);
        owner->step = s;
        s->target = owner->target;
    }
    return s;
}

static struct step *
step_of(struct job *job)
{
    struct step *s;

    NQ_CAST(s, nq_container(job, struct step, job), STEP_MAGIC);
    return s;
}

static void
step_end(struct step *s)
{
    if (s->owner != NULL) {
        s->owner->step = NULL;
        s->owner->step_rc = s->rc;
    }
    s->magic = 0;
    nq_free(s);
}

static void
step_done(struct job *job)
{
    struct step *s = step_of(job);

    s->st->disk.rewrite_jobs--;
    if (s->len > 0)
        space_free(s->st->disk.space, s->off, s->len);
    if (s->done != NULL)
        s->done(s->arg, s->rc, s->why);
    step_end(s);
}

static void
step_start(struct step *s, void (*run)(struct job *))
{
    s->st->disk.rewrite_jobs++;
    s->job = (struct job){.run = run, .done = step_done};
    pool_submit(s->st->disk.pool, &s->job, POOL_LONG);
}

static void
run_add(struct job *job)
{
    struct step *s = step_of(job);

    s->rc = keyring_add(keys_of(s->st));
}

static void
run_erase(struct job *job)
{
    struct step *s = step_of(job);
    uint8_t *zeros = nq_calloc(1, s->len);

    s->rc = file_write(s->st->disk.file, zeros, s->len, s->off);
    nq_free(zeros);
}

static void
run_drop(struct job *job)
{
    struct step *s = step_of(job);

    s->rc = file_sync(s->st->disk.file);
    if (s->rc == NQ_OK)
        s->rc = keyring_drop_below(keys_of(s->st), s->target);
}

static void
on_checkpoint(void *arg, nq_rc rc)
{
    struct step *s = arg;

    s->rc = rc;
    step_end(s);
}

/* --- the master key ------------------------------------------------------- */

static void
run_master(struct job *job)
{
    struct step *s = step_of(job);
    uint8_t *key = seal_secret_new(SEAL_KEY);

    s->rc = s->fetch(s->fetch_arg, key, s->why);
    if (s->rc == NQ_OK) {
        s->rc = keyring_rewrap(keys_of(s->st), key);
        snprintf(s->why, sizeof s->why, "%s",
                 s->rc == NQ_OK ? ""
                 : s->rc == NQ_EINVAL
                     ? "the source gives the key that is in use already"
                     : "keys.nq could not be written: keep the old key and "
                       "the new one, either may be the right one after a "
                       "crash; then try again");
    }
    seal_secret_free(key, SEAL_KEY);
}

void
rotate_master(struct store *st, rotate_fetch_fn *fetch, void *fetch_arg,
              rotate_done_fn *done, void *arg)
{
    struct step *s;

    if (!can_rotate(st)) {
        done(arg, NQ_EINVAL, "the database is not encrypted");
        return;
    }
    s = step_new(st, NULL);
    s->fetch = fetch;
    s->fetch_arg = fetch_arg;
    s->done = done;
    s->arg = arg;
    step_start(s, run_master);
}

/* --- data keys, in the order of the steps --------------------------------- */

static void
begin_rewrite(struct rotate *r)
{
    struct rewrite_opts o = {.from = r->next, .bytes_per_s = r->bytes_per_s};

    r->rewrite = rewrite_new(r->st, &o);
    sm_move(&r->sm, ROTATE_REWRITE);
}

static nq_rc
turn_key(struct rotate *r)
{
    if (r->target == 0) {
        r->target = UINT32_MAX; /* asked for */
        r->step_rc = NQ_OK;
        step_start(step_new(r->st, r), run_add);
        return NQ_AGAIN;
    }
    if (r->step_rc != NQ_OK)
        return r->step_rc;
    r->target = keyring_current(keys_of(r->st));
    put_row(r, 1);
    store_checkpoint(r->st, NULL, NULL); /* so that a crash remembers it */
    begin_rewrite(r);
    return NQ_AGAIN;
}

/* Old extents are let go by checkpoints only: without some on the way the
 * file would grow to twice its size. */
static void
checkpoint_on_the_way(struct rotate *r)
{
    r->bytes_at_checkpoint = r->sums.bytes;
    store_checkpoint(r->st, on_checkpoint, step_new(r->st, r));
}

static nq_rc
turn_rewrite(struct rotate *r)
{
    uint64_t share = pagetable_bytes(r->st->disk.table) / GROWTH_SHARE, held;
    nq_rc rc = r->step_rc != NQ_OK ? r->step_rc : rewrite_turn(r->rewrite);

    r->step_rc = NQ_OK;
    rewrite_get_progress(r->rewrite, &r->sums);
    if (r->sums.next != r->next)
        put_row(r, r->sums.next);
    held = r->sums.bytes - r->bytes_at_checkpoint;
    if ((rc == NQ_AGAIN && held > nq_max(share, GROWTH_MIN)) ||
        ((rc == NQ_ENOSPC || rc == NQ_EFULL) && held > 0)) {
        checkpoint_on_the_way(r);
        return NQ_AGAIN;
    }
    if (rc != NQ_OK)
        return rc;
    rewrite_free(r->rewrite);
    r->rewrite = NULL;
    sm_move(&r->sm, ROTATE_CHECKPOINT);
    store_checkpoint(r->st, on_checkpoint, step_new(r->st, r));
    return NQ_AGAIN;
}

static nq_rc
turn_checkpoint(struct rotate *r)
{
    if (r->step_rc != NQ_OK)
        return r->step_rc;
    if (r->sums.damaged > 0) {
        store_catalog_del(r->st, row_name);
        log_error("rotation: %llu pages could not be read; the old keys are "
                  "kept",
                  (unsigned long long)r->sums.damaged);
        return NQ_ECORRUPT;
    }
    pins_break_old(r->st->pins,
                   "data keys were replaced: it needed the old ones");
    if (!pins_are_settled(r->st->pins))
        return NQ_AGAIN;
    r->scan = key_scan_new(r->st, r->target);
    sm_move(&r->sm, ROTATE_VERIFY);
    return NQ_AGAIN;
}

static nq_rc
rewrite_again(struct rotate *r, pgno from)
{
    log_warn("rotation: page %u still has an older key: going on from there",
             from);
    put_row(r, from);
    if (r->rounds++ == ROUNDS_MAX)
        return NQ_ECORRUPT;
    r->bytes_at_checkpoint = 0;
    begin_rewrite(r);
    return NQ_AGAIN;
}

/* R2, looked up: a key that is dropped does not come back. */
static nq_rc
turn_verify(struct rotate *r)
{
    bool is_complete = keyring_is_complete(keys_of(r->st));
    pgno found;
    nq_rc rc;

    key_scan_set_rate(r->scan, r->bytes_per_s);
    if ((rc = key_scan_turn(r->scan, &found)) != NQ_OK)
        return rc;
    key_scan_free(r->scan);
    r->scan = NULL;
    if (found != 0)
        return rewrite_again(r, found);
    sm_move(&r->sm, is_complete ? ROTATE_DROP : ROTATE_ERASE);
    if (is_complete)
        step_start(step_new(r->st, r), run_drop);
    return NQ_AGAIN;
}

static nq_rc
turn_erase(struct rotate *r)
{
    struct disk *d = &r->st->disk;
    uint64_t now = clock_mono_us(), off, len;

    if (r->step_rc != NQ_OK)
        return r->step_rc;
    if (now < r->not_before_us)
        return NQ_AGAIN;
    if (d->is_growing)
        return NQ_AGAIN; /* or being cut: its end is not certain */
    if (!space_take_free(d->space, r->erased_to, d->allocated, ERASE_BYTES,
                         &off, &len)) {
        sm_move(&r->sm, ROTATE_DROP);
        step_start(step_new(r->st, r), run_drop);
        return NQ_AGAIN;
    }
    step_new(r->st, r);
    r->step->off = off;
    r->step->len = len;
    r->erased_to = off + len;
    if (r->bytes_per_s > 0)
        r->not_before_us = now + len * 1000000 / r->bytes_per_s;
    step_start(r->step, run_erase);
    return NQ_AGAIN;
}

static nq_rc
turn_drop(struct rotate *r)
{
    if (r->step_rc != NQ_OK)
        return r->step_rc;
    store_catalog_del(r->st, row_name);
    sm_move(&r->sm, ROTATE_DONE);
    log_notice("rotation: %llu pages are sealed with data key %u now, older "
               "keys are gone",
               (unsigned long long)r->sums.pages, r->target);
    return NQ_OK;
}

nq_rc
rotate_turn(struct rotate *r)
{
    static nq_rc (*const turns[])(struct rotate *) = {
        [ROTATE_KEY] = turn_key,
        [ROTATE_REWRITE] = turn_rewrite,
        [ROTATE_CHECKPOINT] = turn_checkpoint,
        [ROTATE_VERIFY] = turn_verify,
        [ROTATE_ERASE] = turn_erase,
        [ROTATE_DROP] = turn_drop,
    };

    nq_assert(r->magic == ROTATE_MAGIC && r->sm.state != ROTATE_DONE);
    return r->step != NULL ? NQ_AGAIN : turns[r->sm.state](r);
}

int
rotate_wait_ms(const struct rotate *r)
{
    uint64_t now = clock_mono_us();

    if (r->step != NULL)
        return -1;
    if (r->rewrite != NULL)
        return rewrite_wait_ms(r->rewrite);
    if (r->scan != NULL)
        return key_scan_wait_ms(r->scan);
    if (r->st->disk.is_growing || r->sm.state == ROTATE_CHECKPOINT)
        return 1;
    return now < r->not_before_us ? (int)((r->not_before_us - now) / 1000 + 1)
                                  : 0;
}

/* --- beginning and end ---------------------------------------------------- */

nq_rc
rotate_new(struct store *st, struct rotate **out)
{
    struct rotate *r;

    *out = NULL;
    if (!can_rotate(st))
        return NQ_EINVAL;
    r = nq_calloc(1, sizeof *r);
    r->magic = ROTATE_MAGIC;
    r->st = st;
    sm_init(&r->sm, "rotation", moves, ROTATE_KEY);
    if (get_row(st, &r->target, &r->next))
        begin_rewrite(r);
    else
        r->target = 0;
    *out = r;
    return NQ_OK;
}

void
rotate_free(struct rotate *r)
{
    if (r == NULL)
        return;
    nq_assert(r->magic == ROTATE_MAGIC);
    if (r->step != NULL)
        r->step->owner = NULL;
    rewrite_free(r->rewrite);
    key_scan_free(r->scan);
    r->magic = 0;
    nq_free(r);
}

void
rotate_set_rate(struct rotate *r, uint64_t bytes_per_s)
{
    r->bytes_per_s = bytes_per_s;
    if (r->rewrite != NULL)
        rewrite_set_rate(r->rewrite, bytes_per_s);
}

void
rotate_get_progress(const struct rotate *r, struct rotate_progress *out)
{
    *out = (struct rotate_progress){
        .phase = moves[r->sm.state].name,
        .pages = r->sums.end == 0 ? 0 : nq_min(r->sums.next, r->sums.end) - 1,
        .total = r->sums.end == 0 ? 0 : r->sums.end - 1,
        .damaged = r->sums.damaged,
    };
}
