/* tests/lib/live_server.c - starting, killing and stopping a real server. */
#include "live_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 30000
#define ARGS_MAX 48

static void
sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

/* A port that was free a moment ago. */
static int
free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0), port = 0;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    close(fd);
    return port;
}

void
live_init(struct live_server *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/nqdb-live-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        perror(s->dir);
        exit(1);
    }
    snprintf(s->log, sizeof s->log, "%s.log", s->dir);
    s->port = free_port();
}

/* In the child: becomes the server. */
static _Noreturn void
become_server(const struct live_server *s)
{
    static char extra[1024], port[16];
    char *rest = NULL;
    const char *env = getenv("NQDB_SERVER_ARGS");
    const char *binary = getenv("NQDB_SERVER");
    char *argv[ARGS_MAX] = {NULL};
    int n = 0, fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    /* It must not outlive a test that is killed. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fd, 1);
    dup2(fd, 2);
    snprintf(port, sizeof port, "%d", s->port);
    argv[n++] = strdup(binary == NULL ? "" : binary);
    argv[n++] = strdup("--port");
    argv[n++] = port;
    argv[n++] = strdup("--bind");
    argv[n++] = strdup("127.0.0.1");
    argv[n++] = strdup("--dir");
    argv[n++] = strdup(s->dir);
    for (int i = 0; s->options[i] != NULL; i++)
        argv[n++] = strdup(s->options[i]);
    if (s->descriptors > 0)
        (void)setrlimit(RLIMIT_NOFILE,
                        &(struct rlimit){s->descriptors, s->descriptors});
    snprintf(extra, sizeof extra, "%s", env == NULL ? "" : env);
    for (char *p = strtok_r(extra, " ", &rest); p != NULL && n < ARGS_MAX - 1;
         p = strtok_r(NULL, " ", &rest))
        argv[n++] = p;
    execv(argv[0], argv);
    fprintf(stderr, "cannot run NQDB_SERVER=%s: %s\n", argv[0],
            strerror(errno));
    _exit(127);
}

redisContext *
live_connect(const struct live_server *s)
{
    struct timeval patience = {10, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", s->port, patience);

    if (c == NULL || c->err != 0) {
        if (c != NULL)
            redisFree(c);
        return NULL;
    }
    redisSetTimeout(c, patience);
    return c;
}

static bool
answers_ping(const struct live_server *s)
{
    redisContext *c = live_connect(s);
    redisReply *r;
    bool ok;

    if (c == NULL)
        return false;
    r = redisCommand(c, "PING");
    ok = r != NULL && r->type == REDIS_REPLY_STATUS;
    if (r != NULL)
        freeReplyObject(r);
    redisFree(c);
    return ok;
}

bool
live_start(struct live_server *s)
{
    s->pid = fork();
    if (s->pid == 0)
        become_server(s);
    for (int ms = 0; ms < START_MS; ms += 5) {
        int status;

        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            break;
        }
        if (answers_ping(s))
            return true;
        sleep_ms(5);
    }
    fprintf(stderr, "the server does not answer; its log:\n");
    live_print_log(s);
    live_kill(s);
    return false;
}

void
live_kill(struct live_server *s)
{
    if (s->pid == 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

int
live_stop(struct live_server *s)
{
    int status;

    kill(s->pid, SIGTERM);
    for (int ms = 0; ms < START_MS; ms += 10) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        sleep_ms(10);
    }
    live_kill(s);
    return -1;
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void
live_fini(struct live_server *s)
{
    live_kill(s);
    (void)nftw(s->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    (void)unlink(s->log);
}

bool
live_begin(struct live_server *s, ...)
{
    va_list ap;

    live_init(s);
    va_start(ap, s);
    for (unsigned i = 0; i + 1 < sizeof s->options / sizeof *s->options; i++)
        if ((s->options[i] = va_arg(ap, const char *)) == NULL)
            break;
    va_end(ap);
    if (live_start(s))
        return true;
    live_fini(s);
    return false;
}

int
live_end(struct live_server *s)
{
    int code = live_stop(s);

    if (code != 0)
        live_print_log(s);
    live_fini(s);
    return code;
}

void
live_print_log(const struct live_server *s)
{
    FILE *f = fopen(s->log, "r");
    char line[1024];

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        fputs(line, stderr);
    if (f != NULL)
        fclose(f);
}
