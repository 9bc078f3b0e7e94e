/* query/choices.c - the constants of a long IN.
 *
 * What cannot be compared with the value makes it unknown whether that is
 * among them, unless it is found: so it matters which kinds there are. */
#include "query/choices.h"

#include <stdlib.h>

#include "base/mem.h"

struct choices {
    double *numbers;
    struct slice *texts;
    uint32_t nnumbers, ntexts;
    bool has_bool[2]; /* false, true */
    bool has_null;
};

static int
order_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int
order_texts(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void
add(struct choices *c, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NUMBER:
        c->numbers[c->nnumbers++] = v->number;
        break;
    case VALUE_TEXT:
        c->texts[c->ntexts++] = v->text;
        break;
    case VALUE_BOOL:
        c->has_bool[v->boolean] = true;
        break;
    default:
        c->has_null = true;
    }
}

struct choices *
choices_new(const struct value *values, uint32_t n)
{
    struct choices *c = nq_calloc(1, sizeof *c);

    c->numbers = nq_calloc(n, sizeof *c->numbers);
    c->texts = nq_calloc(n, sizeof *c->texts);
    for (uint32_t i = 0; i < n; i++)
        add(c, &values[i]);
    qsort(c->numbers, c->nnumbers, sizeof *c->numbers, order_numbers);
    qsort(c->texts, c->ntexts, sizeof *c->texts, order_texts);
    return c;
}

void
choices_free(struct choices *c)
{
    if (c == NULL)
        return;
    nq_free(c->numbers);
    nq_free(c->texts);
    nq_free(c);
}

size_t
choices_bytes(const struct choices *c)
{
    return sizeof *c + c->nnumbers * sizeof *c->numbers +
           c->ntexts * sizeof *c->texts;
}

static bool
has_number(const struct choices *c, double number)
{
    return bsearch(&number, c->numbers, c->nnumbers, sizeof number,
                   order_numbers) != NULL;
}

static bool
has_text(const struct choices *c, struct slice text)
{
    return bsearch(&text, c->texts, c->ntexts, sizeof text, order_texts) !=
           NULL;
}

static int
answer(bool is_found, bool is_doubtful)
{
    return is_found ? 1 : is_doubtful ? -1 : 0;
}

int
choices_have(const struct choices *c, const struct value *v)
{
    bool bools = c->has_bool[0] || c->has_bool[1];
    double number;

    switch (v->kind) {
    case VALUE_NUMBER:
        return answer(has_number(c, v->number),
                      c->ntexts > 0 || bools || c->has_null);
    case VALUE_TEXT:
        return answer(has_text(c, v->text),
                      c->nnumbers > 0 || bools || c->has_null);
    case VALUE_BYTES:
        if (c->nnumbers == 0 || !value_number_of(v->text, &number))
            return answer(has_text(c, v->text),
                          c->nnumbers > 0 || bools || c->has_null);
        return answer(has_number(c, number) || has_text(c, v->text),
                      bools || c->has_null);
    case VALUE_BOOL:
        return answer(c->has_bool[v->boolean],
                      c->nnumbers > 0 || c->ntexts > 0 || c->has_null);
    default:
        return -1;
    }
}
