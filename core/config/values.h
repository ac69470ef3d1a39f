/* What the setters of this room share. Internal to this room. */
#ifndef CHRONOS_CONFIG_VALUES_H
#define CHRONOS_CONFIG_VALUES_H

#include <string.h>

#include "config/loader.h"

/* The member that a key sets. */
static inline void *value_member(struct config *config, const struct config_key *key)
{
    return (char *)config + key->offset;
}

/* The text of a scalar that is there, without control characters and within CONFIG_TEXT_MAX; NULL after a report. */
const char *value_text(struct loader *loader, const char *key, const struct tree *value);
/* Replace an owned string; false after a report. */
bool value_take_string(struct loader *loader, char **member, const char *text);
/* An address as the sockets take it ("0.0.0.0:8080" for ":8080"), to be freed; NULL after a report. */
char *value_address(struct loader *loader, const char *key, const struct tree *value, const char *text, uint32_t flags);
/* `; did you mean "x"?`, or "". */
struct suggestion {
    char text[KEY_PATH_SIZE];
};
struct suggestion suggest(const char *word, const char *const *known);

#endif
