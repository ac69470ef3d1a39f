/* Snapshots on their way from one node to another: chunks are read and written on libuv's pool, one at a time for each peer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/log.h"
#include "cluster/snapshots_internal.h"

/* --- out --- */

static void read_chunk(uv_work_t *work)
{
    struct sending *sending = work->data;
    int fd = open(sending->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    size_t done = 0;
    while (done < sending->size) {
        ssize_t got = pread(fd, sending->data + done, sending->size - done, (off_t)(sending->offset + done));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    sending->is_read = done == sending->size;
    (void)close(fd); /* nothing was written through it */
}

static void send_chunk(struct cluster *cluster, struct sending *sending)
{
    struct raft_message message = {.type = RAFT_SNAPSHOT, .from = cluster->self.node, .to = sending->peer,
                                   .term = raft_term(cluster->raft), .log = sending->meta.last, .snapshot = &sending->meta,
                                   .offset = sending->offset, .ctx = sending->ctx, .chunk = {sending->data, sending->size}};
    if (raft_role(cluster->raft) == RAFT_LEADER && cluster->transport != NULL)
        (void)links_send(cluster, &message); /* lost: the core asks again */
}

static void on_read(uv_work_t *work, int cancelled)
{
    struct sending *sending = work->data;
    struct cluster *cluster = sending->cluster;
    (void)cancelled; /* never asked for */
    sending->is_busy = false;
    if (atomic_load(&cluster->snapshots->is_stopping)) {
        free(sending->data);
        snapshots_look_for_end(cluster->snapshots);
        return;
    }
    if (sending->is_read) {
        send_chunk(cluster, sending);
    } else {
        LOG_ERROR("a snapshot cannot be read", LOG_STRING("file", sending->path));
        raft_report(cluster->raft, sending->peer, RAFT_SNAPSHOT_FAILED);
    }
    free(sending->data);
}

static struct sending *free_place(struct snapshots *snapshots)
{
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (!snapshots->sending[i].is_busy)
            return &snapshots->sending[i];
    return NULL;
}

void snapshots_send(struct cluster *cluster, const struct raft_chunk_wanted *wanted)
{
    struct sending *sending = free_place(cluster->snapshots);
    if (sending == NULL || atomic_load(&cluster->snapshots->is_stopping))
        return; /* as if it had been lost */
    uint64_t size = wanted->snapshot->size - wanted->offset;
    *sending = (struct sending){.cluster = cluster, .peer = wanted->peer, .offset = wanted->offset, .ctx = wanted->ctx,
                                .meta = *wanted->snapshot};
    sending->size = size < SNAPSHOT_CHUNK_BYTES ? (size_t)size : SNAPSHOT_CHUNK_BYTES;
    sending->data = malloc(sending->size > 0 ? sending->size : 1);
    snapshots_path(cluster->snapshots, wanted->snapshot->last.index, sending->path);
    sending->work.data = sending;
    if (sending->data == NULL || uv_queue_work(cluster->config.loop, &sending->work, read_chunk, on_read) != 0) {
        free(sending->data);
        return;
    }
    if (wanted->offset == 0)
        LOG_INFO("a node is behind the log: it is sent a snapshot", LOG_U64("index", sending->meta.last.index),
                 LOG_U64("bytes", sending->meta.size));
    sending->is_busy = true;
}

/* --- in --- */

static bool write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t put = pwrite(fd, data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        done += (size_t)put;
    }
    return true;
}

/* All of it has arrived: is it what the leader has, and a sound state of this cluster? */
static enum status check_whole(struct storing *storing)
{
    struct snapshots *snapshots = storing->cluster->snapshots;
    const struct snapshot_watch watch = {snapshots_go_on, snapshots};
    const struct raft_snapshot_meta *meta = &storing->meta;
    struct snapshot_info info;
    struct snapshot_summary summary;
    enum status status = snapshot_verify(snapshots->incoming, &watch, &info, &summary, &storing->err);
    if (status != STATUS_OK)
        return status;
    if (summary.size != meta->size || memcmp(summary.digest, meta->digest, sizeof meta->digest) != 0)
        return error_set(&storing->err, STATUS_CORRUPT, "what arrived is not what was sent");
    if (info.last.index != meta->last.index || info.last.term != meta->last.term || info.hash != meta->hash ||
        id_compare(&info.cluster_id, &storing->cluster->self.cluster_id) != 0)
        return error_set(&storing->err, STATUS_CORRUPT, "it is a snapshot of another cluster or index than was announced");
    return STATUS_OK;
}

static enum status write_chunk(struct storing *storing, int fd)
{
    struct error *err = &storing->err;
    bool is_last = storing->offset + storing->size == storing->meta.size;
    if (storing->offset == 0 && ftruncate(fd, 0) != 0)
        return error_set_errno(err, STATUS_IO, errno, "empty it");
    if (!write_all(fd, storing->data, storing->size, storing->offset))
        return error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno, "write it");
    if (!is_last)
        return STATUS_OK;
    if (fsync(fd) != 0)
        return error_set_errno(err, STATUS_IO, errno, "sync it");
    return check_whole(storing);
}

static void store_chunk(uv_work_t *work)
{
    struct storing *storing = work->data;
    const char *path = storing->cluster->snapshots->incoming;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)error_set_errno(&storing->err, STATUS_IO, errno, "open it"); /* told by is_stored */
        return;
    }
    storing->is_stored = write_chunk(storing, fd) == STATUS_OK;
    if (!storing->is_stored && ftruncate(fd, 0) != 0) /* it begins anew, and others may need the room meanwhile */
        LOG_DEBUG("what was received stays until the next try", LOG_INT("errno", errno));
    if (close(fd) != 0 && storing->is_stored) {
        storing->is_stored = false;
        (void)error_set_errno(&storing->err, STATUS_IO, errno, "close it");
    }
}

static void on_stored(uv_work_t *work, int cancelled)
{
    struct storing *storing = work->data;
    struct cluster *cluster = storing->cluster;
    (void)cancelled; /* never asked for */
    storing->is_busy = false;
    free(storing->data);
    if (atomic_load(&cluster->snapshots->is_stopping)) {
        snapshots_look_for_end(cluster->snapshots);
        return;
    }
    if (!storing->is_stored && storing->err.code == STATUS_NOT_IMPLEMENTED)
        fatal("a snapshot that was received is of a newer version of Chronos", &storing->err); /* no other one would come */
    if (!storing->is_stored)
        LOG_ERROR("a snapshot that is being received cannot be stored; it begins anew",
                  LOG_STRING("file", cluster->snapshots->incoming), LOG_ERROR_FIELD(&storing->err));
    raft_stored(cluster->raft, &storing->meta, storing->offset + storing->size, storing->is_stored);
}

/* The core hands out no other one before it is told of this one. */
void snapshots_store(struct cluster *cluster, const struct raft_chunk *chunk)
{
    struct storing *storing = &cluster->snapshots->storing;
    if (storing->is_busy || atomic_load(&cluster->snapshots->is_stopping))
        return;
    if (chunk->offset == 0)
        LOG_INFO("this node is behind the log: it receives a snapshot", LOG_U64("index", chunk->snapshot->last.index),
                 LOG_U64("bytes", chunk->snapshot->size));
    *storing = (struct storing){.cluster = cluster, .meta = *chunk->snapshot, .offset = chunk->offset, .size = chunk->data.size};
    storing->work.data = storing;
    storing->data = malloc(chunk->data.size > 0 ? chunk->data.size : 1);
    if (storing->data == NULL)
        fatal("no memory for a piece of a snapshot", NULL);
    if (chunk->data.size > 0)
        memcpy(storing->data, chunk->data.data, chunk->data.size);
    storing->is_busy = uv_queue_work(cluster->config.loop, &storing->work, store_chunk, on_stored) == 0; /* it cannot fail */
}
