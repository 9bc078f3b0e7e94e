/* cmd/plan.c - choosing between a range and an index.
 *
 * First the range is narrowed by what the WHERE says of $key.  Then each index
 * of the database whose prefix covers the range is asked how many entries it
 * has within the bounds that the WHERE sets for its path; counts come from the
 * ranks in the tree, so they are exact.  The cost of both ways is told in rows
 * of a scan:
 *
 *   range   each row 1, or as far as LIMIT lets it go, and its leaves read
 *           ahead if they are not in memory
 *   index   each entry COST_LOOKUP, and its leaf read by itself
 *
 *   P1  a plan never leaves out a row that the WHERE could be true for: terms
 *       that an index cannot tell are left to the test of the row
 *
 * Few entries are taken without counting the range.  Called by the engine of
 * queries and by EXPLAIN. */
#include "cmd/plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/frames.h"
#include "store/store.h"

#define FEW_ROWS 32u       /* of an index: taken at once */
#define ROWS_PER_LEAF 32.0 /* about */
#define ENTRIES_PER_LEAF 128.0
#define COST_LOOKUP 4.0 /* collect, look up, test; in rows of a scan */
#define COST_READ 150.0 /* of a page by itself */
#define COST_AHEAD 40.0 /* of a page while others are tested */

/* What is known while a plan is made. */
struct chooser {
    struct db *db;
    uint32_t dbi;
    const struct plan_query *q;
    struct arena *arena;
    struct plan *plan;
    const struct term *terms;
    unsigned count;
    double share; /* of rows that match, as far as the terms guess */
    bool has_unusable;
};

const char *
plan_kind_name(enum plan_kind kind)
{
    static const char *const names[] = {
        [PLAN_EMPTY] = "empty", [PLAN_SEEK] = "seek",   [PLAN_RANGE] = "range",
        [PLAN_SCAN] = "scan",   [PLAN_INDEX] = "index",
    };

    return names[kind];
}

/* --- the range ------------------------------------------------------------ */

static struct slice
with_byte(struct chooser *c, struct slice s, uint8_t byte)
{
    uint8_t *p = arena_alloc(c->arena, s.len + 1);

    memcpy(p, s.p, s.len);
    p[s.len] = byte;
    return slice_of(p, s.len + 1);
}

/* The least key above all that begin with `s`; false: there is none. */
static bool
successor(struct chooser *c, struct slice s, struct slice *out)
{
    uint8_t *p;

    while (s.len > 0 && s.p[s.len - 1] == 0xff)
        s.len--;
    if (s.len == 0)
        return false;
    p = arena_memdup(c->arena, s.p, s.len);
    p[s.len - 1]++;
    *out = slice_of(p, s.len);
    return true;
}

static void
raise_lo(struct plan *p, struct slice lo)
{
    if (slice_cmp(lo, p->lo) > 0)
        p->lo = lo;
}

static void
lower_hi(struct plan *p, struct slice hi)
{
    if (!p->has_hi || slice_cmp(hi, p->hi) < 0)
        p->hi = hi;
    p->has_hi = true;
}

static void
narrow_to(struct chooser *c, enum term_op op, struct slice v)
{
    struct plan *p = c->plan;
    struct slice end;

    switch (op) {
    case TERM_EQ:
        raise_lo(p, v);
        lower_hi(p, with_byte(c, v, 0));
        break;
    case TERM_LT:
        lower_hi(p, v);
        break;
    case TERM_LE:
        lower_hi(p, with_byte(c, v, 0));
        break;
    case TERM_GT:
        raise_lo(p, with_byte(c, v, 0));
        break;
    case TERM_GE:
        raise_lo(p, v);
        break;
    case TERM_PREFIX:
        raise_lo(p, v);
        if (successor(c, v, &end))
            lower_hi(p, end);
        break;
    case TERM_IN:
    case TERM_BETWEEN:
        break;
    }
}

static void
narrow_by(struct chooser *c, const struct term *t)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->values[i].kind != VALUE_TEXT)
            return;
    if (t->op == TERM_BETWEEN) {
        narrow_to(c, TERM_GE, t->values[0].text);
        narrow_to(c, TERM_LE, t->values[1].text);
    } else if (t->op != TERM_IN || t->count == 1) {
        narrow_to(c, t->op == TERM_IN ? TERM_EQ : t->op, t->values[0].text);
    }
}

static bool
is_key(const struct term *t)
{
    return slice_eq(t->path, slice_lit("$key"));
}

static void
narrow(struct chooser *c)
{
    c->plan->lo = c->q->lo;
    c->plan->has_hi = c->q->hi != NULL;
    if (c->plan->has_hi)
        c->plan->hi = *c->q->hi;
    c->share = 1;
    for (unsigned i = 0; i < c->count; i++) {
        if (is_key(&c->terms[i]))
            narrow_by(c, &c->terms[i]);
        else
            c->share *= c->terms[i].share;
    }
}

/* Whether one key alone can be in the range. */
static bool
is_one_key(const struct plan *p)
{
    return p->has_hi && p->hi.len == p->lo.len + 1 && p->hi.p[p->lo.len] == 0 &&
           slice_has_prefix(p->hi, p->lo);
}

static nq_rc
count_range(struct chooser *c)
{
    struct plan *p = c->plan;
    uint64_t below = 0, all = 0;
    struct btree *t = db_tree(c->db, c->dbi);
    nq_rc rc = p->lo.len > 0 ? btree_rank(t, p->lo, &below) : NQ_OK;

    if (rc == NQ_OK)
        rc = p->has_hi ? btree_rank(t, p->hi, &all) : btree_count(t, &all);
    p->rows_in_range = all > below ? all - below : 0;
    return rc;
}

/* --- bounds of an index --------------------------------------------------- */

static bool
bounds_of(enum index_kind kind, enum term_op op, const struct value *v,
          struct index_bounds *out)
{
    struct index_end none = {.value = NULL}, at = {.value = v};

    at.is_open = op == TERM_LT || op == TERM_GT;
    switch (op) {
    case TERM_LT:
    case TERM_LE:
        return index_bounds_between(kind, &none, &at, out);
    case TERM_GT:
    case TERM_GE:
        return index_bounds_between(kind, &at, &none, out);
    case TERM_BETWEEN:
        return index_bounds_between(kind, &at, &(struct index_end){v + 1, 0},
                                    out);
    case TERM_PREFIX:
        return index_bounds_prefix(kind, v, out);
    case TERM_EQ:
    case TERM_IN:
        break;
    }
    return index_bounds_between(kind, &at, &at, out);
}

/* *a becomes what both have; false: that is nothing. */
static bool
intersect(struct index_bounds *a, const struct index_bounds *b)
{
    if (slice_cmp(slice_of(b->lo, b->lo_len), slice_of(a->lo, a->lo_len)) > 0) {
        memcpy(a->lo, b->lo, b->lo_len);
        a->lo_len = b->lo_len;
    }
    if (slice_cmp(slice_of(b->hi, b->hi_len), slice_of(a->hi, a->hi_len)) < 0) {
        memcpy(a->hi, b->hi, b->hi_len);
        a->hi_len = b->hi_len;
    }
    return slice_cmp(slice_of(a->lo, a->lo_len), slice_of(a->hi, a->hi_len)) <
           0;
}

/* What the terms say of the path of an index. */
struct wanted {
    struct index_bounds *list; /* in the arena */
    unsigned count;
    bool is_told; /* any term can be told by the index */
    double rest;  /* share of what the other terms leave */
};

static void
add_bounds(struct wanted *w, const struct index_bounds *b)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct index_bounds both = w->list[i];

        if (intersect(&both, b))
            return; /* of IN: the same value once more */
    }
    w->list[w->count++] = *b;
}

/* The values of an IN within `all`; false: the index cannot tell each. */
static bool
want_values(enum index_kind kind, const struct term *t,
            const struct index_bounds *all, struct wanted *w)
{
    struct index_bounds b;

    if (t->count > PLAN_BOUNDS_MAX)
        return false;
    w->count = 0;
    for (unsigned i = 0; i < t->count; i++) {
        if (!bounds_of(kind, TERM_EQ, &t->values[i], &b))
            return false;
        if (intersect(&b, all))
            add_bounds(w, &b);
    }
    return true;
}

/* False: no value is as the terms want it. */
static bool
want(struct chooser *c, const struct index_def *def, struct wanted *w)
{
    struct index_end none = {.value = NULL};
    struct index_bounds all, b;
    const struct term *in = NULL;

    (void)index_bounds_between(def->kind, &none, &none, &all);
    *w = (struct wanted){.rest = 1};
    for (unsigned i = 0; i < c->count; i++) {
        const struct term *t = &c->terms[i];

        if (!slice_eq(t->path, def->path)) {
            w->rest *= is_key(t) ? 1 : t->share;
        } else if (t->op == TERM_IN && t->count > 1) {
            in = in == NULL ? t : in;
        } else if (bounds_of(def->kind, t->op, t->values, &b)) {
            w->is_told = true;
            if (!intersect(&all, &b))
                return false;
        }
    }
    if (!w->is_told && in == NULL)
        return true;
    w->list = arena_alloc(c->arena, PLAN_BOUNDS_MAX * sizeof *w->list);
    if (in != NULL && want_values(def->kind, in, &all, w)) {
        w->is_told = true;
        return w->count > 0;
    }
    w->count = 0;
    add_bounds(w, &all);
    return true;
}

/* --- choosing ------------------------------------------------------------- */

static bool
covers(struct chooser *c, struct slice prefix)
{
    const struct plan *p = c->plan;
    struct slice end;

    if (prefix.len == 0)
        return true;
    if (!slice_has_prefix(p->lo, prefix) || !p->has_hi)
        return false;
    /* hi begins with the prefix, or is the first key behind it. */
    return slice_has_prefix(p->hi, prefix) ||
           (successor(c, prefix, &end) && slice_cmp(p->hi, end) <= 0);
}

static nq_rc
count_wanted(struct index *ix, const struct wanted *w, uint64_t *out)
{
    nq_rc rc = NQ_OK;

    *out = 0;
    for (unsigned i = 0; i < w->count && rc == NQ_OK; i++) {
        uint64_t n;

        rc = index_count(ix, &w->list[i], &n);
        *out += n;
    }
    return rc;
}

/* Takes the index into the plan if it tells fewer rows than the best so far;
 * *is_empty: no row can match. */
static nq_rc
consider(struct chooser *c, struct index *ix, bool *is_empty)
{
    struct plan *p = c->plan;
    struct index_def def;
    struct wanted w;
    uint64_t n;
    nq_rc rc;

    index_get_def(ix, &def);
    if (def.dbi != c->dbi || !covers(c, def.prefix))
        return NQ_OK;
    if (!want(c, &def, &w)) {
        *is_empty = index_is_usable(ix);
        return NQ_OK;
    }
    if (!w.is_told)
        return NQ_OK;
    if (!index_is_usable(ix)) {
        c->has_unusable = true;
        return NQ_OK;
    }
    if ((rc = count_wanted(ix, &w, &n)) != NQ_OK)
        return rc == NQ_MISS || rc == NQ_EPOOL ? rc : NQ_OK;
    if (p->index != NULL && n >= p->index_rows)
        return NQ_OK;
    p->index = ix;
    p->index_name = def.name;
    p->index_rows = n;
    p->bounds = w.list;
    p->bounds_count = w.count;
    c->share = w.rest;
    return NQ_OK;
}

static nq_rc
find_index(struct chooser *c, bool *is_empty)
{
    struct index *ix;
    nq_rc rc = NQ_OK;

    if (c->q->no_index || c->count == 0)
        return NQ_OK;
    for (unsigned i = 0;
         rc == NQ_OK && !*is_empty && (ix = db_index_at(c->db, i)) != NULL; i++)
        rc = consider(c, ix, is_empty);
    return rc;
}

/* The part of the database's pages that is not in memory. */
static double
share_missing(struct chooser *c)
{
    struct frames_stats fs;

    frames_get_stats(store_frames(db_store(c->db)), &fs);
    if (fs.pages == 0 || fs.frames_used >= fs.pages)
        return 0;
    return 1 - (double)fs.frames_used / (double)fs.pages;
}

static double
cost_of_range(struct plan *p, double rows, double missing)
{
    p->pages = (uint64_t)(rows / ROWS_PER_LEAF) + 1;
    return rows + missing * COST_AHEAD * (double)p->pages;
}

static double
cost_of_index(struct plan *p, double rows, double missing)
{
    double leaves = (double)p->rows_in_range / ROWS_PER_LEAF + 1;
    double pages = nq_min(rows, leaves) + rows / ENTRIES_PER_LEAF + 1;

    p->pages = (uint64_t)pages;
    return rows * COST_LOOKUP + missing * COST_READ * pages;
}

static void
take_index(struct chooser *c, double cost)
{
    struct plan *p = c->plan;

    p->kind = PLAN_INDEX;
    p->why = WHY_INDEX_CHEAPER;
    p->rows = p->index_rows;
    p->matches = (uint64_t)((double)p->index_rows * c->share);
    p->cost = cost;
    p->index_name =
        slice_of(arena_memdup(c->arena, p->index_name.p, p->index_name.len),
                 p->index_name.len);
}

static void
take_range(struct chooser *c)
{
    struct plan *p = c->plan;
    double missing = share_missing(c), rows = (double)p->rows_in_range;
    double matches =
        (p->index == NULL ? rows : (double)p->index_rows) * c->share;
    double by_index;

    if (c->q->wanted < UINT64_MAX && matches > (double)c->q->wanted)
        rows *= (double)c->q->wanted / matches;
    p->kind = p->lo.len == 0 && !p->has_hi ? PLAN_SCAN : PLAN_RANGE;
    p->rows = (uint64_t)rows;
    p->matches = (uint64_t)nq_min(matches, (double)c->q->wanted);
    p->why = c->q->where == NULL                   ? WHY_NO_WHERE
             : c->q->no_index                      ? WHY_NOT_ASKED
             : p->index == NULL && c->has_unusable ? WHY_NOT_USABLE
             : p->index == NULL                    ? WHY_NO_INDEX
                                                   : WHY_RANGE_CHEAPER;
    p->cost = cost_of_range(p, rows, missing);
    if (p->index == NULL)
        return;
    by_index = cost_of_index(p, (double)p->index_rows, missing);
    if (by_index < p->cost)
        take_index(c, by_index);
    else
        (void)cost_of_range(p, rows, missing);
}

static nq_rc
nothing(struct plan *p, enum plan_why why)
{
    p->kind = PLAN_EMPTY;
    p->why = why;
    p->rows = p->matches = p->pages = p->rows_in_range = 0;
    return NQ_OK;
}

nq_rc
plan_choose(struct db *db, uint32_t dbi, const struct plan_query *q,
            struct arena *arena, struct plan *out)
{
    struct chooser c = {
        .db = db, .dbi = dbi, .q = q, .arena = arena, .plan = out};
    bool is_empty = false;
    nq_rc rc;

    *out = (struct plan){.rows_in_range = UINT64_MAX};
    if (q->where != NULL)
        c.count = program_terms(q->where, &c.terms);
    narrow(&c);
    if (out->has_hi && slice_cmp(out->lo, out->hi) >= 0)
        return nothing(out, WHY_EMPTY);
    if (is_one_key(out)) {
        out->kind = PLAN_SEEK;
        out->why = WHY_ONE_KEY;
        out->rows = out->matches = out->rows_in_range = out->pages = 1;
        out->cost = 1;
        return NQ_OK;
    }
    if ((rc = find_index(&c, &is_empty)) != NQ_OK)
        return rc;
    if (is_empty)
        return nothing(out, WHY_CONTRADICTION);
    if (out->index != NULL && out->index_rows <= FEW_ROWS && !q->needs_counts) {
        out->pages = out->index_rows + 1;
        take_index(&c, COST_LOOKUP * (double)out->index_rows);
        return NQ_OK;
    }
    if ((rc = count_range(&c)) != NQ_OK)
        return rc;
    take_range(&c);
    return NQ_OK;
}

/* --- what is told --------------------------------------------------------- */

const char *
plan_reason(const struct plan *p, char dst[PLAN_REASON_MAX])
{
    static const char *const texts[] = {
        [WHY_NO_WHERE] = "all rows of the range are wanted",
        [WHY_ONE_KEY] = "one key can match",
        [WHY_EMPTY] = "no key can be in the range",
        [WHY_CONTRADICTION] = "no value can be as the conditions want it",
        [WHY_NO_INDEX] = "no index of a covering prefix on what is compared",
        [WHY_NOT_ASKED] = "indexes are left aside",
        [WHY_NOT_USABLE] = ("the index is not complete, damaged, or has rows "
                            "with long keys"),
    };

    if (p->why != WHY_RANGE_CHEAPER && p->why != WHY_INDEX_CHEAPER)
        return texts[p->why];
    if (p->rows_in_range == UINT64_MAX)
        snprintf(dst, PLAN_REASON_MAX, "index %.*s tells %" PRIu64 " rows",
                 (int)p->index_name.len, (const char *)p->index_name.p,
                 p->index_rows);
    else
        snprintf(dst, PLAN_REASON_MAX,
                 "index %.*s tells %" PRIu64 " of %" PRIu64 " rows%s",
                 (int)p->index_name.len, (const char *)p->index_name.p,
                 p->index_rows, p->rows_in_range,
                 p->why == WHY_RANGE_CHEAPER ? "; reading the range costs less"
                                             : "");
    return dst;
}

struct index_reader *
plan_reader(struct db *db, const struct plan *p, bool reverse)
{
    struct index_read what = {.index = p->index,
                              .bounds = p->bounds,
                              .count = p->bounds_count,
                              .lo = p->lo,
                              .hi = p->has_hi ? &p->hi : NULL,
                              .reverse = reverse};

    nq_assert(p->kind == PLAN_INDEX);
    return index_reader_new(db, &what);
}
