/* quantum/oracle.h - which states a search looks for: one bit a state.
 *
 * Any one thread at a time. */
#ifndef NQ_QUANTUM_ORACLE_H
#define NQ_QUANTUM_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#define ORACLE_BITS 64u /* of a word */

struct oracle {
    uint64_t rows;   /* states, numbered from 0 */
    uint64_t marked; /* of them */
    uint64_t *words; /* owned; bits from `rows` on are zero */
    uint64_t room;   /* words */
};

#define ORACLE_INIT ((struct oracle){0, 0, 0, 0})

void oracle_fini(struct oracle *o);
/* One more state, behind the last one. */
void oracle_add(struct oracle *o, bool is_marked);
/* Forgets all states; keeps the memory. */
void oracle_clear(struct oracle *o);
/* As many states as `rows`, marked as the bits say; of the last word, those
 * behind are not looked at. */
void oracle_copy(struct oracle *o, const uint64_t *words, uint64_t rows);
/* Changes what is known of a state. */
void oracle_set(struct oracle *o, uint64_t row, bool is_marked);
/* Marked states below `row`, of which there are `rows` or fewer. */
uint64_t oracle_rank(const struct oracle *o, uint64_t row);

static inline bool
oracle_has(const struct oracle *o, uint64_t row)
{
    return (o->words[row / ORACLE_BITS] >> row % ORACLE_BITS & 1) != 0;
}

#endif
