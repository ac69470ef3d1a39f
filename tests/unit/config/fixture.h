/* Loads a configuration and keeps every message, for all tests of this room. */
#ifndef CHRONOS_TESTS_CONFIG_FIXTURE_H
#define CHRONOS_TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "config/loader.h"

struct outcome {
    enum status status;
    struct config *config; /* NULL unless OK */
    struct error err;
    char *messages[CONFIG_PROBLEMS_MAX + 1]; /* NULL behind the last */
    uint32_t count;
};

struct outcome outcome_of(const struct config_sources *sources, const char *text, size_t size); /* text NULL: no text */
struct outcome outcome_of_text(const char *text); /* as the file "chronos.yaml" */
struct outcome outcome_of_variable(const char *variable, const char *text); /* text may be NULL */
void outcome_deinit(struct outcome *outcome);

/* Exactly this one message. */
void assert_refused(const char *text, const char *message);
void assert_variable_refused(const char *variable, const char *message);
/* No problem; the caller ends it with outcome_deinit. */
struct outcome accepted(const char *text);
/* The JSON text of `value` (NULL: "none") is `expected`. */
void assert_json(const cJSON *value, const char *expected);

struct refusal {
    const char *text, *message;
};
void assert_all_refused(const struct refusal *refusals, size_t count);

#endif
