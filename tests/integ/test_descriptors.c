/* Clients that take every file descriptor there is: some are turned away, the
 * others are served, and the store still gets the files that it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/client.h"
#include "base/check.h"

#define DESCRIPTORS 100
#define CLIENTS 150
#define SERVED 30 /* at least */
#define VALUES 60 /* of a megabyte: several segments of the log */
#define VALUE (1 << 20)

static unsigned
open_many(struct client *clients, const struct live_server *s)
{
    unsigned served = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[served];

        if (!client_try_open(c, s->port))
            continue;
        client_send_raw(c, "PING\r\n", 6);
        if (strcmp(client_read(c), "+PONG") == 0)
            served++;
        else
            client_close(c);
    }
    return served;
}

static void
write_and_save(struct client *c)
{
    char *value = malloc(VALUE), key[16];

    assert_non_null(value);
    memset(value, 'v', VALUE);
    for (unsigned i = 0; i < VALUES; i++) {
        struct slice argv[] = {
            slice_lit("SET"),
            slice_of(key, (size_t)snprintf(key, sizeof key, "key:%u", i)),
            slice_of(value, VALUE)};

        client_send_argv(c, argv, nq_countof(argv));
        client_expect_read(c, "+OK");
        if (i % 20 == 10)
            client_expect(c, "SAVE", "+OK");
    }
    free(value);
}

static void
a_server_without_descriptors_for_clients_has_some_for_its_files(void **state)
{
    static struct client clients[CLIENTS];
    struct live_server s;
    struct client c;
    unsigned served;

    (void)state;
    live_init(&s);
    s.descriptors = DESCRIPTORS;
    assert_true(live_start(&s));
    served = open_many(clients, &s);
    assert_in_range(served, SERVED, DESCRIPTORS);
    write_and_save(&clients[0]);
    for (unsigned i = 0; i < served; i++) {
        client_expect(&clients[i], "DBSIZE", ":60");
        client_close(&clients[i]);
    }
    client_open(&c, &s);
    client_expect(&c, "SET more 1", "+OK");
    client_close(&c);
    live_kill(&s);
    assert_true(live_start(&s));
    client_open(&c, &s);
    client_expect(&c, "DBSIZE", ":61");
    client_expect(&c, "STRLEN key:59", ":1048576");
    client_close(&c);
    assert_int_equal(live_stop(&s), 0);
    live_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_server_without_descriptors_for_clients_has_some_for_its_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
