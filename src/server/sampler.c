/* server/sampler.c - rates from counters: ten samples a second, the mean of
 * the last 16 is what INFO calls instantaneous. */
#include "base/check.h"
#include "base/mem.h"
#include "net/loop.h"
#include "os/clock.h"
#include "server/server_int.h"
#include "store/frames.h"
#include "store/store.h"

static void
sample(struct rate *r, uint64_t now_value, uint64_t passed_us)
{
    uint64_t moved = now_value >= r->last ? now_value - r->last : 0;

    r->samples[r->next] = passed_us == 0 ? 0 : moved * 1000000 / passed_us;
    r->next = (r->next + 1) % SAMPLES;
    r->last = now_value;
}

uint64_t
rate_per_second(const struct rate *r)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SAMPLES; i++)
        sum += r->samples[i];
    return sum / SAMPLES;
}

uint64_t
sampler_memory(const struct server *s)
{
    struct frames_stats fs;

    frames_get_stats(store_frames(s->store), &fs);
    /* Chunks of blobs are on the heap already. */
    return mem_used() + fs.used_bytes - fs.chunk_bytes;
}

void
sampler_loop(struct server *s, struct loop_stats *out)
{
    loop_get_stats(s->loop, out);
    s->turn_us_max = nq_max(s->turn_us_max, out->lag_us_max);
}

void
sampler_cron(struct server *s)
{
    struct loop_stats ls;
    const struct engine_stats *es = &s->engine->stats;
    uint64_t now = clock_mono_us(), passed = now - s->sampled_us;
    uint64_t memory = sampler_memory(s);

    if (s->sampled_us != 0) {
        sample(&s->ops, es->commands_processed, passed);
        sample(&s->input, es->net_input_bytes, passed);
        sample(&s->output, es->net_output_bytes, passed);
    }
    s->sampled_us = now;
    sampler_loop(s, &ls);
    if (memory > s->memory_peak)
        s->memory_peak = memory;
}

void
sampler_reset(struct server *s)
{
    s->ops = s->input = s->output = (struct rate){0};
    s->memory_peak = s->turn_us_max = 0;
}
