/* Misfortunes and operators, at random moments with random lengths. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

/* --- what may still be broken: a quorum of every configuration in use must stay able to recover --- */

static bool good(struct sim *sim, uint64_t id, const struct node *without, uint32_t allowed)
{
    const struct node *node = node_of(sim, id);
    return node != NULL && node != without && (allowed & 1U << node->slot) != 0 && !node->disk.removed &&
           node->disk.suspect_until == 0 && node->disk.rotten_count == 0;
}

bool conf_good(struct sim *sim, const struct raft_conf *conf, const struct node *without, uint32_t allowed)
{
    uint32_t voters = 0, have = 0;
    for (uint32_t i = 0; i < conf->count; i++)
        if (conf->members[i].role & RAFT_VOTER) {
            voters++;
            have += good(sim, conf->members[i].id, without, allowed);
        }
    return voters == 0 || have >= voters / 2 + 1;
}

/* Older ones than the newest committed one decide nothing any more: a log that ends before it wins no election. */
static bool log_good(struct sim *sim, const struct log_image *log, const struct node *without, uint32_t allowed)
{
    for (uint32_t i = log->count; i-- > 0 && log->entries[i]->entry.id.index > sim->oracle.conf_index;)
        if (log->entries[i]->conf != NULL && !conf_good(sim, log->entries[i]->conf, without, allowed))
            return false;
    return true;
}

bool cluster_good(struct sim *sim, const struct node *without, uint32_t allowed)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (!log_good(sim, &node->disk.log, without, allowed))
            return false;
        if (node->up && !log_good(sim, &node->shadow, without, allowed))
            return false;
    }
    return conf_good(sim, sim->oracle.conf, without, allowed);
}

/* --- faults --- */

static uint64_t length(struct sim *sim)
{
    return sim->now + sim_about(sim, sim->options.fault_length);
}

static struct node *random_node(struct sim *sim)
{
    /* Leaders are worth hitting. */
    struct node *leader = sim_below(sim, 3) == 0 ? leader_node(sim) : NULL;
    return leader != NULL ? leader : &sim->nodes[sim_below(sim, sim->node_count)];
}

static void cut_between(struct sim *sim, uint32_t side, bool both, uint64_t until)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        for (uint32_t j = 0; j < sim->node_count; j++)
            if ((side & 1U << i) != 0 && (side & 1U << j) == 0) {
                network_cut(sim, i, j, until);
                if (both)
                    network_cut(sim, j, i, until);
            }
}

static void fault_one_way(struct sim *sim, uint64_t until)
{
    uint32_t a = (uint32_t)sim_below(sim, sim->node_count), b = (uint32_t)sim_below(sim, sim->node_count);
    if (sim_below(sim, 3) == 0)
        cut_between(sim, sim_below(sim, 2) == 0 ? 1U << a : ~(1U << a), false, until); /* speaks only, or hears only */
    else if (a != b)
        network_cut(sim, a, b, until);
}

static void fault_clog(struct sim *sim, uint64_t until)
{
    uint64_t a = sim_below(sim, sim->node_count), b = sim_below(sim, sim->node_count);
    if (sim->network.clogged_until[a][b] < until)
        sim->network.clogged_until[a][b] = until;
}

static void links_down(struct sim *sim, const struct node *of)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].up && &sim->nodes[i] != of && sim_chance(sim, sim->options.link_down))
            event_push(sim, sim->now + sim_below(sim, 2 * TICK), EVENT_REPORT, &sim->nodes[i], NULL, of->id, RAFT_LINK_DOWN);
}

static void crash(struct sim *sim, struct node *node, uint64_t until)
{
    if (!node->up)
        return;
    node_crash(sim, node, until);
    links_down(sim, node);
}

static void fault_power(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        crash(sim, &sim->nodes[i], sim->now + 1 + sim_below(sim, 10 * TICK));
}

/* A voter's disk is lost only where the others can do without; one that was told it is out comes back as a new one. */
static void fault_wipe(struct sim *sim, uint64_t until)
{
    struct node *node = random_node(sim);
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].disk.removed)
            node = &sim->nodes[i];
    if (!node->disk.removed && (sim_below(sim, 4) > 0 || !cluster_good(sim, node, UINT32_MAX)))
        return;
    crash(sim, node, 0);
    node_wipe(sim, node);
    event_push(sim, until, EVENT_RESTART, node, NULL, 0, 0);
}

static void fault_rot(struct sim *sim, uint64_t until)
{
    struct node *node = random_node(sim);
    struct disk *disk = &node->disk;
    if (disk->log.count == 0 || disk->rotten_count == ROTTEN_MAX || sim->damaged_count + NODES_MAX > DAMAGED_MAX ||
        !cluster_good(sim, node, UINT32_MAX))
        return;
    disk->rotten[disk->rotten_count++] = disk->log.base.index + 1 + sim_below(sim, disk->log.count);
    crash(sim, node, until);
}

/* The write fails, so the process ends. */
static void fault_disk_error(struct sim *sim, uint64_t until)
{
    struct node *node = random_node(sim);
    if (node->disk.pending == 0 || !node->up)
        return;
    if (MUTANT(26)) { /* the batch is gone, the process lives on */
        node->disk.first = node->disk.first->next;
        if (--node->disk.pending == 0)
            node->disk.last = NULL;
        return;
    }
    crash(sim, node, until);
}

static void fault_full(struct sim *sim, uint64_t until)
{
    random_node(sim)->disk.full_until = until;
}

static void fault_pause(struct sim *sim, uint64_t until)
{
    struct node *node = random_node(sim);
    if (!node->up)
        return;
    if (node->paused_until < until)
        node->paused_until = until; /* what waits, waits for the end of the longest */
    if (node->status.role == RAFT_LEADER)
        event_push(sim, until, EVENT_READ, node, NULL, 0, 0); /* it thinks that it still leads */
}

static void fault_link_down(struct sim *sim)
{
    struct node *of = random_node(sim);
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].up && &sim->nodes[i] != of)
            event_push(sim, sim->now + sim_below(sim, TICK), EVENT_REPORT, &sim->nodes[i], NULL, of->id, RAFT_LINK_DOWN);
}

/* --- operators --- */

static bool usable(const struct sim *sim, const struct node *node)
{
    return node != NULL && node->up && !node->broken && node->paused_until <= sim->now;
}

static void operation_transfer(struct sim *sim)
{
    struct node *node = leader_node(sim);
    uint64_t to = sim_below(sim, 2) == 0 ? 0 : sim->nodes[sim_below(sim, sim->node_count)].id;
    if (!usable(sim, node))
        return;
    enum status status = raft_transfer(node->raft, to);
    TRACE(sim, node, "transfer to %s: %s", node_name(sim, to), status_name(status));
    node_settle_later(sim, node);
    if (sim_below(sim, 2) == 0 && usable(sim, node))
        client_read(sim, node);
}

static void operation_snapshot(struct sim *sim)
{
    struct node *node = random_node(sim);
    if (usable(sim, node) && !node->snapshotting) {
        node->snapshotting = true;
        event_push(sim, sim->now + 1, EVENT_SNAPSHOT, node, NULL, 0, 0);
    }
}

/* The state is synced first: what the log loses must not be needed again. */
void operation_compact(struct sim *sim, struct node *node)
{
    if (!usable(sim, node) || node->disk.pending > 0 || node->take_owed)
        return;
    disk_sync_state(sim, node);
    uint64_t base = raft_compact(node->raft, node->disk.machine.applied.index, sim_below(sim, sim->options.keep_max + 1));
    log_image_compact(&node->disk.log, base);
    log_image_compact(&node->shadow, base);
    node->base_conf = node->disk.machine.conf; /* its entry may be gone; what is applied is never truncated */
    node->base_conf_index = node->disk.machine.conf_index;
    TRACE(sim, node, "log cut to %llu", (unsigned long long)base);
    node_settle(sim, node);
}

static void operation_campaign(struct sim *sim)
{
    struct node *node = random_node(sim);
    if (!usable(sim, node))
        return;
    enum status status = raft_campaign(node->raft);
    TRACE(sim, node, "told to campaign: %s", status_name(status));
    node_settle_later(sim, node);
}

static void operation_burst(struct sim *sim)
{
    struct node *node = leader_node(sim);
    if (usable(sim, node))
        (void)client_propose(sim, node, 1 + (uint32_t)sim_below(sim, 150));
}

static uint64_t random_member(struct sim *sim, const struct raft_conf *conf)
{
    for (uint32_t i = 0; i < conf->count; i++)
        if (node_of(sim, conf->members[i].id) == NULL && sim_below(sim, 2) == 0)
            return conf->members[i].id; /* whose disk is gone */
    return conf->members[sim_below(sim, conf->count)].id;
}

static uint64_t stranger(struct sim *sim, const struct raft_conf *conf)
{
    const struct node *node = &sim->nodes[sim_below(sim, sim->node_count)];
    bool fit = !node->disk.removed && raft_conf_find(conf, node->id) == NULL;
    return fit ? node->id : 0;
}

static void draw_change(struct sim *sim, const struct raft_conf *conf, struct raft_conf_change *ret)
{
    memset(ret, 0, sizeof *ret);
    uint64_t new_id = stranger(sim, conf);
    uint64_t dice = sim_below(sim, 10);
    if (new_id != 0 && dice < 6) {
        ret->type = dice < 4 && !sim->options.conf_storm ? RAFT_ADD_LEARNER : RAFT_ADD_VOTER;
        ret->member.id = new_id;
    } else if (sim->options.conf_storm && dice < 9) {
        ret->type = RAFT_REMOVE;
        ret->member.id = random_member(sim, conf);
    } else {
        static const enum raft_conf_change_type types[] = {RAFT_ADD_VOTER, RAFT_ADD_VOTER, RAFT_ADD_LEARNER, RAFT_REMOVE,
                                                           RAFT_REMOVE, RAFT_UPDATE};
        ret->type = types[sim_below(sim, 6)];
        ret->member.id = random_member(sim, conf);
    }
    snprintf(ret->member.name, sizeof ret->member.name, "node-%llu", (unsigned long long)ret->member.id);
    snprintf(ret->member.address, sizeof ret->member.address, "10.0.0.%llu:%llu", (unsigned long long)ret->member.id,
             (unsigned long long)sim_below(sim, 3));
}

/* Ongaro's case of 2015: a change that only its leader and one other have heard of when the rest goes its own way. */
static void part_with_one(struct sim *sim, const struct node *leader, uint64_t changed)
{
    const struct node *other = sim_below(sim, 2) == 0 ? node_of(sim, changed) : NULL;
    if (other == NULL || other == leader)
        other = &sim->nodes[sim_below(sim, sim->node_count)];
    cut_between(sim, 1U << leader->slot | 1U << other->slot, true, length(sim));
}

void operation_conf(struct sim *sim, struct node *node)
{
    struct raft_conf_change change;
    struct raft_conf next;
    struct raft_log_id at = {0, 0};
    if (!usable(sim, node) || node->disk.full_until > sim->now || sim->calm)
        return;
    draw_change(sim, node->conf, &change);
    if (raft_conf_simple(node->conf, &change, 1, &next) != STATUS_OK || !conf_good(sim, &next, NULL, UINT32_MAX))
        return;
    enum status status = raft_propose_conf(node->raft, &change, &at);
    TRACE(sim, node, "change %d of %s: %s, at %llu", change.type, node_name(sim, change.member.id), status_name(status),
          (unsigned long long)at.index);
    sim->stats.conf_changes += status == STATUS_OK;
    if (status == STATUS_OK && sim->options.conf_storm && sim_below(sim, 2) == 0)
        part_with_one(sim, node, change.member.id);
    node_settle_later(sim, node);
}

/* --- the moment --- */

static void strike(struct sim *sim, enum fault fault, uint64_t until)
{
    struct node *node = random_node(sim);
    switch (fault) {
    case FAULT_PARTITION: cut_between(sim, (uint32_t)sim_below(sim, 1U << sim->node_count), true, until); break;
    case FAULT_ISOLATE: cut_between(sim, 1U << node->slot, true, until); break;
    case FAULT_ONE_WAY: fault_one_way(sim, until); break;
    case FAULT_CLOG: fault_clog(sim, until); break;
    case FAULT_CRASH: crash(sim, node, until); break;
    case FAULT_POWER: fault_power(sim); break;
    case FAULT_PAUSE: fault_pause(sim, until); break;
    case FAULT_WIPE: fault_wipe(sim, until); break;
    case FAULT_STALL: node->disk.stalled_until = until; break;
    case FAULT_FULL: fault_full(sim, until); break;
    case FAULT_DISK_ERROR: fault_disk_error(sim, until); break;
    case FAULT_ROT: fault_rot(sim, until); break;
    case FAULT_LINK_DOWN: fault_link_down(sim); break;
    case FAULT_CONF: operation_conf(sim, leader_node(sim)); break;
    case FAULT_TRANSFER: operation_transfer(sim); break;
    case FAULT_SNAPSHOT: operation_snapshot(sim); break;
    case FAULT_COMPACT: operation_compact(sim, node); break;
    case FAULT_CAMPAIGN: operation_campaign(sim); break;
    case FAULT_BURST: operation_burst(sim); break;
    case FAULT_NONE: case FAULT_LOSS: case FAULT_REPLAY: case FAULT_COUNT: break;
    }
}

static bool is_operation(enum fault fault)
{
    return fault >= FAULT_CONF;
}

void fault_schedule(struct sim *sim)
{
    if (sim->options.weights > 0)
        event_push(sim, sim->now + sim_about(sim, sim->options.fault_every), EVENT_FAULT, NULL, NULL, 0, 0);
}

void fault_event(struct sim *sim)
{
    const struct options *o = &sim->options;
    uint64_t dice = sim_below(sim, o->weights), until = length(sim);
    uint32_t fault = 1;
    if (sim->calm)
        return;
    for (; dice >= o->weight[fault]; fault++)
        dice -= o->weight[fault];
    if (!is_operation((enum fault)fault))
        TRACE(sim, NULL, "fault: %s until %.2f", fault_name((enum fault)fault), (double)until / TICK);
    sim->coverage->faults[fault]++;
    if (sim->fault_until[fault] < until)
        sim->fault_until[fault] = until;
    strike(sim, (enum fault)fault, until);
    fault_schedule(sim);
}
