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

/* Once a second. */
static void
look_at_pool(struct server *s, uint64_t now)
{
    struct pool_window *w = &s->pool_window;
    struct frames_stats fs;

    if (w->count > 0 && now - w->seen_us < 1000000)
        return;
    frames_get_stats(store_frames(s->store), &fs);
    w->seen_us = now;
    w->hits[w->next] = fs.hits;
    w->misses[w->next] = fs.misses;
    w->next = (w->next + 1) % POOL_WINDOW;
    w->count = nq_min(w->count + 1, (unsigned)POOL_WINDOW);
}

void
sampler_pool_window(const struct server *s, uint64_t *hits, uint64_t *misses)
{
    const struct pool_window *w = &s->pool_window;
    unsigned oldest = w->count < POOL_WINDOW ? 0 : w->next;
    struct frames_stats fs;

    frames_get_stats(store_frames(s->store), &fs);
    *hits = fs.hits - (w->count == 0 ? 0 : w->hits[oldest]);
    *misses = fs.misses - (w->count == 0 ? 0 : w->misses[oldest]);
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
    look_at_pool(s, now);
    sampler_loop(s, &ls);
    if (memory > s->memory_peak)
        s->memory_peak = memory;
}

void
sampler_reset(struct server *s)
{
    s->ops = s->input = s->output = (struct rate){0};
    s->memory_peak = s->turn_us_max = 0;
    s->pool_window = (struct pool_window){.count = 0};
}
