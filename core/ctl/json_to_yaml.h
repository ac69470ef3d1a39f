/* JSON values to YAML text that every reader of YAML, also an old one, takes for the same values. */
#ifndef CHRONOS_CTL_JSON_TO_YAML_H
#define CHRONOS_CTL_JSON_TO_YAML_H

#include <cjson/cJSON.h>

#include "base/buffer.h"
#include "base/error.h"

/* Appends one document. NO_MEMORY, TOO_LARGE (the buffer's limit), or INTERNAL with what libyaml says. */
must_use enum status json_to_yaml(const cJSON *value, struct buffer *out, struct error *err);

#endif
