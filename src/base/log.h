/* base/log.h - the server log: one line an event, to stdout or a file.
 *
 * Any thread; a line is written with one call and never torn.  Log once,
 * where the cause is known. */
#ifndef NQ_BASE_LOG_H
#define NQ_BASE_LOG_H

enum log_level {
    LOG_TRACE,
    LOG_DEBUG,
    LOG_INFO,
    LOG_NOTICE,
    LOG_WARN,
    LOG_ERROR
};
enum log_format { LOG_TEXT, LOG_JSON };

/* Lines below `level` are dropped. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);

/* Appends to `path` from now on; NULL or "" is stdout.  The file is rotated
 * at `max_bytes` (0: never) keeping `max_files` old ones named path.1 ...
 * Returns 0, or -1 with errno set and nothing changed. */
int log_set_file(const char *path, unsigned long long max_bytes,
                 unsigned max_files);

void log_write(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_trace(...) log_write(LOG_TRACE, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
