/* Commands that look. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

typedef unsigned long long ull;

struct text {
    char at[1024];
    size_t size;
};

static void add(struct text *text, const char *more)
{
    size_t size = strlen(more);
    if (text->size + size >= sizeof text->at)
        fail("too much to compare");
    memcpy(text->at + text->size, more, size + 1);
    text->size += size;
}

static void add_number(struct text *text, uint64_t number)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%llu", (ull)number);
    add(text, digits);
}

static void members_text(const struct raft_conf *conf, uint8_t role, struct text *text)
{
    for (uint32_t i = 0; i < conf->count; i++)
        if ((conf->members[i].role & role) != 0)
            add(text, text->size > 0 ? "," : ""), add_number(text, conf->members[i].id);
    if (text->size == 0)
        add(text, "none");
}

/* Terms of the log: 1*3,4*2. */
static void log_text(const struct node *node, const struct raft_status *s, struct text *text)
{
    for (uint64_t i = s->base.index + 1; i <= s->last.index;) {
        uint64_t term = raft_term_at(node->raft, i), first = i;
        while (i <= s->last.index && raft_term_at(node->raft, i) == term)
            i++;
        add(text, text->size > 0 ? "," : "");
        add_number(text, term);
        add(text, "*");
        add_number(text, i - first);
    }
    if (text->size == 0)
        add(text, "none");
}

static void log_id_text(struct raft_log_id id, const char *wanted, struct text *text)
{
    add_number(text, id.index);
    if (strchr(wanted, '/') == NULL)
        return;
    add(text, "/");
    add_number(text, id.term);
}

static bool state_text(const struct node *node, const struct raft_status *s, const char *key, const char *wanted, struct text *text)
{
    const struct { const char *key; uint64_t value; } numbers[] = {
        {"term", s->term}, {"vote", s->vote}, {"leader", s->leader}, {"commit", s->commit}, {"applied", s->applied},
        {"persisted", s->persisted}, {"conf_index", s->conf_index}, {"transfer", s->transfer_to},
        {"silent", s->leader_silent_ticks},
        {"disk", disk_last(&node->disk)}, {"disk_term", node->disk.hard.term}, {"disk_vote", node->disk.hard.vote},
        {"partial", node->disk.partial_size}, {"writes", node->batch_count},
    };
    const struct { const char *key; bool value; } flags[] = {
        {"removed", s->removed}, {"suspect", s->suspect}, {"snapshot_wanted", node->snapshot_asked > 0},
    };
    const struct { const char *key; uint8_t role; } halves[] = {
        {"voters", RAFT_VOTER}, {"learners", RAFT_LEARNER}, {"outgoing", RAFT_OUTGOING}, {"learners_next", RAFT_LEARNER_NEXT},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(key, numbers[i].key) == 0)
            return add_number(text, numbers[i].value), true;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(key, flags[i].key) == 0)
            return add(text, flags[i].value ? "yes" : "no"), true;
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++)
        if (strcmp(key, halves[i].key) == 0)
            return members_text(s->conf, halves[i].role, text), true;
    if (strcmp(key, "role") == 0)
        text->size = (size_t)snprintf(text->at, sizeof text->at, "%s", role_name(s->role));
    else if (strcmp(key, "last") == 0)
        log_id_text(s->last, wanted, text);
    else if (strcmp(key, "base") == 0)
        log_id_text(s->base, wanted, text);
    else if (strcmp(key, "log") == 0)
        log_text(node, s, text);
    else
        return false;
    return true;
}

static void compare(const char *what, const char *key, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0)
        fail("%s: %s is %s, not %s", what, key, got, wanted);
}

static void split(const char *pair, char key[32], const char **ret_value)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || equals - pair >= 32)
        fail("\"%s\" is not key=value", pair);
    memcpy(key, pair, (size_t)(equals - pair));
    key[equals - pair] = '\0';
    *ret_value = equals + 1;
}

static void expect_node(struct script *s, struct node *node)
{
    struct raft_status status;
    char what[32];
    if (!node->up)
        fail("node %llu is down", (ull)node->id);
    raft_status(node->raft, &status);
    (void)snprintf(what, sizeof what, "node %llu", (ull)node->id);
    for (uint32_t i = 2; i < s->line.count; i++) {
        char key[32];
        const char *wanted;
        struct text text = {.size = 0};
        split(word(s, i), key, &wanted);
        if (!state_text(node, &status, key, wanted, &text))
            fail("nothing is called \"%s\"", key);
        compare(what, key, text.at, wanted);
    }
}

/* expect IDS key=value...; IDS is a list, or `all` that are up. */
void expect_state(struct script *s)
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    if (strcmp(word(s, 1), "all") == 0) {
        for (uint32_t i = 1; i < NODES_MAX; i++)
            if (s->world->nodes[i].up)
                expect_node(s, &s->world->nodes[i]);
        return;
    }
    uint32_t count = id_list(word(s, 1), ids);
    for (uint32_t i = 0; i < count; i++)
        expect_node(s, world_node(s->world, ids[i]));
}

static bool progress_text(const struct raft_peer_status *p, const char *key, struct text *text)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    const struct { const char *key; uint64_t value; } numbers[] = {
        {"match", p->match}, {"next", p->next}, {"inflight", p->inflight}, {"silent", p->silent_ticks},
        {"offset", p->snapshot_offset}, {"rounds", p->rounds},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(key, numbers[i].key) == 0)
            return add_number(text, numbers[i].value), true;
    if (strcmp(key, "state") == 0)
        return add(text, states[p->state]), true;
    if (strcmp(key, "caught_up") == 0)
        return add(text, p->caught_up ? "yes" : "no"), true;
    return false;
}

/* progress LEADER PEER key=value... */
void expect_progress(struct script *s)
{
    struct raft_status status;
    uint64_t peer = number(word(s, 2));
    char what[48];
    raft_status(world_node(s->world, number(word(s, 1)))->raft, &status);
    (void)snprintf(what, sizeof what, "progress of %llu", (ull)peer);
    for (uint32_t i = 0; i < status.peer_count; i++) {
        if (status.peers[i].id != peer)
            continue;
        if (s->line.count > 3 && strcmp(word(s, 3), "none") == 0)
            fail("node %s keeps progress of %llu", word(s, 1), (ull)peer);
        for (uint32_t j = 3; j < s->line.count; j++) {
            char key[32];
            const char *wanted;
            struct text text = {.size = 0};
            split(word(s, j), key, &wanted);
            if (!progress_text(&status.peers[i], key, &text))
                fail("nothing is called \"%s\"", key);
            compare(what, key, text.at, wanted);
        }
        return;
    }
    if (s->line.count <= 3 || strcmp(word(s, 3), "none") != 0)
        fail("node %s keeps no progress of %llu", word(s, 1), (ull)peer);
}

/* answer NODE CTX pending | index=N | STATUS */
void expect_answer(struct script *s)
{
    const struct node *node = world_node(s->world, number(word(s, 1)));
    uint64_t ctx = number(word(s, 2));
    const char *wanted = word(s, 3);
    for (uint32_t i = 0; i < node->read_count; i++) {
        const struct read_seen *read = &node->reads[i];
        if (read->ctx != ctx)
            continue;
        struct text text = {.size = 0};
        if (!read->answered)
            add(&text, "pending");
        else if (read->state.status == STATUS_OK)
            add(&text, "index="), add_number(&text, read->state.index);
        else
            add(&text, status_name(read->state.status));
        compare("read", word(s, 2), text.at, wanted);
        return;
    }
    fail("node %llu was not asked for read %llu", (ull)node->id, (ull)ctx);
}

static void show_pool(const struct world *w)
{
    for (uint32_t i = 0; i < w->packet_count; i++) {
        const struct raft_message *m = &w->packets[i]->message;
        fprintf(stderr, "  %llu->%llu %s term=%llu log=%llu/%llu entries=%u commit=%llu match=%llu%s hint=%llu/%llu\n",
                (ull)m->from, (ull)m->to, type_name(m->type), (ull)m->term, (ull)m->log.index, (ull)m->log.term, m->entry_count,
                (ull)m->commit, (ull)m->match, m->reject ? " reject" : "", (ull)m->hint.index, (ull)m->hint.term);
    }
}

/* messages FILTER N: so many are in flight. */
void expect_messages(struct script *s)
{
    uint32_t count = choose(s, 1);
    uint64_t wanted = number(word(s, s->line.count - 1));
    if (count != wanted) {
        show_pool(s->world);
        fail("%u such messages are in flight, not %llu", count, (ull)wanted);
    }
}

static bool message_text(const struct raft_message *m, const char *key, const char *wanted, struct text *text)
{
    const struct { const char *key; uint64_t value; } numbers[] = {
        {"term", m->term}, {"commit", m->commit}, {"match", m->match}, {"entries", m->entry_count}, {"read_seq", m->read_seq},
        {"ctx", m->ctx}, {"offset", m->offset}, {"size", m->chunk.size},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(key, numbers[i].key) == 0)
            return add_number(text, numbers[i].value), true;
    if (strcmp(key, "log") == 0)
        return log_id_text(m->log, wanted, text), true;
    if (strcmp(key, "hint") == 0)
        return log_id_text(m->hint, wanted, text), true;
    if (strcmp(key, "reject") == 0)
        return add(text, m->reject ? "yes" : "no"), true;
    if (strcmp(key, "transfer") == 0)
        return add(text, m->transfer ? "yes" : "no"), true;
    return false;
}

/* message FILTER key=value...: each that is described has these, and there is one. */
void expect_message(struct script *s)
{
    if (choose(s, 1) == 0) {
        show_pool(s->world);
        fail("no such message is in flight");
    }
    for (uint32_t i = 0; i < s->world->packet_count; i++) {
        const struct raft_message *m = &s->world->packets[i]->message;
        for (uint32_t j = 1; s->world->packets[i]->chosen && j < s->line.count; j++) {
            char key[32];
            const char *wanted;
            struct text text = {.size = 0};
            if (strchr(word(s, j), '=') == NULL)
                continue;
            split(word(s, j), key, &wanted);
            if (!message_text(m, key, wanted, &text))
                fail("nothing is called \"%s\"", key);
            compare(type_name(m->type), key, text.at, wanted);
        }
    }
}
