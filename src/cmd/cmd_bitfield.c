/* cmd/cmd_bitfield.c - BITFIELD, BITFIELD_RO: integers of 1 to 64 bits at any
 * bit offset, big-endian, with a choice of what overflow does.
 *
 * All operations are parsed first; then every byte they touch is looked at,
 * so that a miss parks the command before it changed anything; then they run
 * in order, each seeing what the ones before it wrote. */
#include "cmd/handlers.h"

#include "cmd/args.h"
#include "cmd/cmd_bitmap.h"
#include "cmd/reply.h"
#include "db/string.h"

__extension__ typedef __int128 wide;

enum field_op { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field {
    enum field_op op;
    enum overflow overflow;
    bool is_signed;
    unsigned width; /* bits */
    uint64_t off;   /* of its first bit */
    int64_t arg;
};

#define FIELD_BYTES 9 /* the most bytes a field touches */

static uint64_t
first_byte(const struct field *f)
{
    return f->off >> 3;
}

static uint64_t
byte_count(const struct field *f)
{
    return ((f->off + f->width - 1) >> 3) - first_byte(f) + 1;
}

static bool
parse_type(struct req *rq, struct slice s, struct field *f)
{
    int64_t width = 0;
    bool ok = s.len >= 2 && (s.p[0] == 'i' || s.p[0] == 'u') &&
              slice_to_i64(slice_of(s.p + 1, s.len - 1), &width);

    f->is_signed = ok && s.p[0] == 'i';
    if (!ok || width < 1 || width > (f->is_signed ? 64 : 63)) {
        reply_error(rq, "Invalid bitfield type. Use something like i16 "
                        "u8. Note that u64 is not supported but i64 is.");
        return false;
    }
    f->width = (unsigned)width;
    return true;
}

static bool
parse_overflow(struct req *rq, struct slice s, enum overflow *out)
{
    if (slice_is(s, "WRAP"))
        *out = OVERFLOW_WRAP;
    else if (slice_is(s, "SAT"))
        *out = OVERFLOW_SAT;
    else if (slice_is(s, "FAIL"))
        *out = OVERFLOW_FAIL;
    else
        reply_error(rq, "Invalid OVERFLOW type specified");
    return !rq->is_error;
}

/* Parses argv into the arena; false: the reply is put. */
static bool
parse_fields(struct req *rq, bool read_only, struct field **out, uint32_t *n)
{
    struct field *fields = arena_alloc(rq->arena, rq->argc * sizeof *fields);
    enum overflow overflow = OVERFLOW_WRAP;
    bool writes = false;

    *out = fields;
    *n = 0;
    for (uint32_t i = 2; i < rq->argc;) {
        uint32_t left = rq->argc - i - 1;
        struct field *f = &fields[*n];

        if (slice_is(rq->argv[i], "OVERFLOW") && left >= 1) {
            if (!parse_overflow(rq, rq->argv[i + 1], &overflow))
                return false;
            i += 2;
            continue;
        }
        *f = (struct field){.op = FIELD_GET, .overflow = overflow};
        if (slice_is(rq->argv[i], "SET") && left >= 3) {
            f->op = FIELD_SET;
        } else if (slice_is(rq->argv[i], "INCRBY") && left >= 3) {
            f->op = FIELD_INCRBY;
        } else if (!(slice_is(rq->argv[i], "GET") && left >= 2)) {
            reply_syntax(rq);
            return false;
        }
        if (!parse_type(rq, rq->argv[i + 1], f) ||
            !bit_offset(rq, rq->argv[i + 2], f->width, &f->off))
            return false;
        if (f->op != FIELD_GET && !arg_int(rq, i + 3, &f->arg))
            return false;
        writes |= f->op != FIELD_GET;
        i += f->op == FIELD_GET ? 3 : 4;
        *n += 1;
    }
    if (writes && read_only)
        reply_error(rq, "BITFIELD_RO only supports the GET subcommand");
    return !(writes && read_only);
}

/* The bytes of the field, zeroes where the value ends before them. */
static nq_rc
read_bytes(struct req *rq, const struct entry *e, bool found,
           const struct field *f, uint8_t dst[FIELD_BYTES])
{
    struct slice s = slice_lit("");
    nq_rc rc = NQ_OK;

    memset(dst, 0, FIELD_BYTES);
    if (found && first_byte(f) < string_len(e))
        rc = string_range(rq->db, e, first_byte(f), byte_count(f), rq->arena,
                          &s);
    if (rc == NQ_OK && s.len > 0)
        memcpy(dst, s.p, s.len);
    return rc;
}

static wide
extract(const struct field *f, const uint8_t bytes[FIELD_BYTES])
{
    uint64_t v = 0;

    for (unsigned i = 0; i < f->width; i++) {
        uint64_t bit = (f->off & 7) + i;

        v = v << 1 | (bytes[bit >> 3] >> (7 - (bit & 7)) & 1);
    }
    if (f->is_signed && f->width < 64 && (v >> (f->width - 1)) != 0)
        v |= UINT64_MAX << f->width;
    return f->is_signed ? (wide)(int64_t)v : (wide)v;
}

static void
insert(const struct field *f, uint8_t bytes[FIELD_BYTES], uint64_t v)
{
    for (unsigned i = 0; i < f->width; i++) {
        uint64_t bit = (f->off & 7) + i;
        uint8_t mask = (uint8_t)(0x80 >> (bit & 7));

        if (v >> (f->width - 1 - i) & 1)
            bytes[bit >> 3] |= mask;
        else
            bytes[bit >> 3] &= (uint8_t)~mask;
    }
}

/* The value to store, by the overflow rule; false: FAIL said no. */
static bool
fit(const struct field *f, wide *v)
{
    unsigned bits = f->is_signed ? f->width - 1 : f->width;
    wide max = ((wide)1 << bits) - 1;
    wide min = f->is_signed ? -max - 1 : 0;
    uint64_t raw;

    if (*v >= min && *v <= max)
        return true;
    if (f->overflow == OVERFLOW_FAIL)
        return false;
    if (f->overflow == OVERFLOW_SAT) {
        *v = *v < min ? min : max;
        return true;
    }
    raw = (uint64_t)*v & (UINT64_MAX >> (64 - f->width));
    if (f->is_signed && f->width < 64 && (raw >> (f->width - 1)) != 0)
        raw |= UINT64_MAX << f->width;
    *v = f->is_signed ? (wide)(int64_t)raw : (wide)raw;
    return true;
}

/* A write that FAIL refused has made the value long enough all the same, as
 * in Redis. */
static nq_rc
refuse_field(struct req *rq, const struct field *f, struct entry *e, bool found)
{
    uint64_t end = first_byte(f) + byte_count(f), len;

    reply_null(rq);
    if (found && end <= string_len(e))
        return NQ_OK;
    return string_write(rq->db, rq->dbi, rq->argv[1], e, found, end - 1,
                        slice_lit("\0"), NULL, &len);
}

/* Runs one operation and answers it.  The key is found anew, since the one
 * before may have moved it. */
static nq_rc
run_field(struct req *rq, const struct field *f)
{
    uint8_t bytes[FIELD_BYTES];
    struct entry e;
    wide old, fresh;
    uint64_t len;
    nq_rc rc = req_find_type(rq, 1, DB_STRING, f->op != FIELD_GET, &e);
    bool found = rc == NQ_OK;

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    rc = read_bytes(rq, &e, found, f, bytes);
    if (rc != NQ_OK)
        return rc;
    old = extract(f, bytes);
    if (f->op == FIELD_GET) {
        reply_int(rq, (int64_t)old);
        return NQ_OK;
    }
    fresh = f->op == FIELD_INCRBY ? old + f->arg
            : f->is_signed        ? (wide)f->arg
                                  : (wide)(uint64_t)f->arg;
    if (!fit(f, &fresh))
        return refuse_field(rq, f, &e, found);
    reply_int(rq, (int64_t)(f->op == FIELD_SET ? old : fresh));
    if (fresh == old && found &&
        first_byte(f) + byte_count(f) <= string_len(&e))
        return NQ_OK; /* nothing changes: nothing is logged */
    insert(f, bytes, (uint64_t)fresh);
    return string_write(rq->db, rq->dbi, rq->argv[1], &e, found, first_byte(f),
                        slice_of(bytes, byte_count(f)), "setbit", &len);
}

/* Touches all that the operations will, so that none can miss later. */
static nq_rc
look_ahead(struct req *rq, const struct field *fields, uint32_t n)
{
    uint8_t bytes[FIELD_BYTES];
    struct slice last;
    struct entry e;
    bool writes = false;
    nq_rc rc;

    for (uint32_t i = 0; i < n; i++)
        writes |= fields[i].op != FIELD_GET;
    rc = req_find_type(rq, 1, DB_STRING, writes, &e);
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    for (uint32_t i = 0; i < n && rc == NQ_OK; i++)
        rc = read_bytes(rq, &e, true, &fields[i], bytes);
    if (rc == NQ_OK && writes && string_len(&e) > 0)
        rc = string_range(rq->db, &e, string_len(&e) - 1, 1, rq->arena, &last);
    return rc;
}

static void
bitfield(struct req *rq, bool read_only)
{
    uint64_t mark = reply_mark(rq);
    struct field *fields;
    uint32_t n;
    nq_rc rc;

    if (!parse_fields(rq, read_only, &fields, &n))
        return;
    rc = look_ahead(rq, fields, n);
    if (rc == NQ_OK)
        reply_array(rq, n);
    for (uint32_t i = 0; i < n && rc == NQ_OK; i++)
        rc = run_field(rq, &fields[i]);
    if (rc != NQ_OK) /* the disk may be full by now: the error, no array */
        reply_rc_from(rq, mark, rc);
}

void
cmd_bitfield(struct req *rq)
{
    bitfield(rq, false);
}

void
cmd_bitfield_ro(struct req *rq)
{
    bitfield(rq, true);
}
