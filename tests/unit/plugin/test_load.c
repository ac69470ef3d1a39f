/* The loader against files and descriptors that it must refuse, each with its own sentence. */
#include "fixture.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "plugin/private.h"

struct place {
    char *folder;
    struct plugin_registry *registry;
    struct error err;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    place->folder = folder_new();
    assert_int_equal(plugin_registry_new(&place->registry, &place->err), STATUS_OK);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    plugin_registry_free(place->registry);
    folder_free(place->folder);
    free(place);
    return 0;
}

static void expect_text(const struct place *place, const char *part)
{
    if (!strstr(place->err.message, part))
        fail_msg("\"%s\" is not in: %s", part, place->err.message);
}

static void refuse_in(struct place *place, const char *directory, const char *file, const char *sha256,
                      enum status status,
                      const char *part)
{
    enum status found = plugin_load(place->registry, directory, file, sha256, &place->err);
    if (found == STATUS_OK)
        fail_msg("%s was loaded", file);
    if (found != status)
        fail_msg("%s: %s instead of %s: %s", file, status_name(found), status_name(status), place->err.message);
    expect_text(place, part);
    expect_text(place, file); /* every refusal names the file */
    assert_int_equal(plugin_component_count(place->registry), 0);
}

static void load_ok(struct place *place, const char *directory, const char *file, const char *sha256)
{
    if (plugin_load(place->registry, directory, file, sha256, &place->err) != STATUS_OK)
        fail_msg("%s", place->err.message);
}

/* -- descriptors --------------------------------------------------------------------------------------------------- */

static const struct bad_case {
    const char *fixture;
    enum status status;
    const char *part;
} bad_cases[] = {
    {"bad_magic", STATUS_INVALID, "its magic number is 0x12345678 instead of 0x43485250"},
    {"bad_byte_order", STATUS_INVALID, "another byte order"},
    {"bad_plugin_size", STATUS_INVALID, "the descriptor says struct_size 56; ABI 1.0 has 64 bytes"},
    {"bad_major", STATUS_NOT_IMPLEMENTED, "it is built for ABI 2.0, this host has ABI 1.0; the majors differ"},
    {"bad_host_minor", STATUS_NOT_IMPLEMENTED, "it needs a host of ABI 1.1 or newer, this one has ABI 1.0"},
    {"bad_reserved", STATUS_NOT_IMPLEMENTED, "its reserved field is 7 instead of 0"},
    {"bad_feature", STATUS_NOT_IMPLEMENTED, "understands 0x1 and not 0x40000000"},
    {"bad_revision", STATUS_NOT_IMPLEMENTED, "of the provisional ABI, this host has revision"},
    {"bad_final", STATUS_NOT_IMPLEMENTED,
     "it is built for the final ABI 1.0, but this host has the provisional revision"},
    {"bad_name", STATUS_INVALID, "the plugin's name \"Bad Name\" is not 1 to 63 of a-z, 0-9, _ and -"},
    {"bad_id", STATUS_INVALID, "a component's id \"../bad\" is not"},
    {"bad_kind", STATUS_INVALID, "component \"bad\": 99 is not a kind of component"},
    {"bad_kind_reserved", STATUS_NOT_IMPLEMENTED, "kind 4 (notifier) are reserved"},
    {"bad_component_size", STATUS_INVALID, "a component says struct_size 16"},
    {"bad_ops_size", STATUS_INVALID, "chronos_executor_ops says struct_size 16"},
    {"bad_ops_reserved", STATUS_NOT_IMPLEMENTED, "the reserved field of chronos_executor_ops is not 0"},
    {"bad_ops", STATUS_INVALID, "component \"bad\": its table of operations is missing"},
    {"bad_slot", STATUS_INVALID, "the mandatory function executor.start is missing"},
    {"bad_storage_slot", STATUS_INVALID, "the mandatory function storage.limits is missing"},
    {"bad_create", STATUS_INVALID, "the mandatory function create is missing"},
    {"bad_shorthand", STATUS_INVALID, "the shorthand \"Run It\" is not"},
    {"bad_duplicate", STATUS_INVALID, "it provides executor \"bad\" twice"},
    {"bad_empty", STATUS_INVALID, "it has no components"},
    {"bad_descriptor", STATUS_INVALID, "chronos_plugin_v1 returned no descriptor"},
    {"bad_entry", STATUS_INVALID, "not a Chronos v1 plugin: it does not export chronos_plugin_v1"},
    {"bad_undefined", STATUS_INVALID, "cannot be loaded: undefined symbol: function_that_nobody_has"},
    {"bad_option", STATUS_MISUSE, "option \"count\": its default does not fit: must be between 1 and 64, not 100"},
    {"bad_option_stride", STATUS_INVALID, "its option_stride is 8; ABI 1.0 has"},
};

static void test_bad_descriptors(void **state)
{
    struct place *place = *state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s.so", bad_cases[i].fixture);
        fixture_copy(bad_cases[i].fixture, place->folder, file);
        refuse_in(place, place->folder, file, NULL, bad_cases[i].status, bad_cases[i].part);
        assert_null(strstr(place->err.message, "/proc/self"));
    }
    /* After so many refusals a good one still loads, and is itself. */
    fixture_copy("good_executor", place->folder, "good.so");
    load_ok(place, place->folder, "good.so", NULL);
    assert_string_equal(plugin_find(place->registry, CHRONOS_KIND_EXECUTOR, "good")->plugin_name, "good");
}

static int32_t start_nothing(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self;
    (void)run;
    (void)err;
    return CHRONOS_UNSUPPORTED;
}

static void cancel_nothing(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    (void)self;
    (void)run_token;
    (void)reason;
    (void)grace_ms;
}

static int32_t create_nothing(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    (void)host;
    (void)self;
    (void)err;
    return CHRONOS_OK;
}

static void destroy_nothing(void *self)
{
    (void)self;
}

/* `part` NULL: it is read. */
static void read_descriptor(const struct chronos_plugin *plugin, size_t count, const char *part)
{
    struct plugin_component **components = NULL;
    size_t found = 0;
    struct error err;
    enum status status = plugin_descriptor_read(plugin, "/x.so", &components, &found, &err);
    if (part == NULL && status != STATUS_OK)
        fail_msg("%s", err.message);
    if (part != NULL && (status != STATUS_INVALID || strstr(err.message, part) == NULL))
        fail_msg("\"%s\" is not in %s: %s", part, status_name(status), err.message);
    if (status != STATUS_OK)
        return;
    assert_int_equal(found, count);
    for (size_t i = 0; i < found; i++)
        plugin_component_free(components[i]);
    free(components);
}

static void test_descriptor_limits(void **state)
{
    static char ids[PLUGIN_COMPONENTS_MAX + 1][16], text[PLUGIN_TEXT_MAX + 2], names[PLUGIN_OPTIONS_MAX + 1][16];
    static struct chronos_component items[PLUGIN_COMPONENTS_MAX + 1];
    static const struct chronos_component *pointers[PLUGIN_COMPONENTS_MAX + 2];
    static struct chronos_option options[PLUGIN_OPTIONS_MAX + 1];
    static union { /* as much memory as it says it has */
        struct chronos_executor_ops ops;
        struct chronos_plugin plugin;
        char bytes[PLUGIN_STRUCT_SIZE_MAX];
    } ops, plugin;
    (void)state;
    ops.ops = (struct chronos_executor_ops){.struct_size = sizeof ops.ops, .start = start_nothing, .cancel = cancel_nothing};
    plugin.plugin = (struct chronos_plugin){.magic = CHRONOS_PLUGIN_MAGIC, .struct_size = sizeof plugin.plugin,
                                            .abi_major = CHRONOS_ABI_MAJOR, .features = CHRONOS_FEATURES_THIS,
                                            .name = "many", .version = text, .components = pointers};
    for (int i = 0; i <= PLUGIN_COMPONENTS_MAX; i++) {
        snprintf(ids[i], sizeof ids[i], "c%d", i);
        items[i] = (struct chronos_component){.struct_size = sizeof items[i], .kind = CHRONOS_KIND_EXECUTOR, .id = ids[i],
                                              .summary = "", .ops = &ops, .create = create_nothing,
                                              .destroy = destroy_nothing};
        pointers[i] = &items[i];
    }
    read_descriptor(&plugin.plugin, 0, "it has more than 64 components");
    pointers[PLUGIN_COMPONENTS_MAX] = NULL;
    read_descriptor(&plugin.plugin, PLUGIN_COMPONENTS_MAX, NULL);
    pointers[1] = NULL; /* one is enough from here on */

    memset(text, 'v', PLUGIN_TEXT_MAX + 1);
    read_descriptor(&plugin.plugin, 0, "the plugin's version is longer than 4096 bytes");
    text[PLUGIN_TEXT_MAX] = '\0';
    read_descriptor(&plugin.plugin, 1, NULL);

    for (int i = 0; i <= PLUGIN_OPTIONS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "o%d", i);
        options[i] = (struct chronos_option){.name = names[i], .type = CHRONOS_OPTION_INT};
    }
    items[0].options = options;
    items[0].option_stride = sizeof *options;
    items[0].n_options = PLUGIN_OPTIONS_MAX + 1;
    read_descriptor(&plugin.plugin, 0, "it has 257 options; at most 256 are possible");
    items[0].n_options = PLUGIN_OPTIONS_MAX;
    read_descriptor(&plugin.plugin, 1, NULL);

    ops.ops.struct_size = PLUGIN_STRUCT_SIZE_MAX + 1;
    read_descriptor(&plugin.plugin, 0, "chronos_executor_ops says struct_size 65537");
    ops.ops.struct_size = PLUGIN_STRUCT_SIZE_MAX; /* a plugin of a far future */
    plugin.plugin.struct_size = PLUGIN_STRUCT_SIZE_MAX;
    read_descriptor(&plugin.plugin, 1, NULL);
    items[0].n_options = 1;
    items[0].option_stride = PLUGIN_STRUCT_SIZE_MAX + 8;
    read_descriptor(&plugin.plugin, 0, "its option_stride is 65544");
    items[0].option_stride = PLUGIN_STRUCT_SIZE_MAX;
    read_descriptor(&plugin.plugin, 1, NULL);
}

static void test_good_component(void **state)
{
    struct place *place = *state;
    fixture_copy("executor_noop", place->folder, "noop.so");
    load_ok(place, place->folder, "noop.so", NULL);
    assert_int_equal(plugin_component_count(place->registry), 1);
    const struct plugin_component *noop = plugin_find(place->registry, CHRONOS_KIND_EXECUTOR, "noop");
    assert_non_null(noop);
    assert_ptr_equal(noop, plugin_component_at(place->registry, 0));
    assert_null(plugin_component_at(place->registry, 1));
    assert_null(plugin_find(place->registry, CHRONOS_KIND_STORAGE, "noop"));
    assert_null(plugin_find(place->registry, CHRONOS_KIND_EXECUTOR, "none"));
    assert_null(plugin_find_shorthand(place->registry, "noop"));
    assert_string_equal(noop->plugin_name, "executor_noop");
    assert_string_equal(noop->plugin_version, "1");
    assert_string_equal(noop->summary, "Runs nothing");
    assert_non_null(strstr(noop->path, "/noop.so"));
    assert_null(noop->ops.executor.validate); /* absent slots are NULL */
    assert_null(noop->ops.executor.drain);
    assert_non_null(noop->ops.executor.start);
    assert_null(noop->get_extension);
}

static void test_taken_names(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    fixture_copy("bad_id_taken", place->folder, "id.so");
    fixture_copy("bad_shorthand_taken", place->folder, "shorthand.so");
    load_ok(place, place->folder, "good.so", NULL);
    assert_string_equal(plugin_find_shorthand(place->registry, "good_thing")->id, "good");
    assert_int_equal(plugin_load(place->registry, place->folder, "id.so", NULL, &place->err), STATUS_EXISTS);
    expect_text(place, "executor \"good\" is already provided by plugin \"good\"");
    assert_int_equal(plugin_load(place->registry, place->folder, "shorthand.so", NULL, &place->err), STATUS_EXISTS);
    expect_text(place, "the job key \"good_thing\" already selects executor \"good\"");
    assert_int_equal(plugin_component_count(place->registry), 1);
}

static void test_loaded_twice(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    load_ok(place, place->folder, "good.so", NULL);
    assert_int_equal(plugin_load(place->registry, place->folder, "good.so", NULL, &place->err), STATUS_EXISTS);
    expect_text(place, "loaded already");
    /* The same file under a second name is the same file. */
    char *from = folder_path(place->folder, "good.so"), *to = folder_path(place->folder, "link.so");
    assert_int_equal(link(from, to), 0);
    assert_int_equal(plugin_load(place->registry, place->folder, "link.so", NULL, &place->err), STATUS_EXISTS);
    free(from);
    free(to);
}

/* A file loaded by one registry can be loaded by a later one: the code is still there. */
static void test_second_registry(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    load_ok(place, place->folder, "good.so", NULL);
    struct plugin_registry *second;
    assert_int_equal(plugin_registry_new(&second, &place->err), STATUS_OK);
    assert_int_equal(plugin_load(second, place->folder, "good.so", NULL, &place->err), STATUS_OK);
    assert_int_equal(plugin_component_count(second), 1);
    plugin_registry_free(second);
}

/* Were descriptors closed, the number would come again and the linker would return the first library for the second
 * file. */
static void test_descriptors_stay_open(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    fixture_copy("executor_noop", place->folder, "noop.so");
    load_ok(place, place->folder, "good.so", NULL);
    plugin_registry_free(place->registry);
    assert_int_equal(plugin_registry_new(&place->registry, &place->err), STATUS_OK);
    load_ok(place, place->folder, "noop.so", NULL);
    assert_non_null(plugin_find(place->registry, CHRONOS_KIND_EXECUTOR, "noop"));
    assert_null(plugin_find(place->registry, CHRONOS_KIND_EXECUTOR, "good"));
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static void test_refusals_leak_no_descriptor(void **state)
{
    struct place *place = *state;
    char *text = folder_path(place->folder, "text.so");
    FILE *out = fopen(text, "w");
    assert_non_null(out);
    fputs("#!/bin/sh\n", out);
    fclose(out);
    assert_int_equal(chmod(text, 0644), 0);
    fixture_copy("bad_undefined", place->folder, "undefined.so");
    int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        refuse_in(place, place->folder, "text.so", NULL, STATUS_INVALID, "cannot be loaded");
        refuse_in(place, place->folder, "missing.so", NULL, STATUS_NOT_FOUND, "cannot open");
        refuse_in(place, place->folder, "undefined.so", NULL, STATUS_INVALID, "undefined symbol");
    }
    assert_int_equal(open_descriptors(), before);
    free(text);
}

/* -- files --------------------------------------------------------------------------------------------------------- */

static void test_bad_files(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    char *good = folder_path(place->folder, "good.so"), *short_elf = folder_path(place->folder, "short.so");
    char *pipe = folder_path(place->folder, "pipe.so"), *directory = folder_path(place->folder, "directory.so");
    char *empty = folder_path(place->folder, "empty.so");
    refuse_in(place, place->folder, "missing.so", NULL, STATUS_NOT_FOUND, "missing.so\": No such file or directory");
    assert_int_equal(mkdir(directory, 0755), 0);
    refuse_in(place, place->folder, "directory.so", NULL, STATUS_INVALID, "is a directory, not a regular file");
    assert_int_equal(mkfifo(pipe, 0644), 0); /* must neither block nor load */
    refuse_in(place, place->folder, "pipe.so", NULL, STATUS_INVALID, "is a special file, not a regular file");
    int fd = creat(empty, 0644);
    assert_true(fd >= 0);
    close(fd);
    refuse_in(place, place->folder, "empty.so", NULL, STATUS_INVALID, "cannot be loaded: file too short");
    fixture_copy("good_executor", place->folder, "short.so");
    assert_int_equal(truncate(short_elf, 100), 0);
    refuse_in(place, place->folder, "short.so", NULL, STATUS_INVALID, "cannot be loaded");
    char *below = folder_path(good, "x.so");
    refuse_in(place, NULL, below, NULL, STATUS_INVALID, "good.so\" is not a directory");
    free(below);
    free(good);
    free(short_elf);
    free(pipe);
    free(directory);
    free(empty);
}

static void test_writable_file(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    char *good = folder_path(place->folder, "good.so");
    char mend[256];
    snprintf(mend, sizeof mend, "chmod go-w %s", good);
    assert_int_equal(chmod(good, 0757), 0);
    refuse_in(place, place->folder, "good.so", NULL, STATUS_FORBIDDEN, "(mode 0757)");
    expect_text(place, mend);
    assert_int_equal(chmod(good, 0775), 0);
    refuse_in(place, NULL, good, NULL, STATUS_FORBIDDEN, "(mode 0775)");
    assert_int_equal(chmod(good, 0600), 0); /* no execute bit is needed to be mapped */
    load_ok(place, NULL, good, NULL);
    free(good);
}

static void test_writable_parent(void **state)
{
    struct place *place = *state;
    char *open_folder = folder_path(place->folder, "open"), *inner = folder_path(place->folder, "open/inner");
    assert_int_equal(mkdir(open_folder, 0755), 0);
    assert_int_equal(mkdir(inner, 0755), 0);
    fixture_copy("good_executor", inner, "good.so");
    char *good = folder_path(inner, "good.so");
    char mend[256];
    snprintf(mend, sizeof mend, "chmod go-w %s", open_folder);
    assert_int_equal(chmod(open_folder, 0777), 0);
    refuse_in(place, inner, "good.so", NULL, STATUS_FORBIDDEN, mend);
    assert_non_null(strstr(place->err.message, "/open\" can be written"));
    assert_int_equal(chmod(open_folder, 0775), 0);
    refuse_in(place, NULL, good, NULL, STATUS_FORBIDDEN, mend);
    assert_int_equal(chmod(open_folder, 01777), 0); /* sticky counts only where root owns it */
    if (geteuid() == 0)
        load_ok(place, NULL, good, NULL);
    else
        refuse_in(place, NULL, good, NULL, STATUS_FORBIDDEN, mend);
    free(open_folder);
    free(inner);
    free(good);
}

static void test_foreign_owner(void **state)
{
    struct place *place = *state;
    if (geteuid() != 0)
        skip(); /* only root can give files away */
    fixture_copy("good_executor", place->folder, "good.so");
    char *good = folder_path(place->folder, "good.so");
    assert_int_equal(chown(good, 12345, (gid_t)-1), 0);
    refuse_in(place, place->folder, "good.so", NULL, STATUS_FORBIDDEN, "is owned by user 12345");
    expect_text(place, "chown root");
    assert_int_equal(chown(good, 0, (gid_t)-1), 0);
    assert_int_equal(chown(place->folder, 12345, (gid_t)-1), 0);
    refuse_in(place, place->folder, "good.so", NULL, STATUS_FORBIDDEN, "is owned by user 12345");
    assert_int_equal(chown(place->folder, 0, (gid_t)-1), 0);
    free(good);
}

static void test_links(void **state)
{
    struct place *place = *state;
    char *real = folder_path(place->folder, "real"), *alias = folder_path(place->folder, "alias");
    assert_int_equal(mkdir(real, 0755), 0);
    fixture_copy("good_executor", real, "good.so");
    char *link_file = folder_path(real, "link.so");
    assert_int_equal(symlink("good.so", link_file), 0);
    refuse_in(place, real, "link.so", NULL, STATUS_FORBIDDEN, "/real/link.so\" is a symbolic link");
    assert_int_equal(symlink("real", alias), 0);
    char *through = folder_path(alias, "good.so");
    refuse_in(place, NULL, through, NULL, STATUS_FORBIDDEN, "/alias\" is a symbolic link");
    /* An absolute folder is the administrator's word, too; one with ".." is the host's own and is resolved. */
    refuse_in(place, alias, "good.so", NULL, STATUS_FORBIDDEN, "/alias\" is a symbolic link");
    char *installed = folder_path(place->folder, "real/../alias");
    load_ok(place, installed, "good.so", NULL);
    assert_non_null(strstr(plugin_component_at(place->registry, 0)->path, "/real/good.so"));
    free(real);
    free(alias);
    free(link_file);
    free(through);
    free(installed);
}

static void test_relative_directory(void **state)
{
    struct place *place = *state;
    char before[4096];
    fixture_copy("good_executor", place->folder, "good.so");
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(place->folder), 0);
    refuse_in(place, "./missing", "good.so", NULL, STATUS_NOT_FOUND,
              "cannot resolve the plugin directory \"./missing\"");
    load_ok(place, ".", "good.so", NULL);
    assert_int_equal(chdir(before), 0);
}

static void test_bad_names(void **state)
{
    struct place *place = *state;
    refuse_in(place, place->folder, "a/good.so", NULL, STATUS_INVALID, "is neither an absolute path nor the bare name");
    refuse_in(place, place->folder, "", NULL, STATUS_INVALID, "is neither an absolute path");
    refuse_in(place, place->folder, "..", NULL, STATUS_INVALID, "is neither an absolute path");
    refuse_in(place, place->folder, "/tmp/../tmp/good.so", NULL, STATUS_INVALID, "a path with \"..\" is not accepted");
    refuse_in(place, place->folder, "/", NULL, STATUS_INVALID, "is not a regular file");
    refuse_in(place, NULL, "good.so", NULL, STATUS_INVALID, "no plugin directory is configured");
    char *long_name = malloc(8192);
    assert_non_null(long_name);
    memset(long_name, 'a', 8191);
    long_name[8191] = '\0';
    long_name[0] = '/';
    assert_int_equal(plugin_load(place->registry, NULL, long_name, NULL, &place->err), STATUS_TOO_LARGE);
    assert_int_equal(plugin_load(place->registry, place->folder, long_name + 1, NULL, &place->err), STATUS_TOO_LARGE);
    long_name[300] = '\0'; /* longer than any file name */
    assert_int_equal(plugin_load(place->registry, NULL, long_name, NULL, &place->err), STATUS_IO);
    free(long_name);
}

/* -- pins ---------------------------------------------------------------------------------------------------------- */

static void digest_of(const char *path, char out[65])
{
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestInit_ex(context, EVP_sha256(), NULL), 1);
    unsigned char block[4096], digest[32];
    for (size_t size; (size = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(EVP_DigestUpdate(context, block, size), 1);
    assert_int_equal(EVP_DigestFinal_ex(context, digest, NULL), 1);
    EVP_MD_CTX_free(context);
    fclose(in);
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02X", digest[i]);
}

static void test_pin(void **state)
{
    struct place *place = *state;
    fixture_copy("good_executor", place->folder, "good.so");
    char *good = folder_path(place->folder, "good.so");
    char right[65], wrong[65];
    digest_of(good, right);
    strcpy(wrong, right);
    wrong[63] = wrong[63] == '0' ? '1' : '0';
    refuse_in(place, place->folder, "good.so", wrong, STATUS_FORBIDDEN, "but the configuration pins");
    refuse_in(place, place->folder, "good.so", "abc", STATUS_INVALID, "\"abc\" is not 64 hexadecimal digits");
    wrong[10] = 'g';
    refuse_in(place, place->folder, "good.so", wrong, STATUS_INVALID, "is not 64 hexadecimal digits");
    load_ok(place, place->folder, "good.so", right);
    free(good);
}

/* -- status -------------------------------------------------------------------------------------------------------- */

static void test_status(void **state)
{
    (void)state;
    struct error err = {.message = "untouched"};
    struct chronos_error from = {.struct_size = sizeof from, .sys_errno = 28, .msg = "disk\nfull \xff!"};
    assert_int_equal(plugin_status(CHRONOS_OK, &from, &err), STATUS_OK);
    assert_string_equal(err.message, "untouched");
    assert_int_equal(plugin_status(CHRONOS_NOSPACE, &from, &err), STATUS_NO_SPACE);
    assert_int_equal(err.code, STATUS_NO_SPACE);
    assert_int_equal(err.sys_errno, 28);
    assert_string_equal(err.message, "disk full \xef\xbf\xbd!");
    assert_int_equal(plugin_status(-999, &from, &err), STATUS_INTERNAL);
    assert_int_equal(plugin_status(7, &from, &err), STATUS_INTERNAL); /* success has one number */
    assert_int_equal(plugin_status(CHRONOS_DENIED, NULL, &err), STATUS_FORBIDDEN);
    assert_non_null(strstr(err.message, "the plugin gave no reason"));
    memset(from.msg, 'x', sizeof from.msg); /* no NUL */
    assert_int_equal(plugin_status(CHRONOS_IO, &from, &err), STATUS_IO);
    assert_int_equal(strlen(err.message), sizeof from.msg);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_bad_descriptors),
        cmocka_unit_test(test_descriptor_limits),
        CASE(test_good_component),
        CASE(test_taken_names),
        CASE(test_loaded_twice),
        CASE(test_second_registry),
        CASE(test_descriptors_stay_open),
        CASE(test_refusals_leak_no_descriptor),
        CASE(test_bad_files),
        CASE(test_writable_file),
        CASE(test_writable_parent),
        CASE(test_foreign_owner),
        CASE(test_links),
        CASE(test_relative_directory),
        CASE(test_bad_names),
        CASE(test_pin),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
