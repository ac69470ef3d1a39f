/* A job as a file has it beside the one that the server shows: what the server adds, what it hides, what differs. */
#ifndef CHRONOS_CTL_JOB_MATCH_H
#define CHRONOS_CTL_JOB_MATCH_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "base/buffer.h"

/* Takes away what only the server sets: the rest is the user's, and what `job apply` and `job import` take. */
void job_strip(cJSON *job);

/* `wanted`: the file's job as the server would store it; `present`: as it stands. Both lose what the server adds. Secrets
 * are masked in both. */
bool job_is_equal(cJSON *wanted, cJSON *present);
/* True if the file gives a value where the server shows a mask: nobody here can tell whether that differs. `shown` is the
 * job as the server shows it. */
bool job_gives_secret(const cJSON *file, const cJSON *shown);

/* Appends "config/auth/password, config/headers/X-Key": values that are the mask itself, and that no stored secret stands
 * behind, because `present` (NULL: there is none) shows no mask there. Gives how many. Of an executor that a node does not
 * have it masks every text: the mask may stand where the server would take it for a value. */
int job_append_masked(struct buffer *out, const cJSON *job, const cJSON *present);

#endif
