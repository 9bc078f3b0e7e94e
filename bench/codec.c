/* Speed of the codec's inner loops beside memcpy over the same text in the
 * same round, by processor time of the thread: what neighbours do matters
 * little then.
 *
 *   codec [-r rounds] [-s bytes,bytes...] [-v variant]
 *
 * Each line is: what, size, GB/s of text (median over the rounds), and the
 * share of memcpy's speed (median, least and most over the rounds). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/bases.h"
#include "codec/crc32c.h"
#include "codec/dna.h"
#include "codec/numeric.h"

#define ROUNDS_MAX 99
#define FASTA_LINE 70
#define RUN_US 4000 /* each measurement takes at least so long */
/* Source and target at the same place in their pages make some processors'
 * memcpy several times slower. */
#define APART 1856

struct job {
    size_t n;
    uint8_t *text;   /* bases, some of them in lower case */
    uint8_t *copy;   /* where text goes to */
    uint8_t *packed; /* the text packed */
    uint8_t *other_packed;
    uint64_t *other, *lower;
    uint8_t *fasta;   /* all in upper case, in lines, behind a header */
    uint8_t *masked;  /* text in such lines */
    uint8_t *numbers; /* lines of a time and a value */
    uint8_t *blocks;  /* one of those, as its codec packs it */
    uint64_t sum;     /* keeps results from being optimised away */
};

static void
run_memcpy(struct job *j)
{
    memcpy(j->copy, j->text, j->n);
    __asm__ volatile("" : : "r"(j->copy) : "memory");
}

static void
run_pack(struct job *j)
{
    j->sum += bases_pack(j->packed, j->other, j->lower, j->text, j->n);
}

static void
run_unpack(struct job *j)
{
    bases_unpack((char *)j->copy, j->packed, 0, j->n);
}

static void
run_unpack_from_1(struct job *j)
{
    bases_unpack((char *)j->copy, j->packed, 1, j->n - 1);
}

static void
run_count(struct job *j)
{
    j->sum += bases_count(j->text, j->n);
}

static void
run_find(struct job *j)
{
    static struct bases_pattern p;

    if (p.length == 0 &&
        !bases_pattern_parse(&p, slice_lit("GATTACAGATTACAGATTACARYN")))
        return;
    j->sum += bases_find(j->packed, j->n, &p, 0);
}

static void
run_hamming(struct job *j)
{
    j->sum += bases_hamming(j->packed, j->other_packed, j->n);
}

static void
run_revcomp(struct job *j)
{
    bases_revcomp(j->other_packed, j->packed, j->n);
}

static void
run_crc(struct job *j)
{
    j->sum += crc32c(0, j->text, j->n);
}

/* Block by block, as they are stored; *packed moves on. */
typedef void block_fn(struct job *j, size_t at, size_t len, uint8_t **packed);

static void
for_blocks(struct job *j, block_fn *fn)
{
    uint8_t *packed = j->blocks;

    for (size_t at = 0; at < j->n; at += DNA_BLOCK_MAX)
        fn(j, at, nq_min(j->n - at, DNA_BLOCK_MAX), &packed);
}

/* Behind the packed block's length. */
static void
put_block(uint8_t **packed, size_t len)
{
    uint64_t head = len;

    memcpy(*packed, &head, 8);
    *packed += 8 + len;
}

static const uint8_t *
get_block(uint8_t **packed, size_t *len)
{
    const uint8_t *p = *packed + 8;
    uint64_t head;

    memcpy(&head, *packed, 8);
    *len = (size_t)head;
    *packed += 8 + *len;
    return p;
}

static void
pack_bases(const uint8_t *src, size_t len, uint8_t **packed)
{
    struct dna_opts opts = {.level = 1};

    put_block(packed, dna_encode(&opts, *packed + 8, len, src, len));
}

static void
pack_fasta(struct job *j, size_t at, size_t len, uint8_t **packed)
{
    pack_bases(j->fasta + at, len, packed);
}

static void
pack_masked(struct job *j, size_t at, size_t len, uint8_t **packed)
{
    pack_bases(j->masked + at, len, packed);
}

static void
unpack_bases(struct job *j, size_t at, size_t len, uint8_t **packed)
{
    size_t packed_len;
    const uint8_t *p = get_block(packed, &packed_len);

    nq_assert(dna_decode(j->copy + at, len, p, packed_len) == NQ_OK);
}

static void
pack_numbers(struct job *j, size_t at, size_t len, uint8_t **packed)
{
    put_block(packed,
              numeric_encode(*packed + 8, len, j->numbers + at, len, 1));
}

static void
unpack_numbers(struct job *j, size_t at, size_t len, uint8_t **packed)
{
    size_t packed_len;
    const uint8_t *p = get_block(packed, &packed_len);

    nq_assert(numeric_decode(j->copy + at, len, p, packed_len) == NQ_OK);
}

static void
run_fasta(struct job *j)
{
    for_blocks(j, pack_fasta);
}

static void
run_masked(struct job *j)
{
    for_blocks(j, pack_masked);
}

/* What was packed last. */
static void
run_bases_back(struct job *j)
{
    for_blocks(j, unpack_bases);
}

static void
run_numbers(struct job *j)
{
    for_blocks(j, pack_numbers);
}

static void
run_numbers_back(struct job *j)
{
    for_blocks(j, unpack_numbers);
}

static const struct subject {
    const char *name;
    void (*run)(struct job *j);
    bool has_variants;
} subjects[] = {
    {"memcpy", run_memcpy, false},
    {"pack", run_pack, true},
    {"unpack", run_unpack, true},
    {"unpack from base 1", run_unpack_from_1, true},
    {"FASTA unwrap and pack", run_fasta, true},
    {"FASTA unpack and wrap", run_bases_back, true},
    {"masked FASTA pack", run_masked, true},
    {"masked FASTA unpack", run_bases_back, true},
    {"count nucleotides", run_count, true},
    {"find 24 bases", run_find, true},
    {"hamming", run_hamming, false},
    {"reverse complement", run_revcomp, false},
    {"crc32c", run_crc, false},
    {"numbers pack", run_numbers, false},
    {"numbers unpack", run_numbers_back, false},
};
#define SUBJECTS nq_countof(subjects)

static double
cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* GB of text a second. */
static double
measure(const struct subject *s, struct job *j)
{
    double begun = cpu_us(), took;
    unsigned runs = 0;

    do {
        s->run(j);
        runs++;
        took = cpu_us() - begun;
    } while (took < RUN_US);
    return (double)j->n * runs / took / 1e3;
}

static int
by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void
report(const char *name, size_t n, double *speed, double *share, unsigned r)
{
    qsort(speed, r, sizeof *speed, by_value);
    qsort(share, r, sizeof *share, by_value);
    printf("%-28s %9zu B %7.2f GB/s %6.2f of memcpy (%.2f to %.2f)\n", name, n,
           speed[r / 2], share[r / 2], share[0], share[r - 1]);
}

/* One table of speeds: a variant at a size, memcpy in each round anew. */
static void
bench(struct job *j, enum bases_variant v, bool is_first, unsigned rounds)
{
    static double speed[SUBJECTS][ROUNDS_MAX], share[SUBJECTS][ROUNDS_MAX];
    char name[64], why[200];

    if (bases_choose(v, why, sizeof why) != NQ_OK)
        return;
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < SUBJECTS; i++) {
            if (!subjects[i].has_variants && !is_first && i > 0)
                continue;
            speed[i][r] = measure(&subjects[i], j);
            share[i][r] = speed[i][r] / speed[0][r];
        }
    }
    for (unsigned i = 0; i < SUBJECTS; i++) {
        if (!subjects[i].has_variants && !is_first)
            continue;
        snprintf(name, sizeof name, "%s%s%s", subjects[i].name,
                 subjects[i].has_variants ? ", " : "",
                 subjects[i].has_variants ? bases_variant_name(v) : "");
        report(name, j->n, speed[i], share[i], rounds);
    }
}

/* The text in lines, the last of which is cut off. */
static void
wrap(uint8_t *dst, const struct job *j)
{
    static const char header[] = ">chr1 made up\n";
    size_t at = nq_min(sizeof header - 1, j->n);

    memcpy(dst, header, at);
    for (size_t from = 0; at < j->n; from += FASTA_LINE) {
        size_t len = nq_min(j->n - at, FASTA_LINE);

        memcpy(dst + at, j->text + from, len);
        at += len;
        if (at < j->n)
            dst[at++] = '\n';
    }
}

static void
fill_numbers(struct job *j, struct rng *rng)
{
    unsigned time = 1700000000, value = 50000;

    for (size_t at = 0; at < j->n;) {
        char line[40];
        size_t len;

        time += 10;
        value += (unsigned)rng_below(rng, 201) - 100;
        len = (size_t)snprintf(line, sizeof line, "%u,%u.%02u\n", time,
                               value / 100 % 1000, value % 100);
        len = nq_min(len, j->n - at);
        memcpy(j->numbers + at, line, len);
        at += len;
    }
}

/* Random bases; every 5000 or so a stretch of 700 in lower case, and a stretch
 * of N. */
static void
fill(struct job *j)
{
    struct rng rng;

    rng_seed(&rng, 1);
    for (size_t i = 0; i < j->n; i++)
        j->text[i] = (uint8_t) "ACGT"[rng_next(&rng) % 4];
    wrap(j->fasta, j);
    for (size_t i = 0; i + 1000 < j->n; i += 1000 + rng_below(&rng, 8000)) {
        bases_lower((char *)j->text + i, 700);
        memset(j->text + i + 800, 'N', 1 + rng_below(&rng, 100));
    }
    wrap(j->masked, j);
    fill_numbers(j, &rng);
    run_pack(j);
    memcpy(j->other_packed, j->packed, BASES_BYTES(j->n));
    run_memcpy(j);
}

static void
bench_size(size_t n, enum bases_variant only, unsigned rounds)
{
    struct job j = {
        .n = n,
        .text = nq_malloc(n),
        .copy = (uint8_t *)nq_calloc(1, n + APART) + APART,
        .packed = nq_malloc(BASES_BYTES(n)),
        .other_packed = nq_malloc(BASES_BYTES(n)),
        .other = nq_malloc(8 * BASES_WORDS(n)),
        .lower = nq_malloc(8 * BASES_WORDS(n)),
        .fasta = nq_malloc(n),
        .masked = nq_malloc(n),
        .numbers = nq_malloc(n),
        .blocks = nq_malloc(n + 8 * (n / DNA_BLOCK_MAX + 1)),
    };
    bool is_first = true;

    fill(&j);
    for (unsigned v = BASES_VARIANTS; v-- > 0;) {
        if (!bases_has(v) || (only != BASES_AUTO && only != v))
            continue;
        bench(&j, v, is_first, rounds);
        is_first = false;
    }
    if (j.sum == 42)
        puts("(the sum of all results is 42)");
    nq_free(j.text);
    nq_free(j.copy - APART);
    nq_free(j.packed);
    nq_free(j.other_packed);
    nq_free(j.other);
    nq_free(j.lower);
    nq_free(j.fasta);
    nq_free(j.masked);
    nq_free(j.numbers);
    nq_free(j.blocks);
}

int
main(int argc, char **argv)
{
    const char *sizes = "65536,67108864";
    unsigned only = BASES_AUTO, rounds = 9;
    int opt;

    while ((opt = getopt(argc, argv, "r:s:v:")) != -1) {
        if (opt == 'r') {
            rounds = (unsigned)strtoul(optarg, NULL, 10);
        } else if (opt == 's') {
            sizes = optarg;
        } else if (opt == 'v') {
            for (only = 0; only < BASES_AUTO; only++) {
                if (strcmp(optarg, bases_variant_name(only)) == 0)
                    break;
            }
        } else {
            fprintf(stderr, "usage: codec [-r rounds] [-s bytes,bytes...] "
                            "[-v variant]\n");
            return 2;
        }
    }
    rounds = nq_max(1u, nq_min(rounds, ROUNDS_MAX));
    while (*sizes != '\0') {
        char *end;
        size_t n = strtoul(sizes, &end, 10);

        if (n >= 64)
            bench_size(n, only, rounds);
        sizes = *end == ',' ? end + 1 : "";
    }
    return 0;
}
