/* cmd/cmd_dna.c - NQ.DNA STATS, BENCH and HELP: what compression did, and how
 * fast its inner loops are here. */
#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/offload.h"
#include "cmd/reply.h"
#include "codec/bases_speed.h"
#include "codec/pack.h"
#include "os/clock.h"
#include "store/store.h"

/* --- STATS ---------------------------------------------------------------- */

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

/* Bytes out for each byte in; 1 if there are none. */
static void
put_ratio(struct req *rq, const struct pack_count *c)
{
    double in = (double)c->bytes_in;

    reply_bulk_str(rq, "ratio");
    reply_bulk_printf(rq, "%.4f", in > 0 ? (double)c->bytes_out / in : 1.0);
}

/* The fields of put_ratio and these: 4. */
static void
put_count(struct req *rq, const struct pack_count *c)
{
    put_number(rq, "blocks", c->blocks);
    put_number(rq, "bytes-in", c->bytes_in);
    put_number(rq, "bytes-out", c->bytes_out);
    put_ratio(rq, c);
}

static void
put_codecs(struct req *rq, const struct pack_stats *st)
{
    reply_bulk_str(rq, "codecs");
    reply_map(rq, PACK_CODECS);
    for (unsigned i = 0; i < PACK_CODECS; i++) {
        reply_bulk_str(rq, pack_stats_name(i));
        reply_map(rq, 5);
        put_number(rq, "tried", st->tried[i]);
        put_count(rq, &st->codec[i]);
    }
}

static void
put_classes(struct req *rq, const struct pack_stats *st)
{
    reply_bulk_str(rq, "classes");
    reply_map(rq, DATA_CLASSES);
    for (unsigned i = 0; i < DATA_CLASSES; i++) {
        reply_bulk_str(rq, detect_class_name((enum data_class)i));
        reply_map(rq, 4);
        put_count(rq, &st->class[i]);
    }
}

/* NQ.DNA STATS: what packing blocks for the disk came to since the start, or
 * since CONFIG RESETSTAT; by the codec that won, and by kind of data. */
void
cmd_nq_dna_stats(struct req *rq)
{
    struct pack_count sum = {0};
    struct pack_stats st;
    struct pack_opts opts;

    store_get_pack(rq->engine->store, &opts, &st);
    for (unsigned i = 0; i < PACK_CODECS; i++) {
        sum.blocks += st.codec[i].blocks;
        sum.bytes_in += st.codec[i].bytes_in;
        sum.bytes_out += st.codec[i].bytes_out;
    }
    reply_map(rq, 10);
    put_number(rq, "enabled", opts.enabled);
    reply_bulk_str(rq, "simd");
    reply_bulk_str(rq, bases_variant_name(bases_variant()));
    put_number(rq, "level", opts.level);
    put_count(rq, &sum);
    put_number(rq, "pack-us", st.pack_us);
    put_codecs(rq, &st);
    put_classes(rq, &st);
}

/* --- BENCH ---------------------------------------------------------------- */

#define BENCH_BYTES 65536u
#define BENCH_SECONDS 0.5
#define BENCH_SECONDS_MAX 1.0
#define ROUNDS 9

struct bench {
    struct offload offload;
    uint64_t ns;                                  /* for all */
    double gb_per_s[BASES_VARIANTS][BASES_LOOPS]; /* 0: not here */
};

static void
free_bench(struct offload *o)
{
    nq_free(nq_container(o, struct bench, offload));
}

/* GB/s in about `ns`. */
static double
measure(struct bases_speed *s, enum bases_variant v, enum bases_loop loop,
        uint64_t ns)
{
    uint64_t begin = clock_mono_ns(), now = begin, runs = 0;

    do {
        bases_speed_run(s, v, loop);
        runs++;
        now = clock_mono_ns();
    } while (now - begin < ns);
    return (double)(runs * BENCH_BYTES) / (double)(now - begin);
}

/* The best of some rounds: what disturbs only makes slower. */
static void
run_bench(struct offload *o)
{
    struct bench *b = nq_container(o, struct bench, offload);
    struct bases_speed *s = bases_speed_new(BENCH_BYTES);
    unsigned variants = 0;
    uint64_t each;

    for (unsigned v = 0; v < BASES_VARIANTS; v++)
        variants += bases_has((enum bases_variant)v);
    each = b->ns / (ROUNDS * BASES_LOOPS * nq_max(variants, 1u));
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned v = 0; v < BASES_VARIANTS; v++) {
            for (unsigned l = 0; l < BASES_LOOPS; l++) {
                double *best = &b->gb_per_s[v][l];

                if (bases_has((enum bases_variant)v))
                    *best = fmax(*best, measure(s, (enum bases_variant)v,
                                                (enum bases_loop)l, each));
            }
        }
    }
    bases_speed_free(s);
}

static void
put_row(struct req *rq, const struct bench *b, enum bases_variant v)
{
    reply_map(rq, 2 + BASES_LOOPS);
    reply_bulk_str(rq, "variant");
    reply_bulk_str(rq, bases_variant_name(v));
    put_number(rq, "in-use", v == bases_variant());
    for (unsigned l = 0; l < BASES_LOOPS; l++) {
        reply_bulk_str(rq, bases_loop_name((enum bases_loop)l));
        reply_bulk_printf(rq, "%.2f", b->gb_per_s[v][l]);
    }
}

static struct bench *
begin_bench(struct req *rq)
{
    double seconds = BENCH_SECONDS;
    struct bench *b;

    if (rq->argc > 3) {
        reply_syntax(rq);
        return NULL;
    }
    if (rq->argc == 3 && !arg_double(rq, 2, NULL, &seconds))
        return NULL;
    if (seconds <= 0 || seconds > BENCH_SECONDS_MAX) {
        reply_error(rq, "it may take more than 0 and at most %g seconds",
                    BENCH_SECONDS_MAX);
        return NULL;
    }
    b = nq_calloc(1, sizeof *b);
    b->ns = (uint64_t)(seconds * 1e9);
    offload_init(rq, &b->offload, run_bench, free_bench);
    (void)offload_start(rq, &b->offload);
    return NULL;
}

/* NQ.DNA BENCH [seconds]: GB of text a second in 64 KiB, one row for each
 * variant of the inner loops that this machine has, memcpy in each. */
void
cmd_nq_dna_bench(struct req *rq)
{
    struct bench *b =
        rq->state == NULL
            ? begin_bench(rq)
            : nq_container((struct offload *)rq->state, struct bench, offload);
    struct reply_deferred d;
    uint64_t rows = 0;

    if (b == NULL || !offload_is_done(rq, &b->offload))
        return;
    d = reply_array_begin(rq);
    for (unsigned v = 0; v < BASES_VARIANTS; v++) {
        if (bases_has((enum bases_variant)v)) {
            put_row(rq, b, (enum bases_variant)v);
            rows++;
        }
    }
    reply_array_end(rq, d, rows);
}

/* --- HELP ----------------------------------------------------------------- */

void
cmd_nq_dna_help(struct req *rq)
{
    static const char *const lines[] = {
        "BENCH [<seconds>]",
        "    GB/s of the inner loops, a row for each variant; at most 1 s.",
        "COMPRESS <data>",
        "    The data packed with the codec that is best for it.",
        "DECODE <bytes>",
        "    What ENCODE or COMPRESS packed.",
        "DECOMPRESS <bytes>",
        "    The same.",
        "ENCODE <text>",
        "    Nucleotide text at two bits a base; anything else as it is.",
        "FIND <key> <pattern> [FROM <n>] [COUNT <n>] [BOTH]",
        "    Positions of a pattern in IUPAC codes in the sequence at a key,",
        "    1000 unless COUNT says otherwise; BOTH strands, as pairs.",
        "HAMMING <key> <key>",
        "    In how many places two sequences of one length differ.",
        "STATS",
        "    What packing for the disk came to, by codec and kind of data.",
        NULL,
    };

    reply_help(rq, lines);
}
