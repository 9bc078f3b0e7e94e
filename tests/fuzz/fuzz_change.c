/* Any bytes as the arguments of a CHANGE of the log: whatever they say,
 * nothing outside of them is read, by the decoder, by rows, or by paths.
 *
 *   0  u8 length of a key | the key | the arguments */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/change.h"
#include "db/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
add_field(void *arg, struct slice name, struct slice value)
{
    size_t *sum = arg;

    for (size_t i = 0; i < name.len; i++)
        *sum += name.p[i];
    for (size_t i = 0; i < value.len; i++)
        *sum += value.p[i];
    return true;
}

static size_t
use_image(const struct image *im, struct slice key, uint64_t now_ms)
{
    struct row_fields fields;
    struct slice value;
    struct row row;
    size_t sum = 0;

    if (!im->exists)
        return 0;
    image_row(im, key, now_ms, &fields, &row);
    for (size_t i = 0; (row.has & ROW_VALUE) != 0 && i < row.value.len; i++)
        sum += row.value.p[i];
    if ((row.has & ROW_FIELDS) == 0)
        return sum;
    if (row.field(&row, slice_lit("temp"), &value))
        sum += value.len;
    row.each_field(&row, add_field, &sum);
    return sum;
}

/* What was decoded is encoded to the same again, but for lengths that were
 * written longer than they need be. */
static void
encode_again(const struct change *c)
{
    struct buf b = BUF_INIT;
    struct image again;
    struct cursor in;

    image_encode(&c->is, &b);
    in = cursor_of(buf_slice(&b));
    nq_assert(image_decode(&in, &again) && cursor_left(&in) == 0);
    nq_assert(again.exists == c->is.exists && again.type == c->is.type &&
              slice_eq(again.rec.val, c->is.rec.val));
    buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_silent;
    struct slice key, args;
    struct key_range all = {.lo = slice_lit("")};
    struct change c;
    uint8_t *copy; /* of these alone, so that a checker sees their end */

    if (!is_silent)
        is_silent = log_set_file("/dev/null", 0, 0) == 0;
    if (size < 1 || size - 1 < data[0])
        return 0;
    key = slice_of(data + 1, data[0]);
    args = slice_of(data + 1 + data[0], size - 1 - data[0]);
    copy = nq_malloc(args.len + (args.len == 0));
    if (args.len > 0)
        memcpy(copy, args.p, args.len);
    if (change_decode(77, 0, key, slice_of(copy, args.len), &c)) {
        size_t sum = use_image(&c.was, key, c.time_ms) +
                     use_image(&c.is, key, c.time_ms);

        sum += change_is_in(&c, &all) + strlen(change_event_name(c.event));
        nq_assert(sum > 0);
        encode_again(&c);
    }
    nq_free(copy);
    return 0;
}
