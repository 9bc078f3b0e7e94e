/* tests/lib/disk_image.c - what a disk may hold at some point of a trace; see
 * disk_trace.h.
 *
 *   I1  what a sync covered is applied in order when it ends: all changes of
 *       its file from before it began
 *   I2  what is pending at the end is applied as the cut says; a later change
 *       of the same bytes may be there without an earlier one
 *   I3  names last in their order: the first few of those that no directory
 *       sync covered
 *   I4  a file is as long as one of its lengths since its last sync */
#include "disk_trace.h"

#ifdef NQ_FAULTS

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

#define SECTOR 512u
#define NO_FILE UINT32_MAX

/* A disk under construction. */
struct disk_state {
    const struct disk_trace *t;
    const struct image_opts *o;
    struct rng rng;
    struct buf files[TRACE_FILES];
    size_t sizes[TRACE_FILES]; /* after a cut */
    size_t *pending;           /* events, in order */
    size_t pending_count;
    uint32_t names[TRACE_NAMES]; /* the file that has it; NO_FILE */
};

static bool
is_of_names(const struct disk_event *e)
{
    return e->op == FAULT_OP_CREATE || e->op == FAULT_OP_RENAME ||
           e->op == FAULT_OP_UNLINK;
}

/* --- single changes ------------------------------------------------------ */

static void
grow(struct buf *b, size_t len)
{
    if (len <= b->len)
        return;
    memset(buf_reserve(b, len - b->len), 0, len - b->len);
    b->len = len;
}

static void
set_len(struct buf *b, size_t len)
{
    grow(b, len);
    b->len = len;
}

static void
put_name(struct disk_state *d, const struct disk_event *e)
{
    if (e->op == FAULT_OP_CREATE) {
        d->names[e->name] = e->file;
    } else if (e->op == FAULT_OP_UNLINK) {
        d->names[e->name] = NO_FILE;
    } else {
        d->names[e->name] = d->names[e->from];
        d->names[e->from] = NO_FILE;
    }
}

static void
apply(struct disk_state *d, const struct disk_event *e)
{
    struct buf *b = &d->files[e->file];

    if (is_of_names(e)) {
        put_name(d, e);
        return;
    }
    if (e->op == FAULT_OP_TRUNCATE)
        set_len(b, e->off);
    if (e->op == FAULT_OP_WRITE || e->op == FAULT_OP_ALLOCATE)
        grow(b, e->off + e->len);
    if (e->op == FAULT_OP_WRITE)
        memcpy(b->p + e->off, d->t->bytes.p + e->at, e->len);
    if (e->op == FAULT_OP_PUNCH && e->off < b->len)
        memset(b->p + e->off, 0, nq_min(e->len, b->len - e->off));
}

/* Each sector of a write is made, or not, or up to some byte. */
static void
apply_in_part(struct disk_state *d, const struct disk_event *e)
{
    struct buf *b = &d->files[e->file];
    uint64_t end = e->off + e->len, keeps = rng_below(&d->rng, 4), next;

    grow(b, end);
    for (uint64_t at = e->off; at < end; at = next) {
        uint64_t n;

        next = nq_min((at / SECTOR + 1) * SECTOR, end);
        n = next - at;
        if (rng_below(&d->rng, 16) == 0)
            n = rng_below(&d->rng, n + 1);
        else if (rng_below(&d->rng, 4) >= keeps)
            n = 0;
        if (n > 0)
            memcpy(b->p + at, d->t->bytes.p + e->at + (at - e->off), n);
    }
}

/* --- syncs --------------------------------------------------------------- */

static bool
is_in_wal(const struct disk_state *d, const struct disk_event *e)
{
    return strncmp(d->t->names[e->name], "wal/", 4) == 0;
}

static bool
is_covered(const struct disk_state *d, size_t i, const struct disk_event *end)
{
    const struct disk_event *e = &d->t->events[i];

    if (i > end->begun)
        return false;
    if (end->op == FAULT_OP_DIR_SYNCED)
        return is_of_names(e) && is_in_wal(d, e) == (end->file == 1);
    return !is_of_names(e) && e->file == end->file;
}

static void
apply_covered(struct disk_state *d, const struct disk_event *end)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->pending_count; i++) {
        size_t event = d->pending[i];

        if (is_covered(d, event, end))
            apply(d, &d->t->events[event]);
        else
            d->pending[kept++] = event;
    }
    d->pending_count = kept;
}

static void
happen(struct disk_state *d, size_t i)
{
    const struct disk_event *e = &d->t->events[i];

    if (i == d->o->without)
        return;
    if (e->op == FAULT_OP_SYNC || e->op == FAULT_OP_DIR_SYNC)
        return;
    if (e->op != FAULT_OP_SYNCED && e->op != FAULT_OP_DIR_SYNCED)
        d->pending[d->pending_count++] = i;
    else if (e->begun != d->o->without)
        apply_covered(d, e);
}

/* --- the cut ------------------------------------------------------------- */

static void
cut_names(struct disk_state *d)
{
    size_t names = 0, keep, kept = 0;

    for (size_t i = 0; i < d->pending_count; i++)
        names += is_of_names(&d->t->events[d->pending[i]]);
    keep = rng_below(&d->rng, 2) == 0 ? names : rng_below(&d->rng, names + 1);
    for (size_t i = 0; i < d->pending_count; i++) {
        const struct disk_event *e = &d->t->events[d->pending[i]];

        if (!is_of_names(e))
            d->pending[kept++] = d->pending[i];
        else if (keep > 0 && keep-- > 0)
            put_name(d, e);
    }
    d->pending_count = kept;
}

static void
shuffle_pending(struct disk_state *d)
{
    for (size_t i = d->pending_count; i > 1; i--) {
        size_t j = rng_below(&d->rng, i), was = d->pending[i - 1];

        d->pending[i - 1] = d->pending[j];
        d->pending[j] = was;
    }
    d->pending_count = rng_below(&d->rng, d->pending_count + 1);
}

/* A change that may be lost; its file may get the length that it had here. */
static void
apply_perhaps(struct disk_state *d, const struct disk_event *e)
{
    size_t before = d->files[e->file].len;

    if (d->o->cut == CUT_SECTORS && e->op == FAULT_OP_WRITE)
        apply_in_part(d, e);
    else if (d->o->cut == CUT_ORDER || rng_below(&d->rng, 2) == 0)
        apply(d, e);
    if (d->files[e->file].len != before && rng_below(&d->rng, 4) == 0)
        d->sizes[e->file] = before;
}

static void
cut_pending(struct disk_state *d)
{
    cut_names(d);
    if (d->o->cut == CUT_ORDER)
        shuffle_pending(d);
    for (uint32_t f = 0; f < d->t->files_count; f++)
        d->sizes[f] = DISK_TRACE_NONE;
    for (size_t i = 0; i < d->pending_count; i++)
        apply_perhaps(d, &d->t->events[d->pending[i]]);
    for (uint32_t f = 0; f < d->t->files_count; f++)
        if (d->sizes[f] != DISK_TRACE_NONE)
            set_len(&d->files[f], d->sizes[f]);
}

static void
end_pending(struct disk_state *d)
{
    size_t last = d->o->upto - 1;

    if (d->o->cut != CUT_NONE) {
        cut_pending(d);
        return;
    }
    for (size_t i = 0; i < d->pending_count; i++) {
        const struct disk_event *e = &d->t->events[d->pending[i]];

        if (d->o->is_last_torn && d->pending[i] == last)
            apply_in_part(d, e);
        else
            apply(d, e);
    }
}

/* --- images -------------------------------------------------------------- */

static void
take_files(struct disk_state *d, struct disk_image *im)
{
    image_fini(im);
    for (uint32_t n = 0; n < d->t->names_count; n++) {
        struct image_file *f;

        if (d->names[n] == NO_FILE)
            continue;
        f = &im->files[im->count++];
        memcpy(f->name, d->t->names[n], TRACE_NAME_MAX);
        f->bytes = d->files[d->names[n]];
        d->files[d->names[n]] = BUF_INIT;
    }
    for (uint32_t i = 0; i < d->t->files_count; i++)
        buf_fini(&d->files[i]);
}

void
image_build(const struct disk_trace *t, const struct image_opts *o,
            struct disk_image *im)
{
    struct disk_state d = {.t = t, .o = o};

    nq_assert(o->upto <= t->count);
    rng_seed(&d.rng, o->seed);
    d.pending = nq_malloc((t->count + 1) * sizeof *d.pending);
    for (uint32_t n = 0; n < TRACE_NAMES; n++)
        d.names[n] = NO_FILE;
    for (size_t i = 0; i < o->upto; i++)
        happen(&d, i);
    end_pending(&d);
    take_files(&d, im);
    nq_free(d.pending);
}

void
image_fini(struct disk_image *im)
{
    while (im->count > 0)
        buf_fini(&im->files[--im->count].bytes);
}

struct image_file *
image_find(struct disk_image *im, const char *name)
{
    for (uint32_t i = 0; i < im->count; i++)
        if (strcmp(im->files[i].name, name) == 0)
            return &im->files[i];
    return NULL;
}

static void
clear_folder(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL)
        if (e->d_type == DT_REG)
            nq_assert(unlinkat(dirfd(d), e->d_name, 0) == 0);
    closedir(d);
}

void
image_clear_dir(const char *dir)
{
    char wal[128];

    snprintf(wal, sizeof wal, "%s/wal", dir);
    clear_folder(wal);
    clear_folder(dir);
}

void
image_write(const struct disk_image *im, const char *dir)
{
    char path[192];

    image_clear_dir(dir);
    snprintf(path, sizeof path, "%s/wal", dir);
    (void)mkdir(path, 0750);
    for (uint32_t i = 0; i < im->count; i++) {
        const struct buf *b = &im->files[i].bytes;
        int fd;

        snprintf(path, sizeof path, "%s/%s", dir, im->files[i].name);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        nq_assert(fd >= 0);
        nq_assert(b->len == 0 || write(fd, b->p, b->len) == (ssize_t)b->len);
        close(fd);
    }
}

#endif
