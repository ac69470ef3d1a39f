#include "config/tree.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/buffer.h"
#include "base/limits.h"

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    for (struct tree *child = tree->first; child;) {
        struct tree *next = child->next;
        tree_free(child); /* at most YAML_DEPTH_MAX deep */
        child = next;
    }
    if (tree->kind == TREE_MAPPING)
        map_deinit(&tree->members);
    free(tree->key);
    free(tree->text);
    free(tree);
}

struct tree *tree_new(enum tree_kind kind, const char *text, size_t size)
{
    struct tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return NULL;
    tree->kind = kind;
    tree->quoted = true;
    if (kind == TREE_MAPPING)
        map_init(&tree->members);
    if (kind != TREE_SCALAR)
        return tree;
    tree->text = malloc(size + 1);
    if (!tree->text) {
        tree_free(tree);
        return NULL;
    }
    memcpy(tree->text, text, size);
    tree->text[size] = '\0';
    return tree;
}

void tree_append(struct tree *parent, struct tree *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

struct tree *tree_member(const struct tree *mapping, const char *key)
{
    return mapping->kind == TREE_MAPPING ? map_get(&mapping->members, key, strlen(key)) : NULL;
}

static const struct tree *element_at(const struct tree *sequence, const char *digits, size_t size)
{
    uint32_t index = 0;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] < '0' || digits[i] > '9' || index > YAML_NODES_MAX)
            return NULL;
        index = index * 10 + (uint32_t)(digits[i] - '0');
    }
    const struct tree *element = size > 0 ? sequence->first : NULL;
    for (; element && index > 0; index--)
        element = element->next;
    return element;
}

/* Keys of free-form groups may hold dots themselves ("headers.X.Y"), so every member that begins the rest is tried. */
const struct tree *tree_find(const struct tree *root, const char *path)
{
    if (root->kind == TREE_SEQUENCE) {
        size_t size = strcspn(path, ".");
        const struct tree *element = element_at(root, path, size);
        return element && path[size] ? tree_find(element, path + size + 1) : element;
    }
    if (root->kind != TREE_MAPPING)
        return NULL;
    for (const struct tree *child = root->first; child; child = child->next) {
        size_t size = strlen(child->key);
        if (strncmp(path, child->key, size) != 0)
            continue;
        if (path[size] == '\0')
            return child;
        const struct tree *found = path[size] == '.' ? tree_find(child, path + size + 1) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

bool tree_is_empty(const struct tree *tree)
{
    return tree->kind == TREE_SCALAR && !tree->quoted && tree->text[0] == '\0';
}

static bool text_is_null(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

bool tree_is_null(const struct tree *tree)
{
    return tree->kind == TREE_SCALAR && !tree->quoted && text_is_null(tree->text);
}

const char *tree_kind_name(const struct tree *tree)
{
    return tree->kind == TREE_MAPPING ? "a group of keys" : tree->kind == TREE_SEQUENCE ? "a list" : "a single value";
}

static const char *skip_digits(const char *at)
{
    return at + strspn(at, "0123456789");
}

bool text_is_number(const char *text)
{
    const char *at = text + (*text == '-');
    const char *integer = at;
    at = skip_digits(at);
    if (at == integer || (*integer == '0' && at > integer + 1))
        return false;
    if (*at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction);
        if (at == fraction)
            return false;
    }
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');
        at = skip_digits(exponent);
        if (at == exponent)
            return false;
    }
    return *at == '\0';
}

/* ---- from text ---- */

struct builder {
    yaml_parser_t parser;
    const char *text, *label;
    size_t size;
    struct problems *problems;
    struct key_path path;
    uint32_t depth, node_count;
};

static struct place place_at(const struct builder *b, uint32_t line)
{
    return (struct place){.label = b->label, .line = line};
}

static uint32_t line_of_mark(const yaml_mark_t *mark)
{
    return (uint32_t)mark->line + 1; /* the text has at most YAML_SIZE_MAX of them */
}

static uint32_t line_of_offset(const char *text, size_t offset)
{
    uint32_t line = 1;
    for (const char *at = text; (at = memchr(at, '\n', offset - (size_t)(at - text))); at++)
        line++;
    return line;
}

static struct tree *out_of_memory(struct builder *b)
{
    problem_add(b->problems, (struct place){.label = b->label}, STATUS_NO_MEMORY, "", "out of memory");
    return NULL;
}

static bool line_begins_with_tab(const char *text, size_t size, uint32_t line)
{
    const char *at = text, *end = text + size;
    while (line > 1 && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            return false;
        at = newline + 1;
        line--;
    }
    while (at < end && *at == ' ')
        at++;
    return at < end && *at == '\t';
}

/* What libyaml says is right and short; what the user needs is what to do. */
static const char *hint_for(const char *problem)
{
    static const struct {
        const char *begin, *hint;
    } hints[] = {
        {"mapping values are not allowed", "; check the indentation, and put a value with \": \" in it in quotes"},
        {"could not find expected ':'", "; a key needs a colon and a space behind it"},
        {"did not find expected key", "; keys of one group must stand in the same column"},
        {"did not find expected '-'", "; elements of one list must stand in the same column"},
        {"did not find expected ',' or", "; a bracket is not closed, or a comma is missing"},
        {"found unexpected end of stream", "; a quote or bracket is not closed"},
        {"found character that cannot start", "; put a value that begins with %, @ or ` in quotes"},
        {"found unknown escape character", "; in double quotes a backslash is written twice, in single quotes once"},
        {"block sequence entries are not allowed", "; put a list below its key, one \"- \" a line"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strncmp(problem, hints[i].begin, strlen(hints[i].begin)) == 0)
            return hints[i].hint;
    return "";
}

static void report_syntax(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    if (parser->error == YAML_MEMORY_ERROR) {
        (void)out_of_memory(b);
        return;
    }
    const char *problem = parser->problem ? parser->problem : "not YAML";
    /* The reader fails before marks are kept; it gives a byte offset. */
    size_t offset = parser->problem_offset < b->size ? parser->problem_offset : b->size;
    uint32_t line = parser->error == YAML_READER_ERROR ? line_of_offset(b->text, offset)
                                                       : line_of_mark(&parser->problem_mark);
    if (line_begins_with_tab(b->text, b->size, line)) {
        problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text,
                    "a tab in the indentation; use spaces");
        return;
    }
    char context[128] = "";
    if (parser->context && parser->error != YAML_READER_ERROR && line_of_mark(&parser->context_mark) != line)
        (void)snprintf(context, sizeof context, " %s that begins in line %u", parser->context,
                       line_of_mark(&parser->context_mark)); /* a short text of libyaml */
    problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text, "not YAML: %s%s%s", problem, context,
                hint_for(problem));
}

/* *event is to be deleted after true only. */
static bool next_event(struct builder *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event))
        return true;
    report_syntax(b);
    return false;
}

static void refuse_properties(struct builder *b, uint32_t line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text,
                    "anchors (&%s) are not supported; write the value out where it is needed",
                    text_shown((const char *)anchor, strlen((const char *)anchor)).text);
    if (tag) { /* libyaml has replaced "!!" */
        static const char standard[] = "tag:yaml.org,2002:";
        const char *text = (const char *)tag;
        bool is_standard = strncmp(text, standard, strlen(standard)) == 0;
        if (is_standard)
            text += strlen(standard);
        problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text,
                    "tags (%s%s) are not supported; write the plain value", is_standard ? "!!" : "",
                    text_shown(text, strlen(text)).text);
    }
}

static struct tree *new_node(struct builder *b, enum tree_kind kind, uint32_t line, const char *text, size_t size)
{
    if (b->node_count++ == YAML_NODES_MAX) {
        problem_add(b->problems, place_at(b, line), STATUS_TOO_LARGE, b->path.text,
                    "more than %d values in one file", YAML_NODES_MAX);
        return NULL;
    }
    struct tree *node = tree_new(kind, text, size);
    if (!node)
        return out_of_memory(b);
    node->quoted = false;
    node->line = line;
    return node;
}

static struct tree *build_scalar(struct builder *b, const yaml_event_t *event, uint32_t line)
{
    refuse_properties(b, line, event->data.scalar.anchor, event->data.scalar.tag);
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    struct tree *node = new_node(b, TREE_SCALAR, line, text, size);
    if (!node)
        return NULL;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, '\0', size)) {
        problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text, "the value holds a NUL character");
        node->refused = true;
    }
    return node;
}

static struct tree *build_alias(struct builder *b, const yaml_event_t *event, uint32_t line)
{
    const char *anchor = (const char *)event->data.alias.anchor;
    problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text,
                "aliases (*%s) are not supported; write the value out", text_shown(anchor, strlen(anchor)).text);
    struct tree *node = new_node(b, TREE_SCALAR, line, "", 0);
    if (node)
        node->refused = true;
    return node;
}

static struct tree *build_node(struct builder *b, yaml_event_t *event);

static bool fill_sequence(struct builder *b, struct tree *sequence)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        size_t before = key_path_push_index(&b->path, sequence->count);
        struct tree *element = build_node(b, &event);
        if (!element)
            return false;
        key_path_cut(&b->path, before);
        tree_append(sequence, element);
    }
}

/* A key must be text: what YAML reads as null, a truth value or a number is refused, because it rarely means that. */
static bool key_is_text(const yaml_event_t *event)
{
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return true;
    const char *text = (const char *)event->data.scalar.value;
    return !text_is_null(text) && strcmp(text, "true") != 0 && strcmp(text, "false") != 0 && !text_is_number(text);
}

/* The key's text, to be freed; NULL after a report. *ret_keep: should its value become a member? */
static char *take_key(struct builder *b, const yaml_event_t *event, uint32_t line, bool *ret_keep)
{
    struct place place = place_at(b, line);
    *ret_keep = false;
    if (event->type != YAML_SCALAR_EVENT) {
        problem_add(b->problems, place, STATUS_MALFORMED, b->path.text, "a key must be plain text, not %s",
                    event->type == YAML_ALIAS_EVENT ? "an alias" : "a list or a group of keys");
        return NULL;
    }
    refuse_properties(b, line, event->data.scalar.anchor, event->data.scalar.tag);
    const char *text = (const char *)event->data.scalar.value;
    struct shown shown = text_shown(text, event->data.scalar.length);
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0)
        problem_add(b->problems, place, STATUS_MALFORMED, b->path.text,
                    "merge keys (<<) are not supported; write the keys out");
    else if (memchr(text, '\0', event->data.scalar.length))
        problem_add(b->problems, place, STATUS_MALFORMED, b->path.text, "the key \"%s\" holds a NUL character",
                    shown.text);
    else if (!key_is_text(event))
        problem_add(b->problems, place, STATUS_MALFORMED, b->path.text,
                    "the key \"%s\" is not text; put it in quotes if it is meant so", shown.text);
    else
        *ret_keep = true;
    char *key = strdup(text);
    if (!key)
        (void)out_of_memory(b);
    return key;
}

/* Takes `value` and `key`. */
static bool add_member(struct builder *b, struct tree *mapping, char *key, uint32_t line, struct tree *value)
{
    value->key = key;
    value->line = line;
    const struct tree *earlier = tree_member(mapping, key);
    if (earlier) {
        problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, b->path.text,
                    "the key stands twice, first in line %u", earlier->line);
        tree_free(value);
        return true;
    }
    if (map_put(&mapping->members, key, strlen(key), value, NULL) != STATUS_OK) {
        tree_free(value);
        (void)out_of_memory(b);
        return false;
    }
    tree_append(mapping, value);
    return true;
}

/* One key and its value; takes the key's event. */
static bool build_member(struct builder *b, struct tree *mapping, yaml_event_t *event)
{
    uint32_t line = line_of_mark(&event->start_mark);
    bool keep;
    char *key = take_key(b, event, line, &keep);
    yaml_event_delete(event);
    if (!key)
        return false;
    yaml_event_t value_event;
    if (!next_event(b, &value_event)) {
        free(key);
        return false;
    }
    size_t before = key_path_push(&b->path, key);
    struct tree *value = build_node(b, &value_event);
    bool built = value != NULL;
    if (built && keep)
        built = add_member(b, mapping, key, line, value);
    else {
        tree_free(value);
        free(key);
    }
    if (built)
        key_path_cut(&b->path, before);
    return built;
}

static bool fill_mapping(struct builder *b, struct tree *mapping)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        if (!build_member(b, mapping, &event))
            return false;
    }
}

static struct tree *build_collection(struct builder *b, enum tree_kind kind, uint32_t line)
{
    if (b->depth == YAML_DEPTH_MAX) {
        problem_add(b->problems, place_at(b, line), STATUS_TOO_LARGE, b->path.text,
                    "nested deeper than %d levels", YAML_DEPTH_MAX);
        return NULL;
    }
    struct tree *node = new_node(b, kind, line, NULL, 0);
    if (!node)
        return NULL;
    b->depth++;
    bool filled = kind == TREE_MAPPING ? fill_mapping(b, node) : fill_sequence(b, node);
    b->depth--;
    if (filled)
        return node;
    tree_free(node);
    return NULL;
}

/* Takes the event. NULL after a report: nothing more can be read. */
static struct tree *build_node(struct builder *b, yaml_event_t *event)
{
    uint32_t line = line_of_mark(&event->start_mark);
    struct tree *node = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        node = build_scalar(b, event, line);
        break;
    case YAML_ALIAS_EVENT:
        node = build_alias(b, event, line);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_properties(b, line, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        node = build_collection(b, TREE_MAPPING, line);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_properties(b, line, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        node = build_collection(b, TREE_SEQUENCE, line);
        break;
    default: /* libyaml gives a node or an error here */
        assert(!"no node");
    }
    yaml_event_delete(event);
    return node;
}

/* Between nodes: false after a report that ends the reading. */
static bool check_document_start(struct builder *b, const yaml_event_t *event, const struct tree *root)
{
    struct place place = place_at(b, line_of_mark(&event->start_mark));
    if (root) {
        problem_add(b->problems, place, STATUS_MALFORMED, "",
                    "a second document begins here (---); a configuration is one document");
        return false;
    }
    if (event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end) {
        problem_add(b->problems, place, STATUS_MALFORMED, "", "%%TAG directives are not supported");
        return false;
    }
    return true;
}

/* *ret_root stays NULL where the stream holds no document. */
static bool build_stream(struct builder *b, struct tree **ret_root)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        yaml_event_type_t type = event.type;
        bool ok = true;
        if (type == YAML_DOCUMENT_START_EVENT)
            ok = check_document_start(b, &event, *ret_root);
        if (type == YAML_STREAM_START_EVENT || type == YAML_STREAM_END_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT)
            yaml_event_delete(&event);
        else
            ok = (*ret_root = build_node(b, &event)) != NULL;
        if (!ok || type == YAML_STREAM_END_EVENT)
            return ok;
    }
}

static struct tree *build_root(struct builder *b)
{
    struct tree *root = NULL;
    if (build_stream(b, &root))
        return root ? root : new_node(b, TREE_MAPPING, 1, NULL, 0);
    tree_free(root);
    return NULL;
}

/* Only `key: value` at the top makes sense; nothing at all (a lone `---`) counts as nothing written. */
static struct tree *check_root(struct builder *b, struct tree *root)
{
    if (!root || root->kind == TREE_MAPPING)
        return root;
    uint32_t line = root->line;
    bool empty = tree_is_null(root) && !root->refused, refused = root->refused;
    const char *kind = tree_kind_name(root);
    tree_free(root);
    if (empty)
        return new_node(b, TREE_MAPPING, line, NULL, 0);
    if (!refused)
        problem_add(b->problems, place_at(b, line), STATUS_MALFORMED, "",
                    "a configuration is a group of keys (\"cluster:\", \"server:\", ...), not %s", kind);
    return NULL;
}

struct tree *tree_parse(const char *text, size_t size, const char *label, struct problems *problems)
{
    if (size == 0)
        text = ""; /* an empty buffer has no memory */
    struct builder b = {.text = text, .label = label, .size = size, .problems = problems};
    size_t bad;
    if (size > YAML_SIZE_MAX) {
        problem_add(problems, place_at(&b, 0), STATUS_TOO_LARGE, "", "larger than %d bytes", YAML_SIZE_MAX);
        return NULL;
    }
    if (!utf8_valid(text, size, &bad)) {
        problem_add(problems, place_at(&b, line_of_offset(text, bad)), STATUS_MALFORMED, "",
                    "not UTF-8: byte 0x%02x; save the file as UTF-8", (unsigned char)text[bad]);
        return NULL;
    }
    if (!yaml_parser_initialize(&b.parser))
        return out_of_memory(&b);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, size);
    struct tree *root = check_root(&b, build_root(&b));
    yaml_parser_delete(&b.parser);
    return root;
}
