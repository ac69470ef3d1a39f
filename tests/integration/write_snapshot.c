/* Writes a snapshot of the state of a node that does not run: for tests of what reads one.
 *
 *   chronos-write-snapshot PLUGIN STATE_DIRECTORY FILE      PLUGIN: .../storage_lmdb.so */
#include <stdio.h>

#include "base/clock.h"
#include "plugin/registry.h"
#include "state/snapshot.h"

static enum status write_it(const struct state *state, const char *path, struct error *err)
{
    struct snapshot_info info = {.cluster_id = {{1, 2, 3}}, .node = "node-1"};
    struct snapshot_summary summary;
    struct state_view view;
    enum status status = state_view_begin(state, &view, err);
    if (status != STATUS_OK)
        return status;
    status = snapshot_write(&view, &info, path, NULL, NULL, &summary, err);
    state_view_end(&view);
    return status;
}

static enum status run(const char *plugin, const char *directory, const char *path, struct error *err)
{
    struct plugin_registry *registry;
    struct store *store = NULL;
    struct state *state = NULL;
    enum status status = plugin_registry_new(&registry, err);
    if (status != STATUS_OK)
        return status;
    status = plugin_load(registry, "/", plugin, NULL, err);
    if (status == STATUS_OK) {
        struct store_options options = {.role = CHRONOS_STORAGE_STATE, .directory = directory, .max_readers = 2};
        status = store_open(plugin_component_at(registry, 0), "state", NULL, &clock_system, &options, &store, err);
    }
    if (status == STATUS_OK)
        status = state_open(store, &state, err);
    if (status == STATUS_OK)
        status = write_it(state, path, err);
    state_free(state);
    store_close(store);
    plugin_registry_free(registry);
    return status;
}

int main(int argc, char **argv)
{
    struct error err;
    if (argc == 4 && run(argv[1], argv[2], argv[3], &err) == STATUS_OK)
        return 0;
    (void)fprintf(stderr, "%s\n", argc == 4 ? err.message : "usage: chronos-write-snapshot PLUGIN STATE_DIRECTORY FILE");
    return 1;
}
