/* server/cli_salvage_dump.c - what was found to belong to trees, as commands;
 * and what is lost, in words.
 *
 * A key whose value is whole is written as nqdb-cli dump does it.  Of a
 * collection with gaps each element that is there is written by itself.  A
 * string with a lost chunk is lost: a hole in it would be a wrong value.  The
 * same goes for keys of which the log has changes that could not be
 * applied. */
#include "server/cli_salvage.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "db/db_check.h"
#include "db/db_salvage.h"
#include "db/owned.h"
#include "resp/write.h"
#include "server/cli_dump.h"
#include "store/frames.h"

#define RANGES_MAX 1000 /* told one by one */

/* --- keys that are not to be believed ---------------------------------------
 */

struct taint {
    struct hash_node node; /* first */
    uint32_t dbi;
    struct slice key;
};

static uint64_t
taint_hash(const struct taint *t)
{
    return hash_bytes(t->key) ^ hash_u64(t->dbi);
}

static bool
is_same(const struct hash_node *n, const void *key)
{
    const struct taint *a = (const void *)n, *b = key;

    return a->dbi == b->dbi && slice_cmp(a->key, b->key) == 0;
}

static bool
is_tainted(const struct salvage *v, uint32_t dbi, struct slice key)
{
    struct taint t = {.dbi = dbi, .key = key};

    return v->tainted.count > 0 &&
           hash_find(&v->tainted, taint_hash(&t), is_same, &t) != NULL;
}

void
salvage_taint(struct salvage *v, uint32_t dbi, struct slice key)
{
    struct taint *t;

    v->unapplied++;
    if (is_tainted(v, dbi, key))
        return;
    t = nq_calloc(1, sizeof *t + key.len);
    t->dbi = dbi;
    t->key = slice_of(t + 1, key.len);
    memcpy(t + 1, key.p, key.len);
    hash_insert(&v->tainted, &t->node, taint_hash(t));
}

static void
free_taint(struct hash_node *n, void *arg)
{
    hash_remove(arg, n);
    nq_free(n);
}

void
salvage_free_taints(struct salvage *v)
{
    hash_each(&v->tainted, free_taint, &v->tainted);
    hash_fini(&v->tainted);
}

/* --- commands ----------------------------------------------------------------
 */

static void
put_words(const struct slice *words, unsigned n)
{
    printf("*%u\r\n", n);
    for (unsigned i = 0; i < n; i++) {
        printf("$%zu\r\n", words[i].len);
        fwrite(words[i].p, 1, words[i].len, stdout);
        fputs("\r\n", stdout);
    }
}

static struct slice
number_text(char dst[24], uint64_t v)
{
    return slice_of(dst, u64_to_text(dst, v));
}

struct dumping {
    struct salvage *v;
    struct cli_dump plain;
    const struct salvage_tree *tree; /* that is dumped in part */
    uint64_t elements;
};

static void
put_hash(const struct dumping *d, const struct db_piece *p)
{
    struct slice key = d->tree->key;
    char ms[24];

    put_words((struct slice[]){slice_lit("HSET"), key, p->name, p->val}, 4);
    if (p->expire_ms != 0)
        put_words((struct slice[]){slice_lit("HPEXPIREAT"), key,
                                   number_text(ms, p->expire_ms),
                                   slice_lit("FIELDS"), slice_lit("1"),
                                   p->name},
                  6);
}

static void
put_entry(const struct dumping *d, const struct db_piece *p)
{
    uint64_t n = 3 + 2 * p->fields.pairs;
    struct slice *words = nq_malloc(n * sizeof *words);
    struct cursor at = p->fields.at;
    char id[STREAM_ID_TEXT];

    words[0] = slice_lit("XADD");
    words[1] = d->tree->key;
    words[2] = slice_of(id, stream_id_text(id, p->id));
    for (uint64_t i = 3; i < n; i++)
        (void)cursor_get_slice(&at, &words[i]);
    if (cursor_ok(&at))
        put_words(words, (unsigned)n);
    nq_free(words);
}

static void
on_piece(void *arg, const struct db_piece *p)
{
    struct dumping *d = arg;
    struct slice key = d->tree->key;
    char score[32];

    d->elements++;
    switch (d->tree->rec.type) {
    case DB_LIST:
        put_words((struct slice[]){slice_lit("RPUSH"), key, p->val}, 3);
        break;
    case DB_SET:
        put_words((struct slice[]){slice_lit("SADD"), key, p->name}, 3);
        break;
    case DB_ZSET:
        put_words(
            (struct slice[]){slice_lit("ZADD"), key,
                             slice_of(score, resp_double_text(score, p->score)),
                             p->name},
            4);
        break;
    case DB_STREAM:
        put_entry(d, p);
        break;
    default:
        put_hash(d, p);
    }
}

/* --- keys
 * ---------------------------------------------------------------------- */

static void
dump_leaf_in_part(struct dumping *d, pgno id)
{
    struct salvage *v = d->v;
    struct arena arena = ARENA_INIT;
    uint32_t n, lost;
    struct salvage_record *all = salvage_leaf(v, id, &arena, &n, &lost);

    v->lost_items += lost;
    for (uint32_t i = 0; all != NULL && i < n; i++) {
        frames_make_room(v->frames);
        if (db_salvage_item(v->db, &d->tree->rec, all[i].key, &all[i].rec,
                            &arena, on_piece, d) != NQ_OK)
            v->lost_items++;
    }
    arena_fini(&arena);
}

static void
dump_in_part(struct dumping *d, const struct salvage_tree *t)
{
    uint64_t expire_ms = db_expire_of(&t->rec);
    char ms[24];

    d->tree = t;
    d->elements = 0;
    if (t->rec.type == DB_LIST &&
        db_salvage_ends(&t->rec, false, on_piece, d) != NQ_OK)
        d->v->lost_items++;
    for (uint32_t i = 0; i < t->leaves_count; i++)
        dump_leaf_in_part(d, t->leaves[i]);
    if (t->rec.type == DB_LIST &&
        db_salvage_ends(&t->rec, true, on_piece, d) != NQ_OK)
        d->v->lost_items++;
    if (d->elements > 0 && expire_ms != 0)
        put_words((struct slice[]){slice_lit("PEXPIREAT"), t->key,
                                   number_text(ms, expire_ms)},
                  3);
    if (d->elements > 0)
        d->v->in_part++;
    else
        d->v->lost_keys++;
}

/* Are all the pages there that its value consists of? */
static bool
is_whole(struct salvage *v, const struct salvage_tree *t)
{
    bool is_good = t->gaps_count == 0;

    for (uint32_t i = 0; is_good && i < t->leaves_count; i++) {
        struct arena arena = ARENA_INIT;
        uint32_t n, lost;
        struct salvage_record *all =
            salvage_leaf(v, t->leaves[i], &arena, &n, &lost);

        is_good = all != NULL && lost == 0;
        for (uint32_t k = 0; is_good && k < n; k++) {
            if ((all[k].rec.flags & REC_OWNS) != 0)
                is_good = db_salvage_blob(v->db, all[k].rec.val) == NQ_OK;
        }
        arena_fini(&arena);
        frames_make_room(v->frames);
    }
    return is_good;
}

static void
lose_key(struct salvage *v, uint32_t dbi, const struct salvage_record *r,
         const char *why)
{
    struct btree_range all = {.low = r->key};
    struct buf text = BUF_INIT;

    if (v->lost_keys++ < RANGES_MAX) {
        db_describe_range(&text, dbi, r->rec.type, r->key, &all);
        fprintf(stderr, "lost: %s: %s\n", (const char *)text.p, why);
    }
    buf_fini(&text);
}

static void
dump_key(struct dumping *d, uint32_t dbi, const struct salvage_record *r)
{
    struct salvage *v = d->v;
    const struct salvage_tree *t = NULL;
    bool owns = (r->rec.flags & REC_OWNS) != 0;
    pgno root;

    if (db_is_gone(v->db, dbi, &r->rec))
        return;
    if (!v->is_doubtful && is_tainted(v, dbi, r->key)) {
        lose_key(v, dbi, r,
                 "its last changes are in the log, and cannot be "
                 "applied");
        return;
    }
    if (owns && r->rec.type == DB_STRING &&
        db_salvage_blob(v->db, r->rec.val) != NQ_OK) {
        lose_key(v, dbi, r, "a part of it is damaged");
        return;
    }
    if (owns && r->rec.type != DB_STRING && db_record_root(&r->rec, &root))
        t = salvage_find_tree(v, dbi, r->key, root);
    if (owns && r->rec.type != DB_STRING && t == NULL)
        lose_key(v, dbi, r, "the reference to its elements is damaged");
    else if (t != NULL && !is_whole(v, t))
        dump_in_part(d, t);
    else if (cli_dump_key(&d->plain, dbi, r->key, &r->rec) == NQ_OK)
        v->keys++;
    else
        lose_key(v, dbi, r, "it is saved in part at most");
}

static void
dump_database(struct dumping *d, const struct salvage_tree *t)
{
    cli_dump_select(&d->plain, t->dbi);
    for (uint32_t i = 0; i < t->leaves_count; i++) {
        struct arena arena = ARENA_INIT;
        uint32_t n, lost;
        struct salvage_record *all =
            salvage_leaf(d->v, t->leaves[i], &arena, &n, &lost);

        d->v->lost_keys += lost;
        for (uint32_t k = 0; all != NULL && k < n; k++) {
            dump_key(d, t->dbi, &all[k]);
            frames_make_room(d->v->frames);
        }
        arena_fini(&arena);
    }
}

void
salvage_dump(struct salvage *v)
{
    struct dumping d = {.v = v, .plain = {.db = v->db, .frames = v->frames}};

    for (uint32_t i = 0; i < v->trees_count; i++) {
        if (!v->trees[i].is_items && !v->trees[i].is_freed)
            dump_database(&d, &v->trees[i]);
    }
    cli_dump_fini(&d.plain);
}

/* --- what is lost
 * -------------------------------------------------------------- */

static void
report_gap(const struct salvage_tree *t, const struct salvage_gap *g)
{
    struct btree_range r = {.low = g->range.low,
                            .high = g->range.high,
                            .has_high = g->range.has_high,
                            .level = g->range.level};
    struct buf text = BUF_INIT;

    db_describe_range(&text, t->dbi, t->rec.type,
                      t->is_items ? t->key : slice_of(NULL, 0), &r);
    if (g->attached > 0)
        fprintf(stderr,
                "damaged: page %u: %s; %u parts of that were found and given "
                "to it\n",
                g->id, (const char *)text.p, g->attached);
    else
        fprintf(stderr, "lost: page %u: %s\n", g->id, (const char *)text.p);
    buf_fini(&text);
}

static void
report_rc(const char *what, nq_rc rc, const char *then)
{
    if (rc != NQ_OK)
        fprintf(stderr, "%s: %s; %s\n", what, rc_text(rc), then);
}

static void
report_parts(const struct salvage *v)
{
    const struct salvage_found *f = &v->found;

    report_rc("superblocks", f->superblock,
              "page size and places were found by looking at every sector");
    report_rc("page table", f->table,
              "the newest good copy of each page was taken: some may be older "
              "than others, and what was deleted may be back");
    report_rc("catalog", f->catalog,
              v->are_roots
                  ? "the databases are numbered anew, the greatest is 0"
                  : "the roots of the databases are not known: all "
                    "keys are put into database 0");
    report_rc("log", f->log,
              "it was not applied: changes after the last checkpoint are not "
              "there (nqdb-cli wal shows them)");
    if (f->is_scanned)
        fprintf(stderr,
                "%llu good extents, %llu damaged ones; %llu pages lost by "
                "them\n",
                (unsigned long long)f->extents, (unsigned long long)f->broken,
                (unsigned long long)f->lost);
}

bool
salvage_report(const struct salvage *v)
{
    uint64_t told = 0;

    report_parts(v);
    for (uint32_t i = 0; i < v->trees_count; i++) {
        const struct salvage_tree *t = &v->trees[i];

        for (uint32_t k = 0; k < t->gaps_count; k++) {
            if (!t->is_freed && t->gaps[k].id != 0 && told++ < RANGES_MAX)
                report_gap(t, &t->gaps[k]);
        }
    }
    if (v->unassigned > 0)
        fprintf(stderr,
                "%llu groups of pages cannot be given to anybody for certain; "
                "they are not saved\n",
                (unsigned long long)v->unassigned);
    fprintf(stderr,
            "saved: %llu keys whole, %llu in part; lost: %llu keys by name, "
            "%llu elements, and the ranges above; %llu changes of the log "
            "could not be applied\n",
            (unsigned long long)v->keys, (unsigned long long)v->in_part,
            (unsigned long long)v->lost_keys, (unsigned long long)v->lost_items,
            (unsigned long long)v->unapplied);
    return told + v->lost_keys + v->lost_items + v->unassigned == 0 &&
           v->found.log == NQ_OK && v->found.catalog == NQ_OK;
}
