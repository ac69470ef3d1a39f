#include "ctl/lookup.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum { WORDS_MAX = 64 };

/* A NULL-terminated list for nearest_word. */
struct words {
    const char *list[WORDS_MAX + 1];
    size_t count;
};

static void add_word(struct words *words, const char *word)
{
    if (words->count < WORDS_MAX)
        words->list[words->count++] = word;
}

const struct group *lookup_group(const struct command_set *set, const char *word)
{
    for (size_t i = 0; i < set->group_count; i++) {
        const struct group *group = &set->groups[i];
        if (strcmp(group->name, word) == 0)
            return group;
        for (size_t k = 0; k < sizeof group->aliases / sizeof *group->aliases && group->aliases[k] != NULL; k++)
            if (strcmp(group->aliases[k], word) == 0)
                return group;
    }
    return NULL;
}

static bool is_of_group(const struct command *command, const struct group *group)
{
    if (group == NULL || command->group == NULL)
        return group == NULL && command->group == NULL;
    return strcmp(command->group, group->name) == 0;
}

const struct command *lookup_command(const struct command_set *set, const struct group *group, const char *word)
{
    for (size_t i = 0; i < set->command_count; i++)
        if (is_of_group(&set->commands[i], group) && strcmp(set->commands[i].name, word) == 0)
            return &set->commands[i];
    return NULL;
}

enum status lookup_unknown(const struct command_set *set, const struct group *group, const char *word,
                           struct error *err)
{
    struct words words = {.count = 0};
    const char *name = group != NULL ? group->name : "", *space = group != NULL ? " " : "";
    for (size_t i = 0; i < set->command_count; i++)
        if (is_of_group(&set->commands[i], group))
            add_word(&words, set->commands[i].name);
    for (size_t i = 0; i < set->group_count && group == NULL; i++)
        add_word(&words, set->groups[i].name);
    const char *near = nearest_word(word, words.list);
    if (near != NULL)
        return error_set(err, STATUS_INVALID, "unknown command \"%s\"; did you mean \"%s\"?", word, near);
    return error_set(err, STATUS_INVALID, "unknown command \"%s\"; see %s %s%s--help", word, set->program, name, space);
}

const char *lookup_nearest_flag(const struct command_set *set, const struct command *command, const char *word,
                                size_t size,
                                char out[NEAREST_FLAG_SIZE])
{
    struct words words = {.count = 0};
    char name[NEAREST_FLAG_SIZE];
    if (size < 2 || size - 2 >= sizeof name)
        return NULL;
    (void)snprintf(name, sizeof name, "%.*s", (int)(size - 2), word + 2);
    for (const struct flag *flag = command != NULL ? command->flags : NULL; flag != NULL && flag->name != NULL; flag++)
        add_word(&words, flag->name);
    for (const struct flag *flag = set->global_flags; flag->name != NULL; flag++)
        add_word(&words, flag->name);
    const char *near = nearest_word(name, words.list);
    if (near == NULL)
        return NULL;
    (void)snprintf(out, NEAREST_FLAG_SIZE, "--%s", near);
    return out;
}
