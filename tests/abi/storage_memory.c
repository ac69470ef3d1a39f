/* Storage in memory, gone at close: for tests, and as the plainest reading of the contract in storage.h.
 *
 * Each table is a treap whose nodes never change once they are made: a write copies the path to the root and shares the
 * rest. So a snapshot is a counted pointer to a root, readers and the writer never meet, and a cursor is only the last
 * key it returned. A treap's shape follows from its keys alone (the priority is a hash of the key), so it stays
 * balanced whatever order they come in. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <chronos/plugin.h>

enum { TABLES_MAX = 64, NAME_MAX_BYTES = 64, KEY_MAX = 511, VALUE_MAX = 1 << 20 };

struct node {
    atomic_uint references;
    uint32_t priority;
    uint32_t key_size, value_size;
    struct node *left, *right;
    uint64_t count, bytes; /* of the whole subtree */
    char data[];           /* key, value */
};

struct roots {
    struct node *table[TABLES_MAX];
};

struct memory {
    const struct chronos_host *host;
    int64_t capacity; /* bytes of keys and values; 0: no limit */
    char names[TABLES_MAX][NAME_MAX_BYTES];
    uint32_t table_count;
    uint32_t max_readers;
    pthread_mutex_t lock; /* guards what follows */
    struct roots committed;
    uint32_t reader_count;
    int writing;
};

struct chronos_txn {
    struct memory *memory;
    int write;
    struct roots roots;
};

struct chronos_cursor {
    struct chronos_txn *txn;
    uint32_t table;
    int placed;
    uint32_t key_size; /* of the key returned last */
    char key[KEY_MAX];
};

static int32_t refuse(struct chronos_error *err, int32_t code, const char *sentence)
{
    err->code = code;
    err->sys_errno = 0;
    err->flags = 0;
    snprintf(err->msg, sizeof err->msg, "%s", sentence);
    return code;
}

static int32_t no_memory(struct chronos_error *err)
{
    return refuse(err, CHRONOS_NOMEM, "out of memory");
}

/* -- nodes --------------------------------------------------------------------------------------------------------- */

static struct node *hold(struct node *node)
{
    if (node)
        atomic_fetch_add(&node->references, 1);
    return node;
}

static void drop(const struct chronos_host *host, struct node *node)
{
    if (!node || atomic_fetch_sub(&node->references, 1) != 1)
        return;
    drop(host, node->left); /* as deep as the tree is high: some dozens */
    drop(host, node->right);
    host->ops->release(host, node);
}

static int compare(const void *a, uint64_t a_size, const void *b, uint64_t b_size)
{
    uint64_t shorter = a_size < b_size ? a_size : b_size;
    int order = shorter ? memcmp(a, b, shorter) : 0;
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static uint32_t hash(const unsigned char *data, uint64_t size)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a, then mixed: neighbours must differ in the high bits */
    for (uint64_t i = 0; i < size; i++)
        h = (h ^ data[i]) * UINT64_C(1099511628211);
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(h >> 32);
}

static struct node *node_new(const struct chronos_host *host, const void *key, uint64_t key_size, const void *value,
                             uint64_t value_size)
{
    struct node *node = host->ops->alloc(host, sizeof *node + key_size + value_size);
    if (!node)
        return NULL;
    atomic_init(&node->references, 1);
    node->priority = hash(key, key_size);
    node->key_size = (uint32_t)key_size;
    node->value_size = (uint32_t)value_size;
    node->left = node->right = NULL;
    memcpy(node->data, key, key_size);
    if (value_size)
        memcpy(node->data + key_size, value, value_size);
    return node;
}

/* Takes over both children. */
static struct node *with_children(struct node *node, struct node *left, struct node *right)
{
    node->left = left;
    node->right = right;
    node->count = 1 + (left ? left->count : 0) + (right ? right->count : 0);
    node->bytes = (uint64_t)node->key_size + node->value_size + (left ? left->bytes : 0) + (right ? right->bytes : 0);
    return node;
}

/* A copy of one node with other children, which it takes over; NULL, and they are dropped, without memory. */
static struct node *copy_with(const struct chronos_host *host, const struct node *node, struct node *left,
                              struct node *right)
{
    struct node *copy = node_new(host, node->data, node->key_size, node->data + node->key_size, node->value_size);
    if (copy)
        return with_children(copy, left, right);
    drop(host, left);
    drop(host, right);
    return NULL;
}

/* -- treaps. Arguments are borrowed, results counted for the caller; `failed` is set without memory. -------------- */

struct split {
    struct node *less, *greater;
};

static struct split split_at(const struct chronos_host *host, struct node *node, const struct chronos_bytes *key,
                             int *failed)
{
    if (!node)
        return (struct split){NULL, NULL};
    int order = compare(node->data, node->key_size, key->data, key->size);
    struct split parts;
    if (order < 0) {
        parts = split_at(host, node->right, key, failed);
        parts.less = copy_with(host, node, hold(node->left), parts.less);
        *failed |= !parts.less;
    } else if (order > 0) {
        parts = split_at(host, node->left, key, failed);
        parts.greater = copy_with(host, node, parts.greater, hold(node->right));
        *failed |= !parts.greater;
    } else {
        parts = (struct split){hold(node->left), hold(node->right)};
    }
    return parts;
}

static struct node *join(const struct chronos_host *host, struct node *less, struct node *greater, int *failed)
{
    if (!less || !greater)
        return hold(less ? less : greater);
    struct node *joined;
    if (less->priority >= greater->priority)
        joined = copy_with(host, less, hold(less->left), join(host, less->right, greater, failed));
    else
        joined = copy_with(host, greater, join(host, less, greater->left, failed), hold(greater->right));
    *failed |= !joined;
    return joined;
}

static struct node *insert(const struct chronos_host *host, struct node *node, struct node *added, int *failed)
{
    struct chronos_bytes key = {added->data, added->key_size};
    int order = node ? compare(node->data, node->key_size, key.data, key.size) : 0;
    if (!node || order == 0 || added->priority > node->priority) {
        struct split parts = split_at(host, node, &key, failed);
        return with_children(hold(added), parts.less, parts.greater);
    }
    struct node *made = order > 0 ? copy_with(host, node, insert(host, node->left, added, failed), hold(node->right))
                                  : copy_with(host, node, hold(node->left), insert(host, node->right, added, failed));
    *failed |= !made;
    return made;
}

static struct node *erase(const struct chronos_host *host, struct node *node, const struct chronos_bytes *key,
                          int *failed)
{
    int order = compare(node->data, node->key_size, key->data, key->size); /* the caller knows that the key is there */
    if (order == 0)
        return join(host, node->left, node->right, failed);
    struct node *made = order > 0 ? copy_with(host, node, erase(host, node->left, key, failed), hold(node->right))
                                  : copy_with(host, node, hold(node->left), erase(host, node->right, key, failed));
    *failed |= !made;
    return made;
}

/* The first node above `key` (or at it), or the last one below (or at it). */
static struct node *search(struct node *node, const struct chronos_bytes *key, int upwards, int inclusive)
{
    struct node *best = NULL;
    while (node) {
        int order = compare(node->data, node->key_size, key->data, key->size);
        int fits = upwards ? order > 0 : order < 0;
        if (order == 0 && inclusive)
            return node;
        if (fits)
            best = node;
        node = (fits == upwards) ? node->left : node->right;
    }
    return best;
}

static struct node *edge(struct node *node, int first)
{
    struct node *best = NULL;
    for (; node; node = first ? node->left : node->right)
        best = node;
    return best;
}

/* -- rows ---------------------------------------------------------------------------------------------------------- */

static int32_t check_row(const struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                         struct chronos_error *err)
{
    if (table >= txn->memory->table_count)
        return refuse(err, CHRONOS_MISUSE, "no such table");
    if (key->size == 0)
        return refuse(err, CHRONOS_INVALID, "the key is empty");
    return key->size > KEY_MAX ? refuse(err, CHRONOS_TOOBIG, "the key is longer than 511 bytes") : CHRONOS_OK;
}

static struct node *find(const struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key)
{
    struct node *node = search(txn->roots.table[table], key, 1, 1);
    return node && compare(node->data, node->key_size, key->data, key->size) == 0 ? node : NULL;
}

static int32_t memory_get(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                          struct chronos_bytes *out_value, struct chronos_error *err)
{
    int32_t code = check_row(txn, table, key, err);
    if (code != CHRONOS_OK)
        return code;
    const struct node *node = find(txn, table, key);
    if (!node)
        return CHRONOS_NOTFOUND;
    *out_value = (struct chronos_bytes){node->data + node->key_size, node->value_size};
    return CHRONOS_OK;
}

static uint64_t bytes_of(const struct chronos_txn *txn)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < txn->memory->table_count; i++)
        bytes += txn->roots.table[i] ? txn->roots.table[i]->bytes : 0;
    return bytes;
}

static int32_t replace_root(struct chronos_txn *txn, uint32_t table, struct node *root, int failed,
                            struct chronos_error *err)
{
    const struct chronos_host *host = txn->memory->host;
    if (failed) {
        drop(host, root);
        return no_memory(err);
    }
    drop(host, txn->roots.table[table]);
    txn->roots.table[table] = root;
    return CHRONOS_OK;
}

static int32_t memory_put(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                          const struct chronos_bytes *value, uint32_t flags, struct chronos_error *err)
{
    const struct chronos_host *host = txn->memory->host;
    int32_t code = check_row(txn, table, key, err);
    if (code != CHRONOS_OK)
        return code;
    if (!txn->write)
        return refuse(err, CHRONOS_MISUSE, "put in a READ transaction");
    if (value->size > VALUE_MAX)
        return refuse(err, CHRONOS_TOOBIG, "the value is longer than 1 MiB");
    const struct node *old = find(txn, table, key);
    if (old && (flags & CHRONOS_PUT_NOOVERWRITE))
        return refuse(err, CHRONOS_EXISTS, "the key exists");
    uint64_t after = bytes_of(txn) + value->size + (old ? 0 : key->size) - (old ? old->value_size : 0);
    if (txn->memory->capacity > 0 && after > (uint64_t)txn->memory->capacity)
        return refuse(err, CHRONOS_NOSPACE, "the configured capacity is used up");
    struct node *added = node_new(host, key->data, key->size, value->data, value->size);
    if (!added)
        return no_memory(err);
    int failed = 0;
    struct node *root = insert(host, txn->roots.table[table], added, &failed);
    /* insert() held it where it went in; this is the first reference. */
    drop(host, added);
    return replace_root(txn, table, root, failed, err);
}

static int32_t memory_del(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                          struct chronos_error *err)
{
    int32_t code = check_row(txn, table, key, err);
    if (code != CHRONOS_OK)
        return code;
    if (!txn->write)
        return refuse(err, CHRONOS_MISUSE, "del in a READ transaction");
    if (!find(txn, table, key))
        return CHRONOS_NOTFOUND;
    int failed = 0;
    struct node *root = erase(txn->memory->host, txn->roots.table[table], key, &failed);
    return replace_root(txn, table, root, failed, err);
}

static int32_t memory_stat(struct chronos_txn *txn, uint32_t table, struct chronos_storage_stat *out,
                           struct chronos_error *err)
{
    if (table >= txn->memory->table_count)
        return refuse(err, CHRONOS_MISUSE, "no such table");
    const struct node *root = txn->roots.table[table];
    out->entries = root ? root->count : 0;
    out->bytes = root ? root->bytes : 0;
    return CHRONOS_OK;
}

/* -- cursors ------------------------------------------------------------------------------------------------------- */

static int32_t memory_cursor_open(struct chronos_txn *txn, uint32_t table, struct chronos_cursor **out,
                                  struct chronos_error *err)
{
    const struct chronos_host *host = txn->memory->host;
    if (table >= txn->memory->table_count)
        return refuse(err, CHRONOS_MISUSE, "no such table");
    struct chronos_cursor *cursor = host->ops->alloc(host, sizeof *cursor);
    if (!cursor)
        return no_memory(err);
    cursor->txn = txn;
    cursor->table = table;
    cursor->placed = 0;
    cursor->key_size = 0;
    *out = cursor;
    return CHRONOS_OK;
}

static void memory_cursor_close(struct chronos_cursor *cursor)
{
    const struct chronos_host *host = cursor->txn->memory->host;
    host->ops->release(host, cursor);
}

static int32_t memory_cursor_move(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                                  struct chronos_bytes *out_key, struct chronos_bytes *out_value,
                                  struct chronos_error *err)
{
    struct node *root = cursor->txn->roots.table[cursor->table];
    struct chronos_bytes last = {cursor->key, cursor->key_size};
    struct node *found;
    switch (op) {
    case CHRONOS_CURSOR_FIRST: found = edge(root, 1); break;
    case CHRONOS_CURSOR_LAST: found = edge(root, 0); break;
    case CHRONOS_CURSOR_SEEK_GE: found = search(root, seek, 1, 1); break;
    case CHRONOS_CURSOR_SEEK_LE: found = search(root, seek, 0, 1); break;
    case CHRONOS_CURSOR_NEXT: found = cursor->placed ? search(root, &last, 1, 0) : edge(root, 1); break;
    case CHRONOS_CURSOR_PREV: found = cursor->placed ? search(root, &last, 0, 0) : edge(root, 0); break;
    default: return refuse(err, CHRONOS_INVALID, "no such cursor operation");
    }
    if (!found)
        return CHRONOS_NOTFOUND;
    memcpy(cursor->key, found->data, found->key_size);
    cursor->key_size = found->key_size;
    cursor->placed = 1;
    *out_key = (struct chronos_bytes){found->data, found->key_size};
    *out_value = (struct chronos_bytes){found->data + found->key_size, found->value_size};
    return CHRONOS_OK;
}

/* -- transactions -------------------------------------------------------------------------------------------------- */

static int32_t memory_begin(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err)
{
    struct memory *memory = self;
    const struct chronos_host *host = memory->host;
    struct chronos_txn *txn = host->ops->alloc(host, sizeof *txn);
    if (!txn)
        return no_memory(err);
    txn->memory = memory;
    txn->write = (flags & CHRONOS_TXN_WRITE) != 0;
    pthread_mutex_lock(&memory->lock);
    int busy = txn->write ? memory->writing : memory->reader_count >= memory->max_readers;
    if (!busy) {
        if (txn->write)
            memory->writing = 1;
        else
            memory->reader_count++;
        for (uint32_t i = 0; i < TABLES_MAX; i++)
            txn->roots.table[i] = hold(memory->committed.table[i]);
    }
    pthread_mutex_unlock(&memory->lock);
    if (busy) {
        host->ops->release(host, txn);
        return refuse(err, CHRONOS_BUSY, "as many transactions as are allowed are open");
    }
    *out = txn;
    return CHRONOS_OK;
}

/* `publish`: what the transaction saw becomes what all will see. The roots not kept are dropped outside the lock. */
static void end(struct chronos_txn *txn, int publish)
{
    struct memory *memory = txn->memory;
    const struct chronos_host *host = memory->host;
    pthread_mutex_lock(&memory->lock);
    if (publish) {
        struct roots old = memory->committed;
        memory->committed = txn->roots;
        txn->roots = old;
    }
    if (txn->write)
        memory->writing = 0;
    else
        memory->reader_count--;
    pthread_mutex_unlock(&memory->lock);
    for (uint32_t i = 0; i < TABLES_MAX; i++)
        drop(host, txn->roots.table[i]);
    host->ops->release(host, txn);
}

static int32_t memory_commit(struct chronos_txn *txn, struct chronos_error *err)
{
    int write = txn->write;
    end(txn, write);
    return write ? CHRONOS_OK : refuse(err, CHRONOS_MISUSE, "a READ transaction can only be aborted");
}

static void memory_abort(struct chronos_txn *txn)
{
    end(txn, 0);
}

/* -- the store ----------------------------------------------------------------------------------------------------- */

static int32_t memory_open(void *self, const struct chronos_storage_open *open, struct chronos_error *err)
{
    struct memory *memory = self;
    if (open->role != CHRONOS_STORAGE_LOG && open->role != CHRONOS_STORAGE_STATE)
        return refuse(err, CHRONOS_INVALID, "no such role");
    memory->max_readers = open->max_readers;
    return CHRONOS_OK;
}

static void memory_limits(void *self, struct chronos_storage_limits *out)
{
    (void)self;
    out->max_key = KEY_MAX;
    out->max_value = VALUE_MAX;
    out->max_tables = TABLES_MAX;
    out->max_txn_bytes = 0;
}

static int32_t memory_table(void *self, const char *name, uint32_t flags, uint32_t *out_id, struct chronos_error *err)
{
    struct memory *memory = self;
    (void)flags; /* hints */
    for (uint32_t i = 0; i < memory->table_count; i++)
        if (strcmp(memory->names[i], name) == 0) {
            *out_id = i;
            return CHRONOS_OK;
        }
    if (strlen(name) >= NAME_MAX_BYTES || name[0] == '\0')
        return refuse(err, CHRONOS_INVALID, "a table's name has 1 to 63 bytes");
    if (memory->table_count == TABLES_MAX)
        return refuse(err, CHRONOS_TOOBIG, "no more tables are possible");
    strcpy(memory->names[memory->table_count], name);
    *out_id = memory->table_count++;
    return CHRONOS_OK;
}

static int32_t memory_sync(void *self, struct chronos_error *err)
{
    (void)self;
    (void)err;
    return CHRONOS_OK; /* nothing outlives the process */
}

static void memory_close(void *self)
{
    struct memory *memory = self;
    for (uint32_t i = 0; i < TABLES_MAX; i++) {
        drop(memory->host, memory->committed.table[i]);
        memory->committed.table[i] = NULL;
    }
    memory->table_count = 0;
}

static int32_t memory_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct memory *memory = host->ops->alloc(host, sizeof *memory);
    if (!memory)
        return no_memory(err);
    memset(memory, 0, sizeof *memory);
    memory->host = host;
    if (host->ops->config_int(host, "capacity", &memory->capacity) != CHRONOS_OK)
        memory->capacity = 0;
    pthread_mutex_init(&memory->lock, NULL);
    *self = memory;
    return CHRONOS_OK;
}

static void memory_destroy(void *self)
{
    struct memory *memory = self;
    pthread_mutex_destroy(&memory->lock);
    memory->host->ops->release(memory->host, memory);
}

static const struct chronos_option options[] = {
    {"capacity", CHRONOS_OPTION_SIZE, 0, NULL, NULL, "Bytes of keys and values; more is refused as a full disk would."},
};

/* No del_range: it is optional. */
static const struct chronos_storage_ops ops = {
    .struct_size = sizeof ops,
    .open = memory_open,
    .limits = memory_limits,
    .table = memory_table,
    .begin = memory_begin,
    .commit = memory_commit,
    .abort = memory_abort,
    .get = memory_get,
    .put = memory_put,
    .del = memory_del,
    .cursor_open = memory_cursor_open,
    .cursor_close = memory_cursor_close,
    .cursor_move = memory_cursor_move,
    .stat = memory_stat,
    .sync = memory_sync,
    .close = memory_close,
};

static const struct chronos_component component = {
    .struct_size = sizeof component,
    .kind = CHRONOS_KIND_STORAGE,
    .id = "memory",
    .summary = "Keeps everything in memory",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof *options,
    .ops = &ops,
    .create = memory_create,
    .destroy = memory_destroy,
};

static const struct chronos_component *const components[] = {&component, NULL};

static const struct chronos_plugin plugin = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof plugin,
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "storage_memory",
    .version = "1",
    .vendor = "Chronos tests",
    .components = components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
