/* The cheap state machine and its snapshots. */
#include "stack.h"

#include <string.h>

#include "base/codec.h"

void machine_apply(struct sim *sim, struct machine *machine, const struct blob *blob)
{
    const struct raft_entry *entry = &blob->entry;
    if (entry->id.index != machine->applied.index + 1)
        sim_fail(sim, "applied in order: entry %llu at a state of %llu", (unsigned long long)entry->id.index,
                 (unsigned long long)machine->applied.index);
    machine->applied = entry->id;
    machine->log_hash = entry->hash;
    uint8_t bytes[8];
    store_le64(bytes, entry->hash);
    machine->hash = hash64(machine->hash, bytes, sizeof bytes);
    if (entry->type == RAFT_ENTRY_CONF) {
        machine->conf = blob->conf;
        machine->conf_index = entry->id.index;
    } else if (blob->op != 0) {
        machine->registers[blob->op % REGISTERS] = blob->op;
    }
}

/* --- snapshots --- */

static uint8_t *encode(struct sim *sim, const struct machine *machine, uint64_t size)
{
    uint8_t *bytes = sim_alloc(sim, size);
    struct random random;
    random_seed(&random, machine->hash);
    store_le64(bytes, machine->applied.index);
    store_le64(bytes + 8, machine->hash);
    for (uint64_t i = 16; i < size; i++)
        bytes[i] = (uint8_t)random_next(&random);
    return bytes;
}

/* Equal states make equal files, byte by byte. */
static void check_equal(struct sim *sim, const struct snapshot *snapshot, const struct machine *machine)
{
    const struct state_file *file = machine->file;
    if (file != NULL && (file->size != snapshot->meta.size || memcmp(file->bytes, snapshot->bytes, file->size) != 0))
        sim_fail(sim, "equal states: two nodes have other rows at %llu", (unsigned long long)machine->applied.index);
}

const struct snapshot *snapshot_take(struct sim *sim, const struct machine *machine)
{
    for (const struct snapshot *s = sim->snapshots; s != NULL; s = s->next)
        if (s->machine.applied.index == machine->applied.index && s->machine.applied.term == machine->applied.term) {
            check_equal(sim, s, machine);
            return s;
        }
    struct snapshot *snapshot = sim_alloc(sim, sizeof *snapshot);
    uint64_t size = machine->file != NULL ? machine->file->size : 16 + machine->hash % (sim->options.snapshot_pad + 1);
    snapshot->machine = *machine;
    snapshot->bytes = machine->file != NULL ? machine->file->bytes : encode(sim, machine, size);
    snapshot->meta = (struct raft_snapshot_meta){.last = machine->applied, .hash = machine->log_hash, .size = size,
                                                 .conf = *machine->conf, .conf_index = machine->conf_index};
    for (uint32_t i = 0; i < 4; i++)
        store_le64(snapshot->meta.digest + 8 * (size_t)i, hash64(i + 1, snapshot->bytes, size));
    snapshot->next = sim->snapshots;
    sim->snapshots = snapshot;
    return snapshot;
}

const struct snapshot *snapshot_find(struct sim *sim, const struct raft_snapshot_meta *meta)
{
    for (const struct snapshot *s = sim->snapshots; s != NULL; s = s->next)
        if (memcmp(s->meta.digest, meta->digest, sizeof meta->digest) == 0)
            return s;
    sim_fail(sim, "snapshot: the core speaks of one at %llu that nobody took", (unsigned long long)meta->last.index);
}
