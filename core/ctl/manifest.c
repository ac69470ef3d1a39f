#include "ctl/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "ctl/json_lines.h"
#include "ctl/show.h"
#include "ctl/yaml_to_json.h"

enum { READ_SIZE = 64 * 1024 };

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

/* "file:line", or "file" where the line is not known. */
static void place_of(const char *file, const cJSON *value, char *out, size_t out_size)
{
    uint32_t line = yaml_line_of(value);
    if (line > 0)
        (void)snprintf(out, out_size, "%s:%u", file, line);
    else
        (void)snprintf(out, out_size, "%s", file);
}

static enum status add_job(struct manifest *manifest, const char *file, const cJSON *json, struct error *err)
{
    char place[MANIFEST_LABEL_SIZE / 2];
    const char *name = member_string(json, "name");
    place_of(file, json, place, sizeof place);
    if (!cJSON_IsObject(json))
        return error_set(err, STATUS_MALFORMED, "%s: a job is an object (name: ..., schedule: ...), not %s", place,
                         cJSON_IsArray(json) ? "a list" : "a single value");
    if (manifest->count == MANIFEST_JOBS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: more than %d jobs", place, MANIFEST_JOBS_MAX);
    if ((manifest->count & (manifest->count - 1)) == 0) { /* grows at powers of two */
        size_t capacity = manifest->count > 0 ? manifest->count * 2 : 1;
        struct manifest_job *jobs = realloc(manifest->jobs, capacity * sizeof *jobs);
        if (jobs == NULL)
            return no_memory(err);
        manifest->jobs = jobs;
    }
    struct manifest_job *job = &manifest->jobs[manifest->count++];
    job->json = json;
    job->file = file;
    if (name != NULL)
        (void)snprintf(job->label, sizeof job->label, "%s: job \"%.128s\"", place, name);
    else
        (void)snprintf(job->label, sizeof job->label, "%s", place);
    return STATUS_OK;
}

static enum status add_list(struct manifest *manifest, const char *file, const cJSON *list, struct error *err)
{
    const cJSON *json;
    enum status status = STATUS_OK;
    cJSON_ArrayForEach(json, list)
    {
        status = add_job(manifest, file, json, err);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

/* An object with `jobs` is what `job list -o yaml` prints: it may hold next_cursor beside them. */
static enum status add_envelope(struct manifest *manifest, const char *file, const cJSON *object, struct error *err)
{
    char place[MANIFEST_LABEL_SIZE / 2];
    const cJSON *jobs = cJSON_GetObjectItemCaseSensitive(object, "jobs"), *member;
    place_of(file, object, place, sizeof place);
    if (!cJSON_IsArray(jobs))
        return error_set(err, STATUS_MALFORMED, "%s: \"jobs\" is a list of jobs", place);
    cJSON_ArrayForEach(member, object)
        if (strcmp(member->string, "jobs") != 0 && strcmp(member->string, "next_cursor") != 0)
            return error_set(err, STATUS_MALFORMED, "%s: what is \"%s\" beside \"jobs\"?", place, member->string);
    return add_list(manifest, file, jobs, err);
}

static enum status add_document(struct manifest *manifest, const char *file, const cJSON *document, struct error *err)
{
    if (cJSON_IsArray(document))
        return add_list(manifest, file, document, err);
    if (cJSON_GetObjectItemCaseSensitive(document, "jobs") != NULL)
        return add_envelope(manifest, file, document, err);
    return add_job(manifest, file, document, err);
}

/* --- from text --- */

static bool ends_in(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static bool is_lines_name(const char *label)
{
    return ends_in(label, ".ndjson") || ends_in(label, ".jsonl");
}

/* JSON is nearly YAML, but not quite (tabs, \uD83D\uDE00): what is JSON is read as JSON. */
static bool looks_like_json(const char *text, size_t size, const char *label)
{
    size_t at = 0;
    while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
        at++;
    return ends_in(label, ".json") || is_lines_name(label) || (at < size && (text[at] == '{' || text[at] == '['));
}

static enum status parse_json(const char *text, size_t size, const char *label, cJSON **ret, struct error *err)
{
    cJSON *json, *documents;
    if (is_lines_name(label) || json_lines_detect(text, size))
        return json_lines_parse(text, size, label, ret, err);
    if (json_parse(text, size, &json, err) != STATUS_OK)
        return error_wrap(err, "%s", label);
    documents = cJSON_CreateArray();
    if (documents != NULL && cJSON_AddItemToArray(documents, json)) {
        *ret = documents;
        return STATUS_OK;
    }
    cJSON_Delete(documents);
    cJSON_Delete(json);
    return no_memory(err);
}

static enum status parse_text(const char *text, size_t size, const char *label, cJSON **ret, struct error *err)
{
    if (!looks_like_json(text, size, label))
        return yaml_to_json(text, size, label, ret, err);
    enum status status = parse_json(text, size, label, ret, err);
    if (status != STATUS_MALFORMED || ends_in(label, ".json") || is_lines_name(label))
        return status;
    struct error of_json = *err; /* YAML's flow style also begins with a brace */
    return yaml_to_json(text, size, label, ret, err) == STATUS_OK ? STATUS_OK : (*err = of_json, status);
}

enum status manifest_add(struct manifest *manifest, const char *text, size_t size, const char *label, struct error *err)
{
    cJSON *documents;
    const cJSON *document;
    size_t before = manifest->count;
    if (manifest->files == NULL && (manifest->files = cJSON_CreateArray()) == NULL)
        return no_memory(err);
    enum status status = parse_text(text, size, label, &documents, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_AddItemToArray(manifest->files, documents)) {
        cJSON_Delete(documents);
        return no_memory(err);
    }
    cJSON_ArrayForEach(document, documents)
    {
        status = add_document(manifest, label, document, err);
        if (status != STATUS_OK)
            return status;
    }
    return manifest->count > before ? STATUS_OK : error_set(err, STATUS_MALFORMED, "%s: there is no job in it", label);
}

/* --- files --- */

static enum status read_input(struct buffer *out, struct error *err)
{
    for (;;) {
        char *at = buffer_reserve(out, READ_SIZE);
        if (at == NULL)
            return out->failed == STATUS_NO_MEMORY ? no_memory(err)
                                                   : error_set(err, out->failed, "standard input: larger than %d MiB",
                                                               YAML_FILE_SIZE_MAX >> 20);
        ssize_t got = read(STDIN_FILENO, at, READ_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, STATUS_MALFORMED, errno, "read standard input");
        if (got == 0)
            return STATUS_OK;
        buffer_commit(out, (size_t)got);
    }
}

static enum status add_file(struct manifest *manifest, const char *file, struct error *err)
{
    struct buffer text;
    bool is_input = strcmp(file, "-") == 0;
    if (is_input && manifest->input != NULL)
        return error_set(err, STATUS_INVALID, "-f - is given twice");
    manifest->input = is_input ? file : manifest->input;
    buffer_init(&text, YAML_FILE_SIZE_MAX + READ_SIZE);
    enum status status = is_input ? read_input(&text, err) : file_read(file, &text, err);
    if (status == STATUS_OK)
        status = manifest_add(manifest, text.data, text.size, is_input ? "standard input" : file, err);
    buffer_deinit(&text);
    return status;
}

/* The member that was meant to be the name, or the list of jobs; NULL where none looks like it. */
static const char *meant_as(const cJSON *job, const char **ret_near)
{
    static const char *const known[] = {"name", "jobs", NULL};
    const cJSON *member;
    cJSON_ArrayForEach(member, job)
    {
        *ret_near = nearest_word(member->string, known);
        if (*ret_near != NULL)
            return member->string;
    }
    return NULL;
}

static enum status no_name(const struct manifest_job *job, struct error *err)
{
    const char *near = NULL, *member = meant_as(job->json, &near);
    if (member == NULL || strcmp(member, near) == 0)
        return error_set(err, STATUS_INVALID, "%s: the job has no name", job->label);
    return error_set(err, STATUS_INVALID, "%s: the job has no name; did you mean \"%s\" where \"%.40s\" stands?", job->label,
                     near, member);
}

/* The server would refuse a second job of the same name, but after the first was created. */
static enum status check_names(const struct manifest *manifest, struct error *err)
{
    struct map names;
    enum status status = STATUS_OK;
    map_init(&names);
    for (size_t i = 0; i < manifest->count && status == STATUS_OK; i++) {
        struct manifest_job *job = &manifest->jobs[i];
        const char *name = member_string(job->json, "name");
        if (name == NULL || *name == '\0') {
            status = no_name(job, err);
            break;
        }
        const struct manifest_job *earlier = map_get(&names, name, strlen(name));
        if (earlier != NULL)
            status = error_set(err, STATUS_INVALID, "%s: the same name as %s", job->label, earlier->label);
        else if (map_put(&names, name, strlen(name), job, NULL) != STATUS_OK)
            status = no_memory(err);
    }
    map_deinit(&names);
    return status;
}

enum status manifest_read(const struct arguments *arguments, bool names, struct manifest *ret, struct error *err)
{
    struct manifest manifest = {.files = NULL};
    size_t cursor = 0;
    const char *file;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (file = arguments_next(arguments, "file", &cursor)) != NULL)
        status = add_file(&manifest, file, err);
    if (status == STATUS_OK && names)
        status = check_names(&manifest, err);
    if (status == STATUS_OK)
        *ret = manifest;
    else
        manifest_deinit(&manifest);
    return status;
}

void manifest_deinit(struct manifest *manifest)
{
    cJSON_Delete(manifest->files);
    free(manifest->jobs);
    *manifest = (struct manifest){.files = NULL};
}
