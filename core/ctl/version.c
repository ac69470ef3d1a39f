/* version and help: what can be said without a server. */
#include <string.h>

#include "base/json.h"
#include "ctl/invocation.h"
#include "ctl/show.h"
#include "ctl/text.h"

static int append_versions(struct invocation *invocation, const char *server, const char *version)
{
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML) {
        cJSON *versions = cJSON_CreateObject();
        if (versions == NULL || cJSON_AddStringToObject(versions, "client", CHRONOS_VERSION) == NULL ||
            !cJSON_AddItemToObject(versions, "server",
                                   version != NULL ? cJSON_CreateString(version) : cJSON_CreateNull())) {
            cJSON_Delete(versions);
            complain(NULL, "out of memory");
            return EXIT_CODE_REFUSED;
        }
        int code = invocation_show(invocation, versions);
        cJSON_Delete(versions);
        return code;
    }
    buffer_appendf(&invocation->out, "chronosctl %s\n", CHRONOS_VERSION);
    if (invocation->format == FORMAT_NAME)
        return EXIT_CODE_OK;
    buffer_append_string(&invocation->out, "server     ");
    text_append_safe(&invocation->out, version != NULL ? version : "not reached",
                     strlen(version != NULL ? version : "not reached"), TEXT_ONE_LINE);
    buffer_appendf(&invocation->out, " (%s)\n", server);
    return EXIT_CODE_OK;
}

/* Which version this is can be said without a server. */
int run_version(struct invocation *invocation)
{
    struct response response = {.status = 0};
    struct error err;
    cJSON *json = NULL;
    if (client_call(invocation->client, &(struct request){.method = "GET", .path = "/version"}, &response,
                    &err) == STATUS_OK &&
        response.status == 200 && json_parse(response.body.data, response.body.size, &json, &err) != STATUS_OK)
        json = NULL; /* not Chronos: no version */
    int code = append_versions(invocation, client_server(invocation->client), member_string(json, "version"));
    cJSON_Delete(json);
    response_deinit(&response);
    return code;
}

int run_help(struct invocation *invocation)
{
    struct error err;
    const struct arguments *arguments = &invocation->arguments;
    if (help_for(invocation->set, arguments->operands, arguments->operand_count, &invocation->out, &err) == STATUS_OK)
        return EXIT_CODE_OK;
    return complain_usage("%s", err.message);
}
