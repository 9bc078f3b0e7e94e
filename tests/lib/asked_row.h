/* tests/lib/asked_row.h - random questions to random rows, as trees, and what
 * they answer, found in the plainest way: nothing of src/query is used.
 *
 * One thread; there is one question at a time. */
#ifndef NQ_TESTS_ASKED_ROW_H
#define NQ_TESTS_ASKED_ROW_H

#include "base/buf.h"
#include "base/rng.h"
#include "query/row.h"

#define NODES_MAX 64
#define FIELDS_MAX 6

enum kind { MISSING, NUL, BOOL, NUMBER, TEXT, BYTES, OTHER };

struct plain {
    enum kind kind;
    double number;
    const char *text; /* of BOOL: "true" or "false" */
};

/* A document. */
struct node {
    struct plain value;
    const char *name; /* in its parent, NULL: an element */
    bool is_array;    /* of OTHER */
    unsigned first, count;
};

struct model {
    struct node nodes[NODES_MAX]; /* [0] is the root */
    unsigned nnodes;
    struct buf text;
};

struct field {
    const char *name;
    bool is_document;
    struct model doc;
    const char *text; /* else */
};

struct asked_row {
    bool is_hash;
    struct model doc; /* of a string */
    struct field fields[FIELDS_MAX];
    unsigned nfields;
    const char *key;
    uint64_t expire_ms;
    struct row row;
};

/* Made of documents, words and numbers that meet each other often. */
void asked_row_make(struct asked_row *s, struct rng *rng);
void asked_row_free(struct asked_row *s);

struct question;
/* Borrowed until the next one. */
struct question *question_make(struct rng *rng);

/* One text, or tokens as arguments of their own. */
struct question_text {
    struct buf all;
    uint32_t ends[8192];
    uint32_t count;
};

/* One of its spellings. */
void question_put(const struct question *q, struct question_text *t);

enum { NO, YES, UNKNOWN };
int question_answer(const struct asked_row *s, const struct question *q);

#endif
