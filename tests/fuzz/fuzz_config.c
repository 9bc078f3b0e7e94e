/* A settings file made of any bytes is read or refused with a line number; one
 * that was read can be rewritten, and says the same afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/tmp/nqdb-fuzz-config-XXXXXX";

static void
remove_file(void)
{
    (void)unlink(path);
}

static void
prepare(void)
{
    static bool is_done;

    if (is_done)
        return;
    is_done = true;
    nq_assert(mkstemp(path) >= 0);
    (void)atexit(remove_file);
    log_set_level(LOG_ERROR);
}

static void
write_input(const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    nq_assert(f != NULL);
    nq_assert(fwrite(data, 1, size, f) == size);
    fclose(f);
}

/* Everything that is set, as one text. */
static char *
describe(struct config *c)
{
    char *text = NULL, *p;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    config_show(c, out);
    fclose(out);
    /* Lines move when a file is rewritten. */
    while ((p = strstr(text, ", line ")) != NULL) {
        size_t n = strcspn(p, "\n;");

        memmove(p, p + n, strlen(p + n) + 1);
    }
    return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = config_new(), *again = config_new();
    char err[CONFIG_ERR] = "", *before, *after;

    prepare();
    write_input(data, size);
    if (config_load(c, path, err) != NQ_OK) {
        nq_assert(strncmp(err, path, strlen(path)) == 0);
        goto out;
    }
    before = describe(c);
    nq_assert(config_rewrite(c, err) == NQ_OK);
    nq_assert(config_load(again, path, err) == NQ_OK);
    after = describe(again);
    nq_assert(strcmp(before, after) == 0);
    free(before);
    free(after);

out:
    config_free(c);
    config_free(again);
    return 0;
}
