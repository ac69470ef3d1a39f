/* A magic number of something else. */
#define BAD_MAGIC 0x12345678u
#include "bad_plugin.h"
