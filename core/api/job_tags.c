#include "api/job_tags.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static_assert(JOB_TAG_KEY_MAX == NODE_TAG_KEY_MAX, "keys are checked alike");

static bool is_tag_key(const char *key)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    size_t size = strlen(key);
    return size >= 1 && size <= JOB_TAG_KEY_MAX && strspn(key, allowed) == size;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool check_tag(const struct fields *fields, const cJSON *tag, size_t value_max)
{
    if (!is_tag_key(tag->string))
        field_refuse(fields, tag->string, "a tag's key has 1 to %d letters, digits, \".\", \"_\", \"-\" and \"/\"",
                     JOB_TAG_KEY_MAX);
    else if (!cJSON_IsString(tag))
        field_refuse(fields, tag->string, "must be a string");
    else if (strlen(tag->valuestring) > value_max)
        field_refuse(fields, tag->string, "is longer than %zu bytes", value_max);
    else if (has_control(tag->valuestring))
        field_refuse(fields, tag->string, "must not hold control characters");
    else
        return true;
    return false;
}

void tags_read(const struct fields *document, struct json_writer *out)
{
    const cJSON *value = field_get(document, "tags"), *tag;
    struct fields fields = {.object = value, .prefix = "/tags", .errors = document->errors};
    if (value != NULL && !cJSON_IsObject(value)) {
        field_refuse(document, "tags", "must be an object of strings: {\"team\": \"backend\"}");
        return;
    }
    if (value != NULL && cJSON_GetArraySize(value) > JOB_TAGS_MAX)
        field_refuse(document, "tags", "a job has at most %d tags", JOB_TAGS_MAX);
    cJSON_ArrayForEach(tag, value)
        (void)check_tag(&fields, tag, JOB_TAG_VALUE_MAX); /* reported */
    json_key(out, "tags");
    if (value != NULL) {
        json_tree(out, value);
        return;
    }
    json_object_begin(out);
    json_object_end(out);
}

/* --- placement --- */

static const char how[] = "must be \"any\", \"leader\", \"all\" or {\"tags\": {\"disk\": \"ssd\"}}, also with \"all\": true";

static void read_word(const struct fields *document, const char *word, enum placement *ret)
{
    for (int i = 0; i < PLACEMENT_COUNT; i++)
        if (strcmp(word, placement_name((enum placement)i)) == 0) {
            *ret = (enum placement)i;
            return;
        }
    field_refuse(document, "placement", "%s", how);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The tags that are asked for. What is wrong is reported, and left out. */
static bool read_tags(const cJSON *tags, struct field_errors *errors, struct job_placement *ret)
{
    const cJSON *tag;
    struct fields fields = {.object = tags, .prefix = "/placement/tags", .errors = errors};
    int count = cJSON_GetArraySize(tags);
    if (count > NODE_TAGS_MAX) {
        field_errors_add(errors, "/placement/tags", "a job asks for at most %d tags", NODE_TAGS_MAX);
        return true;
    }
    if (count == 0)
        return true;
    ret->texts = calloc((size_t)count, sizeof *ret->texts);
    if (ret->texts == NULL)
        return false;
    cJSON_ArrayForEach(tag, tags)
        if (check_tag(&fields, tag, NODE_TAG_VALUE_MAX))
            (void)snprintf(ret->texts[ret->count++], sizeof *ret->texts, "%s=%s", tag->string, tag->valuestring);
    qsort(ret->texts, ret->count, sizeof *ret->texts, compare_texts);
    return true;
}

static void write_placement(const struct job_placement *placement, struct json_writer *out)
{
    if (placement->count == 0) {
        json_member_string(out, "placement", placement_name(placement->kind));
        return;
    }
    json_key(out, "placement");
    json_object_begin(out);
    if (placement->kind == PLACEMENT_ALL)
        json_member_bool(out, "all", true);
    json_key(out, "tags");
    tags_write(out, placement->texts, placement->count);
    json_object_end(out);
}

void tags_write(struct json_writer *out, char (*texts)[NODE_TAG_TEXT_SIZE], uint32_t count)
{
    json_object_begin(out);
    for (uint32_t i = 0; i < count; i++) {
        char key[NODE_TAG_KEY_MAX + 1];
        size_t size = strcspn(texts[i], "=");
        (void)snprintf(key, sizeof key, "%.*s", (int)size, texts[i]);
        json_member_string(out, key, texts[i][size] == '=' ? texts[i] + size + 1 : "");
    }
    json_object_end(out);
}

bool placement_read(const struct fields *document, struct job_placement *ret, struct json_writer *out)
{
    static const char *const known[] = {"tags", "all", NULL}, *const none[] = {NULL};
    const cJSON *value = field_get(document, "placement");
    struct fields fields = {.object = value, .prefix = "/placement", .errors = document->errors};
    struct job_placement placement = {.kind = PLACEMENT_ANY};
    bool good = true;
    if (cJSON_IsString(value)) {
        read_word(document, value->valuestring, &placement.kind);
    } else if (cJSON_IsObject(value)) {
        const cJSON *tags = field_get(&fields, "tags");
        fields_check_known(&fields, known, none);
        placement.kind = field_bool(&fields, "all", false) ? PLACEMENT_ALL : PLACEMENT_ANY;
        if (tags != NULL && !cJSON_IsObject(tags))
            field_refuse(&fields, "tags", "must be an object of strings: {\"disk\": \"ssd\"}");
        else
            good = read_tags(tags, document->errors, &placement);
    } else if (value != NULL) {
        field_refuse(document, "placement", "%s", how);
    }
    if (!good)
        return false;
    write_placement(&placement, out);
    *ret = placement;
    return true;
}
