/* The clauses of queries, as commands read them: each once, in any order, and
 * what is wrong is said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "../lib/engine_env.h"

struct world {
    struct engine_env env;
    struct fake_client c;
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    engine_env_init(&w->env, 8 << 20);
    fake_open(&w->env, &w->c);
    fake_ask(&w->c, "HSET h:1 temp 10 site north note 'a b'");
    fake_ask(&w->c, "HSET h:2 temp 20 site LIMIT");
    fake_ask(&w->c, "SET j:1 '{\"temp\":30,\"tags\":[1,{\"x\":null}]}'");
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    fake_close(&w->c);
    engine_env_fini(&w->env);
    free(w);
    return 0;
}

static void
clauses_come_in_any_order(void **state)
{
    struct world *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "NQ.RANGE - + WHERE temp > 10 REV KEYSONLY LIMIT 0 5",
                "*2|$3|j:1|$3|h:2|");
    fake_expect(c, "NQ.RANGE - + limit 0 5 keysonly rev where temp > 10",
                "*2|$3|j:1|$3|h:2|");
    fake_expect(c, "NQ.PREFIX h: RETURN temp WHERE temp > 10",
                "*2|$3|h:2|*2|$4|temp|$2|20|");
}

static void
a_clause_comes_once(void **state)
{
    static const char *const lines[] = {
        "NQ.RANGE - + REV REV",
        "NQ.RANGE - + KEYSONLY VALUESONLY",
        "NQ.RANGE - + LIMIT 0 1 LIMIT 0 1",
        "NQ.RANGE - + WHERE temp > 1 KEYSONLY WHERE temp > 2",
        "NQ.RANGE - + RETURN temp REV RETURN site",
        "NQ.RANGE - + LIMIT 0",
        "NQ.RANGE - + RETURN",
        "NQ.RANGE - + RETURN LIMIT 0 1",
        "NQ.COUNT - + REV",
        "NQ.RANGE - + SOMETHING",
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        fake_expect(&w->c, lines[i], "-ERR syntax error|");
    fake_expect(&w->c, "NQ.RANGE - + LIMIT 0 x",
                "-ERR value is not an integer or out of range|");
}

/* WHERE goes as far as the next word of a clause. */
static void
a_word_of_a_clause_ends_a_where(void **state)
{
    struct world *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "NQ.RANGE - + WHERE site = LIMIT 0 1",
                "-ERR query: expected a value, found the end at 6|");
    fake_expect(c, "NQ.RANGE - + WHERE 'site = \"LIMIT\"' KEYSONLY",
                "*1|$3|h:2|");
    fake_expect(c, "NQ.RANGE - + WHERE site = '\"LIMIT\"' KEYSONLY",
                "*1|$3|h:2|");
    fake_expect(c, "NQ.RANGE - + WHERE note = 'a b' AND (temp = 10) KEYSONLY",
                "*1|$3|h:1|");
    fake_expect(c, "NQ.RANGE - + WHERE KEYSONLY",
                "-ERR query: expected a query, found the end at 0|");
}

static void
fields_are_returned_as_they_are_asked_for(void **state)
{
    struct world *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "NQ.PREFIX j: RETURN $type tags[1] tags[1].x no temp",
                "*2|$3|j:1|*10|$5|$type|$6|string|$7|tags[1]|$10|{\"x\":null}|"
                "$9|tags[1].x|$-1|$2|no|$-1|$4|temp|$2|30|");
    fake_expect(c, "NQ.RANGE - + RETURN a..b",
                "-ERR query: expected a name, found '.b' at 2|");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clauses_come_in_any_order),
        cmocka_unit_test(a_clause_comes_once),
        cmocka_unit_test(a_word_of_a_clause_ends_a_where),
        cmocka_unit_test(fields_are_returned_as_they_are_asked_for),
    };

    return cmocka_run_group_tests_name("select", tests, setup, teardown);
}
