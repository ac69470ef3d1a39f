/* kill -9 at random moments: every acknowledged command is there afterwards, whatever else is. CHRONOS_TEST_ROUNDS and
 * CHRONOS_TEST_SEED change how often and when. */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ON_THE_WAY = 64 };

static const char *backend = "lmdb";

/* --- the child: proposes for ever, prints what was acknowledged --- */

struct child {
    struct node *node;
    int fd;
    uint64_t next, waiting;
};

static void acknowledge(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct child *child = arg;
    child->waiting--;
    bool there = outcome->result.status == STATUS_OK || outcome->result.status == STATUS_EXISTS;
    if (outcome->status != STATUS_OK || !there || write(child->fd, &token, sizeof token) != sizeof token)
        _exit(3);
}

static void run_child(char *folder, int fd, uint64_t first)
{
    struct child child = {.fd = fd, .next = first};
    struct error err;
    alarm(60); /* should the parent be gone */
    child.node = node_new(backend, folder);
    node_start(child.node);
    for (;;) {
        while (child.waiting < ON_THE_WAY) {
            struct buffer command;
            job_command(child.next, 30, &command);
            if (cluster_propose(child.node->cluster, PROPOSE_CLIENT, buffer_bytes(&command), acknowledge, &child, child.next,
                                &err) != STATUS_OK)
                _exit(4);
            buffer_deinit(&command);
            child.next++;
            child.waiting++;
        }
        node_turn(child.node);
    }
}

/* --- the parent --- */

struct acknowledged {
    uint64_t *items;
    uint32_t count, capacity;
};

/* Reads acknowledgements until the end; kills the child once `kill_after` of them came and `delay_us` more have passed. */
static void read_until_killed(pid_t pid, int fd, struct acknowledged *seen, uint32_t kill_after, uint64_t delay_us)
{
    uint64_t token;
    ssize_t size;
    uint32_t count = 0;
    bool killed = false;
    while ((size = read(fd, &token, sizeof token)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        assert_int_equal(size, sizeof token);
        if (seen->count == seen->capacity) {
            seen->capacity = seen->capacity ? seen->capacity * 2 : 4096;
            seen->items = realloc(seen->items, seen->capacity * sizeof *seen->items);
            assert_non_null(seen->items);
        }
        seen->items[seen->count++] = token;
        if (++count < kill_after || killed)
            continue;
        if (delay_us > 0)
            (void)usleep((useconds_t)delay_us); /* only to hit another moment: nothing waits for it */
        assert_int_equal(kill(pid, SIGKILL), 0);
        killed = true;
    }
    assert_true(killed);
}

static void check_all(char *folder, const struct acknowledged *seen, uint64_t *ret_next)
{
    struct node *node = node_new(backend, folder);
    node_start(node);
    for (uint32_t i = 0; i < seen->count; i++)
        if (!node_has_job(node, seen->items[i]))
            fail_msg("command %llu was acknowledged and is gone", (unsigned long long)seen->items[i]);
    while (node_has_job(node, *ret_next))
        (*ret_next)++;
    node_free(node);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_kill(void **state)
{
    struct acknowledged seen = {.items = NULL};
    struct random random;
    uint64_t next = 0, seed = number("CHRONOS_TEST_SEED", 5), rounds = number("CHRONOS_TEST_ROUNDS", 20);
    char *folder = folder_new();
    (void)state;
    random_seed(&random, seed);
    for (uint64_t round = 0; round < rounds; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)close(fds[0]);
            run_child(folder, fds[1], next);
        }
        (void)close(fds[1]);
        read_until_killed(pid, fds[0], &seen, 1 + (uint32_t)random_below(&random, 400), random_below(&random, 5000));
        (void)close(fds[0]);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_all(folder, &seen, &next);
    }
    print_message("seed %llu: %u acknowledged over %llu kills\n", (unsigned long long)seed, seen.count,
                  (unsigned long long)rounds);
    free(seen.items);
    folder_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    int failed = cmocka_run_group_tests_name("kill on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    return failed + cmocka_run_group_tests_name("kill on sqlite", tests, NULL, NULL);
}
