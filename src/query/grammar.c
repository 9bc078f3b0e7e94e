/* query/grammar.c - the text of a WHERE becomes a program (program.h has the
 * grammar, program_int.h the program).
 *
 * Each rule is a function that reads its tokens and puts its steps.  What a
 * rule needs to know of the rest is one token ahead.  Depth is bounded by
 * PROGRAM_NESTING_MAX, which counts parentheses and NOTs, and so is the stack
 * of a run: two truths a level wait for their other side.
 *
 * Terms for planners are noted where tests are read, and taken back by
 * whoever finds that he is in an OR or a NOT. */
#include "query/program_int.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "query/tokens.h"

#define CHOICES_LEAST 8u /* of an IN that are worth sorting */

struct grammar {
    struct tokens tokens;
    struct token now; /* the next one */
    struct program *p;
    struct query_error *err;
    uint32_t nesting;
    uint32_t size; /* steps and operands */
    size_t texts;  /* bytes used of p->texts */
    bool is_bad;
};

void
query_fail(struct query_error *err, size_t at, const char *fmt, ...)
{
    size_t room = sizeof err->text - 1, n;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text, room - 24, fmt, ap);
    va_end(ap);
    for (n = 0; err->text[n] != '\0'; n++)
        if ((unsigned char)err->text[n] < ' ')
            err->text[n] = '?';
    snprintf(err->text + n, room - n, " at %zu", at);
    err->at = at;
}

/* --- tokens -------------------------------------------------------------- */

static void
advance(struct grammar *g)
{
    g->now = tokens_next(&g->tokens);
}

/* The first thing that is wrong is told. */
static void
fail(struct grammar *g, const char *wanted)
{
    const struct token *k = &g->now;

    if (g->is_bad)
        return;
    g->is_bad = true;
    if (k->kind == TOKEN_END)
        query_fail(g->err, k->at, "expected %s, found the end", wanted);
    else if (k->kind == TOKEN_UNCLOSED)
        query_fail(g->err, k->at, "expected the end of a text that begins");
    else
        query_fail(g->err, k->at, "expected %s, found '%.*s'", wanted,
                   (int)nq_min(k->source.len, 24U), (const char *)k->source.p);
}

static void
fail_limit(struct grammar *g, const char *limit)
{
    if (g->is_bad)
        return;
    g->is_bad = true;
    query_fail(g->err, g->now.at, "expected %s, found more", limit);
}

static bool
is_word(const struct grammar *g, const char *word)
{
    return g->now.kind == TOKEN_WORD && slice_is(g->now.text, word);
}

static const char *const keywords[] = {"AND",     "OR",   "NOT",  "IN",
                                       "BETWEEN", "LIKE", "GLOB", "IS",
                                       "NULL",    "TRUE", "FALSE"};

static bool
is_keyword(struct slice word)
{
    for (size_t i = 0; i < nq_countof(keywords); i++)
        if (slice_is(word, keywords[i]))
            return true;
    return false;
}

/* --- the canonical text -------------------------------------------------- */

/* A blank before the next piece, but for the insides of parentheses. */
static void
put_gap(struct grammar *g, const char *piece)
{
    struct buf *b = &g->p->text;

    if (b->len > 0 && b->p[b->len - 1] != '(' && strchr("),", *piece) == NULL)
        buf_put_u8(b, ' ');
}

static void
put_piece(struct grammar *g, const char *piece)
{
    put_gap(g, piece);
    buf_put_str(&g->p->text, piece);
}

static bool
take_word(struct grammar *g, const char *word)
{
    if (!is_word(g, word))
        return false;
    put_piece(g, word);
    advance(g);
    return true;
}

static bool
take_kind(struct grammar *g, enum token_kind kind, const char *piece)
{
    if (g->now.kind != kind)
        return false;
    put_piece(g, piece);
    advance(g);
    return true;
}

static void
want_kind(struct grammar *g, enum token_kind kind, const char *piece)
{
    if (!take_kind(g, kind, piece))
        fail(g, piece);
}

static void
put_number(struct grammar *g, double v)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        double back;

        snprintf(text, sizeof text, "%.*g", digits, v);
        if (value_number_of(slice_str(text), &back) && back == v)
            break;
    }
    put_piece(g, text);
}

static void
put_path(struct grammar *g, const struct path *path, bool is_left)
{
    struct slice text = path->text;
    struct slice first = path->kind == PATH_FIELD ? path->steps[0].name : text;
    double number;

    put_gap(g, "$");
    if (path->kind == PATH_FIELD &&
        (!is_left || text.p[0] == '[' || is_keyword(text) ||
         slice_is(first, "EXISTS") || value_number_of(text, &number)))
        buf_put_str(&g->p->text, text.p[0] == '[' ? "$" : "$.");
    buf_put_slice(&g->p->text, text);
}

static void
put_text(struct grammar *g, struct slice s)
{
    put_gap(g, "\"");
    tokens_put_quoted(s, &g->p->text);
}

/* --- parts of the program ------------------------------------------------ */

/* One more of size `size` in an array that grows by doubling. */
static void *
grow(void *array, uint32_t count, size_t size)
{
    if ((count & (count - 1)) == 0)
        array = nq_realloc(array, nq_max(count * 2, 4U) * size);
    memset((uint8_t *)array + count * size, 0, size);
    return array;
}

static bool
has_room(struct grammar *g)
{
    if (g->size == PROGRAM_STEPS_MAX)
        fail_limit(g, "at most 4096 steps");
    g->size++;
    return !g->is_bad;
}

/* Number of the new step. */
static uint32_t
add_step(struct grammar *g, enum step_kind kind)
{
    struct program *p = g->p;

    if (!has_room(g))
        return 0;
    p->steps = grow(p->steps, p->nsteps, sizeof *p->steps);
    p->steps[p->nsteps].kind = (uint8_t)kind;
    return p->nsteps++;
}

static uint32_t
add_operand(struct grammar *g, struct operand op)
{
    struct program *p = g->p;

    if (!has_room(g))
        return 0;
    p->operands = grow(p->operands, p->noperands, sizeof *p->operands);
    p->operands[p->noperands] = op;
    return p->noperands++;
}

/* Number of the path with the text of `path`, which is taken over. */
static uint32_t
add_path(struct grammar *g, struct path *path)
{
    struct program *p = g->p;

    for (uint32_t i = 0; i < p->npaths; i++) {
        if (p->paths[i]->kind == path->kind &&
            slice_eq(p->paths[i]->text, path->text)) {
            path_free(path);
            return i;
        }
    }
    p->paths = grow(p->paths, p->npaths, sizeof *p->paths);
    p->paths[p->npaths] = path;
    p->needs |= path_needs(path);
    return p->npaths++;
}

static struct slice
keep_text(struct grammar *g, struct slice s)
{
    uint8_t *dst = g->p->texts + g->texts;

    memcpy(dst, s.p, s.len);
    g->texts += s.len;
    return slice_of(dst, s.len);
}

/* --- operands ------------------------------------------------------------ */

static struct operand
path_operand(struct grammar *g, bool is_left)
{
    struct operand op = {.is_path = true};
    struct path *path;

    if (path_parse(g->now.text, g->now.at, &path, g->err) != NQ_OK) {
        g->is_bad = true;
        return op;
    }
    put_path(g, path, is_left);
    op.path = add_path(g, path);
    advance(g);
    return op;
}

static struct operand
text_operand(struct grammar *g)
{
    struct operand op = {.constant.kind = VALUE_TEXT};

    op.constant.text = keep_text(g, g->now.text);
    put_text(g, g->now.text);
    advance(g);
    return op;
}

/* TRUE, FALSE or NULL; false: it is none of them. */
static bool
take_named_constant(struct grammar *g, struct value *out)
{
    static const struct {
        const char *word;
        struct value value;
    } named[] = {{"TRUE", {.kind = VALUE_BOOL, .boolean = true}},
                 {"FALSE", {.kind = VALUE_BOOL}},
                 {"NULL", {.kind = VALUE_NULL}}};

    for (size_t i = 0; i < nq_countof(named); i++) {
        if (take_word(g, named[i].word)) {
            *out = named[i].value;
            return true;
        }
    }
    return false;
}

/* Left of a test a bare word is a path, right of it a text. */
static struct operand
take_operand(struct grammar *g, bool is_left)
{
    const char *wanted = is_left ? "a path or a value" : "a value";
    struct operand op = {0};

    if (g->now.kind == TOKEN_TEXT)
        return text_operand(g);
    if (g->now.kind != TOKEN_WORD) {
        fail(g, wanted);
        return op;
    }
    if (take_named_constant(g, &op.constant))
        return op;
    if (value_number_of(g->now.text, &op.constant.number)) {
        op.constant.kind = VALUE_NUMBER;
        put_number(g, op.constant.number);
        advance(g);
        return op;
    }
    if (is_keyword(g->now.text)) {
        fail(g, wanted);
        return op;
    }
    if (is_left || g->now.text.p[0] == '$')
        return path_operand(g, is_left);
    return text_operand(g);
}

/* --- tests --------------------------------------------------------------- */

/* The test can be decided from one path and constants: noted. */
static void
note_term(struct grammar *g, uint32_t step)
{
    struct program *p = g->p;
    struct term t;

    if (g->is_bad || !term_of_step(p, &p->steps[step], &t))
        return;
    p->terms = grow(p->terms, p->nterms, sizeof *p->terms);
    p->term_steps = grow(p->term_steps, p->nterms, sizeof *p->term_steps);
    p->terms[p->nterms] = t;
    p->term_steps[p->nterms++] = step;
}

static void
forget_terms(struct grammar *g, uint32_t from)
{
    while (g->p->nterms > from)
        term_fini(&g->p->terms[--g->p->nterms]);
}

/* Puts a test; negated: and a NOT. */
static void
put_test(struct grammar *g, struct step test, bool negated)
{
    uint32_t i = add_step(g, test.kind);

    if (g->is_bad)
        return;
    g->p->steps[i] = test;
    if (negated)
        add_step(g, STEP_NOT);
    else
        note_term(g, i);
}

static bool
take_cmp(struct grammar *g, enum step_cmp *out)
{
    static const struct {
        enum token_kind kind;
        const char *text;
    } table[] = {[CMP_EQ] = {TOKEN_EQ, "="}, [CMP_NE] = {TOKEN_NE, "!="},
                 [CMP_LT] = {TOKEN_LT, "<"}, [CMP_LE] = {TOKEN_LE, "<="},
                 [CMP_GT] = {TOKEN_GT, ">"}, [CMP_GE] = {TOKEN_GE, ">="}};

    for (unsigned i = 0; i < nq_countof(table); i++) {
        if (take_kind(g, table[i].kind, table[i].text)) {
            *out = (enum step_cmp)i;
            return true;
        }
    }
    return false;
}

/* A constant on the left changes sides, so that a path is on the left if there
 * is one. */
static void
put_cmp(struct grammar *g, struct operand left, enum step_cmp cmp)
{
    static const uint8_t mirrored[] = {
        [CMP_EQ] = CMP_EQ, [CMP_NE] = CMP_NE, [CMP_LT] = CMP_GT,
        [CMP_LE] = CMP_GE, [CMP_GT] = CMP_LT, [CMP_GE] = CMP_LE};
    struct operand right = take_operand(g, false);
    struct step s = {.kind = STEP_CMP, .cmp = (uint8_t)cmp, .count = 1};

    if (!left.is_path && right.is_path) {
        struct operand t = left;

        left = right;
        right = t;
        s.cmp = mirrored[cmp];
    }
    s.left = add_operand(g, left);
    s.first = add_operand(g, right);
    put_test(g, s, false);
}

/* Long lists of constants are sorted. */
static void
sort_choices(struct grammar *g, struct step *s)
{
    struct program *p = g->p;
    struct value *values;
    uint32_t n = 0;

    if (g->is_bad || s->count < CHOICES_LEAST)
        return;
    values = nq_calloc(s->count, sizeof *values);
    while (n < s->count && !p->operands[s->first + n].is_path) {
        values[n] = p->operands[s->first + n].constant;
        n++;
    }
    if (n == s->count) {
        s->kind = STEP_CHOICE;
        s->choices = p->nchoices;
        p->choices = grow(p->choices, p->nchoices, sizeof *p->choices);
        p->choices[p->nchoices++] = choices_new(values, n);
    }
    nq_free(values);
}

static void
put_in(struct grammar *g, struct operand left, bool negated)
{
    struct step s = {.kind = STEP_IN};

    s.left = add_operand(g, left);
    want_kind(g, TOKEN_OPEN, "(");
    s.first = g->p->noperands;
    do
        add_operand(g, take_operand(g, false));
    while (!g->is_bad && take_kind(g, TOKEN_COMMA, ","));
    s.count = g->p->noperands - s.first;
    if (!take_kind(g, TOKEN_CLOSE, ")"))
        fail(g, ", or )");
    sort_choices(g, &s);
    put_test(g, s, negated);
}

static void
put_between(struct grammar *g, struct operand left, bool negated)
{
    struct step s = {.kind = STEP_BETWEEN, .count = 2};

    s.left = add_operand(g, left);
    s.first = add_operand(g, take_operand(g, false));
    if (!take_word(g, "AND"))
        fail(g, "AND");
    add_operand(g, take_operand(g, false));
    put_test(g, s, negated);
}

static void
put_like(struct grammar *g, struct operand left, bool negated, bool is_glob)
{
    struct step s = {.kind = STEP_LIKE, .count = 1};
    struct program *p = g->p;
    struct slice pattern = g->now.text;

    if (g->now.kind != TOKEN_TEXT && g->now.kind != TOKEN_WORD) {
        fail(g, "a pattern");
        return;
    }
    s.left = add_operand(g, left);
    s.first = p->nwildcards;
    p->wildcards = grow(p->wildcards, p->nwildcards, sizeof *p->wildcards);
    p->wildcards[p->nwildcards++] =
        is_glob ? wildcard_new_glob(pattern) : wildcard_new_like(pattern);
    put_text(g, pattern);
    advance(g);
    put_test(g, s, negated);
}

static void
put_is_null(struct grammar *g, struct operand left)
{
    struct step s = {.kind = STEP_IS_NULL};
    bool negated = take_word(g, "NOT");

    if (!take_word(g, "NULL"))
        fail(g, negated ? "NULL" : "NULL or NOT NULL");
    s.left = add_operand(g, left);
    put_test(g, s, negated);
}

/* An operand by itself. */
static void
put_is_true(struct grammar *g, struct operand left)
{
    struct step s = {.kind = STEP_IS_TRUE};

    if (!left.is_path && left.constant.kind != VALUE_BOOL) {
        fail(g, "a comparison");
        return;
    }
    s.left = add_operand(g, left);
    put_test(g, s, false);
}

static void
take_exists(struct grammar *g)
{
    struct step s = {.kind = STEP_EXISTS};

    want_kind(g, TOKEN_OPEN, "(");
    if (!g->is_bad && g->now.kind != TOKEN_WORD)
        fail(g, "a path");
    if (g->is_bad)
        return;
    s.left = add_operand(g, path_operand(g, false));
    want_kind(g, TOKEN_CLOSE, ")");
    put_test(g, s, false);
}

static void
take_test(struct grammar *g)
{
    struct operand left = take_operand(g, true);
    enum step_cmp cmp;
    bool negated;

    if (g->is_bad)
        return;
    if (take_cmp(g, &cmp)) {
        put_cmp(g, left, cmp);
        return;
    }
    if (take_word(g, "IS")) {
        put_is_null(g, left);
        return;
    }
    negated = take_word(g, "NOT");
    if (take_word(g, "IN"))
        put_in(g, left, negated);
    else if (take_word(g, "BETWEEN"))
        put_between(g, left, negated);
    else if (take_word(g, "LIKE"))
        put_like(g, left, negated, false);
    else if (take_word(g, "GLOB"))
        put_like(g, left, negated, true);
    else if (negated)
        fail(g, "IN, BETWEEN, LIKE or GLOB");
    else
        put_is_true(g, left);
}

/* --- logic --------------------------------------------------------------- */

static void take_or(struct grammar *g);

static void
take_not(struct grammar *g)
{
    uint32_t terms = g->p->nterms;
    bool nests = g->now.kind == TOKEN_OPEN || is_word(g, "NOT");

    if (g->is_bad)
        return;
    if (nests && ++g->nesting > PROGRAM_NESTING_MAX) {
        fail_limit(g, "at most 64 levels of parentheses and NOT");
        return;
    }
    if (take_word(g, "NOT")) {
        take_not(g);
        forget_terms(g, terms);
        add_step(g, STEP_NOT);
    } else if (take_kind(g, TOKEN_OPEN, "(")) {
        take_or(g);
        if (!take_kind(g, TOKEN_CLOSE, ")"))
            fail(g, "AND, OR or )");
    } else if (take_word(g, "EXISTS")) {
        take_exists(g);
    } else {
        take_test(g);
    }
    g->nesting -= nests;
}

/* rule { word rule }: the jump in front of a right side leads behind it. */
static bool
take_chain(struct grammar *g, void (*rule)(struct grammar *), const char *word,
           enum step_kind jump, enum step_kind join)
{
    bool is_chain = false;

    rule(g);
    while (!g->is_bad && take_word(g, word)) {
        uint32_t at = add_step(g, jump);

        is_chain = true;
        rule(g);
        add_step(g, join);
        if (!g->is_bad)
            g->p->steps[at].first = g->p->nsteps;
    }
    return is_chain;
}

static void
take_and(struct grammar *g)
{
    take_chain(g, take_not, "AND", STEP_JUMP_FALSE, STEP_AND);
}

static void
take_or(struct grammar *g)
{
    uint32_t terms = g->p->nterms;

    if (take_chain(g, take_and, "OR", STEP_JUMP_TRUE, STEP_OR))
        forget_terms(g, terms);
}

static size_t
bytes_of(const struct program *p, size_t texts)
{
    size_t n = sizeof *p + texts + p->text.cap + p->nsteps * sizeof *p->steps +
               p->noperands * sizeof *p->operands;

    for (uint32_t i = 0; i < p->npaths; i++)
        n += p->paths[i]->bytes + sizeof *p->paths;
    for (uint32_t i = 0; i < p->nwildcards; i++)
        n += wildcard_bytes(p->wildcards[i]) + sizeof *p->wildcards;
    for (uint32_t i = 0; i < p->nchoices; i++)
        n += choices_bytes(p->choices[i]) + sizeof *p->choices;
    for (uint32_t i = 0; i < p->nterms; i++)
        n += sizeof *p->terms + sizeof *p->term_steps +
             p->terms[i].count * sizeof(struct value);
    return n;
}

nq_rc
grammar_compile(struct slice text, const uint32_t *ends, uint32_t count,
                struct program **out, struct query_error *err)
{
    struct program *p = nq_calloc(1, sizeof *p);
    struct grammar g = {.p = p, .err = err};

    p->texts = nq_malloc(text.len + 1);
    atomic_init(&p->refs, 1);
    p->needs = ROW_KEY;
    g.tokens = (struct tokens){.text = text,
                               .ends = ends,
                               .count = count,
                               .memory = nq_malloc(text.len + 1)};
    advance(&g);
    take_or(&g);
    if (!g.is_bad && g.now.kind != TOKEN_END)
        fail(&g, "AND, OR or the end");
    nq_free(g.tokens.memory);
    p->bytes = bytes_of(p, text.len);
    p->can_sift = sift_is_of_use(p);
    if (g.is_bad) {
        program_free(p);
        *out = NULL;
        return NQ_ESYNTAX;
    }
    *out = p;
    return NQ_OK;
}

void
program_free(struct program *p)
{
    for (uint32_t i = 0; i < p->npaths; i++)
        path_free(p->paths[i]);
    for (uint32_t i = 0; i < p->nwildcards; i++)
        wildcard_free(p->wildcards[i]);
    for (uint32_t i = 0; i < p->nchoices; i++)
        choices_free(p->choices[i]);
    for (uint32_t i = 0; i < p->nterms; i++)
        term_fini(&p->terms[i]);
    nq_free(p->paths);
    nq_free(p->wildcards);
    nq_free(p->choices);
    nq_free(p->terms);
    nq_free(p->term_steps);
    nq_free(p->steps);
    nq_free(p->operands);
    nq_free(p->texts);
    buf_fini(&p->text);
    buf_fini(&p->source);
    nq_free(p);
}
