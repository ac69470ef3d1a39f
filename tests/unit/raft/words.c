#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

static bool used[WORDS_MAX + 1];

void words_begin(void)
{
    memset(used, 0, sizeof used);
    used[0] = true;
}

void words_end(const struct script *s)
{
    for (uint32_t i = 0; i < s->line.count; i++)
        if (!used[i])
            fail("%s: \"%s\" means nothing here", s->line.words[0], s->line.words[i]);
}

const char *word(const struct script *s, uint32_t i)
{
    if (i >= s->line.count)
        fail("%s: too few words", s->line.words[0]);
    used[i] = true;
    return s->line.words[i];
}

uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || *text == '-')
        fail("\"%s\" is not a number", text);
    return value;
}

const char *value_of(const struct script *s, const char *key)
{
    size_t size = strlen(key);
    for (uint32_t i = 1; i < s->line.count; i++)
        if (strncmp(s->line.words[i], key, size) == 0 && s->line.words[i][size] == '=')
            return word(s, i) + size + 1;
    return NULL;
}

uint64_t value_or(const struct script *s, const char *key, uint64_t otherwise)
{
    const char *value = value_of(s, key);
    return value != NULL ? number(value) : otherwise;
}

struct raft_log_id log_id(const char *text)
{
    char *end;
    struct raft_log_id id = {strtoull(text, &end, 10), UINT64_MAX};
    if (end == text || (*end != '\0' && *end != '/'))
        fail("\"%s\" is not a position in a log", text);
    if (*end == '/')
        id.term = number(end + 1);
    return id;
}

uint32_t id_list(const char *text, uint64_t ret[RAFT_MEMBERS_MAX])
{
    uint32_t count = 0;
    while (*text != '\0' && strcmp(text, "none") != 0) {
        char *end;
        uint64_t id = strtoull(text, &end, 10);
        if (end == text || (*end != '\0' && *end != ',') || count == RAFT_MEMBERS_MAX)
            fail("\"%s\" is not a list of ids", text);
        ret[count++] = id;
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

void add_members(struct raft_conf *conf, const char *list, uint8_t role)
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    uint32_t count = id_list(list, ids);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = 0;
        while (at < conf->count && conf->members[at].id < ids[i])
            at++;
        if (at == conf->count || conf->members[at].id != ids[i]) {
            if (conf->count == RAFT_MEMBERS_MAX)
                fail("at most %d members", RAFT_MEMBERS_MAX);
            memmove(&conf->members[at + 1], &conf->members[at], (conf->count - at) * sizeof conf->members[0]);
            conf->members[at] = (struct raft_member){.id = ids[i]};
            conf->count++;
        }
        conf->members[at].role |= role;
    }
}

static const char *const types[] = {
    [RAFT_PRE_VOTE] = "pre_vote", [RAFT_PRE_VOTE_RESPONSE] = "pre_vote_response", [RAFT_VOTE] = "vote",
    [RAFT_VOTE_RESPONSE] = "vote_response", [RAFT_APPEND] = "append", [RAFT_APPEND_RESPONSE] = "append_response",
    [RAFT_HEARTBEAT] = "heartbeat", [RAFT_HEARTBEAT_RESPONSE] = "heartbeat_response", [RAFT_SNAPSHOT] = "snapshot",
    [RAFT_SNAPSHOT_RESPONSE] = "snapshot_response", [RAFT_TIMEOUT_NOW] = "timeout_now", [RAFT_READ] = "read",
    [RAFT_READ_RESPONSE] = "read_response", [RAFT_REMOVED] = "removed",
};

int message_type(const char *text)
{
    for (int i = RAFT_PRE_VOTE; i <= RAFT_REMOVED; i++)
        if (strcmp(text, types[i]) == 0)
            return i;
    return 0;
}

const char *type_name(uint8_t type)
{
    return type >= RAFT_PRE_VOTE && type <= RAFT_REMOVED ? types[type] : "unknown";
}

const char *role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "pre_candidate", "candidate", "leader"};
    return names[role];
}
