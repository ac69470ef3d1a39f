/* A reserved field of the operations that is not zero. */
#define BAD_OPS_RESERVED 1
#include "bad_plugin.h"
