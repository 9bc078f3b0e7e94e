/* server/info.c - INFO: which sections, in Redis' order, ours behind.
 *
 * Fields have Redis' names where they mean the same.  What has no true value
 * here is left out; clients read fields by name. */
#include "server/info_int.h"

#include "base/check.h"

static const struct section {
    const char *name, *title;
    void (*write)(struct server *s, struct buf *out);
    bool is_default;
} sections[] = {
    {"server", "Server", info_server, true},
    {"clients", "Clients", info_clients, true},
    {"memory", "Memory", info_memory, true},
    {"persistence", "Persistence", info_persistence, true},
    {"stats", "Stats", info_stats, true},
    {"replication", "Replication", info_replication, true},
    {"cpu", "CPU", info_cpu, true},
    {"modules", "Modules", info_modules, true},
    {"commandstats", "Commandstats", info_commandstats, false},
    {"errorstats", "Errorstats", info_errorstats, true},
    {"latencystats", "Latencystats", info_latencystats, false},
    {"cluster", "Cluster", info_cluster, true},
    {"storage", "Storage", info_storage, true},
    {"log", "Log", info_log, true},
    {"encryption", "Encryption", info_encryption, true},
    {"compression", "Compression", info_compression, true},
    {"checkpoint", "Checkpoint", info_checkpoint, true},
    {"pool", "Pool", info_pool, true},
    {"queries", "Queries", info_queries, true},
    {"quantum", "Quantum", info_quantum, true},
    {"jobs", "Jobs", info_jobs, true},
    {"feeds", "Feeds", info_feeds, true},
    {"subscribers", "Subscribers", info_subscribers, true},
    {"batch", "Batch", info_batch, true},
    {"keyspace", "Keyspace", info_keyspace, true},
};

void
info_u64(struct buf *out, const char *name, uint64_t v)
{
    buf_printf(out, "%s:%llu\r\n", name, (unsigned long long)v);
}

void
info_text(struct buf *out, const char *name, const char *v)
{
    buf_printf(out, "%s:%s\r\n", name, v);
}

void
info_bytes(struct buf *out, const char *name, uint64_t v)
{
    static const char units[] = "BKMGTP";
    double scaled = (double)v;
    unsigned unit = 0;

    info_u64(out, name, v);
    while (scaled >= 1024 && unit + 1 < sizeof units - 1) {
        scaled /= 1024;
        unit++;
    }
    if (unit == 0)
        buf_printf(out, "%s_human:%lluB\r\n", name, (unsigned long long)v);
    else
        buf_printf(out, "%s_human:%.2f%c\r\n", name, scaled, units[unit]);
}

static bool
is_asked(const struct section *section, const struct slice *asked, unsigned n)
{
    if (n == 0)
        return section->is_default;
    for (unsigned i = 0; i < n; i++) {
        if (slice_is(asked[i], section->name) || slice_is(asked[i], "all") ||
            slice_is(asked[i], "everything") ||
            (slice_is(asked[i], "default") && section->is_default) ||
            (slice_is(asked[i], "wal") && section->write == info_log) ||
            (slice_is(asked[i], "dna") && section->write == info_compression) ||
            (slice_is(asked[i], "bufferpool") && section->write == info_pool))
            return true;
    }
    return false;
}

void
info_write(struct engine *e, const struct slice *asked, unsigned n,
           struct buf *out)
{
    bool is_first = true;

    nq_unused(e);
    for (unsigned i = 0; i < nq_countof(sections); i++) {
        if (!is_asked(&sections[i], asked, n))
            continue;
        buf_printf(out, "%s# %s\r\n", is_first ? "" : "\r\n",
                   sections[i].title);
        sections[i].write(server, out);
        is_first = false;
    }
}
