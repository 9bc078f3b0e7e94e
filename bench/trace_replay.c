/* bench/trace_replay.c - miss ratios of the eviction policies over traces of
 * page references, beside those of a cache that knows the future.
 *
 *   trace_replay [-s size,share%,...] [-p policy,...] trace...
 *
 * Sizes are pages, or with % a share of the trace's different ids; 1% and
 * 10% if not said.  Policies: all, if not said.  Ends with 1 if a trace
 * cannot be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "../tests/lib/trace.h"

struct choice {
    const char *sizes; /* a list with commas */
    bool policies[POLICY_KINDS];
};

static void
replay(const char *name, const struct trace *t, uint32_t size,
       const struct choice *c)
{
    printf("%-28s %9u", name, size);
    for (unsigned k = 0; k < POLICY_KINDS; k++) {
        if (c->policies[k])
            printf(" %7.4f", trace_replay(t, (enum policy_kind)k, size));
    }
    printf(" %7.4f\n", trace_belady(t, size));
    fflush(stdout);
}

static bool
replay_file(const char *path, const struct choice *c)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    const char *at = c->sizes;
    struct trace t;

    if (!trace_load(path, &t)) {
        fprintf(stderr, "%s: not a trace: one decimal id a line\n", path);
        return false;
    }
    while (*at != '\0') {
        char *end;
        double v = strtod(at, &end);

        if (*end == '%') {
            v = v / 100 * t.unique;
            end++;
        }
        if (end == at || v < 1 || v > UINT32_MAX || (*end && *end != ',')) {
            fprintf(stderr, "%s: not a size for %s\n", at, name);
            break;
        }
        replay(name, &t, (uint32_t)v, c);
        at = end + (*end == ',');
    }
    trace_free(&t);
    return *at == '\0';
}

static bool
choose(char *list, struct choice *c)
{
    memset(c->policies, 0, sizeof c->policies);
    for (char *save, *word = strtok_r(list, ",", &save); word != NULL;
         word = strtok_r(NULL, ",", &save)) {
        enum policy_kind kind;

        if (!policy_by_name(slice_str(word), &kind)) {
            fprintf(stderr, "%s: no such policy\n", word);
            return false;
        }
        c->policies[kind] = true;
    }
    return true;
}

int
main(int argc, char **argv)
{
    struct choice c = {.sizes = "1%,10%"};
    int option, status = 0;

    memset(c.policies, true, sizeof c.policies);
    while ((option = getopt(argc, argv, "s:p:")) != -1) {
        if (option == 's')
            c.sizes = optarg;
        else if (option != 'p' || !choose(optarg, &c))
            return 2;
    }
    printf("%-28s %9s", "trace", "pages");
    for (unsigned k = 0; k < POLICY_KINDS; k++) {
        if (c.policies[k])
            printf(" %7s", policy_name((enum policy_kind)k));
    }
    printf(" %7s\n", "belady");
    for (int i = optind; i < argc; i++)
        status |= !replay_file(argv[i], &c);
    return status;
}
