/* job apply: files say how jobs are to be; what differs is created or replaced, the rest is left alone. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "ctl/job_match.h"
#include "ctl/jobs.h"
#include "ctl/resolve.h"
#include "ctl/rest.h"
#include "ctl/show.h"

enum { APPLY_TRIES = 2 }; /* an edit of somebody else in between is looked at once more */

struct applying {
    const struct manifest_job *job;
    const char *name;
    bool dry_run;
};

static int create(struct invocation *invocation, const struct applying *applying)
{
    struct request request = {.method = "POST",
                              .path = applying->dry_run ? "/api/v1/jobs?dry_run=true" : "/api/v1/jobs",
                              .repeatable = applying->dry_run, .once = !applying->dry_run};
    cJSON *answer;
    int code = send_job(invocation, applying->job->label, &request, applying->job->json, &answer);
    if (code != EXIT_CODE_OK)
        return code;
    code = show_job_done(invocation, answer, applying->dry_run ? "would be created" : "created");
    cJSON_Delete(answer);
    return code;
}

/* *ret_again: somebody else changed the job meanwhile, and there is a try left. */
static int replace(struct invocation *invocation, const struct applying *applying, const char *path, const char *etag,
                   bool last_try, bool *ret_again)
{
    struct buffer body;
    struct response response;
    struct error err;
    cJSON *answer;
    buffer_init(&body, PATH_BYTES_MAX * 256);
    json_print(&body, applying->job->json);
    struct request request = {.method = "PUT", .path = path, .body = body.data,
                              .if_match = etag[0] != '\0' ? etag : NULL};
    enum status status = body.failed == STATUS_OK ? client_call(invocation->client, &request, &response, &err)
                                                  : error_set(&err, body.failed, "the job is too large");
    buffer_deinit(&body);
    if (status != STATUS_OK)
        return complain_error(applying->job->label, &err);
    int code = EXIT_CODE_OK;
    *ret_again = response.status == 412 && !last_try;
    if (*ret_again) {
        response_deinit(&response);
        return EXIT_CODE_OK;
    }
    if (response.status < 200 || response.status > 299)
        code = problem_report(&invocation->arguments, applying->job->label, client_server(invocation->client), &response);
    else
        code = rest_parse(invocation, applying->job->label, &response, &answer);
    bool moved = strcmp(response.etag, etag) != 0;
    bool done = code == EXIT_CODE_OK;
    response_deinit(&response);
    if (!done)
        return code;
    code = show_job_done(invocation, answer, moved || etag[0] == '\0' ? "updated" : "unchanged");
    cJSON_Delete(answer);
    return code;
}

/* Asks the server how it would store the file's job. */
static int try_out(struct invocation *invocation, const struct applying *applying, const char *path, cJSON **ret)
{
    struct buffer dry;
    buffer_init(&dry, PATH_BYTES_MAX);
    buffer_append_string(&dry, path);
    query_append(&dry, "dry_run", "true");
    int code = send_job(invocation, applying->job->label, &(struct request){.method = "PUT", .path = dry.data},
                        applying->job->json, ret);
    buffer_deinit(&dry);
    return code;
}

static int replace_if_different(struct invocation *invocation, const struct applying *applying, const char *path,
                                cJSON *present, const char *etag, bool last_try, bool *ret_again)
{
    cJSON *wanted, *shown = cJSON_Duplicate(present, true);
    int code = shown != NULL ? try_out(invocation, applying, path, &wanted) : EXIT_CODE_REFUSED;
    if (code != EXIT_CODE_OK) {
        cJSON_Delete(shown);
        return code;
    }
    bool same = job_is_equal(wanted, present) && !job_gives_secret(applying->job->json, wanted);
    cJSON_Delete(wanted);
    if (same || applying->dry_run)
        code = show_job_done(invocation, shown, same ? "unchanged" : "would be updated");
    else
        code = replace(invocation, applying, path, etag, last_try, ret_again);
    cJSON_Delete(shown);
    return code;
}

static int apply_try(struct invocation *invocation, const struct applying *applying, bool last_try, bool *ret_again)
{
    struct buffer path;
    struct response response;
    struct error err;
    cJSON *present;
    char etag[sizeof response.etag];
    api_path(&path, "jobs", applying->name, NULL);
    int code = EXIT_CODE_OK;
    if (client_call(invocation->client, &(struct request){.method = "GET", .path = path.data}, &response,
                    &err) != STATUS_OK) {
        buffer_deinit(&path);
        return complain_error(applying->job->label, &err);
    }
    memcpy(etag, response.etag, sizeof etag);
    if (response.status == 404 && response.is_problem)
        code = create(invocation, applying);
    else if (response.status < 200 || response.status > 299)
        code = problem_report(&invocation->arguments, applying->job->label, client_server(invocation->client), &response);
    else if ((code = rest_parse(invocation, applying->job->label, &response, &present)) == EXIT_CODE_OK) {
        code = replace_if_different(invocation, applying, path.data, present, etag, last_try, ret_again);
        cJSON_Delete(present);
    }
    response_deinit(&response);
    buffer_deinit(&path);
    return code;
}

static int apply_job(struct invocation *invocation, const struct manifest_job *job)
{
    struct applying applying = {.job = job, .name = member_string(job->json, "name"),
                                .dry_run = arguments_switch(&invocation->arguments, "dry-run", false)};
    int code = EXIT_CODE_OK;
    bool again = true;
    for (int i = 1; i <= APPLY_TRIES && again && code == EXIT_CODE_OK; i++) {
        again = false;
        code = apply_try(invocation, &applying, i == APPLY_TRIES, &again);
    }
    return code;
}

int run_job_apply(struct invocation *invocation)
{
    struct manifest manifest;
    if (!arguments_has(&invocation->arguments, "file"))
        return complain_usage("job apply needs -f FILE (-f - for standard input)");
    int code = read_manifest(invocation, true, &manifest);
    if (code != EXIT_CODE_OK)
        return code;
    for (size_t i = 0; i < manifest.count && code != EXIT_CODE_UNREACHABLE; i++) {
        int one = apply_job(invocation, &manifest.jobs[i]);
        code = one == EXIT_CODE_UNREACHABLE || code == EXIT_CODE_OK ? one : code;
        int printed = invocation_print(invocation); /* what is done is seen, even if a later job waits */
        code = code == EXIT_CODE_OK ? printed : code;
    }
    manifest_deinit(&manifest);
    return code;
}
