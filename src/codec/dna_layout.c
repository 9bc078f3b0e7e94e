/* codec/dna_layout.c - how text is laid out: where sequences are in it, in
 * lines of which width, and what is between them.
 *
 * Splitting looks for runs of RUN letters that stand for bases.  From there
 * it takes the letters up to the end of the line, and all following lines of
 * the same width and the ragged one behind them; the rest is text.  Reads of
 * FASTQ are taken whole, four lines at once.  All this decides only how well
 * a block packs: whatever was taken comes back as it was, since residues may
 * be any bytes.
 *
 * Invariants: L1 text_from <= at: what is between them is text that no
 * operation tells of yet; L2 an end of line inside DNA_LINES is followed by a
 * residue of the same operation. */
#include "codec/dna_int.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"

#define RUN 10u   /* letters in a row that begin a sequence */
#define PROBES 8u /* letters of a line that are looked at */
#define LIKELY 6u /* so many of them stand for bases */

/* --- splitting
 * ------------------------------------------------------------------------ */

struct splitter {
    struct dna_layout *out;
    struct dna_residues *residues;
    const uint8_t *begin, *end;
    const uint8_t *at, *text_from;
    size_t width;   /* of the last DNA_WIDTH */
    bool eol_known; /* flags tell what ends lines */
    bool plus_known;
};

static void
put_op(struct splitter *s, enum dna_op op, size_t n)
{
    buf_put_varint(&s->out->ops, (uint64_t)n << 2 | op);
}

/* All up to `p` that nothing was said of is text. */
static void
text_to(struct splitter *s, const uint8_t *p)
{
    size_t n = (size_t)(p - s->text_from);

    if (n == 0)
        return;
    put_op(s, DNA_TEXT, n);
    buf_put(&s->out->text, s->text_from, n);
    s->text_from = p;
}

/* Goes on behind what was told of, up to `p`. */
static void
go_on(struct splitter *s, const uint8_t *p)
{
    nq_dassert(p >= s->at && p <= s->end);
    s->at = s->text_from = p;
}

typedef uint8_t vector __attribute__((vector_size(16)));

static vector
load(const uint8_t *p)
{
    vector x;

    memcpy(&x, p, sizeof x);
    return x;
}

static bool
is_any(vector x)
{
    uint64_t any[2];

    memcpy(any, &x, sizeof any);
    return (any[0] | any[1]) != 0;
}

/* All ones for what is neither a letter nor a gap. */
static vector
strange(vector x)
{
    vector not_letter = (vector)((x | 0x20) - 'a' > 'z' - 'a');

    return not_letter & (vector)(x != '-');
}

/* How many letters and gaps are at `p`, if not more than `most`. */
static size_t
span(const uint8_t *p, const uint8_t *end, size_t most)
{
    size_t n = 0, left = nq_min(most, (size_t)(end - p));

    while (
        left - n >= 2 * sizeof(vector) &&
        !is_any(strange(load(p + n)) | strange(load(p + n + sizeof(vector)))))
        n += 2 * sizeof(vector);
    while (n < left && (p[n] == '-' || (uint8_t)((p[n] | 0x20) - 'a') < 26))
        n++;
    return n;
}

/* Whether so many letters are a sequence, by a few of them. */
static bool
is_sequence(const uint8_t *p, size_t n)
{
    unsigned hits = 0;

    if (n == 0)
        return false;
    for (size_t i = 0; i < PROBES; i++)
        hits += dna_class[p[n * i / PROBES]] == DNA_PLAIN;
    return hits >= LIKELY;
}

/* How long the end of a line at `p` is; 0: there is none, or of the other
 * kind. */
static size_t
eol(struct splitter *s, const uint8_t *p)
{
    bool is_crlf = s->end - p >= 2 && p[0] == '\r' && p[1] == '\n';

    if (!is_crlf && (p == s->end || *p != '\n'))
        return 0;
    if (!s->eol_known && is_crlf)
        s->out->flags |= DNA_CRLF;
    s->eol_known = true;
    if (is_crlf != ((s->out->flags & DNA_CRLF) != 0))
        return 0;
    return is_crlf ? 2 : 1;
}

/* --- lines of sequences ------------------------------------------------- */

static void
set_width(struct splitter *s, size_t width)
{
    if (s->width == width)
        return;
    put_op(s, DNA_WIDTH, width);
    s->width = width;
}

/* One piece of a line.  It goes on behind that. */
static void
take_piece(struct splitter *s, const uint8_t *p, size_t n)
{
    text_to(s, p);
    if (n > s->width)
        set_width(s, 0);
    put_op(s, DNA_LINES, n);
    dna_residues_add(s->residues, p, n);
    go_on(s, p + n);
}

/* Copies `n` bytes, one vector or more; false: an end of a line is among
 * them. */
static bool
copy_line(uint8_t *dst, const uint8_t *src, size_t n)
{
    vector x = load(src + n - sizeof x), found = (vector)(x == '\n');

    memcpy(dst + n - sizeof x, &x, sizeof x);
    for (size_t i = 0; i < n - sizeof x; i += sizeof x) {
        x = load(src + i);
        memcpy(dst + i, &x, sizeof x);
        found |= (vector)(x == '\n');
    }
    return !is_any(found);
}

static bool
ends_here(const uint8_t *p, size_t end)
{
    return end == 1 ? *p == '\n' : p[0] == '\r' && p[1] == '\n';
}

/* Takes whole lines behind the one that ends at `p`, one by one as long as
 * nothing is special about them; returns the end of the last one. */
static const uint8_t *
take_whole_lines(struct splitter *s, const uint8_t *p, size_t width, size_t end)
{
    const uint8_t *last =
        s->end - nq_min(width + 2 * end, (size_t)(s->end - p));
    uint8_t *to = NULL;
    size_t room = 0, held = 0;

    if (width < sizeof(vector))
        return p;
    while (p < last && ends_here(p, end) && ends_here(p + end + width, end)) {
        const uint8_t *line = p + end;

        if (room < held + width) {
            dna_residues_fill(s->residues, held);
            held = 0;
            to = dna_residues_room(s->residues, width, &room);
        }
        if (to == NULL || dna_class[*line] != DNA_PLAIN ||
            dna_class[line[width / 2]] != DNA_PLAIN ||
            !copy_line(to + held, line, width))
            break;
        held += width;
        p = line + width;
    }
    dna_residues_fill(s->residues, held);
    return p;
}

/* Lines of `width` letters from `p` on, the first of which is known to be
 * one, and the shorter one behind them. */
static void
take_lines(struct splitter *s, const uint8_t *p, size_t width, size_t end)
{
    size_t count = width, n = width;
    const uint8_t *whole;

    text_to(s, p);
    set_width(s, width);
    dna_residues_add(s->residues, p, width);
    p += width;
    while (n == width) {
        whole = take_whole_lines(s, p, width, end);
        count += (size_t)(whole - p) / (width + end) * width;
        p = whole;
        if (eol(s, p) != end)
            break;
        n = span(p + end, s->end, width + 1);
        if (n > width || !is_sequence(p + end, n))
            break;
        dna_residues_add(s->residues, p + end, n);
        count += n;
        p += end + n;
    }
    put_op(s, DNA_LINES, count);
    go_on(s, p);
}

/* How much of `n` letters at `p` is a sequence. */
static size_t
trim(const uint8_t *p, size_t n)
{
    size_t plain = 0;

    if (is_sequence(p, n)) {
        while (dna_class[p[n - 1]] != DNA_PLAIN)
            n--;
        return n;
    }
    while (plain < n && dna_class[p[plain]] == DNA_PLAIN)
        plain++;
    return plain;
}

/* The sequence that begins at `p` with a run. */
static void
take_sequence(struct splitter *s, const uint8_t *p)
{
    size_t n = span(p, s->end, SIZE_MAX), next, end;

    if (!is_sequence(p, n) || (end = eol(s, p + n)) == 0) {
        take_piece(s, p, trim(p, n));
        return;
    }
    next = span(p + n + end, s->end, n + 1);
    if (!is_sequence(p + n + end, next) || next > n)
        take_piece(s, p, n);
    else
        take_lines(s, p, n, end);
}

/* Where the next run begins at or behind `p`; `end`: nowhere. */
static const uint8_t *
find_run(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *known = p; /* from p to here all are letters of bases */

    while ((size_t)(end - p) >= RUN) {
        const uint8_t *last = p + RUN - 1, *q = last;

        if (dna_class[*last] != DNA_PLAIN) {
            p = known = last + 1;
            continue;
        }
        while (q > known && dna_class[q[-1]] == DNA_PLAIN)
            q--;
        if (q == known)
            return p;
        p = q;
        known = last + 1;
    }
    return end;
}

/* --- reads -------------------------------------------------------------- */

/* A read that begins at `p`: @name, bases, +, quality. */
struct read {
    struct slice name;
    const uint8_t *bases, *quality, *end;
    size_t n;
    bool plus;
};

static bool
find_read(struct splitter *s, const uint8_t *p, struct read *r)
{
    const uint8_t *q = memchr(p, '\n', (size_t)(s->end - p));
    size_t end, name;

    if (q == NULL)
        return false;
    q -= q[-1] == '\r';
    if (q == p || (end = eol(s, q)) == 0)
        return false;
    r->name = slice_of(p + 1, (size_t)(q - p) - 1);
    r->bases = q + end;
    r->n = span(r->bases, s->end, SIZE_MAX);
    q = r->bases + r->n;
    if (!is_sequence(r->bases, r->n) || eol(s, q) != end)
        return false;
    q += end;
    if (q == s->end || *q++ != '+')
        return false;
    name = r->name.len;
    r->plus = name > 0 && (size_t)(s->end - q) >= name &&
              memcmp(q, r->name.p, name) == 0;
    q += r->plus ? name : 0;
    if (eol(s, q) != end)
        return false;
    r->quality = q + end;
    if ((size_t)(s->end - r->quality) < r->n)
        return false;
    r->end = r->quality + r->n + end;
    return eol(s, r->quality + r->n) == end;
}

static bool
take_read(struct splitter *s, const uint8_t *p)
{
    struct read r;
    uint8_t *flags = &s->out->flags;

    if (p == s->end || *p != '@' || !find_read(s, p, &r))
        return false;
    if (!s->plus_known && r.plus)
        *flags |= DNA_PLUS;
    s->plus_known = true;
    /* Without a name the line of '+' is the same in both cases. */
    if (r.name.len > 0 && r.plus != ((*flags & DNA_PLUS) != 0))
        return false;
    text_to(s, p);
    put_op(s, DNA_READ, r.n);
    buf_put_slice(&s->out->text, r.name);
    buf_put_u8(&s->out->text, '\n');
    buf_put(&s->out->quality, r.quality, r.n);
    dna_residues_add(s->residues, r.bases, r.n);
    go_on(s, r.end);
    return true;
}

/* The line before the one that begins at `p`, if it begins at or behind `at`;
 * NULL: `p` begins no line, or there is no such one. */
static const uint8_t *
line_before(const struct splitter *s, const uint8_t *p)
{
    const uint8_t *q;

    if (p < s->at + 2 || p[-1] != '\n')
        return NULL;
    q = memrchr(s->at, '\n', (size_t)(p - 1 - s->at));
    if (q != NULL)
        return q + 1;
    return s->at == s->begin || s->at[-1] == '\n' ? s->at : NULL;
}

void
dna_layout_split(struct dna_layout *l, struct dna_residues *r, struct slice src)
{
    struct splitter s = {.out = l,
                         .residues = r,
                         .begin = src.p,
                         .end = src.p + src.len,
                         .at = src.p,
                         .text_from = src.p};

    while (s.at < s.end) {
        const uint8_t *run, *line;

        if (take_read(&s, s.at))
            continue;
        run = find_run(s.at, s.end);
        if (run == s.end)
            break;
        line = line_before(&s, run);
        if (line == NULL || !take_read(&s, line))
            take_sequence(&s, run);
    }
    text_to(&s, s.end);
}

/* --- joining
 * ------------------------------------------------------------------------ */

bool
dna_layout_residues(struct slice ops, size_t len, size_t *count)
{
    struct cursor c = cursor_of(ops);

    *count = 0;
    while (cursor_left(&c) > 0) {
        uint64_t v;

        if (!cursor_get_varint(&c, &v))
            return false;
        if ((v & 3) != DNA_LINES && (v & 3) != DNA_READ)
            continue;
        if (v >> 2 > len - *count)
            return false;
        *count += (size_t)(v >> 2);
    }
    return true;
}

struct joiner {
    struct cursor ops, text, quality, residues;
    uint8_t *dst, *end;
    size_t width;
    size_t eol; /* bytes that end a line */
    uint8_t flags;
};

/* All writing goes through here and put_eol. */
static bool
put(struct joiner *j, struct cursor *from, size_t n)
{
    struct slice s;

    if (n > (size_t)(j->end - j->dst) || !cursor_get_bytes(from, n, &s))
        return false;
    if (n > 0)
        memcpy(j->dst, s.p, n);
    j->dst += n;
    return true;
}

static bool
put_eol(struct joiner *j)
{
    if ((size_t)(j->end - j->dst) < j->eol)
        return false;
    memcpy(j->dst, &"\r\n"[2 - j->eol], j -> eol);
    j->dst += j->eol;
    return true;
}

/* Whole lines and their ends, for which there is room; returns how many bytes
 * of `from` that took. */
static size_t
put_whole_lines(struct joiner *j, const uint8_t *from, size_t lines)
{
    const size_t width = j->width, vectors = width & ~(sizeof(vector) - 1);
    uint8_t *dst = j->dst;

    for (size_t l = 0; l < lines; l++) {
        for (size_t i = 0; i < vectors; i += sizeof(vector))
            memcpy(dst + i, from + i, sizeof(vector));
        if (vectors >= sizeof(vector))
            memcpy(dst + width - sizeof(vector), from + width - sizeof(vector),
                   sizeof(vector));
        else
            memcpy(dst, from, width);
        dst += width;
        from += width;
        if (j->eol == 2)
            *dst++ = '\r';
        *dst++ = '\n';
    }
    j->dst = dst;
    return lines * width;
}

static bool
put_lines(struct joiner *j, uint64_t n)
{
    size_t lines = j->width == 0 || n == 0 ? 0 : ((size_t)n - 1) / j->width;

    if (n > cursor_left(&j->residues) ||
        n + lines * j->eol > (size_t)(j->end - j->dst))
        return false;
    if (lines > 0)
        (void)cursor_skip(&j->residues,
                          put_whole_lines(j, j->residues.p, lines));
    return put(j, &j->residues, (size_t)n - lines * j->width);
}

static bool
put_byte(struct joiner *j, uint8_t byte)
{
    if (j->dst == j->end)
        return false;
    *j->dst++ = byte;
    return true;
}

static bool
put_read(struct joiner *j, uint64_t n)
{
    const uint8_t *name = j->text.p, *name_end;
    struct cursor again;
    size_t length, left = cursor_left(&j->text);

    if (left == 0 || n > cursor_left(&j->residues) ||
        n > cursor_left(&j->quality) ||
        (name_end = memchr(name, '\n', left)) == NULL)
        return false;
    length = (size_t)(name_end - name);
    again = cursor_of(slice_of(name, length));
    return put_byte(j, '@') && put(j, &j->text, length) &&
           cursor_skip(&j->text, 1) && put_eol(j) &&
           put(j, &j->residues, (size_t)n) && put_eol(j) && put_byte(j, '+') &&
           ((j->flags & DNA_PLUS) == 0 || put(j, &again, length)) &&
           put_eol(j) && put(j, &j->quality, (size_t)n) && put_eol(j);
}

static bool
run_op(struct joiner *j)
{
    uint64_t v, n;

    if (!cursor_get_varint(&j->ops, &v))
        return false;
    n = v >> 2;
    switch ((enum dna_op)(v & 3)) {
    case DNA_TEXT:
        return n <= cursor_left(&j->text) && put(j, &j->text, (size_t)n);
    case DNA_LINES:
        return put_lines(j, n);
    case DNA_WIDTH:
        j->width = n < DNA_BLOCK_MAX ? (size_t)n : 0;
        return true;
    case DNA_READ:
        return put_read(j, n);
    }
    return false;
}

bool
dna_layout_join(uint8_t *dst, size_t len, uint8_t flags, struct slice ops,
                struct slice text, struct slice quality, struct slice residues)
{
    struct joiner j = {.ops = cursor_of(ops),
                       .text = cursor_of(text),
                       .quality = cursor_of(quality),
                       .residues = cursor_of(residues),
                       .dst = dst,
                       .end = dst + len,
                       .eol = (flags & DNA_CRLF) != 0 ? 2 : 1,
                       .flags = flags};

    while (cursor_left(&j.ops) > 0) {
        if (!run_op(&j))
            return false;
    }
    return j.dst == j.end && cursor_left(&j.text) == 0 &&
           cursor_left(&j.quality) == 0 && cursor_left(&j.residues) == 0;
}
