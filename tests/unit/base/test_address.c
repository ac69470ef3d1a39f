#include "base/address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "check.h"

static void takes(const char *text, enum address_kind kind, const char *host, unsigned port)
{
    struct address address;
    const char *wrong = address_split(text, &address);
    if (wrong != NULL)
        fail_msg("%s: %s", text, wrong);
    assert_int_equal(address.kind, kind);
    assert_string_equal(address.host, host);
    assert_int_equal(address.port, port);
}

static void what_people_write(void **state)
{
    (void)state;
    takes("10.0.0.1:7000", ADDRESS_IPV4, "10.0.0.1", 7000);
    takes("[::1]:7000", ADDRESS_IPV6, "::1", 7000);
    takes("[fd00::1]:0", ADDRESS_IPV6, "fd00::1", 0);
    takes(":8080", ADDRESS_NO_HOST, "", 8080);
    takes("chronos-0.chronos:65535", ADDRESS_NAME, "chronos-0.chronos", 65535);
    takes("example.org.:7000", ADDRESS_NAME, "example.org.", 7000);
    takes("node_1:7000", ADDRESS_NAME, "node_1", 7000);
    takes("1a:7000", ADDRESS_NAME, "1a", 7000);
    takes("256.0.0.1:1", ADDRESS_NONE, "256.0.0.1", 1);
    takes("10.0.0:1", ADDRESS_NONE, "10.0.0", 1);
    takes("a..b:1", ADDRESS_NONE, "a..b", 1);
    takes(".:1", ADDRESS_NONE, ".", 1);
    takes("a b:1", ADDRESS_NONE, "a b", 1);
    takes("*:1", ADDRESS_NONE, "*", 1);
    takes("[10.0.0.1]:1", ADDRESS_NONE, "10.0.0.1", 1);
    takes("[]:1", ADDRESS_NONE, "", 1);
    takes("[fe80::1%eth0]:1", ADDRESS_NONE, "fe80::1%eth0", 1);
}

static void what_they_mistype(void **state)
{
    static const struct {
        const char *text, *wrong;
    } cases[] = {
        {"", "the port is missing"},
        {"10.0.0.1", "the port is missing"},
        {"10.0.0.1:", "a number up to 65535"},
        {"10.0.0.1:65536", "a number up to 65535"},
        {"10.0.0.1:07000", "a number up to 65535"},
        {"10.0.0.1:+7", "a number up to 65535"},
        {"10.0.0.1:7000 ", "a number up to 65535"},
        {"::1:7000", "in brackets"},
        {"[::1", "\"]\" is missing"},
        {"[::1]", "write [host]:port"},
        {"[::1]7000", "write [host]:port"},
        {"http://a:7000", "brackets"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address = {.port = 1};
        const char *wrong = address_split(cases[i].text, &address);
        if (wrong == NULL || strstr(wrong, cases[i].wrong) == NULL)
            fail_msg("%s: %s", cases[i].text, wrong != NULL ? wrong : "taken");
        assert_int_equal(address.port, 1); /* untouched */
    }
}

static void sockaddr(const char *text, int family, size_t address_at, const void *expected, size_t size)
{
    struct sockaddr_storage name;
    struct address address;
    assert_null(address_split(text, &address));
    address_to_sockaddr(&address, &name);
    assert_int_equal(name.ss_family, family);
    assert_memory_equal((char *)&name + address_at, expected, size);
    assert_int_equal(sockaddr_port(&name), 7000);
}

static void for_the_kernel(void **state)
{
    static const uint8_t v4[4] = {10, 0, 0, 1}, v6[16] = {[15] = 1};
    (void)state;
    sockaddr("10.0.0.1:7000", AF_INET, offsetof(struct sockaddr_in, sin_addr), v4, sizeof v4);
    sockaddr("[::1]:7000", AF_INET6, offsetof(struct sockaddr_in6, sin6_addr), v6, sizeof v6);
}

static void callable(const char *text, bool expected)
{
    struct address address;
    assert_null(address_split(text, &address));
    assert_int_equal(address_is_callable(&address), expected);
}

static void where_somebody_can_be(void **state)
{
    (void)state;
    callable("10.0.0.1:7000", true);
    callable("[::1]:7000", true);
    callable("chronos-1:7000", true);
    callable("chronos-1:0", false);
    callable(":7000", false);
    callable("10.0.0.256:7000", false);
}

static void long_hosts(void **state)
{
    char text[ADDRESS_HOST_SIZE + 8];
    struct address address;
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + 63, ":1", 3);
    takes(text, ADDRESS_NAME, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1); /* one label of 63 */
    memset(text, 'a', 64);
    memcpy(text + 64, ":1", 3);
    assert_null(address_split(text, &address));
    assert_int_equal(address.kind, ADDRESS_NONE);
    for (size_t i = 0; i < ADDRESS_HOST_SIZE - 1; i++)
        text[i] = i % 50 == 49 ? '.' : 'a';
    memcpy(text + ADDRESS_HOST_SIZE - 1, ":1", 3);
    assert_null(address_split(text, &address));
    memcpy(text + ADDRESS_HOST_SIZE - 1, "a:1", 4);
    assert_string_equal(address_split(text, &address), "the host is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_people_write),
        cmocka_unit_test(what_they_mistype),
        cmocka_unit_test(where_somebody_can_be),
        cmocka_unit_test(for_the_kernel),
        cmocka_unit_test(long_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
