/* Parcels: what was packed comes back, anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/dna_text.h"
#include "base/check.h"
#include "base/mem.h"
#include "codec/parcel.h"

static void
pack(struct buf *out, struct slice raw, bool as_bases)
{
    struct pack_opts o = PACK_OPTS_USUAL;

    o.patterns = false;
    buf_clear(out);
    parcel_begin(out, raw.len);
    for (size_t at = 0; at < raw.len; at += PARCEL_BLOCK)
        parcel_add(out, &o, as_bases,
                   slice_of(raw.p + at, nq_min(raw.len - at, PARCEL_BLOCK)));
}

/* NQ_NOTFOUND: all of it came. */
static nq_rc
unpack(struct buf *out, struct slice parcel)
{
    struct parcel_place p;
    struct parcel_block b;
    nq_rc rc = parcel_open(parcel, &p);

    buf_clear(out);
    while (rc == NQ_OK && (rc = parcel_next(parcel, &p, &b)) == NQ_OK) {
        rc = parcel_unpack(&p, &b, buf_reserve(out, b.len));
        out->len += b.len;
    }
    return rc;
}

static void
what_was_packed_comes_back(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   2,
                                   1000,
                                   70000,
                                   PARCEL_BLOCK,
                                   PARCEL_BLOCK + 1,
                                   2 * PARCEL_BLOCK + 77};
    struct buf raw = BUF_INIT, packed = BUF_INIT, back = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (unsigned i = 0; i < nq_countof(sizes) * 2; i++) {
        buf_clear(&raw);
        if (sizes[i / 2] > 0)
            dna_text_letters(&raw, &rng, i % 2 == 0 ? "ACGT" : "{\"key\":1},",
                             sizes[i / 2]);
        for (unsigned as_bases = 0; as_bases < 2; as_bases++) {
            pack(&packed, buf_slice(&raw), as_bases != 0);
            assert_int_equal(unpack(&back, buf_slice(&packed)), NQ_NOTFOUND);
            assert_true(slice_eq(buf_slice(&raw), buf_slice(&back)));
            assert_in_range(packed.len, 9, raw.len + 24);
            if (i % 2 == 0 && raw.len > 0)
                assert_in_range(packed.len, 9, raw.len / 4 + 64);
        }
    }
    buf_fini(&raw);
    buf_fini(&packed);
    buf_fini(&back);
}

static void
any_changed_byte_is_noticed(void **state)
{
    struct buf raw = BUF_INIT, packed = BUF_INIT, back = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 2);
    dna_text_fasta(&raw, &rng, 2000, 60, "\n");
    for (unsigned as_bases = 0; as_bases < 2; as_bases++) {
        pack(&packed, buf_slice(&raw), as_bases != 0);
        for (size_t i = 0; i < packed.len; i++) {
            uint8_t *exact = nq_memdup(packed.p, packed.len);
            nq_rc rc;

            exact[i] ^= (uint8_t)(1 + rng_below(&rng, 255));
            rc = unpack(&back, slice_of(exact, packed.len));
            assert_true(rc == (i < 4 ? NQ_EFORMAT : NQ_ECORRUPT) ||
                        (rc == NQ_NOTFOUND &&
                         slice_eq(buf_slice(&raw), buf_slice(&back))));
            assert_int_not_equal(unpack(&back, slice_of(exact, i)),
                                 NQ_NOTFOUND);
            nq_free(exact);
        }
        buf_put_u8(&packed, 0);
        assert_int_equal(unpack(&back, buf_slice(&packed)), NQ_ECORRUPT);
    }
    buf_fini(&raw);
    buf_fini(&packed);
    buf_fini(&back);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(any_changed_byte_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
