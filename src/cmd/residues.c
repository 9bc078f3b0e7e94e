/* cmd/residues.c - sequences out of lines.  Called by NQ.DNA FIND and
 * HAMMING, which read a long value in slices. */
#include "cmd/residues.h"

#include "base/check.h"

bool
residues_open(struct req *rq, uint32_t i, struct residues *r)
{
    struct slice first;

    *r = (struct residues){0};
    if (!bits_open(rq, i, &r->bits))
        return false;
    first = bits_at(&r->bits, 0);
    r->is_fastq = first.len > 0 && first.p[0] == '@';
    return true;
}

void
residues_close(struct residues *r)
{
    bits_close(&r->bits);
}

/* A line begins with that byte. */
static void
begin_line(struct residues *r, uint8_t byte)
{
    r->in_line = true;
    if (r->is_fastq)
        r->skips = r->line++ % 4 != 1;
    else
        r->skips = byte == '>' || byte == ';';
}

/* Those of `s` that are no white space. */
static size_t
copy_line(uint8_t *dst, struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        dst[n] = s.p[i];
        n += s.p[i] > ' ';
    }
    return n;
}

size_t
residues_read(struct residues *r, uint8_t *dst, size_t n)
{
    size_t got = 0;
    uint64_t stop = r->at + n;

    while (got < n && r->at < stop && !residues_end(r)) {
        struct slice s = bits_at(&r->bits, r->at);
        const uint8_t *end;

        s.len = nq_min(s.len, n - got);
        if (!r->in_line)
            begin_line(r, s.p[0]);
        if ((end = memchr(s.p, '\n', s.len)) != NULL)
            s.len = (size_t)(end - s.p) + 1;
        if (!r->skips)
            got += copy_line(dst + got, s);
        r->at += s.len;
        r->in_line = end == NULL;
    }
    return got;
}

bool
residues_end(const struct residues *r)
{
    return r->at >= r->bits.len;
}
