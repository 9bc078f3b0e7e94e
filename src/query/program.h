/* query/program.h - a WHERE, compiled.
 *
 *   or    := and { OR and }           and := not { AND not }
 *   not   := NOT not | test           test := '(' or ')' | EXISTS '(' path ')'
 *          | operand cmp operand      cmp := = == != <> < <= > >=
 *          | operand [NOT] IN '(' operand { ',' operand } ')'
 *          | operand [NOT] BETWEEN operand AND operand
 *          | operand [NOT] LIKE text    % and _, as SQL; \ escapes
 *          | operand [NOT] GLOB text    * ? [a-z] \, as KEYS
 *          | operand IS [NOT] NULL      NULL or missing
 *          | operand                    true if it is the boolean true
 *   operand := path | $key | $value | $len | $ttl | $type
 *          | "text" | 'text' | number | TRUE | FALSE | NULL
 *   path  := name { .name | [n] } | $.name { .name | [n] } | $["any name"]
 *
 * A path is a field of a hash (its first name; the rest is looked for in the
 * JSON of that field) or a path in the JSON that a string holds (query/json.h
 * says how that is read).  Words are in
 * any case.  Where a value is expected (right of a comparison, in IN, BETWEEN,
 * LIKE) a bare word is a text, because shells and redis-cli take quotes away:
 * a path on that side begins with "$.".
 *
 * Logic has three values, as in SQL; only what is true matches.
 *
 * A program is never changed: any thread runs it, and the last reference may
 * be dropped anywhere. */
#ifndef NQ_QUERY_PROGRAM_H
#define NQ_QUERY_PROGRAM_H

#include "base/buf.h"
#include "base/rc.h"
#include "query/row.h"

#define PROGRAM_TEXT_MAX 65536u
#define PROGRAM_NESTING_MAX 64u
#define PROGRAM_STEPS_MAX 4096u

struct program;

/* Why a text is no query, for its author: "expected a value, found ')' at
 * 17", where positions count bytes of the text from 0; the arguments of a
 * command are joined with one space each. */
struct query_error {
    size_t at;
    char text[160];
};

/* One argument is a whole text; of several, each is at least a token of its
 * own, and one with spaces in it a text.  NQ_ESYNTAX with *err set.  Programs
 * of texts met lately are found in a bounded cache (loop thread; see
 * program_cache_stats). */
NQ_MUST_USE nq_rc program_compile(const struct slice *args, uint32_t n,
                                  struct program **out,
                                  struct query_error *err);
struct program *program_ref(struct program *p);
void program_unref(struct program *p); /* of NULL: does nothing */

/* The query in one spelling: the same for texts that mean the same token for
 * token.  Lives as long as the program. */
struct slice program_text(const struct program *p);
/* Parts of a row (enum row_part) that it looks at. */
unsigned program_needs(const struct program *p);

/* TRUTH_TRUE: the row matches.  That it is unknown may be told of what is
 * false: it makes no difference to who asks, and some rows are told apart
 * sooner so. */
enum truth program_run(const struct program *p, const struct row *r,
                       struct row_scratch *s);

/* --- for planners -------------------------------------------------------- */

/* What must hold of one path for the whole to be true: a part of the AND at
 * the top that compares it with a constant. */
struct term {
    struct slice path; /* "temp", "a.b[0]", "$key"; as path_text() writes it */
    enum term_op {
        TERM_EQ,
        TERM_LT,
        TERM_LE,
        TERM_GT,
        TERM_GE,
        TERM_IN,      /* values[0..count) */
        TERM_BETWEEN, /* values[0] <= path <= values[1] */
        TERM_PREFIX   /* LIKE 'text%' or GLOB text*: values[0] */
    } op;
    const struct value *values;
    unsigned count;
    double share; /* of rows, if nothing else is known: a fixed guess by op */
};
/* Borrowed from the program. */
unsigned program_terms(const struct program *p, const struct term **out);

/* --- paths by themselves: RETURN, GROUP BY, indexes ---------------------- */

struct path;
NQ_MUST_USE nq_rc path_compile(struct slice text, struct path **out,
                               struct query_error *err);
void path_free(struct path *p);
struct slice path_text(const struct path *p); /* "a.b[0]", without "$." */
unsigned path_needs(const struct path *p);
/* Texts may lie in the scratch, until the next row. */
struct value path_value(const struct path *p, const struct row *r,
                        struct row_scratch *s);
/* The value as bytes for a reply: texts and bytes as they are, numbers in the
 * spelling of the source where there is one, objects as JSON; MISSING and
 * NULL: false. */
bool path_bytes(const struct path *p, const struct row *r,
                struct row_scratch *s, struct buf *out);

struct program_cache_stats {
    uint64_t hits, misses, programs, bytes;
};
void program_cache_get_stats(struct program_cache_stats *out);
void program_cache_clear(void); /* at the end of the process; tests */

#endif
