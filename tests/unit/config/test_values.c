/* Every type's errors, and the edges of every key's range. */
#include "fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_texts(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"cluster: {node_id: }", "chronos.yaml:1: cluster.node_id: has no value; write one, or leave the line out to "
                                 "take the "
                                 "default"},
        {"cluster: {node_id: null}", "chronos.yaml:1: cluster.node_id: has no value; write one, or leave the line out "
                                     "to take "
                                     "the default"},
        {"cluster: {node_id: ''}", "chronos.yaml:1: cluster.node_id: must not be empty"},
        {"cluster: {node_id: [a]}", "chronos.yaml:1: cluster.node_id: must be a single value, not a list"},
        {"cluster: {node_id: {a: b}}", "chronos.yaml:1: cluster.node_id: must be a single value, not a group of keys"},
        {"cluster: {node_id: -a}", "chronos.yaml:1: cluster.node_id: \"-a\" is not a name; use letters, digits, \"-\", "
                                   "\"_\" "
                                   "and \".\", a letter or digit first and last"},
        {"cluster: {node_id: a b}", "chronos.yaml:1: cluster.node_id: \"a b\" is not a name; use letters, digits, "
                                    "\"-\", "
                                    "\"_\" and \".\", a letter or digit first and last"},
        {"cluster: {node_id: a.}", "chronos.yaml:1: cluster.node_id: \"a.\" is not a name; use letters, digits, \"-\", "
                                   "\"_\" "
                                   "and \".\", a letter or digit first and last"},
        {"cluster: {node_id: \"a\\nb\"}", "chronos.yaml:1: cluster.node_id: \"a?b\" holds a line break or another "
                                          "control "
                                          "character"},
        {"cluster: {data_dir: ~/data}", "chronos.yaml:1: cluster.data_dir: \"~/data\": ~ is not replaced by the home "
                                        "folder; "
                                        "write the whole path"},
        {"cluster: {data_dir: \"\"}", "chronos.yaml:1: cluster.data_dir: must not be empty"},
        {"logging: {output: ~/log}", "chronos.yaml:1: logging.output: \"~/log\": ~ is not replaced by the home folder; "
                                     "write "
                                     "the whole path"},
        {"logging: {output: stder}", "chronos.yaml:1: logging.output: \"stder\" is not stderr, stdout or a path with a "
                                     "\"/\" "
                                     "in it; did you mean \"stderr\"?"},
        {"metrics: {path: metrics}", "chronos.yaml:1: metrics.path: \"metrics\" is not a path such as /metrics "
                                     "(letters, "
                                     "digits, \"-\", \"_\", \".\" and \"/\")"},
        {"metrics: {path: /}", "chronos.yaml:1: metrics.path: \"/\" is not a path such as /metrics (letters, digits, "
                               "\"-\", "
                               "\"_\", \".\" and \"/\")"},
        {"metrics: {path: /a?b}", "chronos.yaml:1: metrics.path: \"/a?b\" is not a path such as /metrics (letters, "
                                  "digits, "
                                  "\"-\", \"_\", \".\" and \"/\")"},
        {"metrics: {path: /api/v1/metrics}", "chronos.yaml:1: metrics.path: \"/api/v1/metrics\" belongs to the API; "
                                             "choose a "
                                             "path outside /api"},
    };
    assert_all_refused(refusals, COUNT(refusals));
    struct outcome outcome = accepted("cluster: {node_id: Node_1.example}\nlogging: {output: ./log/x}\nmetrics: {path: "
                                      "/a/b}");
    assert_string_equal(outcome.config->cluster.node_id, "Node_1.example");
    assert_string_equal(outcome.config->logging.output, "./log/x");
    assert_string_equal(outcome.config->metrics.path, "/a/b");
    outcome_deinit(&outcome);
}

static void test_text_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *path;
        int maximum;
        const char *end, *lead;
    } edges[] = {
        {"cluster: {node_id: ", "cluster.node_id", NODE_NAME_MAX, "}", ""},
        {"cluster: {data_dir: ", "cluster.data_dir", CONFIG_TEXT_MAX, "}", "/"},
        {"server: {http: {unix_socket: ", "server.http.unix_socket", 107, "}}", "/"},
        {"storage: {backend: ", "storage.backend", 63, "}", ""},
        {"storage: {log_dir: ", "storage.log_dir", CONFIG_TEXT_MAX, "}", "/"},
        {"plugins: {directory: ", "plugins.directory", CONFIG_TEXT_MAX, "}", "/"},
        {"plugins: {load: [{path: ", "plugins.load.0.path", CONFIG_TEXT_MAX, "}]}", "/"},
        {"metrics: {path: ", "metrics.path", 255, "}", "/"},
        {"logging: {output: ", "logging.output", CONFIG_TEXT_MAX, "}", "/"},
    };
    for (size_t i = 0; i < COUNT(edges); i++) {
        for (int extra = 0; extra < 2; extra++) {
            char text[CONFIG_TEXT_MAX + 200], message[200];
            int length = edges[i].maximum + extra - (int)strlen(edges[i].lead);
            (void)snprintf(text, sizeof text, "%s%s%0*d%s", edges[i].begin, edges[i].lead, length, 0, edges[i].end);
            (void)snprintf(message, sizeof message, "chronos.yaml:1: %s: is longer than %d bytes", edges[i].path,
                           edges[i].maximum);
            if (extra) {
                assert_refused(text, message);
                continue;
            }
            struct outcome outcome = accepted(text);
            outcome_deinit(&outcome);
        }
    }
}

static void test_optional_texts_can_be_none(void **state)
{
    (void)state;
    static const char *const none[] = {"''", "~", ""};
    for (size_t i = 0; i < COUNT(none); i++) {
        char text[200];
        (void)snprintf(text, sizeof text,
                       "server: {http: {unix_socket: %s}}\nstorage: {log_dir: %s}\ncluster: {raft: {address: %s}}\n"
                       "plugins: {directory: %s}\n", none[i], none[i], none[i], none[i]);
        struct outcome outcome = accepted(text);
        assert_null(outcome.config->server.unix_socket);
        assert_null(outcome.config->cluster_raft.address);
        assert_string_equal(outcome.config->storage.log_dir, "./chronos-data/log");
        assert_string_equal(outcome.config->plugins.directory, "/opt/chronos/bin/../lib/chronos/plugins");
        outcome_deinit(&outcome);
    }
}

static void assert_address_refused(const char *address, const char *why)
{
    char text[200], message[300];
    (void)snprintf(text, sizeof text, "server: {http: {address: \"%s\"}}", address);
    (void)snprintf(message, sizeof message, "chronos.yaml:1: server.http.address: \"%s\" is not an address: "
                                            "%s", address, why);
    assert_refused(text, message);
}

static void test_addresses_refused(void **state)
{
    (void)state;
    static const char ip[] = "the host must be an IP address, as in 10.0.0.1:7000 or [::1]:7000",
                      port[] = "the port must be a number up to 65535";
    assert_address_refused("127.0.0.1", "the port is missing; write host:port");
    assert_address_refused("8080", "the port is missing; write host:port");
    assert_address_refused("[::1]", "the port is missing; write [host]:port");
    assert_address_refused("[::1]8080", "the port is missing; write [host]:port");
    assert_address_refused("[::1:8080", "the \"]\" is missing");
    assert_address_refused("::1:8080", "an IPv6 address stands in brackets, as in [::1]:8080");
    assert_address_refused("127.0.0.1:", port);
    assert_address_refused("127.0.0.1:http", port);
    assert_address_refused("127.0.0.1:65536", port);
    assert_address_refused("127.0.0.1:99999", port);
    assert_address_refused("127.0.0.1:123456", port);
    assert_address_refused("127.0.0.1:-1", port);
    assert_address_refused("127.0.0.1:+80", port);
    assert_address_refused("127.0.0.1:080", port);
    assert_address_refused("127.0.0.1: 80", port);
    assert_address_refused("127.0.0.1:80 ", port);
    assert_address_refused("127.0.0.256:80", ip);
    assert_address_refused("127.0.0:80", ip);
    assert_address_refused("127.0.0.01:80", ip);
    assert_address_refused("example.com:80", ip);
    assert_address_refused("[127.0.0.1]:80", ip);
    assert_address_refused("[]:80", ip);
    assert_address_refused("[::1%lo]:80", ip);
    assert_address_refused("[12345:1]:80", ip);
    assert_address_refused("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80", ip);
    assert_address_refused("*:80", "write 0.0.0.0 for every IPv4 address, or [::] for IPv6 too");
    assert_address_refused("localhost:80", "host names are not looked up; write 127.0.0.1 or [::1] for localhost");
    assert_refused("cluster: {raft: {address: \":7000\"}}",
                   "chronos.yaml:1: cluster.raft.address: \":7000\" is not an address: the host is missing; write "
                   "host:port");
    assert_refused("cluster: {raft: {address: \"10.0.0.1:0\"}}",
                   "chronos.yaml:1: cluster.raft.address: \"10.0.0.1:0\" is not an address: port 0 cannot be reached");
}

static void test_addresses_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text, *stored;
    } addresses[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080"}, {"0.0.0.0:0", "0.0.0.0:0"},          {":8080", "0.0.0.0:8080"},
        {":0", "0.0.0.0:0"},                  {"[::1]:65535", "[::1]:65535"},      {"[::]:1", "[::]:1"},
        {"[fe80::1]:80", "[fe80::1]:80"},     {"[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80"},
    };
    for (size_t i = 0; i < COUNT(addresses); i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "server: {http: {address: \"%s\"}}", addresses[i].text);
        struct outcome outcome = accepted(text);
        assert_string_equal(outcome.config->server.http_address, addresses[i].stored);
        outcome_deinit(&outcome);
    }
    /* Plain, as people write it. */
    struct outcome outcome = accepted("server:\n  http:\n    address: :8080\ncluster: {raft: {address: "
                                      "10.0.0.1:7000}}\n");
    assert_string_equal(outcome.config->server.http_address, "0.0.0.0:8080");
    assert_string_equal(outcome.config->cluster_raft.address, "10.0.0.1:7000");
    outcome_deinit(&outcome);
}

/* Of other nodes, which are looked up when they are called. */
static void test_addresses_with_names(void **state)
{
    (void)state;
    char text[300], host[NODE_ADDRESS_MAX + 1];
    struct outcome outcome = accepted("cluster: {raft: {address: \"10.0.0.1:7000\", advertise: \"chronos-0.chronos:7000\", "
                                      "peers: [\"localhost:7001\", \"[::1]:7002\", \"a_b.example.org:7003\"]}}");
    assert_string_equal(outcome.config->cluster_raft.advertise, "chronos-0.chronos:7000");
    assert_string_equal(outcome.config->cluster_raft.peers[2], "a_b.example.org:7003");
    outcome_deinit(&outcome);
    assert_refused("cluster: {raft: {address: \"10.0.0.1:7000\", peers: [\"10.0.0.256:7000\"]}}",
                   "chronos.yaml:1: cluster.raft.peers.0: \"10.0.0.256:7000\" is not an address: the host must be an IP address or "
                   "a host name, as in 10.0.0.1:7000 or chronos-1.example.org:7000");
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = i % 40 == 39 ? '.' : 'a';
    memcpy(host + NODE_ADDRESS_MAX - 5, ":7000", 6); /* as long as one may be */
    (void)snprintf(text, sizeof text, "cluster: {raft: {address: \"10.0.0.1:7000\", advertise: \"%s\"}}", host);
    outcome = accepted(text);
    outcome_deinit(&outcome);
    (void)snprintf(text, sizeof text, "cluster: {raft: {address: \"10.0.0.1:7000\", advertise: \"a%s\"}}", host);
    struct config_sources sources = {.file = "chronos.yaml"};
    outcome = outcome_of(&sources, text, strlen(text));
    assert_int_equal(outcome.status, STATUS_INVALID);
    assert_non_null(strstr(outcome.messages[0], "127"));
    outcome_deinit(&outcome);
}

static void test_numbers_refused(void **state)
{
    (void)state;
#define DURATION_HELP "write a number and ms, s, m, h or d, as in 500ms, 30s or 1h30m"
#define SIZE_HELP "write bytes, or a number and KiB, MiB, GiB or TiB, as in 256MiB"
    static const struct refusal refusals[] = {
        {"cluster: {raft: {election_timeout: fast}}",
         "chronos.yaml:1: cluster.raft.election_timeout: \"fast\" is not a duration; " DURATION_HELP},
        {"server: {shutdown_timeout: 30}",
         "chronos.yaml:1: server.shutdown_timeout: \"30\" is not a duration: the unit is missing; " DURATION_HELP},
        {"server: {shutdown_timeout: 1.5h}",
         "chronos.yaml:1: server.shutdown_timeout: \"1.5h\" is not a duration; " DURATION_HELP},
        {"server: {shutdown_timeout: -1s}",
         "chronos.yaml:1: server.shutdown_timeout: \"-1s\" is not a duration; " DURATION_HELP},
        {"server: {shutdown_timeout: unlimited}",
         "chronos.yaml:1: server.shutdown_timeout: \"unlimited\" is not a duration; " DURATION_HELP},
        {"server: {shutdown_timeout: 99999999999999999999d}",
         "chronos.yaml:1: server.shutdown_timeout: \"99999999999999999999d\" is not a duration; " DURATION_HELP},
        {"server: {shutdown_timeout: ''}", "chronos.yaml:1: server.shutdown_timeout: \"\" is not a duration; "
                                           "" DURATION_HELP},
        {"server: {shutdown_timeout: }", "chronos.yaml:1: server.shutdown_timeout: has no value; write one, or leave "
                                         "the line "
                                         "out to take the default"},
        {"scheduler: {catchup_window: 9s}",
         "chronos.yaml:1: scheduler.catchup_window: 9s is out of range: 10s to 3650d, or unlimited"},
        {"storage: {min_free: lots}", "chronos.yaml:1: storage.min_free: \"lots\" is not a size; " SIZE_HELP},
        {"storage: {min_free: 1Mi}", "chronos.yaml:1: storage.min_free: \"1Mi\" is not a size; " SIZE_HELP},
        {"storage: {min_free: 1.5GiB}", "chronos.yaml:1: storage.min_free: \"1.5GiB\" is not a size; " SIZE_HELP},
        {"storage: {min_free: -1}", "chronos.yaml:1: storage.min_free: \"-1\" is not a size; " SIZE_HELP},
        {"storage: {min_free: ''}", "chronos.yaml:1: storage.min_free: \"\" is not a size; " SIZE_HELP},
        {"storage: {executions_per_job: many}",
         "chronos.yaml:1: storage.executions_per_job: \"many\" is not a whole number"},
        {"storage: {executions_per_job: 1.0}", "chronos.yaml:1: storage.executions_per_job: \"1.0\" is not a whole "
                                               "number"},
        {"storage: {executions_per_job: 1e3}", "chronos.yaml:1: storage.executions_per_job: \"1e3\" is not a whole "
                                               "number"},
        {"storage: {executions_per_job: 0x10}", "chronos.yaml:1: storage.executions_per_job: \"0x10\" is not a whole "
                                                "number"},
        {"storage: {executions_per_job: 010}", "chronos.yaml:1: storage.executions_per_job: \"010\" is not a whole "
                                               "number"},
        {"storage: {executions_per_job: 1_000}",
         "chronos.yaml:1: storage.executions_per_job: \"1_000\" is not a whole number"},
        {"storage: {executions_per_job: +1}", "chronos.yaml:1: storage.executions_per_job: \"+1\" is not a whole "
                                              "number"},
        {"storage: {executions_per_job: '-'}", "chronos.yaml:1: storage.executions_per_job: \"-\" is not a whole "
                                               "number"},
        {"storage: {executions_per_job: -5}", "chronos.yaml:1: storage.executions_per_job: -5 is out of range: 1 to "
                                              "1000000"},
        {"storage: {executions_per_job: 4294967297}",
         "chronos.yaml:1: storage.executions_per_job: 4294967297 is out of range: 1 to 1000000"},
        {"storage: {executions_per_job: 18446744073709551617}",
         "chronos.yaml:1: storage.executions_per_job: 18446744073709551617 is out of range: 1 to 1000000"},
        {"scheduler: {default_retry_policy: {multiplier: two}}", "chronos.yaml:1: "
                                                                 "scheduler.default_retry_policy.multiplier: "
                                                                 "\"two\" is not a number with at most three decimals, "
                                                                 "as in "
                                                                 "1.5"},
        {"scheduler: {default_retry_policy: {multiplier: 1.2345}}",
         "chronos.yaml:1: scheduler.default_retry_policy.multiplier: \"1.2345\" is not a number with at most three "
         "decimals, "
         "as in 1.5"},
        {"scheduler: {default_retry_policy: {multiplier: 2e0}}",
         "chronos.yaml:1: scheduler.default_retry_policy.multiplier: \"2e0\" is not a number with at most three "
         "decimals, as "
         "in 1.5"},
        {"scheduler: {default_retry_policy: {multiplier: 1.5e0}}",
         "chronos.yaml:1: scheduler.default_retry_policy.multiplier: \"1.5e0\" is not a number with at most three "
         "decimals, "
         "as in 1.5"},
        {"scheduler: {default_retry_policy: {multiplier: .5}}",
         "chronos.yaml:1: scheduler.default_retry_policy.multiplier: \".5\" is not a number with at most three "
         "decimals, as "
         "in 1.5"},
        {"scheduler: {default_retry_policy: {jitter: -0.1}}",
         "chronos.yaml:1: scheduler.default_retry_policy.jitter: -0.1 is out of range: 0 to 1"},
        {"scheduler: {default_retry_policy: {jitter: 99999999999}}",
         "chronos.yaml:1: scheduler.default_retry_policy.jitter: \"99999999999\" is not a number with at most three "
         "decimals, "
         "as in 1.5"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_words_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"security: {strict: yes}", "chronos.yaml:1: security.strict: \"yes\" is neither true nor false; write true"},
        {"security: {strict: On}", "chronos.yaml:1: security.strict: \"On\" is neither true nor false; write true"},
        {"security: {strict: True}", "chronos.yaml:1: security.strict: \"True\" is neither true nor false; write true"},
        {"security: {strict: 1}", "chronos.yaml:1: security.strict: \"1\" is neither true nor false; write true"},
        {"security: {strict: no}", "chronos.yaml:1: security.strict: \"no\" is neither true nor false; write false"},
        {"security: {strict: OFF}", "chronos.yaml:1: security.strict: \"OFF\" is neither true nor false; write false"},
        {"security: {strict: maybe}", "chronos.yaml:1: security.strict: \"maybe\" is neither true nor false"},
        {"logging: {level: warning}", "chronos.yaml:1: logging.level: \"warning\" is not one of debug, info, warn, "
                                      "error; did "
                                      "you mean \"warn\"?"},
        {"logging: {level: INFO}", "chronos.yaml:1: logging.level: \"INFO\" is not one of debug, info, warn, error; "
                                   "did "
                                   "you mean \"info\"?"},
        {"logging: {format: jsn}", "chronos.yaml:1: logging.format: \"jsn\" is not one of text, json; did you mean "
                                   "\"json\"?"},
        {"scheduler: {missed_run_policy: execute-one}", "chronos.yaml:1: scheduler.missed_run_policy: \"execute-one\" "
                                                        "is not "
                                                        "one of execute_one, execute_all, ignore; did you mean "
                                                        "\"execute_one\"?"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_words_accepted(void **state)
{
    (void)state;
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const policies[] = {"execute_one", "execute_all", "ignore"};
    for (int i = 0; i < 4; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "logging: {level: %s, format: %s}\nscheduler: {missed_run_policy: %s}\n"
                       "metrics: {enabled: %s}\nsecurity: {strict: \"%s\"}\ncluster: {raft: {bootstrap: "
                       "%s}}\n", levels[i],
                       i % 2 ? "json" : "text", policies[i % 3], i % 2 ? "true" : "false", i % 2 ? "true" : "false",
                       i % 2 ? "true" : "false");
        struct outcome outcome = accepted(text);
        assert_int_equal(outcome.config->logging.level, i);
        assert_int_equal(outcome.config->logging.format, i % 2);
        assert_int_equal(outcome.config->scheduler.missed_run_policy, i % 3);
        assert_int_equal(outcome.config->metrics.enabled, i % 2);
        assert_int_equal(outcome.config->security_strict, i % 2);
        assert_int_equal(outcome.config->cluster_raft.bootstrap, i % 2);
        outcome_deinit(&outcome);
    }
}

/* ---- the edges of every range ---- */

/* "a.b.c" and a value as nested YAML in one line. */
static void nest(const char *path, const char *value, char *out, size_t size)
{
    size_t used = 0, depth = 0;
    for (const char *at = path; *at; depth++) {
        size_t length = strcspn(at, ".");
        used += (size_t)snprintf(out + used, size - used, "%s%.*s: ", depth > 0 ? "{" : "", (int)length, at);
        at += length + (at[length] == '.');
    }
    used += (size_t)snprintf(out + used, size - used, "\"%s\"", value);
    for (; depth > 1; depth--)
        used += (size_t)snprintf(out + used, size - used, "}");
}

static void format_value(const struct config_key *key, int64_t value, char *out, size_t size)
{
    if (key->type == &config_type_duration)
        (void)snprintf(out, size, "%" PRId64 "%s", value, value ? "ms" : "");
    else if (key->type == &config_type_thousandths)
        (void)snprintf(out, size, "%" PRId64 ".%03d", value / 1000, (int)(value % 1000));
    else
        (void)snprintf(out, size, "%" PRId64, value);
}

static int64_t stored_value(const struct config *config, const struct config_key *key)
{
    const void *member = (const char *)config + key->offset;
    if (key->type == &config_type_duration || key->type == &config_type_size) {
        int64_t wide;
        memcpy(&wide, member, sizeof wide);
        return wide;
    }
    uint32_t narrow;
    memcpy(&narrow, member, sizeof narrow);
    return narrow;
}

static bool is_number(const struct config_key *key)
{
    return key->type == &config_type_duration || key->type == &config_type_size || key->type == &config_type_size32 ||
           key->type == &config_type_integer || key->type == &config_type_thousandths;
}

/* Keys that depend on another one get it moved out of the way. */
static const char *companion(const char *path, bool minimum)
{
    static const struct {
        const char *path, *at_minimum, *at_maximum;
    } companions[] = {
        {"cluster.raft.heartbeat_timeout", "", "\ncluster: {raft: {election_timeout: 10m, heartbeat_timeout: 1m}}"},
        {"cluster.raft.election_timeout", "\ncluster: {raft: {election_timeout: 50ms, heartbeat_timeout: 10ms}}", ""},
        {"scheduler.default_retry_policy.initial_interval", "",
         "\nscheduler: {default_retry_policy: {initial_interval: 1d, max_interval: 1d}}"},
        {"scheduler.default_retry_policy.max_interval",
         "\nscheduler: {default_retry_policy: {initial_interval: 100ms, max_interval: 100ms}}", ""},
        {"output.captured_bytes", "\noutput: {captured_bytes: 0, replicated_bytes: 0}", ""},
    };
    for (size_t i = 0; i < COUNT(companions); i++)
        if (strcmp(companions[i].path, path) == 0)
            return minimum ? companions[i].at_minimum : companions[i].at_maximum;
    return "";
}

static void check_edge(const struct config_key *key, int64_t value, bool minimum)
{
    char shown[64], text[256];
    format_value(key, value, shown, sizeof shown);
    nest(key->path, shown, text, sizeof text);
    const char *with = companion(key->path, minimum);
    struct outcome outcome = accepted(*with ? with : text);
    assert_int_equal(stored_value(outcome.config, key), value);
    outcome_deinit(&outcome);
}

static void check_beyond(const struct config_key *key, int64_t value)
{
    char shown[64], text[256], begin[256];
    format_value(key, value, shown, sizeof shown);
    nest(key->path, shown, text, sizeof text);
    (void)snprintf(begin, sizeof begin, "chronos.yaml:1: %s: %s is out of range: ", key->path, shown);
    struct outcome outcome = outcome_of_text(text);
    assert_int_equal(outcome.status, STATUS_INVALID);
    assert_int_equal(outcome.count, 1);
    assert_memory_equal(outcome.messages[0], begin, strlen(begin));
    assert_string_equal(outcome.err.field, key->path);
    outcome_deinit(&outcome);
}

static void test_every_range(void **state)
{
    (void)state;
    uint32_t checked = 0;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!is_number(key))
            continue;
        check_edge(key, key->minimum, true);
        check_edge(key, key->maximum, false);
        check_beyond(key, key->maximum + 1);
        if (key->minimum > 1 || (key->minimum == 1 && !(key->flags & KEY_UNLIMITED)))
            check_beyond(key, key->minimum - 1);
        checked++;
    }
    assert_int_equal(checked, 31); /* none was passed over */
}

static void test_snapshots_kept(void **state)
{
    (void)state;
    char text[100], message[200];
    (void)snprintf(text, sizeof text, "cluster: {raft: {retain_snapshots: %d}}", SNAPSHOTS_KEPT_MAX);
    struct outcome outcome = accepted(text);
    assert_int_equal(outcome.config->cluster_raft.retain_snapshots, SNAPSHOTS_KEPT_MAX);
    outcome_deinit(&outcome);
    (void)snprintf(text, sizeof text, "cluster: {raft: {retain_snapshots: %d}}", SNAPSHOTS_KEPT_MAX + 1);
    (void)snprintf(message, sizeof message, "chronos.yaml:1: cluster.raft.retain_snapshots: %d is out of range: 1 to %d",
                   SNAPSHOTS_KEPT_MAX + 1, SNAPSHOTS_KEPT_MAX);
    assert_refused(text, message);
}

static void test_unlimited_window(void **state)
{
    (void)state;
    static const char *const texts[] = {"scheduler: {catchup_window: unlimited}", "scheduler: {catchup_window: 0}", ""};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct outcome outcome = accepted(texts[i]);
        assert_int_equal(outcome.config->scheduler.catchup_window_ms, 0);
        outcome_deinit(&outcome);
    }
}

static void test_decimals_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t thousandths;
    } decimals[] = {{"1", 1000}, {"1.5", 1500}, {"2.0", 2000}, {"1.05", 1050}, {"1.005", 1005}, {"99.999", 99999},
                    {"100.000", 100000}};
    for (size_t i = 0; i < COUNT(decimals); i++) {
        char text[100];
        nest("scheduler.default_retry_policy.multiplier", decimals[i].text, text, sizeof text);
        struct outcome outcome = accepted(text);
        assert_int_equal(outcome.config->scheduler.retry.multiplier_thousandths, decimals[i].thousandths);
        outcome_deinit(&outcome);
    }
}

static void test_keys_that_depend_on_each_other(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"cluster:\n  raft:\n    heartbeat_timeout: 501ms\n    election_timeout: 1s\n",
         "chronos.yaml:3: cluster.raft.heartbeat_timeout: heartbeat_timeout (501ms) must be at most half of "
         "election_timeout "
         "(1s)"},
        {"cluster:\n  raft:\n    election_timeout: 999ms\n",
         "chronos.yaml:3: cluster.raft.election_timeout: heartbeat_timeout (500ms) must be at most half of "
         "election_timeout "
         "(999ms)"},
        {"cluster:\n  raft:\n    peers:\n      - 10.0.0.1:7000\n    bootstrap: false\n",
         "chronos.yaml:3: cluster.raft.peers: a node that has peers needs cluster.raft.address, where they reach it"},
        {"cluster:\n  raft:\n    advertise: 10.0.0.1:7000\n",
         "chronos.yaml:3: cluster.raft.advertise: cluster.raft.address is missing: nobody listens at the advertised address"},
        {"cluster:\n  raft:\n    address: 127.0.0.1:8080\n",
         "chronos.yaml:3: cluster.raft.address: is the address of server.http as well: each needs a port of its own"},
        {"cluster:\n  raft:\n    address: 0.0.0.0:7000\n",
         "chronos.yaml:3: cluster.raft.address: the other nodes cannot reach \"0.0.0.0:7000\": set cluster.raft.advertise to the "
         "address of this machine"},
        {"cluster:\n  raft:\n    address: 0.0.0.0:7000\n    advertise: \"[::]:7000\"\n",
         "chronos.yaml:4: cluster.raft.advertise: the other nodes cannot reach \"[::]:7000\": write the address of this machine"},
        {"auth: {enabled: true}", "chronos.yaml:1: auth.enabled: needs auth.tokens_file; `chronosctl token generate NAME` makes a "
                                  "token and its line"},
        {"auth: {enabled: true, tokens_file: \"\"}", "chronos.yaml:1: auth.enabled: needs auth.tokens_file; `chronosctl token "
                                                     "generate NAME` makes a token and its line"},
        {"auth:\n  anonymous: none\n", "chronos.yaml:2: auth.anonymous: means nothing without auth.tokens_file: everybody may do "
                                       "everything then"},
        {"auth: {tokens_file: t, anonymous: write}", "chronos.yaml:1: auth.anonymous: \"write\" is not one of none, read"},
        {"auth: {token_file: t}", "chronos.yaml:1: auth.token_file: unknown key; did you mean \"tokens_file\"?"},
        {"auth: {anonymous: read, tokens_file: [t]}", "chronos.yaml:1: auth.tokens_file: must be a single value, not a list"},
        {"cluster:\n  raft:\n    tls: {cert_file: /a, ca_file: /b}\n",
         "chronos.yaml:3: cluster.raft.tls.cert_file: cert_file, key_file and ca_file belong together: give all three, or none"},
        {"scheduler:\n  default_retry_policy:\n    max_interval: 500ms\n",
         "chronos.yaml:3: scheduler.default_retry_policy.max_interval: max_interval (500ms) must be at least "
         "initial_interval (1s)"},
        {"scheduler:\n  default_retry_policy:\n    initial_interval: 2m\n",
         "chronos.yaml:3: scheduler.default_retry_policy.initial_interval: max_interval (1m) must be at least "
         "initial_interval (2m)"},
        {"output: {captured_bytes: 1023}", "chronos.yaml:1: output.captured_bytes: captured_bytes (1023) must be at "
                                           "least "
                                           "replicated_bytes (1KiB)"},
        /* One bad value is one problem: what depends on it is not judged. */
        {"cluster: {raft: {heartbeat_timeout: 1s, election_timeout: fast}}",
         "chronos.yaml:1: cluster.raft.election_timeout: \"fast\" is not a duration; " DURATION_HELP},
    };
    assert_all_refused(refusals, COUNT(refusals));
    struct outcome outcome = accepted("cluster: {raft: {heartbeat_timeout: 500ms, election_timeout: 1000ms}}");
    assert_int_equal(outcome.config->cluster_raft.heartbeat_timeout_ms, 500);
    outcome_deinit(&outcome);
}

static void test_lists(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"cluster: {raft: {peers: 10.0.0.1:7000}}", "chronos.yaml:1: cluster.raft.peers: must be a list, not a single "
                                                    "value; "
                                                    "write [a, b], or one \"- \" a line below it"},
        {"cluster: {raft: {peers: {a: b}}}", "chronos.yaml:1: cluster.raft.peers: must be a list, not a group of keys; "
                                             "write "
                                             "[a, b], or one \"- \" a line below it"},
        {"cluster:\n  raft:\n    peers:\n      - [a]\n",
         "chronos.yaml:4: cluster.raft.peers.0: must be a single value, not a list"},
        {"cluster:\n  raft:\n    peers:\n      - \"\"\n", "chronos.yaml:4: cluster.raft.peers.0: \"\" is not an "
                                                          "address: the "
                                                        "port is missing; write host:port"},
        {"plugins: {load: a.so}", "chronos.yaml:1: plugins.load: must be a list, not a single value; write [a, b], or "
                                  "one \"- "
                                  "\" a line below it"},
        {"plugins: {load: [[a]]}", "chronos.yaml:1: plugins.load.0: must be {path: ...}, not a list"},
        {"plugins: {load: [{}]}", "chronos.yaml:1: plugins.load.0: \"path\" is missing"},
        {"plugins: {load: ['']}", "chronos.yaml:1: plugins.load.0: must not be empty"},
        {"plugins: {load: [{path: a.so, sha: x}]}",
         "chronos.yaml:1: plugins.load.0.sha: unknown key"},
        {"plugins: {load: [{path: a.so, sha265: x}]}",
         "chronos.yaml:1: plugins.load.0.sha265: unknown key; did you mean \"sha256\"?"},
        {"plugins: {load: [{path: lib/a.so}]}", "chronos.yaml:1: plugins.load.0.path: \"lib/a.so\" must be an absolute "
                                                "path, "
                                                "or a file name in plugins.directory"},
        {"plugins:\n  load:\n    - path: a.so\n    - path: b.so\n      isolation: process\n",
         "chronos.yaml:5: plugins.load.1.isolation: this version runs plugins in its own process only; write "
         "in_process, or "
         "leave the line out"},
        {"plugins: {load: [{path: a.so, isolation: in-process}]}",
         "chronos.yaml:1: plugins.load.0.isolation: \"in-process\" is not one of in_process, process; did you mean "
         "\"in_process\"?"},
        {"plugins: {load: [{path: a.so, sha256: 00ff}]}", "chronos.yaml:1: plugins.load.0.sha256: \"00ff\" is not 64 "
                                                          "hexadecimal digits, as sha256sum prints them"},
    };
    assert_all_refused(refusals, COUNT(refusals));
    struct outcome outcome = outcome_of_text("cluster: {raft: {peers: [a, b, 10.0.0.1:7000]}}");
    assert_int_equal(outcome.count, 2);
    assert_non_null(strstr(outcome.messages[1], "cluster.raft.peers.1: \"b\" is not an address"));
    outcome_deinit(&outcome);
}

#define DIGITS "0123456789abcdefABCDEF0123456789ABCDEF0123456789abcdef0123456789"
static void test_plugins(void **state)
{
    (void)state;
    struct outcome outcome = accepted("plugins:\n  directory: /usr/lib/chronos\n  load:\n    - path: a.so\n      "
                                      "sha256: " DIGITS
                                      "\n      isolation: in_process\n    - /opt/b.so\n");
    const struct config *config = outcome.config;
    assert_string_equal(config->plugins.directory, "/usr/lib/chronos");
    assert_int_equal(config->plugins.load_count, 2);
    assert_string_equal(config->plugins.load[0].path, "a.so");
    assert_string_equal(config->plugins.load[0].sha256, DIGITS);
    assert_string_equal(config->plugins.load[1].path, "/opt/b.so");
    assert_null(config->plugins.load[1].sha256);
    outcome_deinit(&outcome);
    assert_refused("plugins: {load: [{path: a.so, sha256: " DIGITS "0}]}",
                   "chronos.yaml:1: plugins.load.0.sha256: \"" DIGITS "0\" is not 64 hexadecimal digits, as sha256sum "
                                                                      "prints "
                   "them");
}

static void check_list_length(const char *begin, const char *element, const char *end, const char *refusal)
{
    struct buffer text;
    buffer_init(&text, 1 << 16);
    buffer_append_string(&text, begin);
    for (int i = 0; i < CONFIG_LIST_MAX; i++)
        buffer_appendf(&text, "%s, ", element);
    size_t size = text.size;
    buffer_append_string(&text, end);
    struct outcome outcome = outcome_of_text(text.data);
    for (uint32_t i = 0; i < outcome.count; i++)
        assert_null(strstr(outcome.messages[i], "elements"));
    outcome_deinit(&outcome);
    text.size = size;
    buffer_appendf(&text, "%s%s", element, end);
    assert_refused(text.data, refusal);
    buffer_deinit(&text);
}

static void test_list_lengths(void **state)
{
    (void)state;
    check_list_length("plugins: {load: [", "a.so", "]}",
                      "chronos.yaml:1: plugins.load: has 65 elements; at most 64 are allowed");
    check_list_length("cluster: {raft: {peers: [", "10.0.0.1:1", "]}}",
                      "chronos.yaml:1: cluster.raft.peers: has 65 elements; at most 64 are allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_text_lengths),
        cmocka_unit_test(test_optional_texts_can_be_none),
        cmocka_unit_test(test_addresses_refused),
        cmocka_unit_test(test_addresses_accepted),
        cmocka_unit_test(test_addresses_with_names),
        cmocka_unit_test(test_numbers_refused),
        cmocka_unit_test(test_words_refused),
        cmocka_unit_test(test_words_accepted),
        cmocka_unit_test(test_every_range),
        cmocka_unit_test(test_snapshots_kept),
        cmocka_unit_test(test_unlimited_window),
        cmocka_unit_test(test_decimals_are_exact),
        cmocka_unit_test(test_keys_that_depend_on_each_other),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_plugins),
        cmocka_unit_test(test_list_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
