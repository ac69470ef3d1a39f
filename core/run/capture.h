/* The output of one attempt: its first bytes, its last ones, how many there were, and a digest of what is kept.
 *
 * Shared: the plugin's threads write, the loop reads it live, the local writer stores it; the last one to let go frees it. */
#ifndef CHRONOS_RUN_CAPTURE_H
#define CHRONOS_RUN_CAPTURE_H

#include <stdatomic.h>

#include "base/buffer.h"
#include "base/error.h"
#include "state/command.h"

struct capture;

/* What all captures of a node hold together, and what became of what plugins wrote. */
struct capture_budget {
    int64_t limit_bytes;
    atomic_int_least64_t kept_bytes;
    atomic_uint_least64_t total_bytes, dropped_bytes; /* counters */
};

/* Keeps the first `limit_bytes` and, once more came, also the last `tail_bytes`. */
must_use enum status capture_new(struct capture_budget *budget, size_t limit_bytes, size_t tail_bytes, struct capture **ret,
                                 struct error *err);
struct capture *capture_ref(struct capture *capture);
void capture_unref(struct capture *capture); /* accepts NULL */

/* TOO_LARGE: not all of it was kept, all of it was counted. NOT_FOUND: closed, nothing was done. [any] */
must_use enum status capture_append(struct capture *capture, const void *data, size_t size);
/* Nothing comes after it; the digest is made. [any] */
void capture_close(struct capture *capture);
/* Appends at most `max` bytes from `offset` to `out`; returns how many bytes are kept. [any] */
uint64_t capture_read(struct capture *capture, uint64_t offset, size_t max, struct buffer *out);

/* After the close. */
struct bytes capture_kept(const struct capture *capture);
uint64_t capture_total(const struct capture *capture);
/* Output fields of a report: head and tail of at most `replicated` bytes together, borrowed from the capture. Without
 * `stored` nobody will be able to read more than these: the digest stays zero. */
void capture_report(const struct capture *capture, size_t replicated, bool stored, struct run_report *report);
/* Is there more than a report of that size says? */
bool capture_exceeds(const struct capture *capture, size_t replicated);
/* UTF-8 without NUL: what JSON can carry byte for byte. */
bool capture_is_text(const struct capture *capture);

#endif
