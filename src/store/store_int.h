/* store/store_int.h - what store.c, checkpoint.c and store_check.c share. */
#ifndef NQ_STORE_STORE_INT_H
#define NQ_STORE_STORE_INT_H

#include "os/pool.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/flush.h"
#include "store/pin.h"
#include "store/quota.h"
#include "store/store.h"
#include "store/superblock.h"
#include "store/trim.h"

struct dir_lock;

#define STORE_MAGIC 0x524f5453u

struct store {
    uint32_t magic;
    struct store_opts opts; /* dir and wal_dir are owned copies */
    char *dir, *wal_dir, *data_path;
    struct dir_lock *lock;
    struct disk disk;
    struct frames *frames;
    struct wal *wal;      /* NULL: salvaged, and it cannot be read */
    struct superblock sb; /* as published last */
    struct catalog catalog;
    bool is_ready; /* replayed; the log takes appends */
    struct checkpoint ckpt;
    struct trim trim;
    struct quota quota;
    uint64_t max_log; /* store_set_max_log() */
    struct pack_stats pack_stats;
    struct dict_keeper *dict_keeper;
    struct pins *pins;
    bool is_closing; /* nothing long is begun any more */
};

/* The steps of store_open(), in their order, for salvage.c, which goes on
 * where they fail. */
struct store *store_new_store(const struct store_opts *opts, struct pool *pool);
NQ_MUST_USE nq_rc store_open_data(struct store *st);
NQ_MUST_USE nq_rc store_load_catalog(struct store *st);
NQ_MUST_USE nq_rc store_open_frames(struct store *st);
NQ_MUST_USE nq_rc store_open_log(struct store *st);
void store_free_all(struct store *st);

#endif
