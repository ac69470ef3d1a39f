/* What no key can say alone. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "config/values.h"

static const struct origin *origin_of(const struct loader *loader, const char *path)
{
    return &loader->origins[config_key_of_path(path) - config_keys];
}

/* A value that was refused is not the one that stands in the config: nothing can be said about it. */
static bool both_known(const struct loader *loader, const char *path, const char *other)
{
    return !origin_of(loader, path)->refused && !origin_of(loader, other)->refused;
}

/* Report at the place of `path`; where only `other` was written, at that one. */
static void refuse_pair(struct loader *loader, const char *path, const char *other, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse_pair(struct loader *loader, const char *path, const char *other, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args); /* numbers and our own words only */
    va_end(args);
    const char *key = origin_of(loader, path)->place.label ? path : other;
    loader->label = origin_of(loader, key)->place.label;
    if (!loader->label)
        loader->label = "defaults.yaml"; /* cannot be: the defaults agree with each other */
    (void)loader_refuse(loader, key, origin_of(loader, key)->place.line, "%s", sentence);
}

static bool is_wildcard(const char *address)
{
    return strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
}

static void check_raft_addresses(struct loader *loader)
{
    static const char peers[] = "cluster.raft.peers", address[] = "cluster.raft.address", advertise[] = "cluster.raft.advertise";
    const struct config *config = loader->config;
    if (!both_known(loader, peers, address) || !both_known(loader, advertise, address))
        return;
    if (config->cluster_raft.address == NULL && config->cluster_raft.peer_count > 0)
        refuse_pair(loader, peers, address, "a node that has peers needs cluster.raft.address, where they reach it");
    else if (config->cluster_raft.address == NULL && config->cluster_raft.advertise != NULL)
        refuse_pair(loader, advertise, address, "cluster.raft.address is missing: nobody listens at the advertised address");
    else if (config->cluster_raft.address != NULL && config->cluster_raft.advertise == NULL &&
             is_wildcard(config->cluster_raft.address))
        refuse_pair(loader, address, advertise, "the other nodes cannot reach \"%s\": set cluster.raft.advertise to the address of "
                    "this machine", config->cluster_raft.address);
    else if (config->cluster_raft.advertise != NULL && is_wildcard(config->cluster_raft.advertise))
        refuse_pair(loader, advertise, address, "the other nodes cannot reach \"%s\": write the address of this machine",
                    config->cluster_raft.advertise);
    else if (config->cluster_raft.address != NULL && strlen(config->cluster_raft.address) > NODE_ADDRESS_MAX)
        refuse_pair(loader, address, advertise, "is longer than %d bytes", NODE_ADDRESS_MAX);
}

static void check_one_port(struct loader *loader)
{
    static const char raft[] = "cluster.raft.address", http[] = "server.http.address";
    const struct config *config = loader->config;
    if (config->cluster_raft.address != NULL && config->server.http_address != NULL && both_known(loader, raft, http) &&
        strcmp(config->cluster_raft.address, config->server.http_address) == 0)
        refuse_pair(loader, raft, http, "is the address of server.http as well: each needs a port of its own");
}

static void check_raft_tls(struct loader *loader)
{
    static const char cert[] = "cluster.raft.tls.cert_file", key[] = "cluster.raft.tls.key_file", ca[] = "cluster.raft.tls.ca_file";
    const struct config *config = loader->config;
    int given = (config->cluster_raft.tls_cert_file != NULL) + (config->cluster_raft.tls_key_file != NULL) +
                (config->cluster_raft.tls_ca_file != NULL);
    if (given == 0 || given == 3 || !both_known(loader, cert, key) || !both_known(loader, ca, key))
        return;
    const char *present = config->cluster_raft.tls_cert_file != NULL ? cert : config->cluster_raft.tls_key_file != NULL ? key : ca;
    refuse_pair(loader, present, present, "cert_file, key_file and ca_file belong together: give all three, or none");
}

static void check_raft_timeouts(struct loader *loader)
{
    static const char heartbeat[] = "cluster.raft.heartbeat_timeout", election[] = "cluster.raft.election_timeout";
    const struct config *config = loader->config;
    int64_t heartbeat_ms = config->cluster_raft.heartbeat_timeout_ms;
    int64_t election_ms = config->cluster_raft.election_timeout_ms;
    if (heartbeat_ms > election_ms / 2 && both_known(loader, heartbeat, election)) {
        char beat[DURATION_TEXT_SIZE], silence[DURATION_TEXT_SIZE];
        duration_format(heartbeat_ms, beat);
        duration_format(election_ms, silence);
        refuse_pair(loader, heartbeat, election, "heartbeat_timeout (%s) must be at most half of election_timeout (%s)",
                    beat, silence);
    }
}

/* A node that nobody told anything begins a cluster; whoever names peers wants to join them. */
static void settle_bootstrap(struct loader *loader)
{
    struct config *config = loader->config;
    if (origin_of(loader, "cluster.raft.bootstrap")->place.label == NULL)
        config->cluster_raft.bootstrap = config->cluster_raft.peer_count == 0;
}

/* Whoever writes about access must get it: `anonymous: none` alone would guard nothing. A tokens_file of "" says so itself. */
static void settle_auth(struct loader *loader)
{
    static const char enabled[] = "auth.enabled", file[] = "auth.tokens_file", anonymous[] = "auth.anonymous";
    struct config *config = loader->config;
    bool is_said = origin_of(loader, enabled)->place.label != NULL;
    if (!is_said)
        config->auth.enabled = config->auth.tokens_file != NULL;
    if (config->auth.tokens_file != NULL || origin_of(loader, file)->refused)
        return;
    if (is_said && config->auth.enabled && both_known(loader, enabled, file))
        refuse_pair(loader, enabled, file, "needs auth.tokens_file; `chronosctl token generate NAME` makes a token and its line");
    else if (!is_said && origin_of(loader, anonymous)->place.label != NULL && origin_of(loader, file)->place.label == NULL &&
             both_known(loader, anonymous, file))
        refuse_pair(loader, anonymous, file, "means nothing without auth.tokens_file: everybody may do everything then");
}

static void check_retry(struct loader *loader)
{
    static const char longest[] = "scheduler.default_retry_policy.max_interval",
                      initial[] = "scheduler.default_retry_policy.initial_interval";
    const struct retry_policy *retry = &loader->config->scheduler.retry;
    if (retry->max_interval_ms >= retry->initial_interval_ms || !both_known(loader, longest, initial))
        return;
    char longest_text[DURATION_TEXT_SIZE], initial_text[DURATION_TEXT_SIZE];
    duration_format(retry->max_interval_ms, longest_text);
    duration_format(retry->initial_interval_ms, initial_text);
    refuse_pair(loader, longest, initial, "max_interval (%s) must be at least initial_interval (%s)", longest_text,
                initial_text);
}

static void check_output(struct loader *loader)
{
    static const char captured[] = "output.captured_bytes", replicated[] = "output.replicated_bytes";
    const struct config *config = loader->config;
    if (config->output.captured_bytes >= config->output.replicated_bytes || !both_known(loader, captured, replicated))
        return;
    char captured_text[DURATION_TEXT_SIZE], replicated_text[DURATION_TEXT_SIZE];
    size_format(config->output.captured_bytes, captured_text);
    size_format(config->output.replicated_bytes, replicated_text);
    refuse_pair(loader, captured, replicated, "captured_bytes (%s) must be at least replicated_bytes (%s)",
                captured_text, replicated_text);
}

/* Options of a backend that is not chosen are a stock for later, unless their name is nearly the chosen one's. */
static void check_backend_groups(struct loader *loader)
{
    const char *backend = loader->config->storage.backend;
    if (cJSON_HasObjectItem(loader->backends, backend) || !loader->file)
        return;
    const char *const known[] = {backend, NULL};
    for (const cJSON *item = loader->backends->child; item; item = item->next) {
        struct key_path path = {.size = 0};
        (void)key_path_push(&path, "storage");
        (void)key_path_push(&path, item->string);
        const struct tree *group = tree_find(loader->file, path.text);
        if (!nearest_word(item->string, known) || !group)
            continue;
        loader->label = loader->file_label;
        (void)loader_refuse(loader, path.text, group->line, "storage.backend is \"%s\": one of the two is mistyped",
                            backend);
    }
}

void check_config(struct loader *loader)
{
    check_raft_addresses(loader);
    check_one_port(loader);
    check_raft_tls(loader);
    check_raft_timeouts(loader);
    settle_bootstrap(loader);
    settle_auth(loader);
    check_retry(loader);
    check_output(loader);
    check_backend_groups(loader);
}
