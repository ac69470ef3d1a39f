/* Built for the other byte order. */
#define BAD_MAGIC 0x50524843u
#include "bad_plugin.h"
