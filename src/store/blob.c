/* store/blob.c - big values as chunks.
 *
 *   reference   0  u64 length    8  u32 root    12 u32 chunks    16 zero
 *   index chunk u32 id of chunk i at 4 * i
 *
 *   B1  chunks == ceil(len / BLOB_CHUNK), at least 1
 *   B2  chunk i holds BLOB_CHUNK bytes, the last one the rest
 *   B3  a call first resolves every chunk it must have, then changes */
#include "store/blob.h"

#include "base/check.h"
#include "base/cursor.h"
#include "store/frames_int.h"

static uint32_t
chunks_of(uint64_t len)
{
    return (uint32_t)((len + BLOB_CHUNK - 1) / BLOB_CHUNK);
}

/* Bytes in chunk `i` of a blob of `len` bytes. */
static uint32_t
chunk_len(uint64_t len, uint32_t i)
{
    uint64_t left = len - (uint64_t)i * BLOB_CHUNK;

    return (uint32_t)nq_min(left, BLOB_CHUNK);
}

void
blob_ref_encode(uint8_t dst[BLOB_REF_SIZE], const struct blob_ref *ref)
{
    memcpy(dst, &ref->len, 8);
    memcpy(dst + 8, &ref->root, 4);
    memcpy(dst + 12, &ref->chunks, 4);
    memset(dst + 16, 0, 8);
}

nq_rc
blob_ref_decode(struct slice src, struct blob_ref *ref)
{
    struct cursor c = cursor_of(src);
    uint64_t zero;

    cursor_get_u64(&c, &ref->len);
    cursor_get_u32(&c, &ref->root);
    cursor_get_u32(&c, &ref->chunks);
    cursor_get_u64(&c, &zero);
    if (!cursor_ok(&c) || cursor_left(&c) != 0 || zero != 0 || ref->root == 0 ||
        ref->len == 0 || ref->chunks > BLOB_CHUNK / 4 ||
        ref->len > (uint64_t)ref->chunks * BLOB_CHUNK ||
        ref->chunks != chunks_of(ref->len))
        return NQ_ECORRUPT;
    return NQ_OK;
}

/* --- the index ------------------------------------------------------------ */

/* The ids of all chunks; borrowed until the index is written. */
static nq_rc
index_get(struct frames *fr, const struct blob_ref *ref, const uint8_t **ids)
{
    struct slice s;
    nq_rc rc;

    if (ref->chunks == 1) {
        *ids = (const uint8_t *)&ref->root;
        return NQ_OK;
    }
    if ((rc = frames_chunk(fr, ref->root, &s)) != NQ_OK)
        return rc;
    if (s.len != (size_t)ref->chunks * 4)
        return NQ_ECORRUPT;
    *ids = s.p;
    return NQ_OK;
}

static pgno
index_id(const uint8_t *ids, uint32_t i)
{
    pgno id;

    memcpy(&id, ids + (size_t)i * 4, 4);
    return id;
}

static nq_rc
chunk_at(struct frames *fr, const struct blob_ref *ref, const uint8_t *ids,
         uint32_t i, struct slice *out)
{
    pgno id = index_id(ids, i);
    nq_rc rc;

    if (id == 0 || id >= fr->ids)
        return NQ_ECORRUPT;
    if ((rc = frames_chunk(fr, id, out)) != NQ_OK)
        return rc;
    return out->len == chunk_len(ref->len, i) ? NQ_OK : NQ_ECORRUPT;
}

/* Resolves chunks [first, last]; notes every one that is missing. */
static nq_rc
want_chunks(struct frames *fr, const struct blob_ref *ref, const uint8_t *ids,
            uint32_t first, uint32_t last)
{
    nq_rc rc = NQ_OK;
    struct slice s;

    for (uint32_t i = first; i <= last && i < ref->chunks; i++) {
        nq_rc one = chunk_at(fr, ref, ids, i, &s);

        if (one != NQ_OK && one != NQ_MISS)
            return one;
        if (one == NQ_MISS)
            rc = NQ_MISS;
    }
    return rc;
}

/* --- reading -------------------------------------------------------------- */

nq_rc
blob_want(struct frames *fr, const struct blob_ref *ref, uint64_t off,
          uint64_t n)
{
    const uint8_t *ids;
    nq_rc rc = index_get(fr, ref, &ids);

    if (rc != NQ_OK || n == 0 || off >= ref->len)
        return rc;
    n = nq_min(n, ref->len - off);
    return want_chunks(fr, ref, ids, (uint32_t)(off / BLOB_CHUNK),
                       (uint32_t)((off + n - 1) / BLOB_CHUNK));
}

nq_rc
blob_read(struct frames *fr, const struct blob_ref *ref, uint64_t off,
          uint64_t n, void *dst)
{
    nq_rc rc = blob_want(fr, ref, off, n);
    uint8_t *to = dst;
    const uint8_t *ids;

    nq_assert(off <= ref->len && n <= ref->len - off);
    if (rc != NQ_OK || (rc = index_get(fr, ref, &ids)) != NQ_OK)
        return rc;
    while (n > 0) {
        uint32_t i = (uint32_t)(off / BLOB_CHUNK);
        size_t at = off % BLOB_CHUNK, some;
        struct slice s;

        if ((rc = chunk_at(fr, ref, ids, i, &s)) != NQ_OK)
            return rc;
        some = nq_min(n, s.len - at);
        memcpy(to, s.p + at, some);
        to += some;
        off += some;
        n -= some;
    }
    return NQ_OK;
}

nq_rc
blob_chunk(struct frames *fr, const struct blob_ref *ref, uint32_t i,
           struct slice *out, uint32_t *pin)
{
    const uint8_t *ids;
    nq_rc rc;

    nq_assert(i < ref->chunks);
    if ((rc = index_get(fr, ref, &ids)) != NQ_OK ||
        (rc = chunk_at(fr, ref, ids, i, out)) != NQ_OK)
        return rc;
    *pin = frames_pin(fr, index_id(ids, i));
    return NQ_OK;
}

nq_rc
blob_each_page(struct frames *fr, const struct blob_ref *ref,
               void (*fn)(void *arg, pgno id), void *arg)
{
    const uint8_t *ids;
    nq_rc rc = index_get(fr, ref, &ids);

    if (rc != NQ_OK)
        return rc;
    for (uint32_t i = 0; i < ref->chunks; i++)
        fn(arg, index_id(ids, i));
    if (ref->chunks > 1)
        fn(arg, ref->root);
    return NQ_OK;
}

/* --- making and freeing --------------------------------------------------- */

void
blob_new(struct frames *fr, struct slice bytes, struct blob_ref *out)
{
    uint32_t chunks = chunks_of(bytes.len);
    uint8_t *ids = (uint8_t *)&out->root, *p;

    nq_assert(bytes.len > 0 && chunks <= BLOB_CHUNK / 4);
    *out = (struct blob_ref){.len = bytes.len, .chunks = chunks};
    if (chunks > 1)
        out->root = frames_chunk_new(fr, chunks * 4, &ids);
    for (uint32_t i = 0; i < chunks; i++) {
        uint32_t len = chunk_len(bytes.len, i);
        pgno id = frames_chunk_new(fr, len, &p);

        memcpy(p, bytes.p + (size_t)i * BLOB_CHUNK, len);
        memcpy(ids + (size_t)i * 4, &id, 4);
    }
}

nq_rc
blob_can_free(struct frames *fr, const struct blob_ref *ref)
{
    const uint8_t *ids;

    return index_get(fr, ref, &ids);
}

void
blob_free(struct frames *fr, const struct blob_ref *ref)
{
    const uint8_t *ids;

    nq_assert(index_get(fr, ref, &ids) == NQ_OK);
    for (uint32_t i = 0; i < ref->chunks; i++)
        frames_free(fr, index_id(ids, i));
    if (ref->chunks > 1)
        frames_free(fr, ref->root);
}

bool
blob_free_small(struct frames *fr, const struct blob_ref *ref, uint32_t max)
{
    if (ref->chunks > max ||
        (ref->chunks > 1 && !frame_is_chunk(fr->frame_of[ref->root])))
        return false;
    blob_free(fr, ref);
    return true;
}

bool
blob_free_some(struct frames *fr, struct blob_ref *ref, uint32_t n)
{
    uint32_t left = ref->chunks - n;
    const uint8_t *ids;

    if (ref->chunks <= n + 1) { /* an index has two chunks at least */
        blob_free(fr, ref);
        return true;
    }
    nq_assert(index_get(fr, ref, &ids) == NQ_OK);
    for (uint32_t i = left; i < ref->chunks; i++)
        frames_free(fr, index_id(ids, i));
    (void)frames_chunk_mut(fr, ref->root, left * 4, 0);
    ref->chunks = left;
    ref->len = (uint64_t)left * BLOB_CHUNK;
    return false;
}

/* --- writing -------------------------------------------------------------- */

/* What blob_write() of [off, end) will change must be in memory. */
static nq_rc
want_for_write(struct frames *fr, const struct blob_ref *ref, uint64_t off,
               uint64_t end)
{
    const uint8_t *ids;
    nq_rc rc = index_get(fr, ref, &ids), last = NQ_OK;

    if (rc != NQ_OK)
        return rc;
    rc = want_chunks(fr, ref, ids, (uint32_t)(off / BLOB_CHUNK),
                     (uint32_t)((end - 1) / BLOB_CHUNK));
    if ((rc == NQ_OK || rc == NQ_MISS) && end > ref->len)
        last = want_chunks(fr, ref, ids, ref->chunks - 1, ref->chunks - 1);
    return rc == NQ_OK ? last : rc;
}

/* Room for appends to come: half as much again. */
static uint32_t
with_slack(uint32_t len)
{
    return nq_min(len + len / 2, BLOB_CHUNK);
}

/* Makes the blob `len` bytes long, zeros behind what was there. */
static void
grow(struct frames *fr, struct blob_ref *ref, uint64_t len)
{
    uint32_t chunks = chunks_of(len), old = ref->chunks;
    uint8_t *ids = (uint8_t *)&ref->root, *p;
    uint32_t first_len = chunk_len(len, old - 1);

    nq_assert(chunks <= BLOB_CHUNK / 4);
    if (old > 1) {
        ids =
            frames_chunk_mut(fr, ref->root, chunks * 4, with_slack(chunks * 4));
    } else if (chunks > 1) {
        pgno only = ref->root;

        ref->root = frames_chunk_new(fr, chunks * 4, &ids);
        memcpy(ids, &only, 4);
    }
    (void)frames_chunk_mut(fr, index_id(ids, old - 1), first_len,
                           with_slack(first_len));
    for (uint32_t i = old; i < chunks; i++) {
        pgno id = frames_chunk_new(fr, chunk_len(len, i), &p);

        memcpy(ids + (size_t)i * 4, &id, 4);
    }
    ref->len = len;
    ref->chunks = chunks;
}

nq_rc
blob_write(struct frames *fr, struct blob_ref *ref, uint64_t off,
           struct slice bytes)
{
    uint64_t end = off + bytes.len;
    const uint8_t *ids;
    nq_rc rc;

    if (bytes.len == 0)
        return NQ_OK;
    if ((rc = want_for_write(fr, ref, off, end)) != NQ_OK)
        return rc;
    if (end > ref->len)
        grow(fr, ref, end);
    nq_assert(index_get(fr, ref, &ids) == NQ_OK);
    while (bytes.len > 0) {
        uint32_t i = (uint32_t)(off / BLOB_CHUNK);
        uint32_t len = chunk_len(ref->len, i);
        size_t at = off % BLOB_CHUNK;
        size_t some = nq_min(bytes.len, len - at);
        uint8_t *p = frames_chunk_mut(fr, index_id(ids, i), len, 0);

        memcpy(p + at, bytes.p, some);
        bytes = slice_of(bytes.p + some, bytes.len - some);
        off += some;
    }
    return NQ_OK;
}

nq_rc
blob_copy_some(struct frames *fr, const struct blob_ref *from,
               struct blob_ref *to)
{
    uint32_t done = to->len == 0 ? 0 : to->chunks;
    uint32_t n = done == 0 ? nq_min(2u, from->chunks) : 1;
    const uint8_t *ids;
    struct slice s;
    nq_rc rc = NQ_OK;

    nq_assert(done < from->chunks);
    if ((rc = index_get(fr, from, &ids)) != NQ_OK ||
        (rc = want_chunks(fr, from, ids, done, done + n - 1)) != NQ_OK)
        return rc;
    if (done > 0 && (rc = blob_want(fr, to, to->len - 1, 1)) != NQ_OK)
        return rc;
    for (uint32_t i = done; i < done + n; i++) { /* all is there: B3 */
        if ((rc = index_get(fr, from, &ids)) == NQ_OK)
            rc = chunk_at(fr, from, ids, i, &s);
        nq_assert(rc == NQ_OK);
        if (i == 0)
            blob_new(fr, s, to);
        else
            rc = blob_write(fr, to, to->len, s);
        nq_assert(rc == NQ_OK);
    }
    return NQ_OK;
}
