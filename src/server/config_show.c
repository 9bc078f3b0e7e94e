/* server/config_show.c - the table of settings for people: what is in force
 * and where it came from, a reference in Markdown, a file to start from
 * (conf/nqdb.toml is that text, and a test keeps it so). */
#include "server/config_int.h"

#include "base/check.h"

static const char *const source_names[] = {"default", "file", "environment",
                                           "command line", "CONFIG SET"};

static const char *const change_names[] = {"yes", "at start", "at creation"};

void
config_show(const struct config *c, FILE *out)
{
    struct buf text = BUF_INIT;

    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        const struct config_value *v = &c->values[i];

        if (row->kind != KIND_REAL && v->source == FROM_DEFAULT)
            continue; /* they would hide the others */
        buf_clear(&text);
        if (row->type == TYPE_SECRET)
            buf_put_str(&text, v->s[0] == '\0' ? "\"\"" : "\"(hidden)\"");
        else
            config_format_toml(row, v, &text);
        fprintf(out, "%s = %.*s  # %s", row->key, (int)text.len,
                (const char *)text.p, source_names[v->source]);
        if (v->source == FROM_FILE)
            fprintf(out, ", line %u", v->line);
        if (row->kind == KIND_LATER)
            fprintf(out, "; not built yet");
        else if (row->kind != KIND_REAL)
            fprintf(out, "; without effect");
        fputc('\n', out);
    }
    buf_fini(&text);
}

static void
put_cell(FILE *out, const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '|')
            fputc('\\', out);
        fputc(*s, out);
    }
}

static void
show_section(FILE *out, const char *title, const char *columns,
             enum config_kind from, enum config_kind to)
{
    fprintf(out, "\n## %s\n\n%s\n", title, columns);
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (row->kind < from || row->kind > to)
            continue;
        fprintf(out, "| `%s` | ", row->key);
        if (from == KIND_REAL)
            fprintf(out, "%s%s%s | ", row->alias == NULL ? "" : "`",
                    row->alias == NULL ? "" : row->alias,
                    row->alias == NULL ? "" : "`");
        fprintf(out, "%s%s%s | ", row->def[0] == '\0' ? "" : "`", row->def,
                row->def[0] == '\0' ? "" : "`");
        if (from == KIND_REAL)
            fprintf(out, "%s | ", change_names[row->change]);
        put_cell(out, row->doc);
        fputs(" |\n", out);
    }
}

void
config_show_markdown(FILE *out)
{
    fputs("# Settings\n", out);
    show_section(out, "In effect",
                 "| name | Redis' name | default | live | meaning |\n"
                 "|---|---|---|---|---|",
                 KIND_REAL, KIND_REAL);
    show_section(out, "Accepted for parts that are not built yet",
                 "| name | default | part |\n|---|---|---|", KIND_LATER,
                 KIND_LATER);
    show_section(out, "Without a meaning here",
                 "| name | default | why |\n|---|---|---|", KIND_ACCEPT,
                 KIND_REFUSE);
}

/* A comment of whole words, at most 78 columns. */
static void
put_comment(FILE *out, const char *text)
{
    struct slice left = slice_str(text), word;
    size_t column = 0;

    while ((word = config_word(&left)).len > 0) {
        if (column > 0 && column + word.len > 77) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column == 0 ? "# " : " ",
                                  (int)word.len, (const char *)word.p);
    }
    fputc('\n', out);
}

static size_t
table_length(const char *key)
{
    const char *dot = strrchr(key, '.');

    return dot == NULL ? 0 : (size_t)(dot - key);
}

static bool
is_same_table(const char *a, const char *b)
{
    size_t n = table_length(a);

    return n == table_length(b) && memcmp(a, b, n) == 0;
}

static void
put_row(FILE *out, const struct config *defaults, unsigned i)
{
    const struct config_row *row = &config_rows[i];
    struct buf text = BUF_INIT;

    if (row->kind == KIND_REAL) {
        put_comment(out, row->doc);
        if (row->alias != NULL || row->change != CHANGE_LIVE)
            fprintf(out, "# (%s%s%s%s)\n", row->alias == NULL ? "" : "Redis: ",
                    row->alias == NULL ? "" : row->alias,
                    row->alias != NULL && row->change != CHANGE_LIVE ? "; "
                                                                     : "",
                    row->change == CHANGE_LIVE ? ""
                    : row->change == CHANGE_CREATE
                        ? "read when the database is created"
                        : "read at start");
    } else {
        fprintf(out, "# Not built yet: ");
        fprintf(out, "%s\n", row->doc);
    }
    config_format_toml(row, &defaults->values[i], &text);
    fprintf(out, "#%s = %.*s\n\n", row->key + table_length(row->key) + 1,
            (int)text.len, (const char *)text.p);
    buf_fini(&text);
}

void
config_show_template(FILE *out)
{
    struct config *defaults = config_new();

    fputs("# nqdb.toml - every setting with its default.\n"
          "#\n"
          "# Take the '#' away from a line to change it.  Sizes may have kb, "
          "mb, gb;\n# times us, ms, s, m, h, d.  Command line "
          "(--server.port 6380) and\n# environment (NQDB_SERVER_PORT=6380) go "
          "before this file.\n"
          "# This text is what `nqdb-server --show-config=toml` prints.\n",
          out);
    for (unsigned i = 0; i < config_row_count; i++) {
        const char *key = config_rows[i].key;
        bool is_first = config_rows[i].kind <= KIND_LATER;

        for (unsigned k = 0; k < i && is_first; k++)
            is_first = !is_same_table(config_rows[k].key, key);
        if (!is_first)
            continue;
        fprintf(out, "\n[%.*s]\n\n", (int)table_length(key), key);
        for (unsigned k = i; k < config_row_count; k++) {
            if (config_rows[k].kind <= KIND_LATER &&
                is_same_table(config_rows[k].key, key))
                put_row(out, defaults, k);
        }
    }
    config_free(defaults);
}
