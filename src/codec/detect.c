/* codec/detect.c - guessing what a block is.
 *
 * A histogram of at most 1 KiB, taken in runs spread over the block, tells:
 *
 *   dense     bytes are spread as evenly as random ones would be (by the
 *             number of equal pairs, which needs no logarithms), or nearly so
 *             behind the magic of a compressed file; and nothing in the block
 *             repeats
 *   bases     letters of nucleotides are 40 % or more in upper case (FASTQ
 *             has 45), or 70 % in any; English has some 25 %, words up to 60.
 *             Or so many stand in rows that this is no accident, whatever is
 *             between them (dna_sniff): GenBank, pages with sequences in them
 *   numbers   text of which two fifths and more are digits, and nearly all
 *             the rest what stands between numbers; or words whose highest
 *             byte is nearly always that of the word before, and whose lowest
 *             is not
 *   text      seven tenths can be printed
 *
 * Repeats of evenly spread bytes (the same picture twice) are looked for at
 * places that the contents choose: wherever a certain byte stands, what
 * follows is remembered and compared with what followed it before. */
#include "codec/detect.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/slice.h"
#include "codec/dna.h"

#define RUN 64u
#define RUNS 16u
/* Shorter blocks are tried in no time, and may be all header. */
#define DENSE_MIN 2048u
#define MEMORY 512u /* places remembered; a power of two */
#define PLACES 1024u

struct sample {
    uint32_t len;
    uint32_t count[256];
};

static void
take_run(struct sample *s, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        s->count[p[i]]++;
    s->len += (uint32_t)len;
}

static void
take_sample(struct sample *s, const uint8_t *p, size_t len)
{
    memset(s, 0, sizeof *s);
    if (len <= (size_t)RUN * RUNS) {
        take_run(s, p, len);
        return;
    }
    for (size_t i = 0; i < RUNS; i++)
        take_run(s, p + (len - RUN) * i / (RUNS - 1), RUN);
}

/* Equal pairs, in percent of what evenly spread bytes have. */
static uint64_t
pairs_percent(const struct sample *s)
{
    uint64_t pairs = 0, all = (uint64_t)s->len * (s->len - 1);

    for (unsigned i = 0; i < 256; i++)
        pairs += (uint64_t)s->count[i] * s->count[i] - s->count[i];
    return pairs * 256 * 100 / nq_max(all, 1u);
}

static bool
has_packed_magic(struct slice s)
{
    static const struct slice magics[] = {
        {(const uint8_t *)"\x89PNG\r\n", 6},
        {(const uint8_t *)"\xff\xd8\xff", 3},     /* JPEG */
        {(const uint8_t *)"\x1f\x8b\x08", 3},     /* gzip */
        {(const uint8_t *)"\x28\xb5\x2f\xfd", 4}, /* zstd */
        {(const uint8_t *)"\xfd"
                          "7zXZ",
         5},                                /* xz */
        {(const uint8_t *)"PK\x03\x04", 4}, /* zip */
        {(const uint8_t *)"7z\xbc\xaf\x27\x1c", 6},
        {(const uint8_t *)"BZh", 3},
        {(const uint8_t *)"\x04\x22\x4d\x18", 4}, /* lz4 */
        {(const uint8_t *)"GIF8", 4},
        {(const uint8_t *)"OggS", 4},
    };

    for (unsigned i = 0; i < nq_countof(magics); i++) {
        if (slice_has_prefix(s, magics[i]))
            return true;
    }
    return false;
}

/* Does something of a good length occur twice? */
static bool
has_repeats(const uint8_t *p, size_t len)
{
    uint64_t seen[MEMORY] = {0}, word, mask;
    const uint8_t *end = p + len - sizeof word, *at = p;
    unsigned thin = 0;

    /* One place in 256 << thin. */
    while (len >> (8 + thin) > PLACES / 2)
        thin++;
    mask = (1u << thin) - 1;
    while (at < end && (at = memchr(at, 0x5a, (size_t)(end - at))) != NULL) {
        memcpy(&word, ++at, sizeof word);
        if ((word & mask) == 0) {
            uint64_t mixed = word * 0x9e3779b97f4a7c15u;
            uint64_t *old = &seen[mixed >> 55];

            if (*old == word && word != 0)
                return true;
            *old = word;
        }
    }
    return false;
}

static bool
is_dense(const struct sample *s, const uint8_t *p, size_t len)
{
    uint64_t most = has_packed_magic(slice_of(p, len)) ? 150 : 115;

    return len >= DENSE_MIN && pairs_percent(s) < most && !has_repeats(p, len);
}

static uint32_t
count_of(const struct sample *s, const char *letters)
{
    uint32_t n = 0;

    for (; *letters != '\0'; letters++)
        n += s->count[(uint8_t)*letters];
    return n;
}

static uint32_t
count_between(const struct sample *s, unsigned from, unsigned to)
{
    uint32_t n = 0;

    for (unsigned i = from; i <= to; i++)
        n += s->count[i];
    return n;
}

static bool
has_bases(const struct sample *s)
{
    uint32_t upper = count_of(s, "ACGTUN"), lower = count_of(s, "acgtun");

    return upper * 10 >= s->len * 4 || (upper + lower) * 10 >= s->len * 7;
}

/* How many of the words in the sampled runs agree with the one before in the
 * byte at `at`, of those that `size` bytes make. */
static uint32_t
count_same(const uint8_t *p, size_t len, size_t size, size_t at)
{
    uint32_t n = 0;

    for (size_t i = 0; i < RUNS; i++) {
        const uint8_t *run = p + (len - RUN) * i / (RUNS - 1) / 8 * 8 + at;

        for (size_t k = size; k < RUN; k += size)
            n += run[k] == run[k - size];
    }
    return n;
}

static bool
is_array(const uint8_t *p, size_t len)
{
    if (len < (size_t)RUN * RUNS)
        return false;
    for (size_t size = 4; size <= 8; size += 4) {
        uint32_t words = (uint32_t)(RUNS * (RUN / size - 1));

        if (count_same(p, len, size, size - 1) * 10 >= words * 9 &&
            count_same(p, len, size, 0) * 10 <= words * 5)
            return true;
    }
    return false;
}

enum data_class
detect_class(const void *src, size_t len)
{
    struct sample s;
    uint32_t digits, text;

    if (len == 0)
        return DATA_BINARY;
    take_sample(&s, src, len);
    if (is_dense(&s, src, len))
        return DATA_DENSE;
    if (has_bases(&s))
        return DATA_BASES;
    digits = count_between(&s, '0', '9');
    if (digits * 5 >= s.len * 2 &&
        (digits + count_of(&s, " \t\r\n,.:;-+/TZ")) * 10 >= s.len * 9)
        return DATA_NUMBERS;
    if (dna_sniff(slice_of(src, len)))
        return DATA_BASES;
    text = count_between(&s, ' ', '~') + count_of(&s, "\t\r\n");
    if (text * 10 >= s.len * 7)
        return DATA_TEXT;
    return is_array(src, len) ? DATA_NUMBERS : DATA_BINARY;
}

const char *detect_class_name(enum data_class class)
{
    static const char *const names[DATA_CLASSES] = {
        [DATA_DENSE] = "dense",     [DATA_TEXT] = "text",
        [DATA_NUMBERS] = "numbers", [DATA_BASES] = "bases",
        [DATA_BINARY] = "binary",
    };

    return (unsigned)class < DATA_CLASSES ? names[class] : "unknown";
}
