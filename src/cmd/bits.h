/* cmd/bits.h - a string held still for reading: its bytes as they were when
 * it was opened, however long the reader takes.
 *
 * Loop thread only.  Blob chunks are pinned (writers get copies), inline
 * values are copied; nothing else is. */
#ifndef NQ_CMD_BITS_H
#define NQ_CMD_BITS_H

#include "cmd/command.h"

struct bits {
    struct db *db;
    uint64_t len;        /* bytes; 0 for an absent key */
    uint32_t n;          /* parts */
    struct slice *parts; /* owned; all but the last BITS_PART long */
    uint32_t *pins;      /* owned; NULL: parts[0] is an owned copy */
};

#define BITS_PART (UINT64_C(1) << 20)

/* Opens the string at argv[i]; an absent key is empty.  False: the reply is
 * put (or the command parked) and nothing is held. */
bool bits_open(struct req *rq, uint32_t i, struct bits *b);
void bits_close(struct bits *b);

/* The longest stretch of contiguous bytes at `off`, empty at the end. */
struct slice bits_at(const struct bits *b, uint64_t off);

uint64_t bits_popcount(struct slice s);

#endif
