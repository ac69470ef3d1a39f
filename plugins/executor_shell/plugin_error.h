/* Filling in a struct chronos_error. */
#ifndef EXECUTOR_SHELL_PLUGIN_ERROR_H
#define EXECUTOR_SHELL_PLUGIN_ERROR_H

#include <chronos/abi.h>

/* Returns `code`. `sys_errno` is 0 where no system call failed; otherwise its text is appended. */
int32_t plugin_error(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* As plugin_error, RETRYABLE: a later attempt may succeed. */
int32_t plugin_error_retryable(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
