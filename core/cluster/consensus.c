/* The owner of the raft core: hands its writes to the log writer, what is committed to the applier, and time to it.
 *
 * The core is driven in one place, consensus_drive: inputs only change its state. Entries stay in the batch that carried them to
 * the disk until they are committed, so that nothing is read back to be applied. */
#include <assert.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

enum {
    TICK_MS = 10,
    ELECTION_TICKS = 100, /* the user's page: election_timeout 1000ms */
    HEARTBEAT_TICKS = 20, /* min(heartbeat_timeout, election_timeout / 5) */
    MESSAGE_BYTES_MAX = 1 << 20,
    INFLIGHT_MESSAGES_MAX = 128,
    INFLIGHT_BYTES_MAX = 8 << 20,
    CACHE_BYTES = 16 << 20,
};

/* --- opening --- */

static enum status refuse_boot(enum status status, struct error *err)
{
    if (status == STATUS_NO_MEMORY)
        return error_set(err, status, "out of memory");
    return error_set(err, STATUS_CORRUPT, "the log's terms, positions or configurations contradict each other; restore this node "
                     "from a backup");
}

enum status consensus_open(struct cluster *cluster, struct error *err)
{
    struct raft_boot boot;
    enum status status = log_store_boot(cluster->stores.log, state_applied(cluster->stores.state).index, &boot, err);
    if (status != STATUS_OK)
        return status;
    struct raft_config config = {
        .id = log_store_hard(cluster->stores.log)->node,
        .election_ticks = ELECTION_TICKS,
        .heartbeat_ticks = HEARTBEAT_TICKS,
        .max_message_bytes = MESSAGE_BYTES_MAX,
        .max_inflight_messages = INFLIGHT_MESSAGES_MAX,
        .max_inflight_bytes = INFLIGHT_BYTES_MAX,
        .max_uncommitted_bytes = PROPOSAL_BYTES_MAX / 4 * 3,
        .max_reads = READS_MAX,
        .cache_bytes = CACHE_BYTES,
    };
    random_bytes_secure(&config.seed, sizeof config.seed);
    status = raft_new(&config, &boot, &cluster->raft);
    return status == STATUS_OK ? STATUS_OK : refuse_boot(status, err);
}

/* --- writes --- */

static struct entry_batch *take_batch(struct cluster *cluster)
{
    struct error err;
    struct entry_batch *batch = batch_queue_pop(&cluster->free_batches);
    if (batch == NULL && entry_batch_new(&batch, &err) != STATUS_OK)
        fatal("no memory for a batch of the log", &err);
    return batch;
}

static void account(struct cluster *cluster, struct entry_batch *batch)
{
    batch->accounted = batch->bytes.size;
    cluster->waiting_bytes += batch->accounted;
}

static void recycle(struct cluster *cluster, struct entry_batch *batch)
{
    cluster->waiting_bytes -= batch->accounted;
    batch->accounted = 0;
    entry_batch_clear(batch);
    batch_queue_push(&cluster->free_batches, batch);
}

/* Entries that a newer leader has replaced: whoever waits for one learns what became of it when its place is applied. */
static void drop_from(struct cluster *cluster, uint64_t from)
{
    struct batch_queue kept;
    struct entry_batch *batch;
    batch_queue_init(&kept);
    while ((batch = batch_queue_pop(&cluster->durable)) != NULL) {
        uint64_t first = entry_batch_first(batch);
        if (first >= from) {
            recycle(cluster, batch);
            continue;
        }
        entry_batch_keep(batch, (uint32_t)(from - first));
        batch_queue_push(&kept, batch);
    }
    batch_queue_move(&cluster->durable, &kept);
}

static void submit(struct cluster *cluster, const struct raft_output *out)
{
    struct error err;
    struct entry_batch *batch = take_batch(cluster);
    batch->seq = out->seq;
    batch->truncate_from = out->truncate_from;
    batch->hard_changed = out->hard_changed;
    batch->hard = out->hard;
    for (uint32_t i = 0; i < out->append_count; i++) {
        const struct raft_entry *made = &out->append[i];
        struct log_entry entry = {.index = made->id.index, .term = made->id.term, .type = made->type, .hash = made->hash,
                                  .data = {made->data, made->size}};
        if (entry_batch_add(batch, &entry, &err) != STATUS_OK)
            fatal("a batch of the log does not fit", &err); /* the core holds back what would not */
    }
    account(cluster, batch);
    if (out->truncate_from != 0) {
        drop_from(cluster, out->truncate_from);
        bool lower = cluster->truncated_seq == 0 || out->truncate_from < cluster->truncated_from;
        cluster->truncated_from = lower ? out->truncate_from : cluster->truncated_from;
        cluster->truncated_seq = out->seq;
    }
    log_writer_submit(cluster->writer, batch);
}

/* Of what comes back from the disk, the entries that no later batch has dropped. Those under way before a truncation may hold
 * entries that it dropped, and even ones that were appended again since. */
static uint32_t still_valid(struct cluster *cluster, const struct entry_batch *batch)
{
    if (batch->seq >= cluster->truncated_seq)
        cluster->truncated_seq = 0; /* everything from before is back */
    if (cluster->truncated_seq == 0 || batch->count == 0 || entry_batch_last(batch) < cluster->truncated_from)
        return batch->count;
    uint64_t first = entry_batch_first(batch);
    return first < cluster->truncated_from ? (uint32_t)(cluster->truncated_from - first) : 0;
}

void consensus_take_durable(struct cluster *cluster)
{
    struct batch_queue written;
    struct entry_batch *batch;
    batch_queue_init(&written);
    log_writer_take(cluster->writer, &written);
    while ((batch = batch_queue_pop(&written)) != NULL) {
        raft_persisted(cluster->raft, batch->seq);
        entry_batch_keep(batch, still_valid(cluster, batch));
        if (batch->count > 0)
            batch_queue_push(&cluster->durable, batch);
        else
            recycle(cluster, batch);
    }
}

/* --- applies --- */

/* The committed part of a batch of which the rest still waits. */
static struct entry_batch *split(struct cluster *cluster, struct entry_batch *batch, uint64_t last)
{
    struct error err;
    struct entry_batch *front = take_batch(cluster);
    if (entry_batch_split(batch, (uint32_t)(last - entry_batch_first(batch) + 1), front, &err) != STATUS_OK)
        fatal("a batch to be applied does not fit", &err);
    account(cluster, front);
    return front;
}

static void apply(struct cluster *cluster, uint64_t first, uint64_t last)
{
    struct batch_queue committed;
    batch_queue_init(&committed);
    while (first <= last) {
        struct entry_batch *batch = cluster->durable.head;
        assert(batch != NULL && entry_batch_first(batch) == first);
        if (entry_batch_last(batch) > last)
            batch = split(cluster, batch, last);
        else
            batch = batch_queue_pop(&cluster->durable);
        first = entry_batch_last(batch) + 1;
        batch_queue_push(&committed, batch);
    }
    applier_submit(cluster->applier, &committed);
}

void consensus_recycle_batches(struct cluster *cluster)
{
    struct batch_queue spent;
    struct entry_batch *batch;
    batch_queue_init(&spent);
    applier_take_free(cluster->applier, &spent);
    while ((batch = batch_queue_pop(&spent)) != NULL)
        recycle(cluster, batch);
}

void consensus_applied(struct cluster *cluster)
{
    raft_applied(cluster->raft, cluster->applied_index);
}

void consensus_allow_cut(struct cluster *cluster, uint64_t synced, uint64_t wanted)
{
    uint64_t cut = wanted == 0 ? 0 : raft_compact(cluster->raft, wanted < synced ? wanted : synced, TRAILING_ENTRIES);
    log_writer_allow_cut(cluster->writer, synced, cut);
}

/* --- reads --- */

static void answer_read(struct cluster *cluster, const struct raft_read_state *answer)
{
    for (uint32_t i = 0; i < cluster->read_count; i++) {
        struct pending_read *read = &cluster->reads[i];
        if (read->ctx != answer->ctx)
            continue;
        if (answer->status == STATUS_OK) {
            read->index = answer->index; /* answered once the state is there, which may be now */
            (void)uv_async_send(&cluster->progress);
            return;
        }
        struct pending_read failed = *read;
        *read = cluster->reads[--cluster->read_count];
        failed.done(failed.arg, failed.token,
                    &(struct cluster_outcome){.status = answer->status == STATUS_TIMEOUT ? STATUS_NO_QUORUM : answer->status,
                                              .message = "leadership was lost before the read was confirmed; try again"});
        return;
    }
}

/* --- driving --- */

bool consensus_needs_ticks(const struct cluster *cluster)
{
    struct raft_status status;
    if (raft_role(cluster->raft) != RAFT_LEADER)
        return true;
    raft_status(cluster->raft, &status);
    return status.conf->count > 1;
}

static void follow_role(struct cluster *cluster, const struct raft_output *out)
{
    if (out->role == RAFT_LEADER)
        cluster->noop_index = raft_last(cluster->raft).index; /* the last thing it did */
    if (consensus_needs_ticks(cluster))
        consensus_tick(cluster);
    else
        (void)uv_timer_stop(&cluster->tick_timer); /* alone there is nobody to wait for: no tick */
}

void consensus_drive(struct cluster *cluster)
{
    struct raft_output out;
    const char *why = NULL;
    for (;;) {
        raft_take(cluster->raft, &out);
        if (!raft_check(cluster->raft, &why)) {
            LOG_ERROR("an invariant of consensus is broken", LOG_STRING("invariant", why));
            abort();
        }
        if (out.role_changed)
            follow_role(cluster, &out);
        /* There is no other member yet. */
        assert(out.message_count == 0 && out.install == NULL && out.fetch_count == 0 && out.chunk_wanted_count == 0 &&
               out.chunk == NULL && !out.snapshot_wanted);
        if (out.seq != 0)
            submit(cluster, &out);
        for (uint32_t i = 0; i < out.read_count; i++)
            answer_read(cluster, &out.reads[i]);
        if (out.apply_first != 0)
            apply(cluster, out.apply_first, out.apply_last);
        if (out.seq == 0 && out.apply_first == 0)
            return;
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    raft_tick(cluster->raft);
    consensus_drive(cluster);
}

void consensus_tick(struct cluster *cluster)
{
    if (!uv_is_active((uv_handle_t *)&cluster->tick_timer))
        (void)uv_timer_start(&cluster->tick_timer, on_tick, TICK_MS, TICK_MS); /* cannot fail */
}
