/* "tags" and "placement" of a job's document: what it is labelled with, and what it asks of the node that is to run it. */
#ifndef CHRONOS_API_JOB_TAGS_H
#define CHRONOS_API_JOB_TAGS_H

#include "api/job_fields.h"

/* Each reads the member, reports what is wrong with it, and writes it with its defaults. */
void tags_read(const struct fields *document, struct json_writer *out);

struct job_placement {
    enum placement kind;
    uint32_t count;
    char (*texts)[NODE_TAG_TEXT_SIZE]; /* "key=value", sorted; the caller's, to be freed; NULL: none */
};
/* The object of texts that are kept as "key=value". */
void tags_write(struct json_writer *out, char (*texts)[NODE_TAG_TEXT_SIZE], uint32_t count);
/* False: out of memory. */
must_use bool placement_read(const struct fields *document, struct job_placement *ret, struct json_writer *out);

#endif
