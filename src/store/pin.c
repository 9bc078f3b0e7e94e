/* store/pin.c - who holds which published checkpoint, and for how long.
 *
 *   asked     a ticket waits for the next turn; then it gets the published
 *             checkpoint, if nothing was logged since, or waits for a new one
 *   held      refs > 0; shared by all who ask at the same position
 *   going     no refs, or broken, and no reader any more: pins_turn() gives
 *             its space back in slices, while no checkpoint runs
 *
 *   P1  `all` is by rising age, as the views of the page table are
 *   P2  one pin at a time is going, and no checkpoint begins meanwhile
 *       (pins_are_settled)
 *   P3  a pin with readers keeps its view
 *
 * Which extents a pin needs is the business of pagetable_view.c.  That they
 * stay where they are follows from the map of space alone: what compaction,
 * rewriting, cutting and punching touch is free in it, or live.  Dictionaries
 * stay because pagetable_count_kept() counts views; data keys do not: a
 * rotation breaks the pins that need the old ones (rotate.c). */
#include "store/pin.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"
#include "store/pin_int.h"
#include "store/space.h"
#include "store/store_int.h"

#define SLICE_PAGES 8192u /* let go at a time */
#define LIMIT_MIN (UINT64_C(256) << 20)
#define LIMIT_SHARE 2u /* of what the file holds */

struct pin_ticket {
    struct list link; /* of pins.fresh; else a checkpoint has it */
    struct pins *owner;
    struct pin_wait *wait; /* NULL: nobody wants it any more */
};

struct pins {
    struct store *st;
    struct list all;                  /* youngest first */
    struct list fresh;                /* tickets */
    struct pin *going;                /* P2; NULL: none */
    struct buf at_cut, published;     /* catalogs, in the clear */
    uint64_t at_cut_ms, published_ms; /* when these were cut */
    uint64_t number; /* of the published one; 0: from before we were opened,
                        and its catalog is not known */
    uint64_t limit;  /* 0: a share of what is there */
    uint64_t broken; /* how many were */
    struct job again;
    bool is_again_running;
};

/* --- one pin -------------------------------------------------------------- */

static struct pin *
pin_of(struct list *link)
{
    struct pin *p = nq_container(link, struct pin, link);

    nq_assert(p->magic == PIN_MAGIC);
    return p;
}

static struct pin *
youngest(struct pins *ps)
{
    return list_empty(&ps->all) ? NULL : pin_of(ps->all.next);
}

/* The published checkpoint, held; no checkpoint runs. */
static struct pin *
pin_new(struct pins *ps)
{
    struct pin *p = nq_calloc(1, sizeof *p);
    nq_rc rc;

    p->magic = PIN_MAGIC;
    p->owner = ps;
    p->at = ps->st->sb.lsn;
    p->number = ps->number;
    p->cut_ms = ps->published_ms;
    p->catalog = CATALOG_INIT;
    rc = catalog_decode(buf_slice(&ps->published), &p->catalog);
    nq_assert(rc == NQ_OK);
    p->view = pagetable_view_new(ps->st->disk.table);
    list_push_front(&ps->all, &p->link);
    return p;
}

static void
pin_free(struct pin *p)
{
    list_remove(&p->link);
    catalog_fini(&p->catalog);
    p->magic = 0;
    nq_free(p);
}

static void
pin_break(struct pin *p, const char *why)
{
    if (p->is_broken || p->view == NULL)
        return;
    p->is_broken = true;
    snprintf(p->why, sizeof p->why, "%s", why);
    if (p->refs == 0)
        return; /* it was going anyway */
    p->owner->broken++;
    log_notice("a snapshot of LSN %llu is given up: %s",
               (unsigned long long)p->at, why);
}

/* NULL: none that says what was logged up to `at`. */
static struct pin *
find_at(struct pins *ps, lsn at)
{
    struct pin *p = youngest(ps);

    return p != NULL && p->at == at && !p->is_broken && p != ps->going ? p
                                                                       : NULL;
}

struct pin *
pin_ref(struct pin *p)
{
    nq_assert(p->magic == PIN_MAGIC && p->refs > 0);
    p->refs++;
    return p;
}

void
pin_unref(struct pin *p)
{
    if (p == NULL)
        return;
    nq_assert(p->magic == PIN_MAGIC && p->refs > 0);
    if (--p->refs == 0 && p->view == NULL)
        pin_free(p);
}

lsn
pin_lsn(const struct pin *p)
{
    return p->at;
}

uint64_t
pin_wall_ms(const struct pin *p)
{
    return p->cut_ms;
}

struct store *
pin_store(const struct pin *p)
{
    return p->owner->st;
}

const char *
pin_broken(const struct pin *p)
{
    return p->is_broken ? p->why : NULL;
}

nq_rc
pin_catalog(const struct pin *p, struct slice name, struct slice *val)
{
    return catalog_get(&p->catalog, name, val);
}

bool
pin_enter(struct pin *p)
{
    nq_assert(p->magic == PIN_MAGIC && p->refs > 0);
    p->readers++;
    p->owner->st->disk.sweep_jobs++;
    return !p->is_broken;
}

void
pin_leave(struct pin *p)
{
    nq_assert(p->magic == PIN_MAGIC && p->readers > 0);
    p->readers--;
    p->owner->st->disk.sweep_jobs--;
}

/* --- asking --------------------------------------------------------------- */

static void
deliver(struct pin_ticket *t, struct pin *p, nq_rc rc)
{
    struct pin_wait *w = t->wait;

    nq_free(t);
    if (w == NULL)
        return;
    if (p != NULL)
        p->refs++;
    w->ticket = NULL;
    w->ready(w, p, rc);
}

static void
on_checkpoint(void *arg, nq_rc rc)
{
    struct pin_ticket *t = arg;
    struct pins *ps = t->owner;
    struct pin *p = NULL;

    if (rc == NQ_OK && t->wait != NULL) {
        p = find_at(ps, ps->st->sb.lsn);
        if (p == NULL)
            p = pin_new(ps);
    }
    deliver(t, p, rc);
}

void
pin_ask(struct store *st, struct pin_wait *w)
{
    struct pin_ticket *t = nq_calloc(1, sizeof *t);

    nq_assert(st->magic == STORE_MAGIC && w->ticket == NULL);
    t->owner = st->pins;
    t->wait = w;
    w->ticket = t;
    list_push_back(&st->pins->fresh, &t->link);
}

void
pin_ask_end(struct pin_wait *w)
{
    if (w->ticket != NULL)
        w->ticket->wait = NULL;
    w->ticket = NULL;
}

/* The checkpoint that is there already says all; NULL: it does not. */
static struct pin *
find_present(struct pins *ps)
{
    lsn now = wal_position(ps->st->wal);
    struct pin *p = find_at(ps, now);

    if (p != NULL || ps->number == 0 || ps->st->sb.lsn != now ||
        checkpoint_is_running(&ps->st->ckpt))
        return p;
    return pin_new(ps);
}

static void
turn_fresh(struct pins *ps)
{
    struct list *link;

    while ((link = list_pop_front(&ps->fresh)) != NULL) {
        struct pin_ticket *t = nq_container(link, struct pin_ticket, link);
        struct pin *p = t->wait == NULL ? NULL : find_present(ps);

        if (p != NULL || t->wait == NULL)
            deliver(t, p, NQ_OK);
        else
            checkpoint_ask(&ps->st->ckpt, on_checkpoint, t);
    }
}

/* --- limits --------------------------------------------------------------- */

static uint64_t
limit_of(const struct pins *ps)
{
    uint64_t share = space_used_bytes(ps->st->disk.space) / LIMIT_SHARE;

    return ps->limit != 0 ? ps->limit : nq_max(share, LIMIT_MIN);
}

static void
break_oldest(struct pins *ps, const char *why)
{
    for (struct list *it = ps->all.prev; it != &ps->all; it = it->prev) {
        struct pin *p = pin_of(it);

        if (p->view == NULL || p->is_broken || p == ps->going)
            continue;
        pin_break(p, why);
        return;
    }
}

void
pins_break_old(struct pins *ps, const char *why)
{
    list_each(it, &ps->all)
    {
        if (pin_of(it)->number < ps->number)
            pin_break(pin_of(it), why);
    }
}

static bool
is_full(const struct store *st)
{
    nq_rc disk = st->disk.last_rc, last = st->ckpt.stats.last_rc;

    return disk == NQ_ENOSPC || disk == NQ_EFULL || last == NQ_ENOSPC ||
           last == NQ_EFULL || quota_is_short(st);
}

static void
look_at_limits(struct pins *ps)
{
    uint64_t bytes = pagetable_view_bytes(ps->st->disk.table);
    char why[160];

    if (bytes == 0 || !pins_are_settled(ps))
        return;
    if (bytes > limit_of(ps)) {
        snprintf(why, sizeof why,
                 "changes since it began keep %llu bytes of the data file, "
                 "more than storage.pin_limit allows (%llu)",
                 (unsigned long long)bytes, (unsigned long long)limit_of(ps));
        break_oldest(ps, why);
    } else if (is_full(ps->st)) {
        break_oldest(ps, "its space was needed for new data");
    }
}

/* --- turns ---------------------------------------------------------------- */

static bool
may_go(const struct pin *p)
{
    return p->view != NULL && p->readers == 0 && (p->refs == 0 || p->is_broken);
}

static struct pin *
find_going(const struct pins *ps)
{
    list_each(it, &ps->all)
    {
        if (may_go(pin_of(it)))
            return pin_of(it);
    }
    return NULL;
}

bool
pins_are_settled(const struct pins *ps)
{
    list_each(it, &ps->all)
    {
        const struct pin *p = pin_of(it);

        if (p->view != NULL && (p->refs == 0 || p->is_broken))
            return false;
    }
    return true;
}

static void
run_nothing(struct job *job)
{
    (void)job;
}

static void
on_again(struct job *job)
{
    struct pins *ps = nq_container(job, struct pins, again);

    ps->is_again_running = false;
    ps->st->disk.sweep_jobs--;
}

/* There is more: another turn of the loop soon, after others had theirs. */
static void
come_back(struct pins *ps)
{
    if (ps->is_again_running || !ps->st->is_ready)
        return;
    ps->is_again_running = true;
    ps->st->disk.sweep_jobs++;
    ps->again = (struct job){.run = run_nothing, .done = on_again};
    pool_submit(ps->st->disk.pool, &ps->again, POOL_FLUSH);
}

static void
turn_going(struct pins *ps)
{
    struct pin *p;

    if (checkpoint_is_running(&ps->st->ckpt))
        return;
    if (ps->going == NULL)
        ps->going = find_going(ps);
    if ((p = ps->going) == NULL)
        return;
    if (pagetable_view_end(ps->st->disk.table, p->view, SLICE_PAGES)) {
        p->view = NULL;
        ps->going = NULL;
        quota_published(ps->st); /* there is more room than it found */
        if (p->refs == 0)
            pin_free(p);
    }
    come_back(ps);
}

void
pins_turn(struct pins *ps)
{
    if (nq_likely(list_empty(&ps->all) && list_empty(&ps->fresh)))
        return;
    if (ps->st->is_ready)
        turn_fresh(ps);
    look_at_limits(ps);
    turn_going(ps);
}

void
pins_cut(struct pins *ps)
{
    ps->at_cut_ms = clock_wall_ms();
    buf_clear(&ps->at_cut);
    catalog_encode(&ps->st->catalog, &ps->at_cut);
}

void
pins_published(struct pins *ps)
{
    struct buf was = ps->published;

    ps->published_ms = ps->at_cut_ms;
    ps->published = ps->at_cut;
    ps->at_cut = was;
    ps->number++;
}

struct pins *
pins_new(struct store *st)
{
    struct pins *ps = nq_calloc(1, sizeof *ps);

    ps->st = st;
    list_init(&ps->all);
    list_init(&ps->fresh);
    return ps;
}

void
pins_free(struct pins *ps)
{
    struct list *link;

    if (ps == NULL)
        return;
    while ((link = list_pop_front(&ps->fresh)) != NULL)
        deliver(nq_container(link, struct pin_ticket, link), NULL, NQ_ECLOSED);
    while (!list_empty(&ps->all)) {
        nq_assert(youngest(ps)->refs == 0);
        pin_free(youngest(ps));
    }
    buf_fini(&ps->at_cut);
    buf_fini(&ps->published);
    nq_free(ps);
}

/* --- settings and figures ------------------------------------------------- */

void
store_set_pin_limit(struct store *st, uint64_t bytes)
{
    st->pins->limit = bytes;
}

void
store_get_pin_stats(const struct store *st, struct store_pin_stats *out)
{
    *out = (struct store_pin_stats){
        .bytes = pagetable_view_bytes(st->disk.table),
        .limit = limit_of(st->pins),
        .broken = st->pins->broken,
    };
    list_each(it, &st->pins->all)
    {
        out->pins += pin_of(it)->refs > 0 && !pin_of(it)->is_broken;
    }
}
