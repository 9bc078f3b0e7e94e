/* cmd/latency.h - delays worth noting, by event: "command", "fast-command",
 * "checkpoint-cut", "fsync" ...  Whoever notices one calls latency_add().
 *
 * Loop thread only. */
#ifndef NQ_CMD_LATENCY_H
#define NQ_CMD_LATENCY_H

#include "base/slice.h"

struct latency;

#define LATENCY_SAMPLES 160 /* kept for each event, one a second */

struct latency_sample {
    uint32_t wall_s; /* 0: none */
    uint32_t ms;     /* the worst of that second */
};

struct latency_event {
    const char *name; /* static storage */
    uint32_t next;    /* place of the next sample in the ring */
    uint32_t max_ms;
    uint64_t count;
    struct latency_sample ring[LATENCY_SAMPLES];
};

struct latency *latency_new(void);
void latency_free(struct latency *l);
/* `event` has static storage.  The caller compared with latency_ms. */
void latency_add(struct latency *l, const char *event, uint64_t ms);
/* NULL: no such event was noted. */
const struct latency_event *latency_find(const struct latency *l,
                                         struct slice event);
unsigned latency_count(const struct latency *l);
const struct latency_event *latency_at(const struct latency *l, unsigned i);
/* The i-th sample, oldest first; NULL behind the last. */
const struct latency_sample *latency_sample_at(const struct latency_event *ev,
                                               unsigned i);
/* Forgets one event; false if it was not there. */
bool latency_reset(struct latency *l, struct slice event);

#endif
