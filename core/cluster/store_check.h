/* A look at all that a node stores, while the node does not run: `chronos store check`. Nothing of it is repaired or changed; but
 * opening a backend has the effects that it has whenever a node starts (docs/checking-data.md). */
#ifndef CHRONOS_CLUSTER_STORE_CHECK_H
#define CHRONOS_CLUSTER_STORE_CHECK_H

#include "cluster/log_store.h"
#include "state/check.h"

struct store_check_config {
    const char *data_dir;
    const char *log_dir; /* NULL: data_dir */
    const struct plugin_component *backend;
    const cJSON *backend_options;
    const struct clock *clock;
};

struct store_findings {
    bool has_log, has_state; /* they could be read */
    struct log_hard_state hard;
    struct log_position last;
    uint64_t live; /* state-<live> was looked at */
    struct state_position applied;
    struct state_contents contents;
    uint64_t problems;
};

/* `report` is told each problem, with table and key or the number of the entry. OK: it was looked at, whatever was found. CONFLICT: a
 * process uses it. Blocks. */
must_use enum status store_check(const struct store_check_config *config, state_problem report, void *arg,
                                 struct store_findings *ret, struct error *err);

#endif
