/* What is to become of each job of an import. */
#include "ctl/job_import.h"

#include <string.h>

#include "ctl/job_match.h"
#include "ctl/rest.h"
#include "ctl/show.h"

enum { MASKED_TEXT_MAX = 64 * 1024 };

static bool has_masks(struct import *import, const struct manifest_job *job, const cJSON *present)
{
    struct buffer places;
    buffer_init(&places, MASKED_TEXT_MAX);
    bool found = job_append_masked(&places, job->json, present) > 0;
    if (found) {
        import_clear_progress(import);
        complain(job->label,
                 "%s: \"********\" hides a secret that is not stored here; write its value, ${env:NAME} or ${file:/path}",
                 places.size > 0 ? places.data : "?");
    }
    buffer_deinit(&places);
    return found;
}

/* Asks the server whether it would take the job; its document. FATE_FAIL in *ret_fate: it would not, and that was said. */
static int try_out(struct import *import, const struct manifest_job *job, const char *method, const char *path,
                   cJSON **ret, enum import_fate *ret_fate)
{
    struct buffer dry;
    cJSON *answer = NULL;
    buffer_init(&dry, PATH_BYTES_MAX);
    buffer_append_string(&dry, path);
    query_append(&dry, "dry_run", "true");
    const struct request request = {.method = method, .path = dry.data, .repeatable = true};
    import_clear_progress(import);
    int code = send_job(import->invocation, job->label, &request, job->json, &answer);
    buffer_deinit(&dry);
    if (code != EXIT_CODE_OK)
        *ret_fate = FATE_FAIL;
    *ret = answer;
    return code == EXIT_CODE_UNREACHABLE ? code : EXIT_CODE_OK;
}

static int judge_absent(struct import *import, size_t at)
{
    const struct manifest_job *job = &import->manifest.jobs[at];
    struct import_item *item = &import->items[at];
    cJSON *wanted;
    item->fate = FATE_FAIL;
    if (has_masks(import, job, NULL))
        return EXIT_CODE_OK;
    item->fate = FATE_CREATE;
    int code = try_out(import, job, "POST", "/api/v1/jobs", &wanted, &item->fate);
    cJSON_Delete(wanted);
    return code;
}

static enum import_fate judge_same(struct import *import, size_t at, cJSON *wanted, cJSON *present)
{
    const struct manifest_job *job = &import->manifest.jobs[at];
    bool equal = job_is_equal(wanted, present), secret = job_gives_secret(job->json, wanted);
    if (equal && (!secret || import->items[at].was_sent))
        return import->items[at].was_sent ? FATE_CREATE : FATE_UNCHANGED; /* sent, and the answer was lost: it is ours */
    if (import->on_conflict == ON_CONFLICT_REPLACE)
        return FATE_REPLACE;
    import_clear_progress(import);
    complain(job->label, "exists already%s; --on-conflict skip leaves it as it is, replace takes that of the file",
             equal ? ", and nobody can tell whether its secrets differ" : " and is different");
    return FATE_FAIL;
}

static int judge_present(struct import *import, size_t at, const char *path, cJSON *present)
{
    const struct manifest_job *job = &import->manifest.jobs[at];
    struct import_item *item = &import->items[at];
    cJSON *wanted = NULL;
    item->fate = FATE_SKIP;
    if (import->on_conflict == ON_CONFLICT_SKIP && !item->was_sent)
        return EXIT_CODE_OK;
    item->fate = FATE_FAIL;
    if (has_masks(import, job, present))
        return EXIT_CODE_OK;
    item->fate = FATE_REPLACE;
    int code = try_out(import, job, "PUT", path, &wanted, &item->fate);
    if (wanted != NULL)
        item->fate = judge_same(import, at, wanted, present);
    item->is_there = item->was_sent && item->fate == FATE_CREATE;
    cJSON_Delete(wanted);
    return code;
}

int import_judge(struct import *import, size_t at)
{
    const struct manifest_job *job = &import->manifest.jobs[at];
    struct invocation *invocation = import->invocation;
    struct buffer path, look;
    struct response response = {.status = 0};
    struct error err;
    cJSON *present;
    int code = EXIT_CODE_OK;
    api_path(&path, "jobs", member_string(job->json, "name"), NULL);
    buffer_init(&look, PATH_BYTES_MAX);
    buffer_append_string(&look, path.data);
    query_append(&look, "consistent", "true");
    import->items[at].fate = FATE_FAIL;
    if (client_call(invocation->client, &(struct request){.method = "GET", .path = look.data}, &response, &err) !=
        STATUS_OK) {
        import_clear_progress(import);
        code = complain_error(job->label, &err);
        import->items[at].fate = code == EXIT_CODE_UNREACHABLE ? FATE_NOT_DONE : FATE_FAIL;
        code = code == EXIT_CODE_UNREACHABLE ? code : EXIT_CODE_OK;
    } else if (response.status == 404 && response.is_problem) {
        code = judge_absent(import, at);
    } else if (response.status < 200 || response.status > 299) {
        import_clear_progress(import);
        (void)problem_report(&invocation->arguments, job->label, client_server(invocation->client), &response);
    } else if (rest_parse(invocation, job->label, &response, &present) == EXIT_CODE_OK) {
        memcpy(import->items[at].etag, response.etag, sizeof response.etag);
        code = judge_present(import, at, path.data, present);
        cJSON_Delete(present);
    }
    response_deinit(&response);
    buffer_deinit(&look);
    buffer_deinit(&path);
    return code;
}
