/* server/config.c - the values of all settings: from their sources, by
 * CONFIG GET and CONFIG SET.
 *
 *   I1  values[i] always holds a good value of row i
 *   I2  a value comes from the strongest source that named it
 *   I3  CONFIG SET changes all it was given, in force, or nothing
 *
 * Called by main (start) and through the engine's host (CONFIG). */
#include "server/config.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/config_int.h"

struct config *
config_new(void)
{
    struct config *c = nq_calloc(1, sizeof *c);
    char err[CONFIG_ERR];

    c->values = nq_calloc(config_row_count, sizeof *c->values);
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        bool ok =
            config_parse(row, false, slice_str(row->def), &c->values[i], err);

        nq_assert(ok); /* a default of the table is wrong */
    }
    c->path = nq_strdup("");
    return c;
}

void
config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < config_row_count; i++)
        nq_free(c->values[i].s);
    nq_free(c->values);
    nq_free(c->path);
    buf_fini(&c->notes);
    nq_free(c);
}

int64_t
config_int(const struct config *c, enum config_id id)
{
    nq_assert(id < CONF_COUNT && c->values[id].s == NULL);
    return c->values[id].i;
}

double
config_real(const struct config *c, enum config_id id)
{
    nq_assert(id < CONF_COUNT && config_rows[id].type == TYPE_RATIO);
    return c->values[id].d;
}

const char *
config_text(const struct config *c, enum config_id id)
{
    nq_assert(id < CONF_COUNT && c->values[id].s != NULL);
    return c->values[id].s;
}

bool
config_is_default(const struct config *c, enum config_id id)
{
    return c->values[id].source == FROM_DEFAULT;
}

void
config_resolve_int(struct config *c, enum config_id id, int64_t v)
{
    c->values[id].i = v;
}

void
config_resolve_text(struct config *c, enum config_id id, const char *v)
{
    char *copy = nq_strdup(v);

    nq_free(c->values[id].s);
    c->values[id].s = copy;
}

const char *
config_path(const struct config *c)
{
    return c->path;
}

/* Whether `v` says something else than the row's default does. */
static bool
is_unlike_default(const struct config_row *row, const struct config_value *v)
{
    struct buf text = BUF_INIT;
    bool unlike;

    config_format(row, false, v, &text);
    unlike = !slice_eq(buf_slice(&text), slice_str(row->def));
    buf_fini(&text);
    return unlike;
}

static void
note_effect(struct config *c, const struct config_row *row,
            const struct config_value *v)
{
    if (row->kind == KIND_LATER)
        buf_printf(&c->notes, "setting %s: accepted, but not built yet (%s)\n",
                   row->key, row->doc);
    else if (row->kind != KIND_REAL && is_unlike_default(row, v))
        buf_printf(&c->notes, "setting %s: accepted without effect: %s\n",
                   row->key, row->doc);
}

/* Takes over `v`, which lost its text then. */
static void
store_value(struct config *c, unsigned i, struct config_value *v)
{
    const struct config_row *row = &config_rows[i];

    note_effect(c, row, v);
    if (row->kind == KIND_FIXED) {
        nq_free(v->s);
        v->s = nq_strdup(row->def);
    }
    nq_free(c->values[i].s);
    c->values[i] = *v;
    v->s = NULL;
}

nq_rc
config_put(struct config *c, struct slice name, struct slice value,
           enum config_source source, unsigned line, char err[CONFIG_ERR])
{
    struct config_value v;
    char why[CONFIG_ERR];
    bool is_alias;
    int i = config_find(name, &is_alias);

    if (name.len > 200)
        name.len = 200;
    if (i < 0) {
        snprintf(err, CONFIG_ERR, "unknown setting '%.*s'; the nearest is '%s'",
                 (int)name.len, (const char *)name.p, config_nearest(name));
        return NQ_NOTFOUND;
    }
    if (c->values[i].source > source)
        return NQ_OK;
    if (source == FROM_FILE && c->values[i].source == FROM_FILE) {
        snprintf(err, CONFIG_ERR, "'%s' is set twice, first in line %u",
                 config_rows[i].key, c->values[i].line);
        return NQ_EINVAL;
    }
    if (!config_parse(&config_rows[i], is_alias, value, &v, why)) {
        snprintf(err, CONFIG_ERR, "%.*s: %.300s", (int)name.len,
                 (const char *)name.p, why);
        return NQ_EINVAL;
    }
    v.source = source;
    v.line = line;
    store_value(c, (unsigned)i, &v);
    return NQ_OK;
}

void
config_log_notes(struct config *c)
{
    struct slice left = buf_slice(&c->notes);

    while (left.len > 0) {
        const uint8_t *end = memchr(left.p, '\n', left.len);
        size_t n = (size_t)(end - left.p);

        log_notice("%.*s", (int)n, (const char *)left.p);
        left = slice_of(end + 1, left.len - n - 1);
    }
    buf_clear(&c->notes);
}

/* --- CONFIG GET -------------------------------------------------------------
 */

static bool
is_asked(const char *name, bool exactly, const struct slice *patterns,
         unsigned n)
{
    if (name == NULL)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (exactly ? slice_is(patterns[i], name)
                    : slice_glob(patterns[i], slice_str(name), true))
            return true;
    }
    return false;
}

void
config_get(const struct config *c, const struct slice *patterns, unsigned n,
           void (*pair)(void *arg, const char *name, const char *value),
           void *arg)
{
    struct buf text = BUF_INIT;

    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        const char *names[] = {row->key, row->alias, row->also};

        for (unsigned k = 0; k < nq_countof(names); k++) {
            /* The second spelling is for files; GET * shows each once. */
            if (!is_asked(names[k], k == 2, patterns, n))
                continue;
            buf_clear(&text);
            config_format(row, k == 1, &c->values[i], &text);
            buf_put_u8(&text, 0);
            pair(arg, names[k], (const char *)text.p);
        }
    }
    buf_fini(&text);
}

/* --- CONFIG SET -------------------------------------------------------------
 */

struct change {
    unsigned row;
    struct config_value value; /* the new one; after the swap, the old one */
};

static nq_rc
related(char err[CONFIG_ERR], struct slice name, const char *why)
{
    int len = (int)nq_min(name.len, (size_t)100);

    snprintf(err, CONFIG_ERR,
             "CONFIG SET failed (possibly related to argument '%.*s') - %.300s",
             len, (const char *)name.p, why);
    return NQ_EINVAL;
}

/* One argument pair, tested, into *out. */
static nq_rc
prepare(const struct change *before, unsigned n_before, struct slice name,
        struct slice value, struct change *out, char err[CONFIG_ERR])
{
    char why[CONFIG_ERR];
    const struct config_row *row;
    bool is_alias;
    int i = config_find(name, &is_alias);

    if (i < 0) {
        int len = (int)nq_min(name.len, (size_t)100);

        snprintf(err, CONFIG_ERR,
                 "Unknown option or number of arguments for CONFIG SET - "
                 "'%.*s'",
                 len, (const char *)name.p);
        return NQ_NOTFOUND;
    }
    row = &config_rows[i];
    out->row = (unsigned)i;
    if (row->change != CHANGE_LIVE)
        return related(err, name, "can't set immutable config");
    for (unsigned k = 0; k < n_before; k++) {
        if (before[k].row == out->row)
            return related(err, name, "duplicate parameter");
    }
    if (!config_parse(row, is_alias, value, &out->value, why))
        return related(err, name, why);
    out->value.source = FROM_SET;
    if (row->kind == KIND_FIXED && is_unlike_default(row, &out->value)) {
        nq_free(out->value.s);
        out->value.s = NULL;
        return related(err, name, row->doc);
    }
    return NQ_OK;
}

static void
swap_values(struct config *c, struct change *changes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct config_value *mine = &c->values[changes[i].row];
        struct config_value keep = *mine;

        *mine = changes[i].value;
        changes[i].value = keep;
    }
}

nq_rc
config_set(struct config *c, const struct slice *names,
           const struct slice *values, unsigned n, config_apply_fn apply,
           void *arg, char err[CONFIG_ERR])
{
    struct change *changes = nq_calloc(n + 1, sizeof *changes);
    char why[CONFIG_ERR];
    unsigned hooks = 0, ready = 0;
    nq_rc rc = NQ_OK;

    for (; ready < n; ready++) {
        rc = prepare(changes, ready, names[ready], values[ready],
                     &changes[ready], err);
        if (rc != NQ_OK)
            goto undo;
        hooks |= config_rows[changes[ready].row].hooks;
    }
    swap_values(c, changes, n);
    why[0] = '\0';
    if (hooks != 0 && apply != NULL && apply(arg, hooks, why) != NQ_OK) {
        char again[CONFIG_ERR];

        swap_values(c, changes, n);
        /* What was in force before can be put in force again. */
        (void)!apply(arg, hooks, again);
        rc = related(err, names[0], why);
        goto undo;
    }
    for (unsigned i = 0; i < n; i++)
        note_effect(c, &config_rows[changes[i].row],
                    &c->values[changes[i].row]);
    config_log_notes(c);

undo: /* of what was parsed, or of what was replaced */
    for (unsigned i = 0; i < ready; i++)
        nq_free(changes[i].value.s);
    nq_free(changes);
    return rc;
}
