/* os/process.h - the process and the machine it runs on: memory, processor
 * time, limits.  Any thread. */
#ifndef NQ_OS_PROCESS_H
#define NQ_OS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

struct process_usage {
    uint64_t rss, rss_peak;      /* bytes; 0: unknown */
    uint64_t user_us, system_us; /* all threads */
    uint64_t switches_voluntary, switches_forced;
};
void process_get_usage(struct process_usage *out);
/* Processor time of the calling thread. */
void process_thread_cpu(uint64_t *user_us, uint64_t *system_us);

uint64_t process_machine_memory(void); /* bytes of RAM; 0: unknown */
/* The same or the smallest limit of the control groups we are in. */
uint64_t process_memory_limit(void);
unsigned process_cores(void); /* that we may run on; at least 1 */

/* Raises the limit of open files towards `want`; returns what it is. */
uint64_t process_raise_files(uint64_t want);

/* Goes on in the background, in a session of its own, its standard streams
 * on /dev/null; the caller's process ends with 0.  Before any thread. */
NQ_MUST_USE nq_rc process_daemonize(void);

/* SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT print `title`, the signal and
 * a backtrace to the standard error, then take their usual course. */
void process_print_crashes(const char *title);

#endif
