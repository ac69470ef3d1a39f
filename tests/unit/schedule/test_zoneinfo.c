/* Time zone files from disk. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/nearest.h"
#include "base/zoneinfo.h"

static char directory[] = "/tmp/chronos-zoneinfo-XXXXXX";

static void write_file(const char *name, const char *text, size_t size)
{
    char path[128];
    struct error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    if (file_write_atomic(path, text, size, 0600, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void remove_file(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static void assert_load(void *from, const char *name, enum status expected, const char *message)
{
    struct buffer out;
    struct error err = {0};
    enum status s;
    buffer_init(&out, 2 * ZONE_FILE_MAX);
    s = zoneinfo_load(from, name, &out, &err);
    if (s != expected)
        fail_msg("%s: %s (%s)", name, status_name(s), err.message);
    if (message != NULL && strcmp(err.message, message) != 0)
        fail_msg("%s", err.message);
    if (s == STATUS_OK)
        assert_memory_equal(out.data, "TZif", 4);
    else
        assert_int_equal(out.size, 0);
    buffer_deinit(&out);
}

static void test_system_zones(void **state)
{
    (void)state;
    assert_load(NULL, "Europe/Berlin", STATUS_OK, NULL);
    assert_load(NULL, "UTC", STATUS_OK, NULL);
    assert_load(NULL, "Europe/Berln", STATUS_NOT_FOUND, "/usr/share/zoneinfo has no time zone \"Europe/Berln\"");
    assert_load(NULL, "Europe", STATUS_NOT_FOUND, NULL); /* a directory */
    assert_load(NULL, "tzdata.zi", STATUS_INVALID, "/usr/share/zoneinfo/tzdata.zi is not a time zone file");
    assert_load(NULL, "../../../etc/passwd", STATUS_INVALID, NULL);
    assert_load(NULL, "/etc/passwd", STATUS_INVALID, NULL);
    assert_load(NULL, "", STATUS_INVALID, NULL);
}

static void test_no_tzdata(void **state)
{
    (void)state;
    char message[256];
    (void)snprintf(message, sizeof message, "there is no time zone data in %s: install the tzdata package", directory);
    assert_load(directory, "Europe/Berlin", STATUS_NOT_READY, message);
    assert_load((char[]){"/nonexistent"}, "Europe/Berlin", STATUS_NOT_READY,
                "there is no time zone data in /nonexistent: install the tzdata package");
}

static void test_bad_files(void **state)
{
    (void)state;
    char *large = calloc(1, ZONE_FILE_MAX + 1);
    assert_non_null(large);
    memcpy(large, "TZif", 4);
    write_file("Short", "TZi", 3);
    write_file("Other", "Hello", 5);
    write_file("Empty", "", 0);
    write_file("Large", large, ZONE_FILE_MAX + 1);
    write_file("Most", large, ZONE_FILE_MAX);
    assert_load(directory, "Short", STATUS_INVALID, NULL);
    assert_load(directory, "Other", STATUS_INVALID, NULL);
    assert_load(directory, "Empty", STATUS_INVALID, NULL);
    assert_load(directory, "Large", STATUS_TOO_LARGE, NULL);
    assert_load(directory, "Most", STATUS_OK, NULL);
    remove_file("Short");
    remove_file("Other");
    remove_file("Empty");
    remove_file("Large");
    remove_file("Most");
    free(large);
}

static void test_full_buffer(void **state)
{
    (void)state;
    struct buffer out;
    struct error err = {0};
    buffer_init(&out, 100);
    assert_int_equal(zoneinfo_load(NULL, "Europe/Berlin", &out, &err), STATUS_TOO_LARGE);
    buffer_deinit(&out);
}

static void assert_nearest(void *from, const char *name, const char *expected)
{
    char out[65] = "untouched";
    zoneinfo_nearest(from, name, out, sizeof out);
    if (strcmp(out, expected) != 0)
        fail_msg("%s: \"%s\"", name, out);
}

static void test_nearest(void **state)
{
    (void)state;
    char small[8] = "x";
    assert_nearest(NULL, "Europe/Berln", "Europe/Berlin");
    assert_nearest(NULL, "europe/berlin", "Europe/Berlin");
    assert_nearest(NULL, "Berlin", "Europe/Berlin");
    assert_nearest(NULL, "New_York", "America/New_York");
    assert_nearest(NULL, "America/NewYork", "America/New_York");
    assert_nearest(NULL, "Qqqqqqqqqqqqq", "");
    assert_nearest(NULL, "", "");
    zoneinfo_nearest(NULL, "Berlin", small, sizeof small); /* "Europe/Berlin" does not fit */
    assert_string_not_equal(small, "Europe/");
    zoneinfo_nearest(NULL, "Berlin", small, 0);
}

static void test_nearest_in_lists(void **state)
{
    (void)state;
    static const char zi[] = "# version\nR x\nZ Land/Town 0 - X\n1 - Y\nL Land/Town Land/Village\nZ\nL a\nL a ";
    static const char tab[] = "#code\nXX\t+00\tLand/Harbour\nYY\t+00\nZZ\t+00\tLand/Hill\tcomment";
    assert_nearest(directory, "Land/Town", "");
    write_file("zone.tab", tab, sizeof tab - 1);
    assert_nearest(directory, "harbor", "Land/Harbour");
    assert_nearest(directory, "Land/Hil", "Land/Hill");
    assert_load(directory, "Land/Hill", STATUS_NOT_FOUND, NULL);
    write_file("tzdata.zi", zi, sizeof zi - 1);
    assert_nearest(directory, "Land/Tow", "Land/Town");
    assert_nearest(directory, "villag", "Land/Village");
    assert_nearest(directory, "harbor", "");
    remove_file("tzdata.zi");
    remove_file("zone.tab");
}

static void test_edit_distance(void **state)
{
    (void)state;
    char long_a[200], long_b[200];
    assert_int_equal(edit_distance("", 0, "", 0), 0);
    assert_int_equal(edit_distance("abc", 3, "", 0), 3);
    assert_int_equal(edit_distance("", 0, "abc", 3), 3);
    assert_int_equal(edit_distance("kitten", 6, "Sitting", 7), 3);
    assert_int_equal(edit_distance("ABC", 3, "abc", 3), 0);
    memset(long_a, 'a', sizeof long_a);
    memset(long_b, 'b', sizeof long_b);
    assert_int_equal(edit_distance(long_a, sizeof long_a, long_b, sizeof long_b), NEAREST_WORD_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_zones), cmocka_unit_test(test_no_tzdata),
        cmocka_unit_test(test_bad_files),    cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_nearest),      cmocka_unit_test(test_nearest_in_lists),
        cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
