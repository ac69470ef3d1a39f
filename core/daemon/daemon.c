#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "base/zoneinfo.h"
#include "cluster/cluster.h"
#include "daemon/checks.h"
#include "daemon/leader.h"
#include "daemon/plugins.h"
#include "daemon/service.h"
#include "http/http.h"
#include "run/run.h"
#include "scheduler/scheduler.h"
#include "state/level.h"

enum { WARN_INSECURE_MS = 60 * 60 * 1000 };

/* Start order is the order of the members; stopping goes backwards. */
struct node {
    const struct config *config;
    struct daemon_restore restore;
    const struct clock *clock;
    uv_loop_t loop;
    struct plugins plugins;
    struct cluster_config cluster_config;
    struct cluster *cluster;
    struct scheduler *scheduler;
    struct leader leader;
    struct runner *runner;
    struct api *api;
    struct http_server *server;
    uv_signal_t terminate, interrupt, hangup;
    uv_timer_t insecure;
    struct service service;
    struct tls_files raft_tls;
    struct tokens *tokens; /* until the API takes them */
    enum daemon_end end;
    bool stopping;
};

/* --- stopping: accept nothing, let runs end, stop the cluster, close the server --- */

static void on_server_closed(void *arg)
{
    struct node *node = arg;
    node->server = NULL;
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_cluster_stopped(void *arg)
{
    struct node *node = arg;
    http_server_close(node->server, on_server_closed, node);
    api_close(node->api);
    close_handle((uv_handle_t *)&node->terminate);
    close_handle((uv_handle_t *)&node->interrupt);
    close_handle((uv_handle_t *)&node->hangup);
    close_handle((uv_handle_t *)&node->insecure);
    service_close(&node->service);
}

static void on_drained(void *arg)
{
    struct node *node = arg;
    cluster_stop(node->cluster, on_cluster_stopped, node);
}

/* From here on nobody gets in; what is under way goes on. */
static void accept_nothing(struct node *node)
{
    node->stopping = true;
    node->leader.draining = true;
    cluster_hand_over(node->cluster);
    api_drain(node->api);
    http_server_drain(node->server);
}

static void let_runs_end(struct node *node)
{
    runner_drain(node->runner, node->config->server.shutdown_timeout_ms, on_drained, node);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct node *node = handle->data;
    if (node->stopping) {
        LOG_WARN("second signal: leaving at once", LOG_INT("signal", number));
        _exit(1);
    }
    accept_nothing(node);
    LOG_INFO("stopping: letting runs end", LOG_INT("signal", number),
             LOG_MS("at_most", node->config->server.shutdown_timeout_ms));
    service_stopping(&node->service);
    let_runs_end(node);
}

/* Its cluster is over: it ends, and begins anew with an empty data directory. */
static void on_superseded(void *arg)
{
    struct node *node = arg;
    if (node->stopping)
        return; /* by order: it does not come back */
    node->end = DAEMON_BEGINS_ANEW;
    accept_nothing(node);
    let_runs_end(node);
}

static void on_second(void *arg)
{
    struct node *node = arg;
    if (node->stopping)
        return;
    node->end = DAEMON_IS_SECOND;
    accept_nothing(node);
    let_runs_end(node);
}

/* --- logging --- */

static int open_log_file(const char *path, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        (void)error_set_errno(err, STATUS_IO, errno, "logging.output: open %s", path);
    return fd;
}

/* A description of our own, so that the shell's stays as it is. */
static int open_terminal(int fd)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return own >= 0 ? own : fd;
}

/* The descriptor of the log file; it stays the same when the file is reopened, so that no line goes astray. */
static int log_fd = -1;

static enum status open_log(const struct config *config, struct error *err)
{
    const char *output = config->logging.output;
    int fd = strcmp(output, "stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO;
    if (strcmp(output, "stdout") != 0 && strcmp(output, "stderr") != 0)
        fd = log_fd = open_log_file(output, err);
    if (fd < 0)
        return STATUS_IO;
    if (isatty(fd)) /* a stopped terminal must not stop the node: lines that do not fit are dropped and counted */
        fd = open_terminal(fd);
    log_setup(config->logging.level, config->logging.format, fd);
    return STATUS_OK;
}

static enum status reopen_log(const struct config *config, struct error *err)
{
    if (log_fd < 0)
        return STATUS_OK;
    int fd = open_log_file(config->logging.output, err);
    if (fd < 0)
        return STATUS_IO;
    int replaced = dup3(fd, log_fd, O_CLOEXEC);
    (void)close(fd); /* nothing was written through this number */
    return replaced >= 0 ? STATUS_OK : error_set_errno(err, STATUS_IO, errno, "logging.output: replace the descriptor");
}

/* --- reloading --- */

/* Blocks for one small file. */
static void reload_tokens(struct node *node)
{
    struct tokens *tokens;
    struct error err;
    if (!node->config->auth.enabled || node->stopping)
        return;
    if (checks_read_tokens(node->config, &tokens, &err) != STATUS_OK) {
        LOG_ERROR("the tokens cannot be read again; the old ones stay good until a SIGHUP finds the file mended",
                  LOG_ERROR_FIELD(&err));
        return;
    }
    LOG_INFO("tokens read again", LOG_INT("count", tokens_count(tokens)));
    api_set_tokens(node->api, tokens);
}

/* No refusal: where only one user lives, as in a container, it does not matter. */
static void warn_of_open_key(const char *path)
{
    struct stat file;
    if (path != NULL && stat(path, &file) == 0 && (file.st_mode & S_IROTH) != 0)
        LOG_WARN("insecure: every user of this machine can read the private key of the node links", LOG_STRING("file", path),
                 LOG_STRING("mend", "chmod 640, with the group of the node"));
}

/* Certificates end: new ones are taken without a restart. */
static void reload_tls(struct node *node)
{
    struct error err;
    if (node->cluster_config.tls == NULL || node->cluster == NULL)
        return;
    if (cluster_reload_tls(node->cluster, &err) != STATUS_OK)
        LOG_ERROR("the certificate of the node links cannot be read again; the one before stays in use", LOG_ERROR_FIELD(&err));
    else
        LOG_INFO("certificate of the node links read again; links are made anew with it");
    warn_of_open_key(node->config->cluster_raft.tls_key_file);
}

/* Log rotation renames the file and sends SIGHUP; who changed the tokens sends it as well. */
static void on_hangup(uv_signal_t *handle, int number)
{
    struct node *node = handle->data;
    struct error err;
    (void)number;
    reload_tokens(node);
    reload_tls(node);
    if (reopen_log(node->config, &err) != STATUS_OK)
        LOG_ERROR("the log cannot be reopened; writing goes on in the old file", LOG_ERROR_FIELD(&err));
    else
        LOG_INFO("log reopened; other settings take effect at the next start");
}

/* --- what is not secure is said, again and again --- */

static void warn_insecure(uv_timer_t *timer)
{
    const struct node *node = timer->data;
    const struct config *config = node->config;
    if (config_http_is_open(config))
        LOG_WARN("insecure: the HTTP API asks for no authentication and listens beyond this machine",
                 LOG_STRING("address", config->server.http_address),
                 LOG_STRING("mend", "set auth.tokens_file, or listen on 127.0.0.1"));
    if (config_raft_is_open(config))
        LOG_WARN("insecure: links between nodes are neither encrypted nor authenticated",
                 LOG_STRING("address", config->cluster_raft.address), LOG_STRING("mend", "set cluster.raft.tls on all nodes"));
}

/* --- starting --- */

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer connections then */
}

/* A quarter of the descriptors is for runs, stores and links, whoever fills the others. */
static uint32_t connections_at_most(const struct config *config)
{
    struct rlimit limit;
    uint32_t wanted = config->server.max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur - limit.rlim_cur / 4 >= wanted)
        return wanted;
    uint32_t allowed = (uint32_t)(limit.rlim_cur - limit.rlim_cur / 4);
    LOG_WARN("fewer HTTP connections than server.http.max_connections", LOG_U64("connections", allowed), LOG_U64("wanted", wanted),
             LOG_STRING("mend", "let the process have more open files (ulimit -n, or LimitNOFILE= of the service)"));
    return allowed > 0 ? allowed : 1;
}

/* Of the calling thread, and of those that it begins from now on. */
static void mask_hangups(int how)
{
    sigset_t hangup;
    (void)sigemptyset(&hangup); /* these three fail for what is no signal alone */
    (void)sigaddset(&hangup, SIGHUP);
    (void)pthread_sigmask(how, &hangup, NULL);
}

static enum status start_signals(struct node *node, struct error *err)
{
    int failed = uv_signal_init(&node->loop, &node->terminate);
    failed |= uv_signal_init(&node->loop, &node->interrupt);
    failed |= uv_signal_init(&node->loop, &node->hangup);
    failed |= uv_timer_init(&node->loop, &node->insecure);
    node->terminate.data = node->interrupt.data = node->hangup.data = node->insecure.data = node;
    failed |= uv_signal_start(&node->terminate, on_stop_signal, SIGTERM);
    failed |= uv_signal_start(&node->interrupt, on_stop_signal, SIGINT);
    failed |= uv_signal_start(&node->hangup, on_hangup, SIGHUP);
    if (failed == 0 && (config_http_is_open(node->config) || config_raft_is_open(node->config)))
        failed = uv_timer_start(&node->insecure, warn_insecure, 0, WARN_INSECURE_MS);
    return failed == 0 ? STATUS_OK : error_set(err, STATUS_INTERNAL, "install signal handlers");
}

/* The default, data_dir/log, is covered by data_dir's own lock and marker. */
const char *daemon_log_dir(const struct config *config)
{
    size_t size = strlen(config->cluster.data_dir);
    bool is_default =
        strncmp(config->storage.log_dir, config->cluster.data_dir, size) == 0 && strcmp(config->storage.log_dir + size, "/log") == 0;
    return is_default ? NULL : config->storage.log_dir;
}

static enum status open_cluster(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    node->raft_tls = checks_tls_files(config);
    node->cluster_config = (struct cluster_config){
        .loop = &node->loop,
        .clock = node->clock,
        .node_id = config->cluster.node_id,
        .data_dir = config->cluster.data_dir,
        .log_dir = daemon_log_dir(config),
        .backend = node->plugins.backend,
        .backend_options = config->storage.options,
        .min_free_bytes = config->storage.min_free_bytes,
        .raft_address = config->cluster_raft.address,
        .raft_advertise = config->cluster_raft.advertise != NULL ? config->cluster_raft.advertise : config->cluster_raft.address,
        .peers = (const char *const *)config->cluster_raft.peers,
        .peer_count = config->cluster_raft.peer_count,
        .bootstrap = config->cluster_raft.bootstrap,
        .restore_file = node->restore.file,
        .restore_catch_up = node->restore.catch_up,
        .superseded = on_superseded,
        .second = on_second,
        .superseded_arg = node,
        .heartbeat_timeout_ms = config->cluster_raft.heartbeat_timeout_ms,
        .election_timeout_ms = config->cluster_raft.election_timeout_ms,
        .lease_timeout_ms = config->executors.lease_timeout_ms,
        .clock_tolerance_ms = config->scheduler.clock_tolerance_ms,
        .snapshot_threshold = config->cluster_raft.snapshot_threshold,
        .snapshot_interval_ms = config->cluster_raft.snapshot_interval_ms,
        .retain_snapshots = config->cluster_raft.retain_snapshots,
        .tls = node->raft_tls.cert_file != NULL ? &node->raft_tls : NULL,
    };
    return cluster_open(&node->cluster_config, &node->cluster, err);
}

static enum status open_scheduler(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    struct scheduler_config scheduler = {
        .zones = {.load = zoneinfo_load, .nearest = zoneinfo_nearest},
        .node_id = config->cluster.node_id,
        .misfire_threshold_ms = config->scheduler.misfire_threshold_ms,
        .retention_ms = config->storage.execution_retention_ms,
        .executions_per_job = config->storage.executions_per_job,
        .executions_max_bytes = (uint64_t)config->storage.executions_max_bytes,
    };
    struct state_view view;
    enum status status = scheduler_new(&scheduler, &node->scheduler, err);
    if (status != STATUS_OK)
        return status;
    status = state_view_begin(cluster_state(node->cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    status = scheduler_load(node->scheduler, &view, err);
    state_view_end(&view);
    node->leader = (struct leader){.scheduler = node->scheduler, .cluster = node->cluster, .clock = node->clock};
    return status;
}

static enum status open_runner(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    struct runner_config runner = {
        .loop = &node->loop,
        .clock = node->clock,
        .node_id = config->cluster.node_id,
        .data_dir = config->cluster.data_dir,
        .backend = node->plugins.backend,
        .backend_options = config->storage.options,
        .executors = node->plugins.executors,
        .executor_options = node->plugins.executor_options,
        .executor_count = node->plugins.executor_count,
        .tags = (const char *const *)config->cluster.tags,
        .tag_count = config->cluster.tag_count,
        .max_concurrent = config->executors.max_concurrent,
        .grace_ms = config->scheduler.grace_ms,
        .lease_ms = config->executors.lease_timeout_ms,
        .replicated_output_bytes = config->output.replicated_bytes,
        .captured_output_bytes = config->output.captured_bytes,
        .output_retention_ms = config->output.retention_ms,
    };
    enum status status = runner_new(&runner, &node->runner, err);
    if (status == STATUS_OK)
        runner_attach(node->runner, node->cluster);
    return status;
}

static enum status read_output(void *arg, const struct cluster_output_range *range, struct buffer *out, uint64_t *ret_total,
                               bool *ret_is_complete, struct error *err)
{
    return runner_output(arg, &range->execution, range->attempt, range->offset, range->size_max, out, ret_total, ret_is_complete, err);
}

static enum status open_server(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    struct api_config api = {
        .loop = &node->loop,
        .clock = node->clock,
        .config = config,
        .registry = node->plugins.registry,
        .cluster = node->cluster,
        .scheduler = node->scheduler,
        .runner = node->runner,
        .started_ms = node->clock->wall_ms(node->clock->arg),
    };
    enum status status = api_new(&api, &node->api, err);
    if (status != STATUS_OK)
        return status;
    api_set_tokens(node->api, node->tokens);
    node->tokens = NULL;
    const uint32_t connections = connections_at_most(config);
    struct http_server_config server = {
        .loop = &node->loop,
        .limits = {.header_timeout_ms = config->server.read_timeout_ms < 10000 ? config->server.read_timeout_ms : 10000,
                   .body_timeout_ms = config->server.read_timeout_ms,
                   .idle_timeout_ms = config->server.idle_timeout_ms,
                   .write_timeout_ms = config->server.write_timeout_ms,
                   .max_connections = connections,
                   .max_connections_per_ip = (connections + 1) / 2, /* one client alone must not take every connection */
                   .max_body_bytes = (uint64_t)config->server.max_body_bytes,
                   .max_bodies_total_bytes = (uint64_t)config->server.max_body_bytes * 64},
        .handler = api_handle,
        .handler_arg = node->api,
        .admit = config->auth.enabled ? api_admit : NULL,
        .admit_arg = node->api,
        .problem = api_problem,
        .problem_arg = node->api,
        .common_headers = api_common_headers,
        .common_headers_arg = node->api,
    };
    status = http_server_new(&server, &node->server, err);
    if (status == STATUS_OK)
        api_set_server(node->api, node->server);
    return status;
}

static enum status listen_all(struct node *node, struct error *err)
{
    int port = 0;
    enum status status = http_server_listen(node->server, node->config->server.http_address, &port, err);
    if (status != STATUS_OK)
        return error_wrap(err, "server.http.address");
    if (node->config->server.unix_socket != NULL) {
        status = http_server_listen_unix(node->server, node->config->server.unix_socket, err);
        if (status != STATUS_OK)
            return error_wrap(err, "server.http.unix_socket");
    }
    LOG_INFO("listening", LOG_STRING("address", node->config->server.http_address), LOG_INT("port", port));
    return STATUS_OK;
}

static enum status start(struct node *node, struct error *err)
{
    enum status status = open_cluster(node, err);
    if (status == STATUS_OK)
        status = open_scheduler(node, err);
    if (status == STATUS_OK)
        status = open_runner(node, err);
    if (status == STATUS_OK)
        status = open_server(node, err);
    if (status == STATUS_OK)
        status = listen_all(node, err);
    if (status == STATUS_OK)
        status = start_signals(node, err);
    if (status != STATUS_OK)
        return status;
    node->leader.api = node->api;
    cluster_attach(node->cluster, leader_ops(&node->leader), runner_ops(node->runner));
    cluster_attach_output(node->cluster, read_output, node->runner);
    status = cluster_start(node->cluster, err);
    if (status == STATUS_OK && !service_start(&node->service, &node->loop, node->cluster))
        status = error_set(err, STATUS_INTERNAL, "make the timer of the service manager's watchdog");
    return status;
}

static enum status release(struct node *node, struct error *err)
{
    enum status status = STATUS_OK;
    if (node->api != NULL)
        api_free(node->api);
    if (node->runner != NULL)
        runner_free(node->runner);
    cluster_free(node->cluster);
    scheduler_free(node->scheduler);
    if (node->end == DAEMON_BEGINS_ANEW)
        status = cluster_move_aside(&node->cluster_config, err);
    plugins_unload(&node->plugins);
    (void)uv_loop_close(&node->loop);
    return status;
}

/* A start that failed half-way ends the process: what was opened is closed by the kernel, and every store survives that. */
enum status daemon_run(const struct config *config, const struct daemon_restore *restore, config_report report, void *arg,
                       enum daemon_end *ret_end, struct error *err)
{
    static struct node node;
    node = (struct node){.config = config, .restore = *restore, .clock = &clock_system};
    (void)umask(077); /* the data is this user's alone */
    mask_hangups(SIG_BLOCK); /* one that comes meanwhile is taken once there is a loop */
    raise_file_limit();
    enum status status = open_log(config, err);
    if (status == STATUS_OK)
        status = checks_security(config, report, arg, err);
    if (status == STATUS_OK)
        status = checks_tokens(config, report, arg, &node.tokens, err);
    if (status == STATUS_OK)
        status = checks_tls(config, report, arg, err);
    if (status == STATUS_OK && uv_loop_init(&node.loop) != 0)
        status = error_set(err, STATUS_INTERNAL, "make the event loop");
    if (status == STATUS_OK)
        status = plugins_load(config, report, arg, &node.plugins, err);
    if (status == STATUS_OK)
        status = start(&node, err);
    mask_hangups(SIG_UNBLOCK);
    if (status != STATUS_OK)
        return status;
    if (feature_level_known() != FEATURE_LEVEL)
        LOG_WARN("this node claims another feature level than its own, for a test: never do that to a cluster that is to be kept",
                 LOG_U64("level", feature_level_known()));
    if (config->cluster_raft.address != NULL)
        warn_of_open_key(config->cluster_raft.tls_key_file);
    LOG_INFO("chronos started", LOG_STRING("version", CHRONOS_VERSION), LOG_STRING("node_id", config->cluster.node_id),
             LOG_STRING("data_dir", config->cluster.data_dir), LOG_STRING("backend", config->storage.backend));
    (void)uv_run(&node.loop, UV_RUN_DEFAULT);
    *ret_end = node.end;
    status = release(&node, err);
    LOG_INFO("stopped");
    return status;
}
