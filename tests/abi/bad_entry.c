/* The entry function is missing. */
#define BAD_NO_ENTRY
#include "bad_plugin.h"
