/* A shorthand that is no word. */
#define BAD_SHORTHAND "Run It"
#include "bad_plugin.h"
