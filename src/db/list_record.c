/* db/list_record.c - the record of a list: what it says without being opened.
 * The layout is told in lists.c.  Called by the other list_*.c files, and by
 * whoever looks at a key. */
#include "db/list_int.h"

#define FORM_QUICK 1

#define CHUNK_PAGE 1024 /* a chunk for each so many bytes of a page */
#define CHUNKS_MIN 5    /* in a small page */
#define CHUNK_OVER 24   /* what a record takes beside its elements */
#define LISTPACK_OVER 7 /* bytes of an empty one */

static uint32_t
get_u16(const uint8_t *p)
{
    return (uint32_t)(p[0] | p[1] << 8);
}

static void
put_u16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void
put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, v);
    put_u16(p + 2, v >> 16);
}

static uint32_t
get_u32(const uint8_t *p)
{
    return get_u16(p) | get_u16(p + 2) << 16;
}

nq_rc
list_shape_of(const struct record *rec, struct list_shape *out)
{
    const uint8_t *p = rec->val.p;
    size_t len = rec->val.len;

    out->has_tree = (rec->flags & REC_OWNS) != 0;
    if (len < LIST_HEADER + (out->has_tree ? LIST_TRAILER : 0u))
        return LIST_DAMAGED();
    out->is_quick = (p[0] & FORM_QUICK) != 0;
    out->start = get_u16(p + 2);
    out->mid = get_u16(p + 4);
    out->end = get_u16(p + 6);
    out->head_n = get_u16(p + 8);
    out->tail_n = get_u16(p + 10);
    out->room = (uint32_t)len;
    out->lp_bytes = 0;
    out->tree_n = 0;
    out->root = 0;
    if (out->has_tree) {
        out->room -= LIST_TRAILER;
        p += out->room;
        out->lp_bytes = get_u32(p);
        out->tree_n = get_u32(p + 4) | (uint64_t)get_u32(p + 8) << 32;
        out->root = get_u32(p + 12);
    }
    if (out->start < LIST_HEADER || out->mid < out->start ||
        out->end < out->mid || out->end > out->room)
        return LIST_DAMAGED();
    return NQ_OK;
}

void
list_shape_put(uint8_t *val, size_t len, const struct list_shape *s)
{
    uint8_t *p = val + len - LIST_TRAILER;

    val[0] = s->is_quick ? FORM_QUICK : 0;
    val[1] = 0;
    put_u16(val + 2, s->start);
    put_u16(val + 4, s->mid);
    put_u16(val + 6, s->end);
    put_u16(val + 8, s->head_n);
    put_u16(val + 10, s->tail_n);
    if (!s->has_tree)
        return;
    put_u32(p, s->lp_bytes);
    put_u32(p + 4, (uint32_t)s->tree_n);
    put_u32(p + 8, (uint32_t)(s->tree_n >> 32));
    put_u32(p + 12, s->root);
}

struct list_sizes
list_sizes_of(const struct btree *t)
{
    uint32_t page = t->fr->page_size;
    uint32_t chunks = nq_max(page / CHUNK_PAGE, CHUNKS_MIN);
    struct list_sizes s;

    s.record = nq_min(btree_max_inline(t), LIST_RECORD_MAX);
    s.area = s.record - LIST_HEADER - LIST_TRAILER;
    s.elem = s.area - 4;
    s.chunk = (page - 64) / chunks - CHUNK_OVER;
    return s;
}

/* --- encodings ----------------------------------------------------------- */

bool
list_is_over_limit(struct db *db, uint64_t bytes, uint64_t count, bool half)
{
    static const uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    int64_t limit = db_limits(db)->list_max_listpack_size;
    uint64_t most;

    bytes += LISTPACK_OVER;
    if (limit < 0) {
        most = sizes[nq_min(-(limit + 1), (int64_t)nq_countof(sizes) - 1)];
        return bytes > (half ? most / 2 : most);
    }
    most = limit == 0 ? 1 : (uint64_t)limit;
    if (!half && bytes > sizes[1])
        return true;
    return count > (half ? most / 2 : most);
}

const char *
list_encoding(const struct entry *e)
{
    struct list_shape s;

    if (list_shape_of(&e->rec, &s) != NQ_OK || s.is_quick)
        return "quicklist";
    return "listpack";
}

uint64_t
list_len(const struct entry *e)
{
    struct list_shape s;

    return list_shape_of(&e->rec, &s) == NQ_OK ? list_shape_count(&s) : 0;
}

pgno
list_root(const struct entry *e)
{
    struct list_shape s;

    return list_shape_of(&e->rec, &s) == NQ_OK ? s.root : 0;
}
