/* codec/dict.c - the registry of dictionaries. */
#include "codec/dict.h"

#include "base/check.h"
#include "base/mem.h"

struct dicts {
    const struct dict *slot[DICT_SLOTS + 1]; /* [0] unused; atomic */
};

struct dicts *
dicts_new(void)
{
    return nq_calloc(1, sizeof(struct dicts));
}

void
dicts_delete(struct dicts *d)
{
    nq_free(d);
}

const struct dict *
dicts_get(const struct dicts *d, unsigned slot)
{
    if (d == NULL || slot == 0 || slot > DICT_SLOTS)
        return NULL;
    return __atomic_load_n(&d->slot[slot], __ATOMIC_ACQUIRE);
}
