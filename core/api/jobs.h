/* What the files about jobs share. */
#ifndef CHRONOS_API_JOBS_H
#define CHRONOS_API_JOBS_H

#include "api/api_internal.h"

enum { JOB_TEXT_MAX = JOB_DOCUMENT_MAX + 64 * 1024, JOB_REFERENCE_SIZE = JOB_NAME_MAX + 1 };

/* Everything of a job's JSON that the state knows, from any thread; the object stays open: job_write_next ends it, on
 * the loop, where the scheduler is. Serial 0: a job that is in no table, and has no runs. Appends; an error leaves `out` unusable. */
must_use enum status job_write_stored(const struct api *api, struct state_view *view, const struct id *id,
                                      const struct job_row *row, struct buffer *out, struct error *err);
void job_write_next(const struct api *api, uint64_t serial, struct buffer *out);

/* What `fields=` selects. */
enum { JOB_FIELDS_MAX = 40 };
struct job_fields {
    uint32_t count; /* 0: all */
    const char *names[JOB_FIELDS_MAX];
};
/* MALFORMED, with the nearest known one, for a field that jobs do not have. */
must_use enum status job_fields_parse(const struct http_request *request, struct job_fields *ret, struct error *err);
/* Appends `text`, a JSON object, with the selected members alone. */
must_use enum status job_fields_select(const struct job_fields *fields, struct bytes text, struct buffer *out,
                                       struct error *err);

/* Does a list of entity tags ("\"3\", W/\"4\"" or "*") name this version? `weak`: weak tags count, too (If-None-Match).
 * MALFORMED where it is no such list. */
must_use enum status etag_matches(struct bytes list, bool weak, uint32_t version, bool *ret, struct error *err);

/* "ETag: \"3\"\r\n" */
enum { ETAG_HEADER_SIZE = 32 };
void etag_header(uint32_t version, char out[ETAG_HEADER_SIZE]);

#endif
