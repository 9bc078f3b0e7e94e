/* server/cli.c - the program nqdb-cli: looks at a database that no server has
 * open.  Opens read-only, but for compact: what the log has behind the last
 * checkpoint is replayed in memory, nothing on disk changes.
 *
 * Exit codes: 0, or 1 for damage, a bad argument, a directory that cannot be
 * opened.  Data goes to the standard output, all else to the standard
 * error. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/log.h"
#include "db/db.h"
#include "db/db_check.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/pool.h"
#include "os/process.h"
#include "os/thread.h"
#include "server/cli_compact.h"
#include "server/cli_dump.h"
#include "server/cli_salvage.h"
#include "server/config_int.h"
#include "server/master_key.h"
#include "server/version.h"
#include "store/page.h"
#include "store/frames.h"
#include "store/keyring.h"
#include "store/store.h"

#define REPLAY_SLICE_US 100000
#define DATABASES 16 /* at least so many are opened */

struct tool {
    const char *dir;
    uint64_t pool_bytes;
    bool is_quick, is_text, is_doubtful, is_full;
    int64_t rate;    /* of compaction, bytes a second; 0: no limit */
    int64_t only_db; /* -1: all */
    struct slice prefix;
    uint64_t from;
    const char *to; /* NULL: the standard output */
    struct master_key_source key_source;
    uint8_t *master_key; /* secret; NULL: none was named */
    struct pool *pool;
    struct store *store;
    struct db *db;
    nq_rc open_rc; /* why it could not be opened */
};

static int
complain(const char *what, const char *why)
{
    fprintf(stderr, "nqdb-cli: %s: %s\n", what, why);
    return 1;
}

/* --- opening
 * --------------------------------------------------------------------- */

static nq_rc
replay(struct tool *t)
{
    nq_rc rc;

    while ((rc = db_replay(t->db, REPLAY_SLICE_US)) == NQ_AGAIN)
        pool_drain(t->pool);
    return rc;
}

static void
before_cut(void *arg)
{
    struct tool *t = arg;

    if (t->db != NULL)
        db_write_catalog(t->db);
}

static struct store_opts
store_opts_of(const struct tool *t)
{
    return (struct store_opts){.is_page = page_verify,
                               .dir = t->dir,
                               .pool_bytes = t->pool_bytes,
                               .read_only = true,
                               .dirty_soft = 0.6,
                               .dirty_hard = 0.8,
                               .wal = {.segment_size = 16 << 20,
                                       .buffer_size = 1 << 20,
                                       .fsync = WAL_FSYNC_NEVER},
                               .master_key = t->master_key};
}

static int
open_tool(struct tool *t, bool writes)
{
    struct store_opts so = store_opts_of(t);
    struct db_opts dbo = {.databases = DATABASES};
    nq_rc rc = pool_open(2, NULL, NULL, &t->pool);

    so.read_only = !writes;
    so.punch_holes = writes;
    so.before_cut = before_cut;
    so.arg = t;

    if (rc == NQ_OK)
        rc = store_open(&so, t->pool, &t->store);
    dbo.store = t->store;
    if (rc == NQ_OK)
        rc = db_open(&dbo, &t->db);
    if (rc == NQ_OK)
        rc = replay(t);
    t->open_rc = rc;
    if (rc != NQ_OK)
        return complain(t->dir, rc_text(rc));
    (void)frames_set_blocking(store_frames(t->store), true);
    db_set_now(t->db, clock_wall_ms());
    return 0;
}

static int
take_master_key(struct tool *t)
{
    char why[MASTER_KEY_WHY];

    if (!master_key_is_named(&t->key_source))
        return 0;
    t->master_key = seal_secret_new(SEAL_KEY);
    if (master_key_read(&t->key_source, t->master_key, why) != NQ_OK)
        return complain("security.encryption", why);
    return 0;
}

static void
close_tool(struct tool *t)
{
    seal_secret_free(t->master_key, SEAL_KEY);
    if (t->db != NULL)
        db_close(t->db);
    if (t->store != NULL)
        (void)!store_close(t->store, false);
    if (t->pool != NULL)
        pool_close(t->pool);
}

/* --- compact
 * ---------------------------------------------------------------------- */

/* A directory without a database is not made one. */
static int
run_compact(struct tool *t)
{
    struct cli_compact k = {
        .dir = t->dir, .full = t->is_full, .bytes_per_s = (uint64_t)t->rate};
    char path[1100];
    int code;

    snprintf(path, sizeof path, "%s/data.nq", t->dir);
    if (!dir_has(path))
        return complain(t->dir, "there is no database") + 1;
    if (open_tool(t, true) != 0)
        return 2;
    k.pool = t->pool;
    k.store = t->store;
    k.db = t->db;
    code = cli_compact_run(&k);
    before_cut(t); /* for the checkpoint of store_close() */
    db_close(t->db);
    t->db = NULL;
    if (store_close(t->store, code != 2) != NQ_OK)
        code = complain(t->dir, "the last checkpoint failed") + 1;
    t->store = NULL;
    return code;
}

/* --- check
 * ------------------------------------------------------------------------ */

static void
print_finding(void *arg, const struct db_finding *f)
{
    nq_unused(arg);
    puts(f->text);
}

static int
run_check(struct tool *t)
{
    struct db_check_opts opts = {.read_extents = !t->is_quick,
                                 .report = print_finding};
    struct db_check_stats st;
    nq_rc rc = db_check(t->db, &opts, &st);

    if (rc != NQ_OK && rc != NQ_ECORRUPT)
        return complain(t->dir, rc_text(rc)) + 1; /* not looked at */
    printf("%s: %llu keys, %llu pages, %llu findings, %llu pages damaged\n",
           rc == NQ_OK ? "good" : "damaged",
           (unsigned long long)st.trees.records, (unsigned long long)st.pages,
           (unsigned long long)st.findings, (unsigned long long)st.damaged);
    printf("leaves %llu, inner pages %llu, extents read %llu, fill %.3f\n",
           (unsigned long long)st.trees.leaves,
           (unsigned long long)st.trees.inners, (unsigned long long)st.extents,
           (double)st.trees.used_bytes /
               (double)nq_max(st.trees.page_bytes, (uint64_t)1));
    return rc == NQ_OK ? 0 : 1;
}

/* --- stats
 * ------------------------------------------------------------------------ */

static void
put_number(const char *name, uint64_t v)
{
    printf("%s:%llu\n", name, (unsigned long long)v);
}

static void
ignore_finding(void *arg, const struct db_finding *f)
{
    nq_unused(arg);
    nq_unused(f);
}

/* The names are those of INFO where they mean the same. */
static int
run_stats(struct tool *t)
{
    struct store_stats st;
    struct wal_stats ws;
    struct db_check_stats cs;
    struct db_check_opts opts = {.report = ignore_finding};
    nq_rc rc = db_check(t->db, &opts, &cs);

    store_get_stats(t->store, &st);
    wal_get_stats(store_wal(t->store), &ws);
    put_number("page_size", store_page_size(t->store));
    put_number("data_file", st.file_bytes);
    put_number("extent_bytes", st.extent_bytes);
    put_number("free_bytes", st.free_bytes);
    put_number("pages_stored", st.table_entries);
    put_number("checkpoint_position", st.ckpt_lsn);
    put_number("log_position", ws.position);
    put_number("log_oldest", ws.oldest);
    put_number("log_segments", ws.segments);
    put_number("tree_leaves", cs.trees.leaves);
    put_number("tree_inners", cs.trees.inners);
    put_number("tree_height", cs.trees.height);
    printf("tree_fill:%.3f\n",
           (double)cs.trees.used_bytes /
               (double)nq_max(cs.trees.page_bytes, (uint64_t)1));
    put_number("collection_trees", cs.collections);
    put_number("collection_items", cs.items);
    put_number("blobs", cs.blobs);
    put_number("blob_bytes", cs.blob_bytes);
    for (uint32_t i = 0; i < db_count(t->db); i++) {
        uint64_t keys = 0, expires = 0;

        if (db_size(t->db, i, &keys) == NQ_OK && keys > 0 &&
            db_expires(t->db, i, &expires) == NQ_OK)
            printf("db%u:keys=%llu,expires=%llu\n", i, (unsigned long long)keys,
                   (unsigned long long)expires);
    }
    return rc == NQ_OK ? 0 : complain(t->dir, rc_text(rc));
}

/* --- dump
 * ------------------------------------------------------------------------- */

static int
dump_database(struct tool *t, uint32_t dbi)
{
    struct cli_dump d = {
        .db = t->db, .frames = store_frames(t->store), .is_text = t->is_text};
    struct btree_cursor c;
    struct record rec;
    bool is_first = true;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(t->db, dbi));
    rc = btree_seek(&c, t->prefix, false);
    for (; rc == NQ_OK && c.valid && slice_has_prefix(c.key, t->prefix);
         rc = btree_next(&c)) {
        if ((rc = btree_record(&c, &rec)) != NQ_OK)
            break;
        if (db_is_gone(t->db, dbi, &rec))
            continue;
        if (is_first)
            cli_dump_select(&d, dbi);
        is_first = false;
        if ((rc = cli_dump_key(&d, dbi, c.key, &rec)) != NQ_OK)
            break;
        frames_make_room(store_frames(t->store));
    }
    btree_cursor_fini(&c);
    cli_dump_fini(&d);
    return rc == NQ_OK ? 0 : complain(t->dir, rc_text(rc));
}

static int
run_dump(struct tool *t)
{
    int code = 0;

    for (uint32_t i = 0; i < db_count(t->db); i++) {
        if (t->only_db < 0 || t->only_db == i)
            code |= dump_database(t, i);
    }
    return code;
}

/* --- salvage
 * ----------------------------------------------------------------------- */

static int
run_salvage(struct tool *t)
{
    struct store_opts so = store_opts_of(t);
    struct salvage v;
    bool is_all;
    nq_rc rc;

    if (t->to != NULL && freopen(t->to, "wx", stdout) == NULL)
        return complain(t->to, "cannot be made, or is there already") + 1;
    rc = pool_open(2, NULL, NULL, &t->pool);
    if (rc == NQ_OK)
        rc = salvage_open(&v, &so, t->pool);
    t->store = v.store;
    t->db = v.db;
    if (rc != NQ_OK)
        return complain(t->dir, rc_text(rc)) + 1;
    v.is_doubtful = t->is_doubtful;
    salvage_label(&v);
    salvage_dump(&v);
    is_all = salvage_report(&v);
    salvage_fini(&v);
    return is_all ? 0 : 1;
}

/* --- wal
 * -------------------------------------------------------------------------- */

static const char *
effect_name(uint8_t effect)
{
    static const char *const names[256] = {
#define EFFECT(code, name, apply) [code] = #name,
#include "db/effect.def"
#undef EFFECT
    };

    return names[effect] != NULL ? names[effect] : "?";
}

static int
run_wal(struct tool *t)
{
    struct keyring_opts o = {
        .dir = t->dir, .master = t->master_key, .read_only = true};
    struct keyring *keys = NULL;
    char path[1100];
    nq_rc rc = NQ_OK;

    snprintf(path, sizeof path, "%s/wal", t->dir);
    if (t->master_key != NULL)
        rc = keyring_open(&o, &keys);
    if (rc == NQ_OK)
        rc = wal_dump(path, t->from, keys, effect_name, stdout);
    keyring_close(keys);
    return rc == NQ_OK ? 0 : complain(path, rc_text(rc));
}

/* --- the command line
 * ---------------------------------------------------------------- */

static const struct subcommand {
    const char *name;
    int (*run)(struct tool *t);
    bool opens;
    const char *help;
} subcommands[] = {
    {"check", run_check, true,
     "check DIR [--quick]\n"
     "    reads every page on disk (not with --quick), walks trees and "
     "values,\n"
     "    compares page table and space; prints what is damaged, and the keys\n"
     "    that it costs.  Exit code 0: all is good; 1: damage; 2: it could "
     "not\n"
     "    be looked at"},
    {"stats", run_stats, true,
     "stats DIR\n"
     "    sizes, keys and fill, one name:value a line"},
    {"dump", run_dump, true,
     "dump DIR [--format resp|text] [--db N] [--prefix P]\n"
     "    all keys with values and expiries: as commands for redis-cli "
     "--pipe,\n    or one line a key: database, expiry in Unix ms, key, "
     "value,\n    or type and elements"},
    {"salvage", run_salvage, false,
     "salvage DIR [--to FILE] [--doubtful]\n"
     "    whatever can still be read of a damaged database, as commands for\n"
     "    redis-cli --pipe into a new one; tells what is lost.  Changes\n"
     "    nothing.  --doubtful: also values whose last changes are lost, and\n"
     "    pages that may belong to something else.  Exit code 0: nothing is\n"
     "    lost; 1: something is; 2: there is nothing to be read"},
    {"compact", run_compact, false,
     "compact DIR [--full] [--rate SIZE]\n"
     "    packs trees and makes the data file as small as they are; with "
     "--full\n    every page is written again; at most SIZE bytes a second.  "
     "May be ended\n    at any time.  Exit code 0: done; 1: done, but for "
     "damaged pages; 2: not\n    done"},
    {"wal", run_wal, false,
     "wal DIR [--from LSN]\n"
     "    the log: segments, frames and their records; of encrypted frames "
     "only\n    the headers without the key"},
};

static int
print_help(FILE *out)
{
    fputs("nqdb-cli " NQDB_VERSION
          " - looks at a database that no server has open; only compact "
          "changes it\n\n",
          out);
    for (size_t i = 0; i < nq_countof(subcommands); i++)
        fprintf(out, "  nqdb-cli %s\n", subcommands[i].help);
    fputs("\n  --pool SIZE   memory for pages (256mb)\n"
          "  --path DIR    the same as DIR\n"
          "\n  The master key of an encrypted database comes from one of:\n"
          "  --key-path FILE      a file only owner and group may read\n"
          "  --key-env NAME       an environment variable\n"
          "  --key-command TEXT   the output of a command (no shell)\n"
          "\n  Exit code 0, or 1 for damage and anything else that is "
          "wrong; check\n  tells them apart.\n",
          out);
    return 0;
}

/* An option with its value; false: unknown or wrong. */
static bool
take_option(struct tool *t, const char *name, const char *value)
{
    struct slice text = slice_str(value);
    int64_t v = 0;

    if (strcmp(name, "--path") == 0)
        t->dir = value;
    else if (strcmp(name, "--key-path") == 0)
        t->key_source.path = value;
    else if (strcmp(name, "--key-env") == 0)
        t->key_source.env = value;
    else if (strcmp(name, "--key-command") == 0)
        t->key_source.command = value;
    else if (strcmp(name, "--to") == 0)
        t->to = value;
    else if (strcmp(name, "--prefix") == 0)
        t->prefix = text;
    else if (strcmp(name, "--format") == 0)
        t->is_text = strcmp(value, "text") == 0;
    else if (strcmp(name, "--db") == 0 && slice_to_i64(text, &t->only_db))
        return t->only_db >= 0;
    else if (strcmp(name, "--from") == 0 && slice_to_i64(text, &v))
        t->from = (uint64_t)v;
    else if (strcmp(name, "--rate") == 0)
        return config_size_text(text, 1, &t->rate) && t->rate >= 0;
    else if (strcmp(name, "--pool") == 0 && config_size_text(text, 1, &v))
        t->pool_bytes = (uint64_t)nq_max(v, (int64_t)4 << 20);
    else
        return false;
    return strcmp(name, "--format") != 0 || t->is_text ||
           strcmp(value, "resp") == 0;
}

static bool
take_options(struct tool *t, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            t->is_quick = true;
        else if (strcmp(argv[i], "--doubtful") == 0)
            t->is_doubtful = true;
        else if (strcmp(argv[i], "--full") == 0)
            t->is_full = true;
        else if (argv[i][0] != '-' && t->dir == NULL)
            t->dir = argv[i];
        else if (i + 1 < argc && take_option(t, argv[i], argv[i + 1]))
            i++;
        else
            return complain(argv[i], "not understood; see nqdb-cli --help") ==
                   0;
    }
    return t->dir != NULL ||
           complain(argv[1], "which directory?  See nqdb-cli --help") == 0;
}

int
main(int argc, char **argv)
{
    struct tool t = {.pool_bytes = 256 << 20, .only_db = -1};
    const struct subcommand *sub = NULL;
    int code;

    if (argc < 2)
        return print_help(stderr) + 1;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return print_help(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        puts("nqdb-cli " NQDB_VERSION);
        return 0;
    }
    for (size_t i = 0; i < nq_countof(subcommands); i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0)
            sub = &subcommands[i];
    }
    if (sub == NULL)
        return complain(argv[1], "no such subcommand; see nqdb-cli --help");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return puts(sub->help) < 0;
    }
    process_print_crashes("nqdb-cli " NQDB_VERSION);
    (void)log_set_file("/dev/stderr", 0, 0); /* data has the other stream */
    log_set_level(LOG_WARN);
    if (!take_options(&t, argc, argv))
        return 1;
    code = take_master_key(&t);
    if (code == 0 && sub->opens)
        code = open_tool(&t, false);
    if (code == 0)
        code = sub->run(&t);
    else if (sub->run == run_check && t.open_rc != NQ_ECORRUPT)
        code = 2;
    close_tool(&t);
    if (fflush(stdout) != 0)
        code = complain("standard output", "cannot be written");
    return code;
}
