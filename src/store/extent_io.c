/* store/extent_io.c - one extent, from the file to a page.
 *
 * A tree page that is neither packed nor sealed is read to where it is wanted
 * at once, its header apart from it; all else goes through a buffer.  Parity
 * is read only when the extent is damaged, so it costs reads nothing.
 * Called by frames_read.c, store_check.c and sweep.c. */
#include "store/extent_io.h"

#include "base/mem.h"
#include "codec/block.h"
#include "os/file.h"
#include "store/frames.h"

nq_rc
extent_check_size(const struct extent_from *from, const struct extent *x,
                  struct extent_fault *fault)
{
    if (x->kind == PAGE_CHUNK || x->raw_len == from->page_size)
        return NQ_OK;
    *fault = (struct extent_fault){"raw length of a tree page", from->page_size,
                                   x->raw_len};
    return NQ_ECORRUPT;
}

nq_rc
extent_check_page(const struct extent_from *from, const struct extent *x,
                  const uint8_t *raw, struct extent_fault *fault)
{
    if (x->kind == PAGE_CHUNK || from->is_page == NULL)
        return NQ_OK;
    if (raw[0] == x->kind && from->is_page(raw, x->raw_len))
        return NQ_OK;
    *fault = (struct extent_fault){"kind inside the page", x->kind, raw[0]};
    if (raw[0] == x->kind)
        *fault = (struct extent_fault){"structure of the page", 1, 0};
    return NQ_ECORRUPT;
}

/* Bytes of the extent of a raw page, sealed or not. */
static uint32_t
raw_len(uint32_t page_size)
{
    return EXTENT_HEADER + page_size;
}

bool
extent_may_be_page(struct entry e, uint32_t page_size)
{
    return entry_len(e) <= extent_bound(page_size);
}

static uint8_t *
buffer(struct extent_into *into, size_t n)
{
    if (into->cap < n) {
        nq_free(into->buf);
        into->buf = nq_malloc(n);
        into->cap = n;
    }
    return into->buf;
}

void
extent_into_fini(struct extent_into *into)
{
    nq_free(into->buf);
    into->buf = NULL;
    into->cap = 0;
}

bool
extent_is_at_hand(struct file *f, struct entry e, struct extent_into *into)
{
    return file_try_read(f, buffer(into, entry_len(e)), entry_len(e),
                         entry_off(e)) == NQ_OK;
}

/* --- straight to the page ------------------------------------------------- */

static bool
can_be_straight(const struct extent_from *from, struct entry e,
                const struct extent_into *into)
{
    uint32_t n = raw_len(from->page_size);

    return into->page != NULL && from->env->keys == NULL &&
           entry_codec(e) == BLOCK_RAW && entry_len(e) >= n &&
           entry_len(e) - n < EXTENT_UNIT;
}

/* NQ_ECORRUPT: it is something else, or damaged. */
static nq_rc
get_straight(const struct extent_from *from, pgno id, struct entry e,
             const struct extent_into *into, struct extent_got *out)
{
    uint8_t header[EXTENT_HEADER];
    struct file_parts to = {.head = header,
                            .head_len = EXTENT_HEADER,
                            .rest = into->page,
                            .rest_len = from->page_size};
    struct slice page = slice_of(into->page, from->page_size);
    nq_rc rc = into->is_at_hand
                   ? file_try_read_parts(from->file, &to, entry_off(e))
                   : file_read_parts(from->file, &to, entry_off(e));

    if (rc == NQ_OK)
        rc = extent_verify_parts(slice_of(header, EXTENT_HEADER), page, id, e,
                                 &out->x, &out->fault);
    if (rc == NQ_OK && (out->x.kind == PAGE_CHUNK ||
                        out->x.raw_len != from->page_size || out->x.key != 0))
        rc = NQ_ECORRUPT;
    if (rc == NQ_OK)
        rc = extent_check_page(from, &out->x, into->page, &out->fault);
    out->raw = into->page;
    return rc;
}

/* --- by a buffer ---------------------------------------------------------- */

/* The same bytes again, with their parity; true: they verify now. */
static bool
rebuild(const struct extent_from *from, pgno id, struct entry e,
        struct extent_into *into, struct extent_got *out)
{
    uint8_t *buf;

    if (!entry_has_parity(e) || into->is_at_hand)
        return false;
    buf = buffer(into, entry_space(e));
    if (file_read(from->file, buf, entry_space(e), entry_off(e)) != NQ_OK)
        return false;
    out->rebuilt = extent_repair(buf, id, e);
    return out->rebuilt > 0;
}

static nq_rc
decode(const struct extent_from *from, struct slice bytes,
       const struct extent_into *into, struct extent_got *out)
{
    nq_rc rc = extent_check_size(from, &out->x, &out->fault);

    if (rc != NQ_OK)
        return rc;
    out->raw = into->page == NULL || out->x.kind == PAGE_CHUNK
                   ? nq_malloc(out->x.raw_len)
                   : into->page;
    rc = extent_decode(bytes, &out->x, from->env, out->raw, &out->fault);
    if (rc == NQ_OK)
        rc = extent_check_page(from, &out->x, out->raw, &out->fault);
    if (rc == NQ_OK)
        return rc;
    if (out->raw != into->page)
        nq_free(out->raw);
    out->raw = NULL;
    return rc;
}

static nq_rc
get_buffered(const struct extent_from *from, pgno id, struct entry e,
             struct extent_into *into, struct extent_got *out)
{
    uint32_t len = entry_len(e);
    uint8_t *buf = buffer(into, len);
    struct extent_fault first;
    nq_rc rc = into->is_at_hand
                   ? file_try_read(from->file, buf, len, entry_off(e))
                   : file_read(from->file, buf, len, entry_off(e));

    if (rc == NQ_OK)
        rc = extent_verify(slice_of(buf, len), id, e, &out->x, &out->fault);
    first = out->fault;
    if (rc == NQ_ECORRUPT && rebuild(from, id, e, into, out))
        rc = extent_verify(slice_of(into->buf, len), id, e, &out->x,
                           &out->fault);
    if (rc == NQ_OK)
        rc = decode(from, slice_of(into->buf, len), into, out);
    if (rc == NQ_OK)
        out->fault = first;
    return rc;
}

nq_rc
extent_get_into(const struct extent_from *from, pgno id, struct entry e,
                struct extent_into *into, struct extent_got *out)
{
    nq_rc rc;

    *out = (struct extent_got){
        .fault = {"bytes before the end of the file", entry_len(e), 0}};
    if (can_be_straight(from, e, into)) {
        rc = get_straight(from, id, e, into, out);
        if (rc != NQ_ECORRUPT)
            return rc;
        *out = (struct extent_got){
            .fault = {"bytes before the end of the file", entry_len(e), 0}};
    }
    return get_buffered(from, id, e, into, out);
}

nq_rc
extent_get(const struct extent_from *from, pgno id, struct entry e,
           struct extent_got *out)
{
    struct extent_into into = {.page = NULL};
    nq_rc rc = extent_get_into(from, id, e, &into, out);

    extent_into_fini(&into);
    return rc;
}
