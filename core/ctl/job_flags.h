/* --name, --schedule, --command, ... to the JSON that the API takes. */
#ifndef CHRONOS_CTL_JOB_FLAGS_H
#define CHRONOS_CTL_JOB_FLAGS_H

#include <cjson/cJSON.h>

#include "ctl/arguments.h"

/* What the flags say of the executor. */
struct executor_flags {
    const char *shorthand; /* "command" or "webhook" (the API's words); NULL: neither flag was given */
    const char *name;      /* --executor; NULL: not given */
    cJSON *config;         /* members to set; NULL: none was given */
};

/* All members but those of the executor: only what was given. False, with *err set, for a flag that makes no sense; out
 * of memory counts as one. */
must_use enum status job_flags_document(const struct arguments *arguments, cJSON **ret, struct error *err);
must_use enum status job_flags_executor(const struct arguments *arguments, struct executor_flags *ret,
                                        struct error *err);
void executor_flags_deinit(struct executor_flags *flags);

/* "--config" of create, update and trigger: a JSON object. NULL without an error where the flag was not given. */
must_use enum status job_flags_config(const struct arguments *arguments, cJSON **ret, struct error *err);

#endif
