/* tests/lib/good_file.c - see good_file.h; the page table is told of in
 * store/extent.h and store/pagetable.c. */
#include "good_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"

static void
take_place(struct good_file *g, pgno id, const uint8_t *entry)
{
    uint64_t place;

    memcpy(&place, entry, 8);
    g->places[id] = (struct good_place){
        .off = (place & 0x7fffffffffffu) * 64,
        .len = (uint32_t)(place >> 48) * 64,
    };
}

static void
read_superblock(struct good_file *g)
{
    struct superblock other;

    assert_int_equal(
        superblock_decode(slice_of(g->bytes, SUPERBLOCK_SIZE), &g->sb), NQ_OK);
    assert_int_equal(
        superblock_decode(slice_of(g->bytes + SUPERBLOCK_AT_B, SUPERBLOCK_SIZE),
                          &other),
        NQ_OK);
    if (other.sequence > g->sb.sequence)
        g->sb = other;
}

static void
read_table(struct good_file *g)
{
    pgno id;

    g->places = nq_calloc(g->sb.next_id + 1, sizeof *g->places);
    for (uint64_t at = 32; at < g->sb.base.len; at += 16)
        take_place(g, (pgno)(at / 16 - 2), g->bytes + g->sb.base.off + at);
    for (unsigned i = 0; i < g->sb.deltas_count; i++) {
        const uint8_t *delta = g->bytes + g->sb.deltas[i].off;

        for (uint64_t at = 32; at < g->sb.deltas[i].len; at += 24) {
            memcpy(&id, delta + at, 4);
            take_place(g, id, delta + at + 8);
        }
    }
    for (unsigned i = 0; i < g->sb.next_id; i++)
        if (g->places[i].len > 0)
            g->places[g->count++] = g->places[i];
    for (unsigned i = 0; i < g->count; i++)
        g->places[i].kind = g->bytes[g->places[i].off + 5];
}

void
good_file_init(struct good_file *g, const char *dir)
{
    struct file *f;
    uint64_t size;

    memset(g, 0, sizeof *g);
    snprintf(g->path, sizeof g->path, "%s/data.nq", dir);
    assert_int_equal(file_open(g->path, FILE_READ, &f), NQ_OK);
    assert_int_equal(file_size(f, &size), NQ_OK);
    g->len = size;
    g->bytes = nq_malloc(g->len);
    assert_int_equal(file_read(f, g->bytes, g->len, 0), NQ_OK);
    file_close(f);
    read_superblock(g);
    read_table(g);
}

void
good_file_fini(struct good_file *g)
{
    nq_free(g->bytes);
    nq_free(g->places);
}

void
good_file_write(const struct good_file *g, const uint8_t *bytes)
{
    struct file *f;

    assert_int_equal(file_open(g->path, FILE_WRITE, &f), NQ_OK);
    assert_int_equal(file_write(f, bytes, g->len, 0), NQ_OK);
    assert_int_equal(file_truncate(f, g->len), NQ_OK);
    file_close(f);
}
