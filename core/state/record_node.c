/* `nodes`: what each daemon said of itself when its session began. */
#include <assert.h>
#include <string.h>

#include "state/record_internal.h"

void node_row_encode(const struct node_row *node, struct buffer *out)
{
    assert(node->executor_count <= NODE_EXECUTORS_MAX && node->tag_count <= NODE_TAGS_MAX);
    put_u8(out, ROW_FORMAT);
    put_string(out, node->name);
    put_u64(out, node->session);
    put_u32(out, node->capacity);
    put_i64(out, node->since_ms);
    put_i64(out, node->lease_ms);
    put_string(out, node->version);
    put_u8(out, (uint8_t)node->executor_count);
    for (uint32_t i = 0; i < node->executor_count; i++)
        put_string(out, node->executors[i]);
    put_u8(out, (uint8_t)node->tag_count);
    for (uint32_t i = 0; i < node->tag_count; i++)
        put_string(out, node->tags[i]);
}

static void take_tag(struct reader *r, char out[NODE_TAG_TEXT_SIZE])
{
    take_string(r, out, NODE_TAG_TEXT_SIZE);
    r->failed = r->failed || strchr(out, '=') == NULL;
}

enum status node_row_decode(struct bytes row, struct node_row *ret, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    enum status status = row_open(&r, "nodes", err);
    if (status)
        return status;
    struct node_row node = {.session = 0};
    take_string(&r, node.name, sizeof node.name);
    node.session = take_u64(&r);
    node.capacity = take_u32(&r);
    node.since_ms = take_i64(&r);
    node.lease_ms = take_i64(&r);
    take_string(&r, node.version, sizeof node.version);
    node.executor_count = take_enum(&r, NODE_EXECUTORS_MAX + 1);
    for (uint32_t i = 0; i < node.executor_count; i++)
        take_string(&r, node.executors[i], sizeof node.executors[i]);
    node.tag_count = take_enum(&r, NODE_TAGS_MAX + 1);
    for (uint32_t i = 0; i < node.tag_count; i++)
        take_tag(&r, node.tags[i]);
    status = row_close(&r, "nodes", err);
    if (status)
        return status;
    *ret = node;
    return STATUS_OK;
}
