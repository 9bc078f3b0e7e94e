/* cmd/explain.c - trees of names and values, as replies.
 *
 * Nodes stand in the order in which they were put, each with its depth: what
 * is in a group follows it, one deeper. */
#include "cmd/explain.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "cmd/reply.h"
#include "cmd/session.h"

#define LINE_MAX_BYTES 1000u

/* --- putting -------------------------------------------------------------- */

void
explain_clear(struct explain_tree *t)
{
    t->count = t->depth = 0;
    buf_clear(&t->texts);
}

void
explain_fini(struct explain_tree *t)
{
    buf_fini(&t->texts);
}

static struct explain_node *
put(struct explain_tree *t, const char *name, enum explain_kind kind)
{
    struct explain_node *n = &t->nodes[t->count++];

    nq_assert(t->count <= EXPLAIN_NODES_MAX);
    *n = (struct explain_node){.name = name, .depth = t->depth, .kind = kind};
    return n;
}

void
explain_open(struct explain_tree *t, const char *name)
{
    put(t, name, EXPLAIN_GROUP);
    t->depth++;
}

void
explain_close(struct explain_tree *t)
{
    nq_assert(t->depth > 0);
    t->depth--;
}

void
explain_text(struct explain_tree *t, const char *name, struct slice s)
{
    struct explain_node *n = put(t, name, EXPLAIN_TEXT);

    n->at = t->texts.len;
    n->len = s.len;
    buf_put_slice(&t->texts, s);
}

void
explain_printf(struct explain_tree *t, const char *name, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    explain_text(t, name, slice_str(text));
}

void
explain_int(struct explain_tree *t, const char *name, uint64_t v)
{
    put(t, name, EXPLAIN_INT)->integer =
        (int64_t)nq_min(v, (uint64_t)INT64_MAX);
}

void
explain_real(struct explain_tree *t, const char *name, double v)
{
    put(t, name, EXPLAIN_REAL)->real = v;
}

/* --- lines ---------------------------------------------------------------- */

/* Whether something of depth `depth` follows node `i` in the same group. */
static bool
is_followed(const struct explain_tree *t, unsigned i, unsigned depth)
{
    for (i++; i < t->count && t->nodes[i].depth >= depth; i++)
        if (t->nodes[i].depth == depth)
            return true;
    return false;
}

static void
put_line(struct buf *out, const struct explain_tree *t, unsigned i)
{
    const struct explain_node *n = &t->nodes[i];

    buf_clear(out);
    for (unsigned d = 0; d < n->depth; d++)
        buf_put_str(out, is_followed(t, i, d) ? "│  " : "   ");
    buf_put_str(out, is_followed(t, i, n->depth) ? "├─ " : "└─ ");
    buf_put_str(out, n->name);
    switch (n->kind) {
    case EXPLAIN_GROUP:
        break;
    case EXPLAIN_TEXT:
        buf_put_str(out, ": ");
        buf_put(out, t->texts.p + n->at, n->len);
        break;
    case EXPLAIN_INT:
        buf_printf(out, ": %lld", (long long)n->integer);
        break;
    case EXPLAIN_REAL:
        buf_printf(out, ": %.4g", n->real);
        break;
    }
}

/* As a status reply, which redis-cli shows as it is, branches and all. */
static void
reply_line(struct req *rq, struct buf *line)
{
    line->len = nq_min(line->len, (size_t)LINE_MAX_BYTES);
    for (size_t i = 0; i < line->len; i++)
        if (line->p[i] < ' ' || line->p[i] == 127)
            line->p[i] = '?';
    buf_put_u8(line, '\0');
    reply_status(rq, (const char *)line->p);
}

static void
reply_lines(struct req *rq, const struct explain_tree *t, struct slice title)
{
    struct buf line = BUF_INIT;

    reply_array(rq, t->count + 1);
    buf_put_slice(&line, title);
    reply_line(rq, &line);
    for (unsigned i = 0; i < t->count; i++) {
        put_line(&line, t, i);
        reply_line(rq, &line);
    }
    buf_fini(&line);
}

/* --- maps ----------------------------------------------------------------- */

/* Nodes of depth `depth` from `i` on, up to the end of their group. */
static unsigned
count_group(const struct explain_tree *t, unsigned i, unsigned depth)
{
    unsigned n = 0;

    for (; i < t->count && t->nodes[i].depth >= depth; i++)
        n += t->nodes[i].depth == depth;
    return n;
}

static void
reply_maps(struct req *rq, const struct explain_tree *t)
{
    reply_map(rq, count_group(t, 0, 0));
    for (unsigned i = 0; i < t->count; i++) {
        const struct explain_node *n = &t->nodes[i];

        reply_bulk_str(rq, n->name);
        switch (n->kind) {
        case EXPLAIN_GROUP:
            reply_map(rq, count_group(t, i + 1, n->depth + 1));
            break;
        case EXPLAIN_TEXT:
            reply_bulk(rq, slice_of(t->texts.p + n->at, n->len));
            break;
        case EXPLAIN_INT:
            reply_int(rq, n->integer);
            break;
        case EXPLAIN_REAL:
            reply_double(rq, n->real);
            break;
        }
    }
}

void
explain_reply(struct req *rq, const struct explain_tree *t, struct slice title)
{
    if (rq->s->resp == 2)
        reply_lines(rq, t, title);
    else
        reply_maps(rq, t);
}
