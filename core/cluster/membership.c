#include "cluster/membership.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/codec.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

enum { REASON_MAX = 512, ASK_AGAIN_LOOKS = 10 /* a second */ };
enum { SUPERSEDED_ELECTIONS = 4 };
enum { MOVES_MAX = 5, OUT_LOOKS = 20 /* two seconds */ };
#define HANDOVER_AGAIN_NS UINT64_C(10000000000)
#define MOVES_FORGOTTEN_NS UINT64_C(60000000000)
#define ORIGIN_LASTS_NS UINT64_C(30000000000) /* longer than its nodes need to come over */
#define ORIGIN_WARN_NS UINT64_C(3600000000000)
#define SUPERSEDED_FRESH_NS UINT64_C(10000000000) /* it calls every two seconds, or more often */

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
        (void)transport_answer(cluster->transport, link, FRAME_ADMITTED, buffer_bytes(&payload)); /* lost: it is told again */
    buffer_deinit(&payload);
    transport_flush(cluster->transport); /* the link may be hung up in this turn */
}

/* --- a node that belongs to none --- */

/* Also where it was admitted and nothing came of it: the leader may have been lost before that was committed. */
static bool needs_admission(const struct cluster *cluster)
{
    return id_is_zero(&cluster->self.cluster_id) || raft_last(cluster->raft).index == 0;
}

static void ask(struct cluster *cluster, struct transport_link link)
{
    (void)transport_answer(cluster->transport, link, FRAME_JOIN, (struct bytes){"", 0}); /* all is said in the introduction */
}

void membership_ask_on(struct cluster *cluster, struct transport_link link)
{
    if (!needs_admission(cluster))
        return;
    if (cluster->contact_count < CONFIG_LIST_MAX)
        cluster->contacts[cluster->contact_count++] = link;
    ask(cluster, link);
}

/* Most refusals pass: an election, another change of membership. */
static void ask_again(struct cluster *cluster)
{
    if (!needs_admission(cluster) || cluster->is_joining || ++cluster->looks % ASK_AGAIN_LOOKS != 0)
        return;
    for (uint32_t i = 0; i < cluster->contact_count; i++)
        ask(cluster, cluster->contacts[i]);
}

static bool says_anew(struct cluster *cluster, const char *reason)
{
    uint64_t hash = hash64(1, reason, strlen(reason));
    bool is_new = cluster->refusal_logged != hash;
    cluster->refusal_logged = hash;
    return is_new;
}

/* Whoever names peers is admitted by them, and not by somebody that calls. */
static bool may_admit(const struct cluster *cluster, bool is_dialled)
{
    return is_dialled || cluster->config.peer_count == 0;
}

bool membership_answered(struct cluster *cluster, const struct hello *remote, bool is_dialled, struct bytes payload,
                         struct error *err)
{
    struct admission admission;
    if (!admission_decode(payload, &admission)) {
        (void)error_set(err, STATUS_MALFORMED, "an answer about admission is damaged"); /* told by false */
        return false;
    }
    if (!id_is_zero(&cluster->self.cluster_id) || cluster->is_joining)
        return true; /* it has been admitted meanwhile */
    if (!may_admit(cluster, is_dialled)) {
        if (admission.status == STATUS_OK && says_anew(cluster, remote->name))
            LOG_WARN("a member invites this node, which asks its cluster.raft.peers instead", LOG_STRING("by", remote->name),
                     LOG_STRING("mend", "see that cluster.raft.peers names a member; without peers, and with bootstrap: false, it is invited"));
        return true;
    }
    if (admission.status != STATUS_OK) {
        if (says_anew(cluster, admission.reason))
            LOG_WARN("not admitted to the cluster yet", LOG_STRING("by", remote->name), LOG_STRING("reason", admission.reason));
        return true;
    }
    if (id_is_zero(&admission.cluster_id) || id_compare(&admission.cluster_id, &remote->cluster_id) != 0) {
        (void)error_set(err, STATUS_MALFORMED, "an admission to no cluster, or to another one's"); /* told by false */
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
    cluster->joins--;
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
    if (cluster->joins == JOINS_MAX) {
        answer_guest(cluster, link, STATUS_OVERLOADED, "too many nodes ask for admission at once");
        return;
    }
    enum status status = levels_admit(cluster, remote->node, remote->name, &err);
    if (status == STATUS_OK)
        status = cluster_ask(cluster, REQUEST_JOIN, remote->node, remote->name, remote->address, on_guest_decided, cluster,
                             token_of(link), &err);
    if (status == STATUS_OK)
        cluster->joins++;
    else
        answer_guest(cluster, link, status, err.message);
}

/* --- members: changes --- */

enum status membership_change(struct cluster *cluster, const struct raft_conf_change *change, cluster_done done, void *arg,
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

const struct raft_member *membership_find(const struct raft_conf *conf, const char *name)
{
    for (uint8_t i = 0; i < conf->count; i++)
        if (strcmp(conf->members[i].name, name) == 0)
            return &conf->members[i];
    return NULL;
}

static struct raft_conf_change change_of(enum raft_conf_change_type type, uint64_t id, const char *name, const char *address)
{
    struct raft_conf_change made = {.type = type, .member = {.id = id}};
    (void)snprintf(made.member.name, sizeof made.member.name, "%s", name); /* lengths were checked when they came in */
    (void)snprintf(made.member.address, sizeof made.member.address, "%s", address);
    return made;
}

static enum status add(struct cluster *cluster, uint64_t id, const char *name, const char *address, cluster_done done,
                       void *arg, uint64_t token, struct error *err)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    const struct raft_member *known = raft_conf_find(status.conf, id), *namesake = membership_find(status.conf, name);
    struct address parsed;
    if (address_split(address, &parsed) != NULL || !address_is_callable(&parsed))
        return error_set(err, STATUS_INVALID, "node \"%s\" does not say where it can be reached", name);
    if (known != NULL && strcmp(known->name, name) != 0)
        return error_set(err, STATUS_CONFLICT, "node \"%s\" has the identity of node \"%s\": was its data directory copied?", name,
                         known->name);
    if (namesake != NULL && namesake->id != id)
        return error_set(err, STATUS_NAME_TAKEN,
                         "a node \"%s\" is a member already, with another data directory: start the node with that directory, or "
                         "remove the member first", name);
    if (known != NULL && status.conf_index > status.commit)
        return error_set(err, STATUS_BUSY, "a change of membership is under way; try again in a second");
    if (known != NULL && strcmp(known->address, address) == 0)
        return cluster_read_index(cluster, done, arg, token, err); /* nothing to change, if this node leads indeed */
    enum status fits = known == NULL ? levels_admit(cluster, id, name, err) : STATUS_OK;
    if (fits != STATUS_OK)
        return fits;
    struct raft_conf_change wanted = change_of(known == NULL ? RAFT_ADD_LEARNER : RAFT_UPDATE, id, name, address);
    enum status changed = membership_change(cluster, &wanted, done, arg, token, err);
    if (changed == STATUS_OK && known == NULL)
        LOG_INFO("a node joins", LOG_STRING("node", name), LOG_STRING("address", address));
    return changed;
}

/* A member that calls from another address than the log has. */
/* One that moves again and again is two processes, each of which is found where it calls from. */
static bool moves_too_often(struct cluster *cluster, const struct raft_member *known, const char *to)
{
    struct moves *moves = &cluster->moves;
    uint64_t now = cluster_monotonic_ns(cluster);
    if (moves->node != known->id || now - moves->since_ns > MOVES_FORGOTTEN_NS)
        *moves = (struct moves){.node = known->id, .since_ns = now};
    if (moves->count < MOVES_MAX)
        return false;
    if (moves->count++ == MOVES_MAX)
        LOG_ERROR("a node is in two places: two processes have its identity", LOG_STRING("node", known->name),
                  LOG_STRING("here", known->address), LOG_STRING("and", to),
                  LOG_STRING("mend", "stop the one whose data directory is a copy, empty that, and let it join under a name of its own"));
    return true;
}

static bool note_moved(struct cluster *cluster, const struct raft_status *status)
{
    struct error err;
    for (uint32_t i = 0; i < cluster->acquaintance_count; i++) {
        const struct acquaintance *seen = &cluster->acquaintances[i];
        const struct raft_member *known = raft_conf_find(status->conf, seen->id);
        if (known == NULL || !seen->is_name_proven || strcmp(known->address, seen->address) == 0 ||
            id_compare(&seen->cluster_id, &cluster->self.cluster_id) != 0)
            continue;
        if (moves_too_often(cluster, known, seen->address))
            continue;
        struct raft_conf_change moved = change_of(RAFT_UPDATE, seen->id, known->name, seen->address);
        if (says_anew(cluster, seen->address)) /* else tried before */
            LOG_INFO("a node has moved", LOG_STRING("node", known->name), LOG_STRING("from", known->address),
                     LOG_STRING("to", seen->address));
        bool is_taken = membership_change(cluster, &moved, NULL, NULL, 0, &err) == STATUS_OK; /* else another change is in the way */
        cluster->moves.count += is_taken;
        return is_taken;
    }
    return false;
}

/* The leader's own address may have changed, too. */
static bool note_own_address(struct cluster *cluster, const struct raft_status *status)
{
    const struct raft_member *self = raft_conf_find(status->conf, cluster->self.node);
    struct error err;
    if (self == NULL || strcmp(self->address, cluster->self.address) == 0)
        return false;
    struct raft_conf_change moved = change_of(RAFT_UPDATE, self->id, self->name, cluster->self.address);
    return membership_change(cluster, &moved, NULL, NULL, 0, &err) == STATUS_OK;
}

static bool has_caught_up(const struct raft_status *status, uint64_t id)
{
    for (uint32_t i = 0; i < status->peer_count; i++)
        if (status->peers[i].id == id)
            return status->peers[i].caught_up;
    return false;
}

/* Once a link: what is lost is lost with it, and the next one begins anew. Only of what is committed, for a node that has been
 * told is no guest any more. */
static void tell_guests(struct cluster *cluster, const struct raft_status *status)
{
    if (status->conf_index > status->commit)
        return;
    for (uint32_t i = 0; i < cluster->guest_count; i++) {
        struct guest guest = cluster->guests[i];
        if (raft_conf_find(status->conf, guest.id) == NULL)
            continue;
        cluster->guests[i--] = cluster->guests[--cluster->guest_count];
        answer_guest(cluster, guest.link, STATUS_OK, "");
    }
}

/* It does not campaign any more; its data stays where it is. */
static void note_removal(struct cluster *cluster, bool is_removed)
{
    if (is_removed && !cluster->is_removed)
        LOG_WARN("this node was removed from the cluster", LOG_STRING("node_id", cluster->config.node_id),
                 LOG_STRING("mend", "stop it; to have it back, let it run and name it on a member: chronosctl cluster join"));
    else if (!is_removed && cluster->is_removed)
        LOG_INFO("this node is a member of the cluster again", LOG_STRING("node_id", cluster->config.node_id));
    if (is_removed != cluster->is_removed)
        consensus_store_removed(cluster, is_removed);
    cluster->is_removed = is_removed;
}

void membership_superseded(struct cluster *cluster, const struct hello *remote)
{
    struct superseded *superseded = &cluster->superseded;
    uint64_t now = cluster_monotonic_ns(cluster);
    if (now - superseded->told_ns >= SUPERSEDED_FRESH_NS)
        superseded->first_ns = now;
    superseded->told_ns = now;
    (void)snprintf(superseded->by, sizeof superseded->by, "%s", remote->name); /* of one size */
}

void membership_origin_lives(struct cluster *cluster, const struct hello *remote)
{
    struct origin *origin = &cluster->origin;
    uint64_t now = cluster_monotonic_ns(cluster);
    if (origin->told_ns == 0 || now - origin->told_ns >= SUPERSEDED_FRESH_NS)
        origin->first_ns = now;
    origin->told_ns = now;
    if (now - origin->first_ns < ORIGIN_LASTS_NS || (origin->warned_ns != 0 && now - origin->warned_ns < ORIGIN_WARN_NS))
        return;
    origin->warned_ns = now;
    LOG_WARN("the cluster that this one was restored from still lives: jobs run in both", LOG_STRING("node", remote->name),
             LOG_STRING("address", remote->address),
             LOG_STRING("mend", "stop all nodes of the one that is not wanted; started again, those of the old one join this one"));
}

bool membership_is_superseded(const struct cluster *cluster)
{
    const struct superseded *superseded = &cluster->superseded;
    bool is_here = superseded->by[0] != '\0' && cluster_monotonic_ns(cluster) - superseded->told_ns < SUPERSEDED_FRESH_NS;
    return is_here && cluster->contact.heard_ns == 0 && cluster->config.superseded != NULL;
}

/* Others that have been led since they started may be about to elect one of theirs: that takes two timeouts. */
static void leave_if_superseded(struct cluster *cluster)
{
    struct superseded *superseded = &cluster->superseded;
    uint64_t patience_ns = (uint64_t)(SUPERSEDED_ELECTIONS * cluster->config.election_timeout_ms) * 1000000;
    if (!membership_is_superseded(cluster) || cluster_monotonic_ns(cluster) - superseded->first_ns < patience_ns || cluster->stopping)
        return;
    LOG_WARN("the cluster of this node was restored from a snapshot elsewhere, and nobody leads it any more: this node moves its data "
             "aside and asks for admission there", LOG_STRING("by", superseded->by));
    superseded->by[0] = '\0';
    cluster->config.superseded(cluster->config.superseded_arg);
}

static void end_invitation(struct cluster *cluster, struct invitation *invitation, enum status status, const char *message)
{
    cluster->calls_changed = true;
    waiter_tell(&invitation->waiter, status, message);
}

/* Those that asked their peers, and were admitted through them. */
static void settle_invitations(struct cluster *cluster, const struct raft_status *status)
{
    if (status->conf_index > status->commit)
        return;
    for (uint32_t i = 0; i < INVITATIONS_MAX; i++) {
        struct invitation *invitation = &cluster->invitations[i];
        if (invitation->waiter.done != NULL && invitation->asks_peers && membership_find(status->conf, invitation->name) != NULL)
            end_invitation(cluster, invitation, STATUS_OK, "");
    }
}

static const char not_taken_over[] = "the other node did not take over in time: this one leads on";

/* --- a few times a second --- */

void membership_look(struct cluster *cluster)
{
    struct raft_status status;
    struct error err;
    if (cluster->transport == NULL)
        return;
    beats_sample(cluster);
    leave_if_superseded(cluster);
    founding_look(cluster);
    raft_status(cluster->raft, &status);
    /* A leader that removed itself is told by nobody. For a while: a snapshot that has just come may be older than this node's admission. */
    bool is_out = status.conf->count > 0 && status.conf_index <= status.commit &&
                  raft_conf_find(status.conf, cluster->self.node) == NULL;
    cluster->out_looks = is_out ? cluster->out_looks + 1 : 0;
    note_removal(cluster, status.removed || cluster->out_looks >= OUT_LOOKS || (is_out && cluster->is_removed));
    if (cluster->handover.done != NULL && status.role == RAFT_LEADER && status.transfer_to == 0)
        waiter_tell(&cluster->handover, STATUS_TIMEOUT, not_taken_over); /* the core has given it up */
    if (cluster->is_leaving && !cluster->stopping)
        cluster_hand_over(cluster); /* it has been elected in spite of that */
    ask_again(cluster);
    if (removal_look(cluster) || !cluster->is_leader)
        return; /* one change at a time */
    raft_status(cluster->raft, &status);
    tell_guests(cluster, &status);
    settle_invitations(cluster, &status);
    if (note_own_address(cluster, &status) || note_moved(cluster, &status))
        return; /* one change at a time */
    for (uint8_t i = 0; i < status.conf->count; i++) {
        const struct raft_member *member = &status.conf->members[i];
        if (!(member->role & RAFT_LEARNER) || !has_caught_up(&status, member->id))
            continue;
        struct raft_conf_change promoted = change_of(RAFT_ADD_VOTER, member->id, member->name, member->address);
        enum status changed = membership_change(cluster, &promoted, NULL, NULL, 0, &err);
        if (changed == STATUS_OK)
            LOG_INFO("a node has caught up and votes from now on", LOG_STRING("node", promoted.member.name));
        if (changed != STATUS_NOT_READY && changed != STATUS_NO_QUORUM)
            return; /* else it has fallen silent: the next one */
    }
}

/* --- handing over --- */

static enum status transfer(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token,
                            struct error *err)
{
    struct raft_status status;
    uint64_t to = 0;
    raft_status(cluster->raft, &status);
    if (name[0] != '\0') {
        const struct raft_member *member = membership_find(status.conf, name);
        if (member == NULL)
            return error_set(err, STATUS_NOT_FOUND, "no member of the cluster is called \"%s\"", name);
        if (member->id == cluster->self.node)
            return error_set(err, STATUS_CONFLICT, "node \"%s\" leads already", name);
        to = member->id;
    }
    if (cluster->handover.done != NULL)
        return error_set(err, STATUS_CONFLICT, "leadership is being handed over already");
    if (to != 0 && !transport_is_up(cluster->transport, to, LANE_CONTROL))
        return error_set(err, STATUS_CONFLICT, "node \"%s\" cannot be reached", name);
    switch (raft_transfer(cluster->raft, to)) {
    case STATUS_OK:
        break;
    case STATUS_INVALID:
        return error_set(err, STATUS_CONFLICT, "there is no other node that could lead: it must have a vote");
    case STATUS_CONFLICT:
        return error_set(err, STATUS_CONFLICT, "leadership is being handed over already");
    default:
        return error_set(err, STATUS_NO_LEADER, "no leader is known yet; try again in a second");
    }
    LOG_INFO("handing over leadership", LOG_STRING("to", name[0] != '\0' ? name : "the node with most of the log"));
    cluster->handover = waiter_of(cluster, done, arg, token);
    return STATUS_OK;
}

static void on_tried(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    (void)token;
    if (outcome->status != STATUS_OK)
        LOG_WARN("leadership is not handed over", LOG_STRING("reason", outcome->message));
}

bool membership_let_lead(struct cluster *cluster, uint64_t to)
{
    const struct raft_member *member = links_member(cluster, to);
    uint64_t now = cluster_monotonic_ns(cluster);
    struct error err;
    if (member == NULL || cluster->handover.done != NULL || cluster->next_handover_ns > now)
        return false;
    cluster->next_handover_ns = now + HANDOVER_AGAIN_NS;
    if (transfer(cluster, member->name, on_tried, NULL, 0, &err) == STATUS_OK)
        return true;
    LOG_WARN("leadership is not handed over", LOG_ERROR_FIELD(&err));
    return false;
}

void membership_follow_leader(struct cluster *cluster)
{
    uint64_t leader = raft_leader(cluster->raft);
    if (cluster->handover.done != NULL && leader != 0 && leader != cluster->self.node)
        waiter_tell(&cluster->handover, STATUS_OK, "");
}

/* --- inviting --- */

static struct invitation *invitation_to(struct cluster *cluster, const char *name)
{
    for (uint32_t i = 0; i < INVITATIONS_MAX; i++)
        if (cluster->invitations[i].waiter.done != NULL && strcmp(cluster->invitations[i].name, name) == 0)
            return &cluster->invitations[i];
    return NULL;
}

static enum status invite(struct cluster *cluster, const char *name, const char *address, cluster_done done, void *arg,
                          uint64_t token, struct error *err)
{
    struct raft_status status;
    struct invitation *place = NULL;
    raft_status(cluster->raft, &status);
    const struct raft_member *namesake = membership_find(status.conf, name);
    if (cluster->transport == NULL)
        return error_set(err, STATUS_CONFLICT, "this node cannot be reached by others: cluster.raft.address is not set");
    if (namesake != NULL && removal_is_draining(cluster, namesake->id))
        return removal_undo(cluster, namesake->id, done, arg, token, err);
    bool answers = namesake != NULL && (namesake->id == cluster->self.node || transport_is_up(cluster->transport, namesake->id, LANE_CONTROL));
    if (answers && strcmp(namesake->address, address) != 0)
        return error_set(err, STATUS_CONFLICT, "node \"%s\" is a member and answers, and says by itself where it is: %s", name,
                         namesake->address);
    if (namesake != NULL)
        return add(cluster, namesake->id, name, address, done, arg, token, err); /* perhaps it has moved */
    if (invitation_to(cluster, name) != NULL)
        return error_set(err, STATUS_CONFLICT, "node \"%s\" is being invited already", name);
    for (uint32_t i = 0; i < INVITATIONS_MAX && place == NULL; i++)
        if (cluster->invitations[i].waiter.done == NULL)
            place = &cluster->invitations[i];
    if (place == NULL)
        return error_set(err, STATUS_OVERLOADED, "%d nodes are being invited already; try again in a second", INVITATIONS_MAX);
    *place = (struct invitation){.waiter = waiter_of(cluster, done, arg, token), .serial = place->serial + 1};
    (void)snprintf(place->name, sizeof place->name, "%s", name); /* lengths were checked when they came in */
    (void)snprintf(place->address, sizeof place->address, "%s", address);
    cluster->calls_changed = true;
    return STATUS_OK;
}

void membership_list_invited(const struct cluster *cluster, struct transport_peer *out, uint32_t *count)
{
    for (uint32_t i = 0; i < INVITATIONS_MAX; i++)
        if (cluster->invitations[i].waiter.done != NULL)
            out[(*count)++] = (struct transport_peer){.address = cluster->invitations[i].address};
}

static void on_invited_decided(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    struct invitation *invitation = &cluster->invitations[(uint32_t)token];
    if (invitation->waiter.done == NULL || invitation->serial != token >> 32)
        return; /* given up meanwhile: the node asks for itself */
    end_invitation(cluster, invitation, outcome->status, outcome->message);
}

static void welcome_invited(struct cluster *cluster, struct invitation *invitation, struct transport_link link,
                            const struct hello *remote)
{
    struct error err;
    invitation->link = link;
    enum status status = add(cluster, remote->node, remote->name, invitation->address, on_invited_decided, cluster,
                                        (uint64_t)invitation->serial << 32 | (uint64_t)(invitation - cluster->invitations), &err);
    if (status != STATUS_OK)
        end_invitation(cluster, invitation, status, err.message);
}

static bool is_same(struct transport_link a, struct transport_link b)
{
    return a.slot == b.slot && a.generation == b.generation;
}

void membership_reached(struct cluster *cluster, struct transport_link link, const struct hello *remote)
{
    struct invitation *invitation = invitation_to(cluster, remote->name);
    struct raft_status status;
    if (id_is_zero(&remote->cluster_id) && cluster->guest_count < ACQUAINTANCES_MAX)
        cluster->guests[cluster->guest_count++] = (struct guest){link, remote->node};
    if (!cluster->is_leader || invitation == NULL)
        return;
    raft_status(cluster->raft, &status);
    if (status.conf_index <= status.commit && raft_conf_find(status.conf, remote->node) != NULL)
        end_invitation(cluster, invitation, STATUS_OK, ""); /* it has asked by itself */
    else if (id_is_zero(&remote->cluster_id) && (remote->features & HELLO_ASKS_PEERS) != 0) /* else it was removed, and asks nobody */
        invitation->asks_peers = true;
    else if (invitation->link.generation == 0)
        welcome_invited(cluster, invitation, link, remote);
}

void membership_left(struct cluster *cluster, struct transport_link link)
{
    for (uint32_t i = 0; i < cluster->contact_count; i++)
        if (is_same(cluster->contacts[i], link))
            cluster->contacts[i--] = cluster->contacts[--cluster->contact_count];
    for (uint32_t i = 0; i < cluster->guest_count; i++)
        if (is_same(cluster->guests[i].link, link))
            cluster->guests[i--] = cluster->guests[--cluster->guest_count];
}

/* --- on behalf of somebody --- */

enum status membership_do(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                          cluster_done done, void *arg, uint64_t token, struct error *err)
{
    switch (kind) {
    case REQUEST_JOIN:
        return add(cluster, id, name, address, done, arg, token, err);
    case REQUEST_INVITE:
        return invite(cluster, name, address, done, arg, token, err);
    case REQUEST_REMOVE:
        return removal_begin(cluster, name, done, arg, token, err);
    case REQUEST_TRANSFER:
        return transfer(cluster, name, done, arg, token, err);
    case REQUEST_PROPOSE:
        break;
    }
    return error_set(err, STATUS_MISUSE, "request %d is not about members", (int)kind);
}

/* --- the end of waiting --- */

bool membership_expire(struct cluster *cluster, uint64_t now_ns)
{
    bool left = false;
    if (cluster->handover.done != NULL && cluster->handover.deadline_ns <= now_ns)
        waiter_tell(&cluster->handover, STATUS_TIMEOUT, not_taken_over);
    left |= cluster->handover.done != NULL;
    left |= removal_expire(cluster, now_ns);
    for (uint32_t i = 0; i < INVITATIONS_MAX; i++) {
        struct invitation *invitation = &cluster->invitations[i];
        if (invitation->waiter.done == NULL)
            continue;
        if (invitation->waiter.deadline_ns > now_ns)
            left = true;
        else if (invitation->link.generation != 0)
            end_invitation(cluster, invitation, STATUS_OUTCOME_UNKNOWN,
                           "the node has answered, and its admission was not confirmed in time; it may still come about");
        else if (invitation->asks_peers)
            end_invitation(cluster, invitation, STATUS_CONFLICT,
                           "the node runs, and asks those in its own cluster.raft.peers for admission; none of them has admitted it yet: "
                           "does that name a member of this cluster?");
        else
            end_invitation(cluster, invitation, STATUS_NOT_FOUND,
                           "no node of this name that belongs to no cluster answers at the address; is it running, and is it its "
                           "cluster.raft.address?");
    }
    return left;
}

void membership_abandon(struct cluster *cluster)
{
    static const char stopping[] = "this node is shutting down; whether it was done is not known";
    waiter_tell(&cluster->handover, STATUS_OUTCOME_UNKNOWN, stopping);
    removal_abandon(cluster, stopping);
    for (uint32_t i = 0; i < INVITATIONS_MAX; i++)
        waiter_tell(&cluster->invitations[i].waiter, STATUS_OUTCOME_UNKNOWN, stopping);
}
