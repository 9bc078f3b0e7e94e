/* tests/lib/asked_row.c - random questions to random rows.
 *
 * A document is an array of nodes; find_node() goes through it in the order of
 * its text.  A question is a tree of tests, put as text with parentheses where
 * the grammar wants them, and sometimes where it does not. */
#include "asked_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define TESTS_MAX 128
#define LIST_MAX 16

static struct rng *rng;

static unsigned
below(unsigned n)
{
    return (unsigned)rng_below(rng, n);
}

#define PICK(list) (list)[below((unsigned)nq_countof(list))]

/* --- what rows and questions are made of --------------------------------- */

static const char *const names[] = {"a", "b", "temp", "any name", "x.y", "é"};
static const char *const words[] = {
    "",  "a",   "ab",   "north", "10",  "2.5", "1e1",        "A%",       "a_b",
    "é", "aab", "abab", "true",  "[x]", "\\",  "say \"hi\"", "line\nend"};
static const char *const numbers[] = {"0",         "1",   "10",  "2.5",
                                      "-3",        "1e1", "007", "1.50",
                                      "123456789", "-0",  "1E-2"};
static const char *const patterns[] = {
    "%", "a%", "%b", "_", "a_b", "_%b", "%a%b", "", "no\\%", "a\\_b", "__"};
static const char *const globs[] = {"*",      "a*",    "*b",   "?",     "a?b",
                                    "[a-n]*", "[^a]*", "*a*b", "\\[x]", "??"};

/* A number as the grammar of JSON has it. */
static bool
is_number(const char *s, double *out)
{
    const char *p = s;
    char *end;

    p += *p == '-' || *p == '+';
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
        return false;
    *out = strtod(s, &end);
    return *end == '\0';
}

/* --- making rows --------------------------------------------------------- */

static void
put_blanks(struct buf *b)
{
    for (unsigned n = below(4) == 0 ? below(3) : 0; n > 0; n--)
        buf_put_u8(b, (uint8_t) " \t\n"[below(3)]);
}

static void
put_string(struct buf *b, const char *s)
{
    buf_put_u8(b, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            buf_printf(b, "\\%c", *s);
        else if (*s == '\n')
            buf_put_str(b, "\\n");
        else if ((*s & 0x80) == 0 && below(40) == 0)
            buf_printf(b, "\\u%04x", (unsigned)*s);
        else
            buf_put_u8(b, (uint8_t)*s);
    }
    buf_put_u8(b, '"');
}

static void
put_node(struct buf *b, const struct model *m, const struct node *n)
{
    put_blanks(b);
    if (n->value.kind == TEXT) {
        put_string(b, n->value.text);
    } else if (n->value.kind != OTHER) {
        buf_put_str(b, n->value.text);
    } else {
        buf_put_u8(b, n->is_array ? '[' : '{');
        for (unsigned i = 0; i < n->count; i++) {
            const struct node *kid = &m->nodes[n->first + i];

            if (i > 0)
                buf_put_u8(b, ',');
            put_blanks(b);
            if (kid->name != NULL) {
                put_string(b, kid->name);
                put_blanks(b);
                buf_put_u8(b, ':');
            }
            put_node(b, m, kid);
        }
        buf_put_u8(b, n->is_array ? ']' : '}');
    }
    put_blanks(b);
}

static struct plain
random_scalar(void)
{
    struct plain v = {.kind = NUMBER};

    switch (below(6)) {
    case 0:
        return (struct plain){.kind = NUL, .text = "null"};
    case 1:
        return (struct plain){.kind = BOOL,
                              .text = below(2) ? "true" : "false"};
    case 2:
    case 3:
        return (struct plain){.kind = TEXT, .text = PICK(words)};
    default:
        do
            v.text = PICK(numbers);
        while (!is_number(v.text, &v.number));
        return v;
    }
}

static void
fill_node(struct model *m, unsigned at, unsigned depth)
{
    struct node *n = &m->nodes[at];
    unsigned count = below(6);

    if ((depth > 0 && below(3) > 0) || depth > 3 ||
        m->nnodes + count > NODES_MAX) {
        n->value = random_scalar();
        return;
    }
    n->value.kind = OTHER;
    n->is_array = below(3) == 0;
    n->first = m->nnodes;
    n->count = count;
    m->nnodes += count;
    for (unsigned i = 0; i < count; i++) {
        m->nodes[n->first + i] =
            (struct node){.name = n->is_array ? NULL : PICK(names)};
        fill_node(m, n->first + i, depth + 1);
    }
}

static void
make_document(struct model *m)
{
    m->nnodes = 1;
    m->nodes[0] = (struct node){0};
    fill_node(m, 0, 0);
    m->text = BUF_INIT;
    put_node(&m->text, m, &m->nodes[0]);
    *buf_reserve(&m->text, 1) = '\0';
}

static bool
find_field(const struct row *r, struct slice name, struct slice *out)
{
    const struct asked_row *s = r->arg;

    for (unsigned i = 0; i < s->nfields; i++) {
        const struct field *f = &s->fields[i];

        if (!slice_eq(name, slice_str(f->name)))
            continue;
        *out = f->is_document ? buf_slice(&f->doc.text) : slice_str(f->text);
        return true;
    }
    return false;
}

static void
make_fields(struct asked_row *s)
{
    for (unsigned i = 0; i < FIELDS_MAX; i++) {
        struct field *f = &s->fields[s->nfields];

        if (below(2) == 0)
            continue;
        f->name = names[i];
        f->is_document = below(3) == 0;
        if (f->is_document)
            make_document(&f->doc);
        else
            f->text = below(2) ? PICK(words) : PICK(numbers);
        s->nfields++;
    }
}

void
asked_row_make(struct asked_row *s, struct rng *r)
{
    static const char *const keys[] = {"a", "ab", "sensor:7:1", "10"};

    rng = r;
    *s = (struct asked_row){.is_hash = below(2) == 0, .key = PICK(keys)};
    s->expire_ms = below(3) == 0 ? 1000 + 1000 * (uint64_t)below(20) : 0;
    s->row = (struct row){.key = slice_str(s->key),
                          .type = s->is_hash ? "hash" : "string",
                          .is_hash = s->is_hash,
                          .expire_ms = s->expire_ms,
                          .now_ms = 1000,
                          .field = find_field,
                          .arg = s};
    s->row.has = ROW_KEY | ROW_LEN | (s->is_hash ? ROW_FIELDS : ROW_VALUE);
    if (s->is_hash) {
        make_fields(s);
        s->row.len = s->nfields;
        return;
    }
    make_document(&s->doc);
    s->row.value = buf_slice(&s->doc.text);
    s->row.len = s->row.value.len;
}

void
asked_row_free(struct asked_row *s)
{
    buf_fini(&s->doc.text);
    for (unsigned i = 0; i < s->nfields; i++)
        buf_fini(&s->fields[i].doc.text);
}

/* --- questions as trees -------------------------------------------------- */

#define STEPS_MAX 4

struct operand {
    const char *special; /* "$key" ...; NULL: a path if nsteps > 0 */
    struct {
        const char *name; /* NULL: the index */
        unsigned index;
    } steps[STEPS_MAX];
    unsigned nsteps;
    struct plain value; /* else a constant */
};

enum what { AND, OR, NOT, CMP, IN, BETWEEN, LIKE, GLOB, IS_NULL, EXISTS, BARE };

struct question {
    enum what what;
    struct question *left, *right; /* of AND, OR, NOT */
    bool negated;
    const char *cmp;
    struct operand operand, list[LIST_MAX];
    unsigned count;
    const char *pattern;
};

static struct question pool[TESTS_MAX];
static unsigned pooled;

static struct operand
random_path(void)
{
    static const char *const specials[] = {"$key", "$value", "$len", "$ttl",
                                           "$type"};
    struct operand o = {0};

    if (below(6) == 0) {
        o.special = PICK(specials);
        return o;
    }
    o.nsteps = 1 + (below(2) ? 0 : below(3));
    for (unsigned i = 0; i < o.nsteps; i++) {
        if (below(i == 0 ? 12 : 3) == 0)
            o.steps[i].index = below(4);
        else
            o.steps[i].name = PICK(names);
    }
    return o;
}

static struct operand
random_right(void)
{
    struct operand o = {0};

    if (below(5) == 0)
        return random_path();
    o.value = random_scalar();
    return o;
}

static struct question *
random_question(unsigned depth)
{
    static const char *const cmps[] = {"=", "!=", "<", "<=", ">", ">="};
    struct question *q = &pool[pooled++];
    bool are_constant;

    *q = (struct question){.what = (enum what)below(BARE + 1)};
    if (q->what <= NOT && (depth > 4 || pooled + 3 > TESTS_MAX))
        q->what = CMP;
    if (q->what <= NOT) {
        q->left = random_question(depth + 1);
        q->right = q->what == NOT ? NULL : random_question(depth + 1);
        return q;
    }
    q->operand = q->what != EXISTS && q->what != BARE && below(8) == 0
                     ? random_right()
                     : random_path();
    q->negated = q->what != CMP && q->what < EXISTS && below(3) == 0;
    q->cmp = PICK(cmps);
    if (q->what == IN)
        q->count = 1 + below(below(2) ? 4 : LIST_MAX);
    else
        q->count = q->what == BETWEEN ? 2 : 1;
    are_constant = below(2) == 0;
    for (unsigned i = 0; i < q->count; i++)
        q->list[i] = are_constant ? (struct operand){.value = random_scalar()}
                                  : random_right();
    q->pattern = q->what == LIKE ? PICK(patterns) : PICK(globs);
    return q;
}

/* --- their texts --------------------------------------------------------- */

static void
token(struct question_text *t, const char *s)
{
    nq_assert(t->count < nq_countof(t->ends));
    if (t->count > 0)
        buf_put_u8(&t->all, ' ');
    for (; *s != '\0'; s++)
        buf_put_u8(&t->all, (uint8_t)*s);
    t->ends[t->count++] = (uint32_t)t->all.len;
}

static void
keyword(struct question_text *t, const char *s)
{
    char word[16];
    size_t i;

    for (i = 0; s[i] != '\0'; i++)
        word[i] = (char)(below(2) ? s[i] | 0x20 : s[i]);
    word[i] = '\0';
    token(t, word);
}

static void
quoted(struct question_text *t, const char *s)
{
    char out[64], quote = "\"'"[below(2)];
    size_t n = 0;

    out[n++] = quote;
    for (; *s != '\0'; s++) {
        if (*s == '\\' || *s == quote)
            out[n++] = '\\';
        out[n++] = *s;
    }
    out[n++] = quote;
    out[n] = '\0';
    token(t, out);
}

static void
put_path(struct question_text *t, const struct operand *o, bool is_left)
{
    bool has_odd =
        o->steps[0].name == NULL || strpbrk(o->steps[0].name, " .") != NULL;
    char out[160];
    int n = 0;

    out[0] = '\0';
    if (!is_left || has_odd || below(2))
        n += snprintf(out, sizeof out, "$");
    for (unsigned i = 0; i < o->nsteps; i++) {
        const char *name = o->steps[i].name;
        size_t room = sizeof out - (size_t)n;

        if (name == NULL)
            n += snprintf(out + n, room, "[%u]", o->steps[i].index);
        else if (strpbrk(name, " .") != NULL || (n > 0 && below(4) == 0))
            n += snprintf(out + n, room, "[\"%s\"]", name);
        else
            n += snprintf(out + n, room, "%s%s", n > 0 ? "." : "", name);
    }
    token(t, out);
}

static void
put_operand(struct question_text *t, const struct operand *o, bool is_left)
{
    double number;

    if (o->special != NULL)
        keyword(t, o->special);
    else if (o->nsteps > 0)
        put_path(t, o, is_left);
    else if (o->value.kind != TEXT)
        keyword(t, o->value.text);
    else if (!is_left && below(2) &&
             strpbrk(o->value.text, " \"\\\n") == NULL &&
             o->value.text[0] != '\0' && !is_number(o->value.text, &number) &&
             strcmp(o->value.text, "true") != 0)
        token(t, o->value.text);
    else
        quoted(t, o->value.text);
}

static void
put_list(struct question_text *t, const struct question *q)
{
    token(t, "(");
    for (unsigned i = 0; i < q->count; i++) {
        if (i > 0)
            token(t, ",");
        put_operand(t, &q->list[i], false);
    }
    token(t, ")");
}

static void
put_test(struct question_text *t, const struct question *q)
{
    static const char *const verbs[] = {
        [IN] = "IN", [BETWEEN] = "BETWEEN", [LIKE] = "LIKE", [GLOB] = "GLOB"};

    if (q->what == EXISTS) {
        keyword(t, "EXISTS");
        token(t, "(");
        put_operand(t, &q->operand, false);
        token(t, ")");
        return;
    }
    put_operand(t, &q->operand, true);
    if (q->what == BARE)
        return;
    if (q->what == IS_NULL)
        keyword(t, "IS");
    if (q->negated)
        keyword(t, "NOT");
    keyword(t, q->what == CMP       ? q->cmp
               : q->what == IS_NULL ? "NULL"
                                    : verbs[q->what]);
    if (q->what == IN) {
        put_list(t, q);
    } else if (q->what == LIKE || q->what == GLOB) {
        quoted(t, q->pattern);
    } else if (q->what != IS_NULL) {
        put_operand(t, &q->list[0], false);
        if (q->what == BETWEEN) {
            keyword(t, "AND");
            put_operand(t, &q->list[1], false);
        }
    }
}

/* `outer`: what it stands in; parentheses where the grammar wants them, and
 * where it does not. */
static void
put_question(struct question_text *t, const struct question *q, enum what outer)
{
    bool is_open = (q->what == OR && outer != OR) ||
                   (q->what == AND && outer == NOT) || below(8) == 0;

    if (is_open)
        token(t, "(");
    if (q->what > NOT) {
        put_test(t, q);
    } else if (q->what == NOT) {
        keyword(t, "NOT");
        put_question(t, q->left, NOT);
    } else {
        put_question(t, q->left, q->what);
        keyword(t, q->what == AND ? "AND" : "OR");
        put_question(t, q->right, q->what);
    }
    if (is_open)
        token(t, ")");
}

/* --- their answers, plainly
 * --------------------------------------------------- */

static const struct node *
find_node(const struct model *m, const struct node *n, const struct operand *o,
          unsigned step)
{
    if (step == o->nsteps)
        return n;
    for (unsigned i = 0; n->value.kind == OTHER && i < n->count; i++) {
        const struct node *kid = &m->nodes[n->first + i], *found;

        if (n->is_array
                ? o->steps[step].name != NULL || o->steps[step].index != i
                : o->steps[step].name == NULL ||
                      strcmp(o->steps[step].name, kid->name) != 0)
            continue;
        found = find_node(m, kid, o, step + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static struct plain
special_of(const struct asked_row *s, const char *name)
{
    struct plain v = {.kind = NUMBER};

    if (strcmp(name, "$key") == 0)
        return (struct plain){.kind = BYTES, .text = s->key};
    if (strcmp(name, "$type") == 0)
        return (struct plain){.kind = TEXT, .text = s->row.type};
    if (strcmp(name, "$len") == 0)
        v.number = (double)s->row.len;
    else if (strcmp(name, "$ttl") == 0)
        v.number =
            s->expire_ms == 0 ? -1 : (double)((s->expire_ms - 1000) / 1000);
    else if (s->is_hash)
        v.kind = MISSING;
    else
        v = (struct plain){.kind = BYTES, .text = (char *)s->doc.text.p};
    return v;
}

static struct plain
value_of(const struct asked_row *s, const struct operand *o)
{
    struct plain missing = {.kind = MISSING};
    const struct node *n;

    if (o->special != NULL)
        return special_of(s, o->special);
    if (o->nsteps == 0)
        return o->value;
    if (!s->is_hash) {
        n = find_node(&s->doc, &s->doc.nodes[0], o, 0);
        return n == NULL ? missing : n->value;
    }
    for (unsigned i = 0; i < s->nfields && o->steps[0].name != NULL; i++) {
        const struct field *f = &s->fields[i];

        if (strcmp(f->name, o->steps[0].name) != 0)
            continue;
        if (o->nsteps == 1)
            return (struct plain){.kind = BYTES,
                                  .text = f->is_document ? (char *)f->doc.text.p
                                                         : f->text};
        n = f->is_document ? find_node(&f->doc, &f->doc.nodes[0], o, 1) : NULL;
        return n == NULL ? missing : n->value;
    }
    return missing;
}

/* -1, 0, 1; 2: not to be compared. */
static int
compare(struct plain a, struct plain b)
{
    double x = a.number, y = b.number;
    bool a_number =
        a.kind == NUMBER || (a.kind == BYTES && is_number(a.text, &x));
    bool b_number =
        b.kind == NUMBER || (b.kind == BYTES && is_number(b.text, &y));
    bool a_text = a.kind == TEXT || a.kind == BYTES;
    bool b_text = b.kind == TEXT || b.kind == BYTES;
    int c;

    if (a_number && b_number)
        return x < y ? -1 : x > y;
    if ((a_text && b_text) || (a.kind == BOOL && b.kind == BOOL)) {
        c = strcmp(a.text, b.text); /* "false" is before "true" */
        return c < 0 ? -1 : c > 0;
    }
    return 2;
}

static int
compared(struct plain a, const char *cmp, struct plain b)
{
    int c = compare(a, b);

    if (c == 2)
        return UNKNOWN;
    if (strcmp(cmp, "=") == 0)
        return c == 0;
    if (strcmp(cmp, "!=") == 0)
        return c != 0;
    if (cmp[1] == '=' && c == 0)
        return YES;
    return cmp[0] == '<' ? c < 0 : c > 0;
}

static bool
like(const char *p, const char *s)
{
    if (*p == '\0')
        return *s == '\0';
    if (*p == '%')
        return like(p + 1, s) || (*s != '\0' && like(p, s + 1));
    if (*s == '\0')
        return false;
    if (*p == '_') {
        for (s++; (*s & 0xC0) == 0x80; s++)
            ;
        return like(p + 1, s);
    }
    p += *p == '\\';
    return *p == *s && like(p + 1, s + 1);
}

static int
flip(int t)
{
    return t == UNKNOWN ? UNKNOWN : !t;
}

static int
either(int a, int b)
{
    return a == YES || b == YES ? YES : a == NO && b == NO ? NO : UNKNOWN;
}

static int
answer_test(const struct asked_row *s, const struct question *q)
{
    struct plain v = value_of(s, &q->operand);
    int t = NO;

    switch (q->what) {
    case CMP:
        return compared(v, q->cmp, value_of(s, &q->list[0]));
    case IN:
        for (unsigned i = 0; i < q->count; i++)
            t = either(t, compared(v, "=", value_of(s, &q->list[i])));
        return t;
    case BETWEEN:
        return flip(either(flip(compared(v, ">=", value_of(s, &q->list[0]))),
                           flip(compared(v, "<=", value_of(s, &q->list[1])))));
    case IS_NULL:
        return v.kind == MISSING || v.kind == NUL;
    case EXISTS:
        return v.kind != MISSING;
    case BARE:
        if (v.kind == MISSING || v.kind == NUL)
            return UNKNOWN;
        return v.kind == BOOL && strcmp(v.text, "true") == 0;
    default:
        if (v.kind != TEXT && v.kind != BYTES)
            return UNKNOWN;
        return q->what == LIKE ? like(q->pattern, v.text)
                               : slice_glob(slice_str(q->pattern),
                                            slice_str(v.text), false);
    }
}

int
question_answer(const struct asked_row *s, const struct question *q)
{
    int t;

    switch (q->what) {
    case AND:
        return flip(either(flip(question_answer(s, q->left)),
                           flip(question_answer(s, q->right))));
    case OR:
        return either(question_answer(s, q->left),
                      question_answer(s, q->right));
    case NOT:
        return flip(question_answer(s, q->left));
    default:
        t = answer_test(s, q);
        return q->negated ? flip(t) : t;
    }
}

/* --- for tests ----------------------------------------------------------- */

struct question *
question_make(struct rng *r)
{
    pooled = 0;
    rng = r;
    return random_question(0);
}

void
question_put(const struct question *q, struct question_text *t)
{
    *t = (struct question_text){.all = BUF_INIT};
    put_question(t, q, OR);
}
