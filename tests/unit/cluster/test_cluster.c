/* The cluster of one, on real backends: every outcome once and in order, everything there after a restart, stores of two
 * histories refused. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *backend = "lmdb";

static int setup(void **state)
{
    *state = node_new(backend, NULL);
    return 0;
}

static int teardown(void **state)
{
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NONE);
    fault_set(CHRONOS_STORAGE_STATE, FAULT_NONE);
    node_free(*state);
    return 0;
}

/* Proposes job numbers [from, to), at most so many on their way as are taken. */
static void propose_range(struct node *node, uint64_t from, uint64_t to)
{
    uint64_t n = from;
    struct error err;
    while (n < to) {
        enum status status = node_propose(node, PROPOSE_CLIENT, n, &err);
        if (status == STATUS_OK) {
            n++;
            continue;
        }
        assert_int_equal(status, STATUS_OVERLOADED);
        node_turn(node);
    }
    WAIT_UNTIL(node, node->done >= to - from);
}

static void test_thousands_in_order(void **state)
{
    struct node *node = *state;
    enum { COUNT = 5000 };
    node_start(node);
    propose_range(node, 0, COUNT);
    assert_false(node->out_of_order);
    for (uint64_t n = 0; n < COUNT; n++) {
        assert_int_equal(node->outcomes[n].calls, 1);
        assert_int_equal(node->outcomes[n].status, STATUS_OK);
        assert_int_equal(node->outcomes[n].result.status, STATUS_OK);
        assert_int_equal(node->outcomes[n].result.index, n + 3); /* behind the founding and the term's no-op */
    }
    struct cluster_status status = node_status(node);
    assert_true(status.is_leader && status.is_ready);
    assert_int_equal(status.term, 2); /* founded in term 1 */
    assert_int_equal(status.last_index, COUNT + 2);
    assert_int_equal(status.applied_index, COUNT + 2);
    assert_int_equal(status.log_entries, COUNT + 1);
    assert_true(status.log_commits < COUNT / 10); /* grouped */
    assert_int_equal(status.proposals_waiting, 0);
    assert_int_equal(node->changes, COUNT);
    node_stop(node);

    node_start(node);
    assert_int_equal(node_status(node).term, 3);
    assert_int_equal(node_status(node).last_index, COUNT + 3);
    for (uint64_t n = 0; n < COUNT; n += 7)
        assert_true(node_has_job(node, n));
    assert_false(node_has_job(node, COUNT));
}

static void test_refusals_of_apply_reach_the_proposer(void **state)
{
    struct node *node = *state;
    node_start(node);
    OK(node_propose(node, PROPOSE_CLIENT, 1, &failure));
    WAIT_UNTIL(node, node->done == 1);
    node->outcomes[1].calls = 0;
    OK(node_propose(node, PROPOSE_CLIENT, 1, &failure)); /* the same id again */
    WAIT_UNTIL(node, node->done == 2);
    assert_int_equal(node->outcomes[1].status, STATUS_OK);
    assert_int_equal(node->outcomes[1].result.status, STATUS_EXISTS);
}

static void test_before_it_leads_and_after_it_stops(void **state)
{
    struct node *node = *state;
    struct error err;
    OK(cluster_open(&node->config, &node->cluster, &failure));
    assert_int_equal(node_propose(node, PROPOSE_CLIENT, 1, &err), STATUS_NO_LEADER);
    assert_int_equal(cluster_read_index(node->cluster, count_read, node, 1, &err), STATUS_NO_LEADER);
    assert_string_equal(cluster_node_id(node->cluster), "n1");
    cluster_free(node->cluster); /* never started */
    node_start(node);
    assert_int_equal(node->leads, 1);
    OK(node_propose(node, PROPOSE_CLIENT, 1, &failure));
    cluster_stop(node->cluster, NULL, NULL);
    assert_int_equal(node_propose(node, PROPOSE_CLIENT, 2, &err), STATUS_SHUTTING_DOWN);
    node_stop(node); /* waits for what is in flight */
    assert_int_equal(node->outcomes[1].status, STATUS_OK);
    assert_int_equal(node->outcomes[1].calls, 1);
    node_start(node);
    assert_true(node_has_job(node, 1));
    assert_false(node_has_job(node, 2));
}

static void test_stop_waits_for_thousands(void **state)
{
    struct node *node = *state;
    enum { COUNT = 3000 };
    node_start(node);
    for (uint64_t n = 0; n < COUNT; n++)
        OK(node_propose(node, PROPOSE_CLIENT, n, &failure));
    node_stop(node);
    assert_int_equal(node->done, COUNT);
    for (uint64_t n = 0; n < COUNT; n++)
        assert_int_equal(node->outcomes[n].status, STATUS_OK);
    node_start(node);
    assert_true(node_has_job(node, COUNT - 1));
}

static void test_the_ring_of_proposals_is_full(void **state)
{
    struct node *node = *state;
    struct error err;
    uint64_t n = 0;
    enum status status = STATUS_OK;
    node_start(node);
    for (; status == STATUS_OK && n <= PROPOSALS_MAX; n++)
        status = node_propose(node, PROPOSE_REPORT, n, &err);
    assert_int_equal(status, STATUS_OVERLOADED);
    uint64_t taken = n - 1;
    assert_true(taken >= PROPOSALS_MAX - 1);
    WAIT_UNTIL(node, node->done == taken);
    assert_int_equal(node_status(node).last_index, taken + 2); /* the refused one left no trace */
    node->outcomes[taken].calls = 0;
    OK(node_propose(node, PROPOSE_REPORT, taken, &failure));
    WAIT_UNTIL(node, node->done == taken + 1);
    assert_int_equal(node->outcomes[taken].result.index, taken + 3);
}

static void test_a_command_that_is_too_large(void **state)
{
    struct node *node = *state;
    struct error err;
    char *large = calloc(1, ENTRY_SIZE_MAX + 1);
    node_start(node);
    struct bytes command = {large, ENTRY_SIZE_MAX + 1};
    assert_int_equal(cluster_propose(node->cluster, PROPOSE_CLIENT, command, count_read, node, 0, &err), STATUS_TOO_LARGE);
    free(large);
}

static void keep_outcome(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct node *node = arg;
    node->outcomes[token] = (struct outcome){.calls = 1, .status = outcome->status, .result = outcome->result};
}

/* It is written and applied; the document in it is refused there for its own size. */
static void test_the_largest_command(void **state)
{
    struct node *node = *state;
    struct buffer command;
    node_start(node);
    job_command(1, 1, &command);
    uint32_t head = (uint32_t)command.size;
    buffer_deinit(&command);
    job_command(1, 1 + ENTRY_SIZE_MAX - head, &command);
    assert_int_equal(command.size, ENTRY_SIZE_MAX);
    OK(cluster_propose(node->cluster, PROPOSE_CLIENT, buffer_bytes(&command), keep_outcome, node, 1, &failure));
    buffer_deinit(&command);
    WAIT_UNTIL(node, node->outcomes[1].calls == 1);
    assert_int_equal(node->outcomes[1].status, STATUS_OK);
    assert_int_equal(node->outcomes[1].result.status, STATUS_TOO_LARGE);
    node_stop(node);
    node_start(node); /* and read again */
    assert_false(node_has_job(node, 1));
}

static void test_read_index(void **state)
{
    struct node *node = *state;
    struct error err;
    uint32_t asked = 0;
    node_start(node);
    for (uint64_t n = 0; n < 200; n++) {
        OK(node_propose(node, PROPOSE_CLIENT, n, &failure));
        if (n % 10 != 0)
            continue;
        uint32_t before = node->reads;
        OK(cluster_read_index(node->cluster, count_read, node, n, &failure));
        assert_int_equal(node->reads, before); /* never before it returned */
        asked++;
        node_turn(node);
    }
    WAIT_UNTIL(node, node->reads == asked);
    for (asked = 0; cluster_read_index(node->cluster, count_read, node, 0, &err) == STATUS_OK; asked++)
        assert_in_range(asked, 0, 100000);
    assert_int_equal(err.code, STATUS_OVERLOADED);
    node->reads = 0;
    WAIT_UNTIL(node, node->reads == asked);
}

static void test_stamps_never_go_back(void **state)
{
    struct node *node = *state;
    node_start(node);
    clock_advance_ms(3600000);
    int64_t ahead = cluster_now_ms(node->cluster); /* the stamp is this or later; what is read after it may be later than the stamp */
    OK(node_propose(node, PROPOSE_CLIENT, 1, &failure));
    WAIT_UNTIL(node, node->done == 1);
    clock_advance_ms(-3600000);
    assert_true(cluster_now_ms(node->cluster) >= ahead);
    node_stop(node);
    node_start(node);
    assert_true(cluster_now_ms(node->cluster) >= ahead); /* nor over a restart */
}

static void test_a_second_one_is_refused(void **state)
{
    struct node *node = *state;
    struct cluster *second = NULL;
    struct error err;
    node_start(node);
    assert_int_equal(cluster_open(&node->config, &second, &err), STATUS_CONFLICT);
    assert_null(second);
    assert_non_null(strstr(err.message, "in use by process"));
    OK(node_propose(node, PROPOSE_CLIENT, 1, &failure)); /* and harms nobody */
    WAIT_UNTIL(node, node->done == 1);
}

static void test_a_log_directory_of_its_own(void **state)
{
    struct node *node = *state;
    struct error err;
    struct stat info;
    char path[512];
    char *log_dir = folder_new();
    node->config.log_dir = log_dir;
    node_start(node);
    propose_range(node, 0, 50);
    node_stop(node);
    (void)snprintf(path, sizeof path, "%s/log", log_dir);
    assert_int_equal(stat(path, &info), 0);
    (void)snprintf(path, sizeof path, "%s/log", node->folder);
    assert_int_equal(stat(path, &info), -1);
    node_start(node);
    assert_true(node_has_job(node, 49));
    node_stop(node);
    node->config.log_dir = NULL; /* forgotten: an empty log beside a state that is not */
    assert_int_equal(cluster_open(&node->config, &node->cluster, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "ahead of the log"));
    folder_free(log_dir);
}

/* --- stores of two histories --- */

static void expect_refusal(struct node *node, const char *part)
{
    struct error err;
    struct cluster *cluster = NULL;
    assert_int_equal(cluster_open(&node->config, &cluster, &err), STATUS_CORRUPT);
    assert_null(cluster);
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

static struct log_store *open_log(struct node *node, struct store **ret_store)
{
    char path[512];
    struct log_store *log = NULL;
    (void)snprintf(path, sizeof path, "%s/log", node->folder);
    *ret_store = store_of(backend, path, CHRONOS_STORAGE_LOG);
    OK(log_store_new(*ret_store, &log, &failure));
    return log;
}

static void close_log(struct log_store *log, struct store *store)
{
    log_store_free(log);
    store_close(store);
}

static void run_and_stop(struct node *node, uint64_t jobs)
{
    node_start(node);
    propose_range(node, 0, jobs);
    node_stop(node);
}

static void swap(const char *a, const char *a_name, const char *b, const char *b_name)
{
    char from[512], to[512];
    (void)snprintf(from, sizeof from, "%s/%s", a, a_name);
    (void)snprintf(to, sizeof to, "%s/%s", b, b_name);
    assert_int_equal(rename(from, to), 0);
}

static void test_a_state_ahead_of_the_log(void **state)
{
    struct node *node = *state, *other = node_new(backend, NULL);
    run_and_stop(node, 30);
    run_and_stop(other, 5);
    swap(node->folder, "log", node->folder, "log-kept");
    swap(other->folder, "log", node->folder, "log");
    expect_refusal(node, "is ahead of the log (entry 32, the log ends at 7)");
    swap(node->folder, "log", other->folder, "log");
    swap(node->folder, "log-kept", node->folder, "log"); /* put right: it opens */
    node_start(node);
    node_free(other);
}

static void test_a_state_behind_the_base(void **state)
{
    struct node *node = *state;
    struct store *store;
    bool more;
    run_and_stop(node, 30);
    struct log_store *log = open_log(node, &store);
    OK(log_store_cut(log, 20, &more, &failure));
    close_log(log, store);
    swap(node->folder, "state-1", node->folder, "state-kept");
    expect_refusal(node, "ends at entry 0 but the log begins after 20");
    swap(node->folder, "state-1", node->folder, "state-empty");
    swap(node->folder, "state-kept", node->folder, "state-1");
    node_start(node); /* the true one is beyond the base */
}

static void test_terms_disagree(void **state)
{
    struct node *node = *state, *other = node_new(backend, NULL);
    run_and_stop(node, 10); /* entry 12 has term 2 */
    run_and_stop(other, 0);
    for (int i = 0; i < 12; i++)
        run_and_stop(other, 0); /* here term 12 */
    swap(node->folder, "log", node->folder, "log-kept");
    swap(other->folder, "log", node->folder, "log");
    expect_refusal(node, "entry 12 has term 2 in the state and 12 in the log");
    node_free(other);
}

static void test_a_lost_state_is_replayed(void **state)
{
    struct node *node = *state;
    run_and_stop(node, 9000); /* more than one transaction of the applier's */
    swap(node->folder, "state-1", node->folder, "state-kept");
    node_start(node);
    for (uint64_t n = 0; n < 9000; n += 11)
        assert_true(node_has_job(node, n));
    assert_int_equal(node_status(node).term, 3);
}

/* A configuration at the end of a log that a node has left. */
static void append_conf(struct node *node, uint8_t members)
{
    struct store *store;
    struct buffer encoded;
    struct log_store *log = open_log(node, &store);
    const struct log_position *last = log_store_last(log);
    struct raft_conf conf = {.count = members};
    for (uint8_t i = 0; i < members; i++) {
        conf.members[i] = (struct raft_member){.id = log_store_hard(log)->node + i, .role = RAFT_VOTER};
        (void)snprintf(conf.members[i].name, sizeof conf.members[i].name, "n%d", i + 1);
    }
    buffer_init(&encoded, 4096);
    raft_conf_encode(&conf, &encoded);
    struct log_entry entry = {.index = last->index + 1, .term = last->term, .type = LOG_ENTRY_CONF,
                              .data = buffer_bytes(&encoded)};
    OK(log_store_append(log, &entry, 1, NULL, &failure));
    buffer_deinit(&encoded);
    close_log(log, store);
}

/* A configuration is an entry of the core's own: the state steps over it, also when the log is replayed. */
static void test_a_configuration_is_replayed(void **state)
{
    struct node *node = *state;
    run_and_stop(node, 3);
    append_conf(node, 1);
    node_start(node);
    assert_true(node_has_job(node, 2));
    propose_range(node, 3, 5);
    WAIT_UNTIL(node, node_has_job(node, 4));
}

/* Without an address its others could not reach it. */
static void test_a_log_of_several_members_wants_an_address(void **state)
{
    struct node *node = *state;
    struct error err;
    run_and_stop(node, 3);
    append_conf(node, 2);
    append_conf(node, 1);
    for (int i = 0; i < 2; i++) { /* it stays so */
        assert_int_equal(cluster_open(&node->config, &node->cluster, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, "cluster.raft.address is missing"));
    }
}

/* The first entry of a log names its founder. */
static void test_founding(void **state)
{
    struct node *node = *state;
    struct store *store;
    struct raft_boot boot;
    struct raft_conf conf;
    run_and_stop(node, 0);
    for (int i = 0; i < 3; i++) { /* once */
        struct log_store *log = open_log(node, &store);
        OK(log_store_boot(log, 0, &boot, &failure));
        assert_int_equal(boot.conf.count, 0);
        assert_int_equal(boot.conf_entry_count, 1);
        assert_int_equal(boot.conf_entries[0].id.index, 1);
        assert_int_equal(boot.conf_entries[0].id.term, 1);
        OK(raft_conf_decode((struct bytes){boot.conf_entries[0].data, boot.conf_entries[0].size}, &conf));
        assert_int_equal(conf.count, 1);
        assert_int_equal(conf.members[0].id, log_store_hard(log)->node);
        assert_int_equal(conf.members[0].role, RAFT_VOTER);
        assert_string_equal(conf.members[0].name, node->config.node_id);
        close_log(log, store);
        run_and_stop(node, 0);
    }
}

static void test_a_damaged_entry_stops_the_start(void **state)
{
    struct node *node = *state;
    struct error err;
    struct store *store;
    struct store_txn txn;
    struct bytes row;
    uint32_t table = 0;
    uint8_t key[8] = {0, 0, 0, 0, 0, 0, 0, 4};
    char copy[4096];
    run_and_stop(node, 5);
    close_log(open_log(node, &store), NULL);
    OK(store_table(store, "entries", CHRONOS_TABLE_SEQUENTIAL, &table, &failure));
    OK(store_begin(store, CHRONOS_TXN_WRITE, &txn, &failure));
    OK(store_get(&txn, table, (struct bytes){key, 8}, &row, &failure));
    assert_true(row.size <= sizeof copy);
    memcpy(copy, row.data, row.size);
    copy[row.size - 1] ^= 1;
    OK(store_put(&txn, table, (struct bytes){key, 8}, (struct bytes){copy, row.size}, 0, &failure));
    OK(store_commit(&txn, &failure));
    store_close(store);
    assert_int_equal(cluster_open(&node->config, &node->cluster, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "log entry 4 is damaged"));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_thousands_in_order),
        TEST(test_refusals_of_apply_reach_the_proposer),
        TEST(test_before_it_leads_and_after_it_stops),
        TEST(test_stop_waits_for_thousands),
        TEST(test_the_ring_of_proposals_is_full),
        TEST(test_a_command_that_is_too_large),
        TEST(test_the_largest_command),
        TEST(test_read_index),
        TEST(test_stamps_never_go_back),
        TEST(test_a_second_one_is_refused),
        TEST(test_a_log_directory_of_its_own),
        TEST(test_a_state_ahead_of_the_log),
        TEST(test_a_state_behind_the_base),
        TEST(test_terms_disagree),
        TEST(test_a_lost_state_is_replayed),
        TEST(test_a_configuration_is_replayed),
        TEST(test_a_log_of_several_members_wants_an_address),
        TEST(test_founding),
        TEST(test_a_damaged_entry_stops_the_start),
    };
    int failed = cmocka_run_group_tests_name("cluster on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    return failed + cmocka_run_group_tests_name("cluster on sqlite", tests, NULL, NULL);
}
