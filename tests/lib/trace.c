/* tests/lib/trace.c - traces: reading them, replaying them. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/slice.h"

/* --- reading -------------------------------------------------------------- */

static bool
read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    char block[1 << 16];
    size_t n;

    if (f == NULL)
        return false;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_put(out, block, n);
    fclose(f);
    return true;
}

static bool
unpack(const struct buf *packed, struct buf *out)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = {packed->p, packed->len, 0};
    char block[1 << 16];
    size_t rc = 1;

    while (in.pos < in.size && !ZSTD_isError(rc)) {
        ZSTD_outBuffer o = {block, sizeof block, 0};

        rc = ZSTD_decompressStream(z, &o, &in);
        buf_put(out, block, o.pos);
    }
    ZSTD_freeDStream(z);
    return rc == 0;
}

/* Open addressing: number and what it became. */
struct renumbering {
    uint64_t *from;
    uint32_t *to;
    size_t mask;
};

static uint32_t
renumber(struct renumbering *m, uint64_t id, uint32_t *unique)
{
    size_t at = (size_t)(id * 0x9e3779b97f4a7c15u >> 24) & m->mask;

    while (m->to[at] != 0 && m->from[at] != id)
        at = (at + 1) & m->mask;
    if (m->to[at] == 0) {
        m->from[at] = id;
        m->to[at] = ++*unique;
    }
    return m->to[at];
}

static bool
parse(const struct buf *text, struct trace *out)
{
    size_t lines = 0, slots = 64;
    const char *p = (const char *)text->p, *end = p + text->len;
    struct renumbering m;
    bool ok = true;

    for (const char *q = p; q < end; q++)
        lines += *q == '\n';
    while (slots < 2 * lines)
        slots *= 2;
    m = (struct renumbering){nq_calloc(slots, sizeof *m.from),
                             nq_calloc(slots, sizeof *m.to), slots - 1};
    out->ids = nq_malloc((lines + 1) * sizeof *out->ids);
    while (p < end && ok) {
        uint64_t v = 0;
        const char *start = p;

        for (; p < end && *p >= '0' && *p <= '9'; p++)
            v = v * 10 + (uint64_t)(*p - '0');
        ok = p > start && p < end && *p++ == '\n';
        if (ok)
            out->ids[out->count++] = renumber(&m, v, &out->unique);
    }
    nq_free(m.from);
    nq_free(m.to);
    return ok && out->count > 0;
}

bool
trace_load(const char *path, struct trace *out)
{
    struct buf file = {0}, text = {0};
    size_t len = strlen(path);
    bool ok = read_file(path, &file);

    *out = (struct trace){0};
    if (ok && len > 4 && strcmp(path + len - 4, ".zst") == 0)
        ok = unpack(&file, &text) && parse(&text, out);
    else if (ok)
        ok = parse(&file, out);
    buf_fini(&file);
    buf_fini(&text);
    if (!ok)
        trace_free(out);
    return ok;
}

void
trace_free(struct trace *t)
{
    nq_free(t->ids);
    *t = (struct trace){0};
}

/* --- replaying ------------------------------------------------------------ */

double
trace_replay(const struct trace *t, enum policy_kind kind, uint32_t size)
{
    struct policy *p = policy_new(kind, size, 1);
    uint32_t *item_of = nq_calloc(t->unique + 1, sizeof *item_of);
    size_t misses = 0, resident = 0;

    for (size_t i = 0; i < t->count; i++) {
        uint32_t id = t->ids[i];

        if (item_of[id] != 0) {
            policy_touch(p, item_of[id]);
            continue;
        }
        misses++;
        item_of[id] = policy_insert(p, id, id, 1, POLICY_USED);
        for (resident++; resident > size; resident--) {
            unsigned steps = UINT32_MAX;
            uint32_t victim = policy_victim(p, &steps);

            item_of[policy_owner(p, victim)] = 0;
            policy_evict(p, victim);
        }
    }
    nq_free(item_of);
    policy_free(p);
    return (double)misses / (double)t->count;
}

/* --- knowing the future --------------------------------------------------- */

/* When each reference's id is used next; count: never again. */
static uint32_t *
next_uses(const struct trace *t)
{
    uint32_t *next = nq_malloc(t->count * sizeof *next);
    uint32_t *seen = nq_malloc((t->unique + 1) * sizeof *seen);

    for (uint32_t i = 0; i <= t->unique; i++)
        seen[i] = (uint32_t)t->count;
    for (size_t i = t->count; i-- > 0;) {
        next[i] = seen[t->ids[i]];
        seen[t->ids[i]] = (uint32_t)i;
    }
    nq_free(seen);
    return next;
}

double
trace_belady(const struct trace *t, uint32_t size)
{
    uint32_t *next = next_uses(t);
    struct heap_node *ids = nq_calloc(t->unique + 1, sizeof *ids);
    struct heap cache = HEAP_INIT; /* what is used last is first */
    size_t misses = 0;

    for (size_t i = 0; i < t->count; i++) {
        struct heap_node *id = &ids[t->ids[i]];

        if (!heap_has(id)) {
            misses++;
            if (cache.count == size)
                heap_remove(&cache, heap_first(&cache));
        }
        heap_remove(&cache, id);
        heap_insert(&cache, id, UINT32_MAX - next[i]);
    }
    heap_fini(&cache);
    nq_free(ids);
    nq_free(next);
    return (double)misses / (double)t->count;
}
