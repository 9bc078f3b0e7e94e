/* cmd/cmd_dna_find.c - NQ.DNA FIND and HAMMING: what is asked of sequences
 * that stand in string values.
 *
 * A value is held still and read piece by piece (cmd/residues.h), in slices
 * of a turn; each piece is packed at two bits a base, and that is what is
 * searched and compared.  Where a letter is none of A, C, G, T and U the bits
 * say A, so such places are looked at once more:
 *
 *   FIND      a letter like that is found by N only, which finds anything
 *   HAMMING   letters are the same if they are, in whatever case; U is T
 *
 * Positions count letters of sequences from 0. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/gather.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/residues.h"
#include "codec/bases.h"

#define PIECE 16384u
#define COUNT_USUAL 1000

/* A piece of a sequence: its letters, and what they are packed. */
struct piece {
    uint8_t text[PIECE];
    uint8_t packed[BASES_BYTES(PIECE)];
    uint64_t other[BASES_WORDS(PIECE)], lower[BASES_WORDS(PIECE)];
    size_t n;
};

/* U becomes T; upper case, but for what is no letter. */
static void
pack_piece(struct piece *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->text[i] ^= (p->text[i] & 0xdf) == 'U';
    bases_pack(p->packed, p->other, p->lower, p->text, p->n);
}

/* --- FIND ----------------------------------------------------------------- */

/* A pattern on one strand, and its next match in the piece. */
struct strand {
    struct bases_pattern pattern;
    char text[BASES_PATTERN_MAX];
    size_t next; /* BASES_NONE: no more in this piece */
    bool is_used;
};

struct finding {
    struct residues residues;
    struct piece piece;
    uint64_t begin; /* position of the first letter of the piece */
    struct strand strand[2];
    bool is_both;
    uint64_t from, left; /* FROM; matches still to be told */
    struct gather answer;
};

static void
free_finding(void *state)
{
    struct finding *f = state;

    residues_close(&f->residues);
    gather_fini(&f->answer);
    nq_free(f);
}

/* The code of the other strand. */
static char
complement(char code)
{
    static const char codes[] = "ACGTURYSWKMBDHVN";
    static const char others[] = "TGCAAYRSWMKVHDBN";
    const char *found = strchr(codes, code & 0x5f);

    nq_assert(found != NULL && *found != '\0');
    return others[found - codes];
}

static bool
take_pattern(struct req *rq, struct finding *f, struct slice text)
{
    struct strand *there = &f->strand[0], *back = &f->strand[1];

    if (!bases_pattern_parse(&there->pattern, text)) {
        reply_error(rq, "a pattern is 1 to %u letters out of ACGTURYSWKMBDHVN",
                    BASES_PATTERN_MAX);
        return false;
    }
    there->is_used = true;
    for (size_t i = 0; i < text.len; i++) {
        there->text[i] = (char)(text.p[i] & 0x5f);
        back->text[text.len - 1 - i] = complement(there->text[i]);
    }
    if (f->is_both &&
        bases_pattern_parse(&back->pattern, slice_of(back->text, text.len)))
        back->is_used = memcmp(there->pattern.sets, back->pattern.sets,
                               there->pattern.length) != 0;
    return true;
}

/* [FROM n] [COUNT n] [BOTH], in any order. */
static bool
take_options(struct req *rq, struct finding *f)
{
    const char *error = "FROM is not below 0, COUNT not below 1";
    int64_t n;

    f->left = COUNT_USUAL;
    for (uint32_t i = 4; i < rq->argc; i++) {
        bool is_from = slice_is(rq->argv[i], "FROM");

        if (slice_is(rq->argv[i], "BOTH")) {
            f->is_both = true;
            continue;
        }
        if ((!is_from && !slice_is(rq->argv[i], "COUNT")) ||
            i + 1 == rq->argc) {
            reply_syntax(rq);
            return false;
        }
        if (!arg_int_within(rq, ++i, is_from ? 0 : 1, INT64_MAX, error, &n))
            return false;
        *(is_from ? &f->from : &f->left) = (uint64_t)n;
    }
    return true;
}

/* The first run; NULL: answered, or parked. */
static struct finding *
begin_finding(struct req *rq)
{
    struct finding *f = nq_calloc(1, sizeof *f);

    if (!take_options(rq, f) || !take_pattern(rq, f, rq->argv[3]) ||
        !residues_open(rq, 2, &f->residues)) {
        nq_free(f);
        return NULL;
    }
    rq->state = f;
    rq->free_state = free_finding;
    return f;
}

/* Is each letter in the match that is no base found by an N? */
static bool
is_match(const struct piece *p, const struct strand *s, size_t at)
{
    size_t end = at + s->pattern.length, from = at, to;

    while (bases_run(p->other, end, &from, &to)) {
        for (; from < to; from++) {
            if (s->text[from - at] != 'N')
                return false;
        }
    }
    return true;
}

static void
find_next(const struct finding *f, struct strand *s, size_t from)
{
    const struct piece *p = &f->piece;

    s->next = BASES_NONE;
    if (!s->is_used)
        return;
    do {
        s->next = bases_find(p->packed, p->n, &s->pattern, from);
        from = s->next + 1;
    } while (s->next != BASES_NONE && !is_match(p, s, s->next));
}

static void
put_match(struct req *rq, const struct finding *f, size_t at,
          const char *strand)
{
    if (f->is_both) {
        reply_array(rq, 2);
        reply_int(rq, (int64_t)(f->begin + at));
        reply_bulk_str(rq, strand);
    } else {
        reply_int(rq, (int64_t)(f->begin + at));
    }
}

/* Puts the matches in the piece, in their order; returns how many. */
static uint64_t
put_matches(struct req *rq, struct finding *f)
{
    uint64_t n = 0, skip = f->from > f->begin ? f->from - f->begin : 0;

    if (skip >= f->piece.n)
        return 0;
    for (unsigned i = 0; i < 2; i++)
        find_next(f, &f->strand[i], (size_t)skip);
    for (; n < f->left; n++) {
        bool is_back = f->strand[1].next < f->strand[0].next;
        struct strand *s = &f->strand[is_back];

        if (s->next == BASES_NONE)
            break;
        put_match(rq, f, s->next, is_back ? "-" : "+");
        find_next(f, s, s->next + 1);
    }
    return n;
}

/* Reads on; what may begin a match across the seam stays. */
static void
next_piece(struct finding *f)
{
    struct piece *p = &f->piece;
    size_t keep = nq_min(p->n, f->strand[0].pattern.length - 1u);

    memmove(p->text, p->text + p->n - keep, keep);
    f->begin += p->n - keep;
    p->n = keep + residues_read(&f->residues, p->text + keep, PIECE - keep);
    pack_piece(p);
}

/* NQ.DNA FIND key pattern [FROM n] [COUNT n] [BOTH]: an array of positions;
 * with BOTH of pairs of position and strand, "+" or "-". */
void
cmd_nq_dna_find(struct req *rq)
{
    struct finding *f = rq->state == NULL ? begin_finding(rq) : rq->state;
    struct reply_deferred d;
    uint64_t n = 0;

    if (f == NULL)
        return;
    d = reply_array_begin(rq);
    while (f->left > 0 && !residues_end(&f->residues)) {
        uint64_t found;

        next_piece(f);
        found = put_matches(rq, f);
        n += found;
        f->left -= found;
        if (req_should_yield(rq)) {
            gather_keep(rq, &f->answer, d, n);
            if (gather_is_too_long(rq, &f->answer))
                return;
            req_yield(rq);
            return;
        }
    }
    gather_end_array(rq, &f->answer, d, n);
}

/* --- HAMMING -------------------------------------------------------------- */

struct comparing {
    struct residues residues[2];
    struct piece piece[2];
    uint64_t differences;
};

static void
free_comparing(void *state)
{
    struct comparing *c = state;

    residues_close(&c->residues[0]);
    residues_close(&c->residues[1]);
    nq_free(c);
}

static struct comparing *
begin_comparing(struct req *rq)
{
    struct comparing *c = nq_calloc(1, sizeof *c);

    if (!residues_open(rq, 2, &c->residues[0])) {
        nq_free(c);
        return NULL;
    }
    if (!residues_open(rq, 3, &c->residues[1])) {
        residues_close(&c->residues[0]);
        nq_free(c);
        return NULL;
    }
    rq->state = c;
    rq->free_state = free_comparing;
    return c;
}

/* Differences among the first `n` letters of both pieces. */
static uint64_t
compare(const struct piece *a, const struct piece *b, size_t n)
{
    uint64_t count = bases_hamming(a->packed, b->packed, n);

    for (size_t w = 0; w < BASES_WORDS(n); w++) {
        uint64_t odd = a->other[w] | b->other[w];

        for (; odd != 0; odd &= odd - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(odd);
            uint8_t x, y;

            if (i >= n)
                break;
            x = a->text[i];
            y = b->text[i];
            count -= bases_get(a->packed, i) != bases_get(b->packed, i);
            count += x != y &&
                     ((x ^ y) != 0x20 || (x | 0x20) < 'a' || (x | 0x20) > 'z');
        }
    }
    return count;
}

/* Fills both pieces up, compares what both have, and keeps the rest. */
static void
compare_pieces(struct comparing *c)
{
    struct piece *a = &c->piece[0], *b = &c->piece[1];
    size_t n;

    for (unsigned i = 0; i < 2; i++) {
        struct piece *p = &c->piece[i];

        p->n += residues_read(&c->residues[i], p->text + p->n, PIECE - p->n);
        pack_piece(p);
    }
    n = nq_min(a->n, b->n);
    c->differences += compare(a, b, n);
    a->n -= n;
    b->n -= n;
    memmove(a->text, a->text + n, a->n);
    memmove(b->text, b->text + n, b->n);
}

/* One sequence is over, and the other one has letters left. */
static bool
differ_in_length(const struct comparing *c)
{
    for (unsigned i = 0; i < 2; i++) {
        if (residues_end(&c->residues[i]) && c->piece[i].n == 0 &&
            c->piece[1 - i].n > 0)
            return true;
    }
    return false;
}

/* NQ.DNA HAMMING key1 key2: in how many places the sequences differ. */
void
cmd_nq_dna_hamming(struct req *rq)
{
    struct comparing *c = rq->state == NULL ? begin_comparing(rq) : rq->state;

    if (c == NULL)
        return;
    while (!residues_end(&c->residues[0]) || !residues_end(&c->residues[1])) {
        compare_pieces(c);
        if (differ_in_length(c))
            break;
        if (req_should_yield(rq)) {
            req_yield(rq);
            return;
        }
    }
    if (c->piece[0].n + c->piece[1].n > 0)
        reply_error(rq, "the two sequences are not of the same length");
    else
        reply_int(rq, (int64_t)c->differences);
}
