/* Schemas: what a plugin may declare, what a user may write, and what the plugin gets of it. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

enum { JOB = CHRONOS_OPTION_PER_JOB };

static const struct chronos_option all_types[] = {
    {"command", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_REQUIRED, NULL, "1..16", "What to run."},
    {"count", CHRONOS_OPTION_INT, JOB, "3", "1..64", NULL},
    {"ratio", CHRONOS_OPTION_NUMBER, JOB, "0.5", "0..1", NULL},
    {"login", CHRONOS_OPTION_BOOL, JOB, "false", NULL, NULL},
    {"grace", CHRONOS_OPTION_DURATION, JOB, "30s", "1s..1h", NULL},
    {"quota", CHRONOS_OPTION_SIZE, JOB, "64KiB", "1KiB..1MiB", NULL},
    {"shell", CHRONOS_OPTION_ENUM, JOB, "sh", "sh|bash|none", NULL},
    {"extra", CHRONOS_OPTION_JSON, JOB, NULL, NULL, NULL},
    {"argv", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_LIST, NULL, "1..3", NULL},
    {"env", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_MAP, NULL, NULL, NULL},
    {"codes", CHRONOS_OPTION_INT, JOB | CHRONOS_OPTION_LIST, "[0, 7]", NULL, NULL},
    {"tls.ca_file", CHRONOS_OPTION_STRING, JOB, NULL, NULL, NULL},
    {"tls.verify", CHRONOS_OPTION_BOOL, JOB, "true", NULL, NULL},
    {"auth.password", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_SECRET, NULL, NULL, "Kept secret."},
    {"headers", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_SECRET | CHRONOS_OPTION_MAP, NULL, NULL, NULL},
    {"keys", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_SECRET | CHRONOS_OPTION_LIST, NULL, NULL, NULL},
    {"old", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_DEPRECATED, NULL, NULL, "Use command."},
    {"allowed_users", CHRONOS_OPTION_STRING, 0, NULL, NULL, NULL},
    {"pool.size", CHRONOS_OPTION_INT, CHRONOS_OPTION_REQUIRED, NULL, "1..", NULL},
};
enum { ALL_TYPES = sizeof all_types / sizeof *all_types };

static struct plugin_schema *schema_of(const struct chronos_option *options, uint32_t count)
{
    struct plugin_schema *schema = NULL;
    struct error err;
    if (plugin_schema_new(options, count, sizeof *options, &schema, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return schema;
}

static int setup(void **state)
{
    *state = schema_of(all_types, ALL_TYPES);
    return 0;
}

static int teardown(void **state)
{
    plugin_schema_free(*state);
    return 0;
}

/* -- declarations -------------------------------------------------------------------------------------------------- */

static void refuse_options(const struct chronos_option *options, uint32_t count, const char *part)
{
    struct plugin_schema *schema = NULL;
    struct error err;
    assert_int_equal(plugin_schema_new(options, count, sizeof *options, &schema, &err), STATUS_MISUSE);
    assert_null(schema);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" is not in: %s", part, err.message);
}

static void test_bad_declarations(void **state)
{
    (void)state;
    static const struct {
        struct chronos_option option;
        const char *part;
    } cases[] = {
        {{NULL, CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, "option number 1 has no valid name"},
        {{"", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, "no valid name"},
        {{"Name", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, "no valid name"},
        {{".a", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, "no valid name"},
        {{"a.", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, "no valid name"},
        {{"a..b", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, "no valid name"},
        {{"a", 0, 0, NULL, NULL, NULL}, "option \"a\": its type 0 is unknown"},
        {{"a", 9, 0, NULL, NULL, NULL}, "its type 9 is unknown"},
        {{"a", CHRONOS_OPTION_INT, 64, NULL, NULL, NULL}, "its flags 0x40 are unknown"},
        {{"a", CHRONOS_OPTION_INT, JOB | 16 | 32, NULL, NULL, NULL}, "a list and a map at once"},
        {{"a", CHRONOS_OPTION_INT, CHRONOS_OPTION_LIST, NULL, NULL, NULL}, "possible in jobs alone"},
        {{"a", CHRONOS_OPTION_INT, CHRONOS_OPTION_SECRET, NULL, NULL, NULL}, "only a string can be secret"},
        {{"a", CHRONOS_OPTION_INT, 0, NULL, "64..1", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_INT, 0, NULL, "..", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_INT, 0, NULL, "1-5", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_INT, 0, NULL, "1..5x", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_STRING, 0, NULL, "-1..5", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_DURATION, 0, NULL, "1..5", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_SIZE, 0, NULL, "1KiB..x", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_NUMBER, 0, NULL, "0..inf", NULL}, "are no range"},
        {{"a", CHRONOS_OPTION_BOOL, 0, NULL, "0..1", NULL}, "a bool has no limits"},
        {{"a", CHRONOS_OPTION_ENUM, 0, NULL, NULL, NULL}, "an enum needs limits"},
        {{"a", CHRONOS_OPTION_ENUM, 0, NULL, "x||y", NULL}, "an enum needs limits"},
        {{"a", CHRONOS_OPTION_ENUM, 0, NULL, "x|x", NULL}, "an enum needs limits"},
        {{"a", CHRONOS_OPTION_ENUM, 0, "z", "x|y", NULL}, "its default does not fit: \"z\" is not one of x|y"},
        {{"a", CHRONOS_OPTION_INT, 0, "seven", NULL, NULL}, "its default"},
        {{"a", CHRONOS_OPTION_INT, 0, "1.5", NULL, NULL}, "its default does not fit: must be an integer, not 1.5"},
        {{"a", CHRONOS_OPTION_DURATION, 0, "fast", NULL, NULL}, "is not a duration"},
        {{"a", CHRONOS_OPTION_SIZE, 0, "2MiB", "..1MiB", NULL}, "must be at most 1MiB, not 2MiB"},
        {{"a", CHRONOS_OPTION_BOOL, 0, "yes", NULL, NULL}, "its default"},
        {{"a", CHRONOS_OPTION_STRING, 0, "${nope:x}", NULL, NULL}, "a reference of an unknown kind"},
        {{"a", CHRONOS_OPTION_STRING, 0, "\xff", NULL, NULL}, "its default is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_options(&cases[i].option, 1, cases[i].part);
    static const struct chronos_option twice[] = {{"a.b", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL},
                                                  {"a.b", CHRONOS_OPTION_BOOL, JOB, NULL, NULL, NULL}};
    refuse_options(twice, 2, "option \"a.b\": it is there twice");
    static const struct chronos_option group[] = {{"tls.ca", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL},
                                                  {"tls", CHRONOS_OPTION_BOOL, 0, NULL, NULL, NULL}};
    refuse_options(group, 2, "\"tls.ca\" makes a group of what is also a value");
    char long_name[PLUGIN_OPTION_NAME_MAX + 2];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    refuse_options(&(struct chronos_option){long_name, CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, 1, "no valid name");
    long_name[PLUGIN_OPTION_NAME_MAX] = '\0';
    plugin_schema_free(schema_of(&(struct chronos_option){long_name, CHRONOS_OPTION_INT, 0, NULL, NULL, NULL}, 1));
}

static void test_declaration_limits(void **state)
{
    (void)state;
    static char names[PLUGIN_OPTIONS_MAX + 1][16], text[PLUGIN_TEXT_MAX + 2];
    static struct chronos_option many[PLUGIN_OPTIONS_MAX + 1];
    for (int i = 0; i <= PLUGIN_OPTIONS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "o%d", i);
        many[i] = (struct chronos_option){.name = names[i], .type = CHRONOS_OPTION_INT, .flags = JOB};
    }
    plugin_schema_free(schema_of(many, PLUGIN_OPTIONS_MAX));
    refuse_options(many, PLUGIN_OPTIONS_MAX + 1, "257 options; at most 256 are possible");
    memset(text, 't', PLUGIN_TEXT_MAX + 1);
    struct chronos_option wordy = {.name = "a", .type = CHRONOS_OPTION_STRING, .flags = JOB, .help = text};
    refuse_options(&wordy, 1, "its help is not UTF-8 of at most 4096 bytes");
    wordy.def = text;
    refuse_options(&wordy, 1, "its default is not UTF-8 of at most 4096 bytes");
    text[PLUGIN_TEXT_MAX] = '\0';
    plugin_schema_free(schema_of(&wordy, 1));
}

/* A plugin that was built from later headers has longer elements. */
static void test_longer_elements(void **state)
{
    (void)state;
    struct {
        struct chronos_option option;
        uint64_t later[2];
    } options[2] = {{{"first", CHRONOS_OPTION_INT, JOB, NULL, NULL, NULL}, {~0ull, ~0ull}},
                    {{"second", CHRONOS_OPTION_INT, JOB, "2", NULL, NULL}, {~0ull, ~0ull}}};
    struct plugin_schema *schema = NULL;
    struct plugin_params params;
    struct error err;
    assert_int_equal(plugin_schema_new(&options[0].option, 2, sizeof options[0], &schema, &err), STATUS_OK);
    assert_string_equal(plugin_schema_first_job_option(schema), "first");
    assert_int_equal(plugin_schema_params(schema, PLUGIN_SCOPE_JOB, NULL, NULL, &params, &err), STATUS_OK);
    assert_int_equal(params.count, 1);
    assert_string_equal(params.items[0].name, "second");
    plugin_params_deinit(&params);
    plugin_schema_free(schema);
    assert_int_equal(plugin_schema_new(NULL, 0, 0, &schema, &err), STATUS_OK);
    assert_null(plugin_schema_first_job_option(schema));
    plugin_schema_free(schema);
}

/* -- checks -------------------------------------------------------------------------------------------------------- */

struct problems {
    size_t count;
    char text[16 * 1024]; /* "field message\n" each */
    size_t size;
};

static void collect(void *arg, const char *field, const char *message)
{
    struct problems *problems = arg;
    problems->count++;
    problems->size += (size_t)snprintf(problems->text + problems->size, sizeof problems->text - problems->size,
                                       "%s %s\n",
                                       field, message);
    assert_true(problems->size < sizeof problems->text);
}

static void expect_problems(const struct plugin_schema *schema, enum plugin_scope scope, const char *config,
                            const char *expected)
{
    struct problems problems = {.text = ""};
    cJSON *value = config ? json_of(config) : NULL;
    size_t count = plugin_schema_check(schema, scope, value, collect, &problems);
    assert_int_equal(count, problems.count);
    if (strcmp(problems.text, expected) != 0)
        fail_msg("%s gives:\n%sinstead of:\n%s", config, problems.text, expected);
    cJSON_Delete(value);
}

static void test_checks(void **state)
{
    static const struct {
        const char *config, *expected;
    } cases[] = {
        {"{\"command\":\"true\"}", ""},
        {"{}", "/command is required\n"},
        {"[]", " must be an object, not an array\n"},
        {"{\"comand\":\"x\"}", "/comand unknown key \"comand\"; did you mean \"command\"?\n/command is required\n"},
        {"{\"command\":\"\"}", "/command must not be empty\n"},
        {"{\"command\":\"12345678901234567\"}", "/command must be at most 16 bytes long, not 17\n"},
        {"{\"command\":7}", "/command must be a string, not a number\n"},
        {"{\"command\":null}", "/command must be a string, not null\n"},
        {"{\"command\":\"x\",\"count\":0}", "/count must be between 1 and 64, not 0\n"},
        {"{\"command\":\"x\",\"count\":64.5}", "/count must be an integer, not 64.5\n"},
        {"{\"command\":\"x\",\"count\":\"7\"}", "/count must be an integer, not a string\n"},
        {"{\"command\":\"x\",\"count\":1e300}", "/count must be an integer, not 1.0000000000000001e+300\n"},
        {"{\"command\":\"x\",\"ratio\":1.5}", "/ratio must be between 0 and 1, not 1.5\n"},
        {"{\"command\":\"x\",\"ratio\":true}", "/ratio must be a number, not a boolean\n"},
        {"{\"command\":\"x\",\"login\":1}", "/login must be true or false, not a number\n"},
        {"{\"command\":\"x\",\"grace\":30}", "/grace must be a duration such as \"30s\", not a number\n"},
        {"{\"command\":\"x\",\"grace\":\"2h\"}", "/grace must be between 1s and 1h, not 2h\n"},
        {"{\"command\":\"x\",\"quota\":1024}", ""},
        {"{\"command\":\"x\",\"quota\":12.5}",
         "/quota must be a size such as \"64MiB\" or a whole number of bytes, not 12.5\n"},
        {"{\"command\":\"x\",\"quota\":-1}",
         "/quota must be a size such as \"64MiB\" or a whole number of bytes, not -1\n"},
        {"{\"command\":\"x\",\"quota\":\"2MiB\"}", "/quota must be between 1KiB and 1MiB, not 2MiB\n"},
        {"{\"command\":\"x\",\"shell\":\"bahs\"}",
         "/shell \"bahs\" is not one of sh|bash|none; did you mean \"bash\"?\n"},
        {"{\"command\":\"x\",\"extra\":null}", ""},
        {"{\"command\":\"x\",\"argv\":[]}", "/argv must have at least 1 elements, not 0\n"},
        {"{\"command\":\"x\",\"argv\":[\"a\",\"b\",\"c\",\"d\"]}", "/argv must have at most 3 elements, not 4\n"},
        {"{\"command\":\"x\",\"argv\":[\"a\",2]}", "/argv/1 must be a string, not a number\n"},
        {"{\"command\":\"x\",\"argv\":\"a\"}", "/argv must be an array, not a string\n"},
        {"{\"command\":\"x\",\"env\":[]}", "/env must be an object, not an array\n"},
        {"{\"command\":\"x\",\"env\":{\"A/~B\":1}}", "/env/A~1~0B must be a string, not a number\n"},
        {"{\"command\":\"x\",\"env\":{\"\":\"v\"}}", "/env/ its key must be 1 to 256 bytes long, not 0\n"},
        {"{\"command\":\"x\",\"env\":{\"a\\tb\":\"v\"}}", "/env/a\tb its key must not hold control characters\n"},
        {"{\"command\":\"x\",\"tls\":true}", "/tls must be an object, not a boolean\n"},
        {"{\"command\":\"x\",\"tls\":{\"ca_fil\":\"x\"}}",
         "/tls/ca_fil unknown key \"ca_fil\"; did you mean \"ca_file\"?\n"},
        {"{\"command\":\"x\",\"tls\":{\"zzz\":\"x\"}}", "/tls/zzz unknown key \"zzz\"; known: ca_file, verify\n"},
        {"{\"command\":\"x\",\"tsl\":{}}", "/tsl unknown key \"tsl\"; did you mean \"tls\"?\n"},
        {"{\"command\":\"x\",\"tls.verify\":true}", "/tls.verify unknown key \"tls.verify\"\n"},
        {"{\"command\":\"x\",\"tls\":{\"verify\":1,\"ca_file\":2}}",
         "/tls/verify must be true or false, not a number\n/tls/ca_file must be a string, not a number\n"},
        {"{\"command\":\"x\",\"allowed_users\":\"a\"}",
         "/allowed_users \"allowed_users\" is set in the node's configuration file, not in a job\n"},
        {"{\"command\":\"x\",\"a\\nb\":1}", "/a\nb unknown key \"a b\"\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_problems(*state, PLUGIN_SCOPE_JOB, cases[i].config, cases[i].expected);
    expect_problems(*state, PLUGIN_SCOPE_NODE, NULL, "/pool/size is required\n");
    expect_problems(*state, PLUGIN_SCOPE_NODE, "{\"zzz\":1,\"pool\":{\"sise\":1,\"size\":2}}",
                    "/zzz unknown key \"zzz\"; known: allowed_users, pool\n"
                    "/pool/sise unknown key \"sise\"; did you mean \"size\"?\n");
    expect_problems(*state, PLUGIN_SCOPE_NODE, "{\"pool\":{\"size\":0}}", "/pool/size must be at least 1, not 0\n");
    expect_problems(*state, PLUGIN_SCOPE_NODE, "{\"pool\":{\"size\":2},\"command\":\"x\"}",
                    "/command \"command\" is set in a job's config, not in the node's configuration file\n");
}

static void test_references_checked(void **state)
{
    static const struct {
        const char *text, *part; /* NULL: accepted */
    } cases[] = {
        {"${env:TOKEN}", NULL},
        {"a ${env:A} ${file:/b/c} z, longer than 16", NULL}, /* its length is known only when it runs */
        {"$${env:TOKEN}", NULL},
        {"${HOME} $HOME $", NULL}, /* a shell's, not ours */
        {"${X:-y}", NULL},
        {"$", NULL},
        {"${env:}", "needs the name of an environment variable"},
        {"${env:1A}", "needs the name of an environment variable"},
        {"${env:A-B}", "needs the name of an environment variable"},
        {"${file:b}", "${file:...} needs an absolute path"},
        {"${file:/}", "${file:...} needs an absolute path"},
        {"${env:TOKEN", "without its closing"},
        {"${env}", "a reference without a name"},
        {"${vault:x}", "a reference of an unknown kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problems problems = {.text = ""};
        cJSON *config = cJSON_CreateObject();
        cJSON_AddStringToObject(config, "command", cases[i].text);
        size_t count = plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems);
        if (count != (cases[i].part != NULL) || (cases[i].part && !strstr(problems.text, cases[i].part)))
            fail_msg("%s gives %zu: %s", cases[i].text, count, problems.text);
        cJSON_Delete(config);
    }
}

static void test_limits(void **state)
{
    struct problems problems = {.text = ""};
    cJSON *config = cJSON_CreateObject();
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        cJSON_AddNumberToObject(config, key, i);
    }
    assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), PLUGIN_PROBLEMS_MAX);
    cJSON_Delete(config);

    char key[PLUGIN_MAP_KEY_MAX + 2];
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    config = json_of("{\"command\":\"x\",\"env\":{}}");
    cJSON *env = cJSON_GetObjectItem(config, "env");
    cJSON_AddStringToObject(env, key + 1, "fits");
    problems = (struct problems){.text = ""};
    assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 0);
    cJSON_AddStringToObject(env, key, "too long");
    assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 1);
    cJSON_Delete(config);

    config = json_of("{\"command\":\"x\",\"env\":{}}");
    env = cJSON_GetObjectItem(config, "env");
    problems = (struct problems){.text = ""};
    for (int i = 0; i <= PLUGIN_ELEMENTS_MAX; i++) {
        if (i == PLUGIN_ELEMENTS_MAX) /* so many fit */
            assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 0);
        snprintf(key, sizeof key, "k%d", i);
        cJSON_AddStringToObject(env, key, "v");
    }
    assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 1);
    assert_string_equal(problems.text, "/env must have at most 1024 members, not 1025\n");
    cJSON_Delete(config);
}

/* A key of a quarter of a megabyte is reported, not copied. */
static void test_huge_key(void **state)
{
    struct problems problems = {.text = ""};
    char *key = malloc(300000);
    assert_non_null(key);
    memset(key, '/', 299999);
    key[299999] = '\0';
    cJSON *config = json_of("{\"command\":\"x\"}");
    cJSON_AddNumberToObject(config, key, 1);
    assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 1);
    assert_true(problems.size < 2000);
    cJSON_Delete(config);
    free(key);
}

static void test_deprecated(void **state)
{
    struct problems problems = {.text = ""};
    cJSON *config = json_of("{\"command\":\"x\",\"old\":\"y\"}");
    assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 0);
    plugin_schema_deprecated(*state, PLUGIN_SCOPE_JOB, config, collect, &problems);
    assert_string_equal(problems.text, "/old Use command.\n");
    cJSON_Delete(config);
}

/* -- parameters ---------------------------------------------------------------------------------------------------- */

static void print_params(const struct plugin_params *params, char *out, size_t out_size)
{
    size_t size = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < params->count; i++) {
        const struct chronos_param *param = &params->items[i];
        assert_int_equal(((const char *)param->value.data)[param->value.size], '\0');
        assert_int_equal(strlen(param->value.data), param->value.size);
        size += (size_t)snprintf(out + size, out_size - size, "%s%s%s:%d=%s\n", param->name, param->key ? "/" : "",
                                 param->key ? param->key : "", param->type, (const char *)param->value.data);
        assert_true(size < out_size);
    }
}

static enum status fake_resolve(void *arg, const char *kind, const char *name, struct buffer *out, struct error *err)
{
    (void)arg;
    if (strcmp(name, "NUL") == 0)
        buffer_append(out, "a\0b", 3);
    else if (strcmp(name, "BINARY") == 0)
        buffer_append(out, "\xff", 1);
    else if (strcmp(name, "EMPTY") == 0)
        return STATUS_OK;
    else if (strcmp(name, "NONE") == 0)
        return error_set(err, STATUS_NOT_FOUND, "no such secret");
    else
        buffer_appendf(out, "<%s %s>", kind, name);
    return STATUS_OK;
}
static const struct plugin_secret_resolver fake_resolver = {.resolve = fake_resolve};

static void expect_params(const struct plugin_schema *schema, const char *config,
                          const struct plugin_secret_resolver *resolver, const char *expected)
{
    struct plugin_params params;
    struct error err;
    char text[4096];
    cJSON *value = json_of(config);
    if (plugin_schema_params(schema, PLUGIN_SCOPE_JOB, value, resolver, &params, &err) != STATUS_OK)
        fail_msg("%s: %s", config, err.message);
    print_params(&params, text, sizeof text);
    assert_string_equal(text, expected);
    plugin_params_deinit(&params);
    cJSON_Delete(value);
}

static void test_params(void **state)
{
    expect_params(*state, "{\"command\":\"true\"}", &fake_resolver,
                  "command:1=true\ncount:2=3\nratio:3=0.5\nlogin:4=false\ngrace:5=30000\nquota:6=65536\nshell:7=sh\n"
                  "codes:2=0\ncodes:2=7\ntls.verify:4=true\n");
    expect_params(*state,
                  "{\"tls\":{\"verify\":false,\"ca_file\":\"/a\"},\"env\":{\"B\":\"2\",\"A\":\"1\"},"
                  "\"argv\":[\"x\",\"\"],\"extra\":{ \"k\" : [1, 2.5] },\"shell\":\"bash\",\"quota\":2048,"
                  "\"grace\":\"1m30s\",\"login\":true,"
                  "\"ratio\":1,\"count\":64,\"command\":\"c\",\"codes\":[]}",
                  NULL,
                  "command:1=c\ncount:2=64\nratio:3=1\nlogin:4=true\ngrace:5=90000\nquota:6=2048\nshell:7=bash\n"
                  "extra:8={\"k\":[1,2.5]}\nargv:1=x\nargv:1=\nenv/B:1=2\nenv/A:1=1\ntls.ca_file:1=/a\n"
                  "tls.verify:4=false\n");
}

static void test_reference_limit(void **state)
{
    static const char *const begins[] = {"${env:", "${file:/"};
    for (size_t i = 0; i < 2; i++) {
        char text[PLUGIN_REFERENCE_MAX + 32];
        struct problems problems = {.text = ""};
        size_t name_at = i == 0 ? strlen(begins[i]) : strlen(begins[i]) - 1, size = name_at + PLUGIN_REFERENCE_MAX + 1;
        memset(text, 'n', sizeof text);
        memcpy(text, begins[i], strlen(begins[i]));
        strcpy(text + size, "}");
        cJSON *config = cJSON_CreateObject();
        cJSON_AddStringToObject(config, "command", text);
        assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 1);
        assert_non_null(strstr(problems.text, i == 0 ? "needs the name of an environment variable" : "an absolute path"));
        strcpy(text + size - 1, "}");
        cJSON_ReplaceItemInObject(config, "command", cJSON_CreateString(text));
        assert_int_equal(plugin_schema_check(*state, PLUGIN_SCOPE_JOB, config, collect, &problems), 0);
        cJSON_Delete(config);
    }
}

static enum status resolve_large(void *arg, const char *kind, const char *name, struct buffer *out, struct error *err)
{
    (void)kind;
    (void)name;
    (void)err;
    size_t size = *(const size_t *)arg;
    char *secret = malloc(size);
    assert_non_null(secret);
    memset(secret, 's', size);
    buffer_append(out, secret, size);
    free(secret);
    return STATUS_OK;
}

/* One job's parameters with their secrets, names and all. */
static void test_params_limit(void **state)
{
    static const struct chronos_option options[] = {{"a", CHRONOS_OPTION_STRING, JOB, NULL, NULL, NULL}};
    const size_t fits = PLUGIN_PARAMS_BYTES_MAX - sizeof "a" - 1; /* the value's NUL */
    size_t size = fits;
    struct plugin_secret_resolver resolver = {.resolve = resolve_large, .arg = &size};
    struct plugin_schema *schema = schema_of(options, 1);
    cJSON *config = json_of("{\"a\":\"${env:LARGE}\"}");
    struct plugin_params params;
    struct error err;
    (void)state;
    assert_int_equal(plugin_schema_params(schema, PLUGIN_SCOPE_JOB, config, &resolver, &params, &err), STATUS_OK);
    assert_int_equal(params.items[0].value.size, fits);
    plugin_params_deinit(&params);
    size = fits + 1;
    assert_int_equal(plugin_schema_params(schema, PLUGIN_SCOPE_JOB, config, &resolver, &params, &err), STATUS_TOO_LARGE);
    assert_non_null(strstr(err.message, "the parameters are larger than 4194304 bytes"));
    cJSON_Delete(config);
    plugin_schema_free(schema);
}

static void expect_command(const struct plugin_schema *schema, const char *command,
                           const struct plugin_secret_resolver *resolver, const char *expected)
{
    struct plugin_params params;
    struct error err;
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "command", command);
    if (plugin_schema_params(schema, PLUGIN_SCOPE_JOB, config, resolver, &params, &err) != STATUS_OK)
        fail_msg("%s: %s", command, err.message);
    assert_string_equal(params.items[0].value.data, expected);
    plugin_params_deinit(&params);
    cJSON_Delete(config);
}

static void test_secrets_resolved(void **state)
{
    expect_command(*state, "${env:A}", &fake_resolver, "<env A>");
    expect_command(*state, "a${env:A}b${env:B}", &fake_resolver, "a<env A>b<env B>");
    expect_command(*state, "${file:/s}", &fake_resolver, "<file /s>");
    expect_command(*state, "$${env:A} $$ $", &fake_resolver, "${env:A} $$ $");
    expect_command(*state, "$$${env:A}", &fake_resolver, "$${env:A}");
    expect_command(*state, "${HOME}", &fake_resolver, "${HOME}");
    expect_command(*state, "x${env:EMPTY}", &fake_resolver, "x");
    /* For validate(): references stay, escapes are undone. */
    expect_command(*state, "a${env:A} $${x}", NULL, "a${env:A} ${x}");
}

static void refuse_command(const struct plugin_schema *schema, const char *command, enum status status,
                           const char *part)
{
    struct plugin_params params = {.count = 77};
    struct error err;
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "command", command);
    assert_int_equal(plugin_schema_params(schema, PLUGIN_SCOPE_JOB, config, &fake_resolver, &params, &err), status);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" is not in: %s", part, err.message);
    assert_string_equal(err.field, "/command");
    assert_int_equal(params.count, 77); /* untouched */
    cJSON_Delete(config);
}

static void test_secrets_refused(void **state)
{
    refuse_command(*state, "${env:NUL}", STATUS_INVALID, "command: the secret holds a NUL byte");
    refuse_command(*state, "${env:BINARY}", STATUS_INVALID, "the secret is not UTF-8 text");
    refuse_command(*state, "${env:NONE}", STATUS_NOT_FOUND, "command: no such secret");
    refuse_command(*state, "${env:EMPTY}", STATUS_INVALID, "must not be empty");
    refuse_command(*state, "${env:LONG_LONG}x${env:B}", STATUS_INVALID, "must be at most 16 bytes long, not 23");
    refuse_command(*state, "", STATUS_INVALID, "/command: must not be empty");
}

static enum status resolve(const char *kind, const char *name, struct buffer *out, struct error *err)
{
    return plugin_secret_resolver_system.resolve(plugin_secret_resolver_system.arg, kind, name, out, err);
}

static void write_file(const char *path, const char *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
}

static void test_system_resolver(void **state)
{
    (void)state;
    struct buffer out;
    struct error err;
    buffer_init(&out, 1 << 20);
    assert_int_equal(setenv("CHRONOS_TEST_SECRET", "hush", 1), 0);
    assert_int_equal(resolve("env", "CHRONOS_TEST_SECRET", &out, &err), STATUS_OK);
    assert_string_equal(out.data, "hush");
    assert_int_equal(resolve("env", "CHRONOS_TEST_NOT_SET", &out, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "CHRONOS_TEST_NOT_SET is not set on this node"));
    assert_int_equal(resolve("vault", "x", &out, &err), STATUS_INVALID);

    char *folder = folder_new(), *path = folder_path(folder, "secret");
    write_file(path, "one\ntwo\n\n", 9);
    buffer_clear(&out);
    assert_int_equal(resolve("file", path, &out, &err), STATUS_OK);
    assert_string_equal(out.data, "one\ntwo\n"); /* one newline is cut */
    assert_int_equal(resolve("file", folder, &out, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "not a regular file"));
    char *big = calloc(1, PLUGIN_SECRET_MAX + 2);
    assert_non_null(big);
    memset(big, 'x', PLUGIN_SECRET_MAX + 2);
    write_file(path, big, PLUGIN_SECRET_MAX);
    buffer_clear(&out);
    assert_int_equal(resolve("file", path, &out, &err), STATUS_OK);
    assert_int_equal(out.size, PLUGIN_SECRET_MAX);
    write_file(path, big, PLUGIN_SECRET_MAX + 2);
    assert_int_equal(resolve("file", path, &out, &err), STATUS_TOO_LARGE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(resolve("file", path, &out, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    free(big);
    free(path);
    folder_free(folder);
    buffer_deinit(&out);
}

/* -- masks --------------------------------------------------------------------------------------------------------- */

static void expect_json(const cJSON *value, const char *expected)
{
    struct buffer text;
    buffer_init(&text, 1 << 16);
    json_print(&text, value);
    assert_string_equal(text.data, expected);
    buffer_deinit(&text);
}

static void test_mask(void **state)
{
    cJSON *config = json_of("{\"command\":\"c\",\"auth\":{\"password\":\"hunter2\"},"
                            "\"headers\":{\"X\":\"secret\",\"Y\":\"${env:Y}\",\"Z\":\"Bearer ${env:Z}\"},"
                            "\"keys\":[\"a\",\"${file:/k}\"]}");
    cJSON *masked = plugin_schema_mask(*state, config);
    expect_json(masked, "{\"command\":\"c\",\"auth\":{\"password\":\"********\"},"
                        "\"headers\":{\"X\":\"********\",\"Y\":\"${env:Y}\",\"Z\":\"********\"},"
                        "\"keys\":[\"********\",\"${file:/k}\"]}");
    struct error err;
    assert_int_equal(plugin_schema_unmask(*state, masked, config, &err), STATUS_OK);
    assert_true(cJSON_Compare(masked, config, true));
    cJSON_Delete(masked);
    cJSON_Delete(config);
    /* What an older version of the plugin left is masked as well, whatever its shape. */
    config = json_of("{\"auth\":{\"password\":[{\"a\":\"hunter2\"}]},\"headers\":\"hunter2\"}");
    masked = plugin_schema_mask(*state, config);
    expect_json(masked, "{\"auth\":{\"password\":[{\"a\":\"********\"}]},\"headers\":\"********\"}");
    cJSON_Delete(masked);
    cJSON_Delete(config);
    masked = plugin_schema_mask(*state, NULL);
    expect_json(masked, "{}");
    cJSON_Delete(masked);
}

static void refuse_unmask(const struct plugin_schema *schema, const char *config, const char *stored, const char *field)
{
    struct error err;
    cJSON *value = json_of(config), *old = stored ? json_of(stored) : NULL;
    assert_int_equal(plugin_schema_unmask(schema, value, old, &err), STATUS_INVALID);
    assert_string_equal(err.field, field);
    assert_non_null(strstr(err.message, "none is stored here"));
    cJSON_Delete(value);
    cJSON_Delete(old);
}

static void test_unmask_refused(void **state)
{
    refuse_unmask(*state, "{\"auth\":{\"password\":\"********\"}}", NULL, "/auth/password");
    refuse_unmask(*state, "{\"auth\":{\"password\":\"********\"}}", "{\"auth\":{}}", "/auth/password");
    refuse_unmask(*state, "{\"headers\":{\"A\":\"x\",\"B\":\"********\"}}", "{\"headers\":{\"A\":\"y\"}}",
                  "/headers/B");
    refuse_unmask(*state, "{\"keys\":[\"********\"]}", "{\"keys\":[\"a\",\"b\"]}", "/keys/0");
    refuse_unmask(*state, "{\"keys\":[\"x\",\"********\"]}", "{\"keys\":[\"a\",7]}", "/keys/1");
    /* A mask where nothing is secret is a value like any other. */
    struct error err;
    cJSON *config = json_of("{\"command\":\"********\"}");
    assert_int_equal(plugin_schema_unmask(*state, config, NULL, &err), STATUS_OK);
    expect_json(config, "{\"command\":\"********\"}");
    cJSON_Delete(config);
}

static void test_describe(void **state)
{
    (void)state;
    static const struct chronos_option options[] = {
        {"count", CHRONOS_OPTION_INT, JOB | CHRONOS_OPTION_REQUIRED, "3", "1..64", "How many."},
        {"node_only", CHRONOS_OPTION_INT, 0, NULL, NULL, NULL},
        {"password", CHRONOS_OPTION_STRING, JOB | CHRONOS_OPTION_SECRET, "hunter2", NULL, NULL},
    };
    struct plugin_schema *schema = schema_of(options, 3);
    struct buffer out;
    buffer_init(&out, 1 << 16);
    struct json_writer writer = json_writer_on(&out);
    plugin_schema_describe(schema, PLUGIN_SCOPE_JOB, &writer);
    assert_string_equal(out.data,
                        "{\"options\":[{\"name\":\"count\",\"type\":\"int\",\"required\":true,\"secret\":false,"
                        "\"deprecated\":false,\"list\":false,\"map\":false,\"default\":3,\"limits\":\"1..64\","
                        "\"help\":\"How many.\"},{\"name\":\"password\",\"type\":\"string\",\"required\":false,"
                        "\"secret\":true,\"deprecated\":false,\"list\":false,\"map\":false,\"default\":null,"
                        "\"limits\":null,\"help\":null}]}");
    buffer_deinit(&out);
    plugin_schema_free(schema);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_declarations),
        cmocka_unit_test(test_declaration_limits),
        cmocka_unit_test(test_longer_elements),
        CASE(test_checks),
        CASE(test_references_checked),
        CASE(test_limits),
        CASE(test_huge_key),
        CASE(test_deprecated),
        CASE(test_params),
        CASE(test_reference_limit),
        cmocka_unit_test(test_params_limit),
        CASE(test_secrets_resolved),
        CASE(test_secrets_refused),
        cmocka_unit_test(test_system_resolver),
        CASE(test_mask),
        CASE(test_unmask_refused),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
