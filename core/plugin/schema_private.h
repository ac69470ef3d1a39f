/* The insides of a schema, for the schema*.c files. */
#ifndef CHRONOS_PLUGIN_SCHEMA_PRIVATE_H
#define CHRONOS_PLUGIN_SCHEMA_PRIVATE_H

#include "plugin/schema.h"

/* One option, copied and checked. `limits` is parsed by type: numbers (DURATION in ms, SIZE in bytes) for a value,
 * counts for STRING (bytes), LIST and MAP (elements), words for ENUM. */
struct schema_option {
    char *name;
    char *def;    /* as the plugin wrote it; NULL: none */
    char *limits; /* the same */
    char *help;   /* NULL: none */
    int32_t type;
    uint32_t flags;
    bool has_least, has_most;
    int64_t least, most;
    double least_number, most_number; /* NUMBER */
    char *choices_text;               /* ENUM: `limits`, cut at the bars */
    const char **choices;             /* NULL-terminated */
    cJSON *default_value;             /* `def` as a value of the config; NULL: none */
};

struct plugin_schema {
    struct schema_option *options;
    uint32_t count;
};

static inline bool schema_in_scope(const struct schema_option *option, enum plugin_scope scope)
{
    return ((option->flags & CHRONOS_OPTION_PER_JOB) != 0) == (scope == PLUGIN_SCOPE_JOB);
}

static inline bool schema_is_many(const struct schema_option *option)
{
    return (option->flags & (CHRONOS_OPTION_LIST | CHRONOS_OPTION_MAP)) != 0;
}

const char *schema_type_name(int32_t type); /* "string"; NULL: unknown */
/* The value at a dotted name, NULL where there is none. */
cJSON *schema_lookup(const cJSON *config, const char *name);

/* JSON pointers. Longer ones are cut at a whole part. */
struct schema_pointer {
    char text[1024];
    size_t size;
};
struct schema_pointer schema_pointer_root(void);
/* Appends "/<part>", escaped (RFC 6901); gives the size before it, to go back to. */
size_t schema_pointer_push(struct schema_pointer *pointer, const char *part, size_t part_size);
size_t schema_pointer_push_index(struct schema_pointer *pointer, int index);
void schema_pointer_pop(struct schema_pointer *pointer, size_t size);
/* The pointer of an option: dots become slashes. */
struct schema_pointer schema_pointer_of(const char *option_name);

/* schema_check.c: one value against one option (lists and maps whole). Problems go to `report`; returns how many. */
size_t schema_check_value(const struct schema_option *option, const cJSON *value, struct schema_pointer *at,
                          plugin_problem_report report, void *arg);
/* The limits of a STRING's bytes alone; used again once secrets are in their place. False: `out` has the sentence. */
bool schema_string_fits(const struct schema_option *option, size_t size, char *out, size_t out_size);

/* schema_secret.c: reading "${kind:name}" and "$${". */
struct secret_piece {
    enum { SECRET_LITERAL, SECRET_REFERENCE, SECRET_END, SECRET_BAD } kind;
    const char *text; /* LITERAL: bytes to keep; REFERENCE: the name or path; BAD: a sentence */
    size_t size;
    char reference[8]; /* "env" or "file" */
};
/* Takes the next piece of `*at`, which is NUL-terminated, and moves on. */
struct secret_piece secret_next(const char **at);
bool secret_text_has_reference(const char *text);
/* Nothing but references: only then is showing the text safe. */
bool secret_text_is_reference(const char *text);

#endif
