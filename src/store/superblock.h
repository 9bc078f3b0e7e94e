/* store/superblock.h - where everything is, in two copies.
 *
 * The newest valid copy wins.  One is written and synced before the other is
 * touched, so a torn write costs one checkpoint, never the database; at rest
 * both say the same, so damage to one costs nothing.  Any thread; a struct
 * superblock is plain data. */
#ifndef NQ_STORE_SUPERBLOCK_H
#define NQ_STORE_SUPERBLOCK_H

#include "base/rc.h"
#include "base/slice.h"
#include "store/pgno.h"

struct file;

#define SUPERBLOCK_SIZE 4096u
#define SUPERBLOCK_AT_A 0u
#define SUPERBLOCK_AT_B 8192u
#define SUPERBLOCK_AREA 16384u /* extents begin here */
#define SUPERBLOCK_VERSION 2u
#define SUPERBLOCK_DELTAS 64u

/* A run of the file that is read as a whole. */
struct part {
    uint64_t off, len; /* len 0: none */
    uint32_t crc;
};

struct superblock {
    uint32_t page_size;
    uint32_t codecs; /* bits by codec that extents may have */
    uint8_t uuid[16];
    uint64_t sequence; /* of publications; the parity chooses the copy */
    lsn lsn;           /* replay begins here */
    uint64_t log_salt;
    bool is_clean; /* shut down in order: the log ends at log_end */
    lsn log_end;
    uint64_t wall_us; /* when it was written */
    uint64_t file_bytes;
    pgno next_id;
    struct part catalog, base;
    uint32_t deltas_count;
    struct part deltas[SUPERBLOCK_DELTAS];
    uint32_t key; /* newest data key in use (store/keyring.h); 0: what is in
                     the file is not encrypted */
};

void superblock_encode(uint8_t dst[SUPERBLOCK_SIZE],
                       const struct superblock *sb);
/* NQ_EFORMAT: no superblock of ours, or of another version; NQ_ECORRUPT: one
 * of ours, damaged. */
NQ_MUST_USE nq_rc superblock_decode(struct slice src, struct superblock *out);

/* The newest valid copy; says in the log what is wrong with the other.
 * NQ_ECORRUPT, NQ_EFORMAT, NQ_EIO. */
NQ_MUST_USE nq_rc superblock_read(struct file *f, struct superblock *out);
/* How each of the copies is: [0] A, [1] B. */
void superblock_check_copies(struct file *f, nq_rc rc[2]);
/* Writes the copy that sb->sequence chooses; does not sync. */
NQ_MUST_USE nq_rc superblock_write(struct file *f, const struct superblock *sb);
/* Writes both copies, the one that is older on disk first, each under the
 * next sequence number and synced before the other is touched.  NQ_OK: the
 * first is durable, and sb->sequence is that of the newest good one; a
 * failure of the second costs only the spare. */
NQ_MUST_USE nq_rc superblock_publish(struct file *f, struct superblock *sb);

#endif
