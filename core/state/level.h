/* Feature levels: what nodes may write once every member of the cluster understands it (docs/adr/0017-feature-level.md).
 *
 *   level   what it brought
 *   1       everything so far
 *
 * A new type of entry, a new meaning of one, a new format of a row: give the next level a line above and raise FEATURE_LEVEL with it.
 * Propose and write nothing of it before that level is in force; read it always. */
#ifndef CHRONOS_STATE_LEVEL_H
#define CHRONOS_STATE_LEVEL_H

#include <stdint.h>

#include "base/error.h"

enum { FEATURE_LEVEL = 1 };

/* The newest level that this node knows: FEATURE_LEVEL, or what CHRONOS_TEST_FEATURE_LEVEL claims (1 to 99). Any thread. */
uint32_t feature_level_known(void);
/* NOT_IMPLEMENTED: this version is too old for a cluster at `level`; the sentence says what to do. CORRUPT: there is no level 0. */
must_use enum status feature_level_check(uint32_t level, struct error *err);

#endif
