/* The output queue: bytes in order, references released once, gates kept
 * shut, no memory when idle; and all of it against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/outq.h"
#include "base/rng.h"

#define ALL_SETTLED UINT64_MAX

/* Copies what may leave to `dst`, at most `cap` bytes; consumes it. */
static size_t
drain(struct outq *q, uint64_t settled, uint8_t *dst, size_t cap)
{
    struct iovec iov[7];
    size_t len = 0;
    int n = outq_peek(q, settled, iov, 7);

    for (int i = 0; i < n && len < cap; i++) {
        size_t part = nq_min(iov[i].iov_len, cap - len);

        assert_true(iov[i].iov_len > 0);
        memcpy(dst + len, iov[i].iov_base, part);
        len += part;
    }
    outq_consume(q, len);
    return len;
}

static void
count_release(void *arg, size_t n)
{
    size_t *sum = arg;

    *sum += n;
}

static void
bytes_leave_in_the_order_they_were_put(void **state)
{
    struct outq q = OUTQ_INIT;
    uint8_t out[64];
    size_t released = 0;

    (void)state;
    outq_put(&q, "one ", 4);
    outq_ref(&q, "two ", 4, count_release, &released);
    outq_put(&q, "three", 5);
    assert_int_equal(q.put, 13);
    assert_int_equal(drain(&q, ALL_SETTLED, out, 6), 6);
    assert_int_equal(released, 0);
    assert_int_equal(drain(&q, ALL_SETTLED, out + 6, 58), 7);
    assert_int_equal(released, 4);
    assert_memory_equal(out, "one two three", 13);
    assert_true(outq_is_empty(&q));
    outq_fini(&q);
}

static void
an_empty_queue_holds_no_memory(void **state)
{
    struct outq q = OUTQ_INIT;
    static uint8_t out[100000], in[100000];

    (void)state;
    outq_put(&q, in, sizeof in);
    outq_gate(&q, q.put, 5);
    assert_true(q.bytes >= sizeof in);
    while (drain(&q, 6, out, sizeof out) > 0)
        continue;
    assert_null(q.first);
    assert_null(q.gates);
    assert_int_equal(q.bytes, 0);
    /* Nothing to give back: queues are dropped without a call. */
}

static void
a_warm_queue_allocates_nothing(void **state)
{
    struct outq q = OUTQ_INIT;
    uint8_t out[256];
    uint64_t before = 0;

    (void)state;
    for (uint64_t turn = 1; turn <= 20; turn++) {
        for (int reply = 0; reply < 10; reply++) {
            uint8_t *p = outq_reserve(&q, 16);

            memcpy(p, "+OK\r\n", 5);
            outq_commit(&q, 5);
            outq_gate(&q, q.put - 5, turn);
        }
        assert_int_equal(drain(&q, turn, out, sizeof out), 0);
        assert_int_equal(drain(&q, turn + 1, out, sizeof out), 50);
        if (turn == 1)
            before = mem_allocations();
    }
    assert_int_equal(mem_allocations(), before);
    outq_fini(&q);
}

static void
gates_hold_back_what_is_behind_them(void **state)
{
    struct outq q = OUTQ_INIT;
    uint8_t out[16];
    uint64_t lsn;

    (void)state;
    outq_put(&q, "ab", 2);
    outq_gate(&q, 2, 100);
    outq_put(&q, "cd", 2);
    outq_gate(&q, 4, 50); /* the one before asks for more */
    outq_put(&q, "ef", 2);
    outq_gate(&q, 6, 200);
    outq_put(&q, "gh", 2);
    assert_int_equal(drain(&q, 0, out, 16), 2);
    assert_int_equal(drain(&q, 100, out, 16), 0); /* settled *past* 100 */
    assert_true(outq_shut_at(&q, &lsn));
    assert_int_equal(lsn, 100);
    assert_int_equal(drain(&q, 101, out, 16), 4);
    assert_memory_equal(out, "cdef", 4);
    assert_true(outq_shut_at(&q, &lsn));
    assert_int_equal(lsn, 200);
    assert_int_equal(drain(&q, 201, out, 16), 2);
    assert_false(outq_shut_at(&q, &lsn));
    assert_true(outq_is_empty(&q));
    outq_fini(&q);
}

static void
a_gate_at_the_end_holds_what_comes_later(void **state)
{
    struct outq q = OUTQ_INIT;
    uint8_t out[16];

    (void)state;
    outq_put(&q, "a", 1);
    outq_gate(&q, 1, 10);
    assert_int_equal(drain(&q, 0, out, 16), 1);
    outq_put(&q, "b", 1);
    assert_int_equal(drain(&q, 10, out, 16), 0);
    assert_int_equal(drain(&q, 11, out, 16), 1);
    outq_fini(&q);
}

static void
rewinding_takes_back_replies_references_and_gates(void **state)
{
    struct outq q = OUTQ_INIT;
    static uint8_t big[40000];
    uint8_t out[16];
    size_t released = 0;
    uint64_t mark, lsn;

    (void)state;
    outq_put(&q, "keep", 4);
    mark = q.put;
    outq_put(&q, big, sizeof big);
    outq_ref(&q, big, sizeof big, count_release, &released);
    outq_gate(&q, q.put, 9);
    outq_put(&q, "x", 1);
    outq_rewind(&q, mark);
    assert_int_equal(released, sizeof big);
    assert_int_equal(q.put, 4);
    assert_false(outq_shut_at(&q, &lsn));
    outq_put(&q, "!", 1);
    assert_int_equal(drain(&q, ALL_SETTLED, out, 16), 5);
    assert_memory_equal(out, "keep!", 5);
    outq_put(&q, "gone", 4);
    outq_rewind(&q, 5);
    assert_true(outq_is_empty(&q));
    assert_int_equal(q.bytes, 0);
    outq_fini(&q);
}

static void
an_empty_reference_is_released_at_once(void **state)
{
    struct outq q = OUTQ_INIT;
    size_t released = 1;

    (void)state;
    outq_ref(&q, NULL, 0, count_release, &released);
    assert_int_equal(released, 1);
    assert_true(outq_is_empty(&q));
    assert_null(q.first);
    (void)outq_reserve(&q, 100);
    outq_commit(&q, 0);
    outq_fini(&q);
    assert_null(q.first);
}

/* --- the model: the whole stream, and the plain list of gates --------------
 */

#define MODEL_MAX 60000

struct model {
    struct outq q;
    struct rng rng;
    uint8_t stream[MODEL_MAX];
    uint64_t put, sent;
    struct {
        uint64_t mark, lsn;
    } gates[256];
    unsigned gate_count;
    uint64_t referenced, released; /* bytes */
    uint64_t lsn, settled;
};

static void
model_release(void *arg, size_t n)
{
    struct model *m = arg;

    m->released += n;
}

static void
model_put(struct model *m)
{
    static const size_t sizes[] = {1, 20, 100, 3000, 16384, 20000};
    size_t n = rng_below(&m->rng, sizes[rng_below(&m->rng, 6)] + 1);
    uint8_t *from = m->stream + m->put;
    uint64_t how = rng_below(&m->rng, 4), fill = rng_next(&m->rng);

    if (m->put + n > MODEL_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        from[i] = (uint8_t)(fill + i * 7);
    if (how == 0) {
        outq_ref(&m->q, from, n, model_release, m);
        m->referenced += n;
    } else if (how == 1 && n <= OUTQ_MAX_RESERVE) {
        size_t more = rng_below(&m->rng, OUTQ_MAX_RESERVE - n + 1);
        uint8_t *to = outq_reserve(&m->q, n + more);

        if (n > 0)
            memcpy(to, from, n);
        outq_commit(&m->q, n);
    } else {
        outq_put(&m->q, from, n);
    }
    m->put += n;
}

static void
model_gate(struct model *m)
{
    uint64_t mark = m->put;

    if (m->gate_count == nq_countof(m->gates))
        return;
    m->lsn += rng_below(&m->rng, 3);
    outq_gate(&m->q, mark, m->lsn);
    m->gates[m->gate_count].mark = mark;
    m->gates[m->gate_count++].lsn = m->lsn;
}

/* A group of puts and gates, taken back again or not. */
static void
model_group(struct model *m)
{
    uint64_t mark = m->put;
    unsigned n = (unsigned)rng_below(&m->rng, 4);

    for (unsigned i = 0; i < n; i++) {
        if (rng_below(&m->rng, 3) == 0)
            model_gate(m);
        model_put(m);
    }
    if (rng_below(&m->rng, 3) != 0)
        return;
    outq_rewind(&m->q, mark);
    m->put = mark;
    while (m->gate_count > 0 && m->gates[m->gate_count - 1].mark > mark)
        m->gate_count--;
}

static void
model_send(struct model *m)
{
    static uint8_t out[MODEL_MAX];
    uint64_t back = rng_below(&m->rng, 6);
    uint64_t limit = m->put;
    size_t want = rng_below(&m->rng, MODEL_MAX), got;

    if (m->lsn + 2 > m->settled + back)
        m->settled = m->lsn + 2 - back; /* never goes back */

    for (unsigned i = 0; i < m->gate_count; i++) {
        if (m->gates[i].lsn >= m->settled)
            limit = nq_min(limit, m->gates[i].mark);
    }
    limit = nq_max(limit, m->sent);
    got = drain(&m->q, m->settled, out, want);
    assert_true(m->sent + got <= limit);
    assert_true(got > 0 || want == 0 || limit == m->sent);
    assert_memory_equal(out, m->stream + m->sent, got);
    m->sent += got;
}

static void
model_restart(struct model *m)
{
    static uint8_t out[MODEL_MAX];

    while (drain(&m->q, ALL_SETTLED, out, MODEL_MAX) > 0)
        continue;
    assert_true(outq_is_empty(&m->q));
    assert_int_equal(m->q.bytes, 0);
    assert_int_equal(m->released, m->referenced);
    m->q = OUTQ_INIT;
    m->put = m->sent = m->lsn = m->settled = 0;
    m->gate_count = 0;
}

static void
the_queue_does_what_the_model_does(void **state)
{
    static struct model m;
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : rng_seed_from_os();

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&m.rng, seed);
    for (int step = 0; step < 8000; step++) {
        if (rng_below(&m.rng, 3) == 0)
            model_send(&m);
        else
            model_group(&m);
        assert_int_equal(m.q.put, m.put);
        assert_int_equal(m.q.sent, m.sent);
        if (m.put > MODEL_MAX - 1000)
            model_restart(&m);
    }
    outq_fini(&m.q);
    assert_int_equal(m.released, m.referenced);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_leave_in_the_order_they_were_put),
        cmocka_unit_test(an_empty_queue_holds_no_memory),
        cmocka_unit_test(a_warm_queue_allocates_nothing),
        cmocka_unit_test(gates_hold_back_what_is_behind_them),
        cmocka_unit_test(a_gate_at_the_end_holds_what_comes_later),
        cmocka_unit_test(rewinding_takes_back_replies_references_and_gates),
        cmocka_unit_test(an_empty_reference_is_released_at_once),
        cmocka_unit_test(the_queue_does_what_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
