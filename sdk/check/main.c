/* chronos-plugin-check: does a plugin keep the contract of the headers in include/chronos/? */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"

enum { MAX_OVERRIDES = 32, TIMEOUT_FACTOR_MAX = 100 };

struct options {
    const char *so_path;
    const char *component_id;
    const char *directory;
    const char *cases;    /* comma-separated names */
    const char *overrides[MAX_OVERRIDES + 1];
    regex_t include;
    bool has_include;
    bool in_process;
    bool json;
    bool strict;
    bool list;
    bool bench;
    uint64_t seed;
    unsigned timeout_factor;
};

/* What a case's process hands back through its pipe. */
struct report {
    int32_t outcome; /* enum kit_outcome */
    char text[KIT_MESSAGE_SIZE];
};

struct totals {
    unsigned passed;
    unsigned failed;
    unsigned skipped;
    struct report last;  /* what was printed in full */
    unsigned repeated;   /* cases behind it that ended the same way, for the same reason */
};

static const struct kit_case *const SUITES[] = {
    CASES_COMMON, CASES_STORAGE, CASES_STORAGE_RANDOM, CASES_STORAGE_FAULTS, CASES_STORAGE_DAMAGE,
};

_Noreturn void kit_fail(struct kit *kit, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(kit->message, sizeof(kit->message), format, arguments); /* a longer message is cut */
    va_end(arguments);
    kit->outcome = KIT_FAILED;
    longjmp(kit->out, 1);
}

_Noreturn void kit_skip(struct kit *kit, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(kit->message, sizeof(kit->message), format, arguments); /* a longer message is cut */
    va_end(arguments);
    kit->outcome = KIT_SKIPPED;
    longjmp(kit->out, 1);
}

void kit_note(struct kit *kit, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(kit->note, sizeof(kit->note), format, arguments); /* a longer note is cut */
    va_end(arguments);
}

static void run_case(const struct options *options, const struct kit_case *test, const char *scratch,
                     struct report *report)
{
    struct kit *kit = calloc(1, sizeof(*kit));

    *report = (struct report){.outcome = KIT_FAILED, .text = "no memory"};
    if (kit == NULL) {
        return;
    }
    kit->so_path = options->so_path;
    kit->component_id = options->component_id;
    kit->overrides = options->overrides;
    kit->seed = options->seed;
    kit->random = options->seed;
    (void)snprintf(kit->scratch, sizeof(kit->scratch), "%s", scratch); /* made by make_scratch: it fits */
    if (setjmp(kit->out) == 0) {
        kit_load(kit);
        if (test->kind != 0 && kit->component->kind != test->kind) {
            kit_skip(kit, "component \"%s\" is of another kind", kit->component->id);
        }
        test->run(kit);
        report->outcome = KIT_PASSED;
        (void)snprintf(report->text, sizeof(report->text), "%s", kit->note); /* the same size */
    } else {
        report->outcome = (int32_t)kit->outcome;
        (void)snprintf(report->text, sizeof(report->text), "%s", kit->message); /* the same size */
    }
    free(kit);
}

static bool make_scratch(const struct options *options, char *path, size_t size)
{
    int length = snprintf(path, size, "%s/chronos-check-XXXXXX", options->directory);

    return length > 0 && (size_t)length < size && mkdtemp(path) != NULL;
}

/* Waits until the case's process has ended, or its time is up. */
static bool wait_for_end(pid_t child, int pipe_fd, struct report *report, unsigned seconds)
{
    int64_t deadline = monotonic_ms() + (int64_t)seconds * 1000;
    struct pollfd ready = {.fd = pipe_fd, .events = POLLIN};
    int64_t left = (int64_t)seconds * 1000;

    while (left > 0) {
        int n = poll(&ready, 1, (int)left);

        if (n > 0) {
            /* The report, or the end of the pipe after a crash. */
            if (read(pipe_fd, report, sizeof(*report)) != (ssize_t)sizeof(*report)) {
                report->outcome = -1;
            }
            return true;
        }
        if (n < 0 && errno != EINTR) {
            break;
        }
        left = deadline - monotonic_ms();
    }
    (void)kill(-child, SIGKILL); /* gone already is fine */
    return false;
}

static void judge_end(pid_t child, struct report *report)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    (void)kill(-child, SIGKILL); /* what a broken plugin left running; usually nothing */
    if (WIFSIGNALED(status)) {
        report->outcome = KIT_FAILED;
        (void)snprintf(report->text, sizeof(report->text), "died of signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status))); /* fits */
    } else if (report->outcome == -1 || WEXITSTATUS(status) != 0) {
        report->outcome = KIT_FAILED;
        (void)snprintf(report->text, sizeof(report->text), "ended with exit code %d before the case was over",
                       WEXITSTATUS(status)); /* fits */
    }
}

static void run_in_child(const struct options *options, const struct kit_case *test, const char *scratch,
                         struct report *report)
{
    unsigned seconds = test->timeout_seconds * options->timeout_factor;
    int ends[2];
    pid_t child;

    *report = (struct report){.outcome = KIT_FAILED, .text = "cannot start a process"};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    (void)fflush(NULL); /* nothing may be written twice */
    child = fork();
    if (child < 0) {
        (void)close(ends[0]);
        (void)close(ends[1]); /* both unused */
        return;
    }
    if (child == 0) {
        (void)close(ends[0]);   /* the parent's end */
        (void)setpgid(0, 0);    /* so that a time-out ends the helpers too */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_case(options, test, scratch, report);
        _exit(write(ends[1], report, sizeof(*report)) == (ssize_t)sizeof(*report) ? 0 : 1);
    }
    (void)setpgid(child, child); /* whoever comes first */
    (void)close(ends[1]);        /* the child's end */
    if (wait_for_end(child, ends[0], report, seconds)) {
        judge_end(child, report);
    } else {
        judge_end(child, report);
        report->outcome = KIT_FAILED;
        (void)snprintf(report->text, sizeof(report->text), "not done after %u s", seconds); /* fits */
    }
    (void)close(ends[0]); /* only read */
}

static bool is_listed(const char *list, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = list; (at = strstr(at, name)) != NULL; at += size) {
        if ((at == list || at[-1] == ',') && (at[size] == ',' || at[size] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct options *options, const struct kit_case *test)
{
    if (options->cases != NULL && !is_listed(options->cases, test->name)) {
        return false;
    }
    return !options->has_include || regexec(&options->include, test->name, 0, NULL, 0) == 0;
}

static void print_json_text(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\') {
            (void)printf("\\%c", byte);
        } else if (byte < 0x20) {
            (void)printf("\\u%04x", byte);
        } else {
            (void)putchar(byte);
        }
    }
    (void)putchar('"');
}

static void print_result(const struct options *options, const struct kit_case *test, const struct report *report,
                         int64_t ms, bool first)
{
    static const char *const WORDS[] = {[KIT_PASSED] = "pass", [KIT_FAILED] = "FAIL", [KIT_SKIPPED] = "skip"};
    static const char *const JSON_WORDS[] = {
        [KIT_PASSED] = "passed", [KIT_FAILED] = "failed", [KIT_SKIPPED] = "skipped"};

    if (options->json) {
        (void)printf("%s\n    {\"name\": \"%s\", \"result\": \"%s\", \"ms\": %lld, \"message\": ", first ? "" : ",",
                     test->name, JSON_WORDS[report->outcome], (long long)ms);
        print_json_text(report->text);
        (void)printf("}");
        return;
    }
    (void)printf("%s  %-32s %6lld ms  %s\n", WORDS[report->outcome], test->name, (long long)ms, report->text);
    if (report->outcome == KIT_FAILED) {
        (void)printf("      again: chronos-plugin-check --seed %llu --cases %s %s\n", (unsigned long long)options->seed,
                     test->name, options->so_path);
    }
    (void)fflush(stdout); /* one line at a time, for those who watch */
}

/* The line for those that were not printed. */
static void print_repeated(struct totals *totals)
{
    if (totals->repeated > 0) {
        (void)printf("      the same for %u more\n", totals->repeated);
    }
    totals->repeated = 0;
}

/* One cause, be it another kind of plugin or a file that is none, is told once. */
static bool is_repeated(const struct options *options, const struct report *report, struct totals *totals)
{
    bool same = !options->json && report->outcome != KIT_PASSED && report->outcome == totals->last.outcome &&
                strcmp(report->text, totals->last.text) == 0;

    totals->repeated += same;
    if (!same) {
        print_repeated(totals);
    }
    totals->last = *report;
    return same;
}

static void run_one(const struct options *options, const struct kit_case *test, struct totals *totals)
{
    char scratch[KIT_PATH_SIZE / 2];
    struct report report = {.outcome = KIT_FAILED};
    int64_t start = monotonic_ms();
    bool first = totals->passed + totals->failed + totals->skipped == 0;

    if (!make_scratch(options, scratch, sizeof(scratch))) {
        (void)snprintf(report.text, sizeof(report.text), "cannot make a directory in %s: %s", options->directory,
                       strerror(errno)); /* a longer message is cut */
    } else {
        if (options->in_process) {
            run_case(options, test, scratch, &report);
        } else {
            run_in_child(options, test, scratch, &report);
        }
        remove_tree(scratch);
    }
    if (!is_repeated(options, &report, totals)) {
        print_result(options, test, &report, monotonic_ms() - start, first);
    }
    totals->passed += report.outcome == KIT_PASSED;
    totals->failed += report.outcome == KIT_FAILED;
    totals->skipped += report.outcome == KIT_SKIPPED;
}

static int run_all(const struct options *options)
{
    struct totals totals = {0};
    int64_t start = monotonic_ms();

    if (options->json) {
        (void)printf("{\"plugin\": ");
        print_json_text(options->so_path);
        (void)printf(", \"seed\": %llu, \"cases\": [", (unsigned long long)options->seed);
    } else {
        (void)printf("chronos-plugin-check %s, seed %llu\n", options->so_path, (unsigned long long)options->seed);
    }
    for (size_t i = 0; i < sizeof(SUITES) / sizeof(SUITES[0]); i++) {
        for (const struct kit_case *test = SUITES[i]; test->name != NULL; test++) {
            if (is_wanted(options, test)) {
                run_one(options, test, &totals);
            }
        }
    }
    print_repeated(&totals);
    if (options->json) {
        (void)printf("\n  ],\n  \"passed\": %u, \"failed\": %u, \"skipped\": %u, \"ms\": %lld}\n", totals.passed,
                     totals.failed, totals.skipped, (long long)(monotonic_ms() - start));
    } else {
        (void)printf("%u passed, %u failed, %u skipped in %.1f s\n", totals.passed, totals.failed, totals.skipped,
                     (double)(monotonic_ms() - start) / 1000);
    }
    if (totals.passed + totals.skipped + totals.failed == 0) {
        (void)fprintf(stderr, "chronos-plugin-check: no case has such a name (--list shows them)\n");
        return 2;
    }
    return totals.failed > 0 || (options->strict && totals.skipped > 0) ? 1 : 0;
}

static int list_cases(void)
{
    for (size_t i = 0; i < sizeof(SUITES) / sizeof(SUITES[0]); i++) {
        for (const struct kit_case *test = SUITES[i]; test->name != NULL; test++) {
            (void)printf("%-32s %s\n", test->name, test->summary);
        }
    }
    return 0;
}

static int run_bench(const struct options *options)
{
    const struct kit_case bench = {.name = "bench", .run = bench_run, .kind = CHRONOS_KIND_STORAGE};
    struct report report;
    char scratch[KIT_PATH_SIZE / 2];

    if (!make_scratch(options, scratch, sizeof(scratch))) {
        (void)fprintf(stderr, "chronos-plugin-check: cannot make a directory in %s: %s\n", options->directory,
                      strerror(errno));
        return 1;
    }
    run_case(options, &bench, scratch, &report);
    remove_tree(scratch);
    if (report.outcome != KIT_PASSED) {
        (void)fprintf(stderr, "chronos-plugin-check: %s\n", report.text);
    }
    return report.outcome == KIT_PASSED ? 0 : 1;
}

static void usage(FILE *to)
{
    (void)fprintf(to,
                  "Usage: chronos-plugin-check [options] PLUGIN.so\n"
                  "Checks that a plugin keeps the contract of the Chronos plugin ABI. Each case runs in its own\n"
                  "process.\n"
                  "\n"
                  "  --include REGEX     only the cases whose name matches (POSIX extended)\n"
                  "  --cases LIST        only these cases, separated by commas\n"
                  "  --list              print the cases\n"
                  "  --component ID      the component to check (default: the first one)\n"
                  "  --option KEY=VALUE  configuration of the component (may be repeated)\n"
                  "  --seed N            seed of the random cases (default: random, printed)\n"
                  "  --dir DIRECTORY     where scratch directories are made (default: $TMPDIR or /tmp)\n"
                  "  --in-process        run the cases in this process, for debuggers\n"
                  "  --timeout-factor N  multiply every case's time-out (slow machines, sanitizers)\n"
                  "  --strict            a skipped case is a failure\n"
                  "  --json              one JSON document instead of the table\n"
                  "  --bench             measure instead of checking: JSON lines\n"
                  "\n"
                  "Exit code: 0 no case failed, 1 some did, 2 wrong usage.\n");
}

static bool parse_number(const char *text, uint64_t *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static bool add_override(struct options *options, const char *text)
{
    size_t count = 0;

    while (options->overrides[count] != NULL) {
        count++;
    }
    if (count == MAX_OVERRIDES || strchr(text, '=') == NULL) {
        return false;
    }
    options->overrides[count] = text;
    return true;
}

static bool take_option(struct options *options, int option, const char *argument)
{
    uint64_t number = 0;

    switch (option) {
    case 'i':
        options->has_include = regcomp(&options->include, argument, REG_EXTENDED | REG_NOSUB) == 0;
        return options->has_include;
    case 'c':
        options->cases = argument;
        return true;
    case 'l':
        options->list = true;
        return true;
    case 'k':
        options->component_id = argument;
        return true;
    case 'o':
        return add_override(options, argument);
    case 's':
        return parse_number(argument, &options->seed);
    case 'd':
        options->directory = argument;
        return true;
    case 'p':
        options->in_process = true;
        return true;
    case 't':
        options->timeout_factor = 1;
        if (!parse_number(argument, &number) || number < 1 || number > TIMEOUT_FACTOR_MAX) {
            return false;
        }
        options->timeout_factor = (unsigned)number;
        return true;
    case 'x':
        options->strict = true;
        return true;
    case 'j':
        options->json = true;
        return true;
    case 'b':
        options->bench = true;
        return true;
    default:
        return false;
    }
}

/* 0: go on; otherwise the exit code plus one. */
static int parse_arguments(struct options *options, int argc, char **argv)
{
    static const struct option LONG[] = {
        {"include", required_argument, NULL, 'i'},   {"cases", required_argument, NULL, 'c'},
        {"list", no_argument, NULL, 'l'},            {"component", required_argument, NULL, 'k'},
        {"option", required_argument, NULL, 'o'},    {"seed", required_argument, NULL, 's'},
        {"dir", required_argument, NULL, 'd'},       {"in-process", no_argument, NULL, 'p'},
        {"timeout-factor", required_argument, NULL, 't'}, {"strict", no_argument, NULL, 'x'},
        {"json", no_argument, NULL, 'j'},            {"bench", no_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},            {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", LONG, NULL)) != -1) {
        if (option == 'h') {
            usage(stdout);
            return 1;
        }
        if (!take_option(options, option, optarg)) {
            if (option != '?') {
                (void)fprintf(stderr, "chronos-plugin-check: \"%s\" is not a valid argument\n", optarg);
            }
            usage(stderr);
            return 3;
        }
    }
    if (!options->list && optind != argc - 1) {
        usage(stderr);
        return 3;
    }
    options->so_path = argv[optind];
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.directory = getenv("TMPDIR"), .timeout_factor = 1};
    char *resolved = NULL;
    int code;

    if (options.directory == NULL || options.directory[0] == '\0') {
        options.directory = "/tmp";
    }
    if (getrandom(&options.seed, sizeof(options.seed), 0) != (ssize_t)sizeof(options.seed)) {
        options.seed = (uint64_t)monotonic_ms(); /* printed all the same */
    }
    options.seed &= 0xffffffffu; /* easier to copy */
    code = parse_arguments(&options, argc, argv);
    if (code != 0) {
        return code - 1;
    }
    if (options.list) {
        return list_cases();
    }
    resolved = realpath(options.so_path, NULL); /* dlopen would search a bare name elsewhere */
    if (resolved == NULL) {
        (void)fprintf(stderr, "chronos-plugin-check: %s: %s\n", options.so_path, strerror(errno));
        return 2;
    }
    options.so_path = resolved;
    code = options.bench ? run_bench(&options) : run_all(&options);
    if (options.has_include) {
        regfree(&options.include);
    }
    free(resolved);
    return code;
}
