#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

char *folder_new(void)
{
    char *folder = strdup("/tmp/chronos-plugin-XXXXXX");
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *walk)
{
    (void)facts;
    (void)type;
    (void)walk;
    return remove(path);
}

void folder_free(char *folder)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

char *folder_path(const char *folder, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

void fixture_copy(const char *name, const char *folder, const char *as)
{
    char from[512];
    snprintf(from, sizeof from, "%s/%s.so", ABI_FIXTURE_DIR, name);
    char *to = folder_path(folder, as);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    char block[65536];
    for (size_t size; (size = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(fwrite(block, 1, size, out), size);
    assert_int_equal(ferror(in), 0);
    fclose(in);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(to, 0755), 0);
    free(to);
}

static int64_t fake_wall(void *arg)
{
    return ((struct fake_clock *)arg)->wall_ms;
}

static uint64_t fake_monotonic(void *arg)
{
    return ((struct fake_clock *)arg)->monotonic_ns;
}

struct clock fake_clock_of(struct fake_clock *fake)
{
    return (struct clock){.wall_ms = fake_wall, .monotonic_ns = fake_monotonic, .arg = fake};
}

cJSON *json_of(const char *text)
{
    cJSON *value = NULL;
    struct error err;
    if (json_parse(text, strlen(text), &value, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    return value;
}

struct loaded loaded_new(const char *fixture)
{
    struct loaded loaded = {.folder = folder_new()};
    struct error err;
    fixture_copy(fixture, loaded.folder, "plugin.so");
    assert_int_equal(plugin_registry_new(&loaded.registry, &err), STATUS_OK);
    if (plugin_load(loaded.registry, loaded.folder, "plugin.so", NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return loaded;
}

void loaded_free(struct loaded *loaded)
{
    plugin_registry_free(loaded->registry);
    folder_free(loaded->folder);
}

void log_catch(struct caught_log *caught)
{
    caught->fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(caught->fd >= 0);
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, caught->fd);
}

const char *log_caught(struct caught_log *caught)
{
    ssize_t size = pread(caught->fd, caught->text, sizeof caught->text - 1, 0);
    assert_true(size >= 0);
    caught->text[size] = '\0';
    return caught->text;
}

void log_release(struct caught_log *caught)
{
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, STDERR_FILENO);
    close(caught->fd);
}
