/* Small file helpers; every one blocks, so never on the loop once it runs. */
#ifndef CHRONOS_BASE_FILE_H
#define CHRONOS_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum { FILE_PATH_SIZE = 4096 }; /* as PATH_MAX */

/* Appends the file's bytes; TOO_LARGE beyond the buffer's limit, NOT_FOUND if there is none, IO otherwise. */
must_use enum status file_read(const char *path, struct buffer *out, struct error *err);
/* Temp file beside it, fsync, rename, fsync of the directory: after OK the whole content is durable under `path`. */
must_use enum status file_write_atomic(const char *path, const void *data, size_t size, unsigned mode,
                                       struct error *err);

/* The same for what comes piece by piece: nothing stands under the path until it is published. A crash leaves the draft,
 * "<path>.<16 hexadecimal digits>.tmp", behind. */
struct file_draft {
    int fd; /* -1: none open */
    char path[FILE_PATH_SIZE], temp[FILE_PATH_SIZE];
};
must_use enum status file_draft_open(const char *path, struct file_draft *ret, struct error *err);
must_use enum status file_draft_write(struct file_draft *draft, const void *data, size_t size, struct error *err);
/* Ends the draft in every case; where it fails nothing of it is left, save that the new content may stand under the path
 * where the directory could not be synced. */
must_use enum status file_draft_publish(struct file_draft *draft, unsigned mode, struct error *err);
void file_draft_discard(struct file_draft *draft); /* accepts one that has ended */
/* mkdir -p with `mode` for what is made. OK if it is a directory already. */
must_use enum status directory_make(const char *path, unsigned mode, struct error *err);
/* The files of a directory, which has no folders in it, and itself. OK where there is none. */
must_use enum status directory_remove(const char *path, struct error *err);
/* Makes what a directory's files show and what the disk holds one thing: syncs each file and the directory, then lets the page
 * cache forget them. After a crash the cache may show what a failed sync never wrote; what is read from here on is the disk's. IO
 * where a sync fails: nothing in it can be trusted. */
must_use enum status directory_settle(const char *path, struct error *err);
/* "a/b": out must hold it, else TOO_LARGE. An absolute `name` is taken as it is. */
must_use enum status path_join(char *out, size_t out_size, const char *directory, const char *name, struct error *err);
/* Free bytes for an unprivileged writer on the file system of `path`; -1 if it cannot be told. */
int64_t disk_free_bytes(const char *path);

#endif
