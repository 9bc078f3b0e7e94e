/* codec/bases_speed.c - text of chance, and the inner loops of a variant run
 * over it, whatever variant is in use.  Called by NQ.DNA BENCH. */
#include "codec/bases_speed.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/bases_int.h"

#define SEED 4u
/* Source and target at the same place in their pages make the memcpy of some
 * processors several times slower. */
#define APART 1856u

struct bases_speed {
    size_t blocks;
    uint8_t *text, *copy; /* whole blocks */
    uint8_t *packed;      /* and what a search may read behind it */
    uint64_t *other, *lower;
    uint8_t *memory; /* all of them are in it */
    struct bases_pattern pattern;
    uint64_t sum; /* of results, so that no loop is left out */
};

struct bases_speed *
bases_speed_new(size_t n)
{
    size_t blocks = nq_max(n / BASES_BLOCK, 1u), len = blocks * BASES_BLOCK;
    struct bases_speed *s = nq_calloc(1, sizeof *s);
    struct rng rng;

    s->blocks = blocks;
    s->memory = nq_calloc(1, 2 * len + APART + len / 4 + BASES_STEP_READ);
    s->text = s->memory;
    s->copy = s->text + len + APART;
    s->packed = s->copy + len;
    s->other = nq_calloc(blocks, sizeof *s->other);
    s->lower = nq_calloc(blocks, sizeof *s->lower);
    rng_seed(&rng, SEED);
    for (size_t i = 0; i < len; i++)
        s->text[i] = (uint8_t) "ACGT"[rng_below(&rng, 4)];
    nq_assert(bases_pattern_parse(&s->pattern,
                                  slice_lit("GATTACAGATTACAGATTACARYN")));
    bases_scalar.pack(s->packed, s->other, s->lower, s->text, blocks);
    return s;
}

void
bases_speed_free(struct bases_speed *s)
{
    nq_free(s->memory);
    nq_free(s->other);
    nq_free(s->lower);
    nq_free(s);
}

void
bases_speed_run(struct bases_speed *s, enum bases_variant v,
                enum bases_loop loop)
{
    const struct bases_kernels *k = bases_kernels(v);
    struct bases_matches m;

    nq_assert(k != NULL);
    switch (loop) {
    case BASES_LOOP_COPY:
        memcpy(s->copy, s->text, s->blocks * BASES_BLOCK);
        break;
    case BASES_LOOP_PACK:
        s->sum += k->pack(s->packed, s->other, s->lower, s->text, s->blocks);
        break;
    case BASES_LOOP_UNPACK:
        k->unpack(s->copy, s->packed, s->blocks);
        break;
    case BASES_LOOP_COUNT:
        s->sum += k->count(s->text, s->blocks);
        break;
    case BASES_LOOP_FIND:
        s->sum += k->find(s->packed, s->blocks * BASES_BLOCK / 4 / BASES_STEP,
                          &s->pattern, &m);
        break;
    case BASES_LOOPS:
        break;
    }
    /* What was written is looked at, as far as the compiler knows. */
    __asm__ volatile("" : : "r"(s->memory) : "memory");
}

const char *
bases_loop_name(enum bases_loop loop)
{
    static const char *const names[BASES_LOOPS] = {
        [BASES_LOOP_COPY] = "memcpy",   [BASES_LOOP_PACK] = "pack",
        [BASES_LOOP_UNPACK] = "unpack", [BASES_LOOP_COUNT] = "count",
        [BASES_LOOP_FIND] = "find",
    };

    return (unsigned)loop < BASES_LOOPS ? names[loop] : "unknown";
}
