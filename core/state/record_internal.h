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

/* `idempotency_by_time`, key = when the row of `idempotency` was made, its key; the row is the format byte alone.
 * `idempotency_counts`, key = u8 size of a principal's name, the name: format, u32 rows of `idempotency` that are his; never 0. */
enum { TIME_KEY_SIZE = 8, IDEMPOTENCY_TIME_KEY_SIZE = TIME_KEY_SIZE + IDEMPOTENCY_DIGEST_SIZE,
       PRINCIPAL_KEY_MAX = 1 + TOKEN_NAME_MAX, IDEMPOTENCY_COUNT_ROW_SIZE = 5 };
struct idempotency_time_key {
    uint8_t bytes[IDEMPOTENCY_TIME_KEY_SIZE];
};
struct idempotency_time_key idempotency_time_key(int64_t created_ms, const void *digest);
/* CORRUPT: it is no such key. */
must_use enum status idempotency_time_of(struct bytes key, int64_t *ret_created_ms, struct error *err);
struct bytes principal_key(const char *principal, uint8_t out[PRINCIPAL_KEY_MAX]);

#endif
