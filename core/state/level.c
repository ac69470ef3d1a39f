#include "state/level.h"

#include <stdlib.h>

uint32_t feature_level_known(void)
{
    enum { CLAIMED_MAX = 99 };
    const char *claimed = getenv("CHRONOS_TEST_FEATURE_LEVEL"); /* so that tests see levels that no build has yet */
    unsigned long level = claimed != NULL ? strtoul(claimed, NULL, 10) : 0;
    return level >= 1 && level <= CLAIMED_MAX ? (uint32_t)level : FEATURE_LEVEL;
}

enum status feature_level_check(uint32_t level, struct error *err)
{
    uint32_t known = feature_level_known();
    if (level == 0)
        return error_set(err, STATUS_CORRUPT, "there is no feature level 0");
    if (level <= known)
        return STATUS_OK;
    return error_set(err, STATUS_NOT_IMPLEMENTED,
                     "the cluster is at feature level %u, this version of Chronos (%s) knows %u: install that of the other nodes",
                     level, CHRONOS_VERSION, known); /* short: paths and keys are put before it */
}
