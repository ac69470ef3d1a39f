/* One call of chronosctl: what was asked, and the means to answer. */
#ifndef CHRONOS_CTL_INVOCATION_H
#define CHRONOS_CTL_INVOCATION_H

#include <cjson/cJSON.h>

#include "ctl/arguments.h"
#include "ctl/client.h"
#include "ctl/problem.h"
#include "ctl/table.h"

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_YAML, FORMAT_NAME };

enum { OUT_BYTES_MAX = 512 << 20 };

struct invocation {
    const struct command_set *set;
    struct arguments arguments;
    struct client *client;
    enum format format;
    bool colour;
    bool out_is_terminal;
    int64_t now_ms;
    struct buffer out; /* for standard output; printed by invocation_print, and at the end */
};

/* Writes what is in `out`; complains and returns EXIT_CODE_REFUSED if that fails. */
int invocation_print(struct invocation *invocation);

/* A value as -o json or -o yaml says. Format is one of these two. */
int invocation_show(struct invocation *invocation, const cJSON *value);
/* Prints the table and frees it. */
int invocation_table(struct invocation *invocation, struct table *table);

/* Every command of the tables in commands.c. They return an exit code. */
extern const struct command_set chronosctl_commands;
int run_job_list(struct invocation *invocation);
int run_job_get(struct invocation *invocation);
int run_job_create(struct invocation *invocation);
int run_job_update(struct invocation *invocation);
int run_job_apply(struct invocation *invocation);
int run_job_import(struct invocation *invocation);
int run_job_export(struct invocation *invocation);
int run_job_delete(struct invocation *invocation);
int run_job_trigger(struct invocation *invocation);
int run_job_enable(struct invocation *invocation);
int run_job_disable(struct invocation *invocation);
int run_job_upcoming(struct invocation *invocation);
int run_validate_schedule(struct invocation *invocation);
int run_execution_list(struct invocation *invocation);
int run_execution_get(struct invocation *invocation);
int run_execution_output(struct invocation *invocation);
int run_execution_cancel(struct invocation *invocation);
int run_cluster_status(struct invocation *invocation);
int run_cluster_nodes(struct invocation *invocation);
int run_cluster_join(struct invocation *invocation);
int run_cluster_remove(struct invocation *invocation);
int run_cluster_transfer(struct invocation *invocation);
int run_cluster_snapshot(struct invocation *invocation);
int run_token_generate(struct invocation *invocation);
int run_token_hash(struct invocation *invocation);
int run_version(struct invocation *invocation);
int run_help(struct invocation *invocation);
int run_completion(struct invocation *invocation);

#endif
