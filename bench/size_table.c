/* bench/size_table.c - how small blocks of files become, by size of block:
 * zstd level 3, two bits a base, and what the server would store.
 *
 *   size_table [-l LEVEL] [-o DIR] FILE.zst ...
 *
 * Lines are: file, bytes, block size, zstd 3, two-bit, ours (bytes each, no
 * headers), ours with a dictionary that was trained from the first half of
 * the file, and zstd 3, both over the second half (1 KB blocks only, else 0),
 * and the codecs of ours.  -o writes the unpacked files to a directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/dict_train.h"
#include "codec/dna.h"
#include "codec/pack.h"
#include "codec/zpack.h"

#define WHOLE (1u << 20) /* chunks of big values */
#define ZSTD_PLAIN 3
#define JUDGED_EVERY 4u

static struct pack_opts opts;

struct sums {
    uint64_t zstd, two_bit, ours;
    unsigned won[PACK_CODECS];
};

static void
must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "size_table: %s\n", what);
        exit(1);
    }
}

static struct slice
read_packed(const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned long long raw;
    uint8_t *src, *dst;
    long n = 0;

    must(f != NULL && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0, path);
    rewind(f);
    src = nq_malloc((size_t)n);
    must(fread(src, 1, (size_t)n, f) == (size_t)n, path);
    fclose(f);
    raw = ZSTD_getFrameContentSize(src, (size_t)n);
    must(raw > 0 && raw < 1u << 30, path);
    dst = nq_malloc(raw);
    must(ZSTD_decompress(dst, raw, src, (size_t)n) == raw, path);
    nq_free(src);
    return slice_of(dst, raw);
}

static size_t
plain(struct slice b, uint8_t *dst)
{
    static ZSTD_CCtx *c;
    size_t n;

    if (c == NULL)
        c = ZSTD_createCCtx();
    n = ZSTD_compressCCtx(c, dst, ZSTD_compressBound(b.len), b.p, b.len,
                          ZSTD_PLAIN);
    return nq_min(n, b.len);
}

static size_t
ours(struct slice b, const struct dicts *dicts, const struct dict *dict,
     uint8_t *dst, uint8_t *codec)
{
    size_t n = pack_block(&opts, dict, b.p, b.len, dst, b.len, codec);
    uint8_t *back;

    if (n == 0) {
        *codec = BLOCK_RAW;
        return b.len;
    }
    back = nq_malloc(b.len);
    must(unpack_block(*codec, dicts, back, b.len, dst, n) == NQ_OK &&
             memcmp(back, b.p, b.len) == 0,
         "it did not come back");
    nq_free(back);
    return n;
}

static void
measure(struct slice file, size_t block, struct sums *s)
{
    struct dna_opts two_bit = {.level = ZSTD_PLAIN, .chunk = opts.chunk};
    uint8_t *dst = nq_malloc(ZSTD_compressBound(block));

    memset(s, 0, sizeof *s);
    for (size_t at = 0; at < file.len; at += block) {
        struct slice b = slice_of(file.p + at, nq_min(block, file.len - at));
        uint8_t codec;
        size_t n;

        s->zstd += plain(b, dst);
        n = dna_encode(&two_bit, dst, b.len, b.p, b.len);
        s->two_bit += n == 0 ? b.len : n;
        s->ours += ours(b, NULL, NULL, dst, &codec);
        s->won[pack_stats_index(codec)]++;
    }
    nq_free(dst);
}

static void
train(struct slice half, size_t block, struct dict_trained *out)
{
    unsigned all = (unsigned)(half.len / block);
    struct slice *blocks = nq_calloc(all + 1, sizeof *blocks);
    uint8_t *samples = nq_malloc(half.len + 1);
    size_t *lens = nq_calloc(all + 1, sizeof *lens);
    struct dict_corpus c = {.samples = samples,
                            .lens = lens,
                            .blocks = blocks,
                            .stand_for = 1000000,
                            .level = opts.level,
                            .max_bytes = opts.dict_bytes};

    for (unsigned i = 0; i < all; i++) {
        const uint8_t *p = half.p + i * block;

        if (i % JUDGED_EVERY == 0) {
            blocks[c.blocks_count++] = slice_of(p, block);
        } else {
            memcpy(samples + c.count * block, p, block);
            lens[c.count++] = block;
        }
    }
    dict_train(&c, out);
    nq_free(blocks);
    nq_free(samples);
    nq_free(lens);
}

/* Over the second half of the file. */
static void
measure_dictionary(struct slice file, size_t block, uint64_t *with,
                   uint64_t *zstd)
{
    size_t half = file.len / 2 / block * block;
    struct dicts *dicts = dicts_new();
    uint8_t *dst = nq_malloc(ZSTD_compressBound(block)), codec;
    struct dict_info info = {.slot = 1};
    struct dict_trained t;

    *with = *zstd = 0;
    train(slice_of(file.p, half), block, &t);
    info.bytes = slice_of(t.bytes, t.len);
    must(t.bytes != NULL && dicts_put(dicts, &info) == NQ_OK, "training");
    for (size_t at = half; at + block <= file.len; at += block) {
        struct slice b = slice_of(file.p + at, block);

        *zstd += plain(b, dst);
        *with += ours(b, dicts, dicts_get(dicts, 1), dst, &codec);
    }
    nq_free(t.bytes);
    nq_free(dst);
    dicts_delete(dicts);
}

static void
write_raw(const char *dir, const char *name, struct slice file)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    must((f = fopen(path, "wb")) != NULL &&
             fwrite(file.p, 1, file.len, f) == file.len && fclose(f) == 0,
         path);
}

static void
print_file(const char *name, struct slice file)
{
    static const size_t blocks[] = {1024, 16384, WHOLE};

    for (unsigned k = 0; k < nq_countof(blocks); k++) {
        uint64_t with = 0, zstd = 0;
        struct sums s;

        measure(file, blocks[k], &s);
        if (k == 0)
            measure_dictionary(file, blocks[k], &with, &zstd);
        printf("%s\t%zu\t%zu\t%llu\t%llu\t%llu\t%llu\t%llu\t", name, file.len,
               blocks[k], (unsigned long long)s.zstd,
               (unsigned long long)s.two_bit, (unsigned long long)s.ours,
               (unsigned long long)with, (unsigned long long)zstd);
        for (unsigned i = 0; i < PACK_CODECS; i++) {
            if (s.won[i] > 0)
                printf("%s:%u ", pack_stats_name(i), s.won[i]);
        }
        putchar('\n');
    }
}

int
main(int argc, char **argv)
{
    const char *dir = NULL;
    int i = 1;

    opts = PACK_OPTS_USUAL;
    opts.min_size = 0;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (argv[i][1] == 'l')
            opts.level = (uint8_t)(argv[i + 1][0] - '0');
        else
            dir = argv[i + 1];
    }
    for (; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');
        struct slice file = read_packed(argv[i]);
        char name[256];

        snprintf(name, sizeof name, "%s", slash == NULL ? argv[i] : slash + 1);
        if (strlen(name) > 4)
            name[strlen(name) - 4] = '\0'; /* .zst */
        if (dir != NULL)
            write_raw(dir, name, file);
        print_file(name, file);
    }
    return 0;
}
