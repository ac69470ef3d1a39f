/* "Did you mean": how far apart two short words are. */
#ifndef CHRONOS_BASE_NEAREST_H
#define CHRONOS_BASE_NEAREST_H

#include <stddef.h>

/* Single characters to insert, delete or replace to get from one to the other, ASCII case ignored. Words over
 * NEAREST_WORD_MAX bytes are cut to it. */
enum { NEAREST_WORD_MAX = 64 };
size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size);

#endif
