/* bench/size_rocksdb.c - puts records into RocksDB with zstd, compacts it and
 * tells the bytes of its tables.
 *
 *   size_rocksdb DIR BLOCK_SIZE < records
 *
 * A record is u32 length of the key, u32 length of the value, key, value. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#if __has_include(<rocksdb/c.h>)
#include <rocksdb/c.h>

static void
must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "size_rocksdb: %s\n", what);
        exit(1);
    }
}

static uint64_t
bytes_of_tables(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    uint64_t sum = 0;

    must(d != NULL, dir);
    while ((e = readdir(d)) != NULL) {
        char path[1024];
        struct stat st;

        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (strstr(e->d_name, ".sst") != NULL && stat(path, &st) == 0)
            sum += (uint64_t)st.st_size;
    }
    closedir(d);
    return sum;
}

static rocksdb_t *
open_db(const char *dir, size_t block)
{
    rocksdb_block_based_table_options_t *table =
        rocksdb_block_based_options_create();
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_t *db;
    char *err = NULL;

    rocksdb_block_based_options_set_block_size(table, block);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_compression(o, rocksdb_zstd_compression);
    db = rocksdb_open(o, dir, &err);
    must(err == NULL, "open");
    return db;
}

static void
load(rocksdb_t *db)
{
    rocksdb_writeoptions_t *w = rocksdb_writeoptions_create();
    char *err = NULL;
    uint32_t len[2];

    while (fread(len, sizeof len, 1, stdin) == 1) {
        char *p = nq_malloc((size_t)len[0] + len[1]);

        must(fread(p, 1, (size_t)len[0] + len[1], stdin) ==
                 (size_t)len[0] + len[1],
             "input ends too soon");
        rocksdb_put(db, w, p, len[0], p + len[0], len[1], &err);
        must(err == NULL, "put");
        nq_free(p);
    }
}

int
main(int argc, char **argv)
{
    rocksdb_flushoptions_t *flush;
    rocksdb_t *db;
    char *err = NULL;

    must(argc == 3, "usage: size_rocksdb DIR BLOCK_SIZE");
    db = open_db(argv[1], strtoul(argv[2], NULL, 10));
    load(db);
    flush = rocksdb_flushoptions_create();
    rocksdb_flush(db, flush, &err);
    must(err == NULL, "flush");
    rocksdb_compact_range(db, NULL, 0, NULL, 0);
    rocksdb_close(db);
    printf("%llu\n", (unsigned long long)bytes_of_tables(argv[1]));
    return 0;
}
#else
int
main(void)
{
    fputs("built without RocksDB\n", stderr);
    return 2;
}
#endif
