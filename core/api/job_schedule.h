/* When a job is due, as its document says it: read, checked member by member, compiled. */
#ifndef CHRONOS_API_JOB_SCHEDULE_H
#define CHRONOS_API_JOB_SCHEDULE_H

#include "api/job_fields.h"

struct schedule_fields {
    const char *texts[JOB_SCHEDULES_MAX]; /* NULL: refused already */
    uint32_t count;
    const char *timezone;
    struct schedule_options options;
};

extern const char *const schedule_dst_gap_words[], *const schedule_dst_overlap_words[];
extern const char *const schedule_day_match_words[];

/* The texts are borrowed from the object. What is wrong is reported; *ret is filled all the same. */
void schedule_fields_read(const struct fields *fields, struct schedule_fields *ret);
/* `reachable`: a schedule that matches nothing any more is refused. NULL with errors. */
struct schedule *schedule_fields_compile(const struct fields *fields, const struct schedule_fields *from,
                                         struct scheduler *scheduler, bool reachable, int64_t now_ms);

/* "<key>": the next instants after from_ms, "<key>_local": the same on the clock of the schedule's zone. */
void schedule_write_next(struct json_writer *w, const char *key, const struct schedule *schedule, int64_t from_ms,
                         int64_t count);

#endif
