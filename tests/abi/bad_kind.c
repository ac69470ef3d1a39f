/* A kind that does not exist. */
#define BAD_KIND 99
#include "bad_plugin.h"
