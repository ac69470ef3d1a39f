/* A change of a job on its way: what the request asked for, and the steps that the kinds of edits share. */
#ifndef CHRONOS_API_EDITS_H
#define CHRONOS_API_EDITS_H

#include "api/idempotency.h"
#include "api/jobs.h"

enum edit_kind { EDIT_CREATE, EDIT_PUT, EDIT_PATCH, EDIT_DELETE, EDIT_ENABLE, EDIT_DISABLE, EDIT_TRIGGER };

enum { IF_MATCH_SIZE = 256 };

struct edit {
    enum edit_kind kind;
    char job_text[JOB_REFERENCE_SIZE]; /* id or name, as in the path */
    char if_match[IF_MATCH_SIZE];      /* "": none */
    cJSON *body;                       /* of the attempt at hand; NULL: none */
    struct buffer text;                /* of the body, for further attempts: what waits holds no tree */
    bool dry_run, cancel, force;
    struct buffer overrides;           /* of a trigger; empty: none */
    bool has_key;                      /* it is not to be done twice: */
    struct idempotency key;
    bool is_replay;                    /* it was done before; `job` or `execution` is what it made then */
    uint32_t tries;
    struct {
        bool agreed;                   /* the executor has nothing against the config, */
        struct id job;                 /* made from this job at this version; zero for one that is new */
        uint32_t version;
    } check;
    struct {                           /* the job as this change leaves it */
        struct buffer document;
        bool enabled;
        int64_t created_ms;
        uint32_t version;
    } written;
    struct id job, execution;
    struct id executions[COMMAND_NODES_MAX]; /* of a trigger of a job that runs on all nodes; the first is the one above */
    uint32_t execution_count;
    char name[JOB_NAME_TEXT_SIZE];     /* that the job is to have */
    int64_t now_ms;
};

/* The job that an edit starts from. The schedules in `spec` are borrowed from the view: no more is read from it. */
struct present {
    struct state_view view;
    struct job_row row;     /* without its document */
    struct job_spec spec;
    cJSON *document;
};

/* --- edits.c: trying, and trying again --- */

/* Builds the command from what stands now and proposes it. Whatever happens the operation is answered some time. */
void edit_attempt(struct operation *operation);
/* Adds the key, if there is one, and copies the command. Ends the attempt: its body and what borrows from it must not be used any more. */
void edit_propose(struct operation *operation, struct buffer *command);
/* False: tried often enough; it was answered. */
bool edit_may_retry(struct operation *operation);
/* Has the executor agreed to what this edit makes of `present` (NULL: a new job)? */
bool edit_is_agreed(const struct edit *edit, const struct present *present);
/* Asks it. True: it agrees, at once. False: answered, or edit_attempt is called again when it agrees. */
bool edit_ask(struct operation *operation, const struct present *present, const struct plugin_component *executor,
              struct plugin_params *params);
/* Answers and ends the operation. */
void edit_fail(struct operation *operation, const struct error *err);
void edit_fail_document(struct operation *operation, enum status code, const struct field_errors *errors);
/* The same, because of what this node's copy of the state holds or lacks. It may be behind, also on a node that believes that it
 * leads: a refusal (4xx) is answered only of a state that holds all that was committed before; till then the edit is tried anew. */
void edit_refuse(struct operation *operation, const struct error *err);
void edit_refuse_document(struct operation *operation, enum status code, const struct field_errors *errors);
void edit_refuse_new(struct operation *operation, enum status code, const struct field_errors *errors); /* of a job that is to be made */

/* --- edit_answer.c --- */

/* Copies what the command at hand writes, for its answer. */
void edit_keep_written(struct edit *edit, struct bytes document, bool enabled, int64_t created_ms);
/* The change was made, and made this version of the job: answers and ends the operation. */
void edit_answer(struct operation *operation, uint32_t version);
int edit_http_status(enum edit_kind kind); /* of that answer */
/* It was made by an earlier request with the same key, which was answered with `http_status`: answers so again, with `resource` as
 * it stands, and ends the operation. */
void edit_answer_again(struct operation *operation, const struct id *resource, int http_status);

/* --- edit_job.c --- */

/* False: answered. True: to be closed with present_deinit. */
bool edit_read_present(struct operation *operation, struct present *ret);
void present_deinit(struct present *present);
void edit_attempt_create(struct operation *operation);
void edit_attempt_put(struct operation *operation);
void edit_attempt_delete(struct operation *operation);
void edit_attempt_enable(struct operation *operation);

/* --- edit_trigger.c --- */

/* Overrides and force out of the body. */
must_use enum status edit_read_trigger(struct edit *edit, struct error *err);
void edit_attempt_trigger(struct operation *operation);

#endif
