/* NDJSON: one JSON value a line, as logs and other tools write lists of jobs. */
#ifndef CHRONOS_CTL_JSON_LINES_H
#define CHRONOS_CTL_JSON_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/error.h"

/* Is the first line with something in it a whole JSON value, and does more follow? */
bool json_lines_detect(const char *text, size_t size);

/* *ret is an array with one element a line that has something in it; objects and lists know their line (yaml_line_of).
 * MALFORMED with "label:line: ...", or NO_MEMORY. Freed with cJSON_Delete. */
must_use enum status json_lines_parse(const char *text, size_t size, const char *label, cJSON **ret, struct error *err);

#endif
