#include "ctl/job_match.h"

#include <string.h>

/* As the server shows secrets. */
static const char mask[] = "********";

static const char *const runtime_members[] = {"id", "version", "created_at", "updated_at", "updated_by", "next_run",
                                              "last_run", "last_status", "running", "held", NULL};

/* Free text: stars there are stars. */
static const char *const text_members[] = {"name", "description", "tags", NULL};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

void job_strip(cJSON *job)
{
    for (size_t i = 0; runtime_members[i] != NULL; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(job, runtime_members[i]);
}

bool job_is_equal(cJSON *wanted, cJSON *present)
{
    job_strip(wanted);
    job_strip(present);
    return cJSON_Compare(wanted, present, true);
}

static bool is_masked(const cJSON *value)
{
    return cJSON_IsString(value) && strcmp(value->valuestring, mask) == 0;
}

/* What stands in `other` where `member`, number `index` of its parent, stands. */
static const cJSON *beside(const cJSON *other, const cJSON *member, int index)
{
    return member->string != NULL ? cJSON_GetObjectItemCaseSensitive(other, member->string)
           : cJSON_IsArray(other) ? cJSON_GetArrayItem(other, index)
                                  : NULL;
}

/* --- values given for secrets --- */

static bool gives_secret(const cJSON *file, const cJSON *shown)
{
    const cJSON *member;
    int index = 0;
    if (is_masked(shown))
        return file != NULL && !is_masked(file);
    if (!cJSON_IsObject(shown) && !cJSON_IsArray(shown))
        return false;
    cJSON_ArrayForEach(member, shown)
        if (gives_secret(beside(file, member, index++), member))
            return true;
    return false;
}

/* The config as the file writes it, be it under a shorthand: an executor's shorthand is the only member that the
 * server's document does not have. */
static const cJSON *config_of(const cJSON *file, const cJSON *shown)
{
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(file, "config"), *member;
    if (config != NULL)
        return config;
    cJSON_ArrayForEach(member, file)
        if (cJSON_IsObject(member) && cJSON_GetObjectItemCaseSensitive(shown, member->string) == NULL)
            return member;
    return NULL;
}

bool job_gives_secret(const cJSON *file, const cJSON *shown)
{
    return gives_secret(config_of(file, shown), cJSON_GetObjectItemCaseSensitive(shown, "config"));
}

/* --- masks that are no values --- */

/* Where the walk is: the parents of a value, outermost first. */
struct place {
    const struct place *parent;
    const cJSON *member;
    int index;
};

static void append_place(struct buffer *out, const struct place *place)
{
    if (place->parent != NULL) {
        append_place(out, place->parent);
        buffer_append_char(out, '/');
    }
    if (place->member->string != NULL)
        buffer_append_string(out, place->member->string);
    else
        buffer_append_int(out, place->index);
}

static int append_masks(struct buffer *out, const struct place *place, const cJSON *shown, int count)
{
    const cJSON *member;
    int index = 0;
    if (is_masked(place->member) && !is_masked(shown)) {
        buffer_append_string(out, count > 0 ? ", " : "");
        append_place(out, place);
        return count + 1;
    }
    if (!cJSON_IsObject(place->member) && !cJSON_IsArray(place->member))
        return count;
    cJSON_ArrayForEach(member, place->member)
    {
        const struct place inner = {.parent = place, .member = member, .index = index};
        count = append_masks(out, &inner, beside(shown, member, index), count);
        index++;
    }
    return count;
}

int job_append_masked(struct buffer *out, const cJSON *job, const cJSON *present)
{
    const cJSON *member, *config = present != NULL ? config_of(job, present) : NULL;
    int count = 0;
    cJSON_ArrayForEach(member, job)
    {
        const struct place place = {.parent = NULL, .member = member};
        const cJSON *shown = member == config ? cJSON_GetObjectItemCaseSensitive(present, "config") : NULL;
        if (!is_one_of(member->string, text_members))
            count = append_masks(out, &place, shown, count);
    }
    return count;
}
