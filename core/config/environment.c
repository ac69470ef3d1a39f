/* CHRONOS_* variables. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "config/values.h"

static const char prefix[] = "CHRONOS_";

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t size = strlen(text), with_size = strlen(with);
    return size >= with_size && strcmp(text + size - with_size, with) == 0;
}

/* Kubernetes gives every pod the addresses of the services beside it: for a service "chronos" or "chronos-api"
 * CHRONOS_SERVICE_HOST, CHRONOS_PORT=tcp://..., CHRONOS_API_PORT_8080_TCP_ADDR, ... Nobody wrote these by hand. */
static bool is_service_link(const char *name, const char *value)
{
    if (ends(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT"))
        return true;
    const char *port = strstr(name, "_PORT_");
    if (port) {
        const char *rest = port + strlen("_PORT_");
        size_t digits = strspn(rest, "0123456789");
        return digits > 0 && (begins(rest + digits, "_TCP") || begins(rest + digits, "_UDP") ||
                              begins(rest + digits, "_SCTP"));
    }
    return ends(name, "_PORT") && (begins(value, "tcp://") || begins(value, "udp://") || begins(value, "sctp://"));
}

/* What a run's process gets of its executor (run/params.c): a job may call `chronos config validate`. */
static bool is_of_a_run(const char *name)
{
    static const char *const names[] = {"CHRONOS_JOB_ID",        "CHRONOS_JOB_NAME", "CHRONOS_EXECUTION_ID",
                                        "CHRONOS_SCHEDULED_TIME", "CHRONOS_ATTEMPT",  "CHRONOS_IDEMPOTENCY_KEY",
                                        "CHRONOS_NODE_ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_within_a_run(const char *const *environment)
{
    for (; *environment; environment++)
        if (begins(*environment, "CHRONOS_EXECUTION_ID="))
            return true;
    return false;
}

/* The index in config_keys; config_key_count if there is none. */
static uint32_t find_key(const struct loader *loader, const char *name)
{
    uint32_t i = 0;
    while (i < config_key_count && (config_key_is_wildcard(&config_keys[i]) || strcmp(loader->variables[i], name) != 0))
        i++;
    return i;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c == '-' ? '_' : c;
}

/* Is `rest` "LMDB" or begins with "LMDB_", for the id "lmdb"? */
static bool names_component(const char *rest, const char *id)
{
    for (; *id; id++, rest++)
        if (*rest != upper(*id))
            return false;
    return *rest == '\0' || *rest == '_';
}

/* "storage" or "executors" where the variable means options of a component that is in use there; NULL otherwise. */
static const char *group_of_options(const struct loader *loader, const char *rest)
{
    const struct config *config = loader->config;
    if (begins(rest, "STORAGE_")) {
        const char *id = rest + strlen("STORAGE_");
        if (config->storage.backend && names_component(id, config->storage.backend))
            return "storage";
        for (const cJSON *item = loader->backends->child; item; item = item->next)
            if (names_component(id, item->string))
                return "storage";
    } else if (begins(rest, "EXECUTORS_")) {
        const char *id = rest + strlen("EXECUTORS_");
        for (const cJSON *item = config->executors.options->child; item; item = item->next)
            if (names_component(id, item->string))
                return "executors";
    }
    return NULL;
}

static void refuse_unknown(struct loader *loader, const char *name)
{
    const char *rest = name + strlen(prefix);
    const char *group = group_of_options(loader, rest);
    if (group) {
        (void)loader_refuse(loader, "", 0,
                            "options of plugins cannot be set in the environment; write them under %s in the file",
                            group);
        return;
    }
    /* Without the prefix, which would make everything look alike. */
    const char *known[CONFIG_KEYS_MAX + 1];
    uint32_t count = 0;
    for (uint32_t i = 0; i < config_key_count; i++)
        if (!config_key_is_wildcard(&config_keys[i]))
            known[count++] = loader->variables[i] + strlen(prefix);
    known[count] = NULL;
    const char *nearest = nearest_word(rest, known);
    if (nearest)
        (void)loader_refuse(loader, "", 0, "unknown environment variable; did you mean \"%s%s\"?", prefix, nearest);
    else
        (void)loader_refuse(loader, "", 0,
                            "unknown environment variable; \"CHRONOS_\" is kept for keys of the configuration");
}

static void apply_variable(struct loader *loader, const char *name, const char *value, bool within_a_run)
{
    uint32_t index = find_key(loader, name);
    if (index < config_key_count) {
        loader->label = loader->variables[index];
        apply_text(loader, &config_keys[index], value);
        return;
    }
    bool is_chronosctl = strcmp(name, "CHRONOS_TOKEN") == 0;
    if (begins(name, "CHRONOS_TEST_") || is_chronosctl || is_service_link(name, value) || (within_a_run && is_of_a_run(name)))
        return;
    struct shown shown = text_shown(name, strlen(name));
    loader->label = shown.text;
    refuse_unknown(loader, name);
    loader->label = "";
}

void apply_environment(struct loader *loader, const char *const *environment)
{
    bool within_a_run = is_within_a_run(environment);
    loader->is_text = true;
    for (; *environment && !problems_full(&loader->problems); environment++) {
        const char *equals = strchr(*environment, '=');
        if (!equals || !begins(*environment, prefix))
            continue;
        char name[ENVIRONMENT_NAME_SIZE * 2];
        /* What is cut here is longer than any known name. */
        (void)snprintf(name, sizeof name, "%.*s", (int)(equals - *environment), *environment);
        apply_variable(loader, name, equals + 1, within_a_run);
    }
}
