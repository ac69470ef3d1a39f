/* A snapshot: the whole state at one position of the log, as a file that restores into any storage backend (docs/formats.md,
 * "Snapshot file").
 *
 * Every byte is checked: one that is flipped, missing or left over is found, and the message says where. Memory is bounded by a
 * few blocks (SNAPSHOT_BLOCK_BYTES) whatever the state's size. Everything here blocks: never on the loop. */
#ifndef CHRONOS_STATE_SNAPSHOT_H
#define CHRONOS_STATE_SNAPSHOT_H

#include "state/state.h"

enum { SNAPSHOT_DIGEST_SIZE = 32, SNAPSHOT_VERSION_TEXT_SIZE = 32 };

/* What the head of the file says. The configuration is opaque here: whoever writes gives the one in force at `last`. */
struct snapshot_info {
    struct id cluster_id;
    struct state_position last; /* the newest entry that the state has seen */
    uint64_t hash;              /* running hash of the log at `last` */
    uint64_t conf_index;        /* of the entry that made the configuration */
    uint32_t conf_size;
    uint8_t conf[SNAPSHOT_CONF_MAX]; /* as raft_conf_encode gives it */
    int64_t created_ms;
    char node[NODE_TEXT_SIZE];                /* who wrote it */
    char version[SNAPSHOT_VERSION_TEXT_SIZE]; /* of Chronos */
    uint32_t state_format;
};

/* What was written or read. */
struct snapshot_summary {
    uint64_t size;                         /* of the file */
    uint8_t digest[SNAPSHOT_DIGEST_SIZE];  /* SHA-256 of all of it */
    uint64_t rows, row_bytes;              /* keys and rows, not compressed */
    uint64_t table_rows[STATE_TABLE_COUNT];
};

/* Asked between blocks, on the thread that works; `bytes`: of the file so far. False: stop, with CANCELLED. */
struct snapshot_watch {
    bool (*go_on)(void *arg, uint64_t bytes);
    void *arg;
};

/* Writes what the view shows. Any thread but the loop; the view is the caller's, who opens it first, so that he can look up what
 * is in force at view->applied and put it into `info` (its `last`, `version` and `state_format` are ignored: they follow from the
 * view and the program). `ret_info` (may be NULL): the info as written. Nothing stands under `path` before the whole file is
 * durable; a failure or a stop leaves no file. NO_SPACE is an ordinary failure. `watch` may be NULL. */
must_use enum status snapshot_write(struct state_view *view, const struct snapshot_info *info, const char *path,
                                    const struct snapshot_watch *watch, struct snapshot_info *ret_info,
                                    struct snapshot_summary *ret, struct error *err);

/* The head alone, checked. CORRUPT: damaged, or no snapshot; NOT_IMPLEMENTED: written by a newer version. */
must_use enum status snapshot_read_info(const char *path, struct snapshot_info *ret, struct error *err);

/* Reads all of it: checksums, order, counts, and each row by its own rules. Errors as above, with table and key of a bad row. */
must_use enum status snapshot_verify(const char *path, const struct snapshot_watch *watch, struct snapshot_info *ret_info,
                                     struct snapshot_summary *ret, struct error *err);

/* The same, and the rows go into `store`, an empty one of role STATE. Afterwards it is synced, and state_new finds the state there.
 * Until then, whatever ended the loading, state_new refuses it: a store that was not filled to its end is removed by the caller.
 * EXISTS: the store is not empty, and stays as it is. [writer] of the store; no state is open on it. */
must_use enum status snapshot_load(const char *path, struct store *store, const struct snapshot_watch *watch,
                                   struct snapshot_info *ret_info, struct snapshot_summary *ret, struct error *err);

#endif
