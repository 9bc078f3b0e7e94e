/* store/damage.c - a set of damaged pages by id.  Filled by frames_read.c,
 * sweep.c and rewrite.c; asked by whoever must name what is lost. */
#include "store/damage.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

static bool
is_of(const struct hash_node *n, const void *id)
{
    return ((const struct damage *)(const void *)n)->id == *(const pgno *)id;
}

static struct damage *
find(const struct damages *ds, pgno id)
{
    struct hash_node *n = hash_find(&ds->by_id, hash_u64(id), is_of, &id);

    return n == NULL ? NULL : nq_container(n, struct damage, node);
}

static void
free_one(struct hash_node *n, void *arg)
{
    struct damages *ds = arg;

    hash_remove(&ds->by_id, n);
    nq_free(nq_container(n, struct damage, node));
}

void
damages_fini(struct damages *ds)
{
    hash_each(&ds->by_id, free_one, ds);
    hash_fini(&ds->by_id);
}

void
damages_note(struct damages *ds, pgno id, struct entry e,
             const struct extent_fault *fault)
{
    struct damage *d = find(ds, id);

    if (d == NULL) {
        d = nq_calloc(1, sizeof *d);
        d->id = id;
        hash_insert(&ds->by_id, &d->node, hash_u64(id));
    }
    d->entry = e;
    d->fault = *fault;
}

const struct damage *
damages_find(const struct damages *ds, pgno id)
{
    return find(ds, id);
}

void
damages_forget(struct damages *ds, pgno id)
{
    struct damage *d = ds->by_id.count == 0 ? NULL : find(ds, id);

    if (d != NULL)
        free_one(&d->node, ds);
}

uint64_t
damages_count(const struct damages *ds)
{
    return ds->by_id.count;
}

struct visit {
    void (*fn)(void *arg, const struct damage *d);
    void *arg;
};

static void
visit(struct hash_node *n, void *arg)
{
    const struct visit *v = arg;

    v->fn(v->arg, nq_container(n, struct damage, node));
}

void
damages_each(struct damages *ds, void (*fn)(void *arg, const struct damage *d),
             void *arg)
{
    struct visit v = {fn, arg};

    hash_each(&ds->by_id, visit, &v);
}

void
damage_text(const struct damage *d, char dst[DAMAGE_TEXT])
{
    snprintf(dst, DAMAGE_TEXT,
             "page %u at offset %" PRIu64 ": %s: expected %" PRIu64
             ", found %" PRIu64,
             d->id, entry_off(d->entry), d->fault.what, d->fault.expected,
             d->fault.found);
}
