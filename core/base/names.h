/* A few names for a message: what is known here, each once. */
#ifndef CHRONOS_BASE_NAMES_H
#define CHRONOS_BASE_NAMES_H

#include <stddef.h>

enum { NAMES_MAX = 64, NAMES_TEXT_SIZE = 128 };

struct names {
    char text[NAMES_MAX][NAMES_TEXT_SIZE];
    const char *items[NAMES_MAX + 1]; /* into `text`, and a NULL: what looks for the nearest one takes */
    size_t count;
};

void names_init(struct names *names);
/* Unless it is there, is too long, or there is no room. */
void names_add(struct names *names, const char *text, size_t size);
/* "shell, http" by the separator ", "; what does not fit is cut off. */
void names_list(const struct names *names, const char *separator, char *out, size_t out_size);

#endif
