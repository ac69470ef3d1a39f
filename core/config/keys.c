#include "config/keys.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define AT(member) .offset = offsetof(struct config, member)
#define COUNTED_BY(member) .count_offset = offsetof(struct config, member)

#define MILLISECONDS INT64_C(1)
#define SECONDS (1000 * MILLISECONDS)
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)
#define DAYS (24 * HOURS)
#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)

enum { UNIX_SOCKET_PATH_MAX = 107, URL_PATH_MAX = 255, COMPONENT_ID_MAX = 63 };

/* In the order of the enums that they name. */
static const char *const missed_run_policies[] = {"execute_one", "execute_all", "ignore", NULL};
static const char *const auth_anonymous[] = {"none", "read", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static_assert(MISSED_EXECUTE_ONE == 0 && MISSED_EXECUTE_ALL == 1 && MISSED_IGNORE == 2, "missed_run_policies");
static_assert(ANONYMOUS_NONE == 0 && ANONYMOUS_READ == 1, "auth_anonymous");
static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_INFO == 1 && LOG_LEVEL_WARN == 2 && LOG_LEVEL_ERROR == 3,
              "log_levels");
static_assert(LOG_FORMAT_TEXT == 0 && LOG_FORMAT_JSON == 1, "log_formats");

const struct config_key config_keys[] = {
    {.path = "cluster.node_id", .type = &config_type_name, AT(cluster.node_id), .maximum = NODE_NAME_MAX,
     .computed = "the host's name",
     .help = "Name of this node, unique in the cluster. It must not change later: a start under another name is refused."},
    {.path = "cluster.data_dir", .type = &config_type_path, AT(cluster.data_dir), .maximum = CONFIG_TEXT_MAX,
     .help = "Folder that holds everything the node stores; a relative path starts at the working directory."},
    {.path = "cluster.tags", .type = &config_type_tags, AT(cluster.tags), COUNTED_BY(cluster.tag_count), .maximum = NODE_TAGS_MAX,
     .help = "What is to be known of this node, as `{disk: ssd, zone: a}`, so that jobs can ask for it (`placement`). In the "
             "environment `disk=ssd,zone=a`."},
    {.path = "cluster.raft.address", .type = &config_type_address, AT(cluster_raft.address), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX,
     .help = "Where this node listens for the other nodes; without it the node is alone."},
    {.path = "cluster.raft.advertise", .type = &config_type_address, AT(cluster_raft.advertise),
     .flags = KEY_OPTIONAL | KEY_HOST_NAME, .maximum = NODE_ADDRESS_MAX, .computed = "`cluster.raft.address`",
     .help = "Where the other nodes reach this one, where that is another address: behind a proxy, or with address 0.0.0.0."},
    {.path = "cluster.raft.peers", .type = &config_type_addresses, AT(cluster_raft.peers),
     COUNTED_BY(cluster_raft.peer_count), .flags = KEY_HOST_NAME, .maximum = CONFIG_LIST_MAX,
     .help = "Addresses of nodes to ask for admission, while this node belongs to no cluster yet; one that answers is enough."},
    {.path = "cluster.raft.bootstrap", .type = &config_type_bool, AT(cluster_raft.bootstrap),
     .computed = "`true` where `cluster.raft.peers` is empty",
     .help = "Begin a new cluster with this node as its first, if its data directory is empty."},
    {.path = "cluster.raft.heartbeat_timeout", .type = &config_type_duration, AT(cluster_raft.heartbeat_timeout_ms),
     .minimum = 10 * MILLISECONDS, .maximum = 1 * MINUTES,
     .help = "Longest silence of a leader; at most half of election_timeout."},
    {.path = "cluster.raft.election_timeout", .type = &config_type_duration, AT(cluster_raft.election_timeout_ms),
     .minimum = 50 * MILLISECONDS, .maximum = 10 * MINUTES,
     .help = "Silence after which a node stands for election; at random up to twice this."},
    {.path = "cluster.raft.snapshot_threshold", .type = &config_type_integer, AT(cluster_raft.snapshot_threshold), .minimum = 1000,
     .maximum = 1000000000, .help = "Entries of the log after which a snapshot is written by itself; also after 256 MiB of log."},
    {.path = "cluster.raft.snapshot_interval", .type = &config_type_duration, AT(cluster_raft.snapshot_interval_ms),
     .minimum = 1 * MINUTES, .maximum = 365 * DAYS,
     .help = "Time after which a snapshot is written by itself, if anything has changed."},
    {.path = "cluster.raft.retain_snapshots", .type = &config_type_integer, AT(cluster_raft.retain_snapshots), .minimum = 1,
     .maximum = SNAPSHOTS_KEPT_MAX, .help = "How many snapshots stay in the data directory; older ones are removed."},
    {.path = "cluster.raft.tls.cert_file", .type = &config_type_path, AT(cluster_raft.tls_cert_file), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX,
     .help = "Certificate of this node for links to the others (PEM, with its chain), made for its node_id or its host."},
    {.path = "cluster.raft.tls.key_file", .type = &config_type_path, AT(cluster_raft.tls_key_file), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX, .help = "Private key of that certificate (PEM, without a passphrase)."},
    {.path = "cluster.raft.tls.ca_file", .type = &config_type_path, AT(cluster_raft.tls_ca_file), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX, .help = "The authority that signs the certificates of all nodes, and of nobody else (PEM)."},

    {.path = "server.http.address", .type = &config_type_address, AT(server.http_address),
     .flags = KEY_ANY_HOST | KEY_ANY_PORT, .maximum = CONFIG_TEXT_MAX,
     .help = "Where the HTTP API listens; `:8080` means every IPv4 address, port 0 lets the system choose one."},
    {.path = "server.http.unix_socket", .type = &config_type_path, AT(server.unix_socket), .flags = KEY_OPTIONAL,
     .maximum = UNIX_SOCKET_PATH_MAX, .help = "Path of a Unix socket on which the HTTP API listens as well."},
    {.path = "server.http.read_timeout", .type = &config_type_duration, AT(server.read_timeout_ms),
     .minimum = 100 * MILLISECONDS, .maximum = 1 * HOURS, .help = "Time in which a whole request must arrive."},
    {.path = "server.http.write_timeout", .type = &config_type_duration, AT(server.write_timeout_ms),
     .minimum = 100 * MILLISECONDS, .maximum = 1 * HOURS,
     .help = "Time after which a client that takes no bytes of an answer is dropped."},
    {.path = "server.http.idle_timeout", .type = &config_type_duration, AT(server.idle_timeout_ms),
     .minimum = 100 * MILLISECONDS, .maximum = 1 * DAYS,
     .help = "Time for which a connection without a request is kept."},
    {.path = "server.http.max_connections", .type = &config_type_integer, AT(server.max_connections), .minimum = 1,
     .maximum = 1000000, .help = "Connections at the same time."},
    {.path = "server.http.max_body_bytes", .type = &config_type_size, AT(server.max_body_bytes), .minimum = 1 * KIB,
     .maximum = 1 * GIB, .help = "Largest request body; a larger one gets 413."},
    {.path = "server.shutdown_timeout", .type = &config_type_duration, AT(server.shutdown_timeout_ms),
     .minimum = 0, .maximum = 1 * HOURS,
     .help = "How long SIGTERM lets runs end before they are cancelled and given to the next start."},

    {.path = "storage.backend", .type = &config_type_name, AT(storage.backend), .maximum = COMPONENT_ID_MAX,
     .help = "Storage plugin that keeps log and state."},
    {.path = "storage.log_dir", .type = &config_type_path, AT(storage.log_dir), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX, .computed = "`log` in `cluster.data_dir`",
     .help = "Folder of the log, if it is to lie on a disk of its own."},
    {.path = "storage.min_free", .type = &config_type_size, AT(storage.min_free_bytes), .minimum = 0,
     .maximum = 1024 * TIB, .help = "Free disk space below which changes are refused with 503."},
    {.path = "storage.execution_retention", .type = &config_type_duration, AT(storage.execution_retention_ms),
     .minimum = 1 * MINUTES, .maximum = 3650 * DAYS, .help = "Age at which a finished execution is deleted."},
    {.path = "storage.executions_per_job", .type = &config_type_integer, AT(storage.executions_per_job), .minimum = 1,
     .maximum = 1000000, .help = "Finished executions kept for each job."},
    {.path = "storage.executions_max_bytes", .type = &config_type_size, AT(storage.executions_max_bytes),
     .minimum = 1 * MIB, .maximum = 1024 * TIB, .help = "Size of all finished executions together."},
    {.path = "storage.*", .type = &config_type_backend_options, AT(storage.options), .maximum = CONFIG_LIST_MAX,
     .computed = "the plugin's",
     .help = "Options of the storage plugin of that name; read for the chosen backend only."},

    {.path = "plugins.directory", .type = &config_type_path, AT(plugins.directory), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX, .computed = "`../lib/chronos/plugins` from the program",
     .help = "Folder in which plugins lie."},
    {.path = "plugins.load", .type = &config_type_plugins, AT(plugins.load), COUNTED_BY(plugins.load_count),
     .maximum = CONFIG_LIST_MAX,
     .help = "Further plugins: `path` (absolute, or a file name in `plugins.directory`), `sha256` to pin the file, "
             "`isolation` (`in_process`)."},

    {.path = "executors.max_concurrent", .type = &config_type_integer, AT(executors.max_concurrent), .minimum = 1,
     .maximum = 100000, .help = "Runs at the same time on this node; the excess waits in order."},
    {.path = "executors.lease_timeout", .type = &config_type_duration, AT(executors.lease_timeout_ms),
     .minimum = 5 * SECONDS, .maximum = 1 * HOURS,
     .help = "How long a node may go on with its runs while no leader answers it; after a tenth more they are given to other nodes."},
    {.path = "executors.*", .type = &config_type_executor_options, AT(executors.options), .maximum = CONFIG_LIST_MAX,
     .computed = "the plugin's",
     .help = "Loads the executor of that name with these options; `false` or `null` unloads it."},

    {.path = "scheduler.misfire_threshold", .type = &config_type_duration, AT(scheduler.misfire_threshold_ms),
     .minimum = 100 * MILLISECONDS, .maximum = 1 * DAYS, .help = "Lateness from which a slot counts as missed."},
    {.path = "scheduler.missed_run_policy", .type = &config_type_choice, AT(scheduler.missed_run_policy),
     .choices = missed_run_policies, .help = "What becomes of missed slots, where a job does not say."},
    {.path = "scheduler.catchup_window", .type = &config_type_duration, AT(scheduler.catchup_window_ms),
     .flags = KEY_UNLIMITED, .minimum = 10 * SECONDS, .maximum = 3650 * DAYS,
     .help = "Age from which a missed slot is dropped."},
    {.path = "scheduler.catchup_limit", .type = &config_type_integer, AT(scheduler.catchup_limit), .minimum = 1,
     .maximum = CATCHUP_LIMIT_MAX, .help = "Missed slots of one job that `execute_all` runs at most: the newest."},
    {.path = "scheduler.clock_tolerance", .type = &config_type_duration, AT(scheduler.clock_tolerance_ms),
     .minimum = 100 * MILLISECONDS, .maximum = 1 * HOURS,
     .help = "How far the leader's clock may lie from the middle of all nodes' clocks; beyond it, it decides nothing and another node is to lead."},
    {.path = "scheduler.grace", .type = &config_type_duration, AT(scheduler.grace_ms), .minimum = 0,
     .maximum = 1 * HOURS, .help = "Time between asking a run to end and killing it."},
    {.path = "scheduler.execution_timeout", .type = &config_type_duration, AT(scheduler.execution_timeout_ms),
     .minimum = 1 * SECONDS, .maximum = 365 * DAYS, .help = "Longest run, where a job does not say."},
    {.path = "scheduler.default_retry_policy.max_attempts", .type = &config_type_integer,
     AT(scheduler.retry.max_attempts), .minimum = 1, .maximum = ATTEMPTS_MAX,
     .help = "Attempts of one run, the first included; 1 means no retry."},
    {.path = "scheduler.default_retry_policy.initial_interval", .type = &config_type_duration,
     AT(scheduler.retry.initial_interval_ms), .minimum = 100 * MILLISECONDS, .maximum = 1 * DAYS,
     .help = "Wait before the second attempt."},
    {.path = "scheduler.default_retry_policy.max_interval", .type = &config_type_duration,
     AT(scheduler.retry.max_interval_ms), .minimum = 100 * MILLISECONDS, .maximum = 7 * DAYS,
     .help = "Longest wait between attempts; at least initial_interval."},
    {.path = "scheduler.default_retry_policy.multiplier", .type = &config_type_thousandths,
     AT(scheduler.retry.multiplier_thousandths), .minimum = 1000, .maximum = 100000,
     .help = "Factor by which the wait grows from attempt to attempt."},
    {.path = "scheduler.default_retry_policy.jitter", .type = &config_type_thousandths,
     AT(scheduler.retry.jitter_thousandths), .minimum = 0, .maximum = 1000,
     .help = "Random share of each wait, so that many jobs do not retry in step."},

    {.path = "output.replicated_bytes", .type = &config_type_size32, AT(output.replicated_bytes), .minimum = 0,
     .maximum = REPLICATED_OUTPUT_MAX, .help = "Bytes of a run's output (head and tail) kept with the execution."},
    {.path = "output.captured_bytes", .type = &config_type_size, AT(output.captured_bytes), .minimum = 0,
     .maximum = CAPTURED_OUTPUT_MAX,
     .help = "Bytes of a run's output kept on the node that ran it; at least replicated_bytes."},
    {.path = "output.retention", .type = &config_type_duration, AT(output.retention_ms), .minimum = 1 * MINUTES,
     .maximum = 3650 * DAYS, .help = "Age at which captured output is deleted."},

    {.path = "metrics.enabled", .type = &config_type_bool, AT(metrics.enabled),
     .help = "Serve metrics for Prometheus."},
    {.path = "metrics.path", .type = &config_type_url_path, AT(metrics.path), .maximum = URL_PATH_MAX,
     .help = "Where they are served."},

    {.path = "logging.level", .type = &config_type_choice, AT(logging.level), .choices = log_levels,
     .help = "Lowest level that is written."},
    {.path = "logging.format", .type = &config_type_choice, AT(logging.format), .choices = log_formats,
     .help = "One event a line, as text or as JSON."},
    {.path = "logging.output", .type = &config_type_output, AT(logging.output), .maximum = CONFIG_TEXT_MAX,
     .help = "`stderr`, `stdout` or the path of a file."},

    {.path = "auth.enabled", .type = &config_type_bool, AT(auth.enabled), .computed = "`true` where `auth.tokens_file` is set",
     .help = "Ask who uses the HTTP API for a token; `false` switches that off and keeps the file named."},
    {.path = "auth.tokens_file", .type = &config_type_path, AT(auth.tokens_file), .flags = KEY_OPTIONAL,
     .maximum = CONFIG_TEXT_MAX,
     .help = "The tokens that this node knows, one a line; writable by its owner alone. Read at start and on SIGHUP."},
    {.path = "auth.anonymous", .type = &config_type_choice, AT(auth.anonymous), .choices = auth_anonymous,
     .help = "What may be done without a token: `none`, or `read` (GET and HEAD of everything, metrics included)."},

    {.path = "security.strict", .type = &config_type_bool, AT(security_strict),
     .help = "Refuse to start where an insecure setting would only be warned of."},
};
const uint32_t config_key_count = sizeof config_keys / sizeof *config_keys;
static_assert(sizeof config_keys / sizeof *config_keys <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX");
static_assert((int)CONFIG_KEYS_MAX <= (int)NAMES_MAX, "the names of every group fit");

/* What follows "<parent>." in `path`; NULL if it does not lie below. */
static const char *below(const char *path, const char *parent)
{
    size_t size = strlen(parent);
    if (size == 0)
        return path;
    return strncmp(path, parent, size) == 0 && path[size] == '.' ? path + size + 1 : NULL;
}

const struct config_key *config_key_find(const char *parent, const char *name)
{
    if (strchr(name, '.'))
        return NULL; /* a dot in a key of the file is not a level */
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *rest = below(config_keys[i].path, parent);
        if (rest && strcmp(rest, name) == 0 && !config_key_is_wildcard(&config_keys[i]))
            return &config_keys[i];
    }
    return NULL;
}

const struct config_key *config_key_wildcard(const char *parent)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *rest = below(config_keys[i].path, parent);
        if (rest && strcmp(rest, "*") == 0)
            return &config_keys[i];
    }
    return NULL;
}

const struct config_key *config_key_of_path(const char *path)
{
    for (uint32_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].path, path) == 0 && !config_key_is_wildcard(&config_keys[i]))
            return &config_keys[i];
    return NULL;
}

bool config_key_is_group(const char *parent, const char *name)
{
    if (strchr(name, '.'))
        return false;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *rest = below(config_keys[i].path, parent);
        if (rest && below(rest, name) && *name)
            return true;
    }
    return false;
}

bool config_key_is_wildcard(const struct config_key *key)
{
    size_t size = strlen(key->path);
    return key->path[size - 1] == '*';
}

void config_key_names(const char *parent, struct names *ret)
{
    names_init(ret);
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *rest = below(config_keys[i].path, parent);
        if (rest && *rest != '*')
            names_add(ret, rest, strcspn(rest, "."));
    }
}

static const char top_level[] = "the top level";

void config_key_parents(const char *name, const char *parent, struct names *ret)
{
    names_init(ret);
    size_t size = strlen(name), parent_size = strlen(parent);
    if (size == 0 || strchr(name, '.') || strchr(name, '*'))
        return;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *path = config_keys[i].path;
        for (const char *at = path; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
            size_t before = at == path ? 0 : (size_t)(at - path) - 1;
            bool same = strncmp(at, name, size) == 0 && (at[size] == '.' || at[size] == '\0');
            if (same && !(before == parent_size && memcmp(path, parent, before) == 0))
                names_add(ret, before > 0 ? path : top_level, before > 0 ? before : strlen(top_level));
        }
    }
}

void config_key_environment(const struct config_key *key, char out[ENVIRONMENT_NAME_SIZE])
{
    int size = snprintf(out, ENVIRONMENT_NAME_SIZE, "CHRONOS_%s", key->path);
    assert(size > 0 && size < ENVIRONMENT_NAME_SIZE);
    for (char *at = out; *at; at++)
        if (*at == '.')
            *at = '_';
        else if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
}
