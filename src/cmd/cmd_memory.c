/* cmd/cmd_memory.c - MEMORY: where memory goes.
 *
 * Keys live in the frame pool, whose size is set; everything else is heap. */
#include <malloc.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "db/string.h"
#include "store/frames.h"
#include "store/store.h"

#define RECORD_OVERHEAD 12 /* head, offset, lengths, flags of a record */
#define EXPIRY_BYTES 6
#define SAMPLES 5 /* descents into a tree, if it is not said */
#define SAMPLES_MAX 1000
#define CHUNK_OVERHEAD 64 /* frame and page-table entry of a chunk */
#define POOL_IS_TIGHT 0.9
#define DIRTY_IS_HIGH 0.6

struct usage {
    uint64_t heap, peak, clients, log_ring, keys;
    struct frames_stats pool;
};

static uint64_t
count_keys(struct req *rq)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; rq->db != NULL && i < db_count(rq->db); i++) {
        uint64_t n;

        if (db_size(rq->db, i, &n) == NQ_OK)
            sum += n;
    }
    return sum;
}

static void
measure(struct req *rq, struct usage *u)
{
    struct engine *e = rq->engine;
    struct rusage ru = {0};
    struct wal_stats wal = {0};

    *u = (struct usage){0};
    getrusage(RUSAGE_SELF, &ru);
    u->heap = mem_used();
    u->peak = (uint64_t)ru.ru_maxrss * 1024;
    list_each(it, &e->sessions) u->clients +=
        nq_container(it, struct session, link)->out.bytes;
    if (e->store != NULL) {
        frames_get_stats(store_frames(e->store), &u->pool);
        wal_get_stats(store_wal(e->store), &wal);
    }
    u->log_ring = wal.ring_size;
    u->keys = count_keys(rq);
}

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

void
cmd_memory_stats(struct req *rq)
{
    struct usage u;
    uint64_t total, data;

    measure(rq, &u);
    data = u.pool.used_bytes;
    total = u.heap + data;
    reply_map(rq, 15);
    put_number(rq, "peak.allocated", nq_max(u.peak, total));
    put_number(rq, "total.allocated", total);
    put_number(rq, "startup.allocated", 0);
    put_number(rq, "replication.backlog", 0);
    put_number(rq, "clients.slaves", 0);
    put_number(rq, "clients.normal", u.clients);
    put_number(rq, "aof.buffer", u.log_ring);
    put_number(rq, "overhead.total", u.heap);
    put_number(rq, "keys.count", u.keys);
    put_number(rq, "keys.bytes-per-key", u.keys == 0 ? 0 : data / u.keys);
    put_number(rq, "dataset.bytes", data);
    reply_bulk_str(rq, "dataset.percentage");
    reply_double(rq, total == 0 ? 0 : 100.0 * (double)data / (double)total);
    put_number(rq, "pool.bytes", u.pool.pool_bytes);
    put_number(rq, "pool.frames.dirty", u.pool.frames_dirty);
    put_number(rq, "pool.frames.pinned", u.pool.frames_pinned);
}

/* argv[3..]: SAMPLES n, 0 for all that make sense. */
static bool
parse_samples(struct req *rq, unsigned *samples)
{
    int64_t n;

    *samples = SAMPLES;
    if (rq->argc == 3)
        return true;
    if (rq->argc != 5 || !slice_is(rq->argv[3], "samples")) {
        reply_syntax(rq);
        return false;
    }
    if (!slice_to_i64(rq->argv[4], &n)) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    if (n < 0)
        reply_syntax(rq);
    *samples = n == 0 || n > SAMPLES_MAX ? SAMPLES_MAX : (unsigned)n;
    return n >= 0;
}

void
cmd_memory_usage(struct req *rq)
{
    struct entry e;
    uint64_t bytes, owned = 0;
    unsigned samples;
    nq_rc rc;

    if (!parse_samples(rq, &samples))
        return;
    rc = req_find(rq, 2, &e);
    if (rc == NQ_NOTFOUND) {
        reply_null(rq);
        return;
    }
    if (rc == NQ_OK)
        rc = db_owned_bytes(rq->db, &e.rec, samples, &owned);
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    bytes = owned + RECORD_OVERHEAD + rq->argv[2].len + e.rec.val.len;
    if (e.rec.expire_ms != 0)
        bytes += EXPIRY_BYTES;
    if (e.rec.type == DB_STRING && string_chunks(&e) > 0)
        bytes += string_chunks(&e) * CHUNK_OVERHEAD;
    reply_int(rq, (int64_t)bytes);
}

void
cmd_memory_doctor(struct req *rq)
{
    struct buf out = BUF_INIT;
    struct usage u;
    double frames;

    measure(rq, &u);
    frames = (double)nq_max(u.pool.frames, 1u);
    if ((double)u.pool.frames_used > POOL_IS_TIGHT * frames &&
        u.pool.evictions > 0)
        buf_put_str(&out, "The data is larger than the pool: reads go to "
                          "disk. Raise storage.buffer_pool_size if there is "
                          "memory.\n");
    if ((double)u.pool.frames_dirty > DIRTY_IS_HIGH * frames)
        buf_put_str(&out, "Most pages are dirty: the disk is slower than the "
                          "writers, who are held back.\n");
    if (u.clients > u.pool.pool_bytes / 4 && u.clients > 0)
        buf_put_str(&out, "Clients that do not read their replies hold much "
                          "memory: see CLIENT LIST, omem.\n");
    if (out.len == 0)
        buf_put_str(&out, "Nothing is wrong with memory.\n");
    reply_verbatim(rq, "txt", buf_slice(&out));
    buf_fini(&out);
}

void
cmd_memory_malloc_stats(struct req *rq)
{
    struct mallinfo2 mi = mallinfo2();
    struct buf out = BUF_INIT;

    buf_printf(&out,
               "allocator: glibc malloc\narena: %zu\nmapped: %zu\n"
               "in use: %zu\nfree: %zu\nreleasable: %zu\n",
               mi.arena, mi.hblkhd, mi.uordblks, mi.fordblks, mi.keepcost);
    reply_verbatim(rq, "txt", buf_slice(&out));
    buf_fini(&out);
}

void
cmd_memory_purge(struct req *rq)
{
    malloc_trim(0);
    reply_ok(rq);
}

void
cmd_memory_help(struct req *rq)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What may be wrong with memory.",
        "MALLOC-STATS",
        "    What the allocator tells.",
        "PURGE",
        "    Gives free memory back to the system.",
        "STATS",
        "    Where memory goes.",
        "USAGE <key> [SAMPLES <count>]",
        "    The bytes that a key and its value take.",
        NULL,
    };

    reply_help(rq, lines);
}
