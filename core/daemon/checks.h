/* What a configuration that reads well can still have wrong: files that it names, and what security.strict refuses. Problems are
 * reported as those of the configuration are, with file and line where there is one. Blocks for small files. */
#ifndef CHRONOS_DAEMON_CHECKS_H
#define CHRONOS_DAEMON_CHECKS_H

#include "auth/tokens.h"
#include "config/config.h"
#include "transport/tls.h"

/* Without a report. OK and NULL where nobody is to be asked for a token; free with tokens_free. */
must_use enum status checks_read_tokens(const struct config *config, struct tokens **ret, struct error *err);
/* Borrowed from the configuration. */
struct tls_files checks_tls_files(const struct config *config);

/* The return and *err are those of the last problem. */
must_use enum status checks_security(const struct config *config, config_report report, void *arg, struct error *err);
must_use enum status checks_tokens(const struct config *config, config_report report, void *arg, struct tokens **ret, struct error *err);
/* Loads them as the start does. */
must_use enum status checks_tls(const struct config *config, config_report report, void *arg, struct error *err);
/* Each of them, whatever the others say, and the plugins with their options; nothing is started. */
must_use enum status checks_all(const struct config *config, config_report report, void *arg, struct error *err);

#endif
