/* The parts that feeds are made of: ranges that a key lies in against a plain
 * search, JSON of any bytes, and rings of messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "cmd/feed_json.h"
#include "cmd/feed_range.h"
#include "cmd/feed_ring.h"

/* --- ranges ----------------------------------------------------------------
 */

#define RANGES 200

struct plain {
    struct feed_range r;
    char lo[8], hi[8];
    bool is_hit;
};

static struct slice
draw_key(struct rng *rng, char dst[8])
{
    size_t len = rng_below(rng, 4);

    for (size_t i = 0; i < len; i++)
        dst[i] = (char)('a' + rng_below(rng, 4));
    return slice_of(dst, len);
}

static void
draw_range(struct rng *rng, struct plain *p)
{
    memset(p, 0, sizeof *p);
    p->r.lo = draw_key(rng, p->lo);
    p->r.hi = draw_key(rng, p->hi);
    p->r.has_hi = rng_below(rng, 10) > 0;
}

static void
hit(void *arg, struct feed_range *r)
{
    struct plain *p = nq_container(r, struct plain, r);
    unsigned *hits = arg;

    assert_false(p->is_hit);
    p->is_hit = true;
    ++*hits;
}

static bool
crosses(const struct feed_range *r, struct slice lo, const struct slice *hi)
{
    return (hi == NULL || slice_cmp(r->lo, *hi) < 0) &&
           (!r->has_hi || slice_cmp(lo, r->hi) < 0);
}

static void
compare(struct plain *all, const struct feed_ranges *rs, struct slice lo,
        const struct slice *hi, bool is_point)
{
    unsigned hits = 0;

    if (is_point)
        feed_ranges_at(rs, lo, hit, &hits);
    else
        feed_ranges_across(rs, lo, hi, hit, &hits);
    for (unsigned i = 0; i < RANGES; i++) {
        bool want = all[i].r.is_put && (is_point ? feed_range_has(&all[i].r, lo)
                                                 : crosses(&all[i].r, lo, hi));

        assert_int_equal(all[i].is_hit, want);
        hits -= want;
        all[i].is_hit = false;
    }
    assert_int_equal(hits, 0);
}

static void
ranges_of_a_key_are_those_that_a_plain_search_finds(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 42;
    struct feed_ranges rs = FEED_RANGES_INIT;
    static struct plain all[RANGES];
    struct rng rng;

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int step = 0; step < 4000; step++) {
        struct plain *p = &all[rng_below(&rng, RANGES)];
        char lo[8], hi[8];
        struct slice from = draw_key(&rng, lo), to = draw_key(&rng, hi);

        if (p->r.is_put) {
            feed_ranges_remove(&rs, &p->r);
        } else {
            draw_range(&rng, p);
            feed_ranges_put(&rs, &p->r);
        }
        if (step % 50 == 0)
            feed_ranges_check(&rs);
        compare(all, &rs, from, NULL, true);
        compare(all, &rs, from, rng_below(&rng, 4) == 0 ? NULL : &to, false);
    }
    for (unsigned i = 0; i < RANGES; i++)
        feed_ranges_remove(&rs, &all[i].r);
    assert_null(rs.root);
}

/* --- JSON ------------------------------------------------------------------
 */

static void
expect_text(struct slice bytes, const char *want)
{
    struct buf out = BUF_INIT;

    feed_json_text(&out, bytes);
    buf_put_u8(&out, '\0');
    assert_string_equal((const char *)out.p, want);
    buf_fini(&out);
}

static void
utf8_is_a_string_with_escapes(void **state)
{
    (void)state;
    expect_text(slice_lit(""), "\"\"");
    expect_text(slice_lit("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\n\\u0001\"");
    expect_text(slice_lit("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void
other_bytes_are_base64(void **state)
{
    (void)state;
    expect_text(slice_lit("\xff"), "{\"base64\":\"/w==\"}");
    expect_text(slice_lit("\xff\x00"), "{\"base64\":\"/wA=\"}");
    expect_text(slice_lit("\xff\x00\x10"), "{\"base64\":\"/wAQ\"}");
    /* Too long a form, a surrogate, beyond the end, cut off. */
    expect_text(slice_lit("\xc0\x80"), "{\"base64\":\"wIA=\"}");
    expect_text(slice_lit("\xed\xa0\x80"), "{\"base64\":\"7aCA\"}");
    expect_text(slice_lit("\xf4\x90\x80\x80"), "{\"base64\":\"9JCAgA==\"}");
    expect_text(slice_lit("a\xe2\x82"), "{\"base64\":\"YeKC\"}");
}

static void
names_are_strings_whatever_they_are(void **state)
{
    struct buf out = BUF_INIT;

    (void)state;
    buf_put_u8(&out, '{');
    feed_json_name(&out, slice_lit("a"));
    feed_json_text(&out, slice_lit("{"));
    feed_json_name(&out, slice_lit("\xff"));
    buf_put_u8(&out, '\0');
    assert_string_equal((const char *)out.p, "{\"a\":\"{\",\"base64:/w==\":");
    buf_fini(&out);
}

/* --- rings -----------------------------------------------------------------
 */

static void
put_number(struct feed_ring *r, uint64_t n, size_t len)
{
    char text[300];

    memset(text, (int)('a' + n % 26), sizeof text);
    feed_ring_put(r, n * 10, slice_lit("<"), slice_of(text, len),
                  slice_lit(">"));
}

static void
a_ring_keeps_messages_by_number_in_shared_chunks(void **state)
{
    struct feed_ring r;
    uint64_t bytes = 0;
    size_t len;

    (void)state;
    feed_ring_init(&r);
    for (uint64_t n = 1; n <= 500; n++) {
        put_number(&r, n, n % 300);
        bytes += n % 300 + 2;
    }
    assert_int_equal(r.end, 501);
    assert_int_equal(r.bytes, bytes);
    for (uint64_t n = 1; n <= 500;) {
        uint64_t count = feed_ring_run(&r, n, 4096, &len);
        const struct feed_entry *e = feed_ring_at(&r, n);
        const uint8_t *p = e->chunk->bytes + e->from;

        assert_true(len <= 4096 && count > 0);
        for (; count > 0; count--, n++) {
            assert_int_equal(p[0], '<');
            assert_true(n % 300 == 0 || p[1] == 'a' + n % 26);
            assert_int_equal(p[n % 300 + 1], '>');
            p += n % 300 + 2;
        }
    }
    feed_ring_trim(&r, 400);
    assert_int_equal(r.base, 3990);
    assert_int_equal(feed_ring_at(&r, 400)->at, 4000);
    feed_ring_trim(&r, 501);
    assert_int_equal(r.bytes, 0);
    assert_null(r.last);
    feed_ring_fini(&r);
}

static void
a_chunk_outlives_the_ring_as_long_as_it_is_sent(void **state)
{
    struct feed_ring r;
    struct feed_chunk *c;

    (void)state;
    feed_ring_init(&r);
    put_number(&r, 1, 5);
    c = feed_chunk_ref(feed_ring_at(&r, 1)->chunk);
    feed_ring_trim(&r, 2);
    feed_ring_fini(&r);
    assert_memory_equal(c->bytes, "<bbbbb>", 7);
    feed_chunk_unref(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_of_a_key_are_those_that_a_plain_search_finds),
        cmocka_unit_test(utf8_is_a_string_with_escapes),
        cmocka_unit_test(other_bytes_are_base64),
        cmocka_unit_test(names_are_strings_whatever_they_are),
        cmocka_unit_test(a_ring_keeps_messages_by_number_in_shared_chunks),
        cmocka_unit_test(a_chunk_outlives_the_ring_as_long_as_it_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
