/* base/log.c - formats and writes log lines, rotates the file.
 *
 * Text:  2026-11-21T11:42:50.123Z info  message
 * JSON:  {"time":"...","level":"info","message":"..."} */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static const char *const level_names[] = {"trace",  "debug", "info",
                                          "notice", "warn",  "error"};

static struct {
    pthread_mutex_t lock;
    enum log_level level;
    enum log_format format;
    int fd;
    char path[1024];
    unsigned long long max_bytes, bytes;
    unsigned max_files;
} lg = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .fd = 1};

void
log_set_level(enum log_level level)
{
    __atomic_store_n(&lg.level, level, __ATOMIC_RELAXED);
}

enum log_level
log_get_level(void)
{
    return __atomic_load_n(&lg.level, __ATOMIC_RELAXED);
}

void
log_set_format(enum log_format format)
{
    pthread_mutex_lock(&lg.lock);
    lg.format = format;
    pthread_mutex_unlock(&lg.lock);
}

static int
open_log(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int
log_set_file(const char *path, unsigned long long max_bytes, unsigned max_files)
{
    struct stat st;
    int fd = 1;

    if (path != NULL && path[0] != '\0') {
        if (strlen(path) >= sizeof lg.path - 16) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open_log(path);
        if (fd < 0)
            return -1;
    }
    pthread_mutex_lock(&lg.lock);
    if (lg.fd != 1)
        close(lg.fd);
    lg.fd = fd;
    snprintf(lg.path, sizeof lg.path, "%s", fd == 1 ? "" : path);
    lg.max_bytes = max_bytes;
    lg.max_files = max_files;
    lg.bytes =
        fd != 1 && fstat(fd, &st) == 0 ? (unsigned long long)st.st_size : 0;
    pthread_mutex_unlock(&lg.lock);
    return 0;
}

static void
rotate(void)
{
    char from[1088], to[1088];
    int fd;

    for (unsigned i = lg.max_files; i > 0; i--) {
        if (i == 1)
            snprintf(from, sizeof from, "%s", lg.path);
        else
            snprintf(from, sizeof from, "%s.%u", lg.path, i - 1);
        snprintf(to, sizeof to, "%s.%u", lg.path, i);
        (void)rename(from, to);
    }
    fd = open_log(lg.path);
    if (fd < 0)
        return; /* keep the old descriptor: a line late is better than none */
    close(lg.fd);
    lg.fd = fd;
    lg.bytes = 0;
}

/* Copies `msg` as the inside of a JSON string; returns the length. */
static size_t
json_escape(char *dst, size_t cap, const char *msg)
{
    size_t n = 0;

    for (; *msg != '\0' && n + 7 < cap; msg++) {
        unsigned char c = (unsigned char)*msg;

        if (c == '"' || c == '\\') {
            dst[n++] = '\\';
            dst[n++] = (char)c;
        } else if (c < 0x20) {
            n += (size_t)snprintf(dst + n, 7, "\\u%04x", c);
        } else {
            dst[n++] = (char)c;
        }
    }
    dst[n] = '\0';
    return n;
}

static size_t
format_line(char *line, size_t cap, enum log_level level, const char *msg)
{
    struct timespec ts;
    struct tm tm;
    char stamp[40], escaped[LINE_MAX_BYTES];
    size_t n;
    int len;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + n, sizeof stamp - n, ".%03dZ",
             (int)(ts.tv_nsec / 1000000));
    if (lg.format == LOG_JSON) {
        json_escape(escaped, sizeof escaped, msg);
        len =
            snprintf(line, cap,
                     "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n",
                     stamp, level_names[level], escaped);
    } else {
        len =
            snprintf(line, cap, "%s %-6s %s\n", stamp, level_names[level], msg);
    }
    if ((size_t)len >= cap) {
        line[cap - 2] = '\n';
        len = (int)cap - 1;
    }
    return (size_t)len;
}

void
log_write(enum log_level level, const char *fmt, ...)
{
    char msg[LINE_MAX_BYTES - 128], line[LINE_MAX_BYTES + 256];
    int saved = errno;
    va_list ap;
    size_t n;

    if (level < log_get_level())
        return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&lg.lock);
    n = format_line(line, sizeof line, level, msg);
    if (lg.fd != 1 && lg.max_bytes > 0 && lg.bytes + n > lg.max_bytes)
        rotate();
    if (write(lg.fd, line, n) > 0)
        lg.bytes += n;
    pthread_mutex_unlock(&lg.lock);
    errno = saved;
}
