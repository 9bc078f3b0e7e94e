/* Blobs against a plain buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/blob.h"
#include "store/frames.h"

static struct frames *
open_frames(void)
{
    struct frames_opts o = {.page_size = 4096, .pool_bytes = 64 << 20};
    struct frames *fr;

    assert_int_equal(frames_open(&o, &fr), NQ_OK);
    return fr;
}

static void
references_survive_and_damaged_ones_are_refused(void **state)
{
    struct blob_ref ref = {.len = 3 * BLOB_CHUNK + 1, .root = 9, .chunks = 4};
    struct blob_ref back;
    uint8_t b[BLOB_REF_SIZE];

    (void)state;
    blob_ref_encode(b, &ref);
    assert_int_equal(blob_ref_decode(slice_of(b, sizeof b), &back), NQ_OK);
    assert_true(back.len == ref.len && back.root == 9 && back.chunks == 4);
    assert_int_equal(blob_ref_decode(slice_of(b, sizeof b - 1), &back),
                     NQ_ECORRUPT);
    b[12] = 5;
    assert_int_equal(blob_ref_decode(slice_of(b, sizeof b), &back),
                     NQ_ECORRUPT);
    memset(b, 0, sizeof b);
    assert_int_equal(blob_ref_decode(slice_of(b, sizeof b), &back),
                     NQ_ECORRUPT);
}

struct model {
    struct frames *fr;
    struct blob_ref ref;
    uint8_t *bytes;
    uint64_t cap;
};

static void
model_write(struct model *m, struct rng *r, uint64_t off, uint64_t n)
{
    uint8_t *tmp = nq_malloc(n);
    uint64_t len = m->ref.len;

    memset(tmp, (int)(rng_next(r) & 0xff), n);
    if (off > len)
        memset(m->bytes + len, 0, off - len);
    memcpy(m->bytes + off, tmp, n);
    assert_int_equal(blob_write(m->fr, &m->ref, off, slice_of(tmp, n)), NQ_OK);
    assert_true(m->ref.len == nq_max(len, off + n));
    nq_free(tmp);
}

static void
model_read(struct model *m, struct rng *r)
{
    uint64_t off = rng_below(r, m->ref.len);
    uint64_t n = rng_below(r, nq_min(m->ref.len - off, 100000) + 1);
    uint8_t *tmp = nq_malloc(n);

    assert_int_equal(blob_read(m->fr, &m->ref, off, n, tmp), NQ_OK);
    assert_memory_equal(tmp, m->bytes + off, n);
    nq_free(tmp);
}

static void
whole_blob_equals(struct model *m)
{
    for (uint32_t i = 0; i < m->ref.chunks; i++) {
        struct slice s;
        uint32_t pin;

        assert_int_equal(blob_chunk(m->fr, &m->ref, i, &s, &pin), NQ_OK);
        assert_memory_equal(s.p, m->bytes + (size_t)i * BLOB_CHUNK, s.len);
        frames_unpin(m->fr, pin);
    }
}

static void
count_page(void *arg, pgno id)
{
    assert_int_not_equal(id, 0);
    ++*(unsigned *)arg;
}

static void
random_writes_equal_a_plain_buffer(void **state)
{
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : rng_seed_from_os();
    struct model m = {.fr = open_frames(), .cap = 6 * BLOB_CHUNK};
    struct frames_stats s;
    struct rng r;

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    m.bytes = nq_calloc(1, m.cap);
    memset(m.bytes, 'a', 5000);
    blob_new(m.fr, slice_of(m.bytes, 5000), &m.ref);
    for (unsigned n = 0; n < 300; n++) {
        uint64_t off = rng_below(&r, nq_min(m.ref.len * 5 / 4, m.cap - 1));
        uint64_t max = nq_min(m.cap - off, n % 10 == 0 ? 2 << 20 : 20000);

        if (n % 3 == 0)
            off = m.ref.len < m.cap ? m.ref.len : 0; /* append */
        max = nq_min(max, m.cap - off);
        model_write(&m, &r, off, 1 + rng_below(&r, max));
        model_read(&m, &r);
    }
    whole_blob_equals(&m);
    blob_free(m.fr, &m.ref);
    frames_get_stats(m.fr, &s);
    assert_true(s.pages == 0 && s.chunk_bytes == 0);
    nq_free(m.bytes);
    frames_close(m.fr);
}

static void
multi_chunk_blob_names_each_page_once(void **state)
{
    struct frames *fr = open_frames();
    uint8_t *big = nq_calloc(1, 2 * BLOB_CHUNK + 5);
    struct blob_ref ref;
    unsigned pages = 0;

    (void)state;
    blob_new(fr, slice_of(big, 2 * BLOB_CHUNK + 5), &ref);
    assert_int_equal(blob_each_page(fr, &ref, count_page, &pages), NQ_OK);
    assert_int_equal(pages, 4);
    assert_int_equal(blob_can_free(fr, &ref), NQ_OK);
    blob_free(fr, &ref);
    nq_free(big);
    frames_close(fr);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_survive_and_damaged_ones_are_refused),
        cmocka_unit_test(random_writes_equal_a_plain_buffer),
        cmocka_unit_test(multi_chunk_blob_names_each_page_once),
    };

    return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
