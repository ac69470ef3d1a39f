#define _XOPEN_SOURCE 700
#include "fixture.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

struct error failure;

/* --- a backend whose writes fail on demand --- */

enum { BACKENDS = 3 };
static struct plugin_component real[BACKENDS], faulty[BACKENDS];
static atomic_int faults[8]; /* by role */
static atomic_ullong faults_met;
static _Thread_local const struct chronos_storage_ops *writing; /* of this thread's write transaction */
static _Thread_local int32_t writing_role;

enum { INSTANCES = 64 };
static struct {
    _Atomic(void *) self;
    atomic_int role;
} instances[INSTANCES];

void fault_set(int32_t role, enum fault fault)
{
    atomic_store(&faults[role], fault);
}

uint64_t fault_count(void)
{
    return atomic_load(&faults_met);
}

static int32_t crashing_role = -1;
static uint32_t writes_left;

void crash_at(int32_t role, uint32_t writes)
{
    crashing_role = role;
    writes_left = writes;
}

static void crash_if_due(void)
{
    if (writing != NULL && writing_role == crashing_role && writes_left-- == 0)
        _exit(CRASHED);
}

static int32_t meet(struct chronos_error *err)
{
    int fault = atomic_load(&faults[writing_role]);
    crash_if_due();
    if (writing == NULL || fault == FAULT_NONE)
        return CHRONOS_OK;
    atomic_fetch_add(&faults_met, 1);
    memset(err->msg, 0, sizeof err->msg);
    err->code = fault == FAULT_IO ? CHRONOS_IO : CHRONOS_NOSPACE;
    (void)snprintf(err->msg, sizeof err->msg, "injected");
    return err->code;
}

static int32_t role_of(const void *self)
{
    for (int i = 0; i < INSTANCES; i++)
        if (atomic_load(&instances[i].self) == self)
            return atomic_load(&instances[i].role);
    return 0;
}

static void remember(void *self, int32_t role)
{
    for (int i = 0; i < INSTANCES; i++) {
        void *at = atomic_load(&instances[i].self);
        if (at != NULL && at != self)
            continue;
        atomic_store(&instances[i].role, role);
        atomic_store(&instances[i].self, self);
        return;
    }
    fail_msg("more than %d instances are open", INSTANCES);
}

static void forget(const void *self)
{
    for (int i = 0; i < INSTANCES; i++)
        if (atomic_load(&instances[i].self) == self)
            atomic_store(&instances[i].self, NULL);
}

static int32_t faulty_put(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                          const struct chronos_bytes *value, uint32_t flags, struct chronos_error *err)
{
    int32_t code = meet(err);
    return code != CHRONOS_OK ? code : writing->put(txn, table, key, value, flags, err);
}

static int32_t faulty_del_range(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *from,
                                const struct chronos_bytes *to, uint64_t max, uint64_t *out_n, struct chronos_error *err)
{
    crash_if_due();
    return writing->del_range(txn, table, from, to, max, out_n, err);
}

static int32_t faulty_commit(struct chronos_txn *txn, struct chronos_error *err)
{
    crash_if_due();
    return writing->commit(txn, err);
}

#define WRAP(n)                                                                                                   \
    static int32_t open_##n(void *self, const struct chronos_storage_open *open, struct chronos_error *err)      \
    {                                                                                                             \
        remember(self, open->role);                                                                               \
        return real[n].ops.storage.open(self, open, err);                                                         \
    }                                                                                                             \
    static int32_t begin_##n(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err)    \
    {                                                                                                             \
        if (flags & CHRONOS_TXN_WRITE) {                                                                          \
            writing = &real[n].ops.storage;                                                                       \
            writing_role = role_of(self);                                                                         \
        }                                                                                                         \
        return real[n].ops.storage.begin(self, flags, out, err);                                                  \
    }                                                                                                             \
    static void close_##n(void *self)                                                                            \
    {                                                                                                             \
        real[n].ops.storage.close(self);                                                                          \
        forget(self);                                                                                             \
    }
WRAP(0)
WRAP(1)
WRAP(2)

static void wrap(const struct plugin_registry *registry, int n, const char *id)
{
    static int32_t (*const opens[])(void *, const struct chronos_storage_open *, struct chronos_error *) = {open_0, open_1,
                                                                                                           open_2};
    static int32_t (*const begins[])(void *, uint32_t, struct chronos_txn **, struct chronos_error *) = {begin_0, begin_1,
                                                                                                        begin_2};
    static void (*const closes[])(void *) = {close_0, close_1, close_2};
    const struct plugin_component *found = plugin_find(registry, CHRONOS_KIND_STORAGE, id);
    assert_non_null(found);
    real[n] = faulty[n] = *found;
    faulty[n].ops.storage.open = opens[n];
    faulty[n].ops.storage.begin = begins[n];
    faulty[n].ops.storage.put = faulty_put;
    faulty[n].ops.storage.commit = faulty_commit;
    if (found->ops.storage.del_range != NULL)
        faulty[n].ops.storage.del_range = faulty_del_range;
    faulty[n].ops.storage.close = closes[n];
}

const struct plugin_component *backend_of(const char *name)
{
    static struct plugin_registry *registry;
    if (registry == NULL) {
        OK(plugin_registry_new(&registry, &failure));
        OK(plugin_load(registry, PLUGIN_DIRECTORY, "storage_lmdb.so", NULL, &failure));
        OK(plugin_load(registry, PLUGIN_DIRECTORY, "storage_sqlite.so", NULL, &failure));
        OK(plugin_load(registry, ABI_FIXTURE_DIR, "storage_memory.so", NULL, &failure));
        wrap(registry, 0, "lmdb");
        wrap(registry, 1, "sqlite");
        wrap(registry, 2, "memory");
        log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
    }
    for (int n = 0; n < BACKENDS; n++)
        if (strcmp(faulty[n].id, name) == 0)
            return &faulty[n];
    fail_msg("no backend %s", name);
    return NULL;
}

/* --- folders --- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

char *folder_new(void)
{
    char path[256];
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%s/chronos-cluster-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

void folder_free(char *folder)
{
    (void)nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS); /* what stays is in a temporary folder */
    free(folder);
}

/* --- a clock that can be moved --- */

static atomic_llong advanced_ms;

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return clock_system.wall_ms(clock_system.arg) + atomic_load(&advanced_ms);
}

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return clock_system.monotonic_ns(clock_system.arg) + (uint64_t)atomic_load(&advanced_ms) * 1000000;
}

static const struct clock moving_clock = {wall_ms, monotonic_ns, NULL};

void clock_advance_ms(int64_t ms)
{
    atomic_fetch_add(&advanced_ms, ms);
}

int64_t real_ms(void)
{
    return (int64_t)(clock_system.monotonic_ns(clock_system.arg) / 1000000);
}

/* --- the node --- */

static void on_changes(void *arg, const struct state_changes *changes, struct state_position applied)
{
    struct node *node = arg;
    node->batches++;
    node->changes += changes->count;
    assert_true(applied.index > node->applied.index);
    node->applied = applied;
}

static void on_runner_changes(void *arg, const struct state_changes *changes, struct state_position applied)
{
    struct node *node = arg;
    (void)changes;
    assert_true(applied.index == node->applied.index); /* the leader's table came first */
}

static void on_lead(void *arg, bool leading)
{
    struct node *node = arg;
    node->leads += leading;
}

static int64_t on_run(void *arg, int64_t now_ms)
{
    (void)arg;
    (void)now_ms;
    return INT64_MAX;
}

static void on_turn(uv_timer_t *timer)
{
    (void)timer;
}

struct node *node_new(const char *backend, char *folder)
{
    struct node *node = calloc(1, sizeof *node);
    assert_non_null(node);
    node->folder = folder != NULL ? folder : folder_new();
    node->owns_folder = folder == NULL;
    node->outcome_count = 40000;
    node->outcomes = calloc(node->outcome_count, sizeof *node->outcomes);
    assert_non_null(node->outcomes);
    assert_int_equal(uv_loop_init(&node->loop), 0);
    assert_int_equal(uv_timer_init(&node->loop, &node->turn), 0);
    assert_int_equal(uv_timer_start(&node->turn, on_turn, 2, 2), 0);
    node->config = (struct cluster_config){
        .loop = &node->loop,
        .clock = &moving_clock,
        .node_id = "n1",
        .data_dir = node->folder,
        .backend = backend_of(backend),
        .leader = {.changes = on_changes, .lead = on_lead, .run = on_run, .arg = node},
        .runner = {.changes = on_runner_changes, .arg = node},
    };
    return node;
}

void node_turn(struct node *node)
{
    (void)uv_run(&node->loop, UV_RUN_ONCE);
}

void node_start(struct node *node)
{
    uint32_t leads = node->leads;
    OK(cluster_open(&node->config, &node->cluster, &failure));
    node->started = true;
    node->stopped = false;
    node->applied = (struct state_position){0, 0};
    OK(cluster_start(node->cluster, &failure));
    WAIT_UNTIL(node, node->leads > leads);
}

static void on_stopped(void *arg)
{
    struct node *node = arg;
    assert_false(node->stopped);
    node->stopped = true;
}

void node_stop(struct node *node)
{
    cluster_stop(node->cluster, on_stopped, node);
    WAIT_UNTIL(node, node->stopped);
    cluster_free(node->cluster);
    node->cluster = NULL;
    node->started = false;
}

void node_free(struct node *node)
{
    if (node->started)
        node_stop(node);
    uv_close((uv_handle_t *)&node->turn, NULL);
    (void)uv_run(&node->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&node->loop), 0); /* nothing was left open */
    if (node->owns_folder)
        folder_free(node->folder);
    free(node->outcomes);
    free(node);
}

/* --- commands --- */

struct id job_id(uint64_t n)
{
    struct id id = {{0x10}};
    for (int i = 0; i < 8; i++)
        id.bytes[15 - i] = (uint8_t)(n >> (8 * i));
    return id;
}

void job_command(uint64_t n, uint32_t document_bytes, struct buffer *out)
{
    struct job_put put = {.id = job_id(n)};
    char *document = malloc(document_bytes + 32);
    assert_non_null(document);
    int size = snprintf(document, document_bytes + 32, "{\"name\":\"%0*u\"}", (int)document_bytes, 7U);
    put.spec = (struct job_spec){.enabled = true, .catchup_limit = 1, .executor = "shell", .timezone = "UTC",
                                 .retry = {.max_attempts = 1}, .schedule_count = 1, .schedules = {"@manually"}};
    (void)snprintf(put.spec.name, sizeof put.spec.name, "job%llu", (unsigned long long)n);
    put.document = (struct bytes){document, (size_t)size};
    buffer_init(out, ENTRY_SIZE_MAX);
    job_put_encode(&put, out);
    assert_int_equal(out->failed, STATUS_OK);
    free(document);
}

static void on_outcome(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct node *node = arg;
    assert_false(node->inside);
    assert_true(token < node->outcome_count);
    struct outcome *mine = &node->outcomes[token];
    mine->calls++;
    assert_int_equal(mine->calls, 1);
    mine->status = outcome->status;
    mine->result = outcome->result;
    node->out_of_order |= token < node->last_done;
    node->last_done = token;
    node->done++;
}

enum status node_propose(struct node *node, enum proposal_class class, uint64_t n, struct error *err)
{
    struct buffer command;
    job_command(n, 20, &command);
    node->inside = true;
    enum status status = cluster_propose(node->cluster, class, buffer_bytes(&command), on_outcome, node, n, err);
    node->inside = false;
    buffer_deinit(&command);
    return status;
}

bool node_has_job(struct node *node, uint64_t n)
{
    struct state_view view;
    struct job_row row;
    struct id id = job_id(n);
    OK(state_view_begin(cluster_state(node->cluster), &view, &failure));
    enum status status = state_get_job(&view, &id, &row, &failure);
    state_view_end(&view);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    return status == STATUS_OK;
}

struct cluster_status node_status(struct node *node)
{
    struct cluster_status status;
    cluster_status_get(node->cluster, &status);
    return status;
}

void count_read(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct node *node = arg;
    (void)token;
    assert_false(node->inside);
    if (outcome->status == STATUS_OK)
        node->reads++;
}

struct store *store_of(const char *backend, const char *directory, int32_t role)
{
    struct store_options options = {.role = role, .directory = directory, .max_readers = 4};
    struct store *store = NULL;
    OK(store_open(backend_of(backend), "test", NULL, &clock_system, &options, &store, &failure));
    return store;
}
