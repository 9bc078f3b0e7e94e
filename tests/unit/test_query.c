/* The language of WHERE: what texts mean, what they answer, what is refused
 * and where. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

/* `n` times `part`, and `end`. */
static nq_rc
compile_repeated(const char *part, unsigned n, const char *end)
{
    struct buf b = BUF_INIT;
    struct program *p;
    struct query_error err;
    struct slice arg;
    nq_rc rc;

    for (unsigned i = 0; i < n; i++)
        buf_put_str(&b, part);
    buf_put_str(&b, end);
    arg = buf_slice(&b);
    rc = program_compile(&arg, 1, &p, &err);
    program_unref(p);
    buf_fini(&b);
    return rc;
}

static void
size_and_nesting_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(compile_repeated("NOT ", 64, "a"), NQ_OK);
    assert_int_equal(compile_repeated("NOT ", 65, "a"), NQ_ESYNTAX);
    assert_int_equal(compile_repeated("(", 30000, ""), NQ_ESYNTAX);
    assert_int_equal(compile_repeated("a OR ", 1000, "a"), NQ_OK);
    assert_int_equal(compile_repeated("a OR ", 2000, "a"), NQ_ESYNTAX);
    assert_int_equal(compile_repeated("", 0, "a[0][0][0][0][0][0][0][0]"),
                     NQ_OK);
    assert_int_equal(compile_repeated("a.", 32, "a"), NQ_ESYNTAX);
    assert_int_equal(compile_repeated(" ", 65535, "a"), NQ_OK);
    assert_int_equal(compile_repeated(" ", 65536, "a"), NQ_ESYNTAX);
}

/* 64 levels whose left sides wait, in OR and in AND. */
static void
the_deepest_question_runs(void **state)
{
    struct row r = string_row(document);
    struct buf b = BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < PROGRAM_NESTING_MAX; i++)
        buf_put_str(&b, "off OR ok AND (");
    buf_put_str(&b, "ok");
    for (unsigned i = 0; i < PROGRAM_NESTING_MAX; i++)
        buf_put_u8(&b, ')');
    buf_put_u8(&b, 0);
    assert_true(matches((const char *)b.p, &r));
    buf_fini(&b);
}

static void
documents_are_read_as_far_as_they_go(void **state)
{
    struct buf b = BUF_INIT;
    struct row r = string_row("{\"a\":1,\"b\":[1,2,");

    (void)state;
    assert_true(matches("a = 1 AND b[1] != 3", &r));
    assert_false(matches("EXISTS(c)", &r));
    r.value = slice_lit("no JSON at all");
    assert_true(matches("a IS NULL", &r));
    r.value = slice_lit("");
    assert_true(matches("a IS NULL", &r));
    buf_put_str(&b, "{\"x\":");
    for (unsigned i = 0; i < 1000000; i++)
        buf_put_u8(&b, '[');
    r.value = buf_slice(&b);
    assert_true(matches("EXISTS(x) AND y IS NULL", &r));
    buf_fini(&b);
}

static double
cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Patterns that go back and forth are given up. */
static void
no_pattern_takes_long(void **state)
{
    static const char *const patterns[] = {
        "$value LIKE '%a_a_a_a_a_a_a_a_a_a_a_a_b'", "$value GLOB *a?*a?*a?*b",
        "$value GLOB *[a]a[a]a[a]a[a]a[a]a[a]a[a]b"};
    size_t n = 1 << 18;
    char *text = nq_malloc(n + 1), pattern[8300] = "$value GLOB *";
    struct row r;
    double begun = cpu_seconds();

    (void)state;
    memset(text, 'a', n);
    text[n] = '\0';
    r = string_row(text);
    for (unsigned i = 0; i < 3; i++)
        assert_false(matches(patterns[i], &r));
    memset(pattern + 13, 'a', 8192);
    memcpy(pattern + 13 + 8192, "?b", 3);
    assert_false(matches(pattern, &r));
    assert_true(cpu_seconds() - begun < 2);
    nq_free(text);
}

static void
programs_are_cached_within_bounds(void **state)
{
    struct program_cache_stats s;
    struct program *p, *again;
    struct query_error err;
    struct slice arg = slice_lit("temp > 1"),
                 two[] = {slice_lit("temp >"), slice_lit("1")};

    (void)state;
    program_cache_clear();
    assert_int_equal(program_compile(&arg, 1, &p, &err), NQ_OK);
    assert_int_equal(program_compile(&arg, 1, &again, &err), NQ_OK);
    assert_ptr_equal(p, again);
    program_unref(again);
    assert_int_equal(program_compile(two, 2, &again, &err), NQ_ESYNTAX);
    for (unsigned i = 0; i < 3000; i++) {
        char text[32];

        snprintf(text, sizeof text, "temp > %u", i + 10);
        arg = slice_str(text);
        assert_int_equal(program_compile(&arg, 1, &again, &err), NQ_OK);
        program_unref(again);
    }
    program_cache_get_stats(&s);
    assert_in_range(s.programs, 1, 512);
    assert_in_range(s.bytes, 1, 4 << 20);
    assert_true(slice_eq(program_text(p), slice_lit("temp > 1")));
    program_unref(p);
    program_cache_clear();
    program_cache_get_stats(&s);
    assert_int_equal(s.programs, 0);
    assert_int_equal(s.bytes, 0);
}

/* --- terms, paths --------------------------------------------------------- */

static void
terms_are_what_must_hold(void **state)
{
    struct slice arg =
        slice_lit("temp > 25 AND (site IN (a, b) AND 5 >= $.n) AND x != 1 AND "
                  "(y = 1 OR z = 2) AND NOT w = 1 AND s LIKE 'ab%' AND "
                  "s LIKE 'a_%' AND u BETWEEN 1 AND 2 AND ok AND v = NULL");
    static const struct {
        const char *path;
        enum term_op op;
        unsigned count;
    } want[] = {{"temp", TERM_GT, 1},   {"site", TERM_IN, 2},
                {"n", TERM_LE, 1},      {"s", TERM_PREFIX, 1},
                {"u", TERM_BETWEEN, 2}, {"ok", TERM_EQ, 1}};
    const struct term *terms;
    struct query_error err;
    struct program *p;

    (void)state;
    assert_int_equal(program_compile(&arg, 1, &p, &err), NQ_OK);
    assert_int_equal(program_terms(p, &terms), 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(slice_eq(terms[i].path, slice_str(want[i].path)));
        assert_int_equal(terms[i].op, want[i].op);
        assert_int_equal(terms[i].count, want[i].count);
        assert_true(terms[i].share > 0 && terms[i].share < 1);
    }
    assert_true(terms[0].values[0].number == 25);
    assert_true(slice_eq(terms[3].values[0].text, slice_lit("ab")));
    program_unref(p);
    arg = slice_lit("temp > 25 OR site = a");
    assert_int_equal(program_compile(&arg, 1, &p, &err), NQ_OK);
    assert_int_equal(program_terms(p, &terms), 0);
    program_unref(p);
}

static void
paths_tell_bytes_for_replies(void **state)
{
    static const struct {
        const char *path, *text, *bytes;
    } table[] = {{"$.temp", "temp", "26.5"},
                 {"a.b[1]", "a.b[1]", "{\"c\":\"x\\ny\"}"},
                 {"a.b[1].c", "a.b[1].c", "x\ny"},
                 {"$['any name']", "[\"any name\"]", "1"},
                 {"$[any name]", "[\"any name\"]", "1"},
                 {"$[\"a\"][b][0]", "a.b[0]", "10"},
                 {"ok", "ok", "true"},
                 {"none", "none", NULL},
                 {"nothing", "nothing", NULL},
                 {"$ttl", "$ttl", "60"},
                 {"$TYPE", "$type", "string"},
                 {"$key", "$key", "sensor:7:100"}};
    struct row r = string_row(document);
    struct query_error err;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf out = BUF_INIT;
        struct path *p;

        assert_int_equal(path_compile(slice_str(table[i].path), &p, &err),
                         NQ_OK);
        assert_true(slice_eq(path_text(p), slice_str(table[i].text)));
        assert_int_equal(path_bytes(p, &r, scratch, &out),
                         table[i].bytes != NULL);
        if (table[i].bytes != NULL)
            assert_true(slice_eq(buf_slice(&out), slice_str(table[i].bytes)));
        path_free(p);
        buf_fini(&out);
    }
}

/* One of more than 64 bytes is a value, but no number to compare with. */
static void
a_long_number_is_told_as_it_is(void **state)
{
    static const char digits[] = "1234567890123456789012345678901234567890"
                                 "1234567890123456789012345678901234567890";
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct row r = string_row("");
    struct query_error err;
    struct path *p;

    (void)state;
    buf_printf(&text, "{\"n\":%s,\"a\":[[1],2],\"m\":%s}", digits, digits);
    r.value = buf_slice(&text);
    assert_true(matches("EXISTS(n) AND m IS NOT NULL", &r));
    assert_false(matches("n > 1 OR m > 1", &r));
    assert_int_equal(path_compile(slice_lit("n"), &p, &err), NQ_OK);
    assert_true(path_bytes(p, &r, scratch, &out));
    assert_true(slice_eq(buf_slice(&out), slice_str(digits)));
    path_free(p);
    buf_fini(&text);
    buf_fini(&out);
}

static void
numbers_are_those_of_json(void **state)
{
    static const char *const good[] = {"0",
                                       "-0",
                                       "+5",
                                       "1e2",
                                       "1E+2",
                                       "0.1",
                                       "123456789012345678",
                                       "1e-400",
                                       "1e400",
                                       "2.5e-3",
                                       "0.3",
                                       "9007199254740993",
                                       "1.7976931348623157e308"};
    static const char *const bad[] = {"",    "-",   ".5",  "5.",   "1e",
                                      "0x1", "01",  " 1",  "1 ",   "inf",
                                      "nan", "1e+", "--1", "1.2.3"};
    double v;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(value_number_of(slice_str(good[i]), &v));
        assert_true(v == strtod(good[i], NULL));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(value_number_of(slice_str(bad[i]), &v));
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
        cmocka_unit_test(size_and_nesting_are_bounded),
        cmocka_unit_test(the_deepest_question_runs),
        cmocka_unit_test(documents_are_read_as_far_as_they_go),
        cmocka_unit_test(no_pattern_takes_long),
        cmocka_unit_test(programs_are_cached_within_bounds),
        cmocka_unit_test(terms_are_what_must_hold),
        cmocka_unit_test(paths_tell_bytes_for_replies),
        cmocka_unit_test(a_long_number_is_told_as_it_is),
        cmocka_unit_test(numbers_are_those_of_json),
    };

    return cmocka_run_group_tests_name("query", tests, setup, teardown);
}
