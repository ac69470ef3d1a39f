#include "elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const unsigned char *bytes;
    size_t size;
};

/* A range of the file, or NULL where it leaves the file. */
static const void *part(const struct image *image, uint64_t offset, uint64_t size)
{
    return offset <= image->size && size <= image->size - offset ? image->bytes + offset : NULL;
}

static const Elf64_Shdr *section(const struct image *image, const Elf64_Ehdr *header, size_t index)
{
    uint64_t offset = header->e_shoff + index * sizeof(Elf64_Shdr);

    return index < header->e_shnum ? part(image, offset, sizeof(Elf64_Shdr)) : NULL;
}

static void read_segments(const struct image *image, const Elf64_Ehdr *header, struct elf_file *file)
{
    file->has_executable_stack = true; /* what the loader assumes without the header */
    for (size_t i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *segment = part(image, header->e_phoff + i * sizeof(*segment), sizeof(*segment));

        if (segment != NULL && segment->p_type == PT_GNU_STACK) {
            file->has_executable_stack = (segment->p_flags & PF_X) != 0;
        }
    }
}

static void read_dynamic(const struct image *image, const Elf64_Shdr *dynamic, struct elf_file *file)
{
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic->sh_size; at += sizeof(Elf64_Dyn)) {
        const Elf64_Dyn *entry = part(image, dynamic->sh_offset + at, sizeof(*entry));

        if (entry == NULL || entry->d_tag == DT_NULL) {
            return;
        }
        file->has_rpath |= entry->d_tag == DT_RPATH || entry->d_tag == DT_RUNPATH;
        file->has_text_relocations |=
            entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0);
    }
}

static void count_export(struct elf_file *file, const char *name, const char *entry_name)
{
    char *into = strcmp(name, entry_name) == 0 ? file->first_export : file->other_export;

    file->export_count++;
    (void)snprintf(into, ELF_NAME_SIZE, "%s", name); /* cut, for a message */
}

static const char *read_symbols(const struct image *image, const Elf64_Shdr *symbols, const Elf64_Shdr *strings,
                                const char *entry_name, struct elf_file *file)
{
    const char *names = part(image, strings->sh_offset, strings->sh_size);

    if (names == NULL || strings->sh_size == 0 || names[strings->sh_size - 1] != '\0') {
        return "its symbol names are cut off";
    }
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= symbols->sh_size; at += sizeof(Elf64_Sym)) {
        const Elf64_Sym *symbol = part(image, symbols->sh_offset + at, sizeof(*symbol));
        int binding;

        if (symbol == NULL || symbol->st_name >= strings->sh_size) {
            return "its symbol table is cut off";
        }
        binding = ELF64_ST_BIND(symbol->st_info);
        if (symbol->st_shndx != SHN_UNDEF && (binding == STB_GLOBAL || binding == STB_WEAK)) {
            count_export(file, names + symbol->st_name, entry_name);
        }
    }
    return NULL;
}

static const char *read_image(const struct image *image, const char *entry_name, struct elf_file *file)
{
    const Elf64_Ehdr *header = part(image, 0, sizeof(*header));
    const char *wrong = "it has no dynamic symbols";

    if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_type != ET_DYN) {
        return "it is not a 64-bit shared object";
    }
    if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_phentsize != sizeof(Elf64_Phdr)) {
        return "its headers have an unknown size";
    }
    read_segments(image, header, file);
    for (size_t i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *found = section(image, header, i);
        const Elf64_Shdr *strings;

        if (found == NULL) {
            return "its section table is cut off";
        }
        if (found->sh_type == SHT_DYNAMIC) {
            read_dynamic(image, found, file);
        } else if (found->sh_type == SHT_DYNSYM) {
            strings = section(image, header, found->sh_link);
            wrong = strings != NULL ? read_symbols(image, found, strings, entry_name, file) : "it has no symbol names";
        }
    }
    return wrong;
}

const char *elf_file_read(const char *path, const char *entry_name, struct elf_file *ret_file)
{
    struct image image = {0};
    struct stat info;
    const char *wrong;
    void *mapped;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *ret_file = (struct elf_file){0};
    if (fd < 0) {
        return "it cannot be opened";
    }
    if (fstat(fd, &info) != 0 || info.st_size <= 0) {
        (void)close(fd); /* only read */
        return "it is empty";
    }
    image.size = (size_t)info.st_size;
    mapped = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd); /* only read */
    if (mapped == MAP_FAILED) {
        return "it cannot be read";
    }
    image.bytes = mapped;
    wrong = read_image(&image, entry_name, ret_file);
    (void)munmap(mapped, image.size); /* the whole mapping: cannot fail */
    return wrong;
}
