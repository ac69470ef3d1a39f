#include "ctl/arguments.h"

#include "base/buffer.h"
#include "check.h"
#include "ctl/invocation.h"

enum { WORDS_MAX = 32 };

/* Splits at "|". */
static enum status parse(const char *line, struct arguments *ret, struct error *err)
{
    static char copy[1024];
    char *words[WORDS_MAX] = {(char[]){"chronosctl"}};
    int count = 1;
    assert_true(strlen(line) < sizeof copy);
    memcpy(copy, line, strlen(line) + 1);
    for (char *rest = copy, *word; *line != '\0' && (word = strsep(&rest, "|")) != NULL;)
        words[count++] = word;
    return arguments_parse(&chronosctl_commands, count, words, ret, err);
}

static struct arguments parsed(const char *line)
{
    struct arguments arguments;
    struct error err;
    if (parse(line, &arguments, &err) != STATUS_OK)
        fail_msg("%s: %s", line, err.message);
    return arguments;
}

static void assert_refused(const char *line, const char *message)
{
    struct arguments arguments = {.operand_count = 77};
    struct error err = {.code = STATUS_OK};
    if (parse(line, &arguments, &err) == STATUS_OK)
        fail_msg("%s: not refused", line);
    assert_int_equal(err.code, STATUS_INVALID);
    assert_int_equal(arguments.operand_count, 77);
    assert_contains(err.message, message);
}

static void test_commands(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int (*run)(struct invocation *invocation);
    } cases[] = {
        {"job|list", run_job_list},
        {"jobs|list", run_job_list},
        {"exec|list", run_execution_list},
        {"executions|output|-f|exec_1", run_execution_output},
        {"version", run_version},
        {"help|job|list", run_help},
        {"--server|job|job|list", run_job_list},
        {"job|--name|create|list", run_job_list},
        {"job|--wait|trigger|x", run_job_trigger},
        {"-o|json|job|get|x", run_job_get},
        {"--tag|a=b|job|list", run_job_list},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arguments arguments = parsed(cases[i].line);
        assert_ptr_equal(arguments.command->run, cases[i].run);
        arguments_deinit(&arguments);
    }
}

static void test_flags(void **state)
{
    (void)state;
    struct arguments a = parsed("job|create|--name|x|--schedule=0 9 * * *|--schedule|@daily|-fa.yaml|-f|b.yaml|-f=c|"
                                "--disabled|"
                                "--retries|3|--timeout|1m30s|--name|y|-ojson|--command|-x|--enabled=false");
    size_t cursor = 0;
    assert_string_equal(arguments_text(&a, "name"), "y");
    assert_string_equal(arguments_next(&a, "schedule", &cursor), "0 9 * * *");
    assert_string_equal(arguments_next(&a, "schedule", &cursor), "@daily");
    assert_null(arguments_next(&a, "schedule", &cursor));
    cursor = 0;
    assert_string_equal(arguments_next(&a, "file", &cursor), "a.yaml");
    assert_string_equal(arguments_next(&a, "file", &cursor), "b.yaml");
    assert_string_equal(arguments_next(&a, "file", &cursor), "c");
    assert_true(arguments_switch(&a, "disabled", false));
    assert_false(arguments_switch(&a, "enabled", true));
    assert_false(arguments_switch(&a, "dry-run", false));
    assert_int_equal(arguments_number(&a, "retries", 0), 3);
    assert_int_equal(arguments_number(&a, "max-concurrent", 7), 7);
    assert_int_equal(arguments_duration(&a, "timeout", 0), 90000);
    assert_int_equal(arguments_duration(&a, "retry-interval", 5), 5);
    assert_string_equal(arguments_text(&a, "output"), "json");
    assert_string_equal(arguments_text(&a, "command"), "-x");
    assert_null(arguments_text(&a, "webhook"));
    assert_false(arguments_has(&a, "webhook"));
    assert_int_equal(a.operand_count, 0);
    arguments_deinit(&a);
}

static void test_operands(void **state)
{
    (void)state;
    struct arguments a = parsed("job|delete|a|--cancel|b|--|--c|-");
    assert_int_equal(a.operand_count, 4);
    assert_string_equal(a.operands[0], "a");
    assert_string_equal(a.operands[1], "b");
    assert_string_equal(a.operands[2], "--c");
    assert_string_equal(a.operands[3], "-");
    assert_true(arguments_has(&a, "cancel"));
    arguments_deinit(&a);
}

/* The same name means the request before the command, and the job behind it. */
static void test_two_timeouts(void **state)
{
    (void)state;
    struct arguments a = parsed("--timeout|5s|job|create|--timeout|10m");
    assert_int_equal(a.given_count, 2);
    assert_ptr_not_equal(a.given[0].flag, a.given[1].flag);
    assert_string_equal(a.given[0].value, "5s");
    assert_string_equal(a.given[1].value, "10m");
    const struct flag *global = a.given[0].flag;
    arguments_deinit(&a);
    a = parsed("job|list|--timeout|5s");
    assert_ptr_equal(a.given[0].flag, global);
    arguments_deinit(&a);
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("", "a command is missing");
    assert_refused("job", "job needs a command");
    assert_refused("jbo|list", "unknown command \"jbo\"; did you mean \"job\"?");
    assert_refused("job|lst", "unknown command \"lst\"; did you mean \"list\"?");
    assert_refused("job|frobnicate", "unknown command \"frobnicate\"; see chronosctl job --help");
    assert_refused("versoin", "did you mean \"version\"?");
    assert_refused("job|list|--tga|x", "unknown flag --tga; did you mean --tag?");
    assert_refused("job|list|--sever=x", "unknown flag --sever; did you mean --server?");
    assert_refused("job|list|--frobnicate", "unknown flag --frobnicate; see chronosctl job list --help");
    assert_refused("job|list|-z", "unknown flag -z");
    assert_refused("--frobnicate", "unknown flag --frobnicate");
    assert_refused("job|list|--name", "--name needs a value: --name PREFIX");
    assert_refused("job|create|--name|--schedule|x",
                   "--name needs a value (if it is \"--schedule\", write --name=--schedule)");
    assert_refused("job|create|--retries|0", "\"0\" is not a number from 1");
    assert_refused("job|create|--retries|3x", "\"3x\" is not a number");
    assert_refused("job|create|--retries=", "is not a number");
    assert_refused("job|create|--retries|9999999999", "is not a number");
    assert_refused("job|create|--timeout|fast", "--timeout: ");
    assert_refused("job|delete|x|--cancel=maybe", "=true and =false are allowed");
    assert_refused("job|get", "job get needs JOB: chronosctl job get JOB");
    assert_refused("job|get|a|b", "what is \"b\"? usage: chronosctl job get JOB");
    assert_refused("job|list|x", "what is \"x\"? usage: chronosctl job list");
    assert_refused("job|apply|jobs.yaml", "what is \"jobs.yaml\"? usage: chronosctl job apply -f FILE...");
    assert_refused("job|import|jobs.yaml", "usage: chronosctl job import -f FILE...");
    assert_refused("job|create|jobs.yaml", "usage: chronosctl job create [-f FILE]...");
    assert_refused("cluster|snapshot|-f|", "--file needs the name of a file");
    assert_refused("job|apply|--file=", "--file needs the name of a file");
    assert_refused("-f|x|job|apply", "-f means different things to different commands");
}

static void test_help(void **state)
{
    (void)state;
    static const char *const lines[] = {"-h", "--help", "job|-h", "job|list|--help", "-h|job|list", "job|get|-h",
                                        "job|create|--name|x|-h"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct arguments a = parsed(lines[i]);
        assert_true(a.wants_help);
        arguments_deinit(&a);
    }
    struct arguments a = parsed("--version");
    assert_true(a.wants_version);
    assert_null(a.command);
    arguments_deinit(&a);
}

/* Every command of a group has a summary and help that names all its flags. */
static void test_help_text(void **state)
{
    const struct command_set *set = &chronosctl_commands;
    struct buffer all, one;
    (void)state;
    buffer_init(&all, 1 << 20);
    help_program(set, &all);
    for (size_t i = 0; i < set->command_count; i++) {
        const struct command *command = &set->commands[i];
        assert_contains(all.data, command->name);
        buffer_init(&one, 1 << 20);
        help_command(set, command, &one);
        assert_contains(one.data, command->summary);
        if (command->group != NULL)
            assert_non_null(command->details);
        for (const struct flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++) {
            assert_contains(one.data, flag->name);
            assert_true((flag->value == NULL) == (flag->kind == FLAG_SWITCH));
        }
        for (char *line = one.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
            if (end - line > 120)
                fail_msg("help of %s has a line of %d characters", command->name, (int)(end - line));
        buffer_deinit(&one);
    }
    buffer_deinit(&all);
}

static void test_help_for(void **state)
{
    static const char *const job_list[] = {"jobs", "list"}, *const unknown[] = {"job", "lst"},
        *const version[] = {"version"};
    struct buffer out;
    struct error err;
    (void)state;
    buffer_init(&out, 1 << 20);
    assert_int_equal(help_for(&chronosctl_commands, job_list, 2, &out, &err), STATUS_OK);
    assert_contains(out.data, "Usage: chronosctl job list");
    buffer_clear(&out);
    assert_int_equal(help_for(&chronosctl_commands, job_list, 1, &out, &err), STATUS_OK);
    assert_contains(out.data, "Usage: chronosctl job COMMAND");
    buffer_clear(&out);
    assert_int_equal(help_for(&chronosctl_commands, version, 1, &out, &err), STATUS_OK);
    assert_contains(out.data, "Usage: chronosctl version\n");
    assert_int_equal(help_for(&chronosctl_commands, unknown, 2, &out, &err), STATUS_INVALID);
    assert_contains(err.message, "did you mean \"list\"?");
    buffer_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),     cmocka_unit_test(test_flags),   cmocka_unit_test(test_operands),
        cmocka_unit_test(test_two_timeouts), cmocka_unit_test(test_refused), cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_text),    cmocka_unit_test(test_help_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
