/* job import: a backup goes in. Every job is checked before the first one is changed; what is there already, just so,
 * is left alone, and so the same import can be repeated after an interruption. */
#include "ctl/job_import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/rest.h"
#include "ctl/show.h"

enum {
    IMPORT_TRIES = 3,         /* somebody else's edits in between, and outcomes that are not known */
    PROGRESS_MS = 100,
};

/* --- progress --- */

/* On one line that is written over; gone before anything else is said. */
static void show_progress(struct import *import, const char *what, size_t at)
{
    int64_t now_ms = (int64_t)(clock_system.monotonic_ns(clock_system.arg) / 1000000);
    if (!import->has_progress || now_ms - import->progress_ms < PROGRESS_MS)
        return;
    import->progress_ms = now_ms;
    import->progress_shown = true;
    (void)fprintf(stderr, "\r\x1b[K%s %zu of %zu", what, at, import->manifest.count);
}

void import_clear_progress(struct import *import)
{
    if (import->progress_shown)
        (void)fprintf(stderr, "\r\x1b[K");
    import->progress_shown = false;
}

/* --- doing it --- */

/* 409: the name was taken meanwhile, or by this very request, whose answer was lost. 412: edited meanwhile. 404: deleted.
 * 504: nobody knows. */
static bool is_open(const struct response *response)
{
    return response->is_problem && (response->status == 409 || response->status == 412 || response->status == 404 ||
                                    response->status == 504);
}

/* One request. *ret_again: look at the job once more. */
static int send(struct import *import, size_t at, bool last_try, bool *ret_again)
{
    const struct manifest_job *job = &import->manifest.jobs[at];
    struct import_item *item = &import->items[at];
    struct invocation *invocation = import->invocation;
    struct response response;
    struct error err;
    struct buffer body, path;
    bool creates = item->fate == FATE_CREATE;
    int code = EXIT_CODE_OK;
    buffer_init(&body, PATH_BYTES_MAX * 256);
    json_print(&body, job->json);
    api_path(&path, "jobs", creates ? NULL : member_string(job->json, "name"), NULL);
    const struct request request = {.method = creates ? "POST" : "PUT", .path = path.data, .body = body.data,
                                    .if_match = creates || item->etag[0] == '\0' ? NULL : item->etag,
                                    .repeatable = true};
    enum status status = body.failed == STATUS_OK ? client_call(invocation->client, &request, &response, &err)
                                                  : error_set(&err, body.failed, "the job is too large");
    item->was_sent = creates;
    *ret_again = false;
    if (status != STATUS_OK) {
        import_clear_progress(import);
        item->fate = FATE_FAIL;
        code = complain_error(job->label, &err) == EXIT_CODE_UNREACHABLE ? EXIT_CODE_UNREACHABLE : EXIT_CODE_OK;
    } else if (is_open(&response) && !last_try) {
        *ret_again = true;
    } else if (response.status < 200 || response.status > 299) {
        import_clear_progress(import);
        item->fate = FATE_FAIL;
        (void)problem_report(&invocation->arguments, job->label, client_server(invocation->client), &response);
    }
    if (status == STATUS_OK)
        response_deinit(&response);
    buffer_deinit(&path);
    buffer_deinit(&body);
    return code;
}

/* Brings about the fate that was found for a job. */
static int carry_out(struct import *import, size_t at)
{
    struct import_item *item = &import->items[at];
    int code = EXIT_CODE_OK;
    bool again = true;
    for (int i = 1; i <= IMPORT_TRIES && again && code == EXIT_CODE_OK; i++) {
        again = false;
        if (i > 1)
            code = import_judge(import, at);
        if (code == EXIT_CODE_OK && !item->is_there && (item->fate == FATE_CREATE || item->fate == FATE_REPLACE))
            code = send(import, at, i == IMPORT_TRIES, &again);
    }
    return code;
}

static bool any_failed(const struct import *import)
{
    for (size_t i = 0; i < import->manifest.count; i++)
        if (import->items[i].fate == FATE_FAIL)
            return true;
    return false;
}

/* Both passes; an exit code. */
static int import_all(struct import *import)
{
    size_t count = import->manifest.count, done = 0;
    int code = EXIT_CODE_OK;
    for (size_t i = 0; i < count && code == EXIT_CODE_OK; i++) {
        show_progress(import, "checking", i);
        code = import_judge(import, i);
    }
    import_clear_progress(import);
    import->would = code != EXIT_CODE_OK || any_failed(import) ||
                    arguments_switch(&import->invocation->arguments, "dry-run", false);
    for (; done < count && code == EXIT_CODE_OK && !import->would; done++) {
        show_progress(import, "importing", done);
        code = carry_out(import, done);
        import_show_item(import, done);
    }
    import_clear_progress(import);
    for (; !import->would && done < count; done++)
        import->items[done].fate = FATE_NOT_DONE;
    return code == EXIT_CODE_OK && any_failed(import) ? EXIT_CODE_REFUSED : code;
}

static bool parse_conflict(const char *text, enum on_conflict *ret)
{
    static const char *const words[] = {"fail", "skip", "replace", NULL};
    for (int i = 0; text != NULL && words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum on_conflict)i;
            return true;
        }
    return text == NULL; /* the default stays */
}

int run_job_import(struct invocation *invocation)
{
    struct import import = {.invocation = invocation, .on_conflict = ON_CONFLICT_FAIL};
    const char *terminal = getenv("TERM"), *conflict = arguments_text(&invocation->arguments, "on-conflict");
    if (!parse_conflict(conflict, &import.on_conflict))
        return complain_usage("--on-conflict %s: it is fail, skip or replace", conflict);
    if (!arguments_has(&invocation->arguments, "file"))
        return complain_usage("job import needs -f FILE (-f - for standard input)");
    int code = read_manifest(invocation, true, &import.manifest);
    if (code != EXIT_CODE_OK)
        return code;
    import.has_progress = isatty(STDERR_FILENO) == 1 && (terminal == NULL || strcmp(terminal, "dumb") != 0);
    import.items = calloc(import.manifest.count, sizeof *import.items);
    if (import.items != NULL) {
        code = import_all(&import);
        int shown = import_show_end(&import);
        code = code == EXIT_CODE_OK ? shown : code;
    } else {
        complain(NULL, "out of memory");
        code = EXIT_CODE_REFUSED;
    }
    free(import.items);
    manifest_deinit(&import.manifest);
    return code;
}
