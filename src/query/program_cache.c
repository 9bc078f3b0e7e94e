/* query/program_cache.c - programs of texts met lately.
 *
 * Found by the arguments as they came, with their lengths, so that "a b" in
 * one argument and in two are different texts.  The one that was used least
 * recently goes first, when there are too many or they are too big.  A program
 * that is still held elsewhere lives on without the cache. */
#include "query/program_int.h"

#include "base/check.h"
#include "base/mem.h"

#define CACHE_PROGRAMS 512u
#define CACHE_BYTES (4u << 20)

static struct {
    struct hash by_source;
    struct list lru; /* the one used last is in front */
    bool is_ready;
    struct program_cache_stats stats;
} cache;

static bool
has_source(const struct hash_node *node, const void *key)
{
    const struct program *p =
        (const void *)((const uint8_t *)node - offsetof(struct program, node));

    return slice_eq(buf_slice(&p->source), *(const struct slice *)key);
}

static size_t
weight(const struct program *p)
{
    return p->bytes + p->source.cap;
}

static void
drop(struct program *p)
{
    hash_remove(&cache.by_source, &p->node);
    list_remove(&p->lru);
    cache.stats.programs--;
    cache.stats.bytes -= weight(p);
    program_unref(p);
}

static void
put(struct program *p, uint64_t hash)
{
    if (weight(p) > CACHE_BYTES / 4)
        return;
    hash_insert(&cache.by_source, &p->node, hash);
    list_push_front(&cache.lru, &p->lru);
    cache.stats.programs++;
    cache.stats.bytes += weight(p);
    program_ref(p);
    while (cache.stats.programs > CACHE_PROGRAMS ||
           cache.stats.bytes > CACHE_BYTES)
        drop(nq_container(cache.lru.prev, struct program, lru));
}

/* The arguments joined by spaces; `ends` has the place behind each. */
static void
join(const struct slice *args, uint32_t n, struct buf *text, uint32_t *ends)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_u8(text, ' ');
        buf_put_slice(text, args[i]);
        ends[i] = (uint32_t)text->len;
    }
}

static nq_rc
compile(const struct slice *args, uint32_t n, struct program **out,
        struct query_error *err)
{
    struct buf text = BUF_INIT;
    uint32_t *ends = nq_malloc(n * sizeof *ends);
    nq_rc rc;

    join(args, n, &text, ends);
    buf_reserve(&text, 1); /* so that it is somewhere, if it is empty */
    rc = grammar_compile(buf_slice(&text), ends, n, out, err);
    nq_free(ends);
    buf_fini(&text);
    return rc;
}

/* Bytes of the joined arguments, as far as that matters. */
static size_t
joined_len(const struct slice *args, uint32_t n)
{
    size_t len = n > 0 ? n - 1 : 0;

    for (uint32_t i = 0; i < n && len <= PROGRAM_TEXT_MAX; i++)
        len += nq_min(args[i].len, (size_t)PROGRAM_TEXT_MAX + 1);
    return len;
}

nq_rc
program_compile(const struct slice *args, uint32_t n, struct program **out,
                struct query_error *err)
{
    struct buf source = BUF_INIT;
    struct slice key;
    uint64_t hash;
    struct hash_node *node;
    nq_rc rc;

    *out = NULL;
    if (n == 0 || joined_len(args, n) > PROGRAM_TEXT_MAX) {
        query_fail(err, n == 0 ? 0 : PROGRAM_TEXT_MAX,
                   n == 0 ? "expected a query, found the end"
                          : "expected at most 65536 bytes, found more");
        return NQ_ESYNTAX;
    }
    if (!cache.is_ready) {
        list_init(&cache.lru);
        cache.is_ready = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        buf_put_varint(&source, args[i].len);
        buf_put_slice(&source, args[i]);
    }
    key = buf_slice(&source);
    hash = hash_bytes(key);
    node = hash_find(&cache.by_source, hash, has_source, &key);
    if (node != NULL) {
        cache.stats.hits++;
        *out = program_ref(nq_container(node, struct program, node));
        list_remove(&(*out)->lru);
        list_push_front(&cache.lru, &(*out)->lru);
        buf_fini(&source);
        return NQ_OK;
    }
    cache.stats.misses++;
    rc = compile(args, n, out, err);
    if (rc != NQ_OK) {
        buf_fini(&source);
        return rc;
    }
    (*out)->source = source;
    put(*out, hash);
    return NQ_OK;
}

void
program_cache_get_stats(struct program_cache_stats *out)
{
    *out = cache.stats;
}

void
program_cache_clear(void)
{
    while (cache.is_ready && !list_empty(&cache.lru))
        drop(nq_container(cache.lru.prev, struct program, lru));
    hash_fini(&cache.by_source);
}
