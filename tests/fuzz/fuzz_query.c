/* Any bytes as a question, and as the document that it is asked of.
 *
 * Arguments end with \x01, the last one with \0; the rest is the document. */
#include "base/check.h"
#include "base/mem.h"
#include "query/program_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARGS_MAX 64u

/* Every field holds the document. */
static bool
field(const struct row *r, struct slice name, struct slice *out)
{
    nq_unused(name);
    *out = *(const struct slice *)r->arg;
    return true;
}

/* Quick looks at documents change nothing. */
static void
run(struct program *p, const struct row *r, struct row_scratch *scratch)
{
    bool can_sift = p->can_sift, is_true;

    row_scratch_next(scratch);
    is_true = program_run(p, r, scratch) == TRUTH_TRUE;
    p->can_sift = false;
    row_scratch_next(scratch);
    nq_assert((program_run(p, r, scratch) == TRUTH_TRUE) == is_true);
    p->can_sift = can_sift;
}

static void
run_all(struct program *p, struct slice document)
{
    struct row_scratch *scratch = row_scratch_new();
    struct row r = {.key = slice_lit("key"),
                    .type = "string",
                    .has = ROW_KEY | ROW_LEN | ROW_VALUE,
                    .value = document,
                    .field = field,
                    .arg = &document};
    struct buf out = BUF_INIT;

    run(p, &r, scratch);
    for (uint32_t i = 0; i < p->npaths; i++)
        path_bytes(p->paths[i], &r, scratch, &out);
    r.is_hash = true;
    r.has = ROW_KEY | ROW_LEN | ROW_FIELDS;
    run(p, &r, scratch);
    for (uint32_t i = 0; i < p->npaths; i++)
        path_bytes(p->paths[i], &r, scratch, &out);
    buf_fini(&out);
    row_scratch_free(scratch);
}

/* What a program says of itself means the same. */
static void
compile_again(const struct program *p)
{
    struct slice text = program_text(p);
    struct query_error err;
    struct program *again;

    if (text.len > PROGRAM_TEXT_MAX)
        return;
    nq_assert(program_compile(&text, 1, &again, &err) == NQ_OK);
    nq_assert(slice_eq(program_text(again), text));
    nq_assert(again->nsteps == p->nsteps && again->npaths == p->npaths);
    program_unref(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size), *at = data;
    struct slice args[ARGS_MAX];
    struct query_error err;
    struct program *p;
    uint32_t n = 0;

    if (end == NULL)
        return 0;
    while (n < ARGS_MAX) {
        const uint8_t *next = memchr(at, 1, (size_t)(end - at));

        args[n++] = slice_of(at, (size_t)((next == NULL ? end : next) - at));
        if (next == NULL)
            break;
        at = next + 1;
    }
    if (program_compile(args, n, &p, &err) != NQ_OK) {
        nq_assert(p == NULL && err.text[0] != '\0');
        return 0;
    }
    compile_again(p);
    run_all(p, slice_of(end + 1, size - (size_t)(end + 1 - data)));
    program_unref(p);
    program_cache_clear();
    return 0;
}
