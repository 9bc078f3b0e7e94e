/* query/program.c - programs: from arguments, and run over rows.
 *
 * A run keeps the truths of tests on a stack.  Its depth is bounded by what
 * the grammar lets nest: an OR and an AND a level may wait for their other
 * side.  Any thread. */
#include "query/program.h"

#include "base/check.h"
#include "query/program_int.h"

#define STACK_DEPTH (2 * PROGRAM_NESTING_MAX + 4)

/* What a run works with. */
struct run {
    const struct program *p;
    const struct row *row;
    struct row_scratch *scratch;
};

/* --- tests --------------------------------------------------------------- */

static enum truth
truth_of(bool b)
{
    return b ? TRUTH_TRUE : TRUTH_FALSE;
}

static enum truth
truth_not(enum truth t)
{
    return t == TRUTH_UNKNOWN ? t : truth_of(t == TRUTH_FALSE);
}

static enum truth
truth_and(enum truth a, enum truth b)
{
    if (a == TRUTH_FALSE || b == TRUTH_FALSE)
        return TRUTH_FALSE;
    return a == TRUTH_TRUE && b == TRUTH_TRUE ? TRUTH_TRUE : TRUTH_UNKNOWN;
}

static enum truth
truth_or(enum truth a, enum truth b)
{
    return truth_not(truth_and(truth_not(a), truth_not(b)));
}

static enum truth
test_cmp(enum step_cmp cmp, const struct value *a, const struct value *b)
{
    int c = value_cmp(a, b);

    if (c == 2)
        return TRUTH_UNKNOWN;
    switch (cmp) {
    case CMP_EQ:
        return truth_of(c == 0);
    case CMP_NE:
        return truth_of(c != 0);
    case CMP_LT:
        return truth_of(c < 0);
    case CMP_LE:
        return truth_of(c <= 0);
    case CMP_GT:
        return truth_of(c > 0);
    case CMP_GE:
        return truth_of(c >= 0);
    }
    return TRUTH_UNKNOWN;
}

static enum truth
test_like(const struct wildcard *w, const struct value *v)
{
    if (v->kind != VALUE_TEXT && v->kind != VALUE_BYTES)
        return TRUTH_UNKNOWN;
    switch (wildcard_match(w, v->text)) {
    case WILDCARD_NO:
        return TRUTH_FALSE;
    case WILDCARD_YES:
        return TRUTH_TRUE;
    case WILDCARD_TOO_LONG:
        break;
    }
    return TRUTH_UNKNOWN;
}

/* The value of an operand; without a run it is a constant. */
static const struct value *
operand_value(const struct run *x, const struct operand *op)
{
    if (!op->is_path)
        return &op->constant;
    return row_value(x->scratch, x->p, x->row, op->path);
}

static enum truth
test_in(const struct run *x, const struct step *s, const struct value *v)
{
    enum truth any = TRUTH_FALSE;

    for (uint32_t i = 0; i < s->count && any != TRUTH_TRUE; i++) {
        const struct operand *op = &x->p->operands[s->first + i];

        any = truth_or(any, test_cmp(CMP_EQ, v, operand_value(x, op)));
    }
    return any;
}

static enum truth
test_choice(const struct choices *c, const struct value *v)
{
    int found = choices_have(c, v);

    return found < 0 ? TRUTH_UNKNOWN : truth_of(found > 0);
}

static enum truth
test_between(const struct run *x, const struct step *s, const struct value *v)
{
    const struct operand *bounds = &x->p->operands[s->first];
    enum truth low = test_cmp(CMP_GE, v, operand_value(x, &bounds[0]));

    if (low == TRUTH_FALSE)
        return low;
    return truth_and(low, test_cmp(CMP_LE, v, operand_value(x, &bounds[1])));
}

static enum truth
test(const struct run *x, const struct step *s, const struct value *v)
{
    switch ((enum step_kind)s->kind) {
    case STEP_CMP:
        return test_cmp(s->cmp, v, operand_value(x, &x->p->operands[s->first]));
    case STEP_IN:
        return test_in(x, s, v);
    case STEP_CHOICE:
        return test_choice(x->p->choices[s->choices], v);
    case STEP_BETWEEN:
        return test_between(x, s, v);
    case STEP_LIKE:
        return test_like(x->p->wildcards[s->first], v);
    case STEP_IS_NULL:
        return truth_of(v->kind == VALUE_MISSING || v->kind == VALUE_NULL);
    case STEP_EXISTS:
        return truth_of(v->kind != VALUE_MISSING);
    case STEP_IS_TRUE:
        if (v->kind == VALUE_MISSING || v->kind == VALUE_NULL)
            return TRUTH_UNKNOWN;
        return truth_of(v->kind == VALUE_BOOL && v->boolean);
    default:
        check_failed("a step that is no test", __FILE__, __LINE__);
    }
}

enum truth
step_test_constant(const struct program *p, const struct step *s,
                   const struct value *v)
{
    struct run x = {.p = p};

    return test(&x, s, v);
}

/* --- the run
 * ------------------------------------------------------------------ */

/* Does step `pc`; the step that follows. */
static uint32_t
run_step(const struct run *x, uint32_t pc, enum truth *stack, uint32_t *top)
{
    const struct step *s = &x->p->steps[pc];

    switch ((enum step_kind)s->kind) {
    case STEP_NOT:
        stack[*top - 1] = truth_not(stack[*top - 1]);
        break;
    case STEP_AND:
        --*top;
        stack[*top - 1] = truth_and(stack[*top - 1], stack[*top]);
        break;
    case STEP_OR:
        --*top;
        stack[*top - 1] = truth_or(stack[*top - 1], stack[*top]);
        break;
    case STEP_JUMP_FALSE:
        return stack[*top - 1] == TRUTH_FALSE ? s->first : pc + 1;
    case STEP_JUMP_TRUE:
        return stack[*top - 1] == TRUTH_TRUE ? s->first : pc + 1;
    default:
        stack[*top] = test(x, s, operand_value(x, &x->p->operands[s->left]));
        ++*top;
    }
    return pc + 1;
}

enum truth
program_run(const struct program *p, const struct row *r, struct row_scratch *s)
{
    struct run x = {.p = p, .row = r, .scratch = s};
    enum truth stack[STACK_DEPTH];
    uint32_t top = 0, pc = 0;

    if (p->can_sift && !sift_may_match(p, r))
        return TRUTH_UNKNOWN;
    row_scratch_begin(s, p);
    while (pc < p->nsteps) {
        nq_dassert(top < STACK_DEPTH);
        pc = run_step(&x, pc, stack, &top);
    }
    nq_dassert(top == 1);
    return stack[0];
}

/* --- compiling
 * ---------------------------------------------------------------- */

struct program *
program_ref(struct program *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void
program_unref(struct program *p)
{
    if (p == NULL)
        return;
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        program_free(p);
}

struct slice
program_text(const struct program *p)
{
    return buf_slice(&p->text);
}

unsigned
program_needs(const struct program *p)
{
    return p->needs;
}
