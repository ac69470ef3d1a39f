/* One storage instance under test. Every call that must succeed fails the case if it does not. */
#ifndef CHECK_DRIVER_H
#define CHECK_DRIVER_H

#include "kit.h"

struct driver {
    struct kit *kit;
    const struct chronos_storage_ops *ops;
    void *self;
    struct chronos_error error;
};

/* A key or a value. */
#define BYTES(pointer, length) (&(struct chronos_bytes){.data = (pointer), .size = (length)})
#define TEXT(text) (&(struct chronos_bytes){.data = (text), .size = sizeof(text) - 1})

void driver_create(struct driver *driver, struct kit *kit, const struct chronos_host *host);
int32_t driver_try_open(struct driver *driver, int32_t role, const char *dir, uint32_t max_readers);
/* create and open, with the kit's own host. */
void driver_open(struct driver *driver, struct kit *kit, int32_t role, const char *dir, uint32_t max_readers);
/* close and destroy. */
void driver_close(struct driver *driver);

uint32_t driver_table(struct driver *driver, const char *name, uint32_t flags);
struct chronos_txn *driver_begin(struct driver *driver, uint32_t flags);
void driver_commit(struct driver *driver, struct chronos_txn *txn);
void driver_put(struct driver *driver, struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                const struct chronos_bytes *value);
void driver_del(struct driver *driver, struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key);
/* False: not found. */
bool driver_get(struct driver *driver, struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                struct chronos_bytes *value);
struct chronos_cursor *driver_cursor(struct driver *driver, struct chronos_txn *txn, uint32_t table);
bool driver_move(struct driver *driver, struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                 struct chronos_bytes *key, struct chronos_bytes *value);
/* Fails the case unless `status` is OK. */
void driver_must(struct driver *driver, int32_t status, const char *doing);
void driver_must_be(struct driver *driver, int32_t status, int32_t wanted, const char *doing);

/* 8 bytes big-endian: a key of a SEQUENTIAL table. */
void number_key(uint64_t number, unsigned char key[8]);
bool bytes_equal(const struct chronos_bytes *one, const struct chronos_bytes *other);

#endif
