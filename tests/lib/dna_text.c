#include "dna_text.h"

#include "base/check.h"

void
dna_text_letters(struct buf *b, struct rng *rng, const char *alphabet, size_t n)
{
    size_t of = strlen(alphabet);
    uint8_t *p = buf_reserve(b, n);

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)alphabet[rng_below(rng, of)];
    b->len += n;
}

void
dna_text_fasta(struct buf *b, struct rng *rng, size_t n, size_t width,
               const char *eol)
{
    buf_printf(b, ">seq%u of a test%s", (unsigned)rng_below(rng, 1000), eol);
    while (n > 0) {
        size_t line = nq_min(n, width);

        dna_text_letters(b, rng, "ACGT", line);
        buf_put_str(b, eol);
        n -= line;
    }
}

void
dna_text_fastq(struct buf *b, struct rng *rng, unsigned count, size_t n,
               const char *eol)
{
    static const char *const qualities[] = {"FFFFFFFFF:,#", "IIIIIHHG@>+5"};
    bool repeats = rng_below(rng, 4) == 0;

    for (unsigned i = 0; i < count; i++) {
        buf_printf(b, "@run.%u/1%s", 1000 + i, eol);
        dna_text_letters(b, rng, "ACGTACGTACGTACGTN", n);
        if (repeats)
            buf_printf(b, "%s+run.%u/1%s", eol, 1000 + i, eol);
        else
            buf_printf(b, "%s+%s", eol, eol);
        dna_text_letters(b, rng, qualities[rng_below(rng, 2)], n);
        buf_put_str(b, eol);
    }
}

void
dna_text_turn(uint8_t *dst, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = src[n - 1 - i];

        dst[i] = (uint8_t)(c == 'A'   ? 'T'
                           : c == 'C' ? 'G'
                           : c == 'G' ? 'C'
                                      : 'A');
    }
}

/* A copy of something before, or of its other strand. */
static void
repeat(struct buf *b, struct rng *rng, size_t n)
{
    size_t from;

    n = nq_min(n, b->len);
    if (n == 0)
        return;
    from = rng_below(rng, b->len - n + 1);
    (void)buf_reserve(b, n);
    if (rng_below(rng, 2) == 0)
        memcpy(b->p + b->len, b->p + from, n);
    else
        dna_text_turn(b->p + b->len, b->p + from, n);
    b->len += n;
}

static void
bytes(struct buf *b, struct rng *rng, size_t n)
{
    uint8_t *p = buf_reserve(b, n);

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rng_next(rng);
    b->len += n;
}

static void
piece(struct buf *b, struct rng *rng)
{
    static const char *const alphabets[] = {
        "ACGT",
        "acgt",
        "ACGU",
        "N",
        "n",
        "-",
        "A",
        "ACGTN",
        "ACGTRYSWKMBDHVN",
        "acgturyswkmbdhvn-",
        "ACGTacgtUu-*.X",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "\n",
        "\r\n>@+ACGT",
        " 0123456789",
    };
    const char *eol = rng_below(rng, 3) == 0 ? "\r\n" : "\n";
    size_t n = (size_t)1 << rng_below(rng, 9);

    n += rng_below(rng, n);
    switch (rng_below(rng, 8)) {
    case 0:
        dna_text_fasta(b, rng, n, 1 + rng_below(rng, 80), eol);
        return;
    case 1:
        dna_text_fastq(b, rng, 1 + (unsigned)rng_below(rng, 3), n, eol);
        return;
    case 2:
        repeat(b, rng, n);
        return;
    case 3:
        bytes(b, rng, n);
        return;
    case 4:
        dna_text_letters(b, rng, "ACGT", n);
        return;
    default:
        dna_text_letters(b, rng,
                         alphabets[rng_below(rng, nq_countof(alphabets))], n);
    }
}

void
dna_text_any(struct buf *b, struct rng *rng, size_t n)
{
    size_t cut = rng_below(rng, 100);

    while (b->len < n + cut)
        piece(b, rng);
    memmove(b->p, b->p + cut, n);
    b->len = n;
}
