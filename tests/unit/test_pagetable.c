/* The page table against plain arrays: what is live, what was at the cut,
 * what is published; and who may use which sectors (I4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/file.h"
#include "store/pagetable.h"
#include "store/space.h"

enum { IDS = 1100, VIEWS = 5 }; /* three blocks of kept entries */

struct fixture {
    char path[64];
    struct file *f;
    struct space *sp;
    struct pagetable *pt;
    struct superblock sb; /* published */
    struct rng r;
    /* the model; index 0 unused */
    struct entry live[IDS], at_cut[IDS], published[IDS];
    bool dirty_at_cut[IDS]; /* still to be staged */
    bool in_cut;
    struct table_view *view[VIEWS]; /* oldest first, NULL behind the last */
    struct entry viewed[VIEWS][IDS];
};

static void
set_up(struct fixture *x)
{
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : rng_seed_from_os();
    int fd;

    printf("SEED=%llu\n", (unsigned long long)seed);
    memset(x, 0, sizeof *x);
    rng_seed(&x->r, seed);
    snprintf(x->path, sizeof x->path, "/tmp/nq-table-XXXXXX");
    assert_true((fd = mkstemp(x->path)) >= 0);
    close(fd);
    assert_int_equal(file_open(x->path, FILE_WRITE, &x->f), NQ_OK);
    x->sp = space_new(SUPERBLOCK_AREA);
    x->pt = pagetable_new(x->sp);
    x->sb = (struct superblock){.page_size = 512, .next_id = IDS};
}

static void
tear_down(struct fixture *x)
{
    pagetable_delete(x->pt);
    space_delete(x->sp);
    file_close(x->f);
    unlink(x->path);
}

/* Somewhere in the file, as a flush would find it. */
static struct entry
new_extent(struct fixture *x, pgno id)
{
    struct extent e = {.id = id,
                       .generation = pagetable_next_generation(x->pt, id),
                       .len = 100 + (uint32_t)rng_below(&x->r, 9000),
                       .crc = (uint32_t)rng_next(&x->r)};
    uint64_t off, len, units = (e.len + 63) / 64 * 64;

    assert_int_equal(space_alloc(x->sp, units, units, &off, &len), NQ_OK);
    return extent_entry(&e, off);
}

static void
is_protected(struct fixture *x, const struct entry *entries)
{
    for (pgno id = 1; id < IDS; id++) {
        if (!entry_is_none(entries[id]))
            assert_true(space_is_used(x->sp, entry_off(entries[id]),
                                      entry_space(entries[id])));
    }
}

static void
random_changes(struct fixture *x, unsigned n)
{
    while (n-- > 0) {
        pgno id = 1 + (pgno)rng_below(&x->r, IDS - 1);

        if (rng_below(&x->r, 5) == 0) {
            pagetable_clear(x->pt, id);
            x->live[id] = (struct entry){0};
        } else {
            x->live[id] = new_extent(x, id);
            pagetable_set(x->pt, id, x->live[id]);
        }
        assert_true(pagetable_get(x->pt, id).place == x->live[id].place);
    }
}

static void
begin_cut(struct fixture *x)
{
    memcpy(x->at_cut, x->live, sizeof x->live);
    pagetable_cut(x->pt, IDS);
    x->in_cut = true;
    for (pgno id = 1; id < IDS; id++)
        x->dirty_at_cut[id] = rng_below(&x->r, 4) == 0;
}

/* Pages that were dirty at the cut are flushed, others change beside. */
static void
stage_some(struct fixture *x, unsigned n, bool all)
{
    for (pgno id = 1; id < IDS && (all || n > 0); id++) {
        struct entry old = pagetable_get(x->pt, id);

        if (!x->dirty_at_cut[id] || (!all && rng_below(&x->r, 3) != 0))
            continue;
        x->dirty_at_cut[id] = false;
        /* Live only if nobody changed the page since. */
        struct entry e = new_extent(x, id);
        bool is_newer = x->live[id].place != x->at_cut[id].place;
        pagetable_stage(x->pt, id, e);
        if (pagetable_get(x->pt, id).place == e.place) {
            assert_false(is_newer);
            x->live[id] = e;
        } else {
            assert_true(pagetable_get(x->pt, id).place == old.place);
        }
        x->at_cut[id] = e;
        n--;
    }
}

static void
write_table(struct fixture *x, struct superblock *next)
{
    struct part *part;

    *next = x->sb;
    next->sequence++;
    assert_int_equal(pagetable_plan(x->pt, &x->sb, next, &part), NQ_OK);
    if (part != NULL)
        assert_int_equal(
            pagetable_write(x->pt, x->f, part == &next->base, part), NQ_OK);
    next->file_bytes = space_end(x->sp);
}

static bool
names(const struct superblock *sb, const struct part *p)
{
    bool found = sb->base.off == p->off;

    for (uint32_t i = 0; i < sb->deltas_count; i++)
        found = found || sb->deltas[i].off == p->off;
    return found;
}

static void
free_parts(struct fixture *x, const struct superblock *of,
           const struct superblock *but)
{
    if (of->base.len > 0 && !names(but, &of->base))
        space_free(x->sp, of->base.off, of->base.len);
    for (uint32_t i = 0; i < of->deltas_count; i++) {
        if (!names(but, &of->deltas[i]))
            space_free(x->sp, of->deltas[i].off, of->deltas[i].len);
    }
}

static void
equals_on_disk(struct fixture *x)
{
    struct space *sp = space_new(SUPERBLOCK_AREA);
    struct pagetable *pt = pagetable_new(sp);

    assert_int_equal(pagetable_load(pt, x->f, &x->sb), NQ_OK);
    for (pgno id = 1; id < IDS; id++) {
        assert_true(pagetable_get(pt, id).place == x->published[id].place);
        if (!entry_is_none(x->published[id]))
            assert_int_equal(pagetable_get(pt, id).crc, x->published[id].crc);
    }
    pagetable_delete(pt);
    space_delete(sp);
}

static void
one_checkpoint(struct fixture *x, bool succeeds)
{
    struct superblock next;

    begin_cut(x);
    for (unsigned n = 0; n < 8; n++) {
        random_changes(x, (unsigned)rng_below(&x->r, 30));
        stage_some(x, 20, false);
        (void)pagetable_settle(x->pt, (unsigned)rng_below(&x->r, 20));
        is_protected(x, x->published);
        is_protected(x, x->live);
    }
    stage_some(x, 0, true);
    while (!pagetable_settle(x->pt, 50))
        ;
    write_table(x, &next);
    random_changes(x, 30);
    is_protected(x, x->published);
    is_protected(x, x->at_cut);
    x->in_cut = false;
    if (!succeeds) {
        free_parts(x, &next, &x->sb);
        pagetable_give_up(x->pt);
        is_protected(x, x->published);
        is_protected(x, x->live);
        return;
    }
    memcpy(x->published, x->at_cut, sizeof x->published);
    while (!pagetable_release(x->pt, 100))
        random_changes(x, 5);
    free_parts(x, &x->sb, &next);
    x->sb = next;
    is_protected(x, x->published);
    is_protected(x, x->live);
    equals_on_disk(x);
}

/* Sectors that neither live nor published entries nor parts name are free. */
static void
nothing_leaks(struct fixture *x)
{
    uint64_t viewed = 0;
    uint64_t used = SUPERBLOCK_AREA + (x->sb.base.len + 511) / 512 * 512;

    for (uint32_t i = 0; i < x->sb.deltas_count; i++)
        used += (x->sb.deltas[i].len + 511) / 512 * 512;
    for (pgno id = 1; id < IDS; id++) {
        used += entry_space(x->live[id]);
        if (x->live[id].place != x->published[id].place)
            used += entry_space(x->published[id]);
    }
    for (pgno id = 1; id < IDS; id++) {
        for (unsigned v = 0; v < VIEWS && x->view[v] != NULL; v++) {
            const struct entry *next = v + 1 < VIEWS && x->view[v + 1] != NULL
                                           ? x->viewed[v + 1]
                                           : x->published;

            if (x->viewed[v][id].place != next[id].place)
                viewed += entry_space(x->viewed[v][id]);
        }
    }
    assert_true(space_used_bytes(x->sp) == used + viewed);
    assert_true(pagetable_view_bytes(x->pt) == viewed);
}

static void
checkpoints_are_exact_and_protect_their_extents(void **state)
{
    struct fixture *x = nq_calloc(1, sizeof *x);

    (void)state;
    set_up(x);
    for (unsigned n = 0; n < 60; n++) {
        random_changes(x, (unsigned)rng_below(&x->r, 200));
        one_checkpoint(x, rng_below(&x->r, 4) != 0);
        nothing_leaks(x);
    }
    tear_down(x);
    nq_free(x);
}

static void
views_are_right(struct fixture *x)
{
    for (unsigned v = 0; v < VIEWS && x->view[v] != NULL; v++) {
        for (pgno id = 1; id < IDS; id++)
            assert_true(pagetable_view_get(x->view[v], id).place ==
                        x->viewed[v][id].place);
        is_protected(x, x->viewed[v]);
    }
}

static unsigned
count_views(const struct fixture *x)
{
    unsigned n = 0;

    while (n < VIEWS && x->view[n] != NULL)
        n++;
    return n;
}

static void
add_view(struct fixture *x)
{
    unsigned n = count_views(x);

    if (n == VIEWS)
        return;
    x->view[n] = pagetable_view_new(x->pt);
    memcpy(x->viewed[n], x->published, sizeof x->published);
}

static void
end_view(struct fixture *x, unsigned v)
{
    unsigned n = count_views(x) - v - 1;
    unsigned turns = 1;

    while (!pagetable_view_end(x->pt, x->view[v], 100)) {
        random_changes(x, 3);
        turns++;
    }
    assert_true(turns <= 3); /* one a block */
    memmove(x->view + v, x->view + v + 1, n * sizeof x->view[0]);
    memmove(x->viewed + v, x->viewed + v + 1, n * sizeof x->viewed[0]);
    x->view[v + n] = NULL;
}

static void
views_keep_what_their_checkpoint_named_and_nothing_else(void **state)
{
    struct fixture *x = nq_calloc(1, sizeof *x);

    (void)state;
    set_up(x);
    for (unsigned n = 0; n < 40; n++) {
        random_changes(x, (unsigned)rng_below(&x->r, 200));
        one_checkpoint(x, rng_below(&x->r, 4) != 0);
        views_are_right(x);
        if (rng_below(&x->r, 2) == 0)
            add_view(x);
        if (rng_below(&x->r, 3) == 0 && count_views(x) > 0)
            end_view(x, (unsigned)rng_below(&x->r, count_views(x)));
        views_are_right(x);
        nothing_leaks(x);
    }
    while (count_views(x) > 0)
        end_view(x, (unsigned)rng_below(&x->r, count_views(x)));
    nothing_leaks(x);
    tear_down(x);
    nq_free(x);
}

static void
damaged_tables_are_refused(void **state)
{
    struct fixture *x = nq_calloc(1, sizeof *x);
    struct space *sp;
    struct pagetable *pt;
    uint8_t c;

    (void)state;
    set_up(x);
    random_changes(x, 100);
    one_checkpoint(x, true);
    for (uint64_t i = 0; i < x->sb.base.len; i += 7) {
        uint64_t at = x->sb.base.off + i;

        assert_int_equal(file_read(x->f, &c, 1, at), NQ_OK);
        c ^= 1;
        assert_int_equal(file_write(x->f, &c, 1, at), NQ_OK);
        sp = space_new(SUPERBLOCK_AREA);
        pt = pagetable_new(sp);
        assert_int_equal(pagetable_load(pt, x->f, &x->sb), NQ_ECORRUPT);
        pagetable_delete(pt);
        space_delete(sp);
        c ^= 1;
        assert_int_equal(file_write(x->f, &c, 1, at), NQ_OK);
    }
    equals_on_disk(x);
    tear_down(x);
    nq_free(x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_are_exact_and_protect_their_extents),
        cmocka_unit_test(
            views_keep_what_their_checkpoint_named_and_nothing_else),
        cmocka_unit_test(damaged_tables_are_refused),
    };

    return cmocka_run_group_tests_name("pagetable", tests, NULL, NULL);
}
