/* cmd/pile.c - a chain of chunks; the first may be given already.
 *
 * Called by cmd_range_rows.c. */
#include "cmd/pile.h"

#include "base/check.h"
#include "base/mem.h"

#define CHUNK (64u << 10)

struct pile_chunk {
    struct pile_chunk *next;
    size_t len;
    bool is_given;
    uint8_t bytes[CHUNK];
};

static void
drop_first(struct pile *p)
{
    struct pile_chunk *c = p->first;

    p->first = c->next;
    if (p->first == NULL)
        p->last = NULL;
    nq_free(c);
}

void
pile_fini(struct pile *p)
{
    while (p->first != NULL)
        drop_first(p);
    p->bytes = 0;
}

static struct pile_chunk *
open_chunk(struct pile *p)
{
    struct pile_chunk *c = p->last;

    if (c != NULL && !c->is_given && c->len < CHUNK)
        return c;
    c = nq_malloc(sizeof *c);
    c->next = NULL;
    c->len = 0;
    c->is_given = false;
    if (p->last == NULL)
        p->first = c;
    else
        p->last->next = c;
    p->last = c;
    return c;
}

void
pile_put(struct pile *p, struct slice s)
{
    p->bytes += s.len;
    while (s.len > 0) {
        struct pile_chunk *c = open_chunk(p);
        size_t n = nq_min(s.len, CHUNK - c->len);

        memcpy(c->bytes + c->len, s.p, n);
        c->len += n;
        s = slice_of(s.p + n, s.len - n);
    }
}

bool
pile_take(struct pile *p, struct slice *out)
{
    if (p->first != NULL && p->first->is_given)
        drop_first(p);
    if (p->first == NULL)
        return false;
    p->first->is_given = true;
    *out = slice_of(p->first->bytes, p->first->len);
    return true;
}
