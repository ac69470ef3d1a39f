/* completion: scripts for shells, made from the tables that the words are read with. */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "ctl/invocation.h"
#include "ctl/text.h"

/* Flags that take one of a few words. */
static const struct {
    const char *flag, *alternatives, *words;
} choices[] = {
    {"output", "-o|--output", "table json yaml name"},
    {"status", "--status", "pending running success failed timeout cancelled lost skipped"},
    {"concurrency", "--concurrency", "forbid allow replace"},
    {"missed-run-policy", "--missed-run-policy", "execute_one execute_all ignore"},
    {"placement", "--placement", "any leader all"},
    {"on-conflict", "--on-conflict", "fail skip replace"},
};
enum { CHOICE_COUNT = sizeof choices / sizeof *choices };

/* --- bash and zsh: both go through the words, and `at` is what is left of them without flags: "job list" --- */

/* "|--name|-n" of each flag that takes a value, as alternatives of a pattern. */
static void append_valued(struct buffer *out, const struct flag *flags)
{
    for (const struct flag *flag = flags; flag != NULL && flag->name != NULL; flag++) {
        if (flag->kind == FLAG_SWITCH)
            continue;
        buffer_appendf(out, "|--%s", flag->name);
        if (flag->letter != 0)
            buffer_appendf(out, "|-%c", flag->letter);
    }
}

/* Whatever takes a value does so with every command that has it, but for -f of `execution output`. */
static void append_valued_of_all(struct buffer *out, const struct command_set *set)
{
    buffer_append_string(out, "-s"); /* a pattern begins with something */
    append_valued(out, set->global_flags);
    for (size_t i = 0; i < set->command_count; i++)
        append_valued(out, set->commands[i].flags);
}

static void append_flag_words(struct buffer *out, const struct flag *flags)
{
    for (const struct flag *flag = flags; flag != NULL && flag->name != NULL; flag++)
        buffer_appendf(out, " --%s", flag->name);
}

static bool belongs(const struct command *command, const struct group *group)
{
    return group == NULL ? command->group == NULL : command->group != NULL && strcmp(command->group, group->name) == 0;
}

static void append_command_words(struct buffer *out, const struct command_set *set, const struct group *group)
{
    for (size_t i = 0; i < set->command_count; i++)
        if (belongs(&set->commands[i], group))
            buffer_appendf(out, " %s", set->commands[i].name);
}

/* case "$at" in: what may come next. */
static void append_cases(struct buffer *out, const struct command_set *set)
{
    buffer_append_string(out, "    case \"$at\" in\n    '') offers='");
    for (size_t i = 0; i < set->group_count; i++)
        buffer_appendf(out, "%s%s", i > 0 ? " " : "", set->groups[i].name);
    append_command_words(out, set, NULL);
    append_flag_words(out, set->global_flags);
    buffer_append_string(out, "' ;;\n");
    for (size_t i = 0; i < set->group_count; i++) {
        buffer_appendf(out, "    '%s') offers='", set->groups[i].name);
        append_command_words(out, set, &set->groups[i]);
        buffer_append_string(out, "' ;;\n");
    }
    for (size_t i = 0; i < set->command_count; i++) {
        const struct command *command = &set->commands[i];
        buffer_appendf(out, "    '%s%s%s'|'%s%s%s '*) offers='", command->group != NULL ? command->group : "",
                       command->group != NULL ? " " : "", command->name, command->group != NULL ? command->group : "",
                       command->group != NULL ? " " : "", command->name);
        append_flag_words(out, command->flags);
        append_flag_words(out, set->global_flags);
        buffer_appendf(out, "'%s ;;\n", strncmp(command->operands, "JOB", 3) == 0 ? " jobs=1" : "");
    }
    buffer_append_string(out, "    esac\n"
                              "    [ -z \"$jobs\" ] || [ \"${current#-}\" != \"$current\" ] ||\n"
                              "        offers=\"$offers $(chronosctl job list -o name --request-timeout 1s 2>/dev/null)\"\n");
}

/* The loop that finds `at`, then what may come there. `words` and `cursor` are the shell's names of the words, from `first` on, and of the
 * number of the one at the cursor. */
static void append_walk(struct buffer *out, const struct command_set *set, const char *words, int first, const char *cursor)
{
    buffer_appendf(out, "    local i word at='' offers='' jobs='' current previous\n"
                        "    current=${%s[%s]} previous=${%s[%s-1]}\n"
                        "    for ((i = %d; i < %s; i++)); do\n"
                        "        word=${%s[i]}\n"
                        "        case \"$word\" in\n        ",
                   words, cursor, words, cursor, first, cursor, words);
    append_valued_of_all(out, set);
    buffer_append_string(out, ") ((i++)) ;;\n        -*) ;;\n        *) at=\"${at:+$at }$word\" ;;\n        esac\n        case \"$at\" in\n");
    for (size_t i = 0; i < set->group_count; i++)
        for (size_t k = 0; k < sizeof set->groups[i].aliases / sizeof *set->groups[i].aliases && set->groups[i].aliases[k] != NULL; k++)
            buffer_appendf(out, "        '%s') at='%s' ;;\n", set->groups[i].aliases[k], set->groups[i].name);
    buffer_append_string(out, "        help) at='' ;;\n        esac\n    done\n"); /* its words are those of commands */
    append_cases(out, set);
    buffer_append_string(out, "    case \"$previous\" in\n    ");
    for (size_t i = 0; i < CHOICE_COUNT; i++)
        buffer_appendf(out, "%s) offers='%s' ;;\n    ", choices[i].alternatives, choices[i].words);
    append_valued_of_all(out, set);
    buffer_append_string(out, ") offers='' ;;\n    esac\n");
}

static void append_bash(struct buffer *out, const struct command_set *set)
{
    buffer_append_string(out, "# Made by `chronosctl completion bash`: source it, or install it as bash-completion/completions/chronosctl.\n"
                              "_chronosctl()\n{\n");
    append_walk(out, set, "COMP_WORDS", 1, "COMP_CWORD");
    buffer_append_string(out, "    COMPREPLY=()\n"
                              "    while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W \"$offers\" -- \"$current\")\n"
                              "}\n"
                              "complete -o default -F _chronosctl chronosctl\n");
}

static void append_zsh(struct buffer *out, const struct command_set *set)
{
    buffer_append_string(out, "#compdef chronosctl\n"
                              "# Made by `chronosctl completion zsh`: install it as _chronosctl in a folder of $fpath, or source it.\n"
                              "_chronosctl()\n{\n");
    append_walk(out, set, "words", 2, "CURRENT");
    buffer_append_string(out, "    if [ -n \"$offers\" ]; then compadd -- ${=offers}; else _files; fi\n"
                              "}\n"
                              "if [ \"$funcstack[1]\" = _chronosctl ]; then _chronosctl \"$@\"; else compdef _chronosctl chronosctl; fi\n");
}

/* --- fish: a line for each word, with what it means --- */

static void append_quoted(struct buffer *out, const char *text)
{
    buffer_append_char(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            buffer_append_char(out, '\\');
        buffer_append_char(out, *text);
    }
    buffer_append_char(out, '\'');
}

static void append_seen(struct buffer *out, const struct group *group)
{
    buffer_appendf(out, "__fish_seen_subcommand_from %s", group->name);
    for (size_t k = 0; k < sizeof group->aliases / sizeof *group->aliases && group->aliases[k] != NULL; k++)
        buffer_appendf(out, " %s", group->aliases[k]);
}

/* `group` NULL and `command` NULL: anywhere. */
static void append_fish_flags(struct buffer *out, const struct group *group, const struct command *command, const struct flag *flags)
{
    for (const struct flag *flag = flags; flag != NULL && flag->name != NULL; flag++) {
        buffer_append_string(out, "complete -c chronosctl");
        if (command != NULL) {
            buffer_append_string(out, " -n '");
            append_seen(out, group);
            buffer_appendf(out, "; and __fish_seen_subcommand_from %s'", command->name);
        }
        buffer_appendf(out, " -l %s", flag->name);
        if (flag->letter != 0)
            buffer_appendf(out, " -s %c", flag->letter);
        if (flag->value != NULL)
            buffer_append_string(out, strcmp(flag->value, "FILE") == 0 ? " -r -F" : " -x");
        for (size_t i = 0; i < CHOICE_COUNT; i++)
            if (strcmp(flag->name, choices[i].flag) == 0)
                buffer_appendf(out, " -a '%s'", choices[i].words);
        buffer_append_string(out, " -d ");
        append_quoted(out, flag->help);
        buffer_append_char(out, '\n');
    }
}

static void append_fish_group(struct buffer *out, const struct command_set *set, const struct group *group)
{
    buffer_appendf(out, "complete -c chronosctl -n __fish_use_subcommand -a %s -d ", group->name);
    append_quoted(out, group->summary);
    buffer_append_char(out, '\n');
    for (size_t i = 0; i < set->command_count; i++) {
        const struct command *command = &set->commands[i];
        if (!belongs(command, group))
            continue;
        buffer_append_string(out, "complete -c chronosctl -n '");
        append_seen(out, group);
        buffer_append_string(out, "; and not __fish_seen_subcommand_from");
        append_command_words(out, set, group);
        buffer_appendf(out, "' -a %s -d ", command->name);
        append_quoted(out, command->summary);
        buffer_append_char(out, '\n');
        append_fish_flags(out, group, command, command->flags);
    }
}

/* The first word of `help`; the second is that of a command. */
static void append_fish_help(struct buffer *out, const struct command_set *set)
{
    buffer_append_string(out, "complete -c chronosctl -n '__fish_seen_subcommand_from help; and not __fish_seen_subcommand_from");
    for (size_t i = 0; i < set->group_count; i++)
        buffer_appendf(out, " %s", set->groups[i].name);
    buffer_append_string(out, "' -a '");
    for (size_t i = 0; i < set->group_count; i++)
        buffer_appendf(out, "%s ", set->groups[i].name);
    append_command_words(out, set, NULL);
    buffer_append_string(out, "'\n");
}

static void append_fish(struct buffer *out, const struct command_set *set)
{
    buffer_append_string(out, "# Made by `chronosctl completion fish`: source it, or install it as chronosctl.fish in vendor_completions.d.\n"
                              "complete -c chronosctl -f\n");
    append_fish_flags(out, NULL, NULL, set->global_flags);
    for (size_t i = 0; i < set->group_count; i++)
        append_fish_group(out, set, &set->groups[i]);
    for (size_t i = 0; i < set->command_count; i++) {
        const struct command *command = &set->commands[i];
        if (command->group != NULL)
            continue;
        buffer_appendf(out, "complete -c chronosctl -n __fish_use_subcommand -a %s -d ", command->name);
        append_quoted(out, command->summary);
        buffer_append_char(out, '\n');
    }
    append_fish_help(out, set);
}

int run_completion(struct invocation *invocation)
{
    static const struct {
        const char *name;
        void (*append)(struct buffer *out, const struct command_set *set);
    } shells[] = {{"bash", append_bash}, {"zsh", append_zsh}, {"fish", append_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(invocation->arguments.operands[0], shells[i].name) == 0) {
            shells[i].append(&invocation->out, invocation->set);
            return EXIT_CODE_OK;
        }
    return complain_usage("completion: \"%s\" is not one of bash, zsh, fish", invocation->arguments.operands[0]);
}
