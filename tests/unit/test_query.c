/* The language of WHERE: what texts mean, what they answer, what is refused
 * and where. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "query/program.h"

/* --- rows ---------------------------------------------------------------- */

struct field {
    const char *name, *value;
};

static bool
find_field(const struct row *r, struct slice name, struct slice *out)
{
    for (const struct field *f = r->arg; f->name != NULL; f++) {
        if (slice_eq(name, slice_str(f->name))) {
            *out = slice_str(f->value);
            return true;
        }
    }
    return false;
}

static struct row
string_row(const char *value)
{
    return (struct row){.key = slice_lit("sensor:7:100"),
                        .type = "string",
                        .has = ROW_KEY | ROW_LEN | ROW_VALUE,
                        .expire_ms = 61000,
                        .now_ms = 1000,
                        .len = strlen(value),
                        .value = slice_str(value)};
}

static struct row
hash_row(const struct field *fields)
{
    return (struct row){.key = slice_lit("sensor:8:100"),
                        .type = "hash",
                        .is_hash = true,
                        .has = ROW_KEY | ROW_LEN | ROW_FIELDS,
                        .len = 3,
                        .field = find_field,
                        .arg = fields};
}

static const char document[] =
    "{\"temp\":26.5,\"site\":\"north\",\"ok\":true,\"off\":false,\"none\":null,"
    "\"a\":{\"b\":[10,{\"c\":\"x\\ny\"},30]},\"any name\":1,\"n\":\"7\","
    "\"big\":123456789012,\"temp\":99}";

static const struct field fields[] = {
    {"temp", "26.5"},  {"site", "north"}, {"doc", "{\"x\":{\"y\":5}}"},
    {"any name", "1"}, {"count", "007"},  {NULL, NULL}};

/* --- running
 * ------------------------------------------------------------------ */

static struct row_scratch *scratch;

/* `T`, `F` or `?`; F and ? may stand for one another. */
static enum truth
run_args(const struct slice *args, uint32_t n, const struct row *r)
{
    struct program *p;
    struct query_error err;
    enum truth t;

    if (program_compile(args, n, &p, &err) != NQ_OK)
        fail_msg("%.*s: %s", (int)args[0].len, (const char *)args[0].p,
                 err.text);
    row_scratch_next(scratch);
    t = program_run(p, r, scratch);
    program_unref(p);
    return t;
}

static bool
matches(const char *text, const struct row *r)
{
    struct slice arg = slice_str(text);

    return run_args(&arg, 1, r) == TRUTH_TRUE;
}

static void
expect(const struct row *r, const char *const *texts, bool want)
{
    for (; *texts != NULL; texts++)
        if (matches(*texts, r) != want)
            fail_msg("%s: expected %s", *texts, want ? "a match" : "none");
}

static void
strings_are_read_as_json(void **state)
{
    struct row r = string_row(document);

    (void)state;
    expect(&r,
           (const char *const[]){"temp > 25",           "temp >= 26.5",
                                 "temp < 27",           "temp = 26.5",
                                 "temp != 5",           "25 < $.temp",
                                 "site = \"north\"",    "site = north",
                                 "site > \"nort\"",     "ok",
                                 "ok = TRUE",           "NOT off",
                                 "off = false",         "a.b[0] = 10",
                                 "$.a.b[2] = 30",       "a.b[1].c = \"x\\ny\"",
                                 "$[\"any name\"] = 1", "$['any name'] = 1",
                                 "n = \"7\"",           "big = 123456789012",
                                 "$.temp < $.big",      NULL},
           true);
}

static void
what_is_false_or_unknown_does_not_match(void **state)
{
    struct row r = string_row(document);

    (void)state;
    expect(&r,
           (const char *const[]){
               "temp > 27", "temp = 99", "temp = north", "site > 5", "none = 1",
               "nothing = 1", "nothing != 1", "NOT nothing = 1", "a = 1",
               "n = 7", "none", "off", "a.b[3] = 1", "a[0] = 1", "temp.x = 1",
               "b[0] = 10", "NOT (nothing = 1 OR temp > 99)", NULL},
           false);
}

static void
operators_do_what_they_say(void **state)
{
    struct row r = string_row(document);

    (void)state;
    expect(&r,
           (const char *const[]){"temp IN (1, 26.5)",
                                 "site IN (south, north)",
                                 "site NOT IN (south)",
                                 "temp BETWEEN 20 AND 30",
                                 "temp NOT BETWEEN 1 AND 2",
                                 "site LIKE n%",
                                 "site LIKE '%rt_'",
                                 "$key LIKE \"sensor\\:7%\"",
                                 "site NOT LIKE s%",
                                 "site GLOB n[o-p]r?h",
                                 "site GLOB *",
                                 "none IS NULL",
                                 "nothing IS NULL",
                                 "temp IS NOT NULL",
                                 "EXISTS (none)",
                                 "NOT EXISTS (nothing)",
                                 "EXISTS(a.b[1])",
                                 "temp > 99 OR site = north AND ok",
                                 "NOT NOT ok",
                                 "(temp > 1 OR temp < 1) AND (off OR ok)",
                                 NULL},
           true);
    expect(&r,
           (const char *const[]){
               "temp IN (1, 2)", "temp NOT IN (1, NULL)", "temp IN (a)",
               "temp BETWEEN 27 AND 30", "nothing NOT BETWEEN 1 AND 2",
               "site LIKE n", "site LIKE _orth_", "temp LIKE '%'",
               "nothing NOT LIKE a", "site GLOB n[^o]*", NULL},
           false);
}

static void
keys_and_their_kin_are_values_too(void **state)
{
    struct row r = string_row(document), h = hash_row(fields);

    (void)state;
    expect(&r,
           (const char *const[]){"$key = sensor:7:100", "$key LIKE sensor:%",
                                 "$type = string", "$ttl = 60", "$len > 100",
                                 "$value LIKE '{%'", "$KEY > a", NULL},
           true);
    expect(&h,
           (const char *const[]){"$type = hash", "$ttl = -1", "$len = 3",
                                 "$value IS NULL", NULL},
           true);
}

static void
fields_of_hashes_are_of_no_type(void **state)
{
    struct row h = hash_row(fields);

    (void)state;
    expect(&h,
           (const char *const[]){"temp > 25", "temp = 26.50", "temp = '26.5'",
                                 "site = north", "doc.x.y = 5",
                                 "$[\"any name\"] = 1", "count = '007'",
                                 "$.temp > $[any name]", NULL},
           true);
    expect(&h,
           (const char *const[]){"temp = '26.50'", "count = 7", "site > 5",
                                 "nothing = 1", "doc.x = 5", "doc.x.z = 5",
                                 "[0] = 1", NULL},
           false);
}

/* redis-cli takes quotes away and cuts at blanks. */
static void
arguments_are_tokens(void **state)
{
    struct row r =
        string_row("{\"temp\":26,\"site\":\"north pole\",\"e\":\"\"}");
    struct slice a[] = {
        slice_lit("(temp"),      slice_lit(">"),    slice_lit("25"),
        slice_lit("and"),        slice_lit("site"), slice_lit("="),
        slice_lit("north pole"), slice_lit(")"),    slice_lit("AND"),
        slice_lit("e"),          slice_lit("="),    slice_lit("")};

    (void)state;
    assert_int_equal(run_args(a, 12, &r), TRUTH_TRUE);
    a[6] = slice_lit("'north pole'");
    assert_int_equal(run_args(a, 12, &r), TRUTH_TRUE);
    a[6] = slice_lit("north");
    assert_int_not_equal(run_args(a, 12, &r), TRUTH_TRUE);
}

/* --- refusals
 * ------------------------------------------------------------------ */

static void
errors_say_what_and_where(void **state)
{
    static const struct {
        const char *text, *error;
    } table[] = {
        {"", "expected a path or a value, found the end at 0"},
        {"temp >", "expected a value, found the end at 6"},
        {"temp > )", "expected a value, found ')' at 7"},
        {"temp > 25 AND", "expected a path or a value, found the end at 13"},
        {"temp > 25 site", "expected AND, OR or the end, found 'site' at 10"},
        {"(temp > 25", "expected AND, OR or ), found the end at 10"},
        {"temp > AND b = 1", "expected a value, found 'AND' at 7"},
        {"a IN 5", "expected (, found '5' at 5"},
        {"a IN (5", "expected , or ), found the end at 7"},
        {"a BETWEEN 1 OR 2", "expected AND, found 'OR' at 12"},
        {"a IS 5", "expected NULL or NOT NULL, found '5' at 5"},
        {"a NOT 5", "expected IN, BETWEEN, LIKE or GLOB, found '5' at 6"},
        {"a = 'x", "expected the end of a text that begins at 4"},
        {"$foo = 1",
         "expected $key, $value, $len, $ttl, $type or $.path, found 'foo' "
         "at 1"},
        {"a..b = 1", "expected a name, found '.b' at 2"},
        {"a[x = 1", "expected a name or a number and ], found 'x' at 2"},
        {"\"text\" AND a = 1", "expected a comparison, found 'AND' at 7"},
        {"5", "expected a comparison, found the end at 1"},
    };
    struct program *p;
    struct query_error err;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct slice arg = slice_str(table[i].text);

        assert_int_equal(program_compile(&arg, 1, &p, &err), NQ_ESYNTAX);
        assert_string_equal(err.text, table[i].error);
        assert_null(p);
    }
}

static int
setup(void **state)
{
    (void)state;
    scratch = row_scratch_new();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    row_scratch_free(scratch);
    program_cache_clear();
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_read_as_json),
        cmocka_unit_test(what_is_false_or_unknown_does_not_match),
        cmocka_unit_test(operators_do_what_they_say),
        cmocka_unit_test(keys_and_their_kin_are_values_too),
        cmocka_unit_test(fields_of_hashes_are_of_no_type),
        cmocka_unit_test(arguments_are_tokens),
        cmocka_unit_test(errors_say_what_and_where),
    };

    return cmocka_run_group_tests_name("query", tests, setup, teardown);
}
