#include "outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *cancel_text(int32_t reason)
{
    switch (reason) {
    case CHRONOS_CANCEL_USER: return "on request";
    case CHRONOS_CANCEL_TIMEOUT: return "its timeout ran out";
    case CHRONOS_CANCEL_REPLACED: return "a newer run replaces it";
    case CHRONOS_CANCEL_SHUTDOWN: return "the node stops";
    case CHRONOS_CANCEL_LEASE: return "the node lost its lease";
    case CHRONOS_CANCEL_DELETED: return "the job was deleted";
    default: return "by the host";
    }
}

static void describe_exit(const struct run *run, char *out, size_t size)
{
    if (run->exit.term_signal != 0) {
        const char *name = sigabbrev_np(run->exit.term_signal);
        (void)snprintf(out, size, "ended by signal %d (SIG%s)", run->exit.term_signal, name == NULL ? "?" : name);
    } else {
        (void)snprintf(out, size, "exited with code %d", run->exit.exit_code);
    }
}

struct chronos_result outcome_plain(int32_t outcome, int32_t retry, const char *message)
{
    return (struct chronos_result){.struct_size = sizeof(struct chronos_result),
                                   .outcome = outcome,
                                   .exit_code = -1,
                                   .retry = retry,
                                   .message = message};
}

struct chronos_result outcome_of_exit(const struct run *run, char message[MESSAGE_SIZE])
{
    char how[80];
    struct chronos_result result = outcome_plain(CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_BY_OUTCOME, message);

    result.exit_code = run->exit.exit_code;
    result.term_signal = run->exit.term_signal;
    describe_exit(run, how, sizeof(how));
    if (run->exit.signalled != 0) {
        result.outcome = CHRONOS_OUTCOME_CANCELLED;
        (void)snprintf(message, MESSAGE_SIZE, "cancelled: %s; the process %s", cancel_text(run->cancel_reason), how);
    } else if (run->exit.term_signal == 0 && shell_job_exit_is_success(&run->job, run->exit.exit_code)) {
        result.outcome = CHRONOS_OUTCOME_SUCCESS;
        result.message = NULL;
    } else {
        result.retry = shell_job_retry(&run->job, run->exit.exit_code);
        (void)snprintf(message, MESSAGE_SIZE, "the process %s", how);
    }
    return result;
}

static const char *job_cwd(const struct run *run)
{
    return run->job.spec + sizeof(struct guardian_spec);
}

static bool is_passing_error(int sys_errno)
{
    return sys_errno == EAGAIN || sys_errno == ENOMEM || sys_errno == EMFILE || sys_errno == ENFILE ||
           sys_errno == ETXTBSY || sys_errno == EIO || sys_errno == ESTALE;
}

struct chronos_result outcome_of_refusal(const struct run *run, const struct guardian_report *report,
                                         char message[MESSAGE_SIZE])
{
    char reason[96];
    const char *why = strerror_r(report->sys_errno, reason, sizeof(reason));

    if (report->stage == GUARDIAN_STAGE_CHDIR) {
        (void)snprintf(message, MESSAGE_SIZE, "cannot enter the directory \"%.200s\": %s", job_cwd(run), why);
    } else if (report->stage == GUARDIAN_STAGE_EXEC) {
        (void)snprintf(message, MESSAGE_SIZE, "cannot run \"%s\": %s", run->job.program, why);
    } else {
        (void)snprintf(message, MESSAGE_SIZE, "cannot start a process: %s", why);
    }
    return outcome_plain(CHRONOS_OUTCOME_FAILED,
                         is_passing_error(report->sys_errno) ? CHRONOS_RETRY_BY_OUTCOME : CHRONOS_RETRY_NO, message);
}
