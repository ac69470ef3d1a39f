#include "cluster/membership.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/forward.h"

enum { REASON_MAX = 512 };

/* --- ADMITTED: reader and writer --- */

struct admission {
    enum status status;
    struct id cluster_id;      /* with OK */
    char reason[REASON_MAX];   /* otherwise */
};

static void admission_encode(const struct admission *admission, struct buffer *out)
{
    put_u16(out, (uint16_t)admission->status);
    buffer_append(out, admission->cluster_id.bytes, sizeof admission->cluster_id.bytes);
    put_string(out, admission->reason);
}

static bool admission_decode(struct bytes payload, struct admission *ret)
{
    struct reader r = reader_of(payload.data, payload.size);
    struct admission admission = {.status = (enum status)take_u16(&r)};
    take_raw(&r, admission.cluster_id.bytes, sizeof admission.cluster_id.bytes);
    take_string(&r, admission.reason, sizeof admission.reason);
    if (r.failed || admission.status >= STATUS_COUNT)
        return false;
    *ret = admission;
    return true;
}

static void answer_guest(struct cluster *cluster, struct transport_link link, enum status status, const char *reason)
{
    struct admission admission = {.status = status, .cluster_id = cluster->self.cluster_id};
    struct buffer payload;
    (void)snprintf(admission.reason, sizeof admission.reason, "%s", reason); /* a sentence that is cut is still one */
    buffer_init(&payload, 2 * REASON_MAX);
    admission_encode(&admission, &payload);
    if (payload.failed == STATUS_OK)
        (void)transport_answer(cluster->transport, link, FRAME_ADMITTED, buffer_bytes(&payload)); /* lost: it asks again */
    buffer_deinit(&payload);
}

/* --- a node that belongs to none --- */

void membership_ask(struct cluster *cluster, struct transport_link link)
{
    (void)transport_answer(cluster->transport, link, FRAME_JOIN, (struct bytes){"", 0}); /* all is said in the introduction */
}

static bool says_anew(struct cluster *cluster, const char *reason)
{
    uint64_t hash = hash64(1, reason, strlen(reason));
    bool is_new = cluster->refusal_logged != hash;
    cluster->refusal_logged = hash;
    return is_new;
}

bool membership_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct admission admission;
    if (!admission_decode(payload, &admission)) {
        (void)error_set(err, STATUS_MALFORMED, "an answer about admission is damaged"); /* told by false */
        return false;
    }
    if (!id_is_zero(&cluster->self.cluster_id) || cluster->is_joining)
        return true; /* it has been admitted meanwhile */
    if (admission.status != STATUS_OK) {
        if (says_anew(cluster, admission.reason))
            LOG_WARN("not admitted to the cluster yet", LOG_STRING("by", remote->name), LOG_STRING("reason", admission.reason));
        return true;
    }
    if (id_is_zero(&admission.cluster_id)) {
        (void)error_set(err, STATUS_MALFORMED, "an admission to no cluster"); /* told by false */
        return false;
    }
    cluster->is_joining = true;
    consensus_store_cluster(cluster, &admission.cluster_id);
    LOG_INFO("admitted to the cluster", LOG_STRING("by", remote->name));
    return true;
}

void membership_stored(struct cluster *cluster, const struct id *cluster_id)
{
    cluster->is_joining = false;
    cluster->self.cluster_id = *cluster_id;
    links_joined(cluster);
}

/* --- members: who asks --- */

static uint64_t token_of(struct transport_link link)
{
    return (uint64_t)link.slot << 32 | link.generation;
}

static void on_guest_decided(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    struct transport_link link = {.slot = (uint32_t)(token >> 32), .generation = (uint32_t)token};
    if (cluster->transport != NULL)
        answer_guest(cluster, link, outcome->status, outcome->message);
}

void membership_asked(struct cluster *cluster, struct transport_link link, const struct hello *remote)
{
    struct error err;
    if (id_is_zero(&cluster->self.cluster_id)) {
        answer_guest(cluster, link, STATUS_NOT_READY, "this node belongs to no cluster yet itself");
        return;
    }
    enum status status = cluster_join(cluster, remote->node, remote->name, remote->address, on_guest_decided, cluster,
                                      token_of(link), &err);
    if (status != STATUS_OK)
        answer_guest(cluster, link, status, err.message);
}

/* --- members: changes --- */

static enum status change(struct cluster *cluster, const struct raft_conf_change *change, cluster_done done, void *arg,
                          uint64_t token, struct error *err)
{
    struct raft_log_id at;
    enum status status = proposals_room(cluster->proposals, raft_last(cluster->raft).index + 1, err);
    if (status != STATUS_OK)
        return status;
    switch (raft_propose_conf(cluster->raft, change, &at)) {
    case STATUS_OK:
        break;
    case STATUS_BUSY:
        return error_set(err, STATUS_BUSY, "another change of membership is under way; try again in a second");
    case STATUS_NOT_READY:
        return error_set(err, STATUS_NOT_READY, "node \"%s\" has not caught up yet", change->member.name);
    case STATUS_NO_QUORUM:
        return error_set(err, STATUS_NO_QUORUM, "too few of the nodes that would be left answer");
    case STATUS_INVALID:
        return error_set(err, STATUS_CONFLICT, "the change of membership makes no sense now");
    case STATUS_NO_MEMORY:
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    default:
        return error_set(err, STATUS_NO_LEADER, "no leader is known yet; try again in a second");
    }
    proposals_add(cluster->proposals, at, done, arg, token, cluster_deadline_ns(cluster));
    consensus_tick(cluster); /* it is not alone any more */
    return STATUS_OK;
}

static const struct raft_member *find_name(const struct raft_conf *conf, const char *name)
{
    for (uint8_t i = 0; i < conf->count; i++)
        if (strcmp(conf->members[i].name, name) == 0)
            return &conf->members[i];
    return NULL;
}

static void on_ignored(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    (void)token;
    (void)outcome;
}

static struct raft_conf_change change_of(enum raft_conf_change_type type, uint64_t id, const char *name, const char *address)
{
    struct raft_conf_change made = {.type = type, .member = {.id = id}};
    (void)snprintf(made.member.name, sizeof made.member.name, "%s", name); /* lengths were checked when they came in */
    (void)snprintf(made.member.address, sizeof made.member.address, "%s", address);
    return made;
}

enum status membership_add(struct cluster *cluster, uint64_t id, const char *name, const char *address, cluster_done done,
                           void *arg, uint64_t token, struct error *err)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    const struct raft_member *known = raft_conf_find(status.conf, id), *namesake = find_name(status.conf, name);
    if (address[0] == '\0')
        return error_set(err, STATUS_INVALID, "node \"%s\" does not say where it can be reached", name);
    if (namesake != NULL && namesake->id != id)
        return error_set(err, STATUS_NAME_TAKEN,
                         "a node \"%s\" is a member already, with another data directory: start the node with that directory, or "
                         "remove the member first", name);
    struct raft_conf_change wanted = change_of(known == NULL ? RAFT_ADD_LEARNER : RAFT_UPDATE, id, name, address);
    if (known == NULL)
        LOG_INFO("a node joins", LOG_STRING("node", name), LOG_STRING("address", address));
    return change(cluster, &wanted, done, arg, token, err);
}

void membership_seen(struct cluster *cluster, const struct hello *remote)
{
    struct raft_status status;
    struct error err;
    if (!cluster->is_leader || remote->address[0] == '\0')
        return;
    raft_status(cluster->raft, &status);
    const struct raft_member *known = raft_conf_find(status.conf, remote->node);
    if (known == NULL || strcmp(known->address, remote->address) == 0)
        return;
    struct raft_conf_change moved = change_of(RAFT_UPDATE, remote->node, known->name, remote->address);
    if (change(cluster, &moved, on_ignored, NULL, 0, &err) == STATUS_OK)
        LOG_INFO("a node has moved", LOG_STRING("node", remote->name), LOG_STRING("from", known->address),
                 LOG_STRING("to", remote->address));
}

/* The leader's own address may have changed, too. */
static bool note_own_address(struct cluster *cluster, const struct raft_status *status)
{
    const struct raft_member *self = raft_conf_find(status->conf, cluster->self.node);
    struct error err;
    if (self == NULL || strcmp(self->address, cluster->self.address) == 0)
        return false;
    struct raft_conf_change moved = change_of(RAFT_UPDATE, self->id, self->name, cluster->self.address);
    return change(cluster, &moved, on_ignored, NULL, 0, &err) == STATUS_OK;
}

static bool has_caught_up(const struct raft_status *status, uint64_t id)
{
    for (uint32_t i = 0; i < status->peer_count; i++)
        if (status->peers[i].id == id)
            return status->peers[i].caught_up;
    return false;
}

void membership_promote(struct cluster *cluster)
{
    struct raft_status status;
    struct error err;
    if (!cluster->is_leader || cluster->transport == NULL)
        return;
    raft_status(cluster->raft, &status);
    if (note_own_address(cluster, &status))
        return; /* one change at a time */
    for (uint8_t i = 0; i < status.conf->count; i++) {
        const struct raft_member *member = &status.conf->members[i];
        if (!(member->role & RAFT_LEARNER) || !has_caught_up(&status, member->id))
            continue;
        struct raft_conf_change promoted = change_of(RAFT_ADD_VOTER, member->id, member->name, member->address);
        if (change(cluster, &promoted, on_ignored, NULL, 0, &err) == STATUS_OK)
            LOG_INFO("a node has caught up and votes from now on", LOG_STRING("node", member->name));
        return;
    }
}
