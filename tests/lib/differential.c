#include "differential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

#define REDIS "/usr/bin/redis-server"
#define HISTORY 64
#define SHOWN 14 /* commands before a difference */
#define BATCH 32
#define DIFFERENCES 10 /* then it is enough */
#define WORDS_MAX 4096

struct diff diff;

static char *history[HISTORY];
static unsigned sent;

void
diff_put_choice(struct buf *out, const char *const *list, size_t n)
{
    buf_put_str(out, list[rng_below(&diff.rng, n)]);
}

/* --- replies ------------------------------------------------------------- */

static int
compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "[b, a]" as "a b": for answers without an order. */
static void
sort_words(char *text)
{
    char **words, *copy, *save = NULL, *end = text;
    size_t n = 0;

    if (strchr("[~{", text[0]) == NULL)
        return;
    copy = nq_strdup(text);
    words = nq_calloc(WORDS_MAX, sizeof *words);
    for (char *w = strtok_r(copy, "[]~{}, ", &save); w != NULL && n < WORDS_MAX;
         w = strtok_r(NULL, "[]~{}, ", &save))
        words[n++] = w;
    qsort(words, n, sizeof *words, compare_words);
    /* Never longer than it was: each word had a separator. */
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(words[i]);

        memcpy(end, words[i], len);
        end[len] = ' ';
        end += len + 1;
    }
    *end = '\0';
    nq_free(words);
    nq_free(copy);
}

/* Some bytes before the first that differs. */
static size_t
place_of_difference(const char *a, const char *b)
{
    size_t i = 0;

    while (a[i] != '\0' && a[i] == b[i])
        i++;
    return i > 200 ? i - 200 : 0;
}

static void
print_difference(const char *text, const char *ours, const char *theirs)
{
    size_t at = place_of_difference(ours, theirs);

    print_message("SEED=%llu command %u, after\n",
                  (unsigned long long)diff.seed, sent);
    for (unsigned k = SHOWN; k > 0; k--)
        if (sent >= k && history[(sent - k) % HISTORY] != NULL)
            print_message("    %.200s\n", history[(sent - k) % HISTORY]);
    print_message("  %.300s\n    redis: %.400s\n    ours:  %.400s\n", text,
                  theirs + at, ours + at);
}

static void
remember(const char *text)
{
    nq_free(history[sent % HISTORY]);
    history[sent % HISTORY] = nq_strdup(text);
    sent++;
}

/* The next reply of both, to the command `text`. */
static bool
read_both(const struct diff_grammar *g, struct client *a, struct client *b,
          const char *text)
{
    char *ours = nq_strdup(client_read(a));
    char *theirs = nq_strdup(client_read(b));
    bool same;

    if (g->is_unordered(text)) {
        sort_words(ours);
        sort_words(theirs);
    }
    same = strcmp(ours, theirs) == 0 || strncmp(text, "HELLO ", 6) == 0 ||
           g->is_near(text, ours, theirs);
    if (!same)
        print_difference(text, ours, theirs);
    remember(text);
    nq_free(ours);
    nq_free(theirs);
    return same;
}

bool
diff_ask(const struct diff_grammar *g, struct client *ours,
         struct client *redis, const char *command)
{
    client_send(ours, command);
    client_send(redis, command);
    return read_both(g, ours, redis, command);
}

/* --- streams ------------------------------------------------------------- */

static void
follow(struct diff_mode *m, const char *command)
{
    bool is_reset = strcmp(command, "RESET") == 0;
    bool is_end = m->in_multi && (strcmp(command, "EXEC") == 0 ||
                                  strcmp(command, "DISCARD") == 0);

    if (strcmp(command, "UNWATCH") == 0 && !m->in_multi)
        m->is_watching = false;
    if (is_end || is_reset)
        *m = (struct diff_mode){false, false};
    if (strcmp(command, "MULTI") == 0)
        m->in_multi = true;
    if (strncmp(command, "WATCH ", 6) == 0 && !m->in_multi)
        m->is_watching = true;
}

/* Whether it begins with one of the words in DIFF_WITHOUT. */
static bool
is_left_out(const char *command)
{
    const char *p = getenv("DIFF_WITHOUT");

    while (p != NULL && *p != '\0') {
        size_t n = strcspn(p, " ");

        if (n > 0 && strncmp(command, p, n) == 0)
            return true;
        p += n + strspn(p + n, " ");
    }
    return false;
}

static char *
next_command(const struct diff_grammar *g, const struct diff_mode *m)
{
    struct buf command = BUF_INIT;
    char *text;

    do {
        buf_clear(&command);
        g->make(&command);
    } while (is_left_out((const char *)command.p) ||
             !g->is_allowed(m, (const char *)command.p));
    text = nq_strdup((const char *)command.p);
    buf_fini(&command);
    return text;
}

/* Some commands at once; returns how many replies differ. */
static unsigned
run_batch(const struct diff_grammar *g, struct client *a, struct client *b,
          struct diff_mode *m, unsigned resp)
{
    char *texts[BATCH + 1], hello[16];
    unsigned n = 0, different = 0;

    snprintf(hello, sizeof hello, "HELLO %u", resp);
    while (n < BATCH) {
        texts[n] = next_command(g, m);
        follow(m, texts[n]);
        if (strcmp(texts[n++], "RESET") == 0)
            texts[n++] = nq_strdup(hello);
    }
    for (unsigned i = 0; i < n; i++) {
        client_send(a, texts[i]);
        client_send(b, texts[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        different += !read_both(g, a, b, texts[i]);
        nq_free(texts[i]);
    }
    return different;
}

static unsigned
stream_length(void)
{
    const char *env = getenv("DIFF_COMMANDS");

    return env != NULL ? (unsigned)strtoul(env, NULL, 10) : 20000;
}

void
diff_run(const struct diff_grammar *g, unsigned resp)
{
    struct client a, b;
    struct diff_mode mode = {false, false};
    unsigned different = 0;
    char hello[16];

    client_open(&a, &diff.ours);
    client_open(&b, &diff.redis);
    snprintf(hello, sizeof hello, "HELLO %u", resp);
    client_expect(&a, "FLUSHALL", "+OK");
    client_expect(&b, "FLUSHALL", "+OK");
    (void)diff_ask(g, &a, &b, hello);
    for (unsigned n = 0; n < stream_length() && different < DIFFERENCES;
         n += BATCH)
        different += run_batch(g, &a, &b, &mode, resp);
    client_close(&a);
    client_close(&b);
    assert_int_equal(different, 0);
}

/* --- servers ------------------------------------------------------------- */

bool
diff_is_possible(const char *test)
{
    if (access(REDIS, X_OK) == 0)
        return true;
    printf("SKIP %s: there is no " REDIS "\n", test);
    return false;
}

int
diff_start(void **state)
{
    const char *env = getenv("SEED");
    char *binary;

    (void)state;
    diff.seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();
    rng_seed(&diff.rng, diff.seed);
    printf("SEED=%llu\n", (unsigned long long)diff.seed);
    live_init(&diff.ours);
    if (!live_start(&diff.ours))
        return -1;
    binary = nq_strdup(getenv("NQDB_SERVER"));
    setenv("NQDB_SERVER", REDIS, 1);
    unsetenv("NQDB_SERVER_ARGS");
    live_init(&diff.redis);
    diff.redis.options[0] = "--save";
    diff.redis.options[1] = "";
    if (!live_start(&diff.redis))
        return -1;
    setenv("NQDB_SERVER", binary, 1);
    nq_free(binary);
    return 0;
}

int
diff_stop(void **state)
{
    int code = live_stop(&diff.ours);

    (void)state;
    if (code != 0)
        live_print_log(&diff.ours);
    live_fini(&diff.ours);
    live_fini(&diff.redis);
    for (unsigned i = 0; i < HISTORY; i++)
        nq_free(history[i]);
    return code;
}
