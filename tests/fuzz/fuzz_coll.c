/* Any bytes as the value of a collection's record: whatever it says, nothing
 * outside of it is read.
 *
 *   0  u8 flags of the record | u8 length of a key | the key | the value */
#include "base/log.h"
#include "base/mem.h"
#include "db/coll_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every function of the packed form; results do not matter. */
static void
use_run(struct slice run, struct slice key)
{
    struct packed_place at;
    struct packed_item it;
    uint64_t items;
    size_t off = 0;
    nq_rc rc;

    rc = packed_get(run, key, &it);
    rc = packed_find(run, key, &at);
    rc = packed_last(run, &off);
    rc = packed_nth(run, key.len, &off);
    rc = packed_check(run, false, &items);
    for (off = 0; off < run.len; off = it.end) {
        uint8_t *copy;
        size_t n;

        if ((rc = packed_at(run, off, &it)) != NQ_OK)
            break;
        n = packed_size(it.key, it.val, it.expire_ms);
        copy = nq_malloc(n);
        packed_write(copy, it.key, it.val, it.expire_ms);
        nq_free(copy);
    }
}

static void
use_value(struct slice val, struct slice key, uint8_t flags)
{
    struct record rec = {.val = val, .type = flags >> 4, .flags = flags & 7};
    struct coll_value v;
    struct slice head;
    uint64_t items;
    pgno root;
    nq_rc rc;

    rec.type %= DB_TYPES;
    (void)coll_record_root(&rec, &root);
    (void)coll_record_head(&rec, &head, (uint8_t)key.len);
    rc = coll_record_check(&rec, &items);
    if ((rc = coll_value_decode(&rec, &v)) == NQ_OK && !v.is_tree)
        use_run(v.items, key);
    use_run(val, key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_silent;
    struct slice key, val;
    uint8_t *copy; /* of the value alone, so that a checker sees its end */

    if (!is_silent)
        is_silent = log_set_file("/dev/null", 0, 0) == 0;
    if (size < 2 || size - 2 < data[1])
        return 0;
    key = slice_of(data + 2, data[1]);
    val = slice_of(data + 2 + data[1], size - 2 - data[1]);
    copy = nq_malloc(val.len + (val.len == 0));
    if (val.len > 0)
        memcpy(copy, val.p, val.len);
    use_value(slice_of(copy, val.len), key, data[0]);
    nq_free(copy);
    return 0;
}
