#include "base/fatal.h"

#include <unistd.h>

#include "base/log.h"

_Noreturn void fatal(const char *what, const struct error *err)
{
    LOG_ERROR("fatal: stopping now", LOG_STRING("what", what), LOG_STRING("error", err != NULL ? err->message : ""));
    _exit(EXIT_DISK);
}
