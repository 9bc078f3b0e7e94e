/* Any bytes as a data file behind its superblocks: what is found by looking at
 * every sector is read, or is damaged, and nothing else happens.  An odd first
 * byte says: with the checksums of extents put right, so that what is behind
 * them is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/pool.h"
#include "store/page.h"
#include "store/salvage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AREA 16384u
#define SECTOR 512u
#define HEADER 40u

static void
put_right(uint8_t *p, size_t size)
{
    for (size_t at = 0; at + HEADER < size; at += SECTOR) {
        uint32_t payload, crc;

        if (memcmp(p + at, "NQE1", 4) != 0)
            continue;
        memcpy(&payload, p + at + 20, 4);
        if (payload > size - at - HEADER)
            payload = (uint32_t)(size - at - HEADER);
        memcpy(p + at + 20, &payload, 4);
        crc = crc32c(crc32c(0, p + at, 36), p + at + HEADER, payload);
        memcpy(p + at + 36, &crc, 4);
    }
}

static void
write_file(const char *path, const uint8_t *data, size_t size)
{
    uint8_t *bytes = nq_calloc(1, AREA + size);
    FILE *f = fopen(path, "wb");

    memcpy(bytes + AREA, data, size);
    if (size > 0 && (data[0] & 1) != 0)
        put_right(bytes + AREA, size);
    if (f == NULL || fwrite(bytes, AREA + size, 1, f) != 1)
        abort();
    fclose(f);
    nq_free(bytes);
}

static void
read_pages(struct store *st)
{
    const struct page *pg;

    for (pgno id = 1; id < salvage_ids(st) && id < 10000; id++)
        (void)!salvage_page(st, id, &pg);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[] = "/tmp/nqdb-fuzz-XXXXXX", path[64];
    struct store_opts so = {.is_page = page_verify,
                            .pool_bytes = 4 << 20,
                            .read_only = true,
                            .wal = {.segment_size = 1 << 20,
                                    .buffer_size = 1 << 20,
                                    .fsync = WAL_FSYNC_NEVER}};
    struct salvage_found found;
    static struct pool *pool; /* one for all inputs */
    struct store *st;

    log_set_level((enum log_level)(LOG_ERROR + 1));
    if (mkdtemp(dir) == NULL ||
        (pool == NULL && pool_open(2, NULL, NULL, &pool) != NQ_OK))
        abort();
    snprintf(path, sizeof path, "%s/data.nq", dir);
    write_file(path, data, size);
    so.dir = dir;
    if (store_salvage(&so, pool, &found, &st) == NQ_OK) {
        read_pages(st);
        (void)!store_close(st, false);
    }
    unlink(path);
    snprintf(path, sizeof path, "%s/LOCK", dir);
    unlink(path);
    rmdir(dir);
    return 0;
}
