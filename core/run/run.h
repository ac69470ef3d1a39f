/* Runs on this node: start what the applied state says is ours, watch over it, report how it ended.
 *
 * Level-triggered: after every batch, and when it gains its lease, the open attempts of (this node, this session) that were not
 * started yet are started; the cancel mark of a row is obeyed. A replay never starts anything, for its session is gone. A node
 * that no leader answers any more ends its runs before its lease does (lease.c): then others may have them. Each executor instance has a
 * dispatcher thread; completions and output come from any thread and are posted to the loop. Output is captured up to
 * output.captured_bytes in `local/`, which also keeps the outbox of reports that are not committed yet. */
#ifndef CHRONOS_RUN_RUN_H
#define CHRONOS_RUN_RUN_H

#include "cluster/cluster.h"
#include "plugin/instance.h"

struct runner;

struct runner_config {
    uv_loop_t *loop;
    const struct clock *clock;
    const char *node_id;
    const char *data_dir;                   /* its local/ is ours */
    const struct plugin_component *backend; /* of local/ */
    const cJSON *backend_options;
    const struct plugin_component *const *executors; /* to make instances of */
    const cJSON *const *executor_options;            /* parallel; NULL member: {} */
    uint32_t executor_count;
    const char *const *tags;                /* "key=value", sorted; they outlive the runner */
    uint32_t tag_count;                     /* at most NODE_TAGS_MAX */
    uint32_t max_concurrent;                /* attempts at once on this node */
    int64_t grace_ms;                       /* between a cancel and force */
    int64_t lease_ms;                       /* runs go on for so long without a leader's answer; 0: no lease is needed */
    uint32_t replicated_output_bytes;
    int64_t captured_output_bytes;
    int64_t output_retention_ms;
};

/* Opens local/, makes the executor instances and their dispatchers. */
must_use enum status runner_new(const struct runner_config *config, struct runner **ret, struct error *err);
/* Binds it to the cluster. Reports that an earlier session left in the outbox are proposed first, then NODE_UP with a new
 * random session; only then can anything be assigned to us. */
void runner_attach(struct runner *runner, struct cluster *cluster);
/* The `runner` table of cluster_config. */
struct cluster_runner_ops runner_ops(struct runner *runner);

/* The node's own row, for NODE_UP and the API. */
void runner_node(const struct runner *runner, struct node_row *ret);
/* Does this node run attempts of the executor at present? The same as being among its executors there. */
bool runner_offers(const struct runner *runner, const char *executor);

/* Stop starting; wait up to timeout_ms for running attempts; cancel the rest (SHUTDOWN), report, flush; `drained` is called
 * once on the loop. */
void runner_drain(struct runner *runner, int64_t timeout_ms, void (*drained)(void *arg), void *arg);
/* After drained, and after the cluster has stopped. Without a drain before (a start that failed) the loop must turn once
 * more afterwards, to close our handles. */
void runner_free(struct runner *runner);

/* Output captured for an attempt on this node, from `offset`; live for one that runs. Appends at most `max` bytes to out.
 * NOT_FOUND: nothing is kept here; output that fits in the report is not kept twice, the execution's own record has all of
 * it. *ret_total: bytes that can be read so far; *ret_done: it cannot grow any more. Point read: loop thread. */
must_use enum status runner_output(struct runner *runner, const struct id *execution, uint32_t attempt, uint64_t offset,
                                   size_t max, struct buffer *out, uint64_t *ret_total, bool *ret_done, struct error *err);

struct runner_stats {
    uint32_t active, queued;
    uint64_t started, finished, start_late_sum_ms, output_bytes, output_dropped_bytes; /* counters */
    uint64_t wedged_instances;                                                         /* now */
    uint64_t start_late_buckets[12]; /* <=1,2,5,10,25,50,100,250,500,1000,5000 ms, more: started_at - scheduled_time */
};
void runner_stats_get(const struct runner *runner, struct runner_stats *ret);

/* A job's executor config, checked by the plugin itself on top of its schema. Pure, and of whatever speed: on a thread of a pool
 * ([pool]), which the runner outlives; on the loop only where the plugin promises to be quick. */
must_use enum status runner_validate(const struct runner *runner, const char *executor, const struct chronos_param *params,
                                     uint32_t count, const char *job_name, struct error *err);
/* CHRONOS_QUICK_VALIDATE. False also for an executor that is not here. */
bool runner_validates_quickly(const struct runner *runner, const char *executor);

#endif
