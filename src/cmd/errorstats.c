/* cmd/errorstats.c - a short array searched from its front; the kinds of
 * errors of a server are few.  Called by cmd/reply. */
#include "cmd/errorstats.h"

#include "base/check.h"
#include "base/mem.h"

#define KINDS_MAX 128
#define WORD_MAX 32

struct errorstats {
    unsigned n;
    struct {
        char word[WORD_MAX];
        uint64_t count;
    } kinds[KINDS_MAX];
};

struct errorstats *
errorstats_new(void)
{
    return nq_calloc(1, sizeof(struct errorstats));
}

void
errorstats_free(struct errorstats *es)
{
    nq_free(es);
}

void
errorstats_count(struct errorstats *es, struct slice text)
{
    size_t len = 0;

    while (len < text.len && len < WORD_MAX - 1 && text.p[len] != ' ')
        len++;
    for (unsigned i = 0; i < es->n; i++) {
        const char *word = es->kinds[i].word;

        if (strlen(word) == len && memcmp(word, text.p, len) == 0) {
            es->kinds[i].count++;
            return;
        }
    }
    if (es->n == KINDS_MAX)
        return;
    memcpy(es->kinds[es->n].word, text.p, len);
    es->kinds[es->n].word[len] = '\0';
    es->kinds[es->n++].count = 1;
}

void
errorstats_clear(struct errorstats *es)
{
    es->n = 0;
}

void
errorstats_each(const struct errorstats *es,
                void (*fn)(void *arg, const char *word, uint64_t count),
                void *arg)
{
    for (unsigned i = 0; i < es->n; i++)
        fn(arg, es->kinds[i].word, es->kinds[i].count);
}
