/* codec/dna.c - from a block to its streams and back; the format is told in
 * codec/dna_int.h.
 *
 *   dna_encode   dna_layout_split (codec/dna_layout.c) takes the text apart
 *                and gives the residues to codec/dna_residue.c, which packs
 *                them; codec/dna_repeat.c may find copies among the bases;
 *                here the streams are packed and put one behind the other
 *   dna_decode   the same backwards
 *
 * Invariants: D1 no length of a stream, of the residues or of the bases is
 * above that of the block, so what decoding takes is bounded by some ten
 * times that; D2 every stream is used up to its last byte. */
#include "codec/dna.h"
#include "codec/dna_int.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "codec/bases.h"
#include "codec/zpack.h"

#define CHUNK_DEFAULT 65536u
#define CHUNK_MIN 1024u
#define LONG_ENOUGH 48u /* bytes of a stream that zstd may shrink */
#define WORTH 8u        /* one in so many bytes must be a residue */

#define RNA_PART 16u /* bytes of a part that is looked at for U and T */
#define SAMPLES 16u
#define SAMPLE 48u
#define SAMPLE_RUN 10u /* letters in a row that are no accident */

#define PLAIN(upper, lower) [upper] = DNA_PLAIN, [lower] = DNA_PLAIN
#define AMBIGUOUS(upper, lower) [upper] = DNA_AMBIGUOUS, [lower] = DNA_AMBIGUOUS

const uint8_t dna_class[256] = {
    PLAIN('A', 'a'),     PLAIN('C', 'c'),     PLAIN('G', 'g'),
    PLAIN('T', 't'),     PLAIN('U', 'u'),     PLAIN('N', 'n'),
    AMBIGUOUS('R', 'r'), AMBIGUOUS('Y', 'y'), AMBIGUOUS('S', 's'),
    AMBIGUOUS('W', 'w'), AMBIGUOUS('K', 'k'), AMBIGUOUS('M', 'm'),
    AMBIGUOUS('B', 'b'), AMBIGUOUS('D', 'd'), AMBIGUOUS('H', 'h'),
    AMBIGUOUS('V', 'v'), ['-'] = DNA_PLAIN,
};

void
dna_swap_rna(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* T and U differ in bit 0, the cases in bit 5. */
        p[i] ^= (p[i] & 0xde) == 'T';
    }
}

/* --- what a sample says
 * ------------------------------------------------------------------------ */

struct sample {
    size_t in_runs, seen; /* bytes; ends of lines do not count */
};

static void
look_at(struct sample *s, const uint8_t *p, size_t n)
{
    size_t run = 0;

    for (size_t i = 0; i < n; i++) {
        bool is_end = p[i] == '\n' || p[i] == '\r';
        bool is_base = dna_class[p[i]] == DNA_PLAIN && p[i] != '-';

        run = is_end ? run : is_base ? run + 1 : 0;
        s->seen += !is_end;
        s->in_runs += !is_end * ((run >= SAMPLE_RUN) +
                                 (run == SAMPLE_RUN) * (SAMPLE_RUN - 1));
    }
}

bool
dna_sniff(struct slice block)
{
    size_t step = block.len / SAMPLES;
    struct sample s = {0};

    if (block.len <= SAMPLES * SAMPLE) {
        look_at(&s, block.p, block.len);
    } else {
        /* Not at equal distances: records have lengths of their own. */
        for (size_t i = 0; i < SAMPLES; i++)
            look_at(&s, block.p + step * i + i * 977 % (step - SAMPLE + 1),
                    SAMPLE);
    }
    return s.in_runs > 0 && s.in_runs >= s.seen / 8;
}

/* Is there more U than T? */
static bool
is_rna(struct slice block)
{
    size_t parts = nq_min(block.len / RNA_PART, SAMPLES), t = 0, u = 0;

    for (size_t i = 0; i < parts; i++) {
        const uint8_t *p = block.p + (block.len - RNA_PART) / parts * i;

        for (size_t j = 0; j < RNA_PART; j++) {
            t += (p[j] & 0xdf) == 'T';
            u += (p[j] & 0xdf) == 'U';
        }
    }
    return u > t;
}

/* --- packing
 * ------------------------------------------------------------------------ */

/* All that a block is taken apart into. */
struct parts {
    struct dna_layout layout;
    struct dna_residues residues;
    struct buf repeats;
    struct buf out; /* header and streams, packed */
};

static void
put_stream(struct buf *out, struct slice s, unsigned level)
{
    uint8_t length[2][10];
    size_t n = 0, stored, raw;

    if (s.len >= LONG_ENOUGH) {
        uint8_t *packed = nq_malloc(s.len);

        n = zpack_encode(level, NULL, packed, s.len - 4, s.p, s.len);
        if (n > 0) {
            stored = varint_encode(length[0], (uint64_t)n << 1 | 1);
            raw = varint_encode(length[1], s.len);
            buf_put(out, length[0], stored);
            buf_put(out, length[1], raw);
            buf_put(out, packed, n);
        }
        nq_free(packed);
    }
    if (n == 0) {
        buf_put_varint(out, (uint64_t)s.len << 1);
        buf_put_slice(out, s);
    }
}

/* The end of dna_encode: 0 if it is more than `cap`. */
static size_t
put_together(struct parts *p, uint8_t *dst, size_t cap, size_t len,
             unsigned level)
{
    const struct buf *const streams[DNA_STREAMS] = {
        [DNA_OPS] = &p->layout.ops,         [DNA_TEXT_BYTES] = &p->layout.text,
        [DNA_QUALITY] = &p->layout.quality, [DNA_ODD] = &p->residues.odd,
        [DNA_CASE] = &p->residues.cases,    [DNA_REPEATS] = &p->repeats,
    };
    size_t bases = BASES_BYTES(p->residues.stored);
    uint8_t present = 0;

    buf_put_u8(&p->out, p->layout.flags);
    buf_put_u8(&p->out, 0);
    for (unsigned i = 0; i < DNA_STREAMS; i++) {
        if (streams[i]->len > len || p->out.len + bases > cap)
            return 0;
        if (streams[i]->len == 0)
            continue;
        present |= (uint8_t)(1u << i);
        put_stream(&p->out, buf_slice(streams[i]), level);
    }
    p->out.p[1] = present;
    if (p->out.len + bases > cap)
        return 0;
    memcpy(dst, p->out.p, p->out.len);
    if (bases > 0)
        memcpy(dst + p->out.len, p->residues.bases, bases);
    return p->out.len + bases;
}

static size_t
chunk_of(const struct dna_opts *opts)
{
    size_t chunk = opts->chunk != 0 ? opts->chunk : CHUNK_DEFAULT;

    chunk = nq_min(nq_max(chunk, CHUNK_MIN), DNA_BLOCK_MAX);
    return chunk & ~(size_t)63;
}

size_t
dna_encode(const struct dna_opts *opts, void *dst, size_t cap, const void *src,
           size_t len)
{
    struct slice block = slice_of(src, len);
    struct parts p = {0};
    size_t n = 0;

    if (len == 0 || len > DNA_BLOCK_MAX)
        return 0;
    p.layout.flags = is_rna(block) ? DNA_RNA : 0;
    dna_residues_init(&p.residues, len, nq_min(chunk_of(opts), len),
                      p.layout.flags != 0);
    dna_layout_split(&p.layout, &p.residues, block);
    dna_residues_end(&p.residues);
    if (p.residues.count > 0 && p.residues.count >= len / WORTH) {
        if (opts->patterns)
            p.residues.stored = dna_repeat_find(p.residues.bases,
                                                p.residues.stored, &p.repeats);
        n = put_together(&p, dst, cap, len, opts->level);
    }
    dna_residues_fini(&p.residues);
    buf_fini(&p.layout.ops);
    buf_fini(&p.layout.text);
    buf_fini(&p.layout.quality);
    buf_fini(&p.repeats);
    buf_fini(&p.out);
    return n;
}

/* --- unpacking
 * ------------------------------------------------------------------------ */

struct unpacked {
    struct slice stream[DNA_STREAMS];
    uint8_t *own[DNA_STREAMS]; /* those that had to be unpacked */
    uint8_t flags;
    struct slice bases;
};

static nq_rc
get_stream(struct cursor *c, size_t most, struct slice *out, uint8_t **own)
{
    uint64_t length, raw;
    struct slice stored;
    nq_rc rc;

    if (!cursor_get_varint(c, &length) || length >> 1 > cursor_left(c))
        return NQ_ECORRUPT;
    raw = length >> 1;
    if ((length & 1) != 0 && !cursor_get_varint(c, &raw))
        return NQ_ECORRUPT;
    if (raw == 0 || raw > most ||
        !cursor_get_bytes(c, (size_t)(length >> 1), &stored))
        return NQ_ECORRUPT;
    *out = stored;
    if ((length & 1) == 0)
        return NQ_OK;
    *own = nq_malloc((size_t)raw);
    rc = zpack_decode(NULL, *own, (size_t)raw, stored.p, stored.len);
    *out = slice_of(*own, (size_t)raw);
    return rc;
}

static nq_rc
get_streams(struct unpacked *u, size_t raw_len, struct slice src)
{
    struct cursor c = cursor_of(src);
    uint8_t present;
    nq_rc rc = NQ_OK;

    if (!cursor_get_u8(&c, &u->flags) || !cursor_get_u8(&c, &present) ||
        u->flags > DNA_FLAGS || present >> DNA_STREAMS != 0)
        return NQ_ECORRUPT;
    for (unsigned i = 0; i < DNA_STREAMS && rc == NQ_OK; i++) {
        if ((present >> i & 1) != 0)
            rc = get_stream(&c, raw_len, &u->stream[i], &u->own[i]);
    }
    if (rc == NQ_OK)
        (void)cursor_get_bytes(&c, cursor_left(&c), &u->bases);
    return rc;
}

/* Writes `count` residues to `dst`. */
static bool
unpack_residues(const struct unpacked *u, uint8_t *dst, size_t count)
{
    struct slice odd = u->stream[DNA_ODD], repeats = u->stream[DNA_REPEATS];
    struct dna_source from = {u->bases.p, NULL};
    uint8_t *text = NULL;
    size_t stored, left;
    bool ok;

    if (!dna_residues_stored(odd, count, &stored) ||
        !dna_repeat_left(repeats, stored, &left) ||
        BASES_BYTES(left) != u->bases.len)
        return false;
    if (repeats.len > 0) {
        text = nq_malloc(stored);
        from.text = text;
    }
    ok = text == NULL || dna_repeat_restore(text, stored, repeats, u->bases.p);
    ok =
        ok && dna_residues_restore(dst, count, &from, odd, u->stream[DNA_CASE]);
    nq_free(text);
    if (ok && (u->flags & DNA_RNA) != 0)
        dna_swap_rna(dst, count);
    return ok;
}

static nq_rc
join(const struct unpacked *u, uint8_t *dst, size_t raw_len)
{
    struct slice ops = u->stream[DNA_OPS];
    uint8_t *residues;
    size_t count;
    bool ok;

    if (!dna_layout_residues(ops, raw_len, &count))
        return NQ_ECORRUPT;
    residues = count == raw_len ? dst : nq_malloc(count);
    ok = unpack_residues(u, residues, count);
    /* If all is residues there is nothing between them. */
    if (ok && residues != dst)
        ok = dna_layout_join(dst, raw_len, u->flags, ops,
                             u->stream[DNA_TEXT_BYTES], u->stream[DNA_QUALITY],
                             slice_of(residues, count));
    else if (ok)
        ok = u->stream[DNA_TEXT_BYTES].len + u->stream[DNA_QUALITY].len == 0;
    if (residues != dst)
        nq_free(residues);
    return ok ? NQ_OK : NQ_ECORRUPT;
}

nq_rc
dna_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    struct unpacked u = {0};
    nq_rc rc;

    if (raw_len == 0 || raw_len > DNA_BLOCK_MAX)
        return NQ_ECORRUPT;
    rc = get_streams(&u, raw_len, slice_of(src, len));
    if (rc == NQ_OK)
        rc = join(&u, dst, raw_len);
    for (unsigned i = 0; i < DNA_STREAMS; i++)
        nq_free(u.own[i]);
    return rc;
}
