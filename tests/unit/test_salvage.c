/* What is salvaged of a damaged database is right, and is all that the
 * damage did not touch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "../lib/good_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/file.h"
#include "os/pool.h"
#include "server/cli_salvage.h"
#include "store/frames.h"
#include "store/page.h"
#include "store/superblock.h"

#define KEYS 600
#define ITEMS 300
#define LATE 40 /* one of so many is changed after the checkpoint */
#define BLOB 1500000

struct bench {
    struct engine_env env;
    struct rng rng;
    struct good_file file;
    bool has_changes; /* in the log */
};

/* What came out, by what the commands say. */
struct result {
    struct salvage_found found;
    bool has_changes;
    unsigned keys, fields, elements, scores, entries, members, blobs, others;
    long last_element, last_entry;
    uint64_t lost; /* of any kind, told */
};

static uint64_t
seed(void)
{
    const char *text = getenv("SEED");
    uint64_t v = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)v);
    return v;
}

/* --- the data ---------------------------------------------------------------
 */

static void askf(struct fake_client *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
askf(struct fake_client *c, const char *fmt, ...)
{
    char line[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    assert_int_not_equal(fake_ask(c, line)[0], '-');
}

static void
fill(struct engine_env *env)
{
    struct fake_client c;

    fake_open(env, &c);
    askf(&c, "NQ.INDEX CREATE values ON key: FIELD $value TEXT");
    askf(&c, "NQ.INDEX CREATE all ON '' FIELD field:00001 TEXT");
    for (unsigned i = 0; i < KEYS; i++)
        askf(&c, "SET key:%05u value-%080u", i, i);
    for (unsigned i = 0; i < ITEMS; i++) {
        askf(&c, "HSET hash field:%05u value-%060u", i, i);
        askf(&c, "RPUSH list element-%060u", i);
        askf(&c, "ZADD zset %u member-%040u", i, i);
        askf(&c, "XADD stream %u-1 n %060u", i + 1, i);
        askf(&c, "SADD set member-%050u", i);
    }
    askf(&c, "SETRANGE blob %u end-of-it", BLOB - 9);
    askf(&c, "SELECT 3");
    for (unsigned i = 0; i < 30; i++)
        askf(&c, "SET three:%05u 3", i);
    fake_close(&c);
}

static void
change(struct engine_env *env)
{
    struct fake_client c;

    fake_open(env, &c);
    for (unsigned i = 0; i < KEYS; i += LATE)
        askf(&c, "SET key:%05u changed-%u", i, i);
    for (unsigned i = 0; i < ITEMS; i += LATE)
        askf(&c, "HSET hash field:%05u changed-%u", i, i);
    askf(&c, "WAITAOF 1 0 0");
    fake_close(&c);
}

/* --- the file ------------------------------------------------------------ */

static void
begin(struct bench *b, bool with_log)
{
    memset(b, 0, sizeof *b);
    log_set_level((enum log_level)(LOG_ERROR + 1));
    b->has_changes = with_log;
    rng_seed(&b->rng, seed());
    engine_env_init(&b->env, 16 << 20);
    fill(&b->env);
    engine_env_cool(&b->env);
    if (with_log)
        change(&b->env);
    engine_env_crash(&b->env);
    good_file_init(&b->file, b->env.dir);
}

static void
end(struct bench *b)
{
    good_file_fini(&b->file);
    engine_env_fini(&b->env);
}

/* `bytes`, a copy of the good file with damage, becomes the file. */
static void
write_damaged(const struct bench *b, uint8_t *bytes)
{
    good_file_write(&b->file, bytes);
    nq_free(bytes);
}

static uint8_t *
copy(const struct bench *b)
{
    return nq_memdup(b->file.bytes, b->file.len);
}

static void
damage_place(struct bench *b, uint8_t *bytes, const struct good_place *p)
{
    uint64_t at = p->off + rng_below(&b->rng, p->len - 64u);

    memset(bytes + at, (int)rng_below(&b->rng, 256), 40);
    bytes[at] ^= 1;
}

/* --- what came out
 * ------------------------------------------------------------ */

static bool
is_printed(struct slice s, const char *fmt, unsigned i)
{
    char want[200];

    snprintf(want, sizeof want, fmt, i);
    return slice_cmp(s, slice_str(want)) == 0;
}

static unsigned
number_in(struct slice s, size_t from)
{
    char text[24] = {0};

    assert_true(s.len > from);
    memcpy(text, s.p + from, nq_min(s.len - from, sizeof text - 1));
    return (unsigned)strtoul(text, NULL, 10);
}

/* The value at the checkpoint, or, of some, the one after it. */
static void
check_value(const struct result *r, struct slice val, const char *before,
            unsigned i)
{
    bool is_late = i % LATE == 0;

    if (is_late && r->has_changes && r->found.log == NQ_OK)
        assert_true(is_printed(val, "changed-%u", i));
    else
        assert_true(is_printed(val, before, i) ||
                    (is_late && is_printed(val, "changed-%u", i)));
}

static void
check_set(struct result *r, const struct slice *w)
{
    if (slice_cmp(w[1], slice_lit("blob")) == 0) {
        assert_int_equal(w[2].len, BLOB);
        assert_memory_equal(w[2].p + BLOB - 9, "end-of-it", 9);
        r->blobs++;
    } else if (w[1].p[0] == 't') {
        r->others++;
    } else {
        check_value(r, w[2], "value-%080u", number_in(w[1], 4));
        r->keys++;
    }
}

static void
check_one(struct result *r, const struct slice *w, unsigned n)
{
    for (unsigned i = 2; i < n; i++) {
        if (w[0].p[0] == 'R') { /* RPUSH */
            long at = number_in(w[i], 60);

            assert_true(is_printed(w[i], "element-%060u", (unsigned)at));
            assert_true(at > r->last_element);
            r->last_element = at;
            r->elements++;
        } else if (memcmp(w[0].p, "SADD", 4) == 0) {
            assert_true(is_printed(w[i], "member-%050u", number_in(w[i], 50)));
            r->members++;
        } else if (memcmp(w[0].p, "HSET", 4) == 0) {
            check_value(r, w[i + 1], "value-%060u", number_in(w[i], 6));
            r->fields++;
            i++;
        } else if (w[0].p[0] == 'Z') {
            assert_true(
                is_printed(w[i + 1], "member-%040u", number_in(w[i], 0)));
            r->scores++;
            i++;
        }
    }
}

static void
check_entry(struct result *r, const struct slice *w)
{
    long at = number_in(w[2], 0);

    assert_true(at > r->last_entry);
    assert_true(is_printed(w[4], "%060u", (unsigned)at - 1));
    r->last_entry = at;
    r->entries++;
}

static void
check_command(struct result *r, const struct slice *w, unsigned n)
{
    if (slice_cmp(w[0], slice_lit("SET")) == 0)
        check_set(r, w);
    else if (slice_cmp(w[0], slice_lit("XADD")) == 0)
        check_entry(r, w);
    else if (w[0].p[0] != 'X' && memcmp(w[0].p, "SELECT", 6) != 0)
        check_one(r, w, n);
}

/* The commands in `text`. */
static void
check_all(struct result *r, struct slice text)
{
    const uint8_t *p = text.p, *last = text.p + text.len;
    struct slice words[300];

    r->last_element = -1;
    while (p < last) {
        unsigned n;
        char *next;

        assert_int_equal(*p, '*');
        n = (unsigned)strtoul((const char *)p + 1, &next, 10);
        assert_true(n > 0 && n < 300);
        p = (const uint8_t *)next + 2;
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(*p, '$');
            words[i].len = strtoul((const char *)p + 1, &next, 10);
            words[i].p = (const uint8_t *)next + 2;
            p = words[i].p + words[i].len + 2;
            assert_true(p <= last);
        }
        check_command(r, words, n);
    }
}

/* --- salvaging
 * ------------------------------------------------------------------ */

static nq_rc
salvage_here(struct bench *b, struct salvage *v, struct pool *pool)
{
    struct store_opts so = {.is_page = page_verify,
                            .dir = b->env.dir,
                            .pool_bytes = 8 << 20,
                            .read_only = true,
                            .dirty_soft = 0.6,
                            .dirty_hard = 0.8,
                            .wal = {.segment_size = 1 << 20,
                                    .buffer_size = 1 << 20,
                                    .fsync = WAL_FSYNC_NEVER}};
    nq_rc rc = salvage_open(v, &so, pool);

    if (rc != NQ_OK)
        return rc;
    salvage_label(v);
    salvage_dump(v);
    (void)salvage_report(v);
    return rc;
}

static int
redirect(int fd, const char *path)
{
    int was = dup(fd), to = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);

    assert_true(was >= 0 && to >= 0);
    fflush(NULL);
    dup2(to, fd);
    close(to);
    return was;
}

static void
restore(int fd, int was)
{
    fflush(NULL);
    dup2(was, fd);
    close(was);
}

/* Salvages, and checks what came out. */
static nq_rc
salvage(struct bench *b, struct result *r)
{
    char path[100] = "/tmp/nqdb-salvage-XXXXXX";
    int out, err, fd = mkstemp(path);
    struct salvage v;
    struct pool *pool;
    uint8_t *text;
    off_t len;
    nq_rc rc;

    memset(r, 0, sizeof *r);
    assert_int_equal(pool_open(2, NULL, NULL, &pool), NQ_OK);
    out = redirect(1, path);
    err = redirect(2, "/dev/null");
    rc = salvage_here(b, &v, pool);
    restore(1, out);
    restore(2, err);
    r->found = v.found;
    r->has_changes = b->has_changes;
    r->lost = v.lost_keys + v.lost_items + v.unassigned + v.damaged;
    salvage_fini(&v);
    if (v.db != NULL)
        db_close(v.db);
    if (v.store != NULL)
        assert_int_equal(store_close(v.store, false), NQ_OK);
    pool_close(pool);
    len = lseek(fd, 0, SEEK_END);
    text = nq_malloc((size_t)len + 1);
    assert_int_equal(pread(fd, text, (size_t)len, 0), len);
    text[len] = 0;
    close(fd);
    unlink(path);
    check_all(r, slice_of(text, (size_t)len));
    nq_free(text);
    return rc;
}

static void
assert_all_is_there(const struct result *r)
{
    assert_int_equal(r->keys, KEYS);
    assert_int_equal(r->fields, ITEMS);
    assert_int_equal(r->elements, ITEMS);
    assert_int_equal(r->entries, ITEMS);
    assert_int_equal(r->members, ITEMS);
    assert_true(r->scores >= ITEMS);
    assert_int_equal(r->blobs, 1);
    assert_int_equal(r->others, 30);
}

static void
a_good_database_comes_out_whole_with_its_log(void **state)
{
    struct result r;
    struct bench b;

    (void)state;
    begin(&b, true);
    assert_int_equal(salvage(&b, &r), NQ_OK);
    assert_int_equal(r.found.log, NQ_OK);
    assert_int_equal(r.lost, 0);
    assert_all_is_there(&r);
    end(&b);
}

/* Nothing but what leads to others is lost: all is found. */
static void
a_lost_inner_page_loses_nothing(void **state)
{
    struct result r;
    unsigned lost = 0;
    struct bench b;

    (void)state;
    begin(&b, false);
    for (unsigned i = 0; i < b.file.count; i++) {
        uint8_t *bytes = copy(&b);

        if (b.file.places[i].kind != PAGE_INNER) {
            nq_free(bytes);
            continue;
        }
        memset(bytes + b.file.places[i].off, 0, b.file.places[i].len);
        write_damaged(&b, bytes);
        assert_int_equal(salvage(&b, &r), NQ_OK);
        assert_all_is_there(&r);
        lost++;
    }
    assert_true(lost > 0);
    end(&b);
}

static void
superblocks_table_and_catalog_can_be_done_without(void **state)
{
    struct result r;
    struct bench b;
    uint8_t *bytes;

    (void)state;
    begin(&b, false);
    bytes = copy(&b);
    memset(bytes + b.file.sb.base.off, 0, b.file.sb.base.len);
    write_damaged(&b, bytes);
    assert_int_equal(salvage(&b, &r), NQ_OK);
    assert_true(r.found.is_scanned);
    assert_all_is_there(&r);

    bytes = copy(&b);
    memset(bytes + b.file.sb.catalog.off, 0, b.file.sb.catalog.len);
    write_damaged(&b, bytes);
    assert_int_equal(salvage(&b, &r), NQ_OK);
    assert_all_is_there(&r);

    bytes = copy(&b);
    memset(bytes, 0, SUPERBLOCK_AREA);
    write_damaged(&b, bytes);
    assert_int_equal(salvage(&b, &r), NQ_OK);
    assert_int_equal(r.keys, KEYS); /* with records of other types */
    assert_int_equal(r.fields, ITEMS);
    assert_int_equal(r.elements, ITEMS);
    end(&b);
}

/* Each damaged leaf costs what it holds: at most some 40 keys or items. */
static void
random_damage_costs_what_it_hits(void **state)
{
    struct result r;
    struct bench b;

    (void)state;
    begin(&b, true);
    for (unsigned round = 0; round < 40; round++) {
        unsigned n = 1 + (unsigned)rng_below(&b.rng, 4), leaves = 0;
        unsigned inners = 0, chunks = 0, all;
        uint8_t *bytes = copy(&b);

        for (unsigned i = 0; i < n; i++) {
            const struct good_place *p =
                &b.file.places[rng_below(&b.rng, b.file.count)];

            leaves += p->kind == PAGE_LEAF;
            inners += p->kind == PAGE_INNER;
            chunks += p->kind == PAGE_CHUNK;
            damage_place(&b, bytes, p);
        }
        write_damaged(&b, bytes);
        assert_int_equal(salvage(&b, &r), NQ_OK);
        assert_true(chunks > 0 || r.blobs == 1 || leaves > 0);
        if (inners > 0)
            continue; /* with others it may not be known whose pages are */
        all = r.keys + r.fields + r.elements + r.entries + r.members;
        if (r.fields == 0 || r.elements == 0 || r.entries == 0 ||
            r.members == 0)
            continue; /* its key is lost, or its changes do not fit */
        assert_true(all + leaves * 60 >= KEYS + 4 * ITEMS - KEYS / LATE);
    }
    end(&b);
}

/* Anything goes, as long as nothing wrong comes out. */
static void
any_damage_makes_no_wrong_answer(void **state)
{
    struct result r;
    struct bench b;

    (void)state;
    begin(&b, true);
    for (unsigned round = 0; round < 40; round++) {
        uint8_t *bytes = copy(&b);
        uint64_t hits = 1 + rng_below(&b.rng, 60);
        nq_rc rc;

        for (uint64_t i = 0; i < hits; i++) {
            uint64_t at = rng_below(&b.rng, b.file.len - 600);

            memset(bytes + at, (int)rng_below(&b.rng, 256),
                   1 + rng_below(&b.rng, 500));
        }
        if (rng_below(&b.rng, 3) == 0)
            memset(bytes, 0, SUPERBLOCK_AREA);
        write_damaged(&b, bytes);
        rc = salvage(&b, &r);
        assert_true(rc == NQ_OK || rc == NQ_ECORRUPT || rc == NQ_EFORMAT);
    }
    end(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_database_comes_out_whole_with_its_log),
        cmocka_unit_test(a_lost_inner_page_loses_nothing),
        cmocka_unit_test(superblocks_table_and_catalog_can_be_done_without),
        cmocka_unit_test(random_damage_costs_what_it_hits),
        cmocka_unit_test(any_damage_makes_no_wrong_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
