/* db/image.h - taking images of keys and their values, and their bytes in the
 * log (db/change.h says what an image is).
 *
 * Private to db/. */
#ifndef NQ_DB_IMAGE_H
#define NQ_DB_IMAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "db/change.h"

/* The image of the record that was found of the key.  Values that lie
 * elsewhere are copied into the arena; one longer than `limit`, or that cannot
 * be read, is left out.  NQ_MISS.  Loop thread. */
NQ_MUST_USE nq_rc image_take(struct db *db, uint32_t dbi, struct slice key,
                             const struct entry *e, uint64_t limit,
                             struct arena *arena, struct image *out);

void image_encode(const struct image *im, struct buf *out);
/* Borrowed from the bytes.  False: there is no image. */
bool image_decode(struct cursor *c, struct image *out);

#endif
