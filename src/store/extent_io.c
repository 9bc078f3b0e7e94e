/* store/extent_io.c - one extent, from the file to a page.
 *
 * Parity is read only when the extent is damaged, so it costs reads nothing.
 * Called by frames_read.c, store_check.c and scrub.c. */
#include "store/extent_io.h"

#include "base/mem.h"
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

/* The same bytes again, with their parity; true: they verify now. */
static bool
rebuild(const struct extent_from *from, pgno id, struct entry e, uint8_t **buf,
        struct extent_got *out)
{
    if (!entry_has_parity(e))
        return false;
    nq_free(*buf);
    *buf = nq_malloc(entry_space(e));
    if (file_read(from->file, *buf, entry_space(e), entry_off(e)) != NQ_OK)
        return false;
    out->rebuilt = extent_repair(*buf, id, e);
    return out->rebuilt > 0;
}

static nq_rc
decode(const struct extent_from *from, struct slice bytes,
       struct extent_got *out)
{
    nq_rc rc = extent_check_size(from, &out->x, &out->fault);

    if (rc != NQ_OK)
        return rc;
    out->raw = nq_malloc(out->x.raw_len);
    rc = extent_decode(bytes, &out->x, from->env, out->raw, &out->fault);
    if (rc == NQ_OK)
        rc = extent_check_page(from, &out->x, out->raw, &out->fault);
    if (rc == NQ_OK)
        return rc;
    nq_free(out->raw);
    out->raw = NULL;
    return rc;
}

nq_rc
extent_get(const struct extent_from *from, pgno id, struct entry e,
           struct extent_got *out)
{
    uint32_t len = entry_len(e);
    uint8_t *buf = nq_malloc(len);
    struct extent_fault first;
    nq_rc rc;

    *out = (struct extent_got){
        .fault = {"bytes before the end of the file", len, 0}};
    rc = file_read(from->file, buf, len, entry_off(e));
    if (rc == NQ_OK)
        rc = extent_verify(slice_of(buf, len), id, e, &out->x, &out->fault);
    first = out->fault;
    if (rc == NQ_ECORRUPT && rebuild(from, id, e, &buf, out))
        rc = extent_verify(slice_of(buf, len), id, e, &out->x, &out->fault);
    if (rc == NQ_OK)
        rc = decode(from, slice_of(buf, len), out);
    if (rc == NQ_OK)
        out->fault = first;
    nq_free(buf);
    return rc;
}
