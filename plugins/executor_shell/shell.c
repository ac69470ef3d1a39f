/* The shell executor: what the host sees of it. */
#include <stdlib.h>
#include <string.h>

#include <chronos/plugin.h>

#include "plugin_error.h"
#include "shell_job.h"
#include "supervisor.h"

struct shell {
    struct supervisor *supervisor;
    struct shell_user user;
};

static int32_t shell_validate(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self; /* the check is pure */
    return shell_job_check(run, err);
}

static int32_t shell_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    struct shell *shell = self;
    struct shell_job job = {0};
    int32_t status = shell_job_init(&job, &shell->user, run, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    status = supervisor_start(shell->supervisor, run->run_token, &job, err);
    shell_job_deinit(&job);
    return status;
}

static void shell_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    struct shell *shell = self;

    supervisor_cancel(shell->supervisor, run_token, reason, grace_ms);
}

static int32_t shell_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    const char *guardian = NULL;
    struct shell *shell = calloc(1, sizeof(*shell));

    if (shell == NULL) {
        return plugin_error(err, CHRONOS_NOMEM, 0, "no memory for the shell executor");
    }
    if (host->ops->config_string(host, "guardian", &guardian) != CHRONOS_OK) {
        guardian = NULL;
    }
    shell_user_init(&shell->user);
    int32_t status = supervisor_new(host, guardian, &shell->supervisor, err);
    if (status != CHRONOS_OK) {
        free(shell);
        return status;
    }
    *self = shell;
    return CHRONOS_OK;
}

static void shell_destroy(void *self)
{
    struct shell *shell = self;

    supervisor_free(shell->supervisor);
    free(shell);
}

/* Jobs are created by the thousand: the check is a scan of the parameters, and takes part where the request is. */
static const void *shell_get_extension(void *self, const char *id)
{
    static const struct chronos_quick_validate quick = {.struct_size = sizeof(quick)};

    (void)self; /* the same for every instance */
    return strcmp(id, CHRONOS_QUICK_VALIDATE) == 0 ? &quick : NULL;
}

static const struct chronos_executor_ops shell_ops = {
    .struct_size = sizeof(shell_ops),
    .validate = shell_validate,
    .start = shell_start,
    .cancel = shell_cancel,
};

#define PER_JOB CHRONOS_OPTION_PER_JOB

static const struct chronos_option shell_options[] = {
    {"command", CHRONOS_OPTION_STRING, PER_JOB, NULL, "1..131071", "Text for /bin/sh -c."},
    {"argv", CHRONOS_OPTION_STRING, PER_JOB | CHRONOS_OPTION_LIST, NULL, "1..4096",
     "Program and arguments, run without a shell."},
    {"env", CHRONOS_OPTION_STRING, PER_JOB | CHRONOS_OPTION_MAP, NULL, "0..1024", "Further environment variables."},
    {"cwd", CHRONOS_OPTION_STRING, PER_JOB, NULL, "1..4095", "Working directory, an absolute path; default /."},
    {"umask", CHRONOS_OPTION_STRING, PER_JOB, NULL, NULL, "Octal text such as 027; default: the daemon's."},
    {"stdin", CHRONOS_OPTION_STRING, PER_JOB, NULL, NULL, "Text for the standard input; default: empty."},
    {"success_exit_codes", CHRONOS_OPTION_INT, PER_JOB | CHRONOS_OPTION_LIST, NULL, NULL,
     "Exit codes that count as success; default 0."},
    {"retry_exit_codes", CHRONOS_OPTION_INT, PER_JOB | CHRONOS_OPTION_LIST, NULL, NULL,
     "If given, only failures with these exit codes are retried."},
    {"kill_signal", CHRONOS_OPTION_ENUM, PER_JOB, "TERM", "TERM|INT|HUP|QUIT|USR1|USR2",
     "Signal that asks the process group to end; SIGKILL follows after the grace period."},
    {"guardian", CHRONOS_OPTION_STRING, 0, NULL, "1..4095",
     "Path of chronos-shell-guardian; default: the file beside this plugin."},
};

static const struct chronos_component shell_component = {
    .struct_size = sizeof(shell_component),
    .kind = CHRONOS_KIND_EXECUTOR,
    .id = "shell",
    .summary = "Runs a command or a program on the node",
    .shorthand = "command",
    .options = shell_options,
    .n_options = sizeof(shell_options) / sizeof(shell_options[0]),
    .option_stride = sizeof(shell_options[0]),
    .ops = &shell_ops,
    .create = shell_create,
    .destroy = shell_destroy,
    .get_extension = shell_get_extension,
};

static const struct chronos_component *const components[] = {&shell_component, NULL};

static const struct chronos_plugin plugin = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof(plugin),
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "executor_shell",
    .version = CHRONOS_VERSION,
    .vendor = "Chronos",
    .build_info = "compiler " __VERSION__,
    .components = components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
