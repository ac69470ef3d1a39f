/* The owner of one core: what the daemon's loop does with its actions, and the life of a process. */
#include "stack.h"

#include <stdlib.h>
#include <string.h>

struct node *leader_node(struct sim *sim)
{
    struct node *leader = NULL;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        if (node->up && !node->broken && node->status.role == RAFT_LEADER &&
            (leader == NULL || node->status.term > leader->status.term))
            leader = node;
    }
    return leader;
}

/* --- boot --- */

static uint32_t runs_of(struct sim *sim, const struct log_image *log, struct raft_term_run **ret)
{
    uint32_t count = 0;
    *ret = sim_alloc(sim, (log->count + 1) * sizeof **ret);
    for (uint32_t i = 0; i < log->count; i++) {
        const struct raft_entry *entry = &log->entries[i]->entry;
        if (count == 0 || (*ret)[count - 1].term != entry->id.term)
            (*ret)[count++] = (struct raft_term_run){.term = entry->id.term, .first = entry->id.index};
    }
    return count;
}

static uint32_t confs_above(struct sim *sim, const struct log_image *log, uint64_t applied, struct raft_entry **ret)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < log->count; i++)
        count += log->entries[i]->entry.type == RAFT_ENTRY_CONF;
    *ret = sim_alloc(sim, (count + 1) * sizeof **ret);
    count = 0;
    for (uint32_t i = 0; i < log->count; i++)
        if (log->entries[i]->entry.type == RAFT_ENTRY_CONF && log->entries[i]->entry.id.index > applied)
            (*ret)[count++] = log->entries[i]->entry;
    return count;
}

static void derive_conf(struct node *node)
{
    node->conf = node->base_conf;
    node->conf_index = node->base_conf_index;
    for (uint32_t i = node->shadow.count; i-- > 0;)
        if (node->shadow.entries[i]->conf != NULL) {
            if (node->shadow.entries[i]->entry.id.index <= node->base_conf_index)
                return;
            node->conf = node->shadow.entries[i]->conf;
            node->conf_index = node->shadow.entries[i]->entry.id.index;
            return;
        }
}

static void load_views(struct sim *sim, struct node *node)
{
    const struct disk *disk = &node->disk;
    node->machine = disk->machine;
    node->apply_target = disk->machine.applied.index;
    log_image_copy(sim, &node->shadow, &disk->log);
    node->base_conf = disk->machine.conf;
    node->base_conf_index = disk->machine.conf_index;
    derive_conf(node);
}

static void restore_snapshots(struct node *node)
{
    const struct disk *disk = &node->disk;
    if (disk->snapshot != NULL && disk->snapshot->meta.last.index <= disk->machine.applied.index)
        raft_snapshot_taken(node->raft, &disk->snapshot->meta);
    if (disk->partial != NULL)
        raft_stored(node->raft, &disk->partial->meta, disk->partial_size, true);
}

static void *allocate(void *arg, size_t size)
{
    struct sim *sim = arg;
    bool fails = sim->options.no_memory > 0 && !sim->booting && !sim->calm && sim_below(sim, 1000000) < sim->options.no_memory;
    return fails ? NULL : malloc(size);
}

static void release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

static struct raft_boot read_disk(struct sim *sim, const struct disk *disk)
{
    struct raft_term_run *runs;
    struct raft_entry *confs;
    uint32_t run_count = runs_of(sim, &disk->log, &runs);
    uint32_t conf_count = confs_above(sim, &disk->log, disk->machine.applied.index, &confs);
    return (struct raft_boot){.hard = disk->hard, .base = disk->log.base, .last = log_image_last(&disk->log),
                              .last_hash = log_image_last_hash(&disk->log), .runs = runs, .run_count = run_count,
                              .applied = disk->machine.applied.index, .conf = *disk->machine.conf,
                              .conf_index = disk->machine.conf_index, .conf_entries = confs, .conf_entry_count = conf_count,
                              .suspect_until = disk->suspect_until, .removed = disk->removed};
}

void node_boot(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    struct raft_boot boot;
    struct raft_config config = sim->options.core;
    disk_recover(sim, node);
    boot = read_disk(sim, disk);
    config.id = node->id;
    config.seed = random_next(&sim->random);
    config.alloc = &(struct raft_alloc){allocate, release, sim};
    sim->booting = true;
    enum status status = raft_new(&config, &boot, &node->raft);
    sim->booting = false;
    if (status != STATUS_OK)
        sim_fail(sim, "boot: %s finds a disk that does not fit together (base %llu, last %llu, applied %llu): %s",
                 node_name(sim, node->id), (unsigned long long)boot.base.index, (unsigned long long)boot.last.index,
                 (unsigned long long)boot.applied, status_name(status));
    node->up = true;
    node->life++;
    node->paused_until = 0;
    node->applying = node->snapshotting = node->storing = node->take_owed = false;
    node->read_count = 0;
    node->next_ctx = 0;
    memset(node->match_ids, 0, sizeof node->match_ids);
    node->match_term = 0;
    memset(&node->status, 0, sizeof node->status);
    load_views(sim, node);
    restore_snapshots(node);
    if (sim->options.full)
        stack_boot(sim, node, disk->machine.file);
    sim->stats.boots++;
    TRACE(sim, node, "boots: term %llu, log (%llu, %llu], applied %llu", (unsigned long long)boot.hard.term,
          (unsigned long long)boot.base.index, (unsigned long long)boot.last.index, (unsigned long long)boot.applied);
    node_settle(sim, node);
    event_push(sim, sim->now + 1 + sim_below(sim, node->tick_units), EVENT_TICK, node, NULL, 0, 0);
}

void node_crash(struct sim *sim, struct node *node, uint64_t back_at)
{
    if (!node->up)
        return;
    TRACE(sim, node, "crashes");
    disk_crash(sim, node);
    stack_crash(node);
    raft_free(node->raft);
    node->raft = NULL;
    node->up = false;
    node->life++;
    memset(&node->status, 0, sizeof node->status);
    if (back_at > 0)
        event_push(sim, back_at, EVENT_RESTART, node, NULL, 0, 0);
}

/* The disk is lost. Whoever comes back is somebody else. */
void node_wipe(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    struct blob **entries = disk->log.entries;
    uint32_t capacity = disk->log.capacity;
    node_crash(sim, node, 0);
    memset(disk, 0, sizeof *disk);
    disk->log.entries = entries;
    disk->log.capacity = capacity;
    disk->machine.conf = sim_alloc(sim, sizeof *disk->machine.conf);
    if (!MUTANT(22))
        node->id = sim->next_id++;
    TRACE(sim, node, "has an empty disk");
}

/* --- actions --- */

static void track_conf(struct node *node, const struct raft_output *out)
{
    bool lost = out->truncate_from > 0 && out->truncate_from <= node->conf_index;
    for (uint32_t i = node->shadow.count - out->append_count; i < node->shadow.count; i++)
        if (node->shadow.entries[i]->conf != NULL) {
            node->conf = node->shadow.entries[i]->conf;
            node->conf_index = node->shadow.entries[i]->entry.id.index;
            lost = false;
        }
    if (lost)
        derive_conf(node);
}

static void act_writes(struct sim *sim, struct node *node, const struct raft_output *out)
{
    if (out->seq == 0)
        return;
    disk_write(sim, node, out);
    const struct write *write = node->disk.last;
    if (out->truncate_from > 0)
        log_image_truncate(&node->shadow, out->truncate_from);
    for (uint32_t i = 0; i < write->count; i++)
        log_image_append(sim, &node->shadow, write->entries[i]);
    track_conf(node, out);
}

static void act_messages(struct sim *sim, struct node *node, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->message_count; i++) {
        if (sim->trace)
            trace_message(sim, node, "->", &out->messages[i]);
        check_leaves(sim, node, &out->messages[i]);
        network_send(sim, node, &out->messages[i]);
    }
}

/* One chunk out of a file on this node's disk. */
static void send_chunk(struct sim *sim, struct node *node, const struct raft_chunk_wanted *wanted)
{
    const struct snapshot *snapshot = snapshot_find(sim, wanted->snapshot);
    uint64_t size = snapshot->meta.size - wanted->offset;
    if (wanted->offset > snapshot->meta.size)
        sim_fail(sim, "snapshot: a chunk behind the end");
    if (size > sim->options.chunk_bytes)
        size = sim->options.chunk_bytes;
    struct raft_message message = {.type = RAFT_SNAPSHOT, .from = node->id, .to = wanted->peer, .term = node->status.term,
                                   .log = snapshot->meta.last, .snapshot = &snapshot->meta, .offset = wanted->offset,
                                   .ctx = wanted->ctx, .chunk = {snapshot->bytes + wanted->offset, size}};
    if (sim->trace)
        trace_message(sim, node, "->", &message);
    network_send(sim, node, &message);
}

static void act_files(struct sim *sim, struct node *node, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->chunk_wanted_count; i++) {
        struct raft_chunk_wanted wanted = out->chunks_wanted[i];
        if (!sim->calm && sim_below(sim, 50) == 0) /* could not be read */
            event_push(sim, sim->now + 1, EVENT_REPORT, node, NULL, wanted.peer, RAFT_SNAPSHOT_FAILED);
        else
            send_chunk(sim, node, &wanted);
    }
    for (uint32_t i = 0; i < out->fetch_count; i++)
        event_push(sim, sim->now + sim_about(sim, sim->options.disk_delay), EVENT_FETCH, node, NULL, out->fetches[i].peer,
                   out->fetches[i].from << 24 | (out->fetches[i].max_bytes & 0xffffff));
    if (out->chunk != NULL) {
        uint64_t end = out->chunk->offset + out->chunk->data.size;
        node->disk.partial = snapshot_find(sim, out->chunk->snapshot);
        node->disk.partial_size = end;
        if (memcmp(out->chunk->data.data, node->disk.partial->bytes + out->chunk->offset, out->chunk->data.size) != 0)
            sim_fail(sim, "snapshot: a chunk at %llu with bytes of elsewhere", (unsigned long long)out->chunk->offset);
        const struct node *sender = node_of(sim, out->chunk->from);
        bool bad = sender != NULL && sender->disk.snapshot_bad && sender->disk.snapshot == node->disk.partial;
        event_push(sim, sim->now + sim_about(sim, sim->options.disk_delay), EVENT_STORED, node,
                   (void *)(uintptr_t)node->disk.partial, end, bad);
    }
    if (out->snapshot_wanted && !node->snapshotting) {
        node->snapshotting = true;
        event_push(sim, sim->now + sim_about(sim, 2 * TICK), EVENT_SNAPSHOT, node, NULL, 0, 0);
    }
}

static void act_applies(struct sim *sim, struct node *node, const struct raft_output *out)
{
    if (out->apply_first == 0)
        return;
    if (out->apply_first != node->apply_target + 1)
        sim_fail(sim, "applied once: %s is given [%llu, %llu] after %llu", node_name(sim, node->id),
                 (unsigned long long)out->apply_first, (unsigned long long)out->apply_last,
                 (unsigned long long)node->apply_target);
    if (out->apply_last > log_image_last(&node->disk.log).index)
        sim_fail(sim, "applied <= durable: %s is to apply %llu", node_name(sim, node->id), (unsigned long long)out->apply_last);
    node->apply_target = out->apply_last;
    if (!node->applying) {
        node->applying = true;
        event_push(sim, sim->now + sim_below(sim, sim->options.apply_delay + 1), EVENT_APPLY, node, NULL, 0, 0);
    }
}

static void take(struct sim *sim, struct node *node)
{
    struct raft_output out;
    raft_take(node->raft, &out);
    node->take_owed = false;
    act_writes(sim, node, &out);
    act_messages(sim, node, &out);
    act_files(sim, node, &out);
    act_applies(sim, node, &out);
    for (uint32_t i = 0; i < out.read_count; i++)
        client_answered(sim, node, &out.reads[i]);
}

void node_settle(struct sim *sim, struct node *node)
{
    check_node(sim, node);
    take(sim, node);
    check_node(sim, node);
}

void node_settle_later(struct sim *sim, struct node *node)
{
    enum raft_role role = node->status.role;
    uint64_t term = node->status.term;
    check_node(sim, node);
    node->take_owed = true;
    if (node->status.role != role || node->status.term != term || sim_below(sim, 100) >= sim->options.defer_share) {
        take(sim, node);
        check_node(sim, node);
    }
}

/* --- events --- */

static void on_tick(struct sim *sim, struct node *node)
{
    raft_tick(node->raft);
    sim->stats.events++;
    node_settle(sim, node);
    event_push(sim, sim->now + node->tick_units, EVENT_TICK, node, NULL, 0, 0);
}

/* As many as the applier happens to take; sometimes the state store is synced, which is what may be cut from the log. */
static void on_apply(struct sim *sim, struct node *node)
{
    uint64_t count = 1 + sim_below(sim, 32);
    node->applying = false;
    for (; count > 0 && node->machine.applied.index < node->apply_target; count--) {
        const struct blob *blob = log_image_at(&node->disk.log, node->machine.applied.index + 1);
        if (blob == NULL)
            sim_fail(sim, "applied <= durable: %s has no entry %llu to apply", node_name(sim, node->id),
                     (unsigned long long)node->machine.applied.index + 1);
        machine_apply(sim, &node->machine, blob);
        if (sim->options.full)
            node->machine.hash ^= stack_apply(sim, node, blob);
        oracle_apply(sim, node, blob, &node->machine);
    }
    if (sim_below(sim, 100) < sim->options.sync_share)
        disk_sync_state(sim, node);
    if (node->machine.applied.index < node->apply_target) {
        node->applying = true;
        event_push(sim, sim->now + sim_below(sim, sim->options.apply_delay + 1), EVENT_APPLY, node, NULL, 0, 0);
    }
    raft_applied(node->raft, node->machine.applied.index);
    sim->stats.events++;
    node_settle_later(sim, node);
    if (sim->options.compact_at > 0 && node->disk.log.count > sim->options.compact_at)
        operation_compact(sim, node);
}

static void on_fetch(struct sim *sim, struct node *node, uint64_t peer, uint64_t from, uint64_t max_bytes)
{
    enum { FETCH_MAX = 64 };
    struct raft_entry entries[FETCH_MAX];
    uint64_t bytes = 0, hash = 0;
    uint32_t count = 0;
    const struct log_image *log = &node->disk.log;
    const struct blob *before = log_image_at(log, from - 1), *blob;
    if (before != NULL || from - 1 == log->base.index) {
        hash = before != NULL ? before->entry.hash : log->base_hash;
        while (count < FETCH_MAX && (blob = log_image_at(log, from + count)) != NULL &&
               (count == 0 || bytes + blob->entry.size <= max_bytes)) {
            entries[count++] = blob->entry;
            bytes += blob->entry.size;
        }
    }
    TRACE(sim, node, "read %u entries from %llu for %s", count, (unsigned long long)from, node_name(sim, peer));
    raft_fetched(node->raft, peer, hash, entries, count);
    sim->stats.events++;
    node_settle(sim, node);
}

static void on_snapshot(struct sim *sim, struct node *node)
{
    node->snapshotting = false;
    if (node->machine.applied.index == 0)
        return;
    disk_sync_state(sim, node);
    struct machine machine = node->disk.machine;
    if (machine.conf->count == 0)
        sim_fail(sim, "configuration: %s has applied %llu and knows of no members", node_name(sim, node->id),
                 (unsigned long long)machine.applied.index);
    if (MUTANT(17)) { /* the newest configuration instead of the one in force there */
        machine.conf = node->conf;
        machine.conf_index = node->conf_index;
    }
    node->disk.snapshot = snapshot_take(sim, &machine);
    node->disk.snapshot_bad = !sim->calm && sim_below(sim, 20) == 0;
    raft_snapshot_taken(node->raft, &node->disk.snapshot->meta);
    sim->stats.events++;
    TRACE(sim, node, "took a snapshot at %llu", (unsigned long long)node->machine.applied.index);
    node_settle(sim, node);
}

static void on_stored(struct sim *sim, struct node *node, const struct snapshot *snapshot, uint64_t next, bool bad)
{
    bool complete = next == snapshot->meta.size, ok = !complete || (!bad && (sim->calm || sim_below(sim, 20) > 0));
    if (node->disk.partial != snapshot)
        return;
    if (!ok)
        node->disk.partial = NULL; /* its digest was wrong */
    raft_stored(node->raft, &snapshot->meta, next, ok);
    sim->stats.events++;
    node_settle(sim, node);
}

static void on_input(struct sim *sim, const struct event *event, struct node *node)
{
    switch (event->kind) {
    case EVENT_TICK:
        on_tick(sim, node);
        break;
    case EVENT_DISK:
        disk_event(sim, node);
        break;
    case EVENT_APPLY:
        on_apply(sim, node);
        break;
    case EVENT_FETCH:
        on_fetch(sim, node, event->a, event->b >> 24, event->b & 0xffffff);
        break;
    case EVENT_SNAPSHOT:
        on_snapshot(sim, node);
        break;
    case EVENT_STORED:
        on_stored(sim, node, event->data, event->a, event->b != 0);
        break;
    case EVENT_READ: /* the first that it hears after a pause */
        client_read(sim, node);
        break;
    case EVENT_CONF:
        operation_conf(sim, node);
        break;
    case EVENT_STACK:
        stack_event(sim, node);
        break;
    case EVENT_REPORT:
        raft_report(node->raft, event->a, (enum raft_report)event->b);
        sim->stats.events++;
        node_settle_later(sim, node);
        break;
    default:
        break;
    }
}

void node_event(struct sim *sim, const struct event *event, struct node *node)
{
    if (event->life != node->life)
        return;
    if (event->kind == EVENT_RESTART) {
        node_boot(sim, node);
        return;
    }
    if (!node->up)
        return;
    if (node->paused_until > sim->now) { /* frozen: everything waits */
        event_push(sim, node->paused_until, event->kind, node, event->data, event->a, event->b);
        return;
    }
    on_input(sim, event, node);
}
