/* store/store.h - one database directory: data file, page table, superblocks,
 * checkpoints, the log, recovery.  The sum of this folder for those above.
 *
 * Loop thread only.  Layout of the directory:
 *   LOCK            held while a server runs
 *   data.nq         two superblocks, then extents, page-table base and deltas
 *   keys.nq         data keys, if it is encrypted (store/keyring.h)
 *   wal/N.wal         the log
 *
 * A checkpoint is an exact cut between two loop turns at one LSN:
 *   cut (O(1)) -> copy (workers write the pages dirty at the cut) -> sync ->
 *   publish (the other superblock) -> trim (old extents, old log). */
#ifndef NQ_STORE_STORE_H
#define NQ_STORE_STORE_H

#include "base/rc.h"
#include "base/slice.h"
#include "codec/pack.h"
#include "store/policy.h"
#include "store/wal.h"

struct store;
struct frames;
struct pool;

struct store_opts {
    const char *dir, *wal_dir; /* wal_dir NULL: dir/wal */
    uint32_t page_size;        /* 0: as created, 8192 if new */
    uint64_t pool_bytes;
    struct pack_opts pack;         /* for pages written from now on */
    const uint8_t *master_key;     /* SEAL_KEY bytes, copied: what is written
                                      is encrypted; NULL: it is not */
    bool read_only;                /* tools: no lock upgrade, no log appends */
    bool force_log;                /* cut the log at damage */
    struct wal_opts wal;           /* dir, uuid, salt are filled in here */
    uint64_t max_bytes;            /* quota of the data file, 0: none */
    bool punch_holes;              /* give free parts inside the file back */
    double dirty_soft, dirty_hard; /* shares of the pool: 0.6, 0.8 */
    enum policy_kind policy;       /* which pages leave a full pool */
    /* Whether the bytes of a tree page are sound (page_verify), asked of each
     * that is read from disk; NULL: any are.  Any thread. */
    bool (*is_page)(const uint8_t *bytes, size_t size);
    /* Called right before a cut: the owner of the trees writes their roots
     * into the catalog. */
    void (*before_cut)(void *arg);
    void *arg;
};

/* Opens or creates.  Afterwards the trees are those of the last checkpoint,
 * and the log must be replayed (store_replay until NQ_NOTFOUND).
 * NQ_ELOCKED, NQ_EMISMATCH (page size), NQ_EFORMAT, NQ_ECORRUPT, NQ_EKEY,
 * NQ_EIO. */
NQ_MUST_USE nq_rc store_open(const struct store_opts *opts, struct pool *pool,
                             struct store **out);
NQ_MUST_USE nq_rc store_replay(struct store *st, struct wal_record *out);
/* Ends replay: starts the log thread. */
NQ_MUST_USE nq_rc store_ready(struct store *st);
/* With `checkpoint`: a last one and the clean mark.  Waits. */
NQ_MUST_USE nq_rc store_close(struct store *st, bool checkpoint);
/* As a crash would: closes descriptors, writes nothing.  Tests only. */
void store_abandon(struct store *st);

struct frames *store_frames(struct store *st);
struct wal *store_wal(struct store *st);
uint32_t store_page_size(const struct store *st);

/* The catalog: small named values that are part of every checkpoint (roots
 * of trees, counters).  Get copies at most `cap` bytes and sets *len. */
NQ_MUST_USE nq_rc store_catalog_get(struct store *st, struct slice name,
                                    void *dst, size_t cap, size_t *len);
void store_catalog_put(struct store *st, struct slice name, struct slice val);
void store_catalog_del(struct store *st, struct slice name);

/* End of each loop turn: commits the log frame, keeps frames free, moves a
 * running checkpoint on.  Never waits. */
void store_turn(struct store *st);

/* May a command write?  Beyond wal_writable(): NQ_ENOSPC, NQ_EFULL or NQ_EIO
 * when pages cannot be written either and memory is full of them. */
NQ_MUST_USE nq_rc store_writable(struct store *st);

/* See quota_slack(). */
uint64_t store_slack(const struct store *st);
/* A checkpoint is under way that must free space before anything else is
 * changed: writers must wait at their sockets. */
bool store_is_tight(const struct store *st);

enum store_ckpt { CKPT_IDLE, CKPT_COPY, CKPT_SYNC, CKPT_PUBLISH, CKPT_TRIM };
/* Asks for a checkpoint at the next turn; one that runs already is not it.
 * NQ_EIO, NQ_ENOSPC, NQ_EFULL: given up, and tried again by itself from time
 * to time; NQ_EREADONLY, NQ_ECORRUPT: not before a restart.
 * `done` (may be NULL) is called on the loop with the result. */
void store_checkpoint(struct store *st, void (*done)(void *arg, nq_rc rc),
                      void *arg);
bool store_checkpoint_running(const struct store *st);

struct store_stats {
    enum store_ckpt state;
    uint64_t checkpoints, failed, last_cut_us, max_cut_us, last_ms, last_pages,
        last_bytes, last_wall_s;
    nq_rc last_rc;
    lsn ckpt_lsn;
    uint64_t file_bytes, extent_bytes, free_bytes, hole_bytes, table_entries,
        checksum_errors, log_since_ckpt;
    uint64_t progress_pages, progress_total;
};
void store_get_stats(const struct store *st, struct store_stats *out);
/* What is known to be wrong with the page; false: nothing. */
struct store_damage {
    uint64_t off; /* in the data file; 0: the page has no place there */
    const char *what;
    uint64_t expected, found;
};
bool store_find_damage(const struct store *st, pgno id,
                       struct store_damage *out);
/* For tools, between slices: waits for a worker, or a little. */
void store_wait(struct store *st);
/* How the newest bytes of the page on disk are kept; false: it has not been
 * written yet. */
bool store_page_on_disk(const struct store *st, pgno id, uint8_t *codec,
                        uint32_t *bytes);
/* For work of commands: the workers that the store was opened with. */
struct pool *store_workers(const struct store *st);
/* Live settings. */
void store_set_pool(struct store *st, uint64_t pool_bytes);
void store_set_dirty(struct store *st, double soft, double hard);
/* Its `stats` are the store's own, whatever is given. */
void store_set_pack(struct store *st, const struct pack_opts *pack);
void store_get_pack(const struct store *st, struct pack_opts *opts,
                    struct pack_stats *stats);
void store_reset_pack(struct store *st); /* the counters */

struct store_dict_stats {
    unsigned used;              /* dictionaries that new pages may get */
    unsigned retired;           /* older ones that pages on disk still need */
    unsigned lost;              /* damaged */
    uint64_t bytes;             /* of the dictionaries */
    uint64_t memory;            /* what they and the samples take in memory */
    uint64_t trained, rejected; /* trainings: with use, and without */
    uint64_t packed, unpacked;  /* blocks, with those that are here */
};
void store_get_dict_stats(const struct store *st, struct store_dict_stats *out);
/* Pages written from now on get parity, or none. */
void store_set_parity(struct store *st, bool on);
/* Pages written from now on are like those that are there: packed if any are,
 * with parity if any have it.  For tools, which have no settings. */
void store_keep_style(struct store *st);
void store_set_punch(struct store *st, bool on);
void store_set_max_bytes(struct store *st, uint64_t max_bytes);
/* Log since the last checkpoint from which on, if checkpoints fail, nothing
 * can be written any more; 0: no end. */
void store_set_max_log(struct store *st, uint64_t max_bytes);

/* Space of the data file that pinned checkpoints (store/pin.h) may keep from
 * being used again; 0: half of what is in it, and 256 MiB at least. */
void store_set_pin_limit(struct store *st, uint64_t bytes);
struct store_pin_stats {
    uint64_t pins;         /* different checkpoints that are held */
    uint64_t bytes, limit; /* kept, and what may be */
    uint64_t broken;       /* since the store was opened */
};
void store_get_pin_stats(const struct store *st, struct store_pin_stats *out);

/* Everything that can be wrong with table and space: extents that overlap,
 * entries outside the file, pages named by nobody or twice. */
struct store_check;
struct store_check_opts {
    const uint8_t *seen; /* bit by pgno: the pages that the trees own */
    uint32_t seen_ids;
    bool has_gaps;     /* not all of them are known */
    bool read_extents; /* each is read, here and now */
    void (*report)(void *arg, const char *text);
    void *arg;
};
/* In slices; nothing may be written meanwhile, and from the first step until
 * the table is compared no page goes to the disk. */
struct store_check *store_check_new(struct store *st,
                                    const struct store_check_opts *opts);
/* NQ_AGAIN; NQ_OK, or NQ_ECORRUPT if there was any finding: over. */
NQ_MUST_USE nq_rc store_check_step(struct store_check *k);
/* It cannot go on before flushes and checkpoint that run have ended. */
bool store_check_is_waiting(const struct store_check *k);
void store_check_free(struct store_check *k); /* of NULL: does nothing */
/* In one piece; the table is left out if pages are on their way to disk. */
NQ_MUST_USE nq_rc store_check(struct store *st,
                              const struct store_check_opts *opts);

#endif
