/* Cases for every kind of plugin: the file, the entry, the descriptor, host tables of other sizes, what destroy
 * leaves. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"
#include "elf_file.h"

static void check_file(struct kit *kit)
{
    struct elf_file file;
    const char *wrong = elf_file_read(kit->so_path, CHRONOS_PLUGIN_ENTRY, &file);

    KIT_EXPECT(kit, wrong == NULL, "%s: %s", kit->so_path, wrong);
    KIT_EXPECT(kit, file.other_export[0] == '\0', "exports %zu symbols, for one \"%s\": only %s may be visible",
               file.export_count, file.other_export, CHRONOS_PLUGIN_ENTRY);
    KIT_EXPECT(kit, file.export_count == 1, "exports %zu symbols, not 1", file.export_count);
    KIT_EXPECT(kit, !file.has_rpath, "has an RPATH or RUNPATH: libraries would be searched where it was built");
    KIT_EXPECT(kit, !file.has_text_relocations, "has text relocations: compile it with -fPIC");
    KIT_EXPECT(kit, !file.has_executable_stack, "wants an executable stack: link it with -z noexecstack");
}

static void *call_entry(void *argument)
{
    const struct chronos_plugin *(*entry)(void) = *(const struct chronos_plugin *(**)(void))argument;
    const struct chronos_plugin *found = NULL;

    for (int i = 0; i < 10000; i++) {
        const struct chronos_plugin *plugin = entry();

        if (found != NULL && plugin != found) {
            return NULL;
        }
        found = plugin;
    }
    return (void *)(uintptr_t)found;
}

static void check_entry_is_pure(struct kit *kit)
{
    const struct chronos_plugin before = *kit->plugin;
    const struct chronos_plugin *(*entry)(void);
    void *symbol = dlsym(kit->library, CHRONOS_PLUGIN_ENTRY);
    pthread_t threads[4];
    int64_t start = monotonic_ms();

    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no cast from object to function pointer */
    for (int i = 0; i < 4; i++) {
        KIT_EXPECT(kit, pthread_create(&threads[i], NULL, call_entry, &entry) == 0, "cannot start a thread");
    }
    for (int i = 0; i < 4; i++) {
        void *result = NULL;

        KIT_EXPECT(kit, pthread_join(threads[i], &result) == 0, "cannot join a thread");
        KIT_EXPECT(kit, result == kit->plugin, "the entry function does not always return the same descriptor");
    }
    KIT_EXPECT(kit, memcmp(&before, kit->plugin, sizeof(before)) == 0, "the descriptor changes between calls");
    KIT_EXPECT(kit, monotonic_ms() - start < 1000, "40,000 calls of the entry took %lld ms: it does work",
               (long long)(monotonic_ms() - start));
}

static bool is_name(const char *text)
{
    size_t size = text != NULL ? strlen(text) : 0;

    return size >= 1 && size <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == size;
}

static void check_option(struct kit *kit, const struct chronos_component *component, uint32_t index)
{
    const struct chronos_option *option =
        (const void *)((const char *)component->options + (size_t)index * component->option_stride);
    size_t size = option->name != NULL ? strlen(option->name) : 0;

    KIT_EXPECT(kit, size > 0 && strspn(option->name, "abcdefghijklmnopqrstuvwxyz0123456789_.") == size,
               "component \"%s\", option %u: its name is not of [a-z0-9_.]", component->id, index);
    KIT_EXPECT(kit, option->type >= CHRONOS_OPTION_STRING && option->type <= CHRONOS_OPTION_JSON,
               "option \"%s\": unknown type %d", option->name, option->type);
    KIT_EXPECT(kit, option->help != NULL && option->help[0] != '\0', "option \"%s\" has no help", option->name);
    KIT_EXPECT(kit, option->type != CHRONOS_OPTION_ENUM || option->limits != NULL,
               "option \"%s\": an ENUM needs its values",
               option->name);
    KIT_EXPECT(kit, (option->flags & CHRONOS_OPTION_REQUIRED) == 0 || option->def == NULL,
               "option \"%s\" is required and has a default", option->name);
}

static void check_component(struct kit *kit, const struct chronos_component *component)
{
    KIT_EXPECT(kit, component->struct_size >= sizeof(*component), "component of %u bytes is too short",
               component->struct_size);
    KIT_EXPECT(kit, is_name(component->id), "a component's id is not of [a-z0-9_-]{1,63}");
    KIT_EXPECT(kit, component->kind == CHRONOS_KIND_STORAGE || component->kind == CHRONOS_KIND_EXECUTOR,
               "component \"%s\": unknown kind %d", component->id, component->kind);
    KIT_EXPECT(kit, component->summary != NULL && component->summary[0] != '\0', "component \"%s\" has no summary",
               component->id);
    KIT_EXPECT(kit, component->ops != NULL && component->create != NULL && component->destroy != NULL,
               "component \"%s\" lacks ops, create or destroy", component->id);
    KIT_EXPECT(kit, component->n_options == 0 || (component->options != NULL &&
                                                  component->option_stride >= sizeof(struct chronos_option)),
               "component \"%s\": its options have no elements or too short ones", component->id);
    for (uint32_t i = 0; i < component->n_options; i++) {
        check_option(kit, component, i);
    }
}

static void check_storage_slots(struct kit *kit, const struct chronos_storage_ops *ops)
{
    KIT_EXPECT(kit, ops->struct_size >= sizeof(*ops), "storage ops of %u bytes are too short", ops->struct_size);
    KIT_EXPECT(kit, ops->open != NULL && ops->limits != NULL && ops->table != NULL && ops->begin != NULL &&
                        ops->commit != NULL && ops->abort != NULL && ops->get != NULL && ops->put != NULL &&
                        ops->del != NULL && ops->cursor_open != NULL && ops->cursor_close != NULL &&
                        ops->cursor_move != NULL && ops->stat != NULL && ops->sync != NULL && ops->close != NULL,
               "a mandatory storage function is NULL");
}

static void check_descriptor(struct kit *kit)
{
    const struct chronos_plugin *plugin = kit->plugin;

    KIT_EXPECT(kit, plugin->reserved0 == 0, "reserved0 is not zero");
    KIT_EXPECT(kit, plugin->host_minor_min <= CHRONOS_ABI_MINOR, "needs ABI minor %u; this kit has %d",
               plugin->host_minor_min, CHRONOS_ABI_MINOR);
    KIT_EXPECT(kit, is_name(plugin->name), "the plugin's name is not of [a-z0-9_-]{1,63}");
    KIT_EXPECT(kit, plugin->version != NULL && plugin->vendor != NULL && plugin->build_info != NULL,
               "version, vendor or build_info is NULL");
    for (size_t i = 0; plugin->components[i] != NULL; i++) {
        check_component(kit, plugin->components[i]);
        for (size_t j = 0; j < i; j++) {
            KIT_EXPECT(kit, strcmp(plugin->components[i]->id, plugin->components[j]->id) != 0,
                       "two components have the id \"%s\"", plugin->components[i]->id);
        }
    }
    if (kit->component->kind == CHRONOS_KIND_STORAGE) {
        check_storage_slots(kit, kit->component->ops);
    }
    kit_note(kit, "%s %s, component \"%s\", %s", plugin->name, plugin->version, kit->component->id, plugin->build_info);
}

/* A short life of an instance: what follows the kind's create. */
static void live(struct driver *driver, const char *dir)
{
    struct chronos_bytes value;
    struct chronos_txn *txn;
    uint32_t table;

    driver_must(driver, driver_try_open(driver, CHRONOS_STORAGE_STATE, dir, 2), "open");
    table = driver_table(driver, "life", 0);
    txn = driver_begin(driver, CHRONOS_TXN_WRITE);
    driver_put(driver, txn, table, TEXT("key"), TEXT("value"));
    driver_commit(driver, txn);
    txn = driver_begin(driver, CHRONOS_TXN_READ);
    KIT_EXPECT(driver->kit, driver_get(driver, txn, table, TEXT("key"), &value) && bytes_equal(&value, TEXT("value")),
               "the row just committed is not there");
    driver->ops->abort(txn);
    driver_must(driver, driver->ops->sync(driver->self, &driver->error), "sync");
    driver->ops->close(driver->self);
}

static void need_storage(struct kit *kit)
{
    if (kit->component->kind != CHRONOS_KIND_STORAGE) {
        kit_skip(kit, "component \"%s\" is of another kind", kit->component->id);
    }
}

static void live_with(struct kit *kit, const struct chronos_host *host, const char *name)
{
    struct driver driver;

    driver_create(&driver, kit, host);
    live(&driver, kit_directory(kit, name));
    kit->component->destroy(driver.self);
}

/* A page that can be read and written, followed by one that cannot be touched. */
static unsigned char *guarded_page(struct kit *kit)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    KIT_EXPECT(kit, memory != MAP_FAILED, "cannot map memory: %s", strerror(errno));
    KIT_EXPECT(kit, mprotect(memory + page, page, PROT_NONE) == 0, "cannot protect memory: %s", strerror(errno));
    return memory + page;
}

/* The host table as ABI 1.0 knew it, its end against the unreadable page: who reads a later member without CHRONOS_HAS
 * dies here. */
static void check_old_host(struct kit *kit)
{
    enum { SIZE_1_0 = offsetof(struct chronos_host_ops, get_extension) + sizeof(void *) };
    unsigned char *end = guarded_page(kit);
    struct chronos_host_ops *ops = (void *)(end - SIZE_1_0);
    struct kit_host *host = &kit->host;

    need_storage(kit);
    memcpy(ops, &host->ops, SIZE_1_0);
    ops->struct_size = SIZE_1_0;
    ops->abi_minor = 0;
    host->table.ops = ops;
    live_with(kit, &host->table, "old-host");
}

/* The table of a later host: longer, with members whose meaning nobody here can know. */
static void check_new_host(struct kit *kit)
{
    struct {
        struct chronos_host_ops ops;
        unsigned char poison[512];
    } later;

    need_storage(kit);
    later.ops = kit->host.ops;
    later.ops.struct_size = sizeof(later);
    later.ops.abi_minor = CHRONOS_ABI_MINOR + 7;
    memset(later.poison, 0xA5, sizeof(later.poison));
    kit->host.table.ops = &later.ops;
    live_with(kit, &kit->host.table, "new-host");
}

static void check_unknown_extension(struct kit *kit)
{
    struct driver driver;
    const struct chronos_component *component = kit->component;

    if (component->get_extension == NULL) {
        kit_note(kit, "no get_extension: no extensions");
        return;
    }
    need_storage(kit);
    driver_create(&driver, kit, &kit->host.table);
    KIT_EXPECT(kit, component->get_extension(driver.self, "org.example.never-heard-of/1") == NULL,
               "an unknown extension id gets a table");
    KIT_EXPECT(kit, component->get_extension(driver.self, "") == NULL, "an empty extension id gets a table");
    component->destroy(driver.self);
}

/* The host's allocator fails at its 1st, 2nd, 3rd call...: an error is right, a crash or a leak is not. */
static void check_failing_alloc(struct kit *kit)
{
    enum { MOST = 200 };
    uint64_t fail_at = 1;
    uint64_t calls;

    need_storage(kit);
    do {
        struct kit_host host;
        struct chronos_error error = {.struct_size = sizeof(error)};
        void *self = NULL;

        kit_host_init(kit, &host);
        host.alloc_fail_at = fail_at;
        if (kit->component->create(&host.table, &self, &error) == CHRONOS_OK) {
            kit->component->destroy(self);
        }
        KIT_EXPECT(kit, host.alloc_balance == 0, "%lld allocations of the host were not released",
                   (long long)host.alloc_balance);
        calls = host.alloc_calls;
        fail_at++;
    } while (calls + 1 >= fail_at && fail_at < MOST);
    kit_note(kit, calls == 0 ? "the plugin does not use the host's allocator" : "failed each call once");
}

struct surroundings {
    size_t descriptors;
    size_t threads;
    size_t heap;
    mode_t mask;
    char directory[KIT_PATH_SIZE];
    char locale[128];
    sigset_t signals;
    void (*handlers[NSIG])(int);
};

static size_t count_entries(struct kit *kit, const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    KIT_EXPECT(kit, dir != NULL, "cannot read %s: %s", path, strerror(errno));
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir); /* only read */
    return count;
}

/* The kernel lists a thread for a moment after pthread_join has returned. */
static size_t count_threads_down_to(struct kit *kit, size_t expected)
{
    enum { LOOKS = 400 };
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    size_t count = count_entries(kit, "/proc/self/task");

    for (int i = 0; i < LOOKS && count > expected; i++) {
        (void)nanosleep(&pause, NULL); /* a signal only looks earlier */
        count = count_entries(kit, "/proc/self/task");
    }
    return count;
}

static void look_around(struct kit *kit, struct surroundings *found)
{
    memset(found, 0, sizeof(*found));
    found->descriptors = count_entries(kit, "/proc/self/fd");
    found->threads = count_entries(kit, "/proc/self/task");
    found->heap = mallinfo2().uordblks;
    found->mask = umask(0);
    (void)umask(found->mask); /* as it was */
    KIT_EXPECT(kit, getcwd(found->directory, sizeof(found->directory)) != NULL, "no current directory");
    (void)snprintf(found->locale, sizeof(found->locale), "%s", setlocale(LC_ALL, NULL)); /* cut, to compare */
    (void)pthread_sigmask(SIG_SETMASK, NULL, &found->signals);                         /* reading cannot fail */
    for (int i = 1; i < NSIG; i++) {
        struct sigaction action = {.sa_handler = SIG_DFL};

        (void)sigaction(i, NULL, &action); /* some numbers are not ours to ask */
        found->handlers[i] = action.sa_handler;
    }
}

static void compare_surroundings(struct kit *kit, const struct surroundings *before, const struct surroundings *after)
{
    KIT_EXPECT(kit, after->descriptors == before->descriptors, "%zu file descriptors before, %zu after destroy",
               before->descriptors, after->descriptors);
    size_t threads = count_threads_down_to(kit, before->threads);

    KIT_EXPECT(kit, threads <= before->threads, "%zu threads before, %zu after destroy", before->threads, threads);
    KIT_EXPECT(kit, after->mask == before->mask, "the umask was changed");
    KIT_EXPECT(kit, strcmp(after->directory, before->directory) == 0, "the current directory was changed");
    KIT_EXPECT(kit, strcmp(after->locale, before->locale) == 0, "the locale was changed");
    KIT_EXPECT(kit, memcmp(&after->signals, &before->signals, sizeof(after->signals)) == 0,
               "the signal mask was changed");
    for (int i = 1; i < NSIG; i++) {
        KIT_EXPECT(kit, after->handlers[i] == before->handlers[i], "the handler of signal %d was changed", i);
    }
    KIT_EXPECT(kit, waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child process was left behind");
}

static void check_leaks(struct kit *kit)
{
    enum { ROUNDS = 8, HEAP_TOLERANCE = 16 * 1024 };
    struct surroundings before;
    struct surroundings after;

    need_storage(kit);
    live_with(kit, &kit->host.table, "leaks"); /* what is made once, such as a library's tables, may stay */
    look_around(kit, &before);
    for (int i = 0; i < ROUNDS; i++) {
        live_with(kit, &kit->host.table, "leaks");
    }
    look_around(kit, &after);
    compare_surroundings(kit, &before, &after);
    KIT_EXPECT(kit, after.heap <= before.heap + HEAP_TOLERANCE, "%zu bytes of heap were lost in %d rounds",
               after.heap - before.heap, ROUNDS);
}

/* An executed program must not inherit the plugin's files. */
static void check_descriptors_close_on_exec(struct kit *kit)
{
    struct driver driver;
    bool before[1024];

    need_storage(kit);
    for (int fd = 0; fd < 1024; fd++) {
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    driver_create(&driver, kit, &kit->host.table);
    driver_must(&driver, driver_try_open(&driver, CHRONOS_STORAGE_STATE, kit_directory(kit, "exec"), 2), "open");
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        KIT_EXPECT(kit, flags < 0 || before[fd] || (flags & FD_CLOEXEC) != 0,
                   "file descriptor %d would be inherited by every command that is run", fd);
    }
    driver_close(&driver);
}

const struct kit_case CASES_COMMON[] = {
    {"file.exports", "the file: one exported symbol, no RPATH, no text relocations, no executable stack", 0, 10,
     check_file},
    {"entry.pure", "the entry: the same descriptor for every caller, at once", 0, 10, check_entry_is_pure},
    {"descriptor.valid", "names, sizes, options, mandatory functions", 0, 10, check_descriptor},
    {"extension.unknown", "unknown extension ids get NULL", 0, 20, check_unknown_extension},
    {"host.old", "works with a host table cut to ABI 1.0, its end unreadable", 0, 20, check_old_host},
    {"host.new", "works with a longer host table, its tail poisoned", 0, 20, check_new_host},
    {"host.failing-alloc", "survives a host allocator that fails at the Nth call", 0, 60, check_failing_alloc},
    {"destroy.leaks", "no thread, descriptor, child, handler, heap left; mask, directory, locale as before", 0, 30,
     check_leaks},
    {"files.close-on-exec", "no descriptor is inherited by executed programs", 0, 20, check_descriptors_close_on_exec},
    {NULL, NULL, 0, 0, NULL},
};
