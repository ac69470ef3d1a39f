/* Help, made from the same tables that the words are read with. */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "ctl/lookup.h"

enum { LEFT_WIDTH = 28, LEFT_SIZE = 96 };

static void append_row(struct buffer *out, const char *left, const char *right)
{
    if (strlen(left) > LEFT_WIDTH - 2)
        buffer_appendf(out, "  %s\n  %*s%s\n", left, LEFT_WIDTH, "", right);
    else
        buffer_appendf(out, "  %-*s%s\n", LEFT_WIDTH, left, right);
}

static void append_flags(struct buffer *out, const char *title, const struct flag *flags)
{
    char left[LEFT_SIZE];
    if (flags == NULL || flags->name == NULL)
        return;
    buffer_appendf(out, "\n%s:\n", title);
    for (const struct flag *flag = flags; flag->name != NULL; flag++) {
        char letter[5] = "    ";
        if (flag->letter != 0)
            (void)snprintf(letter, sizeof letter, "-%c, ", flag->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, flag->name, flag->value != NULL ? " " : "",
                       flag->value != NULL ? flag->value : "");
        append_row(out, left, flag->help);
    }
}

static void append_commands(const struct command_set *set, const char *group, struct buffer *out)
{
    char left[LEFT_SIZE];
    for (size_t i = 0; i < set->command_count; i++) {
        const struct command *command = &set->commands[i];
        bool listed = group == NULL || command->group == NULL ? group == command->group
                                                              : strcmp(command->group, group) == 0;
        if (!listed)
            continue;
        (void)snprintf(left, sizeof left, "%s%s%s", group != NULL ? group : "", group != NULL ? " " : "",
                       command->name);
        append_row(out, left, command->summary);
    }
}

void help_program(const struct command_set *set, struct buffer *out)
{
    buffer_appendf(out, "Usage: %s [FLAG]... COMMAND\n\nCommands:\n", set->program);
    for (size_t i = 0; i < set->group_count; i++)
        append_commands(set, set->groups[i].name, out);
    append_commands(set, NULL, out);
    append_flags(out, "Flags of every command", set->global_flags);
    buffer_append_string(out, set->epilogue);
}

void help_group(const struct command_set *set, const struct group *group, struct buffer *out)
{
    buffer_appendf(out, "Usage: %s %s COMMAND\n\n%s", set->program, group->name, group->summary);
    for (size_t i = 0; i < sizeof group->aliases / sizeof *group->aliases && group->aliases[i] != NULL; i++)
        buffer_appendf(out, "%s%s", i == 0 ? " Also written: " : ", ", group->aliases[i]);
    buffer_append_string(out, "\n\nCommands:\n");
    append_commands(set, group->name, out);
    append_flags(out, "Flags of every command", set->global_flags);
    buffer_appendf(out, "\n%s %s COMMAND --help says more, with examples.\n", set->program, group->name);
}

void help_command(const struct command_set *set, const struct command *command, struct buffer *out)
{
    bool grouped = command->group != NULL, operands = command->operands[0] != '\0';
    buffer_appendf(out, "Usage: %s %s%s%s%s%s%s\n\n%s.\n", set->program, grouped ? command->group : "",
                   grouped ? " " : "",
                   command->name, operands ? " " : "", command->operands, command->flags != NULL ? " [FLAG]..." : "",
                   command->summary);
    if (command->details != NULL)
        buffer_appendf(out, "\n%s", command->details);
    append_flags(out, "Flags", command->flags);
    append_flags(out, "Flags of every command", set->global_flags);
}

enum status help_for(const struct command_set *set, const char *const *words, size_t count, struct buffer *out,
                     struct error *err)
{
    if (count == 0) {
        help_program(set, out);
        return STATUS_OK;
    }
    const struct group *group = lookup_group(set, words[0]);
    const struct command *command = group == NULL ? lookup_command(set, NULL, words[0]) : NULL;
    if (group == NULL && command == NULL)
        return lookup_unknown(set, NULL, words[0], err);
    if (group != NULL && count > 1) {
        command = lookup_command(set, group, words[1]);
        if (command == NULL)
            return lookup_unknown(set, group, words[1], err);
    }
    if (command != NULL)
        help_command(set, command, out);
    else
        help_group(set, group, out);
    return STATUS_OK;
}
