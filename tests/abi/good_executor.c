/* Nothing is wrong here: what the bad plugins would be without their one fault. */
#define BAD_NAME "good"
#define BAD_ID "good"
#define BAD_SHORTHAND "good_thing"
#include "bad_plugin.h"
