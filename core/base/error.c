#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

static const char ellipsis[] = "...";

/* Copy `text` into a field of `size` bytes, cut visibly where it is longer. */
static void copy_cut(char *out, size_t size, const char *text, size_t text_size)
{
    if (text_size < size) {
        memcpy(out, text, text_size);
        out[text_size] = '\0';
        return;
    }
    size_t kept = utf8_cut(text, text_size, size - sizeof ellipsis);
    memcpy(out, text, kept);
    memcpy(out + kept, ellipsis, sizeof ellipsis);
}

/* Formatted apart from *err, because an argument may point into it. One byte more than a message holds, so that
 * copy_cut sees a longer text as longer. */
enum { SCRATCH_SIZE = ERROR_MESSAGE_SIZE + 2 };

static size_t format_scratch(char scratch[SCRATCH_SIZE], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static size_t format_scratch(char scratch[SCRATCH_SIZE], const char *format, va_list args)
{
    int length = vsnprintf(scratch, SCRATCH_SIZE, format, args);
    if (length < 0) {
        scratch[0] = '\0';
        return 0;
    }
    return length < SCRATCH_SIZE ? (size_t)length : SCRATCH_SIZE - 1;
}

static enum status set(struct error *err, enum status code, const char *field, const char *text, size_t size)
{
    assert(err && code != STATUS_OK);
    char kept_field[ERROR_FIELD_SIZE];
    copy_cut(kept_field, sizeof kept_field, field, strlen(field));
    err->code = code;
    err->sys_errno = 0;
    memcpy(err->field, kept_field, sizeof kept_field);
    copy_cut(err->message, sizeof err->message, text, size);
    return code;
}

enum status error_set(struct error *err, enum status code, const char *format, ...)
{
    char scratch[SCRATCH_SIZE];
    va_list args;
    va_start(args, format);
    size_t size = format_scratch(scratch, format, args);
    va_end(args);
    return set(err, code, "", scratch, size);
}

enum status error_set_field(struct error *err, enum status code, const char *field, const char *format, ...)
{
    char scratch[SCRATCH_SIZE];
    va_list args;
    va_start(args, format);
    size_t size = format_scratch(scratch, format, args);
    va_end(args);
    return set(err, code, field, scratch, size);
}

enum status error_set_errno(struct error *err, enum status code, int sys_errno, const char *format, ...)
{
    char scratch[SCRATCH_SIZE], whole[SCRATCH_SIZE + 160], reason[128];
    va_list args;
    va_start(args, format);
    (void)format_scratch(scratch, format, args);
    va_end(args);
    int size = snprintf(whole, sizeof whole, "%s: %s", scratch, strerror_r(sys_errno, reason, sizeof reason));
    (void)set(err, code, "", whole, size < (int)sizeof whole ? (size_t)size : sizeof whole - 1);
    err->sys_errno = sys_errno;
    return code;
}

enum status error_wrap(struct error *err, const char *format, ...)
{
    assert(err);
    char scratch[SCRATCH_SIZE], whole[SCRATCH_SIZE + ERROR_MESSAGE_SIZE + 2];
    va_list args;
    va_start(args, format);
    (void)format_scratch(scratch, format, args);
    va_end(args);
    int size = snprintf(whole, sizeof whole, "%s: %s", scratch, err->message);
    copy_cut(err->message, sizeof err->message, whole, (size_t)size);
    return err->code;
}
