#include "raft/conf.h"

#include <assert.h>
#include <string.h>

#include "base/codec.h"

enum { CONF_FORMAT = 1 };

static struct raft_member *find(struct raft_conf *conf, uint64_t id)
{
    for (uint32_t i = 0; i < conf->count; i++)
        if (conf->members[i].id == id)
            return &conf->members[i];
    return NULL;
}

const struct raft_member *raft_conf_find(const struct raft_conf *conf, uint64_t id)
{
    for (uint32_t i = 0; i < conf->count; i++)
        if (conf->members[i].id == id)
            return &conf->members[i];
    return NULL;
}

bool raft_conf_is_voter(const struct raft_conf *conf, uint64_t id)
{
    const struct raft_member *member = raft_conf_find(conf, id);
    return member != NULL && (member->role & (RAFT_VOTER | RAFT_OUTGOING)) != 0;
}

static uint32_t count_role(const struct raft_conf *conf, uint8_t bit)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < conf->count; i++)
        count += (conf->members[i].role & bit) != 0;
    return count;
}

bool raft_conf_is_joint(const struct raft_conf *conf)
{
    return count_role(conf, RAFT_OUTGOING) > 0;
}

uint32_t raft_conf_voters(const struct raft_conf *conf)
{
    return count_role(conf, RAFT_VOTER);
}

bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b)
{
    if (a->count != b->count || a->auto_leave != b->auto_leave)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct raft_member *x = &a->members[i], *y = &b->members[i];
        if (x->id != y->id || x->role != y->role || strcmp(x->name, y->name) != 0 || strcmp(x->address, y->address) != 0)
            return false;
    }
    return true;
}

static bool role_valid(uint8_t role)
{
    switch (role) {
    case RAFT_VOTER:
    case RAFT_VOTER | RAFT_OUTGOING:
    case RAFT_OUTGOING: /* leaves the cluster with the joint phase */
    case RAFT_OUTGOING | RAFT_LEARNER_NEXT:
    case RAFT_LEARNER:
        return true;
    default:
        return false;
    }
}

bool raft_conf_valid(const struct raft_conf *conf)
{
    if (conf->count > RAFT_MEMBERS_MAX || (conf->count > 0 && raft_conf_voters(conf) == 0))
        return false;
    for (uint32_t i = 0; i < conf->count; i++) {
        const struct raft_member *member = &conf->members[i];
        if (member->id == 0 || !role_valid(member->role) || (i > 0 && conf->members[i - 1].id >= member->id))
            return false;
    }
    return !conf->auto_leave || raft_conf_is_joint(conf);
}

/* --- changes --- */

static struct raft_member *insert(struct raft_conf *conf, const struct raft_member *member)
{
    uint32_t at = conf->count;
    if (conf->count == RAFT_MEMBERS_MAX)
        return NULL;
    while (at > 0 && conf->members[at - 1].id > member->id)
        at--;
    memmove(&conf->members[at + 1], &conf->members[at], (conf->count - at) * sizeof conf->members[0]);
    conf->members[at] = *member;
    conf->members[at].role = 0;
    conf->count++;
    return &conf->members[at];
}

static void erase(struct raft_conf *conf, struct raft_member *member)
{
    size_t at = (size_t)(member - conf->members);
    memmove(member, member + 1, (conf->count - at - 1) * sizeof *member);
    conf->count--;
    memset(&conf->members[conf->count], 0, sizeof conf->members[0]);
}

static void set_texts(struct raft_member *member, const struct raft_member *from)
{
    memcpy(member->name, from->name, sizeof member->name);
    memcpy(member->address, from->address, sizeof member->address);
}

/* An outgoing voter stays until the joint phase ends; only the incoming half changes. */
static void drop_incoming(struct raft_conf *conf, struct raft_member *member)
{
    member->role &= RAFT_OUTGOING;
    if (member->role == 0)
        erase(conf, member);
}

static bool change_one(struct raft_conf *conf, const struct raft_conf_change *change)
{
    struct raft_member *member = find(conf, change->member.id);
    if (change->member.id == 0)
        return true;
    if (change->type == RAFT_REMOVE) {
        if (member != NULL)
            drop_incoming(conf, member);
        return true;
    }
    if (change->type == RAFT_UPDATE) {
        if (member != NULL)
            set_texts(member, &change->member);
        return true;
    }
    if (member == NULL)
        member = insert(conf, &change->member);
    else if (change->member.address[0] != '\0')
        set_texts(member, &change->member);
    if (member == NULL)
        return false;
    uint8_t outgoing = member->role & RAFT_OUTGOING;
    if (change->type == RAFT_ADD_VOTER)
        member->role = RAFT_VOTER | outgoing;
    else
        member->role = outgoing != 0 ? RAFT_OUTGOING | RAFT_LEARNER_NEXT : RAFT_LEARNER;
    return true;
}

static enum status change_all(struct raft_conf *conf, const struct raft_conf_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!change_one(conf, &changes[i]))
            return STATUS_INVALID;
    return raft_conf_voters(conf) > 0 ? STATUS_OK : STATUS_INVALID;
}

static uint32_t voters_missing_in(const struct raft_conf *from, const struct raft_conf *in)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        if ((from->members[i].role & RAFT_VOTER) == 0)
            continue;
        const struct raft_member *other = raft_conf_find(in, from->members[i].id);
        missing += other == NULL || (other->role & RAFT_VOTER) == 0;
    }
    return missing;
}

enum status raft_conf_simple(const struct raft_conf *conf, const struct raft_conf_change *changes, uint32_t count,
                             struct raft_conf *ret)
{
    struct raft_conf next = *conf;
    if (raft_conf_is_joint(conf))
        return STATUS_INVALID;
    enum status status = change_all(&next, changes, count);
    if (status != STATUS_OK)
        return status;
    if (voters_missing_in(conf, &next) + voters_missing_in(&next, conf) > 1)
        return STATUS_INVALID; /* two majorities could be disjoint (Thesis 4.1) */
    *ret = next;
    return STATUS_OK;
}

enum status raft_conf_enter_joint(const struct raft_conf *conf, bool auto_leave, const struct raft_conf_change *changes,
                                  uint32_t count, struct raft_conf *ret)
{
    struct raft_conf next = *conf;
    if (raft_conf_is_joint(conf) || raft_conf_voters(conf) == 0)
        return STATUS_INVALID;
    for (uint32_t i = 0; i < next.count; i++)
        if (next.members[i].role == RAFT_VOTER)
            next.members[i].role |= RAFT_OUTGOING;
    enum status status = change_all(&next, changes, count);
    if (status != STATUS_OK)
        return status;
    next.auto_leave = auto_leave;
    *ret = next;
    return STATUS_OK;
}

enum status raft_conf_leave_joint(const struct raft_conf *conf, struct raft_conf *ret)
{
    struct raft_conf next = {0};
    if (!raft_conf_is_joint(conf))
        return STATUS_INVALID;
    for (uint32_t i = 0; i < conf->count; i++) {
        struct raft_member member = conf->members[i];
        if (member.role & RAFT_LEARNER_NEXT)
            member.role = RAFT_LEARNER;
        else
            member.role &= (uint8_t)~RAFT_OUTGOING;
        if (member.role != 0)
            next.members[next.count++] = member;
    }
    *ret = next;
    return STATUS_OK;
}

/* --- bytes --- */

void raft_conf_encode(const struct raft_conf *conf, struct buffer *out)
{
    put_u8(out, CONF_FORMAT);
    put_u8(out, conf->auto_leave ? 1 : 0);
    put_u8(out, conf->count);
    for (uint32_t i = 0; i < conf->count; i++) {
        put_u64(out, conf->members[i].id);
        put_u8(out, conf->members[i].role);
        put_string(out, conf->members[i].name);
        put_string(out, conf->members[i].address);
    }
}

enum status raft_conf_decode(struct bytes encoded, struct raft_conf *ret)
{
    struct reader r = reader_of(encoded.data, encoded.size);
    struct raft_conf conf = {0};
    uint8_t format = take_u8(&r), auto_leave = take_u8(&r);
    conf.auto_leave = auto_leave == 1;
    conf.count = take_u8(&r);
    if (r.failed || format != CONF_FORMAT || auto_leave > 1 || conf.count > RAFT_MEMBERS_MAX)
        return STATUS_CORRUPT;
    for (uint32_t i = 0; i < conf.count; i++) {
        conf.members[i].id = take_u64(&r);
        conf.members[i].role = take_u8(&r);
        take_string(&r, conf.members[i].name, sizeof conf.members[i].name);
        take_string(&r, conf.members[i].address, sizeof conf.members[i].address);
    }
    if (!reader_done(&r) || !raft_conf_valid(&conf))
        return STATUS_CORRUPT;
    *ret = conf;
    return STATUS_OK;
}
