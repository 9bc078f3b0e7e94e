/* tests/lib/fuzz_main.c - runs a fuzz target without a fuzzer.
 *
 *   fuzz_x CORPUS...      each a file, or a directory of files
 *
 * Gives every file to LLVMFuzzerTestOneInput, then FUZZ_ROUNDS (1000) inputs
 * made from them by small random changes; SEED repeats a run.  What was
 * given last is kept in FUZZ_LAST, if that is set, to find what crashed.
 *
 * main is weak: this object is linked into every test, and libFuzzer brings
 * its own. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

#define INPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
    __attribute__((weak));
int main(int argc, char **argv) __attribute__((weak));

struct input {
    uint8_t *p;
    size_t len;
};

static struct corpus {
    struct input *at;
    size_t count;
} corpus;

static int
load_file(const char *path, size_t size)
{
    struct input in = {nq_malloc(size + 1), size};
    int fd = open(path, O_RDONLY);

    if (fd < 0 || read(fd, in.p, size) != (ssize_t)size) {
        perror(path);
        return -1;
    }
    close(fd);
    corpus.at = nq_realloc(corpus.at, (corpus.count + 1) * sizeof in);
    corpus.at[corpus.count++] = in;
    return 0;
}

static int
load(const char *path)
{
    struct dirent **names;
    struct stat st;
    int n, bad = 0;

    if (stat(path, &st) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return load_file(path, (size_t)st.st_size);
    n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[1024];

        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && stat(file, &st) == 0)
            bad |= load_file(file, (size_t)st.st_size);
        free(names[i]);
    }
    free(names);
    return bad;
}

/* Runs on an exact copy, so that reading behind the end is seen. */
static void
run(const uint8_t *p, size_t len)
{
    const char *last = getenv("FUZZ_LAST");
    uint8_t *copy = nq_malloc(len);

    memcpy(copy, p, len);
    if (last != NULL) {
        FILE *f = fopen(last, "wb");

        if (f != NULL) {
            fwrite(p, 1, len, f);
            fclose(f);
        }
    }
    (void)LLVMFuzzerTestOneInput(copy, len);
    nq_free(copy);
}

/* One small change of the `len` bytes at `p` (room for INPUT_MAX). */
static size_t
change(struct rng *rng, uint8_t *p, size_t len)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '\r', '\n', '$'};
    size_t at = len == 0 ? 0 : (size_t)rng_below(rng, len);
    size_t n = 1 + (size_t)rng_below(rng, 16);

    switch (len == 0 ? 4 : rng_below(rng, 6)) {
    case 0:
        p[at] ^= (uint8_t)(1u << rng_below(rng, 8));
        return len;
    case 1:
        p[at] = edges[rng_below(rng, sizeof edges)];
        return len;
    case 2:
        return at;
    case 3:
        n = len - at < n ? len - at : n;
        memmove(p + at, p + at + n, len - at - n);
        return len - n;
    case 4:
        n = INPUT_MAX - len < n ? INPUT_MAX - len : n;
        memmove(p + at + n, p + at, len - at);
        for (size_t i = 0; i < n; i++)
            p[at + i] = (uint8_t)rng_next(rng);
        return len + n;
    default:
        n = len - at < n ? len - at : n;
        memmove(p + rng_below(rng, len - n + 1), p + at, n);
        return len;
    }
}

static void
run_changed(struct rng *rng, uint8_t *p)
{
    const struct input *in = &corpus.at[rng_below(rng, corpus.count)];
    size_t len = in->len < INPUT_MAX ? in->len : INPUT_MAX;

    memcpy(p, in->p, len);
    for (uint64_t n = 1 + rng_below(rng, 8); n > 0; n--)
        len = change(rng, p, len);
    run(p, len);
}

int
main(int argc, char **argv)
{
    const char *rounds = getenv("FUZZ_ROUNDS"), *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();
    uint64_t n = rounds != NULL ? strtoull(rounds, NULL, 10) : 1000;
    uint8_t *p = nq_malloc(INPUT_MAX);
    struct rng rng;

    if (LLVMFuzzerTestOneInput == NULL)
        return 2;
    for (int i = 1; i < argc; i++) {
        if (load(argv[i]) != 0)
            return 1;
    }
    if (corpus.count == 0) {
        fprintf(stderr, "%s: no corpus\n", argv[0]);
        return 1;
    }
    printf("%zu inputs, %llu changed ones, SEED=%llu\n", corpus.count,
           (unsigned long long)n, (unsigned long long)seed);
    fflush(stdout);
    rng_seed(&rng, seed);
    for (size_t i = 0; i < corpus.count; i++)
        run(corpus.at[i].p, corpus.at[i].len);
    for (uint64_t i = 0; i < n; i++)
        run_changed(&rng, p);
    for (size_t i = 0; i < corpus.count; i++)
        nq_free(corpus.at[i].p);
    nq_free(corpus.at);
    nq_free(p);
    return 0;
}
