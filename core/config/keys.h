/* The one table of keys: path, type, limits, where the value goes, help. Loading, the environment's names and the
 * documentation all come from it; defaults come from configs/defaults.yaml. Internal to this room. */
#ifndef CHRONOS_CONFIG_KEYS_H
#define CHRONOS_CONFIG_KEYS_H

#include "base/names.h"
#include "config/tree.h"

struct loader;
struct config_key;

struct config_type {
    const char *name; /* for the documentation */
    /* False after a report. The value that was there is replaced, and freed. */
    bool (*set)(struct loader *loader, const struct config_key *key, const struct tree *value);
    void (*clear)(struct config *config, const struct config_key *key); /* NULL: owns nothing */
};
/* values.c */
extern const struct config_type config_type_name, config_type_path, config_type_address, config_type_duration,
    config_type_size, config_type_size32, config_type_integer, config_type_thousandths, config_type_bool,
    config_type_choice, config_type_addresses, config_type_url_path, config_type_output, config_type_plugins,
    config_type_backend_options, config_type_executor_options, config_type_tags;

enum config_key_flags {
    KEY_OPTIONAL = 1,      /* "" is allowed and stands for none (NULL) */
    KEY_UNLIMITED = 2,     /* 0 and "unlimited" are allowed and mean 0, whatever the minimum */
    KEY_ANY_HOST = 4,      /* an address may be ":8080", which means every IPv4 address */
    KEY_ANY_PORT = 8,      /* an address may have port 0: the system chooses */
    KEY_HOST_NAME = 16,    /* an address may be a host name, which is looked up when it is called */
};

struct config_key {
    const char *path; /* "server.http.address"; "executors.*" is every other key of that group */
    const struct config_type *type;
    size_t offset;       /* of the member in struct config */
    size_t count_offset; /* lists: of its uint32_t count */
    uint32_t flags;
    int64_t minimum, maximum;   /* numbers; `maximum` also bytes of a text */
    const char *const *choices; /* NULL-terminated; the index is the enum's value */
    const char *computed;       /* how the default comes about where it cannot stand in YAML */
    const char *help;           /* one sentence */
};
enum { CONFIG_KEYS_MAX = 64 };
extern const struct config_key config_keys[];
extern const uint32_t config_key_count;

/* `parent` "" is the top level. The key itself, "parent.*", or NULL. */
const struct config_key *config_key_find(const char *parent, const char *name);
const struct config_key *config_key_wildcard(const char *parent);
const struct config_key *config_key_of_path(const char *path);
bool config_key_is_group(const char *parent, const char *name);
bool config_key_is_wildcard(const struct config_key *key);
/* Names below `parent`, groups included. */
void config_key_names(const char *parent, struct names *ret);
/* The groups in which a key or group `name` exists, without `parent`; "the top level" is one. */
void config_key_parents(const char *name, const char *parent, struct names *ret);
/* "CHRONOS_SERVER_HTTP_ADDRESS" */
enum { ENVIRONMENT_NAME_SIZE = 96 };
void config_key_environment(const struct config_key *key, char out[ENVIRONMENT_NAME_SIZE]);

#endif
