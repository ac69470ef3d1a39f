/* Time zones: what the local clock showed and will show, from TZif bytes (RFC 8536) that the caller loads.
 *
 * Pure: no file, no clock, no global. A zone is immutable after parsing and may be shared between threads. Local time
 * is "seconds since 1970-01-01T00:00:00 on the zone's wall": UTC plus offset. */
#ifndef CHRONOS_SCHEDULE_ZONE_H
#define CHRONOS_SCHEDULE_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct zone;

/* `tzif` is version 1 to 4; from version 2 on the 64-bit block and the footer's POSIX rule count. Refused as CORRUPT:
 * anything cut short, out of order or out of range, and zones that count leap seconds ("right/..."). */
must_use enum status zone_parse(const char *name, const void *tzif, size_t size, struct zone **ret, struct error *err);
void zone_free(struct zone *zone); /* accepts NULL */
const char *zone_name(const struct zone *zone);
size_t zone_memory(const struct zone *zone);

/* Seconds that the local clock is ahead of UTC at that instant. */
int32_t zone_offset(const struct zone *zone, int64_t unix_s);
/* Whether the rules, as known today, change the clock for ever (daylight saving time in force). */
bool zone_keeps_changing(const struct zone *zone);

/* Where TZif bytes come from. `load` appends the file's bytes to `out`; NOT_FOUND (or INVALID) for a name it does not
 * know. `nearest` may be NULL; otherwise it writes the most similar known name, or "". */
struct zone_loader {
    enum status (*load)(void *arg, const char *name, struct buffer *out, struct error *err);
    void *arg;
    void (*nearest)(void *arg, const char *name, char *out, size_t out_size);
};

/* Zones by name, each loaded once. One thread; the zones it gives may be read by others. */
struct zone_table;
must_use enum status zone_table_new(struct zone_loader loader, struct zone_table **ret, struct error *err);
/* Borrowed until zone_table_free. "UTC" and "Etc/UTC" work without the loader (`load` may be NULL). An unknown name is
 * INVALID: "Europe/Berln" is not a known time zone (nearest: Europe/Berlin). */
must_use enum status zone_table_get(struct zone_table *table, const char *name, const struct zone **ret,
                                    struct error *err);
void zone_table_free(struct zone_table *table); /* accepts NULL */

#endif
