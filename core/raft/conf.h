/* Who belongs to the cluster. The data model is joint (Raft 6): during a joint phase decisions need a majority of the voters and
 * one of the outgoing voters. Today one change at a time is made, which needs no joint phase (Thesis 4.1). */
#ifndef CHRONOS_RAFT_CONF_H
#define CHRONOS_RAFT_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

enum {
    RAFT_MEMBERS_MAX = 16,
    RAFT_NAME_SIZE = 64,     /* with the NUL */
    RAFT_ADDRESS_SIZE = 128,
};

/* Bits. A member has VOTER or LEARNER, and beside them OUTGOING (a voter of the configuration being left) and, with OUTGOING,
 * LEARNER_NEXT (becomes a learner when the joint phase ends). */
enum raft_member_role { RAFT_VOTER = 1, RAFT_OUTGOING = 2, RAFT_LEARNER = 4, RAFT_LEARNER_NEXT = 8 };

struct raft_member {
    uint64_t id; /* never 0 */
    uint8_t role;
    char name[RAFT_NAME_SIZE];       /* node_id */
    char address[RAFT_ADDRESS_SIZE]; /* of its node link */
};

struct raft_conf {
    uint8_t count;
    bool auto_leave; /* a joint configuration that its leader leaves by itself */
    struct raft_member members[RAFT_MEMBERS_MAX]; /* by ascending id */
};

enum raft_conf_change_type {
    RAFT_ADD_VOTER = 1,   /* also promotes a learner */
    RAFT_ADD_LEARNER = 2, /* also demotes a voter */
    RAFT_REMOVE = 3,
    RAFT_UPDATE = 4,      /* another name or address for a member */
};
struct raft_conf_change {
    enum raft_conf_change_type type;
    struct raft_member member; /* role is ignored */
};

const struct raft_member *raft_conf_find(const struct raft_conf *conf, uint64_t id); /* NULL if absent */
bool raft_conf_is_voter(const struct raft_conf *conf, uint64_t id); /* in either half */
bool raft_conf_is_joint(const struct raft_conf *conf);
uint32_t raft_conf_voters(const struct raft_conf *conf); /* of the incoming half */
bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b);
/* Roles, order, ids: what every configuration obeys. */
bool raft_conf_valid(const struct raft_conf *conf);

/* The outcome of `changes` on `conf`, without a joint phase. INVALID: more than one voter would come or go, none would be left,
 * there is no room, or `conf` is joint. Changes of id 0 are skipped. `ret` may be `conf`. */
must_use enum status raft_conf_simple(const struct raft_conf *conf, const struct raft_conf_change *changes, uint32_t count,
                                      struct raft_conf *ret);
/* The joint configuration that leads to the outcome, and the one that it leads to. INVALID as above; any number of voters. */
must_use enum status raft_conf_enter_joint(const struct raft_conf *conf, bool auto_leave,
                                           const struct raft_conf_change *changes, uint32_t count, struct raft_conf *ret);
must_use enum status raft_conf_leave_joint(const struct raft_conf *conf, struct raft_conf *ret);

/* As in entries and snapshots (docs/formats.md, "Configuration"). */
void raft_conf_encode(const struct raft_conf *conf, struct buffer *out);
/* CORRUPT: damaged, or not valid. */
must_use enum status raft_conf_decode(struct bytes encoded, struct raft_conf *ret);

#endif
