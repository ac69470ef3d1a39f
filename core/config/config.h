/* chronos.yaml as a typed, validated value (docs/configuration.md).
 *
 * Order, each overriding the one before: the defaults embedded from configs/defaults.yaml, the file, the environment
 * (CHRONOS_CLUSTER_NODE_ID for cluster.node_id, ...), the command line. Every error names file, line, key and, for an
 * unknown key, the nearest known one. One table drives keys, types, limits, environment names and documentation. */
#ifndef CHRONOS_CONFIG_CONFIG_H
#define CHRONOS_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/log.h"

enum auth_anonymous { ANONYMOUS_NONE, ANONYMOUS_READ };
enum missed_run_policy { MISSED_EXECUTE_ONE, MISSED_EXECUTE_ALL, MISSED_IGNORE };

struct retry_policy {
    uint32_t max_attempts;         /* 1..100; 1 = no retry */
    int64_t initial_interval_ms;
    int64_t max_interval_ms;
    uint32_t multiplier_thousandths; /* 2.0 = 2000 */
    uint32_t jitter_thousandths;     /* share of the interval, 0..1000 */
};

struct config_plugin {
    char *path;
    char *sha256; /* NULL where not pinned */
};

struct config {
    struct {
        char *node_id;   /* default: the host name, cut to a DNS label */
        char *data_dir;
        char **tags;     /* tag_count texts "key=value", sorted */
        uint32_t tag_count;
    } cluster;
    struct {                 /* cluster.raft */
        char *address;       /* NULL: the node is alone */
        char *advertise;     /* NULL: as address */
        char **peers;        /* peer_count addresses */
        uint32_t peer_count;
        bool bootstrap;      /* false by itself where there are peers */
        int64_t heartbeat_timeout_ms, election_timeout_ms;
        int64_t snapshot_interval_ms;
        uint32_t snapshot_threshold, retain_snapshots;
        char *tls_cert_file, *tls_key_file, *tls_ca_file; /* all or none */
    } cluster_raft;
    struct {
        char *http_address;
        char *unix_socket; /* NULL: none */
        int64_t read_timeout_ms, write_timeout_ms, idle_timeout_ms, shutdown_timeout_ms;
        uint32_t max_connections;
        int64_t max_body_bytes;
    } server;
    struct {
        char *backend;
        cJSON *options;      /* the object under storage.<backend>; NULL: {} */
        char *log_dir;       /* default: data_dir/log; never NULL */
        int64_t min_free_bytes;
        int64_t execution_retention_ms;
        uint32_t executions_per_job;
        int64_t executions_max_bytes;
    } storage;
    struct {
        char *directory;     /* default: beside the program, ../lib/chronos/plugins */
        struct config_plugin *load;
        uint32_t load_count;
    } plugins;
    struct {
        cJSON *options;      /* {"shell": {...}, "http": {...}}: one member an executor that is to be loaded */
        uint32_t max_concurrent;
        int64_t lease_timeout_ms;
    } executors;
    struct {
        int64_t misfire_threshold_ms;
        enum missed_run_policy missed_run_policy;
        int64_t catchup_window_ms; /* 0: unlimited */
        uint32_t catchup_limit;
        int64_t clock_tolerance_ms;
        int64_t grace_ms;
        int64_t execution_timeout_ms; /* default of a job's timeout */
        struct retry_policy retry;
    } scheduler;
    struct {
        uint32_t replicated_bytes;
        int64_t captured_bytes;
        int64_t retention_ms;
    } output;
    struct {
        bool enabled;
        char *path;
    } metrics;
    struct {
        enum log_level level;
        enum log_format format;
        char *output;        /* "stderr", "stdout" or a file's path */
    } logging;
    struct {
        bool enabled;        /* true by itself where there is a file; then there is one */
        char *tokens_file;   /* NULL: none */
        enum auth_anonymous anonymous;
    } auth;
    bool security_strict;
};

/* Overrides of the command line, key and value as text ("cluster.data_dir", "/var/lib/chronos"). */
struct config_override {
    const char *key;
    const char *value;
    const char *source; /* "--data-dir": for messages */
};

struct config_sources {
    const char *file;              /* NULL: no file */
    const char *const *environment; /* "NAME=value" list, NULL-terminated; NULL: none. Unknown CHRONOS_* names are
                                       errors with the nearest one, except CHRONOS_TEST_*, CHRONOSCTL_*, chronosctl's
                                       CHRONOS_TOKEN, a Kubernetes service's addresses (CHRONOS_SERVICE_HOST, CHRONOS_PORT=tcp://...) and, inside a
                                       run, that run's own variables */
    const struct config_override *overrides;
    uint32_t override_count;
    const char *program_directory; /* where the executable lies, for plugins.directory */
};

/* All problems are reported, one sentence each ("chronos.yaml:14: cluster.raft.election_timeout: ..."), at most 50.
 * The return is the first one's code and *err its text. What belongs to plugins (storage.<backend>.*,
 * executors.<id>.*) is kept as JSON and checked later against the plugin's schema. */
typedef void (*config_report)(void *arg, const char *message);
must_use enum status config_load(const struct config_sources *sources, config_report report, void *arg,
                                 struct config **ret, struct error *err);
void config_free(struct config *config);

/* Whether server.http.address reaches no further than this machine. */
bool config_http_is_loopback(const struct config *config);
/* Whether other machines reach the HTTP API, and it asks for no token. */
bool config_http_is_open(const struct config *config);
/* Whether other machines reach the node links, and they are not encrypted. */
bool config_raft_is_open(const struct config *config);

/* The line of a key in the file that was loaded ("storage.lmdb.map_size", "plugins.load.0.path"), so that errors found
 * later still name file and line. 0 if it did not stand there, or if environment or command line overrode it. */
int config_line_of(const struct config *config, const char *key);
const char *config_file_of(const struct config *config); /* NULL where none */

/* The table of every key in Markdown: name, type, default, environment variable, help. For docs and tests. */
struct buffer;
void config_document(struct buffer *out);
/* The same as items of a list in mdoc(7): chronos.yaml(5). */
void config_document_man(struct buffer *out);

/* Of a node or a component: letters, digits, "-", "_" and ".", a letter or digit first and last. It stands in metrics, headers and
 * certificates, hence the narrow alphabet. Not the empty text. */
bool config_name_is_good(const char *text);

#endif
