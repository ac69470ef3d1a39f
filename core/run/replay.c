/* The outbox of earlier sessions: how runs ended that this node could not say before it went down. Only when all of it is
 * committed does the node announce itself anew, for that ends the old sessions. */
#include "base/log.h"
#include "run/runner.h"

struct window {
    struct runner *runner;
    uint32_t damaged;
    enum status status;
    struct error err;
};

static void forget_row(struct runner *runner, const struct local_key *key)
{
    buffer_append(&runner->reports.outbox_keys, key->bytes, sizeof key->bytes);
}

static void on_replayed(void *arg, uint64_t place, const struct cluster_outcome *outcome)
{
    struct runner *runner = arg;
    struct replay *replay = &runner->replay;
    if (runner->stage >= RUNNER_FLUSHING)
        return;
    if (outcome->status == STATUS_OK) /* taken, or void because the run is over: both are fine */
        forget_row(runner, &replay->window[place]);
    else
        replay->failed = true;
    if (--replay->in_flight > 0)
        return;
    local_writer_delete_outbox(runner->writer, &runner->reports.outbox_keys);
    if (replay->failed) {
        replay->after = (struct local_key){{0}}; /* those that were committed are void the second time */
        retry_later(runner);
    } else {
        replay_go_on(runner);
    }
}

static bool replay_row(void *arg, const struct local_key *key, struct bytes command)
{
    struct window *window = arg;
    struct replay *replay = &window->runner->replay;
    if (command.size < COMMAND_HEADER_SIZE || command_type_of(command) != COMMAND_REPORT) {
        forget_row(window->runner, key);
        window->damaged++;
        replay->after = *key; /* said once */
        return true;
    }
    window->status = cluster_propose(window->runner->cluster, PROPOSE_REPORT, command, on_replayed, window->runner,
                                     replay->in_window, &window->err);
    if (window->status != STATUS_OK)
        return false;
    replay->window[replay->in_window++] = *key;
    replay->in_flight++;
    replay->after = *key;
    return replay->in_window < REPORTS_PER_COMMAND;
}

static void finish(struct runner *runner)
{
    runner->replay.stage = REPLAY_DONE;
    runner->announce_wanted = true;
    announce(runner);
}

void replay_go_on(struct runner *runner)
{
    struct replay *replay = &runner->replay;
    struct window window = {.runner = runner, .status = STATUS_OK};
    struct error err;
    if (replay->stage != REPLAY_RUNNING || replay->in_flight > 0 || runner->stage != RUNNER_OPEN)
        return;
    replay->in_window = 0;
    replay->failed = false;
    enum status status = local_read_outbox(runner->local, &replay->after, replay_row, &window, &err);
    if (window.damaged > 0)
        LOG_ERROR("reports of an earlier session are damaged; how these runs ended is not known",
                  LOG_U64("count", window.damaged));
    if (replay->in_flight > 0)
        LOG_INFO("reporting runs that ended before the restart", LOG_U64("count", replay->in_flight));
    if (status != STATUS_OK) {
        LOG_ERROR("the outbox cannot be read; runs that it holds count as lost", LOG_ERROR_FIELD(&err));
    } else if (window.status != STATUS_OK) {
        replay->failed = true;
        retry_later(runner);
        return;
    }
    if (replay->in_flight == 0) {
        local_writer_delete_outbox(runner->writer, &runner->reports.outbox_keys);
        finish(runner);
    }
}
