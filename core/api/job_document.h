/* A job's JSON: checked field by field, completed with defaults, and compiled into the row that the scheduler needs. Pure but
 * for the zone table; loop thread. Every problem of a document is reported, not only the first. What the executor itself says
 * is asked afterwards, off the loop (checks.c). */
#ifndef CHRONOS_API_JOB_DOCUMENT_H
#define CHRONOS_API_JOB_DOCUMENT_H

#include "api/api_internal.h"

struct job_document {
    struct buffer text;      /* normalised JSON: known fields in a fixed order, defaults filled in, durations in shortest
                                form; without enabled and the read-only fields */
    struct job_spec spec;    /* serial, version, id, anchor not set; schedules borrowed from the input, node_tags from below */
    char (*node_tags)[NODE_TAG_TEXT_SIZE];
    const struct plugin_component *executor;
    struct plugin_params params; /* of the config, for the executor's own check; secret references unresolved */
};

struct job_defaults {
    const struct config *config;
    const struct plugin_registry *registry;
    const struct runner *runner;     /* whose executors are offered; NULL (fuzzing): any loaded one */
    struct scheduler *scheduler;     /* for zones */
    int64_t now_ms;                  /* a schedule that matches nothing after it is refused */
};

/* `stored` (may be NULL) is the document that `input` replaces: masked secrets are taken from it and put into `input`, which
 * is not changed otherwise. False: `errors` holds why, *ret_code INVALID or EXECUTOR_UNKNOWN. True: *ret is to be freed with _deinit. */
bool job_document_parse(cJSON *input, const cJSON *stored, const struct job_defaults *defaults, struct job_document *ret,
                        enum status *ret_code, struct field_errors *errors);
void job_document_deinit(struct job_document *document); /* accepts a zeroed one */

/* The fields schedule, timezone, dst_gap, dst_overlap and day_match of an object, and nothing else in it, compiled and checked
 * to be reachable. NULL with errors. */
struct schedule *job_document_schedule(const cJSON *object, struct scheduler *scheduler, int64_t now_ms,
                                       struct field_errors *errors);
/* The same of a stored spec. */
must_use enum status job_spec_compile(const struct job_spec *spec, struct scheduler *scheduler, struct schedule **ret,
                                      struct error *err);

#endif
