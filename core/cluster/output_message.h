/* What an attempt has written, asked for by one node and answered by the one that ran it (docs/formats.md, "Output of runs").
 * A piece at a time; whoever wants more asks again. */
#ifndef CHRONOS_CLUSTER_OUTPUT_MESSAGE_H
#define CHRONOS_CLUSTER_OUTPUT_MESSAGE_H

#include "base/error.h"
#include "base/id.h"
#include "cluster/cluster.h"

struct output_request {
    uint64_t id; /* the asker's; the answer repeats it */
    struct cluster_output_range range;
};

enum { OUTPUT_MESSAGE_MAX = 512 };
struct output_answer {
    uint64_t id;
    enum status status;
    char message[OUTPUT_MESSAGE_MAX]; /* "" with status OK */
    struct cluster_output output;     /* zeroes with any other; the piece is borrowed from what was decoded */
};

/* A failure stays in the buffer's `failed`. */
void output_request_encode(const struct output_request *request, struct buffer *out);
void output_answer_encode(const struct output_answer *answer, struct buffer *out);

/* MALFORMED: cut short, damaged, or out of its limits. */
must_use enum status output_request_decode(struct bytes encoded, struct output_request *ret, struct error *err);
must_use enum status output_answer_decode(struct bytes encoded, struct output_answer *ret, struct error *err);

#endif
