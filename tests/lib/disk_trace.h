/* tests/lib/disk_trace.h - what a run did to the files of its directory, and
 * what a disk may hold of it.
 *
 * A trace has every change of a file, of a size, of a name and every sync, in
 * order, with the bytes.  An image is made of it for any point: which changes
 * last is told by the syncs before that point, of the others some, as a seed
 * decides.  Of files in the directory and in its folder "wal". */
#ifndef NQ_TESTS_DISK_TRACE_H
#define NQ_TESTS_DISK_TRACE_H

#include "base/buf.h"
#include "os/fault.h"

#ifdef NQ_FAULTS

#define TRACE_NAME_MAX 40 /* with its folder, terminated */
#define TRACE_NAMES 64
#define TRACE_FILES 128
#define DISK_TRACE_NONE SIZE_MAX

struct disk_event {
    enum fault_op op;
    uint32_t file; /* whose bytes; of a directory sync: 1 is "wal" */
    uint32_t name; /* number of the file's name, or that is changed */
    uint32_t from; /* of a rename */
    uint64_t off, len;
    size_t at;                       /* of the bytes, in trace.bytes */
    size_t begun;                    /* of the end of a sync: where it began */
    uint32_t issued, acked, durable; /* disk_trace_note(), as of then */
};

struct disk_trace {
    struct disk_event *events;
    size_t count, cap;
    struct buf bytes;
    char names[TRACE_NAMES][TRACE_NAME_MAX];
    uint32_t names_count, files_count;
    uint64_t inodes[TRACE_FILES];
    uint32_t names_of[TRACE_FILES]; /* now */
    uint64_t wal_inode;
    uint32_t issued, acked, durable; /* atomic */
    char dir[96];
};

struct disk_image;

/* From here to the end whatever happens in `dir`, which is empty. */
void disk_trace_begin(struct disk_trace *t, const char *dir);
/* The same where `im`, all of it synced, is what is there. */
void disk_trace_begin_with(struct disk_trace *t, const char *dir,
                           const struct disk_image *im);
void disk_trace_end(struct disk_trace *t);
void disk_trace_fini(struct disk_trace *t);
/* How far the workload is: units begun, answered, and known to be synced. */
void disk_trace_note(struct disk_trace *t, uint32_t issued, uint32_t acked,
                     uint32_t durable);
/* To a file and back, for a case that failed. */
bool disk_trace_save(const struct disk_trace *t, const char *path);
bool disk_trace_load(struct disk_trace *t, const char *path);

bool disk_trace_is_write(const struct disk_event *e);
bool disk_trace_is_sync(const struct disk_event *e);
/* The name that the file of the event had then. */
const char *disk_trace_name_of(const struct disk_trace *t,
                               const struct disk_event *e);
bool disk_trace_is_log(const struct disk_trace *t, const struct disk_event *e);

enum image_cut {
    CUT_NONE,    /* the process ended: all that was written is there */
    CUT_WRITES,  /* unsynced changes are there or not, each as a whole */
    CUT_SECTORS, /* the same for every 512 bytes; some are torn */
    CUT_ORDER    /* the first few of them, in an order of the disk's choice */
};

struct image_opts {
    size_t upto;        /* events before this one happened */
    size_t without;     /* but this one was never made; or
                           DISK_TRACE_NONE */
    bool is_last_torn;  /* the last one, a write, is there in part */
    enum image_cut cut; /* what else was not synced */
    uint64_t seed;
};

struct image_file {
    char name[TRACE_NAME_MAX];
    struct buf bytes;
};

/* The files of a directory, in memory. */
struct disk_image {
    struct image_file files[TRACE_FILES];
    uint32_t count;
};

/* Replaces what is in `im`, zeroed before its first use. */
void image_build(const struct disk_trace *t, const struct image_opts *o,
                 struct disk_image *im);
void image_fini(struct disk_image *im);
/* NULL: no such file. */
struct image_file *image_find(struct disk_image *im, const char *name);
/* Makes it the contents of the directory. */
void image_write(const struct disk_image *im, const char *dir);
/* Removes all files of the directory and of its folder, not these. */
void image_clear_dir(const char *dir);

#endif

#endif
