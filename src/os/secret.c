/* os/secret.c - secrets from files, the environment and commands.
 *
 * A command gets a process group of its own, so that a time limit ends its
 * children too, and the default signals: workers have them all blocked. */
#include "os/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "os/clock.h"
#include "os/thread.h"

#define WORDS 32
#define WORDS_BYTES 4096
#define LOOK_US 2000u /* between looks whether the command has ended */

static nq_rc
refuse(char why[SECRET_WHY], const char *name, const char *what)
{
    snprintf(why, SECRET_WHY, "%.150s: %s", name, what);
    return NQ_EINVAL;
}

/* Reads until the end.  NQ_AGAIN: it would have to wait. */
static nq_rc
read_some(int fd, uint8_t *dst, size_t cap, size_t *len, const char **problem)
{
    uint8_t more;

    for (;;) {
        ssize_t n =
            *len < cap ? read(fd, dst + *len, cap - *len) : read(fd, &more, 1);

        if (n == 0)
            return NQ_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return NQ_AGAIN;
        if (n < 0 || *len == cap) {
            *problem = n < 0 ? strerror(errno) : "is too long for a key";
            return NQ_EINVAL;
        }
        *len += (size_t)n;
    }
}

/* --- a file --------------------------------------------------------------- */

static nq_rc
read_file(int fd, const char *path, uint8_t *dst, size_t cap, size_t *len,
          char why[SECRET_WHY])
{
    const char *problem = "";
    struct stat st;

    if (fstat(fd, &st) != 0)
        return refuse(why, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(why, path, "is no file");
    if ((st.st_mode & S_IRWXO) != 0)
        return refuse(why, path,
                      "is open to everybody; take that away (chmod o-rwx)");
    if (read_some(fd, dst, cap, len, &problem) != NQ_OK)
        return refuse(why, path, problem);
    return *len > 0 ? NQ_OK : refuse(why, path, "is empty");
}

nq_rc
secret_from_file(const char *path, uint8_t *dst, size_t cap, size_t *len,
                 char why[SECRET_WHY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    nq_rc rc;

    *len = 0;
    if (fd < 0)
        return refuse(why, path, strerror(errno));
    rc = read_file(fd, path, dst, cap, len, why);
    close(fd);
    if (rc != NQ_OK)
        explicit_bzero(dst, cap);
    return rc;
}

/* --- the environment ------------------------------------------------------ */

nq_rc
secret_from_env(const char *name, uint8_t *dst, size_t cap, size_t *len,
                char why[SECRET_WHY])
{
    char *value = getenv(name);
    nq_rc rc = NQ_OK;

    *len = 0;
    if (value == NULL || value[0] == '\0')
        return refuse(why, name, "there is no such environment variable");
    if (strlen(value) > cap) {
        rc = refuse(why, name, "is too long for a key");
    } else {
        *len = strlen(value);
        memcpy(dst, value, *len);
    }
    explicit_bzero(value, strlen(value));
    (void)unsetenv(name);
    return rc;
}

/* --- a command ------------------------------------------------------------ */

struct words {
    char bytes[WORDS_BYTES];
    char *at[WORDS + 1]; /* the last one is NULL */
};

static bool
split(const char *command, struct words *w)
{
    unsigned n = 0;

    if (strlen(command) >= sizeof w->bytes)
        return false;
    memcpy(w->bytes, command, strlen(command) + 1);
    for (char *p = w->bytes; *p != '\0';) {
        p += strspn(p, " \t");
        if (*p == '\0')
            break;
        if (n == WORDS)
            return false;
        w->at[n++] = p;
        p += strcspn(p, " \t");
        if (*p != '\0')
            *p++ = '\0';
    }
    w->at[n] = NULL;
    return n > 0;
}

/* Starts it with its output on `out`; an errno. */
static int
spawn(char *const *argv, int out, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int err;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
                                        POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    err = posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return err;
}

/* Collects the output until its end; false: *problem says why not. */
static bool
collect(int fd, uint64_t until_ms, uint8_t *dst, size_t cap, size_t *len,
        const char **problem)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_mono_ms();
        nq_rc rc = read_some(fd, dst, cap, len, problem);

        if (rc != NQ_AGAIN)
            return rc == NQ_OK;
        *problem = "did not end in time";
        if (now >= until_ms ||
            (poll(&p, 1, (int)(until_ms - now)) < 0 && errno != EINTR))
            return false;
    }
}

/* Waits for its end; false: *problem says why that was none. */
static bool
wait_for(pid_t pid, uint64_t until_ms, const char **problem)
{
    int status = -1;
    pid_t got;

    while ((got = waitpid(pid, &status, WNOHANG)) == 0 &&
           clock_mono_ms() < until_ms)
        thread_sleep_us(LOOK_US);
    *problem = "did not end in time";
    if (got == 0) {
        (void)kill(-pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        return false;
    }
    *problem = "ended with an error";
    return got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static nq_rc
run(char *const *argv, uint32_t timeout_ms, uint8_t *dst, size_t cap,
    size_t *len, char why[SECRET_WHY])
{
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    const char *problem = "", *end = "";
    int fds[2], err;
    bool is_good;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return refuse(why, argv[0], strerror(errno));
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    err = spawn(argv, fds[1], &pid);
    close(fds[1]);
    if (err != 0) {
        close(fds[0]);
        return refuse(why, argv[0], strerror(err));
    }
    is_good = collect(fds[0], until_ms, dst, cap, len, &problem);
    close(fds[0]);
    if (!wait_for(pid, is_good ? until_ms : 0, &end) && is_good) {
        is_good = false;
        problem = end;
    }
    if (!is_good)
        return refuse(why, argv[0], problem);
    return *len > 0 ? NQ_OK : refuse(why, argv[0], "wrote nothing");
}

nq_rc
secret_from_command(const char *command, uint32_t timeout_ms, uint8_t *dst,
                    size_t cap, size_t *len, char why[SECRET_WHY])
{
    struct words w;
    nq_rc rc;

    *len = 0;
    if (!split(command, &w))
        return refuse(why, command, "is no command");
    rc = run(w.at, timeout_ms, dst, cap, len, why);
    if (rc != NQ_OK)
        explicit_bzero(dst, cap);
    return rc;
}
