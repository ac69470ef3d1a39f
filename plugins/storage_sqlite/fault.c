#include "store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

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
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return CHRONOS_CORRUPT;
    case SQLITE_FULL:
        return CHRONOS_NOSPACE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return CHRONOS_BUSY;
    case SQLITE_NOMEM:
        return CHRONOS_NOMEM;
    case SQLITE_TOOBIG:
        return CHRONOS_TOOBIG;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return CHRONOS_DENIED;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
        return CHRONOS_IO;
    default:
        return CHRONOS_INTERNAL;
    }
}

int32_t fault_sqlite(struct chronos_error *err, sqlite3 *db, int rc, const char *doing)
{
    int code = db != NULL ? sqlite3_extended_errcode(db) : rc;
    bool io = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;

    if ((code & 0xff) != (rc & 0xff)) {
        code = rc; /* a later call on the connection has overwritten it */
    }
    return fault(err, status_of(rc), db != NULL && io ? sqlite3_system_errno(db) : 0, "%s: %s (SQLite code %d)", doing,
                 db != NULL && code != rc ? sqlite3_errmsg(db) : sqlite3_errstr(code), code);
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
