/* Runs scenarios: each file in a process of its own, so that a broken assertion of the core ends that one alone. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script.h"

static const char *file;
static unsigned line_number;
static char line_text[512];

static void say_where(void)
{
    fprintf(stderr, "%s:%u: %s\n", file, line_number, line_text);
}

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_where();
    fputs("  ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static void on_abort(int number)
{
    (void)number;
    say_where(); /* the process is lost anyway */
    _exit(1);
}

static enum status status_called(const char *name)
{
    if (strcmp(name, "DIVERGED") == 0)
        return STATUS_INTERNAL;
    for (int i = 0; i < STATUS_COUNT; i++)
        if (strcmp(status_name((enum status)i), name) == 0)
            return (enum status)i;
    fail("\"%s\" is not an outcome", name);
}

/* Words up to a comment; "=> STATUS" says how the command ends. */
static bool split_line(char *text, struct line *line)
{
    char *rest = NULL;
    *line = (struct line){.expected = STATUS_OK};
    text[strcspn(text, "#\n")] = '\0';
    for (char *at = strtok_r(text, " \t", &rest); at != NULL; at = strtok_r(NULL, " \t", &rest)) {
        if (strcmp(at, "=>") == 0) {
            at = strtok_r(NULL, " \t", &rest);
            line->expected = status_called(at != NULL ? at : "");
            break;
        }
        if (line->count == WORDS_MAX)
            fail("too many words");
        line->words[line->count++] = at;
    }
    return line->count > 0;
}

static void run_file(const char *path)
{
    char text[512];
    FILE *stream = fopen(path, "r");
    struct script script = {.world = world_new()};
    file = path;
    if (stream == NULL)
        fail("cannot open the file");
    signal(SIGABRT, on_abort);
    for (line_number = 1; fgets(text, sizeof text, stream) != NULL; line_number++) {
        text[strcspn(text, "\n")] = '\0';
        memcpy(line_text, text, sizeof line_text);
        if (split_line(text, &script.line))
            run_line(&script);
    }
    world_free(script.world);
    (void)fclose(stream);
}

static bool passes(const char *path)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run_file(path);
        exit(0); /* not _exit: what leaked is told on the way out */
    }
    if (child <= 0 || waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: ended by signal %d\n", path, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        bool passed = passes(argv[i]);
        const char *name = strrchr(argv[i], '/');
        printf("%s %s\n", passed ? "ok    " : "FAILED", name != NULL ? name + 1 : argv[i]);
        failed += !passed;
    }
    printf("%d scenarios, %d failed\n", argc - 1, failed);
    return failed > 0 || argc < 2 ? 1 : 0;
}
