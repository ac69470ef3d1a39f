/* A reserved field that is not zero. */
#define BAD_RESERVED 7
#include "bad_plugin.h"
