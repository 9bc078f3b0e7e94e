#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "cmd/jobs.h"
#include "os/thread.h"

struct counted {
    unsigned steps, wanted, ends;
    enum jobs_state how;
    nq_rc rc, fails;
    int wait_ms;
};

static nq_rc
on_step(struct jobs_run *run, void *arg)
{
    struct counted *c = arg;

    c->steps++;
    jobs_wait(run, c->wait_ms);
    if (c->fails != NQ_OK)
        return c->fails;
    return c->steps < c->wanted ? NQ_AGAIN : NQ_OK;
}

static void
on_progress(void *arg, struct jobs_progress *out)
{
    struct counted *c = arg;

    *out = (struct jobs_progress){c->steps, c->wanted, "steps", "counting"};
}

static void
on_end(struct jobs_run *run, void *arg, enum jobs_state how, nq_rc rc)
{
    struct counted *c = arg;

    c->ends++;
    c->how = how;
    c->rc = rc;
    if (how == JOBS_DONE)
        jobs_result(run, "counted to %u", c->steps);
}

static const struct jobs_kind counting = {
    .name = "count",
    .is_single = true,
    .step = on_step,
    .progress = on_progress,
    .end = on_end,
};

static const struct jobs_kind stubborn = {
    .name = "stubborn",
    .is_not_stopped = true,
    .step = on_step,
};

static void
a_run_has_steps_until_it_is_done(void **state)
{
    struct jobs *j = jobs_new();
    struct counted c = {.wanted = 3};
    struct jobs_info i;
    uint64_t id;

    (void)state;
    assert_int_equal(jobs_next_due_ms(j), -1);
    assert_int_equal(jobs_start(j, &counting, &c, &id), NQ_OK);
    assert_int_equal(jobs_next_due_ms(j), 0);
    jobs_turn(j);
    jobs_turn(j);
    assert_true(jobs_find(j, id, &i));
    assert_int_equal(i.state, JOBS_RUNNING);
    assert_int_equal(i.progress.done, 2);
    assert_string_equal(i.progress.phase, "counting");
    jobs_turn(j);
    jobs_turn(j);
    assert_int_equal(c.steps, 3);
    assert_int_equal(c.ends, 1);
    assert_true(jobs_find(j, id, &i));
    assert_int_equal(i.state, JOBS_DONE);
    assert_string_equal(i.result, "counted to 3");
    assert_int_equal(jobs_next_due_ms(j), -1);
    jobs_free(j);
    assert_int_equal(c.ends, 1);
}

static void
a_paused_run_rests_and_goes_on(void **state)
{
    struct jobs *j = jobs_new();
    struct counted c = {.wanted = 2};
    uint64_t id;

    (void)state;
    assert_int_equal(jobs_start(j, &counting, &c, &id), NQ_OK);
    assert_int_equal(jobs_pause(j, id), NQ_OK);
    jobs_turn(j);
    assert_int_equal(c.steps, 0);
    assert_int_equal(jobs_next_due_ms(j), -1);
    assert_int_equal(jobs_resume(j, id), NQ_OK);
    jobs_turn(j);
    jobs_turn(j);
    assert_int_equal(c.how, JOBS_DONE);
    assert_int_equal(jobs_resume(j, id), NQ_NOTFOUND);
    jobs_free(j);
}

static void
a_cancelled_or_failed_run_ends_once(void **state)
{
    struct jobs *j = jobs_new();
    struct counted c = {.wanted = 9}, d = {.fails = NQ_EIO};
    struct jobs_info i;
    uint64_t id;

    (void)state;
    assert_int_equal(jobs_start(j, &counting, &c, &id), NQ_OK);
    jobs_turn(j);
    assert_int_equal(jobs_cancel(j, id), NQ_OK);
    assert_int_equal(jobs_cancel(j, id), NQ_NOTFOUND);
    assert_int_equal(c.how, JOBS_CANCELLED);
    assert_int_equal(jobs_start(j, &counting, &d, &id), NQ_OK);
    jobs_turn(j);
    assert_int_equal(d.how, JOBS_FAILED);
    assert_true(jobs_find(j, id, &i));
    assert_string_equal(i.result, rc_text(NQ_EIO));
    jobs_free(j);
    assert_int_equal(c.ends + d.ends, 2);
}

static void
a_second_one_of_a_single_kind_is_refused(void **state)
{
    struct jobs *j = jobs_new();
    struct counted c = {.wanted = 9}, d = {.wanted = 1};
    uint64_t id, other;

    (void)state;
    assert_int_equal(jobs_start(j, &counting, &c, &id), NQ_OK);
    assert_int_equal(jobs_start(j, &counting, &d, &other), NQ_EBUSY);
    assert_int_equal(other, id);
    assert_int_equal(jobs_start(j, &stubborn, &d, &other), NQ_OK);
    assert_int_equal(jobs_pause(j, other), NQ_EINVAL);
    assert_int_equal(jobs_cancel(j, other), NQ_EINVAL);
    jobs_free(j);
    assert_int_equal(c.how, JOBS_CANCELLED);
    assert_int_equal(c.rc, NQ_ECLOSED);
}

static void
a_run_that_waits_is_left_alone_until_then(void **state)
{
    struct jobs *j = jobs_new();
    struct counted c = {.wanted = 3, .wait_ms = 30};

    (void)state;
    assert_int_equal(jobs_start(j, &counting, &c, NULL), NQ_OK);
    jobs_turn(j);
    jobs_turn(j);
    assert_int_equal(c.steps, 1);
    assert_in_range(jobs_next_due_ms(j), 1, 31);
    thread_sleep_us(32000);
    c.wait_ms = -1;
    jobs_turn(j);
    assert_int_equal(c.steps, 2);
    assert_int_equal(jobs_next_due_ms(j), -1);
    jobs_turn(j);
    assert_int_equal(c.how, JOBS_DONE);
    jobs_free(j);
}

static void
count_them(void *arg, const struct jobs_info *i)
{
    unsigned *n = arg;

    if (i->id != 0)
        ++*n;
}

static void
old_results_are_forgotten(void **state)
{
    struct jobs *j = jobs_new();
    struct counted c = {.wanted = 0};
    unsigned n = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(jobs_start(j, &counting, &c, NULL), NQ_OK);
        jobs_turn(j);
    }
    jobs_each(j, count_them, &n);
    assert_in_range(n, 8, 64);
    jobs_free(j);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_has_steps_until_it_is_done),
        cmocka_unit_test(a_paused_run_rests_and_goes_on),
        cmocka_unit_test(a_cancelled_or_failed_run_ends_once),
        cmocka_unit_test(a_second_one_of_a_single_kind_is_refused),
        cmocka_unit_test(a_run_that_waits_is_left_alone_until_then),
        cmocka_unit_test(old_results_are_forgotten),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
