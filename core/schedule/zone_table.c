#include "schedule/zone_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"

struct zone_table {
    struct zone_loader loader;
    struct map zones; /* key: the zone's own name */
};

enum status zone_table_new(struct zone_loader loader, struct zone_table **ret, struct error *err)
{
    struct zone_table *table = malloc(sizeof *table);
    if (table == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the table of time zones");
    table->loader = loader;
    map_init(&table->zones);
    *ret = table;
    return STATUS_OK;
}

void zone_table_free(struct zone_table *table)
{
    uint32_t cursor = 0;
    struct zone *zone;
    if (table == NULL)
        return;
    while ((zone = map_next(&table->zones, &cursor)) != NULL)
        zone_free(zone);
    map_deinit(&table->zones);
    free(table);
}

static bool name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
           c == '-' || c == '/';
}

/* The name becomes part of a path, so its form is checked before anyone opens anything. */
static enum status check_name(const char *name, struct error *err)
{
    size_t size = strnlen(name, ZONE_NAME_MAX + 1);
    if (size == 0)
        return error_set(err, STATUS_INVALID, "the time zone is empty; \"UTC\" is one");
    if (size > ZONE_NAME_MAX)
        return error_set(err, STATUS_INVALID, "a time zone's name has at most %d bytes", ZONE_NAME_MAX);
    for (size_t i = 0; i < size; i++) {
        if (!name_char(name[i]))
            return error_set(err, STATUS_INVALID, "a time zone's name has only letters, digits and _ + - /");
    }
    if (name[0] == '/' || name[size - 1] == '/' || strstr(name, "//") != NULL)
        return error_set(err, STATUS_INVALID, "\"%s\" is not the name of a time zone", name);
    /* What these mean is a matter of each machine, but a schedule means the same on every node. */
    if (strcmp(name, "localtime") == 0 || strcmp(name, "posixrules") == 0)
        return error_set(err, STATUS_INVALID, "\"%s\" differs from machine to machine: use a name like Europe/Berlin",
                         name);
    return STATUS_OK;
}

static enum status unknown_name(const struct zone_table *table, const char *name, struct error *err)
{
    char nearest[ZONE_NAME_MAX + 1] = "";
    if (table->loader.nearest != NULL)
        table->loader.nearest(table->loader.arg, name, nearest, sizeof nearest);
    if (nearest[0] != '\0')
        return error_set(err, STATUS_INVALID, "\"%s\" is not a known time zone (nearest: %s)", name, nearest);
    return error_set(err, STATUS_INVALID, "\"%s\" is not a known time zone", name);
}

static enum status load_zone(const struct zone_table *table, const char *name, struct zone **ret, struct error *err)
{
    struct buffer bytes;
    enum status s;
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0)
        return zone_new_utc(name, ret, err);
    if (table->loader.load == NULL)
        return unknown_name(table, name, err);
    buffer_init(&bytes, ZONE_FILE_MAX);
    s = table->loader.load(table->loader.arg, name, &bytes, err);
    if (s == STATUS_OK)
        s = zone_parse(name, bytes.data, bytes.size, ret, err);
    else if (s == STATUS_NOT_FOUND || s == STATUS_INVALID)
        s = unknown_name(table, name, err);
    buffer_deinit(&bytes);
    return s;
}

enum status zone_table_get(struct zone_table *table, const char *name, const struct zone **ret, struct error *err)
{
    struct zone *zone;
    enum status s;
    assert(table != NULL && name != NULL);
    s = check_name(name, err);
    if (s != STATUS_OK)
        return s;
    zone = map_get(&table->zones, name, strlen(name));
    if (zone == NULL) {
        s = load_zone(table, name, &zone, err);
        if (s != STATUS_OK)
            return s;
        s = map_put(&table->zones, zone->name, strlen(zone->name), zone, NULL);
        if (s != STATUS_OK) {
            zone_free(zone);
            return error_set(err, s, "no memory for the table of time zones");
        }
    }
    *ret = zone;
    return STATUS_OK;
}
