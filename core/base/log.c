#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

/* A line is at most PIPE_BUF: a pipe then takes all of it or nothing (POSIX, write), so lines never mix. */
enum { LINE_SIZE = PIPE_BUF, VALUE_MAX = 1024, TRAILER_ROOM = 32 };
static_assert(LINE_SIZE >= 2 * VALUE_MAX + TRAILER_ROOM, "an event and a field must fit");

static struct {
    _Atomic(enum log_level) lowest;
    _Atomic(enum log_format) format;
    atomic_int fd;
    atomic_bool to_journal;
    atomic_uint_fast64_t dropped;
    pthread_mutex_t writing; /* between asking whether the descriptor takes a line and giving it */
} logger = {.lowest = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .writing = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *name, *padded, *priority; /* the last as the journal reads it (sd-daemon(3)) */
} levels[LOG_LEVEL_COUNT] = {
    [LOG_LEVEL_DEBUG] = {"debug", "DEBUG", "<7>"},
    [LOG_LEVEL_INFO] = {"info", "INFO ", "<6>"},
    [LOG_LEVEL_WARN] = {"warn", "WARN ", "<4>"},
    [LOG_LEVEL_ERROR] = {"error", "ERROR", "<3>"},
};

/* Whether systemd made this descriptor a stream to the journal (systemd.exec(5), JOURNAL_STREAM). */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char text[48];
    struct stat file;
    if (!stream || fstat(fd, &file) != 0)
        return false;
    (void)snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)file.st_dev, (uintmax_t)file.st_ino);
    return strcmp(stream, text) == 0;
}

void log_setup(enum log_level lowest, enum log_format format, int fd)
{
    assert((unsigned)lowest < LOG_LEVEL_COUNT && fd >= 0);
    atomic_store(&logger.lowest, lowest);
    atomic_store(&logger.format, format);
    atomic_store(&logger.to_journal, is_journal(fd));
    atomic_store(&logger.fd, fd);
}

enum log_level log_lowest(void)
{
    return atomic_load_explicit(&logger.lowest, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return level >= log_lowest();
}

uint64_t log_dropped_count(void)
{
    return atomic_load(&logger.dropped);
}

const char *log_level_name(enum log_level level)
{
    return (unsigned)level < LOG_LEVEL_COUNT ? levels[level].name : "unknown";
}

bool log_level_parse(const char *text, enum log_level *ret)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++)
        if (strcmp(text, levels[i].name) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

/* The line grows on the stack; what does not fit sets `full` and is rolled back by the field's writer. */
struct line {
    char text[LINE_SIZE];
    size_t size, limit;
    bool full;
};

static void add(struct line *line, const void *data, size_t size)
{
    if (line->full || size > line->limit - line->size) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->size, data, size);
    line->size += size;
}

static void add_string(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

/* One character of the value in `out`, escaped where it must be; *ret_step is what was read. */
static size_t escape_one(const char *at, size_t left, bool json, char out[8], size_t *ret_step)
{
    unsigned char c = (unsigned char)at[0];
    size_t step = utf8_sequence_size(at, left);
    *ret_step = step > 0 ? step : 1;
    if (step == 0) {
        memcpy(out, "\xEF\xBF\xBD", 3); /* U+FFFD */
        return 3;
    }
    const char *known = c ? strchr("\"\"\\\\\nn\rr\tt", c) : NULL;
    if (known && (c < 0x20 || c == '"' || c == '\\'))
        return (size_t)snprintf(out, 8, "\\%c", known[1]);
    if (c < 0x20 || c == 0x7F)
        return (size_t)snprintf(out, 8, json ? "\\u%04x" : "\\x%02x", (unsigned)c);
    /* C1 controls can drive a terminal as well as the C0 ones. */
    if (step == 2 && c == 0xC2 && (unsigned char)at[1] < 0xA0)
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)(unsigned char)at[1]);
    memcpy(out, at, step);
    return step;
}

/* At most VALUE_MAX bytes of escaped text, then "...". */
static void add_escaped(struct line *line, const char *text, bool json)
{
    size_t left = strnlen(text, VALUE_MAX + 1), written = 0, step;
    for (; left > 0; text += step, left -= step) {
        char piece[8];
        size_t size = escape_one(text, left, json, piece, &step);
        if (written + size > VALUE_MAX) {
            add_string(line, "...");
            return;
        }
        add(line, piece, size);
        written += size;
    }
}

static bool is_plain(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+@,%";
    size_t size = strnlen(text, VALUE_MAX + 1);
    return size > 0 && size <= VALUE_MAX && strspn(text, allowed) >= size;
}

static void add_text(struct line *line, const char *text, bool json)
{
    if (!text) {
        add_string(line, "null");
        return;
    }
    bool quoted = json || !is_plain(text);
    if (quoted)
        add_string(line, "\"");
    add_escaped(line, text, json);
    if (quoted)
        add_string(line, "\"");
}

static void add_value(struct line *line, const struct log_field *field, bool json)
{
    char text[DURATION_TEXT_SIZE];
    switch (field->kind) {
    case LOG_KIND_STRING:
        add_text(line, field->as.string, json);
        return;
    case LOG_KIND_DURATION:
        duration_format(field->as.integer, text);
        add_text(line, text, json);
        return;
    case LOG_KIND_BOOL:
        add_string(line, field->as.integer ? "true" : "false");
        return;
    case LOG_KIND_INT:
        (void)snprintf(text, sizeof text, "%" PRId64, field->as.integer);
        break;
    case LOG_KIND_UINT:
        (void)snprintf(text, sizeof text, "%" PRIu64, field->as.unsigned_integer);
        break;
    }
    add_string(line, text);
}

/* Keys are literals of ours, so they need no escaping. */
static void add_field(struct line *line, const struct log_field *field, bool json)
{
    add_string(line, json ? ",\"" : " ");
    add_string(line, field->key);
    add_string(line, json ? "\":" : "=");
    add_value(line, field, json);
}

static void add_head(struct line *line, enum log_level level, const char *event, bool json)
{
    char now[TIME_TEXT_SIZE];
    time_format(clock_system.wall_ms(clock_system.arg), now);
    if (atomic_load(&logger.to_journal))
        add_string(line, levels[level].priority);
    add_string(line, json ? "{\"time\":\"" : "");
    add_string(line, now);
    add_string(line, json ? "\",\"level\":\"" : " ");
    add_string(line, json ? levels[level].name : levels[level].padded);
    add_string(line, json ? "\",\"event\":\"" : " ");
    add_escaped(line, event, json);
    add_string(line, json ? "\"" : "");
}

static void compose(struct line *line, enum log_level level, const struct log_field *fields, bool json)
{
    line->size = 0;
    line->limit = LINE_SIZE - TRAILER_ROOM;
    line->full = false;
    add_head(line, level, fields[0].key, json);
    bool left_off = false;
    for (const struct log_field *field = fields + 1; field->key; field++) {
        size_t before = line->size;
        add_field(line, field, json);
        if (line->full) {
            line->size = before;
            line->full = false;
            left_off = true;
        }
    }
    line->limit = LINE_SIZE;
    if (left_off)
        add_string(line, json ? ",\"fields_left_off\":true" : " fields_left_off=true");
    add_string(line, json ? "}\n" : "\n");
}

/* The descriptor may be shared with other processes, so it is not switched to non-blocking; asked first instead. */
static bool write_line(int fd, const struct line *line)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int count;
    do
        count = poll(&ready, 1, 0);
    while (count < 0 && errno == EINTR);
    if (count != 1 || !(ready.revents & POLLOUT))
        return false;
    ssize_t put;
    do
        put = write(fd, line->text, line->size);
    while (put < 0 && errno == EINTR);
    return put == (ssize_t)line->size;
}

void log_write(enum log_level level, const struct log_field *fields)
{
    assert((unsigned)level < LOG_LEVEL_COUNT && fields[0].key);
    int saved_errno = errno; /* a caller logs between a failure and its report */
    struct line line;
    compose(&line, level, fields, atomic_load(&logger.format) == LOG_FORMAT_JSON);
    (void)pthread_mutex_lock(&logger.writing); /* a default mutex, never held twice by one thread */
    bool written = write_line(atomic_load(&logger.fd), &line);
    (void)pthread_mutex_unlock(&logger.writing); /* as above */
    if (!written)
        atomic_fetch_add(&logger.dropped, 1);
    errno = saved_errno;
}
