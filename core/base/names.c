#include "base/names.h"

#include <stdio.h>
#include <string.h>

void names_init(struct names *names)
{
    names->count = 0;
    names->items[0] = NULL;
}

void names_add(struct names *names, const char *text, size_t size)
{
    for (size_t i = 0; i < names->count; i++)
        if (strncmp(names->text[i], text, size) == 0 && names->text[i][size] == '\0')
            return;
    if (names->count == NAMES_MAX || size >= NAMES_TEXT_SIZE)
        return;
    memcpy(names->text[names->count], text, size);
    names->text[names->count][size] = '\0';
    names->items[names->count] = names->text[names->count];
    names->items[++names->count] = NULL;
}

void names_list(const struct names *names, const char *separator, char *out, size_t out_size)
{
    out[0] = '\0';
    for (size_t i = 0, used = 0; i < names->count && used < out_size; i++) {
        int size = snprintf(out + used, out_size - used, "%s%s", i > 0 ? separator : "", names->text[i]);
        used += size > 0 ? (size_t)size : out_size;
    }
}
