/* TZif and POSIX rules: every zone of the system's tzdata against the C library, hand-made files, damaged files. */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/zoneinfo.h"
#include "schedule/zone_internal.h"

static int64_t libc_offset(int64_t unix_s)
{
    time_t instant = (time_t)unix_s;
    struct tm local;
    assert_non_null(localtime_r(&instant, &local));
    return local.tm_gmtoff;
}

static void libc_use(const char *tz)
{
    assert_int_equal(setenv("TZ", tz, 1), 0);
    tzset();
}

static void compare_at(const struct zone *zone, int64_t unix_s)
{
    int64_t expected = libc_offset(unix_s);
    if (zone_offset(zone, unix_s) != expected)
        fail_msg("%s at %lld: %d, the C library says %lld", zone_name(zone), (long long)unix_s,
                 zone_offset(zone, unix_s), (long long)expected);
}

static struct random generator;
static size_t zones_seen;

/* Around each change up to 2110, and anywhere up to 2500. */
static void compare_zone(const char *name)
{
    const struct zone *zone = zone_of(name);
    char tz[ZONE_NAME_MAX + 2];
    (void)snprintf(tz, sizeof tz, ":%s", name);
    libc_use(tz);
    for (uint32_t i = 0; i < zone->count && zone->at[i] < instant_of("2110-01-01T00:00:00Z") / 1000; i++) {
        if (zone->at[i] < -(INT64_C(1) << 40))
            continue; /* "since ever" */
        compare_at(zone, zone->at[i] - 1);
        compare_at(zone, zone->at[i]);
    }
    for (int i = 0; i < 200; i++) {
        int64_t low = instant_of("1930-01-01T00:00:00Z") / 1000, high = instant_of("2500-01-01T00:00:00Z") / 1000;
        compare_at(zone, low + (int64_t)random_below(&generator, (uint64_t)(high - low)));
    }
    zones_seen++;
}

static int visit_file(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    const char *name = path + strlen(ZONEINFO_DIRECTORY) + 1;
    (void)st;
    (void)walk;
    if (type != FTW_F || strchr(name, '.') != NULL || strncmp(name, "right/", 6) == 0 ||
        strncmp(name, "posix/", 6) == 0 || strcmp(name, "localtime") == 0 || strcmp(name, "posixrules") == 0 ||
        strcmp(name, "leapseconds") == 0)
        return 0;
    compare_zone(name);
    return 0;
}

static void test_all_zones_as_the_c_library(void **state)
{
    (void)state;
    random_seed(&generator, 20240101);
    zones_seen = 0;
    assert_int_equal(nftw(ZONEINFO_DIRECTORY, visit_file, 16, 0), 0);
    assert_true(zones_seen > 300);
    libc_use("UTC");
}

/* A version 2 file without transitions, whose footer is all there is. */
static size_t tzif_of_footer(const char *footer, uint8_t *out)
{
    static const uint8_t header[44] = {'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 4};
    static const uint8_t block[10] = {0, 0, 0, 0, 0, 0, 'L', 'M', 'T', 0};
    size_t size = 0;
    for (int i = 0; i < 2; i++) {
        memcpy(out + size, header, sizeof header);
        memcpy(out + size + sizeof header, block, sizeof block);
        size += sizeof header + sizeof block;
    }
    out[size++] = '\n';
    memcpy(out + size, footer, strlen(footer));
    size += strlen(footer);
    out[size++] = '\n';
    return size;
}

static enum status parse_footer_text(const char *footer, struct zone **ret, struct error *err)
{
    uint8_t bytes[512];
    return zone_parse("Test/Zone", bytes, tzif_of_footer(footer, bytes), ret, err);
}

/* In the first or the second half of a year, so that start and end keep their order. */
static void random_date(int half, char *out, size_t size)
{
    char time[32] = "";
    if (random_below(&generator, 2) == 0)
        (void)snprintf(time, sizeof time, "/%d:%02d:%02d", (int)random_below(&generator, 335) - 167,
                       (int)random_below(&generator, 60), (int)random_below(&generator, 60));
    switch (random_below(&generator, 3)) {
    case 0:
        (void)snprintf(out, size, "J%d%s", 20 + 190 * half + (int)random_below(&generator, 130), time);
        break;
    case 1:
        (void)snprintf(out, size, "%d%s", 20 + 190 * half + (int)random_below(&generator, 130), time);
        break;
    default:
        (void)snprintf(out, size, "M%d.%d.%d%s", 2 + 6 * half + (int)random_below(&generator, 4),
                       1 + (int)random_below(&generator, 5), (int)random_below(&generator, 7), time);
        break;
    }
}

/* The C library reads the same strings out of TZ. */
static void test_random_rules_as_the_c_library(void **state)
{
    (void)state;
    random_seed(&generator, 77);
    for (int i = 0; i < 400; i++) {
        char footer[192], start[48], end[48];
        struct zone *zone = NULL;
        struct error err = {0};
        random_date(i % 2, start, sizeof start);
        random_date(1 - i % 2, end, sizeof end);
        (void)snprintf(footer, sizeof footer, "AAA%d:%02d<B-1>%d,%s,%s", (int)random_below(&generator, 24) - 12,
                       (int)random_below(&generator, 60), (int)random_below(&generator, 24) - 12, start, end);
        if (parse_footer_text(footer, &zone, &err) != STATUS_OK)
            fail_msg("%s: %s", footer, err.message);
        libc_use(footer);
        for (int j = 0; j < 300; j++) {
            int64_t high = instant_of("2900-01-01T00:00:00Z") / 1000;
            int64_t at = (int64_t)random_below(&generator, (uint64_t)high);
            int64_t edge = zone->count == 0 ? at : zone->at[random_below(&generator, zone->count)];
            compare_at(zone, at);
            if (edge > 0) {
                compare_at(zone, edge);
                compare_at(zone, edge - 1);
            }
        }
        zone_free(zone);
    }
    libc_use("UTC");
}

static void test_rule_forms(void **state)
{
    (void)state;
    static const struct {
        const char *footer, *at;
        int offset_s;
    } cases[] = {
        {"UTC0", "2030-07-01T00:00:00Z", 0},
        {"<+0545>-5:45", "2030-07-01T00:00:00Z", 20700},
        {"XXX-1:02:03", "2030-07-01T00:00:00Z", 3723},
        {"EST5EDT,M3.2.0,M11.1.0", "2050-03-13T06:59:59Z", -18000},
        {"EST5EDT,M3.2.0,M11.1.0", "2050-03-13T07:00:00Z", -14400},
        {"EST5EDT,M3.2.0,M11.1.0", "2050-11-06T05:59:59Z", -14400},
        {"EST5EDT,M3.2.0,M11.1.0", "2050-11-06T06:00:00Z", -18000},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2045-01-01T00:00:00Z", 0}, /* negative daylight saving time */
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2045-07-01T00:00:00Z", 3600},
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2030-03-31T00:59:59Z", -7200}, /* the day before, at 23:00 */
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2030-03-31T01:00:00Z", -3600},
        {"EET-2EEST,M3.4.4/50,M10.4.4/50", "2030-03-29T23:59:59Z", 7200}, /* 50 hours after Thursday's midnight */
        {"EET-2EEST,M3.4.4/50,M10.4.4/50", "2030-03-30T00:00:00Z", 10800},
        {"AAA0BBB,J60/0,J300/0", "2028-02-29T23:59:59Z", 0}, /* J60 is 1 March, leap year or not */
        {"AAA0BBB,J60/0,J300/0", "2028-03-01T00:00:00Z", 3600},
        {"AAA0BBB,J60/0,J300/0", "2027-03-01T00:00:00Z", 3600},
        {"AAA0BBB,59/0,299/0", "2028-02-29T00:00:00Z", 3600}, /* 59 counts 29 February */
        {"AAA0BBB,59/0,299/0", "2027-02-28T23:59:59Z", 0},
        {"AAA0BBB,59/0,299/0", "2027-03-01T00:00:00Z", 3600},
        {"XXX3EDT4,0/0,J365/23", "2030-12-31T23:30:00Z", -14400}, /* all year */
        {"XXX3EDT4,0/0,J365/23", "2031-01-01T03:00:00Z", -14400},
        {"XXX3EDT4,0/0,J365/23", "2031-06-01T03:00:00Z", -14400},
        {"AAA-10BBB,M10.1.0,M4.1.0/3", "9998-01-01T00:00:00Z", 39600}, /* south, folded many times */
        {"AAA-10BBB,M10.1.0,M4.1.0/3", "9998-07-01T00:00:00Z", 36000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct zone *zone = NULL;
        struct error err = {0};
        int64_t at = instant_of(cases[i].at) / 1000;
        if (parse_footer_text(cases[i].footer, &zone, &err) != STATUS_OK)
            fail_msg("%s: %s", cases[i].footer, err.message);
        if (zone_offset(zone, at) != cases[i].offset_s)
            fail_msg("%s at %s: %d", cases[i].footer, cases[i].at, zone_offset(zone, at));
        zone_free(zone);
    }
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const char *const footers[] = {
        "E5", "EST", "5", "EST25", "EST5:60", "EST5:5:60", "EST-", "<+05>", "<+05", "EST5EDT", "EST5EDT4",
        "EST5E,M3.2.0,M11.1.0", "EST5EDT,M3.2.0", "EST5EDT,M3.2.0,", "EST5EDT,M13.2.0,M11.1.0",
        "EST5EDT,M0.2.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.0.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0",
        "EST5EDT,M3.2,M11.1.0", "EST5EDT,J0,J300", "EST5EDT,J366,J300", "EST5EDT,366,300", "EST5EDT,-1,300",
        "EST5EDT,M3.2.0/168,M11.1.0", "EST5EDT,M3.2.0/-168,M11.1.0", "EST5EDT,M3.2.0/,M11.1.0",
        "EST5EDT,M3.2.0,M11.1.0 ", "EST5EDT,M3.2.0,M11.1.0,M1.1.1", "EST5EDT26,M3.2.0,M11.1.0", " EST5", "EST5 EDT",
        "EST99999999999", "EST5EDT,J00060,J300", "AAA0BBB,J100/0,J100/1:30",
    };
    for (size_t i = 0; i < sizeof footers / sizeof footers[0]; i++) {
        struct zone *zone = NULL;
        struct error err = {0};
        if (parse_footer_text(footers[i], &zone, &err) != STATUS_CORRUPT)
            fail_msg("%s is accepted", footers[i]);
        assert_null(zone);
        assert_memory_equal(err.message, "time zone Test/Zone: ", 21);
    }
}

static void test_longest_rule(void **state)
{
    (void)state;
    char footer[130];
    struct zone *zone = NULL;
    struct error err = {0};
    memset(footer, 'E', sizeof footer);
    footer[127] = '5';
    footer[128] = '\0';
    assert_int_equal(parse_footer_text(footer, &zone, &err), STATUS_OK);
    assert_int_equal(zone_offset(zone, 0), -5 * 3600);
    zone_free(zone);
    zone = NULL;
    memcpy(footer + 127, "E5", 3);
    assert_int_equal(parse_footer_text(footer, &zone, &err), STATUS_CORRUPT);
    assert_string_equal(err.message, "time zone Test/Zone: time zone data is damaged: the footer is too long");
    assert_null(zone);
}

/* An exact-size copy, so that the sanitizer sees a byte too far. */
static enum status parse_copy(const void *bytes, size_t size, struct zone **ret)
{
    struct error err = {0};
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    enum status s;
    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    s = zone_parse("Test/Zone", copy, size, ret, &err);
    assert_int_equal(s, s == STATUS_OK ? STATUS_OK : err.code);
    free(copy);
    return s;
}

static void load_file(const char *name, struct buffer *out)
{
    struct error err = {0};
    buffer_init(out, ZONE_FILE_MAX);
    if (zoneinfo_load(NULL, name, out, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void test_cut_short_at_every_byte(void **state)
{
    (void)state;
    static const char *const names[] = {"America/New_York", "Africa/Casablanca", "Asia/Kathmandu", "UTC"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buffer file;
        struct zone *zone = NULL;
        load_file(names[i], &file);
        for (size_t size = 0; size < file.size; size++)
            assert_int_equal(parse_copy(file.data, size, &zone), STATUS_CORRUPT);
        assert_int_equal(parse_copy(file.data, file.size, &zone), STATUS_OK);
        zone_free(zone);
        buffer_deinit(&file);
    }
    assert_int_equal(parse_copy(NULL, 0, &(struct zone *){NULL}), STATUS_CORRUPT);
}

/* Whatever is accepted must be usable: offsets in range, searches that end. */
static void use_zone(const struct zone *zone)
{
    const char *text = "30 1,2,3 * * *";
    struct schedule *schedule = NULL;
    struct error err = {0};
    int64_t at = instant_of("2026-01-01T00:00:00Z");
    assert_int_equal(schedule_parse(&text, 1, zone, defaults, 0, &schedule, &err), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        int64_t next = 0;
        assert_true(schedule_next(schedule, at, &next));
        assert_true(next > at);
        assert_in_range((uintmax_t)(zone_offset(zone, next / 1000) + ZONE_OFFSET_MAX), 0, 2 * ZONE_OFFSET_MAX);
        at = next;
    }
    schedule_free(schedule);
}

static void test_every_flipped_bit(void **state)
{
    (void)state;
    struct buffer file;
    size_t refused = 0;
    load_file("Europe/Dublin", &file);
    for (size_t bit = 0; bit < file.size * 8; bit++) {
        struct zone *zone = NULL;
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
        if (parse_copy(file.data, file.size, &zone) == STATUS_OK) {
            use_zone(zone);
            zone_free(zone);
        } else {
            refused++;
        }
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(refused > 100);
    buffer_deinit(&file);
}

/* The bytes of a version 1 file with two transitions between two types. */
enum { V1_SIZE = 44 + 2 * 5 + 2 * 6 + 4 };
static void version_1_file(uint8_t out[V1_SIZE])
{
    static const uint8_t bytes[V1_SIZE] = {
        'T', 'Z', 'i', 'f', 0, [35] = 2, [39] = 2, [43] = 4,
        /* times */ 0x10, 0, 0, 0, 0x20, 0, 0, 0, /* their types */ 1, 0,
        /* +0:00 */ 0, 0, 0, 0, 0, 0, /* +1:00 */ 0, 0, 0x0e, 0x10, 1, 0, 'A', 'B', 'C', 0,
    };
    memcpy(out, bytes, V1_SIZE);
}

static void test_version_1(void **state)
{
    (void)state;
    uint8_t bytes[V1_SIZE];
    struct zone *zone = NULL;
    version_1_file(bytes);
    assert_int_equal(parse_copy(bytes, sizeof bytes, &zone), STATUS_OK);
    assert_int_equal(zone_offset(zone, INT64_MIN / 8), 0);
    assert_int_equal(zone_offset(zone, 0x0fffffff), 0);
    assert_int_equal(zone_offset(zone, 0x10000000), 3600);
    assert_int_equal(zone_offset(zone, 0x1fffffff), 3600);
    assert_int_equal(zone_offset(zone, 0x20000000), 0);
    assert_int_equal(zone_offset(zone, INT64_MAX / 8), 0);
    assert_false(zone_keeps_changing(zone));
    assert_string_equal(zone_name(zone), "Test/Zone");
    assert_true(zone_memory(zone) > 0);
    zone_free(zone);
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(parse_copy(bytes, size, &zone), STATUS_CORRUPT);
}

static void test_bad_fields(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {
        {0, 't'},  {23, 1}, {27, 1}, {31, 1}, /* leap seconds */
        {34, 0x10}, {32, 0x80}, {39, 0}, {38, 2}, {43, 0}, {40, 1},
        {48, 0x10}, /* times equal, */ {48, 0x0f}, /* out of order */
        {52, 2},   {53, 0xff},                     /* unknown types */
        {60, 0x7f}, {60, 0x80},                    /* offsets */
        {64, 2},   {65, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[V1_SIZE];
        struct zone *zone = NULL;
        version_1_file(bytes);
        bytes[cases[i].at] = cases[i].value;
        if (parse_copy(bytes, sizeof bytes, &zone) != STATUS_CORRUPT)
            fail_msg("byte %zu = %d is accepted", cases[i].at, cases[i].value);
    }
}

static void test_changes_within_an_hour(void **state)
{
    (void)state;
    uint8_t bytes[V1_SIZE];
    struct zone *zone = NULL;
    version_1_file(bytes);
    memcpy(bytes + 48, (const uint8_t[]){0x10, 0, 0x0e, 0x0f}, 4);
    assert_int_equal(parse_copy(bytes, sizeof bytes, &zone), STATUS_CORRUPT);
    memcpy(bytes + 48, (const uint8_t[]){0x10, 0, 0x0e, 0x10}, 4);
    assert_int_equal(parse_copy(bytes, sizeof bytes, &zone), STATUS_OK);
    zone_free(zone);
}

static void test_too_many_transitions(void **state)
{
    (void)state;
    for (uint32_t count = ZONE_TRANSITIONS_MAX; count <= ZONE_TRANSITIONS_MAX + 1; count++) {
        size_t size = 44 + count * 5 + 2 * 6 + 4;
        uint8_t *bytes = calloc(1, size), *types;
        struct zone *zone = NULL;
        struct error err = {0};
        assert_non_null(bytes);
        memcpy(bytes, "TZif", 4);
        bytes[34] = (uint8_t)(count >> 8);
        bytes[35] = (uint8_t)count;
        bytes[39] = 2;
        bytes[43] = 4;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t at = i * 86400;
            for (int b = 0; b < 4; b++)
                bytes[44 + i * 4 + b] = (uint8_t)(at >> (24 - 8 * b));
            bytes[44 + count * 4 + i] = (uint8_t)(i + 1) & 1;
        }
        types = bytes + 44 + count * 5;
        types[8] = 0x0e;
        types[9] = 0x10;
        if (count <= ZONE_TRANSITIONS_MAX) {
            assert_int_equal(zone_parse("Test/Zone", bytes, size, &zone, &err), STATUS_OK);
            assert_int_equal(zone->count, count);
            use_zone(zone);
            zone_free(zone);
        } else {
            assert_int_equal(zone_parse("Test/Zone", bytes, size, &zone, &err), STATUS_CORRUPT);
            assert_string_equal(err.message,
                                "time zone Test/Zone: time zone data is damaged: it has too many transitions");
        }
        free(bytes);
    }
}

static void test_keeps_changing(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool keeps;
    } cases[] = {
        {"UTC", false},          {"Asia/Kathmandu", false},   {"America/Sao_Paulo", false}, {"Asia/Tokyo", false},
        {"Europe/Berlin", true}, {"America/New_York", true}, {"Africa/Casablanca", true},  {"Europe/Dublin", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(zone_keeps_changing(zone_of(cases[i].name)), cases[i].keeps);
}

struct fake_loader {
    int loads;
    enum status answer;
};

static enum status fake_load(void *arg, const char *name, struct buffer *out, struct error *err)
{
    struct fake_loader *fake = arg;
    uint8_t bytes[V1_SIZE];
    fake->loads++;
    if (fake->answer != STATUS_OK)
        return error_set(err, fake->answer, "loader says no to %s", name);
    version_1_file(bytes);
    buffer_append(out, bytes, sizeof bytes);
    return STATUS_OK;
}

static void fake_nearest(void *arg, const char *name, char *out, size_t out_size)
{
    (void)arg;
    (void)name;
    (void)snprintf(out, out_size, "Near/By");
}

static void test_table_loads_once(void **state)
{
    (void)state;
    struct fake_loader fake = {0};
    struct zone_table *table = NULL;
    struct error err = {0};
    const struct zone *first = NULL, *second = NULL;
    assert_int_equal(zone_table_new((struct zone_loader){.load = fake_load, .arg = &fake}, &table, &err), STATUS_OK);
    assert_int_equal(zone_table_get(table, "Some/Where", &first, &err), STATUS_OK);
    assert_int_equal(zone_table_get(table, "Some/Where", &second, &err), STATUS_OK);
    assert_ptr_equal(first, second);
    assert_int_equal(fake.loads, 1);
    assert_int_equal(zone_table_get(table, "UTC", &first, &err), STATUS_OK);
    assert_string_equal(zone_name(first), "UTC");
    assert_int_equal(zone_table_get(table, "Etc/UTC", &second, &err), STATUS_OK);
    assert_string_equal(zone_name(second), "Etc/UTC");
    assert_int_equal(zone_offset(second, 1700000000), 0);
    assert_int_equal(fake.loads, 1);
    zone_table_free(table);
    zone_table_free(NULL);
}

static void test_table_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "the time zone is empty; \"UTC\" is one"},
        {"Europe/Ber lin", "a time zone's name has only letters, digits and _ + - /"},
        {"../../etc/passwd", "a time zone's name has only letters, digits and _ + - /"},
        {"/etc/localtime", "\"/etc/localtime\" is not the name of a time zone"},
        {"Europe/", "\"Europe/\" is not the name of a time zone"},
        {"Europe//Berlin", "\"Europe//Berlin\" is not the name of a time zone"},
        {"localtime", "\"localtime\" differs from machine to machine: use a name like Europe/Berlin"},
        {"posixrules", "\"posixrules\" differs from machine to machine: use a name like Europe/Berlin"},
        {"A23456789012345678901234567890123456789012345678901234567890123456",
         "a time zone's name has at most 64 bytes"},
        {"Nowhere", "\"Nowhere\" is not a known time zone"},
    };
    struct fake_loader fake = {.answer = STATUS_NOT_FOUND};
    struct zone_table *table = NULL;
    struct error err = {0};
    const struct zone *zone = NULL;
    assert_int_equal(zone_table_new((struct zone_loader){.load = fake_load, .arg = &fake}, &table, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(zone_table_get(table, cases[i][0], &zone, &err), STATUS_INVALID);
        assert_string_equal(err.message, cases[i][1]);
        assert_null(zone);
    }
    assert_int_equal(fake.loads, 1); /* only a well-formed name gets to the loader */
    fake.answer = STATUS_NOT_READY;
    assert_int_equal(zone_table_get(table, "Nowhere", &zone, &err), STATUS_NOT_READY);
    assert_string_equal(err.message, "loader says no to Nowhere");
    zone_table_free(table);

    fake.answer = STATUS_NOT_FOUND;
    assert_int_equal(zone_table_new((struct zone_loader){fake_load, &fake, fake_nearest}, &table, &err), STATUS_OK);
    assert_int_equal(zone_table_get(table, "Nowhere", &zone, &err), STATUS_INVALID);
    assert_string_equal(err.message, "\"Nowhere\" is not a known time zone (nearest: Near/By)");
    zone_table_free(table);

    assert_int_equal(zone_table_new((struct zone_loader){0}, &table, &err), STATUS_OK);
    assert_int_equal(zone_table_get(table, "UTC", &zone, &err), STATUS_OK);
    assert_int_equal(zone_table_get(table, "Europe/Berlin", &zone, &err), STATUS_INVALID);
    zone_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_zones_as_the_c_library),
        cmocka_unit_test(test_random_rules_as_the_c_library),
        cmocka_unit_test(test_rule_forms),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_longest_rule),
        cmocka_unit_test(test_cut_short_at_every_byte),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_bad_fields),
        cmocka_unit_test(test_changes_within_an_hour),
        cmocka_unit_test(test_too_many_transitions),
        cmocka_unit_test(test_keeps_changing),
        cmocka_unit_test(test_table_loads_once),
        cmocka_unit_test(test_table_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, support_release);
}
