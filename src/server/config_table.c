/* server/config_table.c - the table of settings, generated from the three
 * .def files, and the search in it. */
#include "server/config_int.h"

#include <ctype.h>

#include "base/check.h"
#include "base/mem.h"

#define KB_ ((int64_t)1024)
#define MB_ (1024 * KB_)
#define GB_ (1024 * MB_)
#define TB_ (1024 * GB_)
#define PB (1024 * TB_)
#define MSEC ((int64_t)1000)
#define SEC (1000 * MSEC)

#define BYTES UNIT_1
#define MB UNIT_MB
#define US UNIT_US
#define MS UNIT_MS
#define S UNIT_S

#define LIVE CHANGE_LIVE
#define RESTART CHANGE_RESTART
#define CREATE CHANGE_CREATE

#define INT(ID, key_, also_, alias_, def_, min_, max_, change_, hook_, doc_)   \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = TYPE_INT,                                                         \
     .def = def_,                                                              \
     .min = min_,                                                              \
     .max = max_,                                                              \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define MEASURE(type_, key_, also_, alias_, unit_, alias_unit_, def_, min_,    \
                max_, change_, hook_, doc_)                                    \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = type_,                                                            \
     .unit = unit_,                                                            \
     .alias_unit = alias_unit_,                                                \
     .def = def_,                                                              \
     .min = min_,                                                              \
     .max = max_,                                                              \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define SIZE(ID, ...) MEASURE(TYPE_SIZE, __VA_ARGS__)
#define TIME(ID, ...) MEASURE(TYPE_TIME, __VA_ARGS__)
#define BOOL(ID, key_, also_, alias_, def_, change_, hook_, doc_)              \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = TYPE_BOOL,                                                        \
     .def = def_,                                                              \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define ENUM(ID, key_, also_, alias_, choices_, def_, change_, hook_, doc_)    \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = TYPE_ENUM,                                                        \
     .choices = choices_,                                                      \
     .def = def_,                                                              \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define RATIO(ID, key_, also_, alias_, def_, min_, max_, change_, hook_, doc_) \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = TYPE_RATIO,                                                       \
     .def = def_,                                                              \
     .real_min = min_,                                                         \
     .real_max = max_,                                                         \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define OCTAL(ID, key_, also_, alias_, def_, max_, change_, hook_, doc_)       \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = TYPE_OCTAL,                                                       \
     .def = def_,                                                              \
     .max = max_,                                                              \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define WORDY(type_, key_, also_, alias_, def_, check_, change_, hook_, doc_)  \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .alias = alias_,                                                          \
     .type = type_,                                                            \
     .def = def_,                                                              \
     .check = check_,                                                          \
     .change = change_,                                                        \
     .hooks = hook_,                                                           \
     .doc = doc_},
#define TEXT(ID, ...) WORDY(TYPE_TEXT, __VA_ARGS__)
#define LIST(ID, ...) WORDY(TYPE_LIST, __VA_ARGS__)
#define SECRET(ID, ...) WORDY(TYPE_SECRET, __VA_ARGS__)

#define check_bind config_check_bind
#define check_output_limits config_check_output_limits
#define check_password config_check_password
#define check_path config_check_path
#define check_save config_check_save
#define check_notify config_check_notify
#define check_percentiles config_check_percentiles

#define COUNT .type = TYPE_INT, .min = 0, .max = INT64_MAX
#define MEGABYTES .type = TYPE_SIZE, .unit = UNIT_MB, .max = INT64_MAX
/* BYTES is a unit above; as a type of a later row it is a size. */
#define LATER_COUNT COUNT
#define LATER_MEGABYTES MEGABYTES
#define LATER_BYTES .type = TYPE_SIZE, .unit = UNIT_1, .max = INT64_MAX
#define LATER_SECONDS .type = TYPE_TIME, .unit = UNIT_S, .max = INT64_MAX
#define LATER_FLAG .type = TYPE_BOOL
#define LATER_SHARE .type = TYPE_RATIO, .real_max = 1
#define LATER_NUMBER .type = TYPE_RATIO, .real_max = 1e9
#define LATER_WORDS .type = TYPE_LIST
#define LATER(key_, also_, type_, def_, part_)                                 \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .kind = KIND_LATER,                                                       \
     LATER_##type_,                                                            \
     .def = def_,                                                              \
     .doc = part_},
#define LATER_ENUM(key_, also_, choices_, def_, part_)                         \
    {.key = key_,                                                              \
     .also = also_,                                                            \
     .kind = KIND_LATER,                                                       \
     .type = TYPE_ENUM,                                                        \
     .choices = choices_,                                                      \
     .def = def_,                                                              \
     .doc = part_},
#define ACCEPT KIND_ACCEPT
#define FIXED KIND_FIXED
#define REFUSE KIND_REFUSE
#define MOOT(key_, def_, other_, sentence_)                                    \
    {.key = key_,                                                              \
     .kind = other_,                                                           \
     .type = TYPE_TEXT,                                                        \
     .def = def_,                                                              \
     .doc = sentence_},

const struct config_row config_rows[] = {
#include "server/config.def"
#include "server/config_later.def"
#include "server/config_redis.def"
};
const unsigned config_row_count = nq_countof(config_rows);

int
config_find(struct slice name, bool *is_alias)
{
    *is_alias = false;
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (slice_is(name, row->key) ||
            (row->also != NULL && slice_is(name, row->also)))
            return (int)i;
        if (row->alias != NULL && slice_is(name, row->alias)) {
            *is_alias = true;
            return (int)i;
        }
    }
    return -1;
}

/* Levenshtein's distance, without regard to case, - or _. */
static unsigned
edits(struct slice a, const char *b)
{
    size_t n = strlen(b);
    unsigned row[128], diagonal, keep;

    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; i < a.len; i++) {
        int ca = a.p[i] == '_' ? '-' : tolower(a.p[i]);

        diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < n; j++) {
            int cb = b[j] == '_' ? '-' : b[j];
            unsigned best = diagonal + (ca != cb);

            keep = row[j + 1];
            best = nq_min(best, keep + 1);
            best = nq_min(best, row[j] + 1);
            row[j + 1] = best;
            diagonal = keep;
        }
    }
    return row[n];
}

static void
consider(struct slice name, const char *candidate, const char **best,
         unsigned *least)
{
    const char *tail = candidate == NULL ? NULL : strrchr(candidate, '.');
    unsigned d;

    if (candidate == NULL)
        return;
    d = edits(name, candidate);
    /* A bare last part is how people remember a dotted name. */
    if (tail != NULL)
        d = nq_min(d, edits(name, tail + 1) + 1);
    if (d < *least) {
        *least = d;
        *best = candidate;
    }
}

const char *
config_nearest(struct slice name)
{
    const char *best = config_rows[0].key;
    unsigned least = UINT32_MAX;

    if (name.len > 100)
        name.len = 100;
    for (unsigned i = 0; i < config_row_count; i++) {
        consider(name, config_rows[i].key, &best, &least);
        consider(name, config_rows[i].also, &best, &least);
        consider(name, config_rows[i].alias, &best, &least);
    }
    return best;
}
