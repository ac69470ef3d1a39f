/* What job import says. Refusals are said where they are found. */
#include <string.h>

#include "ctl/job_import.h"
#include "ctl/show.h"
#include "ctl/text.h"
#include "ctl/yaml_to_json.h"

static const char *const fate_words[] = {
    [FATE_NOT_DONE] = "not done", [FATE_CREATE] = "created",      [FATE_REPLACE] = "replaced",
    [FATE_SKIP] = "skipped",      [FATE_UNCHANGED] = "unchanged", [FATE_FAIL] = "failed",
};
static const char *const would_words[] = {
    [FATE_NOT_DONE] = "not done",      [FATE_CREATE] = "would be created", [FATE_REPLACE] = "would be replaced",
    [FATE_SKIP] = "would be skipped",  [FATE_UNCHANGED] = "unchanged",     [FATE_FAIL] = "failed",
};

const char *import_fate_word(enum import_fate fate, bool would)
{
    return would ? would_words[fate] : fate_words[fate];
}

static void append_item(struct import *import, size_t at)
{
    struct buffer *out = &import->invocation->out;
    const struct manifest_job *job = &import->manifest.jobs[at];
    const char *name = member_string(job->json, "name");
    enum import_fate fate = import->items[at].fate;
    if (fate == FATE_FAIL || fate == FATE_NOT_DONE)
        return;
    if (import->invocation->format == FORMAT_NAME) {
        if (fate == FATE_CREATE || fate == FATE_REPLACE)
            text_append_safe(out, name, strlen(name), TEXT_ONE_LINE);
        else
            return;
    } else {
        text_append_safe(out, job->label, strlen(job->label), TEXT_ONE_LINE);
        buffer_appendf(out, ": %s", import_fate_word(fate, import->would));
    }
    buffer_append_char(out, '\n');
}

static bool is_text(const struct import *import)
{
    return import->invocation->format == FORMAT_TABLE || import->invocation->format == FORMAT_NAME;
}

void import_show_item(struct import *import, size_t at)
{
    if (!is_text(import))
        return;
    if (import->invocation->out_is_terminal)
        import_clear_progress(import);
    append_item(import, at);
    if (invocation_print(import->invocation) != EXIT_CODE_OK)
        import->invocation->out.failed = STATUS_OK; /* it was said; the jobs matter more */
}

static void count_fates(const struct import *import, size_t counts[FATE_COUNT])
{
    memset(counts, 0, FATE_COUNT * sizeof *counts);
    for (size_t i = 0; i < import->manifest.count; i++)
        counts[import->items[i].fate]++;
}

/* --- JSON and YAML --- */

static bool add_row(cJSON *rows, const struct import *import, size_t at)
{
    const struct manifest_job *job = &import->manifest.jobs[at];
    cJSON *row = cJSON_CreateObject();
    uint32_t line = yaml_line_of(job->json);
    bool done = row != NULL && cJSON_AddStringToObject(row, "name", member_string(job->json, "name")) != NULL &&
                cJSON_AddStringToObject(row, "file", job->file) != NULL &&
                (line > 0 ? cJSON_AddNumberToObject(row, "line", line) : cJSON_AddNullToObject(row, "line")) != NULL &&
                cJSON_AddStringToObject(row, "result", import_fate_word(import->items[at].fate, import->would)) != NULL &&
                cJSON_AddItemToArray(rows, row);
    if (!done)
        cJSON_Delete(row);
    return done;
}

static int show_document(struct import *import)
{
    size_t counts[FATE_COUNT];
    cJSON *answer = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(answer, "jobs");
    bool done = rows != NULL;
    for (size_t i = 0; i < import->manifest.count && done; i++)
        done = add_row(rows, import, i);
    count_fates(import, counts);
    done = done && cJSON_AddBoolToObject(answer, "imported", !import->would) != NULL;
    for (int fate = FATE_NOT_DONE; fate < FATE_COUNT && done; fate++)
        done = cJSON_AddNumberToObject(answer, fate == FATE_NOT_DONE ? "not_done" : import_fate_word(fate, false),
                                       (double)counts[fate]) != NULL;
    int code = EXIT_CODE_REFUSED;
    if (done)
        code = invocation_show(import->invocation, answer);
    else
        complain(NULL, "out of memory");
    cJSON_Delete(answer);
    return code;
}

/* --- people --- */

/* "3 jobs: 2 created, 1 skipped" */
static void append_sum(const size_t counts[FATE_COUNT], size_t count, bool would, struct buffer *out)
{
    const char *between = ": ";
    buffer_appendf(out, "%zu job%s", count, count == 1 ? "" : "s");
    for (int fate = FATE_CREATE; fate <= FATE_COUNT; fate++) { /* what was not done comes last */
        enum import_fate at = (enum import_fate)(fate % FATE_COUNT);
        if (counts[at] == 0)
            continue;
        buffer_appendf(out, "%s%zu %s", between, counts[at], import_fate_word(at, would));
        between = ", ";
    }
    buffer_append_char(out, '\n');
}

int import_show_end(struct import *import)
{
    size_t counts[FATE_COUNT];
    bool dry_run = arguments_switch(&import->invocation->arguments, "dry-run", false);
    count_fates(import, counts);
    if (import->would && !dry_run && counts[FATE_FAIL] > 0)
        complain(NULL, "nothing was imported: %zu of %zu jobs cannot be", counts[FATE_FAIL], import->manifest.count);
    else if (counts[FATE_NOT_DONE] > 0)
        complain(NULL, "%zu jobs were not looked at any more; say the same again: what is there already counts as unchanged",
                 counts[FATE_NOT_DONE]);
    if (!is_text(import))
        return show_document(import);
    for (size_t i = 0; i < import->manifest.count && dry_run; i++)
        append_item(import, i);
    if (import->invocation->format == FORMAT_TABLE && (dry_run || !import->would))
        append_sum(counts, import->manifest.count, import->would, &import->invocation->out);
    return EXIT_CODE_OK;
}
