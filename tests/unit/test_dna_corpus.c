/* Real nucleotide text comes back, and takes no more than it should.
 *
 * NQDB_DATA (../shared/data/compress) is a directory of files packed by
 * zstd; without it nothing is tested, and that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zstd.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/dna.h"

#define PACKED_MAX ((size_t)4 << 20)
#define CHUNK 65536u

struct file {
    uint8_t *p;
    size_t len;
};

static struct file
load(const char *dir, const char *name)
{
    uint8_t *packed = nq_malloc(PACKED_MAX);
    struct file f;
    char path[1024];
    FILE *in;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    in = fopen(path, "rb");
    assert_non_null(in);
    n = fread(packed, 1, PACKED_MAX, in);
    fclose(in);
    f.len = (size_t)ZSTD_getFrameContentSize(packed, n);
    assert_in_range(f.len, 1, (size_t)64 << 20);
    f.p = nq_malloc(f.len);
    assert_int_equal(ZSTD_decompress(f.p, f.len, packed, n), f.len);
    nq_free(packed);
    return f;
}

/* Bytes that the file takes in blocks of `size`. */
static size_t
packed(const struct file *f, size_t size, bool patterns)
{
    struct dna_opts opts = {.level = 6, .patterns = patterns};
    uint8_t *out = nq_malloc(size), *back = nq_malloc(size);
    size_t total = 0;

    for (size_t at = 0; at < f->len; at += size) {
        size_t len = nq_min(size, f->len - at), n;

        n = dna_encode(&opts, out, len, f->p + at, len);
        if (n > 0) {
            assert_int_equal(dna_decode(back, len, out, n), NQ_OK);
            assert_memory_equal(back, f->p + at, len);
        }
        total += n > 0 ? n : len;
    }
    nq_free(out);
    nq_free(back);
    return total;
}

static bool
ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

static void
check_file(const char *dir, const char *name)
{
    struct file f = load(dir, name);
    double len = (double)f.len;
    size_t small = packed(&f, CHUNK, false), repeats = packed(&f, CHUNK, true);
    size_t large = packed(&f, DNA_BLOCK_MAX, true);

    printf("%-32s %8zu bytes: 64 KiB %.4f, with repeats %.4f, 1 MiB %.4f\n",
           name, f.len, (double)small / len, (double)repeats / len,
           (double)large / len);
    assert_true(repeats <= small + 16 && large <= repeats * 102 / 100);
    if (ends_in(name, ".fa.zst"))
        assert_in_range(small, 1, f.len * 252 / 1000);
    nq_free(f.p);
}

static void
real_files_come_back_small(void **state)
{
    const char *env = getenv("NQDB_DATA");
    const char *dir = env != NULL ? env : "../shared/data/compress";
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);

    (void)state;
    if (n < 0) {
        printf("SKIP no files in %s (NQDB_DATA)\n", dir);
        skip();
    }
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;

        if (ends_in(name, ".fa.zst") || ends_in(name, ".fq.zst") ||
            ends_in(name, ".gb.zst"))
            check_file(dir, name);
        free(names[i]);
    }
    free(names);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_files_come_back_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
