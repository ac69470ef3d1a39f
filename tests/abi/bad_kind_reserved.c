/* A kind that is reserved for later. */
#define BAD_KIND CHRONOS_KIND_NOTIFIER
#include "bad_plugin.h"
