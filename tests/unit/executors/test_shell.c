/* The shell executor, driven through its ops by a host of the test's own. Commands are real processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_host.h"

static int setup(void **state)
{
    *state = fake_host_new(PLUGIN_PATH, NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_host_free(*state);
    return 0;
}

static struct job command(const char *text)
{
    struct job job = {0};

    job_set(&job, "command", text);
    job_set(&job, "kill_signal", "TERM");
    return job;
}

static const struct run_record *run_command(struct fake_host *host, const char *text)
{
    struct job job = command(text);

    return fake_run(host, &job);
}

static void expect_failed(const struct run_record *r, const char *message)
{
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    if (strstr(r->message, message) == NULL) {
        fail_msg("message \"%s\" does not hold \"%s\"", r->message, message);
    }
}

/* Zombies count as gone: who reaps an orphan is not ours to say. */
static bool process_is_gone(pid_t pid)
{
    char path[40], text[256];

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return true;
    }
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    const char *state = strrchr(text, ')');
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static bool pid_is_gone(void *arg)
{
    return process_is_gone(*(const pid_t *)arg);
}

static void expect_gone(pid_t pid)
{
    assert_true(pid > 1);
    wait_until(pid_is_gone, &pid, "the process ends");
}

/* The number behind `label` in the text. */
static pid_t number_after(const char *text, const char *label)
{
    const char *at = strstr(text, label);

    assert_non_null(at);
    return (pid_t)strtol(at + strlen(label), NULL, 10);
}

/* ---- Descriptor ---- */

static void test_descriptor(void **state)
{
    const struct chronos_component *c = fake_host_component(*state);

    assert_string_equal(c->id, "shell");
    assert_string_equal(c->shorthand, "command");
    assert_string_equal(c->options[0].name, "command");
    assert_true((c->options[0].flags & CHRONOS_OPTION_PER_JOB) != 0);
}

/* ---- Outcomes ---- */

static void test_success(void **state)
{
    const struct run_record *r = run_command(*state, "echo hello");

    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(r->result.exit_code, 0);
    assert_int_equal(r->result.term_signal, 0);
    assert_null(r->result.message);
    assert_string_equal(r->out, "hello\n");
    assert_string_equal(r->err, "");
}

static void test_exit_codes(void **state)
{
    const struct run_record *r = run_command(*state, "exit 3");

    expect_failed(r, "exited with code 3");
    assert_int_equal(r->result.exit_code, 3);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_BY_OUTCOME);

    struct job job = command("exit 3");
    job_set(&job, "success_exit_codes", "0");
    job_set(&job, "success_exit_codes", "3");
    r = fake_run(*state, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(r->result.exit_code, 3);

    job = command("exit 0"); /* 0 is not among the ones that were named */
    job_set(&job, "success_exit_codes", "3");
    assert_int_equal(fake_run(*state, &job)->result.outcome, CHRONOS_OUTCOME_FAILED);
}

static void test_retry_exit_codes(void **state)
{
    struct job job = command("exit 75");
    job_set(&job, "retry_exit_codes", "75");
    assert_int_equal(fake_run(*state, &job)->result.retry, CHRONOS_RETRY_YES);

    job = command("exit 1");
    job_set(&job, "retry_exit_codes", "75");
    assert_int_equal(fake_run(*state, &job)->result.retry, CHRONOS_RETRY_NO);

    job = command("kill -KILL $$");
    job_set(&job, "retry_exit_codes", "75");
    assert_int_equal(fake_run(*state, &job)->result.retry, CHRONOS_RETRY_NO);
}

static void test_ended_by_signal(void **state)
{
    const struct run_record *r = run_command(*state, "kill -SEGV $$");

    expect_failed(r, "signal 11 (SIGSEGV)");
    assert_int_equal(r->result.exit_code, -1);
    assert_int_equal(r->result.term_signal, SIGSEGV);
}

static void test_program_not_found(void **state)
{
    struct job job = {0};
    job_set(&job, "argv", "/nonexistent/program");
    const struct run_record *r = fake_run(*state, &job);
    expect_failed(r, "cannot run \"/nonexistent/program\": No such file or directory");
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);

    job = (struct job){0};
    job_set(&job, "argv", "no-such-program-in-path");
    expect_failed(fake_run(*state, &job), "No such file or directory");

    job = (struct job){0};
    job_set(&job, "argv", "/etc/passwd");
    r = fake_run(*state, &job);
    expect_failed(r, "Permission denied");
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
}

static void test_argv_without_shell(void **state)
{
    struct job job = {0};

    job_set(&job, "argv", "printf");
    job_set(&job, "argv", "%s|");
    job_set(&job, "argv", "a b");
    job_set(&job, "argv", "$HOME; *");
    job_set(&job, "argv", "");
    const struct run_record *r = fake_run(*state, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_string_equal(r->out, "a b|$HOME; *||");
}

static void test_path_of_the_job(void **state)
{
    struct job job = {0};

    job_set(&job, "argv", "ls");
    job_set_key(&job, "env", "PATH", "/nonexistent");
    expect_failed(fake_run(*state, &job), "cannot run \"ls\"");
}

/* ---- What a process finds ---- */

static bool has_line(const char *text, const char *line)
{
    size_t size = strlen(line);

    for (const char *at = text; (at = strstr(at, line)) != NULL; at++) {
        if ((at == text || at[-1] == '\n') && at[size] == '\n') {
            return true;
        }
    }
    return false;
}

static void test_environment(void **state)
{
    static const char *const lines[] = {
        "CHRONOS_JOB_ID=job_01",
        "CHRONOS_JOB_NAME=daily-report",
        "CHRONOS_EXECUTION_ID=exec_01",
        "CHRONOS_SCHEDULED_TIME=2026-01-31T09:00:00.123Z",
        "CHRONOS_ATTEMPT=2",
        "CHRONOS_IDEMPOTENCY_KEY=job_01:1769850000",
        "CHRONOS_NODE_ID=node-a",
        "TRACEPARENT=00-aa-bb-01",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C",
        "OWN=a=b c",
        "EMPTY=",
        "SHELL=/bin/sh",
    };
    struct job job = {.traceparent = "00-aa-bb-01"};

    assert_int_equal(setenv("LEAK", "1", 1), 0);
    job_set(&job, "argv", "/usr/bin/env");
    job_set_key(&job, "env", "OWN", "a=b c");
    job_set_key(&job, "env", "EMPTY", "");
    job_set_key(&job, "env", "LANG", "C"); /* replaces the default, does not stand beside it */
    const struct run_record *r = fake_run(*state, &job);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!has_line(r->out, lines[i])) {
            fail_msg("\"%s\" is missing in\n%s", lines[i], r->out);
        }
    }
    assert_null(strstr(r->out, "LEAK"));
    assert_null(strstr(r->out, "LANG=C.UTF-8"));
    assert_non_null(strstr(r->out, "HOME=/"));
    assert_int_equal(unsetenv("LEAK"), 0);

    assert_null(strstr(run_command(*state, "env")->out, "TRACEPARENT"));
}

static void test_cwd(void **state)
{
    char before[4096], after[4096];

    assert_non_null(getcwd(before, sizeof(before)));
    assert_string_equal(run_command(*state, "pwd")->out, "/\n");
    struct job job = command("pwd");
    job_set(&job, "cwd", "/usr/bin");
    assert_string_equal(fake_run(*state, &job)->out, "/usr/bin\n");

    job = command("true");
    job_set(&job, "cwd", "/nonexistent/dir");
    const struct run_record *r = fake_run(*state, &job);
    expect_failed(r, "cannot enter the directory \"/nonexistent/dir\": No such file");
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
    assert_non_null(getcwd(after, sizeof(after)));
    assert_string_equal(before, after);
}

static void test_umask(void **state)
{
    mode_t mine = umask(022);
    struct job job = command("umask");

    job_set(&job, "umask", "077");
    assert_string_equal(fake_run(*state, &job)->out, "0077\n");
    assert_int_equal(umask(mine), 022);
}

static void test_stdin(void **state)
{
    static const char binary[] = "a\0b\n";
    struct job job = command("cat");

    job_set(&job, "stdin", "line one\nline two");
    assert_string_equal(fake_run(*state, &job)->out, "line one\nline two");

    job = command("cat");
    job_set_bytes(&job, "stdin", binary, sizeof(binary) - 1);
    const struct run_record *r = fake_run(*state, &job);
    assert_int_equal(r->out_size, sizeof(binary) - 1);
    assert_memory_equal(r->out, binary, sizeof(binary) - 1);

    assert_string_equal(run_command(*state, "cat; readlink /proc/self/fd/0")->out, "/dev/null\n"); /* empty, no wait */
}

static void test_large_stdin_not_read(void **state)
{
    size_t size = 1 << 20;
    char *text = malloc(size);
    struct job job = command("echo ignored it");

    assert_non_null(text);
    memset(text, 'x', size);
    job_set_bytes(&job, "stdin", text, size);
    assert_string_equal(fake_run(*state, &job)->out, "ignored it\n");
    free(text);
}

static void test_no_inherited_descriptors(void **state)
{
    int careless = open("/etc/passwd", O_RDONLY); /* NOLINT: without O_CLOEXEC on purpose */
    const struct run_record *r = run_command(*state, "ls /proc/self/fd | wc -l");

    assert_true(careless >= 0);
    assert_string_equal(r->out, "4\n"); /* 0, 1, 2 and the directory itself */
    (void)close(careless);
}

static void test_signal_state(void **state)
{
    const struct run_record *r = run_command(*state, "grep -E '^Sig(Blk|Ign):' /proc/self/status");

    assert_string_equal(r->out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

/* ---- Output ---- */

static void test_both_streams(void **state)
{
    const struct run_record *r = run_command(*state, "for i in 1 2 3; do echo out$i; echo err$i >&2; done");

    assert_string_equal(r->out, "out1\nout2\nout3\n");
    assert_string_equal(r->err, "err1\nerr2\nerr3\n");
}

static void test_output_comes_while_it_runs(void **state)
{
    struct job job = command("exec 3<\"$FIFO\"; echo first; read x <&3; echo second >&2; read x <&3; echo third");
    char folder[] = "/tmp/chronos-test-fifo-XXXXXX", path[64];

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    job_set_key(&job, "env", "FIFO", path);
    uint64_t token = fake_start(*state, &job);
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* returns when the process reads */
    fake_wait_output(*state, token, "first\n");
    assert_false(fake_is_complete(*state, token));
    assert_int_equal(write(fd, "go\ngo\n", 6), 6);
    const struct run_record *r = fake_wait(*state, token);
    assert_string_equal(r->out, "first\nthird\n");
    assert_string_equal(r->err, "second\n");
    (void)close(fd);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void test_output_beyond_the_quota(void **state)
{
    struct job job = command("head -c 10485760 /dev/zero; echo end >&2");

    job.output_limit = 4096;
    const struct run_record *r = fake_run(*state, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS); /* drained: the process did not block */
    assert_int_equal(r->out_total, 10485760);
    assert_int_equal(r->out_size + r->err_size, 4096);
}

static void test_background_child_does_not_hold_the_run(void **state)
{
    const struct run_record *r = run_command(*state, "sleep 300 & echo pid=$!");
    pid_t left = number_after(r->out, "pid=");

    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_true(r->seconds < 30);
    assert_false(process_is_gone(left)); /* after a normal end it is left alone */
    assert_int_equal(kill(left, SIGKILL), 0);
}

static void test_background_child_may_finish_its_line(void **state)
{
    const struct run_record *r = run_command(*state, "(echo late) & exit 0"); /* mostly written after the exit */

    assert_string_equal(r->out, "late\n");
}

/* ---- Cancel ---- */

static void test_cancel(void **state)
{
    struct job job = command("echo ready; exec sleep 300");
    uint64_t token = fake_start(*state, &job);

    fake_wait_output(*state, token, "ready");
    fake_cancel(*state, token, CHRONOS_CANCEL_USER, 30000);
    fake_cancel(*state, token, CHRONOS_CANCEL_USER, 30000);
    const struct run_record *r = fake_wait(*state, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_int_equal(r->result.term_signal, SIGTERM);
    assert_non_null(strstr(r->message, "on request"));
    fake_cancel(*state, token, CHRONOS_CANCEL_USER, 0); /* a stale token is no-op */
    fake_cancel(*state, 4711, CHRONOS_CANCEL_USER, 0);
}

static void test_cancel_with_kill_signal(void **state)
{
    struct job job = {0};

    job_set(&job, "command", "trap 'echo got USR1; exit 7' USR1; echo ready; while :; do sleep 0.02; done");
    job_set(&job, "kill_signal", "USR1");
    uint64_t token = fake_start(*state, &job);
    fake_wait_output(*state, token, "ready");
    fake_cancel(*state, token, CHRONOS_CANCEL_TIMEOUT, 30000);
    const struct run_record *r = fake_wait(*state, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_int_equal(r->result.exit_code, 7);
    assert_non_null(strstr(r->out, "got USR1"));
}

static void test_cancel_kills_after_grace(void **state)
{
    struct job job = command("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    uint64_t token = fake_start(*state, &job);

    fake_wait_output(*state, token, "ready");
    fake_cancel(*state, token, CHRONOS_CANCEL_TIMEOUT, 200);
    const struct run_record *r = fake_wait(*state, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_int_equal(r->result.term_signal, SIGKILL);
    assert_true(r->seconds >= 0.2);
}

static void test_second_cancel_shortens_the_grace(void **state)
{
    struct job job = command("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    uint64_t token = fake_start(*state, &job);

    fake_wait_output(*state, token, "ready");
    fake_cancel(*state, token, CHRONOS_CANCEL_USER, 3600000);
    fake_cancel(*state, token, CHRONOS_CANCEL_SHUTDOWN, 0);
    assert_int_equal(fake_wait(*state, token)->result.term_signal, SIGKILL);
}

static void test_cancel_takes_the_whole_tree(void **state)
{
    /* The leader ends on TERM; its children ignore it and must go nevertheless. */
    struct job job = command("(trap '' TERM; sh -c 'echo b=$$; sleep 300'; sleep 300) & echo a=$!; echo ready; wait");
    uint64_t token = fake_start(*state, &job);

    fake_wait_output(*state, token, "b=");
    fake_wait_output(*state, token, "ready");
    fake_cancel(*state, token, CHRONOS_CANCEL_USER, 60000);
    const struct run_record *r = fake_wait(*state, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_true(r->seconds < 30);
    expect_gone(number_after(r->out, "a="));
    expect_gone(number_after(r->out, "b="));
}

static void test_cancel_reaches_a_stopped_process(void **state)
{
    /* Its child tells when it is stopped: by itself it could be asked to end just before, and stop after that. */
    struct job job = command("trap 'echo bye; exit 0' TERM; "
                             "(until grep -q '^State:.T' /proc/$$/status; do sleep 0.01; done; echo ready) & "
                             "kill -STOP $$; while :; do sleep 0.02; done");
    uint64_t token = fake_start(*state, &job);

    fake_wait_output(*state, token, "ready");
    fake_cancel(*state, token, CHRONOS_CANCEL_USER, 60000);
    const struct run_record *r = fake_wait(*state, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_true(r->seconds < 30);
}

static void test_cancel_at_once(void **state)
{
    for (int i = 0; i < 50; i++) { /* before, while and after it starts */
        struct job job = command("exec sleep 300");
        uint64_t token = fake_start(*state, &job);
        fake_cancel(*state, token, CHRONOS_CANCEL_USER, i % 2 == 0 ? 0 : 60000);
        const struct run_record *r = fake_wait(*state, token);
        assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
        assert_true(r->seconds < 30);
    }
}

static void test_end_and_cancel_race(void **state)
{
    for (int i = 0; i < 50; i++) {
        struct job job = command("exit 0");
        uint64_t token = fake_start(*state, &job);
        if (i % 2 == 0) {
            (void)fake_wait(*state, token);
        }
        fake_cancel(*state, token, CHRONOS_CANCEL_USER, 1000);
        const struct run_record *r = fake_wait(*state, token);
        assert_true(r->result.outcome == CHRONOS_OUTCOME_SUCCESS || r->result.outcome == CHRONOS_OUTCOME_CANCELLED);
        assert_true(i % 2 != 0 || r->result.outcome == CHRONOS_OUTCOME_SUCCESS);
    }
}

/* ---- Many ---- */

static void test_500_at_once(void **state)
{
    enum { COUNT = 500 };
    uint64_t tokens[COUNT];
    char expected[32];

    for (int i = 0; i < COUNT; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "echo run %d; exec sleep 0.5", i);
        struct job job = command(text);
        tokens[i] = fake_start(*state, &job);
    }
    for (int i = 0; i < COUNT; i++) {
        const struct run_record *r = fake_wait(*state, tokens[i]);
        (void)snprintf(expected, sizeof(expected), "run %d\n", i);
        assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
        assert_string_equal(r->out, expected);
    }
}

static void test_start_does_not_block(void **state)
{
    enum { COUNT = 1000 };
    struct timespec from, to;
    struct job job = {0};
    uint64_t token = 0;

    job_set(&job, "argv", "/bin/true");
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < COUNT; i++) {
        token = fake_start(*state, &job);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    double started = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    for (uint64_t t = token - COUNT + 1; t <= token; t++) {
        assert_int_equal(fake_wait(*state, t)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    double all = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    print_message("%d starts returned in %.3f s, the runs ended after %.3f s\n", COUNT, started, all);
}

/* ---- Checks when a job is saved ---- */

static void expect_invalid(struct fake_host *host, const struct job *job, const char *text)
{
    struct chronos_error err = {.struct_size = sizeof(err)};

    assert_int_equal(fake_validate(host, job, &err), CHRONOS_INVALID);
    if (strstr(err.msg, text) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\"", err.msg, text);
    }
    err = (struct chronos_error){.struct_size = sizeof(err)};
    assert_int_equal(fake_try_start(host, job, &err), CHRONOS_INVALID); /* and nothing of it ever starts */
}

static void expect_invalid_value(struct fake_host *host, const char *name, const char *value, const char *text)
{
    struct job job = command("true");

    job_set(&job, name, value);
    expect_invalid(host, &job, text);
}

static void test_validate(void **state)
{
    struct job job = {0};

    expect_invalid(*state, &job, "give \"command\"");
    expect_invalid_value(*state, "argv", "true", "not both");
    job_set(&job, "command", " \n");
    expect_invalid(*state, &job, "command: is empty");
    job = (struct job){0};
    job_set(&job, "argv", "");
    expect_invalid(*state, &job, "argv");
    job = (struct job){0};
    job_set_bytes(&job, "command", "true\0rm", 7);
    expect_invalid(*state, &job, "zero byte");

    expect_invalid_value(*state, "cwd", "relative/path", "absolute");
    expect_invalid_value(*state, "umask", "0888", "octal");
    expect_invalid_value(*state, "umask", "7777", "octal");
    expect_invalid_value(*state, "umask", "", "octal");
    expect_invalid_value(*state, "umask", "00022", "octal");
    expect_invalid_value(*state, "success_exit_codes", "256", "exit code");
    expect_invalid_value(*state, "success_exit_codes", "-1", "exit code");
    expect_invalid_value(*state, "retry_exit_codes", "1x", "exit code");
    expect_invalid_value(*state, "retry_exit_codes", "0", "success");
    static const char *const names[] = {"", "A=B", "CHRONOS_JOB_ID", "TRACEPARENT"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        job = command("true");
        job_set_key(&job, "env", names[i], "x");
        expect_invalid(*state, &job, "env");
    }

    job = command("true");
    job_set(&job, "cwd", "${env:WORK}"); /* its content is known on the node that runs it */
    job_set(&job, "umask", "${file:/etc/umask}");
    assert_int_equal(fake_validate(*state, &job, NULL), CHRONOS_OK);
    struct chronos_error err = {.struct_size = sizeof(err)};
    assert_int_equal(fake_try_start(*state, &job, &err), CHRONOS_INVALID);
    job = command("curl -H 'Authorization: ${env:TOKEN}' http://127.0.0.1/");
    assert_int_equal(fake_validate(*state, &job, &err), CHRONOS_INVALID);
    assert_non_null(strstr(err.msg, "list of processes"));
    job = command("echo ${HOME}");
    job_set(&job, "umask", "0027");
    assert_int_equal(fake_validate(*state, &job, NULL), CHRONOS_OK);
}

/* ---- Life of the instance ---- */

static void test_nothing_left_after_destroy(void **state)
{
    (void)state;
    fake_host_free(fake_host_new(PLUGIN_PATH, NULL)); /* what libraries open once */
    size_t fds = count_fds(), threads = count_threads();
    struct fake_host *host = fake_host_new(PLUGIN_PATH, NULL);

    for (int i = 0; i < 20; i++) {
        struct job job = command(i % 2 == 0 ? "echo x" : "exit 1");
        job_set(&job, "stdin", "text");
        (void)fake_run(host, &job);
    }
    struct job job = {0};
    job_set(&job, "argv", "/nonexistent");
    (void)fake_run(host, &job);
    assert_true(count_fds() <= fds + 4); /* program, socket, epoll, wake: runs leave nothing */
    fake_host_free(host);
    assert_int_equal(count_fds(), fds);
    wait_for_threads(threads);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, no zombie */
    assert_int_equal(errno, ECHILD);
}

static void test_several_instances(void **state)
{
    struct fake_host *other = fake_host_new(PLUGIN_PATH, NULL);

    assert_string_equal(run_command(other, "echo other")->out, "other\n");
    assert_string_equal(run_command(*state, "echo one")->out, "one\n");
    fake_host_free(other);
    assert_string_equal(run_command(*state, "echo still")->out, "still\n");
}

static void test_destroy_ends_what_was_written_off(void **state)
{
    struct fake_host *host = fake_host_new(PLUGIN_PATH, NULL);
    struct job job = command("trap '' TERM; echo pid=$$; sleep 300; sleep 300");
    uint64_t token = fake_start(host, &job);

    (void)state;
    fake_wait_output(host, token, "pid=");
    fake_host_destroy_instance(host);
    const struct run_record *r = fake_wait(host, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_LOST);
    expect_gone(number_after(r->out, "pid="));
    fake_host_free(host);
}

static void test_guardian_missing(void **state)
{
    static const struct config_value missing[] = {{.key = "guardian", .text = "/nonexistent/guardian"}, {0}};
    static const struct config_value text[] = {{.key = "guardian", .text = "/etc/passwd"}, {0}};
    struct chronos_error err;
    size_t fds = count_fds();

    (void)state;
    assert_int_equal(fake_host_try(PLUGIN_PATH, missing, &err), CHRONOS_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/guardian"));
    assert_int_equal(fake_host_try(PLUGIN_PATH, text, &err), CHRONOS_INVALID);
    assert_int_equal(count_fds(), fds);
}

static void test_guardian_that_others_can_write(void **state)
{
    char path[] = "/tmp/chronos-test-guardian-XXXXXX";
    int fd = mkstemp(path);
    struct config_value config[] = {{.key = "guardian", .text = path}, {0}};
    struct chronos_error err;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0777), 0);
    assert_int_equal(fake_host_try(PLUGIN_PATH, config, &err), CHRONOS_DENIED);
    (void)close(fd);
    (void)unlink(path);
}

/* ---- The guardian ---- */

/* "ppid=<guardian> pid=<leader> child=<member of its group>", and then waits. */
#define FAMILY "sleep 300 & echo ppid=$PPID pid=$$ child=$!; echo ready; wait"

static void test_death_of_the_guardian(void **state)
{
    struct job job = command(FAMILY);
    uint64_t token = fake_start(*state, &job);

    fake_wait_output(*state, token, "ready");
    struct job next = command("echo again");
    pid_t guardian = 0;
    {
        struct job who = command("echo ppid=$PPID");
        guardian = number_after(fake_run(*state, &who)->out, "ppid=");
    }
    assert_true(guardian > 1 && guardian != getpid());
    assert_int_equal(kill(guardian, SIGKILL), 0);
    const struct run_record *r = fake_wait(*state, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_LOST);
    expect_gone(number_after(r->out, " pid="));
    expect_gone(number_after(r->out, "child="));
    assert_true(fake_logged(*state, "guardian process"));
    assert_string_equal(fake_run(*state, &next)->out, "again\n"); /* with another guardian */
}

static bool file_has_line(void *arg)
{
    char text[256];
    FILE *file = fopen(arg, "re");

    if (file == NULL) {
        return false;
    }
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    return strstr(text, "ready") != NULL;
}

/* This program as a daemon: starts a family and waits to be killed. */
static _Noreturn void daemon_main(const char *path)
{
    struct fake_host *host = fake_host_new(PLUGIN_PATH, NULL);
    struct job job = {0};

    job_set(&job, "command", "trap '' TERM HUP; exec >>\"$FILE\"; " FAMILY);
    job_set_key(&job, "env", "FILE", path);
    (void)fake_start(host, &job);
    for (;;) {
        (void)pause();
    }
}

static void test_kill_9_of_the_daemon(void **state)
{
    char path[] = "/tmp/chronos-test-family-XXXXXX", text[256] = "", self[] = "/proc/self/exe", flag[] = "--daemon";
    char *argv[] = {self, flag, path, NULL};
    pid_t daemon;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(posix_spawn(&daemon, self, NULL, NULL, argv, environ), 0);
    wait_until(file_has_line, path, "the family runs");
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_false(process_is_gone(number_after(text, " pid=")));
    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    expect_gone(number_after(text, " pid="));
    expect_gone(number_after(text, "child="));
    expect_gone(number_after(text, "ppid="));
    (void)close(fd);
    (void)unlink(path);
}

#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_HOST(test_descriptor),
        WITH_HOST(test_success),
        WITH_HOST(test_exit_codes),
        WITH_HOST(test_retry_exit_codes),
        WITH_HOST(test_ended_by_signal),
        WITH_HOST(test_program_not_found),
        WITH_HOST(test_argv_without_shell),
        WITH_HOST(test_path_of_the_job),
        WITH_HOST(test_environment),
        WITH_HOST(test_cwd),
        WITH_HOST(test_umask),
        WITH_HOST(test_stdin),
        WITH_HOST(test_large_stdin_not_read),
        WITH_HOST(test_no_inherited_descriptors),
        WITH_HOST(test_signal_state),
        WITH_HOST(test_both_streams),
        WITH_HOST(test_output_comes_while_it_runs),
        WITH_HOST(test_output_beyond_the_quota),
        WITH_HOST(test_background_child_does_not_hold_the_run),
        WITH_HOST(test_background_child_may_finish_its_line),
        WITH_HOST(test_cancel),
        WITH_HOST(test_cancel_with_kill_signal),
        WITH_HOST(test_cancel_kills_after_grace),
        WITH_HOST(test_second_cancel_shortens_the_grace),
        WITH_HOST(test_cancel_takes_the_whole_tree),
        WITH_HOST(test_cancel_reaches_a_stopped_process),
        WITH_HOST(test_cancel_at_once),
        WITH_HOST(test_end_and_cancel_race),
        WITH_HOST(test_500_at_once),
        WITH_HOST(test_start_does_not_block),
        WITH_HOST(test_validate),
        cmocka_unit_test(test_nothing_left_after_destroy),
        WITH_HOST(test_several_instances),
        cmocka_unit_test(test_destroy_ends_what_was_written_off),
        cmocka_unit_test(test_guardian_missing),
        cmocka_unit_test(test_guardian_that_others_can_write),
        WITH_HOST(test_death_of_the_guardian),
        cmocka_unit_test(test_kill_9_of_the_daemon),
    };

    if (argc == 3 && strcmp(argv[1], "--daemon") == 0) {
        daemon_main(argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
