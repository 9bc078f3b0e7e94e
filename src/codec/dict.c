/* codec/dict.c - the registry of dictionaries.
 *
 * Slots are written by the loop thread and read by all, by atomic loads; who
 * removes one knows that nobody holds it.  What zstd prepares for packing
 * depends on the level, is some hundred KB, and is made when it is first
 * needed, by whoever needs it; of two that do so at once one throws its work
 * away. */
#include "codec/dict.h"

#include <zdict.h>
#include <zstd.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/zpack.h"

#define DICT_MAGIC 0x54434944u

struct dict {
    uint32_t magic;
    unsigned slot;
    uint32_t version;
    struct slice prefix, bytes;              /* owned */
    ZSTD_CDict *packer[ZPACK_LEVEL_MAX + 1]; /* atomic; NULL: not yet */
    ZSTD_DDict *unpacker;
    bool is_used;                                   /* atomic */
    uint64_t blocks, bytes_in, bytes_out, unpacked; /* atomic */
};

struct dicts {
    struct dict *slot[DICT_SLOTS + 1]; /* [0] unused; atomic */
    unsigned top;                      /* slots above are empty; atomic */
};

struct dicts *
dicts_new(void)
{
    return nq_calloc(1, sizeof(struct dicts));
}

static void
drop(struct slice *s)
{
    union {
        const uint8_t *p;
        void *owned;
    } u = {s->p};

    nq_free(u.owned);
}

static void
delete_dict(struct dict *dict)
{
    if (dict == NULL)
        return;
    for (unsigned i = 0; i <= ZPACK_LEVEL_MAX; i++)
        ZSTD_freeCDict(dict->packer[i]);
    ZSTD_freeDDict(dict->unpacker);
    drop(&dict->prefix);
    drop(&dict->bytes);
    dict->magic = 0;
    nq_free(dict);
}

void
dicts_delete(struct dicts *d)
{
    if (d == NULL)
        return;
    for (unsigned i = 1; i <= d->top; i++)
        delete_dict(d->slot[i]);
    nq_free(d);
}

static struct slice
copy(struct slice s)
{
    return slice_of(nq_memdup(s.p, s.len), s.len);
}

nq_rc
dicts_put(struct dicts *d, const struct dict_info *info)
{
    struct dict *dict;
    ZSTD_DDict *unpacker;

    nq_assert(info->slot >= 1 && info->slot <= DICT_SLOTS &&
              d->slot[info->slot] == NULL);
    if (info->bytes.len < DICT_BYTES_MIN || info->bytes.len > DICT_BYTES_MAX ||
        info->prefix.len > DICT_PREFIX_MAX ||
        ZDICT_getDictID(info->bytes.p, info->bytes.len) == 0)
        return NQ_ECORRUPT;
    unpacker = ZSTD_createDDict(info->bytes.p, info->bytes.len);
    if (unpacker == NULL)
        return NQ_ECORRUPT;
    dict = nq_calloc(1, sizeof *dict);
    dict->magic = DICT_MAGIC;
    dict->slot = info->slot;
    dict->version = info->version;
    dict->prefix = copy(info->prefix);
    dict->bytes = copy(info->bytes);
    dict->unpacker = unpacker;
    __atomic_store_n(&d->slot[dict->slot], dict, __ATOMIC_RELEASE);
    if (dict->slot > d->top)
        __atomic_store_n(&d->top, dict->slot, __ATOMIC_RELEASE);
    return NQ_OK;
}

void
dicts_use(struct dicts *d, unsigned slot, bool on)
{
    struct dict *dict = d->slot[slot];

    nq_assert(dict != NULL);
    __atomic_store_n(&dict->is_used, on, __ATOMIC_RELEASE);
}

void
dicts_remove(struct dicts *d, unsigned slot)
{
    delete_dict(__atomic_exchange_n(&d->slot[slot], NULL, __ATOMIC_ACQ_REL));
}

const struct dict *
dicts_get(const struct dicts *d, unsigned slot)
{
    if (d == NULL || slot == 0 || slot > DICT_SLOTS)
        return NULL;
    return __atomic_load_n(&d->slot[slot], __ATOMIC_ACQUIRE);
}

const struct dict *
dicts_pick(const struct dicts *d, struct slice prefix)
{
    unsigned top = d == NULL ? 0 : __atomic_load_n(&d->top, __ATOMIC_ACQUIRE);

    for (unsigned i = 1; i <= top; i++) {
        const struct dict *dict = dicts_get(d, i);

        if (dict != NULL && __atomic_load_n(&dict->is_used, __ATOMIC_ACQUIRE) &&
            slice_eq(dict->prefix, prefix))
            return dict;
    }
    return NULL;
}

/* --- one of them ---------------------------------------------------------- */

/* The registry's own, whose counters and prepared forms may change behind
 * the const that users see. */
static struct dict *
own(const struct dict *dict)
{
    union {
        const struct dict *seen;
        struct dict *own;
    } u = {dict};

    nq_assert(dict->magic == DICT_MAGIC);
    return u.own;
}

unsigned
dict_slot(const struct dict *dict)
{
    return dict->slot;
}

const ZSTD_CDict *
dict_packer(const struct dict *dict, unsigned level)
{
    unsigned i = nq_min(level, ZPACK_LEVEL_MAX);
    ZSTD_CDict **at = &own(dict)->packer[i];
    ZSTD_CDict *made, *old = __atomic_load_n(at, __ATOMIC_ACQUIRE);

    if (old != NULL)
        return old;
    made = ZSTD_createCDict(dict->bytes.p, dict->bytes.len, zpack_level(i));
    nq_assert(made != NULL);
    if (__atomic_compare_exchange_n(at, &old, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return made;
    ZSTD_freeCDict(made);
    return old;
}

const ZSTD_DDict *
dict_unpacker(const struct dict *dict)
{
    return dict->unpacker;
}

void
dict_packed(const struct dict *dict, size_t in, size_t out)
{
    struct dict *d = own(dict);

    __atomic_fetch_add(&d->blocks, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->bytes_in, in, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->bytes_out, out, __ATOMIC_RELAXED);
}

void
dict_unpacked(const struct dict *dict)
{
    __atomic_fetch_add(&own(dict)->unpacked, 1, __ATOMIC_RELAXED);
}

void
dict_get_info(const struct dict *dict, struct dict_info *out)
{
    *out = (struct dict_info){
        .slot = dict->slot,
        .version = dict->version,
        .prefix = dict->prefix,
        .bytes = dict->bytes,
        .is_used = __atomic_load_n(&dict->is_used, __ATOMIC_RELAXED),
        .blocks = __atomic_load_n(&dict->blocks, __ATOMIC_RELAXED),
        .bytes_in = __atomic_load_n(&dict->bytes_in, __ATOMIC_RELAXED),
        .bytes_out = __atomic_load_n(&dict->bytes_out, __ATOMIC_RELAXED),
        .unpacked = __atomic_load_n(&dict->unpacked, __ATOMIC_RELAXED),
    };
}

size_t
dict_memory(const struct dict *dict)
{
    size_t n = sizeof *dict + dict->bytes.len + dict->prefix.len +
               ZSTD_sizeof_DDict(dict->unpacker);

    for (unsigned i = 0; i <= ZPACK_LEVEL_MAX; i++)
        n += ZSTD_sizeof_CDict(
            __atomic_load_n(&dict->packer[i], __ATOMIC_ACQUIRE));
    return n;
}

struct slice
dict_prefix_of(struct slice key)
{
    for (size_t i = 0; i < nq_min(key.len, DICT_PREFIX_MAX); i++) {
        uint8_t c = key.p[i];

        if (c == ':' || c == '/' || c == '|' || c == '#')
            return slice_of(key.p, i + 1);
    }
    return slice_of(key.p, 0);
}
