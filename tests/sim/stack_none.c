/* A build without state machine and scheduler, which takes a second: for mutants of the core. */
#include "stack.h"

#include <stdlib.h>

const bool stack_built = false;

void stack_world_begin(struct sim *sim)
{
    (void)sim;
}

void stack_world_end(struct sim *sim)
{
    (void)sim;
}

void stack_boot(struct sim *sim, struct node *node, const struct state_file *file)
{
    (void)sim, (void)node, (void)file;
}

void stack_crash(struct node *node)
{
    (void)node;
}

void stack_install(struct sim *sim, struct node *node, const struct state_file *file)
{
    (void)sim, (void)node, (void)file;
}

uint64_t stack_apply(struct sim *sim, struct node *node, const struct blob *blob)
{
    (void)sim, (void)node, (void)blob;
    abort();
}

const struct state_file *stack_dump(struct sim *sim, struct node *node)
{
    (void)sim, (void)node;
    abort();
}

void stack_event(struct sim *sim, struct node *node)
{
    (void)sim, (void)node;
}

void stack_user(struct sim *sim)
{
    (void)sim;
}

void stack_liveness(struct sim *sim)
{
    (void)sim;
}

void stack_describe(struct sim *sim)
{
    (void)sim;
}

void stack_noop(struct sim *sim, const struct node *node, uint8_t out[STACK_NOOP_SIZE])
{
    (void)sim, (void)node, (void)out;
}
