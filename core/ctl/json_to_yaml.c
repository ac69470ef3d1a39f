#include "ctl/json_to_yaml.h"

#include <string.h>

#include <yaml.h>

#include "base/json.h"
#include "ctl/text.h"
#include "ctl/yaml_schema.h"

static int write_chunk(void *arg, unsigned char *data, size_t size)
{
    struct buffer *out = arg;
    buffer_append(out, data, size);
    return out->failed == STATUS_OK;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, size_t size, bool plain, yaml_scalar_style_t style)
{
    yaml_event_t event;
    /* The emitter deletes the event whether or not it fails. */
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)size, plain, !plain,
                                        style) &&
           yaml_emitter_emit(emitter, &event);
}

/* libyaml prints characters that turn the direction of text as they are: they go in double quotes, escaped by it only
 * where it thinks them unprintable. So text with such characters is not left to it. */
static bool has_unsafe(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t sequence = utf8_sequence_size(text + at, size - at);
        if (sequence > 1 && text_is_unsafe(text_code(text + at, sequence)))
            return true;
        at += sequence > 0 ? sequence : 1;
    }
    return false;
}

static bool emit_string(yaml_emitter_t *emitter, const char *text)
{
    size_t size = strlen(text);
    bool unsafe = has_unsafe(text, size);
    if (unsafe || yaml_text_is_ambiguous(text)) {
        emitter->unicode = !unsafe; /* everything beyond ASCII as an escape */
        bool done = emit_scalar(emitter, text, size, false, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
        emitter->unicode = 1;
        return done;
    }
    if (memchr(text, '\n', size) != NULL)
        return emit_scalar(emitter, text, size, false, YAML_LITERAL_SCALAR_STYLE);
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)size, 1, 1,
                                        YAML_ANY_SCALAR_STYLE) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const cJSON *value);

static bool emit_list(yaml_emitter_t *emitter, const cJSON *list)
{
    yaml_event_t event;
    yaml_sequence_style_t style = list->child == NULL ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style) || !yaml_emitter_emit(emitter, &event))
        return false;
    for (const cJSON *element = list->child; element != NULL; element = element->next)
        if (!emit_value(emitter, element))
            return false;
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_object(yaml_emitter_t *emitter, const cJSON *object)
{
    yaml_event_t event;
    yaml_mapping_style_t style = object->child == NULL ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style) || !yaml_emitter_emit(emitter, &event))
        return false;
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        if (!emit_string(emitter, member->string) || !emit_value(emitter, member))
            return false;
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

/* true, 5, null: as JSON writes them. */
static bool emit_plain(yaml_emitter_t *emitter, const cJSON *value)
{
    struct buffer text;
    buffer_init(&text, 128);
    json_print(&text, value);
    bool done = text.failed == STATUS_OK && emit_scalar(emitter, text.data, text.size, true, YAML_PLAIN_SCALAR_STYLE);
    buffer_deinit(&text);
    return done;
}

static bool emit_value(yaml_emitter_t *emitter, const cJSON *value)
{
    if (cJSON_IsObject(value))
        return emit_object(emitter, value);
    if (cJSON_IsArray(value))
        return emit_list(emitter, value);
    if (cJSON_IsString(value))
        return emit_string(emitter, value->valuestring);
    return emit_plain(emitter, value);
}

static bool emit_document(yaml_emitter_t *emitter, const cJSON *value)
{
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && yaml_emitter_emit(emitter, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) && yaml_emitter_emit(emitter, &event) &&
           emit_value(emitter, value) && yaml_document_end_event_initialize(&event, 1) &&
           yaml_emitter_emit(emitter, &event) && yaml_stream_end_event_initialize(&event) &&
           yaml_emitter_emit(emitter, &event);
}

enum status json_to_yaml(const cJSON *value, struct buffer *out, struct error *err)
{
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    yaml_emitter_set_output(&emitter, write_chunk, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    enum status status = STATUS_OK;
    bool done = emit_document(&emitter, value) && yaml_emitter_flush(&emitter);
    if (!done && out->failed != STATUS_OK)
        status = error_set(err, out->failed, "the answer is too large");
    else if (!done && emitter.error == YAML_EMITTER_ERROR)
        status = error_set(err, STATUS_INTERNAL, "YAML: %s", emitter.problem);
    else if (!done)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    yaml_emitter_delete(&emitter);
    return status;
}
