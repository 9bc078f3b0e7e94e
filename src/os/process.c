/* os/process.c - what the kernel tells about the process, its limits and its
 * machine.
 *
 * Memory limits of control groups: version 2 is a path in /proc/self/cgroup
 * ("0::/a/b") below /sys/fs/cgroup; each group on the way up may have a
 * smaller memory.max.  Inside a container the path is often "/", and the
 * limit stands at the mount itself.  Version 1 has its own mount. */
#include "os/process.h"

#include <execinfo.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"

#define CGROUP "/sys/fs/cgroup"

static uint64_t
time_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

void
process_get_usage(struct process_usage *out)
{
    struct rusage r;
    unsigned long long total, resident;
    FILE *f = fopen("/proc/self/statm", "re");

    *out = (struct process_usage){0};
    if (f != NULL) {
        if (fscanf(f, "%llu %llu", &total, &resident) == 2)
            out->rss = resident * (uint64_t)sysconf(_SC_PAGESIZE);
        fclose(f);
    }
    if (getrusage(RUSAGE_SELF, &r) != 0)
        return;
    out->rss_peak = (uint64_t)r.ru_maxrss * 1024;
    out->user_us = time_us(r.ru_utime);
    out->system_us = time_us(r.ru_stime);
    out->switches_voluntary = (uint64_t)r.ru_nvcsw;
    out->switches_forced = (uint64_t)r.ru_nivcsw;
}

void
process_thread_cpu(uint64_t *user_us, uint64_t *system_us)
{
    struct rusage r;

    *user_us = *system_us = 0;
    if (getrusage(RUSAGE_THREAD, &r) != 0)
        return;
    *user_us = time_us(r.ru_utime);
    *system_us = time_us(r.ru_stime);
}

uint64_t
process_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* The number in a file of one line; UINT64_MAX: none ("max"). */
static uint64_t
number_in(const char *path)
{
    unsigned long long v;
    FILE *f = fopen(path, "re");
    bool ok;

    if (f == NULL)
        return UINT64_MAX;
    ok = fscanf(f, "%llu", &v) == 1;
    fclose(f);
    return ok ? v : UINT64_MAX;
}

/* The least memory.max from the group `path` up to the mount. */
static uint64_t
limit_of_group(char *path)
{
    uint64_t least = UINT64_MAX, v;
    char file[1200];
    char *slash;

    for (;;) {
        snprintf(file, sizeof file, CGROUP "%s/memory.max", path);
        v = number_in(file);
        least = nq_min(least, v);
        slash = strrchr(path, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

uint64_t
process_memory_limit(void)
{
    uint64_t machine = process_machine_memory(), least, v;
    char line[1100];
    FILE *f = fopen("/proc/self/cgroup", "re");

    least = number_in(CGROUP "/memory.max");
    v = number_in(CGROUP "/memory/memory.limit_in_bytes");
    least = nq_min(least, v);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0) {
            v = limit_of_group(line + 3);
            least = nq_min(least, v);
        }
    }
    if (f != NULL)
        fclose(f);
    return machine == 0 && least == UINT64_MAX ? 0 : nq_min(least, machine);
}

unsigned
process_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return (unsigned)nq_max(1, CPU_COUNT(&set));
}

uint64_t
process_raise_files(uint64_t want)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    if (r.rlim_cur >= want)
        return r.rlim_cur;
    if (r.rlim_max < want) {
        /* Only root may; then the hard limit grows, too. */
        struct rlimit more = {want, want};

        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return want;
    }
    r.rlim_cur = nq_min((rlim_t)want, r.rlim_max);
    (void)setrlimit(RLIMIT_NOFILE, &r);
    return getrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_cur : 0;
}

nq_rc
process_daemonize(void)
{
    pid_t pid;
    int fd;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        return NQ_EIO;
    if (pid > 0)
        _exit(0);
    setsid();
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NQ_EIO;
    for (int i = 0; i <= 2; i++) {
        if (dup2(fd, i) < 0)
            return NQ_EIO;
    }
    if (fd > 2)
        close(fd);
    return NQ_OK;
}

/* --- crashes
 * ------------------------------------------------------------------ */

static char crash_title[160];

/* Only what a signal handler may call; backtrace() was called once before, so
 * that it does not load its library here. */
static void
on_crash(int signum)
{
    void *frames[64];
    int n = backtrace(frames, 64);
    char line[256];
    int len = snprintf(line, sizeof line, "\n%s: crashed by signal %d (%s)\n",
                       crash_title, signum, strsignal(signum));

    if (len > 0 && write(2, line, (size_t)len) > 0)
        backtrace_symbols_fd(frames, n, 2);
    raise(signum); /* the handler was reset: this ends the process */
}

void
process_print_crashes(const char *title)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash,
                               .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    void *frame;

    snprintf(crash_title, sizeof crash_title, "%s", title);
    (void)backtrace(&frame, 1);
    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < nq_countof(signals); i++)
        sigaction(signals[i], &action, NULL);
}
