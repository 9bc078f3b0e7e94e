/* cmd/rdb_stream.c - streams in payloads, both ways.
 *
 *   length of nodes | each: string of 16 bytes, the id of its master entry
 *                     (big-endian) | string that holds a listpack
 *   entries | last ms | last seq                              (lengths, all)
 *   from STREAM_2 on: first ms | seq | max deleted ms | seq | entries added
 *   groups | each: string name | last ms | seq | from STREAM_2 on: entries
 *     read, all ones: not known
 *     pending | each: id of 16 bytes, big-endian | u64 delivered ms |
 *       deliveries
 *     consumers | each: string name | u64 seen ms | STREAM_3: u64 active ms |
 *       pending | ids of 16 bytes
 *
 *   node      entries | deleted | master fields | names | 0, then entries:
 *             flags | ms less the master's | seq less the master's |
 *             with SAME_FIELDS: values; else: fields | field, value ... |
 *             elements of this entry but this last one
 *
 * Entries flagged as deleted are left out.  We write nodes of NODE_ENTRIES
 * entries, whose master is their first, and STREAM_2.  Called by rdb.c. */
#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/rdb_int.h"

#define NODE_ENTRIES 100
#define ID_SIZE 16
enum { ENTRY_DELETED = 1, ENTRY_SAME_FIELDS = 2 };

/* --- reading: nodes ------------------------------------------------------ */

/* The elements of one node, read one after the other. */
struct node {
    struct slices items;
    uint64_t at;
    struct rdb_id master;
    const struct slice *names;
    uint64_t name_count;
};

static bool
node_int(struct node *n, int64_t *v)
{
    return n->at < n->items.count && slice_to_i64(n->items.at[n->at++], v);
}

static bool
node_count(struct node *n, uint64_t *v)
{
    int64_t i;

    if (!node_int(n, &i) || i < 0 || (uint64_t)i > n->items.count - n->at)
        return false;
    *v = (uint64_t)i;
    return true;
}

static bool
begin_node(struct node *n, uint64_t *entries, uint64_t *deleted)
{
    int64_t end;

    if (!node_count(n, entries) || !node_count(n, deleted) ||
        !node_count(n, &n->name_count))
        return false;
    n->names = n->items.at + n->at;
    n->at += n->name_count;
    return node_int(n, &end) && end == 0;
}

/* Values only; the names are the master's. */
static bool
get_same_fields(struct node *n, struct rdb_entry *e)
{
    struct slice *fields;

    if (n->name_count > n->items.count - n->at)
        return false;
    fields =
        arena_alloc(n->items.arena, (2 * n->name_count + 1) * sizeof *fields);
    for (uint64_t i = 0; i < n->name_count; i++) {
        fields[2 * i] = n->names[i];
        fields[2 * i + 1] = n->items.at[n->at++];
    }
    e->fields = fields;
    e->count = 2 * n->name_count;
    return true;
}

static bool
get_own_fields(struct node *n, struct rdb_entry *e)
{
    uint64_t fields;

    if (!node_count(n, &fields) || fields > (n->items.count - n->at) / 2)
        return false;
    e->fields = n->items.at + n->at;
    e->count = 2 * fields;
    n->at += e->count;
    return true;
}

static bool
get_entry(struct node *n, struct rdb_entry *e, bool *is_deleted)
{
    int64_t flags, ms, seq, elements;

    if (!node_int(n, &flags) || !node_int(n, &ms) || !node_int(n, &seq))
        return false;
    *is_deleted = (flags & ENTRY_DELETED) != 0;
    e->id.ms = n->master.ms + (uint64_t)ms;
    e->id.seq = n->master.seq + (uint64_t)seq;
    if ((flags & ENTRY_SAME_FIELDS) != 0 ? !get_same_fields(n, e)
                                         : !get_own_fields(n, e))
        return false;
    return e->count > 0 && node_int(n, &elements);
}

static bool
is_above(struct rdb_id a, struct rdb_id b)
{
    return a.ms > b.ms || (a.ms == b.ms && a.seq > b.seq);
}

struct entries {
    struct rdb_entry *at;
    uint64_t count, cap;
};

static void
entries_put(struct arena *arena, struct entries *all, const struct rdb_entry *e)
{
    if (all->count == all->cap) {
        uint64_t cap = nq_max(16u, 2 * all->cap);
        struct rdb_entry *more = arena_alloc(arena, cap * sizeof *more);

        if (all->count > 0)
            memcpy(more, all->at, all->count * sizeof *more);
        all->at = more;
        all->cap = cap;
    }
    all->at[all->count++] = *e;
}

static struct rdb_id
id_of(const uint8_t *p)
{
    struct rdb_id id = {0, 0};

    for (unsigned i = 0; i < 8; i++) {
        id.ms = id.ms << 8 | p[i];
        id.seq = id.seq << 8 | p[8 + i];
    }
    return id;
}

static bool
get_node(struct rdb_reader *r, struct entries *all)
{
    struct node n = {.items = {.arena = r->arena, .max = r->items}};
    uint64_t live, deleted;
    struct slice key, packed;

    if (!rdb_get_string(r, &key) || key.len != ID_SIZE ||
        !rdb_get_string(r, &packed) || !listpack_decode(packed, &n.items) ||
        n.items.is_overfull || !begin_node(&n, &live, &deleted))
        return false;
    r->items -= n.items.count;
    n.master = id_of(key.p);
    for (uint64_t i = live + deleted; i > 0; i--) {
        struct rdb_entry e;
        bool is_deleted;

        if (!get_entry(&n, &e, &is_deleted) ||
            (all->count > 0 && !is_above(e.id, all->at[all->count - 1].id)))
            return false;
        if (!is_deleted)
            entries_put(r->arena, all, &e);
    }
    return n.at == n.items.count;
}

/* --- reading: groups ----------------------------------------------------- */

static bool
get_id(struct rdb_reader *r, struct rdb_id *id)
{
    return rdb_get_length(r, &id->ms) && rdb_get_length(r, &id->seq);
}

static bool
get_raw_id(struct rdb_reader *r, struct rdb_id *id)
{
    struct slice s;

    if (!cursor_get_bytes(&r->c, ID_SIZE, &s))
        return false;
    *id = id_of(s.p);
    return true;
}

static struct rdb_pending *
find_pending(const struct rdb_group *g, struct rdb_id id)
{
    uint64_t lo = 0, hi = g->pending_count;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (is_above(id, g->pending[mid].id))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < g->pending_count && !is_above(g->pending[lo].id, id)
               ? &g->pending[lo]
               : NULL;
}

static bool
get_all_pending(struct rdb_reader *r, struct rdb_group *g)
{
    uint64_t n;

    if (!rdb_get_count(r, ID_SIZE + 9, &n))
        return false;
    g->pending = arena_alloc(r->arena, (n + 1) * sizeof *g->pending);
    for (; g->pending_count < n; g->pending_count++) {
        struct rdb_pending *p = &g->pending[g->pending_count];

        p->consumer = RDB_NOBODY;
        if (!get_raw_id(r, &p->id) ||
            !cursor_get_u64(&r->c, &p->delivered_ms) ||
            !rdb_get_length(r, &p->deliveries) ||
            (g->pending_count > 0 && !is_above(p->id, p[-1].id)))
            return false;
    }
    return true;
}

static bool
get_consumer(struct rdb_reader *r, uint8_t type, struct rdb_group *g,
             uint64_t number)
{
    struct rdb_consumer *c = &g->consumers[number];
    struct rdb_id id;
    uint64_t n;

    if (!rdb_get_string(r, &c->name) || !cursor_get_u64(&r->c, &c->seen_ms))
        return false;
    c->active_ms = c->seen_ms;
    if (type == RDB_STREAM_3 && !cursor_get_u64(&r->c, &c->active_ms))
        return false;
    if (!rdb_get_count(r, ID_SIZE, &n))
        return false;
    for (; n > 0; n--) {
        struct rdb_pending *p;

        if (!get_raw_id(r, &id) || (p = find_pending(g, id)) == NULL ||
            p->consumer != RDB_NOBODY)
            return false;
        p->consumer = number;
    }
    return true;
}

static bool
get_group(struct rdb_reader *r, uint8_t type, struct rdb_group *g)
{
    uint64_t read = UINT64_MAX, consumers;

    *g = (struct rdb_group){.entries_read = -1};
    if (!rdb_get_string(r, &g->name) || !get_id(r, &g->last) ||
        (type != RDB_STREAM_1 && !rdb_get_length(r, &read)))
        return false;
    g->entries_read = (int64_t)read;
    if (!get_all_pending(r, g) || !rdb_get_count(r, 10, &consumers))
        return false;
    g->consumers =
        arena_alloc(r->arena, (consumers + 1) * sizeof *g->consumers);
    for (; g->consumer_count < consumers; g->consumer_count++)
        if (!get_consumer(r, type, g, g->consumer_count))
            return false;
    for (uint64_t i = 0; i < g->pending_count; i++)
        if (g->pending[i].consumer == RDB_NOBODY)
            return false;
    return g->entries_read >= -1;
}

/* How many entries a group has read that was delivered `last`; -1: there is
 * no telling. */
static int64_t
guess_read(const struct rdb_stream *s, struct rdb_id last)
{
    if (s->count == 0 || is_above(s->first, last))
        return 0;
    if (!is_above(last, s->last) && !is_above(s->last, last))
        return (int64_t)s->entries_added;
    return !is_above(last, s->first) ? 1 : -1;
}

static bool
get_groups(struct rdb_reader *r, uint8_t type, struct rdb_stream *s)
{
    uint64_t n;

    if (!rdb_get_count(r, 5, &n))
        return false;
    s->groups = arena_alloc(r->arena, (n + 1) * sizeof *s->groups);
    for (; s->group_count < n; s->group_count++) {
        struct rdb_group *g = &s->groups[s->group_count];

        if (!get_group(r, type, g))
            return false;
        if (type == RDB_STREAM_1)
            g->entries_read = guess_read(s, g->last);
    }
    return true;
}

/* What STREAM_1 did not tell: as if nothing had ever been deleted. */
static void
fill_facts(struct rdb_stream *s)
{
    if (s->count > 0)
        s->first = s->entries[0].id;
    s->max_deleted = (struct rdb_id){0, 0};
    s->entries_added = s->count;
}

bool
rdb_get_stream(struct rdb_reader *r, uint8_t type, struct rdb_value *v)
{
    struct rdb_stream *s = arena_alloc(r->arena, sizeof *s);
    struct entries all = {.count = 0};
    uint64_t nodes, length;

    *s = (struct rdb_stream){.count = 0};
    v->stream = s;
    if (!rdb_get_count(r, 2, &nodes))
        return false;
    for (; nodes > 0; nodes--)
        if (!get_node(r, &all))
            return false;
    s->entries = all.at;
    s->count = all.count;
    if (!rdb_get_length(r, &length) || length != s->count ||
        !get_id(r, &s->last) ||
        (s->count > 0 && is_above(s->entries[s->count - 1].id, s->last)))
        return false;
    if (type == RDB_STREAM_1)
        fill_facts(s);
    else if (!get_id(r, &s->first) || !get_id(r, &s->max_deleted) ||
             !rdb_get_length(r, &s->entries_added))
        return false;
    return get_groups(r, type, s);
}

/* --- writing ------------------------------------------------------------- */

static void
put_raw_id(struct buf *out, struct rdb_id id)
{
    for (unsigned i = 0; i < 8; i++)
        buf_put_u8(out, (uint8_t)(id.ms >> (56 - 8 * i)));
    for (unsigned i = 0; i < 8; i++)
        buf_put_u8(out, (uint8_t)(id.seq >> (56 - 8 * i)));
}

static bool
has_names_of(const struct rdb_entry *e, const struct rdb_entry *master)
{
    if (e->count != master->count)
        return false;
    for (uint64_t i = 0; i < e->count; i += 2)
        if (!slice_eq(e->fields[i], master->fields[i]))
            return false;
    return true;
}

static void
put_entry(struct listpack *lp, const struct rdb_entry *e,
          const struct rdb_entry *master)
{
    bool is_same = has_names_of(e, master);
    uint32_t before = lp->count;

    listpack_put_int(lp, is_same ? ENTRY_SAME_FIELDS : 0);
    listpack_put_int(lp, (int64_t)(e->id.ms - master->id.ms));
    listpack_put_int(lp, (int64_t)(e->id.seq - master->id.seq));
    if (!is_same)
        listpack_put_int(lp, (int64_t)(e->count / 2));
    for (uint64_t i = is_same ? 1 : 0; i < e->count; i += is_same ? 2 : 1)
        listpack_put(lp, e->fields[i]);
    listpack_put_int(lp, (int64_t)(lp->count - before));
}

static void
put_node(struct buf *out, const struct rdb_entry *entries, uint64_t n)
{
    struct buf b = BUF_INIT;
    struct listpack lp = listpack_begin(&b);

    listpack_put_int(&lp, (int64_t)n);
    listpack_put_int(&lp, 0);
    listpack_put_int(&lp, (int64_t)(entries[0].count / 2));
    for (uint64_t i = 0; i < entries[0].count; i += 2)
        listpack_put(&lp, entries[0].fields[i]);
    listpack_put_int(&lp, 0);
    for (uint64_t i = 0; i < n; i++)
        put_entry(&lp, &entries[i], &entries[0]);
    listpack_end(&lp);
    rdb_put_length(out, ID_SIZE);
    put_raw_id(out, entries[0].id);
    rdb_put_length(out, b.len);
    buf_put_slice(out, buf_slice(&b));
    buf_fini(&b);
}

/* Each consumer with the ids that are pending for it: one pass counts, one
 * sorts them by consumer. */
static void
put_consumers(struct buf *out, const struct rdb_group *g)
{
    uint64_t *ends = nq_calloc(g->consumer_count + 1, sizeof *ends);
    struct rdb_id *ids = nq_calloc(g->pending_count + 1, sizeof *ids);
    uint64_t from = 0;

    for (uint64_t i = 0; i < g->pending_count; i++)
        ends[g->pending[i].consumer + 1]++;
    for (uint64_t i = 0; i < g->consumer_count; i++)
        ends[i + 1] += ends[i];
    /* From here on ends[i] moves from the start of the consumer's ids to
     * their end. */
    for (uint64_t i = 0; i < g->pending_count; i++)
        ids[ends[g->pending[i].consumer]++] = g->pending[i].id;
    for (uint64_t i = 0; i < g->consumer_count; i++) {
        rdb_put_string(out, g->consumers[i].name);
        buf_put_u64(out, g->consumers[i].seen_ms);
        rdb_put_length(out, ends[i] - from);
        for (; from < ends[i]; from++)
            put_raw_id(out, ids[from]);
    }
    nq_free(ids);
    nq_free(ends);
}

static void
put_id(struct buf *out, struct rdb_id id)
{
    rdb_put_length(out, id.ms);
    rdb_put_length(out, id.seq);
}

static void
put_group(struct buf *out, const struct rdb_group *g)
{
    rdb_put_string(out, g->name);
    put_id(out, g->last);
    rdb_put_length(out, (uint64_t)g->entries_read);
    rdb_put_length(out, g->pending_count);
    for (uint64_t i = 0; i < g->pending_count; i++) {
        put_raw_id(out, g->pending[i].id);
        buf_put_u64(out, g->pending[i].delivered_ms);
        rdb_put_length(out, g->pending[i].deliveries);
    }
    rdb_put_length(out, g->consumer_count);
    put_consumers(out, g);
}

void
rdb_put_stream(struct buf *out, const struct rdb_stream *s)
{
    rdb_put_length(out, (s->count + NODE_ENTRIES - 1) / NODE_ENTRIES);
    for (uint64_t i = 0; i < s->count; i += NODE_ENTRIES)
        put_node(out, s->entries + i,
                 nq_min(s->count - i, (uint64_t)NODE_ENTRIES));
    rdb_put_length(out, s->count);
    put_id(out, s->last);
    put_id(out, s->first);
    put_id(out, s->max_deleted);
    rdb_put_length(out, s->entries_added);
    rdb_put_length(out, s->group_count);
    for (uint64_t i = 0; i < s->group_count; i++)
        put_group(out, &s->groups[i]);
}
