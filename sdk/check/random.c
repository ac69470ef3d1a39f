#include "kit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* splitmix64: any seed will do, zero too. */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

int64_t monotonic_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *status_name(int32_t status)
{
    static const char *const NAMES[] = {"OK",   "INVALID", "NOMEM",   "NOTFOUND",    "EXISTS", "BUSY",
                                        "IO",   "NOSPACE", "CORRUPT", "UNSUPPORTED", "TOOBIG", "CANCELLED",
                                        "TIMEOUT", "DENIED", "SHUTDOWN", "MISUSE",   "INTERNAL"};

    if (status > 0 || -status >= (int32_t)(sizeof(NAMES) / sizeof(NAMES[0]))) {
        return "an unknown status";
    }
    return NAMES[-status];
}

const char *kit_directory(struct kit *kit, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", kit->scratch, name) < 0) {
        kit_fail(kit, "no memory for a path");
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        kit_fail(kit, "cannot make %s: %s", path, strerror(errno));
    }
    return path; /* freed with the case's process */
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT) {
        (void)fprintf(stderr, "chronos-plugin-check: cannot remove %s: %s\n", path, strerror(errno));
    }
}
