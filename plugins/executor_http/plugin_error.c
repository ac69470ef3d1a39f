#include "plugin_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct chronos_error *err, int32_t code, int sys_errno, uint32_t flags, const char *format,
                 va_list args) __attribute__((format(printf, 5, 0)));

static void fill(struct chronos_error *err, int32_t code, int sys_errno, uint32_t flags, const char *format,
                 va_list args)
{
    char reason[96];

    err->code = code;
    err->sys_errno = sys_errno;
    err->flags = flags;
    int size = vsnprintf(err->msg, sizeof(err->msg), format, args);
    if (sys_errno != 0 && size >= 0 && (size_t)size < sizeof(err->msg)) {
        (void)snprintf(err->msg + size, sizeof(err->msg) - (size_t)size, ": %s",
                       strerror_r(sys_errno, reason, sizeof(reason)));
    }
}

int32_t plugin_error(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, sys_errno, 0, format, args);
    va_end(args);
    return code;
}

int32_t plugin_error_retryable(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, sys_errno, CHRONOS_ERROR_RETRYABLE, format, args);
    va_end(args);
    return code;
}
