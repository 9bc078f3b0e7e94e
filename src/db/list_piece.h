/* db/list_piece.h - runs of list elements as bytes: pure functions.
 *
 * Any thread.  Bytes that are read came from a page; whatever they are,
 * nothing outside of them is looked at. */
#ifndef NQ_DB_LIST_PIECE_H
#define NQ_DB_LIST_PIECE_H

#include "base/slice.h"

#define PIECE_TEXT 24 /* room for the text of an integer */

/* One element in a run. */
struct piece {
    size_t size;        /* in the run, without what leads back */
    struct slice bytes; /* of a string; not valid if is_int */
    int64_t value;      /* valid only if is_int */
    bool is_int;
};

/* Bytes that it takes, without what leads back. */
size_t piece_size(struct slice elem);
/* Writes it so; returns piece_size(). */
size_t piece_put(uint8_t *dst, struct slice elem);
/* What follows an element of `size` bytes for those who come from behind:
 * how long it is; writes it. */
static inline size_t
piece_back_size(size_t size)
{
    return size < 0x80 ? 1 : 2;
}
size_t piece_put_back(uint8_t *dst, size_t size);

/* What an element would be in a run; its bytes are those of `elem`. */
void piece_of(struct slice elem, struct piece *out);
/* The element that begins at `off`; false: there is none. */
bool piece_at(struct slice run, size_t off, struct piece *out);
/* Where the element begins that ends, with what leads back, at `end`; false:
 * there is none. */
bool piece_before(struct slice run, size_t end, size_t *off);

/* Its bytes as the client knows them; `text` is room for an integer. */
struct slice piece_text(const struct piece *p, char text[PIECE_TEXT]);
/* Bytes that Redis' listpack takes for it. */
size_t piece_listpack_size(const struct piece *p);

#endif
