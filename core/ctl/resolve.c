#include "ctl/resolve.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "ctl/rest.h"
#include "ctl/show.h"

/* One kind of thing that has ids. */
struct kind {
    const char *prefix, *noun, *path, *member, *label; /* label: the member that is named beside an id */
};
static const struct kind job_kind = {"job_", "job", "/api/v1/jobs?fields=id,name", "jobs", "name"};
static const struct kind execution_kind = {"exec_", "execution", "/api/v1/executions", "executions", "job_name"};

static int complain_ambiguous(const struct kind *kind, const char *text, const cJSON *rows, int found)
{
    struct buffer names;
    const cJSON *row;
    int named = 0;
    buffer_init(&names, 64 * 1024);
    cJSON_ArrayForEach(row, rows)
    {
        const char *id = member_string(row, "id"), *label = member_string(row, kind->label);
        if (id == NULL || strncmp(id, text, strlen(text)) != 0 || named++ >= CANDIDATES_MAX)
            continue;
        buffer_appendf(&names, "%s%s (%s)", names.size > 0 ? ", " : "", id, label != NULL ? label : "?");
    }
    complain(NULL, "\"%s\" begins the ids of %d %ss: %s%s", text, found, kind->noun,
             names.data != NULL ? names.data : "",
             found > CANDIDATES_MAX ? ", ..." : "");
    buffer_deinit(&names);
    return EXIT_CODE_REFUSED;
}

static int find_prefix(struct invocation *invocation, const struct kind *kind, const char *text,
                       char ret[REFERENCE_SIZE])
{
    cJSON *answer;
    const cJSON *row;
    const char *match = NULL;
    int found = 0;
    int code = rest_list(invocation, kind->path, kind->member, RESOLVE_ROWS_MAX, &answer);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(answer, kind->member);
    cJSON_ArrayForEach(row, rows)
    {
        const char *id = member_string(row, "id");
        if (id == NULL || strncmp(id, text, strlen(text)) != 0)
            continue;
        match = id;
        found++;
    }
    if (found == 1) {
        (void)snprintf(ret, REFERENCE_SIZE, "%s", match);
    } else if (found > 1) {
        code = complain_ambiguous(kind, text, rows, found);
    } else {
        complain(NULL, "no %s has an id that begins with \"%s\"%s", kind->noun, text,
                 member_string(answer, "next_cursor") != NULL ? " among the newest; give the whole id" : "");
        code = EXIT_CODE_NOT_FOUND;
    }
    cJSON_Delete(answer);
    return code;
}

static int resolve(struct invocation *invocation, const struct kind *kind, const char *text, char ret[REFERENCE_SIZE])
{
    struct id id;
    size_t size = strlen(text);
    if (size == 0)
        return complain_usage("\"\" is not the name of a job or an id");
    if (size >= REFERENCE_SIZE) {
        complain(NULL, "no %s \"%.40s...\": that is longer than any name or id", kind->noun, text);
        return EXIT_CODE_NOT_FOUND;
    }
    if (kind == &execution_kind && strncmp(text, kind->prefix, strlen(kind->prefix)) != 0) {
        complain(NULL, "\"%s\" is not the id of an execution (%s...); chronosctl execution list shows them", text, kind->prefix);
        return EXIT_CODE_NOT_FOUND;
    }
    bool is_prefix = strncmp(text, kind->prefix, strlen(kind->prefix)) == 0 && !id_parse(kind->prefix, text, size, &id);
    if (is_prefix)
        return find_prefix(invocation, kind, text, ret);
    memcpy(ret, text, size + 1);
    return EXIT_CODE_OK;
}

int resolve_job(struct invocation *invocation, const char *text, char ret[REFERENCE_SIZE])
{
    return resolve(invocation, &job_kind, text, ret);
}

int resolve_execution(struct invocation *invocation, const char *text, char ret[REFERENCE_SIZE])
{
    return resolve(invocation, &execution_kind, text, ret);
}
