/* server/config_int.h - the table and its values, for the config_*.c files
 * only. */
#ifndef NQ_SERVER_CONFIG_INT_H
#define NQ_SERVER_CONFIG_INT_H

#include "base/buf.h"
#include "server/config.h"

enum config_type {
    TYPE_INT,
    TYPE_SIZE,
    TYPE_TIME,
    TYPE_BOOL,
    TYPE_ENUM,
    TYPE_RATIO, /* a real number */
    TYPE_OCTAL,
    TYPE_TEXT,
    TYPE_LIST,   /* words; an array in the file */
    TYPE_SECRET, /* text that is not shown by --show-config */
};

enum config_unit { UNIT_1, UNIT_MB, UNIT_US, UNIT_MS, UNIT_S };

enum config_change { CHANGE_LIVE, CHANGE_RESTART, CHANGE_CREATE };

enum config_kind {
    KIND_REAL,
    KIND_LATER,  /* a part not built yet */
    KIND_ACCEPT, /* no meaning here; other values are taken with a line */
    KIND_FIXED,  /* the same, but the value stays what it is */
    KIND_REFUSE, /* no meaning here; other values are refused */
};

/* Tests a text and may put its canonical form into `canonical`. */
typedef bool (*config_check)(struct slice text, struct buf *canonical,
                             char err[CONFIG_ERR]);

struct config_row {
    const char *key, *also, *alias;
    enum config_kind kind;
    enum config_type type;
    enum config_unit unit, alias_unit;
    const char *def;
    int64_t min, max;
    double real_min, real_max;
    enum config_change change;
    unsigned hooks;
    const char *choices; /* enum: "ours:redis|ours2:redis2" */
    config_check check;
    const char *doc; /* KIND_LATER: the part; KIND_ACCEPT: the sentence */
};

struct config_value {
    int64_t i;
    double d;
    char *s; /* owned */
    enum config_source source;
    unsigned line; /* in the file, or the number of the argument */
};

extern const struct config_row config_rows[];
extern const unsigned config_row_count;

struct config {
    struct config_value *values; /* by row */
    char *path;
    struct buf notes; /* lines */
};

/* The row of a name in any spelling, or -1; *is_alias: it was Redis' name. */
int config_find(struct slice name, bool *is_alias);
/* The known name with the fewest edits. */
const char *config_nearest(struct slice name);

/* Text to value; the sentence of a failure follows Redis where it has one. */
bool config_parse(const struct config_row *row, bool is_alias,
                  struct slice text, struct config_value *out,
                  char err[CONFIG_ERR]);
/* Value to text: with units under the dotted name, bare under Redis' name. */
void config_format(const struct config_row *row, bool is_alias,
                   const struct config_value *v, struct buf *out);
/* The same as a TOML value. */
void config_format_toml(const struct config_row *row,
                        const struct config_value *v, struct buf *out);

bool config_check_bind(struct slice text, struct buf *out,
                       char err[CONFIG_ERR]);
bool config_check_output_limits(struct slice text, struct buf *out,
                                char err[CONFIG_ERR]);
bool config_check_password(struct slice text, struct buf *out,
                           char err[CONFIG_ERR]);
bool config_check_path(struct slice text, struct buf *out,
                       char err[CONFIG_ERR]);
bool config_check_save(struct slice text, struct buf *out,
                       char err[CONFIG_ERR]);
bool config_check_notify(struct slice text, struct buf *out,
                         char err[CONFIG_ERR]);
bool config_check_percentiles(struct slice text, struct buf *out,
                              char err[CONFIG_ERR]);

/* The next word of *text (blanks between), or an empty slice at the end. */
struct slice config_word(struct slice *text);
/* "512mb", "10k": bytes. */
bool config_size_text(struct slice text, int64_t unit, int64_t *out);

#endif
