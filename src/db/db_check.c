/* db/db_check.c - walks everything that the databases own and holds it
 * against what the store says is in use.
 *
 *   EXTENTS  with read_extents: workers read the data file (store/sweep.c);
 *            what is damaged is kept until it is known whose it is
 *   SETTLE   indexes take in what they have not yet
 *   TREES    each tree and each value (db_check_walk.c); damaged pages are
 *            named with the keys that they cover as the walk meets them
 *   INDEXES  what they say, against the data (index_check.c)
 *   TABLE    page table and space against the pages found (store_check)
 *
 * Pages are noted in a bitmap by page number; one that was noted before is
 * owned twice.  Damage costs the walk the pages below it, not more; then
 * pages that nobody was seen to own are no finding. */
#include "db/db_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "db/db_check_int.h"
#include "db/index_int.h"
#include "os/clock.h"

#define SLICE_US 1000 /* of a check in one piece, between making room */
#define INDEX_KEYS 64 /* of an index, between two looks at the clock */

/* --- findings ------------------------------------------------------------ */

static void
report(struct db_check *c, struct db_finding *f)
{
    c->stats.findings++;
    c->opts.report(c->opts.arg, f);
}

void
check_finding(struct db_check *c, const char *kind, const char *fmt, ...)
{
    struct db_finding f = {
        .kind = kind, .database = -1, .keys = "", .outcome = "lost"};
    char text[320];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    f.text = f.problem = text;
    report(c, &f);
}

static void
put_line(struct buf *line, const struct db_finding *f)
{
    if (f->page != 0)
        buf_printf(line, "page %u", f->page);
    else
        buf_printf(line, "%s", f->kind);
    if (f->offset != 0)
        buf_printf(line, " at offset %" PRIu64, f->offset);
    if (f->page != 0)
        buf_printf(line, " (%s)", f->kind);
    buf_printf(line, ": %s", f->problem);
    if (f->has_values)
        buf_printf(line, ": expected %" PRIu64 ", found %" PRIu64, f->expected,
                   f->found);
    buf_printf(line, "; %s", f->outcome);
    if (f->keys[0] != 0)
        buf_printf(line, "; %s", f->keys);
    buf_put_u8(line, 0);
}

static void
report_page(struct db_check *c, struct db_finding *f)
{
    struct buf line = BUF_INIT;

    put_line(&line, f);
    f->text = (const char *)line.p;
    c->stats.damaged++;
    report(c, f);
    buf_fini(&line);
}

static void
set_fault(struct db_finding *f, const struct store_damage *d)
{
    f->offset = d->off;
    f->problem = d->what;
    f->expected = d->expected;
    f->found = d->found;
    f->has_values = d->expected != d->found;
}

static struct store_damage
damage_of(const struct sweep_finding *f)
{
    return (struct store_damage){f->off, f->what, f->expected, f->found};
}

static const char *
outcome_name(enum sweep_outcome o)
{
    static const char *const names[] = {
        [SWEEP_DAMAGED] = "lost",
        [SWEEP_REPAIRABLE] = "can be repaired",
        [SWEEP_REBUILT] = "repaired from its parity",
        [SWEEP_REWRITTEN] = "repaired from memory",
    };

    return names[o];
}

void
check_damage(struct db_check *c, pgno id, const char *kind, const char *problem,
             const char *keys, int64_t dbi)
{
    struct check_bad *bad = check_find_bad(c, id);
    struct store_damage known;
    struct db_finding f = {.kind = kind,
                           .page = id,
                           .problem = problem,
                           .database = dbi,
                           .keys = keys,
                           .outcome = "lost"};

    if (c->told == id)
        return;
    c->told = id;
    if (store_find_damage(c->db->opts.store, id, &known))
        set_fault(&f, &known);
    if (bad != NULL) {
        known = damage_of(&bad->f);
        set_fault(&f, &known);
        f.outcome = outcome_name(bad->f.outcome);
        bad->is_told = true;
    }
    if (problem != NULL || f.problem == NULL) {
        f.problem = problem != NULL ? problem : "cannot be read";
        f.has_values = false;
    }
    report_page(c, &f);
}

/* --- what the sweep found ------------------------------------------------ */

static int
compare_bad(const void *a, const void *b)
{
    const struct check_bad *x = a, *y = b;

    return (x->f.id > y->f.id) - (x->f.id < y->f.id);
}

struct check_bad *
check_find_bad(const struct db_check *c, pgno id)
{
    struct check_bad key = {.f.id = id};

    if (c->bad_count == 0 || c->phase == CHECK_EXTENTS)
        return NULL;
    return bsearch(&key, c->bad, c->bad_count, sizeof key, compare_bad);
}

static void
report_part(struct db_check *c, const struct sweep_finding *f)
{
    struct store_damage d = damage_of(f);
    struct db_finding out = {.kind = f->part,
                             .database = -1,
                             .keys = "",
                             .outcome = outcome_name(f->outcome)};

    set_fault(&out, &d);
    report_page(c, &out);
}

static void
on_bad(void *arg, const struct sweep_finding *f)
{
    struct db_check *c = arg;

    c->stats.repaired +=
        f->outcome == SWEEP_REBUILT || f->outcome == SWEEP_REWRITTEN;
    if (f->part != NULL) {
        report_part(c, f);
        return;
    }
    if (c->bad_count == c->bad_cap) {
        c->bad_cap = nq_max(16u, 2 * c->bad_cap);
        c->bad = nq_realloc(c->bad, c->bad_cap * sizeof *c->bad);
    }
    c->bad[c->bad_count++] = (struct check_bad){*f, false};
}

/* Damaged pages that the walk did not come to. */
static void
report_rest(struct db_check *c)
{
    static const char *const kinds[] = {
        [PAGE_LEAF] = "leaf", [PAGE_INNER] = "inner", [PAGE_CHUNK] = "chunk"};

    for (uint32_t i = 0; i < c->bad_count; i++) {
        const struct sweep_finding *f = &c->bad[i].f;

        if (c->bad[i].is_told)
            continue;
        c->told = 0;
        check_damage(c, f->id, f->kind == 0 ? "page" : kinds[f->kind], NULL,
                     c->has_gaps ? "not known: pages above it are damaged"
                                 : "no key: nothing refers to it any more",
                     -1);
    }
}

/* --- phases -------------------------------------------------------------- */

void
check_page(struct db_check *c, pgno id)
{
    uint8_t bit = (uint8_t)(1u << (id & 7));

    if (id == 0 || id >= c->ids) {
        check_finding(c, "tree", "page %u does not exist, but is referred to",
                      id);
        return;
    }
    if ((c->seen[id >> 3] & bit) != 0)
        check_finding(c, "tree", "page %u is owned twice", id);
    c->seen[id >> 3] |= bit;
    c->stats.pages++;
}

static void
begin_trees(struct db_check *c)
{
    struct sweep_progress p;

    if (c->sweep != NULL) {
        sweep_get_progress(c->sweep, &p);
        c->stats.extents = p.extents;
        if (p.repaired > 0) /* what was mended is in memory so far */
            store_checkpoint(c->db->opts.store, NULL, NULL);
        sweep_free(c->sweep);
        c->sweep = NULL;
    }
    if (c->bad_count > 0)
        qsort(c->bad, c->bad_count, sizeof *c->bad, compare_bad);
    c->phase = CHECK_SETTLE;
}

/* From here on nothing is written, by indexes either. */
static nq_rc
step_settle(struct db_check *c)
{
    nq_rc rc = db_index_drain(c->db, clock_mono_us() + SLICE_US);

    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc == NQ_AGAIN)
        return NQ_OK;
    c->phase = CHECK_TREES;
    c->ids = c->db->fr->ids;
    c->seen = nq_calloc((size_t)c->ids / 8 + 1, 1);
    return NQ_OK;
}

static void
on_table_finding(void *arg, const char *text)
{
    check_finding(arg, "space", "%s", text);
}

static void
begin_table(struct db_check *c)
{
    struct store_check_opts opts = {.seen = c->seen,
                                    .seen_ids = c->ids,
                                    .has_gaps = c->has_gaps,
                                    .report = on_table_finding,
                                    .arg = c};

    report_rest(c);
    c->phase = CHECK_TABLE;
    c->table = store_check_new(c->db->opts.store, &opts);
}

static void
on_progress(void *arg)
{
    struct db_check *c = arg;

    if (c->opts.on_progress != NULL)
        c->opts.on_progress(c->opts.arg);
}

static nq_rc
step_extents(struct db_check *c)
{
    struct sweep_opts so = {.repair = c->opts.repair,
                            .on_finding = on_bad,
                            .on_progress = on_progress,
                            .arg = c};

    if (!c->opts.read_extents) {
        begin_trees(c);
        return NQ_OK;
    }
    if (c->sweep == NULL)
        c->sweep = sweep_new(c->db->opts.store, &so);
    if (sweep_turn(c->sweep) == NQ_OK)
        begin_trees(c);
    return NQ_OK;
}

static nq_rc
step_trees(struct db_check *c)
{
    nq_rc rc = check_walk_some(c);

    if (rc != NQ_NOTFOUND)
        return rc;
    c->phase = CHECK_INDEXES;
    return NQ_OK;
}

/* --- indexes -------------------------------------------------------------- */

void
check_index_is_bad(struct db_check *c, struct slice name)
{
    const struct index *ix;

    for (unsigned i = 0; (ix = db_index_at(c->db, i)) != NULL; i++)
        if (slice_eq(buf_slice(&ix->name), name))
            c->bad_indexes |= UINT64_C(1) << i;
}

static void
on_index_finding(void *arg, const char *text)
{
    struct db_check *c = arg;
    struct db_finding f = {.text = text,
                           .kind = "index",
                           .problem = text,
                           .database = -1,
                           .keys = "",
                           .outcome = c->opts.repair ? "repaired by a rebuild"
                                                     : "can be repaired"};

    report(c, &f);
    check_index_is_bad(c, buf_slice(&db_index_at(c->db, c->next_index)->name));
}

/* Those that are damaged, or not complete, say nothing. */
static nq_rc
step_indexes(struct db_check *c)
{
    struct index *ix = db_index_at(c->db, c->next_index);
    nq_rc rc;

    if (ix == NULL) {
        begin_table(c);
        return NQ_OK;
    }
    if (c->index == NULL) {
        if (ix->state != INDEX_READY ||
            (c->bad_indexes >> c->next_index & 1) != 0) {
            c->next_index++;
            return NQ_OK;
        }
        c->index = index_check_new(ix, on_index_finding, c);
    }
    rc = index_check_step(c->index, INDEX_KEYS);
    if (rc == NQ_AGAIN)
        return NQ_OK;
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    index_check_free(c->index);
    c->index = NULL;
    c->next_index++;
    return NQ_OK;
}

static void
rebuild_indexes(struct db_check *c)
{
    for (unsigned i = 0; i < db_index_count(c->db); i++) {
        struct index *ix = db_index_at(c->db, i);

        if (ix->state == INDEX_DAMAGED || (c->bad_indexes >> i & 1) != 0)
            (void)!db_index_rebuild(c->db, buf_slice(&ix->name));
    }
}

static nq_rc
step_table(struct db_check *c)
{
    nq_rc rc = store_check_step(c->table);

    if (rc == NQ_AGAIN)
        return NQ_OK;
    store_check_free(c->table);
    c->table = NULL;
    c->phase = CHECK_OVER;
    if (c->opts.repair)
        rebuild_indexes(c);
    return NQ_OK;
}

int
db_check_wait_ms(const struct db_check *c)
{
    if (c->phase == CHECK_EXTENTS && c->sweep != NULL)
        return sweep_wait_ms(c->sweep);
    return c->phase == CHECK_TABLE && store_check_is_waiting(c->table) ? 1 : 0;
}

bool
db_check_needs_still(const struct db_check *c)
{
    return c->phase != CHECK_EXTENTS;
}

nq_rc
db_check_step(struct db_check *c, uint64_t budget_us)
{
    uint64_t until = clock_mono_us() + budget_us;
    nq_rc rc = NQ_OK;

    do {
        bool was_still = db_check_needs_still(c);

        if (c->phase == CHECK_EXTENTS)
            rc = step_extents(c);
        else if (c->phase == CHECK_SETTLE)
            rc = step_settle(c);
        else if (c->phase == CHECK_TREES)
            rc = step_trees(c);
        else if (c->phase == CHECK_INDEXES)
            rc = step_indexes(c);
        else
            rc = step_table(c);
        if (c->phase == CHECK_OVER)
            return c->stats.findings > 0 ? NQ_ECORRUPT : NQ_OK;
        if (was_still != db_check_needs_still(c))
            break; /* the caller sees to it */
    } while (rc == NQ_OK && db_check_wait_ms(c) == 0 &&
             clock_mono_us() < until);
    return rc == NQ_OK ? NQ_AGAIN : rc;
}

/* --- the check ----------------------------------------------------------- */

struct db_check *
db_check_new(struct db *db, const struct db_check_opts *opts)
{
    struct db_check *c = nq_calloc(1, sizeof *c);

    c->db = db;
    c->opts = *opts;
    return c;
}

const char *
db_check_progress(const struct db_check *c, uint64_t *done, uint64_t *total)
{
    struct frames_stats fs;
    struct sweep_progress p;

    if (c->phase == CHECK_EXTENTS && c->sweep != NULL) {
        sweep_get_progress(c->sweep, &p);
        *done = p.done;
        *total = p.total;
        return "extents";
    }
    *done = c->stats.pages;
    frames_get_stats(c->db->fr, &fs);
    *total = fs.pages;
    return c->phase == CHECK_TABLE ? "table" : "trees";
}

void
db_check_set_rate(struct db_check *c, uint64_t bytes_per_s)
{
    if (c->sweep != NULL)
        sweep_set_rate(c->sweep, bytes_per_s);
}

const struct db_check_stats *
db_check_get_stats(const struct db_check *c)
{
    return &c->stats;
}

void
db_check_free(struct db_check *c)
{
    if (c == NULL)
        return;
    sweep_free(c->sweep);
    store_check_free(c->table);
    index_check_free(c->index);
    check_walk_fini(c);
    nq_free(c->seen);
    nq_free(c->bad);
    nq_free(c);
}

nq_rc
db_check(struct db *db, const struct db_check_opts *opts,
         struct db_check_stats *out)
{
    struct db_check_opts whole = *opts;
    bool was = frames_set_blocking(db->fr, true);
    struct db_check *c;
    nq_rc rc, before = NQ_OK;

    whole.is_whole = true;
    c = db_check_new(db, &whole);
    for (;;) {
        rc = db_check_step(c, SLICE_US);
        if (rc != NQ_AGAIN && (rc != NQ_EPOOL || before == NQ_EPOOL))
            break;
        before = rc;
        if (db_check_wait_ms(c) != 0)
            store_wait(db->opts.store);
        frames_make_room(db->fr);
    }
    (void)frames_set_blocking(db->fr, was);
    *out = c->stats;
    db_check_free(c);
    return rc;
}
