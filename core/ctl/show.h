/* Times, durations and JSON for people. */
#ifndef CHRONOS_CTL_SHOW_H
#define CHRONOS_CTL_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/buffer.h"
#include "ctl/table.h"

enum { RELATIVE_TEXT_SIZE = 24 };
/* "in 3m", "2h ago", "now": the largest unit that leaves at least two of it, cut. */
void show_relative(int64_t at_ms, int64_t now_ms, char out[RELATIVE_TEXT_SIZE]);
/* "850ms", "12.3s", "4m10s", "2h5m" */
void show_elapsed(int64_t ms, char out[RELATIVE_TEXT_SIZE]);

/* Indented, for reading; characters that could do harm on a terminal as \u escapes, which is the same JSON. */
void show_json(const cJSON *value, struct buffer *out);

/* Colour of a run's status. */
enum cell_style show_status_style(const char *status);

/* Members of an answer. NULL, `otherwise` or false where there is none of that kind. */
const char *member_string(const cJSON *object, const char *name);
int64_t member_int(const cJSON *object, const char *name, int64_t otherwise);
bool member_true(const cJSON *object, const char *name);
bool member_time(const cJSON *object, const char *name, int64_t *ret_ms);

#endif
