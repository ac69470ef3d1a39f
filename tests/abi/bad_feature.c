/* Requires a feature that no host has. */
#define BAD_FEATURES (CHRONOS_FEATURES_THIS | UINT64_C(0x40000000))
#include "bad_plugin.h"
