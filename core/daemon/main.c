/* chronos: one node of the distributed cron. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon/checks.h"
#include "daemon/daemon.h"
#include "daemon/options.h"
#include "daemon/store_check.h"

enum { EXIT_USAGE = 2, EXIT_DATA = 65, EXIT_CONFIG = 78, EXIT_SECOND_CLUSTER = 79 };
enum { PATH_SIZE = 4096, HEAP_ARENAS = 2 };

extern char **environ;

/* The folder that holds this program, for ../lib/chronos/plugins. */
static const char *program_directory(void)
{
    static char path[PATH_SIZE];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0)
        return ".";
    path[size] = '\0';
    char *slash = strrchr(path, '/');
    *(slash != NULL ? slash : path) = '\0';
    return path;
}

/* A daemon may be started with its standard descriptors closed: the first files opened must not take their numbers, or log
 * lines would go into them. And a log or a client that went away must not end it. */
static void secure_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
}

static void print_problem(void *arg, const char *message)
{
    int *count = arg;
    (*count)++;
    (void)fprintf(stderr, "chronos: %s\n", message);
}

static struct config *load(const struct options *options)
{
    struct config_sources sources = {
        .file = options->config_file,
        .environment = (const char *const *)environ,
        .overrides = options->overrides,
        .override_count = options->override_count,
        .program_directory = program_directory(),
    };
    struct config *config = NULL;
    struct error err = {.code = STATUS_OK};
    int count = 0;
    if (config_load(&sources, print_problem, &count, &config, &err) != STATUS_OK) {
        if (count == 0)
            print_problem(&count, err.message);
        return NULL;
    }
    return config;
}

static int validate(const struct options *options, const struct config *config)
{
    struct error err;
    int count = 0;
    if (checks_all(config, print_problem, &count, &err) != STATUS_OK) {
        if (count == 0)
            print_problem(&count, err.message);
        return EXIT_CONFIG;
    }
    (void)printf("%s: valid\n", options->config_file);
    return EXIT_SUCCESS;
}

/* A snapshot needs no configuration; a directory is read with the backend that wrote it, by the options of the configuration. */
static int check_store(struct options *options)
{
    struct error err;
    bool is_directory = false;
    char backend[STORE_CHECK_BACKEND_SIZE];
    if (store_check_look(options->path, &is_directory, backend, &err) != STATUS_OK) {
        (void)fprintf(stderr, "chronos: %s\n", err.message);
        return EXIT_FAILURE;
    }
    if (!is_directory)
        return store_check_snapshot(options->path) ? EXIT_SUCCESS : EXIT_FAILURE;
    const struct config_override overrides[] = {{"cluster.data_dir", options->path, "DIRECTORY"},
                                                {"storage.backend", backend, "DIRECTORY"}};
    memcpy(options->overrides, overrides, sizeof overrides);
    options->override_count = sizeof overrides / sizeof overrides[0];
    struct config *config = load(options);
    if (config == NULL)
        return EXIT_CONFIG;
    int code = store_check_directory(config, print_problem) ? EXIT_SUCCESS : EXIT_FAILURE;
    config_free(config);
    return code;
}

/* With an empty data directory now: it asks for admission, and neither founds a cluster nor restores one. */
static int begin_anew(char **argv)
{
    char **to = argv;
    for (char **from = argv; *from != NULL; from++) {
        bool is_dropped = strcmp(*from, "--bootstrap") == 0 || strcmp(*from, "--restore-catch-up") == 0 ||
                          strncmp(*from, "--restore-snapshot", strlen("--restore-snapshot")) == 0;
        if (is_dropped && strcmp(*from, "--restore-snapshot") == 0 && from[1] != NULL)
            from++;
        else if (!is_dropped)
            *to++ = *from;
    }
    *to = NULL;
    if (setenv("CHRONOS_CLUSTER_RAFT_BOOTSTRAP", "false", 1) == 0)
        (void)execv("/proc/self/exe", argv); /* returns only if it fails */
    (void)fprintf(stderr, "chronos: cannot start again: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

static int run(const struct options *options, const struct config *config, char **argv)
{
    struct error err;
    int count = 0;
    enum daemon_end end = DAEMON_STOPPED;
    const struct daemon_restore restore = {options->restore_file, options->restore_catch_up};
    if (daemon_run(config, &restore, print_problem, &count, &end, &err) == STATUS_OK)
        return end == DAEMON_BEGINS_ANEW ? begin_anew(argv) : end == DAEMON_IS_SECOND ? EXIT_SECOND_CLUSTER : EXIT_SUCCESS;
    if (count > 0) /* of the configuration, and said */
        return EXIT_CONFIG;
    (void)fprintf(stderr, "chronos: cannot start: %s\n", err.message);
    if (err.code == STATUS_INVALID) /* it does not fit the data, as another name of the node */
        return EXIT_CONFIG;
    bool is_data = err.code == STATUS_CORRUPT || err.code == STATUS_NOT_IMPLEMENTED; /* the latter: of a newer version */
    return is_data ? EXIT_DATA : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options options;
    struct error err;
    secure_descriptors();
    (void)mallopt(M_ARENA_MAX, HEAP_ARENAS); /* an arena a thread would multiply idle memory */
    if (options_parse(argc, argv, &options, &err) != STATUS_OK) {
        (void)fprintf(stderr, "chronos: %s\n", err.message);
        return EXIT_USAGE;
    }
    if (options.action == ACTION_HELP) {
        (void)fputs(options_help, stdout);
        return EXIT_SUCCESS;
    }
    if (options.action == ACTION_VERSION) {
        (void)printf("chronos %s\n", CHRONOS_VERSION);
        return EXIT_SUCCESS;
    }
    if (options.action == ACTION_STORE_CHECK)
        return check_store(&options);
    struct config *config = load(&options);
    if (config == NULL)
        return EXIT_CONFIG;
    int code = options.action == ACTION_CONFIG_VALIDATE ? validate(&options, config) : run(&options, config, argv);
    config_free(config);
    return code;
}
