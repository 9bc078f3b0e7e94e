/* tests/lib/good_file.h - the data file of a closed database, remembered while
 * it is good: its bytes and where the live extents are, so that a test can
 * damage what it means to, time and again. */
#ifndef NQ_TESTS_LIB_GOOD_FILE_H
#define NQ_TESTS_LIB_GOOD_FILE_H

#include "store/frames.h"
#include "store/superblock.h"

/* A live extent. */
struct good_place {
    uint64_t off;
    uint32_t len; /* header and payload */
    uint8_t kind; /* PAGE_LEAF ... */
};

struct good_file {
    char path[100];
    uint8_t *bytes;
    size_t len;
    struct good_place *places; /* by page id */
    unsigned count;
    struct superblock sb; /* the newer one */
};

/* Reads the data file in `dir`, which must be good. */
void good_file_init(struct good_file *g, const char *dir);
void good_file_fini(struct good_file *g);
/* The file becomes `bytes`, as long as the good one: a copy with damage. */
void good_file_write(const struct good_file *g, const uint8_t *bytes);

#endif
