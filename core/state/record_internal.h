/* Shared by the codecs of rows and commands: ids, enumerations, the format byte, and the JSON of a run. */
#ifndef CHRONOS_STATE_RECORD_INTERNAL_H
#define CHRONOS_STATE_RECORD_INTERNAL_H

#include <assert.h>

#include "base/codec.h"
#include "state/record.h"

enum { ROW_FORMAT = 1, ID_SIZE = 16 };
static_assert(sizeof(struct id) == ID_SIZE, "an id is its 16 bytes, in rows, keys and commands");

void put_id(struct buffer *b, const struct id *id);
struct id take_id(struct reader *r);
bool take_bool(struct reader *r);                      /* anything but 0 and 1 fails the reader */
uint8_t take_enum(struct reader *r, unsigned count);   /* a value of `count` or above fails the reader */

/* The row's format byte; CORRUPT if it is missing or not ours. `what` names the table in the message. */
must_use enum status row_open(struct reader *r, const char *what, struct error *err);
/* CORRUPT unless the row was read to its end and nothing failed. */
must_use enum status row_close(const struct reader *r, const char *what, struct error *err);

/* Adds one finished attempt. A full history keeps the first and the newest ones. */
void open_run_add_attempt(struct open_run *run, const struct attempt_record *attempt);

/* How a run ended, beside what its open row says. */
struct run_end {
    enum run_status status;
    enum reason reason;
    int64_t completed_ms;
    int64_t duration_ms; /* -1: it never started */
    struct bytes output_head, output_tail;
    uint64_t output_bytes;
    bool output_truncated;
};
/* The API's shape of a terminal run. `scratch` is for the output's text. */
void execution_json(const struct open_run *run, const struct run_end *end, struct buffer *scratch, struct buffer *out);

/* `ranges` keys; `open_by_job` keys; `versions` keys: all begin with the job's serial. */
enum { SERIAL_KEY_SIZE = 8, RANGE_KEY_SIZE = 16, VERSION_KEY_SIZE = 12, OPEN_BY_JOB_KEY_SIZE = 24 };

#endif
