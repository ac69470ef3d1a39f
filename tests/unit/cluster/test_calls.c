/* Whom a node calls. The core and the transport are replaced by the linker. */
#include "cluster/links.h"

#include <string.h>

#include "../base/check.h"
#include "cluster/cluster_internal.h"

enum { SELF = 1, LISTED_MAX = 64 };

static struct {
    struct raft_conf conf;
    uint64_t last; /* index of the log */
    struct transport_peer listed[LISTED_MAX];
    uint32_t count;
} world;

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
uint64_t __wrap_raft_term_at(const struct raft *r, uint64_t index);
enum status __wrap_transport_set_peers(struct transport *transport, const struct transport_peer *peers, uint32_t count,
                                       struct error *err);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.conf = &world.conf, .last = {.index = world.last}};
}

uint64_t __wrap_raft_term_at(const struct raft *r, uint64_t index)
{
    (void)r;
    return index > 0;
}

enum status __wrap_transport_set_peers(struct transport *transport, const struct transport_peer *peers, uint32_t count,
                                       struct error *err)
{
    (void)transport;
    (void)err;
    assert_true(count <= LISTED_MAX);
    world.count = count;
    for (uint32_t i = 0; i < count; i++)
        world.listed[i] = peers[i];
    return STATUS_OK;
}

static const char *const contacts[] = {"n1:7000", "n2:7000", "n3:7000"};

static int setup(void **state)
{
    static struct cluster cluster;
    memset(&world, 0, sizeof world);
    cluster = (struct cluster){.self = {.node = SELF}, .transport = (struct transport *)(uintptr_t)1 /* never looked into */,
                               .calls_changed = true, .config = {.peers = contacts, .peer_count = 3}};
    *state = &cluster;
    return 0;
}

static void calls(uint32_t place, uint64_t id, const char *address)
{
    assert_true(place < world.count);
    assert_int_equal(world.listed[place].id, id);
    assert_string_equal(world.listed[place].address, address);
}

static void of_no_cluster(void **state)
{
    struct cluster *cluster = *state;
    links_follow_members(cluster);
    assert_int_equal(world.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        calls(i, 0, contacts[i]);
}

/* Its leader has called, from an address that is a contact: that one is called once, as the leader. */
static void admitted_and_without_a_log(void **state)
{
    struct cluster *cluster = *state;
    cluster->self.cluster_id = (struct id){{7}};
    cluster->acquaintances[0] = (struct acquaintance){.id = 2, .cluster_id = {{7}}, .address = "n2:7000"};
    cluster->acquaintance_count = 1;
    links_follow_members(cluster);
    assert_int_equal(world.count, 3);
    calls(0, 2, "n2:7000");
    calls(1, 0, "n1:7000");
    calls(2, 0, "n3:7000");
}

static void a_member(void **state)
{
    struct cluster *cluster = *state;
    cluster->self.cluster_id = (struct id){{7}};
    world.last = 5;
    world.conf.count = 2;
    world.conf.members[0] = (struct raft_member){.id = SELF, .role = RAFT_VOTER, .address = "n1:7000"};
    world.conf.members[1] = (struct raft_member){.id = 9, .role = RAFT_VOTER, .address = "n9:7000"};
    links_follow_members(cluster);
    assert_int_equal(world.count, 1);
    calls(0, 9, "n9:7000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(of_no_cluster, setup),
        cmocka_unit_test_setup(admitted_and_without_a_log, setup),
        cmocka_unit_test_setup(a_member, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
