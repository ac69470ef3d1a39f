#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/zoneinfo.h"

int support_setup(void **state)
{
    static const char *const files[] = {"executor_shell.so", "executor_http.so"};
    const struct scheduler_config zones = {.zones = {.load = zoneinfo_load, .nearest = zoneinfo_nearest}, .seed = 1};
    struct support *support = calloc(1, sizeof *support);
    struct error err;
    assert_non_null(support);
    support->config.scheduler.execution_timeout_ms = 3600 * 1000;
    support->config.scheduler.catchup_limit = 100;
    support->config.scheduler.retry = (struct retry_policy){.max_attempts = 1, .initial_interval_ms = 1000,
                                                            .max_interval_ms = 60000, .multiplier_thousandths = 2000,
                                                            .jitter_thousandths = 100};
    assert_int_equal(plugin_registry_new(&support->registry, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (plugin_load(support->registry, PLUGIN_DIRECTORY, files[i], NULL, &err) != STATUS_OK)
            fail_msg("%s", err.message);
    assert_int_equal(scheduler_new(&zones, &support->scheduler, &err), STATUS_OK);
    support->defaults = (struct job_defaults){.config = &support->config, .registry = support->registry,
                                              .scheduler = support->scheduler, .now_ms = SUPPORT_NOW_MS};
    *state = support;
    return 0;
}

int support_teardown(void **state)
{
    struct support *support = *state;
    scheduler_free(support->scheduler);
    plugin_registry_free(support->registry);
    free(support);
    return 0;
}
