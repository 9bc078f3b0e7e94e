/* cmd/result_cache.c - a few results, by the text of their query.
 *
 * An entry is made when its query begins, without a value, and removed when a
 * key of its range is written: so what is put at the end is as good as if all
 * of it had been read at once.
 *
 *   R1  entries stand in the order of their last use, the last one first
 *   R2  lo and hi, of all databases, are around the ranges of all entries; they
 *       are made anew when an entry goes
 *
 * Called by cmd_aggregate.c, and by the engine for each change of a key. */
#include "cmd/result_cache.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"

#define ENTRIES_MAX 16u
#define BYTES_USUAL (UINT64_C(8) << 20)
#define SHARE 4u /* of the bytes, one may take */

struct entry {
    struct list link;
    uint64_t ticket;
    struct buf key, lo, hi;
    uint32_t dbi;
    bool has_hi;
    void *value; /* NULL: its query is under way */
    void (*drop)(void *value);
    uint64_t bytes, until_ms;
};

struct result_cache {
    struct list entries; /* R1 */
    uint64_t tickets, max_bytes;
    struct buf lo, hi; /* R2; valid if there are entries */
    bool has_hi;
    struct result_cache_stats stats;
};

struct result_cache *
result_cache_new(void)
{
    struct result_cache *c = nq_calloc(1, sizeof *c);

    list_init(&c->entries);
    c->max_bytes = BYTES_USUAL;
    return c;
}

/* --- the range of all ----------------------------------------------------- */

static void
set(struct buf *b, struct slice s)
{
    buf_clear(b);
    buf_put_slice(b, s);
}

static void
widen(struct result_cache *c, const struct entry *e, bool is_first)
{
    if (is_first || slice_cmp(buf_slice(&e->lo), buf_slice(&c->lo)) < 0)
        set(&c->lo, buf_slice(&e->lo));
    if (is_first || (c->has_hi && e->has_hi &&
                     slice_cmp(buf_slice(&e->hi), buf_slice(&c->hi)) > 0))
        set(&c->hi, buf_slice(&e->hi));
    c->has_hi = e->has_hi && (is_first || c->has_hi);
}

static void
remove_entry(struct result_cache *c, struct entry *e)
{
    bool is_first = true;

    list_remove(&e->link);
    c->stats.entries--;
    c->stats.bytes -= e->bytes;
    if (e->value != NULL)
        e->drop(e->value);
    buf_fini(&e->key);
    buf_fini(&e->lo);
    buf_fini(&e->hi);
    nq_free(e);
    list_each(it, &c->entries)
    {
        widen(c, nq_container(it, struct entry, link), is_first);
        is_first = false;
    }
}

static void
make_room(struct result_cache *c, uint64_t bytes, uint64_t entries)
{
    while (!list_empty(&c->entries) &&
           (c->stats.bytes + bytes > c->max_bytes ||
            c->stats.entries + entries > ENTRIES_MAX))
        remove_entry(c, nq_container(c->entries.prev, struct entry, link));
}

void
result_cache_clear(struct result_cache *c)
{
    while (!list_empty(&c->entries))
        remove_entry(c, nq_container(c->entries.next, struct entry, link));
}

void
result_cache_free(struct result_cache *c)
{
    if (c == NULL)
        return;
    result_cache_clear(c);
    buf_fini(&c->lo);
    buf_fini(&c->hi);
    nq_free(c);
}

void
result_cache_set_bytes(struct result_cache *c, uint64_t bytes)
{
    c->max_bytes = bytes;
    make_room(c, 0, 0);
}

/* --- queries -------------------------------------------------------------- */

static struct entry *
find(struct result_cache *c, struct slice key)
{
    list_each(it, &c->entries)
    {
        struct entry *e = nq_container(it, struct entry, link);

        if (slice_eq(buf_slice(&e->key), key))
            return e;
    }
    return NULL;
}

void *
result_cache_find(struct result_cache *c, struct slice key, uint64_t now_ms)
{
    struct entry *e = find(c, key);

    if (e != NULL && e->until_ms != 0 && now_ms >= e->until_ms) {
        remove_entry(c, e);
        e = NULL;
    }
    if (e == NULL || e->value == NULL) {
        c->stats.misses++;
        return NULL;
    }
    c->stats.hits++;
    list_remove(&e->link);
    list_push_front(&c->entries, &e->link);
    return e->value;
}

uint64_t
result_cache_begin(struct result_cache *c, struct slice key, uint32_t dbi,
                   struct slice lo, const struct slice *hi)
{
    struct entry *e = find(c, key);

    if (c->max_bytes == 0)
        return 0;
    if (e != NULL)
        remove_entry(c, e);
    make_room(c, 0, 1);
    e = nq_calloc(1, sizeof *e);
    e->ticket = ++c->tickets;
    e->dbi = dbi;
    e->has_hi = hi != NULL;
    set(&e->key, key);
    set(&e->lo, lo);
    if (hi != NULL)
        set(&e->hi, *hi);
    widen(c, e, list_empty(&c->entries));
    list_push_front(&c->entries, &e->link);
    c->stats.entries++;
    return e->ticket;
}

static struct entry *
find_ticket(struct result_cache *c, uint64_t ticket)
{
    list_each(it, &c->entries)
    {
        struct entry *e = nq_container(it, struct entry, link);

        if (e->ticket == ticket)
            return e;
    }
    return NULL;
}

bool
result_cache_put(struct result_cache *c, uint64_t ticket, void *value,
                 uint64_t bytes, void (*drop)(void *value), uint64_t until_ms)
{
    struct entry *e = find_ticket(c, ticket);

    if (e == NULL)
        return false;
    if (bytes > c->max_bytes / SHARE) {
        remove_entry(c, e);
        return false;
    }
    list_remove(&e->link);
    list_push_front(&c->entries, &e->link);
    e->value = value;
    e->drop = drop;
    e->bytes = bytes;
    e->until_ms = until_ms;
    c->stats.bytes += bytes;
    make_room(c, 0, 0);
    return true;
}

static bool
has_key(const struct entry *e, uint32_t dbi, struct slice key)
{
    if (e->dbi != dbi)
        return false;
    return key.p == NULL ||
           (slice_cmp(key, buf_slice(&e->lo)) >= 0 &&
            (!e->has_hi || slice_cmp(key, buf_slice(&e->hi)) < 0));
}

void
result_cache_touch(struct result_cache *c, uint32_t dbi, struct slice key)
{
    if (list_empty(&c->entries))
        return;
    if (key.p != NULL &&
        (slice_cmp(key, buf_slice(&c->lo)) < 0 ||
         (c->has_hi && slice_cmp(key, buf_slice(&c->hi)) >= 0)))
        return;
    list_each(it, &c->entries)
    {
        struct entry *e = nq_container(it, struct entry, link);

        if (has_key(e, dbi, key)) {
            c->stats.invalidated++;
            remove_entry(c, e);
        }
    }
}

void
result_cache_get_stats(const struct result_cache *c,
                       struct result_cache_stats *out)
{
    *out = c->stats;
}
