#include "store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int32_t fault(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
{
    va_list arguments;

    err->code = code;
    err->sys_errno = sys_errno;
    err->flags = code == CHRONOS_BUSY || code == CHRONOS_NOSPACE ? CHRONOS_ERROR_RETRYABLE : 0;
    va_start(arguments, format);
    (void)vsnprintf(err->msg, sizeof(err->msg), format, arguments); /* a longer sentence is cut */
    va_end(arguments);
    return code;
}

static int32_t status_of(int rc)
{
    switch (rc) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_PANIC: /* a meta page could not be written: what is on disk is unknown */
        return CHRONOS_CORRUPT;
    case MDB_VERSION_MISMATCH:
        return CHRONOS_UNSUPPORTED;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return CHRONOS_NOSPACE;
    case MDB_READERS_FULL:
        return CHRONOS_BUSY;
    case MDB_TXN_FULL:
        return CHRONOS_TOOBIG;
    case ENOMEM:
        return CHRONOS_NOMEM;
    case EACCES:
    case EPERM:
    case EROFS:
        return CHRONOS_DENIED;
    default:
        return rc > 0 ? CHRONOS_IO : CHRONOS_INTERNAL;
    }
}

static const char *remedy(int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
        return " (raise the option map_size)";
    case ENOMEM:
        return " (lower the option map_size, or raise the limit of address space)";
    case MDB_VERSION_MISMATCH:
        return " (written by another version of LMDB)";
    default:
        return "";
    }
}

int32_t fault_lmdb(struct chronos_error *err, int rc, const char *doing)
{
    return fault(err, status_of(rc), rc > 0 ? rc : 0, "%s: %s%s", doing, mdb_strerror(rc), remedy(rc));
}

void report(const struct store *store, int32_t level, const char *format, ...)
{
    const struct chronos_host_ops *ops = store->host->ops;
    char line[512];
    va_list arguments;
    int size;

    if (!CHRONOS_HAS(ops, struct chronos_host_ops, log) || ops->log == NULL) {
        return;
    }
    va_start(arguments, format);
    size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size > 0) {
        ops->log(store->host, level, line, (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1);
    }
}
