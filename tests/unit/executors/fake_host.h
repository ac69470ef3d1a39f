/* A host for one executor instance, as small as it can be: real clocks, configuration from a table, and every run's
 * output and completion kept for the test to look at. */
#ifndef TESTS_EXECUTORS_FAKE_HOST_H
#define TESTS_EXECUTORS_FAKE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <chronos/plugin.h>

enum { PARAMS_MAX = 64, WAIT_SECONDS = 60 };

struct fake_host;

struct config_value {
    const char *key;
    const char *text; /* for strings */
    int64_t number;   /* for integers */
};

/* Loads the plugin and creates an instance. `config` ends with a NULL key; NULL: defaults. Fails the test on error. */
struct fake_host *fake_host_new(const char *plugin_path, const struct config_value *config);
/* As fake_host_new, when create is expected to fail: returns its code and fills `err`. */
int32_t fake_host_try(const char *plugin_path, const struct config_value *config, struct chronos_error *err);
void fake_host_free(struct fake_host *host); /* destroy */
/* destroy alone, so that a test can look at what is left; fake_host_free then only frees. */
void fake_host_destroy_instance(struct fake_host *host);

const struct chronos_component *fake_host_component(const struct fake_host *host);

/* The parameters of a job, built one by one. */
struct job {
    struct chronos_param params[PARAMS_MAX];
    uint32_t count;
    uint64_t output_limit; /* 0: 1 MiB */
    const char *traceparent;
};
void job_set(struct job *job, const char *name, const char *value);
void job_set_key(struct job *job, const char *name, const char *key, const char *value);
void job_set_bytes(struct job *job, const char *name, const void *data, size_t size);

/* validate(); `err` may be NULL. */
int32_t fake_validate(struct fake_host *host, const struct job *job, struct chronos_error *err);
/* start(); the token, which is never 0. Fails the test if start fails. */
uint64_t fake_start(struct fake_host *host, const struct job *job);
int32_t fake_try_start(struct fake_host *host, const struct job *job, struct chronos_error *err);
void fake_cancel(struct fake_host *host, uint64_t token, int32_t reason, uint64_t grace_ms);

/* What a run left behind. Waits for its completion, at most WAIT_SECONDS. */
struct run_record {
    struct chronos_result result;
    char message[600];
    char *out, *err; /* NUL-terminated, as much as the quota kept */
    uint64_t out_size, err_size;     /* kept */
    uint64_t out_total, err_total;   /* offered */
    int completions;
    double seconds;
};
const struct run_record *fake_wait(struct fake_host *host, uint64_t token);
/* Waits until `text` stands in the run's standard output. */
void fake_wait_output(struct fake_host *host, uint64_t token, const char *text);
bool fake_is_complete(struct fake_host *host, uint64_t token);
/* Lines logged so far, one after the other. */
bool fake_logged(struct fake_host *host, const char *text);

/* fake_start and fake_wait. */
const struct run_record *fake_run(struct fake_host *host, const struct job *job);

/* Descriptors and threads of this process now. */
size_t count_fds(void);
size_t count_threads(void);
/* Waits for `condition(arg)`; fails the test after WAIT_SECONDS. */
void wait_until(bool (*condition)(void *arg), void *arg, const char *what);
/* Waits until this process has at most `count` threads: the kernel lists one for a moment after pthread_join has returned. */
void wait_for_threads(size_t count);

#endif
