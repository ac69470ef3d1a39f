/* A state over a real backend in a directory of its own, checked after every batch: invariants hold, and a mirror built
 * from the published changes alone equals the tables. */
#ifndef CHRONOS_TESTS_STATE_FIXTURE_H
#define CHRONOS_TESTS_STATE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "state/state.h"
#include "state_check.h"

#define ARRAY_COUNT(a) ((uint32_t)(sizeof(a) / sizeof((a)[0])))
#define START_MS INT64_C(1800000000000)

extern struct error failure; /* pass it to what OK() calls */
#define OK(expression)                                        \
    do {                                                      \
        if (expression)                                       \
            fail_msg("%s: %s", #expression, failure.message); \
    } while (0)

struct mirror {
    struct table_rows open, marks, sched;
};

struct fixture {
    const char *backend;
    char directory[256];
    struct store *store;
    struct state *state;
    struct state_changes changes; /* of the newest batch */
    struct mirror mirror;
    struct id_source ids;
    int64_t now_ms; /* the next command's stamp */
    int64_t mark_ms; /* of edits: the wall clock; 0: as the stamp */
    uint64_t map_bytes;
    bool unchecked; /* damage was done on purpose: no checks after batches */
};

/* "lmdb", "sqlite": the backend of the group that runs. */
extern const char *fixture_backend;
/* Runs the group once on each backend; the sum of failures. */
#define RUN_ON_BACKENDS(name, tests) \
    (fixture_use("lmdb"), cmocka_run_group_tests_name(name " on lmdb", tests, NULL, NULL)) + \
        (fixture_use("sqlite"), cmocka_run_group_tests_name(name " on sqlite", tests, NULL, NULL))
void fixture_use(const char *backend);

struct fixture *fixture_open(const char *backend, uint64_t map_bytes); /* 0: the default */
struct fixture *fixture_open_empty(const char *backend, uint64_t map_bytes); /* `store` alone is open, and nothing is in it */
void fixture_reopen(struct fixture *f);
void fixture_close(struct fixture *f); /* removes its directory */
int fixture_setup(void **state);       /* cmocka: a fixture on fixture_backend */
int fixture_teardown(void **state);
struct plugin_component;
struct store *fixture_store(struct fixture *f); /* reopens the store alone, the state being closed */
void fixture_close_state(struct fixture *f);

/* Applies one command (its buffer is stamped, then freed) and checks. */
struct apply_result fixture_apply(struct fixture *f, struct buffer *command);
/* The same, for a command that ends the process; nothing may have changed. */
enum status fixture_apply_fatal(struct fixture *f, struct buffer *command, struct error *err);
void fixture_check(struct fixture *f);
uint64_t fixture_hash(struct fixture *f);
struct id fixture_id(struct fixture *f);
struct buffer command_buffer(void);
void put_raw(struct fixture *f, const char *table, const void *key, size_t key_size, const void *row, size_t row_size);

/* --- commands in short --- */

struct job_spec spec_named(const char *name);
struct apply_result put_job(struct fixture *f, const struct job_spec *spec, const struct id *id,
                            uint32_t expected_version, bool resets_mark, const struct decision *due);
/* A new job; its serial, which is checked to be the next one. */
uint64_t create_job(struct fixture *f, const struct job_spec *spec, struct id *ret_id);
struct apply_result delete_job(struct fixture *f, const struct id *id, bool cancel_running, const struct decision *due);
struct apply_result enable_job(struct fixture *f, const struct id *id, bool enabled, const struct decision *due);
/* One decision with these slots, unplaced or on `node`; from the job's present mark to the last slot's time. */
struct apply_result decide(struct fixture *f, const struct decision *decision, const struct placement_node *node);
/* One slot at now, of the job as it stands. */
struct apply_result fire(struct fixture *f, uint64_t serial, enum run_trigger trigger,
                         const struct placement_node *node, struct id *ret_execution);
struct placement_node node_up(struct fixture *f, const char *name, uint64_t session);
struct apply_result trigger(struct fixture *f, const struct id *job, bool force, const struct placement_node *node,
                            struct id *ret_execution);
struct apply_result assign(struct fixture *f, const struct id *execution, uint32_t attempt,
                           const struct placement_node *node);
struct run_report report_of(struct fixture *f, const struct id *execution, enum report_kind kind);
struct apply_result report(struct fixture *f, const struct run_report *item);
struct apply_result finish(struct fixture *f, const struct id *execution, enum run_status outcome);
struct apply_result cancel(struct fixture *f, const struct id *execution, enum reason reason);
struct apply_result close_run(struct fixture *f, const struct id *execution, enum reason reason);

/* --- what is there --- */

struct job_marks marks_of(struct fixture *f, uint64_t serial);
bool has_marks(struct fixture *f, uint64_t serial);
struct job_spec spec_of(struct fixture *f, uint64_t serial); /* without schedules */
bool get_open(struct fixture *f, const struct id *execution, struct open_run *ret); /* without overrides */
struct open_run need_open_run(struct fixture *f, const struct id *execution);
/* The terminal status and reason, read from the row's text; PENDING: it is not terminal. */
enum run_status ended(struct fixture *f, const struct id *execution, char reason[32]);
#define assert_ended(f, execution, status, why)                         \
    do {                                                                \
        char reason_[32];                                               \
        assert_int_equal(ended(f, execution, reason_), status);         \
        assert_string_equal(reason_, why);                              \
    } while (0)
/* The text of an execution, open or ended, parsed; freed by the caller. */
cJSON *text_of(struct fixture *f, const struct id *execution);
uint32_t count_rows(struct fixture *f, enum state_table table);
uint32_t count_changes(const struct fixture *f, enum state_change_kind kind);

#endif
