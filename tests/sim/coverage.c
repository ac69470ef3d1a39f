/* Which messages met which role and progress state, under which faults. */
#include "sim.h"

static uint32_t progress_of(const struct node *node, uint64_t id)
{
    for (uint32_t i = 0; node->status.role == RAFT_LEADER && i < node->status.peer_count; i++)
        if (node->status.peers[i].id == id)
            return 1 + (uint32_t)node->status.peers[i].state;
    return 0;
}

void coverage_message(struct sim *sim, const struct node *node, const struct raft_message *message)
{
    uint64_t *cells = sim->coverage->cells[node->status.role][message->type][progress_of(node, message->from)];
    bool any = false;
    for (uint32_t fault = 1; fault < FAULT_COUNT; fault++)
        if (sim->fault_until[fault] > sim->now) {
            cells[fault]++;
            any = true;
        }
    if (!any)
        cells[FAULT_NONE]++;
}

static bool possible(uint32_t role, uint32_t progress)
{
    return role == RAFT_LEADER || progress == 0; /* progress is the leader's */
}

uint32_t coverage_reached(const struct coverage *coverage, uint32_t *ret_plain, uint32_t *ret_plain_all)
{
    uint32_t reached = 0;
    *ret_plain = *ret_plain_all = 0;
    for (uint32_t role = 0; role < ROLES; role++)
        for (uint32_t type = 1; type < MESSAGE_TYPES; type++)
            for (uint32_t progress = 0; progress < PROGRESS_STATES; progress++) {
                bool any = false;
                for (uint32_t fault = 0; fault < FAULT_COUNT; fault++) {
                    reached += coverage->cells[role][type][progress][fault] > 0;
                    any = any || coverage->cells[role][type][progress][fault] > 0;
                }
                *ret_plain += any;
                *ret_plain_all += possible(role, progress);
            }
    return reached;
}
