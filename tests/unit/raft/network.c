/* Commands on messages in flight. */
#include <stdlib.h>
#include <string.h>

#include "script.h"

enum { SETTLE_MAX = 200000 };

struct filter {
    uint64_t from, to; /* 0: any */
    int type;          /* 0: any */
    bool first, last;
};

/* "1->2", "*->2", "1->*". */
static bool parse_route(const char *text, uint64_t *ret_from, uint64_t *ret_to)
{
    const char *arrow = strstr(text, "->");
    if (arrow == NULL)
        return false;
    *ret_from = text[0] == '*' ? 0 : strtoull(text, NULL, 10);
    *ret_to = arrow[2] == '*' ? 0 : strtoull(arrow + 2, NULL, 10);
    return true;
}

static struct filter parse_filter(const struct script *s, uint32_t from)
{
    struct filter f = {0};
    for (uint32_t i = from; i < s->line.count; i++) {
        const char *text = word(s, i);
        if (strcmp(text, "first") == 0)
            f.first = true;
        else if (strcmp(text, "last") == 0)
            f.last = true;
        else if (strchr(text, '=') != NULL || (text[0] >= '0' && text[0] <= '9' && strstr(text, "->") == NULL))
            continue; /* for the command itself */
        else if (!parse_route(text, &f.from, &f.to) && (f.type = message_type(text)) == 0)
            fail("\"%s\" describes no message", text);
    }
    return f;
}

static bool is_described(const struct filter *f, const struct raft_message *m)
{
    return (f->from == 0 || f->from == m->from) && (f->to == 0 || f->to == m->to) && (f->type == 0 || f->type == m->type);
}

uint32_t choose(struct script *s, uint32_t from)
{
    struct filter f = parse_filter(s, from);
    struct world *w = s->world;
    uint32_t count = 0;
    struct packet *last = NULL;
    for (uint32_t i = 0; i < w->packet_count; i++) {
        struct packet *packet = w->packets[i];
        packet->chosen = is_described(&f, &packet->message) && !(f.first && count > 0);
        if (packet->chosen && f.last && last != NULL) {
            last->chosen = false;
            count--;
        }
        if (packet->chosen) {
            last = packet;
            count++;
        }
    }
    return count;
}

void command_deliver(struct script *s)
{
    if (choose(s, 1) == 0)
        fail("no such message is in flight");
    /* Those that come up meanwhile are not among them: they stand behind, unmarked. */
    for (uint32_t i = 0; i < s->world->packet_count;) {
        if (s->world->packets[i]->chosen)
            must_be(s, world_deliver(s->world, i));
        else
            i++;
    }
}

void command_drop(struct script *s)
{
    if (choose(s, 1) == 0)
        fail("no such message is in flight");
    for (uint32_t i = 0; i < s->world->packet_count;) {
        if (s->world->packets[i]->chosen)
            world_remove_packet(s->world, i);
        else
            i++;
    }
}

void command_repeat(struct script *s)
{
    if (choose(s, 1) == 0)
        fail("no such message is in flight");
    uint32_t count = s->world->packet_count;
    for (uint32_t i = 0; i < count; i++)
        if (s->world->packets[i]->chosen)
            world_send(s->world, &s->world->packets[i]->message);
}

static bool deliver_one(struct script *s, const bool *among)
{
    struct world *w = s->world;
    for (uint32_t i = 0; i < w->packet_count; i++) {
        const struct raft_message *m = &w->packets[i]->message;
        if (among != NULL && (m->to >= NODES_MAX || m->from >= NODES_MAX || !among[m->to] || !among[m->from]))
            continue;
        must_be(s, world_deliver(w, i));
        return true;
    }
    return false;
}

void settle_all(struct script *s, const bool *among)
{
    for (int i = 0; deliver_one(s, among); i++)
        if (i == SETTLE_MAX)
            fail("the cluster does not come to rest");
}

/* settle [ids]: deliver until nothing is in flight (among these nodes); no time passes. */
void command_settle(struct script *s)
{
    bool among[NODES_MAX] = {false};
    for (uint32_t i = 1; i < s->line.count; i++)
        among[world_node(s->world, number(word(s, i)))->id] = true;
    settle_all(s, s->line.count > 1 ? among : NULL);
}

/* "1-2" */
static void parse_link(const char *text, uint64_t *ret_a, uint64_t *ret_b)
{
    char *end;
    *ret_a = strtoull(text, &end, 10);
    if (*end != '-')
        fail("\"%s\" is not a link", text);
    *ret_b = number(end + 1);
}

static void set_cut(struct script *s, bool cut)
{
    for (uint32_t i = 1; i < s->line.count; i++) {
        uint64_t from, to;
        const char *text = word(s, i);
        bool one_way = parse_route(text, &from, &to);
        if (!one_way)
            parse_link(text, &from, &to);
        for (uint64_t a = 1; a < NODES_MAX; a++)
            for (uint64_t b = 1; b < NODES_MAX; b++) {
                bool hit = (from == 0 || a == from) && (to == 0 || b == to) && a != b;
                if (hit)
                    s->world->cut[a][b] = cut;
                if (hit && !one_way)
                    s->world->cut[b][a] = cut;
            }
    }
}

void command_cut(struct script *s)
{
    (void)word(s, 1);
    set_cut(s, true);
}

void command_isolate(struct script *s)
{
    uint64_t id = world_node(s->world, number(word(s, 1)))->id;
    for (uint64_t other = 1; other < NODES_MAX; other++)
        s->world->cut[id][other] = s->world->cut[other][id] = true;
}

/* heal [links]: all, or these. */
void command_heal(struct script *s)
{
    if (s->line.count == 1)
        memset(s->world->cut, 0, sizeof s->world->cut);
    else
        set_cut(s, false);
}

static struct raft_log_id value_log_id(const struct script *s, const char *key)
{
    const char *text = value_of(s, key);
    return text != NULL ? log_id(text) : (struct raft_log_id){0};
}

static bool has_word(const struct script *s, const char *text)
{
    for (uint32_t i = 1; i < s->line.count; i++)
        if (strcmp(s->line.words[i], text) == 0 && word(s, i) != NULL)
            return true;
    return false;
}

/* inject TYPE FROM->TO key=value...: a message that no core sent; at=N hands it to another node than it is for. */
void command_inject(struct script *s)
{
    struct raft_message m = {.type = (uint8_t)message_type(word(s, 1))};
    if (!parse_route(word(s, 2), &m.from, &m.to))
        fail("\"%s\" is not a route", word(s, 2));
    m.term = value_or(s, "term", 0);
    m.log = value_log_id(s, "log");
    m.hint = value_log_id(s, "hint");
    m.commit = value_or(s, "commit", 0);
    m.match = value_or(s, "match", 0);
    m.read_seq = value_or(s, "read_seq", 0);
    m.ctx = value_or(s, "ctx", 0);
    m.offset = value_or(s, "offset", 0);
    m.reject = has_word(s, "reject");
    m.transfer = has_word(s, "transfer");
    must_be(s, world_step(s->world, world_node(s->world, value_or(s, "at", m.to)), &m));
}
