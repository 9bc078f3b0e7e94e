/* tests/lib/disk_trace.c - recording; see disk_trace.h.
 *
 * Files are told apart by their inode while they live: a name that is created
 * anew is a new file, renames keep it. */
#include "disk_trace.h"

#ifdef NQ_FAULTS

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"

/* --- names and files ----------------------------------------------------- */

/* The name in the directory, with its folder. */
static uint32_t
number_of_name(struct disk_trace *t, const char *path)
{
    size_t n = strlen(t->dir);
    const char *name = path + n + 1;

    nq_assert(strncmp(path, t->dir, n) == 0 && path[n] == '/');
    nq_assert(strlen(name) < TRACE_NAME_MAX);
    for (uint32_t i = 0; i < t->names_count; i++)
        if (strcmp(t->names[i], name) == 0)
            return i;
    nq_assert(t->names_count < TRACE_NAMES);
    snprintf(t->names[t->names_count], TRACE_NAME_MAX, "%s", name);
    return t->names_count++;
}

static uint32_t
new_file(struct disk_trace *t, uint64_t inode)
{
    nq_assert(t->files_count < TRACE_FILES);
    t->inodes[t->files_count] = inode;
    return t->files_count++;
}

/* The newest with that inode: older ones are gone. */
static uint32_t
number_of_file(const struct disk_trace *t, uint64_t inode)
{
    uint32_t i = t->files_count;

    while (i > 0 && t->inodes[i - 1] != inode)
        i--;
    nq_assert(i > 0);
    return i - 1;
}

static uint32_t
number_of_dir(const struct disk_trace *t, uint64_t inode)
{
    struct stat st;
    char path[128];

    snprintf(path, sizeof path, "%s/wal", t->dir);
    return stat(path, &st) == 0 && st.st_ino == inode;
}

/* --- recording ----------------------------------------------------------- */

static struct disk_event *
append(struct disk_trace *t)
{
    struct disk_event *e;

    if (t->count == t->cap) {
        t->cap = nq_max((size_t)256, 2 * t->cap);
        t->events = nq_realloc(t->events, t->cap * sizeof *t->events);
    }
    e = &t->events[t->count++];
    memset(e, 0, sizeof *e);
    e->begun = DISK_TRACE_NONE;
    e->issued = __atomic_load_n(&t->issued, __ATOMIC_SEQ_CST);
    e->acked = __atomic_load_n(&t->acked, __ATOMIC_SEQ_CST);
    e->durable = __atomic_load_n(&t->durable, __ATOMIC_SEQ_CST);
    return e;
}

/* The last sync of that file which has not ended. */
static size_t
begin_of_sync(const struct disk_trace *t, const struct disk_event *end)
{
    enum fault_op op =
        end->op == FAULT_OP_SYNCED ? FAULT_OP_SYNC : FAULT_OP_DIR_SYNC;
    size_t i = t->count - 1;

    do
        nq_assert(i-- > 0);
    while (t->events[i].op != op || t->events[i].file != end->file);
    return i;
}

static void
give_name(struct disk_trace *t, const struct disk_event *e)
{
    for (uint32_t i = t->files_count; i > 0; i--)
        if (t->names_of[i - 1] == e->from) {
            t->names_of[i - 1] = e->name;
            return;
        }
}

static void
on_event(void *arg, const struct fault_event *ev)
{
    struct disk_trace *t = arg;
    struct disk_event *e = append(t);

    e->op = ev->op;
    e->off = ev->off;
    e->len = ev->len;
    e->at = t->bytes.len;
    if (ev->path != NULL)
        e->name = number_of_name(t, ev->path);
    if (ev->from != NULL)
        e->from = number_of_name(t, ev->from);
    if (ev->op == FAULT_OP_CREATE) {
        e->file = new_file(t, ev->inode);
        t->names_of[e->file] = e->name;
    } else if (ev->op == FAULT_OP_DIR_SYNC || ev->op == FAULT_OP_DIR_SYNCED) {
        e->file = number_of_dir(t, ev->inode);
    } else if (ev->op == FAULT_OP_RENAME) {
        give_name(t, e);
    } else if (ev->op != FAULT_OP_UNLINK) {
        e->file = number_of_file(t, ev->inode);
        e->name = t->names_of[e->file];
    }
    if (ev->op == FAULT_OP_WRITE)
        buf_put(&t->bytes, ev->bytes, ev->len);
    if (ev->op == FAULT_OP_SYNCED || ev->op == FAULT_OP_DIR_SYNCED)
        e->begun = begin_of_sync(t, e);
}

void
disk_trace_begin(struct disk_trace *t, const char *dir)
{
    memset(t, 0, sizeof *t);
    nq_assert(strlen(dir) < sizeof t->dir);
    snprintf(t->dir, sizeof t->dir, "%s", dir);
    fault_observe(on_event, t);
}

/* As if it was written just now. */
static void
tell_of_file(struct disk_trace *t, const struct image_file *f)
{
    struct fault_event ev = {.op = FAULT_OP_CREATE};
    char path[192];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", t->dir, f->name);
    nq_assert(stat(path, &st) == 0);
    ev.path = path;
    ev.inode = st.st_ino;
    on_event(t, &ev);
    ev = (struct fault_event){.op = FAULT_OP_WRITE,
                              .inode = st.st_ino,
                              .len = f->bytes.len,
                              .bytes = f->bytes.p};
    if (ev.len > 0)
        on_event(t, &ev);
    ev = (struct fault_event){.op = FAULT_OP_SYNC, .inode = st.st_ino};
    on_event(t, &ev);
    ev.op = FAULT_OP_SYNCED;
    on_event(t, &ev);
}

static void
tell_of_names(struct disk_trace *t, const char *path)
{
    struct fault_event ev = {.op = FAULT_OP_DIR_SYNC};
    struct stat st;

    nq_assert(stat(path, &st) == 0);
    ev.inode = st.st_ino;
    on_event(t, &ev);
    ev.op = FAULT_OP_DIR_SYNCED;
    on_event(t, &ev);
}

void
disk_trace_begin_with(struct disk_trace *t, const char *dir,
                      const struct disk_image *im)
{
    char wal[128];

    disk_trace_begin(t, dir);
    snprintf(wal, sizeof wal, "%s/wal", dir);
    for (uint32_t i = 0; i < im->count; i++)
        tell_of_file(t, &im->files[i]);
    tell_of_names(t, dir);
    tell_of_names(t, wal);
}

void
disk_trace_end(struct disk_trace *t)
{
    nq_unused(t);
    fault_observe(NULL, NULL);
}

void
disk_trace_fini(struct disk_trace *t)
{
    nq_free(t->events);
    buf_fini(&t->bytes);
    memset(t, 0, sizeof *t);
}

void
disk_trace_note(struct disk_trace *t, uint32_t issued, uint32_t acked,
                uint32_t durable)
{
    __atomic_store_n(&t->issued, issued, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->acked, acked, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->durable, durable, __ATOMIC_SEQ_CST);
}

bool
disk_trace_is_write(const struct disk_event *e)
{
    return e->op == FAULT_OP_WRITE;
}

bool
disk_trace_is_sync(const struct disk_event *e)
{
    return e->op == FAULT_OP_SYNC || e->op == FAULT_OP_DIR_SYNC;
}

const char *
disk_trace_name_of(const struct disk_trace *t, const struct disk_event *e)
{
    return t->names[e->name];
}

bool
disk_trace_is_log(const struct disk_trace *t, const struct disk_event *e)
{
    return strncmp(t->names[e->name], "wal/", 4) == 0;
}

/* --- a trace in a file --------------------------------------------------- */

bool
disk_trace_save(const struct disk_trace *t, const char *path)
{
    FILE *f = fopen(path, "wb");
    bool ok;

    if (f == NULL)
        return false;
    ok = fwrite(t, sizeof *t, 1, f) == 1 &&
         fwrite(t->events, sizeof *t->events, t->count, f) == t->count &&
         fwrite(t->bytes.p, 1, t->bytes.len, f) == t->bytes.len;
    return fclose(f) == 0 && ok;
}

bool
disk_trace_load(struct disk_trace *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    bool ok;

    if (f == NULL)
        return false;
    ok = fread(t, sizeof *t, 1, f) == 1;
    if (ok) {
        size_t len = t->bytes.len;

        t->cap = t->count;
        t->events = nq_malloc(t->count * sizeof *t->events);
        t->bytes = BUF_INIT;
        ok = fread(t->events, sizeof *t->events, t->count, f) == t->count &&
             fread(buf_reserve(&t->bytes, len), 1, len, f) == len;
        t->bytes.len = len;
    }
    (void)fclose(f);
    return ok;
}

#endif
