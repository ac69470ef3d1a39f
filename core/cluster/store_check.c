#include "cluster/store_check.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cluster/data_dir.h"

enum { READERS = 4 };

struct checking {
    const struct store_check_config *config;
    struct store *log_store, *state_store;
    struct log_store *log;
    struct state *state;
    struct store_findings findings;
    state_problem report;
    void *arg;
};

static void tell(struct checking *c, const char *problem)
{
    c->findings.problems++;
    c->report(c->arg, problem);
}

/* A backend makes what it does not find: so look first. */
static enum status open_store(struct checking *c, int32_t role, const char *label, const char *path, struct store **ret,
                              struct error *err)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "open %s", path);
    struct store_options options = {.role = role, .directory = path, .max_readers = READERS};
    return store_open(c->config->backend, label, c->config->backend_options, c->config->clock, &options, ret, err);
}

static void check_log(struct checking *c)
{
    char path[DATA_DIR_PATH_SIZE];
    struct error err;
    const char *within = c->config->log_dir != NULL ? c->config->log_dir : c->config->data_dir;
    enum status status = path_join(path, sizeof path, within, "log", &err);
    if (status == STATUS_OK)
        status = open_store(c, CHRONOS_STORAGE_LOG, "log", path, &c->log_store, &err);
    if (status == STATUS_OK)
        status = log_store_open(c->log_store, &c->log, &err); /* reads and verifies every entry */
    if (status == STATUS_NOT_FOUND && c->config->log_dir == NULL)
        (void)error_wrap(&err, "there is no log (if storage.log_dir is set, give --config)");
    if (status != STATUS_OK) {
        (void)error_wrap(&err, "the log");
        tell(c, err.message);
        return;
    }
    c->findings.has_log = true;
    c->findings.hard = *log_store_hard(c->log);
    c->findings.last = *log_store_last(c->log);
}

/* Which state store the log speaks of; without a log the newest one that is there. False: none. */
static bool find_live(struct checking *c, uint64_t *ret)
{
    bool found = c->findings.has_log;
    DIR *directory;
    const struct dirent *entry;
    *ret = found ? c->findings.hard.live : 0;
    if (found || (directory = opendir(c->config->data_dir)) == NULL)
        return found;
    while ((entry = readdir(directory)) != NULL) {
        uint64_t number;
        char canonical[32];
        if (sscanf(entry->d_name, "state-%" SCNu64, &number) != 1)
            continue;
        (void)snprintf(canonical, sizeof canonical, "state-%" PRIu64, number); /* always fits */
        if (strcmp(entry->d_name, canonical) == 0 && (!found || number > *ret)) {
            *ret = number;
            found = true;
        }
    }
    (void)closedir(directory); /* only read */
    return found;
}

static void check_contents(struct checking *c)
{
    struct error err;
    c->findings.has_state = true;
    c->findings.applied = state_applied(c->state);
    if (state_check(c->state, c->report, c->arg, &c->findings.contents, &err) != STATUS_OK)
        tell(c, err.message);
    c->findings.problems += c->findings.contents.problems;
}

static void check_state(struct checking *c)
{
    char name[32], path[DATA_DIR_PATH_SIZE];
    struct error err;
    if (!find_live(c, &c->findings.live)) {
        tell(c, "the state: there is none");
        return;
    }
    (void)snprintf(name, sizeof name, "state-%" PRIu64, c->findings.live); /* always fits */
    enum status status = path_join(path, sizeof path, c->config->data_dir, name, &err);
    if (status == STATUS_OK)
        status = open_store(c, CHRONOS_STORAGE_STATE, name, path, &c->state_store, &err);
    if (status == STATUS_OK)
        status = state_open(c->state_store, &c->state, &err);
    if (status == STATUS_OK) {
        check_contents(c);
        return;
    }
    if (status == STATUS_NOT_FOUND && c->findings.has_log && c->findings.hard.base.index == 0)
        return; /* the log begins at its beginning: a node that starts makes the state from it */
    (void)error_wrap(&err, "the state");
    tell(c, err.message);
}

/* As a node that starts compares them. */
static void compare(struct checking *c)
{
    const struct store_findings *f = &c->findings;
    struct log_position at;
    struct error err;
    if (!f->has_log || !f->has_state)
        return;
    if (f->applied.index < f->hard.base.index) {
        (void)error_set(&err, STATUS_CORRUPT, "the state ends at entry %" PRIu64 " but the log begins after %" PRIu64
                        ": the state lost synced data", f->applied.index, f->hard.base.index);
    } else if (f->applied.index > f->last.index) {
        (void)error_set(&err, STATUS_CORRUPT, "the state ends at entry %" PRIu64 " and the log at %" PRIu64
                        ": log and state are not of one node, or of different moments", f->applied.index, f->last.index);
    } else if (log_store_position(c->log, f->applied.index, &at, &err) != STATUS_OK) {
        (void)error_set(&err, STATUS_CORRUPT, "entry %" PRIu64 ", where the state ends, cannot be read again", f->applied.index);
    } else if (at.term == f->applied.term) {
        return;
    } else {
        (void)error_set(&err, STATUS_CORRUPT, "entry %" PRIu64 " has term %" PRIu64 " in the state and %" PRIu64
                        " in the log: they are not of one node", f->applied.index, f->applied.term, at.term);
    }
    tell(c, err.message);
}

enum status store_check(const struct store_check_config *config, state_problem report, void *arg, struct store_findings *ret,
                        struct error *err)
{
    struct checking c = {.config = config, .report = report, .arg = arg};
    struct data_dir data = {.lock_fd = -1}, log_dir = {.lock_fd = -1};
    enum status status = data_dir_lock(config->data_dir, &data, err);
    if (status == STATUS_OK && config->log_dir != NULL)
        status = data_dir_lock(config->log_dir, &log_dir, err);
    if (status == STATUS_OK) {
        check_log(&c);
        check_state(&c);
        compare(&c);
        *ret = c.findings;
    }
    state_free(c.state);
    store_close(c.state_store);
    log_store_free(c.log);
    store_close(c.log_store);
    data_dir_close(&log_dir);
    data_dir_close(&data);
    return status;
}
