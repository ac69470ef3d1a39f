/* No components. */
#define BAD_COMPONENTS NULL
#include "bad_plugin.h"
