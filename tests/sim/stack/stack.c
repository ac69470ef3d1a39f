/* Store and state of one node. */
#include "stack_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "state/state_internal.h"

const bool stack_built = true;
struct error stack_error;

/* Maps seed their hashes from the system, and the scheduler walks maps: within a run the system's randomness is the seed's. Linked
 * in the place of random_bytes_secure (--wrap). */
void __wrap_random_bytes_secure(void *out, size_t size);
void __real_random_bytes_secure(void *out, size_t size);
static struct random system_random;
static bool system_random_owned;

void __wrap_random_bytes_secure(void *out, size_t size)
{
    uint8_t *bytes = out;
    if (!system_random_owned) {
        __real_random_bytes_secure(out, size);
        return;
    }
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)random_next(&system_random);
}

int64_t stack_now(const struct sim *sim, const struct node *node)
{
    return WALL_START + (int64_t)sim->now + node->clock_ms;
}

static const struct plugin_component *backend(struct sim *sim)
{
    static struct plugin_registry *registry;
    if (registry == NULL) {
        STACK_OK(sim, plugin_registry_new(&registry, &stack_error));
        STACK_OK(sim, plugin_load(registry, ABI_FIXTURE_DIR, "storage_memory.so", NULL, &stack_error));
    }
    return plugin_find(registry, CHRONOS_KIND_STORAGE, "memory");
}

/* --- a whole state in and out --- */

struct dump {
    struct buffer *out;
    uint8_t table;
};

static bool dump_row(void *arg, struct bytes key, struct bytes row)
{
    struct dump *dump = arg;
    put_u8(dump->out, dump->table);
    put_blob(dump->out, key.data, key.size);
    put_blob(dump->out, row.data, row.size);
    return true;
}

const struct state_file *stack_dump(struct sim *sim, struct node *node)
{
    static const struct bytes from_start = {NULL, 0};
    struct state_view view;
    struct buffer out;
    buffer_init(&out, UINT32_MAX);
    STACK_OK(sim, state_view_begin(node->stack->state, &view, &stack_error));
    for (uint8_t table = 0; table < STATE_TABLE_COUNT; table++) {
        struct dump dump = {&out, table};
        STACK_OK(sim, state_walk_table(&view, (enum state_table)table, from_start, false, dump_row, &dump, &stack_error));
    }
    state_view_end(&view);
    struct state_file *file = sim_alloc(sim, sizeof *file + out.size);
    *file = (struct state_file){.size = out.size, .bytes = (const uint8_t *)(file + 1)};
    memcpy(file + 1, out.data, out.size);
    buffer_deinit(&out);
    return file;
}

static void load_rows(struct sim *sim, struct store *store, const struct state_file *file)
{
    uint32_t tables[STATE_TABLE_COUNT];
    struct store_txn txn;
    struct reader reader = reader_of(file->bytes, file->size);
    for (int i = 0; i < STATE_TABLE_COUNT; i++)
        STACK_OK(sim, store_table(store, state_table_name((enum state_table)i), 0, &tables[i], &stack_error));
    STACK_OK(sim, store_begin(store, CHRONOS_TXN_WRITE, &txn, &stack_error));
    while (!reader_done(&reader)) {
        uint8_t table = take_u8(&reader);
        struct bytes key = take_blob(&reader), row = take_blob(&reader);
        sim_require(sim, !reader.failed && table < STATE_TABLE_COUNT, "stack: a state file can be read", NULL);
        STACK_OK(sim, store_put(&txn, tables[table], key, row, 0, &stack_error));
    }
    STACK_OK(sim, store_commit(&txn, &stack_error));
}

static void open_state(struct sim *sim, struct stack *stack, const struct state_file *file)
{
    struct store_options options = {.role = CHRONOS_STORAGE_STATE, .directory = "/", .max_readers = 8};
    STACK_OK(sim, store_open(backend(sim), "state", NULL, &clock_system, &options, &stack->store, &stack_error));
    STACK_OK(sim, state_new(stack->store, &stack->state, &stack_error));
    if (file == NULL)
        return;
    state_free(stack->state);
    stack->state = NULL;
    load_rows(sim, stack->store, file);
    STACK_OK(sim, state_new(stack->store, &stack->state, &stack_error));
}

static void close_state(struct stack *stack)
{
    state_free(stack->state);
    store_close(stack->store);
    stack->state = NULL;
    stack->store = NULL;
}

/* --- life --- */

void stack_boot(struct sim *sim, struct node *node, const struct state_file *file)
{
    struct stack *stack = calloc(1, sizeof *stack);
    if (stack == NULL)
        abort();
    node->stack = stack;
    state_changes_init(&stack->changes);
    stack->session = ++sim->model->next_session;
    open_state(sim, stack, file);
    if (state_applied(stack->state).index != node->machine.applied.index)
        sim_fail(sim, "stack: %s: the state stands at %llu, the log says %llu", node_name(sim, node->id),
                 (unsigned long long)state_applied(stack->state).index, (unsigned long long)node->machine.applied.index);
    event_push(sim, sim->now + 1 + sim_below(sim, STACK_EVERY), EVENT_STACK, node, NULL, 0, 0);
}

void stack_crash(struct node *node)
{
    if (node->stack == NULL)
        return;
    leader_end(node);
    close_state(node->stack);
    state_changes_deinit(&node->stack->changes);
    free(node->stack);
    node->stack = NULL;
}

void stack_install(struct sim *sim, struct node *node, const struct state_file *file)
{
    leader_end(node);
    close_state(node->stack);
    open_state(sim, node->stack, file);
    attempts_walk(sim, node);
}

/* --- apply --- */

static uint64_t hash_changes(const struct state_changes *changes, const struct apply_result *result)
{
    uint8_t bytes[24];
    store_le64(bytes, result->status);
    store_le64(bytes + 8, (uint64_t)result->version << 32 | result->stale_count);
    store_le64(bytes + 16, changes->count);
    uint64_t hash = hash64(1, bytes, sizeof bytes);
    for (uint32_t i = 0; i < changes->count; i++) {
        const struct state_change *change = &changes->items[i];
        store_le64(bytes, (uint64_t)change->kind << 32 | (uint64_t)change->status << 16 | (uint64_t)change->reason);
        store_le64(bytes + 8, change->serial);
        store_le64(bytes + 16, (uint64_t)change->scheduled_ms);
        hash = hash64(hash, bytes, sizeof bytes);
        hash = hash64(hash, change->execution.bytes, sizeof change->execution.bytes);
        hash = hash64(hash, change->row.data, change->row.size);
    }
    return hash;
}

/* Not after each entry: it reads every row. */
static uint64_t hash_rows(struct sim *sim, struct stack *stack)
{
    struct state_view view;
    uint64_t hash = 0;
    STACK_OK(sim, state_view_begin(stack->state, &view, &stack_error));
    STACK_OK(sim, state_hash(&view, &hash, &stack_error));
    state_view_end(&view);
    return hash;
}

uint64_t stack_apply(struct sim *sim, struct node *node, const struct blob *blob)
{
    enum { ALL_ROWS_EVERY = 128 };
    struct stack *stack = node->stack;
    struct apply_result result = {.index = 0};
    struct bytes command = {blob->entry.data, blob->entry.size};
    if (blob->entry.type == RAFT_ENTRY_CONF)
        command = (struct bytes){NULL, 0};
    struct state_entry entry = {.index = blob->entry.id.index, .term = blob->entry.id.term, .command = command};
    state_changes_clear(&stack->changes);
    STACK_OK(sim, state_apply(stack->state, &entry, 1, &result, &stack->changes, &stack_error));
    if (blob->entry.id.index == sim->model->applied + 1)
        model_apply(sim, node, blob);
    leader_applied(sim, node, blob, &result);
    attempts_changed(sim, node);
    uint64_t hash = hash_changes(&stack->changes, &result);
    return blob->entry.id.index % ALL_ROWS_EVERY == 0 ? hash ^ hash_rows(sim, stack) : hash;
}

void stack_event(struct sim *sim, struct node *node)
{
    leader_run(sim, node);
    attempts_run(sim, node);
    event_push(sim, sim->now + STACK_EVERY, EVENT_STACK, node, NULL, 0, 0);
}

/* --- the run --- */

void stack_world_begin(struct sim *sim)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        abort();
    sim->model = model;
    random_seed(&system_random, sim->seed);
    system_random_owned = true;
    map_init(&model->runs);
    id_source_init(&model->ids, sim->seed | 1);
    STACK_OK(sim, zone_table_new((struct zone_loader){.load = NULL}, &model->zones, &stack_error));
    STACK_OK(sim, zone_table_get(model->zones, "UTC", &model->utc, &stack_error));
    model->wanted = 1 + (uint32_t)sim_below(sim, MODEL_JOBS_MAX);
}

void stack_world_end(struct sim *sim)
{
    for (uint32_t i = 0; i < NODES_MAX; i++)
        stack_crash(&sim->nodes[i]);
    if (sim->model != NULL)
        model_free(sim);
    sim->model = NULL;
    system_random_owned = false;
}

static bool all_ended(const struct sim *sim)
{
    return sim->model->open_count == 0;
}

static void check_states(struct sim *sim)
{
    struct state_view view;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].stack == NULL)
            continue;
        STACK_OK(sim, state_view_begin(sim->nodes[i].stack->state, &view, &stack_error));
        STACK_OK(sim, state_check_invariants(&view, &stack_error));
        state_view_end(&view);
    }
}

/* No job is enabled any more; what was decided ends. Each takeover waits for a lease. Clients that fill every queue would make each
 * step wait for a thousand entries, which says nothing about whether it comes. */
void stack_liveness(struct sim *sim)
{
    enum { STEP = 10 * TICK, WALL_LIMIT = 400000 };
    uint64_t limit = sim->now + WALL_LIMIT;
    sim->client_calm = true;
    for (uint64_t quiet = 0; quiet < 100 && sim->now < limit; quiet = all_ended(sim) ? quiet + 1 : 0)
        sim_run_until(sim, sim->now + STEP);
    if (!all_ended(sim)) {
        stack_describe(sim);
        sim_fail(sim, "runs end: %llu of %llu runs are open %u s after healing", (unsigned long long)sim->model->open_count,
                 (unsigned long long)sim->model->run_count, WALL_LIMIT / 1000);
    }
    sim->client_calm = false;
    check_states(sim);
}

void stack_describe(struct sim *sim)
{
    char text[ID_TEXT_SIZE];
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].stack != NULL)
            TRACE(sim, &sim->nodes[i], "session %llu, %u attempts, applied %llu",
                  (unsigned long long)sim->nodes[i].stack->session, sim->nodes[i].stack->attempt_count,
                  (unsigned long long)sim->nodes[i].machine.applied.index);
    for (const struct model_run *run = sim->model->first_run; run != NULL && sim->trace; run = run->next) {
        if (run->status != RUN_PENDING)
            continue;
        id_format("exec_", &run->execution, text);
        TRACE(sim, NULL, "open: %s of job %llu, phase %d, attempt %u at %s, session %llu", text,
              (unsigned long long)run->serial, (int)run->phase,
              run->attempt, run->node, (unsigned long long)run->session);
    }
}
