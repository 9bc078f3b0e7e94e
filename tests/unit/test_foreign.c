/* Files that do not belong together: of another database, of another time,
 * of another kind, cut short, missing.  Each is refused, and nothing in the
 * directory changes by it; what is taken has all keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/crc32c.h"
#include "codec/seal.h"
#include "db/string.h"
#include "os/dir.h"
#include "os/file.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/frames.h"
#include "store/page.h"
#include "store/store.h"

#define MORE 400 /* keys that each life adds */

static char root[64];
static const uint8_t master[SEAL_KEY] = {1, 2, 3};

/* --- one life ----------------------------------------------------------------
 */

struct life {
    struct pool *pool;
    struct store *st;
    struct db *db;
};

static void
before_cut(void *arg)
{
    struct life *l = arg;

    if (l->db != NULL)
        db_write_catalog(l->db);
}

static void
end_life(struct life *l, bool checkpoint)
{
    if (l->db != NULL)
        db_write_catalog(l->db);
    if (l->db != NULL)
        db_close(l->db);
    l->db = NULL;
    if (l->st != NULL && checkpoint)
        assert_int_equal(store_close(l->st, true), NQ_OK);
    else if (l->st != NULL)
        store_abandon(l->st);
    pool_close(l->pool);
}

static nq_rc
begin_life(struct life *l, const char *name, bool encrypted)
{
    char dir[200];
    struct store_opts so = {.is_page = page_verify,
                            .dir = dir,
                            .page_size = 4096,
                            .pool_bytes = 8 << 20,
                            .master_key = encrypted ? master : NULL,
                            .wal = {.segment_size = 64 << 10,
                                    .buffer_size = 64 << 10,
                                    .fsync = WAL_FSYNC_ALWAYS},
                            .dirty_soft = 0.6,
                            .dirty_hard = 0.8,
                            .before_cut = before_cut,
                            .arg = l};
    struct db_opts dbo = {.databases = 1};
    nq_rc rc;

    memset(l, 0, sizeof *l);
    snprintf(dir, sizeof dir, "%s/%s", root, name);
    assert_int_equal(pool_open(2, NULL, NULL, &l->pool), NQ_OK);
    rc = store_open(&so, l->pool, &l->st);
    dbo.store = l->st;
    if (rc == NQ_OK)
        rc = db_open(&dbo, &l->db);
    while (rc == NQ_OK && (rc = db_replay(l->db, 1000)) == NQ_AGAIN)
        rc = (pool_drain(l->pool), NQ_OK);
    if (rc == NQ_OK)
        (void)frames_set_blocking(store_frames(l->st), true);
    return rc;
}

static void
key_of(char key[24], unsigned i)
{
    snprintf(key, 24, "key:%06u", i);
}

static void
wait_durable(struct life *l)
{
    struct wal_stats ws;

    do {
        store_turn(l->st);
        thread_sleep_us(200);
        wal_get_stats(store_wal(l->st), &ws);
    } while (ws.durable < ws.position);
}

static void
live(const char *name, bool encrypted, unsigned from, bool checkpoint)
{
    struct life l;

    assert_int_equal(begin_life(&l, name, encrypted), NQ_OK);
    for (unsigned i = from; i < from + MORE; i++) {
        struct entry e = {0};
        char key[24];
        bool found;

        key_of(key, i);
        found = db_find_write(l.db, 0, slice_str(key), &e) == NQ_OK;
        assert_int_equal(string_set(l.db, 0, slice_str(key), &e, found,
                                    slice_str("value"), 0, "set"),
                         NQ_OK);
        store_turn(l.st);
        (void)pool_drain(l.pool);
    }
    wait_durable(&l);
    end_life(&l, checkpoint);
}

/* --- directories
 * --------------------------------------------------------------- */

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
shell(const char *fmt, ...)
{
    char line[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    assert_int_equal(system(line), 0);
}

/* What all files of the directory hold. */
static uint32_t
sum_of(const char *name)
{
    char line[400], out[64] = {0};
    FILE *p;

    snprintf(line, sizeof line,
             "cd %s/%s && find . -type f ! -name LOCK ! -name keys.nq -printf "
             "'%%p %%s\\n' "
             "-exec cksum {} + | sort | cksum",
             root, name);
    p = popen(line, "r");
    assert_non_null(p);
    assert_non_null(fgets(out, sizeof out, p));
    pclose(p);
    return (uint32_t)strtoul(out, NULL, 10);
}

/* A copy of `from` as "try", with `what` of it from another. */
static void
mix(const char *from, const char *what, const char *other)
{
    shell("rm -rf %s/try && cp -r %s/%s %s/try", root, root, from, root);
    shell("rm -rf %s/try/%s && cp -r %s/%s/%s %s/try/%s", root, what, root,
          other, what, root, what);
}

/* Refused, and left as it is. */
static void
assert_refused(const char *why, bool encrypted)
{
    uint32_t before = sum_of("try");
    struct life l;
    nq_rc rc = begin_life(&l, "try", encrypted);

    if (rc == NQ_OK)
        print_error("taken: %s\n", why);
    assert_true(rc == NQ_ECORRUPT || rc == NQ_EFORMAT || rc == NQ_EKEY ||
                rc == NQ_EMISMATCH);
    end_life(&l, false);
    if (sum_of("try") != before)
        print_error("changed: %s\n", why);
    assert_int_equal(sum_of("try"), before);
}

/* Refused and left as it is, or all of the first `keys` are there. */
static void
assert_refused_or_whole(const char *why, bool encrypted, unsigned keys)
{
    uint32_t before = sum_of("try");
    struct life l;
    nq_rc rc = begin_life(&l, "try", encrypted);

    for (unsigned i = 0; rc == NQ_OK && i < keys; i++) {
        struct entry e = {0};
        char key[24];

        key_of(key, i);
        if (db_find(l.db, 0, slice_str(key), &e) != NQ_OK)
            print_error("no %s after: %s\n", key, why);
        assert_int_equal(db_find(l.db, 0, slice_str(key), &e), NQ_OK);
    }
    end_life(&l, false);
    if (rc != NQ_OK && sum_of("try") != before)
        print_error("changed: %s\n", why);
    if (rc != NQ_OK)
        assert_int_equal(sum_of("try"), before);
}

/* --- the tests
 * ------------------------------------------------------------------- */

/* mine: three lives; mine.1 and mine.2 as it was before; yours: another. */
static void
prepare(const char *mine, const char *yours, bool encrypted)
{
    log_set_level(getenv("SHOW") ? LOG_INFO : (enum log_level)(LOG_ERROR + 1));
    for (unsigned i = 0; i < 3; i++) {
        live(mine, encrypted, i * MORE, i != 1);
        if (i < 2)
            shell("cp -r %s/%s %s/%s.%u", root, mine, root, mine, i + 1);
    }
    live(yours, encrypted, 0, true);
}

static int
setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/nqdb-foreign-XXXXXX");
    assert_non_null(mkdtemp(root));
    prepare("mine", "yours", false);
    prepare("secret", "yours.secret", true);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    shell("rm -rf %s", root);
    return 0;
}

static void
files_of_another_database_are_refused(void **state)
{
    (void)state;
    mix("mine", "data.nq", "yours");
    assert_refused("data.nq of another database", false);
    mix("mine", "wal", "yours");
    assert_refused("the log of another database", false);
    mix("secret", "data.nq", "yours.secret");
    assert_refused("data.nq of another encrypted database", true);
    mix("secret", "wal", "yours.secret");
    assert_refused("the log of another encrypted database", true);
    mix("secret", "keys.nq", "yours.secret");
    assert_refused("keys.nq of another database", true);
}

static void
files_of_another_time_are_refused_or_lose_nothing(void **state)
{
    static const char *const older[] = {"1", "2"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char from[40];

        snprintf(from, sizeof from, "mine.%s", older[i]);
        mix("mine", "data.nq", from);
        assert_refused_or_whole("an older data.nq", false, 3 * MORE);
        mix("mine", "wal", from);
        assert_refused_or_whole("an older log", false, 3 * MORE);
        snprintf(from, sizeof from, "secret.%s", older[i]);
        mix("secret", "data.nq", from);
        assert_refused_or_whole("an older, encrypted data.nq", true, 3 * MORE);
        mix("secret", "wal", from);
        assert_refused_or_whole("an older, encrypted log", true, 3 * MORE);
        mix("secret", "keys.nq", from);
        assert_refused("an older keys.nq", true);
    }
}

static void
missing_files_are_refused_or_lose_nothing(void **state)
{
    (void)state;
    mix("mine", "wal", "mine");
    shell("rm %s/try/data.nq", root);
    assert_refused("a log without data.nq", false);
    mix("mine", "data.nq", "mine");
    shell("rm -r %s/try/wal", root);
    assert_refused_or_whole("data.nq without a log", false, 3 * MORE);
    mix("mine.2", "data.nq", "mine.2");
    shell("rm -r %s/try/wal", root);
    assert_refused("data.nq without the log that it needs", false);
    mix("secret", "data.nq", "secret");
    shell("rm %s/try/keys.nq", root);
    assert_refused("no keys.nq", true);
}

static void
foreign_files_are_refused(void **state)
{
    static const char *const makers[] = {
        "head -c 100000 /dev/urandom",
        "echo hello, I am a text",
        ":",
        "head -c 100000 /dev/zero",
    };
    static const char *const files[] = {"data.nq", "keys.nq"};

    (void)state;
    for (unsigned f = 0; f < 2; f++) {
        for (unsigned i = 0; i < nq_countof(makers); i++) {
            mix("secret", files[f], "secret");
            shell("%s > %s/try/%s", makers[i], root, files[f]);
            assert_refused(files[f], true);
        }
    }
}

static void
files_cut_short_are_refused_or_lose_nothing(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, rng_seed_from_os());
    for (unsigned i = 0; i < 4; i++) {
        mix("mine", "data.nq", "mine");
        shell("truncate -s %u %s/try/data.nq", (unsigned)rng_below(&rng, 20000),
              root);
        assert_refused("data.nq cut short", false);
        mix("secret", "keys.nq", "secret");
        shell("truncate -s -%u %s/try/keys.nq",
              1 + (unsigned)rng_below(&rng, 60), root);
        assert_refused("keys.nq cut short", true);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_another_database_are_refused),
        cmocka_unit_test(files_of_another_time_are_refused_or_lose_nothing),
        cmocka_unit_test(missing_files_are_refused_or_lose_nothing),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(files_cut_short_are_refused_or_lose_nothing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
