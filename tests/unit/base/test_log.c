#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "check.h"

static int ends[2]; /* the logger writes to ends[1] */
static char read_text[1 << 16];

static int open_pipe(void **state)
{
    (void)state;
    return pipe2(ends, O_CLOEXEC | O_NONBLOCK);
}

static int close_pipe(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, STDERR_FILENO);
    return close(ends[0]) | close(ends[1]);
}

/* What was logged since the last call. */
static const char *logged(void)
{
    ssize_t size = read(ends[0], read_text, sizeof read_text - 1);
    read_text[size > 0 ? size : 0] = '\0';
    return read_text;
}

/* The line behind its time, which must be one. */
static const char *logged_after_time(void)
{
    const char *line = logged();
    int64_t ms;
    struct error err;
    assert_true(strlen(line) > 25);
    assert_int_equal(time_parse(line, 24, &ms, &err), STATUS_OK);
    assert_int_equal(line[24], ' ');
    return line + 25;
}

static void writes_text(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, ends[1]);
    LOG_INFO("became leader", LOG_U64("term", UINT64_MAX), LOG_STRING("node_id", "chronos-1"));
    assert_string_equal(logged_after_time(), "INFO  became leader term=18446744073709551615 node_id=chronos-1\n");
    LOG_ERROR("bare");
    assert_string_equal(logged_after_time(), "ERROR bare\n");
    LOG_WARN("all", LOG_INT("i", INT64_MIN), LOG_BOOL("yes", true), LOG_BOOL("no", 0), LOG_MS("took", 1500),
             LOG_STRING("none", NULL), LOG_STRING("empty", ""));
    assert_string_equal(logged_after_time(),
                        "WARN  all i=-9223372036854775808 yes=true no=false took=1s500ms none=null empty=\"\"\n");
    struct error err;
    (void)error_set(&err, STATUS_IO, "open x: failed");
    LOG_DEBUG("failed", LOG_ERROR_FIELD(&err));
    assert_string_equal(logged_after_time(), "DEBUG failed error=\"open x: failed\"\n");
}

/* As systemd tells a service that this very descriptor is the journal's. */
static void tells_the_journal_priorities(void **state)
{
    (void)state;
    struct stat file;
    char stream[64];
    assert_int_equal(fstat(ends[1], &file), 0);
    (void)snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)file.st_dev, (uintmax_t)file.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, ends[1]);
    static const char *const priorities[LOG_LEVEL_COUNT] = {"<7>", "<6>", "<4>", "<3>"};
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        LOG_EVENT((enum log_level)i, "seen");
        assert_memory_equal(logged(), priorities[i], 3);
    }
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, ends[1]);
    LOG_WARN("seen");
    assert_memory_equal(logged(), "<4>{", 4);
    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0); /* another descriptor's, as where `output` is a file */
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, ends[1]);
    LOG_WARN("seen");
    assert_memory_equal(logged(), "{", 1);
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

static void writes_json(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, ends[1]);
    LOG_WARN("say \"hi\"\n", LOG_U64("term", 3), LOG_STRING("s", "a b\t\x01\xC3\xA9\x7F\xFF"), LOG_BOOL("b", true),
             LOG_MS("took", 90000), LOG_STRING("none", NULL), LOG_INT("i", -1));
    const char *line = logged();
    cJSON *tree = NULL;
    struct error err;
    assert_int_equal(json_parse(line, strlen(line), &tree, &err), STATUS_OK);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "level")->valuestring, "warn");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "event")->valuestring, "say \"hi\"\n");
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(tree, "term")->valueint, 3);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "s")->valuestring, "a b\t\x01\xC3\xA9\x7F\xEF\xBF\xBD");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(tree, "b")));
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(tree, "took")->valuestring, "1m30s");
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(tree, "none")));
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(tree, "i")->valueint, -1);
    int64_t ms;
    const char *time = cJSON_GetObjectItemCaseSensitive(tree, "time")->valuestring;
    assert_int_equal(time_parse(time, strlen(time), &ms, &err), STATUS_OK);
    cJSON_Delete(tree);
}

static void text_cannot_be_forged(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a b", "\"a b\""},
        {"a\nINFO  forged", "\"a\\nINFO  forged\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"\xC2\x9B" "31m", "\"\\u009b31m\""},
        {"x=1", "\"x=1\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"\xC3\xA9", "\"\xC3\xA9\""},
        {"\xFF", "\"\xEF\xBF\xBD\""},
        {"10.0.0.1:80/a-b_c%", "10.0.0.1:80/a-b_c%"},
    };
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, ends[1]);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char expected[100];
        (void)snprintf(expected, sizeof expected, "INFO  e v=%s\n", cases[i][1]);
        LOG_INFO("e", LOG_STRING("v", cases[i][0]));
        assert_string_equal(logged_after_time(), expected);
    }
}

static void levels_filter(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, ends[1]);
    assert_int_equal(log_lowest(), LOG_LEVEL_WARN);
    LOG_DEBUG("no");
    LOG_INFO("no");
    assert_string_equal(logged(), "");
    LOG_WARN("yes");
    assert_string_equal(logged_after_time(), "WARN  yes\n");
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_true(log_enabled(LOG_LEVEL_ERROR));
}

static void level_names(void **state)
{
    (void)state;
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        enum log_level level = LOG_LEVEL_COUNT;
        assert_true(log_level_parse(log_level_name((enum log_level)i), &level));
        assert_int_equal(level, i);
    }
    static const char *const bad[] = {"", "INFO", "warning", "trace", "infox"};
    enum log_level level = LOG_LEVEL_ERROR;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(log_level_parse(bad[i], &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_string_equal(log_level_name(LOG_LEVEL_COUNT), "unknown");
}

static void long_values_are_cut(void **state)
{
    (void)state;
    static char value[5000];
    memset(value, 'a', sizeof value - 1);
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, ends[1]);
    LOG_INFO("e", LOG_STRING("v", value), LOG_INT("after", 1));
    const char *line = logged_after_time();
    assert_memory_equal(line, "INFO  e v=\"aaa", 14);
    assert_string_equal(strchr(line, '.'), "...\" after=1\n");
    assert_int_equal(strchr(line, '.') - strchr(line, '"') - 1, 1024);
    value[1024] = '\0';
    LOG_INFO("e", LOG_STRING("v", value));
    line = logged_after_time();
    assert_int_equal(strlen(line), strlen("INFO  e v=\n") + 1024);
    value[1024] = 'a';
}

/* Control characters take six bytes each in JSON: the line still fits, and is still JSON. */
static void long_lines_leave_fields_off(void **state)
{
    (void)state;
    static char value[3000];
    memset(value, '\x01', sizeof value - 1);
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        log_setup(LOG_LEVEL_DEBUG, (enum log_format)format, ends[1]);
        LOG_INFO(value, LOG_STRING("a", value), LOG_STRING("b", value), LOG_STRING("c", value), LOG_STRING("d", value),
                 LOG_STRING("e", value), LOG_INT("small", 7));
        const char *line = logged();
        assert_in_range(strlen(line), 3000, PIPE_BUF);
        assert_non_null(strstr(line, "small"));
        assert_non_null(strstr(line, "fields_left_off"));
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    }
    cJSON *tree = NULL;
    struct error err;
    assert_int_equal(json_parse(read_text, strlen(read_text), &tree, &err), STATUS_OK);
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(tree, "small")->valueint, 7);
    assert_null(cJSON_GetObjectItemCaseSensitive(tree, "e"));
    cJSON_Delete(tree);
}

/* The write end blocks, as a terminal or a supervisor's pipe does; nobody reads. */
static void a_full_pipe_drops_lines(void **state)
{
    (void)state;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, ends[1]);
    uint64_t before = log_dropped_count();
    for (int i = 0; i < 10000; i++)
        LOG_INFO("a line to fill the pipe", LOG_INT("i", i));
    assert_true(log_dropped_count() > before);
    while (logged()[0])
        ;
    before = log_dropped_count();
    LOG_INFO("room again");
    assert_string_equal(logged_after_time(), "INFO  room again\n");
    assert_true(log_dropped_count() == before);
}

static void a_failing_write_is_counted(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, fd);
    uint64_t before = log_dropped_count();
    errno = EDOM;
    LOG_INFO("lost");
    assert_int_equal(errno, EDOM);
    assert_true(log_dropped_count() == before + 1);
    (void)close(fd);
    LOG_INFO("to a closed descriptor");
    assert_true(log_dropped_count() == before + 2);
}

enum { THREADS = 4, LINES = 500 };

static void *log_many(void *arg)
{
    for (int i = 0; i < LINES; i++)
        LOG_INFO("many", LOG_INT("thread", (intptr_t)arg), LOG_INT("i", i));
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, fileno(file));
    uint64_t before = log_dropped_count();
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(log_dropped_count() == before);
    rewind(file);
    int next[THREADS] = {0}, count = 0;
    for (char line[200]; fgets(line, sizeof line, file); count++) {
        int thread, i, size = 0;
        assert_int_equal(sscanf(line + 24, " INFO  many thread=%d i=%d\n%n", &thread, &i, &size), 2);
        assert_int_equal(size, strlen(line) - 24);
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(i, next[thread]++);
    }
    assert_int_equal(count, THREADS * LINES);
    (void)fclose(file);
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PIPE(writes_text),
        WITH_PIPE(tells_the_journal_priorities),
        WITH_PIPE(writes_json),
        WITH_PIPE(text_cannot_be_forged),
        WITH_PIPE(levels_filter),
        WITH_PIPE(level_names),
        WITH_PIPE(long_values_are_cut),
        WITH_PIPE(long_lines_leave_fields_off),
        WITH_PIPE(a_full_pipe_drops_lines),
        WITH_PIPE(a_failing_write_is_counted),
        WITH_PIPE(threads_do_not_mix_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
