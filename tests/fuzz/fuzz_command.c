/* Commands of a log that is forged: each is refused, or applied to a state that can be read afterwards. The input is a list of commands,
 * each behind two bytes of length, on a state that is empty at first. */
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "check.h"
#include "plugin/registry.h"
#include "plugin/store.h"
#include "state/state.h"

enum { COMMANDS_MAX = 64 };

static const struct plugin_component *backend(void)
{
    static struct plugin_registry *registry;
    static const struct plugin_component *found;
    struct error err;
    if (found != NULL)
        return found;
    CHECK(plugin_registry_new(&registry, &err) == STATUS_OK);
    CHECK(plugin_load(registry, ABI_FIXTURE_DIR, "storage_memory.so", NULL, &err) == STATUS_OK);
    found = plugin_find(registry, CHRONOS_KIND_STORAGE, "memory");
    CHECK(found != NULL);
    return found;
}

/* Every row that was written can be read. Rules between rows are not checked: a leader that gives out an id twice breaks them. */
static bool look(void *arg, struct bytes key, struct bytes row)
{
    (void)row;
    CHECK(key.size > 0);
    ++*(uint64_t *)arg;
    return true;
}

static void read_all(struct state *state)
{
    struct state_view view;
    struct error err = {.message = ""};
    uint64_t count = 0;
    CHECK(state_view_begin(state, &view, &err) == STATUS_OK);
    for (int table = 0; table < STATE_TABLE_COUNT; table++)
        CHECK(state_walk_table(&view, (enum state_table)table, (struct bytes){NULL, 0}, false, look, &count, &err) == STATUS_OK);
    CHECK(state_count_executions(&view) <= count);
    state_view_end(&view);
}

/* False: the node would have ended here. */
static bool apply(struct state *state, uint64_t index, struct bytes command)
{
    struct state_entry entry = {.index = index, .term = 1, .command = command};
    struct apply_result result;
    struct state_changes changes;
    struct error err = {.message = ""};
    state_changes_init(&changes);
    enum status status = state_apply(state, &entry, 1, &result, &changes, &err);
    CHECK(status == STATUS_OK || err.message[0] != '\0');
    CHECK(state_applied(state).index == (status == STATUS_OK ? index : index - 1));
    state_changes_deinit(&changes);
    return status == STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_options options = {.role = CHRONOS_STORAGE_STATE, .directory = "/", .max_readers = 8};
    struct store *store;
    struct state *state;
    struct error err;
    uint64_t index = 1;
    CHECK(store_open(backend(), "state", NULL, &clock_system, &options, &store, &err) == STATUS_OK);
    CHECK(state_new(store, &state, &err) == STATUS_OK);
    while (size >= 2 && index <= COMMANDS_MAX) {
        size_t length = (size_t)data[0] | (size_t)data[1] << 8;
        length = length > size - 2 ? size - 2 : length;
        if (!apply(state, index++, (struct bytes){data + 2, length}))
            break;
        data += 2 + length;
        size -= 2 + length;
    }
    read_all(state);
    state_free(state);
    store_close(store);
    return 0;
}
