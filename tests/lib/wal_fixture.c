/* tests/lib/wal_fixture.c - logs for the tests of store/wal. */
#include "wal_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/thread.h"

#define WAIT_US 10000000u

static void
on_wake(void *arg)
{
    struct wal_fixture *f = arg;

    atomic_fetch_add(&f->wakes, 1);
}

void
wal_fixture_init(struct wal_fixture *f, enum wal_fsync fsync)
{
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/nqdb-wal-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->opts = (struct wal_opts){.dir = f->dir,
                                .uuid = "0123456789abcde",
                                .salt = 0x5a17,
                                .segment_size = 64 << 10,
                                .buffer_size = 64 << 10,
                                .fsync = fsync,
                                .fsync_interval_ms = 20,
                                .wake = on_wake,
                                .arg = f};
}

static void
remove_name(const char *name, void *arg)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", (char *)arg, name);
    (void)unlink(path);
}

void
wal_fixture_fini(struct wal_fixture *f)
{
    if (f->w != NULL)
        wal_abandon(f->w);
    assert_int_equal(dir_each(f->dir, remove_name, f->dir), NQ_OK);
    assert_int_equal(rmdir(f->dir), 0);
}

struct copy {
    const char *from, *to;
};

static void
copy_name(const char *name, void *arg)
{
    const struct copy *c = arg;
    char path[512];
    uint8_t *p;
    size_t len;
    int fd;

    snprintf(path, sizeof path, "%s/%s", c->from, name);
    p = wal_fixture_load(path, &len);
    snprintf(path, sizeof path, "%s/%s", c->to, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, len), len);
    close(fd);
    nq_free(p);
}

void
wal_fixture_copy(struct wal_fixture *to, const struct wal_fixture *from)
{
    struct copy c = {from->dir, to->dir};

    assert_int_equal(dir_each(to->dir, remove_name, to->dir), NQ_OK);
    assert_int_equal(dir_each(from->dir, copy_name, &c), NQ_OK);
}

static void
fill(uint8_t *p, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(number * 31 + i * 7);
}

static void
check_effect(const struct wal_record *rec, uint64_t number)
{
    char key[21];

    assert_true(rec->key.len == u64_to_text(key, number));
    assert_memory_equal(rec->key.p, key, rec->key.len);
    assert_int_equal(rec->effect, number % 200);
    assert_int_equal(rec->db, number % 1000);
    assert_true(rec->time_us > 0);
    if (rec->args.len > 0) {
        uint8_t *want = nq_malloc(rec->args.len);

        fill(want, rec->args.len, number);
        assert_memory_equal(rec->args.p, want, rec->args.len);
        nq_free(want);
    }
}

nq_rc
wal_fixture_replay(struct wal_fixture *f, uint64_t first)
{
    struct wal_record rec;
    uint64_t done, total;
    nq_rc rc = wal_open(&f->opts, &f->start, &f->w);

    f->replayed = first - 1;
    if (rc != NQ_OK)
        return rc;
    while ((rc = wal_replay_next(f->w, &rec)) == NQ_OK) {
        check_effect(&rec, ++f->replayed);
        wal_replay_progress(f->w, &done, &total);
        assert_true(done <= total);
    }
    if (rc == NQ_NOTFOUND)
        return NQ_OK;
    wal_abandon(f->w);
    f->w = NULL;
    return rc;
}

void
wal_fixture_open(struct wal_fixture *f, uint64_t first)
{
    assert_int_equal(wal_fixture_replay(f, first), NQ_OK);
    assert_int_equal(wal_start(f->w), NQ_OK);
    f->put = f->replayed;
}

void
wal_fixture_close(struct wal_fixture *f)
{
    lsn end, position;

    wal_commit(f->w);
    position = wal_position(f->w);
    assert_int_equal(wal_close(f->w, &end), NQ_OK);
    assert_int_equal(end, position);
    f->w = NULL;
}

nq_rc
wal_fixture_put(struct wal_fixture *f, size_t len)
{
    uint64_t number = f->put + 1;
    uint8_t *p = nq_malloc(len + 1);
    struct slice args[2];
    char key[21];
    nq_rc rc;

    fill(p, len, number);
    args[0] = slice_of(p, len / 3);
    args[1] = slice_of(p + len / 3, len - len / 3);
    rc = wal_append(f->w, (uint8_t)(number % 200), (uint32_t)(number % 1000),
                    slice_of(key, u64_to_text(key, number)), args, 2);
    if (rc == NQ_OK)
        f->put = number;
    nq_free(p);
    return rc;
}

lsn
wal_fixture_frame(struct wal_fixture *f, unsigned n, size_t len)
{
    lsn at = wal_position(f->w);

    for (unsigned i = 0; i < n; i++)
        assert_int_equal(wal_fixture_put(f, len), NQ_OK);
    assert_int_equal(wal_position(f->w), at);
    wal_commit(f->w);
    assert_true(wal_position(f->w) > at);
    return at;
}

bool
wal_fixture_settle(struct wal_fixture *f)
{
    uint64_t until = clock_mono_us() + WAIT_US;

    while (wal_settled(f->w) < wal_position(f->w)) {
        if (clock_mono_us() > until || wal_writable(f->w) == NQ_EREADONLY)
            return false;
        thread_sleep_us(50);
    }
    return true;
}

bool
wal_fixture_durable(struct wal_fixture *f)
{
    uint64_t until = clock_mono_us() + WAIT_US;

    wal_sync_soon(f->w);
    while (wal_durable(f->w) < wal_position(f->w)) {
        if (clock_mono_us() > until || wal_writable(f->w) == NQ_EREADONLY)
            return false;
        thread_sleep_us(50);
    }
    return true;
}

bool
wal_fixture_state(struct wal_fixture *f, nq_rc rc)
{
    uint64_t until = clock_mono_us() + WAIT_US;

    while (wal_writable(f->w) != rc) {
        if (clock_mono_us() > until)
            return false;
        thread_sleep_us(200);
    }
    return true;
}

const char *
wal_fixture_path(const struct wal_fixture *f, unsigned number)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%08u.wal", f->dir, number);
    return path;
}

uint64_t
wal_fixture_size(const struct wal_fixture *f, unsigned number)
{
    struct stat st;

    return stat(wal_fixture_path(f, number), &st) == 0 ? (uint64_t)st.st_size
                                                       : 0;
}

uint8_t *
wal_fixture_load(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    uint8_t *p;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    p = nq_malloc(*len + 1);
    assert_int_equal(read(fd, p, *len), *len);
    close(fd);
    return p;
}

void
wal_fixture_poke(const char *path, uint64_t off, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, (off_t)off), n);
    close(fd);
}
