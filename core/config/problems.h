/* What is wrong with a configuration: every problem goes out as one sentence, the first one becomes the error.
 * Internal to this room. */
#ifndef CHRONOS_CONFIG_PROBLEMS_H
#define CHRONOS_CONFIG_PROBLEMS_H

#include "config/config.h"

/* Where a value was written. `label` is the file, the environment variable or the option of the command line. */
struct place {
    const char *label;
    uint32_t line; /* 0: none */
};

struct problems {
    config_report report; /* may be NULL */
    void *arg;
    struct error *first;
    uint32_t count;
};

/* "<label>:<line>: <key>: <sentence>"; `key` may be "". Beyond CONFIG_PROBLEMS_MAX nothing is reported. */
void problem_add(struct problems *problems, struct place place, enum status code, const char *key, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));
bool problems_full(const struct problems *problems);

/* A user's text as it may stand in a message: cut at a UTF-8 boundary, control characters and bad bytes replaced. */
enum { SHOWN_SIZE = 72 };
struct shown {
    char text[SHOWN_SIZE];
};
struct shown text_shown(const char *text, size_t size);

/* The path of a key as messages show it, grown and cut back while a tree is walked. */
enum { KEY_PATH_SIZE = 256 };
struct key_path {
    char text[KEY_PATH_SIZE];
    size_t size;
};
size_t key_path_push(struct key_path *path, const char *key); /* returns the size for key_path_cut */
size_t key_path_push_index(struct key_path *path, uint32_t index);
void key_path_cut(struct key_path *path, size_t size);

#endif
