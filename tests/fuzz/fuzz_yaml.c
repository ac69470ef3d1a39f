/* Any bytes as chronos.yaml: the outcome is a configuration or sentences that can be printed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "config/loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check_message(void *arg, const char *message)
{
    uint32_t *count = arg;
    ++*count;
    size_t size = strlen(message);
    REQUIRE(size > 0 && size < 2048);
    REQUIRE(utf8_valid(message, size, NULL));
    for (size_t i = 0; i < size; i++)
        REQUIRE((unsigned char)message[i] >= 0x20 && message[i] != 0x7f);
    REQUIRE(strncmp(message, "chronos.yaml:", 13) == 0);
}

static void require_config(const struct config *config)
{
    REQUIRE(config->cluster.node_id && config->cluster.data_dir && config->server.http_address);
    REQUIRE(config->storage.backend && config->storage.log_dir && config->plugins.directory);
    REQUIRE(config->cluster_raft.peer_count == 0 || config->cluster_raft.address);
    REQUIRE(config->cluster_raft.heartbeat_timeout_ms <= config->cluster_raft.election_timeout_ms / 2);
    REQUIRE(config->scheduler.retry.max_attempts >= 1 && config->scheduler.retry.max_attempts <= ATTEMPTS_MAX);
    REQUIRE(config->plugins.load_count <= CONFIG_LIST_MAX);
    for (uint32_t i = 0; i < config->plugins.load_count; i++)
        REQUIRE(config->plugins.load[i].path);
    REQUIRE(cJSON_IsObject(config->executors.options));
    REQUIRE(!config->storage.options || cJSON_IsObject(config->storage.options));
    for (const cJSON *item = config->executors.options->child; item; item = item->next) {
        char path[KEY_PATH_SIZE] = "executors.";
        REQUIRE(cJSON_IsObject(item) && strlen(item->string) <= 63);
        REQUIRE(config_line_of(config, strcat(path, item->string)) >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_sources sources = {.file = "chronos.yaml"};
    struct config *config = NULL;
    struct error err;
    uint32_t count = 0;
    enum status status =
        config_load_text(&sources, (const char *)data, size, check_message, &count, &config, &err);
    REQUIRE((status == STATUS_OK) == (config != NULL));
    REQUIRE((status == STATUS_OK) == (count == 0));
    REQUIRE(count <= CONFIG_PROBLEMS_MAX);
    if (config)
        require_config(config);
    config_free(config);
    return 0;
}
