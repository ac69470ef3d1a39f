/* chronosctl: the command line of Chronos. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ctl/invocation.h"
#include "ctl/token.h"

enum { TIMEOUT_MS = 30000, VERSION_TIMEOUT_MS = 3000 };

static const char default_server[] = "http://127.0.0.1:8080";

static void append_help(struct invocation *invocation)
{
    const struct arguments *arguments = &invocation->arguments;
    if (arguments->command != NULL)
        help_command(invocation->set, arguments->command, &invocation->out);
    else if (arguments->group != NULL)
        help_group(invocation->set, arguments->group, &invocation->out);
    else
        help_program(invocation->set, &invocation->out);
}

/* --- from the arguments --- */

static bool parse_format(const char *text, enum format *ret)
{
    static const char *const names[] = {"table", "json", "yaml", "name", NULL};
    for (int i = 0; names[i] != NULL; i++)
        if (text != NULL && strcmp(text, names[i]) == 0) {
            *ret = (enum format)i;
            return true;
        }
    return text == NULL; /* the default stays */
}

static bool wants_colour(const struct invocation *invocation)
{
    const char *terminal = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    return invocation->out_is_terminal && !arguments_switch(&invocation->arguments, "no-color", false) &&
           (no_colour == NULL || *no_colour == '\0') && (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

/* A command's own --timeout is not the request's, unless it came before the command and so was taken for the global
 * one. */
static int64_t request_timeout(const struct invocation *invocation)
{
    const struct arguments *arguments = &invocation->arguments;
    const char *text = arguments_text(arguments, "request-timeout");
    for (size_t i = arguments->given_count; i-- > 0 && text == NULL;)
        for (const struct flag *flag = invocation->set->global_flags; flag->name != NULL; flag++)
            if (arguments->given[i].flag == flag && strcmp(flag->name, "timeout") == 0)
                text = arguments->given[i].value;
    int64_t ms = arguments->command->run == run_version ? VERSION_TIMEOUT_MS : TIMEOUT_MS;
    struct error err;
    if (text != NULL && duration_parse(text, strlen(text), &ms, &err) != STATUS_OK)
        return TIMEOUT_MS; /* it was checked when it was read */
    return ms > 0 ? ms : 1;
}

static const char *server_list(const struct arguments *arguments)
{
    const char *given = arguments_text(arguments, "server"), *variable = getenv("CHRONOSCTL_SERVER");
    if (given != NULL)
        return given;
    if (variable != NULL && *variable != '\0')
        return variable;
    if (getenv("CHRONOS_SERVER") != NULL)
        complain(NULL, "warning: CHRONOS_SERVER is not looked at; the variable is CHRONOSCTL_SERVER");
    return default_server;
}

static enum status give_token(struct invocation *invocation, struct error *err)
{
    struct buffer token;
    buffer_init(&token, TOKEN_MAX + 1);
    enum status status = token_find(&invocation->arguments, &token, err);
    if (status == STATUS_OK && token.size > 0)
        status = client_set_token(invocation->client, buffer_bytes(&token), err);
    if (token.data != NULL)
        explicit_bzero(token.data, token.size);
    buffer_deinit(&token);
    return status;
}

static int run(struct invocation *invocation)
{
    struct error err;
    const struct arguments *arguments = &invocation->arguments;
    const char *format = arguments_text(arguments, "output");
    if (!parse_format(format, &invocation->format))
        return complain_usage("--output %s: it is table, json, yaml or name", format);
    if (client_new(server_list(arguments), request_timeout(invocation), &invocation->client, &err) != STATUS_OK)
        return complain_usage("%s", err.message);
    invocation->colour = wants_colour(invocation);
    int code = give_token(invocation, &err) == STATUS_OK ? arguments->command->run(invocation) : complain_usage("%s", err.message);
    client_free(invocation->client);
    return code;
}

int main(int argc, char **argv)
{
    struct invocation invocation = {.set = &chronosctl_commands, .out_is_terminal = isatty(STDOUT_FILENO) == 1};
    struct error err;
    int code = EXIT_CODE_OK;
    if (arguments_parse(invocation.set, argc, argv, &invocation.arguments, &err) != STATUS_OK)
        return complain_usage("%s", err.message);
    invocation.now_ms = clock_system.wall_ms(clock_system.arg);
    buffer_init(&invocation.out, OUT_BYTES_MAX);
    if (invocation.arguments.wants_help)
        append_help(&invocation);
    else if (invocation.arguments.command == NULL)
        buffer_append_string(&invocation.out, "chronosctl " CHRONOS_VERSION "\n");
    else
        code = run(&invocation);
    int printed = invocation_print(&invocation);
    buffer_deinit(&invocation.out);
    arguments_deinit(&invocation.arguments);
    return code != EXIT_CODE_OK ? code : printed;
}
