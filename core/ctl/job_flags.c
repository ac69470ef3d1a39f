#include "ctl/job_flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "ctl/show.h"

enum { KEY_SIZE = 256 };

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

/* Takes `item`. */
static enum status put(cJSON *object, const char *key, cJSON *item, struct error *err)
{
    if (item != NULL && cJSON_AddItemToObject(object, key, item))
        return STATUS_OK;
    cJSON_Delete(item);
    return no_memory(err);
}

static enum status text_item(const char *flag, const char *text, cJSON **ret, struct error *err)
{
    if (!utf8_valid(text, strlen(text), NULL))
        return error_set(err, STATUS_INVALID, "--%s is not UTF-8", flag);
    *ret = cJSON_CreateString(text);
    return *ret != NULL ? STATUS_OK : no_memory(err);
}

static enum status put_text(const struct arguments *arguments, const char *flag, cJSON *object, const char *key,
                            struct error *err)
{
    cJSON *item = NULL;
    if (!arguments_has(arguments, flag))
        return STATUS_OK;
    enum status status = text_item(flag, arguments_text(arguments, flag), &item, err);
    return status == STATUS_OK ? put(object, key, item, err) : status;
}

static enum status put_number(const struct arguments *arguments, const char *flag, cJSON *object, const char *key,
                              struct error *err)
{
    if (!arguments_has(arguments, flag))
        return STATUS_OK;
    return put(object, key, cJSON_CreateNumber((double)arguments_number(arguments, flag, 0)), err);
}

/* One --schedule is a string, several are a list. */
static enum status put_schedule(const struct arguments *arguments, cJSON *job, struct error *err)
{
    size_t cursor = 0;
    const char *text;
    cJSON *list = cJSON_CreateArray(), *item = NULL;
    enum status status = list != NULL ? STATUS_OK : no_memory(err);
    while (status == STATUS_OK && (text = arguments_next(arguments, "schedule", &cursor)) != NULL) {
        status = text_item("schedule", text, &item, err);
        if (status == STATUS_OK && !cJSON_AddItemToArray(list, item))
            status = no_memory(err);
    }
    int count = cJSON_GetArraySize(list);
    if (status == STATUS_OK && count == 1)
        status = put(job, "schedule", cJSON_DetachItemFromArray(list, 0), err);
    else if (status == STATUS_OK && count > 1)
        return put(job, "schedule", list, err);
    cJSON_Delete(list);
    return status;
}

/* "key=value" or "Name: value", by the separator. */
static enum status put_pair(const char *flag, const char *text, char separator, cJSON *object, struct error *err)
{
    char key[KEY_SIZE];
    const char *at = strchr(text, separator);
    cJSON *item = NULL;
    if (at == NULL || at == text)
        return error_set(err, STATUS_INVALID, separator == '=' ? "--%s \"%s\": write --%s key=value"
                                                               : "--%s \"%s\": write --%s \"Name: value\"",
                         flag, text, flag);
    if ((size_t)(at - text) >= sizeof key)
        return error_set(err, STATUS_INVALID, "--%s: the key is longer than %zu bytes", flag, sizeof key - 1);
    memcpy(key, text, (size_t)(at - text));
    key[at - text] = '\0';
    at++;
    while (separator == ':' && (*at == ' ' || *at == '\t'))
        at++;
    if (!utf8_valid(key, strlen(key), NULL))
        return error_set(err, STATUS_INVALID, "--%s is not UTF-8", flag);
    if (cJSON_GetObjectItemCaseSensitive(object, key) != NULL)
        return error_set(err, STATUS_INVALID, "--%s: \"%s\" is given twice", flag, key);
    enum status status = text_item(flag, at, &item, err);
    return status == STATUS_OK ? put(object, key, item, err) : status;
}

static enum status put_pairs(const struct arguments *arguments, const char *flag, char separator, cJSON *parent,
                             const char *key, struct error *err)
{
    size_t cursor = 0;
    const char *text;
    if (!arguments_has(arguments, flag))
        return STATUS_OK;
    cJSON *object = cJSON_CreateObject();
    enum status status = object != NULL ? STATUS_OK : no_memory(err);
    while (status == STATUS_OK && (text = arguments_next(arguments, flag, &cursor)) != NULL)
        status = put_pair(flag, text, separator, object, err);
    if (status != STATUS_OK) {
        cJSON_Delete(object);
        return status;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(parent, key); /* of --config: what has its own flag wins */
    return put(parent, key, object, err);
}

/* --placement says it in a word, --placement-tag by tags of the node; of the words `all` goes with tags. */
static enum status put_placement(const struct arguments *arguments, cJSON *job, struct error *err)
{
    const char *word = arguments_text(arguments, "placement");
    if (!arguments_has(arguments, "placement-tag"))
        return put_text(arguments, "placement", job, "placement", err);
    if (word != NULL && strcmp(word, "all") != 0)
        return error_set(err, STATUS_INVALID, "--placement %s and --placement-tag exclude each other", word);
    cJSON *placement = cJSON_CreateObject();
    enum status status = placement == NULL ? no_memory(err) : STATUS_OK;
    if (status == STATUS_OK && word != NULL)
        status = put(placement, "all", cJSON_CreateBool(true), err);
    if (status == STATUS_OK)
        status = put_pairs(arguments, "placement-tag", '=', placement, "tags", err);
    if (status == STATUS_OK)
        return put(job, "placement", placement, err);
    cJSON_Delete(placement);
    return status;
}

static enum status put_enabled(const struct arguments *arguments, cJSON *job, struct error *err)
{
    bool enabled = arguments_has(arguments, "enabled"), disabled = arguments_has(arguments, "disabled");
    if (enabled && disabled)
        return error_set(err, STATUS_INVALID, "--enabled and --disabled exclude each other");
    if (!enabled && !disabled)
        return STATUS_OK;
    bool value = enabled ? arguments_switch(arguments, "enabled", true)
                         : !arguments_switch(arguments, "disabled", false);
    return put(job, "enabled", cJSON_CreateBool(value), err);
}

static enum status put_retry_policy(const struct arguments *arguments, cJSON *job, struct error *err)
{
    if (!arguments_has(arguments, "retries") && !arguments_has(arguments, "retry-interval"))
        return STATUS_OK;
    cJSON *policy = cJSON_CreateObject();
    enum status status = policy == NULL ? no_memory(err)
                                        : put_number(arguments, "retries", policy, "max_attempts", err);
    if (status == STATUS_OK)
        status = put_text(arguments, "retry-interval", policy, "initial_interval", err);
    if (status == STATUS_OK)
        return put(job, "retry_policy", policy, err);
    cJSON_Delete(policy);
    return status;
}

enum status job_flags_document(const struct arguments *arguments, cJSON **ret, struct error *err)
{
    static const struct {
        const char *flag, *key;
    } texts[] = {
        {"name", "name"},       {"description", "description"}, {"timezone", "timezone"},
        {"timeout", "timeout"}, {"concurrency", "concurrency"}, {"missed-run-policy", "missed_run_policy"},
    };
    cJSON *job = cJSON_CreateObject();
    enum status status = job != NULL ? STATUS_OK : no_memory(err);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == STATUS_OK; i++)
        status = put_text(arguments, texts[i].flag, job, texts[i].key, err);
    if (status == STATUS_OK)
        status = put_schedule(arguments, job, err);
    if (status == STATUS_OK)
        status = put_number(arguments, "max-concurrent", job, "max_concurrent", err);
    if (status == STATUS_OK)
        status = put_retry_policy(arguments, job, err);
    if (status == STATUS_OK)
        status = put_pairs(arguments, "tag", '=', job, "tags", err);
    if (status == STATUS_OK)
        status = put_placement(arguments, job, err);
    if (status == STATUS_OK)
        status = put_enabled(arguments, job, err);
    if (status == STATUS_OK)
        *ret = job;
    else
        cJSON_Delete(job);
    return status;
}

/* --- the executor --- */

enum status job_flags_config(const struct arguments *arguments, cJSON **ret, struct error *err)
{
    const char *text = arguments_text(arguments, "config");
    cJSON *config = NULL;
    if (text == NULL) {
        *ret = NULL;
        return STATUS_OK;
    }
    if (json_parse(text, strlen(text), &config, err) != STATUS_OK) {
        (void)error_wrap(err, "--config");
        return err->code = STATUS_INVALID;
    }
    if (!cJSON_IsObject(config)) {
        cJSON_Delete(config);
        return error_set(err, STATUS_INVALID, "--config is a JSON object: '{\"key\": \"value\"}'");
    }
    *ret = config;
    return STATUS_OK;
}

static enum status check_executor(const struct arguments *arguments, struct error *err)
{
    static const char *const of_webhook[] = {"method", "header", "body", NULL};
    bool command = arguments_has(arguments, "command"), webhook = arguments_has(arguments, "webhook");
    if (command + webhook + arguments_has(arguments, "executor") > 1)
        return error_set(err, STATUS_INVALID, "--command, --webhook and --executor exclude each other");
    if (webhook && arguments_has(arguments, "env"))
        return error_set(err, STATUS_INVALID, "--env goes with --command, not with --webhook");
    for (size_t i = 0; command && of_webhook[i] != NULL; i++)
        if (arguments_has(arguments, of_webhook[i]))
            return error_set(err, STATUS_INVALID, "--%s goes with --webhook, not with --command", of_webhook[i]);
    return STATUS_OK;
}

static enum status replace_text(const struct arguments *arguments, const char *flag, cJSON *config, const char *key,
                                struct error *err)
{
    if (arguments_has(arguments, flag))
        cJSON_DeleteItemFromObjectCaseSensitive(config, key); /* of --config: what has its own flag wins */
    return put_text(arguments, flag, config, key, err);
}

static enum status fill_config(const struct arguments *arguments, cJSON *config, struct error *err)
{
    enum status status = replace_text(arguments, "command", config, "command", err);
    if (status == STATUS_OK)
        status = put_pairs(arguments, "env", '=', config, "env", err);
    if (status == STATUS_OK)
        status = replace_text(arguments, "webhook", config, "url", err);
    if (status == STATUS_OK)
        status = replace_text(arguments, "method", config, "method", err);
    if (status == STATUS_OK)
        status = put_pairs(arguments, "header", ':', config, "headers", err);
    if (status == STATUS_OK)
        status = replace_text(arguments, "body", config, "body", err);
    return status;
}

enum status job_flags_executor(const struct arguments *arguments, struct executor_flags *ret, struct error *err)
{
    struct executor_flags flags = {.name = arguments_text(arguments, "executor")};
    enum status status = check_executor(arguments, err);
    if (status == STATUS_OK)
        status = job_flags_config(arguments, &flags.config, err);
    if (status != STATUS_OK)
        return status;
    bool given = flags.config != NULL;
    if (!given && (flags.config = cJSON_CreateObject()) == NULL)
        return no_memory(err);
    status = fill_config(arguments, flags.config, err);
    if (status != STATUS_OK) {
        executor_flags_deinit(&flags);
        return status;
    }
    if (!given && flags.config->child == NULL)
        executor_flags_deinit(&flags); /* nothing was given */
    flags.name = arguments_text(arguments, "executor");
    flags.shorthand = arguments_has(arguments, "command")   ? "command"
                      : arguments_has(arguments, "webhook") ? "webhook"
                                                            : NULL;
    *ret = flags;
    return STATUS_OK;
}

void executor_flags_deinit(struct executor_flags *flags)
{
    cJSON_Delete(flags->config);
    *flags = (struct executor_flags){.config = NULL};
}
