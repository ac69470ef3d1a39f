/* What the file of a plugin says about itself, read without loading it. */
#ifndef CHECK_ELF_FILE_H
#define CHECK_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum { ELF_NAME_SIZE = 256 };

struct elf_file {
    size_t export_count;
    char first_export[ELF_NAME_SIZE];
    char other_export[ELF_NAME_SIZE]; /* one that is not the entry, if there is any */
    bool has_rpath;
    bool has_text_relocations;
    bool has_executable_stack;
};

/* NULL, or what is wrong with the file. */
const char *elf_file_read(const char *path, const char *entry_name, struct elf_file *ret_file);

#endif
