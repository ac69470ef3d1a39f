/* The owner of the raft core: hands its writes to the log writer, what is committed to the applier, and time to it.
 *
 * The core is driven in one place, consensus_drive: inputs only change its state. Entries stay in the batch that carried them to
 * the disk until they are committed, so that nothing is read back to be applied. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

enum {
    TICKS_MIN = 2,
    BEATS_PER_ELECTION = 5,
    LOOK_TICKS = 10,
    MESSAGE_BYTES_MAX = 1 << 20,
    INFLIGHT_MESSAGES_MAX = 128,
    INFLIGHT_BYTES_MAX = 8 << 20,
    CACHE_BYTES = 16 << 20,
};

/* --- batches --- */

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

/* --- what the log holds beyond the state --- */

struct loading {
    struct cluster *cluster;
    struct entry_batch *batch; /* the last one of cluster->durable */
};

static bool load_entry(void *arg, const struct log_entry *entry)
{
    struct loading *loading = arg;
    struct error err;
    if (loading->batch == NULL || loading->batch->count == APPLY_ENTRIES_MAX || loading->batch->bytes.size > APPLY_BYTES_MAX) {
        loading->batch = take_batch(loading->cluster);
        batch_queue_push(&loading->cluster->durable, loading->batch);
    }
    if (entry_batch_add(loading->batch, entry, &err) != STATUS_OK)
        fatal("no memory for the entries that the state lacks", &err);
    return true;
}

/* It is applied once a leader has said that it is committed. */
static enum status load_entries(struct cluster *cluster, struct error *err)
{
    struct loading loading = {.cluster = cluster};
    uint64_t applied = state_applied(cluster->stores.state).index;
    enum status status = log_store_read(cluster->stores.log, applied + 1, load_entry, &loading, err);
    for (struct entry_batch *batch = cluster->durable.head; batch != NULL; batch = batch->next)
        account(cluster, batch);
    return status;
}

/* --- opening --- */

static enum status refuse_boot(enum status status, struct error *err)
{
    if (status == STATUS_NO_MEMORY)
        return error_set(err, status, "out of memory");
    return error_set(err, STATUS_CORRUPT, "the log's terms, positions or configurations contradict each other; " LOG_STORE_MEND);
}

static uint16_t ticks_of(int64_t ms, int64_t least)
{
    int64_t ticks = ms / CORE_TICK_MS;
    return (uint16_t)(ticks < least ? least : ticks); /* the configuration's limit is 10 minutes: 60,000 */
}

/* heartbeat_timeout is the longest silence of a leader: it speaks up more often than that. */
static uint16_t heartbeat_ticks(const struct cluster_config *config)
{
    int64_t often = config->election_timeout_ms / BEATS_PER_ELECTION;
    return ticks_of(config->heartbeat_timeout_ms < often ? config->heartbeat_timeout_ms : often, 1);
}

enum status consensus_open(struct cluster *cluster, struct error *err)
{
    struct raft_boot boot;
    enum status status = log_store_boot(cluster->stores.log, state_applied(cluster->stores.state).index, &boot, err);
    if (status == STATUS_OK && !cluster->stores.is_alone)
        status = load_entries(cluster, err);
    if (status != STATUS_OK)
        return status;
    struct raft_config config = {
        .id = cluster->self.node,
        .election_ticks = ticks_of(cluster->config.election_timeout_ms, TICKS_MIN),
        .heartbeat_ticks = heartbeat_ticks(&cluster->config),
        .max_message_bytes = MESSAGE_BYTES_MAX,
        .max_inflight_messages = INFLIGHT_MESSAGES_MAX,
        .max_inflight_bytes = INFLIGHT_BYTES_MAX,
        .max_uncommitted_bytes = PROPOSAL_BYTES_MAX / 4 * 3,
        .max_reads = READS_MAX + BEATS_HEARD_MAX,
        .cache_bytes = CACHE_BYTES,
    };
    random_bytes_secure(&config.seed, sizeof config.seed);
    status = raft_new(&config, &boot, &cluster->raft);
    return status == STATUS_OK ? STATUS_OK : refuse_boot(status, err);
}

/* --- writes --- */

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

static void write_batch(struct cluster *cluster, struct entry_batch *batch)
{
    cluster->submitted_seq = batch->seq;
    log_writer_submit(cluster->writer, batch);
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
        assert(cluster->truncation_count < RAFT_BATCHES_MAX); /* the core hands out no more batches */
        cluster->truncations[cluster->truncation_count++] = (struct truncation){out->seq, out->truncate_from};
        bool is_lower = cluster->replaced_from == 0 || out->truncate_from < cluster->replaced_from;
        cluster->replaced_from = is_lower ? out->truncate_from : cluster->replaced_from;
    }
    if (snapshots_is_installing(cluster)) /* the core counts on the order */
        batch_queue_push(&cluster->held, batch);
    else
        write_batch(cluster, batch);
}

void consensus_release_held(struct cluster *cluster)
{
    struct entry_batch *batch;
    while ((batch = batch_queue_pop(&cluster->held)) != NULL)
        write_batch(cluster, batch);
}

/* Of what comes back from the disk, the entries that no later batch has dropped. Those under way before a truncation may hold
 * entries that it dropped, and even ones that were appended again since. */
static uint32_t still_valid(struct cluster *cluster, const struct entry_batch *batch)
{
    uint32_t done = 0;
    uint64_t from = UINT64_MAX;
    if (batch->seq == 0)
        return batch->count;
    while (done < cluster->truncation_count && cluster->truncations[done].seq <= batch->seq)
        done++; /* everything from before it is back */
    cluster->truncation_count -= done;
    memmove(cluster->truncations, cluster->truncations + done, cluster->truncation_count * sizeof cluster->truncations[0]);
    for (uint32_t i = 0; i < cluster->truncation_count; i++)
        from = cluster->truncations[i].from < from ? cluster->truncations[i].from : from;
    if (batch->count == 0 || entry_batch_last(batch) < from)
        return batch->count;
    uint64_t first = entry_batch_first(batch);
    return first < from ? (uint32_t)(from - first) : 0;
}

void consensus_take_durable(struct cluster *cluster)
{
    struct batch_queue written;
    struct entry_batch *batch;
    batch_queue_init(&written);
    log_writer_take(cluster->writer, &written);
    while ((batch = batch_queue_pop(&written)) != NULL) {
        if (batch->install != NULL)
            snapshots_switched(cluster);
        if (batch->seq != 0) {
            cluster->stored_seq = batch->seq;
            raft_persisted(cluster->raft, batch->seq);
        }
        if (!id_is_zero(&batch->cluster_id))
            membership_stored(cluster, &batch->cluster_id);
        entry_batch_keep(batch, still_valid(cluster, batch));
        if (batch->count > 0)
            batch_queue_push(&cluster->durable, batch);
        else
            recycle(cluster, batch);
    }
}

/* Of the log that a snapshot has replaced nothing is left. */
void consensus_forget_log(struct cluster *cluster)
{
    drop_from(cluster, 0);
    cluster->truncation_count = 0;
    cluster->given_index = cluster->applied_index;
    proposals_forget(cluster->proposals);
}

void consensus_store_removed(struct cluster *cluster, bool removed)
{
    struct entry_batch *batch = take_batch(cluster);
    batch->removed = removed ? REMOVED_YES : REMOVED_NO;
    log_writer_submit(cluster->writer, batch);
}

void consensus_store_cluster(struct cluster *cluster, const struct id *cluster_id)
{
    struct entry_batch *batch = take_batch(cluster);
    batch->cluster_id = *cluster_id;
    log_writer_submit(cluster->writer, batch);
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
    cluster->given_index = last;
    applier_submit(cluster->applier, &committed);
}

void consensus_recycle_batches(struct cluster *cluster)
{
    struct batch_queue spent;
    struct entry_batch *batch;
    batch_queue_init(&spent);
    if (cluster->applier == NULL)
        return;
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
    cluster->noop_index = out->role == RAFT_LEADER ? raft_last(cluster->raft).index : UINT64_MAX; /* the last thing it did */
    if (consensus_needs_ticks(cluster)) {
        consensus_tick(cluster);
    } else {
        (void)uv_timer_stop(&cluster->tick_timer); /* alone there is nobody to wait for: no tick */
        contact_look(cluster);                     /* for the last time: it may have seemed lost while it was elected on a slow disk */
    }
}

/* Messages leave before anything else is done with the output; who cannot be reached is told to the core behind it, for every call
 * ends what the output points to. */
struct unreachable {
    uint64_t peers[RAFT_MEMBERS_MAX];
    uint32_t count;
};

static void note_unreachable(struct unreachable *list, uint64_t peer)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->peers[i] == peer)
            return;
    if (list->count < RAFT_MEMBERS_MAX)
        list->peers[list->count++] = peer;
}

static void send_messages(struct cluster *cluster, const struct raft_output *out, struct unreachable *lost)
{
    for (uint32_t i = 0; i < out->message_count; i++)
        if (!links_send(cluster, &out->messages[i]))
            note_unreachable(lost, out->messages[i].to);
}

static void want_entries(struct cluster *cluster, const struct raft_output *out)
{
    struct raft_fetch refused[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < out->fetch_count; i++) {
        const struct raft_fetch *fetch = &out->fetches[i];
        if (log_writer_fetch(cluster->writer, fetch->peer, fetch->from, fetch->max_bytes) != STATUS_OK)
            refused[count++] = *fetch;
    }
    for (uint32_t i = 0; i < count; i++)
        raft_fetched(cluster->raft, refused[i].peer, 0, NULL, 0);
}

void consensus_take_fetched(struct cluster *cluster)
{
    struct log_fetch *fetch;
    while ((fetch = log_writer_take_fetch(cluster->writer)) != NULL) {
        if (fetch->peer == cluster->self.node)
            snapshots_fetched(cluster, fetch);
        else
            raft_fetched(cluster->raft, fetch->peer, fetch->previous_hash, fetch->entries, fetch->count);
        log_fetch_free(fetch);
    }
}

static void serve_snapshots(struct cluster *cluster, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->chunk_wanted_count; i++)
        snapshots_send(cluster, &out->chunks_wanted[i]);
    if (out->chunk != NULL)
        snapshots_store(cluster, out->chunk);
    if (out->snapshot_wanted)
        snapshots_take_for_peer(cluster);
}

/* Everything that one take brought; false: it brought nothing. */
static bool carry_out(struct cluster *cluster, const struct raft_output *out)
{
    struct unreachable lost = {.count = 0};
    bool was_busy = out->seq != 0 || out->apply_first != 0 || out->message_count > 0 || out->fetch_count > 0 ||
                    out->chunk_wanted_count > 0 || out->chunk != NULL;
    if (out->role_changed)
        follow_role(cluster, out);
    if (out->install != NULL)
        snapshots_install(cluster, out->install, &out->hard);
    else if (out->seq != 0)
        submit(cluster, out);
    serve_snapshots(cluster, out);
    send_messages(cluster, out, &lost);
    for (uint32_t i = 0; i < out->read_count; i++)
        reads_note(cluster, &out->reads[i]);
    if (out->apply_first != 0)
        apply(cluster, out->apply_first, out->apply_last);
    want_entries(cluster, out);
    for (uint32_t i = 0; i < lost.count; i++)
        raft_report(cluster->raft, lost.peers[i], RAFT_UNREACHABLE);
    return was_busy;
}

void consensus_drive(struct cluster *cluster)
{
    struct raft_output out;
    const char *why = NULL;
    do {
        raft_take(cluster->raft, &out);
        if (!raft_check(cluster->raft, &why)) {
            LOG_ERROR("an invariant of consensus is broken", LOG_STRING("invariant", why));
            abort();
        }
    } while (carry_out(cluster, &out));
    if (cluster->replaced_from != 0) { /* now that nothing of the core's is in use any more: whoever is told may come back */
        uint64_t from = cluster->replaced_from;
        cluster->replaced_from = 0;
        proposals_replaced(cluster->proposals, from);
    }
    links_follow_members(cluster);
    if (cluster->transport != NULL)
        transport_flush(cluster->transport);
}

static void on_tick(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    if (!membership_is_superseded(cluster)) /* else it waits to be led, and does not campaign */
        raft_tick(cluster->raft);
    if (++cluster->ticks % LOOK_TICKS == 0) {
        contact_look(cluster);
        membership_look(cluster);
        levels_look(cluster);
        voters_look(cluster);
    }
    consensus_drive(cluster);
}

void consensus_tick(struct cluster *cluster)
{
    if (!uv_is_active((uv_handle_t *)&cluster->tick_timer))
        (void)uv_timer_start(&cluster->tick_timer, on_tick, CORE_TICK_MS, CORE_TICK_MS); /* cannot fail */
}
