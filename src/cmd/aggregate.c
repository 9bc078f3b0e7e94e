/* cmd/aggregate.c - sums of rows in groups.
 *
 * A part is a hash table of groups by name.  A group has a cell for each item
 * of the spec, COUNT's being unused.
 *
 *   A1  whatever the order in which rows are added and parts are merged, the
 *       same groups and cells come out: sums are exact, and of numbers that are
 *       equal but spelled differently the one with the lesser text is kept
 *   A2  groups stand in the arena, so that many of them go at once; cells that
 *       need more are rare, and has_more says whether there are any
 *   A3  a failure leaves the part good for nothing but being freed
 *
 * Called by cmd_aggregate.c, on workers and on the loop. */
#include "cmd/aggregate.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct aggregate_part {
    const struct aggregate_spec *spec; /* may be gone when it is freed */
    uint32_t cells;                    /* of a group */
    struct hash groups;
    struct arena arena; /* of the groups */
    size_t bytes;
    bool has_more;   /* cells with memory of their own */
    struct buf name; /* of the row that is added */
    struct buf text;
    struct aggregate_group *last; /* rows of a group often follow each other */
    struct aggregate_group **sorted;
};

static const char *const op_names[] = {[AGGREGATE_COUNT] = "count",
                                       [AGGREGATE_SUM] = "sum",
                                       [AGGREGATE_MIN] = "min",
                                       [AGGREGATE_MAX] = "max",
                                       [AGGREGATE_AVG] = "avg"};

const char *
aggregate_op_name(enum aggregate_op op)
{
    return op_names[op];
}

struct slice
aggregate_best_text(const struct aggregate_best *best)
{
    return slice_of(best->more != NULL ? best->more : best->bytes, best->len);
}

/* --- what is wanted ------------------------------------------------------- */

void
aggregate_spec_fini(struct aggregate_spec *spec)
{
    for (uint32_t i = 0; i < spec->path_count; i++)
        path_free(spec->paths[i]);
    path_free(spec->group);
    buf_fini(&spec->separator);
    *spec = (struct aggregate_spec){0};
}

/* Its place among the paths. */
static uint32_t
take_path(struct aggregate_spec *spec, struct path *path)
{
    uint32_t i = 0;

    while (i < spec->path_count &&
           !slice_eq(path_text(spec->paths[i]), path_text(path)))
        i++;
    if (i < spec->path_count)
        path_free(path);
    else
        spec->paths[spec->path_count++] = path;
    return i;
}

bool
aggregate_spec_add(struct aggregate_spec *spec, enum aggregate_op op,
                   struct path *path)
{
    if (spec->count == AGGREGATE_ITEMS_MAX) {
        path_free(path);
        return false;
    }
    spec->items[spec->count++] = (struct aggregate_item){
        .op = op, .path = path == NULL ? 0 : take_path(spec, path)};
    return true;
}

unsigned
aggregate_needs(const struct aggregate_spec *spec)
{
    unsigned needs = ROW_KEY;

    for (uint32_t i = 0; i < spec->path_count; i++)
        needs |= path_needs(spec->paths[i]);
    return spec->group == NULL ? needs : needs | path_needs(spec->group);
}

/* --- groups --------------------------------------------------------------- */

struct aggregate_part *
aggregate_part_new(const struct aggregate_spec *spec)
{
    struct aggregate_part *p = nq_calloc(1, sizeof *p);

    p->spec = spec;
    p->cells = spec->count;
    return p;
}

static void
free_more(struct hash_node *node, void *arg)
{
    struct aggregate_part *p = arg;
    struct aggregate_group *g =
        nq_container(node, struct aggregate_group, node);

    for (uint32_t i = 0; i < p->cells; i++) {
        exact_sum_fini(&g->cells[i].sum);
        nq_free(g->cells[i].best.more);
    }
}

void
aggregate_part_free(struct aggregate_part *p)
{
    if (p == NULL)
        return;
    if (p->has_more)
        hash_each(&p->groups, free_more, p);
    hash_fini(&p->groups);
    arena_fini(&p->arena);
    buf_fini(&p->name);
    buf_fini(&p->text);
    nq_free(p->sorted);
    nq_free(p);
}

struct group_name {
    struct slice name;
    bool is_null;
};

static bool
is_named(const struct hash_node *node, const void *key)
{
    const struct aggregate_group *g =
        (const void *)((const uint8_t *)node -
                       offsetof(struct aggregate_group, node));
    const struct group_name *n = key;

    return g->is_null == n->is_null && slice_eq(g->name, n->name);
}

static size_t
group_size(const struct aggregate_spec *spec, size_t name_len)
{
    return sizeof(struct aggregate_group) +
           spec->count * sizeof(struct aggregate_cell) + name_len;
}

static struct aggregate_group *
group_new(struct aggregate_part *p, const struct group_name *n, uint64_t hv)
{
    const struct aggregate_spec *spec = p->spec;
    size_t size = group_size(spec, n->name.len);
    struct aggregate_group *g = arena_alloc(&p->arena, size);
    uint8_t *name = (uint8_t *)&g->cells[spec->count];

    memset(g, 0, size - n->name.len);
    if (n->name.len > 0)
        memcpy(name, n->name.p, n->name.len);
    g->name = slice_of(name, n->name.len);
    g->is_null = n->is_null;
    hash_insert(&p->groups, &g->node, hv);
    p->bytes += size;
    return g;
}

static nq_rc
find_group(struct aggregate_part *p, const struct group_name *n,
           struct aggregate_group **out)
{
    struct hash_node *node;
    uint64_t hv;

    if (p->last != NULL && is_named(&p->last->node, n)) {
        *out = p->last;
        return NQ_OK;
    }
    hv = hash_bytes(n->name);
    node = hash_find(&p->groups, hv, is_named, n);
    if (node != NULL)
        *out = nq_container(node, struct aggregate_group, node);
    else if (p->groups.count >= AGGREGATE_GROUPS_MAX)
        return NQ_ELIMIT;
    else
        *out = group_new(p, n, hv);
    p->last = *out;
    return p->bytes > AGGREGATE_BYTES_MAX ? NQ_ETOOMUCH : NQ_OK;
}

/* --- the group of a row --------------------------------------------------- */

static const uint8_t *
find_separator(struct slice s, struct slice sep)
{
    return memmem(s.p, s.len, sep.p, sep.len);
}

/* Part number spec->nth of the key; false: it has not so many. */
static bool
key_part(const struct aggregate_spec *spec, struct slice key, struct slice *out)
{
    struct slice sep = buf_slice(&spec->separator);
    const uint8_t *end = find_separator(key, sep);

    for (uint64_t i = 1; i < spec->nth; i++) {
        size_t skip;

        if (end == NULL)
            return false;
        skip = (size_t)(end - key.p) + sep.len;
        key = slice_of(key.p + skip, key.len - skip);
        end = find_separator(key, sep);
    }
    *out = slice_of(key.p, end == NULL ? key.len : (size_t)(end - key.p));
    return true;
}

static struct group_name
name_of(const struct aggregate_spec *spec, const struct row *r,
        struct row_scratch *s, struct buf *room)
{
    struct group_name n = {slice_lit(""), false};

    switch (spec->by) {
    case AGGREGATE_ALL:
        break;
    case AGGREGATE_BY_KEY:
        n.is_null = !key_part(spec, r->key, &n.name);
        break;
    case AGGREGATE_BY_PATH:
        buf_clear(room);
        n.is_null = !path_bytes(spec->group, r, s, room);
        n.name = n.is_null ? n.name : buf_slice(room);
        break;
    }
    return n;
}

/* --- cells ---------------------------------------------------------------- */

static bool
as_number(const struct value *v, double *out)
{
    *out = v->number;
    return v->kind == VALUE_NUMBER ||
           (v->kind == VALUE_BYTES && value_number_of(v->text, out));
}

/* The cell has memory of its own, perhaps from now on. */
static void
note_more(struct aggregate_part *p, size_t bytes)
{
    p->has_more = true;
    p->bytes += bytes;
}

static void
add_number(struct aggregate_part *p, struct aggregate_cell *c,
           const struct value *v)
{
    bool had_more = c->sum.more != NULL;
    double number;
    int64_t whole;

    if (v->kind == VALUE_BYTES && slice_to_i64(v->text, &whole))
        exact_sum_add_int(&c->sum, whole);
    else if (as_number(v, &number))
        exact_sum_add(&c->sum, number);
    else
        return;
    c->numbers++;
    if (c->sum.more != NULL && !had_more)
        note_more(p, c->sum.cap * sizeof(double));
}

/* Whether something of that kind, number and text takes the place of `best`;
 * a text not known yet is NULL: of numbers that are equal it decides. */
static bool
is_better(const struct aggregate_best *best, enum aggregate_op op,
          bool is_number, double number, const struct slice *text)
{
    int c = 0;

    if (!best->has || best->is_number != is_number)
        return !best->has || is_number;
    if (is_number)
        c = number < best->number ? -1 : number > best->number;
    if (c == 0 && is_number)
        return text == NULL || slice_cmp(*text, aggregate_best_text(best)) < 0;
    if (c == 0)
        c = slice_cmp(*text, aggregate_best_text(best));
    return op == AGGREGATE_MIN ? c < 0 : c > 0;
}

static void
set_best(struct aggregate_part *p, struct aggregate_best *best, bool is_number,
         double number, struct slice text)
{
    best->has = true;
    best->is_number = is_number;
    best->number = number;
    if (best->more != NULL)
        p->bytes -= best->len;
    nq_free(best->more);
    best->more = NULL;
    best->len = (uint32_t)text.len;
    if (text.len > AGGREGATE_SHORT) {
        best->more = nq_malloc(text.len);
        note_more(p, text.len);
    }
    if (text.len > 0)
        memcpy(best->more != NULL ? best->more : best->bytes, text.p, text.len);
}

/* The text of a number is asked for only if it may be wanted. */
static void
add_best(struct aggregate_part *p, struct aggregate_cell *c,
         enum aggregate_op op, const struct value *v, const struct path *path,
         const struct row *r, struct row_scratch *s)
{
    double number = 0;
    bool is_number = as_number(v, &number);
    struct slice text = v->text;

    if (!is_number && v->kind != VALUE_TEXT && v->kind != VALUE_BYTES)
        return;
    if (is_number && !is_better(&c->best, op, true, number, NULL))
        return;
    if (is_number) {
        buf_clear(&p->text);
        (void)path_bytes(path, r, s, &p->text);
        text = buf_slice(&p->text);
    }
    if (is_better(&c->best, op, is_number, number, &text))
        set_best(p, &c->best, is_number, number, text);
}

static void
add_item(struct aggregate_part *p, struct aggregate_cell *c,
         const struct aggregate_item *item, const struct value *values,
         const struct row *r, struct row_scratch *s)
{
    switch (item->op) {
    case AGGREGATE_COUNT:
        break;
    case AGGREGATE_SUM:
    case AGGREGATE_AVG:
        add_number(p, c, &values[item->path]);
        break;
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
        add_best(p, c, item->op, &values[item->path],
                 p->spec->paths[item->path], r, s);
        break;
    }
}

nq_rc
aggregate_add(const struct aggregate_spec *spec, struct aggregate_part *p,
              const struct row *r, struct row_scratch *s)
{
    struct value values[AGGREGATE_ITEMS_MAX];
    struct buf room = BUF_INIT;
    struct aggregate_group *g;
    struct group_name name;
    nq_rc rc;

    for (uint32_t i = 0; i < spec->path_count; i++)
        values[i] = path_value(spec->paths[i], r, s);
    name = name_of(spec, r, s, p == NULL ? &room : &p->name);
    buf_fini(&room);
    if (p == NULL)
        return NQ_OK;
    if ((rc = find_group(p, &name, &g)) != NQ_OK)
        return rc;
    g->rows++;
    for (uint32_t i = 0; i < spec->count; i++)
        add_item(p, &g->cells[i], &spec->items[i], values, r, s);
    return NQ_OK;
}

/* --- merging -------------------------------------------------------------- */

static void
merge_cell(struct aggregate_part *into, struct aggregate_cell *c,
           enum aggregate_op op, const struct aggregate_cell *from)
{
    const struct aggregate_best *best = &from->best;
    struct slice text = aggregate_best_text(best);

    c->numbers += from->numbers;
    exact_sum_join(&c->sum, &from->sum);
    into->has_more |= c->sum.more != NULL;
    if (best->has &&
        is_better(&c->best, op, best->is_number, best->number, &text))
        set_best(into, &c->best, best->is_number, best->number, text);
}

struct merging {
    struct aggregate_part *into, *from;
    nq_rc rc;
};

static void
merge_group(struct hash_node *node, void *arg)
{
    struct merging *m = arg;
    struct aggregate_group *from =
        nq_container(node, struct aggregate_group, node);
    struct group_name name = {from->name, from->is_null};
    struct aggregate_group *g;

    if (m->rc != NQ_OK || (m->rc = find_group(m->into, &name, &g)) != NQ_OK)
        return;
    g->rows += from->rows;
    for (uint32_t i = 0; i < m->into->spec->count; i++)
        merge_cell(m->into, &g->cells[i], m->into->spec->items[i].op,
                   &from->cells[i]);
}

nq_rc
aggregate_merge(struct aggregate_part *into, struct aggregate_part *from)
{
    struct merging m = {into, from, NQ_OK};

    hash_each(&from->groups, merge_group, &m);
    aggregate_part_free(from);
    return m.rc;
}

/* --- the result ----------------------------------------------------------- */

struct filling {
    struct aggregate_group **at;
};

static void
fill_one(struct hash_node *node, void *arg)
{
    struct filling *f = arg;

    *f->at++ = nq_container(node, struct aggregate_group, node);
}

static int
compare(const void *a, const void *b)
{
    const struct aggregate_group *x = *(struct aggregate_group *const *)a;
    const struct aggregate_group *y = *(struct aggregate_group *const *)b;

    if (x->is_null != y->is_null)
        return x->is_null ? -1 : 1;
    return slice_cmp(x->name, y->name);
}

void
aggregate_sort(struct aggregate_part *p)
{
    size_t n = p->groups.count;
    struct filling f;

    nq_assert(p->sorted == NULL);
    if (n == 0)
        return;
    p->sorted = nq_malloc(n * sizeof(struct aggregate_group *));
    f.at = p->sorted;
    hash_each(&p->groups, fill_one, &f);
    qsort(p->sorted, n, sizeof(struct aggregate_group *), compare);
}

const struct aggregate_group *
aggregate_group_at(const struct aggregate_part *p, size_t i)
{
    return i < p->groups.count ? p->sorted[i] : NULL;
}

size_t
aggregate_group_count(const struct aggregate_part *p)
{
    return p->groups.count;
}

size_t
aggregate_bytes(const struct aggregate_part *p)
{
    return sizeof *p + p->bytes +
           p->groups.count * sizeof(struct aggregate_group *);
}
