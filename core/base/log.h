/* Structured log: one event a line, key=value or JSON, to a file descriptor (default stderr). Any thread.
 *
 *   LOG_INFO("became leader", LOG_U64("term", 3), LOG_STRING("node_id", "chronos-1"));
 *   2027-01-01T00:00:00.000Z INFO  became leader term=3 node_id=chronos-1
 *   {"time":"...","level":"info","event":"became leader","term":3,"node_id":"chronos-1"}
 *
 * Strings are quoted where they hold anything but plain characters, control characters are escaped, values are cut at
 * 1 KiB. One write(2) a line; a line that would block or fails is dropped and counted. Where the descriptor is a stream to systemd's
 * journal, a line begins with its priority ("<4>"), which the journal takes off. Secrets never. */
#ifndef CHRONOS_BASE_LOG_H
#define CHRONOS_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_COUNT };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_KIND_STRING, LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_BOOL, LOG_KIND_DURATION } kind;
    union {
        const char *string;
        int64_t integer;
        uint64_t unsigned_integer;
    } as;
};
#define LOG_STRING(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_STRING, .as.string = (v)})
#define LOG_INT(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_INT, .as.integer = (int64_t)(v)})
#define LOG_U64(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_UINT, .as.unsigned_integer = (uint64_t)(v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .as.integer = (v)})
#define LOG_MS(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_DURATION, .as.integer = (v)})
#define LOG_ERROR_FIELD(e) LOG_STRING("error", (e)->message)

/* C11 wants at least one argument behind the event's name in "...": the event travels in the list's own macro. */
#define LOG_EVENT(level, ...)                                                                                    \
    do {                                                                                                         \
        if (log_enabled(level))                                                                                  \
            log_write(level, (const struct log_field[]){LOG_FIRST_(__VA_ARGS__, {.key = NULL})});                \
    } while (0)
#define LOG_FIRST_(event, ...) {.key = (event)}, __VA_ARGS__
#define LOG_DEBUG(...) LOG_EVENT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) LOG_EVENT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...) LOG_EVENT(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_EVENT(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Before threads start, and again only from the main thread. fd is borrowed. */
void log_setup(enum log_level lowest, enum log_format format, int fd);
bool log_enabled(enum log_level level);
enum log_level log_lowest(void);
/* fields[0].key is the event's name, its value is not used; then the fields up to the one whose key is NULL. */
void log_write(enum log_level level, const struct log_field *fields);
uint64_t log_dropped_count(void);
bool log_level_parse(const char *text, enum log_level *ret);
const char *log_level_name(enum log_level level);

#endif
