/* os/fault_cut.c - what a power cut may leave on a disk.
 *
 * An undo journal for each file: before a change, the old bytes of every
 * sector it touches and the old size are appended, numbered.  A sync takes
 * the next number first and drops what is below it afterwards, so that a
 * write made during the sync stays unsynced.  A cut picks, for each sector in
 * the journal, one of its versions (the old ones or the present one) or a mix
 * of two; and one of the sizes.  Names have a journal of their own, undone
 * from the end.
 *
 *   I1  entries of a journal are in the order of their numbers
 *   I2  a recorded file is kept open, so its inode number is not used again
 *   I3  all is guarded by `lock`, which is held from before a change is
 *       recorded until it is made */
#include "os/fault_int.h"

#ifdef NQ_FAULTS

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

#define SECTOR 512u
#define SIZE_ENTRY UINT64_MAX /* in undo.sector: an old size */

struct undo {
    uint64_t number;
    uint64_t sector; /* or SIZE_ENTRY */
    uint64_t size;   /* valid only if SIZE_ENTRY */
    uint8_t old[SECTOR];
};

struct cut_file {
    struct cut_file *next;
    dev_t dev;
    ino_t ino;
    int fd; /* ours */
    struct undo *journal;
    size_t count, cap;
};

enum name_op { NAME_CREATED, NAME_RENAMED, NAME_UNLINKED };

struct name {
    struct name *next; /* older */
    uint64_t number;
    enum name_op op;
    dev_t dev; /* of the directory */
    ino_t ino;
    char *path; /* what was created, removed or renamed to */
    char *from; /* NAME_RENAMED: the old name */
    int kept;   /* what `path` was before, open; or -1 */
};

static struct {
    pthread_mutex_t lock;
    bool on; /* atomic: read without the lock */
    uint64_t number;
    struct cut_file *files;
    struct name *names; /* newest first */
} cut = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool
is_on(void)
{
    return __atomic_load_n(&cut.on, __ATOMIC_RELAXED);
}

static struct cut_file *
find_file(int fd, bool create)
{
    struct cut_file *f;
    struct stat st;

    nq_assert(fstat(fd, &st) == 0);
    for (f = cut.files; f != NULL; f = f->next) {
        if (f->dev == st.st_dev && f->ino == st.st_ino)
            return f;
    }
    if (!create)
        return NULL;
    f = nq_calloc(1, sizeof *f);
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    nq_assert(f->fd >= 0);
    f->next = cut.files;
    cut.files = f;
    return f;
}

static struct undo *
append(struct cut_file *f, uint64_t sector)
{
    struct undo *u;

    if (f->count == f->cap) {
        f->cap = nq_max(f->cap * 2, (size_t)64);
        f->journal = nq_realloc(f->journal, f->cap * sizeof *f->journal);
    }
    u = &f->journal[f->count++];
    memset(u, 0, sizeof *u);
    u->number = cut.number++;
    u->sector = sector;
    return u;
}

static void
append_sectors(struct cut_file *f, uint64_t from, uint64_t to)
{
    for (uint64_t s = from / SECTOR; s * SECTOR < to; s++) {
        struct undo *u = append(f, s);
        ssize_t got = pread(f->fd, u->old, SECTOR, (off_t)(s * SECTOR));

        nq_assert(got >= 0); /* behind the end of the file: zeros */
    }
}

static uint64_t
size_of(int fd)
{
    struct stat st;

    nq_assert(fstat(fd, &st) == 0);
    return (uint64_t)st.st_size;
}

/* Takes the lock if a change is to be recorded. */
static bool
begin(void)
{
    if (!is_on())
        return false;
    pthread_mutex_lock(&cut.lock);
    if (is_on())
        return true;
    pthread_mutex_unlock(&cut.lock);
    return false;
}

bool
fault_cut_begin_change(int fd, uint64_t off, uint64_t n)
{
    struct cut_file *f;
    uint64_t size;

    if (!begin())
        return false;
    f = find_file(fd, true);
    size = size_of(fd);
    append_sectors(f, off, off + n);
    if (off + n > size)
        append(f, SIZE_ENTRY)->size = size;
    return true;
}

bool
fault_cut_begin_resize(int fd, uint64_t new_size)
{
    struct cut_file *f;
    uint64_t size;

    if (!begin())
        return false;
    f = find_file(fd, true);
    size = size_of(fd);
    if (new_size < size)
        append_sectors(f, new_size, size);
    if (new_size != size)
        append(f, SIZE_ENTRY)->size = size;
    return true;
}

void
fault_cut_end_change(bool begun)
{
    if (begun)
        pthread_mutex_unlock(&cut.lock);
}

uint64_t
fault_cut_mark(void)
{
    uint64_t mark;

    if (!is_on())
        return 0;
    pthread_mutex_lock(&cut.lock);
    mark = cut.number++;
    pthread_mutex_unlock(&cut.lock);
    return mark;
}

void
fault_cut_synced(int fd, uint64_t mark)
{
    struct cut_file *f;
    size_t n = 0;

    if (!is_on())
        return;
    pthread_mutex_lock(&cut.lock);
    f = find_file(fd, false);
    while (f != NULL && n < f->count && f->journal[n].number < mark)
        n++;
    if (n > 0) {
        f->count -= n;
        memmove(f->journal, f->journal + n, f->count * sizeof *f->journal);
    }
    pthread_mutex_unlock(&cut.lock);
}

static void
free_name(struct name *n)
{
    if (n->kept >= 0)
        close(n->kept);
    nq_free(n->path);
    nq_free(n->from);
    nq_free(n);
}

void
fault_cut_dir_synced(int fd, uint64_t mark)
{
    struct name **at, *n;
    struct stat st;

    if (!is_on())
        return;
    nq_assert(fstat(fd, &st) == 0);
    pthread_mutex_lock(&cut.lock);
    for (at = &cut.names; (n = *at) != NULL;) {
        if (n->dev == st.st_dev && n->ino == st.st_ino && n->number < mark) {
            *at = n->next;
            free_name(n);
        } else {
            at = &n->next;
        }
    }
    pthread_mutex_unlock(&cut.lock);
}

static void
add_name(enum name_op op, const char *path, const char *from, int kept)
{
    struct name *n;
    struct stat st;
    char *dir, *slash;

    if (!is_on()) {
        if (kept >= 0)
            close(kept);
        return;
    }
    dir = nq_strdup(path);
    slash = strrchr(dir, '/');
    if (slash != NULL)
        slash[slash == dir] = '\0';
    nq_assert(stat(slash != NULL ? dir : ".", &st) == 0);
    nq_free(dir);
    n = nq_calloc(1, sizeof *n);
    n->op = op;
    n->dev = st.st_dev;
    n->ino = st.st_ino;
    n->path = nq_strdup(path);
    n->from = from != NULL ? nq_strdup(from) : NULL;
    n->kept = kept;
    pthread_mutex_lock(&cut.lock);
    n->number = cut.number++;
    n->next = cut.names;
    cut.names = n;
    pthread_mutex_unlock(&cut.lock);
}

void
fault_cut_created(const char *path)
{
    add_name(NAME_CREATED, path, NULL, -1);
}

int
fault_cut_keep(const char *path)
{
    return is_on() ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

void
fault_cut_renamed(const char *from, const char *to, int kept)
{
    add_name(NAME_RENAMED, to, from, kept);
}

void
fault_cut_unlinked(const char *path, int kept)
{
    add_name(NAME_UNLINKED, path, NULL, kept);
}

/* --- the cut -------------------------------------------------------------- */

static int
by_sector(const void *a, const void *b)
{
    const struct undo *x = a, *y = b;

    if (x->sector != y->sector)
        return x->sector < y->sector ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Writes the part of `bytes` that lies inside the file. */
static void
put_sector(const struct cut_file *f, uint64_t sector, const uint8_t *bytes,
           uint64_t size)
{
    uint64_t off = sector * SECTOR;
    size_t n;

    if (off >= size)
        return;
    n = (size_t)nq_min(size - off, (uint64_t)SECTOR);
    nq_assert(pwrite(f->fd, bytes, n, (off_t)off) == (ssize_t)n);
}

/* Versions of one sector: v[0..n-1] are old, oldest first, the present one is
 * on the disk.  `before` and `size` are the file's sizes now and after the
 * cut: bytes in between are of a truncate that is itself undone, so their
 * present version is gone, and the newest old one takes its place. */
static void
cut_sector(const struct cut_file *f, const struct undo *v, size_t n,
           uint64_t before, uint64_t size, struct rng *rng)
{
    uint8_t now[SECTOR], mixed[SECTOR];
    uint64_t off = v->sector * SECTOR;
    const uint8_t *a, *b;
    size_t split, i, j;
    ssize_t got;

    memset(now, 0, SECTOR);
    if (size > before)
        memcpy(now, v[n - 1].old, SECTOR);
    if (off < before) {
        got = pread(f->fd, now, nq_min(before - off, (uint64_t)SECTOR),
                    (off_t)off);
        nq_assert(got >= 0);
    }
    i = rng_below(rng, n + 1);
    j = rng_below(rng, 4) == 0 ? rng_below(rng, n + 1) : i; /* torn */
    a = i == n ? now : v[i].old;
    b = j == n ? now : v[j].old;
    split = rng_below(rng, SECTOR + 1);
    memcpy(mixed, a, split);
    memcpy(mixed + split, b + split, SECTOR - split);
    put_sector(f, v->sector, mixed, size);
}

/* Sizes sort behind all sectors: entries [first, count) of the journal. */
static uint64_t
cut_size(const struct cut_file *f, size_t first, uint64_t now, struct rng *rng)
{
    size_t i = first + rng_below(rng, f->count - first + 1);
    uint64_t size = i == f->count ? now : f->journal[i].size;

    if (size != now)
        nq_assert(ftruncate(f->fd, (off_t)size) == 0);
    return size;
}

static void
cut_file(struct cut_file *f, struct rng *rng)
{
    uint64_t now = size_of(f->fd), size;
    size_t sectors = 0;

    if (f->count == 0)
        return;
    qsort(f->journal, f->count, sizeof *f->journal, by_sector);
    while (sectors < f->count && f->journal[sectors].sector != SIZE_ENTRY)
        sectors++;
    size = cut_size(f, sectors, now, rng);
    for (size_t i = 0, n; i < sectors; i += n) {
        uint64_t sector = f->journal[i].sector;

        for (n = 1; i + n < sectors && f->journal[i + n].sector == sector;)
            n++;
        cut_sector(f, &f->journal[i], n, now, size, rng);
    }
}

/* A file that was taken away comes back as a copy. */
static void
restore_kept(const struct name *n)
{
    char bytes[64 * 1024];
    off_t off = 0;
    ssize_t got;
    int fd;

    if (n->kept < 0)
        return;
    fd = open(n->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    nq_assert(fd >= 0);
    while ((got = pread(n->kept, bytes, sizeof bytes, off)) > 0) {
        nq_assert(pwrite(fd, bytes, (size_t)got, off) == got);
        off += got;
    }
    nq_assert(got == 0);
    close(fd);
}

/* Undoes some of the newest changes of names. */
static void
cut_names(struct rng *rng)
{
    uint64_t count = 0, undo;

    for (const struct name *n = cut.names; n != NULL; n = n->next)
        count++;
    undo = rng_below(rng, count + 1);
    for (const struct name *n = cut.names; undo > 0; n = n->next, undo--) {
        if (n->op == NAME_RENAMED)
            nq_assert(rename(n->path, n->from) == 0);
        if (n->op == NAME_CREATED)
            nq_assert(unlink(n->path) == 0);
        else
            restore_kept(n);
    }
}

static void
forget(void)
{
    struct cut_file *f;
    struct name *n;

    while ((f = cut.files) != NULL) {
        cut.files = f->next;
        close(f->fd);
        nq_free(f->journal);
        nq_free(f);
    }
    while ((n = cut.names) != NULL) {
        cut.names = n->next;
        free_name(n);
    }
}

void
fault_record(bool on)
{
    pthread_mutex_lock(&cut.lock);
    forget();
    __atomic_store_n(&cut.on, on, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&cut.lock);
}

void
fault_power_cut(uint64_t seed)
{
    struct rng rng;

    nq_assert(is_on());
    rng_seed(&rng, seed);
    pthread_mutex_lock(&cut.lock);
    for (struct cut_file *f = cut.files; f != NULL; f = f->next)
        cut_file(f, &rng);
    cut_names(&rng);
    forget();
    pthread_mutex_unlock(&cut.lock);
}

#endif
