/* Any bytes as a serialized value of Redis, footer and checksum put right:
 * refused, or whole enough to be written and read again. */
#include "base/arena.h"
#include "base/check.h"
#include "cmd/rdb.h"

#define MAX_LEN 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
seal(struct buf *b)
{
    buf_put_u16(b, 10);
    buf_put_u64(b, rdb_crc64(0, buf_slice(b)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT, again = BUF_INIT;
    struct rdb_value v;

    buf_put(&b, data, size);
    seal(&b);
    if (rdb_decode(buf_slice(&b), MAX_LEN, &arena, &v) == NQ_OK) {
        uint64_t count = v.count;
        nq_rc rc;

        rdb_encode(&again, &v);
        rc = rdb_decode(buf_slice(&again), MAX_LEN, &arena, &v);
        nq_assert(rc == NQ_OK && v.count == count);
    }
    buf_fini(&again);
    buf_fini(&b);
    arena_fini(&arena);
    return 0;
}
