#include "cluster/beats.h"

#include "base/codec.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

enum { BEAT_FRAME_MAX = 64, BEAT_EVERY_MAX_MS = 1000 };

/* --- formats: writer and reader side by side --- */

static void put_beat(struct buffer *out, const struct heard_beat *beat, uint64_t applied)
{
    put_u64(out, beat->seq);
    put_u64(out, beat->session);
    put_u64(out, applied);
    put_u8(out, beat->is_full);
    put_i64(out, beat->wall_ms);
    put_u8(out, (uint8_t)beat->disk);
    put_u8(out, beat->is_announced);
}

/* Since the clocks are compared; a node of an older version does not say. */
static int64_t take_wall_ms(struct reader *r)
{
    int64_t wall_ms = r->at < r->end ? take_i64(r) : 0;
    if (wall_ms < 0 || wall_ms > CLOCK_WALL_MAX_MS)
        r->failed = true;
    return wall_ms;
}

/* A node of an older version says only whether it is full. */
static enum disk_state take_disk(struct reader *r, bool is_full)
{
    uint8_t disk = r->at < r->end ? take_u8(r) : is_full ? DISK_CRITICAL : DISK_OK;
    if (disk > DISK_CRITICAL) {
        r->failed = true;
        return DISK_CRITICAL;
    }
    return (enum disk_state)disk;
}

static bool take_beat(struct bytes payload, struct heard_beat *ret, uint64_t *ret_applied)
{
    struct reader r = reader_of(payload.data, payload.size);
    struct heard_beat beat = {.seq = take_u64(&r)};
    beat.session = take_u64(&r);
    *ret_applied = take_u64(&r);
    uint8_t is_full = take_u8(&r);
    beat.is_full = is_full == 1;
    beat.wall_ms = take_wall_ms(&r);
    beat.disk = take_disk(&r, beat.is_full);
    uint8_t is_announced = r.at < r.end ? take_u8(&r) : 0; /* a node of an older version does not say */
    beat.is_announced = is_announced == 1;
    *ret = beat;
    return !r.failed && beat.session != 0 && is_full <= 1 && is_announced <= 1;
}

static void put_answer(struct buffer *out, uint64_t seq, bool is_over, int64_t wall_ms, uint64_t target)
{
    put_u64(out, seq);
    put_u8(out, is_over);
    put_i64(out, wall_ms);
    put_u64(out, target);
}

static bool take_answer(struct bytes payload, uint64_t *ret_seq, bool *ret_over, int64_t *ret_wall_ms, uint64_t *ret_target)
{
    struct reader r = reader_of(payload.data, payload.size);
    *ret_seq = take_u64(&r);
    uint8_t is_over = take_u8(&r);
    *ret_over = is_over == 1;
    *ret_wall_ms = take_wall_ms(&r);
    *ret_target = r.at < r.end ? take_u64(&r) : 0; /* a leader of an older version does not say */
    return !r.failed && is_over <= 1;
}

/* --- this node's lease --- */

static void answered(struct cluster *cluster, uint64_t seq, bool is_over)
{
    struct beats *beats = &cluster->beats;
    const struct cluster_runner_ops *runner = &cluster->config.runner;
    if (seq <= beats->over_seq || seq > beats->seq || beats->seq - seq >= BEATS_UNANSWERED_MAX)
        return;
    if (is_over) {
        beats->over_seq = beats->seq; /* those on their way are of the same session */
        runner->session_over(runner->arg);
    } else {
        runner->lease(runner->arg, beats->sent_ms[seq % BEATS_UNANSWERED_MAX] + cluster->config.lease_timeout_ms);
    }
}

/* --- on the leader --- */

/* The oldest of the commit indices that are kept. */
static uint64_t a_second_ago(const struct cluster *cluster)
{
    return cluster->beats.commits[cluster->beats.samples % COMMIT_SAMPLES];
}

static void answer(struct cluster *cluster, const struct heard_beat *beat, bool is_over)
{
    if (beat->node == cluster->self.node) {
        answered(cluster, beat->seq, is_over);
        return;
    }
    struct buffer payload;
    buffer_init(&payload, BEAT_FRAME_MAX);
    put_answer(&payload, beat->seq, is_over, clocks_wall_ms(cluster), a_second_ago(cluster));
    if (payload.failed == STATUS_OK)
        (void)links_send_frame(cluster, beat->node, FRAME_BEAT_ANSWER, buffer_bytes(&payload)); /* lost: the next one comes soon */
    buffer_deinit(&payload);
}

static void confirm(struct cluster *cluster, const struct heard_beat *beat)
{
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    const struct raft_member *member = links_member(cluster, beat->node);
    if (member == NULL || !cluster->is_leader)
        return;
    bool lives = leader->beat(leader->arg, member->name, beat->session, beat->is_announced, beat->is_behind || beat->is_full);
    answer(cluster, beat, !lives);
    (void)uv_async_send(&cluster->progress); /* runs may wait for a node */
}

static void on_confirmed(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    struct heard_beat beat = cluster->beats.heard[token];
    cluster->beats.heard[token].node = 0;
    if (outcome->status == STATUS_OK)
        confirm(cluster, &beat);
}

static void hear(struct cluster *cluster, const struct heard_beat *beat)
{
    struct error err;
    for (uint32_t i = 0; i < BEATS_HEARD_MAX; i++) {
        if (cluster->beats.heard[i].node != 0)
            continue;
        if (cluster_read_for_beat(cluster, on_confirmed, cluster, i, &err) == STATUS_OK)
            cluster->beats.heard[i] = *beat;
        return;
    }
}

static struct beat_progress *progress_of(struct beats *beats, uint64_t node)
{
    struct beat_progress *oldest = &beats->progress[0];
    for (uint32_t i = 0; i < beats->progress_count; i++) {
        if (beats->progress[i].node == node)
            return &beats->progress[i];
        if (beats->progress[i].heard_ms < oldest->heard_ms)
            oldest = &beats->progress[i];
    }
    struct beat_progress *place = beats->progress_count < RAFT_MEMBERS_MAX ? &beats->progress[beats->progress_count++] : oldest;
    *place = (struct beat_progress){.node = node};
    return place;
}

/* A node that lives, is behind, and has applied nothing for as long as a lease, because its disk is full: runs that it was given it does
 * not see. Its lease ends, as if it were silent, and they go to others; one that lags and goes on is given time. */
static bool is_stuck(struct cluster *cluster, const struct hello *remote, uint64_t applied, bool is_behind)
{
    struct beat_progress *progress = progress_of(&cluster->beats, remote->node);
    int64_t now_ms = cluster_monotonic_ms(cluster);
    bool is_news = now_ms - progress->heard_ms > DISK_FRESH_MS; /* another node led meanwhile */
    if (!is_behind || applied != progress->applied || is_news)
        *progress = (struct beat_progress){.node = remote->node, .applied = applied, .since_ms = now_ms};
    progress->heard_ms = now_ms;
    bool is_over = now_ms - progress->since_ms > cluster->config.lease_timeout_ms;
    if (is_over && !progress->is_stuck && cluster->is_leader)
        LOG_WARN("a node lives, but applies nothing: its lease ends, and its runs go to others", LOG_STRING("node", remote->name),
                 LOG_U64("applied", applied), LOG_STRING("mend", "look at its disk and its log"));
    progress->is_stuck = is_over;
    return is_over;
}

bool beats_heard(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct heard_beat beat;
    uint64_t applied;
    if (!take_beat(payload, &beat, &applied)) {
        (void)error_set(err, STATUS_MALFORMED, "a beat is damaged"); /* told by false */
        return false;
    }
    beat.node = remote->node;
    clocks_told(cluster, remote, beat.wall_ms);
    beat.is_behind = applied < a_second_ago(cluster);
    disks_heard(&cluster->disks, &(struct disk_seen){.node = beat.node, .heard_ms = cluster_monotonic_ms(cluster), .state = beat.disk,
                                                     .is_behind = beat.is_behind});
    if (!is_stuck(cluster, remote, applied, beat.is_behind) && cluster->is_leader)
        hear(cluster, &beat);
    return true;
}

bool beats_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    uint64_t seq;
    bool is_over;
    int64_t wall_ms;
    uint64_t target;
    if (!take_answer(payload, &seq, &is_over, &wall_ms, &target)) {
        (void)error_set(err, STATUS_MALFORMED, "an answer to a beat is damaged"); /* told by false */
        return false;
    }
    if (remote->node != cluster->beats.leader || cluster->config.lease_timeout_ms == 0)
        return true;
    clocks_told(cluster, remote, wall_ms);
    cluster->beats.target = target;
    cluster->beats.is_target_known = true;
    answered(cluster, seq, is_over);
    return true;
}

void beats_sample(struct cluster *cluster)
{
    cluster->beats.commits[cluster->beats.samples++ % COMMIT_SAMPLES] = raft_commit(cluster->raft);
}

bool beats_is_behind(const struct cluster *cluster)
{
    const struct beats *beats = &cluster->beats;
    if (cluster->is_leader || cluster->transport == NULL || cluster->config.lease_timeout_ms == 0)
        return false; /* it has all there is; or nobody tells */
    return !beats->is_target_known || cluster->applied_index < beats->target;
}

static void silence(struct cluster *cluster, const struct raft_member *member)
{
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    if (cluster->is_leader && cluster->config.lease_timeout_ms > 0 && member != NULL)
        leader->silent(leader->arg, member->name);
}

void beats_link_lost(struct cluster *cluster, uint64_t node)
{
    silence(cluster, links_member(cluster, node));
}

/* Who cannot be reached when this node begins to lead gets no runs before it is heard of. */
static void silence_unreachable(struct cluster *cluster)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    for (uint8_t i = 0; i < status.conf->count; i++) {
        const struct raft_member *member = &status.conf->members[i];
        bool is_up = cluster->transport != NULL && transport_is_up(cluster->transport, member->id, LANE_CONTROL);
        if (member->id != cluster->self.node && !is_up)
            silence(cluster, member);
    }
}

/* --- sending --- */

static bool is_alone(const struct cluster *cluster)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    return cluster->is_leader && status.conf->count == 1;
}

/* Nobody else could take its runs over: it needs nobody's word. When another node joins, its lease begins to run. */
static bool beat_alone(struct cluster *cluster, const struct heard_beat *beat)
{
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    const struct cluster_runner_ops *runner = &cluster->config.runner;
    bool was_alone = cluster->beats.is_alone;
    cluster->beats.is_alone = is_alone(cluster);
    if (!cluster->beats.is_alone) {
        if (was_alone)
            runner->lease(runner->arg, cluster_monotonic_ms(cluster) + cluster->config.lease_timeout_ms);
        return false;
    }
    if (leader->beat(leader->arg, cluster->config.node_id, beat->session, beat->is_announced, false))
        runner->lease(runner->arg, INT64_MAX);
    else
        runner->session_over(runner->arg);
    return true;
}

static void send_beat(struct cluster *cluster)
{
    struct beats *beats = &cluster->beats;
    const struct cluster_runner_ops *runner = &cluster->config.runner;
    struct heard_beat beat = {.node = cluster->self.node, .is_full = cluster->disk == DISK_CRITICAL,
                              .disk = disks_tell(&cluster->disks, cluster->disk, cluster_monotonic_ms(cluster)),
                              .wall_ms = clocks_wall_ms(cluster)};
    beat.session = runner->session(runner->arg, &beat.is_announced);
    if (beat_alone(cluster, &beat) || beats->leader == 0)
        return;
    beat.seq = ++beats->seq;
    beats->sent_ms[beat.seq % BEATS_UNANSWERED_MAX] = cluster_monotonic_ms(cluster);
    if (beats->leader == cluster->self.node) {
        hear(cluster, &beat);
        return;
    }
    struct buffer payload;
    buffer_init(&payload, BEAT_FRAME_MAX);
    put_beat(&payload, &beat, cluster->applied_index);
    if (payload.failed == STATUS_OK)
        (void)links_send_frame(cluster, beats->leader, FRAME_BEAT, buffer_bytes(&payload)); /* lost: the next one comes soon */
    buffer_deinit(&payload);
}

static void on_timer(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    send_beat(cluster);
    clocks_look(cluster);
    disks_look(cluster);
    if (cluster->is_leader && !cluster->stopping && leader->watch(leader->arg))
        (void)uv_async_send(&cluster->progress); /* runs are to be given to others */
}

void beats_start(struct cluster *cluster)
{
    uint64_t every = (uint64_t)(cluster->config.lease_timeout_ms / BEATS_PER_LEASE);
    if (every > BEAT_EVERY_MAX_MS)
        every = BEAT_EVERY_MAX_MS; /* who is silent or lags behind is noticed sooner */
    if (every > 0)
        (void)uv_timer_start(&cluster->beats.timer, on_timer, every, every); /* cannot fail */
}

void beats_follow(struct cluster *cluster)
{
    struct beats *beats = &cluster->beats;
    uint64_t term = raft_term(cluster->raft);
    uint64_t leader = cluster->is_leader ? cluster->self.node : cluster->is_led ? raft_leader(cluster->raft) : 0;
    if (cluster->config.lease_timeout_ms == 0 || (beats->leader == leader && beats->term == term))
        return;
    if (leader == 0)
        beats->unled_ms = cluster_monotonic_ms(cluster);
    else if (beats->leader == 0 && cluster_monotonic_ms(cluster) - beats->unled_ms > UNLED_LONG_MS)
        beats->is_target_known = false;
    beats->leader = leader;
    beats->term = term;
    if (cluster->is_leader)
        silence_unreachable(cluster);
    send_beat(cluster);
}
