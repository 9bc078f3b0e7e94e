/* store/catalog.c - named values in one block of bytes.
 *
 *   0  u32 magic "NQC1"   4 u32 rows
 *   8  rows, by rising name: u8 length, name, u16 length, value
 *
 * The checksum is in the superblock, beside the block's place. */
#include "store/catalog.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"

#define CATALOG_MAGIC 0x3143514eu

struct catalog_row {
    struct slice name, val; /* owned */
};

static struct slice
copy(struct slice s)
{
    return slice_of(nq_memdup(s.p, s.len), s.len);
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

/* Index of the first row whose name is not below `name`. */
static uint32_t
position(const struct catalog *c, struct slice name, bool *found)
{
    uint32_t i = 0;

    while (i < c->count && slice_cmp(c->rows[i].name, name) < 0)
        i++;
    *found = i < c->count && slice_eq(c->rows[i].name, name);
    return i;
}

void
catalog_fini(struct catalog *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        drop(&c->rows[i].name);
        drop(&c->rows[i].val);
    }
    nq_free(c->rows);
    *c = CATALOG_INIT;
}

nq_rc
catalog_get(const struct catalog *c, struct slice name, struct slice *val)
{
    bool found;
    uint32_t i = position(c, name, &found);

    if (!found)
        return NQ_NOTFOUND;
    *val = c->rows[i].val;
    return NQ_OK;
}

void
catalog_put(struct catalog *c, struct slice name, struct slice val)
{
    bool found;
    uint32_t i = position(c, name, &found);
    struct slice owned = copy(val); /* it may be the old value itself */

    nq_assert(name.len <= CATALOG_NAME_MAX && val.len <= CATALOG_VALUE_MAX);
    if (found) {
        drop(&c->rows[i].val);
        c->rows[i].val = owned;
        return;
    }
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 16 : c->cap * 2;
        c->rows = nq_realloc(c->rows, c->cap * sizeof *c->rows);
    }
    memmove(c->rows + i + 1, c->rows + i, (c->count - i) * sizeof *c->rows);
    c->rows[i] = (struct catalog_row){copy(name), owned};
    c->count++;
}

void
catalog_del(struct catalog *c, struct slice name)
{
    bool found;
    uint32_t i = position(c, name, &found);

    if (!found)
        return;
    drop(&c->rows[i].name);
    drop(&c->rows[i].val);
    c->count--;
    memmove(c->rows + i, c->rows + i + 1, (c->count - i) * sizeof *c->rows);
}

void
catalog_encode(const struct catalog *c, struct buf *out)
{
    buf_put_u32(out, CATALOG_MAGIC);
    buf_put_u32(out, c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        buf_put_u8(out, (uint8_t)c->rows[i].name.len);
        buf_put_slice(out, c->rows[i].name);
        buf_put_u16(out, (uint16_t)c->rows[i].val.len);
        buf_put_slice(out, c->rows[i].val);
    }
}

nq_rc
catalog_decode(struct slice src, struct catalog *c)
{
    struct cursor in = cursor_of(src);
    uint32_t magic, rows;

    cursor_get_u32(&in, &magic);
    cursor_get_u32(&in, &rows);
    if (!cursor_ok(&in) || magic != CATALOG_MAGIC)
        return NQ_ECORRUPT;
    for (uint32_t i = 0; i < rows; i++) {
        struct slice name, val;
        uint8_t name_len;
        uint16_t val_len;

        cursor_get_u8(&in, &name_len);
        cursor_get_bytes(&in, name_len, &name);
        cursor_get_u16(&in, &val_len);
        cursor_get_bytes(&in, val_len, &val);
        if (!cursor_ok(&in))
            return NQ_ECORRUPT;
        catalog_put(c, name, val);
    }
    return cursor_left(&in) == 0 ? NQ_OK : NQ_ECORRUPT;
}
