/* The reading side of command.h: bodies of commands, piece by piece, without an allocation.
 *
 * Every take_ function checks what it reads and sets `failed` of its reader: a caller looks once, at the end. */
#ifndef CHRONOS_STATE_COMMAND_DECODE_H
#define CHRONOS_STATE_COMMAND_DECODE_H

#include "base/codec.h"
#include "state/command.h"

/* A decision whose slots and ranges are still in the bytes: take them one by one. */
struct decision_reader {
    struct decision decision; /* `slots` and `ranges` are NULL */
    struct reader slots, ranges;
    uint32_t node_count; /* of a `due` */
    struct placement_node nodes[COMMAND_NODES_MAX];
};
void take_decision(struct reader *r, struct decision_reader *ret);
/* `node_count`: of the command; a slot's node is below it or NODE_NONE, its home at most that. */
struct decided_slot take_slot(struct reader *slots, uint32_t node_count);
struct decided_range take_range(struct reader *ranges);

/* At most COMMAND_NODES_MAX. Returns how many. */
uint32_t take_nodes(struct reader *r, struct placement_node nodes[COMMAND_NODES_MAX]);

/* In the following, `due` of the command is NULL or points to due->decision, which holds no slots: read them from
 * *due. */
void take_job_put(struct reader *r, struct job_put *ret, struct decision_reader *due);
void take_job_delete(struct reader *r, struct job_delete *ret, struct decision_reader *due);
void take_job_enable(struct reader *r, struct job_enable *ret, struct decision_reader *due);

void take_trigger_run(struct reader *r, struct trigger_run *ret);
struct assignment take_assignment(struct reader *r, uint32_t node_count);
void take_report(struct reader *r, struct run_report *ret);
struct cancel_run take_cancel(struct reader *r);
struct close_attempt take_close(struct reader *r);
void take_node(struct reader *r, struct node_row *ret);
struct sweep take_sweep(struct reader *r);
struct node_gone take_node_gone(struct reader *r);
struct drain take_drain(struct reader *r);
struct restore take_restore(struct reader *r);

/* What stands behind the header: with command_is_idempotent that part first, then the body. */
struct reader command_body(struct bytes command);
void take_idempotency(struct reader *r, struct idempotency *ret);

#endif
