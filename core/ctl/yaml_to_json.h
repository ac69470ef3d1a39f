/* YAML text to JSON values. Plain scalars mean what the core schema of YAML 1.2 says; quoted and block scalars are
 * always text. Refused, with file:line:column and what to write instead: anchors, aliases, tags, merge keys, duplicate
 * keys, keys that are no text, numbers that JSON cannot hold exactly, more than YAML_DEPTH_MAX levels. */
#ifndef CHRONOS_CTL_YAML_TO_JSON_H
#define CHRONOS_CTL_YAML_TO_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/error.h"

enum {
    YAML_FILE_SIZE_MAX = 16 << 20, /* a file of jobs: some ten thousand of them */
    YAML_FILE_NODES_MAX = 1 << 20, /* bounds memory at about 128 MiB */
};

/* *ret is an array with one element a document; a document without content is left out. `label` names the file in
 * messages. Freed with cJSON_Delete. MALFORMED, TOO_LARGE or NO_MEMORY. */
must_use enum status yaml_to_json(const char *text, size_t size, const char *label, cJSON **ret, struct error *err);

/* The line where a list or an object of that tree begins; 0 for other values, and for JSON from elsewhere. */
uint32_t yaml_line_of(const cJSON *value);
/* For readers of other formats; nothing for values that cannot hold one. */
void yaml_set_line(cJSON *value, uint32_t line);

#endif
