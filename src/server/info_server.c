/* server/info_server.c - INFO about the process, its clients and memory. */
#include "server/info_int.h"

#include <limits.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "cmd/wait_key.h"
#include "os/clock.h"
#include "os/process.h"
#include "server/version.h"
#include "store/frames.h"
#include "store/store.h"

void
info_server(struct server *s, struct buf *out)
{
    uint64_t now_us = clock_wall_us();
    uint64_t up_s = (now_us / 1000 - s->engine->start_wall_ms) / 1000;
    struct utsname os = {0};
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    uname(&os);
    info_text(out, "redis_version", ENGINE_REDIS_VERSION);
    info_text(out, "nqdb_version", NQDB_VERSION);
    info_text(out, "redis_mode", "standalone");
    buf_printf(out, "os:%s %s %s\r\n", os.sysname, os.release, os.machine);
    info_u64(out, "arch_bits", 8 * sizeof(void *));
    info_text(out, "monotonic_clock", "POSIX clock_gettime");
    info_text(out, "multiplexing_api", "epoll");
    info_text(out, "gcc_version", __VERSION__);
    info_u64(out, "process_id", (uint64_t)getpid());
    info_text(out, "process_supervised", "no");
    info_text(out, "run_id", s->engine->run_id);
    info_u64(out, "tcp_port", s->port);
    info_u64(out, "server_time_usec", now_us);
    info_u64(out, "uptime_in_seconds", up_s);
    info_u64(out, "uptime_in_days", up_s / 86400);
    info_u64(out, "hz", 10);
    info_u64(out, "configured_hz", 10);
    buf_printf(out, "executable:%.*s\r\n", (int)nq_max(n, 0), path);
    info_text(out, "config_file", config_path(s->config));
    info_u64(out, "io_threads_active", 0);
}

struct client_totals {
    uint64_t blocked, watching, pubsub;
    uint64_t input_max, output_max, memory;
};

/* A served client stays SESSION_BLOCKED to the end of the turn. */
static bool
is_waiting(const struct session *c)
{
    return (c->flags & SESSION_BLOCKED) != 0 &&
           (c->wait == NULL || wait_is_waiting(c));
}

static void
sum_clients(const struct engine *e, struct client_totals *t)
{
    *t = (struct client_totals){0};
    for (struct list *it = e->sessions.next; it != &e->sessions;
         it = it->next) {
        const struct session *c = nq_container(it, struct session, link);
        size_t used = 0, alloc = 0;
        int fd;

        if (c->ops != NULL && c->ops->input_info != NULL)
            c->ops->input_info(c, &used, &alloc, &fd);
        t->blocked += is_waiting(c);
        t->watching += c->multi != NULL;
        t->pubsub += c->subs != NULL;
        t->input_max = nq_max(t->input_max, (uint64_t)alloc);
        t->output_max = nq_max(t->output_max, c->out.bytes);
        t->memory += alloc + c->out.bytes;
    }
}

void
info_clients(struct server *s, struct buf *out)
{
    struct client_totals t;

    sum_clients(s->engine, &t);
    info_u64(out, "connected_clients", s->engine->session_count);
    info_u64(out, "cluster_connections", 0);
    info_u64(out, "maxclients", s->engine->limits.maxclients);
    info_u64(out, "client_recent_max_input_buffer", t.input_max);
    info_u64(out, "client_recent_max_output_buffer", t.output_max);
    info_u64(out, "blocked_clients", t.blocked);
    info_u64(out, "pubsub_clients", t.pubsub);
    info_u64(out, "transaction_clients", t.watching);
    info_u64(out, "total_blocking_keys", wait_count_keys(s->engine));
    info_u64(out, "total_blocking_keys_on_nokey",
             wait_count_keys_on_nokey(s->engine));
}

void
info_memory(struct server *s, struct buf *out)
{
    struct process_usage p;
    struct client_totals t;
    struct frames_stats fs;
    uint64_t used = sampler_memory(s);

    process_get_usage(&p);
    sum_clients(s->engine, &t);
    frames_get_stats(store_frames(s->store), &fs);
    info_bytes(out, "used_memory", used);
    info_bytes(out, "used_memory_rss", p.rss);
    info_bytes(out, "used_memory_peak", nq_max(s->memory_peak, used));
    buf_printf(out, "used_memory_peak_perc:%.2f%%\r\n",
               100.0 * (double)used / (double)nq_max(s->memory_peak, used));
    info_u64(out, "used_memory_dataset", fs.used_bytes);
    info_u64(out, "used_memory_rss_peak", p.rss_peak);
    info_u64(out, "used_memory_heap", mem_used());
    info_bytes(out, "total_system_memory", process_machine_memory());
    info_bytes(out, "maxmemory", s->engine->limits.maxmemory);
    info_text(out, "maxmemory_policy", "noeviction");
    buf_printf(out, "mem_fragmentation_ratio:%.2f\r\n",
               (double)p.rss / (double)nq_max(used, (uint64_t)1));
    info_u64(out, "mem_clients_normal", t.memory);
    info_u64(out, "mem_clients_slaves", 0);
    info_text(out, "mem_allocator", "libc");
}

void
info_replication(struct server *s, struct buf *out)
{
    info_text(out, "role", "master");
    info_u64(out, "connected_slaves", 0);
    info_text(out, "master_failover_state", "no-failover");
    info_u64(out, "master_repl_offset", wal_position(store_wal(s->store)));
}

static void
seconds_field(struct buf *out, const char *name, uint64_t us)
{
    buf_printf(out, "%s:%llu.%06llu\r\n", name,
               (unsigned long long)(us / 1000000),
               (unsigned long long)(us % 1000000));
}

void
info_cpu(struct server *s, struct buf *out)
{
    struct process_usage p;
    uint64_t user_us, system_us;

    nq_unused(s);
    process_get_usage(&p);
    process_thread_cpu(&user_us, &system_us);
    seconds_field(out, "used_cpu_sys", p.system_us);
    seconds_field(out, "used_cpu_user", p.user_us);
    seconds_field(out, "used_cpu_sys_children", 0);
    seconds_field(out, "used_cpu_user_children", 0);
    seconds_field(out, "used_cpu_sys_main_thread", system_us);
    seconds_field(out, "used_cpu_user_main_thread", user_us);
}

void
info_modules(struct server *s, struct buf *out)
{
    nq_unused(s);
    nq_unused(out);
}

void
info_cluster(struct server *s, struct buf *out)
{
    nq_unused(s);
    info_u64(out, "cluster_enabled", 0);
}
