#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

enum { LOG_READERS = 2, STATE_READERS = 64 };

enum status cluster_open_directories(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    enum status status = data_dir_open(config->data_dir, config->backend->id, &stores->data, err);
    if (status != STATUS_OK)
        return error_wrap(err, "cluster.data_dir");
    if (config->log_dir == NULL)
        return data_dir_make(&stores->data, "log", stores->log_path, err);
    status = data_dir_open(config->log_dir, config->backend->id, &stores->log_dir, err);
    if (status != STATUS_OK)
        return error_wrap(err, "storage.log_dir");
    return data_dir_make(&stores->log_dir, "log", stores->log_path, err);
}

enum status cluster_open_log(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    struct store_options options = {.role = CHRONOS_STORAGE_LOG, .directory = stores->log_path, .max_readers = LOG_READERS};
    enum status status = directory_settle(stores->log_path, err);
    if (status == STATUS_OK)
        status = store_open(config->backend, "log", config->backend_options, config->clock, &options, &stores->log_store, err);
    if (status == STATUS_OK)
        status = log_store_new(stores->log_store, &stores->log, err);
    return status == STATUS_OK ? status : error_wrap(err, "open the log in %s", stores->log_path);
}

enum status cluster_state_store_open(const struct cluster_config *config, const char *path, struct store **ret, struct error *err)
{
    struct store_options options = {.role = CHRONOS_STORAGE_STATE, .directory = path, .max_readers = STATE_READERS};
    enum status status = directory_settle(path, err);
    return status == STATUS_OK ? store_open(config->backend, "state", config->backend_options, config->clock, &options, ret, err)
                               : status;
}

static const char state_prefix[] = "state-";

/* state-<number>, and another number than the one in use. What a person has renamed stays. */
static bool is_leftover(const struct cluster_stores *stores, const char *name)
{
    const char *number = name + sizeof state_prefix - 1;
    return strncmp(name, state_prefix, sizeof state_prefix - 1) == 0 && number[0] != '\0' &&
           strspn(number, "0123456789") == strlen(number) && strtoull(number, NULL, 10) != stores->live;
}

/* States that a snapshot has replaced, or was about to replace this one with, when the process ended. */
static void remove_leftovers(const struct cluster_stores *stores)
{
    char path[DATA_DIR_PATH_SIZE];
    struct error err;
    const struct dirent *entry;
    DIR *directory = opendir(stores->data.path);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (!is_leftover(stores, entry->d_name))
            continue;
        if (path_join(path, sizeof path, stores->data.path, entry->d_name, &err) != STATUS_OK ||
            directory_remove(path, &err) != STATUS_OK)
            LOG_WARN("a state that is not in use cannot be removed", LOG_ERROR_FIELD(&err));
    }
    if (directory != NULL)
        (void)closedir(directory); /* nothing was written through it */
}

enum status cluster_open_state(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    char name[32];
    stores->live = log_store_hard(stores->log)->live;
    (void)snprintf(name, sizeof name, "%s%llu", state_prefix, (unsigned long long)stores->live);
    enum status status = data_dir_make(&stores->data, name, stores->state_path, err);
    if (status != STATUS_OK)
        return status;
    status = cluster_state_store_open(config, stores->state_path, &stores->state_store, err);
    if (status == STATUS_OK)
        status = state_new(stores->state_store, &stores->state, err);
    return status == STATUS_OK ? status : error_wrap(err, "open the state in %s", stores->state_path);
}

/* The two stores must be of one history. */
static enum status compare(struct cluster_stores *stores, struct error *err)
{
    struct state_position applied = state_applied(stores->state);
    const struct log_position *base = &log_store_hard(stores->log)->base, *last = log_store_last(stores->log);
    struct log_position at = {0};
    if (applied.index < base->index)
        return error_set(err, STATUS_CORRUPT,
                         "the state in %s ends at entry %llu but the log begins after %llu: the state lost synced data; "
                         LOG_STORE_MEND,
                         stores->data.path, (unsigned long long)applied.index, (unsigned long long)base->index);
    if (applied.index > last->index)
        return error_set(err, STATUS_CORRUPT,
                         "the state in %s is ahead of the log (entry %llu, the log ends at %llu): log and state are not of "
                         "one node; put back the one that was here before, or " LOG_STORE_MEND,
                         stores->data.path, (unsigned long long)applied.index, (unsigned long long)last->index);
    enum status status = log_store_position(stores->log, applied.index, &at, err);
    if (status == STATUS_OK && at.term != applied.term)
        return error_set(err, STATUS_CORRUPT,
                         "entry %llu has term %llu in the state and %llu in the log: log and state are not of one node; put back "
                         "the one that was here before, or " LOG_STORE_MEND,
                         (unsigned long long)applied.index, (unsigned long long)applied.term, (unsigned long long)at.term);
    return status;
}

/* A cluster of one: this node, which is its own majority. The first entry of the log says so: whoever replays the log, later and
 * elsewhere, knows the members at every index. */
static enum status found(struct log_store *log, const struct cluster_config *config, struct error *err)
{
    struct log_hard_state hard = *log_store_hard(log);
    struct raft_conf conf = {.count = 1, .members[0] = {.id = hard.node, .role = RAFT_VOTER}};
    struct raft_member *self = &conf.members[0];
    struct buffer encoded;
    (void)snprintf(self->name, sizeof self->name, "%s", config->node_id); /* lengths were checked with the config */
    (void)snprintf(self->address, sizeof self->address, "%s", config->raft_advertise != NULL ? config->raft_advertise : "");
    buffer_init(&encoded, sizeof conf);
    raft_conf_encode(&conf, &encoded);
    hard.term = 1;
    random_bytes_secure(&hard.cluster_id, sizeof hard.cluster_id);
    struct log_entry entry = {.index = 1, .term = hard.term, .type = LOG_ENTRY_CONF, .data = buffer_bytes(&encoded)};
    enum status status = encoded.failed == STATUS_OK ? log_store_append(log, &entry, 1, &hard, err)
                                                     : error_set(err, encoded.failed, "out of memory");
    buffer_deinit(&encoded);
    if (status != STATUS_OK)
        return error_wrap(err, "found the cluster");
    LOG_INFO("founded a cluster of one");
    return STATUS_OK;
}

/* Term and vote are written anew before anything is promised on them: what was read may never have reached the disk. */
static enum status settle_log(struct log_store *log, const struct cluster_config *config, bool *ret_founds, struct error *err)
{
    bool is_blank = log_store_last(log)->index == 0 && id_is_zero(&log_store_hard(log)->cluster_id);
    if (is_blank && config->raft_address == NULL)
        return found(log, config, err);
    *ret_founds = is_blank && config->bootstrap; /* once it has listened for others */
    enum status status = log_store_append(log, NULL, 0, log_store_hard(log), err);
    return status == STATUS_OK ? status : error_wrap(err, "write the hard state");
}

/* Runs that were open are known by the node's name: under another one nobody would end them. */
static enum status check_name(const struct cluster_stores *stores, const struct cluster_config *config,
                              const struct raft_member *self, struct error *err)
{
    if (self == NULL || strcmp(self->name, config->node_id) == 0)
        return STATUS_OK;
    bool may_join = config->raft_address != NULL; /* a service founds a cluster of one when it is installed, by another name perhaps */
    return error_set(err, STATUS_INVALID,
                     "cluster.node_id is \"%s\", but %s belongs to the node \"%s\": a node keeps its name, so set "
                     "cluster.node_id to \"%s\"%s",
                     config->node_id, stores->data.path, self->name, self->name,
                     may_join ? "; a node that was just installed, and is to join others, has nothing to keep: empty the directory instead"
                              : "");
}

static bool is_only(const struct raft_conf *conf, uint64_t id)
{
    return conf->count == 1 && raft_conf_is_voter(conf, id);
}

/* All of the log is committed, and can be replayed to its end, where this node is the only member that any entry names. */
static enum status look_at_members(struct cluster_stores *stores, const struct cluster_config *config, struct error *err)
{
    uint64_t self = log_store_hard(stores->log)->node;
    struct raft_boot boot;
    enum status status = log_store_boot(stores->log, state_applied(stores->state).index, &boot, err);
    if (status != STATUS_OK)
        return status;
    struct raft_conf conf = boot.conf;
    bool has_others = conf.count > 0 && !is_only(&conf, self); /* none: before the founding entry */
    for (uint32_t i = 0; i < boot.conf_entry_count; i++) {
        status = raft_conf_decode((struct bytes){boot.conf_entries[i].data, boot.conf_entries[i].size}, &conf);
        assert(status == STATUS_OK); /* the log has verified it */
        has_others |= !is_only(&conf, self);
    }
    stores->is_alone = conf.count > 0 && !has_others;
    if (has_others && config->raft_address == NULL)
        return error_set(err, STATUS_INVALID,
                         "%s belongs to a cluster of several nodes, and cluster.raft.address is missing: set it, so that they "
                         "reach this node", stores->data.path);
    return check_name(stores, config, raft_conf_find(&conf, self), err);
}

struct replay {
    struct state *state;
    struct state_entry *entries; /* APPLY_ENTRIES_MAX places */
    struct apply_result *results;
    struct state_changes changes;
    struct buffer bytes;
    uint32_t count;
    uint64_t total;
    struct error *err;
    enum status status;
};

static void flush_replay(struct replay *replay)
{
    size_t offset = 0;
    if (replay->count == 0 || replay->status != STATUS_OK)
        return;
    for (uint32_t i = 0; i < replay->count; i++) { /* the buffer moved while it grew */
        replay->entries[i].command.data = replay->bytes.data + offset;
        offset += replay->entries[i].command.size;
    }
    replay->status =
        state_apply(replay->state, replay->entries, replay->count, replay->results, &replay->changes, replay->err);
    replay->total += replay->count;
    replay->count = 0;
    buffer_clear(&replay->bytes);
    state_changes_clear(&replay->changes);
}

static bool replay_entry(void *arg, const struct log_entry *entry)
{
    struct replay *replay = arg;
    struct bytes command = log_entry_command(entry->type, entry->data);
    if (replay->count == APPLY_ENTRIES_MAX || (replay->count > 0 && replay->bytes.size + command.size > APPLY_BYTES_MAX))
        flush_replay(replay);
    if (replay->status != STATUS_OK)
        return false;
    buffer_append(&replay->bytes, command.data, command.size);
    if (replay->bytes.failed != STATUS_OK) {
        replay->status = error_set(replay->err, replay->bytes.failed, "no memory for entry %llu",
                                   (unsigned long long)entry->index);
        return false;
    }
    replay->entries[replay->count++] =
        (struct state_entry){.index = entry->index, .term = entry->term, .command = {NULL, command.size}};
    return true;
}

/* Applies what the log holds beyond the state; nothing is started by it, for every session in it is over. */
static enum status replay(struct cluster_stores *stores, struct error *err)
{
    struct replay replay = {.state = stores->state, .err = err, .status = STATUS_NO_MEMORY};
    replay.entries = calloc(APPLY_ENTRIES_MAX, sizeof *replay.entries);
    replay.results = calloc(APPLY_ENTRIES_MAX, sizeof *replay.results);
    state_changes_init(&replay.changes);
    buffer_init(&replay.bytes, APPLY_BYTES_MAX + ENTRY_SIZE_MAX);
    if (replay.entries == NULL || replay.results == NULL) {
        (void)error_set(err, STATUS_NO_MEMORY, "out of memory");
    } else {
        replay.status = STATUS_OK;
        enum status status =
            log_store_read(stores->log, state_applied(stores->state).index + 1, replay_entry, &replay, err);
        if (replay.status == STATUS_OK)
            replay.status = status;
        flush_replay(&replay);
    }
    if (replay.total > 0 && log_store_last(stores->log)->index > 1) /* not a founding */
        LOG_INFO("replayed the log", LOG_U64("entries", replay.total));
    buffer_deinit(&replay.bytes);
    state_changes_deinit(&replay.changes);
    free(replay.results);
    free(replay.entries);
    return replay.status == STATUS_OK ? STATUS_OK : error_wrap(err, "replay the log");
}

enum status cluster_stores_found(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    enum status status = found(stores->log, config, err);
    if (status == STATUS_OK)
        status = look_at_members(stores, config, err);
    return status == STATUS_OK ? replay(stores, err) : status;
}

enum status cluster_stores_open(const struct cluster_config *config, struct cluster_stores *ret, struct error *err)
{
    struct cluster_stores stores = {.data = {.lock_fd = -1}, .log_dir = {.lock_fd = -1}};
    enum status status = cluster_open_directories(config, &stores, err);
    if (status == STATUS_OK && config->restore_file != NULL)
        status = cluster_restore(config, &stores, err);
    if (status == STATUS_OK)
        status = cluster_open_log(config, &stores, err);
    if (status == STATUS_OK)
        status = cluster_open_state(config, &stores, err);
    if (status == STATUS_OK)
        status = compare(&stores, err);
    if (status == STATUS_OK)
        remove_leftovers(&stores);
    if (status == STATUS_OK)
        status = cluster_restore_ended(&stores, err); /* it opens: whatever had begun is over */
    if (status == STATUS_OK)
        status = settle_log(stores.log, config, &stores.founds, err);
    if (status == STATUS_OK)
        status = look_at_members(&stores, config, err);
    if (status == STATUS_OK && stores.is_alone)
        status = replay(&stores, err); /* else the others know what is committed */
    if (status != STATUS_OK) {
        cluster_stores_close(&stores);
        return status;
    }
    *ret = stores;
    return STATUS_OK;
}

void cluster_close_log_and_state(struct cluster_stores *stores)
{
    state_free(stores->state);
    store_close(stores->state_store);
    log_store_free(stores->log);
    store_close(stores->log_store);
    stores->state = NULL;
    stores->state_store = NULL;
    stores->log = NULL;
    stores->log_store = NULL;
}

void cluster_stores_close(struct cluster_stores *stores)
{
    cluster_close_log_and_state(stores);
    if (stores->data.path[0] != '\0')
        data_dir_close(&stores->data);
    if (stores->log_dir.path[0] != '\0')
        data_dir_close(&stores->log_dir);
}
