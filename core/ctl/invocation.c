#include "ctl/invocation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/json_to_yaml.h"
#include "ctl/show.h"

int invocation_print(struct invocation *invocation)
{
    struct buffer *out = &invocation->out;
    int code = EXIT_CODE_OK;
    if (out->failed != STATUS_OK) {
        complain(NULL, "the output does not fit into memory; a filter or --limit makes it shorter");
        code = EXIT_CODE_REFUSED;
    } else if ((out->size > 0 && fwrite(out->data, 1, out->size, stdout) != out->size) || fflush(stdout) != 0) {
        complain(NULL, "cannot write the output: %s", strerror(errno));
        code = EXIT_CODE_REFUSED;
    }
    buffer_clear(out);
    return code;
}

int invocation_show(struct invocation *invocation, const cJSON *value)
{
    struct error err;
    if (invocation->format == FORMAT_JSON)
        show_json(value, &invocation->out);
    else if (json_to_yaml(value, &invocation->out, &err) != STATUS_OK)
        return complain_error(NULL, &err);
    return EXIT_CODE_OK;
}

int invocation_table(struct invocation *invocation, struct table *table)
{
    table_print(table, invocation->colour, &invocation->out);
    table_deinit(table);
    return EXIT_CODE_OK;
}
