/* The whole of a node above its log, in a share of the seeds: the real state machine, the real scheduler on the leader, and the
 * book-keeping of attempts. A build without it (stack_none.c) runs the cheap state machine alone. */
#ifndef CHRONOS_TESTS_SIM_STACK_H
#define CHRONOS_TESTS_SIM_STACK_H

#include "sim.h"

/* A whole state as bytes: what a crash falls back to, and what a snapshot sends. */
struct state_file {
    uint64_t size;
    const uint8_t *bytes;
};

extern const bool stack_built;

void stack_world_begin(struct sim *sim); /* the model of this run */
void stack_world_end(struct sim *sim);

void stack_boot(struct sim *sim, struct node *node, const struct state_file *file); /* NULL: empty */
void stack_crash(struct node *node);
void stack_install(struct sim *sim, struct node *node, const struct state_file *file); /* the process goes on */
/* Returns what it came to as a number: equal on all nodes. */
uint64_t stack_apply(struct sim *sim, struct node *node, const struct blob *blob);
const struct state_file *stack_dump(struct sim *sim, struct node *node);
void stack_event(struct sim *sim, struct node *node); /* EVENT_STACK: its leader's scheduler, its attempts, its reports */
enum { STACK_NOOP_SIZE = 12 };
void stack_noop(struct sim *sim, const struct node *node, uint8_t out[STACK_NOOP_SIZE]); /* a command that does nothing */
void stack_user(struct sim *sim);                     /* EVENT_USER */
/* After healing: every run comes to its end. */
void stack_liveness(struct sim *sim);
void stack_describe(struct sim *sim);

#endif
