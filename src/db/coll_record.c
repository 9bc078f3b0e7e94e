/* db/coll_record.c - what a collection's record says: pure functions on its
 * bytes.
 *
 *   packed  0  u8 length of the head | head | u16 items | the items
 *   tree    0  u8 the same + 128     | head | u64 items | u32 root
 *
 * The head is the type's own.  The packed items are those of coll_packed.c,
 * the tree is that of coll_tree.c.  Only a record of the second form has
 * REC_OWNS; it ends with the root, as every record that owns a tree does.
 *
 * Called by coll.c, and by those who look at records without opening them. */
#include "base/cursor.h"
#include "db/coll_int.h"
#include "store/corrupt.h"

#define FORM_TREE 128
#define ROOT_SIZE 4
#define COUNT_SIZE 8

_Static_assert(COLL_HEAD_MAX < FORM_TREE, "the length of the head is 7 bits");
_Static_assert(COLL_TREE_SIZE == COUNT_SIZE + ROOT_SIZE, "as encoded");

bool
coll_record_root(const struct record *rec, pgno *root)
{
    struct cursor c = cursor_of(rec->val);

    *root = 0;
    if ((rec->flags & REC_OWNS) == 0 || rec->type == DB_STRING)
        return false;
    return rec->val.len > ROOT_SIZE &&
           cursor_skip(&c, rec->val.len - ROOT_SIZE) &&
           cursor_get_u32(&c, root) && *root != 0;
}

bool
coll_record_head(const struct record *rec, struct slice *out, uint8_t head_len)
{
    struct cursor c = cursor_of(rec->val);

    *out = slice_of(NULL, 0);
    return cursor_skip(&c, 1) && cursor_get_bytes(&c, head_len, out);
}

uint8_t
coll_record_head_len(const struct record *rec)
{
    struct cursor c = cursor_of(rec->val);
    uint8_t form = 0;

    cursor_get_u8(&c, &form);
    return form % FORM_TREE;
}

static uint64_t
load_le(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* All lengths are known once the first byte is, so it takes no cursor; this is
 * on the path of every command. */
nq_rc
coll_value_decode(const struct record *rec, struct coll_value *out)
{
    bool owns = (rec->flags & REC_OWNS) != 0, ok = false;
    const uint8_t *p = rec->val.p;
    size_t len = rec->val.len, head = len == 0 ? 0 : p[0] % FORM_TREE;

    out->is_tree = owns;
    out->head = slice_of(p + 1, head);
    out->items = slice_lit("");
    out->root = 0;
    if (owns && len == 1 + head + COLL_TREE_SIZE) {
        out->count = load_le(p + 1 + head, COUNT_SIZE);
        out->root = (pgno)load_le(p + 1 + head + COUNT_SIZE, ROOT_SIZE);
        ok = p[0] >= FORM_TREE && out->root != 0 && out->count != 0;
    } else if (!owns && len >= 1 + head + COLL_PACKED_SIZE) {
        out->count = load_le(p + 1 + head, COLL_PACKED_SIZE);
        out->items = slice_of(p + 1 + head + COLL_PACKED_SIZE,
                              len - 1 - head - COLL_PACKED_SIZE);
        ok = p[0] < FORM_TREE && out->count <= out->items.len &&
             (out->count == 0) == (out->items.len == 0);
    }
    if (nq_likely(ok && head <= COLL_HEAD_MAX))
        return NQ_OK;
    return NQ_CORRUPT("value of a %s: %zu bytes, a head of %zu, %s",
                      db_type_name(rec->type), len, head,
                      owns ? "a tree" : "packed");
}

nq_rc
coll_record_check(const struct record *rec, uint64_t *items)
{
    struct coll_value v;
    nq_rc rc = coll_value_decode(rec, &v);
    uint64_t n;

    *items = v.count;
    if (rc != NQ_OK || v.is_tree ||
        (rc = packed_check(v.items, coll_is_by_arrival((enum db_type)rec->type),
                           &n)) != NQ_OK)
        return rc;
    return n == v.count
               ? NQ_OK
               : NQ_CORRUPT("packed items: %llu counted, %llu found",
                            (unsigned long long)v.count, (unsigned long long)n);
}

struct slice
coll_value_tree(uint8_t *dst, struct slice head, uint64_t count, pgno root)
{
    uint8_t *p = dst;

    *p++ = (uint8_t)(FORM_TREE + head.len);
    memcpy(p, head.p, head.len);
    p += head.len;
    for (unsigned i = 0; i < COUNT_SIZE; i++)
        *p++ = (uint8_t)(count >> (8 * i));
    for (unsigned i = 0; i < ROOT_SIZE; i++)
        *p++ = (uint8_t)(root >> (8 * i));
    return slice_of(dst, (size_t)(p - dst));
}

void
coll_value_packed(uint8_t *dst, struct slice head, uint64_t count)
{
    *dst++ = (uint8_t)head.len;
    memcpy(dst, head.p, head.len);
    dst += head.len;
    *dst++ = (uint8_t)count;
    *dst = (uint8_t)(count >> 8);
}
