#include "driver.h"

#include <string.h>

void driver_must_be(struct driver *driver, int32_t status, int32_t wanted, const char *doing)
{
    if (status != wanted) {
        kit_fail(driver->kit, "%s: %s where %s belongs%s%s", doing, status_name(status), status_name(wanted),
                 status != CHRONOS_OK && status != CHRONOS_NOTFOUND ? ": " : "",
                 status != CHRONOS_OK && status != CHRONOS_NOTFOUND ? driver->error.msg : "");
    }
}

void driver_must(struct driver *driver, int32_t status, const char *doing)
{
    driver_must_be(driver, status, CHRONOS_OK, doing);
}

void driver_create(struct driver *driver, struct kit *kit, const struct chronos_host *host)
{
    *driver = (struct driver){
        .kit = kit,
        .ops = kit->component->ops,
        .error = {.struct_size = sizeof(struct chronos_error)},
    };
    driver_must(driver, kit->component->create(host, &driver->self, &driver->error), "create");
    KIT_EXPECT(kit, driver->self != NULL, "create succeeded without an instance");
}

int32_t driver_try_open(struct driver *driver, int32_t role, const char *dir, uint32_t max_readers)
{
    struct chronos_storage_open open = {
        .struct_size = sizeof(open),
        .role = role,
        .dir = dir,
        .max_readers = max_readers,
    };

    return driver->ops->open(driver->self, &open, &driver->error);
}

void driver_open(struct driver *driver, struct kit *kit, int32_t role, const char *dir, uint32_t max_readers)
{
    driver_create(driver, kit, &kit->host.table);
    driver_must(driver, driver_try_open(driver, role, dir, max_readers), "open");
}

void driver_close(struct driver *driver)
{
    driver->ops->close(driver->self);
    driver->kit->component->destroy(driver->self);
    driver->self = NULL;
}

uint32_t driver_table(struct driver *driver, const char *name, uint32_t flags)
{
    uint32_t id = UINT32_MAX;

    driver_must(driver, driver->ops->table(driver->self, name, flags, &id, &driver->error), "open a table");
    return id;
}

struct chronos_txn *driver_begin(struct driver *driver, uint32_t flags)
{
    struct chronos_txn *txn = NULL;

    driver_must(driver, driver->ops->begin(driver->self, flags, &txn, &driver->error),
                (flags & CHRONOS_TXN_WRITE) != 0 ? "begin WRITE" : "begin READ");
    KIT_EXPECT(driver->kit, txn != NULL, "begin succeeded without a transaction");
    return txn;
}

void driver_commit(struct driver *driver, struct chronos_txn *txn)
{
    driver_must(driver, driver->ops->commit(txn, &driver->error), "commit");
}

void driver_put(struct driver *driver, struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                const struct chronos_bytes *value)
{
    driver_must(driver, driver->ops->put(txn, table, key, value, 0, &driver->error), "put");
}

void driver_del(struct driver *driver, struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key)
{
    driver_must(driver, driver->ops->del(txn, table, key, &driver->error), "del");
}

bool driver_get(struct driver *driver, struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                struct chronos_bytes *value)
{
    int32_t status = driver->ops->get(txn, table, key, value, &driver->error);

    if (status == CHRONOS_NOTFOUND) {
        return false;
    }
    driver_must(driver, status, "get");
    return true;
}

struct chronos_cursor *driver_cursor(struct driver *driver, struct chronos_txn *txn, uint32_t table)
{
    struct chronos_cursor *cursor = NULL;

    driver_must(driver, driver->ops->cursor_open(txn, table, &cursor, &driver->error), "open a cursor");
    return cursor;
}

bool driver_move(struct driver *driver, struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                 struct chronos_bytes *key, struct chronos_bytes *value)
{
    int32_t status = driver->ops->cursor_move(cursor, op, seek, key, value, &driver->error);

    if (status == CHRONOS_NOTFOUND) {
        return false;
    }
    driver_must(driver, status, "move a cursor");
    return true;
}

bool bytes_equal(const struct chronos_bytes *one, const struct chronos_bytes *other)
{
    return one->size == other->size && (one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

void number_key(uint64_t number, unsigned char key[8])
{
    for (int i = 7; i >= 0; i--) {
        key[i] = (unsigned char)number;
        number >>= 8;
    }
}
