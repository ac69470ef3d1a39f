/* The documentation of the keys, from the same table and the same defaults that the loader uses. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "config/loader.h"

enum { ITEM_SIZE_MAX = 4096 };

static void append_limits(struct buffer *out, const struct config_key *key)
{
    char minimum[DURATION_TEXT_SIZE], maximum[DURATION_TEXT_SIZE];
    if (key->type == &config_type_duration) {
        duration_format(key->minimum, minimum);
        duration_format(key->maximum, maximum);
    } else if (key->type == &config_type_size || key->type == &config_type_size32) {
        size_format(key->minimum, minimum);
        size_format(key->maximum, maximum);
    } else if (key->type == &config_type_integer) {
        (void)snprintf(minimum, sizeof minimum, "%lld", (long long)key->minimum);
        (void)snprintf(maximum, sizeof maximum, "%lld", (long long)key->maximum);
    } else if (key->type == &config_type_thousandths) {
        (void)snprintf(minimum, sizeof minimum, "%g", (double)key->minimum / 1000);
        (void)snprintf(maximum, sizeof maximum, "%g", (double)key->maximum / 1000);
    } else {
        return;
    }
    buffer_appendf(out, ", %s to %s%s", minimum, maximum, key->flags & KEY_UNLIMITED ? " or `unlimited`" : "");
}

static void append_type(struct buffer *out, const struct config_key *key)
{
    if (!key->choices) {
        buffer_append_string(out, key->type->name);
        append_limits(out, key);
        return;
    }
    for (size_t i = 0; key->choices[i]; i++)
        buffer_appendf(out, "%s`%s`", i > 0 ? ", " : "", key->choices[i]);
}

static void append_default(struct buffer *out, const struct config_key *key, const struct tree *defaults)
{
    const struct tree *value = tree_find(defaults, key->path);
    if (key->computed)
        buffer_append_string(out, key->computed);
    else if (!value || value->kind != TREE_SCALAR || !*value->text)
        buffer_append_string(out, "none");
    else
        buffer_appendf(out, "`%s`", value->text);
}

static void append_key(struct buffer *out, const struct config_key *key, const struct tree *defaults)
{
    bool wildcard = config_key_is_wildcard(key);
    size_t size = strlen(key->path);
    if (wildcard)
        buffer_appendf(out, "| `%.*s<name>` | ", (int)size - 1, key->path);
    else
        buffer_appendf(out, "| `%s` | ", key->path);
    append_type(out, key);
    buffer_append_string(out, " | ");
    append_default(out, key, defaults);
    char variable[ENVIRONMENT_NAME_SIZE];
    config_key_environment(key, variable);
    if (wildcard)
        buffer_append_string(out, " | in the file only");
    else
        buffer_appendf(out, " | `%s`", variable);
    buffer_appendf(out, " | %s |\n", key->help);
}

void config_document(struct buffer *out)
{
    struct tree *defaults = config_defaults();
    if (!defaults) { /* out of memory: the text of the defaults is part of the program, and tested */
        out->failed = STATUS_NO_MEMORY;
        return;
    }
    buffer_append_string(out, "| Key | Type | Default | Environment | Meaning |\n|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < config_key_count; i++)
        append_key(out, &config_keys[i], defaults);
    tree_free(defaults);
}

/* --- the same as items of a list in mdoc(7), for chronos.yaml(5) --- */

/* What stands in backquotes is bold. */
static void append_roff(struct buffer *out, const char *text)
{
    bool is_bold = false;
    for (const char *at = text; *at; at++) {
        if (*at == '`') {
            is_bold = !is_bold;
            buffer_append_string(out, is_bold ? "\\fB" : "\\fP");
        } else if (*at == '\\') {
            buffer_append_string(out, "\\e");
        } else if (*at == '-') {
            buffer_append_string(out, "\\-");
        } else {
            buffer_appendf(out, "%c", *at);
        }
    }
}

static void append_item(struct buffer *out, const struct config_key *key, const struct tree *defaults)
{
    char variable[ENVIRONMENT_NAME_SIZE];
    struct buffer text;
    size_t size = strlen(key->path);
    bool wildcard = config_key_is_wildcard(key);
    buffer_init(&text, ITEM_SIZE_MAX);
    buffer_appendf(&text, "%s\n(", key->help);
    append_type(&text, key);
    buffer_append_string(&text, "; default: ");
    append_default(&text, key, defaults);
    config_key_environment(key, variable);
    buffer_appendf(&text, "; %s)\n", wildcard ? "in the file only" : variable);
    if (wildcard)
        buffer_appendf(out, ".It Sy %.*s<name>\n", (int)size - 1, key->path);
    else
        buffer_appendf(out, ".It Sy %s\n", key->path);
    if (text.failed == STATUS_OK)
        append_roff(out, text.data);
    else
        out->failed = text.failed;
    buffer_deinit(&text);
}

void config_document_man(struct buffer *out)
{
    struct tree *defaults = config_defaults();
    if (!defaults) {
        out->failed = STATUS_NO_MEMORY;
        return;
    }
    for (uint32_t i = 0; i < config_key_count; i++)
        append_item(out, &config_keys[i], defaults);
    tree_free(defaults);
}
