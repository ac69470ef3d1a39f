/* A new cluster out of a snapshot, on a node that is its first member.
 *
 * What lies in the data directory is moved aside, never deleted. The state is loaded and made to forget what was under way; then one
 * transaction of the log makes it the state of a new cluster. A crash before that leaves a directory that is refused without the flag
 * and begun anew with it: a file says that a restore has begun. The cluster's id is a new one: nodes of the old one cannot take it for
 * theirs.
 *
 * The flag may stand in a service file for years. So data that cannot be opened is never replaced: that may have a cause that passes, a
 * disk that is not mounted or a limit of the system, and the data may be newer than the snapshot by all those years. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "state/snapshot.h"

/* --- what is there --- */

enum found { FOUND_NOTHING, FOUND_THIS, FOUND_OTHER /* or half of a restore */ };

static bool is_of(const struct state *state, const uint8_t digest[SNAPSHOT_DIGEST_SIZE])
{
    struct state_view view;
    struct error err;
    struct id cluster;
    uint8_t restored[RESTORE_DIGEST_SIZE];
    if (state_view_begin(state, &view, &err) != STATUS_OK)
        return false;
    bool is_same = state_get_restored(&view, &cluster, restored, &err) == STATUS_OK && memcmp(restored, digest, sizeof restored) == 0;
    state_view_end(&view);
    return is_same;
}

static enum status path_of_mark(const struct cluster_stores *stores, char ret[DATA_DIR_PATH_SIZE], struct error *err)
{
    return path_join(ret, DATA_DIR_PATH_SIZE, stores->data.path, "restore-has-begun", err);
}

enum status cluster_restore_ended(const struct cluster_stores *stores, struct error *err)
{
    char path[DATA_DIR_PATH_SIZE];
    enum status status = path_of_mark(stores, path, err);
    if (status == STATUS_OK && unlink(path) != 0 && errno != ENOENT)
        return error_set_errno(err, STATUS_IO, errno, "remove %s", path);
    return status;
}

/* What opens: a cluster's log and its state, or two blank ones. */
static enum status judge(struct cluster_stores *stores, const uint8_t digest[SNAPSHOT_DIGEST_SIZE], enum found *ret, struct error *err)
{
    bool has_log = log_store_last(stores->log)->index > 0 || !id_is_zero(&log_store_hard(stores->log)->cluster_id);
    bool has_state = state_applied(stores->state).index > 0;
    bool is_founded = !id_is_zero(&log_store_hard(stores->log)->cluster_id); /* the last thing that a restore does */
    if (has_state && !has_log)
        return error_set(err, STATUS_CONFLICT, "the state in %s is that of a node, and the log in %s is empty: is the disk of storage.log_dir "
                         "mounted?", stores->data.path, stores->log_path);
    *ret = !has_log ? FOUND_NOTHING : is_founded && is_of(stores->state, digest) ? FOUND_THIS : FOUND_OTHER;
    return STATUS_OK;
}

static enum status look(const struct cluster_config *config, struct cluster_stores *stores, const uint8_t digest[SNAPSHOT_DIGEST_SIZE],
                        enum found *ret, struct error *err)
{
    char mark[DATA_DIR_PATH_SIZE];
    enum status status = path_of_mark(stores, mark, err);
    if (status != STATUS_OK)
        return status;
    bool has_begun = access(mark, F_OK) == 0;
    status = cluster_open_log(config, stores, err);
    if (status == STATUS_OK)
        status = cluster_open_state(config, stores, err);
    if (status == STATUS_OK)
        status = judge(stores, digest, ret, err);
    cluster_close_log_and_state(stores);
    if (status == STATUS_OK || !has_begun)
        return status == STATUS_OK ? status : error_wrap(err, "what is there is not replaced: mend it, or move `log`, `local` and `state-*` "
                                                              "out of %s", stores->data.path);
    *ret = FOUND_OTHER; /* one that has ended half-way */
    return STATUS_OK;
}

/* --- moving aside --- */

static bool is_ours(const char *name)
{
    return strcmp(name, "log") == 0 || strcmp(name, "local") == 0 || strncmp(name, "state-", 6) == 0;
}

static enum status move(const char *folder, const char *aside, const char *name, struct error *err)
{
    char from[DATA_DIR_PATH_SIZE], to[DATA_DIR_PATH_SIZE];
    enum status status = path_join(from, sizeof from, folder, name, err);
    if (status == STATUS_OK)
        status = path_join(to, sizeof to, aside, name, err);
    if (status == STATUS_OK)
        status = directory_make(aside, 0700, err);
    if (status == STATUS_OK && rename(from, to) != 0)
        status = error_set_errno(err, STATUS_IO, errno, "move %s to %s", from, to);
    if (status == STATUS_OK)
        LOG_INFO("moved aside", LOG_STRING("from", from), LOG_STRING("to", to));
    return status;
}

/* before-restore-<time>, and a further number where that is there already. */
static enum status name_aside(const struct data_dir *dir, int64_t now_ms, char ret[DATA_DIR_PATH_SIZE], struct error *err)
{
    char name[64];
    int size = snprintf(name, sizeof name, "before-restore-%lld", (long long)(now_ms / 1000));
    enum status status = path_join(ret, DATA_DIR_PATH_SIZE, dir->path, name, err);
    for (uint32_t n = 2; status == STATUS_OK && access(ret, F_OK) == 0; n++) {
        (void)snprintf(name + size, sizeof name - (size_t)size, "-%u", n);
        status = path_join(ret, DATA_DIR_PATH_SIZE, dir->path, name, err);
    }
    return status;
}

static enum status move_aside(const struct data_dir *dir, int64_t now_ms, struct error *err)
{
    char aside[DATA_DIR_PATH_SIZE];
    const struct dirent *entry;
    enum status status = name_aside(dir, now_ms, aside, err);
    DIR *directory = status == STATUS_OK ? opendir(dir->path) : NULL;
    if (status == STATUS_OK && directory == NULL)
        status = error_set_errno(err, STATUS_IO, errno, "open %s", dir->path);
    while (status == STATUS_OK && (entry = readdir(directory)) != NULL)
        if (is_ours(entry->d_name))
            status = move(dir->path, aside, entry->d_name, err);
    if (status == STATUS_OK && fsync(dirfd(directory)) != 0) /* before something else takes their names */
        status = error_set_errno(err, STATUS_IO, errno, "sync %s", dir->path);
    if (directory != NULL)
        (void)closedir(directory); /* nothing was written through it */
    return status;
}

/* --- the new cluster --- */

static enum status forget_the_past(const struct cluster_config *config, struct state *state, const struct snapshot_info *info,
                                   const struct snapshot_summary *summary, struct error *err)
{
    struct restore restore = {.cluster = info->cluster_id, .keep_marks = config->restore_catch_up};
    struct apply_result result;
    struct state_changes changes;
    struct buffer command;
    int64_t now_ms = config->clock->wall_ms(config->clock->arg), stamp_ms = state_last_stamp(state);
    memcpy(restore.digest, summary->digest, sizeof restore.digest);
    state_changes_init(&changes);
    buffer_init(&command, ENTRY_SIZE_MAX);
    restore_encode(&restore, &command);
    enum status status = command.failed;
    if (status == STATUS_OK) {
        command_stamp(command.data, now_ms > stamp_ms ? now_ms : stamp_ms);
        struct state_entry entry = {.index = info->last.index + 1, .term = info->last.term, .command = buffer_bytes(&command)};
        status = state_apply(state, &entry, 1, &result, &changes, err);
    }
    if (status == STATUS_OK)
        status = state_sync(state, err);
    buffer_deinit(&command);
    state_changes_deinit(&changes);
    return status;
}

static enum status found_on(const struct cluster_config *config, struct cluster_stores *stores, const struct snapshot_info *info,
                            struct error *err)
{
    struct log_hard_state hard = *log_store_hard(stores->log);
    struct state_position applied = state_applied(stores->state);
    struct raft_member *self = &hard.conf.members[0];
    hard.term = info->last.term > 0 ? info->last.term : 1;
    hard.vote = 0;
    random_bytes_secure(&hard.cluster_id, sizeof hard.cluster_id);
    hard.base = (struct log_position){.index = applied.index, .term = applied.term, .hash = info->hash};
    hard.conf_index = applied.index;
    hard.conf = (struct raft_conf){.count = 1, .members[0] = {.id = hard.node, .role = RAFT_VOTER}};
    (void)snprintf(self->name, sizeof self->name, "%s", config->node_id); /* lengths were checked with the config */
    (void)snprintf(self->address, sizeof self->address, "%s", config->raft_advertise != NULL ? config->raft_advertise : "");
    return log_store_install(stores->log, &hard, err);
}

static enum status load(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    struct snapshot_info info;
    struct snapshot_summary summary;
    char name[32];
    (void)snprintf(name, sizeof name, "state-%llu", (unsigned long long)log_store_hard(stores->log)->live);
    enum status status = path_join(stores->state_path, sizeof stores->state_path, stores->data.path, name, err);
    if (status == STATUS_OK)
        status = directory_remove(stores->state_path, err); /* a blank one */
    if (status == STATUS_OK)
        status = directory_make(stores->state_path, 0700, err);
    if (status == STATUS_OK)
        status = cluster_state_store_open(config, stores->state_path, &stores->state_store, err);
    if (status == STATUS_OK)
        status = snapshot_load(config->restore_file, stores->state_store, NULL, &info, &summary, err);
    if (status == STATUS_OK)
        status = state_new(stores->state_store, &stores->state, err);
    if (status == STATUS_OK)
        status = forget_the_past(config, stores->state, &info, &summary, err);
    if (status == STATUS_OK)
        status = found_on(config, stores, &info, err);
    if (status == STATUS_OK)
        LOG_INFO("founded a new cluster out of a snapshot", LOG_STRING("file", config->restore_file),
                 LOG_STRING("written_by", info.node), LOG_U64("index", info.last.index), LOG_U64("rows", summary.rows));
    return status;
}

static enum status move_all_aside(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    bool has_log_dir = stores->log_dir.path[0] != '\0';
    int64_t now_ms = config->clock->wall_ms(config->clock->arg);
    enum status status = move_aside(&stores->data, now_ms, err);
    if (status == STATUS_OK && has_log_dir)
        status = move_aside(&stores->log_dir, now_ms, err);
    return status == STATUS_OK ? data_dir_make(has_log_dir ? &stores->log_dir : &stores->data, "log", stores->log_path, err) : status;
}

enum status cluster_restore(const struct cluster_config *config, struct cluster_stores *stores, struct error *err)
{
    struct snapshot_info info;
    struct snapshot_summary summary;
    enum status status = snapshot_verify(config->restore_file, NULL, &info, &summary, err);
    if (status != STATUS_OK)
        return error_wrap(err, "restore %s", config->restore_file);
    enum found found = FOUND_OTHER;
    char mark[DATA_DIR_PATH_SIZE];
    status = look(config, stores, summary.digest, &found, err);
    if (status != STATUS_OK)
        return error_wrap(err, "restore %s", config->restore_file);
    if (found == FOUND_THIS) {
        LOG_INFO("this snapshot was restored here before: nothing is done", LOG_STRING("file", config->restore_file));
        return STATUS_OK;
    }
    status = path_of_mark(stores, mark, err);
    if (status == STATUS_OK)
        status = file_write_atomic(mark, "", 0, 0600, err);
    if (status == STATUS_OK && found == FOUND_OTHER)
        status = move_all_aside(config, stores, err);
    if (status == STATUS_OK)
        status = cluster_open_log(config, stores, err);
    if (status == STATUS_OK)
        status = load(config, stores, err);
    cluster_close_log_and_state(stores);
    return status == STATUS_OK ? status : error_wrap(err, "restore %s", config->restore_file);
}

enum status cluster_move_aside(const struct cluster_config *config, struct error *err)
{
    struct cluster_stores stores = {.data = {.lock_fd = -1}, .log_dir = {.lock_fd = -1}};
    enum status status = cluster_open_directories(config, &stores, err);
    if (status == STATUS_OK)
        status = move_all_aside(config, &stores, err);
    cluster_stores_close(&stores);
    return status;
}
