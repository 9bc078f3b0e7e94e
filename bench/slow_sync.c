/* bench/slow_sync.c - a disk whose sync takes SYNC_US microseconds longer:
 * preloaded into both servers, so that both meet the same disk.
 *
 *   SYNC_US=4000 LD_PRELOAD=build/slow_sync.so server ... */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void
wait_first(void)
{
    const char *us = getenv("SYNC_US");

    if (us != NULL)
        usleep((useconds_t)strtoul(us, NULL, 10));
}

int
fdatasync(int fd)
{
    static int (*next)(int);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "fdatasync");
    wait_first();
    return next(fd);
}

int
fsync(int fd)
{
    static int (*next)(int);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "fsync");
    wait_first();
    return next(fd);
}
