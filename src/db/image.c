/* db/image.c - images of keys.
 *
 *   image  u8 shape | with EXISTS: varint expire ms | varint len
 *          | with VALUE: varint length, bytes of the record's value
 *   shape  bit 0 EXISTS, 1 VALUE, 2-4 flags of the record, 5-7 type
 *
 * The value of an image is one that stands in its record as a whole: a blob
 * becomes the bytes of a plain string, a hash with a tree of its own one that
 * is packed.  So whoever reads records reads images.
 *
 * Called by change.c, and on any thread by those who decode changes. */
#include "db/image.h"

#include "base/mem.h"
#include "db/coll_int.h"
#include "db/coll_packed.h"
#include "db/fields.h"
#include "db/string.h"

#define EXISTS 1u
#define VALUE 2u
#define FLAGS_SHIFT 2
#define TYPE_SHIFT 5
#define FLAGS_MASK 7u
#define ITEMS_MAX UINT16_MAX /* that a packed value can count */

/* --- taking --------------------------------------------------------------- */

/* What cannot be read is left out; only a miss is worth another try. */
static nq_rc
missed_or_left_out(nq_rc rc)
{
    return rc == NQ_MISS ? rc : NQ_OK;
}

static nq_rc
take_blob(struct db *db, const struct entry *e, struct arena *arena,
          struct image *out)
{
    uint8_t *bytes = arena_alloc(arena, nq_max(out->len, (uint64_t)1));
    nq_rc rc = string_copy(db, e, 0, out->len, bytes);

    if (rc != NQ_OK)
        return missed_or_left_out(rc);
    out->rec.val = slice_of(bytes, out->len);
    out->rec.flags = 0;
    out->has_value = true;
    return NQ_OK;
}

/* The items of a hash with a tree, put into *b; false: they are too long. */
static nq_rc
pack_items(struct coll *c, uint64_t limit, struct arena *arena, struct buf *b,
           bool *fits)
{
    struct coll_cursor cu;
    struct slice val;
    struct item it;
    nq_rc rc;

    *fits = true;
    coll_cursor_init(&cu, c);
    for (rc = coll_first(&cu); rc == NQ_OK && cu.valid; rc = coll_next(&cu)) {
        size_t n;

        if ((rc = coll_item(&cu, &it)) != NQ_OK)
            break;
        *fits = b->len + it.key.len + it.len <= limit;
        if (!*fits)
            break;
        if ((rc = coll_val(c, &it, arena, &val)) != NQ_OK)
            break;
        n = packed_size(it.key, val, it.expire_ms);
        packed_write(buf_reserve(b, n), it.key, val, it.expire_ms);
        b->len += n;
    }
    coll_cursor_fini(&cu);
    return rc;
}

static nq_rc
take_tree(struct db *db, uint32_t dbi, struct slice key, const struct entry *e,
          uint64_t limit, struct arena *arena, struct image *out)
{
    size_t head = 1 + (size_t)fields_head_len(&e->rec) + COLL_PACKED_SIZE;
    struct entry found = *e;
    struct buf b = BUF_INIT;
    struct coll c;
    bool fits = false;
    nq_rc rc = fields_open(db, dbi, key, &found, true, &c);

    (void)buf_reserve(&b, head);
    b.len = head;
    if (rc == NQ_OK)
        rc = pack_items(&c, limit, arena, &b, &fits);
    if (rc == NQ_OK && fits) {
        coll_value_packed(b.p, slice_of(c.head, c.head_len), c.count);
        out->rec.val = slice_of(arena_memdup(arena, b.p, b.len), b.len);
        out->rec.flags = (uint8_t)(out->rec.flags & ~REC_OWNS);
        out->has_value = true;
    }
    coll_close(&c);
    buf_fini(&b);
    return missed_or_left_out(rc);
}

static uint64_t
len_of(struct slice key, const struct record *rec)
{
    struct row_fields fields;
    struct row row;

    return db_row_near(key, rec, ROW_LEN, 0, &fields, &row) == ROW_NEAR
               ? row.len
               : 0;
}

nq_rc
image_take(struct db *db, uint32_t dbi, struct slice key, const struct entry *e,
           uint64_t limit, struct arena *arena, struct image *out)
{
    const struct record *rec = &e->rec;
    bool owns = (rec->flags & REC_OWNS) != 0;

    *out = (struct image){.exists = true,
                          .type = (enum db_type)rec->type,
                          .expire_ms = db_expire_of(rec),
                          .len = len_of(key, rec),
                          .rec = *rec};
    out->rec.expire_ms = out->expire_ms;
    out->rec.page_lsn = 0;
    if (rec->type != DB_STRING && rec->type != DB_HASH)
        return NQ_OK;
    if (!owns) {
        out->has_value = rec->val.len <= limit;
        return NQ_OK;
    }
    if (rec->type == DB_STRING)
        return out->len <= limit ? take_blob(db, e, arena, out) : NQ_OK;
    /* A field takes three bytes at least. */
    if (out->len > nq_min(limit / 3, (uint64_t)ITEMS_MAX))
        return NQ_OK;
    return take_tree(db, dbi, key, e, limit, arena, out);
}

/* --- bytes ---------------------------------------------------------------- */

void
image_encode(const struct image *im, struct buf *out)
{
    unsigned shape = 0;

    if (im->exists)
        shape = EXISTS | (im->has_value ? VALUE : 0) |
                (im->rec.flags & FLAGS_MASK & ~(unsigned)REC_OWNS)
                    << FLAGS_SHIFT |
                (unsigned)im->type << TYPE_SHIFT;
    buf_put_u8(out, (uint8_t)shape);
    if (!im->exists)
        return;
    buf_put_varint(out, im->expire_ms);
    buf_put_varint(out, im->len);
    if (!im->has_value)
        return;
    buf_put_varint(out, im->rec.val.len);
    buf_put_slice(out, im->rec.val);
}

bool
image_decode(struct cursor *c, struct image *out)
{
    uint8_t shape;

    *out = (struct image){.exists = false};
    cursor_get_u8(c, &shape);
    if (!cursor_ok(c) || shape == 0)
        return cursor_ok(c);
    out->exists = true;
    out->has_value = (shape & VALUE) != 0;
    out->type = (enum db_type)(shape >> TYPE_SHIFT);
    cursor_get_varint(c, &out->expire_ms);
    cursor_get_varint(c, &out->len);
    out->rec =
        (struct record){.expire_ms = out->expire_ms,
                        .type = (uint8_t)out->type,
                        .flags = (uint8_t)(shape >> FLAGS_SHIFT & FLAGS_MASK)};
    if (out->has_value)
        cursor_get_slice(c, &out->rec.val);
    return cursor_ok(c) && (shape & EXISTS) != 0 && out->type < DB_TYPES &&
           (out->rec.flags & REC_OWNS) == 0 && out->expire_ms <= DB_FOREVER &&
           (!out->has_value || out->type == DB_STRING || out->type == DB_HASH);
}

static bool
is_row(const struct image *im, struct slice key, unsigned needs,
       uint64_t now_ms, struct row_fields *fields, struct row *out)
{
    enum row_near is = db_row_near(key, &im->rec, needs, now_ms, fields, out);

    if (is != ROW_OVER)
        return is == ROW_NEAR;
    is = db_row_near(key, &im->rec, needs, 0, fields, out);
    out->now_ms = im->expire_ms != 0 ? nq_min(now_ms, im->expire_ms) : now_ms;
    return is == ROW_NEAR;
}

void
image_row(const struct image *im, struct slice key, uint64_t now_ms,
          struct row_fields *fields, struct row *out)
{
    unsigned needs = ROW_KEY | ROW_LEN;

    nq_assert(im->exists);
    if (im->has_value)
        needs |= im->type == DB_HASH ? ROW_FIELDS : ROW_VALUE;
    if (im->has_value && is_row(im, key, needs, now_ms, fields, out))
        return;
    *out = (struct row){.key = key,
                        .type = db_type_name(im->type),
                        .is_hash = im->type == DB_HASH,
                        .has = ROW_KEY | ROW_LEN,
                        .expire_ms = im->expire_ms,
                        .now_ms = now_ms,
                        .len = im->len};
}
