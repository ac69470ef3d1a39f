/* One node: everything wired together, started and stopped in order. */
#ifndef CHRONOS_DAEMON_DAEMON_H
#define CHRONOS_DAEMON_DAEMON_H

#include "config/config.h"

/* Why a node that had started has ended. */
enum daemon_end {
    DAEMON_STOPPED,
    DAEMON_BEGINS_ANEW, /* its cluster was restored elsewhere and its data was moved aside: it begins anew, and must not found a cluster */
    DAEMON_IS_SECOND,   /* it had founded a cluster, and is a member of another one */
};

struct daemon_restore {
    const char *file; /* a snapshot that a new cluster begins with; NULL: none */
    bool catch_up;    /* on what came due since */
};
/* Runs until SIGTERM or SIGINT and a clean stop; the return is OK then. Otherwise *err says what kept it from starting; what
 * is wrong with the files that the configuration names, and with options of plugins, is reported as well, each by itself. The
 * configuration is borrowed. Main thread. */
must_use enum status daemon_run(const struct config *config, const struct daemon_restore *restore, config_report report, void *arg,
                                enum daemon_end *ret_end, struct error *err);

/* Where the log lies if not in the data directory; NULL: there. */
const char *daemon_log_dir(const struct config *config);

#endif
