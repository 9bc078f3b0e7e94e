/* store/page_verify.c - whether bytes read from disk are a page at all.
 *
 * The rest of page*.c trusts offsets and lengths inside a page; this is where
 * that trust comes from.  Everything is read through a cursor or after a
 * check of its place. */
#include "base/cursor.h"
#include "store/page.h"

#include "store/page_int.h"

static bool
header_is_sane(const struct page *pg, size_t size)
{
    size_t end;

    if (pg->shift < PAGE_MIN_SHIFT || pg->shift > PAGE_MAX_SHIFT ||
        page_size(pg) != size)
        return false;
    if (pg->kind != PAGE_LEAF && pg->kind != PAGE_INNER)
        return false;
    if ((pg->kind == PAGE_LEAF) != (pg->level == 0))
        return false;
    end = PAGE_HEADER + page_slot_size(pg) * pg->capacity;
    if (pg->count > pg->capacity || pg->data_off > size || end > pg->data_off ||
        pg->garbage > size - pg->data_off)
        return false;
    if (pg->prefix_len > page_max_key(pg->shift) + 1)
        return false;
    if (pg->prefix_len <= PAGE_INLINE_PREFIX)
        return pg->prefix_off == offsetof(struct page, prefix);
    return pg->prefix_off >= pg->data_off &&
           (size_t)pg->prefix_off + pg->prefix_len <= size;
}

/* A leaf record with short lengths, as most are: its bytes, or 0 if it is
 * none of these.  Three times as fast as the whole truth. */
static size_t
short_record(const struct page *pg, const uint8_t *p, size_t left)
{
    size_t used;

    if (left < 3 || (p[0] | p[1]) >= 0x80 ||
        pg->prefix_len + p[0] > page_max_key(pg->shift))
        return 0;
    used = 3u + p[0] + p[1] + (p[2] & REC_EXPIRES ? 6u : 0u);
    return used <= left ? used : 0;
}

/* The lengths of the record at the cursor; *in is the whole in-page part. */
static bool
record_is_sane(const struct page *pg, struct cursor c, size_t *used)
{
    size_t before = cursor_left(&c);
    uint64_t suffix = 0, val = 0;
    uint8_t meta = 0;
    uint32_t tail = 1, len = 0;

    cursor_get_varint(&c, &suffix);
    if (pg->kind == PAGE_LEAF) {
        cursor_get_varint(&c, &val);
        cursor_get_u8(&c, &meta);
        if (meta & REC_EXPIRES)
            cursor_skip(&c, 6);
    }
    if (!cursor_ok(&c) || suffix > page_max_key(pg->shift) + 1 ||
        pg->prefix_len + suffix > page_max_key(pg->shift) + 1 ||
        val > page_size(pg))
        return false;
    cursor_skip(&c, suffix);
    if (page_key_is_long(pg->shift, pg->prefix_len + suffix)) {
        if (!(pg->flags & PAGE_LONG))
            return false;
        cursor_get_u32(&c, &tail);
        cursor_get_u32(&c, &len);
        if (len < page_max_key(pg->shift) + 1 ||
            (tail == 0) != (len == page_max_key(pg->shift) + 1))
            return false;
    }
    cursor_skip(&c, val);
    *used = before - cursor_left(&c);
    return cursor_ok(&c);
}

bool
page_verify(const uint8_t *bytes, size_t size)
{
    const struct page *pg = (const struct page *)(const void *)bytes;
    const uint16_t *off;
    size_t sum = 0;

    if (!header_is_sane(pg, size))
        return false;
    off = page_offs(pg);
    for (unsigned i = 0; i < pg->count; i++) {
        struct cursor c;
        size_t used;

        if (pg->kind == PAGE_INNER && page_children(pg)[i] == 0)
            return false;
        if (pg->kind == PAGE_INNER && i == 0) {
            if (off[i] != 0)
                return false;
            continue;
        }
        if (off[i] < pg->data_off || off[i] >= size)
            return false;
        used = pg->kind == PAGE_LEAF
                   ? short_record(pg, bytes + off[i], size - off[i])
                   : 0;
        c = cursor_of(slice_of(bytes + off[i], size - off[i]));
        if (used == 0 && !record_is_sane(pg, c, &used))
            return false;
        sum += used;
        if (i > 0 && pg->head[i] < pg->head[i - 1])
            return false;
    }
    sum += prefix_room(pg->prefix_len);
    return sum + pg->garbage == size - pg->data_off;
}

bool
page_tidy(const uint8_t *bytes, size_t size, uint8_t *dst)
{
    const struct page *pg = (const struct page *)(const void *)bytes;
    size_t end;

    if (size < PAGE_HEADER || !header_is_sane(pg, size))
        return false;
    end = PAGE_HEADER + page_slot_size(pg) * pg->capacity;
    memcpy(dst, bytes, end);
    memset(dst + end, 0, pg->data_off - end);
    memcpy(dst + pg->data_off, bytes + pg->data_off, size - pg->data_off);
    return true;
}
