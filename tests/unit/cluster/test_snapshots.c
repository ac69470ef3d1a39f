/* Snapshots of a node that is alone: taken while it works, kept, found again; and a new cluster out of one. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/snapshots_internal.h"

static const char *backend = "lmdb";

/* The disk is full for files that this program writes itself; those of the backends do not come this way. */
static bool is_full;
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    struct stat file;
    if (is_full && fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) {
        errno = ENOSPC;
        return -1;
    }
    return __real_write(fd, data, size);
}

struct taken {
    uint32_t calls;
    enum status status;
    uint64_t index;
};

static struct node *configured(char *folder)
{
    struct node *node = node_new(backend, folder);
    node->config.snapshot_threshold = 1000000;
    node->config.snapshot_interval_ms = INT64_C(1) << 40;
    node->config.retain_snapshots = 3;
    return node;
}

static int setup(void **state)
{
    struct node *node = configured(NULL);
    node_start(node);
    *state = node;
    return 0;
}

static int teardown(void **state)
{
    is_full = false;
    node_free(*state);
    return 0;
}

static void on_taken(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct taken *taken = arg;
    (void)token;
    taken->calls++;
    taken->status = outcome->status;
    taken->index = outcome->result.index;
}

static void ask(struct node *node, struct taken *taken)
{
    *taken = (struct taken){.calls = 0};
    OK(cluster_take_snapshot(node->cluster, on_taken, taken, 0, &failure));
    assert_int_equal(taken->calls, 0);
}

static uint64_t take(struct node *node)
{
    struct taken taken;
    ask(node, &taken);
    WAIT_UNTIL(node, taken.calls > 0);
    assert_int_equal(taken.status, STATUS_OK);
    return taken.index;
}

static void propose(struct node *node, uint64_t first, uint64_t count)
{
    for (uint64_t n = first; n < first + count; n++)
        OK(node_propose(node, PROPOSE_CLIENT, n, &failure));
}

static void propose_and_wait(struct node *node, uint64_t first, uint64_t count)
{
    uint64_t before = node->done;
    propose(node, first, count);
    WAIT_UNTIL(node, node->done == before + count);
}

static struct snapshot_summary verify(struct node *node, uint64_t index)
{
    char path[CLUSTER_PATH_SIZE];
    struct snapshot_info info;
    struct snapshot_summary summary;
    cluster_snapshot_path(node->cluster, index, path);
    OK(snapshot_verify(path, NULL, &info, &summary, &failure));
    assert_int_equal(info.last.index, index);
    return summary;
}

static uint32_t files(struct node *node, const char *part)
{
    char path[600];
    const struct dirent *entry;
    uint32_t count = 0;
    (void)snprintf(path, sizeof path, "%s/snapshots", node->folder);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.' && strstr(entry->d_name, part) != NULL;
    (void)closedir(folder);
    return count;
}

static void make_file(struct node *node, const char *name, const char *text)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/snapshots/%s", node->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* --- taking --- */

static void test_while_entries_are_applied(void **state)
{
    struct node *node = *state;
    uint64_t last = 0;
    for (uint64_t round = 0; round < 6; round++) {
        struct taken taken;
        propose(node, round * 500, 500);
        ask(node, &taken);
        WAIT_UNTIL(node, taken.calls > 0);
        assert_int_equal(taken.status, STATUS_OK);
        assert_true(taken.index >= last && taken.index <= node->applied.index);
        last = taken.index;
        (void)verify(node, last);
        WAIT_UNTIL(node, node->done == (round + 1) * 500);
    }
    assert_true(node->out_of_order == false && files(node, "tmp") == 0);
    WAIT_UNTIL(node, files(node, "snapshot-") == 3);
}

/* What the core was told of a file stays true of it: it may be on its way to a node. */
static void test_twice_where_nothing_has_changed(void **state)
{
    struct node *node = *state;
    propose_and_wait(node, 0, 20);
    uint64_t index = take(node);
    clock_advance_ms(5000);
    assert_int_equal(take(node), index);
    struct snapshot_summary summary = verify(node, index);
    const struct raft_snapshot_meta *told = raft_snapshot(node->cluster->raft);
    assert_non_null(told);
    assert_int_equal(told->last.index, index);
    assert_memory_equal(told->digest, summary.digest, sizeof told->digest);
    assert_int_equal(told->size, summary.size);
    assert_int_equal(files(node, ""), 1);
}

static void test_many_ask_at_once(void **state)
{
    struct node *node = *state;
    struct taken taken[SNAPSHOT_WAITERS_MAX];
    struct error err;
    propose_and_wait(node, 0, 20);
    for (uint32_t i = 0; i < SNAPSHOT_WAITERS_MAX; i++)
        ask(node, &taken[i]);
    assert_int_equal(cluster_take_snapshot(node->cluster, on_taken, &taken[0], 0, &err), STATUS_OVERLOADED);
    for (uint32_t i = 0; i < SNAPSHOT_WAITERS_MAX; i++) {
        WAIT_UNTIL(node, taken[i].calls > 0);
        assert_true(taken[i].calls == 1 && taken[i].status == STATUS_OK && taken[i].index == taken[0].index);
    }
}

static void test_a_stop_meanwhile(void **state)
{
    struct node *node = *state;
    for (int stage = TAKE_WANTED; stage <= TAKE_WRITING; stage++) {
        struct taken taken;
        propose_and_wait(node, (uint64_t)stage * 2000, 2000);
        ask(node, &taken);
        WAIT_UNTIL(node, (int)node->cluster->snapshots->taking.stage >= stage || taken.calls > 0);
        node_stop(node);
        assert_int_equal(taken.calls, 1);
        assert_true(taken.status == STATUS_OK || taken.status == STATUS_SHUTTING_DOWN);
        assert_int_equal(files(node, "tmp"), 0);
        node_start(node);
    }
    (void)verify(node, take(node));
}

static void test_a_full_disk(void **state)
{
    struct node *node = *state;
    struct taken taken;
    propose_and_wait(node, 0, 500);
    is_full = true;
    ask(node, &taken);
    WAIT_UNTIL(node, taken.calls > 0);
    is_full = false;
    assert_int_equal(taken.status, STATUS_NO_SPACE);
    assert_int_equal(files(node, ""), 0);
    propose_and_wait(node, 500, 20); /* the node lives */
    (void)verify(node, take(node));
}

static void test_junk_in_the_folder(void **state)
{
    struct node *node = *state;
    struct cluster_snapshot listed[10];
    propose_and_wait(node, 0, 20);
    uint64_t index = take(node);
    make_file(node, "incoming", "half of something");
    make_file(node, "snapshot-12.0123456789abcdef.tmp", "");
    make_file(node, "snapshot-13", "");
    make_file(node, "before-the-upgrade", "an operator's own"); /* nobody else's business */
    make_file(node, "snapshot-12.keep", "his, too");
    make_file(node, "snapshot-12.0123456789abcdef.tmp.old", "his, too");
    make_file(node, "snapshot-99999999999999999999", "no snapshot, however long it is");
    node_stop(node);
    node_start(node);
    assert_int_equal(files(node, "incoming") + files(node, "tmp"), 1); /* what an interrupted one leaves is gone */
    assert_int_equal(files(node, "before-the-upgrade") + files(node, ".keep") + files(node, ".old"), 3);
    assert_int_equal(cluster_list_snapshots(node->cluster, listed, 10), 1);
    assert_true(listed[0].index == index);
}

/* One file more than are looked after lies there at a start, and one more is written: the newest stay. */
static void test_more_than_are_kept(void **state)
{
    struct node *node = *state;
    char first[CLUSTER_PATH_SIZE], aside[700];
    struct cluster_snapshot listed[SNAPSHOTS_KEPT_MAX + 2];
    uint64_t newest = 0;
    node_stop(node);
    node->config.retain_snapshots = SNAPSHOTS_KEPT_MAX;
    node_start(node);
    for (uint32_t i = 0; i <= SNAPSHOTS_KEPT_MAX; i++) {
        propose_and_wait(node, i, 1);
        newest = take(node);
        if (i > 0)
            continue;
        cluster_snapshot_path(node->cluster, newest, first);
        (void)snprintf(aside, sizeof aside, "%s/aside", node->folder);
        assert_int_equal(link(first, aside), 0);
    }
    WAIT_UNTIL(node, files(node, "snapshot-") == SNAPSHOTS_KEPT_MAX); /* the oldest one goes off the loop */
    node_stop(node);
    assert_int_equal(rename(aside, first), 0);
    node->config.retain_snapshots = 3;
    node_start(node);
    assert_int_equal(cluster_list_snapshots(node->cluster, listed, SNAPSHOTS_KEPT_MAX + 2), SNAPSHOTS_KEPT_MAX);
    propose_and_wait(node, 1000, 1);
    uint64_t index = take(node);
    assert_true(index > newest);
    (void)verify(node, index);
    uint32_t count = cluster_list_snapshots(node->cluster, listed, SNAPSHOTS_KEPT_MAX + 2);
    assert_true(count > 0 && count <= 3 && listed[0].index == index);
}

/* --- a new cluster --- */

/* A snapshot of a node with `jobs` jobs, moved to `path`. */
static void snapshot_to(const char *path, uint64_t jobs)
{
    char from[CLUSTER_PATH_SIZE];
    struct node *node = configured(NULL);
    node_start(node);
    propose_and_wait(node, 0, jobs);
    cluster_snapshot_path(node->cluster, take(node), from);
    assert_int_equal(rename(from, path), 0);
    node_free(node);
}

/* Snapshots of the cluster that was there before are not this one's, however new they are. */
static void test_those_of_another_cluster_do_not_count(void **state)
{
    char path[600];
    struct node *node = *state;
    struct cluster_snapshot listed[10];
    (void)snprintf(path, sizeof path, "%s/restored", node->folder);
    snapshot_to(path, 10);
    propose_and_wait(node, 0, 500);
    uint64_t old = take(node);
    node_stop(node);
    node->config.restore_file = path;
    node_start(node);
    assert_true(node_status(node).applied_index < old);
    assert_int_equal(cluster_list_snapshots(node->cluster, listed, 10), 0);
    for (uint64_t round = 0; round < 4; round++) {
        propose_and_wait(node, 1000 + round, 1);
        uint64_t index = take(node);
        assert_true(index < old);
        (void)verify(node, index);
        assert_true(cluster_list_snapshots(node->cluster, listed, 10) > 0 && listed[0].index == index);
    }
    node_stop(node);
    node_start(node);
    assert_int_equal(cluster_list_snapshots(node->cluster, listed, 10), 3);
    assert_true(listed[0].index < old);
}

static uint32_t moved_aside(struct node *node)
{
    const struct dirent *entry;
    uint32_t count = 0;
    DIR *folder = opendir(node->folder);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL)
        count += strncmp(entry->d_name, "before-restore-", 15) == 0;
    (void)closedir(folder);
    return count;
}

/* Within one second too. */
static void test_what_was_there_is_moved_aside_again_and_again(void **state)
{
    char paths[2][600];
    struct node *node = *state;
    node_stop(node);
    for (uint64_t i = 0; i < 2; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/restored-%llu", node->folder, (unsigned long long)i);
        snapshot_to(paths[i], 10 + i);
    }
    for (uint32_t round = 0; round < 6; round++) {
        node->config.restore_file = paths[round % 2];
        node_start(node);
        assert_true(node_has_job(node, 9) && node_has_job(node, 10) == (round % 2 == 1));
        assert_int_equal(moved_aside(node), round + 1);
        node_stop(node);
    }
    node_start(node);
    assert_int_equal(moved_aside(node), 6);
}

static int restore_in_child(char *folder, const char *path, int32_t role, uint32_t writes)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct node *node = configured(folder);
        struct error err;
        struct cluster *cluster;
        node->config.restore_file = path;
        crash_at(role, writes);
        _exit(cluster_open(&node->config, &cluster, &err) == STATUS_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

enum { JOBS = 4 };

/* Wherever it ends, a start with the same flag brings the whole of it. */
static void crash_everywhere(int32_t role)
{
    char path[256];
    char *folder = folder_new();
    uint32_t writes = 0;
    int code;
    (void)snprintf(path, sizeof path, "%s/restored", folder);
    snapshot_to(path, JOBS);
    do {
        char data[300];
        (void)snprintf(data, sizeof data, "%s/%u", folder, writes);
        code = restore_in_child(data, path, role, writes++);
        assert_true(code == CRASHED || code == 0);
        struct node *node = configured(data);
        node->config.restore_file = path;
        node_start(node);
        for (uint64_t n = 0; n < JOBS; n++)
            assert_true(node_has_job(node, n));
        propose_and_wait(node, 100, 1);
        node_stop(node);
        node_start(node); /* and the next one changes nothing */
        assert_true(node_has_job(node, 100));
        node_free(node);
    } while (code == CRASHED);
    assert_true(writes > 2);
    folder_free(folder);
}

static void test_a_crash_at_each_write_of_the_log(void **state)
{
    (void)state;
    crash_everywhere(CHRONOS_STORAGE_LOG);
}

static void test_a_crash_at_each_write_of_the_state(void **state)
{
    (void)state;
    crash_everywhere(CHRONOS_STORAGE_STATE);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_while_entries_are_applied),
        TEST(test_twice_where_nothing_has_changed),
        TEST(test_many_ask_at_once),
        TEST(test_a_stop_meanwhile),
        TEST(test_a_full_disk),
        TEST(test_junk_in_the_folder),
        TEST(test_more_than_are_kept),
        TEST(test_those_of_another_cluster_do_not_count),
        TEST(test_what_was_there_is_moved_aside_again_and_again),
        cmocka_unit_test(test_a_crash_at_each_write_of_the_log),
        cmocka_unit_test(test_a_crash_at_each_write_of_the_state),
    };
    (void)backend_of(backend); /* loaded before there are children */
    int failed = cmocka_run_group_tests_name("snapshots on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    return failed + cmocka_run_group_tests_name("snapshots on sqlite", tests, NULL, NULL);
}
