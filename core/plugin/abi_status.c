/* Codes and texts of the ABI in our terms. */
#include <string.h>

#include "plugin/private.h"

static enum status status_of(int32_t code)
{
    switch (code) {
    case CHRONOS_OK: return STATUS_OK;
    case CHRONOS_INVALID: return STATUS_INVALID;
    case CHRONOS_NOMEM: return STATUS_NO_MEMORY;
    case CHRONOS_NOTFOUND: return STATUS_NOT_FOUND;
    case CHRONOS_EXISTS: return STATUS_EXISTS;
    case CHRONOS_BUSY: return STATUS_BUSY;
    case CHRONOS_IO: return STATUS_IO;
    case CHRONOS_NOSPACE: return STATUS_NO_SPACE;
    case CHRONOS_CORRUPT: return STATUS_CORRUPT;
    case CHRONOS_UNSUPPORTED: return STATUS_NOT_IMPLEMENTED;
    case CHRONOS_TOOBIG: return STATUS_TOO_LARGE;
    case CHRONOS_CANCELLED: return STATUS_CANCELLED;
    case CHRONOS_TIMEOUT: return STATUS_TIMEOUT;
    case CHRONOS_DENIED: return STATUS_FORBIDDEN;
    case CHRONOS_SHUTDOWN: return STATUS_SHUTTING_DOWN;
    case CHRONOS_MISUSE: return STATUS_MISUSE;
    default: return STATUS_INTERNAL;
    }
}

size_t plugin_text_clean(char *out, size_t out_size, const void *text, uint64_t size)
{
    static const char replacement[] = "\xef\xbf\xbd";
    const char *at = text;
    size_t used = 0;
    while (at && size > 0) {
        size_t take = utf8_sequence_size(at, size < 4 ? (size_t)size : 4);
        const char *piece = take ? at : replacement;
        size_t piece_size = take ? take : sizeof replacement - 1;
        if (take == 1 && ((unsigned char)*at < 0x20 || *at == 0x7f))
            piece = " ";
        if (used + piece_size >= out_size)
            break;
        memcpy(out + used, piece, piece_size);
        used += piece_size;
        at += take ? take : 1;
        size -= take ? take : 1;
    }
    out[used] = '\0';
    return used;
}

struct chronos_error plugin_error_ready(void)
{
    return (struct chronos_error){.struct_size = sizeof(struct chronos_error)};
}

enum status plugin_status(int32_t code, const struct chronos_error *from, struct error *err)
{
    enum status status = status_of(code);
    if (status == STATUS_OK)
        return STATUS_OK;
    char text[ERROR_MESSAGE_SIZE] = "";
    if (from)
        (void)plugin_text_clean(text, sizeof text, from->msg, strnlen(from->msg, sizeof from->msg));
    if (text[0])
        (void)error_set(err, status, "%s", text);
    else
        (void)error_set(err, status, "%s (code %d, the plugin gave no reason)", status_title(status), (int)code);
    err->sys_errno = from ? from->sys_errno : 0;
    return status;
}
