/* job export: all jobs as a file that job import takes. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "ctl/job_match.h"
#include "ctl/jobs.h"
#include "ctl/rest.h"
#include "ctl/show.h"
#include "ctl/text.h"
#include "ctl/yaml_to_json.h"

enum {
    MASKED_TEXT_MAX = 64 * 1024, /* the places of one job */
    MASKED_SHOWN = 20,           /* jobs that are named one by one on standard error */
    EXPORT_MODE = 0600,          /* commands, addresses and environments are nobody else's business */
};

/* By age: while pages are read, a job that is renamed does not move over a page's border. What was committed before each
 * page was asked for is in it, whichever node answers. */
static int get_jobs(struct invocation *invocation, cJSON **ret)
{
    struct buffer path;
    int code = job_list_path(invocation, &path);
    query_append(&path, "sort", "created_at");
    query_append(&path, "consistent", "true");
    if (code == EXIT_CODE_OK)
        code = rest_list(invocation, path.data, "jobs", MANIFEST_JOBS_MAX, ret);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    cJSON *rest = cJSON_DetachItemFromObjectCaseSensitive(*ret, "next_cursor"), *job;
    bool more = cJSON_IsString(rest);
    cJSON_Delete(rest);
    cJSON_ArrayForEach(job, cJSON_GetObjectItemCaseSensitive(*ret, "jobs"))
        job_strip(job);
    if (!more)
        return EXIT_CODE_OK;
    cJSON_Delete(*ret);
    complain(NULL, "more than %d jobs, which is what job import reads at once; export in parts: --name PREFIX, --tag",
             MANIFEST_JOBS_MAX);
    return EXIT_CODE_REFUSED;
}

/* --- secrets, which the server does not give away --- */

static void append_comment(struct buffer *out, const char *name, const struct buffer *places)
{
    if (out->size == 0)
        buffer_append_string(out, "# \"********\" stands for a secret. Before a job that has one is imported where it does not "
                                  "exist, write\n# the value there, or ${env:NAME} or ${file:/path}:\n");
    buffer_appendf(out, "#   %s: ", name);
    buffer_append(out, places->data, places->size);
    buffer_append_char(out, '\n');
}

/* Appends a comment that names the places. A name of a config's own may hold a newline: such a job's places are not
 * written out. */
static void report_masked(const cJSON *jobs, struct buffer *comment)
{
    const cJSON *job;
    int job_count = 0;
    cJSON_ArrayForEach(job, jobs)
    {
        struct buffer places, safe;
        buffer_init(&places, MASKED_TEXT_MAX);
        buffer_init(&safe, 8 * MASKED_TEXT_MAX);
        const char *name = member_string(job, "name");
        if (name != NULL && job_append_masked(&places, job, NULL) > 0) {
            text_append_safe(&safe, places.data, places.size, TEXT_ONE_LINE);
            append_comment(comment, name, &safe);
            if (job_count++ < MASKED_SHOWN)
                complain(NULL, "job \"%s\": masked: %s", name, safe.data);
        }
        buffer_deinit(&places);
        buffer_deinit(&safe);
    }
    if (job_count > MASKED_SHOWN)
        complain(NULL, "... and %d more jobs", job_count - MASKED_SHOWN);
    if (job_count > 0)
        complain(NULL,
                 "secrets of %d job%s are not in the export: the server shows them as \"********\", and job import refuses "
                 "that where no such job exists; write their values, ${env:NAME} or ${file:/path} into the file",
                 job_count, job_count == 1 ? "" : "s");
}

/* --- the file --- */

/* An export that job import would not read is none: read it as import does. */
static int verify(const struct buffer *text, const char *label, int count)
{
    struct manifest manifest = {.files = NULL};
    struct error err;
    int code = EXIT_CODE_OK;
    enum status status = text->failed;
    if (status == STATUS_OK && text->size > YAML_FILE_SIZE_MAX)
        status = STATUS_TOO_LARGE;
    if (status == STATUS_OK)
        status = manifest_add(&manifest, text->data, text->size, label, &err);
    if (status == STATUS_TOO_LARGE)
        complain(NULL, "the jobs are more than job import reads from one file (%d MiB); export in parts: --name PREFIX, "
                       "--tag", YAML_FILE_SIZE_MAX >> 20);
    else if (status != STATUS_OK)
        complain(NULL, "the export cannot be read back: %s", err.message);
    else if (manifest.count != (size_t)count)
        complain(NULL, "the export cannot be read back: %zu jobs of %d", manifest.count, count);
    else
        goto done;
    code = EXIT_CODE_REFUSED;
done:
    manifest_deinit(&manifest);
    return code;
}

static int write_file(const char *path, const struct buffer *text, int count)
{
    struct stat facts;
    struct error err;
    if (lstat(path, &facts) == 0 && !S_ISREG(facts.st_mode)) {
        complain(NULL, "%s is not a regular file; leave -f out and redirect the output", path);
        return EXIT_CODE_REFUSED;
    }
    if (file_write_atomic(path, text->data, text->size, EXPORT_MODE, &err) != STATUS_OK) {
        complain(NULL, "%s", err.message);
        return EXIT_CODE_REFUSED;
    }
    complain(NULL, "%d job%s written to %s", count, count == 1 ? "" : "s", path);
    return EXIT_CODE_OK;
}

static int write_jobs(struct invocation *invocation, const cJSON *answer)
{
    const cJSON *jobs = cJSON_GetObjectItemCaseSensitive(answer, "jobs");
    const char *path = arguments_text(&invocation->arguments, "file");
    struct buffer comment, *out = &invocation->out;
    int count = cJSON_GetArraySize(jobs);
    buffer_init(&comment, OUT_BYTES_MAX);
    report_masked(jobs, &comment);
    if (invocation->format == FORMAT_YAML)
        buffer_append(out, comment.data, comment.size);
    buffer_deinit(&comment);
    int code = invocation_show(invocation, answer);
    if (code == EXIT_CODE_OK && count == 0)
        complain(NULL, "there are no jobs to export");
    else if (code == EXIT_CODE_OK)
        code = verify(out, invocation->format == FORMAT_JSON ? "export.json" : "export.yaml", count);
    if (code == EXIT_CODE_OK && path != NULL && strcmp(path, "-") != 0) {
        code = write_file(path, out, count);
        buffer_clear(out);
    }
    if (code != EXIT_CODE_OK)
        buffer_clear(out); /* half an export looks like a whole one */
    return code;
}

int run_job_export(struct invocation *invocation)
{
    cJSON *answer;
    if (invocation->format == FORMAT_NAME)
        return complain_usage("job export writes whole jobs: -o yaml (the default) or -o json");
    if (invocation->format == FORMAT_TABLE)
        invocation->format = FORMAT_YAML;
    int code = get_jobs(invocation, &answer);
    if (code != EXIT_CODE_OK)
        return code;
    code = write_jobs(invocation, answer);
    cJSON_Delete(answer);
    return code;
}
