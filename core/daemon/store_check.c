#include "daemon/store_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "cluster/store_check.h"
#include "daemon/daemon.h"
#include "daemon/plugins.h"
#include "state/snapshot.h"

enum status store_check_look(const char *path, bool *ret_is_directory, char ret_backend[STORE_CHECK_BACKEND_SIZE],
                             struct error *err)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "open %s", path);
    bool is_directory = S_ISDIR(about.st_mode);
    enum status status = is_directory ? data_dir_read_backend(path, ret_backend, err) : STATUS_OK;
    if (status == STATUS_NOT_FOUND)
        return error_wrap(err, "%s is no data directory of Chronos", path);
    if (status == STATUS_OK)
        *ret_is_directory = is_directory;
    return status;
}

/* --- what is printed --- */

static void print_hexadecimal(const char *name, const uint8_t *bytes, size_t size)
{
    (void)printf("%-10s", name);
    for (size_t i = 0; i < size; i++)
        (void)printf("%02x", bytes[i]);
    (void)printf("\n");
}

static void print_rows(const uint64_t rows[STATE_TABLE_COUNT], uint64_t row_bytes)
{
    (void)printf("%-10s", "rows");
    for (int table = 0; table < STATE_TABLE_COUNT; table++)
        (void)printf("%s%s %" PRIu64, table > 0 ? ", " : "", state_table_name((enum state_table)table), rows[table]);
    (void)printf("; %" PRIu64 " bytes\n", row_bytes);
}

static void print_time(const char *name, int64_t ms)
{
    char text[32] = "";
    struct tm tm;
    time_t seconds = (time_t)(ms / 1000);
    if (gmtime_r(&seconds, &tm) != NULL)
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm); /* an impossible year prints as nothing */
    (void)printf("%-10s%s\n", name, text);
}

static void print_problem(void *arg, const char *problem)
{
    (void)arg;
    (void)fprintf(stderr, "problem: %s\n", problem);
}

static bool conclude(uint64_t problems)
{
    if (problems == 0)
        (void)printf("no problems found\n");
    else
        (void)printf("%" PRIu64 " problem%s found\n", problems, problems == 1 ? "" : "s");
    return problems == 0;
}

/* --- a snapshot --- */

bool store_check_snapshot(const char *path)
{
    struct snapshot_info info;
    struct snapshot_summary summary;
    struct error err;
    if (snapshot_verify(path, NULL, &info, &summary, &err) != STATUS_OK) {
        print_problem(NULL, err.message);
        return false;
    }
    (void)printf("%-10s%s\n", "snapshot", path);
    print_hexadecimal("cluster", info.cluster_id.bytes, sizeof info.cluster_id.bytes);
    (void)printf("%-10s%s, Chronos %s\n", "made by", info.node, info.version);
    print_time("made at", info.created_ms);
    (void)printf("%-10sentry %" PRIu64 " of term %" PRIu64 "\n", "state", info.last.index, info.last.term);
    print_rows(summary.table_rows, summary.row_bytes);
    (void)printf("%-10s%" PRIu64 " bytes\n", "size", summary.size);
    print_hexadecimal("sha-256", summary.digest, sizeof summary.digest);
    return conclude(0);
}

/* --- a directory --- */

static void print_findings(const struct config *config, const struct store_findings *f)
{
    (void)printf("%-10s%s (%s)\n", "directory", config->cluster.data_dir, config->storage.backend);
    if (f->has_log) {
        print_hexadecimal("cluster", f->hard.cluster_id.bytes, sizeof f->hard.cluster_id.bytes);
        (void)printf("%-10s%" PRIu64 " entries up to %" PRIu64 ", term %" PRIu64 "\n", "log", f->last.index - f->hard.base.index,
                     f->last.index, f->hard.term);
    }
    if (f->has_state) {
        (void)printf("%-10sentry %" PRIu64 " of term %" PRIu64 " (state-%" PRIu64 ")\n", "state", f->applied.index,
                     f->applied.term, f->live);
        print_rows(f->contents.rows, f->contents.row_bytes);
    }
}

static enum status check_with(const struct config *config, const struct plugins *plugins, struct store_findings *ret,
                              struct error *err)
{
    const struct store_check_config check = {
        .data_dir = config->cluster.data_dir,
        .log_dir = daemon_log_dir(config),
        .backend = plugins->backend,
        .backend_options = config->storage.options,
        .clock = &clock_system,
    };
    return store_check(&check, print_problem, NULL, ret, err);
}

bool store_check_directory(const struct config *config, config_report report)
{
    struct plugins plugins;
    struct store_findings findings;
    struct error err;
    int told = 0;
    enum status status = plugins_load(config, report, &told, &plugins, &err);
    if (status != STATUS_OK) {
        if (told == 0)
            print_problem(NULL, err.message);
        return false;
    }
    status = check_with(config, &plugins, &findings, &err);
    if (status == STATUS_OK)
        print_findings(config, &findings);
    else
        print_problem(NULL, err.message);
    plugins_unload(&plugins);
    return status == STATUS_OK && conclude(findings.problems);
}
