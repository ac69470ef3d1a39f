#include "shell_job.h"

#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guardian_protocol.h"
#include "plugin_error.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What the parameters say, borrowed from the run. */
struct view {
    const struct chronos_param *command, *cwd, *umask, *input, *kill_signal;
    const struct chronos_param *first_argument;
    uint32_t argument_count, environment_count;
    struct exit_codes success, retry;
    int32_t umask_value;
};

/* Set by us for every run: a job's env may not replace them, because what is safe to repeat hangs on them. */
static const char *const own_variables[] = {
    "CHRONOS_JOB_ID",  "CHRONOS_JOB_NAME",        "CHRONOS_EXECUTION_ID", "CHRONOS_SCHEDULED_TIME",
    "CHRONOS_ATTEMPT", "CHRONOS_IDEMPOTENCY_KEY", "CHRONOS_NODE_ID",      "TRACEPARENT",
};

static bool is(const struct chronos_param *param, const char *name)
{
    return strcmp(param->name, name) == 0;
}

static const char *text_of(const struct chronos_param *param)
{
    return (const char *)param->value.data;
}

/* A reference to a secret is replaced on the node that runs the job: when a job is saved, its content is not known. */
static bool is_unresolved(const struct chronos_param *param, bool saving)
{
    return saving && strstr(text_of(param), "${") != NULL;
}

/* ---- Reading and checking ---- */

bool exit_codes_have(const struct exit_codes *codes, int code)
{
    return code >= 0 && code < EXIT_CODE_COUNT && (codes->bits[code / 8] >> (code % 8) & 1) != 0;
}

static int32_t add_exit_code(struct exit_codes *codes, const struct chronos_param *param, struct chronos_error *err)
{
    char *end;
    long code = strtol(text_of(param), &end, 10);

    if (end == text_of(param) || *end != '\0' || code < 0 || code >= EXIT_CODE_COUNT) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: %.20s is not an exit code (0 to 255)", param->name,
                            text_of(param));
    }
    codes->bits[code / 8] |= (uint8_t)(1u << (code % 8));
    codes->given = true;
    return CHRONOS_OK;
}

static int32_t check_variable(const struct chronos_param *param, struct chronos_error *err)
{
    const char *name = param->key;

    if (name == NULL || name[0] == '\0' || strchr(name, '=') != NULL) {
        return plugin_error(err, CHRONOS_INVALID, 0, "env: \"%.64s\" cannot be the name of a variable",
                            name == NULL ? "" : name);
    }
    for (size_t i = 0; i < sizeof(own_variables) / sizeof(own_variables[0]); i++) {
        if (strcmp(name, own_variables[i]) == 0) {
            return plugin_error(err, CHRONOS_INVALID, 0, "env: %s is set by Chronos and cannot be given", name);
        }
    }
    return CHRONOS_OK;
}

static int32_t read_umask(struct view *view, const struct chronos_param *param, bool saving, struct chronos_error *err)
{
    const char *text = text_of(param);
    size_t digits = strspn(text, "01234567");

    view->umask = param;
    if (is_unresolved(param, saving)) {
        return CHRONOS_OK;
    }
    if (digits == 0 || digits > 4 || text[digits] != '\0' || strtol(text, NULL, 8) > 0777) {
        return plugin_error(err, CHRONOS_INVALID, 0, "umask: \"%.20s\" is not octal text between 0 and 0777", text);
    }
    view->umask_value = (int32_t)strtol(text, NULL, 8);
    return CHRONOS_OK;
}

static int32_t read_cwd(struct view *view, const struct chronos_param *param, bool saving, struct chronos_error *err)
{
    view->cwd = param;
    if (text_of(param)[0] != '/' && !is_unresolved(param, saving)) {
        return plugin_error(err, CHRONOS_INVALID, 0, "cwd: \"%.80s\" is not an absolute path", text_of(param));
    }
    return CHRONOS_OK;
}

/* Whoever may list processes reads their arguments: a secret belongs into the environment. */
static int32_t check_no_secret(const struct chronos_param *param, bool saving, struct chronos_error *err)
{
    const char *text = text_of(param);

    if (!saving || (strstr(text, "${env:") == NULL && strstr(text, "${file:") == NULL)) {
        return CHRONOS_OK;
    }
    return plugin_error(err, CHRONOS_INVALID, 0,
                        "%s: a secret here would show in the list of processes; put it into env, as {\"TOKEN\": "
                        "\"${env:NAME}\"}, and use $TOKEN",
                        param->name);
}

static int32_t read_param(struct view *view, const struct chronos_param *param, bool saving, struct chronos_error *err)
{
    if (!is(param, "stdin") && strlen(text_of(param)) != param->value.size) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: a zero byte is not allowed here", param->name);
    }
    if (is(param, "command")) {
        view->command = param;
        return check_no_secret(param, saving, err);
    } else if (is(param, "argv")) {
        view->first_argument = view->argument_count++ == 0 ? param : view->first_argument;
        return check_no_secret(param, saving, err);
    } else if (is(param, "env")) {
        view->environment_count++;
        return check_variable(param, err);
    } else if (is(param, "cwd")) {
        return read_cwd(view, param, saving, err);
    } else if (is(param, "umask")) {
        return read_umask(view, param, saving, err);
    } else if (is(param, "stdin")) {
        view->input = param;
    } else if (is(param, "success_exit_codes")) {
        return add_exit_code(&view->success, param, err);
    } else if (is(param, "retry_exit_codes")) {
        return add_exit_code(&view->retry, param, err);
    } else if (is(param, "kill_signal")) {
        view->kill_signal = param;
    }
    return CHRONOS_OK;
}

static int32_t check_whole(const struct view *view, struct chronos_error *err)
{
    if (view->command == NULL && view->argument_count == 0) {
        return plugin_error(err, CHRONOS_INVALID, 0,
                            "give \"command\" (text for /bin/sh) or \"argv\" (a list, no shell)");
    }
    if (view->command != NULL && view->argument_count > 0) {
        return plugin_error(err, CHRONOS_INVALID, 0, "give \"command\" or \"argv\", not both");
    }
    if (view->command != NULL && text_of(view->command)[strspn(text_of(view->command), " \t\n")] == '\0') {
        return plugin_error(err, CHRONOS_INVALID, 0, "command: is empty");
    }
    if (view->first_argument != NULL && text_of(view->first_argument)[0] == '\0') {
        return plugin_error(err, CHRONOS_INVALID, 0, "argv: the first element names the program and is empty");
    }
    for (int code = 0; code < EXIT_CODE_COUNT; code++) {
        bool success = view->success.given ? exit_codes_have(&view->success, code) : code == 0;
        if (success && exit_codes_have(&view->retry, code)) {
            return plugin_error(err, CHRONOS_INVALID, 0, "retry_exit_codes: %d counts as success", code);
        }
    }
    return CHRONOS_OK;
}

static int32_t view_init(struct view *view, const struct chronos_run *run, bool saving, struct chronos_error *err)
{
    *view = (struct view){.umask_value = -1};
    for (uint32_t i = 0; i < run->n_params; i++) {
        int32_t status = read_param(view, &run->params[i], saving, err);
        if (status != CHRONOS_OK) {
            return status;
        }
    }
    return check_whole(view, err);
}

int32_t shell_job_check(const struct chronos_run *run, struct chronos_error *err)
{
    struct view view;

    return view_init(&view, run, true, err);
}

/* ---- The user ---- */

void shell_user_init(struct shell_user *user)
{
    struct passwd entry, *found = NULL;
    char memory[4096];

    (void)snprintf(user->home, sizeof(user->home), "/");
    (void)snprintf(user->name, sizeof(user->name), "%u", (unsigned)getuid());
    if (getpwuid_r(getuid(), &entry, memory, sizeof(memory), &found) != 0 || found == NULL) {
        return; /* a container without the user in its /etc/passwd */
    }
    if (strlen(entry.pw_dir) > 0 && strlen(entry.pw_dir) < sizeof(user->home)) {
        (void)snprintf(user->home, sizeof(user->home), "%s", entry.pw_dir);
    }
    if (strlen(entry.pw_name) > 0 && strlen(entry.pw_name) < sizeof(user->name)) {
        (void)snprintf(user->name, sizeof(user->name), "%s", entry.pw_name);
    }
}

/* ---- Packing ---- */

/* Writes, or only counts where `at` is NULL, so that one walk gives the size and the next one the bytes. */
struct packer {
    char *at;
    size_t size;
    uint32_t strings;
};

static void pack_bytes(struct packer *packer, const void *data, size_t size)
{
    if (packer->at != NULL) {
        memcpy(packer->at + packer->size, data, size);
    }
    packer->size += size;
}

static void pack_string(struct packer *packer, const char *text)
{
    pack_bytes(packer, text, strlen(text) + 1);
    packer->strings++;
}

static void pack_variable(struct packer *packer, const char *name, const char *value)
{
    pack_bytes(packer, name, strlen(name));
    pack_bytes(packer, "=", 1);
    pack_string(packer, value);
}

/* RFC 3339, UTC, milliseconds. */
static void format_time(int64_t unix_ns, char *out, size_t size)
{
    int64_t ms = unix_ns >= 0 ? unix_ns / 1000000 : -((-unix_ns + 999999) / 1000000);
    int64_t rest = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest) / 1000);
    struct tm parts;
    char date[40];

    if (gmtime_r(&seconds, &parts) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        (void)snprintf(out, size, "%lld", (long long)seconds);
        return;
    }
    (void)snprintf(out, size, "%s.%03dZ", date, (int)rest);
}

static bool job_sets(const struct chronos_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->n_params; i++) {
        if (is(&run->params[i], "env") && strcmp(run->params[i].key, name) == 0) {
            return true;
        }
    }
    return false;
}

static void pack_default(struct packer *packer, const struct chronos_run *run, const char *name, const char *value)
{
    if (!job_sets(run, name)) { /* a name that stands twice would be read differently by different programs */
        pack_variable(packer, name, value);
    }
}

static void pack_environment(struct packer *packer, const struct shell_user *user, const struct chronos_run *run)
{
    char time[64], attempt[16];

    format_time(run->scheduled_unix_ns, time, sizeof(time));
    (void)snprintf(attempt, sizeof(attempt), "%u", (unsigned)run->attempt);
    pack_default(packer, run, "PATH", DEFAULT_PATH);
    pack_default(packer, run, "HOME", user->home);
    pack_default(packer, run, "USER", user->name);
    pack_default(packer, run, "LOGNAME", user->name);
    pack_default(packer, run, "SHELL", "/bin/sh");
    pack_default(packer, run, "LANG", "C.UTF-8");
    pack_variable(packer, "CHRONOS_JOB_ID", run->job_id);
    pack_variable(packer, "CHRONOS_JOB_NAME", run->job_name);
    pack_variable(packer, "CHRONOS_EXECUTION_ID", run->execution_id);
    pack_variable(packer, "CHRONOS_SCHEDULED_TIME", time);
    pack_variable(packer, "CHRONOS_ATTEMPT", attempt);
    pack_variable(packer, "CHRONOS_IDEMPOTENCY_KEY", run->idempotency_key);
    pack_variable(packer, "CHRONOS_NODE_ID", run->node_id);
    if (run->traceparent != NULL && run->traceparent[0] != '\0') {
        pack_variable(packer, "TRACEPARENT", run->traceparent);
    }
    for (uint32_t i = 0; i < run->n_params; i++) {
        if (is(&run->params[i], "env")) {
            pack_variable(packer, run->params[i].key, text_of(&run->params[i]));
        }
    }
}

static void pack_arguments(struct packer *packer, const struct view *view, const struct chronos_run *run)
{
    if (view->command != NULL) {
        pack_string(packer, "/bin/sh");
        pack_string(packer, "-c");
        pack_string(packer, text_of(view->command));
        return;
    }
    for (uint32_t i = 0; i < run->n_params; i++) {
        if (is(&run->params[i], "argv")) {
            pack_string(packer, text_of(&run->params[i]));
        }
    }
}

static size_t pack_spec(char *out, const struct view *view, const struct shell_user *user,
                        const struct chronos_run *run)
{
    struct guardian_spec head = {.umask = view->umask_value};
    struct packer packer = {.at = out, .size = sizeof(head)};

    pack_string(&packer, view->cwd == NULL ? "" : text_of(view->cwd));
    uint32_t before = packer.strings;
    pack_arguments(&packer, view, run);
    head.argument_count = packer.strings - before;
    before = packer.strings;
    pack_environment(&packer, user, run);
    head.environment_count = packer.strings - before;
    if (out != NULL) {
        memcpy(out, &head, sizeof(head));
    }
    return packer.size;
}

static int signal_number(const struct chronos_param *param)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"HUP", SIGHUP},
                   {"QUIT", SIGQUIT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};

    for (size_t i = 0; param != NULL && i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strcmp(text_of(param), signals[i].name) == 0) {
            return signals[i].number;
        }
    }
    return SIGTERM;
}

static int32_t copy_input(struct shell_job *job, const struct chronos_param *input, struct chronos_error *err)
{
    if (input == NULL) {
        return CHRONOS_OK;
    }
    job->stdin_size = (size_t)input->value.size;
    job->stdin_text = malloc(job->stdin_size + 1);
    if (job->stdin_text == NULL) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for the standard input");
    }
    memcpy(job->stdin_text, input->value.data, job->stdin_size);
    return CHRONOS_OK;
}

int32_t shell_job_init(struct shell_job *job, const struct shell_user *user, const struct chronos_run *run,
                       struct chronos_error *err)
{
    struct view view;
    struct shell_job made = {0};
    int32_t status = view_init(&view, run, false, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    made.success = view.success;
    made.retry = view.retry;
    made.kill_signal = signal_number(view.kill_signal);
    (void)snprintf(made.program, sizeof(made.program), "%s",
                   view.command != NULL ? "/bin/sh" : text_of(view.first_argument));
    made.spec_size = pack_spec(NULL, &view, user, run);
    if (made.spec_size > GUARDIAN_SPEC_MAX) {
        return plugin_error(err, CHRONOS_TOOBIG, 0, "command, argv and env are together above %d bytes",
                            (int)GUARDIAN_SPEC_MAX);
    }
    made.spec = malloc(made.spec_size);
    if (made.spec == NULL) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for the command");
    }
    (void)pack_spec(made.spec, &view, user, run);
    status = copy_input(&made, view.input, err);
    if (status != CHRONOS_OK) {
        shell_job_deinit(&made);
        return status;
    }
    *job = made;
    return CHRONOS_OK;
}

void shell_job_deinit(struct shell_job *job)
{
    free(job->spec);
    free(job->stdin_text);
    *job = (struct shell_job){0};
}

/* ---- Judging ---- */

bool shell_job_exit_is_success(const struct shell_job *job, int exit_code)
{
    return job->success.given ? exit_codes_have(&job->success, exit_code) : exit_code == 0;
}

int32_t shell_job_retry(const struct shell_job *job, int exit_code)
{
    if (!job->retry.given) {
        return CHRONOS_RETRY_BY_OUTCOME;
    }
    return exit_codes_have(&job->retry, exit_code) ? CHRONOS_RETRY_YES : CHRONOS_RETRY_NO;
}
