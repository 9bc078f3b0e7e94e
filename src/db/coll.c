/* db/coll.c - collections: where their items are kept.
 *
 * The value of a collection's record:
 *
 *   packed  0  u8 0 | head | u16 items | the items (coll_packed.c)
 *   tree    0  u8 1 | head | u64 items | u32 root of the tree
 *
 * The length of the head is known to the type only; so the root is what the
 * value ends with.  Only a record of the second form has REC_OWNS. */
#include "db/coll.h"

#include "base/cursor.h"

#define ROOT_SIZE 4

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
