/* Executors, zones and defaults for tests of job documents. */
#ifndef CHRONOS_TESTS_API_SUPPORT_H
#define CHRONOS_TESTS_API_SUPPORT_H

#include "api/job_document.h"

/* 2026-06-10T00:00:00Z, a Wednesday. */
#define SUPPORT_NOW_MS INT64_C(1781049600000)

struct support {
    struct config config;
    struct plugin_registry *registry;
    struct scheduler *scheduler;
    struct job_defaults defaults;
};
int support_setup(void **state);
int support_teardown(void **state);

#endif
