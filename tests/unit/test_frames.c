/* Frames in memory: copy on write, pins, cuts, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rng.h"
#include "store/frames.h"

#define PAGE 512u

static struct frames *
open_frames(void)
{
    struct frames_opts o = {.page_size = PAGE, .pool_bytes = 1 << 20};
    struct frames *fr;

    assert_int_equal(frames_open(&o, &fr), NQ_OK);
    return fr;
}

static void
new_pages_are_zero_but_for_their_stamp(void **state)
{
    struct frames *fr = open_frames();
    uint8_t *p;
    uint64_t stamp;

    (void)state;
    fr->stamp = 0x1122334455667788u;
    assert_int_equal(frames_new(fr, PAGE_LEAF, &p), 1);
    memcpy(&stamp, p + PAGE_LSN_OFFSET, sizeof stamp);
    assert_true(stamp == fr->stamp);
    memset(p + PAGE_LSN_OFFSET, 0, sizeof stamp);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(p[i], 0);
    frames_close(fr);
}

static void
pinned_page_keeps_its_bytes_while_a_writer_gets_a_copy(void **state)
{
    struct frames *fr = open_frames();
    uint8_t *p, *q;
    const uint8_t *now;
    pgno id;
    uint32_t pin;

    (void)state;
    id = frames_new(fr, PAGE_LEAF, &p);
    p[100] = 1;
    pin = frames_pin(fr, id);
    q = frames_mut(fr, id);
    assert_ptr_not_equal(p, q);
    assert_int_equal(q[100], 1);
    q[100] = 2;
    assert_int_equal(p[100], 1);
    assert_ptr_equal(frames_mut(fr, id), q); /* one copy is enough */
    assert_int_equal(frames_page(fr, id, &now), NQ_OK);
    assert_ptr_equal(now, q);
    frames_unpin(fr, pin);
    frames_close(fr);
}

static void
unpinned_page_is_written_in_place(void **state)
{
    struct frames *fr = open_frames();
    uint8_t *p;
    pgno id = frames_new(fr, PAGE_LEAF, &p);

    (void)state;
    frames_unpin(fr, frames_pin(fr, id));
    assert_ptr_equal(frames_mut(fr, id), p);
    frames_close(fr);
}

static void
freed_page_lives_on_for_its_pin(void **state)
{
    struct frames *fr = open_frames();
    uint8_t *p, *q;
    pgno id = frames_new(fr, PAGE_LEAF, &p), again;
    uint32_t pin;

    (void)state;
    p[200] = 77;
    pin = frames_pin(fr, id);
    frames_free(fr, id);
    assert_null(frames_peek(fr, id));
    again = frames_new(fr, PAGE_LEAF, &q);
    assert_int_equal(again, id);
    assert_ptr_not_equal(p, q);
    assert_int_equal(p[200], 77);
    frames_unpin(fr, pin);
    frames_close(fr);
}

static void
chunks_grow_with_zeros_and_copy_under_pins(void **state)
{
    struct frames *fr = open_frames();
    struct slice s;
    uint8_t *p;
    pgno id = frames_chunk_new(fr, 3, &p);
    uint32_t pin;

    (void)state;
    memcpy(p, "abc", 3);
    p = frames_chunk_mut(fr, id, 6, 100);
    assert_memory_equal(p, "abc\0\0\0", 6);
    assert_ptr_equal(frames_chunk_mut(fr, id, 100, 0), p); /* had the room */
    p = frames_chunk_mut(fr, id, 2, 0);
    p = frames_chunk_mut(fr, id, 3, 0);
    assert_memory_equal(p, "ab\0", 3);
    assert_int_equal(frames_chunk(fr, id, &s), NQ_OK);
    pin = frames_pin(fr, id);
    p = frames_chunk_mut(fr, id, 3, 0);
    p[0] = 'X';
    assert_memory_equal(s.p, "ab\0", 3);
    frames_unpin(fr, pin);
    assert_int_equal(frames_chunk(fr, id, &s), NQ_OK);
    assert_memory_equal(s.p, "Xb\0", 3);
    frames_free(fr, id);
    frames_close(fr);
}

/* Random pages, pins and writers against plain arrays. */
enum { IDS = 64, PINS = 16 };
struct model {
    struct frames *fr;
    pgno id[IDS];
    uint8_t value[IDS];
    struct {
        uint32_t frame;
        const uint8_t *at;
        uint8_t value;
    } pin[PINS];
};

static void
model_step(struct model *m, struct rng *r)
{
    unsigned i = (unsigned)rng_below(r, IDS), k = (unsigned)rng_below(r, PINS);
    uint8_t *p;

    if (m->id[i] == 0) {
        m->id[i] = frames_new(m->fr, PAGE_LEAF, &p);
        memset(p + 64, m->value[i] = 0, PAGE - 64);
    } else if (rng_below(r, 10) == 0) {
        frames_free(m->fr, m->id[i]);
        m->id[i] = 0;
    } else if (rng_below(r, 3) == 0) {
        if (m->pin[k].at != NULL)
            frames_unpin(m->fr, m->pin[k].frame);
        m->pin[k].at = frames_peek(m->fr, m->id[i]);
        m->pin[k].frame = frames_pin(m->fr, m->id[i]);
        m->pin[k].value = m->value[i];
    } else {
        p = frames_mut(m->fr, m->id[i]);
        memset(p + 64, ++m->value[i], PAGE - 64);
    }
}

static void
model_compare(struct model *m)
{
    for (unsigned i = 0; i < IDS; i++) {
        if (m->id[i] != 0)
            assert_int_equal(frames_peek(m->fr, m->id[i])[PAGE - 1],
                             m->value[i]);
    }
    for (unsigned k = 0; k < PINS; k++) {
        if (m->pin[k].at != NULL)
            assert_int_equal(m->pin[k].at[PAGE - 1], m->pin[k].value);
    }
}

static void
pins_and_pages_agree_with_a_model(void **state)
{
    struct model m = {.fr = open_frames()};
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : rng_seed_from_os();
    struct rng r;

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    for (unsigned n = 0; n < 20000; n++) {
        model_step(&m, &r);
        if (n % 16 == 0)
            model_compare(&m);
    }
    frames_close(m.fr);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_pages_are_zero_but_for_their_stamp),
        cmocka_unit_test(
            pinned_page_keeps_its_bytes_while_a_writer_gets_a_copy),
        cmocka_unit_test(unpinned_page_is_written_in_place),
        cmocka_unit_test(freed_page_lives_on_for_its_pin),
        cmocka_unit_test(chunks_grow_with_zeros_and_copy_under_pins),
        cmocka_unit_test(pins_and_pages_agree_with_a_model),
    };

    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
