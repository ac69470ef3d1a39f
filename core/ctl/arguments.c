#include "ctl/arguments.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/lookup.h"

/* Reading goes over the words twice: first for the words that name the command, then, knowing its flags, for all. */
struct scan {
    const struct command_set *set;
    int argc;
    char **argv;
    const struct group *group;
    const struct command *command;
    int group_at, command_at; /* where their words stand; 0: nowhere */
    bool wants_help;          /* seen before the command was complete */
};

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

static bool is_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

/* Does `word` ("--name", "--name=value", "-n", "-nvalue") mean this flag? *ret_value: what stands in the same word. */
static bool flag_matches(const struct flag *flag, const char *word, const char **ret_value)
{
    size_t size = strlen(flag->name);
    *ret_value = NULL;
    if (word[1] == '-') {
        if (strncmp(word + 2, flag->name, size) != 0 || (word[2 + size] != '\0' && word[2 + size] != '='))
            return false;
        if (word[2 + size] == '=')
            *ret_value = word + 2 + size + 1;
        return true;
    }
    if (flag->letter == 0 || word[1] != flag->letter || (flag->kind == FLAG_SWITCH && word[2] != '\0'))
        return false;
    if (word[2] != '\0')
        *ret_value = word + 2 + (word[2] == '=');
    return true;
}

static const struct flag *flag_in(const struct flag *table, const char *word, const char **ret_value)
{
    for (; table != NULL && table->name != NULL; table++)
        if (flag_matches(table, word, ret_value))
            return table;
    return NULL;
}

/* --- first pass: which command --- */

static bool takes_next_word(const struct flag *flag, const char *value)
{
    return flag->kind != FLAG_SWITCH && value == NULL;
}

/* A flag before the command is known: is the word behind it its value? The commands that may still be meant have to
 * agree. */
static enum status skip_early_flag(const struct scan *scan, const char *word, bool *ret_skip, struct error *err)
{
    const char *value;
    const struct flag *flag = flag_in(scan->set->global_flags, word, &value);
    int yes = 0, no = 0;
    if (flag != NULL) {
        *ret_skip = takes_next_word(flag, value);
        return STATUS_OK;
    }
    for (size_t i = 0; i < scan->set->command_count; i++) {
        const struct command *command = &scan->set->commands[i];
        if (scan->group != NULL && (command->group == NULL || strcmp(command->group, scan->group->name) != 0))
            continue;
        flag = flag_in(command->flags, word, &value);
        if (flag != NULL)
            *(takes_next_word(flag, value) ? &yes : &no) += 1;
    }
    if (yes > 0 && no > 0)
        return error_set(err, STATUS_INVALID,
                         "%s means different things to different commands: put it behind the command",
                         word);
    *ret_skip = yes > 0;
    return STATUS_OK;
}

static enum status take_command_word(struct scan *scan, int at, struct error *err)
{
    const char *word = scan->argv[at];
    if (scan->group == NULL) {
        scan->group = lookup_group(scan->set, word);
        scan->command = scan->group == NULL ? lookup_command(scan->set, NULL, word) : NULL;
        if (scan->group == NULL && scan->command == NULL)
            return lookup_unknown(scan->set, NULL, word, err);
        scan->group_at = at;
        return STATUS_OK;
    }
    scan->command = lookup_command(scan->set, scan->group, word);
    scan->command_at = at;
    return scan->command != NULL ? STATUS_OK : lookup_unknown(scan->set, scan->group, word, err);
}

static enum status find_command(struct scan *scan, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 1; i < scan->argc && scan->command == NULL && status == STATUS_OK; i++) {
        const char *word = scan->argv[i];
        bool skip = false;
        if (is_help(word))
            scan->wants_help = true;
        else if (strcmp(word, "--") == 0)
            break;
        else if (is_flag(word))
            status = skip_early_flag(scan, word, &skip, err);
        else
            status = take_command_word(scan, i, err);
        i += skip;
    }
    return status;
}

/* --- second pass: flags and operands --- */

static enum status unknown_flag(const struct scan *scan, const char *word, struct error *err)
{
    char name[NEAREST_FLAG_SIZE];
    size_t size = strcspn(word, "=");
    const char *near = size < sizeof name && word[1] == '-' ? lookup_nearest_flag(scan->set, scan->command, word, size,
                                                                                  name)
                                                            : NULL;
    const char *of = scan->command != NULL ? scan->command->name : "";
    const char *group = scan->command != NULL && scan->command->group != NULL ? scan->command->group : "";
    if (near != NULL)
        return error_set(err, STATUS_INVALID, "unknown flag %.*s; did you mean %s?", (int)size, word, near);
    return error_set(err, STATUS_INVALID, "unknown flag %.*s; see %s %s%s%s%s--help", (int)size, word,
                     scan->set->program,
                     group, *group ? " " : "", of, *of ? " " : "");
}

static enum status check_value(const struct flag *flag, const char *value, struct error *err)
{
    int64_t duration_ms;
    if (flag->kind == FLAG_SWITCH && value != NULL && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return error_set(err, STATUS_INVALID,
                         "--%s is either there or not; =true and =false are allowed, \"%s\" is not",
                         flag->name, value);
    if (flag->value != NULL && *value == '\0' && strcmp(flag->value, "FILE") == 0)
        return error_set(err, STATUS_INVALID, "--%s needs the name of a file, and was given an empty one", flag->name);
    if (flag->kind == FLAG_NUMBER) {
        size_t digits = strspn(value, "0123456789");
        if (digits == 0 || digits > 9 || value[digits] != '\0' || strtol(value, NULL, 10) < 1)
            return error_set(err, STATUS_INVALID, "--%s: \"%s\" is not a number from 1 to 999999999", flag->name,
                             value);
    }
    if (flag->kind == FLAG_DURATION && duration_parse(value, strlen(value), &duration_ms, err) != STATUS_OK)
        return error_wrap(err, "--%s", flag->name);
    return STATUS_OK;
}

/* "--name --schedule ..." is a value that was forgotten, not a job called "--schedule". */
static bool looks_like_flag(const struct scan *scan, const char *word)
{
    const char *value;
    return word[0] == '-' && word[1] == '-' &&
           (flag_in(scan->command->flags, word, &value) != NULL ||
            flag_in(scan->set->global_flags, word, &value) != NULL);
}

static enum status missing_value(const struct flag *flag, const char *found, struct error *err)
{
    if (found == NULL)
        return error_set(err, STATUS_INVALID, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
    return error_set(err, STATUS_INVALID, "--%s needs a value (if it is \"%s\", write --%s=%s)", flag->name, found,
                     flag->name, found);
}

static const struct flag *find_flag(const struct scan *scan, int at, const char **ret_value)
{
    const char *word = scan->argv[at];
    int command_at = scan->command_at > 0 ? scan->command_at : scan->group_at;
    const struct flag *own = flag_in(scan->command->flags, word, ret_value);
    if (own != NULL && at > command_at)
        return own;
    const struct flag *global = flag_in(scan->set->global_flags, word, ret_value);
    return global != NULL ? global : flag_in(scan->command->flags, word, ret_value);
}

static enum status take_flag(const struct scan *scan, int *at, struct arguments *arguments, struct error *err)
{
    const char *value, *word = scan->argv[*at];
    const struct flag *flag = find_flag(scan, *at, &value);
    if (flag == NULL)
        return unknown_flag(scan, word, err);
    if (takes_next_word(flag, value)) {
        value = *at + 1 < scan->argc ? scan->argv[*at + 1] : NULL;
        if (value == NULL || looks_like_flag(scan, value))
            return missing_value(flag, value, err);
        (*at)++;
    }
    if (check_value(flag, value, err) != STATUS_OK)
        return err->code;
    arguments->given[arguments->given_count++] = (struct given_flag){flag, value};
    return STATUS_OK;
}

static enum status take_words(const struct scan *scan, struct arguments *arguments, struct error *err)
{
    bool flags_ended = false;
    enum status status = STATUS_OK;
    for (int i = 1; i < scan->argc && status == STATUS_OK; i++) {
        const char *word = scan->argv[i];
        if (i == scan->group_at || i == scan->command_at)
            continue;
        if (!flags_ended && strcmp(word, "--") == 0)
            flags_ended = true;
        else if (!flags_ended && is_help(word))
            arguments->wants_help = true;
        else if (!flags_ended && is_flag(word))
            status = take_flag(scan, &i, arguments, err);
        else
            arguments->operands[arguments->operand_count++] = word;
    }
    return status;
}

static enum status check_operands(const struct scan *scan, const struct arguments *arguments, struct error *err)
{
    const struct command *command = scan->command;
    const char *group = command->group != NULL ? command->group : "";
    const char *space = *group ? " " : "";
    if (arguments->operand_count > command->operands_max)
        return error_set(err, STATUS_INVALID, "what is \"%s\"? usage: %s %s%s%s%s%s",
                         arguments->operands[command->operands_max], scan->set->program, group, space, command->name,
                         *command->operands ? " " : "", command->operands);
    if (arguments->operand_count < command->operands_min)
        return error_set(err, STATUS_INVALID, "%s%s%s needs %s: %s %s%s%s %s", group, space, command->name,
                         command->operands, scan->set->program, group, space, command->name, command->operands);
    return STATUS_OK;
}

/* No command: was something else asked for? */
static enum status without_command(const struct scan *scan, struct arguments *arguments, struct error *err)
{
    const char *value;
    for (int i = 1; i < scan->argc && scan->group == NULL; i++) {
        if (strcmp(scan->argv[i], "--version") == 0)
            arguments->wants_version = true;
        else if (is_flag(scan->argv[i]) && !is_help(scan->argv[i]) &&
                 flag_in(scan->set->global_flags, scan->argv[i], &value) == NULL)
            return unknown_flag(scan, scan->argv[i], err);
    }
    if (arguments->wants_version || arguments->wants_help)
        return STATUS_OK;
    if (scan->group != NULL)
        return error_set(err, STATUS_INVALID, "%s needs a command; see %s %s --help", scan->group->name,
                         scan->set->program,
                         scan->group->name);
    return error_set(err, STATUS_INVALID, "a command is missing; see %s --help", scan->set->program);
}

enum status arguments_parse(const struct command_set *set, int argc, char **argv, struct arguments *ret,
                            struct error *err)
{
    struct scan scan = {.set = set, .argc = argc, .argv = argv};
    struct arguments arguments = {.command = NULL};
    if (argc > ARGUMENTS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more than %d words", ARGUMENTS_MAX);
    if (find_command(&scan, err) != STATUS_OK)
        return err->code;
    arguments.command = scan.command;
    arguments.group = scan.group;
    arguments.wants_help = scan.wants_help;
    arguments.given = calloc((size_t)argc + 1, sizeof *arguments.given);
    arguments.operands = calloc((size_t)argc + 1, sizeof *arguments.operands);
    enum status status = arguments.given == NULL || arguments.operands == NULL
                             ? error_set(err, STATUS_NO_MEMORY, "out of memory")
                         : scan.command == NULL ? without_command(&scan, &arguments, err)
                                                : take_words(&scan, &arguments, err);
    if (status == STATUS_OK && scan.command != NULL && !arguments.wants_help)
        status = check_operands(&scan, &arguments, err);
    if (status == STATUS_OK)
        *ret = arguments;
    else
        arguments_deinit(&arguments);
    return status;
}

void arguments_deinit(struct arguments *arguments)
{
    free(arguments->given);
    free(arguments->operands);
    *arguments = (struct arguments){.command = NULL};
}

/* --- what was given --- */

static const struct given_flag *last_given(const struct arguments *arguments, const char *name)
{
    for (size_t i = arguments->given_count; i-- > 0;)
        if (strcmp(arguments->given[i].flag->name, name) == 0)
            return &arguments->given[i];
    return NULL;
}

bool arguments_has(const struct arguments *arguments, const char *name)
{
    return last_given(arguments, name) != NULL;
}

const char *arguments_text(const struct arguments *arguments, const char *name)
{
    const struct given_flag *given = last_given(arguments, name);
    return given != NULL ? given->value : NULL;
}

int64_t arguments_number(const struct arguments *arguments, const char *name, int64_t otherwise)
{
    const char *text = arguments_text(arguments, name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise; /* checked when it was read */
}

int64_t arguments_duration(const struct arguments *arguments, const char *name, int64_t otherwise_ms)
{
    const char *text = arguments_text(arguments, name);
    struct error err;
    int64_t ms = otherwise_ms;
    if (text != NULL && duration_parse(text, strlen(text), &ms, &err) != STATUS_OK)
        assert(!"checked when it was read");
    return ms;
}

bool arguments_switch(const struct arguments *arguments, const char *name, bool otherwise)
{
    const struct given_flag *given = last_given(arguments, name);
    if (given == NULL)
        return otherwise;
    return given->value == NULL || strcmp(given->value, "true") == 0;
}

const char *arguments_next(const struct arguments *arguments, const char *name, size_t *cursor)
{
    while (*cursor < arguments->given_count) {
        const struct given_flag *given = &arguments->given[(*cursor)++];
        if (strcmp(given->flag->name, name) == 0)
            return given->value;
    }
    return NULL;
}
