/* A shorthand that good_executor has already. */
#define BAD_ID "other"
#define BAD_SHORTHAND "good_thing"
#include "bad_plugin.h"
