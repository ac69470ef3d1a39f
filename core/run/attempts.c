#include "run/attempts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* A token is a generation, counted up for ever, and the place in the table: never the same twice. */
enum { SLOT_BITS = 20, FIRST_CAPACITY = 64 };
static_assert(RUN_ATTEMPTS_MAX <= 1 << SLOT_BITS, "a token must hold the place");

static uint32_t slot_of(uint64_t token)
{
    return (uint32_t)(token & ((UINT64_C(1) << SLOT_BITS) - 1));
}

static void lock(struct attempts *attempts)
{
    (void)pthread_mutex_lock(&attempts->lock); /* a plain mutex fails only when misused */
}

static void unlock(struct attempts *attempts)
{
    (void)pthread_mutex_unlock(&attempts->lock);
}

void attempts_init(struct attempts *attempts, const struct clock *clock, struct capture_budget *budget, size_t captured_max,
                   size_t tail_bytes, uv_async_t *wakeup)
{
    *attempts = (struct attempts){.clock = clock, .budget = budget, .captured_max = captured_max, .tail_bytes = tail_bytes,
                                  .wakeup = wakeup};
    (void)pthread_mutex_init(&attempts->lock, NULL); /* takes no resource that could run out */
    attempts->posted_tail = &attempts->posted;
    map_init(&attempts->by_execution);
}

static void free_attempt(struct attempt *attempt)
{
    capture_unref(attempt->capture);
    free(attempt->overrides);
    free(attempt);
}

void attempts_deinit(struct attempts *attempts)
{
    for (uint32_t i = 0; i < attempts->capacity; i++)
        if (attempts->slots[i] != NULL)
            free_attempt(attempts->slots[i]);
    free(attempts->slots);
    free(attempts->free_slots);
    map_deinit(&attempts->by_execution);
    (void)pthread_mutex_destroy(&attempts->lock);
}

/* --- adding and finding --- */

static bool grow(struct attempts *attempts)
{
    uint32_t capacity = attempts->capacity == 0 ? FIRST_CAPACITY : attempts->capacity * 2;
    uint32_t *free_slots = reallocarray(attempts->free_slots, capacity, sizeof *free_slots);
    if (free_slots == NULL)
        return false;
    attempts->free_slots = free_slots;
    lock(attempts);
    struct attempt **slots = reallocarray(attempts->slots, capacity, sizeof(struct attempt *));
    if (slots != NULL) {
        for (uint32_t i = attempts->capacity; i < capacity; i++)
            slots[i] = NULL;
        attempts->slots = slots;
    }
    uint32_t before = attempts->capacity;
    attempts->capacity = slots != NULL ? capacity : before;
    unlock(attempts);
    for (uint32_t i = attempts->capacity; i > before; i--)
        attempts->free_slots[attempts->free_count++] = i - 1;
    return slots != NULL;
}

static struct attempt *copy_run(const struct open_run *run)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return NULL;
    attempt->execution = run->execution;
    attempt->job_id = run->job;
    attempt->number = run->attempt;
    attempt->job_version = run->job_version;
    attempt->trigger = run->trigger;
    attempt->pinned = run->pinned;
    attempt->scheduled_ms = run->scheduled_ms;
    memcpy(attempt->job_name, run->job_name, sizeof attempt->job_name);
    if (run->overrides.size > 0) {
        attempt->overrides = malloc(run->overrides.size);
        attempt->overrides_size = run->overrides.size;
        if (attempt->overrides == NULL) {
            free(attempt);
            return NULL;
        }
        memcpy(attempt->overrides, run->overrides.data, run->overrides.size);
    }
    return attempt;
}

static bool put_in_map(struct attempts *attempts, struct attempt *attempt)
{
    void *older = NULL;
    if (map_put(&attempts->by_execution, &attempt->execution, sizeof attempt->execution, attempt, &older) != STATUS_OK)
        return false;
    attempt->same_run = older;
    attempt->in_map = true;
    return true;
}

enum status attempts_add(struct attempts *attempts, const struct open_run *run, struct attempt **ret, struct error *err)
{
    if (attempts->count == RUN_ATTEMPTS_MAX)
        return error_set(err, STATUS_TOO_MANY, "this node knows %d attempts already", RUN_ATTEMPTS_MAX);
    struct attempt *attempt = copy_run(run);
    if (attempt == NULL || (attempts->free_count == 0 && !grow(attempts)) || !put_in_map(attempts, attempt)) {
        if (attempt != NULL)
            free_attempt(attempt);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for an attempt");
    }
    uint32_t slot = attempts->free_slots[--attempts->free_count];
    attempt->token = ++attempts->generation << SLOT_BITS | slot;
    attempts->count++;
    lock(attempts);
    attempts->slots[slot] = attempt;
    unlock(attempts);
    *ret = attempt;
    return STATUS_OK;
}

/* With the lock, or on the loop, which alone changes the table. */
static struct attempt *at(const struct attempts *attempts, uint64_t token)
{
    uint32_t slot = slot_of(token);
    struct attempt *attempt = slot < attempts->capacity ? attempts->slots[slot] : NULL;
    return attempt != NULL && attempt->token == token ? attempt : NULL;
}

struct attempt *attempts_by_token(struct attempts *attempts, uint64_t token)
{
    return at(attempts, token);
}

struct attempt *attempts_newest(struct attempts *attempts, const struct id *execution)
{
    return map_get(&attempts->by_execution, execution, sizeof *execution);
}

struct attempt *attempts_find(struct attempts *attempts, const struct id *execution, uint32_t number)
{
    struct attempt *attempt = attempts_newest(attempts, execution);
    while (attempt != NULL && attempt->number != number)
        attempt = attempt->same_run;
    return attempt;
}

/* --- life --- */

void attempt_move(struct attempt *attempt, enum attempt_phase phase)
{
    static const bool ways[ATTEMPT_PHASE_COUNT][ATTEMPT_PHASE_COUNT] = {
        [ATTEMPT_QUEUED] = {[ATTEMPT_RUNNING] = true, [ATTEMPT_FINISHED] = true, [ATTEMPT_GONE] = true},
        [ATTEMPT_RUNNING] = {[ATTEMPT_FINISHED] = true, [ATTEMPT_GONE] = true},
        [ATTEMPT_FINISHED] = {[ATTEMPT_GONE] = true},
    };
    assert(ways[attempt->phase][phase]);
    attempt->phase = phase;
}

static void take_from_map(struct attempts *attempts, struct attempt *attempt)
{
    struct attempt *newest = attempts_newest(attempts, &attempt->execution);
    if (newest != attempt) {
        while (newest->same_run != attempt)
            newest = newest->same_run;
        newest->same_run = attempt->same_run;
    } else {
        (void)map_remove(&attempts->by_execution, &attempt->execution, sizeof attempt->execution);
        struct attempt *older = attempt->same_run;
        if (older != NULL && map_put(&attempts->by_execution, &older->execution, sizeof older->execution, older, NULL) !=
                                 STATUS_OK)
            abort(); /* cannot be: a place was just made free */
    }
    attempt->same_run = NULL;
    attempt->in_map = false;
}

void attempts_forget(struct attempts *attempts, struct attempt *attempt)
{
    attempt_move(attempt, ATTEMPT_GONE);
    if (attempt->in_map)
        take_from_map(attempts, attempt);
    attempts_reap(attempts, attempt);
}

void attempts_reap(struct attempts *attempts, struct attempt *attempt)
{
    if (attempt->phase != ATTEMPT_GONE || attempt->in_dispatcher || attempt->report_queued)
        return;
    assert(attempt->deadline.position == 0 && attempt->job == NULL);
    lock(attempts);
    bool held = attempt->posted || (attempt->called && !attempt->completed);
    if (!held)
        attempts->slots[slot_of(attempt->token)] = NULL;
    unlock(attempts);
    if (held)
        return;
    attempts->free_slots[attempts->free_count++] = slot_of(attempt->token);
    attempts->count--;
    free_attempt(attempt);
}

struct attempt *attempts_take_posted(struct attempts *attempts)
{
    lock(attempts);
    struct attempt *attempt = attempts->posted;
    if (attempt != NULL) {
        attempts->posted = attempt->next_posted;
        if (attempts->posted == NULL)
            attempts->posted_tail = &attempts->posted;
        attempt->posted = false;
    }
    unlock(attempts);
    return attempt;
}

bool attempts_write_off(struct attempts *attempts, struct attempt *attempt)
{
    lock(attempts);
    bool open = !attempt->completed;
    attempt->written_off |= open;
    unlock(attempts);
    return open;
}

struct attempt_times attempts_times(struct attempts *attempts, const struct attempt *attempt)
{
    lock(attempts);
    struct attempt_times times = {.called = attempt->called,
                                  .start_returned = attempt->start_returned,
                                  .completed = attempt->completed,
                                  .started_ms = attempt->started_ms,
                                  .started_ns = attempt->started_ns,
                                  .ended_ns = attempt->ended_ns};
    unlock(attempts);
    return times;
}

struct capture *attempts_capture(struct attempts *attempts, const struct attempt *attempt)
{
    lock(attempts);
    struct capture *capture = attempt->capture != NULL ? capture_ref(attempt->capture) : NULL;
    unlock(attempts);
    return capture;
}

/* --- news for the loop --- */

static void wake(struct attempts *attempts)
{
    if (attempts->wakeup != NULL)
        (void)uv_async_send(attempts->wakeup); /* fails only on a closed handle; it is NULL before that */
}

static void post(struct attempts *attempts, struct attempt *attempt)
{
    if (attempt->posted)
        return;
    attempt->posted = true;
    attempt->next_posted = NULL;
    bool first = attempts->posted == NULL;
    *attempts->posted_tail = attempt;
    attempts->posted_tail = &attempt->next_posted;
    if (first)
        wake(attempts);
}

void attempts_wake(struct attempts *attempts)
{
    lock(attempts);
    wake(attempts);
    unlock(attempts);
}

void attempts_stop_posting(struct attempts *attempts)
{
    lock(attempts);
    attempts->wakeup = NULL;
    unlock(attempts);
}

/* --- around start() --- */

static uint64_t now_ns(const struct attempts *attempts)
{
    return attempts->clock->monotonic_ns(attempts->clock->arg);
}

void attempts_call_begins(struct attempts *attempts, struct attempt *attempt)
{
    int64_t wall_ms = attempts->clock->wall_ms(attempts->clock->arg);
    lock(attempts);
    attempt->called = true;
    attempt->started_ms = wall_ms;
    attempt->started_ns = now_ns(attempts);
    unlock(attempts);
}

void attempts_call_ended(struct attempts *attempts, struct attempt *attempt)
{
    lock(attempts);
    attempt->start_returned = true;
    post(attempts, attempt);
    unlock(attempts);
}

static void set_message(struct attempt *attempt, const char *text)
{
    size_t size = utf8_cut(text, strlen(text), sizeof attempt->message - 1);
    memcpy(attempt->message, text, size);
    attempt->message[size] = '\0';
}

bool attempts_call_failed(struct attempts *attempts, struct attempt *attempt, enum chronos_retry retry, const char *message)
{
    lock(attempts);
    bool contradicts = attempt->completed;
    if (!contradicts) {
        attempt->completed = true;
        attempt->ended_ns = now_ns(attempts);
        if (!attempt->written_off) {
            attempt->result = (struct chronos_result){.struct_size = sizeof attempt->result,
                                                      .outcome = CHRONOS_OUTCOME_FAILED,
                                                      .exit_code = -1,
                                                      .retry = (int32_t)retry};
            set_message(attempt, message);
        }
    }
    attempt->start_returned = true;
    post(attempts, attempt);
    unlock(attempts);
    return contradicts;
}

/* --- the executor's side --- */

int32_t attempts_complete(struct attempts *attempts, const struct dispatcher *dispatcher, uint64_t token,
                          const struct chronos_result *result)
{
    uint64_t now = now_ns(attempts);
    int32_t code = CHRONOS_MISUSE; /* completed before, never started, or another instance's */
    lock(attempts);
    struct attempt *attempt = at(attempts, token);
    if (attempt != NULL && attempt->dispatcher == dispatcher && attempt->called && !attempt->completed) {
        code = attempt->written_off ? CHRONOS_NOTFOUND : CHRONOS_OK;
        attempt->completed = true;
        attempt->ended_ns = now;
        if (code == CHRONOS_OK) {
            attempt->result = *result;
            attempt->result.message = NULL;
            set_message(attempt, result->message != NULL ? result->message : "");
        }
        post(attempts, attempt);
    }
    unlock(attempts);
    return code;
}

/* The capture of an attempt that takes output, with a reference. Any other code but OK: none. */
static int32_t take_capture(struct attempts *attempts, const struct dispatcher *dispatcher, uint64_t token,
                            struct capture **ret)
{
    struct error err;
    int32_t code = CHRONOS_OK;
    lock(attempts);
    struct attempt *attempt = at(attempts, token);
    if (attempt == NULL || attempt->dispatcher != dispatcher || !attempt->called || attempt->completed || attempt->written_off)
        code = CHRONOS_NOTFOUND;
    else if (attempt->capture == NULL && capture_new(attempts->budget, attempts->captured_max, attempts->tail_bytes,
                                                     &attempt->capture, &err) != STATUS_OK)
        code = CHRONOS_NOMEM;
    else
        *ret = capture_ref(attempt->capture);
    unlock(attempts);
    return code;
}

int32_t attempts_output(struct attempts *attempts, const struct dispatcher *dispatcher, uint64_t token, const void *data,
                        uint64_t size)
{
    struct capture *capture = NULL;
    int32_t code = take_capture(attempts, dispatcher, token, &capture);
    if (code != CHRONOS_OK)
        return code;
    enum status status = capture_append(capture, data, (size_t)size);
    capture_unref(capture);
    switch (status) {
    case STATUS_OK:
        return CHRONOS_OK;
    case STATUS_TOO_LARGE:
        return CHRONOS_TOOBIG;
    default: /* closed in between */
        return CHRONOS_NOTFOUND;
    }
}
