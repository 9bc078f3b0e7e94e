/* tests/faults/main.c - which cases, how long, and how to repeat one.
 *
 *   FAULT_SECONDS=30     how long, in all
 *   CASES=n              or how many
 *   FAULT_JOBS=2         processes; as many as there are processors
 *   SEED=n               where the seeds of the rounds begin
 *   SETTINGS=n           only these (tests/faults/settings.c)
 *   KIND=name            only this kind
 *   CASE=kind:point:seed TRACE=path    one case, as a failure has told it
 *
 * Processes take rounds, one after the other; in a round each kind gets its
 * share of time, and visits its points spread evenly.  A case that fails ends
 * its process: what it was doing is read from memory that all share. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/thread.h"

#define KINDS_MAX 40
#define JOBS_MAX 64
#define FAILURES_MAX 5
#define CASE_SECONDS 30 /* longer than that it hangs */
#define SECONDS_DEFAULT 30
#define ROUND_SECONDS_MIN 3
#define ROUND_SECONDS_MAX 20
#define VISITS 8 /* of a point, each with another seed */
#define LOG_LINES 12

const struct kind kinds[] = {
#define KIND(name, weight, points, what)                                       \
    {#name, what, weight, points, name##_run},
#include "kinds.def"
#undef KIND
};
const unsigned kinds_count = nq_countof(kinds);

/* What a process is doing. */
struct worker {
    uint64_t seed, point, case_seed, began_ms;
    unsigned settings, kind;
    bool is_in_case;
    char dir[96];
    struct progress progress;
};

struct shared {
    uint64_t cases[KINDS_MAX][OUTCOMES];
    uint64_t points[KINDS_MAX], visited[KINDS_MAX];
    uint64_t rounds, total, settings_seen;
    struct worker workers[JOBS_MAX];
};

static struct {
    uint64_t seed, seconds, cases_max, until_ms;
    unsigned jobs;
    bool has_settings, is_single;
    unsigned settings, kind, single_kind;
    uint64_t point, case_seed;
} options;

static struct shared *shared;

/* --- options ------------------------------------------------------------- */

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

static unsigned
kind_named(const char *name, size_t len)
{
    for (unsigned k = 0; k < kinds_count; k++)
        if (strlen(kinds[k].name) == len &&
            memcmp(kinds[k].name, name, len) == 0)
            return k;
    fprintf(stderr, "there is no kind %.*s\n", (int)len, name);
    exit(2);
}

static void
read_case(const char *text)
{
    char *rest = strchr(text, ':');

    if (rest == NULL) {
        fprintf(stderr, "CASE=kind:point:seed\n");
        exit(2);
    }
    options.is_single = true;
    options.single_kind = kind_named(text, (size_t)(rest - text));
    options.point = strtoull(rest + 1, &rest, 0);
    options.case_seed = *rest == ':' ? strtoull(rest + 1, NULL, 0) : 0;
    options.jobs = 1;
}

static void
read_options(void)
{
    const char *kind = getenv("KIND"), *one = getenv("CASE");

    options.seed = number_from("SEED", rng_seed_from_os() >> 16);
    options.seconds = number_from("FAULT_SECONDS", SECONDS_DEFAULT);
    options.cases_max = number_from("CASES", UINT64_MAX);
    if (options.cases_max != UINT64_MAX && getenv("FAULT_SECONDS") == NULL)
        options.seconds = 24 * 3600;
    options.jobs = (unsigned)number_from(
        "FAULT_JOBS", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    options.jobs = nq_max(1u, nq_min(options.jobs, (unsigned)JOBS_MAX));
    options.has_settings = getenv("SETTINGS") != NULL;
    options.settings = (unsigned)number_from("SETTINGS", 0) % settings_count();
    options.kind = kinds_count;
    if (kind != NULL && *kind != '\0')
        options.kind = kind_named(kind, strlen(kind));
    if (one != NULL && *one != '\0')
        read_case(one);
    options.until_ms = clock_mono_ms() + options.seconds * 1000;
    if (getenv("TMPDIR") == NULL && access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
}

/* --- one process --------------------------------------------------------- */

static void
run_case(struct worker *w, struct round *r, unsigned k, uint64_t point,
         uint64_t seed)
{
    enum outcome o;

    w->kind = k;
    w->point = point;
    w->case_seed = seed;
    w->began_ms = clock_mono_ms();
    w->is_in_case = true;
    o = kinds[k].run(r, point, seed);
    w->is_in_case = false;
    __atomic_fetch_add(&shared->cases[k][o], 1, __ATOMIC_RELAXED);
    if (o != OUTCOME_NOTHING)
        __atomic_fetch_add(&shared->total, 1, __ATOMIC_RELAXED);
}

static uint64_t
greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Visits every point once, and while it does, those visited are spread
 * evenly: the golden section of the count, or the next that shares no divisor
 * with it. */
static uint64_t
stride_of(uint64_t count)
{
    uint64_t step = count * 618 / 1000 + 1;

    while (greatest_divisor(step, count) != 1)
        step++;
    return step;
}

static bool
is_over(void)
{
    return clock_mono_ms() >= options.until_ms ||
           __atomic_load_n(&shared->total, __ATOMIC_RELAXED) >=
               options.cases_max;
}

static void
run_kind(struct worker *w, struct round *r, unsigned k, uint64_t budget_ms)
{
    uint64_t until = clock_mono_ms() + budget_ms, count, step, point, n;

    w->kind = k;
    count = kinds[k].points(r);
    if (count == 0)
        return;
    step = stride_of(count);
    point = r->seed % count;
    for (n = 0; n < count * VISITS && clock_mono_ms() < until; n++) {
        run_case(w, r, k, point, hash_u64(r->seed * 1000003 + n) >> 20);
        point = (point + step) % count;
        if (is_over())
            break;
    }
    __atomic_fetch_add(&shared->points[k], count, __ATOMIC_RELAXED);
    __atomic_fetch_add(&shared->visited[k], nq_min(n, count), __ATOMIC_RELAXED);
}

static void
run_kinds(struct worker *w, struct round *r)
{
    uint64_t ms =
        nq_max((uint64_t)ROUND_SECONDS_MIN,
               nq_min(options.seconds / 20, (uint64_t)ROUND_SECONDS_MAX)) *
        1000;
    unsigned weights = 0;

    for (unsigned k = 0; k < kinds_count; k++)
        if (options.kind == kinds_count || options.kind == k)
            weights += kinds[k].weight;
    for (unsigned i = 0; i < kinds_count && !is_over(); i++) {
        unsigned k = (unsigned)((r->seed + i) % kinds_count);

        if (options.kind == kinds_count || options.kind == k)
            run_kind(w, r, k, ms * kinds[k].weight / weights);
    }
}

static void
run_round(struct worker *w, struct round *r, uint64_t number)
{
    uint64_t seed = options.seed + number;
    unsigned settings = options.has_settings
                            ? options.settings
                            : (unsigned)((seed * 29) % settings_count());

    w->seed = seed;
    w->settings = settings;
    w->began_ms = clock_mono_ms();
    round_open(r, seed, settings);
    r->progress = &w->progress;
    snprintf(w->dir, sizeof w->dir, "%s", r->env.dir);
    if (!options.is_single)
        run_kinds(w, r);
    else if (kinds[options.single_kind].points(r) > options.point)
        run_case(w, r, options.single_kind, options.point, options.case_seed);
    round_close(r);
    clock_freeze_wall(0);
}

static void
run_worker(struct worker *w)
{
    static struct round r;
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    do
        run_round(w, &r,
                  __atomic_fetch_add(&shared->rounds, 1, __ATOMIC_RELAXED));
    while (!options.is_single && !is_over());
    exit(0);
}

/* --- the processes ------------------------------------------------------- */

static pid_t
start_worker(struct worker *w)
{
    pid_t pid;

    memset(w, 0, sizeof *w);
    w->began_ms = clock_mono_ms();
    fflush(NULL);
    pid = fork();
    nq_assert(pid >= 0);
    if (pid == 0)
        run_worker(w);
    return pid;
}

static void
print_log(const struct worker *w)
{
    char path[128], line[400];
    long lines = 0, skip;
    FILE *f;

    snprintf(path, sizeof path, "%s.log", w->dir);
    if ((f = fopen(path, "r")) == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL)
        lines++;
    rewind(f);
    for (skip = lines - LOG_LINES; fgets(line, sizeof line, f) != NULL; skip--)
        if (skip <= 0)
            fprintf(stderr, "  log: %s", line);
    (void)fclose(f);
}

static void
print_failure(const struct worker *w, int status)
{
    char text[32];

    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    print_log(w);
    fprintf(stderr,
            "FAILED (%s): %s; its directory is %s\nrepeat it with: ", text,
            kinds[w->kind].what, w->dir);
    if (w->is_in_case)
        fprintf(stderr,
                "TRACE=%s SEED=%llu SETTINGS=%u CASE=%s:%llu:%llu "
                "make check-faults\n",
                w->dir, (unsigned long long)w->seed, w->settings,
                kinds[w->kind].name, (unsigned long long)w->point,
                (unsigned long long)w->case_seed);
    else
        fprintf(stderr, "SEED=%llu SETTINGS=%u KIND=%s make check-faults\n",
                (unsigned long long)w->seed, w->settings, kinds[w->kind].name);
}

/* Ends what hangs. */
static void
watch(const struct worker *w, pid_t pid)
{
    uint64_t now = clock_mono_ms();

    if (now > w->began_ms + CASE_SECONDS * 1000 &&
        now > options.until_ms + CASE_SECONDS * 1000)
        kill(pid, SIGKILL);
    else if (w->is_in_case && now > w->began_ms + CASE_SECONDS * 1000)
        kill(pid, SIGABRT);
}

/* How many cases failed. */
static unsigned
run_workers(void)
{
    pid_t pids[JOBS_MAX];
    unsigned failures = 0, running = options.jobs;

    for (unsigned j = 0; j < options.jobs; j++)
        pids[j] = start_worker(&shared->workers[j]);
    while (running > 0) {
        thread_sleep_us(20000);
        for (unsigned j = 0; j < options.jobs; j++) {
            struct worker *w = &shared->workers[j];
            int status;

            if (pids[j] <= 0)
                continue;
            watch(w, pids[j]);
            if (waitpid(pids[j], &status, WNOHANG) != pids[j])
                continue;
            pids[j] = 0;
            running--;
            if (status == 0)
                continue;
            failures++;
            print_failure(w, status);
            if (failures < FAILURES_MAX && !is_over() && !options.is_single) {
                pids[j] = start_worker(w);
                running++;
            }
        }
    }
    return failures;
}

/* --- the result ---------------------------------------------------------- */

static void
print_table(void)
{
    printf("%-9s %8s %8s %8s %8s  %5s  %s\n", "kind", "cases", "right",
           "damaged", "refused", "of", "what happens");
    for (unsigned k = 0; k < kinds_count; k++) {
        const uint64_t *n = shared->cases[k];
        uint64_t sum =
            n[OUTCOME_RIGHT] + n[OUTCOME_DAMAGED] + n[OUTCOME_REFUSED];

        if (sum + n[OUTCOME_NOTHING] == 0)
            continue;
        printf("%-9s %8llu %8llu %8llu %8llu  %3llu %%  %s\n", kinds[k].name,
               (unsigned long long)sum, (unsigned long long)n[OUTCOME_RIGHT],
               (unsigned long long)n[OUTCOME_DAMAGED],
               (unsigned long long)n[OUTCOME_REFUSED],
               (unsigned long long)(shared->points[k] == 0
                                        ? 0
                                        : 100 * shared->visited[k] /
                                              shared->points[k]),
               kinds[k].what);
    }
}

static void
tell_results(unsigned failures)
{
    const char *path = getenv("RESULTS");
    FILE *f;

    if (path == NULL || (f = fopen(path, "a")) == NULL)
        return;
    fprintf(f, "%d %u\n", failures == 0, failures);
    (void)fclose(f);
}

int
main(void)
{
    unsigned failures;

#ifdef NQ_HARSH
    printf("SKIP faults: what a write to the log was is not known where writes "
           "are made in parts\n");
    return 0;
#endif
    read_options();
    log_set_level(LOG_ERROR);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    nq_assert(shared != MAP_FAILED && kinds_count <= KINDS_MAX);
    printf("SEED=%llu, %llu s, %u processes\n",
           (unsigned long long)options.seed,
           (unsigned long long)options.seconds, options.jobs);
    failures = run_workers();
    print_table();
    printf("%llu cases in %llu rounds: %u failed%s\n",
           (unsigned long long)shared->total,
           (unsigned long long)shared->rounds, failures,
           failures == 0 ? ", nothing lost, no wrong answer" : "");
    tell_results(failures);
    return failures != 0;
}

#else

int
main(void)
{
    printf("SKIP faults: this build has no fault points\n");
    return 0;
}

#endif
