/* What a WHERE costs a row: the same sensor readings as hashes packed into
 * records and as JSON in strings, one thread, processor time.
 *
 *   query [-n rows] [-r rounds] [WHERE ...]
 *
 * Each line is: the question, the share of rows that match, and for hashes and
 * for JSON a million rows a second (medians over the rounds, side by side in
 * each round) and nanoseconds a row. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/coll_int.h"
#include "db/coll_packed.h"
#include "db/rows.h"
#include "query/program.h"

#define ROUNDS_MAX 31
#define FIELDS 8

struct readings {
    unsigned n;
    struct record *hashes, *strings;
    char (*keys)[32];
};

static double
cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- rows ----------------------------------------------------------------- */

static struct record
string_record(const char *text)
{
    size_t n = strlen(text);

    return (struct record){.val = slice_of(nq_memdup(text, n), n),
                           .type = DB_STRING};
}

struct field {
    char name[16], value[32];
};

static struct record
hash_record(const struct field *fields)
{
    struct buf b = BUF_INIT;

    coll_value_packed(buf_reserve(&b, 1 + COLL_PACKED_SIZE), slice_lit(""),
                      FIELDS);
    b.len = 1 + COLL_PACKED_SIZE;
    for (unsigned i = 0; i < FIELDS; i++) {
        struct slice name = slice_str(fields[i].name);
        struct slice value = slice_str(fields[i].value);
        size_t size = packed_size(name, value, 0);

        packed_write(buf_reserve(&b, size), name, value, 0);
        b.len += size;
    }
    return (struct record){.val = buf_slice(&b), .type = DB_HASH};
}

/* Reading number `i`, both ways. */
static void
make(struct readings *d, unsigned i, struct rng *rng)
{
    const char *site = rng_below(rng, 4) == 0 ? "north" : "south";
    unsigned temp = (unsigned)rng_below(rng, 1000);
    unsigned humidity = (unsigned)rng_below(rng, 1000);
    unsigned battery = (unsigned)rng_below(rng, 100);
    struct field f[FIELDS] = {{"id", ""},      {"site", ""},   {"name", ""},
                              {"time", ""},    {"temp", ""},   {"humidity", ""},
                              {"battery", ""}, {"state", "ok"}};
    char text[512];

    snprintf(f[0].value, sizeof f[0].value, "%u", i);
    snprintf(f[1].value, sizeof f[1].value, "%s", site);
    snprintf(f[2].value, sizeof f[2].value, "sensor number %u", i % 100);
    snprintf(f[3].value, sizeof f[3].value, "%u", 1700000000 + i);
    snprintf(f[4].value, sizeof f[4].value, "%u.%u", temp / 10, temp % 10);
    snprintf(f[5].value, sizeof f[5].value, "%u.%u", humidity / 10,
             humidity % 10);
    snprintf(f[6].value, sizeof f[6].value, "%u", battery);
    snprintf(text, sizeof text,
             "{\"id\":%s,\"site\":\"%s\",\"name\":\"%s\",\"time\":%s,"
             "\"temp\":%s,\"humidity\":%s,\"battery\":%s,\"ok\":true,"
             "\"state\":\"ok\",\"tags\":[\"a\",\"b\"],"
             "\"at\":{\"lat\":52.1,\"lon\":13.4}}",
             f[0].value, site, f[2].value, f[3].value, f[4].value, f[5].value,
             f[6].value);
    d->hashes[i] = hash_record(f);
    d->strings[i] = string_record(text);
    snprintf(d->keys[i], sizeof d->keys[i], "sensor:%u:%010u", i % 100, i);
}

static void
make_all(struct readings *d)
{
    struct rng rng;

    rng_seed(&rng, 1);
    d->hashes = nq_calloc(d->n, sizeof *d->hashes);
    d->strings = nq_calloc(d->n, sizeof *d->strings);
    d->keys = nq_calloc(d->n, sizeof *d->keys);
    for (unsigned i = 0; i < d->n; i++)
        make(d, i, &rng);
}

static void
free_all(struct readings *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        nq_free((void *)(uintptr_t)d->hashes[i].val.p);
        nq_free((void *)(uintptr_t)d->strings[i].val.p);
    }
    nq_free(d->hashes);
    nq_free(d->strings);
    nq_free(d->keys);
}

/* --- runs ----------------------------------------------------------------- */

/* Seconds for all rows; *matches: how many it is true of. */
static double
run(const struct readings *d, const struct record *records,
    const struct program *p, struct row_scratch *scratch, unsigned *matches)
{
    unsigned needs = program_needs(p);
    double begun = cpu_seconds();

    *matches = 0;
    for (unsigned i = 0; i < d->n; i++) {
        struct row_fields fields;
        struct row row;

        if (db_row_near(slice_str(d->keys[i]), &records[i], needs, 1, &fields,
                        &row) != ROW_NEAR)
            continue;
        row_scratch_next(scratch);
        *matches += program_run(p, &row, scratch) == TRUTH_TRUE;
    }
    return cpu_seconds() - begun;
}

static int
cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double
median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, cmp_double);
    return v[n / 2];
}

static void
bench(const struct readings *d, const char *text, unsigned rounds)
{
    struct row_scratch *scratch = row_scratch_new();
    struct slice arg = slice_str(text);
    double hash[ROUNDS_MAX], json[ROUNDS_MAX], h, j;
    unsigned in_hashes = 0, in_json = 0;
    struct query_error err;
    struct program *p;

    if (program_compile(&arg, 1, &p, &err) != NQ_OK) {
        fprintf(stderr, "%s: %s\n", text, err.text);
        exit(2);
    }
    for (unsigned i = 0; i < rounds; i++) {
        hash[i] = run(d, d->hashes, p, scratch, &in_hashes);
        json[i] = run(d, d->strings, p, scratch, &in_json);
    }
    h = median(hash, rounds) / d->n;
    j = median(json, rounds) / d->n;
    printf("%-40s %5.1f%% %5.1f%% %8.2f %6.0f %8.2f %6.0f\n", text,
           100.0 * in_hashes / d->n, 100.0 * in_json / d->n, 1e-6 / h, h * 1e9,
           1e-6 / j, j * 1e9);
    program_unref(p);
    row_scratch_free(scratch);
}

int
main(int argc, char **argv)
{
    static const char *const questions[] = {
        "temp > 25",
        "temp > 99",
        "temp < 1000",
        "battery BETWEEN 10 AND 20",
        "temp > 90 AND site = \"north\"",
        "site = \"north\"",
        "site = \"north\" OR temp > 99",
        "id IN (1, 5, 77, 1000)",
        "name LIKE \"sensor number 7%\"",
        "at.lat > 100",
        "nothing > 5",
        "$key LIKE \"sensor:7:%\"",
    };
    struct readings d = {.n = 20000};
    unsigned rounds = 9;
    int opt;

    while ((opt = getopt(argc, argv, "n:r:")) != -1) {
        if (opt == 'n') {
            d.n = (unsigned)strtoul(optarg, NULL, 10);
        } else if (opt == 'r') {
            rounds = (unsigned)strtoul(optarg, NULL, 10);
        } else {
            fprintf(stderr, "usage: query [-n rows] [-r rounds] [WHERE ...]\n");
            return 2;
        }
    }
    d.n = nq_max(1u, d.n);
    rounds = nq_max(1u, nq_min(rounds, ROUNDS_MAX));
    make_all(&d);
    printf("%-40s %13s %15s %15s\n%-40s %6s %6s %8s %6s %8s %6s\n", "", "match",
           "hashes", "JSON", "WHERE", "hashes", "JSON", "M rows/s", "ns",
           "M rows/s", "ns");
    if (optind < argc)
        for (int i = optind; i < argc; i++)
            bench(&d, argv[i], rounds);
    else
        for (unsigned i = 0; i < nq_countof(questions); i++)
            bench(&d, questions[i], rounds);
    free_all(&d);
    program_cache_clear();
    return 0;
}
