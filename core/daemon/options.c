#include "daemon/options.h"

#include <string.h>

#include "base/json.h"

const char options_help[] =
    "Usage: chronos [OPTION]...\n"
    "       chronos config validate -f FILE\n"
    "       chronos store check DIRECTORY|SNAPSHOT [--config FILE]\n"
    "\n"
    "Runs a node of Chronos, the distributed cron. Without a configuration file: one node on\n"
    "127.0.0.1:8080 with its data in ./chronos-data.\n"
    "\n"
    "  --config FILE          configuration file (YAML)\n"
    "  --data-dir DIR         cluster.data_dir\n"
    "  --http-address ADDR    server.http.address, for example 127.0.0.1:8080\n"
    "  --log-level LEVEL      logging.level: debug, info, warn or error\n"
    "  --bootstrap            with an empty data directory: begin a new cluster with this node\n"
    "  --restore-snapshot FILE  begin a new cluster with what a snapshot holds; data of before is\n"
    "                         moved aside. Given again, it does nothing\n"
    "  --restore-catch-up     what came due since the snapshot is caught up on, by the jobs' policies\n"
    "  --version              print the version\n"
    "  --help                 print this\n"
    "\n"
    "Every key of the configuration can also be set in the environment: CHRONOS_SERVER_HTTP_ADDRESS\n"
    "for server.http.address. `chronos config validate` checks a file and the environment and says\n"
    "what is wrong, with line and key. `chronos store check` reads all of the data directory of a node\n"
    "that does not run, or of a snapshot file, and names what is damaged.\n"
    "\n"
    "Exit codes: 0 stopped as asked, 1 could not start, or `store check` found damage, 2 wrong usage,\n"
    "65 could not start, as the data is damaged or of a newer version, 74 the disk failed, 78 the\n"
    "configuration is not valid, 79 this would be a second cluster beside the one that the node is a\n"
    "member of.\n";

static const struct {
    const char *name, *key;
} keyed[] = {
    {"--data-dir", "cluster.data_dir"},
    {"--http-address", "server.http.address"},
    {"--log-level", "logging.level"},
};

static const char *const known_options[] = {"--config",  "--data-dir",         "--http-address",     "--log-level", "--version", "--help",
                                            "--bootstrap", "--restore-snapshot", "--restore-catch-up", NULL};

static enum status unknown(const char *argument, struct error *err)
{
    const char *near = argument[0] == '-' ? nearest_word(argument, known_options) : NULL;
    if (near != NULL)
        return error_set(err, STATUS_INVALID, "unknown option %s; did you mean %s?", argument, near);
    if (argument[0] == '-')
        return error_set(err, STATUS_INVALID, "unknown option %s; see chronos --help", argument);
    return error_set(err, STATUS_INVALID, "unknown command \"%s\"; see chronos --help", argument);
}

/* The value of `name` in "--name value" or "--name=value"; *i moves past it. NULL: it is another option. */
static const char *value_of(const char *name, int argc, char **argv, int *i, bool *ret_missing)
{
    size_t size = strlen(name);
    if (strncmp(argv[*i], name, size) != 0 || (argv[*i][size] != '\0' && argv[*i][size] != '='))
        return NULL;
    if (argv[*i][size] == '=')
        return argv[*i] + size + 1;
    if (*i + 1 == argc) {
        *ret_missing = true;
        return "";
    }
    return argv[++*i];
}

static enum status parse_validate(int argc, char **argv, struct options *options, struct error *err)
{
    if (argc < 3 || strcmp(argv[2], "validate") != 0)
        return error_set(err, STATUS_INVALID, "usage: chronos config validate -f FILE");
    options->action = ACTION_CONFIG_VALIDATE;
    for (int i = 3; i < argc; i++) {
        if ((strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--config") == 0) && i + 1 < argc)
            options->config_file = argv[++i];
        else
            return error_set(err, STATUS_INVALID, "chronos config validate: what is \"%s\"? usage: -f FILE", argv[i]);
    }
    return options->config_file != NULL ? STATUS_OK
                                        : error_set(err, STATUS_INVALID, "chronos config validate: -f FILE is missing");
}

static enum status parse_store(int argc, char **argv, struct options *options, struct error *err)
{
    static const char usage[] = "chronos store check DIRECTORY|SNAPSHOT [--config FILE]";
    if (argc < 3 || strcmp(argv[2], "check") != 0)
        return error_set(err, STATUS_INVALID, "usage: %s", usage);
    options->action = ACTION_STORE_CHECK;
    for (int i = 3; i < argc; i++) {
        bool missing = false;
        const char *config = value_of("--config", argc, argv, &i, &missing);
        if (missing)
            return error_set(err, STATUS_INVALID, "--config needs a value");
        if (config != NULL)
            options->config_file = config;
        else if (argv[i][0] != '-' && options->path == NULL)
            options->path = argv[i];
        else
            return error_set(err, STATUS_INVALID, "chronos store check: what is \"%s\"? usage: %s", argv[i], usage);
    }
    return options->path != NULL ? STATUS_OK : error_set(err, STATUS_INVALID, "usage: %s", usage);
}

static enum status parse_one(int argc, char **argv, int *i, struct options *options, struct error *err)
{
    bool missing = false;
    const char *name = argv[*i];
    const char *value = value_of("--config", argc, argv, i, &missing);
    if (value != NULL)
        options->config_file = value;
    const char *restore = value == NULL ? value_of("--restore-snapshot", argc, argv, i, &missing) : NULL;
    if (restore != NULL)
        options->restore_file = value = restore;
    for (size_t k = 0; k < sizeof keyed / sizeof keyed[0] && value == NULL; k++) {
        value = value_of(keyed[k].name, argc, argv, i, &missing);
        if (value != NULL && options->override_count < OPTION_OVERRIDES_MAX)
            options->overrides[options->override_count++] =
                (struct config_override){.key = keyed[k].key, .value = value, .source = keyed[k].name};
    }
    if (missing)
        return error_set(err, STATUS_INVALID, "%s needs a value", name);
    if (value != NULL)
        return STATUS_OK;
    if (strcmp(name, "--restore-catch-up") == 0)
        options->restore_catch_up = true;
    else if (strcmp(name, "--bootstrap") == 0 && options->override_count < OPTION_OVERRIDES_MAX)
        options->overrides[options->override_count++] =
            (struct config_override){.key = "cluster.raft.bootstrap", .value = "true", .source = name};
    else if (strcmp(name, "--version") == 0)
        options->action = ACTION_VERSION;
    else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        options->action = ACTION_HELP;
    else
        return unknown(name, err);
    return STATUS_OK;
}

enum status options_parse(int argc, char **argv, struct options *ret, struct error *err)
{
    struct options options = {.action = ACTION_RUN};
    enum status status = STATUS_OK;
    if (argc > 1 && strcmp(argv[1], "config") == 0)
        status = parse_validate(argc, argv, &options, err);
    else if (argc > 1 && strcmp(argv[1], "store") == 0)
        status = parse_store(argc, argv, &options, err);
    else
        for (int i = 1; i < argc && status == STATUS_OK; i++)
            status = parse_one(argc, argv, &i, &options, err);
    if (status == STATUS_OK && options.restore_catch_up && options.restore_file == NULL)
        status = error_set(err, STATUS_INVALID, "--restore-catch-up needs --restore-snapshot FILE");
    if (status == STATUS_OK)
        *ret = options;
    return status;
}
