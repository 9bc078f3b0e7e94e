/* cmd/bits.c - pinned strings and population counts. */
#include "cmd/bits.h"

#include "base/mem.h"
#include "cmd/reply.h"
#include "db/string.h"

static nq_rc
pin_chunks(struct req *rq, const struct entry *e, struct bits *b)
{
    uint32_t n = string_chunks(e);

    b->parts = nq_malloc(n * sizeof *b->parts);
    b->pins = nq_malloc(n * sizeof *b->pins);
    for (b->n = 0; b->n < n; b->n++) {
        nq_rc rc =
            string_chunk(rq->db, e, b->n, &b->parts[b->n], &b->pins[b->n]);

        if (rc != NQ_OK)
            return rc;
    }
    return NQ_OK;
}

static nq_rc
copy_inline(struct req *rq, const struct entry *e, struct bits *b)
{
    struct slice s;
    nq_rc rc = string_bytes(rq->db, e, rq->arena, &s);

    if (rc != NQ_OK)
        return rc;
    b->parts = nq_malloc(sizeof *b->parts);
    b->parts[0] = slice_of(nq_memdup(s.p, s.len), s.len);
    b->n = 1;
    return NQ_OK;
}

bool
bits_open(struct req *rq, uint32_t i, struct bits *b)
{
    struct entry e;
    nq_rc rc = req_find_type(rq, i, DB_STRING, false, &e);

    *b = (struct bits){.db = rq->db};
    if (rc == NQ_NOTFOUND)
        return true;
    if (rc == NQ_OK)
        rc = string_chunks(&e) > 0 ? pin_chunks(rq, &e, b)
                                   : copy_inline(rq, &e, b);
    if (rc != NQ_OK) {
        bits_close(b);
        reply_rc(rq, rc);
        return false;
    }
    b->len = string_len(&e);
    return true;
}

void
bits_close(struct bits *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->pins != NULL)
            string_unpin(b->db, b->pins[i]);
        else
            nq_free((void *)(uintptr_t)b->parts[i].p);
    }
    nq_free(b->parts);
    nq_free(b->pins);
    *b = (struct bits){0};
}

struct slice
bits_at(const struct bits *b, uint64_t off)
{
    struct slice part;

    if (off >= b->len)
        return slice_lit("");
    part = b->parts[off / BITS_PART];
    off %= BITS_PART;
    return slice_of(part.p + off, part.len - off);
}

static inline uint64_t
popcount_body(struct slice s)
{
    uint64_t n = 0, word;
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        memcpy(&word, s.p + i, 8);
        n += (uint64_t)__builtin_popcountll(word);
    }
    for (; i < s.len; i++)
        n += (uint64_t)__builtin_popcount(s.p[i]);
    return n;
}

#if defined(__x86_64__)
__attribute__((target("popcnt"))) static uint64_t
popcount_hw(struct slice s)
{
    return popcount_body(s);
}
#endif

uint64_t
bits_popcount(struct slice s)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("popcnt"))
        return popcount_hw(s);
#endif
    return popcount_body(s);
}
