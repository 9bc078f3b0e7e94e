/* server/cli_salvage.h - what can still be read of a damaged database, as
 * commands, for nqdb-cli salvage.
 *
 * One thread, in blocking mode.  cli_salvage.c finds out which page belongs
 * to which tree, cli_salvage_dump.c writes what they hold. */
#ifndef NQ_SERVER_CLI_SALVAGE_H
#define NQ_SERVER_CLI_SALVAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "db/db.h"
#include "store/salvage.h"

#define SALVAGE_ANY UINT32_MAX /* of levels: not known */

/* Keys from `low` up to but not `high`; bytes owned by whoever keeps it. */
struct salvage_range {
    uint32_t level; /* of the page that is missing */
    struct slice low, high;
    bool has_high;
    uint64_t count; /* elements that were there; 0: not known */
    bool owns_none; /* none of its records had a tree of its own */
};

/* A page of a tree that cannot be had. */
struct salvage_gap {
    struct salvage_range range;
    pgno id;
    uint32_t attached;  /* trees of pages below it that were found */
    bool is_typed_only; /* of a database nobody knows the root of */
};

struct salvage_tree {
    bool is_items;     /* a private tree, of `key`; else a database */
    bool is_list;      /* of what is to be freed */
    bool is_freed;     /* nobody's any more: not to be saved */
    uint32_t dbi;      /* whose */
    struct slice key;  /* owned */
    struct record rec; /* of the key; its val is owned */
    pgno root;
    pgno *leaves;
    uint32_t leaves_count, leaves_cap;
    struct salvage_gap *gaps;
    uint32_t gaps_count, gaps_cap;
    struct salvage_range *attached; /* what they hold, by level 0 ranges */
    uint32_t attached_count, attached_cap;
};

struct salvage {
    struct store *store;
    struct db *db;
    struct frames *frames;
    struct salvage_found found;
    struct salvage_tree *trees;
    uint32_t trees_count, trees_cap;
    uint32_t *label; /* by page: 1 + its tree; 0: none */
    pgno ids;
    bool is_doubtful; /* what may be wrong is saved, too */
    bool misses_owner, is_only_one;
    uint64_t damaged;    /* pages */
    bool are_roots;      /* the catalog is lost, databases are not */
    uint64_t unassigned; /* tree pages that belong to nobody we know */
    struct hash tainted; /* keys whose last changes are lost */
    uint64_t keys, in_part, lost_keys, lost_items, unapplied;
};

/* One record of a leaf; bytes are the arena's. */
struct salvage_record {
    struct slice key;
    struct record rec;
};
/* All that can be read of the leaf; NULL: it cannot.  *lost: keys whose end
 * is lost. */
struct salvage_record *salvage_leaf(struct salvage *v, pgno id,
                                    struct arena *arena, uint32_t *count,
                                    uint32_t *lost);
/* The private tree whose root that is, NULL. */
struct salvage_tree *salvage_find_tree(struct salvage *v, uint32_t dbi,
                                       struct slice key, pgno root);

/* Opens what there is, with the part of the log that fits.  Store and database
 * are the caller's to close, also after a failure, unless NULL. */
NQ_MUST_USE nq_rc salvage_open(struct salvage *v, const struct store_opts *opts,
                               struct pool *pool);
/* Labels all pages. */
void salvage_label(struct salvage *v);
void salvage_fini(struct salvage *v);

/* cli_salvage_dump.c: a change of the key in the log that could not be
 * applied. */
void salvage_taint(struct salvage *v, uint32_t dbi, struct slice key);
void salvage_free_taints(struct salvage *v);
/* Commands to the standard output; to the standard error what is lost. */
void salvage_dump(struct salvage *v);
/* True: nothing is. */
bool salvage_report(const struct salvage *v);

#endif
