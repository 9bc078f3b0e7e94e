/* cmd/scan_cursor.c - the table of scan positions.
 *
 * Each position knows the one its scan came from.  When a scan that is at b,
 * having come from a, gets c, then a is dropped: b stays, because a client
 * that lost the reply asks for b again.
 *
 *   I1  every position is in the hash and on the list by use, oldest first
 *   I2  `bytes` is the sum of the keys' lengths */
#include "cmd/scan_cursor.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rng.h"

#define SCANS_MAX 65536
#define SCANS_BYTES_MAX (UINT64_C(16) << 20)
#define FIRST_ID_BITS 52

struct position {
    struct hash_node node;
    struct list by_use;
    uint64_t id, from;
    size_t len;
    uint8_t key[];
};

struct scan_cursors {
    struct hash table;
    struct list by_use;
    uint64_t next_id, bytes;
};

struct scan_cursors *
scan_cursors_new(void)
{
    struct scan_cursors *sc = nq_calloc(1, sizeof *sc);

    list_init(&sc->by_use);
    sc->next_id = 1 + (rng_seed_from_os() >> (64 - FIRST_ID_BITS));
    return sc;
}

static void
drop(struct scan_cursors *sc, struct position *p)
{
    hash_remove(&sc->table, &p->node);
    list_remove(&p->by_use);
    sc->bytes -= p->len;
    nq_free(p);
}

static struct position *
oldest(struct scan_cursors *sc)
{
    return nq_container(sc->by_use.next, struct position, by_use);
}

void
scan_cursors_free(struct scan_cursors *sc)
{
    if (sc == NULL)
        return;
    while (!list_empty(&sc->by_use))
        drop(sc, oldest(sc));
    hash_fini(&sc->table);
    nq_free(sc);
}

static bool
has_id(const struct hash_node *n, const void *id)
{
    const struct position *p =
        (const struct position *)((const char *)n -
                                  offsetof(struct position, node));

    return p->id == *(const uint64_t *)id;
}

static struct position *
find(struct scan_cursors *sc, uint64_t id)
{
    struct hash_node *n = hash_find(&sc->table, hash_u64(id), has_id, &id);

    return n == NULL ? NULL : nq_container(n, struct position, node);
}

/* Where the scan at `from` had come from is needed no longer. */
static void
drop_predecessor(struct scan_cursors *sc, uint64_t from)
{
    struct position *p = find(sc, from);
    struct position *before = p == NULL ? NULL : find(sc, p->from);

    if (before != NULL)
        drop(sc, before);
}

uint64_t
scan_cursor_put(struct scan_cursors *sc, uint64_t from, struct slice key)
{
    struct position *p;

    drop_predecessor(sc, from);
    while (sc->table.count >= SCANS_MAX ||
           (sc->bytes + key.len > SCANS_BYTES_MAX && sc->table.count > 0))
        drop(sc, oldest(sc));
    p = nq_calloc(1, sizeof *p + key.len);
    p->id = sc->next_id++;
    p->from = from;
    p->len = key.len;
    if (key.len > 0)
        memcpy(p->key, key.p, key.len);
    sc->bytes += key.len;
    hash_insert(&sc->table, &p->node, hash_u64(p->id));
    list_push_back(&sc->by_use, &p->by_use);
    return p->id;
}

bool
scan_cursor_find(struct scan_cursors *sc, uint64_t id, struct slice *key)
{
    struct position *p = find(sc, id);

    if (p == NULL)
        return false;
    list_remove(&p->by_use);
    list_push_back(&sc->by_use, &p->by_use);
    *key = slice_of(p->key, p->len);
    return true;
}

void
scan_cursor_end(struct scan_cursors *sc, uint64_t from)
{
    drop_predecessor(sc, from);
}
