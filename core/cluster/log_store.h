/* The replicated log on disk: entries and the one always-synced row of hard state (docs/formats.md, "Log store").
 *
 * Every entry carries a CRC32C and a running hash over the whole log, so that a flipped bit and a diverged history are both
 * seen. A bad entry is never cut away silently: the node stops. One thread at a time: the opener
 * until the log writer takes over. */
#ifndef CHRONOS_CLUSTER_LOG_STORE_H
#define CHRONOS_CLUSTER_LOG_STORE_H

#include "base/id.h"
#include "plugin/store.h"
#include "raft/raft.h"

struct log_store;

enum { LOG_ENTRY_HEADER_SIZE = 40 };

/* What helps where log or state are not what they should be: an end of a sentence. */
#define LOG_STORE_MEND                                                                                                      \
    "in a cluster remove this member on another node, empty its directory and let it join again; a single node is restored " \
    "from a snapshot (--restore-snapshot)"

enum log_entry_type {
    LOG_ENTRY_NORMAL = RAFT_ENTRY_NORMAL, /* a command */
    LOG_ENTRY_NOOP = RAFT_ENTRY_NOOP,
    LOG_ENTRY_CONF = RAFT_ENTRY_CONF,
};

struct log_entry {
    uint64_t index, term;
    enum log_entry_type type;
    uint64_t hash; /* running hash up to and with it; 0 when it is written: not known to its maker */
    struct bytes data;
};

/* What the state machine sees of an entry: nothing of a configuration, which is the core's own. */
struct bytes log_entry_command(enum log_entry_type type, struct bytes data);

struct log_position {
    uint64_t index, term;
    uint64_t hash;   /* running hash up to and with this entry */
    uint64_t offset; /* bytes of all entries ever appended, up to and with this one */
};

struct log_hard_state {
    struct id cluster_id;     /* zero: this node belongs to none yet */
    uint64_t node;            /* this incarnation's raft id, random */
    uint64_t term, vote;
    struct log_position base; /* what stands before the first entry kept; index 0: nothing was cut */
    uint64_t live;            /* state-<live> is the state store in use */
    uint64_t conf_index;      /* of the entry that made `conf`; 0: there is none before `base` */
    struct raft_conf conf;    /* in force at `base` */
};

/* Opens the tables, reads the hard state (making a fresh one with a random raft id where there is none) and verifies every entry.
 * CORRUPT names the entry. The store is borrowed. */
must_use enum status log_store_new(struct store *store, struct log_store **ret, struct error *err);
/* The same for a store that must hold a log already: NOT_FOUND instead of beginning one. Writes nothing. */
must_use enum status log_store_open(struct store *store, struct log_store **ret, struct error *err);
void log_store_free(struct log_store *log);

const struct log_hard_state *log_store_hard(const struct log_store *log);
const struct log_position *log_store_last(const struct log_store *log); /* equals base where the log is empty */

/* One synced transaction. Entries continue the log without a gap. `hard` NULL: unchanged. NO_SPACE: nothing changed. Any other
 * error: the caller ends the process. */
must_use enum status log_store_append(struct log_store *log, const struct log_entry *entries, uint32_t count,
                                      const struct log_hard_state *hard, struct error *err);
/* The same, dropping the entries from `from` first; 0: none. */
must_use enum status log_store_replace(struct log_store *log, uint64_t from, const struct log_entry *entries, uint32_t count,
                                       const struct log_hard_state *hard, struct error *err);

/* A snapshot takes the place of the log: all entries go, and everything else is as `hard` says (base: where the snapshot stands, its
 * offset is not looked at; live: the store that it was loaded into). One synced transaction; outcomes as above. */
must_use enum status log_store_install(struct log_store *log, const struct log_hard_state *hard, struct error *err);

/* This node was told that it is no member any more, or that it is one again: so it says after a restart, too. One synced transaction. */
must_use enum status log_store_set_removed(struct log_store *log, bool removed, struct error *err);

/* What the raft core needs to know of the log at its start, before anything is appended; `applied` is the position of the state.
 * Borrowed from the log until the next write. */
must_use enum status log_store_boot(struct log_store *log, uint64_t applied, struct raft_boot *ret, struct error *err);

/* Entries from `from` in order until the callback returns false or the log ends; data is borrowed for the call. */
typedef bool (*log_walk)(void *arg, const struct log_entry *entry);
must_use enum status log_store_read(struct log_store *log, uint64_t from, log_walk walk, void *arg, struct error *err);

/* Of an entry of the log or of its base; NOT_FOUND elsewhere. */
must_use enum status log_store_position(struct log_store *log, uint64_t index, struct log_position *ret, struct error *err);

/* Where the log may begin so that min(TRAILING_ENTRIES, TRAILING_BYTES) stay and nothing above `synced` is touched: cut up to
 * the returned index (base.index: nothing to do). */
must_use enum status log_store_cut_target(struct log_store *log, uint64_t synced, uint64_t *ret, struct error *err);
/* Drop entries up to `upto`, at most CUT_BATCH_MAX of them, and move the base, in one transaction. *ret_more: call again. */
must_use enum status log_store_cut(struct log_store *log, uint64_t upto, bool *ret_more, struct error *err);

#endif
