/* server/config_file.c - the settings file: reading it, and CONFIG REWRITE.
 *
 * A rewrite is a list of edits of the text as it stands: a value that is not
 * today's is replaced in its place; a setting that the file does not have and
 * that is not at its default goes behind the last line of its [table], or
 * into a new table at the end.  All else, comments above all, is kept.  The
 * new text goes to a temporary file that is synced and renamed over the old
 * one, so that a crash leaves one of the two. */
#include "server/config_int.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/dir.h"
#include "os/file.h"
#include "server/toml.h"

static nq_rc
read_text(const char *path, struct buf *out, char err[CONFIG_ERR])
{
    struct file *f;
    uint64_t size;
    nq_rc rc = file_open(path, FILE_READ, &f);

    if (rc != NQ_OK) {
        snprintf(err, CONFIG_ERR, "%.300s: cannot be read: %s", path,
                 rc == NQ_NOTFOUND ? "no such file" : rc_text(rc));
        return rc;
    }
    rc = file_size(f, &size);
    if (rc == NQ_OK && size > TOML_MAX_FILE)
        rc = NQ_EINVAL;
    if (rc == NQ_OK && size > 0) {
        rc = file_read(f, buf_reserve(out, (size_t)size), (size_t)size, 0);
        out->len = rc == NQ_OK ? (size_t)size : 0;
    }
    if (rc != NQ_OK)
        snprintf(err, CONFIG_ERR, "%.300s: cannot be read", path);
    file_close(f);
    return rc;
}

struct loading {
    struct config *config;
    const char *path;
    char *err;
};

static nq_rc
load_item(void *arg, const struct toml_item *item)
{
    struct loading *l = arg;
    char why[CONFIG_ERR];
    nq_rc rc;

    if (item->value.p == NULL)
        return NQ_OK;
    rc = config_put(l->config, slice_str(item->key), item->value, FROM_FILE,
                    item->line, why);
    if (rc != NQ_OK)
        snprintf(l->err, CONFIG_ERR, "%.200s:%u: %.280s", l->path, item->line,
                 why);
    return rc;
}

nq_rc
config_load(struct config *c, const char *path, char err[CONFIG_ERR])
{
    struct loading l = {c, path, err};
    struct toml_error bad;
    struct buf text = BUF_INIT;
    char absolute[PATH_MAX];
    nq_rc rc = read_text(path, &text, err);

    if (rc != NQ_OK)
        return rc;
    rc = toml_parse(buf_slice(&text), load_item, &l, &bad);
    if (bad.text[0] != '\0')
        snprintf(err, CONFIG_ERR, "%.200s:%u: %s", path, bad.line, bad.text);
    buf_fini(&text);
    if (rc == NQ_OK && realpath(path, absolute) != NULL) {
        nq_free(c->path);
        c->path = nq_strdup(absolute);
    }
    return rc;
}

/* --- CONFIG REWRITE
 * ----------------------------------------------------------- */

struct edit {
    size_t at, len; /* what is replaced */
    struct buf text;
};

/* A [table] of the file, or one to be added; the name is empty for what
 * stands before the first. */
struct place {
    char name[TOML_MAX_KEY + 1];
    size_t end;         /* behind the line of its last item */
    bool is_new;        /* not in the file */
    struct buf missing; /* lines to be added to it */
};

struct rewriting {
    const struct config *config;
    struct slice text; /* of the file */
    struct edit *edits;
    size_t count, cap;
    bool *is_there; /* by row: the file has it */
    struct place *places;
    size_t nplaces, places_cap;
};

static struct buf *
add_edit(struct rewriting *r, size_t at, size_t len)
{
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 16 : 2 * r->cap;
        r->edits = nq_realloc(r->edits, r->cap * sizeof *r->edits);
    }
    r->edits[r->count] = (struct edit){at, len, BUF_INIT};
    return &r->edits[r->count++].text;
}

/* The part of a key before its last dot. */
static struct slice
table_of(const char *key)
{
    const char *dot = strrchr(key, '.');

    return slice_of(key, dot == NULL ? 0 : (size_t)(dot - key));
}

/* The place of that name; a new one if there is none. */
static struct place *
place_of(struct rewriting *r, struct slice name)
{
    struct place *p;

    for (size_t i = 0; i < r->nplaces; i++) {
        if (slice_eq(slice_str(r->places[i].name), name))
            return &r->places[i];
    }
    if (r->nplaces == r->places_cap) {
        r->places_cap = r->places_cap == 0 ? 16 : 2 * r->places_cap;
        r->places = nq_realloc(r->places, r->places_cap * sizeof *r->places);
    }
    p = &r->places[r->nplaces++];
    *p = (struct place){.is_new = name.len > 0, .missing = BUF_INIT};
    memcpy(p->name, name.p, name.len);
    return p;
}

static void
note_place(struct rewriting *r, struct slice table, size_t at)
{
    const uint8_t *end = memchr(r->text.p + at, '\n', r->text.len - at);
    struct place *p = place_of(r, table);

    p->is_new = false;
    p->end = end == NULL ? r->text.len : (size_t)(end - r->text.p) + 1;
}

static nq_rc
compare_item(void *arg, const struct toml_item *item)
{
    struct rewriting *r = arg;
    struct buf now = BUF_INIT, then = BUF_INIT;
    struct config_value v;
    char err[CONFIG_ERR];
    bool is_alias;
    int i;

    if (item->value.p == NULL) {
        note_place(r, slice_str(item->key), item->at + item->len);
        return NQ_OK;
    }
    note_place(r, table_of(item->key), item->at + item->len);
    i = config_find(slice_str(item->key), &is_alias);
    if (i < 0)
        return NQ_OK; /* somebody edits the file meanwhile */
    r->is_there[i] = true;
    config_format_toml(&config_rows[i], &r->config->values[i], &now);
    if (config_parse(&config_rows[i], is_alias, item->value, &v, err)) {
        config_format_toml(&config_rows[i], &v, &then);
        nq_free(v.s);
    }
    if (!slice_eq(buf_slice(&now), buf_slice(&then))) {
        struct buf *text = add_edit(r, item->at, item->len);

        buf_put_slice(text, buf_slice(&now));
    }
    buf_fini(&now);
    buf_fini(&then);
    return NQ_OK;
}

/* Settings that the file lacks, to the end of their tables. */
static void
add_missing(struct rewriting *r)
{
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        const struct config_value *v = &r->config->values[i];
        struct slice table = table_of(row->key);
        struct place *p;

        if (r->is_there[i] || v->source == FROM_DEFAULT)
            continue;
        p = place_of(r, table);
        buf_printf(&p->missing,
                   "%s = ", row->key + table.len + (table.len > 0));
        config_format_toml(row, v, &p->missing);
        buf_put_str(&p->missing, "\n");
    }
    for (size_t i = 0; i < r->nplaces; i++) {
        struct place *p = &r->places[i];
        struct buf *text;

        if (p->is_new || p->missing.len == 0)
            continue;
        text = add_edit(r, p->end, 0);
        if (p->end > 0 && r->text.p[p->end - 1] != '\n')
            buf_put_str(text, "\n");
        buf_put_slice(text, buf_slice(&p->missing));
    }
}

/* Edits at the same place keep the order in which they were made. */
static void
sort_edits(struct rewriting *r)
{
    for (size_t i = 1; i < r->count; i++) {
        struct edit e = r->edits[i];
        size_t k = i;

        for (; k > 0 && r->edits[k - 1].at > e.at; k--)
            r->edits[k] = r->edits[k - 1];
        r->edits[k] = e;
    }
}

static nq_rc
replace_file(const char *path, struct slice text)
{
    char temporary[PATH_MAX + 8], parent[PATH_MAX];
    struct file *f = NULL;
    struct stat st;
    nq_rc rc;

    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >=
            PATH_MAX ||
        stat(path, &st) != 0)
        return NQ_EIO;
    if (dir_has(temporary)) /* of a rewrite that was cut short */
        (void)!dir_remove_file(temporary);
    snprintf(parent, sizeof parent, "%.*s",
             (int)nq_max(1, strrchr(path, '/') - path), path);
    if ((rc = file_open(temporary, FILE_CREATE, &f)) != NQ_OK)
        return rc;
    rc = file_write(f, text.p, text.len, 0);
    if (rc == NQ_OK)
        rc = file_sync(f);
    file_close(f);
    if (rc == NQ_OK && chmod(temporary, st.st_mode & 07777) != 0)
        rc = NQ_EIO;
    if (rc == NQ_OK)
        rc = dir_rename(temporary, path);
    if (rc == NQ_OK)
        rc = dir_sync(parent);
    return rc;
}

/* The text with all edits, and the new tables behind it. */
static void
apply_edits(const struct rewriting *r, struct buf *out)
{
    size_t at = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct edit *e = &r->edits[i];

        buf_put(out, r->text.p + at, e->at - at);
        buf_put_slice(out, buf_slice(&e->text));
        at = e->at + e->len;
    }
    buf_put(out, r->text.p + at, r->text.len - at);
    for (size_t i = 0; i < r->nplaces; i++) {
        if (!r->places[i].is_new)
            continue;
        if (out->len > 0 && out->p[out->len - 1] != '\n')
            buf_put_str(out, "\n");
        buf_printf(out, "\n[%s]\n", r->places[i].name);
        buf_put_slice(out, buf_slice(&r->places[i].missing));
    }
}

static void
rewriting_fini(struct rewriting *r)
{
    for (size_t i = 0; i < r->count; i++)
        buf_fini(&r->edits[i].text);
    for (size_t i = 0; i < r->nplaces; i++)
        buf_fini(&r->places[i].missing);
    nq_free(r->edits);
    nq_free(r->places);
    nq_free(r->is_there);
}

nq_rc
config_rewrite(const struct config *c, char err[CONFIG_ERR])
{
    struct rewriting r = {.config = c};
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct toml_error bad;
    nq_rc rc;

    if (c->path[0] == '\0') {
        snprintf(err, CONFIG_ERR,
                 "The server is running without a config file");
        return NQ_EINVAL;
    }
    if ((rc = read_text(c->path, &text, err)) != NQ_OK)
        return rc;
    r.text = buf_slice(&text);
    r.is_there = nq_calloc(config_row_count, sizeof *r.is_there);
    rc = toml_parse(r.text, compare_item, &r, &bad);
    if (rc == NQ_OK) {
        add_missing(&r);
        sort_edits(&r);
        apply_edits(&r, &out);
        rc = replace_file(c->path, buf_slice(&out));
        snprintf(err, CONFIG_ERR, "Rewriting config file: %s", rc_text(rc));
    } else {
        snprintf(err, CONFIG_ERR, "Rewriting config file: line %u: %s",
                 bad.line, bad.text);
    }
    rewriting_fini(&r);
    buf_fini(&text);
    buf_fini(&out);
    return rc;
}
