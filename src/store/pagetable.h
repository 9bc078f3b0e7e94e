/* store/pagetable.h - where each page is on disk: now, and at the last cut.
 *
 * Loop thread only, except pagetable_write_*.  Two entries a page: *live* is
 * where its newest flushed bytes are, *kept* is what the checkpoint on disk
 * (or the one being written) says.  An extent is given back when neither
 * names it and the published checkpoint does not need it:
 *
 *   I4  no extent of the last durable checkpoint is reused; one born and dead
 *       between two checkpoints is free at once
 *
 * Life of a checkpoint: cut (O(1)) - stage/settle until kept is exactly what
 * was live at the cut - write - publish and release, or give_up. */
#ifndef NQ_STORE_PAGETABLE_H
#define NQ_STORE_PAGETABLE_H

#include "base/rc.h"
#include "store/extent.h"
#include "store/superblock.h"

struct file;
struct pagetable;
struct space;
struct table_view;

struct pagetable *pagetable_new(struct space *sp);
void pagetable_delete(struct pagetable *pt); /* of NULL: does nothing */

/* Reads base and deltas that `sb` names and marks all their space as used.
 * NQ_ECORRUPT, NQ_EIO. */
NQ_MUST_USE nq_rc pagetable_load(struct pagetable *pt, struct file *f,
                                 const struct superblock *sb);

struct entry pagetable_get(const struct pagetable *pt, pgno id);
struct entry pagetable_get_kept(const struct pagetable *pt, pgno id);
/* For the next extent of the page. */
uint32_t pagetable_next_generation(const struct pagetable *pt, pgno id);
/* Number of pages with a live extent, and the bytes of these. */
uint64_t pagetable_count(const struct pagetable *pt);
uint64_t pagetable_bytes(const struct pagetable *pt);
/* Live entries of that codec; kept ones, and those of views.  While a cut runs,
 * what it has replaced so far is in neither, though the published checkpoint
 * names it. */
uint32_t pagetable_count_live(const struct pagetable *pt, uint8_t codec);
uint32_t pagetable_count_kept(const struct pagetable *pt, uint8_t codec);

/* The page was flushed and is not part of an unfinished cut. */
void pagetable_set(struct pagetable *pt, pgno id, struct entry e);
/* The page is gone. */
void pagetable_clear(struct pagetable *pt, pgno id);

/* --- a checkpoint -------------------------------------------------------- */

void pagetable_cut(struct pagetable *pt, pgno next_id);
/* The bytes that the page had at the cut were flushed. */
void pagetable_stage(struct pagetable *pt, pgno id, struct entry e);
/* Carries over what had changed before the cut, about `budget` pages a call;
 * true when all is done. */
bool pagetable_settle(struct pagetable *pt, unsigned budget);

/* The next checkpoint writes the whole table: a part on disk is damaged. */
void pagetable_want_base(struct pagetable *pt);
/* Where the table is to be written, given where it is (*now): the parts of
 * *next get their lengths, and space; *part is the one to write.  After
 * settling. */
NQ_MUST_USE nq_rc pagetable_plan(struct pagetable *pt,
                                 const struct superblock *now,
                                 struct superblock *next, struct part **part);
/* Writes the planned part and fills in its crc.  Any thread: what it reads
 * stands still until publish or give_up. */
NQ_MUST_USE nq_rc pagetable_write(const struct pagetable *pt, struct file *f,
                                  bool is_base, struct part *part);

/* The checkpoint is durable: true when all extents that only the one before
 * needed are given back, about `budget` a call. */
bool pagetable_release(struct pagetable *pt, unsigned budget);
/* It is not and will not be: all as if it had not begun. */
void pagetable_give_up(struct pagetable *pt);

/* Calls fn for each page whose live entry differs from the published
 * checkpoint; no cut runs. */
void pagetable_each_changed(struct pagetable *pt,
                            void (*fn)(void *arg, pgno id), void *arg);
/* Calls fn for each live entry, by rising id. */
void pagetable_each(const struct pagetable *pt,
                    void (*fn)(void *arg, pgno id, struct entry e), void *arg);

/* --- views ---------------------------------------------------------------
 * What a published checkpoint says, as long as somebody wants to read it:
 * extents that it names stay.  Making one touches a word per 512 pages. */

/* Of the one that is published; no cut runs, and the last one is released. */
struct table_view *pagetable_view_new(struct pagetable *pt);
/* Any thread, until it is let go. */
struct entry pagetable_view_get(const struct table_view *v, pgno id);
/* Lets go of it, about `budget` pages a call: true when it is gone, and all
 * that only it needed is free.  No cut runs, none is being released, and no
 * other view is being let go. */
bool pagetable_view_end(struct pagetable *pt, struct table_view *v,
                        unsigned budget);
/* Bytes of extents that only views name. */
uint64_t pagetable_view_bytes(const struct pagetable *pt);
/* Calls fn for each extent of the page that only views name. */
void pagetable_view_each(const struct pagetable *pt, pgno id,
                         void (*fn)(void *arg, pgno id, struct entry e),
                         void *arg);

#endif
