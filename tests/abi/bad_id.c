/* A component id with a path in it. */
#define BAD_ID "../bad"
#include "bad_plugin.h"
