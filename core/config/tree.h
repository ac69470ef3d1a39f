/* YAML text as a tree that keeps line numbers. The subset: mappings, sequences and scalars; anchors, aliases, tags,
 * merge keys, several documents, duplicate keys and keys that are not text are refused with a sentence that says what
 * to write instead. Internal to this room. */
#ifndef CHRONOS_CONFIG_TREE_H
#define CHRONOS_CONFIG_TREE_H

#include "base/map.h"
#include "config/problems.h"

enum tree_kind { TREE_SCALAR, TREE_MAPPING, TREE_SEQUENCE };

struct tree {
    enum tree_kind kind;
    bool quoted;      /* a scalar in quotes or a block scalar: always text, never null */
    bool refused;     /* a problem was reported here already; its value means nothing */
    uint32_t line;    /* of the key where it has one, of the value otherwise; 0 if it was not read from a file */
    uint32_t count;   /* members or elements */
    char *key;        /* NULL outside a mapping */
    char *text;       /* scalars only */
    struct tree *first, *last, *next;
    struct map members; /* mappings only: key to struct tree */
};

/* An empty document gives an empty mapping. Problems are reported with `label` as file; NULL when nothing could be
 * built (also out of memory, reported as well). Freed with tree_free. */
struct tree *tree_parse(const char *text, size_t size, const char *label, struct problems *problems);
void tree_free(struct tree *tree); /* accepts NULL */

/* A scalar or an empty sequence that was not read from a file; NULL when out of memory. */
struct tree *tree_new(enum tree_kind kind, const char *text, size_t size);
void tree_append(struct tree *sequence, struct tree *element); /* takes `element` */

struct tree *tree_member(const struct tree *mapping, const char *key);        /* NULL if there is none */
const struct tree *tree_find(const struct tree *root, const char *path);      /* "plugins.load.0.path"; or NULL */
bool tree_is_empty(const struct tree *tree);                                  /* `key:` without a value */
bool tree_is_null(const struct tree *tree);                                   /* that, `null` or `~` */
const char *tree_kind_name(const struct tree *tree);                          /* "a list" */
/* Does a plain scalar of this text stand for a number in JSON? */
bool text_is_number(const char *text);

#endif
