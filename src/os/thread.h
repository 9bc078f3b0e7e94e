/* os/thread.h - threads, and monitors (a mutex with one condition) to meet
 * at.  Any thread, except where said. */
#ifndef NQ_OS_THREAD_H
#define NQ_OS_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

struct thread;

/* Runs run(arg) on a thread of its own, all signals blocked, until it
 * returns; `name` (at most 15 bytes) is for tools.  NQ_ELIMIT. */
NQ_MUST_USE nq_rc thread_start(const char *name, void (*run)(void *arg),
                               void *arg, struct thread **out);
/* Waits for its end; thread_join(NULL) does nothing. */
void thread_join(struct thread *t);

struct monitor;

struct monitor *monitor_new(void);
void monitor_free(struct monitor *m);
void monitor_lock(struct monitor *m);
void monitor_unlock(struct monitor *m);
/* Holding the lock: gives it up until signalled (or for no reason: test the
 * condition in a loop), then holds it again. */
void monitor_wait(struct monitor *m);
/* The same for at most `us` microseconds; false when they are over. */
bool monitor_wait_us(struct monitor *m, uint64_t us);
void monitor_signal(struct monitor *m);    /* wakes one waiter */
void monitor_broadcast(struct monitor *m); /* wakes all */

void thread_sleep_us(uint64_t us);

#endif
