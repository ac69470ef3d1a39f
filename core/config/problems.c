#include "config/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/limits.h"

/* A label is a path as long as the user likes; the sentence behind it must still fit. */
enum { MESSAGE_SIZE = 5120 };

void problem_add(struct problems *problems, struct place place, enum status code, const char *key, const char *format,
                 ...)
{
    if (problems_full(problems))
        return;
    char message[MESSAGE_SIZE];
    int size = place.line > 0 ? snprintf(message, sizeof message, "%s:%u: ", place.label, place.line)
                              : snprintf(message, sizeof message, "%s: ", place.label);
    size_t used = size > 0 && size < MESSAGE_SIZE ? (size_t)size : 0;
    if (*key) {
        size = snprintf(message + used, sizeof message - used, "%s: ", key);
        if (size > 0 && (size_t)size < sizeof message - used)
            used += (size_t)size;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message + used, sizeof message - used, format, args); /* cut is better than nothing */
    va_end(args);
    if (problems->count++ == 0)
        (void)error_set_field(problems->first, code, key, "%s", message);
    if (problems->report)
        problems->report(problems->arg, message);
}

bool problems_full(const struct problems *problems)
{
    return problems->count >= CONFIG_PROBLEMS_MAX;
}

/* Appends at most `room` bytes of `text`, whole sequences only; returns how many. */
static size_t copy_shown(char *out, size_t room, const char *text, size_t size, bool *ret_cut)
{
    size_t used = 0, at = 0;
    while (at < size) {
        size_t sequence = utf8_sequence_size(text + at, size - at);
        unsigned char first = (unsigned char)text[at];
        bool plain = sequence > 1 || (sequence == 1 && first >= 0x20 && first != 0x7f);
        size_t step = plain ? sequence : 1;
        if (step > room - used) {
            *ret_cut = true;
            return used;
        }
        if (plain)
            memcpy(out + used, text + at, step);
        else
            out[used] = '?';
        used += step;
        at += sequence ? sequence : 1;
    }
    *ret_cut = false;
    return used;
}

struct shown text_shown(const char *text, size_t size)
{
    static const char ellipsis[] = "...";
    struct shown shown;
    bool cut;
    size_t used = copy_shown(shown.text, SHOWN_SIZE - sizeof ellipsis, text, size, &cut);
    if (cut)
        memcpy(shown.text + used, ellipsis, sizeof ellipsis);
    else
        shown.text[used] = '\0';
    return shown;
}

static size_t push(struct key_path *path, const char *part)
{
    size_t before = path->size;
    int size = snprintf(path->text + before, KEY_PATH_SIZE - before, "%s%s", before > 0 ? "." : "", part);
    if (size > 0 && (size_t)size < KEY_PATH_SIZE - before)
        path->size += (size_t)size;
    else /* deeper than a message can show: the parents are shown alone */
        path->text[before] = '\0';
    return before;
}

size_t key_path_push(struct key_path *path, const char *key)
{
    struct shown shown = text_shown(key, strlen(key));
    return push(path, shown.text);
}

size_t key_path_push_index(struct key_path *path, uint32_t index)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", index); /* ten digits fit */
    return push(path, text);
}

void key_path_cut(struct key_path *path, size_t size)
{
    path->size = size;
    path->text[size] = '\0';
}
