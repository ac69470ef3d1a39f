/* The same component twice. */
#define BAD_COMPONENTS &bad_component, &bad_component, NULL
#include "bad_plugin.h"
