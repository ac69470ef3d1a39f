/* Triggering a job, and waiting for what comes of it. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "ctl/executions.h"
#include "ctl/job_flags.h"
#include "ctl/jobs.h"
#include "ctl/resolve.h"
#include "ctl/rest.h"
#include "ctl/show.h"
#include "ctl/text.h"

enum { BODY_MAX = 1 << 20, WHERE_SIZE = 128 };


static int write_trigger(const struct arguments *arguments, struct buffer *body)
{
    struct error err;
    cJSON *config;
    if (job_flags_config(arguments, &config, &err) != STATUS_OK)
        return complain_usage("%s", err.message);
    struct json_writer w = json_writer_on(body);
    json_object_begin(&w);
    if (config != NULL) {
        struct buffer text;
        buffer_init(&text, BODY_MAX);
        json_print(&text, config);
        json_key(&w, "config");
        if (text.failed == STATUS_OK)
            json_raw(&w, text.data, text.size);
        else
            json_null(&w);
        if (text.failed != STATUS_OK && body->failed == STATUS_OK)
            body->failed = text.failed;
        buffer_deinit(&text);
        cJSON_Delete(config);
    }
    if (arguments_switch(arguments, "force", false))
        json_member_bool(&w, "force", true);
    json_object_end(&w);
    return body->failed == STATUS_OK ? EXIT_CODE_OK : complain_usage("--config is too large");
}

static int send_trigger(struct invocation *invocation, const char *text, cJSON **ret)
{
    char reference[REFERENCE_SIZE];
    struct buffer path, body;
    int code = resolve_job(invocation, text, reference);
    if (code != EXIT_CODE_OK)
        return code;
    api_path(&path, "jobs", reference, "/trigger");
    buffer_init(&body, BODY_MAX);
    code = write_trigger(&invocation->arguments, &body);
    if (code == EXIT_CODE_OK)
        code = rest_json(invocation, NULL, &(struct request){.method = "POST", .path = path.data, .body = body.data, .once = true},
                         ret, NULL);
    buffer_deinit(&body);
    buffer_deinit(&path);
    return code;
}

/* --- the runs --- */

static int no_memory(void)
{
    complain(NULL, "out of memory");
    return EXIT_CODE_REFUSED;
}

/* Takes `execution`. */
static int add_run(cJSON *runs, cJSON *execution)
{
    if (cJSON_AddItemToArray(runs, execution))
        return EXIT_CODE_OK;
    cJSON_Delete(execution);
    return no_memory();
}

/* A job that runs on all nodes has one run on each: the answer is the first, and names them all. `runs` gets them. */
static int gather(struct invocation *invocation, const cJSON *answer, cJSON *runs)
{
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(answer, "executions"), *id;
    cJSON *first = cJSON_Duplicate(answer, true);
    if (first == NULL)
        return no_memory();
    cJSON_DeleteItemFromObjectCaseSensitive(first, "executions");
    int code = add_run(runs, first);
    for (id = ids != NULL && ids->child != NULL ? ids->child->next : NULL; id != NULL && code == EXIT_CODE_OK; id = id->next) {
        cJSON *execution;
        if (!cJSON_IsString(id))
            continue;
        code = get_execution(invocation, id->valuestring, &execution);
        if (code == EXIT_CODE_OK)
            code = add_run(runs, execution);
    }
    return code;
}

/* Replaces the run by how it ended. */
static int wait_for_end(struct invocation *invocation, cJSON *runs, int index)
{
    char id[REFERENCE_SIZE];
    const cJSON *run = cJSON_GetArrayItem(runs, index);
    const char *text = member_string(run, "id");
    int64_t pause_ms = 0;
    (void)snprintf(id, sizeof id, "%s", text != NULL ? text : "");
    while (!is_terminal(run)) {
        cJSON *next;
        pause_ms = poll_pause(pause_ms);
        int code = get_execution(invocation, id, &next);
        if (code != EXIT_CODE_OK)
            return code;
        (void)cJSON_ReplaceItemInArray(runs, index, next); /* the index is one of its */
        run = next;
    }
    return EXIT_CODE_OK;
}

/* What is printed is the answer, or a list. */
static bool is_document(const struct invocation *invocation)
{
    return invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML;
}

static int show_runs(struct invocation *invocation, const cJSON *runs, const char *what)
{
    const cJSON *run;
    int code = EXIT_CODE_OK, count = cJSON_GetArraySize(runs);
    char where[WHERE_SIZE];
    if (is_document(invocation) && count > 1)
        return invocation_show(invocation, runs);
    cJSON_ArrayForEach(run, runs)
    {
        const char *node = member_string(run, "node_id");
        (void)snprintf(where, sizeof where, "on %s %s", node != NULL ? node : "no node", what);
        code = code == EXIT_CODE_OK ? show_execution_done(invocation, run, count > 1 ? where : what) : code;
    }
    return code;
}

static int wait_for_all(struct invocation *invocation, cJSON *runs)
{
    const cJSON *run;
    if (invocation->format == FORMAT_TABLE)
        (void)show_runs(invocation, runs, "triggered");
    int code = invocation_print(invocation);
    for (int i = 0; i < cJSON_GetArraySize(runs) && code == EXIT_CODE_OK; i++)
        code = wait_for_end(invocation, runs, i);
    if (code == EXIT_CODE_OK)
        code = show_runs(invocation, runs, "ended");
    if (code != EXIT_CODE_OK)
        return code;
    cJSON_ArrayForEach(run, runs)
    {
        const char *status = member_string(run, "status");
        if (status == NULL || strcmp(status, "success") != 0)
            return EXIT_CODE_RUN_FAILED;
    }
    return EXIT_CODE_OK;
}

int run_job_trigger(struct invocation *invocation)
{
    cJSON *answer, *runs;
    bool wait = arguments_switch(&invocation->arguments, "wait", false);
    int code = send_trigger(invocation, invocation->arguments.operands[0], &answer);
    if (code != EXIT_CODE_OK)
        return code;
    if (!wait && is_document(invocation)) {
        code = show_execution_done(invocation, answer, "triggered");
        cJSON_Delete(answer);
        return code;
    }
    runs = cJSON_CreateArray();
    code = runs == NULL ? no_memory() : gather(invocation, answer, runs);
    cJSON_Delete(answer);
    if (code == EXIT_CODE_OK)
        code = wait ? wait_for_all(invocation, runs) : show_runs(invocation, runs, "triggered");
    cJSON_Delete(runs);
    return code;
}
