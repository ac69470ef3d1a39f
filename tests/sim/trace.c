/* A run in words. */
#include "sim.h"

#include <stdio.h>

const char *message_name(uint8_t type)
{
    static const char *const names[MESSAGE_TYPES] = {
        "?", "PRE_VOTE", "PRE_VOTE_RESPONSE", "VOTE", "VOTE_RESPONSE", "APPEND", "APPEND_RESPONSE", "HEARTBEAT",
        "HEARTBEAT_RESPONSE", "SNAPSHOT", "SNAPSHOT_RESPONSE", "TIMEOUT_NOW", "READ", "READ_RESPONSE", "REMOVED"};
    return names[type < MESSAGE_TYPES ? type : 0];
}

const char *role_name(enum raft_role role)
{
    static const char *const names[ROLES] = {"follower", "pre-candidate", "candidate", "leader"};
    return names[role];
}

const char *fault_name(enum fault fault)
{
    static const char *const names[FAULT_COUNT] = {
        "none", "partition", "isolate", "one-way", "clog", "loss", "replay", "crash", "power", "pause", "wipe", "stall", "full",
        "disk-error", "rot", "link-down", "conf", "transfer", "snapshot", "compact", "campaign", "burst"};
    return names[fault];
}

const char *node_name(struct sim *sim, uint64_t id)
{
    static char texts[8][32];
    static uint32_t next;
    char *text = texts[next++ % 8];
    const struct node *node = node_of(sim, id);
    if (id == 0)
        snprintf(text, sizeof texts[0], "nobody");
    else if (node != NULL)
        snprintf(text, sizeof texts[0], "n%u(%llu)", node->slot + 1U, (unsigned long long)id);
    else
        snprintf(text, sizeof texts[0], "gone(%llu)", (unsigned long long)id);
    return text;
}

void trace_line(struct sim *sim, const struct node *node, const char *format, ...)
{
    va_list args;
    printf("%10.2f %-7s ", (double)sim->now / TICK, node != NULL ? node_name(sim, node->id) : "");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void trace_message(struct sim *sim, const struct node *node, const char *verb, const struct raft_message *m)
{
    char text[200] = "";
    int at = 0;
#define SAY(...) at += snprintf(text + at, sizeof text - (size_t)at, __VA_ARGS__)
    SAY("term %llu", (unsigned long long)m->term);
    if (m->log.index > 0)
        SAY(" log %llu/%llu", (unsigned long long)m->log.index, (unsigned long long)m->log.term);
    if (m->entry_count > 0)
        SAY(" +%u", m->entry_count);
    if (m->commit > 0)
        SAY(" commit %llu", (unsigned long long)m->commit);
    if (m->type == RAFT_APPEND_RESPONSE)
        SAY(" match %llu", (unsigned long long)m->match);
    if (m->hint.index > 0)
        SAY(" hint %llu/%llu", (unsigned long long)m->hint.index, (unsigned long long)m->hint.term);
    if (m->read_seq > 0)
        SAY(" round %llu", (unsigned long long)m->read_seq);
    if (m->type == RAFT_SNAPSHOT || m->type == RAFT_SNAPSHOT_RESPONSE)
        SAY(" offset %llu", (unsigned long long)m->offset);
#undef SAY
    bool out = verb[0] == '-';
    trace_line(sim, node, "%s %s %s%s%s %s", verb, node_name(sim, out ? m->to : m->from), message_name(m->type),
               m->reject ? " REFUSED" : "", m->transfer ? " by transfer" : "", text);
}
