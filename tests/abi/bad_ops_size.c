/* Operations shorter than ABI 1.0's. */
#define BAD_OPS_SIZE 16
#include "bad_plugin.h"
