/* The scenario language: one command a line (README.md). */
#ifndef CHRONOS_TESTS_UNIT_RAFT_SCRIPT_H
#define CHRONOS_TESTS_UNIT_RAFT_SCRIPT_H

#include "world.h"

enum { WORDS_MAX = 32 };

struct line {
    char *words[WORDS_MAX + 1]; /* words[0] is the command; NULL behind the last */
    uint32_t count;
    enum status expected;
};

struct script {
    struct world *world;
    struct line line;
};

/* words.c: arguments of the line at work. */
void words_begin(void);
void words_end(const struct script *s);                           /* fails if one was not looked at: a mistake in writing */
const char *word(const struct script *s, uint32_t i);             /* fails where there is none */
uint64_t number(const char *text);
const char *value_of(const struct script *s, const char *key);    /* of key=value; NULL */
uint64_t value_or(const struct script *s, const char *key, uint64_t otherwise);
struct raft_log_id log_id(const char *text);                      /* 7/2; 7 alone: of any term, written UINT64_MAX */
uint32_t id_list(const char *text, uint64_t ret[RAFT_MEMBERS_MAX]);
void add_members(struct raft_conf *conf, const char *list, uint8_t role);
int message_type(const char *text);                               /* 0: none */
const char *type_name(uint8_t type);
const char *role_name(enum raft_role role);

/* expect.c */
void expect_state(struct script *s);
void expect_progress(struct script *s);
void expect_answer(struct script *s);
void expect_messages(struct script *s);
void expect_message(struct script *s);

/* network.c */
uint32_t choose(struct script *s, uint32_t from); /* packets that the words from `from` on describe; marks them */
void command_deliver(struct script *s);
void command_drop(struct script *s);
void command_repeat(struct script *s);
void command_settle(struct script *s);
void command_cut(struct script *s);
void command_isolate(struct script *s);
void command_heal(struct script *s);
void command_inject(struct script *s);
void settle_all(struct script *s, const bool *among); /* NULL: all nodes */

/* script.c */
void must_be(const struct script *s, enum status got); /* as the line expects */
void run_line(struct script *s);

#endif
