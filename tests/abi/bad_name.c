/* A plugin name with a capital and a blank. */
#define BAD_NAME "Bad Name"
#include "bad_plugin.h"
