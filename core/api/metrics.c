/* The metrics page, Prometheus text format 0.0.4. docs/metrics.md lists every name; a test compares. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api_internal.h"

enum { METRICS_MAX = 256 * 1024 };

/* Upper bounds of runner_stats.start_late_buckets, in seconds. */
static const char *const late_bounds[] = {"0.001", "0.002", "0.005", "0.01", "0.025", "0.05",
                                          "0.1",   "0.25",  "0.5",   "1",    "5",     "+Inf"};

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_appendf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct buffer *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    buffer_appendf(out, "%s %.15g\n", name, value);
}

static void counter(struct buffer *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    buffer_appendf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* A summary without quantiles: how often, how long in all. */
static void duration(struct buffer *out, const char *name, const char *help, uint64_t count, uint64_t ns)
{
    head(out, name, "summary", help);
    buffer_appendf(out, "%s_sum %.9g\n%s_count %llu\n", name, (double)ns / 1e9, name, (unsigned long long)count);
}

static uint32_t reachable_count(const struct cluster_status *status)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < status->member_count; i++)
        count += status->members[i].is_reachable;
    return count;
}

static void clock_metrics(struct buffer *out, const struct cluster_status *status, bool agrees)
{
    head(out, "chronos_clock_ahead_seconds", "gauge", "Wall clock of a member before this node's; the leader knows all, others the leader's.");
    for (uint32_t i = 0; i < status->member_count; i++)
        if (status->members[i].is_clock_known)
            buffer_appendf(out, "chronos_clock_ahead_seconds{node=\"%s\"} %.15g\n", status->members[i].name,
                           (double)status->members[i].clock_ahead_ms / 1000);
    gauge(out, "chronos_clock_held", "1 where this node leads and decides nothing, since its clock may be wrong.",
          status->is_leader && !agrees);
}

static void refusal_metrics(const struct api *api, struct buffer *out)
{
    struct cluster_refusals refusals[CLUSTER_REFUSALS_MAX];
    uint32_t count = cluster_refusals(api->config.cluster, refusals);
    head(out, "chronos_node_links_refused_total", "counter", "Callers of the node link that were turned away, by reason.");
    for (uint32_t i = 0; i < count; i++)
        buffer_appendf(out, "chronos_node_links_refused_total{reason=\"%s\"} %llu\n", refusals[i].reason,
                       (unsigned long long)refusals[i].count);
}

static void cluster_metrics(const struct api *api, struct buffer *out)
{
    struct cluster_status status;
    cluster_status_get(api->config.cluster, &status);
    gauge(out, "chronos_raft_is_leader", "1 if this node is the leader.", status.is_leader);
    gauge(out, "chronos_raft_peers", "Members of the cluster, this node included.", status.member_count);
    gauge(out, "chronos_raft_peers_reachable", "Members that answer, this node included.", reachable_count(&status));
    gauge(out, "chronos_raft_term", "Term of this node.", (double)status.term);
    gauge(out, "chronos_raft_commit_index", "Newest committed log entry.", (double)status.commit_index);
    gauge(out, "chronos_raft_applied_index", "Newest applied log entry.", (double)status.applied_index);
    gauge(out, "chronos_raft_last_contact", "Seconds since the last contact with the leader; 0 on the leader.",
          (double)status.leader_contact_ms / 1000);
    gauge(out, "chronos_raft_last_contact_seconds", "The same, under a name with its unit.",
          (double)status.leader_contact_ms / 1000);
    counter(out, "chronos_raft_frames_unknown_total", "Frames of a kind that this version does not know, from newer nodes; skipped.",
            status.frames_unknown);
    refusal_metrics(api, out);
    gauge(out, "chronos_log_bytes", "Bytes of the entries kept in the log.", (double)status.log_bytes);
    counter(out, "chronos_log_entries_total", "Entries written to the log.", status.log_entries);
    duration(out, "chronos_log_append_seconds", "Time of one synced write of the log.", status.log_commits,
             status.log_commit_ns);
    counter(out, "chronos_applied_entries_total", "Entries applied to the state.", status.apply_entries);
    duration(out, "chronos_apply_seconds", "Time of one transaction of the state.", status.apply_batches, status.apply_ns);
    gauge(out, "chronos_proposals_waiting", "Changes that wait for their commit.", status.proposals_waiting);
    gauge(out, "chronos_stamp_ahead_seconds", "Newest stamp before the wall clock; above 0 after the clock was set back.",
          (double)status.stamp_ahead_ms / 1000);
    clock_metrics(out, &status, cluster_clock_agrees(api->config.cluster));
    gauge(out, "chronos_disk_free_bytes", "Free bytes on the file system of the log; -1 if it cannot be told.",
          (double)status.disk_free_bytes);
    gauge(out, "chronos_disk_state", "0 enough space, 1 client writes are refused, 2 no slots are decided.", status.disk);
}

static void scheduler_metrics(const struct api *api, struct buffer *out)
{
    struct scheduler_stats stats;
    scheduler_stats_get(api->config.scheduler, &stats);
    gauge(out, "chronos_jobs", "Jobs that exist.", stats.jobs);
    gauge(out, "chronos_jobs_enabled", "Jobs that are enabled.", stats.jobs_enabled);
    gauge(out, "chronos_jobs_held", "Jobs whose schedule or time zone cannot be read here.", stats.jobs_held);
    gauge(out, "chronos_open_runs", "Runs that have not ended.", stats.open_runs);
    gauge(out, "chronos_runs_ready", "Runs that wait for a node.", stats.ready);
    gauge(out, "chronos_runs_backoff", "Runs that wait for their next attempt.", stats.backoff);
    counter(out, "chronos_slots_decided_total", "Slots that the scheduler proposed to run.", stats.decided_slots);
    counter(out, "chronos_decisions_stale_total", "Decisions that met a changed state and were made anew.",
            stats.stale_decisions);
}

/* What the scheduler drops slots for is there from the start: of a series that begins above 0, Prometheus does not see the first
 * increase. */
static bool is_shown(const struct api *api, int reason)
{
    return reason == REASON_MISSED || reason == REASON_CATCHUP_WINDOW || reason == REASON_CATCHUP_LIMIT ||
           reason == REASON_IGNORED || api->dropped_by_reason[reason] > 0;
}

static void run_metrics(const struct api *api, struct buffer *out)
{
    struct runner_stats stats;
    uint64_t cumulative = 0;
    head(out, "chronos_runs_total", "counter", "Runs that ended, by status.");
    for (int status = RUN_SUCCESS; status < RUN_STATUS_COUNT; status++)
        buffer_appendf(out, "chronos_runs_total{status=\"%s\"} %llu\n", run_status_name((enum run_status)status),
                       (unsigned long long)api->runs_by_status[status]);
    head(out, "chronos_missed_runs_total", "counter", "Slots that were due and were not run, by reason.");
    for (int reason = 1; reason < REASON_COUNT; reason++)
        if (is_shown(api, reason))
            buffer_appendf(out, "chronos_missed_runs_total{reason=\"%s\"} %llu\n", reason_name((enum reason)reason),
                           (unsigned long long)api->dropped_by_reason[reason]);
    runner_stats_get(api->config.runner, &stats);
    gauge(out, "chronos_attempts_active", "Attempts that run on this node.", stats.active);
    counter(out, "chronos_attempts_started_total", "Attempts started on this node.", stats.started);
    counter(out, "chronos_attempts_finished_total", "Attempts that ended on this node.", stats.finished);
    counter(out, "chronos_output_bytes_total", "Bytes of output captured.", stats.output_bytes);
    counter(out, "chronos_output_dropped_bytes_total", "Bytes of output beyond the limits.", stats.output_dropped_bytes);
    gauge(out, "chronos_executors_wedged", "Executor instances that do not return from a call.",
          (double)stats.wedged_instances);
    head(out, "chronos_run_start_lateness_seconds", "histogram", "Start of a run after its scheduled time.");
    for (size_t i = 0; i < sizeof late_bounds / sizeof late_bounds[0]; i++) {
        cumulative += stats.start_late_buckets[i];
        buffer_appendf(out, "chronos_run_start_lateness_seconds_bucket{le=\"%s\"} %llu\n", late_bounds[i],
                       (unsigned long long)cumulative);
    }
    buffer_appendf(out, "chronos_run_start_lateness_seconds_sum %.3f\nchronos_run_start_lateness_seconds_count %llu\n",
                   (double)stats.start_late_sum_ms / 1000, (unsigned long long)cumulative);
}

static void http_metrics(const struct api *api, struct buffer *out)
{
    struct http_stats stats;
    http_server_stats(api->server, &stats);
    counter(out, "chronos_http_requests_total", "HTTP requests received.", stats.requests);
    head(out, "chronos_http_responses_total", "counter", "HTTP answers, by class.");
    for (int class = 1; class < 6; class++)
        buffer_appendf(out, "chronos_http_responses_total{class=\"%dxx\"} %llu\n", class,
                       (unsigned long long)stats.responses_by_class[class]);
    gauge(out, "chronos_http_connections", "Open HTTP connections.", stats.connections_open);
    counter(out, "chronos_http_connections_total", "HTTP connections accepted.", stats.connections_accepted);
    counter(out, "chronos_http_connections_refused_total", "HTTP connections refused for want of room.",
            stats.connections_refused);
    counter(out, "chronos_http_timeouts_total", "HTTP connections closed because a deadline passed.", stats.timeouts);
    counter(out, "chronos_http_unauthenticated_total", "HTTP requests refused for want of a good token.",
            api->unauthenticated_count);
}

static uint64_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory's own */
}

enum { LOOK_AGAIN_NS = 1000000000 };

/* Files of /proc cost more than all the rest of the page: looked at once a second, however often somebody asks. */
static void look_at_process(struct api *api)
{
    unsigned long long pages = 0, resident = 0;
    uint64_t now = api->config.clock->monotonic_ns(api->config.clock->arg);
    if (api->process.looked_ns != 0 && now - api->process.looked_ns < LOOK_AGAIN_NS)
        return;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &pages, &resident) != 2)
            resident = 0;
        (void)fclose(file); /* read only */
    }
    api->process = (struct process_figures){now, resident * (uint64_t)sysconf(_SC_PAGESIZE), count_descriptors()};
}

static void process_metrics(struct api *api, struct buffer *out)
{
    look_at_process(api);
    gauge(out, "process_resident_memory_bytes", "Resident memory, mapped database pages included.", (double)api->process.resident_bytes);
    gauge(out, "process_open_fds", "Open file descriptors.", (double)api->process.descriptors);
    gauge(out, "process_start_time_seconds", "Start of the process, since 1970 UTC.", (double)api->config.started_ms / 1000);
    counter(out, "chronos_log_lines_dropped_total", "Lines of the daemon's own log that could not be written.",
            log_dropped_count());
}

static void write_metrics(struct api *api, struct buffer *out)
{
    head(out, "chronos_build_info", "gauge", "Always 1; the version is in the label.");
    buffer_appendf(out, "chronos_build_info{version=\"%s\"} 1\n", CHRONOS_VERSION);
    head(out, "chronos_insecure", "gauge", "1 where something is open that should not be.");
    buffer_appendf(out, "chronos_insecure{what=\"http\"} %d\n", config_http_is_open(api->config.config) ? 1 : 0);
    buffer_appendf(out, "chronos_insecure{what=\"node_links\"} %d\n", config_raft_is_open(api->config.config) ? 1 : 0);
    head(out, "chronos_tls_certificate_expiry_time_seconds", "gauge", "When this node's certificate ends, since 1970 UTC.");
    int64_t expires_s = cluster_tls_expires_s(api->config.cluster);
    if (expires_s != INT64_MAX)
        buffer_appendf(out, "chronos_tls_certificate_expiry_time_seconds{what=\"node_links\"} %lld\n", (long long)expires_s);
    cluster_metrics(api, out);
    scheduler_metrics(api, out);
    run_metrics(api, out);
    http_metrics(api, out);
    process_metrics(api, out);
}

API_HANDLER(handle_metrics)
{
    struct api *api = arg;
    struct buffer body;
    (void)match;
    if (!api->config.config->metrics.enabled) {
        answer_problem(api, request->token, request->request_id, STATUS_NOT_FOUND,
                       "metrics are switched off (metrics.enabled)", NULL);
        return;
    }
    buffer_init(&body, METRICS_MAX);
    write_metrics(api, &body);
    answer_bytes(api, request->token, 200, "text/plain; version=0.0.4; charset=utf-8", &body, NULL);
}
