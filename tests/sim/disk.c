/* The log store and the state store of one node: batches become durable in order, several at a time; a crash loses a suffix. */
#include "stack.h"

#include <string.h>

static void execute(struct sim *sim, struct disk *disk, const struct write *write)
{
    if (write->hard_changed)
        disk->hard = write->hard;
    if (write->install != NULL) {
        disk->machine = write->install->machine;
        disk->snapshot = write->install;
        disk->snapshot_bad = false;
        disk->partial = NULL;
        disk->suspect_until = disk->suspect_until <= write->install->meta.last.index ? 0 : disk->suspect_until;
        if (!MUTANT(31)) {
            struct raft_log_id base = write->install->meta.last;
            base.index += MUTANT(30) && disk->full_until > 0 ? 1 : 0; /* space ran out between the two */
            log_image_reset(&disk->log, base, write->install->meta.hash);
            disk->rotten_count = 0;
        }
        return;
    }
    if (write->truncate_from > 0)
        log_image_truncate(&disk->log, write->truncate_from);
    for (uint32_t i = 0; i < write->count; i++)
        log_image_append(sim, &disk->log, write->entries[i]);
}

static struct write *pop(struct disk *disk)
{
    struct write *write = disk->first;
    disk->first = write->next;
    if (disk->first == NULL)
        disk->last = NULL;
    disk->pending--;
    return write;
}

static void schedule(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    uint64_t from = sim->now;
    if (disk->busy || disk->pending == 0)
        return;
    disk->busy = true;
    if (disk->stalled_until > from)
        from = disk->stalled_until;
    if (disk->full_until > from)
        from = disk->full_until;
    event_push(sim, from + sim_about(sim, sim->options.disk_delay), EVENT_DISK, node, NULL, 0, 0);
}

void disk_write(struct sim *sim, struct node *node, const struct raft_output *out)
{
    struct disk *disk = &node->disk;
    struct write *write = sim_alloc(sim, sizeof *write);
    *write = (struct write){.seq = out->seq, .hard_changed = out->hard_changed, .hard = out->hard,
                            .truncate_from = out->truncate_from, .count = out->append_count};
    if (out->install != NULL)
        write->install = snapshot_find(sim, out->install);
    if (out->append_count > 0)
        write->entries = sim_alloc(sim, out->append_count * sizeof write->entries[0]);
    for (uint32_t i = 0; i < out->append_count; i++)
        write->entries[i] = oracle_blob(sim, &out->append[i]);
    if (disk->last != NULL)
        disk->last->next = write;
    else
        disk->first = write;
    disk->last = write;
    disk->pending++;
    TRACE(sim, node, "write %llu: %s%s%s+%u", (unsigned long long)write->seq, write->hard_changed ? "hard " : "",
          write->truncate_from > 0 ? "truncate " : "", write->install != NULL ? "install " : "", write->count);
    schedule(sim, node);
}

static void installed(struct sim *sim, struct node *node, const struct write *write)
{
    const struct machine *machine = &write->install->machine;
    node->machine = *machine;
    node->apply_target = machine->applied.index;
    log_image_reset(&node->shadow, write->install->meta.last, write->install->meta.hash);
    node->base_conf = node->conf = machine->conf;
    node->base_conf_index = node->conf_index = machine->conf_index;
    oracle_apply(sim, node, NULL, machine);
    if (sim->options.full)
        stack_install(sim, node, machine->file);
    sim->stats.installs++;
    raft_installed(node->raft, true);
    TRACE(sim, node, "installed the snapshot at %llu", (unsigned long long)machine->applied.index);
}

/* It is all or nothing: not even a term that was to be written with it is on the disk. */
static void install_failed(struct sim *sim, struct node *node)
{
    node->disk.partial = NULL;
    sim->stats.install_failures++;
    raft_installed(node->raft, false);
    TRACE(sim, node, "could not install the snapshot");
}

/* One sync for what was waiting, or for a part of it; an installation stands alone. */
static void sync_group(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    uint64_t group = 1 + sim_below(sim, disk->pending), seq = 0;
    while (group-- > 0 && disk->first != NULL) {
        if (disk->first->install != NULL && seq > 0)
            break;
        struct write *write = pop(disk);
        if (write->install != NULL && !sim->calm && sim_below(sim, 20) == 0) {
            install_failed(sim, node);
            return;
        }
        bool lost = MUTANT(33) && write->install == NULL && sim_below(sim, 100) == 0; /* the second fsync lied */
        if (!lost)
            execute(sim, disk, write);
        if (write->install != NULL) {
            installed(sim, node, write);
            return;
        }
        seq = write->seq;
    }
    TRACE(sim, node, "durable through write %llu", (unsigned long long)seq);
    raft_persisted(node->raft, seq);
}

void disk_event(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    uint64_t hold = disk->stalled_until > disk->full_until ? disk->stalled_until : disk->full_until;
    disk->busy = false;
    if (hold > sim->now) {
        schedule(sim, node);
        return;
    }
    if (disk->pending > 0) {
        sync_group(sim, node);
        sim->stats.events++;
        schedule(sim, node);
        node_settle(sim, node);
    }
}

void disk_sync_state(struct sim *sim, struct node *node)
{
    if (node->disk.machine.applied.index == node->machine.applied.index)
        return;
    struct raft_log_id before = node->disk.machine.applied;
    node->disk.machine = node->machine;
    if (MUTANT(28)) /* the rows are there, the index that says so is not */
        node->disk.machine.applied = before;
    if (sim->options.full)
        node->disk.machine.file = stack_dump(sim, node);
}

/* What was handed over in order is durable in order: up to somewhere. It may have stopped between sync and report. */
void disk_crash(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    uint64_t survive = disk->pending > 0 && sim_below(sim, 2) == 0 ? sim_below(sim, disk->pending + 1) : 0;
    while (survive-- > 0 && disk->first != NULL)
        execute(sim, disk, pop(disk));
    disk->first = disk->last = NULL;
    disk->pending = 0;
    disk->busy = false;
    if (disk->partial != NULL)
        disk->partial_size = sim_below(sim, disk->partial_size + 1);
}

/* --- what rotted --- */

static uint64_t lowest_rotten_above(const struct disk *disk, uint64_t index)
{
    uint64_t lowest = 0;
    for (uint32_t i = 0; i < disk->rotten_count; i++)
        if (disk->rotten[i] > index && log_image_at(&disk->log, disk->rotten[i]) != NULL &&
            (lowest == 0 || disk->rotten[i] < lowest))
            lowest = disk->rotten[i];
    return lowest;
}

bool disk_was_damaged(const struct sim *sim, uint64_t id)
{
    for (uint32_t i = 0; i < sim->damaged_count; i++)
        if (sim->damaged[i] == id)
            return true;
    return false;
}

/* A bad entry that is applied and synced is not needed. Another one is cut off with all behind it, and the node knows that it may
 * have promised them. */
void disk_recover(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    uint64_t last = log_image_last(&disk->log).index, applied = disk->machine.applied.index;
    if (disk->rotten_count == 0)
        return;
    uint64_t bad = lowest_rotten_above(disk, applied);
    if (bad > 0) {
        log_image_truncate(&disk->log, bad);
        if (!disk_was_damaged(sim, node->id))
            sim->damaged[sim->damaged_count++] = node->id;
        if (disk->suspect_until < last)
            disk->suspect_until = last;
        TRACE(sim, node, "found entry %llu rotten: suspect until %llu", (unsigned long long)bad,
              (unsigned long long)disk->suspect_until);
    }
    if (applied > disk->log.base.index)
        log_image_compact(&disk->log, applied);
    disk->rotten_count = 0;
}
