/* A component's options as a schema: checks, defaults and conversion of the node's configuration and of jobs' configs,
 * so that no plugin sees an unchecked value (struct chronos_option in chronos/plugin.h). Pure; any thread. */
#ifndef CHRONOS_PLUGIN_SCHEMA_H
#define CHRONOS_PLUGIN_SCHEMA_H

#include <chronos/plugin.h>

#include "base/json.h"

struct plugin_schema;

/* What a user must not read back is replaced by this; a PUT or PATCH that carries it keeps the stored value. */
#define PLUGIN_SECRET_MASK "********"

/* The option table of a plugin, copied and checked (names, types, limits' syntax, defaults that fit, no duplicates, no
 * name that is both a value and a group). MISUSE with the option named. */
must_use enum status plugin_schema_new(const struct chronos_option *options, uint32_t count, uint32_t stride,
                                       struct plugin_schema **ret, struct error *err);
void plugin_schema_free(struct plugin_schema *schema);

enum plugin_scope { PLUGIN_SCOPE_NODE, PLUGIN_SCOPE_JOB };

/* Every problem found, not only the first. `report` is called once a problem; `field` is a JSON pointer below the config
 * ("/tls/ca_file", "/headers/X-A", "/argv/2"), the message a sentence (`unknown key "comand"; did you mean "command"?`).
 * Returns the number of problems. `config` NULL counts as {}. Values that hold a secret reference (${env:NAME},
 * ${file:/path}) are accepted for STRING options and checked for form only; the reference must be well-formed. */
typedef void (*plugin_problem_report)(void *arg, const char *field, const char *message);
size_t plugin_schema_check(const struct plugin_schema *schema, enum plugin_scope scope, const cJSON *config,
                           plugin_problem_report report, void *arg);

/* One report for each option of `config` that is marked DEPRECATED; with its help as the message. */
void plugin_schema_deprecated(const struct plugin_schema *schema, enum plugin_scope scope, const cJSON *config,
                              plugin_problem_report report, void *arg);

/* The checked config as the plugin's parameters, defaults filled in, durations and sizes converted, in schema order. */
struct plugin_params {
    struct chronos_param *items;
    uint32_t count;
    void *memory; /* owns every string */
};
/* `resolve` replaces secret references at run time (NULL: left as they are, for validate): it appends the secret to `out`. */
struct plugin_secret_resolver {
    enum status (*resolve)(void *arg, const char *kind, const char *name, struct buffer *out, struct error *err);
    void *arg;
};
/* The system's resolver: environment variables and files (regular, at most 64 KiB, one trailing newline cut). Blocks. */
extern const struct plugin_secret_resolver plugin_secret_resolver_system;
must_use enum status plugin_schema_params(const struct plugin_schema *schema, enum plugin_scope scope, const cJSON *config,
                                          const struct plugin_secret_resolver *resolver, struct plugin_params *ret,
                                          struct error *err);
void plugin_params_deinit(struct plugin_params *params);

/* A copy of `config` with literal values of SECRET options masked (references are shown: they are not secret). */
cJSON *plugin_schema_mask(const struct plugin_schema *schema, const cJSON *config);
/* Put the stored secrets back where `config` carries the mask; INVALID with the field where `stored` has none. */
must_use enum status plugin_schema_unmask(const struct plugin_schema *schema, cJSON *config, const cJSON *stored,
                                          struct error *err);

/* {"options": [{"name","type","required","secret","deprecated","list","map","default","limits","help"}...]} of a scope. */
void plugin_schema_describe(const struct plugin_schema *schema, enum plugin_scope scope, struct json_writer *out);
/* The first PER_JOB option's name: what a shorthand's string sets; NULL if there is none. */
const char *plugin_schema_first_job_option(const struct plugin_schema *schema);

#endif
