/* Parsed documents of job versions, so that a job that runs every second is not parsed every second. Loop thread; the
 * document itself is read by a dispatcher while the job is referenced, and never changed. */
#ifndef CHRONOS_RUN_JOB_CACHE_H
#define CHRONOS_RUN_JOB_CACHE_H

#include "base/json.h"
#include "base/map.h"
#include "state/state.h"

#define JOB_LEASE_LOSS_CONTINUE "continue" /* of the document's on_lease_loss */

struct job {
    struct {
        uint64_t serial, version;
    } key;
    cJSON *document;
    const cJSON *config; /* inside of it; NULL: none given */
    char executor[EXECUTOR_TEXT_SIZE];
    int64_t timeout_ms;  /* 0: none */
    uint32_t max_attempts;
    bool outlives_lease; /* on_lease_loss: its runs are not cancelled where the node loses its lease */

    uint32_t references;
    size_t text_bytes;
    struct job *newer, *older; /* in the order of use */
};

struct job_cache {
    struct map jobs;
    struct job *newest, *oldest;
    size_t text_bytes;
};

void job_cache_init(struct job_cache *cache);
void job_cache_deinit(struct job_cache *cache);
/* A reference to that version, read from the state where it is not cached. NOT_FOUND, CORRUPT: the document is not there or
 * is none. */
must_use enum status job_cache_get(struct job_cache *cache, const struct state *state, uint64_t serial, uint32_t version,
                                   struct job **ret, struct error *err);
void job_unref(struct job *job); /* accepts NULL */

#endif
