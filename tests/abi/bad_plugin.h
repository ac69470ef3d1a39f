/* A small executor plugin in which one thing is wrong: the including file defines that one before it includes this. */
#include <chronos/plugin.h>

#ifndef BAD_MAGIC
#define BAD_MAGIC CHRONOS_PLUGIN_MAGIC
#endif
#ifndef BAD_PLUGIN_SIZE
#define BAD_PLUGIN_SIZE sizeof(struct chronos_plugin)
#endif
#ifndef BAD_MAJOR
#define BAD_MAJOR CHRONOS_ABI_MAJOR
#endif
#ifndef BAD_HOST_MINOR_MIN
#define BAD_HOST_MINOR_MIN 0
#endif
#ifndef BAD_RESERVED
#define BAD_RESERVED 0
#endif
#ifndef BAD_FEATURES
#define BAD_FEATURES CHRONOS_FEATURES_THIS
#endif
#ifndef BAD_NAME
#define BAD_NAME "bad"
#endif
#ifndef BAD_COMPONENT_SIZE
#define BAD_COMPONENT_SIZE sizeof(struct chronos_component)
#endif
#ifndef BAD_KIND
#define BAD_KIND CHRONOS_KIND_EXECUTOR
#endif
#ifndef BAD_ID
#define BAD_ID "bad"
#endif
#ifndef BAD_SHORTHAND
#define BAD_SHORTHAND NULL
#endif
#ifndef BAD_OPTIONS
#define BAD_OPTIONS NULL, 0, 0
#endif
#ifndef BAD_OPS_SIZE
#define BAD_OPS_SIZE sizeof(struct chronos_executor_ops)
#endif
#ifndef BAD_OPS_RESERVED
#define BAD_OPS_RESERVED 0
#endif
#ifndef BAD_START
#define BAD_START bad_start
#endif
#ifndef BAD_OPS
#define BAD_OPS &bad_executor_ops
#endif
#ifndef BAD_CREATE
#define BAD_CREATE bad_create
#endif
#ifndef BAD_COMPONENTS
#define BAD_COMPONENTS &bad_component, NULL
#endif
#ifndef BAD_DESCRIPTOR
#define BAD_DESCRIPTOR &bad_plugin
#endif
#define BAD_UNUSED __attribute__((unused))

BAD_UNUSED static int32_t bad_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self;
    (void)run;
    err->code = CHRONOS_UNSUPPORTED;
    return CHRONOS_UNSUPPORTED;
}

static void bad_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    (void)self;
    (void)run_token;
    (void)reason;
    (void)grace_ms;
}

BAD_UNUSED static int32_t bad_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    (void)host;
    (void)err;
    *self = NULL;
    return CHRONOS_OK;
}

static void bad_destroy(void *self)
{
    (void)self;
}

BAD_UNUSED static const struct chronos_executor_ops bad_executor_ops = {
    BAD_OPS_SIZE, BAD_OPS_RESERVED, NULL, BAD_START, bad_cancel, NULL,
};

BAD_UNUSED static const struct chronos_component bad_component = {
    BAD_COMPONENT_SIZE, BAD_KIND, BAD_ID,     "Misbehaves", BAD_SHORTHAND, BAD_OPTIONS,
    BAD_OPS,            BAD_CREATE, bad_destroy, NULL,
};

BAD_UNUSED static const struct chronos_component *const bad_components[] = {BAD_COMPONENTS};

BAD_UNUSED static const struct chronos_plugin bad_plugin = {
    BAD_MAGIC, BAD_PLUGIN_SIZE, BAD_MAJOR, CHRONOS_ABI_MINOR, BAD_HOST_MINOR_MIN, BAD_RESERVED, BAD_FEATURES,
    BAD_NAME,  "1",             NULL,      NULL,              bad_components,
};

#ifndef BAD_NO_ENTRY
const struct chronos_plugin *chronos_plugin_v1(void)
{
    return BAD_DESCRIPTOR;
}
#else
CHRONOS_EXPORT const struct chronos_plugin *bad_other_entry(void);
const struct chronos_plugin *bad_other_entry(void)
{
    return BAD_DESCRIPTOR;
}
#endif
