/* Settings: units, spellings, order of sources, the file, CONFIG. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/config.h"
#include "server/config_int.h"
#include "server/toml.h"

static char err[CONFIG_ERR];

static nq_rc
put(struct config *c, const char *name, const char *value)
{
    err[0] = '\0';
    return config_put(c, slice_str(name), slice_str(value), FROM_ARGS, 0, err);
}

struct found {
    char name[100], value[600];
    unsigned count;
};

static void
note_pair(void *arg, const char *name, const char *value)
{
    struct found *f = arg;

    f->count++;
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->value, sizeof f->value, "%s", value);
}

/* What CONFIG GET `name` answers; "" if there is none. */
static const char *
get(struct config *c, const char *name)
{
    static struct found f;
    struct slice pattern = slice_str(name);

    f = (struct found){0};
    config_get(c, &pattern, 1, note_pair, &f);
    return f.value;
}

static void
write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *
read_file(const char *path)
{
    static char text[8192];
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

/* --- values
 * -------------------------------------------------------------------- */

static void
bare_numbers_have_the_unit_of_the_name_that_was_used(void **state)
{
    struct config *c = config_new();

    (void)state;
    assert_int_equal(put(c, "storage.buffer_pool_size", "4096"), NQ_OK);
    assert_true(config_int(c, CONF_POOL) == 4096LL << 20);
    assert_string_equal(get(c, "storage.buffer_pool_size"), "4gb");
    assert_string_equal(get(c, "maxmemory"), "4294967296");
    assert_int_equal(put(c, "maxmemory", "104857600"), NQ_OK);
    assert_string_equal(get(c, "storage.buffer_pool_size"), "100mb");
    assert_int_equal(put(c, "maxmemory", "100k"), NQ_OK);
    assert_true(config_int(c, CONF_POOL) == 100000);
    assert_int_equal(put(c, "slowlog-log-slower-than", "1500"), NQ_OK);
    assert_string_equal(get(c, "logging.slow_query_threshold"), "1500us");
    assert_int_equal(put(c, "logging.slow_query_threshold", "2"), NQ_OK);
    assert_string_equal(get(c, "slowlog-log-slower-than"), "2000");
    assert_int_equal(put(c, "slowlog-log-slower-than", "-1"), NQ_OK);
    assert_true(config_int(c, CONF_SLOWLOG) == -1);
    config_free(c);
}

static void
suffixes_of_sizes_and_times_are_understood(void **state)
{
    static const struct {
        const char *name, *text;
        enum config_id id;
        int64_t want;
    } rows[] = {
        {"storage.buffer_pool_size", "512mb", CONF_POOL, 512LL << 20},
        {"storage.buffer_pool_size", "1GB", CONF_POOL, 1LL << 30},
        {"storage.buffer_pool_size", "1g", CONF_POOL, 1000000000},
        {"storage.max_size", "2 tb", CONF_MAX_SIZE, 2LL << 40},
        {"storage.wal.fsync_interval", "250ms", CONF_FSYNC_INTERVAL, 250000},
        {"storage.wal.fsync_interval", "2", CONF_FSYNC_INTERVAL, 2000000},
        {"storage.checkpoint_interval", "5m", CONF_CHECKPOINT, 300000000},
        {"storage.checkpoint_interval", "1h", CONF_CHECKPOINT, 3600000000},
        {"storage.checkpoint_interval", "1d", CONF_CHECKPOINT, 86400000000},
        {"storage.wal.group_delay", "100", CONF_GROUP_DELAY, 100},
    };
    struct config *c = config_new();

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        assert_int_equal(put(c, rows[i].name, rows[i].text), NQ_OK);
        assert_true(config_int(c, rows[i].id) == rows[i].want);
    }
    config_free(c);
}

static void
bad_values_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *name, *value, *reason;
    } rows[] = {
        {"port", "70000", "between 0 and 65535"},
        {"port", "http", "couldn't be parsed into an integer"},
        {"maxmemory", "lots", "must be a memory value"},
        {"storage.max_size", "5xb", "must be a memory value"},
        {"storage.max_size", "99999999999tb", "must be a memory value"},
        {"storage.wal.fsync_interval", "1 fortnight", "must be a time"},
        {"appendfsync", "sometimes", "everysec"},
        {"storage.wal.fsync_strategy", "sometimes", "periodic"},
        {"daemonize", "maybe", "'yes' or 'no'"},
        {"storage.flush.dirty_page_threshold", "1.5", "between 0.1 and 0.95"},
        {"storage.flush.dirty_page_threshold", "nan", "into a number"},
        {"unixsocketperm", "9", "octal"},
        {"save", "900", "Invalid save parameters"},
        {"client-output-buffer-limit", "normal 1", "Wrong number"},
        {"notify-keyspace-events", "Q", "Invalid event class"},
        {"cluster-enabled", "yes", "not built yet"},
        {"rdbcompression", "no", "compression.enabled"},
        {"tls-port", "6390", "TLS is not built"},
        {"logfile", "a\nb", "one line"},
        {"dir", "", "a path is needed"},
    };
    struct config *c = config_new();

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        assert_int_equal(put(c, rows[i].name, rows[i].value), NQ_EINVAL);
        if (strstr(err, rows[i].reason) == NULL)
            fail_msg("%s = %s: %s", rows[i].name, rows[i].value, err);
    }
    config_free(c);
}

static void
unknown_names_are_answered_with_the_nearest(void **state)
{
    static const struct {
        const char *name, *nearest;
    } rows[] = {
        {"maxclient", "'maxclients'"},
        {"storage.bufer_pool_size", "'storage.buffer_pool_size'"},
        {"fsync_strategy", "'storage.wal.fsync_strategy'"},
        {"append-fsync", "'appendfsync'"},
        {"neuromorphic.learning_rates", "'neuromorphic.learning_rate'"},
    };
    struct config *c = config_new();

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        assert_int_equal(put(c, rows[i].name, "1"), NQ_NOTFOUND);
        if (strstr(err, rows[i].nearest) == NULL)
            fail_msg("%s: %s", rows[i].name, err);
    }
    config_free(c);
}

/* Every default must survive being printed and read, under every name. */
static void
every_value_reads_back_as_it_was_printed(void **state)
{
    struct config *c = config_new();

    (void)state;
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        const char *names[] = {row->key, row->alias, row->also};

        for (unsigned k = 0; k < 3; k++) {
            char *value;

            if (names[k] == NULL)
                continue;
            value = nq_strdup(get(c, names[k]));
            if (put(c, names[k], value) != NQ_OK)
                fail_msg("%s", err);
            assert_string_equal(get(c, names[k]), value);
            nq_free(value);
        }
    }
    config_free(c);
}

static void
names_are_unique(void **state)
{
    bool is_alias;

    (void)state;
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        assert_int_equal(config_find(slice_str(row->key), &is_alias), i);
        if (row->also != NULL)
            assert_int_equal(config_find(slice_str(row->also), &is_alias), i);
        if (row->alias != NULL)
            assert_int_equal(config_find(slice_str(row->alias), &is_alias), i);
    }
}

/* --- sources
 * -------------------------------------------------------------------- */

static void
command_line_goes_before_environment_before_file(void **state)
{
    char path[] = "/tmp/nqdb-config-XXXXXX";
    char *env[] = {(char[]){"NQDB_SERVER_PORT=7001"},
                   (char[]){"NEUROQUANTUM_BUFFER_POOL=64"}, NULL};
    char *args[] = {(char[]){"nqdb-server"}, (char[]){"--port"},
                    (char[]){"7002"}, NULL};
    struct config *c = config_new();

    (void)state;
    close(mkstemp(path));
    write_file(path, "[server]\nport = 7000\ndatabases = 4\n"
                     "[storage]\nbuffer_pool_size = 32\n");
    assert_int_equal(config_load(c, path, err), NQ_OK);
    assert_int_equal(config_int(c, CONF_PORT), 7000);
    assert_int_equal(config_env(c, env, err), NQ_OK);
    assert_int_equal(config_int(c, CONF_PORT), 7001);
    assert_int_equal(config_args_apply(c, 3, args, err), NQ_OK);
    assert_int_equal(config_int(c, CONF_PORT), 7002);
    assert_int_equal(config_int(c, CONF_DATABASES), 4);
    assert_true(config_int(c, CONF_POOL) == 64 << 20);
    /* Whatever the order in which they are read. */
    assert_int_equal(config_env(c, env, err), NQ_OK);
    assert_int_equal(config_int(c, CONF_PORT), 7002);
    unlink(path);
    config_free(c);
}

static void
command_lines_written_for_redis_are_understood(void **state)
{
    char *args[] = {(char[]){"nqdb-server"},
                    (char[]){"--port"},
                    (char[]){"6380"},
                    (char[]){"--dir"},
                    (char[]){"/tmp/x"},
                    (char[]){"--bind"},
                    (char[]){"127.0.0.1"},
                    (char[]){"::1"},
                    (char[]){"--appendonly"},
                    (char[]){"yes"},
                    (char[]){"--appendfsync"},
                    (char[]){"always"},
                    (char[]){"--save"},
                    (char[]){""},
                    (char[]){"--maxmemory=100mb"},
                    (char[]){"--daemonize"},
                    (char[]){"no"},
                    (char[]){"--slowlog-log-slower-than"},
                    (char[]){"-1"}};
    struct config_args parsed;
    struct config *c = config_new();

    (void)state;
    assert_int_equal(
        config_args_scan((int)nq_countof(args), args, &parsed, err), NQ_OK);
    assert_int_equal(parsed.action, ACTION_SERVE);
    assert_null(parsed.path);
    if (config_args_apply(c, (int)nq_countof(args), args, err) != NQ_OK)
        fail_msg("%s", err);
    assert_int_equal(config_int(c, CONF_PORT), 6380);
    assert_string_equal(config_text(c, CONF_DIR), "/tmp/x");
    assert_string_equal(config_text(c, CONF_HOST), "127.0.0.1 ::1");
    assert_int_equal(config_int(c, CONF_FSYNC), 0);
    assert_string_equal(config_text(c, CONF_SAVE), "");
    assert_true(config_int(c, CONF_POOL) == 100 << 20);
    assert_true(config_int(c, CONF_SLOWLOG) == -1);
    config_free(c);
}

static void
words_that_are_no_options_are_refused(void **state)
{
    char *args[] = {(char[]){"nqdb-server"}, (char[]){"-x"}};
    struct config_args parsed;

    (void)state;
    assert_int_equal(config_args_scan(2, args, &parsed, err), NQ_EINVAL);
    assert_non_null(strstr(err, "-x"));
}

/* --- the file
 * -------------------------------------------------------------------- */

static void
the_production_file_of_the_specification_loads(void **state)
{
    struct config *c = config_new();

    (void)state;
    if (config_load(c, "tests/golden/prod.toml", err) != NQ_OK)
        fail_msg("%s", err);
    assert_int_equal(config_int(c, CONF_PORT), 8080);
    assert_string_equal(config_text(c, CONF_HOST), "0.0.0.0");
    assert_true(config_int(c, CONF_POOL) == 8LL << 30);
    assert_true(config_int(c, CONF_CHECKPOINT) == 300000000);
    assert_int_equal(config_int(c, CONF_PAGE_SIZE), 4096);
    assert_string_equal(get(c, "neuromorphic.max_query_patterns"), "10000");
    assert_string_equal(get(c, "security.jwt_expiration"), "1h");
    config_free(c);
}

static void
the_production_example_loads(void **state)
{
    struct config *c = config_new();

    (void)state;
    if (config_load(c, "conf/prod.toml", err) != NQ_OK)
        fail_msg("%s", err);
    assert_int_equal(config_int(c, CONF_FSYNC), 0);
    assert_true(config_int(c, CONF_WAL_MAX) == 4LL << 30);
    assert_int_equal(c->notes.len, 0);
    config_free(c);
}

/* conf/nqdb.toml with all its settings switched on is the default. */
static void
the_shipped_file_shows_every_default(void **state)
{
    char path[] = "/tmp/nqdb-config-XXXXXX", line[512];
    struct config *c = config_new(), *defaults = config_new();
    FILE *in = fopen("conf/nqdb.toml", "r");
    FILE *out = fdopen(mkstemp(path), "w");
    unsigned settings = 0, rows = 0;

    (void)state;
    assert_non_null(in);
    assert_non_null(out);
    while (fgets(line, sizeof line, in) != NULL) {
        bool is_setting = line[0] == '#' && line[1] != ' ' && line[1] != '\n';

        settings += is_setting;
        fputs(line + is_setting, out);
    }
    fclose(in);
    fclose(out);
    if (config_load(c, path, err) != NQ_OK)
        fail_msg("%s", err);
    for (unsigned i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char *value = nq_strdup(get(defaults, row->key));

        rows += row->kind <= KIND_LATER;
        assert_string_equal(get(c, row->key), value);
        nq_free(value);
    }
    assert_int_equal(settings, rows);
    unlink(path);
    config_free(c);
    config_free(defaults);
}

static void
the_shipped_file_is_what_the_server_prints(void **state)
{
    char *text = NULL;
    size_t size = 0, n;
    FILE *out = open_memstream(&text, &size);
    FILE *in = fopen("conf/nqdb.toml", "r");
    char *shipped;

    (void)state;
    assert_non_null(in);
    config_show_template(out);
    fclose(out);
    shipped = nq_calloc(1, size + 2);
    n = fread(shipped, 1, size + 1, in);
    fclose(in);
    if (n != size || memcmp(shipped, text, size) != 0)
        fail_msg("conf/nqdb.toml is not what --show-config=toml prints");
    nq_free(shipped);
    free(text);
}

static void
mistakes_in_the_file_are_named_with_their_line(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"[server]\nprot = 1\n", ":2: unknown setting 'server.prot'; the "
                                 "nearest is 'server.port'"},
        {"[server]\nport = 1\n\nport = 2\n", ":4: 'server.port' is set twice, "
                                             "first in line 2"},
        {"[storage]\nflush_interval = 1\n[storage.flush]\n"
         "flush_interval = 2\n",
         ":4: 'storage.flush.flush_interval' is set twice"},
        {"server.port = 99999\n", ":1: server.port: argument must be between"},
        {"a = \n", ":1: value is missing"},
        {"a = 1 2\n", ":1: unexpected '2'"},
        {"\n\na b = 1\n", ":3: '=' is missing"},
        {"a = \"x\n", ":1: string does not end on its line"},
        {"a = \"\"\"x\"\"\"\n", ":1: strings over several lines"},
        {"a = {b = 1}\n", ":1: inline tables"},
        {"[[a]]\n", ":1: arrays of tables"},
        {"a = [[1]]\n", ":1: arrays inside arrays"},
        {"a = 1979-05-27\n", ":1: '1979-05-27' is not a number"},
        {"a = 0xff\n", ":1: '0xff' is no value"},
        {"a = yes\n", ":1: 'yes' is no value"},
        {"[a\n", ":1: table name needs ']'"},
        {"= 1\n", ":1: name is missing"},
        {"a = [1\n2]\n", ":2: array needs ','"},
    };
    char path[] = "/tmp/nqdb-config-XXXXXX";

    (void)state;
    close(mkstemp(path));
    for (size_t i = 0; i < nq_countof(rows); i++) {
        struct config *c = config_new();

        write_file(path, rows[i].text);
        assert_int_not_equal(config_load(c, path, err), NQ_OK);
        if (strstr(err, rows[i].want) == NULL)
            fail_msg("%s: %s", rows[i].text, err);
        config_free(c);
    }
    unlink(path);
}

struct seen {
    struct buf text;
};

static nq_rc
collect_item(void *arg, const struct toml_item *item)
{
    struct seen *s = arg;

    if (item->value.p == NULL)
        buf_printf(&s->text, "[%s]", item->key);
    else
        buf_printf(&s->text, "%s=%.*s;", item->key, (int)item->value.len,
                   (const char *)item->value.p);
    return NQ_OK;
}

static void
the_stated_part_of_toml_is_read(void **state)
{
    static const char text[] = "\xef\xbb\xbf# comment\r\n"
                               "a = 1_000 # more\n"
                               "'b c'.\"d\" = 'x\\y'\n"
                               "e = \"tab\\t \\u00e9 \\\\ \\\" #\"\n"
                               "[t . u]\n"
                               "  f = [ 1, 2.5, # two\n  \"three\", true, ]\n"
                               "g.h=false\n"
                               "[v]\n"
                               "i = -1.5e3\n"
                               "j = []\n"
                               "k = \"\"";
    struct seen s = {BUF_INIT};
    struct toml_error bad;

    (void)state;
    if (toml_parse(slice_lit(text), collect_item, &s, &bad) != NQ_OK)
        fail_msg("line %u: %s", bad.line, bad.text);
    buf_put_u8(&s.text, 0);
    assert_string_equal((const char *)s.text.p,
                        "a=1000;b c.d=x\\y;e=tab\t \xc3\xa9 \\ \" #;"
                        "[t.u]t.u.f=1 2.5 three true;t.u.g.h=false;"
                        "[v]v.i=-1.5e3;v.j=;v.k=;");
    buf_fini(&s.text);
}

static void
rewrite_keeps_comments_and_changes_only_what_changed(void **state)
{
    char path[] = "/tmp/nqdb-config-XXXXXX";
    struct config *c = config_new();
    struct slice names[] = {slice_lit("maxclients"), slice_lit("appendfsync"),
                            slice_lit("hz"), slice_lit("requirepass")};
    struct slice values[] = {slice_lit("50"), slice_lit("always"),
                             slice_lit("20"), slice_lit("a \"b\" \\")};
    struct stat st;

    (void)state;
    close(mkstemp(path));
    assert_int_equal(chmod(path, 0604), 0);
    write_file(path, "# top\n[system]\nmax_connections = 99 # was 99\n"
                     "\n# log\n[storage.wal]\nfsync_interval = \"1000ms\"\n"
                     "[server]\nport = 0");
    assert_int_equal(config_load(c, path, err), NQ_OK);
    assert_int_equal(config_set(c, names, values, 4, NULL, NULL, err), NQ_OK);
    if (config_rewrite(c, err) != NQ_OK)
        fail_msg("%s", err);
    assert_string_equal(
        read_file(path),
        "hz = 20\n# top\n[system]\nmax_connections = 50 # was 99\n"
        "\n# log\n[storage.wal]\nfsync_interval = \"1000ms\"\n"
        "fsync_strategy = \"always\"\n[server]\nport = 0\n"
        "\n[security]\npassword = \"a \\\"b\\\" \\\\\"\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0604);
    config_free(c);
    c = config_new();
    assert_int_equal(config_load(c, path, err), NQ_OK);
    assert_string_equal(config_text(c, CONF_PASSWORD), "a \"b\" \\");
    assert_int_equal(config_int(c, CONF_FSYNC), 0);
    unlink(path);
    config_free(c);
}

/* New tables go behind what is added to the last one of the file. */
static void
rewrite_keeps_tables_apart(void **state)
{
    char path[] = "/tmp/nqdb-config-XXXXXX";
    struct config *c = config_new();

    (void)state;
    close(mkstemp(path));
    write_file(path, "[system]\nmax_connections = 99\n");
    assert_int_equal(config_load(c, path, err), NQ_OK);
    assert_int_equal(put(c, "port", "7000"), NQ_OK);
    assert_int_equal(put(c, "timeout", "10"), NQ_OK);
    assert_int_equal(put(c, "databases", "3"), NQ_OK);
    assert_int_equal(config_rewrite(c, err), NQ_OK);
    assert_string_equal(read_file(path),
                        "[system]\nmax_connections = 99\n"
                        "client_timeout = \"10s\"\n"
                        "\n[server]\nport = 7000\ndatabases = 3\n");
    unlink(path);
    config_free(c);
}

static void
rewrite_without_a_file_is_refused_as_redis_does(void **state)
{
    struct config *c = config_new();

    (void)state;
    assert_int_not_equal(config_rewrite(c, err), NQ_OK);
    assert_string_equal(err, "The server is running without a config file");
    config_free(c);
}

/* --- CONFIG
 * --------------------------------------------------------------------- */

static nq_rc
apply_counts(void *arg, unsigned hooks, char why[CONFIG_ERR])
{
    unsigned *calls = arg;

    (void)hooks;
    (void)why;
    (*calls)++;
    return NQ_OK;
}

static nq_rc
apply_fails(void *arg, unsigned hooks, char why[CONFIG_ERR])
{
    nq_rc *rc = arg, now = *rc;

    (void)hooks;
    snprintf(why, CONFIG_ERR, "no room");
    *rc = NQ_OK; /* putting the old values back works */
    return now;
}

static void
config_set_is_all_or_nothing(void **state)
{
    struct config *c = config_new();
    struct slice names[] = {slice_lit("maxclients"), slice_lit("timeout")};
    struct slice good[] = {slice_lit("77"), slice_lit("5")};
    struct slice bad[] = {slice_lit("88"), slice_lit("x")};
    unsigned calls = 0;
    nq_rc fails = NQ_EINVAL;

    (void)state;
    assert_int_equal(config_set(c, names, good, 2, apply_counts, &calls, err),
                     NQ_OK);
    assert_int_equal(calls, 1);
    assert_string_equal(get(c, "maxclients"), "77");
    assert_int_equal(config_set(c, names, bad, 2, apply_counts, &calls, err),
                     NQ_EINVAL);
    assert_string_equal(err, "CONFIG SET failed (possibly related to argument "
                             "'timeout') - argument couldn't be parsed into "
                             "an integer");
    assert_int_equal(calls, 1);
    assert_string_equal(get(c, "maxclients"), "77");
    bad[1] = slice_lit("9");
    assert_int_equal(config_set(c, names, bad, 2, apply_fails, &fails, err),
                     NQ_EINVAL);
    assert_non_null(strstr(err, "no room"));
    assert_string_equal(get(c, "maxclients"), "77");
    assert_string_equal(get(c, "timeout"), "5");
    config_free(c);
}

static void
config_set_answers_as_redis_does(void **state)
{
    static const struct {
        const char *name, *value, *want;
    } rows[] = {
        {"foo", "1",
         "Unknown option or number of arguments for CONFIG SET - 'foo'"},
        {"daemonize", "yes",
         "CONFIG SET failed (possibly related to argument 'daemonize') - "
         "can't set immutable config"},
        {"maxclients", "0",
         "CONFIG SET failed (possibly related to argument 'maxclients') - "
         "argument must be between 1 and 1000000 inclusive"},
        {"maxmemory", "1xx",
         "CONFIG SET failed (possibly related to argument 'maxmemory') - "
         "argument must be a memory value"},
        {"appendfsync", "foo",
         "CONFIG SET failed (possibly related to argument 'appendfsync') - "
         "argument(s) must be one of the following: always, everysec, no"},
        {"protected-mode", "foo",
         "CONFIG SET failed (possibly related to argument 'protected-mode') "
         "- argument must be 'yes' or 'no'"},
        {"appendonly", "no",
         "CONFIG SET failed (possibly related to argument 'appendonly') - "
         "the log is always written; appendfsync says when it is synced"},
    };
    struct config *c = config_new();

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        struct slice name = slice_str(rows[i].name);
        struct slice value = slice_str(rows[i].value);

        assert_int_not_equal(config_set(c, &name, &value, 1, NULL, NULL, err),
                             NQ_OK);
        assert_string_equal(err, rows[i].want);
    }
    {
        struct slice names[] = {slice_lit("timeout"), slice_lit("TIMEOUT")};
        struct slice values[] = {slice_lit("1"), slice_lit("2")};

        assert_int_not_equal(config_set(c, names, values, 2, NULL, NULL, err),
                             NQ_OK);
        assert_string_equal(err, "CONFIG SET failed (possibly related to "
                                 "argument 'TIMEOUT') - duplicate parameter");
    }
    config_free(c);
}

static void
config_get_takes_globs_over_both_names(void **state)
{
    struct config *c = config_new();
    struct slice patterns[] = {slice_lit("max*clients"),
                               slice_lit("STORAGE.wal.*")};
    struct found f = {0};
    unsigned wal = 0;

    (void)state;
    for (unsigned i = 0; i < config_row_count; i++)
        wal += strncmp(config_rows[i].key, "storage.wal.", 12) == 0;
    config_get(c, patterns, 2, note_pair, &f);
    assert_int_equal(f.count, 2 + wal); /* maxclients, maxmemory-clients */
    config_free(c);
}

static void
output_limits_keep_the_classes_not_named(void **state)
{
    struct config *c = config_new();

    (void)state;
    assert_int_equal(put(c, "client-output-buffer-limit",
                         "pubsub 1mb 512kb 10 replica 0 0 0"),
                     NQ_OK);
    assert_string_equal(get(c, "client-output-buffer-limit"),
                        "normal 0 0 0 slave 0 0 0 pubsub 1048576 524288 10");
    config_free(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_numbers_have_the_unit_of_the_name_that_was_used),
        cmocka_unit_test(suffixes_of_sizes_and_times_are_understood),
        cmocka_unit_test(bad_values_are_refused_with_a_reason),
        cmocka_unit_test(unknown_names_are_answered_with_the_nearest),
        cmocka_unit_test(every_value_reads_back_as_it_was_printed),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(command_line_goes_before_environment_before_file),
        cmocka_unit_test(command_lines_written_for_redis_are_understood),
        cmocka_unit_test(words_that_are_no_options_are_refused),
        cmocka_unit_test(the_production_file_of_the_specification_loads),
        cmocka_unit_test(the_production_example_loads),
        cmocka_unit_test(the_shipped_file_shows_every_default),
        cmocka_unit_test(the_shipped_file_is_what_the_server_prints),
        cmocka_unit_test(mistakes_in_the_file_are_named_with_their_line),
        cmocka_unit_test(the_stated_part_of_toml_is_read),
        cmocka_unit_test(rewrite_keeps_comments_and_changes_only_what_changed),
        cmocka_unit_test(rewrite_keeps_tables_apart),
        cmocka_unit_test(rewrite_without_a_file_is_refused_as_redis_does),
        cmocka_unit_test(config_set_is_all_or_nothing),
        cmocka_unit_test(config_set_answers_as_redis_does),
        cmocka_unit_test(config_get_takes_globs_over_both_names),
        cmocka_unit_test(output_limits_keep_the_classes_not_named),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
