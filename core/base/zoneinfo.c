#include "base/zoneinfo.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/nearest.h"

enum { LIST_SIZE_MAX = 4 << 20 }; /* tzdata.zi has 112 KiB */

static const char *directory_of(const void *directory_or_null)
{
    return directory_or_null == NULL ? ZONEINFO_DIRECTORY : directory_or_null;
}

static bool is_regular_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool has_file(const char *directory, const char *name)
{
    char path[PATH_MAX];
    struct error ignored;
    return path_join(path, sizeof path, directory, name, &ignored) == STATUS_OK && is_regular_file(path);
}

/* What every installation of tzdata has some of. */
static bool has_tzdata(const char *directory)
{
    return has_file(directory, "UTC") || has_file(directory, "Etc/UTC") || has_file(directory, "tzdata.zi") ||
           has_file(directory, "zone1970.tab") || has_file(directory, "zone.tab");
}

static bool stays_inside(const char *name)
{
    return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL;
}

enum status zoneinfo_load(void *directory_or_null, const char *name, struct buffer *out, struct error *err)
{
    const char *directory = directory_of(directory_or_null);
    char path[PATH_MAX];
    struct buffer bytes;
    enum status s;
    if (!stays_inside(name))
        return error_set(err, STATUS_INVALID, "\"%s\" is not the name of a time zone", name);
    s = path_join(path, sizeof path, directory, name, err);
    if (s != STATUS_OK)
        return s;
    if (!is_regular_file(path)) {
        if (!has_tzdata(directory))
            return error_set(err, STATUS_NOT_READY, "there is no time zone data in %s: install the tzdata package",
                             directory);
        return error_set(err, STATUS_NOT_FOUND, "%s has no time zone \"%s\"", directory, name);
    }
    buffer_init(&bytes, ZONE_FILE_MAX);
    s = file_read(path, &bytes, err);
    if (s == STATUS_OK && (bytes.size < 4 || memcmp(bytes.data, "TZif", 4) != 0))
        s = error_set(err, STATUS_INVALID, "%s is not a time zone file", path);
    if (s == STATUS_OK) {
        buffer_append(out, bytes.data, bytes.size);
        if (out->failed != STATUS_OK)
            s = error_set(err, out->failed, "read time zone file %s", path);
    }
    buffer_deinit(&bytes);
    return s;
}

struct search {
    const char *name;
    size_t name_size, best;
    char *out;
    size_t out_size;
};

static void consider(struct search *search, const char *candidate, size_t size)
{
    const char *slash = memrchr(candidate, '/', size);
    size_t distance = edit_distance(search->name, search->name_size, candidate, size);
    if (slash != NULL) { /* the city alone */
        size_t city = edit_distance(search->name, search->name_size, slash + 1,
                                    (size_t)(candidate + size - slash - 1));
        distance = city < distance ? city : distance;
    }
    if (distance >= search->best || size >= search->out_size)
        return;
    search->best = distance;
    memcpy(search->out, candidate, size);
    search->out[size] = '\0';
}

/* The `index`-th field of a line. */
static const char *line_field(const char *line, size_t size, size_t index, const char *separators, size_t *ret_size)
{
    const char *end = line + size;
    for (;;) {
        const char *start = line;
        while (line < end && strchr(separators, *line) == NULL)
            line++;
        if (index-- == 0) {
            *ret_size = (size_t)(line - start);
            return start;
        }
        if (line == end)
            return NULL;
        line++;
    }
}

/* tzdata.zi: "Z <name> ..." and "L <target> <name>"; the .tab files: country, coordinates, name. */
static void consider_line(struct search *search, const char *line, size_t size, bool is_tab)
{
    size_t field_size = 0, index = 2;
    const char *field;
    if (size < 2 || line[0] == '#')
        return;
    if (!is_tab) {
        if ((line[0] != 'Z' && line[0] != 'L') || line[1] != ' ')
            return;
        index = line[0] == 'Z' ? 1 : 2;
    }
    field = line_field(line, size, index, is_tab ? "\t" : " ", &field_size);
    if (field != NULL && field_size > 0)
        consider(search, field, field_size);
}

static bool search_list(struct search *search, const char *directory, const char *file)
{
    char path[PATH_MAX];
    struct buffer list;
    struct error ignored;
    size_t at = 0;
    bool found = false;
    buffer_init(&list, LIST_SIZE_MAX);
    if (path_join(path, sizeof path, directory, file, &ignored) == STATUS_OK && is_regular_file(path) &&
        file_read(path, &list, &ignored) == STATUS_OK)
        found = list.size > 0;
    while (found && at < list.size) {
        const char *line = list.data + at, *newline = memchr(line, '\n', list.size - at);
        size_t size = newline == NULL ? list.size - at : (size_t)(newline - line);
        consider_line(search, line, size, strcmp(file, "tzdata.zi") != 0);
        at += size + 1;
    }
    buffer_deinit(&list);
    return found;
}

void zoneinfo_nearest(void *directory_or_null, const char *name, char *out, size_t out_size)
{
    const char *directory = directory_of(directory_or_null);
    size_t size = strnlen(name, NEAREST_WORD_MAX);
    /* A third of the letters wrong is another word. */
    struct search search = {.name = name, .name_size = size, .best = size / 3 + 1, .out = out, .out_size = out_size};
    if (out_size == 0)
        return;
    out[0] = '\0';
    if (!search_list(&search, directory, "tzdata.zi") && !search_list(&search, directory, "zone1970.tab"))
        (void)search_list(&search, directory, "zone.tab"); /* without a list there is no hint */
}
