/* One thread for each executor instance: every start, cancel and drain of it happens there, never on the loop
 * (docs/plugin-guide.md, "Threads"). */
#ifndef CHRONOS_RUN_DISPATCHER_H
#define CHRONOS_RUN_DISPATCHER_H

#include "plugin/instance.h"
#include "run/attempts.h"

enum { SLOW_CALL_MS = 50 }; /* a call into a plugin that took longer is logged */

struct dispatcher;

struct dispatcher_config {
    const struct plugin_component *component;
    const cJSON *options;
    const struct clock *clock;
    const char *node_id;
    uint64_t output_limit;
    struct attempts *attempts;
};

must_use enum status dispatcher_new(const struct dispatcher_config *config, struct dispatcher **ret, struct error *err);
/* Ends the thread and the instance. False: a call into the plugin did not return within some seconds; everything that it
 * could touch, the table of attempts too, has to stay. Accepts NULL. */
bool dispatcher_free(struct dispatcher *dispatcher);

const struct plugin_component *dispatcher_component(const struct dispatcher *dispatcher);
const struct plugin_instance *dispatcher_instance(const struct dispatcher *dispatcher);

/* Loop thread. */
bool dispatcher_start(struct dispatcher *dispatcher, struct attempt *attempt); /* false: the queue is full */
bool dispatcher_take_back(struct dispatcher *dispatcher, struct attempt *attempt); /* false: start() was called, or is now */
struct attempt *dispatcher_take_back_any(struct dispatcher *dispatcher);           /* NULL: none waits */
void dispatcher_cancel(struct dispatcher *dispatcher, uint64_t token, enum chronos_cancel_reason reason, int64_t grace_ms);
void dispatcher_drain(struct dispatcher *dispatcher, int64_t grace_ms);

struct dispatcher_look {
    uint64_t busy_ns;  /* the present call has taken this long; 0: none */
    uint64_t starting; /* token of the attempt that it is about; 0: none */
    uint32_t queued;   /* starts that wait */
    bool idle;         /* nothing waits and no call is under way */
};
struct dispatcher_look dispatcher_look(struct dispatcher *dispatcher);
/* The plugin said that the instance is beyond repair; `message` gets its sentence. */
bool dispatcher_failed(struct dispatcher *dispatcher, char message[ERROR_TEXT_SIZE]);

#endif
