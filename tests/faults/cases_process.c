/* tests/faults/cases_process.c - what a process runs out of: descriptors,
 * memory, time.
 *
 * A process that cannot get memory ends with a message, at once, wherever it
 * is; that is as good as a kill.  These cases run in a child, whose progress
 * is read from memory that it shares.  Without descriptors the server goes on
 * or refuses, and has lost nothing. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "os/thread.h"

#define DESCRIPTORS_AT_OPEN 16u
#define KILLS 200u
#define KILL_US 30000u
#define ADDRESS_POINTS 64u
#define ADDRESS_STEP ((rlim_t)256 << 10)

#ifdef __SANITIZE_ADDRESS__
/* A child that ends in the middle leaves all it has. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

/* --- memory -------------------------------------------------------------- */

/* All calls of our objects come here: the link says so. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static uint64_t allocations; /* atomic */
static uint64_t fails_at;    /* that one; 0: none */

static bool
is_denied(void)
{
    uint64_t n = __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);

    return fails_at != 0 && n == fails_at;
}

void *
__wrap_malloc(size_t n)
{
    return is_denied() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return is_denied() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
    return is_denied() ? NULL : __real_realloc(p, n);
}

/* --- children ------------------------------------------------------------ */

/* A life in a process of its own, which prepare(arg) makes short; killed
 * after some time, if kill_us is not 0. */
static enum outcome
live_in_child(struct round *r, void (*prepare)(uint64_t arg), uint64_t arg,
              uint64_t kill_us, uint64_t seed)
{
    struct expected x = {.acked = 0};
    int status;
    pid_t pid;

    r->progress->issued = r->progress->acked = r->progress->durable = 0;
    image_clear_dir(r->env.dir);
    fflush(NULL);
    pid = fork();
    nq_assert(pid >= 0);
    if (pid == 0) {
        struct life l = {.progress = r->progress};

        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(9);
        if (prepare != NULL)
            prepare(arg);
        _exit(round_live(r, &r->live, &l) ? 0 : 1);
    }
    if (kill_us > 0) {
        thread_sleep_us(kill_us);
        (void)kill(pid, SIGKILL);
    }
    nq_assert(waitpid(pid, &status, 0) == pid);
    /* An allocation that fails is a message and SIGABRT, or an error. */
    if (kill_us == 0 && WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGABRT);
    x.acked = r->progress->acked;
    x.issued = r->progress->issued;
    return verify(r, &x, seed);
}

static void
deny(uint64_t n)
{
    __atomic_store_n(&allocations, 0, __ATOMIC_RELAXED);
    fails_at = n;
}

uint64_t
memory_points(struct round *r)
{
    uint64_t before;

    if (r->allocations == 0) {
        struct life l = {.issued = 0};

        before = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
        fault_clear();
        assert_true(round_live(r, &r->live, &l));
        r->allocations =
            __atomic_load_n(&allocations, __ATOMIC_RELAXED) - before;
        engine_env_crash(&r->env);
        disk_trace_end(&r->live);
    }
    return r->allocations;
}

enum outcome
memory_run(struct round *r, uint64_t point, uint64_t seed)
{
    return live_in_child(r, deny, point + 1, 0, seed);
}

uint64_t
sigkill_points(struct round *r)
{
    nq_unused(r);
    return KILLS;
}

enum outcome
sigkill_run(struct round *r, uint64_t point, uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, seed + point);
    return live_in_child(r, NULL, 0, 1 + rng_below(&rng, KILL_US), seed);
}

/* What the process has now, and a little more. */
static void
limit_address_space(uint64_t more)
{
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    nq_assert(f != NULL && fscanf(f, "%lu", &pages) == 1);
    (void)fclose(f);
    limit.rlim_cur = limit.rlim_max =
        (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more * ADDRESS_STEP;
    nq_assert(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Sanitizers reserve more than any limit allows. */
uint64_t
address_points(struct round *r)
{
    nq_unused(r);
#ifdef __SANITIZE_ADDRESS__
    return 0;
#else
    return ADDRESS_POINTS;
#endif
}

enum outcome
address_run(struct round *r, uint64_t point, uint64_t seed)
{
    return live_in_child(r, limit_address_space, point, 0, seed);
}

/* --- descriptors --------------------------------------------------------- */

/* No descriptor but the next `more` can be opened; returns the limit there
 * was. */
static rlim_t
limit_descriptors(uint64_t more)
{
    struct rlimit limit;
    rlim_t was;
    int next = dup(0);

    nq_assert(next >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    close(next);
    was = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)next + more;
    nq_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return was;
}

static void
give_descriptors(rlim_t was)
{
    struct rlimit limit;

    nq_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = was;
    nq_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static unsigned none_from; /* the unit from which on there are none */

static void
take_descriptors(struct life *l, unsigned n)
{
    nq_unused(l);
    if (n == none_from)
        (void)limit_descriptors(0);
}

uint64_t
files_points(struct round *r)
{
    return DESCRIPTORS_AT_OPEN + r->script.opts.units;
}

/* Too few from the start, or none any more from some unit on. */
enum outcome
files_run(struct round *r, uint64_t point, uint64_t seed)
{
    struct life l = {.tries_again = !r->script.opts.has_blocks,
                     .before_unit = take_descriptors};
    struct expected x;
    rlim_t was;

    fault_clear();
    none_from = point < DESCRIPTORS_AT_OPEN
                    ? SCRIPT_UNITS
                    : (unsigned)point - DESCRIPTORS_AT_OPEN;
    image_clear_dir(r->env.dir);
    was = limit_descriptors(none_from == SCRIPT_UNITS ? point : 1000);
    if (round_live(r, &r->live, &l)) {
        engine_env_crash(&r->env);
        disk_trace_end(&r->live);
    }
    give_descriptors(was);
    x = (struct expected){.acked = l.acked, .issued = l.issued};
    return verify(r, &x, seed);
}

#endif
