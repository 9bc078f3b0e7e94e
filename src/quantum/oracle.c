/* quantum/oracle.c - a bitmap that grows at its end. */
#include "quantum/oracle.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define ROOM_LEAST 16u /* words */

void
oracle_fini(struct oracle *o)
{
    nq_free(o->words);
    *o = ORACLE_INIT;
}

void
oracle_clear(struct oracle *o)
{
    o->rows = o->marked = 0;
}

void
oracle_add(struct oracle *o, bool is_marked)
{
    uint64_t word = o->rows / ORACLE_BITS;
    unsigned bit = (unsigned)(o->rows % ORACLE_BITS);

    if (word == o->room) {
        o->room = nq_max(2 * o->room, ROOM_LEAST);
        o->words = nq_realloc(o->words, o->room * sizeof *o->words);
    }
    if (bit == 0)
        o->words[word] = 0;
    o->words[word] |= (uint64_t)is_marked << bit;
    o->marked += is_marked;
    o->rows++;
}

void
oracle_copy(struct oracle *o, const uint64_t *words, uint64_t rows)
{
    uint64_t n = (rows + ORACLE_BITS - 1) / ORACLE_BITS;
    unsigned rest = (unsigned)(rows % ORACLE_BITS);

    if (n > o->room) {
        o->room = n;
        o->words = nq_realloc(o->words, n * sizeof *o->words);
    }
    if (n > 0)
        memcpy(o->words, words, n * sizeof *o->words);
    if (rest > 0)
        o->words[n - 1] &= (UINT64_C(1) << rest) - 1;
    o->rows = rows;
    o->marked = oracle_rank(o, rows);
}

void
oracle_set(struct oracle *o, uint64_t row, bool is_marked)
{
    uint64_t bit = UINT64_C(1) << row % ORACLE_BITS;

    nq_assert(row < o->rows);
    if (oracle_has(o, row) == is_marked)
        return;
    o->words[row / ORACLE_BITS] ^= bit;
    o->marked += is_marked ? 1 : UINT64_MAX;
}

uint64_t
oracle_rank(const struct oracle *o, uint64_t row)
{
    uint64_t rank = 0, words = row / ORACLE_BITS;
    unsigned bits = (unsigned)(row % ORACLE_BITS);

    nq_assert(row <= o->rows);
    for (uint64_t i = 0; i < words; i++)
        rank += (unsigned)__builtin_popcountll(o->words[i]);
    if (bits > 0)
        rank += (unsigned)__builtin_popcountll(o->words[words] &
                                               ((UINT64_C(1) << bits) - 1));
    return rank;
}
