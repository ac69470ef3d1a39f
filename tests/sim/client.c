/* Clients: proposals with unique numbers, and reads whose answers must not be older than what was committed when they asked. */
#include "stack.h"

#include <string.h>

#include "base/codec.h"

enum { BURST_MAX = 200, BACKLOG_MAX = 300, APPLY_BACKLOG_MAX = 1000, APPLY_BACKLOG_CALM = 50 };

bool client_propose(struct sim *sim, struct node *node, uint32_t count)
{
    struct bytes commands[BURST_MAX] = {{0}};
    struct raft_log_id first;
    uint64_t ops[BURST_MAX], backlog_max = sim->client_calm ? APPLY_BACKLOG_CALM : APPLY_BACKLOG_MAX;
    if (count > BURST_MAX)
        count = BURST_MAX;
    if (node->disk.full_until > sim->now || node->status.last.index > node->status.commit + BACKLOG_MAX ||
        node->status.last.index > node->machine.applied.index + backlog_max)
        return false; /* the owner refuses before the core is asked */
    for (uint32_t i = 0; i < count; i++) {
        size_t size = sim->options.full ? STACK_NOOP_SIZE : 8 + sim_below(sim, sim->options.payload_max + 1);
        uint8_t *data = sim_alloc(sim, size);
        ops[i] = oracle_new_op(sim);
        if (sim->options.full)
            stack_noop(sim, node, data);
        else
            store_le64(data, ops[i]);
        commands[i] = (struct bytes){data, size};
    }
    enum status status = raft_propose(node->raft, commands, count, &first);
    TRACE(sim, node, "propose %u: %s, at %llu", count, status_name(status),
          (unsigned long long)(status == STATUS_OK ? first.index : 0));
    for (uint32_t i = 0; i < count && status != STATUS_OK; i++)
        sim->oracle.ops[ops[i]] = OP_REFUSED;
    sim->stats.events++;
    node_settle_later(sim, node);
    return status == STATUS_OK;
}

void client_read(struct sim *sim, struct node *node)
{
    uint64_t ctx = ++node->next_ctx;
    if (node->read_count == READS_MAX)
        return;
    enum status status = raft_read_index(node->raft, ctx);
    TRACE(sim, node, "read %llu: %s", (unsigned long long)ctx, status_name(status));
    if (status == STATUS_OK)
        node->reads[node->read_count++] = (struct read_op){ctx, sim->oracle.commit};
    sim->stats.events++;
    node_settle_later(sim, node);
}

/* Linearizable: nothing that anybody could have been told of before the question is missing from the answer. */
void client_answered(struct sim *sim, struct node *node, const struct raft_read_state *read)
{
    uint32_t i = 0;
    while (i < node->read_count && node->reads[i].ctx != read->ctx)
        i++;
    if (i == node->read_count)
        sim_fail(sim, "reads: %s answers %llu, which was not asked or is answered already", node_name(sim, node->id),
                 (unsigned long long)read->ctx);
    TRACE(sim, node, "read %llu answered: %s, index %llu", (unsigned long long)read->ctx, status_name(read->status),
          (unsigned long long)read->index);
    if (read->status == STATUS_OK) {
        sim->stats.reads++;
        if (read->index < node->reads[i].floor)
            sim_fail(sim, "linearizable reads: %s answers with index %llu though %llu was committed when it was asked",
                     node_name(sim, node->id), (unsigned long long)read->index, (unsigned long long)node->reads[i].floor);
    }
    node->read_count--;
    memmove(&node->reads[i], &node->reads[i + 1], (node->read_count - i) * sizeof node->reads[0]);
}

static struct node *somebody(struct sim *sim)
{
    struct node *node = sim_below(sim, 4) > 0 ? leader_node(sim) : NULL;
    if (node == NULL)
        node = &sim->nodes[sim_below(sim, sim->node_count)];
    return node->up && !node->broken && node->paused_until <= sim->now ? node : NULL;
}

void client_event(struct sim *sim)
{
    struct node *node = somebody(sim);
    if (!sim->client_quiet)
        event_push(sim, sim->now + sim_about(sim, sim->options.client_every), EVENT_CLIENT, NULL, NULL, 0, 0);
    if (node == NULL)
        return;
    if (sim_below(sim, 100) < sim->options.read_share)
        client_read(sim, node);
    else
        (void)client_propose(sim, node, 1 + (uint32_t)sim_below(sim, 1 + sim_below(sim, sim->options.burst_max)));
}
