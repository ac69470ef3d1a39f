/* The command line of chronosctl: tables of commands and flags (commands.c), from which words are read and help is
 * made.
 *
 * Flags may stand anywhere. One that comes before the command's own words is taken for a global one where both exist
 * (`chronosctl --timeout 5s job create --timeout 10m`). "--" ends the flags. */
#ifndef CHRONOS_CTL_ARGUMENTS_H
#define CHRONOS_CTL_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ARGUMENTS_MAX = 65536 }; /* words of one command line */

enum flag_kind {
    FLAG_SWITCH,   /* --dry-run, --enabled=false */
    FLAG_TEXT,
    FLAG_LIST,     /* text, may be given several times */
    FLAG_NUMBER,   /* 1 and more */
    FLAG_DURATION,
};

struct flag {
    const char *name;  /* without "--"; NULL ends a table */
    char letter;       /* 0: none */
    enum flag_kind kind;
    const char *value; /* how help calls the value; NULL for a switch */
    const char *help;
};

struct invocation;

struct command {
    const char *group;    /* "job"; NULL for `version` and `help`, which stand alone */
    const char *name;
    const char *operands; /* how help shows them, and the file that stands for them; "" where there are none */
    size_t operands_min, operands_max;
    const struct flag *flags;
    int (*run)(struct invocation *invocation);
    const char *summary;
    const char *details;  /* further paragraphs of help, with examples */
};

struct group {
    const char *name;
    const char *aliases[3]; /* up to the first NULL */
    const char *summary;
};

struct command_set {
    const char *program;
    const struct group *groups;
    size_t group_count;
    const struct command *commands;
    size_t command_count;
    const struct flag *global_flags;
    const char *epilogue; /* of the program's own help */
};

struct given_flag {
    const struct flag *flag;
    const char *value; /* NULL for a switch without one */
};

struct arguments {
    const struct command *command; /* NULL: help was asked for, or the version */
    const struct group *group;     /* of the command, or the one whose help was asked for; may be NULL */
    bool wants_help, wants_version;
    struct given_flag *given;
    size_t given_count;
    const char **operands;
    size_t operand_count;
};

/* INVALID with a sentence that names the word and the nearest known one. Strings are borrowed from argv. Freed with
 * arguments_deinit, which accepts a zeroed one. */
must_use enum status arguments_parse(const struct command_set *set, int argc, char **argv, struct arguments *ret,
                                     struct error *err);
void arguments_deinit(struct arguments *arguments);

/* All of these take names of flags that the command has, or that are global ones. */
bool arguments_has(const struct arguments *arguments, const char *name);
const char *arguments_text(const struct arguments *arguments, const char *name); /* the last one given, or NULL */
int64_t arguments_number(const struct arguments *arguments, const char *name, int64_t otherwise);
int64_t arguments_duration(const struct arguments *arguments, const char *name, int64_t otherwise_ms);
bool arguments_switch(const struct arguments *arguments, const char *name, bool otherwise);
/* The values of a FLAG_LIST one after the other: *cursor begins at 0; NULL at the end. */
const char *arguments_next(const struct arguments *arguments, const char *name, size_t *cursor);

/* Help of the program, of one group, or of one command. */
struct buffer;
void help_program(const struct command_set *set, struct buffer *out);
void help_group(const struct command_set *set, const struct group *group, struct buffer *out);
void help_command(const struct command_set *set, const struct command *command, struct buffer *out);
/* What `words` name (none: the program): its help. INVALID for unknown words. */
must_use enum status help_for(const struct command_set *set, const char *const *words, size_t count, struct buffer *out,
                              struct error *err);

#endif
