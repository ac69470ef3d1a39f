/* Defaults, file, environment, command line: what each gives, which one wins, and what each says when it is wrong. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_every_default(void **state)
{
    (void)state;
    struct config_sources sources = {.program_directory = "/opt/chronos/bin"};
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_OK);
    const struct config *config = outcome.config;
    assert_string_equal(config->cluster.data_dir, "./chronos-data");
    assert_null(config->cluster_raft.address);
    assert_int_equal(config->cluster_raft.peer_count, 0);
    assert_true(config->cluster_raft.bootstrap);
    assert_int_equal(config->cluster_raft.heartbeat_timeout_ms, 500);
    assert_int_equal(config->cluster_raft.election_timeout_ms, 1000);
    assert_string_equal(config->server.http_address, "127.0.0.1:8080");
    assert_null(config->server.unix_socket);
    assert_int_equal(config->server.read_timeout_ms, 30000);
    assert_int_equal(config->server.write_timeout_ms, 30000);
    assert_int_equal(config->server.idle_timeout_ms, 60000);
    assert_int_equal(config->server.shutdown_timeout_ms, 30000);
    assert_int_equal(config->server.max_connections, 10000);
    assert_int_equal(config->server.max_body_bytes, 1 << 20);
    assert_string_equal(config->storage.backend, "lmdb");
    assert_null(config->storage.options);
    assert_string_equal(config->storage.log_dir, "./chronos-data/log");
    assert_int_equal(config->storage.min_free_bytes, 256 << 20);
    assert_int_equal(config->storage.execution_retention_ms, INT64_C(168) * 3600 * 1000);
    assert_int_equal(config->storage.executions_per_job, 100);
    assert_int_equal(config->storage.executions_max_bytes, INT64_C(4) << 30);
    assert_string_equal(config->plugins.directory, "/opt/chronos/bin/../lib/chronos/plugins");
    assert_int_equal(config->plugins.load_count, 0);
    assert_json(config->executors.options, "{\"shell\":{},\"http\":{}}");
    assert_int_equal(config->executors.max_concurrent, 256);
    assert_int_equal(config->executors.lease_timeout_ms, 30000);
    assert_int_equal(config->scheduler.misfire_threshold_ms, 10000);
    assert_int_equal(config->scheduler.missed_run_policy, MISSED_EXECUTE_ONE);
    assert_int_equal(config->scheduler.catchup_window_ms, 0);
    assert_int_equal(config->scheduler.catchup_limit, 100);
    assert_int_equal(config->scheduler.clock_tolerance_ms, 5000);
    assert_int_equal(config->scheduler.grace_ms, 10000);
    assert_int_equal(config->scheduler.execution_timeout_ms, 3600000);
    assert_int_equal(config->scheduler.retry.max_attempts, 1);
    assert_int_equal(config->scheduler.retry.initial_interval_ms, 1000);
    assert_int_equal(config->scheduler.retry.max_interval_ms, 60000);
    assert_int_equal(config->scheduler.retry.multiplier_thousandths, 2000);
    assert_int_equal(config->scheduler.retry.jitter_thousandths, 100);
    assert_int_equal(config->output.replicated_bytes, 1024);
    assert_int_equal(config->output.captured_bytes, 1 << 20);
    assert_int_equal(config->output.retention_ms, INT64_C(168) * 3600 * 1000);
    assert_true(config->metrics.enabled);
    assert_string_equal(config->metrics.path, "/metrics");
    assert_int_equal(config->logging.level, LOG_LEVEL_INFO);
    assert_int_equal(config->logging.format, LOG_FORMAT_TEXT);
    assert_string_equal(config->logging.output, "stderr");
    assert_false(config->security_strict);
    assert_false(config->auth.enabled);
    assert_null(config->auth.tokens_file);
    assert_int_equal(config->auth.anonymous, ANONYMOUS_NONE);
    assert_null(config_file_of(config));
    assert_int_equal(config_line_of(config, "cluster.data_dir"), 0);
    outcome_deinit(&outcome);
}

/* Whatever the host is called, the default is a DNS label. */
static void test_default_node_id_is_a_label(void **state)
{
    (void)state;
    struct outcome outcome = accepted("");
    const char *name = outcome.config->cluster.node_id;
    size_t size = strlen(name);
    assert_in_range(size, 1, NODE_NAME_MAX);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), size);
    assert_int_not_equal(name[0], '-');
    assert_int_not_equal(name[size - 1], '-');
    char text[200];
    (void)snprintf(text, sizeof text, "cluster: {node_id: \"%s\"}", name);
    struct outcome again = accepted(text);
    outcome_deinit(&again);
    outcome_deinit(&outcome);
}

/* The first node's file of the clustering guide. */
static void test_single_node_file_of_the_guide(void **state)
{
    (void)state;
    struct outcome outcome = accepted("cluster:\n  node_id: chronos-1\n  data_dir: /var/lib/chronos\n  raft:\n"
                                      "    address: 10.0.0.1:7000\n    peers: []  # Empty for first node\n"
                                      "    bootstrap: true\n\nserver:\n  http:\n    address: 0.0.0.0:8080\n");
    const struct config *config = outcome.config;
    assert_string_equal(config->cluster.node_id, "chronos-1");
    assert_string_equal(config->cluster.data_dir, "/var/lib/chronos");
    assert_string_equal(config->cluster_raft.address, "10.0.0.1:7000");
    assert_int_equal(config->cluster_raft.peer_count, 0);
    assert_true(config->cluster_raft.bootstrap);
    assert_string_equal(config->server.http_address, "0.0.0.0:8080");
    assert_string_equal(config->storage.log_dir, "/var/lib/chronos/log");
    outcome_deinit(&outcome);
}

/* The other nodes' files. */
static void test_files_of_the_guide_with_peers(void **state)
{
    (void)state;
    struct outcome outcome = accepted("cluster:\n  node_id: chronos-3\n  data_dir: /var/lib/chronos\n  raft:\n"
                                      "    address: 10.0.0.3:7000\n    peers:\n      - 10.0.0.1:7000\n"
                                      "      - 10.0.0.2:7000\n    bootstrap: false\n");
    assert_int_equal(outcome.config->cluster_raft.peer_count, 2);
    assert_string_equal(outcome.config->cluster_raft.peers[1], "10.0.0.2:7000");
    assert_false(outcome.config->cluster_raft.bootstrap);
    outcome_deinit(&outcome);
    /* Whoever names peers wants to join them, unless told otherwise. */
    outcome = accepted("cluster: {raft: {address: \"10.0.0.3:7000\", peers: [\"chronos-1.example.org:7000\"]}}");
    assert_false(outcome.config->cluster_raft.bootstrap);
    outcome_deinit(&outcome);
    outcome = accepted("cluster: {raft: {address: \"10.0.0.3:7000\", peers: [\"10.0.0.1:7000\"], bootstrap: true}}");
    assert_true(outcome.config->cluster_raft.bootstrap);
    outcome_deinit(&outcome);
    outcome = accepted("cluster: {raft: {address: \"0.0.0.0:7000\", advertise: \"chronos-0.chronos:7000\", "
                       "tls: {cert_file: /a, key_file: /b, ca_file: /c}}}");
    assert_string_equal(outcome.config->cluster_raft.advertise, "chronos-0.chronos:7000");
    assert_string_equal(outcome.config->cluster_raft.tls_ca_file, "/c");
    outcome_deinit(&outcome);
}

/* A file of tokens switches authentication on, unless that is said otherwise; without it an address is open or local. */
static void test_authentication(void **state)
{
    static const struct {
        const char *text;
        bool enabled, open;
        enum auth_anonymous anonymous;
    } cases[] = {
        {"server: {http: {address: \":8080\"}}", false, true, ANONYMOUS_NONE},
        {"server: {http: {address: \":8080\"}}\nauth: {tokens_file: /t}", true, false, ANONYMOUS_NONE},
        {"server: {http: {address: \":8080\"}}\nauth: {tokens_file: /t, enabled: true, anonymous: read}", true, false,
         ANONYMOUS_READ},
        {"server: {http: {address: \":8080\"}}\nauth: {tokens_file: /t, enabled: false, anonymous: read}", false, true,
         ANONYMOUS_READ},
        {"auth: {enabled: false}", false, false, ANONYMOUS_NONE},
        {"auth: {tokens_file: \"\", anonymous: none}", false, false, ANONYMOUS_NONE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome outcome = accepted(cases[i].text);
        assert_int_equal(outcome.config->auth.enabled, cases[i].enabled);
        assert_int_equal(config_http_is_open(outcome.config), cases[i].open);
        assert_int_equal(outcome.config->auth.anonymous, cases[i].anonymous);
        outcome_deinit(&outcome);
    }
    struct outcome outcome = outcome_of_variable("CHRONOS_AUTH_TOKENS_FILE=/etc/t", NULL);
    assert_true(outcome.config->auth.enabled);
    assert_string_equal(outcome.config->auth.tokens_file, "/etc/t");
    outcome_deinit(&outcome);
}

static void test_each_source_overrides_the_one_before(void **state)
{
    (void)state;
    static const char file[] = "cluster:\n  node_id: from-file\n  data_dir: /file\nserver:\n  shutdown_timeout: 1s\n";
    static const char *const environment[] = {"HOME=/root", "CHRONOS_CLUSTER_DATA_DIR=/environment",
                                              "CHRONOS_SERVER_SHUTDOWN_TIMEOUT=2s", NULL};
    static const struct config_override overrides[] = {{"server.shutdown_timeout", "3s", "--shutdown-timeout"}};
    struct config_sources sources = {.file = "chronos.yaml", .environment = environment, .overrides = overrides,
                                     .override_count = 1};
    struct outcome outcome = outcome_of(&sources, file, strlen(file));
    assert_int_equal(outcome.status, STATUS_OK);
    const struct config *config = outcome.config;
    assert_string_equal(config->cluster.node_id, "from-file");
    assert_string_equal(config->cluster.data_dir, "/environment");
    assert_string_equal(config->storage.log_dir, "/environment/log");
    assert_int_equal(config->server.shutdown_timeout_ms, 3000);
    assert_int_equal(config->server.idle_timeout_ms, 60000);
    /* The file's line would mislead where the file lost. */
    assert_string_equal(config_file_of(config), "chronos.yaml");
    assert_int_equal(config_line_of(config, "cluster.node_id"), 2);
    assert_int_equal(config_line_of(config, "cluster.data_dir"), 0);
    assert_int_equal(config_line_of(config, "server.shutdown_timeout"), 0);
    outcome_deinit(&outcome);
}

static void test_lines_of_keys(void **state)
{
    (void)state;
    struct outcome outcome = accepted("storage:\n  backend: lmdb\n  lmdb:\n    map_size: 1GiB\n    a.b:\n      c: 1\n\n"
                                      "executors:\n  http:\n    deny:\n      - 10.0.0.0/8\n      - name:\n          x: "
                                      "1\n"
                                      "plugins:\n  load:\n    -\n      path: a.so\n");
    static const struct {
        const char *key;
        int line;
    } lines[] = {
        {"storage", 1}, {"storage.backend", 2}, {"storage.lmdb", 3}, {"storage.lmdb.map_size", 4},
        {"storage.lmdb.a.b", 5}, {"storage.lmdb.a.b.c", 6}, {"executors.http.deny", 10}, {"executors.http.deny.0", 11},
        {"executors.http.deny.1.name", 12}, {"executors.http.deny.1.name.x", 13}, {"plugins.load.0.path", 17},
        {"executors.http.deny.2", 0}, {"executors.http.deny.x", 0}, {"executors.http.deny.", 0},
        {"executors.http.deny.99999999999999999999", 0}, {"storage.lmdb.map", 0}, {"storage.lmdb.map_size.x", 0},
        {"storage.log_dir", 0}, {"nothing", 0}, {"", 0},
    };
    for (size_t i = 0; i < COUNT(lines); i++)
        if (config_line_of(outcome.config, lines[i].key) != lines[i].line)
            fail_msg("%s: %d", lines[i].key, config_line_of(outcome.config, lines[i].key));
    outcome_deinit(&outcome);
}

/* ---- environment ---- */

static void test_every_key_has_a_variable(void **state)
{
    (void)state;
    char names[CONFIG_KEYS_MAX][ENVIRONMENT_NAME_SIZE];
    for (uint32_t i = 0; i < config_key_count; i++) {
        config_key_environment(&config_keys[i], names[i]);
        for (uint32_t j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    }
    assert_string_equal(names[0], "CHRONOS_CLUSTER_NODE_ID");
    /* A value that no type takes is refused under both names: the variable's and the key's. */
    for (uint32_t i = 0; i < config_key_count; i++) {
        char variable[ENVIRONMENT_NAME_SIZE + 8], begin[ENVIRONMENT_NAME_SIZE + KEY_PATH_SIZE];
        if (config_key_is_wildcard(&config_keys[i]))
            continue;
        const char *name = names[i];
        assert_true(snprintf(variable, sizeof variable, "%s=\x01,", name) < (int)sizeof variable);
        assert_true(snprintf(begin, sizeof begin, "%s: %s", name, config_keys[i].path) < (int)sizeof begin);
        struct outcome outcome = outcome_of_variable(variable, NULL);
        assert_int_equal(outcome.count, 1);
        assert_memory_equal(outcome.messages[0], begin, strlen(begin));
        outcome_deinit(&outcome);
    }
}

static void test_variables_of_each_type(void **state)
{
    (void)state;
    static const char *const environment[] = {"CHRONOS_CLUSTER_NODE_ID=n=1", NULL};
    struct config_sources sources = {.environment = environment};
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_string_equal(outcome.messages[0], "CHRONOS_CLUSTER_NODE_ID: cluster.node_id: \"n=1\" is not a name; use "
                                             "letters, "
                                             "digits, \"-\", \"_\" and \".\", a letter or digit first and last");
    outcome_deinit(&outcome);
    static const char *const good[] = {"CHRONOS_SERVER_HTTP_ADDRESS=:9090",
                                       "CHRONOS_SERVER_HTTP_UNIX_SOCKET=/run/chronos.sock",
                                       "CHRONOS_SERVER_HTTP_MAX_CONNECTIONS=7",
                                       "CHRONOS_STORAGE_BACKEND=sqlite",
                                       "CHRONOS_STORAGE_LOG_DIR=",
                                       "CHRONOS_SCHEDULER_DEFAULT_RETRY_POLICY_JITTER=0.25",
                                       "CHRONOS_SCHEDULER_MISSED_RUN_POLICY=ignore",
                                       "CHRONOS_OUTPUT_REPLICATED_BYTES=2KiB",
                                       "CHRONOS_METRICS_ENABLED=false",
                                       "CHRONOS_PLUGINS_LOAD=a.so, /opt/b.so",
                                       "CHRONOS_CLUSTER_RAFT_PEERS=",
                                       NULL};
    sources.environment = good;
    outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_OK);
    const struct config *config = outcome.config;
    assert_string_equal(config->server.http_address, "0.0.0.0:9090");
    assert_string_equal(config->server.unix_socket, "/run/chronos.sock");
    assert_int_equal(config->server.max_connections, 7);
    assert_string_equal(config->storage.backend, "sqlite");
    assert_string_equal(config->storage.log_dir, "./chronos-data/log");
    assert_int_equal(config->scheduler.retry.jitter_thousandths, 250);
    assert_int_equal(config->scheduler.missed_run_policy, MISSED_IGNORE);
    assert_int_equal(config->output.replicated_bytes, 2048);
    assert_false(config->metrics.enabled);
    assert_int_equal(config->plugins.load_count, 2);
    assert_string_equal(config->plugins.load[0].path, "a.so");
    assert_string_equal(config->plugins.load[1].path, "/opt/b.so");
    assert_int_equal(config->cluster_raft.peer_count, 0);
    outcome_deinit(&outcome);
}

static void test_variables_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"CHRONOS_CLUSTER_NODEID=a",
         "CHRONOS_CLUSTER_NODEID: unknown environment variable; did you mean \"CHRONOS_CLUSTER_NODE_ID\"?"},
        {"CHRONOS_NODE_ID=a",
         "CHRONOS_NODE_ID: unknown environment variable; \"CHRONOS_\" is kept for keys of the configuration"},
        {"CHRONOS_=a", "CHRONOS_: unknown environment variable; \"CHRONOS_\" is kept for keys of the configuration"},
        {"CHRONOS_STORAGE_LMDB_MAP_SIZE=1GiB", "CHRONOS_STORAGE_LMDB_MAP_SIZE: options of plugins cannot be set in the "
                                               "environment; write them under storage in the file"},
        {"CHRONOS_STORAGE_LMDB=x", "CHRONOS_STORAGE_LMDB: options of plugins cannot be set in the environment; write "
                                   "them "
                                   "under storage in the file"},
        {"CHRONOS_EXECUTORS_SHELL_UMASK=022", "CHRONOS_EXECUTORS_SHELL_UMASK: options of plugins cannot be set in the "
                                              "environment; write them under executors in the file"},
        {"CHRONOS_EXECUTORS_HTTP=false", "CHRONOS_EXECUTORS_HTTP: options of plugins cannot be set in the environment; "
                                         "write "
                                         "them under executors in the file"},
        {"CHRONOS_EXECUTORS_MAXCONCURRENT=1", "CHRONOS_EXECUTORS_MAXCONCURRENT: unknown environment variable; did you "
                                              "mean "
                                              "\"CHRONOS_EXECUTORS_MAX_CONCURRENT\"?"},
        {"CHRONOS_SECURITY_STRICT=yes",
         "CHRONOS_SECURITY_STRICT: security.strict: \"yes\" is neither true nor false; write true"},
        {"CHRONOS_CLUSTER_NODE_ID=", "CHRONOS_CLUSTER_NODE_ID: cluster.node_id: must not be empty"},
        {"CHRONOS_SERVER_SHUTDOWN_TIMEOUT=null",
         "CHRONOS_SERVER_SHUTDOWN_TIMEOUT: server.shutdown_timeout: \"null\" is not a duration; write a number and ms, "
         "s, m, "
         "h or d, as in 500ms, 30s or 1h30m"},
        {"CHRONOS_CLUSTER_DATA_DIR=/a\xff", "CHRONOS_CLUSTER_DATA_DIR: cluster.data_dir: \"/a?\" is not UTF-8"},
        {"CHRONOS_CLUSTER_RAFT_PEERS=10.0.0.1:7000,10.0.0.2:7000",
         "CHRONOS_CLUSTER_RAFT_PEERS: cluster.raft.peers: a node that has peers needs cluster.raft.address, where they reach it"},
        {"CHRONOS_CLUSTER_RAFT_PEERS=10.0.0.1:7000,,",
         "CHRONOS_CLUSTER_RAFT_PEERS: cluster.raft.peers.1: \"\" is not an address: the port is missing; write "
         "host:port"},
        {"CHRONOS_CLUSTER_RAFT_ELECTION_TIMEOUT=900ms",
         "CHRONOS_CLUSTER_RAFT_ELECTION_TIMEOUT: cluster.raft.election_timeout: heartbeat_timeout (500ms) must be at "
         "most "
         "half of election_timeout (900ms)"},
    };
    for (size_t i = 0; i < COUNT(refusals); i++)
        assert_variable_refused(refusals[i].text, refusals[i].message);
    /* A backend that only the file names. */
    struct outcome outcome = outcome_of_variable("CHRONOS_STORAGE_MY_STORE_PATH=/x", "storage: {my-store: {}}");
    assert_string_equal(outcome.messages[0], "CHRONOS_STORAGE_MY_STORE_PATH: options of plugins cannot be set in the "
                                             "environment; write them under storage in the file");
    outcome_deinit(&outcome);
    char variable[400];
    (void)snprintf(variable, sizeof variable, "CHRONOS_%0300d=1", 0);
    outcome = outcome_of_variable(variable, NULL);
    assert_int_equal(outcome.count, 1);
    assert_non_null(strstr(outcome.messages[0], "0...: unknown environment variable"));
    outcome_deinit(&outcome);
}

static void test_variables_that_are_not_ours(void **state)
{
    (void)state;
    static const char *const names[] = {
        "chronos_cluster_node_id=a", "CHRONOSCTL_SERVER=http://x", "CHRONOS_TOKEN=x", "CHRONOS_TEST_SEED=1", "CHRONOS_CLUSTER_NODE_ID", "",
        "CHRONOS", "XCHRONOS_FOO=1",
        /* What Kubernetes puts beside a service called "chronos" or "chronos-api". */
        "CHRONOS_SERVICE_HOST=10.96.0.1", "CHRONOS_SERVICE_PORT=8080", "CHRONOS_SERVICE_PORT_HTTP=8080",
        "CHRONOS_PORT=tcp://10.96.0.1:8080", "CHRONOS_PORT_8080_TCP=tcp://10.96.0.1:8080",
        "CHRONOS_PORT_8080_TCP_PROTO=tcp", "CHRONOS_PORT_8080_TCP_ADDR=10.96.0.1",
        "CHRONOS_API_SERVICE_HOST=10.96.0.1", "CHRONOS_API_PORT=udp://10.96.0.1:53", "CHRONOS_API_PORT_53_UDP_PORT=53"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct outcome outcome = outcome_of_variable(names[i], NULL);
        if (outcome.status != STATUS_OK)
            fail_msg("%s", outcome.messages[0]);
        outcome_deinit(&outcome);
    }
    assert_variable_refused("CHRONOS_PORT=8080", "CHRONOS_PORT: unknown environment variable; \"CHRONOS_\" is kept for "
                                                 "keys "
                                                 "of the configuration");
}

/* A job may itself call the program: the variables of its run are not its configuration. */
static void test_variables_of_a_run(void **state)
{
    (void)state;
    static const char *const run[] = {"CHRONOS_NODE_ID=a", "CHRONOS_JOB_ID=job_1", "CHRONOS_ATTEMPT=1",
                                      "CHRONOS_EXECUTION_ID=exec_1", "CHRONOS_SCHEDULED_TIME=x",
                                      "CHRONOS_JOB_NAME=x", "CHRONOS_IDEMPOTENCY_KEY=x", NULL};
    struct config_sources sources = {.environment = run};
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_OK);
    outcome_deinit(&outcome);
    static const char *const outside[] = {"CHRONOS_JOB_ID=job_1", "CHRONOS_ATTEMPT=1", NULL};
    sources.environment = outside;
    outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.count, 2);
    outcome_deinit(&outcome);
}

/* ---- command line ---- */

static void test_overrides_refused(void **state)
{
    (void)state;
    static const struct config_override overrides[] = {
        {"cluster.data_dir", "", "--data-dir"},
        {"server.http.address", "nowhere", "--http-address"},
        {"cluster.data", "/x", "--data"},
        {"storage.*", "/x", "--options"},
    };
    struct config_sources sources = {.overrides = overrides, .override_count = COUNT(overrides)};
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_INVALID);
    assert_int_equal(outcome.count, 4);
    assert_string_equal(outcome.messages[0], "--data-dir: cluster.data_dir: must not be empty");
    assert_string_equal(outcome.messages[1], "--http-address: server.http.address: \"nowhere\" is not an address: the "
                                             "port is "
                                             "missing; write host:port");
    assert_string_equal(outcome.messages[2], "--data: cluster.data: unknown key");
    assert_string_equal(outcome.messages[3], "--options: storage.*: unknown key");
    assert_string_equal(outcome.err.field, "cluster.data_dir");
    outcome_deinit(&outcome);
}

static void test_overrides_without_a_report(void **state)
{
    (void)state;
    static const struct config_override overrides[] = {{"cluster.data_dir", "", "--data-dir"}};
    struct config_sources sources = {.overrides = overrides, .override_count = 1};
    struct config *config = NULL;
    struct error err;
    assert_int_equal(config_load(&sources, NULL, NULL, &config, &err), STATUS_INVALID);
    assert_null(config);
    assert_string_equal(err.message, "--data-dir: cluster.data_dir: must not be empty");
    config_free(NULL);
}

/* ---- files ---- */

struct files {
    char directory[64], path[96];
};

static int make_directory(void **state)
{
    struct files *files = calloc(1, sizeof *files);
    (void)snprintf(files->directory, sizeof files->directory, "/tmp/chronos-config-XXXXXX");
    if (!mkdtemp(files->directory))
        return -1;
    (void)snprintf(files->path, sizeof files->path, "%s/chronos.yaml", files->directory);
    *state = files;
    return 0;
}

static int remove_directory(void **state)
{
    struct files *files = *state;
    (void)unlink(files->path); /* not every test makes it */
    int result = rmdir(files->directory);
    free(files);
    return result;
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void test_a_file_is_read(void **state)
{
    const struct files *files = *state;
    static const char text[] = "cluster:\n  node_id: from-disk\n";
    write_file(files->path, text, sizeof text - 1);
    struct config_sources sources = {.file = files->path};
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_OK);
    assert_string_equal(outcome.config->cluster.node_id, "from-disk");
    assert_string_equal(config_file_of(outcome.config), files->path);
    assert_int_equal(config_line_of(outcome.config, "cluster.node_id"), 2);
    assert_string_equal(outcome.config->plugins.directory, "../lib/chronos/plugins");
    outcome_deinit(&outcome);
    write_file(files->path, "", 0);
    outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_OK);
    outcome_deinit(&outcome);
}

static void test_a_file_that_cannot_be_read(void **state)
{
    const struct files *files = *state;
    struct config_sources sources = {.file = files->path};
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_NOT_FOUND);
    assert_int_equal(outcome.count, 1);
    assert_memory_equal(outcome.messages[0], files->path, strlen(files->path));
    assert_non_null(strstr(outcome.messages[0], ": cannot be read: "));
    assert_non_null(strstr(outcome.messages[0], "No such file or directory"));
    outcome_deinit(&outcome);
    sources.file = files->directory;
    outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_IO);
    outcome_deinit(&outcome);
}

static void test_a_file_that_is_too_large(void **state)
{
    const struct files *files = *state;
    char *text = malloc(YAML_SIZE_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', YAML_SIZE_MAX + 1);
    struct config_sources sources = {.file = files->path};
    write_file(files->path, text, YAML_SIZE_MAX);
    struct outcome outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_OK);
    outcome_deinit(&outcome);
    write_file(files->path, text, YAML_SIZE_MAX + 1);
    outcome = outcome_of(&sources, NULL, 0);
    assert_int_equal(outcome.status, STATUS_TOO_LARGE);
    assert_non_null(strstr(outcome.messages[0], ": larger than 1048576 bytes"));
    outcome_deinit(&outcome);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_default),
        cmocka_unit_test(test_default_node_id_is_a_label),
        cmocka_unit_test(test_single_node_file_of_the_guide),
        cmocka_unit_test(test_files_of_the_guide_with_peers),
        cmocka_unit_test(test_authentication),
        cmocka_unit_test(test_each_source_overrides_the_one_before),
        cmocka_unit_test(test_lines_of_keys),
        cmocka_unit_test(test_every_key_has_a_variable),
        cmocka_unit_test(test_variables_of_each_type),
        cmocka_unit_test(test_variables_refused),
        cmocka_unit_test(test_variables_that_are_not_ours),
        cmocka_unit_test(test_variables_of_a_run),
        cmocka_unit_test(test_overrides_refused),
        cmocka_unit_test(test_overrides_without_a_report),
        cmocka_unit_test_setup_teardown(test_a_file_is_read, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_read, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_too_large, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
