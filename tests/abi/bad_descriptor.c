/* An entry function that returns nothing. */
#define BAD_DESCRIPTOR NULL
#include "bad_plugin.h"
