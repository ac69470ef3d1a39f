/* What a plain YAML scalar means: the core schema of YAML 1.2, for both directions. */
#ifndef CHRONOS_CTL_YAML_SCHEMA_H
#define CHRONOS_CTL_YAML_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

enum yaml_meaning {
    YAML_TEXT,
    YAML_NULL,
    YAML_TRUE,
    YAML_FALSE,
    YAML_NUMBER,        /* written as JSON writes it, but for a "+" or a bare point: strtod reads it */
    YAML_OCTAL,         /* 0o17 */
    YAML_HEXADECIMAL,   /* 0x1f */
    YAML_NOT_FINITE,    /* .inf, .nan: JSON has no such number */
    YAML_LEADING_ZERO,  /* 022: decimal in YAML 1.2, octal in YAML 1.1 */
};

/* `text` is NUL-terminated. */
enum yaml_meaning yaml_plain_meaning(const char *text);

/* Would some reader of YAML, be it an old one, take this plain scalar for something other than text? (yes, on,
 * 12:30:45, 2027-01-01, ...) Such text is written in quotes. */
bool yaml_text_is_ambiguous(const char *text);

#endif
