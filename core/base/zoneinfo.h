/* The system's time zone files. Every call reads from disk and blocks. */
#ifndef CHRONOS_BASE_ZONEINFO_H
#define CHRONOS_BASE_ZONEINFO_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

#define ZONEINFO_DIRECTORY "/usr/share/zoneinfo"

/* Both fit `struct zone_loader` of schedule/zone.h: the first argument is the directory as a string, NULL for
 * ZONEINFO_DIRECTORY. */

/* Appends the zone's TZif bytes, at most ZONE_FILE_MAX of them. NOT_FOUND for a name that is no zone's; INVALID for one
 * that leads out of the directory or to a file that is not TZif; NOT_READY, saying to install tzdata, where there is no
 * time zone data at all. */
must_use enum status zoneinfo_load(void *directory_or_null, const char *name, struct buffer *out, struct error *err);

/* The most similar name that tzdata lists ("Berlin" and "Europe/Berln" give "Europe/Berlin"), or "" for none. */
void zoneinfo_nearest(void *directory_or_null, const char *name, char *out, size_t out_size);

#endif
