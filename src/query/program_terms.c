/* query/program_terms.c - what a program says to planners.
 *
 * The shares are guesses for when nothing is known of the data; those of
 * System R's paper of 1979 have served well since. */
#include "query/program_int.h"

#include "base/mem.h"

#define SHARE_EQ 0.1
#define SHARE_RANGE (1.0 / 3)
#define SHARE_BETWEEN 0.25
#define SHARE_IN_MOST 0.5
#define SHARE_PREFIX 0.1

static bool
set_values(struct term *t, const struct value *values, uint32_t n)
{
    t->values = nq_memdup(values, n * sizeof *values);
    t->count = n;
    return true;
}

static bool
set_cmp(struct term *t, enum step_cmp cmp, const struct value *v)
{
    static const enum term_op ops[] = {[CMP_EQ] = TERM_EQ,
                                       [CMP_LT] = TERM_LT,
                                       [CMP_LE] = TERM_LE,
                                       [CMP_GT] = TERM_GT,
                                       [CMP_GE] = TERM_GE};

    if (cmp == CMP_NE)
        return false;
    t->op = ops[cmp];
    t->share = cmp == CMP_EQ ? SHARE_EQ : SHARE_RANGE;
    return set_values(t, v, 1);
}

static bool
set_prefix(struct term *t, const struct wildcard *w)
{
    bool is_rest;
    struct value v = {.kind = VALUE_TEXT, .text = wildcard_prefix(w, &is_rest)};

    if (v.text.len == 0 || !is_rest)
        return false;
    t->op = TERM_PREFIX;
    t->share = SHARE_PREFIX;
    return set_values(t, &v, 1);
}

/* The constants of a test, into *out, which is freed by the caller; false:
 * one is none, or is NULL. */
static bool
get_constants(const struct program *p, const struct step *s, struct value **out)
{
    *out = nq_calloc(s->count, sizeof **out);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct operand *op = &p->operands[s->first + i];

        if (op->is_path || op->constant.kind == VALUE_NULL)
            return false;
        (*out)[i] = op->constant;
    }
    return true;
}

static bool
set_constants(struct term *t, const struct program *p, const struct step *s)
{
    struct value *values;
    bool ok = get_constants(p, s, &values);

    if (ok && s->kind == STEP_CMP) {
        ok = set_cmp(t, s->cmp, values);
    } else if (ok) {
        t->op = s->kind == STEP_BETWEEN ? TERM_BETWEEN : TERM_IN;
        t->share = s->kind == STEP_BETWEEN
                       ? SHARE_BETWEEN
                       : nq_min(SHARE_EQ * s->count, SHARE_IN_MOST);
        set_values(t, values, s->count);
    }
    nq_free(values);
    return ok;
}

bool
term_of_step(const struct program *p, const struct step *s, struct term *out)
{
    struct value yes = {.kind = VALUE_BOOL, .boolean = true};

    if (!p->operands[s->left].is_path)
        return false;
    *out = (struct term){.path = p->paths[p->operands[s->left].path]->text};
    switch (s->kind) {
    case STEP_CMP:
    case STEP_IN:
    case STEP_CHOICE:
    case STEP_BETWEEN:
        return set_constants(out, p, s);
    case STEP_LIKE:
        return set_prefix(out, p->wildcards[s->first]);
    case STEP_IS_TRUE:
        return set_cmp(out, CMP_EQ, &yes);
    default:
        return false;
    }
}

void
term_fini(struct term *t)
{
    nq_free((void *)(uintptr_t)t->values);
}

unsigned
program_terms(const struct program *p, const struct term **out)
{
    *out = p->terms;
    return p->nterms;
}
