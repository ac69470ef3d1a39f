/* An id that good_executor has already. */
#define BAD_ID "good"
#include "bad_plugin.h"
