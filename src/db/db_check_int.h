/* db/db_check_int.h - what the files of the check share: db_check.c (phases,
 * findings), db_check_walk.c (trees and values), db_check_text.c (keys in
 * words). */
#ifndef NQ_DB_DB_CHECK_INT_H
#define NQ_DB_DB_CHECK_INT_H

#include "db/db_check.h"
#include "db/db_int.h"
#include "store/sweep.h"

#define WALKS_MAX 3
#define UNKNOWN UINT64_MAX

/* Where something was met: in a database, or in a value of one. */
struct check_place {
    enum { OF_KEYS, OF_ITEMS, OF_FREES, OF_INDEX } records;
    uint32_t dbi;     /* DB_STAGING: nobody's yet */
    bool is_freed;    /* belongs to no key any more */
    uint8_t type;     /* of the value, enum db_type */
    struct slice key; /* its key; of OF_KEYS none; of OF_INDEX its name */
    uint64_t head;    /* elements of a list before its tree */
};

/* What a record was found to own. */
struct check_found {
    enum free_kind kind;
    struct blob_ref ref; /* FREE_BLOB */
    pgno root;           /* of a tree */
    bool is_weighted;
    const char *what;
    uint64_t items;           /* as the record tells; UNKNOWN */
    struct check_place place; /* place.key is owned */
    /* Its tree is walked; the rules of its type are to be looked at.  Its
     * walk comes right behind it. */
    bool is_walked, has_gaps;
};

/* A tree that is being walked. */
struct check_walk {
    struct btree tree;
    struct btree_walk *walk;
    struct btree_walk_opts opts;
    const char *what;
    uint32_t number;              /* of the database, or its root's page */
    uint32_t base;                /* what was found before it */
    uint64_t items;               /* that its records should be; UNKNOWN */
    uint64_t expires;             /* records with an expiry */
    uint64_t fields_only;         /* of them: only fields expire */
    const struct keyspace *space; /* NULL: of no database */
    struct check_place place;     /* place.key is owned */
};

/* A damaged extent that the sweep found. */
struct check_bad {
    struct sweep_finding f;
    bool is_told;
};

struct db_check {
    struct db *db;
    struct db_check_opts opts;
    struct db_check_stats stats;
    enum {
        CHECK_EXTENTS,
        CHECK_SETTLE,
        CHECK_TREES,
        CHECK_INDEXES,
        CHECK_TABLE,
        CHECK_OVER
    } phase;
    struct sweep *sweep;
    struct check_bad *bad; /* by id, once the trees are walked */
    uint32_t bad_count, bad_cap;
    struct store_check *table;
    uint8_t *seen; /* bit per page number */
    uint32_t ids;
    bool has_gaps; /* not all pages could be seen */
    uint32_t next; /* tree: databases, staging, what is to be freed */
    struct check_walk walks[WALKS_MAX];
    uint32_t depth;
    struct check_found *found; /* and not looked at yet */
    uint32_t found_count, found_cap;
    pgno told;                 /* the damaged page that was reported last */
    struct index_check *index; /* against the data; NULL: the next one */
    unsigned next_index;
    uint64_t bad_indexes; /* bit by place in the list */
    /* of the blob that is being looked at */
    const struct check_found *blob;
    uint32_t chunk;
};

/* --- db_check.c ---------------------------------------------------------- */
/* Something is wrong that is no page's. */
void check_finding(struct db_check *c, const char *kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A damaged page.  `problem` NULL: what is known of it (damage.h, sweep);
 * `dbi` -1: of no database. */
void check_damage(struct db_check *c, pgno id, const char *kind,
                  const char *problem, const char *keys, int64_t dbi);
/* The sweep's finding about the page; NULL: none. */
struct check_bad *check_find_bad(const struct db_check *c, pgno id);
/* Notes that the page is owned. */
void check_page(struct db_check *c, pgno id);

/* The index that the page or entry belongs to is to be made anew. */
void check_index_is_bad(struct db_check *c, struct slice name);

/* --- db_check_walk.c ----------------------------------------------------- */
/* Some pages; NQ_NOTFOUND: all is seen. */
NQ_MUST_USE nq_rc check_walk_some(struct db_check *c);
void check_walk_fini(struct db_check *c);

/* --- db_check_text.c ----------------------------------------------------- */
/* Keys, or parts of a value, in words; zero-ended. */
void check_text_range(struct buf *out, const struct check_place *p,
                      const struct btree_range *r);
void check_text_quoted(struct buf *out, struct slice s);
void check_text_bytes(struct buf *out, const struct check_place *p,
                      uint64_t from, uint64_t to);

#endif
