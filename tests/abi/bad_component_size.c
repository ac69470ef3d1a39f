/* A component shorter than ABI 1.0's. */
#define BAD_COMPONENT_SIZE 16
#include "bad_plugin.h"
