/* `chronos store check`: what it prints, and whether all was well. */
#ifndef CHRONOS_DAEMON_STORE_CHECK_H
#define CHRONOS_DAEMON_STORE_CHECK_H

#include "cluster/data_dir.h"
#include "config/config.h"

enum { STORE_CHECK_BACKEND_SIZE = DATA_DIR_BACKEND_SIZE };

/* A data directory, then with the backend that wrote it, or a file. */
must_use enum status store_check_look(const char *path, bool *ret_is_directory, char ret_backend[STORE_CHECK_BACKEND_SIZE],
                                      struct error *err);
/* Both print what was found to stdout and each problem to stderr; false: there are problems, or it could not be read. */
bool store_check_snapshot(const char *path);
bool store_check_directory(const struct config *config, config_report report);

#endif
