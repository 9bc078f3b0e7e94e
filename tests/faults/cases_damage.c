/* tests/faults/cases_damage.c - bytes of a database at rest that are others
 * than those written: flipped, zeroed, at another place, older, missing.
 *
 * Both ends of a life are damaged: after a crash the end of the log may be
 * taken for one that was never written; after an orderly end nothing may.
 * Regions of the files are told by what stands at their begin, and each is as
 * likely as any other, whatever its size. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"

#define SECTOR 512u
#define REGIONS 1024u
#define HOLES 2u
#define POINTS 4000u /* of a round, more or less: damage is by seed */
#define SUPERBLOCKS 16384u

/* A part of a file. */
struct region {
    uint32_t file; /* of the image */
    uint64_t off, len;
    bool is_extent; /* a page, or what was one */
};

/* What a case works on. */
struct damage {
    struct round *r;
    const struct disk_trace *t;
    bool is_stopped;
    struct rng rng;
    struct region regions[REGIONS];
    uint32_t count;
    struct hole holes[HOLES];
    char names[HOLES][TRACE_NAME_MAX];
    unsigned holes_count;
    struct expected x;
};

/* --- regions ------------------------------------------------------------- */

static struct region *
add_region(struct damage *d, uint32_t file, uint64_t off, uint64_t len)
{
    struct region *g = &d->regions[d->count];

    if (d->count == REGIONS || len == 0)
        return g;
    d->count++;
    *g = (struct region){.file = file, .off = off, .len = len};
    return g;
}

static bool
begins_something(const uint8_t *p)
{
    return memcmp(p, "NQE1", 4) == 0 || memcmp(p, "NQT1", 4) == 0 ||
           memcmp(p, "NQC1", 4) == 0;
}

/* Superblocks, then extents, parts of the table, catalogs. */
static void
add_data_file(struct damage *d, uint32_t file)
{
    const struct buf *b = &d->r->image.files[file].bytes;
    uint64_t off = nq_min((uint64_t)SUPERBLOCKS, b->len);

    for (uint64_t at = 0; at < off; at += off / 4)
        add_region(d, file, at, off / 4);
    while (off < b->len) {
        uint64_t end = off + SECTOR;
        struct region *g;

        while (end + 4 <= b->len && !begins_something(b->p + end))
            end += SECTOR;
        end = nq_min(end, (uint64_t)b->len);
        g = add_region(d, file, off, end - off);
        g->is_extent = end - off >= 4 && memcmp(b->p + off, "NQE1", 4) == 0;
        off = end;
    }
}

/* Both headers, frames as they were written, and the rest. */
static void
add_log_file(struct damage *d, uint32_t file)
{
    const struct image_file *f = &d->r->image.files[file];
    uint64_t end = LOG_HEADERS;

    add_region(d, file, 0, LOG_HEADERS / 2);
    add_region(d, file, LOG_HEADERS / 2, LOG_HEADERS / 2);
    for (size_t i = 0; i < d->t->count; i++) {
        const struct disk_event *e = &d->t->events[i];

        if (e->op != FAULT_OP_WRITE || e->off < LOG_HEADERS ||
            strcmp(disk_trace_name_of(d->t, e), f->name) != 0)
            continue;
        add_region(d, file, e->off, nq_min(e->len, (uint64_t)40));
        add_region(d, file, e->off, e->len);
        end = nq_max(end, e->off + e->len);
    }
    if (end < f->bytes.len)
        add_region(d, file, end, f->bytes.len - end);
}

static void
find_regions(struct damage *d)
{
    const struct disk_image *im = &d->r->image;

    for (uint32_t i = 0; i < im->count; i++) {
        const struct image_file *f = &im->files[i];

        if (strcmp(f->name, "data.nq") == 0)
            add_data_file(d, i);
        else if (strncmp(f->name, "wal/", 4) == 0 && f->bytes.len > LOG_HEADERS)
            add_log_file(d, i);
        else
            add_region(d, i, 0, f->bytes.len);
    }
}

static const struct region *
any_region(struct damage *d)
{
    return &d->regions[rng_below(&d->rng, d->count)];
}

/* --- what may be lost by it ---------------------------------------------- */

/* Bytes [off, off + len) of the file are others now. */
static void
add_hole(struct damage *d, uint32_t file, uint64_t off, uint64_t len,
         bool is_rest)
{
    struct hole *h = &d->holes[d->holes_count++];

    nq_assert(d->holes_count <= HOLES);
    *h = (struct hole){.off = off, .len = len, .is_rest = is_rest};
    snprintf(d->names[d->holes_count - 1], TRACE_NAME_MAX, "%s",
             d->r->image.files[file].name);
    h->name = d->names[d->holes_count - 1];
    if (getenv("CASE") != NULL)
        fprintf(stderr, "%s, %llu bytes at %llu are others, %s\n", h->name,
                (unsigned long long)len, (unsigned long long)off,
                d->is_stopped ? "stopped in order" : "crashed");
}

static void
allow_loss(struct damage *d)
{
    for (size_t i = 0; i < d->t->count; i++) {
        const struct disk_event *e = &d->t->events[i];
        bool is_rest = d->holes[0].is_rest;

        if (e->op != FAULT_OP_WRITE || !disk_trace_is_log(d->t, e) ||
            !is_in_hole(d->t, e, d->holes, d->holes_count))
            continue;
        /* One header of two is no loss. */
        if (e->off < LOG_HEADERS && !is_rest && d->holes_count == 1)
            continue;
        /* One that is told of may be older than the last checkpoint. */
        if (is_rest ||
            !is_told_of(d->t, i, d->t->count, d->holes, d->holes_count))
            d->x.acked = nq_min(d->x.acked, e->acked);
    }
}

/* --- damage -------------------------------------------------------------- */

static void
begin(struct damage *d, struct round *r, uint64_t point, uint64_t seed)
{
    struct image_opts o = {.without = DISK_TRACE_NONE};

    memset(d, 0, sizeof *d);
    d->r = r;
    d->is_stopped = point % 2 == 1;
    d->t = d->is_stopped ? &r->stopped : &r->crashed;
    rng_seed(&d->rng, seed + point * 7919);
    d->x = expected_after(d->t, d->t->count - 1, false);
    d->x.may_be_damaged = true;
    o.upto = d->t->count;
    image_build(d->t, &o, &r->image);
    find_regions(d);
}

static enum outcome
look(struct damage *d, uint64_t seed)
{
    if (!d->is_stopped)
        allow_loss(d);
    if (!has_one_clock(d->r, &d->x))
        return OUTCOME_NOTHING;
    return verify_image(d->r, &d->x, seed);
}

static uint8_t *
bytes_of(struct damage *d, uint32_t file)
{
    return d->r->image.files[file].bytes.p;
}

/* The sector of a random byte of the region, as much of it as there is. */
static uint64_t
any_sector(struct damage *d, const struct region *g, uint64_t *len)
{
    uint64_t at = g->off + rng_below(&d->rng, g->len);
    uint64_t off = at / SECTOR * SECTOR;

    *len = nq_min((uint64_t)SECTOR, d->r->image.files[g->file].bytes.len - off);
    return off;
}

/* Parity gives back a sector of a page. */
static enum outcome
must_be_healed(const struct damage *d, const struct region *g, enum outcome o)
{
    if (d->r->set.has_parity && g->is_extent && o != OUTCOME_RIGHT &&
        o != OUTCOME_NOTHING)
        fail_msg("parity did not heal a sector of a page");
    return o;
}

uint64_t
damage_points(struct round *r)
{
    round_record(r);
    return POINTS;
}

enum outcome
flip_run(struct round *r, uint64_t point, uint64_t seed)
{
    static struct damage d;
    const struct region *g;
    uint64_t at;

    begin(&d, r, point, seed);
    g = any_region(&d);
    at = g->off + rng_below(&d.rng, g->len);
    bytes_of(&d, g->file)[at] ^= (uint8_t)(1u << rng_below(&d.rng, 8));
    add_hole(&d, g->file, at, 1, false);
    return must_be_healed(&d, g, look(&d, seed));
}

enum outcome
blank_run(struct round *r, uint64_t point, uint64_t seed)
{
    static struct damage d;
    const struct region *g;
    uint64_t off, len;

    begin(&d, r, point, seed);
    g = any_region(&d);
    off = any_sector(&d, g, &len);
    memset(bytes_of(&d, g->file) + off, rng_below(&d.rng, 2) == 0 ? 0 : 0xff,
           len);
    add_hole(&d, g->file, off, len, false);
    return must_be_healed(&d, g, look(&d, seed));
}

/* Two sectors of a file have changed places, or one went to both. */
enum outcome
swap_run(struct round *r, uint64_t point, uint64_t seed)
{
    static struct damage d;
    const struct region *g, *h;
    uint64_t a, b, len, other;
    uint8_t kept[SECTOR], *p;

    begin(&d, r, point, seed);
    g = any_region(&d);
    do
        h = any_region(&d);
    while (h->file != g->file);
    a = any_sector(&d, g, &len);
    b = any_sector(&d, h, &other);
    len = nq_min(len, other);
    p = bytes_of(&d, g->file);
    memcpy(kept, p + a, len);
    memmove(p + a, p + b, len);
    if (rng_below(&d.rng, 2) == 0) {
        memcpy(p + b, kept, len);
        add_hole(&d, g->file, b, len, false);
    }
    add_hole(&d, g->file, a, len, false);
    return look(&d, seed);
}

/* Some sectors are what they were earlier: later writes were lost. */
enum outcome
old_run(struct round *r, uint64_t point, uint64_t seed)
{
    static struct damage d;
    struct image_opts o = {.without = DISK_TRACE_NONE};
    const struct image_file *was;
    const struct region *g;
    uint64_t off, len;

    begin(&d, r, point, seed);
    g = any_region(&d);
    off = any_sector(&d, g, &len);
    o.upto = 1 + rng_below(&d.rng, d.t->count - 1);
    image_build(d.t, &o, &r->other);
    was = image_find(&r->other, r->image.files[g->file].name);
    if (was == NULL || was->bytes.len < off + len)
        return OUTCOME_NOTHING;
    len += SECTOR * rng_below(&d.rng, 8);
    len = nq_min(len, r->image.files[g->file].bytes.len - off);
    len = nq_min(len, was->bytes.len - off);
    memcpy(bytes_of(&d, g->file) + off, was->bytes.p + off, len);
    add_hole(&d, g->file, off, len, false);
    return look(&d, seed);
}

/* --- files --------------------------------------------------------------- */

static void
remove_file(struct damage *d, uint32_t file)
{
    struct disk_image *im = &d->r->image;

    buf_fini(&im->files[file].bytes);
    im->files[file] = im->files[--im->count];
}

uint64_t
file_points(struct round *r)
{
    round_record(r);
    return POINTS / 8;
}

/* A file ends early, or is not there; but for the data file: that would be a
 * new database. */
enum outcome
chop_run(struct round *r, uint64_t point, uint64_t seed)
{
    static struct damage d;
    const struct region *g;
    struct buf *b;
    uint64_t off;

    begin(&d, r, point, seed);
    g = any_region(&d);
    b = &r->image.files[g->file].bytes;
    off = g->off + rng_below(&d.rng, g->len);
    if (rng_below(&d.rng, 4) == 0)
        off = 0;
    add_hole(&d, g->file, off, b->len - off, true);
    if (off > 0 || strcmp(r->image.files[g->file].name, "data.nq") == 0)
        b->len = off;
    else
        remove_file(&d, g->file);
    return look(&d, seed);
}

static void
take_other(struct damage *d, struct image_file *f)
{
    struct image_file *was = image_find(&d->r->other, f->name);
    struct buf kept = f->bytes;

    f->bytes = was->bytes;
    was->bytes = kept;
}

/* One file is that of an earlier time, or of another database. */
enum outcome
mix_run(struct round *r, uint64_t point, uint64_t seed)
{
    static struct damage d;
    struct image_opts o = {.without = DISK_TRACE_NONE};
    struct image_file *f;
    const struct disk_trace *from;

    begin(&d, r, point, seed);
    f = &r->image.files[rng_below(&d.rng, r->image.count)];
    from = rng_below(&d.rng, 2) == 0 ? d.t
           : d.is_stopped            ? &r->crashed
                                     : &r->stopped;
    o.upto = from->count;
    if (from == d.t)
        o.upto = 1 + rng_below(&d.rng, from->count - 1);
    image_build(from, &o, &r->other);
    if (image_find(&r->other, f->name) == NULL)
        return OUTCOME_NOTHING;
    add_hole(&d, (uint32_t)(f - r->image.files), 0, f->bytes.len, true);
    take_other(&d, f);
    return look(&d, seed);
}

#endif
