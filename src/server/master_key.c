/* server/master_key.c - the master key out of its one source. */
#include "server/master_key.h"

#include <stdio.h>

#include "base/check.h"
#include "os/secret.h"
#include "server/config.h"

#define TEXT_MAX 1024u /* bytes of a source: a key with blanks around it */

static bool
is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static unsigned
count(const struct master_key_source *src)
{
    return (unsigned)is_set(src->path) + (unsigned)is_set(src->env) +
           (unsigned)is_set(src->command);
}

static nq_rc
refuse(char why[MASTER_KEY_WHY], const char *text)
{
    snprintf(why, MASTER_KEY_WHY, "%s", text);
    return NQ_EINVAL;
}

static nq_rc
read_text(const struct master_key_source *src, uint8_t *dst, size_t *len,
          char why[MASTER_KEY_WHY])
{
    unsigned sources = count(src);
    char reason[SECRET_WHY] = "";
    nq_rc rc;

    if (sources == 0)
        return refuse(why, "no master key: name a file, an environment "
                           "variable or a command that has it");
    if (sources > 1)
        return refuse(why, "more than one source of the master key is named; "
                           "leave one");
    if (is_set(src->path))
        rc = secret_from_file(src->path, dst, TEXT_MAX, len, reason);
    else if (is_set(src->env))
        rc = secret_from_env(src->env, dst, TEXT_MAX, len, reason);
    else
        rc = secret_from_command(src->command, SECRET_COMMAND_MS, dst, TEXT_MAX,
                                 len, reason);
    if (rc != NQ_OK)
        snprintf(why, MASTER_KEY_WHY, "master key: %s", reason);
    return rc;
}

void
master_key_source_of(const struct config *c, struct master_key_source *out)
{
    *out = (struct master_key_source){
        .path = config_text(c, CONF_KEY_PATH),
        .env = config_text(c, CONF_KEY_ENV),
        .command = config_text(c, CONF_KEY_COMMAND),
    };
}

bool
master_key_is_named(const struct master_key_source *src)
{
    return count(src) > 0;
}

nq_rc
master_key_read(const struct master_key_source *src, uint8_t key[SEAL_KEY],
                char why[MASTER_KEY_WHY])
{
    uint8_t *text = seal_secret_new(TEXT_MAX);
    size_t len = 0;
    nq_rc rc = read_text(src, text, &len, why);

    if (rc == NQ_OK && !seal_key_parse(slice_of(text, len), key)) {
        snprintf(why, MASTER_KEY_WHY,
                 "what was given is no master key: expected " SEAL_KEY_FORMS
                 ", found %zu bytes",
                 len);
        rc = NQ_EINVAL;
    }
    seal_secret_free(text, TEXT_MAX);
    return rc;
}
