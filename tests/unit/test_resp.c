/* Requests out of bytes, whole and in every pair of parts, and replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "resp/parse.h"
#include "resp/write.h"

static const struct resp_limits open_limits = {512u << 20, true};
static const struct resp_limits shut_limits = {512u << 20, false};

/* Feeds `in` in two parts cut at `cut`, the second one in other memory, so
 * that a parser that keeps addresses is found out. */
static enum resp_result
parse_cut(struct resp_parser *p, struct slice in, size_t cut,
          const struct resp_limits *limits, struct slice *room,
          struct resp_request *out, uint8_t **hold)
{
    uint8_t *part = nq_memdup(in.p, cut);
    enum resp_result r = resp_parse(p, slice_of(part, cut), limits, room, out);

    if (r != RESP_MORE) {
        *hold = part;
        return r;
    }
    assert_true(out->want > cut);
    assert_true(out->want <= in.len);
    memset(part, 'x', cut);
    nq_free(part);
    *hold = nq_memdup(in.p, in.len);
    return resp_parse(p, slice_of(*hold, in.len), limits, room, out);
}

static void
assert_request(const char *text, size_t len, const char *const *want,
               unsigned argc)
{
    for (size_t cut = 0; cut <= len; cut++) {
        struct resp_parser p = {0};
        struct slice room[RESP_SHORT_ARGS];
        struct resp_request out;
        uint8_t *hold;

        assert_int_equal(parse_cut(&p, slice_of(text, len), cut, &open_limits,
                                   room, &out, &hold),
                         RESP_REQUEST);
        assert_int_equal(out.len, len);
        assert_int_equal(out.argc, argc);
        for (unsigned i = 0; i < argc; i++)
            assert_true(slice_eq(out.argv[i], slice_str(want[i])));
        resp_forget(&p);
        nq_free(hold);
    }
}

#define ASSERT_REQUEST(text, ...)                                              \
    do {                                                                       \
        static const char *const want_[] = {__VA_ARGS__, NULL};                \
        assert_request(text, sizeof(text) - 1, want_,                          \
                       (unsigned)(sizeof want_ / sizeof *want_) - 1);          \
    } while (0)

static void
multibulk_is_read_at_every_cut(void **state)
{
    (void)state;
    ASSERT_REQUEST("*1\r\n$4\r\nPING\r\n", "PING");
    ASSERT_REQUEST("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "SET", "k", "");
    ASSERT_REQUEST("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", "GET",
                   "key:000000000001");
    ASSERT_REQUEST("*2\r\n$4\r\nECHO\r\n$5\r\n\r\n$1*\r\n", "ECHO", "\r\n$1*");
    ASSERT_REQUEST("*2\r\n$4\r\nECHO\r\n$120\r\n"
                   "0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789\r\n",
                   "ECHO",
                   "0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789");
}

static void
inline_is_read_at_every_cut(void **state)
{
    (void)state;
    ASSERT_REQUEST("PING\r\n", "PING");
    ASSERT_REQUEST("PING\n", "PING");
    ASSERT_REQUEST("  set\tk  v \r\n", "set", "k", "v");
    ASSERT_REQUEST("set k \"a b\\x41\\n\\t\\\"\\q\"\r\n", "set", "k",
                   "a bA\n\t\"q");
    ASSERT_REQUEST("set k 'it\\'s \\n' x\"y z\"\r\n", "set", "k", "it's \\n",
                   "xy z");
    ASSERT_REQUEST("set \"\" ''\r\n", "set", "", "");
}

static void
empty_requests_are_skipped(void **state)
{
    static const char *const texts[] = {"\r\n",   "\n",      "   \r\n",
                                        "*0\r\n", "*-1\r\n", "*-10\r\n"};

    (void)state;
    for (size_t i = 0; i < nq_countof(texts); i++) {
        struct resp_parser p = {0};
        struct slice room[RESP_SHORT_ARGS];
        struct resp_request out;

        assert_int_equal(
            resp_parse(&p, slice_str(texts[i]), &open_limits, room, &out),
            RESP_REQUEST);
        assert_int_equal(out.argc, 0);
        assert_int_equal(out.len, strlen(texts[i]));
        assert_false(resp_holds(&p));
    }
}

static void
assert_bad(const struct resp_limits *limits, const char *text,
           const char *error)
{
    size_t len = strlen(text);

    for (size_t cut = 0; cut <= len; cut++) {
        struct resp_parser p = {0};
        struct slice room[RESP_SHORT_ARGS];
        struct resp_request out;
        enum resp_result r =
            resp_parse(&p, slice_of(text, cut), limits, room, &out);

        if (r == RESP_MORE && cut < len)
            r = resp_parse(&p, slice_str(text), limits, room, &out);
        assert_int_equal(r, RESP_BAD);
        assert_true(strncmp(out.error, "Protocol error: ", 16) == 0);
        assert_string_equal(out.error + 16, error);
        resp_forget(&p);
    }
}

static void
malformed_requests_get_the_texts_of_redis(void **state)
{
    (void)state;
    assert_bad(&open_limits, "*abc\r\nx", "invalid multibulk length");
    assert_bad(&open_limits, "*+1\r\nx", "invalid multibulk length");
    assert_bad(&open_limits, "*01\r\nx", "invalid multibulk length");
    assert_bad(&open_limits, "*2147483648\r\n", "invalid multibulk length");
    assert_bad(&open_limits, "*1\r\n:4\r\n", "expected '$', got ':'");
    assert_bad(&open_limits, "*1\r\n$-1\r\n", "invalid bulk length");
    assert_bad(&open_limits, "*1\r\n$x\r\nyy", "invalid bulk length");
    assert_bad(&open_limits, "*1\r\n$536870913\r\n", "invalid bulk length");
    assert_bad(&open_limits, "*999\r\n$1\r\nx\r\n+", "expected '$', got '+'");
    assert_bad(&open_limits, "a \"b\r\n", "unbalanced quotes in request");
    assert_bad(&open_limits, "a \"b\"c\r\n", "unbalanced quotes in request");
    assert_bad(&open_limits, "a 'b\r\n", "unbalanced quotes in request");
    assert_bad(&shut_limits, "*11\r\n", "unauthenticated multibulk length");
    assert_bad(&shut_limits, "*1\r\n$16385\r\n", "unauthenticated bulk length");
}

static void
endless_lines_are_refused(void **state)
{
    static const struct {
        const char *head, *error;
    } cases[] = {{"", "too big inline request"},
                 {"*", "too big mbulk count string"},
                 {"*1\r\n$", "too big bulk count string"}};
    uint8_t *text = nq_malloc(RESP_LINE_MAX + 16);

    (void)state;
    for (size_t i = 0; i < nq_countof(cases); i++) {
        struct resp_parser p = {0};
        struct slice room[RESP_SHORT_ARGS];
        struct resp_request out;
        size_t head = strlen(cases[i].head);

        memset(text, '1', RESP_LINE_MAX + 16);
        memcpy(text, cases[i].head, head);
        assert_int_equal(
            resp_parse(&p, slice_of(text, 60000), &open_limits, room, &out),
            RESP_MORE);
        assert_int_equal(resp_parse(&p, slice_of(text, RESP_LINE_MAX + head),
                                    &open_limits, room, &out),
                         RESP_BAD);
        assert_string_equal(out.error + 16, cases[i].error);
    }
    nq_free(text);
}

/* Many arguments, one byte more at each call, the input moving all along. */
static void
long_requests_go_on_where_they_were(void **state)
{
    struct buf text = BUF_INIT;
    struct resp_parser p = {0};
    struct slice room[RESP_SHORT_ARGS];
    struct resp_request out;
    const unsigned argc = 300;

    (void)state;
    buf_printf(&text, "*%u\r\n", argc);
    for (unsigned i = 0; i < argc; i++)
        buf_printf(&text, "$5\r\n%05u\r\n", i);
    for (size_t n = 0; n < text.len; n++) {
        uint8_t *part = nq_memdup(text.p, n);

        assert_int_equal(
            resp_parse(&p, slice_of(part, n), &open_limits, room, &out),
            RESP_MORE);
        assert_true(out.want > n && out.want <= text.len);
        nq_free(part);
    }
    assert_int_equal(resp_parse(&p, buf_slice(&text), &open_limits, room, &out),
                     RESP_REQUEST);
    assert_true(resp_holds(&p));
    assert_int_equal(out.argc, argc);
    for (unsigned i = 0; i < argc; i++) {
        char want[8];

        snprintf(want, sizeof want, "%05u", i);
        assert_true(slice_eq(out.argv[i], slice_str(want)));
    }
    resp_forget(&p);
    buf_fini(&text);
}

static void
inline_with_many_words_is_whole(void **state)
{
    struct buf text = BUF_INIT;
    struct resp_parser p = {0};
    struct slice room[RESP_SHORT_ARGS];
    struct resp_request out;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&text, i % 3 == 0 ? "\"w %u\" " : "w%u ", i);
    buf_put_str(&text, "\r\n");
    assert_int_equal(resp_parse(&p, buf_slice(&text), &open_limits, room, &out),
                     RESP_REQUEST);
    assert_int_equal(out.argc, 200);
    assert_true(slice_eq(out.argv[0], slice_lit("w 0")));
    assert_true(slice_eq(out.argv[64], slice_lit("w64")));
    assert_true(slice_eq(out.argv[198], slice_lit("w 198")));
    resp_forget(&p);
    buf_fini(&text);
}

static void
an_announced_length_reserves_nothing(void **state)
{
    struct resp_parser p = {0};
    struct slice room[RESP_SHORT_ARGS];
    struct resp_request out;
    uint64_t used = mem_used();

    (void)state;
    assert_int_equal(resp_parse(&p, slice_lit("*2147483647\r\n$1\r\n"),
                                &open_limits, room, &out),
                     RESP_MORE);
    assert_true(mem_used() - used < 4096);
    resp_forget(&p);
    assert_int_equal(resp_parse(&p, slice_lit("*1\r\n$1000000\r\nab"),
                                &open_limits, room, &out),
                     RESP_MORE);
    assert_int_equal(out.want, 4 + 10 + 1000000 + 2);
    assert_false(resp_holds(&p));
}

#define ASSERT_BYTES(call, text)                                               \
    do {                                                                       \
        uint8_t dst_[64];                                                      \
        size_t n_ = (call);                                                    \
        assert_int_equal(n_, sizeof(text) - 1);                                \
        assert_memory_equal(dst_, text, n_);                                   \
    } while (0)

static void
replies_are_spelled_as_each_protocol_has_them(void **state)
{
    (void)state;
    ASSERT_BYTES(resp_put_header(dst_, '*', 0), "*0\r\n");
    ASSERT_BYTES(resp_put_header(dst_, '%', 12345), "%12345\r\n");
    ASSERT_BYTES(resp_put_int(dst_, -7), ":-7\r\n");
    ASSERT_BYTES(resp_put_int(dst_, INT64_MIN), ":-9223372036854775808\r\n");
    ASSERT_BYTES(resp_put_int(dst_, INT64_MAX), ":9223372036854775807\r\n");
    ASSERT_BYTES(resp_put_bulk(dst_, slice_lit("abc")), "$3\r\nabc\r\n");
    ASSERT_BYTES(resp_put_bulk(dst_, slice_of(NULL, 0)), "$0\r\n\r\n");
    ASSERT_BYTES(resp_put_null(dst_, 2), "$-1\r\n");
    ASSERT_BYTES(resp_put_null(dst_, 3), "_\r\n");
    ASSERT_BYTES(resp_put_null_array(dst_, 2), "*-1\r\n");
    ASSERT_BYTES(resp_put_bool(dst_, 2, true), ":1\r\n");
    ASSERT_BYTES(resp_put_bool(dst_, 3, false), "#f\r\n");
    ASSERT_BYTES(resp_put_double(dst_, 2, 1.5), "$3\r\n1.5\r\n");
    ASSERT_BYTES(resp_put_double(dst_, 3, 1.5), ",1.5\r\n");
    ASSERT_BYTES(resp_put_double(dst_, 3, -1.0 / 0.0), ",-inf\r\n");
    ASSERT_BYTES(resp_put_double(dst_, 2, 0.1),
                 "$19\r\n0.10000000000000001\r\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multibulk_is_read_at_every_cut),
        cmocka_unit_test(inline_is_read_at_every_cut),
        cmocka_unit_test(empty_requests_are_skipped),
        cmocka_unit_test(malformed_requests_get_the_texts_of_redis),
        cmocka_unit_test(endless_lines_are_refused),
        cmocka_unit_test(long_requests_go_on_where_they_were),
        cmocka_unit_test(inline_with_many_words_is_whole),
        cmocka_unit_test(an_announced_length_reserves_nothing),
        cmocka_unit_test(replies_are_spelled_as_each_protocol_has_them),
    };

    return cmocka_run_group_tests_name("resp", tests, NULL, NULL);
}
