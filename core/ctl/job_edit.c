/* job create and job update: from flags, or from files. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "ctl/job_flags.h"
#include "ctl/jobs.h"
#include "ctl/resolve.h"
#include "ctl/rest.h"
#include "ctl/show.h"

enum { BODY_MAX = 4 << 20 };

int send_job(struct invocation *invocation, const char *prefix, const struct request *like, const cJSON *job,
             cJSON **ret)
{
    struct buffer body;
    struct request request = *like;
    int code;
    buffer_init(&body, BODY_MAX);
    json_print(&body, job);
    request.body = body.data;
    if (body.failed == STATUS_OK) {
        code = rest_json(invocation, prefix, &request, ret, NULL);
    } else {
        complain(prefix, "the job is larger than %d MiB", BODY_MAX >> 20);
        code = EXIT_CODE_REFUSED;
    }
    buffer_deinit(&body);
    return code;
}

/* An error of what was written on the command line or in a file. */
static int complain_input(const struct error *err)
{
    complain(NULL, "%s", err->message);
    return err->code == STATUS_NO_MEMORY ? EXIT_CODE_REFUSED : EXIT_CODE_USAGE;
}

int read_manifest(struct invocation *invocation, bool names, struct manifest *ret)
{
    struct error err;
    return manifest_read(&invocation->arguments, names, ret, &err) == STATUS_OK ? EXIT_CODE_OK : complain_input(&err);
}

/* --- create --- */

static int create_one(struct invocation *invocation, const char *prefix, const cJSON *job)
{
    bool dry_run = arguments_switch(&invocation->arguments, "dry-run", false);
    struct request request = {.method = "POST", .path = dry_run ? "/api/v1/jobs?dry_run=true" : "/api/v1/jobs",
                              .repeatable = dry_run, .once = !dry_run};
    cJSON *answer;
    int code = send_job(invocation, prefix, &request, job, &answer);
    if (code != EXIT_CODE_OK)
        return code;
    code = show_job_done(invocation, answer, dry_run ? "is valid and would be created" : "created");
    cJSON_Delete(answer);
    return code;
}

static int create_from_files(struct invocation *invocation)
{
    struct manifest manifest;
    int code = read_manifest(invocation, true, &manifest);
    if (code != EXIT_CODE_OK)
        return code;
    for (size_t i = 0; i < manifest.count && code != EXIT_CODE_UNREACHABLE; i++) {
        int one = create_one(invocation, manifest.jobs[i].label, manifest.jobs[i].json);
        code = one == EXIT_CODE_UNREACHABLE || code == EXIT_CODE_OK ? one : code;
    }
    manifest_deinit(&manifest);
    return code;
}

/* The executor of a new job: {"command": {...}} or {"webhook": {...}}, or the two members by name. Takes flags->config.
 */
static bool add_executor(cJSON *job, struct executor_flags *flags)
{
    const char *key = flags->shorthand != NULL ? flags->shorthand : "config";
    if (flags->name != NULL && cJSON_AddStringToObject(job, "executor", flags->name) == NULL)
        return false;
    if (flags->config == NULL)
        return true;
    if (!cJSON_AddItemToObject(job, key, flags->config))
        return false;
    flags->config = NULL;
    return true;
}

/* What every job has; the server would say it by its fields. */
static int check_complete(const struct arguments *arguments)
{
    const char *missing = NULL;
    if (!arguments_has(arguments, "name"))
        missing = "--name";
    else if (!arguments_has(arguments, "schedule"))
        missing = "--schedule: \"0 9 * * 1-5\", \"@every 5m\" or \"@manually\", say";
    else if (!arguments_has(arguments, "command") && !arguments_has(arguments, "webhook") &&
             !arguments_has(arguments, "executor"))
        missing = "--command, --webhook or --executor";
    return missing == NULL ? EXIT_CODE_OK : complain_usage("job create needs %s", missing);
}

static int create_from_flags(struct invocation *invocation)
{
    struct executor_flags executor;
    struct error err;
    cJSON *job;
    int code = check_complete(&invocation->arguments);
    if (code != EXIT_CODE_OK)
        return code;
    if (job_flags_document(&invocation->arguments, &job, &err) != STATUS_OK)
        return complain_input(&err);
    if (job_flags_executor(&invocation->arguments, &executor, &err) != STATUS_OK) {
        cJSON_Delete(job);
        return complain_input(&err);
    }
    code = EXIT_CODE_REFUSED;
    if (add_executor(job, &executor))
        code = create_one(invocation, NULL, job);
    else
        complain(NULL, "out of memory");
    executor_flags_deinit(&executor);
    cJSON_Delete(job);
    return code;
}

/* Flags that say something about a job: they and -f exclude each other. */
static const char *first_job_flag(const struct arguments *arguments)
{
    static const char *const others[] = {"file", "dry-run", "output", "server", "timeout", "request-timeout",
                                         "no-color", NULL};
    for (size_t i = 0; i < arguments->given_count; i++) {
        const struct flag *flag = arguments->given[i].flag;
        bool other = false;
        for (size_t k = 0; others[k] != NULL; k++)
            other = other || strcmp(flag->name, others[k]) == 0;
        if (!other)
            return flag->name;
    }
    return NULL;
}

int run_job_create(struct invocation *invocation)
{
    const char *flag = first_job_flag(&invocation->arguments);
    if (!arguments_has(&invocation->arguments, "file"))
        return flag != NULL ? create_from_flags(invocation)
                            : complain_usage("job create needs --name, --schedule and --command, --webhook or "
                                             "--executor; or -f FILE; see chronosctl job create --help");
    if (flag != NULL)
        return complain_usage("--%s and -f exclude each other: write it into the file", flag);
    return create_from_files(invocation);
}

/* --- update --- */

/* The name of the executor that has this shorthand. */
static int find_shorthand(struct invocation *invocation, const char *shorthand, char *out, size_t out_size)
{
    cJSON *answer;
    const cJSON *executor;
    int code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = "/api/v1/executors"}, &answer,
                         NULL);
    if (code != EXIT_CODE_OK)
        return code;
    out[0] = '\0';
    cJSON_ArrayForEach(executor, cJSON_GetObjectItemCaseSensitive(answer, "executors"))
    {
        const char *own = member_string(executor, "shorthand"), *name = member_string(executor, "name");
        if (own != NULL && name != NULL && strcmp(own, shorthand) == 0)
            (void)snprintf(out, out_size, "%s", name);
    }
    cJSON_Delete(answer);
    if (out[0] != '\0')
        return EXIT_CODE_OK;
    complain(NULL, "the server has no executor for --%s", shorthand);
    return EXIT_CODE_REFUSED;
}

/* A patch lays its config over the old one (RFC 7396). For another executor the old one must go: null removes a member.
 */
static bool drop_old_config(cJSON *config, const cJSON *job)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(job, "config"))
        if (cJSON_GetObjectItemCaseSensitive(config, member->string) == NULL &&
            cJSON_AddNullToObject(config, member->string) == NULL)
            return false;
    return true;
}

static int patch_executor(struct invocation *invocation, const char *path, cJSON *patch, struct executor_flags *flags)
{
    char name[256];
    const char *wanted = flags->name;
    cJSON *job;
    int code;
    if (flags->shorthand != NULL) {
        code = find_shorthand(invocation, flags->shorthand, name, sizeof name);
        if (code != EXIT_CODE_OK)
            return code;
        wanted = name;
    }
    code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = path}, &job, NULL);
    if (code != EXIT_CODE_OK)
        return code;
    const char *present = member_string(job, "executor");
    bool other = present == NULL || strcmp(present, wanted) != 0;
    bool done = flags->config != NULL || (flags->config = cJSON_CreateObject()) != NULL;
    if (done && other)
        done = drop_old_config(flags->config, job);
    flags->shorthand = NULL;
    flags->name = wanted;
    done = done && add_executor(patch, flags);
    cJSON_Delete(job);
    if (done)
        return EXIT_CODE_OK;
    complain(NULL, "out of memory");
    return EXIT_CODE_REFUSED;
}

static int send_patch(struct invocation *invocation, const char *reference, cJSON *patch,
                      struct executor_flags *executor)
{
    struct buffer path;
    cJSON *answer = NULL;
    bool dry_run = arguments_switch(&invocation->arguments, "dry-run", false);
    int code = EXIT_CODE_OK;
    api_path(&path, "jobs", reference, NULL);
    if (executor->name != NULL || executor->shorthand != NULL)
        code = patch_executor(invocation, path.data, patch, executor);
    else if (!add_executor(patch, executor))
        code = EXIT_CODE_REFUSED;
    if (code == EXIT_CODE_OK && dry_run)
        query_append(&path, "dry_run", "true");
    if (code == EXIT_CODE_OK)
        code = send_job(invocation, NULL, &(struct request){.method = "PATCH", .path = path.data}, patch, &answer);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    code = show_job_done(invocation, answer, dry_run ? "is valid and would be updated" : "updated");
    cJSON_Delete(answer);
    return code;
}

static int update_from_flags(struct invocation *invocation, const char *reference)
{
    struct executor_flags executor;
    struct error err;
    cJSON *patch;
    if (job_flags_document(&invocation->arguments, &patch, &err) != STATUS_OK)
        return complain_input(&err);
    if (job_flags_executor(&invocation->arguments, &executor, &err) != STATUS_OK) {
        cJSON_Delete(patch);
        return complain_input(&err);
    }
    int code = send_patch(invocation, reference, patch, &executor);
    executor_flags_deinit(&executor);
    cJSON_Delete(patch);
    return code;
}

/* The file holds what is to change, not the whole job. */
static int update_from_file(struct invocation *invocation, const char *reference)
{
    struct executor_flags none = {.config = NULL};
    struct manifest manifest;
    int code = read_manifest(invocation, false, &manifest);
    if (code != EXIT_CODE_OK)
        return code;
    code = EXIT_CODE_USAGE;
    cJSON *patch = manifest.count == 1 ? cJSON_Duplicate(manifest.jobs[0].json, true) : NULL;
    if (patch != NULL)
        code = send_patch(invocation, reference, patch, &none);
    else
        complain(NULL, "job update takes one file with the members of one job that are to change");
    cJSON_Delete(patch);
    manifest_deinit(&manifest);
    return code;
}

int run_job_update(struct invocation *invocation)
{
    char reference[REFERENCE_SIZE];
    const char *flag = first_job_flag(&invocation->arguments);
    bool file = arguments_has(&invocation->arguments, "file");
    if (flag == NULL && !file)
        return complain_usage("job update needs what is to change: --schedule, --command, ...; see chronosctl job "
                              "update --help");
    if (flag != NULL && file)
        return complain_usage("--%s and -f exclude each other: write it into the file", flag);
    int code = resolve_job(invocation, invocation->arguments.operands[0], reference);
    if (code != EXIT_CODE_OK)
        return code;
    return file ? update_from_file(invocation, reference) : update_from_flags(invocation, reference);
}
