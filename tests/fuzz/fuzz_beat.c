/* Beats and answers to them from a node that is broken or evil. The first byte says which of the two the rest is. */
#include "check.h"
#include "cluster/beats.h"
#include "cluster/cluster_internal.h"

static uint32_t leases, overs;

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return 1000;
}

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return INT64_C(1700000000000);
}

static void on_lease(void *arg, int64_t until_ms)
{
    (void)arg;
    CHECK(until_ms >= 5000 && until_ms < 6000);
    leases++;
}

static void on_over(void *arg)
{
    (void)arg;
    overs++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct clock clock = {.monotonic_ns = monotonic_ns, .wall_ms = wall_ms};
    static struct cluster cluster; /* one that follows node 7 and has sent ten beats */
    const struct hello remote = {.node = 7};
    struct error err = {.message = ""};
    if (size == 0)
        return 0;
    leases = overs = 0;
    cluster.config.clock = &clock;
    cluster.config.lease_timeout_ms = 5000;
    cluster.config.runner = (struct cluster_runner_ops){.lease = on_lease, .session_over = on_over};
    cluster.beats = (struct beats){.leader = 7, .term = 1, .seq = 10};
    for (uint32_t i = 1; i <= 10; i++)
        cluster.beats.sent_ms[i] = i;
    struct bytes payload = {data + 1, size - 1};
    bool taken = data[0] % 2 == 0 ? beats_heard(&cluster, &remote, payload, &err) : beats_answered(&cluster, &remote, payload, &err);
    CHECK(taken || (err.code == STATUS_MALFORMED && err.message[0] != '\0'));
    CHECK(leases + overs <= (taken && data[0] % 2 == 1 ? 1U : 0U));
    return 0;
}
