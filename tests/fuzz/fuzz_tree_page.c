/* Any bytes as a tree page, which reading from disk hands to page_verify():
 * what it lets pass must be safe to search and to read.  The size is the
 * greatest power of two that the input fills. */
#include "base/mem.h"
#include "store/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static nq_rc
no_tail(void *arg, pgno tail, struct slice *out)
{
    (void)arg;
    (void)tail;
    *out = slice_of("tail", 4);
    return NQ_OK;
}

static void
use(const struct page *pg)
{
    uint8_t *key = nq_malloc(page_size(pg));
    struct page_entry total;
    struct page_record r;
    struct page_key k;
    unsigned slot;
    bool found;
    nq_rc rc;

    for (unsigned i = 0; i < pg->count; i++) {
        page_key_at(pg, i, key, &k);
        if (pg->kind == PAGE_INNER) {
            rc = page_find_child(pg, k.in, no_tail, NULL, &slot);
        } else {
            page_record_at(pg, i, &r);
            rc = page_find(pg, k.in, no_tail, NULL, &slot, &found);
        }
        (void)rc;
    }
    if (pg->kind == PAGE_INNER)
        page_entry_total(pg, &total);
    nq_free(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned shift = PAGE_MIN_SHIFT;
    uint8_t *page;

    if (size < (size_t)1 << PAGE_MIN_SHIFT)
        return 0;
    while (shift < PAGE_MAX_SHIFT && (size_t)2 << shift <= size)
        shift++;
    page = nq_memdup(data, (size_t)1 << shift);
    if (page_verify(page, (size_t)1 << shift))
        use((const struct page *)(const void *)page);
    nq_free(page);
    return 0;
}
