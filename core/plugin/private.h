/* Shared by the files of this room, nobody else's business. */
#ifndef CHRONOS_PLUGIN_PRIVATE_H
#define CHRONOS_PLUGIN_PRIVATE_H

#include <stdatomic.h>
#include <pthread.h>

#include "plugin/instance.h"

/* Room of this kind's sentence (error.message) is finite: paths and words from outside are quoted up to here. */
enum { PLUGIN_QUOTE_MAX = 200 };

/* abi_status.c ----------------------------------------------------------------------------------------------------- */

/* Any bytes of a plugin as one line of UTF-8 in `out`: bad bytes become U+FFFD, control characters blanks; cut at
 * out_size - 1 without splitting a sequence. Returns the length written. */
size_t plugin_text_clean(char *out, size_t out_size, const void *text, uint64_t size);
/* An error struct ready to be handed to a plugin. */
struct chronos_error plugin_error_ready(void);

/* load.c ----------------------------------------------------------------------------------------------------------- */

struct plugin_file {
    int fd;          /* O_CLOEXEC, read-only, checked; -1: none */
    bool pinned;     /* the dynamic linker knows the descriptor by its number: it stays open for ever */
    char *path;      /* absolute; heap */
    uint64_t device; /* with inode: what "the same file" means */
    uint64_t inode;
};
/* Steps 1 and 2 of the load sequence: the walk, the checks of every component, the pin. */
must_use enum status plugin_file_open(const char *directory, const char *file, const char *sha256,
                                      struct plugin_file *ret, struct error *err);
/* Closes the descriptor unless it is pinned. */
void plugin_file_close(struct plugin_file *file);
/* Step 4: maps the code and calls the entry. From here on the fd stays open for ever. */
must_use enum status plugin_file_map(struct plugin_file *file, const struct chronos_plugin **ret, struct error *err);

/* descriptor.c ----------------------------------------------------------------------------------------------------- */

/* Step 5. `ret` and `ret_count` take a heap array of heap components; strings stay the plugin's (they are static). */
must_use enum status plugin_descriptor_read(const struct chronos_plugin *descriptor, const char *path,
                                            struct plugin_component ***ret, size_t *ret_count, struct error *err);
void plugin_component_free(struct plugin_component *component);
const char *plugin_kind_name(int32_t kind); /* "storage"; "unknown" */

/* host.c ----------------------------------------------------------------------------------------------------------- */

struct plugin_config_value {
    const char *name; /* borrowed from `params` */
    const char *text;
    int32_t type;
    int64_t integer; /* INT, DURATION, SIZE; BOOL as 0 or 1 */
};

/* Token bucket in nanoseconds of credit. */
struct plugin_log_limit {
    pthread_mutex_t lock;
    uint64_t credit_ns;
    uint64_t refilled_at_ns;
    uint64_t dropped; /* since the last report */
};

struct plugin_host_data {
    const struct plugin_component *component;
    char *label;
    struct clock clock;
    struct plugin_sink sink; /* zeroed for storage */
    struct plugin_params params;
    struct plugin_config_value *values;
    uint32_t value_count;
    struct plugin_log_limit limit;
    atomic_uint_least64_t memory_bytes, memory_blocks; /* what alloc handed out and release has not seen again */
    atomic_bool failed;
};

extern const struct chronos_host_ops plugin_host_ops;
void plugin_log_limit_init(struct plugin_log_limit *limit, const struct clock *clock);
void plugin_log_limit_deinit(struct plugin_log_limit *limit);
/* Says how many lines were dropped since it was last said, if any. */
void plugin_log_limit_report(struct plugin_host_data *data);

#endif
