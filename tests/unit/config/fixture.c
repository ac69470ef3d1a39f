#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep(void *arg, const char *message)
{
    struct outcome *outcome = arg;
    assert_true(outcome->count < CONFIG_PROBLEMS_MAX);
    outcome->messages[outcome->count] = strdup(message);
    assert_non_null(outcome->messages[outcome->count]);
    outcome->count++;
}

/* A failure must leave *ret alone, so it begins with a value that nothing else has. */
static struct config *const untouched = (struct config *)&(int){0};

struct outcome outcome_of(const struct config_sources *sources, const char *text, size_t size)
{
    struct outcome outcome = {.config = untouched};
    outcome.status = text ? config_load_text(sources, text, size, keep, &outcome, &outcome.config, &outcome.err)
                          : config_load(sources, keep, &outcome, &outcome.config, &outcome.err);
    if (outcome.status == STATUS_OK) {
        assert_int_equal(outcome.count, 0);
        assert_ptr_not_equal(outcome.config, untouched);
        return outcome;
    }
    assert_ptr_equal(outcome.config, untouched);
    outcome.config = NULL;
    assert_true(outcome.count > 0);
    assert_int_equal(outcome.err.code, outcome.status);
    if (strlen(outcome.messages[0]) < ERROR_MESSAGE_SIZE)
        assert_string_equal(outcome.err.message, outcome.messages[0]);
    return outcome;
}

struct outcome outcome_of_text(const char *text)
{
    struct config_sources sources = {.file = "chronos.yaml", .program_directory = "/opt/chronos/bin"};
    return outcome_of(&sources, text, strlen(text));
}

struct outcome outcome_of_variable(const char *variable, const char *text)
{
    const char *const environment[] = {"PATH=/bin", variable, NULL};
    struct config_sources sources = {.file = text ? "chronos.yaml" : NULL, .environment = environment};
    return outcome_of(&sources, text, text ? strlen(text) : 0);
}

void outcome_deinit(struct outcome *outcome)
{
    config_free(outcome->config);
    for (uint32_t i = 0; i < outcome->count; i++)
        free(outcome->messages[i]);
    *outcome = (struct outcome){.count = 0};
}

static void assert_one(struct outcome *outcome, const char *message)
{
    assert_int_not_equal(outcome->status, STATUS_OK);
    assert_string_equal(outcome->messages[0], message);
    for (uint32_t i = 1; i < outcome->count; i++)
        print_error("also: %s\n", outcome->messages[i]);
    assert_int_equal(outcome->count, 1);
    outcome_deinit(outcome);
}

void assert_refused(const char *text, const char *message)
{
    struct outcome outcome = outcome_of_text(text);
    if (outcome.status == STATUS_OK)
        print_error("accepted:\n%s\n", text);
    assert_one(&outcome, message);
}

void assert_all_refused(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(refusals[i].text, refusals[i].message);
}

void assert_variable_refused(const char *variable, const char *message)
{
    struct outcome outcome = outcome_of_variable(variable, NULL);
    assert_one(&outcome, message);
}

struct outcome accepted(const char *text)
{
    struct outcome outcome = outcome_of_text(text);
    if (outcome.status != STATUS_OK)
        print_error("refused:\n%s\n%s\n", text, outcome.messages[0]);
    assert_int_equal(outcome.status, STATUS_OK);
    return outcome;
}

void assert_json(const cJSON *value, const char *expected)
{
    char *text = value ? cJSON_PrintUnformatted(value) : strdup("none");
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}
